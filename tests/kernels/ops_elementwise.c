/* ops_elementwise.c - cases of glu, unary, add, affine, timestep and copy. */
#include <stddef.h>

#include "tests/kernels/ops.h"

static const int64_t shapes[][2] = {
    { 1, 1 },  { 3, 7 },   { 2, 8 },    { 5, 15 },   { 4, 16 },   { 1, 33 },
    { 7, 64 }, { 9, 100 }, { 2, 1023 }, { 1, 5000 }, { 40, 200 },
};

/* Dtypes of two inputs and the output; gap. */
typedef struct Mix {
    KDtype a, b, y;
    int gap;
} Mix;

/* clang-format off */
static const Mix mixes[] = {
    { K_F32, K_F32, K_F32, 0 },    { K_F32, K_F32, K_F32, 5 },   { K_BF16, K_BF16, K_BF16, 0 },
    { K_BF16, K_BF16, K_F32, 3 },  { K_F32, K_BF16, K_BF16, 0 }, { K_BF16, K_F32, K_F32, 1 },
};
/* clang-format on */

enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    MIXES = sizeof mixes / sizeof *mixes,
    ACTS = 5
};

static void name_case(Scene *s, const char *op, const int64_t *z, const Mix *mix, int variant)
{
    scene_name(s, "%s [%lld, %lld] %s %s -> %s gap %d variant %d", op, (long long)z[0],
               (long long)z[1], k_dtype_name(mix->a), k_dtype_name(mix->b),
               k_dtype_name(mix->y), mix->gap, variant);
}

/* Widens the range that activations see to [-12, 12]. */
static void widen(KView *v)
{
    if (v->dtype != K_F32) return;
    for (int64_t i = 0, n = k_view_count(v); i < n; i++)
        ((float *)v->data)[view_offset(v, i) / sizeof(float)] *= 12.0f;
}

static void build_glu(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    const Mix *mix = &mixes[index / SHAPES % MIXES];
    KGlu *d = &s->d.glu;

    d->act = (KAct)(index / SHAPES / MIXES);
    name_case(s, "glu", z, mix, (int)d->act);
    d->gate = scene_matrix(s, mix->a, mix->gap, z[0], z[1]);
    widen(&d->gate);
    d->value = scene_matrix(s, mix->b, mix->gap, z[0], z[1]);
    d->y = scene_matrix(s, mix->y, mix->gap, z[0], z[1]);
    scene_output(s, &d->y, 1e-6f);
}

static void build_unary(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    const Mix *mix = &mixes[index / SHAPES % MIXES];
    KUnary *d = &s->d.unary;

    d->act = (KAct)(index / SHAPES / MIXES);
    name_case(s, "unary", z, mix, (int)d->act);
    d->x = scene_matrix(s, mix->a, mix->gap, z[0], z[1]);
    widen(&d->x);
    d->y = mix->a == mix->y && index % 2 ? d->x : scene_matrix(s, mix->y, mix->gap, z[0], z[1]);
    scene_output(s, &d->y, 1e-6f);
}

static void build_add(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    const Mix *mix = &mixes[index / SHAPES % MIXES];
    int variant = index / SHAPES / MIXES;
    KAdd *d = &s->d.add;

    name_case(s, "add", z, mix, variant);
    d->a = scene_matrix(s, mix->a, mix->gap, z[0], z[1]);
    d->b = scene_matrix(s, mix->b, mix->gap, z[0], z[1]);
    if (variant & 1) d->gate = scene_vector(s, z[1]);
    d->y =
        variant & 2 && mix->a == mix->y ? d->a : scene_matrix(s, mix->y, mix->gap, z[0], z[1]);
    scene_output(s, &d->y, 1e-6f);
}

static void build_affine(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    const Mix *mix = &mixes[index / SHAPES % MIXES];
    int variant = index / SHAPES / MIXES;
    KAffine *d = &s->d.affine;

    name_case(s, "affine", z, mix, variant);
    d->x = scene_matrix(s, mix->a, mix->gap, z[0], z[1]);
    if (variant & 1) d->mul = scene_vector(s, z[1]);
    if (variant & 2) d->add = scene_vector(s, z[1]);
    if (variant & 4) d->lo = -0.5f;
    if (variant & 4) d->hi = 0.25f;
    d->act = (KAct)(variant % ACTS);
    d->y = variant % 3 == 2 && mix->a == mix->y ? d->x
                                                : scene_matrix(s, mix->y, mix->gap, z[0], z[1]);
    scene_output(s, &d->y, 1e-6f);
}

/* clang-format off */
static const Operand glu_operands[] = {
    { offsetof(KGlu, gate), false }, { offsetof(KGlu, value), false }, { offsetof(KGlu, y), false },
    { SIZE_MAX, false },
};
static const Operand unary_operands[] = {
    { offsetof(KUnary, x), false }, { offsetof(KUnary, y), false }, { SIZE_MAX, false },
};
static const Operand add_operands[] = {
    { offsetof(KAdd, a), false }, { offsetof(KAdd, b), false }, { offsetof(KAdd, y), false },
    { offsetof(KAdd, gate), true }, { SIZE_MAX, false },
};
static const Operand affine_operands[] = {
    { offsetof(KAffine, x), false }, { offsetof(KAffine, y), false },
    { offsetof(KAffine, mul), true }, { offsetof(KAffine, add), true }, { SIZE_MAX, false },
};
/* clang-format on */

