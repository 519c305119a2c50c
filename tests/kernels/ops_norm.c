/* ops_norm.c - cases of norm_mod, layer_norm, rms_norm and rope. */
#include <math.h>
#include <stddef.h>

#include "tests/kernels/ops.h"

/* rows, columns: widths around every vector length and their tails */
static const int64_t shapes[][2] = {
    { 1, 1 },  { 3, 7 },   { 2, 8 },    { 5, 15 },  { 4, 16 },   { 1, 33 },
    { 7, 64 }, { 9, 100 }, { 2, 1024 }, { 6, 777 }, { 3, 3072 }, { 130, 128 },
};

enum { SHAPES = sizeof shapes / sizeof *shapes, NORM_VARIANTS = 8 };

/* Variants: bit 0 = BF16 output, bit 1 = gaps, bit 2 = see each operation. */
static void name_case(Scene *s, const char *op, const int64_t *z, int variant)
{
    scene_name(s, "%s [%lld, %lld] variant %d", op, (long long)z[0], (long long)z[1], variant);
}

/* Bit 2: no shift, no scale (bit 1 decides) or y = x. */
static void build_norm_mod(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    int variant = index / SHAPES, gap = variant & 2 ? 5 : 0;
    KNormMod *d = &s->d.norm_mod;

    name_case(s, "norm_mod", z, variant);
    d->x = scene_matrix(s, K_F32, gap, z[0], z[1]);
    d->y = scene_matrix(s, variant & 1 ? K_BF16 : K_F32, gap, z[0], z[1]);
    if (!(variant & 4) || (variant & 2)) d->scale = scene_vector(s, z[1]);
    if (!(variant & 4)) d->shift = scene_vector(s, z[1]);
    if (variant == 4) d->y = d->x;
    d->eps = 1e-6f;
    scene_output(s, &d->y, 2e-6f);
}

static void build_layer_norm(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    int variant = index / SHAPES, gap = variant & 2 ? 5 : 0;
    KLayerNorm *d = &s->d.layer_norm;

    name_case(s, "layer_norm", z, variant);
    d->x = scene_matrix(s, K_F32, gap, z[0], z[1]);
    d->y = variant == 4 ? d->x : scene_matrix(s, variant & 1 ? K_BF16 : K_F32, gap, z[0], z[1]);
    d->weight = scene_vector(s, z[1]);
    d->bias = scene_vector(s, z[1]);
    d->eps = 1e-5f;
    scene_output(s, &d->y, 2e-6f);
}

/* Bit 2: BF16 input. */
static void build_rms_norm(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    int variant = index / SHAPES, gap = variant & 2 ? 5 : 0;
    KRmsNorm *d = &s->d.rms_norm;

    name_case(s, "rms_norm", z, variant);
    d->x = scene_matrix(s, variant & 4 ? K_BF16 : K_F32, gap, z[0], z[1]);
    d->y = variant == 2 ? d->x : scene_matrix(s, variant & 1 ? K_BF16 : K_F32, gap, z[0], z[1]);
    d->weight = scene_vector(s, z[1]);
    d->eps = 1e-6f;
    scene_output(s, &d->y, 2e-6f);
}

/* clang-format off */
static const Operand norm_mod_operands[] = {
    { offsetof(KNormMod, x), false }, { offsetof(KNormMod, y), false },
    { offsetof(KNormMod, scale), true }, { offsetof(KNormMod, shift), true }, { SIZE_MAX, false },
};
static const Operand layer_norm_operands[] = {
    { offsetof(KLayerNorm, x), false }, { offsetof(KLayerNorm, y), false },
    { offsetof(KLayerNorm, weight), false }, { offsetof(KLayerNorm, bias), false }, { SIZE_MAX, false },
};
static const Operand rms_norm_operands[] = {
    { offsetof(KRmsNorm, x), false }, { offsetof(KRmsNorm, y), false },
    { offsetof(KRmsNorm, weight), false }, { SIZE_MAX, false },
};
/* clang-format on */

