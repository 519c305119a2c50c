/* attention.c - reference of KAttention: one query of one head at a time, its scores in scratch. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

/* One row of scores. */
size_t ref_attention_scratch(const KContext *ctx, const KAttention *d)
{
    (void)ctx;
    return (size_t)d->k.shape[0] * sizeof(float);
}

static float score(const KAttention *d, int64_t i, int64_t j, int64_t h)
{
    int64_t heads_per_key = d->q.shape[1] / d->k.shape[1];
    int64_t q_at = i * d->q.stride[0] + h * d->q.stride[1];
    int64_t k_at = j * d->k.stride[0] + h / heads_per_key * d->k.stride[1];
    double sum = 0.0;

    if (d->causal && j > i) return -INFINITY;
    if (d->keys_valid && j >= d->keys_valid) return -INFINITY;
    for (int64_t c = 0; c < d->q.shape[2]; c++)
        sum += (double)k_get(&d->q, q_at + c) * (double)k_get(&d->k, k_at + c);
    float s = (float)sum * d->scale;
    if (d->bias.data) s += k_get(&d->bias, h * d->bias.stride[0] + i * d->bias.stride[1] + j);
    return s;
}

/* Turns scores into exp(score - max); returns their sum. All -infinity: every key weighs the same. */
static float exponentials(float *s, int64_t n)
{
    float max = -INFINITY;
    double sum = 0.0;

    for (int64_t j = 0; j < n; j++)
        max = s[j] > max ? s[j] : max;
    for (int64_t j = 0; j < n; j++) {
        s[j] = max == -INFINITY ? 1.0f : expf(s[j] - max);
        sum += (double)s[j];
    }
    return (float)sum;
}

static void weigh_values(const KAttention *d, const float *p, float sum, int64_t i, int64_t h)
{
    int64_t heads_per_key = d->q.shape[1] / d->k.shape[1];
    int64_t y_at = i * d->y.stride[0] + h * d->y.stride[1];

    for (int64_t c = 0; c < d->q.shape[2]; c++) {
        double acc = 0.0;
        for (int64_t j = 0; j < d->k.shape[0]; j++) {
            int64_t v_at = j * d->v.stride[0] + h / heads_per_key * d->v.stride[1];
            float weight = d->v.dtype == K_BF16 ? k_f32_as_bf16(p[j]) : p[j];
            acc += (double)weight * (double)k_get(&d->v, v_at + c);
        }
        k_put(&d->y, y_at + c, (float)acc / sum);
    }
}

KResult ref_attention(KContext *ctx, const KAttention *d)
{
    K_TRY(k_check_attention(d));
    int64_t tk = d->k.shape[0];
    float *p = k_scratch(ctx, ref_attention_scratch(ctx, d));
    if (!p) return K_NO_SCRATCH;

    for (int64_t h = 0; h < d->q.shape[1]; h++) {
        for (int64_t i = 0; i < d->q.shape[0]; i++) {
            for (int64_t j = 0; j < tk; j++)
                p[j] = score(d, i, j, h);
            float sum = exponentials(p, tk);
            weigh_values(d, p, sum, i, h);
        }
    }
    return K_OK;
}
