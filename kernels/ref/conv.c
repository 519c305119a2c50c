/* conv.c - reference of KConv: the prologue into scratch, then a direct convolution. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

/* The input after its prologue as float32 [h, w, cin], then one decoded filter. */
size_t ref_conv_scratch(const KContext *ctx, const KConv *d)
{
    (void)ctx;
    int64_t input = d->x.shape[0] * d->x.shape[1] * d->x.shape[2];
    return (size_t)(input + d->w.k) * sizeof(float);
}

static void prologue(const KConv *d, float *in)
{
    for (int64_t r = 0; r < d->x.shape[0]; r++)
        for (int64_t s = 0; s < d->x.shape[1]; s++)
            for (int64_t c = 0; c < d->x.shape[2]; c++) {
                float v = k_get(&d->x, r * d->x.stride[0] + s * d->x.stride[1] + c);
                v = v * k_get_or(&d->in_mul, c, 1.0f) + k_get_or(&d->in_add, c, 0.0f);
                if (d->in_silu) v = k_activate(K_ACT_SILU, v);
                *in++ = d->x.dtype == K_BF16 ? k_f32_as_bf16(v) : v;
            }
}

/* Sum over the filter of one output position (oy, ox). */
static float filter_at(const KConv *d, const float *in, const float *filter, int64_t oy,
                       int64_t ox)
{
    int64_t up = d->up == 2 ? 2 : 1, cin = d->x.shape[2];
    int64_t height = d->x.shape[0] * up, width = d->x.shape[1] * up;
    double sum = 0.0;

    for (int ky = 0; ky < d->kh; ky++)
        for (int kx = 0; kx < d->kw; kx++) {
            int64_t r = oy * d->stride + ky - d->pad_top, s = ox * d->stride + kx - d->pad_left;
            if (r < 0 || r >= height || s < 0 || s >= width) continue;
            const float *pixel = in + (r / up * d->x.shape[1] + s / up) * cin;
            for (int64_t c = 0; c < cin; c++)
                sum += (double)pixel[c] * (double)filter[(c * d->kh + ky) * d->kw + kx];
        }
    return (float)sum;
}

static void output_channel(const KConv *d, const float *in, const float *filter, int64_t o)
{
    for (int64_t oy = 0; oy < d->y.shape[0]; oy++)
        for (int64_t ox = 0; ox < d->y.shape[1]; ox++) {
            float v = filter_at(d, in, filter, oy, ox) + k_get_or(&d->bias, o, 0.0f);
            const KView *r = &d->residual;
            if (r->data) v += k_get(r, oy * r->stride[0] + ox * r->stride[1] + o);
            k_put(&d->y, oy * d->y.stride[0] + ox * d->y.stride[1] + o, v);
        }
}

KResult ref_conv(KContext *ctx, const KConv *d)
{
    K_TRY(k_check_conv(d));
    float *in = k_scratch(ctx, ref_conv_scratch(ctx, d));
    if (!in) return K_NO_SCRATCH;
    float *filter = in + d->x.shape[0] * d->x.shape[1] * d->x.shape[2];

    prologue(d, in);
    for (int64_t o = 0; o < d->w.n; o++) {
        K_TRY(k_weight_row(&d->w, o, 0, d->w.k, filter));
        for (int64_t c = 0; d->x.dtype == K_BF16 && c < d->w.k; c++)
            filter[c] = k_f32_as_bf16(filter[c]);
        output_channel(d, in, filter, o);
    }
    return K_OK;
}
