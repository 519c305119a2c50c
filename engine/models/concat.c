/* concat.c - extra input channels: centre crop, bilinear resize, masks as channels. */
#include "engine/models/concat.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"

enum { PIXELS = 8, MASK_CHANNELS = PIXELS * PIXELS };

/* A run of planes of one size. */
typedef struct Planes {
    const float *data;
    int64_t items, channels, h, w;
} Planes;

static Status planes_of(const Tensor *t, const char *what, Planes *out, Error *err)
{
    char text[96];

    tensor_describe(t, text, sizeof text);
    if (t->dtype != K_F32 || t->ndim < 3 || t->ndim > 4 || tensor_count(t) == 0)
        return error_set(err, E_SHAPE, "%s is %s; [B,C,H,W] F32 is needed", what, text);
    *out = (Planes){ .data = tensor_f32(t),
                     .items = t->shape[0],
                     .channels = t->ndim == 4 ? t->shape[1] : 1,
                     .h = t->shape[t->ndim - 2],
                     .w = t->shape[t->ndim - 1] };
    return OK;
}

/* Which of `have` items stands for item i of `want`. */
static int64_t item_for(int64_t i, int64_t have, int64_t want)
{
    if (have == want) return i;
    if (want <= 1) return 0;
    double at = have > want ? rint((double)i * ((double)(have - 1) / (double)(want - 1)))
                            : floor(((double)i + 0.5) * (double)have / (double)want);
    return at < (double)(have - 1) ? (int64_t)at : have - 1;
}

/* ---- resizing ------------------------------------------------------------------------------------------ */

static void copy_rows(const float *from, int64_t from_w, float *to, int64_t h, int64_t w)
{
    for (int64_t r = 0; r < h; r++)
        memcpy(to + r * w, from + r * from_w, (size_t)w * sizeof *to);
}

/* Rows and columns that are left out on each side for the aspect h : w. */
static void centre_cut(const Planes *p, int64_t h, int64_t w, int64_t *y, int64_t *x)
{
    double old = (double)p->w / (double)p->h, new = (double)w / (double)h;

    *y = *x = 0;
    if (old > new)
        *x = (int64_t)rint(((double)p->w - (double)p->w * (new / old)) / 2);
    else if (old < new)
        *y = (int64_t)rint(((double)p->h - (double)p->h * (old / new)) / 2);
}

/* One item of p at the size [channels, h, w]. */
static Status fit(const Planes *p, int64_t item, int64_t h, int64_t w, float *out, Error *err)
{
    const float *src = p->data + item * p->channels * p->h * p->w;
    int64_t y, x;

    centre_cut(p, h, w, &y, &x);
    int64_t cut_h = p->h - 2 * y, cut_w = p->w - 2 * x;
    if (cut_h < 1 || cut_w < 1)
        return error_set(err, E_SHAPE, "%lld x %lld cannot be cut to the aspect of %lld x %lld",
                         (long long)p->w, (long long)p->h, (long long)w, (long long)h);
    float *cut = mem_alloc_array((size_t)(cut_h * cut_w), sizeof *cut);
    if (!cut) return error_set(err, E_NOMEM, "out of memory");
    for (int64_t c = 0; c < p->channels; c++) {
        copy_rows(src + (c * p->h + y) * p->w + x, p->w, cut, cut_h, cut_w);
        latent_resize_bilinear(cut, 1, cut_h, cut_w, out + c * h * w, h, w);
    }
    mem_free(cut);
    return OK;
}

/* ---- the latent ----------------------------------------------------------------------------------------- */

/* out [C, h, w]: the latent of item i in the transformer's scale. */
static Status put_latent(const ConcatCall *c, int64_t i, float *out, Error *err)
{
    int64_t count = c->format->channels * c->h * c->w;
    Planes p = { 0 };

    if (c->latent) {
        TRY(planes_of(c->latent, "the latent of the picture", &p, err));
        if (p.channels != c->format->channels)
            return error_set(err, E_SHAPE,
                             "the latent of the picture has %lld channels, the model takes %d",
                             (long long)p.channels, c->format->channels);
        TRY(fit(&p, item_for(i, p.items, c->batch), c->h, c->w, out, err));
    } else {
        memset(out, 0, (size_t)count * sizeof *out);
    }
    for (int64_t k = 0; k < count; k++)
        out[k] = (out[k] - c->format->shift) * c->format->scale;
    return OK;
}

