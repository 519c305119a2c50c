/* resize.c - separable resampling from tables of taps; the odd methods have their own files. */
#include "engine/imaging/resize.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/resize_internal.h"

enum { SIDE_MAX = 1 << 20 };

static const char *const method_names[RESIZE_METHOD_COUNT] = {
    [RESIZE_NEAREST_EXACT] = "nearest-exact",
    [RESIZE_BILINEAR] = "bilinear",
    [RESIZE_AREA] = "area",
    [RESIZE_BICUBIC] = "bicubic",
    [RESIZE_LANCZOS] = "lanczos",
    [RESIZE_BISLERP] = "bislerp",
};

bool resize_method_from_name(const char *name, ResizeMethod *out)
{
    for (int i = 0; i < RESIZE_METHOD_COUNT; i++) {
        if (strcmp(name, method_names[i]) != 0) continue;
        *out = (ResizeMethod)i;
        return true;
    }
    return false;
}

/* Output position i of an axis is the sum over count[i] taps of weight * x[index]. */
typedef struct Taps {
    int64_t *first; /* owned; index of the first entry of position i */
    int64_t *count; /* owned */
    int64_t *index; /* owned */
    float *weight;  /* owned */
} Taps;

static void taps_fini(Taps *t)
{
    mem_free(t->first);
    mem_free(t->count);
    mem_free(t->index);
    mem_free(t->weight);
}

static int64_t clamp_index(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static int taps_nearest(int64_t i, int64_t from, int64_t to, int64_t *index, float *weight)
{
    float scale = (float)from / (float)to;
    index[0] = clamp_index((int64_t)floorf(((float)i + 0.5f) * scale), from);
    weight[0] = 1;
    return 1;
}

static int taps_bilinear(int64_t i, int64_t from, int64_t to, int64_t *index, float *weight)
{
    float scale = (float)from / (float)to;
    float centre = fmaxf(scale * ((float)i + 0.5f) - 0.5f, 0);
    int64_t base = (int64_t)centre;
    index[0] = clamp_index(base, from);
    index[1] = clamp_index(base + 1, from);
    weight[1] = centre - (float)base;
    weight[0] = 1 - weight[1];
    return 2;
}

/* Cubic convolution with a = -0.75 (Keys, "Cubic Convolution Interpolation"). */
static void cubic_weights(float t, float *w)
{
    const float a = -0.75f;
    float u = 1 - t;
    w[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    w[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    w[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    w[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
}

static int taps_bicubic(int64_t i, int64_t from, int64_t to, int64_t *index, float *weight)
{
    float scale = (float)from / (float)to;
    float centre = scale * ((float)i + 0.5f) - 0.5f;
    int64_t base = (int64_t)floorf(centre);
    cubic_weights(centre - (float)base, weight);
    for (int t = 0; t < 4; t++)
        index[t] = clamp_index(base - 1 + t, from);
    return 4;
}

static int64_t area_start(int64_t i, int64_t from, int64_t to)
{
    return i * from / to;
}

static int64_t area_end(int64_t i, int64_t from, int64_t to)
{
    return ((i + 1) * from + to - 1) / to;
}

static int taps_area(int64_t i, int64_t from, int64_t to, int64_t *index, float *weight)
{
    int64_t start = area_start(i, from, to), n = area_end(i, from, to) - start;
    for (int64_t t = 0; t < n; t++) {
        index[t] = start + t;
        weight[t] = 1.0f / (float)n;
    }
    return (int)n;
}

typedef int (*TapsFn)(int64_t i, int64_t from, int64_t to, int64_t *index, float *weight);

static const TapsFn taps_fns[RESIZE_METHOD_COUNT] = {
    [RESIZE_NEAREST_EXACT] = taps_nearest,
    [RESIZE_BILINEAR] = taps_bilinear,
    [RESIZE_AREA] = taps_area,
    [RESIZE_BICUBIC] = taps_bicubic,
};

static Status taps_init(Taps *t, TapsFn fn, int64_t from, int64_t to, Error *err)
{
    int64_t widest = fn == taps_area ? from / to + 2 : 4;
    memset(t, 0, sizeof *t);
    t->first = mem_alloc_array((size_t)to, sizeof *t->first);
    t->count = mem_alloc_array((size_t)to, sizeof *t->count);
    t->index = mem_alloc_array((size_t)(to * widest), sizeof *t->index);
    t->weight = mem_alloc_array((size_t)(to * widest), sizeof *t->weight);
    if (!t->first || !t->count || !t->index || !t->weight) {
        taps_fini(t);
        return error_set(err, E_NOMEM, "no memory for %lld resampling taps",
                         (long long)(to * widest));
    }
    for (int64_t i = 0; i < to; i++) {
        t->first[i] = i * widest;
        t->count[i] = fn(i, from, to, t->index + i * widest, t->weight + i * widest);
    }
    return OK;
}

/* One axis: x [rows, from, inner] -> y [rows, to, inner]. */
static void taps_apply(const Taps *t, const float *x, float *y, int64_t rows, int64_t from,
                       int64_t to, int64_t inner)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < to; i++) {
            float *out = y + (r * to + i) * inner;
            memset(out, 0, (size_t)inner * sizeof *out);
            for (int64_t k = 0; k < t->count[i]; k++) {
                const float *in = x + (r * from + t->index[t->first[i] + k]) * inner;
                float w = t->weight[t->first[i] + k];
                for (int64_t c = 0; c < inner; c++)
                    out[c] += w * in[c];
            }
        }
    }
}

static Status resize_separable(const Tensor *x, Size2 to, TapsFn fn, Tensor **out, Error *err)
{
    int64_t planes = x->shape[0] * x->shape[1], h = x->shape[2], w = x->shape[3];
    Status status = OK;
    Taps across = { 0 }, down = { 0 };
    Tensor *wide = NULL, *y = NULL;
    TRY_DONE(taps_init(&across, fn, w, to.width, err));
    TRY_DONE(taps_init(&down, fn, h, to.height, err));
    TRY_DONE(
        tensor_new(K_F32, 4, (int64_t[]){ x->shape[0], x->shape[1], h, to.width }, &wide, err));
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ x->shape[0], x->shape[1], to.height, to.width },
                        &y, err));
    taps_apply(&across, tensor_f32(x), tensor_f32(wide), planes * h, w, to.width, 1);
    taps_apply(&down, tensor_f32(wide), tensor_f32(y), planes, h, to.height, to.width);
    *out = y;
    y = NULL;