const OpTest norm_mod_test = { SHAPES * NORM_VARIANTS, build_norm_mod, norm_mod_operands,
                               false };
const OpTest layer_norm_test = { SHAPES * NORM_VARIANTS, build_layer_norm, layer_norm_operands,
                                 false };
const OpTest rms_norm_test = { SHAPES * NORM_VARIANTS, build_rms_norm, rms_norm_operands,
                               false };

/* ---- rope ----------------------------------------------------------------------------------------------- */

enum { NORM = 1, ROTATE = 2, HALF = 4, IN_PLACE = 8, GAPS = 16, BF16_IN = 32, BF16_OUT = 64 };

/* tokens, heads, d */
static const int64_t rope_shapes[][3] = {
    { 1, 1, 2 },  { 3, 2, 6 },   { 2, 3, 16 },   { 5, 1, 34 }, { 4, 3, 64 },
    { 9, 2, 96 }, { 7, 4, 128 }, { 130, 2, 32 }, { 3, 2, 72 },
};

static const unsigned rope_variants[] = {
    0,
    NORM,
    ROTATE,
    NORM | ROTATE,
    NORM | ROTATE | HALF,
    ROTATE | HALF | IN_PLACE,
    NORM | ROTATE | IN_PLACE | GAPS,
    NORM | ROTATE | HALF | IN_PLACE | GAPS,
    NORM | ROTATE | BF16_IN | BF16_OUT | GAPS,
    NORM | ROTATE | HALF | BF16_IN,
    ROTATE | BF16_OUT,
    NORM | ROTATE | HALF | BF16_IN | BF16_OUT | IN_PLACE,
    NORM | BF16_IN | BF16_OUT,
    BF16_OUT | GAPS,
};

enum {
    ROPE_SHAPES = sizeof rope_shapes / sizeof *rope_shapes,
    ROPE_VARIANTS = sizeof rope_variants / sizeof *rope_variants,
};

/* cos and sin of random angles, so that a rotation keeps lengths. */
static void angles(Scene *s, KView *cs)
{
    float *p = cs->data;

    for (int64_t i = 0, n = k_view_count(cs) / 2; i < n; i++) {
        float angle = scene_uniform(s) * 6.2831853f;
        p[2 * i] = cosf(angle);
        p[2 * i + 1] = sinf(angle);
    }
}

static void build_rope(Scene *s, int index)
{
    const int64_t *z = rope_shapes[index % ROPE_SHAPES];
    unsigned fields = rope_variants[index / ROPE_SHAPES];
    KRope *d = &s->d.rope;
    int gap = fields & GAPS ? 10 : 0;

    scene_name(s, "rope [%lld, %lld, %lld] fields %#x", (long long)z[0], (long long)z[1],
               (long long)z[2], fields);
    d->x = scene_cube(s, fields & BF16_IN ? K_BF16 : K_F32, gap, z[0], z[1], z[2]);
    d->y = fields & IN_PLACE
               ? d->x
               : scene_cube(s, fields & BF16_OUT ? K_BF16 : K_F32, gap, z[0], z[1], z[2]);
    if (fields & NORM) d->weight = scene_vector(s, z[2]);
    if (fields & ROTATE) d->cs = scene_cube(s, K_F32, 0, z[0], z[2] / 2, 2);
    if (fields & ROTATE) angles(s, &d->cs);
    d->eps = 1e-6f;
    d->half = (fields & HALF) != 0;
    scene_output(s, &d->y, 2e-6f);
}

static const Operand rope_operands[] = {
    { offsetof(KRope, x), false },
    { offsetof(KRope, y), false },
    { offsetof(KRope, weight), true },
    { offsetof(KRope, cs), true },
    { SIZE_MAX, false },
};

const OpTest rope_test = { ROPE_SHAPES * ROPE_VARIANTS, build_rope, rope_operands, false };
