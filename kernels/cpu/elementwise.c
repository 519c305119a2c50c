/* elementwise.c - glu, unary, add and affine on vectors: rows over threads. */
#include "kernels/cpu/vec.h"

#include "kernels/check.h"

/* Each <op>_at makes up to V_WIDTH elements; the rows call it with V_WIDTH as a constant and once more
 * for what is left, so that the long loop holds no test of the length. */
static inline void glu_at(const KGlu *d, int64_t i, int64_t c, int64_t n)
{
    vf gate = v_activate(d->act, v_get(&d->gate, i * d->gate.stride[0] + c, n));
    vf value = v_get(&d->value, i * d->value.stride[0] + c, n);
    v_put(&d->y, i * d->y.stride[0] + c, n, gate * value);
}

static void glu_row(const KGlu *d, int64_t i)
{
    int64_t c = 0, n = d->y.shape[1];

    for (; c + V_WIDTH <= n; c += V_WIDTH)
        glu_at(d, i, c, V_WIDTH);
    if (c < n) glu_at(d, i, c, n - c);
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

static inline void unary_at(const KUnary *d, int64_t i, int64_t c, int64_t n)
{
    vf v = v_get(&d->x, i * d->x.stride[0] + c, n);
    v_put(&d->y, i * d->y.stride[0] + c, n, v_activate(d->act, v));
}

static void unary_row(const KUnary *d, int64_t i)
{
    int64_t c = 0, n = d->y.shape[1];

    for (; c + V_WIDTH <= n; c += V_WIDTH)
        unary_at(d, i, c, V_WIDTH);
    if (c < n) unary_at(d, i, c, n - c);
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

static inline void add_at(const KAdd *d, int64_t i, int64_t c, int64_t n)
{
    vf v = v_get(&d->b, i * d->b.stride[0] + c, n) * v_get_or(&d->gate, c, n, 1);
    v_put(&d->y, i * d->y.stride[0] + c, n, v_get(&d->a, i * d->a.stride[0] + c, n) + v);
}

static void add_row(const KAdd *d, int64_t i)
{
    int64_t c = 0, n = d->y.shape[1];

    for (; c + V_WIDTH <= n; c += V_WIDTH)
        add_at(d, i, c, V_WIDTH);
    if (c < n) add_at(d, i, c, n - c);
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

static inline void affine_at(const KAffine *d, int64_t i, int64_t c, int64_t n)
{
    vf v = v_get(&d->x, i * d->x.stride[0] + c, n) * v_get_or(&d->mul, c, n, 1);

    v = v + v_get_or(&d->add, c, n, 0);
    if (d->lo < d->hi) v = v_min(v_set1(d->hi), v_max(v_set1(d->lo), v));
    v_put(&d->y, i * d->y.stride[0] + c, n, v_activate(d->act, v));
}

static void affine_row(const KAffine *d, int64_t i)
{
    int64_t c = 0, n = d->y.shape[1];

    for (; c + V_WIDTH <= n; c += V_WIDTH)
        affine_at(d, i, c, V_WIDTH);
    if (c < n) affine_at(d, i, c, n - c);
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
