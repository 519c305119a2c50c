/* latent.c - the LATENT value, and what must be true of it before a model may sample on it. */
#include "engine/sampling/latent.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"

static void latent_destroy(void *object)
{
    Latent *l = object;
    tensor_unref(l->samples);
    tensor_unref(l->noise_mask);
    mem_free(l->batch_index);
    mem_free(l);
}

Status latent_new(Tensor *samples, Latent **out, Error *err)
{
    Latent *l = mem_calloc(1, sizeof *l);
    if (!l) {
        tensor_unref(samples);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_init(&l->ref, latent_destroy);
    l->samples = samples;
    *out = l;
    return OK;
}

Status latent_new_empty(int64_t batch, int channels, int64_t height, int64_t width,
                        int downscale, Latent **out, Error *err)
{
    int64_t shape[4] = { batch, channels, height / downscale, width / downscale };
    Tensor *t;

    TRY(tensor_zeros(K_F32, 4, shape, &t, err));
    TRY(latent_new(t, out, err));
    (*out)->downscale = downscale;
    return OK;
}

Status latent_with_samples(const Latent *l, Tensor *samples, Latent **out, Error *err)
{
    Status status = OK;
    Latent *n = NULL;

    TRY(latent_new(samples, &n, err));
    n->noise_mask = tensor_ref(l->noise_mask);
    if (l->batch_index)
        TRY_DONE(latent_set_batch_index(n, l->batch_index, l->batch_count, err));
    *out = n;
    return OK;
done:
    latent_unref(n);
    return status;
}

Status latent_copy(const Latent *l, Latent **out, Error *err)
{
    TRY(latent_with_samples(l, tensor_ref(l->samples), out, err));
    (*out)->downscale = l->downscale;
    return OK;
}

void latent_set_mask(Latent *l, Tensor *mask)
{
    tensor_unref(l->noise_mask);
    l->noise_mask = mask;
}

Status latent_set_batch_index(Latent *l, const int64_t *index, int64_t count, Error *err)
{
    int64_t *copy = count ? mem_alloc_array((size_t)count, sizeof *copy) : NULL;
    if (count && !copy) return error_set(err, E_NOMEM, "out of memory");
    if (count) memcpy(copy, index, (size_t)count * sizeof *copy);
    mem_free(l->batch_index);
    l->batch_index = copy;
    l->batch_count = count;
    return OK;
}

/* ---- for a model ----------------------------------------------------------------------------- */

bool latent_is_zero(const Tensor *x)
{
    const float *p = tensor_f32(x);
    int64_t n = tensor_count(x);

    for (int64_t i = 0; i < n; i++)
        if (p[i] != 0.0f) return false;
    return true;
}

static int64_t scaled_side(int64_t side, const Latent *l, const LatentFormat *f)
{
    return (int64_t)rint((double)side * ((double)l->downscale / f->downscale));
}

Status latent_fix(const Latent *l, const LatentFormat *f, Tensor **out, Error *err)
{
    const Tensor *s = l->samples;
    char shape_text[96];

    if (s->ndim != 4 || s->dtype != K_F32) {
        tensor_describe(s, shape_text, sizeof shape_text);
        return error_set(err, E_SHAPE, "the latent is %s; [B,C,h,w] F32 is needed", shape_text);
    }
    bool resize = l->downscale > 0 && f->downscale > 0 && l->downscale != f->downscale;
    bool empty = (s->shape[1] != f->channels || resize) && latent_is_zero(s);
    if (!empty && s->shape[1] != f->channels) {
        error_set(err, E_SHAPE, "the latent has %lld channels, the model takes %d",
                  (long long)s->shape[1], f->channels);
        error_fix(err, "encode the picture with the VAE that belongs to this model");
        return E_SHAPE;
    }
    if (!empty) {
        *out = tensor_ref(s);
        return OK;
    }
    /* Zeros stay zeros however they are repeated or resized: only the shape is worked out. */
    int64_t shape[4] = { s->shape[0], f->channels, s->shape[2], s->shape[3] };
    if (resize) {
        shape[2] = scaled_side(shape[2], l, f);
        shape[3] = scaled_side(shape[3], l, f);
    }
    return tensor_zeros(K_F32, 4, shape, out, err);
}

Status latent_process_in(const LatentFormat *f, const Tensor *x, Tensor **out, Error *err)
{
    if (f->scale == 1.0f && f->shift == 0.0f) {
        *out = tensor_ref(x);
        return OK;
    }
    TRY(tensor_new(K_F32, x->ndim, x->shape, out, err));
    const float *src = tensor_f32(x);
    float *dst = tensor_f32(*out);
    int64_t n = tensor_count(x);
    for (int64_t i = 0; i < n; i++)
        dst[i] = (src[i] - f->shift) * f->scale;
    return OK;
}

Status latent_process_out(const LatentFormat *f, const Tensor *x, Tensor **out, Error *err)
{
    if (f->scale == 1.0f && f->shift == 0.0f) {
        *out = tensor_ref(x);
        return OK;
    }
    TRY(tensor_new(K_F32, x->ndim, x->shape, out, err));
    const float *src = tensor_f32(x);
    float *dst = tensor_f32(*out);
    int64_t n = tensor_count(x);
    for (int64_t i = 0; i < n; i++)
        dst[i] = src[i] / f->scale + f->shift;
    return OK;
}

/* ---- masks ------------------------------------------------------------------------------------- */

/* Where output cell i reads along one axis: two neighbours and the weight of the second. */
typedef struct Tap {
    int64_t a, b;
    float wb;
} Tap;

static Tap tap_at(int64_t i, int64_t src, int64_t dst)
{
    float at = ((float)i + 0.5f) * ((float)src / (float)dst) - 0.5f;
    Tap t;

    if (at < 0) at = 0;
    t.a = (int64_t)at;
    if (t.a > src - 1) t.a = src - 1;
    t.b = t.a + (t.a < src - 1);
    t.wb = at - (float)t.a;
    return t;
}

void latent_resize_bilinear(const float *src, int64_t n, int64_t src_h, int64_t src_w,
                            float *dst, int64_t dst_h, int64_t dst_w)
{
    for (int64_t k = 0; k < n; k++, src += src_h * src_w) {
        for (int64_t y = 0; y < dst_h; y++) {
            Tap v = tap_at(y, src_h, dst_h);
            const float *top = src + v.a * src_w, *bottom = src + v.b * src_w;
            for (int64_t x = 0; x < dst_w; x++) {
                Tap h = tap_at(x, src_w, dst_w);
                float t = (1 - h.wb) * top[h.a] + h.wb * top[h.b];
                float b = (1 - h.wb) * bottom[h.a] + h.wb * bottom[h.b];
                *dst++ = (1 - v.wb) * t + v.wb * b;
            }
        }
    }
}

Status latent_prepare_mask(const Tensor *mask, const Tensor *like, Tensor **out, Error *err)
{
    char shape_text[96];
    int64_t src_h, src_w, h = like->shape[2], w = like->shape[3], plane = h * w;

    tensor_describe(mask, shape_text, sizeof shape_text);
    if (mask->ndim < 2 || mask->dtype != K_F32)
        return error_set(err, E_SHAPE, "the noise mask is %s; [B,H,W] F32 is needed",
                         shape_text);
    src_h = mask->shape[mask->ndim - 2];
    src_w = mask->shape[mask->ndim - 1];
    if (src_h < 1 || src_w < 1)
        return error_set(err, E_SHAPE, "the noise mask is empty: %s", shape_text);
    int64_t items = tensor_count(mask) / (src_h * src_w);
    if (items < 1) return error_set(err, E_SHAPE, "the noise mask is empty: %s", shape_text);

    TRY(tensor_new(K_F32, 4, like->shape, out, err));
    float *dst = tensor_f32(*out);
    for (int64_t b = 0; b < like->shape[0]; b++) {
        const float *src = tensor_f32(mask) + b % items * src_h * src_w;
        float *first = dst + b * like->shape[1] * plane;
        latent_resize_bilinear(src, 1, src_h, src_w, first, h, w);
        for (int64_t c = 1; c < like->shape[1]; c++)
            memcpy(first + c * plane, first, (size_t)plane * sizeof *first);
    }
    return OK;
}