const OpTest glu_test = { SHAPES * MIXES * ACTS, build_glu, glu_operands, false };
const OpTest unary_test = { SHAPES * MIXES * ACTS, build_unary, unary_operands, false };
const OpTest add_test = { SHAPES * MIXES * 4, build_add, add_operands, false };
const OpTest affine_test = { SHAPES * MIXES * 8, build_affine, affine_operands, false };

/* ---- timestep ------------------------------------------------------------------------------------------- */

static const float times[] = { 0.0f, 1.0f, 3504.0f, 250.0f, 999.99994f, 0.001f };
static const int64_t widths[] = { 2, 6, 256, 254, 34, 320 };

enum { TIMES = sizeof times / sizeof *times, WIDTHS = sizeof widths / sizeof *widths };

static void build_timestep(Scene *s, int index)
{
    KTimestep *d = &s->d.timestep;
    KDtype t = index / TIMES / WIDTHS ? K_BF16 : K_F32;

    scene_name(s, "timestep %g width %lld %s", (double)times[index % TIMES],
               (long long)widths[index / TIMES % WIDTHS], k_dtype_name(t));
    d->value = scene_vector(s, 1);
    *(float *)d->value.data = times[index % TIMES];
    d->y = scene_matrix(s, t, 0, 1, widths[index / TIMES % WIDTHS]);
    scene_output(s, &d->y, 1e-6f);
}

static const Operand timestep_operands[] = {
    { offsetof(KTimestep, value), false },
    { offsetof(KTimestep, y), false },
    { SIZE_MAX, false },
};

const OpTest timestep_test = { TIMES * WIDTHS * 2, build_timestep, timestep_operands, false };

/* ---- copy -------------------------------------------------------------------------------------------------- */

typedef struct CopyShape {
    int ndim;
    int64_t shape[K_MAX_DIMS];
    int order[K_MAX_DIMS]; /* y's dimensions in x's order: a transposition */
} CopyShape;

/* clang-format off */
static const CopyShape copy_shapes[] = {
    { 1, { 1 }, { 0 } },
    { 1, { 1000 }, { 0 } },
    { 2, { 5, 33 }, { 0, 1 } },
    { 2, { 33, 70 }, { 1, 0 } },
    { 2, { 3, 4099 }, { 1, 0 } },
    { 2, { 130, 129 }, { 1, 0 } },
    { 3, { 16, 9, 11 }, { 1, 2, 0 } },
    { 3, { 9, 11, 16 }, { 2, 0, 1 } },
    { 3, { 40, 21, 3 }, { 2, 0, 1 } },
    { 4, { 2, 3, 5, 8 }, { 3, 1, 0, 2 } },
    { 6, { 2, 3, 2, 4, 2, 5 }, { 0, 3, 5, 1, 2, 4 } },
};

static const struct { KDtype x, y; } copy_dtypes[] = {
    { K_F32, K_F32 }, { K_F32, K_BF16 }, { K_BF16, K_F32 }, { K_BF16, K_BF16 }, { K_F16, K_F32 },
    { K_F32, K_F16 }, { K_F32, K_F8_E4M3 }, { K_F8_E5M2, K_BF16 }, { K_F64, K_F32 }, { K_I32, K_F32 },
    { K_F32, K_I32 }, { K_U8, K_F32 }, { K_I64, K_I64 }, { K_I16, K_I8 }, { K_U8, K_U8 },
};
/* clang-format on */

enum {
    COPY_SHAPES = sizeof copy_shapes / sizeof *copy_shapes,
    COPY_DTYPES = sizeof copy_dtypes / sizeof *copy_dtypes,
};

static void build_copy(Scene *s, int index)
{
    const CopyShape *z = &copy_shapes[index % COPY_SHAPES];
    KDtype xt = copy_dtypes[index / COPY_SHAPES % COPY_DTYPES].x;
    KDtype yt = copy_dtypes[index / COPY_SHAPES % COPY_DTYPES].y;
    int64_t shape[K_MAX_DIMS];
    KCopy *d = &s->d.copy;
    KView y;

    scene_name(s, "copy shape %d %s -> %s gap %d", index % COPY_SHAPES, k_dtype_name(xt),
               k_dtype_name(yt), index / COPY_SHAPES / COPY_DTYPES);
    d->x = scene_view(s, xt, index / COPY_SHAPES / COPY_DTYPES * 2, z->ndim, z->shape);
    for (int i = 0; i < z->ndim; i++)
        shape[i] = z->shape[z->order[i]];
    y = scene_view(s, yt, index / COPY_SHAPES / COPY_DTYPES, z->ndim, shape);
    d->y = y;
    for (int i = 0; i < z->ndim; i++) {
        d->y.shape[z->order[i]] = y.shape[i];
        d->y.stride[z->order[i]] = y.stride[i];
    }
    scene_output(s, &d->y, 0);
}

static const Operand copy_operands[] = {
    { offsetof(KCopy, x), false },
    { offsetof(KCopy, y), false },
    { SIZE_MAX, false },
};

const OpTest copy_test = { COPY_SHAPES * COPY_DTYPES * 2, build_copy, copy_operands, true };
