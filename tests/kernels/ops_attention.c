/* ops_attention.c - cases of attention: grouped heads, masks, biases, odd lengths. */
#include <math.h>
#include <stddef.h>

#include "tests/kernels/ops.h"

enum {
    BIAS = 1,
    CAUSAL = 2,
    PADDED = 4,     /* keys_valid cuts the last third */
    GAPS = 8,       /* heads lie apart, as in a window of q|k|v */
    MASK_BIAS = 16, /* bias has -infinity; one query sees nothing */
    WIDE = 32,      /* large scores */
};

/* tq, tk, heads, kv_heads, d */
static const int64_t shapes[][5] = {
    { 1, 1, 1, 1, 8 },      { 1, 70, 2, 2, 64 },    { 5, 7, 4, 2, 32 },
    { 33, 33, 3, 3, 40 },   { 65, 65, 2, 1, 128 },  { 17, 130, 4, 1, 64 },
    { 130, 130, 2, 2, 64 }, { 20, 257, 1, 1, 128 }, { 257, 257, 1, 1, 16 },
    { 40, 40, 1, 1, 512 },  { 77, 77, 3, 1, 24 },
};

static const unsigned variants[] = {
    0,
    GAPS,
    BIAS,
    CAUSAL,
    PADDED,
    CAUSAL | PADDED | GAPS,
    BIAS | CAUSAL | PADDED,
    BIAS | MASK_BIAS,
    WIDE | GAPS,
};

enum {
    SHAPES = sizeof shapes / sizeof *shapes,
    VARIANTS = sizeof variants / sizeof *variants,
};

/* Masks every fifth score, and all scores of query 0 of head 0. */
static void mask_bias(KView *bias)
{
    float *p = bias->data;

    for (int64_t i = 0, n = k_view_count(bias); i < n; i++)
        if (i % 5 == 0 || i < bias->shape[2]) p[view_offset(bias, i) / sizeof *p] = -INFINITY;
}

static void build(Scene *s, int index)
{
    const int64_t *z = shapes[index % SHAPES];
    unsigned fields = variants[index / SHAPES % VARIANTS];
    KDtype t = index / SHAPES / VARIANTS ? K_BF16 : K_F32;
    int gap = fields & GAPS ? 16 : 0;
    KAttention *d = &s->d.attention;

    scene_name(s, "attention tq %lld tk %lld heads %lld/%lld d %lld %s fields %#x",
               (long long)z[0], (long long)z[1], (long long)z[2], (long long)z[3],
               (long long)z[4], k_dtype_name(t), fields);
    d->q = scene_cube(s, t, gap, z[0], z[2], z[4]);
    d->k = scene_cube(s, t, gap, z[1], z[3], z[4]);
    d->v = scene_cube(s, t, gap, z[1], z[3], z[4]);
    d->y = scene_cube(s, index % 3 ? t : K_F32, gap, z[0], z[2], z[4]);
    if (fields & BIAS) d->bias = scene_cube(s, K_F32, 0, z[2], z[0], z[1]);
    if (fields & MASK_BIAS) mask_bias(&d->bias);
    d->scale = (fields & WIDE ? 20.0f : 1.0f) / sqrtf((float)z[4]);
    d->causal = (fields & CAUSAL) != 0;
    d->keys_valid = fields & PADDED ? (z[1] * 2 + 2) / 3 : 0;
    /* An error of a float32 score is an error of the same size, relative, in its weight. */
    scene_output(s, &d->y, t == K_BF16 ? 8e-3f : fields & WIDE ? 4e-5f : 1e-5f);
}

static const Operand operands[] = {
    { offsetof(KAttention, q), false },   { offsetof(KAttention, k), false },
    { offsetof(KAttention, v), false },   { offsetof(KAttention, y), false },
    { offsetof(KAttention, bias), true }, { SIZE_MAX, false },
};

const OpTest attention_test = { SHAPES * VARIANTS * 2, build, operands, false };
