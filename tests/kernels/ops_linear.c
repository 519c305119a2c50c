/* ops_linear.c - cases of linear: shapes that fit no tile, every weight dtype, every field. */
#include <stddef.h>

#include "tests/kernels/ops.h"

enum {
    BIAS = 1,
    GLU = 2,
    GATE = 4,
    RESIDUAL = 8,
    IN_PLACE = 16, /* residual is y */
    NORM = 32,
    SHIFT = 64,
    NORM_BF16 = 128,
    GAPS = 256,      /* outer strides larger than rows */
    CAST = 512,      /* plain weights rounded to FP8 */
    CODES = 1024,    /* x is quantised too */
    ROTATED = 2048,  /* in groups of 16 */
    WIDE_ROT = 4096, /* in groups as wide as a power of 4 in k allows */
    SIDE = 8192,     /* a low-rank addition */
    BLOCKS = 16384,  /* scales for blocks of 16, FP8: of 32 */
};

typedef struct LinearCase {
    KDtype x, w, y;
    KAct act;
    unsigned fields;
} LinearCase;

/* m, n, k; k divisible by 32 serves blocks of 32, by 256 the K types. */
static const int64_t shapes[][3] = {
    { 1, 2, 32 },   { 1, 66, 256 },  { 3, 34, 96 },   { 17, 48, 64 },   { 33, 130, 160 },
    { 5, 16, 256 }, { 64, 64, 512 }, { 70, 98, 288 }, { 2, 258, 1024 }, { 129, 32, 64 },
};

