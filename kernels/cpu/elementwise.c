/* elementwise.c - glu, unary, add, affine and embed on vectors: rows over threads. */
#include "kernels/cpu/vec.h"

#include "kernels/check.h"

static void glu_row(const KGlu *d, int64_t i)
{
    int64_t gate = i * d->gate.stride[0], value = i * d->value.stride[0],
            y = i * d->y.stride[0];

    for (int64_t c = 0, n = d->y.shape[1]; c < n; c += V_WIDTH) {
        vf g = v_activate(d->act, v_get(&d->gate, gate + c, n - c));
        v_put(&d->y, y + c, n - c, g * v_get(&d->value, value + c, n - c));
    }
}

KResult CPU_FN(glu)(KContext *ctx, const KGlu *d)
{
    K_TRY(k_check_glu(d));
    int64_t rows = d->y.shape[0];

#pragma omp parallel for num_threads(ctx->threads) if (rows * d->y.shape[1] > V_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++)
        glu_row(d, i);
    return K_OK;
}

static void unary_row(const KUnary *d, int64_t i)
{
    int64_t x = i * d->x.stride[0], y = i * d->y.stride[0];

    for (int64_t c = 0, n = d->y.shape[1]; c < n; c += V_WIDTH)
        v_put(&d->y, y + c, n - c, v_activate(d->act, v_get(&d->x, x + c, n - c)));
}

KResult CPU_FN(unary)(KContext *ctx, const KUnary *d)
{
    K_TRY(k_check_unary(d));
    int64_t rows = d->y.shape[0];

#pragma omp parallel for num_threads(ctx->threads) if (rows * d->y.shape[1] > V_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++)
        unary_row(d, i);
    return K_OK;
}

static void add_row(const KAdd *d, int64_t i)
{
    int64_t a = i * d->a.stride[0], b = i * d->b.stride[0], y = i * d->y.stride[0];

    for (int64_t c = 0, n = d->y.shape[1]; c < n; c += V_WIDTH) {
        vf v = v_get(&d->b, b + c, n - c) * v_get_or(&d->gate, c, n - c, 1);
        v_put(&d->y, y + c, n - c, v_get(&d->a, a + c, n - c) + v);
    }
}

KResult CPU_FN(add)(KContext *ctx, const KAdd *d)
{
    K_TRY(k_check_add(d));
    int64_t rows = d->y.shape[0];

#pragma omp parallel for num_threads(ctx->threads) if (rows * d->y.shape[1] > V_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++)
        add_row(d, i);
    return K_OK;
}

static void affine_row(const KAffine *d, int64_t i)
{
    int64_t x = i * d->x.stride[0], y = i * d->y.stride[0];
    vf lo = v_set1(d->lo), hi = v_set1(d->hi);
    bool clamp = d->lo < d->hi;

    for (int64_t c = 0, n = d->y.shape[1]; c < n; c += V_WIDTH) {
        vf v = v_get(&d->x, x + c, n - c) * v_get_or(&d->mul, c, n - c, 1);
        v = v + v_get_or(&d->add, c, n - c, 0);
        if (clamp) v = v_min(hi, v_max(lo, v));
        v_put(&d->y, y + c, n - c, v_activate(d->act, v));
    }
}

KResult CPU_FN(affine)(KContext *ctx, const KAffine *d)
{
    K_TRY(k_check_affine(d));
    int64_t rows = d->y.shape[0];

#pragma omp parallel for num_threads(ctx->threads) if (rows * d->y.shape[1] > V_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++)
        affine_row(d, i);
    return K_OK;
}

KResult CPU_FN(embed)(KContext *ctx, const KEmbed *d)
{
    K_TRY(k_check_embed(d));
    const int32_t *ids = d->ids.data;
    int64_t rows = d->ids.shape[0];
    float *y = d->y.data;

    if (rows < 1) return K_OK;
    K_TRY(k_weight_row(&d->w, ids[0], 0, d->w.k,
                       y)); /* a dtype that nothing decodes fails here */
#pragma omp parallel for num_threads(ctx->threads) if (rows * d->w.k > V_PARALLEL_FROM)
    for (int64_t i = 1; i < rows; i++)
        k_weight_row(&d->w, ids[i], 0, d->w.k, y + i * d->y.stride[0]);
    return K_OK;
}
