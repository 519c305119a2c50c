/* norm.c - norm_mod, layer_norm and rms_norm on vectors: one row per step, rows over threads. */
#include "kernels/cpu/vec.h"

#include "kernels/check.h"

/* Four vectors of partial sums, so that additions do not wait for each other. */
typedef struct Sums {
    vf part[4];
} Sums;

static float sums_total(const Sums *s)
{
    return v_sum((s->part[0] + s->part[1]) + (s->part[2] + s->part[3]));
}

static float row_mean(const float *x, int64_t n)
{
    Sums s = { { v_set1(0) } };
    int64_t c = 0;

    s.part[1] = s.part[2] = s.part[3] = s.part[0];
    for (; c + 4 * V_WIDTH <= n; c += 4 * V_WIDTH)
        for (int u = 0; u < 4; u++)
            s.part[u] += v_load(x + c + u * V_WIDTH);
    for (; c < n; c += V_WIDTH)
        s.part[0] += n - c >= V_WIDTH ? v_load(x + c) : v_load_n(x + c, n - c);
    return sums_total(&s) / (float)n;
}

/* Sum of (x - mean)^2 over n elements from `at` on. Zeros that fill the last vector are not counted. */
static float row_squares(const KView *x, int64_t at, int64_t n, float mean)
{
    vf m = v_set1(mean);
    Sums s = { { v_set1(0) } };
    int64_t c = 0;

    s.part[1] = s.part[2] = s.part[3] = s.part[0];
    for (; c + 4 * V_WIDTH <= n; c += 4 * V_WIDTH)
        for (int u = 0; u < 4; u++) {
            vf v = v_get(x, at + c + u * V_WIDTH, V_WIDTH) - m;
            s.part[u] = v_fma(v, v, s.part[u]);
        }
    for (; c + V_WIDTH <= n; c += V_WIDTH) {
        vf v = v_get(x, at + c, V_WIDTH) - m;
        s.part[0] = v_fma(v, v, s.part[0]);
    }
    float sum = sums_total(&s);
    for (; c < n; c++)
        sum += (k_get(x, at + c) - mean) * (k_get(x, at + c) - mean);
    return sum;
}

static float inverse_root(float squares, int64_t n, float eps)
{
    return 1.0f / sqrtf(squares / (float)n + eps);
}

/* What norm_mod and layer_norm share: y = (x - mean) / deviation * (plus + mul) + add. */
typedef struct RowNorm {
    const KView *x, *mul, *add, *y;
    float plus, mul_absent, eps;
} RowNorm;

typedef struct RowMoments {
    float mean, inverse; /* 1/deviation */
} RowMoments;

static inline void normalise_at(const RowNorm *r, RowMoments m, int64_t i, int64_t c, int64_t n)
{
    vf v = (v_get(r->x, i * r->x->stride[0] + c, n) - v_set1(m.mean)) * v_set1(m.inverse);
    vf mul = v_get_or(r->mul, c, n, r->mul_absent) + v_set1(r->plus);
    v_put(r->y, i * r->y->stride[0] + c, n, v_fma(v, mul, v_get_or(r->add, c, n, 0)));
}

static void normalise_row(const RowNorm *r, int64_t i)
{
    int64_t n = r->x->shape[1], at = i * r->x->stride[0], c = 0;
    RowMoments m;

    m.mean = row_mean((const float *)r->x->data + at, n);
    m.inverse = inverse_root(row_squares(r->x, at, n, m.mean), n, r->eps);
    for (; c + V_WIDTH <= n; c += V_WIDTH)
        normalise_at(r, m, i, c, V_WIDTH);
    if (c < n) normalise_at(r, m, i, c, n - c);
}

static void normalise(const KContext *ctx, const RowNorm *r)
{
    int64_t rows = r->x->shape[0];

#pragma omp parallel for num_threads(ctx->threads) if (rows * r->x->shape[1] > V_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++)
        normalise_row(r, i);
}

KResult CPU_FN(norm_mod)(KContext *ctx, const KNormMod *d)
{
    K_TRY(k_check_norm_mod(d));
    const RowNorm r = { &d->x, &d->scale, &d->shift, &d->y, 1, 0, d->eps };
    normalise(ctx, &r);
    return K_OK;
}

KResult CPU_FN(layer_norm)(KContext *ctx, const KLayerNorm *d)
{
    K_TRY(k_check_layer_norm(d));
    const RowNorm r = { &d->x, &d->weight, &d->bias, &d->y, 0, 1, d->eps };
    normalise(ctx, &r);
    return K_OK;
}

static inline void rms_at(const KRmsNorm *d, float inverse, int64_t i, int64_t c, int64_t n)
{
    vf v = v_get(&d->x, i * d->x.stride[0] + c, n) * v_set1(inverse);
    v_put(&d->y, i * d->y.stride[0] + c, n, v * v_get(&d->weight, c, n));
}

static void rms_row(const KRmsNorm *d, int64_t i)
{
    int64_t n = d->x.shape[1], at = i * d->x.stride[0], c = 0;
    float inverse = inverse_root(row_squares(&d->x, at, n, 0), n, d->eps);

    for (; c + V_WIDTH <= n; c += V_WIDTH)
        rms_at(d, inverse, i, c, V_WIDTH);
    if (c < n) rms_at(d, inverse, i, c, n - c);
}

KResult CPU_FN(rms_norm)(KContext *ctx, const KRmsNorm *d)
{
    K_TRY(k_check_rms_norm(d));
    int64_t rows = d->x.shape[0];

#pragma omp parallel for num_threads(ctx->threads) if (rows * d->x.shape[1] > V_PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++)
        rms_row(d, i);
    return K_OK;
}