/* clang-format off */
static const LinearCase variants[] = {
    { K_F32, K_F32, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_F32, K_F32, K_ACT_SILU, BIAS | GAPS },
    { K_F32, K_BF16, K_F32, K_ACT_NONE, BIAS | GATE | RESIDUAL | IN_PLACE },
    { K_F32, K_BF16, K_BF16, K_ACT_GELU_TANH, BIAS },
    { K_F32, K_F16, K_F32, K_ACT_GELU_QUICK, BIAS | RESIDUAL | GAPS },
    { K_F32, K_BF16, K_F32, K_ACT_SILU, GLU },
    { K_F32, K_BF16, K_F32, K_ACT_GELU_TANH, GLU | BIAS | GATE | RESIDUAL },
    { K_F32, K_BF16, K_F32, K_ACT_NONE, NORM | SHIFT | BIAS },
    { K_F32, K_F32, K_F32, K_ACT_SILU, NORM | GLU | GAPS },
    { K_F32, K_BF16, K_F32, K_ACT_NONE, NORM | SHIFT | NORM_BF16 },
    { K_F32, K_BF16, K_BF16, K_ACT_SILU, NORM | SHIFT | NORM_BF16 | GLU | BIAS },
    { K_BF16, K_BF16, K_F32, K_ACT_NONE, 0 },
    { K_BF16, K_BF16, K_BF16, K_ACT_NONE, BIAS | GAPS },
    { K_BF16, K_BF16, K_F32, K_ACT_NONE, GATE | RESIDUAL | IN_PLACE | GAPS },
    { K_BF16, K_BF16, K_BF16, K_ACT_SILU, GLU },
    { K_BF16, K_F32, K_F32, K_ACT_RELU, BIAS },
    { K_BF16, K_F16, K_F32, K_ACT_NONE, BIAS },
    { K_BF16, K_F8_E4M3, K_BF16, K_ACT_GELU_TANH, BIAS },
    { K_F32, K_F8_E4M3, K_F32, K_ACT_NONE, BIAS },
    { K_F32, K_F8_E5M2, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_BF16, K_F32, K_ACT_NONE, CAST },
    { K_BF16, K_F16, K_F32, K_ACT_NONE, CAST },
    { K_F32, K_Q8_0, K_F32, K_ACT_NONE, BIAS },
    { K_BF16, K_Q8_0, K_F32, K_ACT_SILU, GLU },
    { K_F32, K_Q4_0, K_F32, K_ACT_NONE, 0 },
    { K_BF16, K_Q4_1, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_Q5_0, K_F32, K_ACT_NONE, 0 },
    { K_BF16, K_Q5_1, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_IQ4_NL, K_F32, K_ACT_NONE, 0 },
    { K_BF16, K_Q2_K, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_Q3_K, K_F32, K_ACT_NONE, 0 },
    { K_BF16, K_Q4_K, K_F32, K_ACT_NONE, BIAS },
    { K_F32, K_Q5_K, K_F32, K_ACT_NONE, GLU },
    { K_BF16, K_Q6_K, K_F32, K_ACT_NONE, RESIDUAL },
    { K_F32, K_IQ4_XS, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_NF4, K_F32, K_ACT_NONE, BIAS },
    { K_BF16, K_NF4, K_BF16, K_ACT_NONE, 0 },
    { K_F32, K_I8, K_F32, K_ACT_NONE, BIAS },
    { K_BF16, K_I8, K_F32, K_ACT_NONE, NORM_BF16 },
    { K_F32, K_I8, K_F32, K_ACT_NONE, CODES | BIAS },
    { K_F32, K_I8, K_F32, K_ACT_GELU_TANH, CODES | BIAS | GATE | RESIDUAL | GAPS },
    { K_BF16, K_I8, K_BF16, K_ACT_SILU, CODES | GLU | BIAS },
    { K_F32, K_I8, K_F32, K_ACT_NONE, CODES | NORM | SHIFT | SIDE },
    { K_F32, K_I8, K_F32, K_ACT_NONE, CODES | ROTATED | NORM | SHIFT | NORM_BF16 },
    { K_F32, K_I8, K_F32, K_ACT_NONE, CODES | WIDE_ROT | BIAS | GLU | SIDE },
    { K_BF16, K_I8, K_F32, K_ACT_NONE, CODES | WIDE_ROT | BIAS | SIDE },
    { K_F32, K_I8, K_F32, K_ACT_NONE, ROTATED | BIAS },
    { K_BF16, K_I8, K_F32, K_ACT_NONE, WIDE_ROT | SIDE | RESIDUAL },
    { K_F32, K_I4, K_F32, K_ACT_NONE, CODES | BIAS },
    { K_BF16, K_I4, K_F32, K_ACT_NONE, ROTATED },
    { K_F32, K_W4A8, K_F32, K_ACT_NONE, CODES | BIAS },
    { K_BF16, K_W4A8, K_F32, K_ACT_NONE, CODES | GLU },
    { K_F32, K_W4A8, K_F32, K_ACT_NONE, ROTATED },
    { K_F32, K_W6A8, K_F32, K_ACT_NONE, CODES },
    { K_F32, K_W6A8, K_F32, K_ACT_NONE, 0 },
    { K_F32, K_U4, K_F32, K_ACT_NONE, BLOCKS },
    { K_BF16, K_U4, K_F32, K_ACT_NONE, BLOCKS | SIDE },
    { K_F32, K_NVFP4, K_F32, K_ACT_NONE, BLOCKS },
    { K_BF16, K_NVFP4, K_BF16, K_ACT_NONE, BLOCKS | BIAS },
    { K_F32, K_F8_E4M3, K_F32, K_ACT_NONE, BLOCKS },
    { K_F32, K_MXFP4, K_F32, K_ACT_NONE, BIAS },
    { K_F32, K_BF16, K_F32, K_ACT_SILU, SIDE | GLU | BIAS },
    { K_BF16, K_BF16, K_BF16, K_ACT_NONE, SIDE | GAPS },
    { K_F32, K_Q4_K, K_F32, K_ACT_NONE, SIDE | NORM | NORM_BF16 },
};
/* clang-format on */

enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    VARIANTS = sizeof variants / sizeof *variants,
};

static int64_t row_of(const LinearCase *c, int64_t m, int64_t k)
{
    int64_t block = k_dtype_block_elements(c->w);
    (void)m;
    return (k + block - 1) / block * block; /* K types lengthen a short k to one block */
}