done:
    taps_fini(&across);
    taps_fini(&down);
    tensor_unref(wide);
    tensor_unref(y);
    return status;
}

/* ---- cropping to the target's aspect -------------------------------------------------------- */

static Status crop_nchw(const Tensor *x, int64_t left, int64_t top, Size2 size, Tensor **out,
                        Error *err)
{
    int64_t planes = x->shape[0] * x->shape[1], h = x->shape[2], w = x->shape[3];
    TRY(tensor_new(K_F32, 4, (int64_t[]){ x->shape[0], x->shape[1], size.height, size.width },
                   out, err));
    const float *from = tensor_f32(x);
    float *to = tensor_f32(*out);
    for (int64_t p = 0; p < planes; p++)
        for (int64_t r = 0; r < size.height; r++)
            memcpy(to + (p * size.height + r) * size.width, from + (p * h + top + r) * w + left,
                   (size_t)size.width * sizeof *to);
    return OK;
}

static Status crop_center(const Tensor *x, Size2 to, Tensor **out, Error *err)
{
    int64_t h = x->shape[2], w = x->shape[3], left = 0, top = 0;
    double old_aspect = (double)w / (double)h,
           new_aspect = (double)to.width / (double)to.height;
    if (old_aspect > new_aspect)
        left = (int64_t)rint(((double)w - (double)w * (new_aspect / old_aspect)) / 2);
    else if (old_aspect < new_aspect)
        top = (int64_t)rint(((double)h - (double)h * (old_aspect / new_aspect)) / 2);
    Size2 size = { w - 2 * left, h - 2 * top };
    if (size.width < 1 || size.height < 1)
        return error_set(err, E_RANGE,
                         "a %lldx%lld picture cannot be cropped to the aspect of %lldx%lld",
                         (long long)w, (long long)h, (long long)to.width, (long long)to.height);
    return crop_nchw(x, left, top, size, out, err);
}

/* ---- the public calls -------------------------------------------------------------------------- */

static Status check_size(const Tensor *x, int64_t width, int64_t height, Error *err)
{
    if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX)
        return error_set(err, E_RANGE, "cannot resize to %lldx%lld: sides are 1 to %d",
                         (long long)width, (long long)height, SIDE_MAX);
    if (x->ndim != 4 || x->dtype != K_F32 || tensor_count(x) == 0)
        return error_set(err, E_SHAPE,
                         "resizing takes a non-empty float32 tensor of 4 dimensions");
    return OK;
}

