/* ops_conv.c - cases of conv and group_stats. */
#include <stddef.h>

#include "tests/kernels/ops.h"

enum {
    BIAS = 1,
    MUL_ADD = 2, /* prologue: affine */
    SILU = 4,
    RESIDUAL = 8,
    IN_PLACE = 16,
    GAPS = 32,
};

typedef struct ConvShape {
    int64_t h, w, cin, cout;
    int kernel, stride, up, pad[4]; /* top, left, bottom, right */
} ConvShape;

/* clang-format off */
static const ConvShape shapes[] = {
    { 1, 1, 4, 8, 1, 1, 1, { 0, 0, 0, 0 } },
    { 7, 5, 3, 16, 3, 1, 1, { 1, 1, 1, 1 } },
    { 9, 12, 16, 3, 3, 1, 1, { 1, 1, 1, 1 } },
    { 8, 8, 32, 33, 3, 1, 1, { 1, 1, 1, 1 } },
    { 9, 8, 16, 16, 3, 2, 1, { 0, 0, 1, 1 } },
    { 5, 6, 8, 24, 3, 1, 2, { 1, 1, 1, 1 } },
    { 6, 7, 40, 64, 1, 1, 1, { 0, 0, 0, 0 } },
    { 13, 3, 5, 7, 5, 3, 1, { 2, 2, 2, 2 } },
    { 33, 20, 17, 20, 3, 1, 1, { 1, 1, 1, 1 } },
    { 16, 16, 64, 64, 3, 1, 1, { 1, 1, 1, 1 } },
    { 28, 28, 3, 20, 14, 14, 1, { 0, 0, 0, 0 } },
};

typedef struct ConvCase {
    KDtype x, w, y;
    unsigned fields;
} ConvCase;

static const ConvCase variants[] = {
    { K_F32, K_F32, K_F32, 0 },
    { K_F32, K_F32, K_F32, BIAS | GAPS },
    { K_F32, K_BF16, K_F32, BIAS | MUL_ADD | SILU },
    { K_F32, K_F16, K_F32, BIAS | MUL_ADD | RESIDUAL },
    { K_F32, K_F32, K_BF16, SILU | RESIDUAL | IN_PLACE },
    { K_BF16, K_BF16, K_BF16, BIAS },
    { K_BF16, K_F32, K_F32, BIAS | MUL_ADD | SILU | GAPS },
    { K_BF16, K_BF16, K_BF16, BIAS | MUL_ADD | SILU | RESIDUAL | IN_PLACE },
    { K_BF16, K_F8_E4M3, K_F32, BIAS | RESIDUAL },
};
/* clang-format on */

enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    VARIANTS = sizeof variants / sizeof *variants,
};

static void fill_conv(KConv *d, const ConvShape *z)
{
    d->kh = d->kw = z->kernel;
    d->stride = z->stride;
    d->up = z->up;
    d->pad_top = z->pad[0];
    d->pad_left = z->pad[1];
    d->pad_bottom = z->pad[2];
    d->pad_right = z->pad[3];
}

static void build_conv(Scene *s, int index)
{
    const ConvShape *z = &shapes[index % SHAPES];
    const ConvCase *c = &variants[index / SHAPES];
    int64_t ho = (z->h * z->up + z->pad[0] + z->pad[2] - z->kernel) / z->stride + 1;
    int64_t wo = (z->w * z->up + z->pad[1] + z->pad[3] - z->kernel) / z->stride + 1;
    int gap = c->fields & GAPS ? 7 : 0;
    KConv *d = &s->d.conv;

    scene_name(s, "conv %lldx%lldx%lld->%lld kernel %d stride %d up %d %s*%s->%s fields %#x",
               (long long)z->h, (long long)z->w, (long long)z->cin, (long long)z->cout,
               z->kernel, z->stride, z->up, k_dtype_name(c->x), k_dtype_name(c->w),
               k_dtype_name(c->y), c->fields);
    fill_conv(d, z);
    d->x = scene_cube(s, c->x, gap, z->h, z->w, z->cin);
    d->w = scene_weight(s, c->w, z->cout, z->cin * z->kernel * z->kernel, 0);
    d->y = scene_cube(s, c->y, gap, ho, wo, z->cout);
    if (c->fields & BIAS) d->bias = scene_vector(s, z->cout);
    if (c->fields & MUL_ADD) d->in_mul = scene_vector(s, z->cin);
    if (c->fields & MUL_ADD) d->in_add = scene_vector(s, z->cin);
    d->in_silu = (c->fields & SILU) != 0;
    if (c->fields & RESIDUAL) d->residual = scene_cube(s, c->y, gap, ho, wo, z->cout);
    if (c->fields & IN_PLACE) d->residual = d->y;
    scene_output(s, &d->y, c->x == K_BF16 ? 4e-3f : 1e-5f);
}

static const Operand conv_operands[] = {
    { offsetof(KConv, x), false },
    { offsetof(KConv, y), false },
    { offsetof(KConv, bias), true },
    { offsetof(KConv, in_mul), true },
    { offsetof(KConv, in_add), true },
    { offsetof(KConv, residual), true },
    { SIZE_MAX, false },
};

const OpTest conv_test = { SHAPES * VARIANTS, build_conv, conv_operands, false };

/* ---- group_stats ------------------------------------------------------------------------------------ */

/* positions, channels, groups */
static const int64_t stats_shapes[][3] = {
    { 1, 8, 2 },     { 35, 32, 32 },   { 64, 48, 3 },     { 100, 4, 1 },
    { 257, 96, 32 }, { 1000, 64, 32 }, { 4097, 128, 32 }, { 77, 512, 32 },
};

enum { STATS_SHAPES = sizeof stats_shapes / sizeof *stats_shapes };

static void build_stats(Scene *s, int index)
{
    const int64_t *z = stats_shapes[index / 4];
    KGroupStats *d = &s->d.group_stats;
    KDtype t = index % 2 ? K_BF16 : K_F32;
    int gap = index % 4 > 1 ? 3 : 0;

    scene_name(s, "group_stats [%lld, %lld] groups %lld %s gap %d", (long long)z[0],
               (long long)z[1], (long long)z[2], k_dtype_name(t), gap);
    d->x = scene_matrix(s, t, gap, z[0], z[1]);
    d->weight = scene_vector(s, z[1]);
    d->bias = scene_vector(s, z[1]);
    d->mul = scene_vector(s, z[1]);
    d->add = scene_vector(s, z[1]);
    d->groups = (int)z[2];
    d->eps = 1e-6f;
    scene_output(s, &d->mul, 1e-6f);
    scene_output(s, &d->add, 1e-6f);
}

static const Operand stats_operands[] = {
    { offsetof(KGroupStats, x), false },    { offsetof(KGroupStats, weight), false },
    { offsetof(KGroupStats, bias), false }, { offsetof(KGroupStats, mul), false },
    { offsetof(KGroupStats, add), false },  { SIZE_MAX, false },
};

const OpTest group_stats_test = { STATS_SHAPES * 4, build_stats, stats_operands, false };
