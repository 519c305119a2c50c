/* linear.c - reference of KLinear: one weight row at a time against every row of x. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

/* Scratch: two decoded weight rows (the second for the value half of a GLU), then mean and 1/deviation
 * of every row of x for the prologue. */
size_t ref_linear_scratch(const KContext *ctx, const KLinear *d)
{
    (void)ctx;
    return (size_t)(2 * d->w.k + 2 * d->x.shape[0]) * sizeof(float);
}

static void row_statistics(const KLinear *d, float *stats)
{
    for (int64_t i = 0; i < d->x.shape[0]; i++) {
        const float *x = (const float *)d->x.data + i * d->x.stride[0];
        double sum = 0.0, squares = 0.0;
        for (int64_t c = 0; c < d->w.k; c++)
            sum += (double)x[c];
        double mean = sum / (double)d->w.k;
        for (int64_t c = 0; c < d->w.k; c++)
            squares += ((double)x[c] - mean) * ((double)x[c] - mean);
        stats[2 * i] = (float)mean;
        stats[2 * i + 1] = (float)(1.0 / sqrt(squares / (double)d->w.k + (double)d->norm_eps));
    }
}

/* What the product takes at column c of row i: x, or its normalised and modulated form. */
static float input_at(const KLinear *d, const float *stats, int64_t i, int64_t c)
{
    float v = k_get(&d->x, i * d->x.stride[0] + c);

    if (!d->norm_scale.data) return v;
    v = (v - stats[2 * i]) * stats[2 * i + 1];
    v = v * (1.0f + k_get_or(&d->norm_scale, c, 0.0f)) + k_get_or(&d->norm_shift, c, 0.0f);
    return d->norm_bf16 ? k_f32_as_bf16(v) : v;
}

static float product(const KLinear *d, const float *stats, int64_t i, const float *w,
                     int64_t row)
{
    double sum = 0.0;

    for (int64_t c = 0; c < d->w.k; c++)
        sum += (double)input_at(d, stats, i, c) * (double)w[c];
    return (float)sum + k_get_or(&d->bias, row, 0.0f);
}

/* Row `row` of the weight; rounded to BF16 where the products are BF16 products. */
static KResult weight_row(const KLinear *d, int64_t row, float *w)
{
    bool bf16 = d->x.dtype == K_BF16 || (d->norm_scale.data && d->norm_bf16);

    K_TRY(k_weight_row(&d->w, row, 0, d->w.k, w));
    for (int64_t c = 0; bf16 && c < d->w.k; c++)
        w[c] = k_f32_as_bf16(w[c]);
    return K_OK;
}

static void output_column(const KLinear *d, const float *stats, const float *w, int64_t j)
{
    int64_t outputs = d->y.shape[1];

    for (int64_t i = 0; i < d->x.shape[0]; i++) {
        float v = k_activate(d->act, product(d, stats, i, w, j));
        if (d->glu) v *= product(d, stats, i, w + d->w.k, outputs + j);
        v *= k_get_or(&d->gate, j, 1.0f);
        if (d->residual.data) v += k_get(&d->residual, i * d->residual.stride[0] + j);
        k_put(&d->y, i * d->y.stride[0] + j, v);
    }
}

KResult ref_linear(KContext *ctx, const KLinear *d)
{
    K_TRY(k_check_linear(d));
    float *w = k_scratch(ctx, ref_linear_scratch(ctx, d));
    if (!w) return K_NO_SCRATCH;
    float *stats = w + 2 * d->w.k;

    /* The only failure of decoding is a dtype without decoder: met at the first row or never. */
    if (d->norm_scale.data) row_statistics(d, stats);
    for (int64_t j = 0; j < d->y.shape[1]; j++) {
        K_TRY(weight_row(d, j, w));
        if (d->glu) K_TRY(weight_row(d, d->y.shape[1] + j, w + d->w.k));
        output_column(d, stats, w, j);
    }
    return K_OK;
}