Status resize_nchw(const Tensor *x, int64_t width, int64_t height, ResizeMethod method,
                   bool center, Tensor **out, Error *err)
{
    Size2 to = { width, height };
    Tensor *cropped = NULL;
    TRY(check_size(x, width, height, err));
    if (center)
        TRY(crop_center(x, to, &cropped, err));
    else
        cropped = tensor_ref(x);
    Status status = method == RESIZE_LANCZOS ? resize_lanczos(cropped, to, out, err)
                    : method == RESIZE_BISLERP
                        ? resize_bislerp(cropped, to, out, err)
                        : resize_separable(cropped, to, taps_fns[method], out, err);
    tensor_unref(cropped);
    return status;
}

static void transpose_planes(const float *x, float *y, int64_t n, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < n; i++, x += rows * columns, y += rows * columns)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++)
                y[c * rows + r] = x[r * columns + c];
}

Status image_to_nchw(const Tensor *x, Tensor **out, Error *err)
{
    const int64_t *s = x->shape;
    TRY(tensor_new(K_F32, 4, (int64_t[]){ s[0], s[3], s[1], s[2] }, out, err));
    transpose_planes(tensor_f32(x), tensor_f32(*out), s[0], s[1] * s[2], s[3]);
    return OK;
}

Status image_to_nhwc(const Tensor *x, Tensor **out, Error *err)
{
    const int64_t *s = x->shape;
    TRY(tensor_new(K_F32, 4, (int64_t[]){ s[0], s[2], s[3], s[1] }, out, err));
    transpose_planes(tensor_f32(x), tensor_f32(*out), s[0], s[1], s[2] * s[3]);
    return OK;
}

Status resize_nhwc(const Tensor *x, int64_t width, int64_t height, ResizeMethod method,
                   bool center, Tensor **out, Error *err)
{
    Status status = OK;
    Tensor *planes = NULL, *resized = NULL;
    TRY(check_size(x, width, height, err));
    TRY_DONE(image_to_nchw(x, &planes, err));
    TRY_DONE(resize_nchw(planes, width, height, method, center, &resized, err));
    TRY_DONE(image_to_nhwc(resized, out, err));
done:
    tensor_unref(planes);
    tensor_unref(resized);
    return status;
}

Status resize_mask(const Tensor *x, int64_t width, int64_t height, ResizeMethod method,
                   bool center, Tensor **out, Error *err)
{
    Status status = OK;
    Tensor *planes = NULL, *resized = NULL;
    int64_t n = x->ndim == 3 ? x->shape[0] : 1, h = x->shape[x->ndim - 2],
            w = x->shape[x->ndim - 1];
    TRY_DONE(tensor_reshape(x, 4, (int64_t[]){ n, 1, h, w }, &planes, err));
    TRY_DONE(resize_nchw(planes, width, height, method, center, &resized, err));
    TRY_DONE(tensor_reshape(resized, 3, (int64_t[]){ n, height, width }, out, err));
done:
    tensor_unref(planes);
    tensor_unref(resized);
    return status;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

static int64_t at_least(int64_t low, double v)
{
    int64_t r = (int64_t)rint(v);
    return r < low ? low : r;
}

Size2 size_scale(Size2 image, int64_t width, int64_t height)
{
    double w = (double)image.width, h = (double)image.height;
    if (width == 0 && height == 0) return image;
    if (width == 0) return (Size2){ at_least(1, w * (double)height / h), height };
    if (height == 0) return (Size2){ width, at_least(1, h * (double)width / w) };
    return (Size2){ width, height };
}

Size2 size_scale_by(Size2 image, double factor)
{
    return (Size2){ (int64_t)rint((double)image.width * factor),
                    (int64_t)rint((double)image.height * factor) };
}

Size2 size_total_pixels(Size2 image, double megapixels, int64_t step)
{
    double w = (double)image.width, h = (double)image.height, s = (double)step;
    double factor = sqrt(megapixels * 1024 * 1024 / (w * h));
    return (Size2){ (int64_t)rint(w * factor / s) * step,
                    (int64_t)rint(h * factor / s) * step };
}

Size2 size_latent_upscale(Size2 latent, int64_t width, int64_t height)
{
    double w = (double)latent.width, h = (double)latent.height;
    if (width == 0 && height == 0) return latent;
    if (width == 0) {
        height = height < 64 ? 64 : height;
        width = at_least(64, w * (double)height / h);
    } else if (height == 0) {
        width = width < 64 ? 64 : width;
        height = at_least(64, h * (double)width / w);
    } else {
        width = width < 64 ? 64 : width;
        height = height < 64 ? 64 : height;
    }
    return (Size2){ width / 8, height / 8 };
}
