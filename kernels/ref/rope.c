/* rope.c - reference of KRope. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding". */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

/* 1/rms of one head vector, 1 when there is no norm. */
static float head_scale(const KRope *d, int64_t at)
{
    int64_t n = d->x.shape[2];
    double squares = 0.0;

    if (!d->weight.data) return 1.0f;
    for (int64_t c = 0; c < n; c++)
        squares += (double)k_get(&d->x, at + c) * (double)k_get(&d->x, at + c);
    return (float)(1.0 / sqrt(squares / (double)n + (double)d->eps));
}

static float normed(const KRope *d, int64_t at, int64_t c, float scale)
{
    return k_get(&d->x, at + c) * scale * k_get_or(&d->weight, c, 1.0f);
}

static void rotate_head(const KRope *d, int64_t token, int64_t x_at, int64_t y_at)
{
    int64_t pairs = d->x.shape[2] / 2;
    float scale = head_scale(d, x_at);

    for (int64_t i = 0; i < pairs; i++) {
        int64_t first = d->half ? i : 2 * i, second = d->half ? i + pairs : 2 * i + 1;
        float a = normed(d, x_at, first, scale), b = normed(d, x_at, second, scale);
        const float *cs = (const float *)d->cs.data + token * d->cs.stride[0] + 2 * i;
        k_put(&d->y, y_at + first, a * cs[0] - b * cs[1]);
        k_put(&d->y, y_at + second, a * cs[1] + b * cs[0]);
    }
}

static void norm_head(const KRope *d, int64_t x_at, int64_t y_at)
{
    float scale = head_scale(d, x_at);

    for (int64_t c = 0; c < d->x.shape[2]; c++)
        k_put(&d->y, y_at + c, normed(d, x_at, c, scale));
}

KResult ref_rope(KContext *ctx, const KRope *d)
{
    (void)ctx;
    K_TRY(k_check_rope(d));
    for (int64_t t = 0; t < d->x.shape[0]; t++) {
        for (int64_t h = 0; h < d->x.shape[1]; h++) {
            int64_t x_at = t * d->x.stride[0] + h * d->x.stride[1];
            int64_t y_at = t * d->y.stride[0] + h * d->y.stride[1];
            if (d->cs.data)
                rotate_head(d, t, x_at, y_at);
            else
                norm_head(d, x_at, y_at);
        }
    }
    return K_OK;
}