/* ---- the mask ------------------------------------------------------------------------------------------- */

/* Mean over the channels of one item; planes [channels, count], the result replaces the first. */
static void mean_plane(float *planes, int64_t channels, int64_t count)
{
    for (int64_t c = 1; c < channels; c++)
        for (int64_t k = 0; k < count; k++)
            planes[k] += planes[c * count + k];
    for (int64_t k = 0; channels > 1 && k < count; k++)
        planes[k] /= (float)channels;
}

/* pixels [8h, 8w] to out [64, h, w]. */
static void mask_to_channels(const float *pixels, int64_t h, int64_t w, float *out)
{
    for (int64_t k = 0; k < MASK_CHANNELS; k++)
        for (int64_t r = 0; r < h; r++)
            for (int64_t c = 0; c < w; c++)
                *out++ =
                    pixels[(r * PIXELS + k / PIXELS) * w * PIXELS + c * PIXELS + k % PIXELS];
}

static Status put_mask(const ConcatCall *c, int64_t i, float *out, Error *err)
{
    int64_t count = c->h * c->w * MASK_CHANNELS;
    Planes p = { 0 };

    if (!c->mask) {
        for (int64_t k = 0; k < count; k++)
            out[k] = 1;
        return OK;
    }
    TRY(planes_of(c->mask, "the mask", &p, err));
    float *pixels = mem_alloc_array((size_t)(count * p.channels), sizeof *pixels);
    if (!pixels) return error_set(err, E_NOMEM, "out of memory");
    Status s =
        fit(&p, item_for(i, p.items, c->batch), c->h * PIXELS, c->w * PIXELS, pixels, err);
    if (s == OK) {
        mean_plane(pixels, p.channels, count);
        mask_to_channels(pixels, c->h, c->w, out);
    }
    mem_free(pixels);
    return s;
}

/* ---- both ------------------------------------------------------------------------------------------------ */

Status concat_channels(const ConcatCall *c, Tensor **out, Error *err)
{
    Status status = OK;
    int64_t latent = c->format->channels, plane = c->h * c->w;
    int64_t channels = c->extra > latent ? latent + MASK_CHANNELS : latent;
    Tensor *t = NULL;

    TRY(tensor_new(K_F32, 4, (int64_t[]){ c->batch, channels, c->h, c->w }, &t, err));
    for (int64_t i = 0; i < c->batch; i++) {
        float *item = tensor_f32(t) + i * channels * plane;
        TRY_DONE(put_latent(c, i, item, err));
        if (channels > latent) TRY_DONE(put_mask(c, i, item + latent * plane, err));
    }
    *out = t;
    return OK;
done:
    tensor_unref(t);
    return status;
}

Status concat_crop(const Tensor *t, int64_t y, int64_t x, int64_t h, int64_t w, Tensor **out,
                   Error *err)
{
    int64_t all_h = t->shape[2], all_w = t->shape[3], planes = t->shape[0] * t->shape[1];

    if (h == all_h && w == all_w) {
        *out = tensor_ref(t);
        return OK;
    }
    if (y < 0 || x < 0 || y + h > all_h || x + w > all_w)
        return error_set(err, E_SHAPE, "the area does not lie in the latent");
    TRY(tensor_new(K_F32, 4, (int64_t[]){ t->shape[0], t->shape[1], h, w }, out, err));
    for (int64_t p = 0; p < planes; p++)
        copy_rows(tensor_f32(t) + (p * all_h + y) * all_w + x, all_w,
                  tensor_f32(*out) + p * h * w, h, w);
    return OK;
}