/* Features of a rotated group for this k. */
static int64_t group_of(unsigned fields, int64_t k)
{
    int64_t group = 4;

    while (k % (4 * group) == 0 && (fields & WIDE_ROT || group < 16))
        group *= 4;
    return fields & (ROTATED | WIDE_ROT) ? group : 0;
}

/* What a case asks of its weight beyond the dtype. */
static void dress_weight(Scene *s, const LinearCase *c, KWeight *w)
{
    bool code = c->w == K_I4 || c->w == K_W4A8 || c->w == K_W6A8;
    int64_t block = c->fields & BLOCKS ? (c->w == K_F8_E4M3 ? 32 : 16) : 0;

    if (code || block || c->fields & (ROTATED | WIDE_ROT))
        scene_quant(s, w, block, group_of(c->fields, w->k));
    w->int8_x = (c->fields & CODES) != 0;
    if (c->fields & SIDE) scene_side(s, w, 1 + w->n % 37);
}

/* BF16: the products agree to float32, the 4e-3 is for norm rounding and the store. A rotated weight is turned
 * back by the reference and x is rotated by the others: each rounds to BF16 in its own basis. Where x is rotated
 * and then quantised, single codes may fall on the other side of a tie. */
static float tolerance(const LinearCase *c, bool bf16)
{
    bool rotated = (c->fields & (ROTATED | WIDE_ROT)) != 0;

    if (c->fields & CODES && (rotated || c->fields & NORM)) return 2e-2f;
    if (rotated && bf16) return 2e-2f;
    return bf16 ? (c->fields & SIDE ? 1e-2f : 4e-3f) : 6e-6f;
}

static void build(Scene *s, int index)
{
    const LinearCase *c = &variants[index / SHAPES];
    int64_t m = shapes[index % SHAPES][0], n = shapes[index % SHAPES][1];
    int64_t k = row_of(c, m, shapes[index % SHAPES][2]);
    int64_t out = c->fields & GLU ? n / 2 : n;
    int gap = c->fields & GAPS ? 5 : 0;
    KLinear *d = &s->d.linear;

    scene_name(s, "linear %lldx%lldx%lld %s*%s->%s act %d fields %#x", (long long)m,
               (long long)n, (long long)k, k_dtype_name(c->x), k_dtype_name(c->w),
               k_dtype_name(c->y), (int)c->act, c->fields);
    d->x = scene_matrix(s, c->x, gap, m, k);
    d->w = scene_weight(s, c->w, n, k, c->w == K_NF4 ? 32 : 0);
    d->y = scene_matrix(s, c->y, gap, m, out);
    d->act = c->act;
    d->glu = (c->fields & GLU) != 0;
    dress_weight(s, c, &d->w);
    if (c->fields & CAST) d->w.cast = K_F8_E4M3;
    if (c->fields & BIAS) d->bias = scene_vector(s, n);
    if (c->fields & GATE) d->gate = scene_vector(s, out);
    if (c->fields & RESIDUAL) d->residual = scene_matrix(s, K_F32, gap, m, out);
    if (c->fields & IN_PLACE) d->residual = d->y;
    if (c->fields & NORM) d->norm_scale = scene_vector(s, k);
    if (c->fields & SHIFT) d->norm_shift = scene_vector(s, k);
    d->norm_eps = 1e-6f;
    d->norm_bf16 = (c->fields & NORM) && (c->fields & NORM_BF16);
    scene_output(s, &d->y, tolerance(c, c->x == K_BF16 || d->norm_bf16));
}

static const Operand operands[] = {
    { offsetof(KLinear, x), false },         { offsetof(KLinear, y), false },
    { offsetof(KLinear, bias), true },       { offsetof(KLinear, gate), true },
    { offsetof(KLinear, residual), true },   { offsetof(KLinear, norm_scale), true },
    { offsetof(KLinear, norm_shift), true }, { SIZE_MAX, false },
};

const OpTest linear_test = { SHAPES * VARIANTS, build, operands, false };
