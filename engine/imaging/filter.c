/* filter.c - smoothing, sharpening and grey-scale morphology. */
#include "engine/imaging/filter.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/resize.h"

enum { RADIUS_MAX = 31, TAPS_MAX = 2 * RADIUS_MAX + 1 };

/* One plane h x w whose neighbouring samples lie `step` apart (1 in planes, C in pictures). */
typedef struct Plane {
    const float *x;
    int64_t h, w, step;
} Plane;

static int64_t mirror(int64_t i, int64_t n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

static void gaussian(int64_t radius, double sigma, double taps[TAPS_MAX])
{
    int64_t n = 2 * radius + 1;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = -1 + (double)i / (double)radius;
        taps[i] = exp(-d * d / (2 * sigma * sigma));
        sum += taps[i];
    }
    for (int64_t i = 0; i < n; i++)
        taps[i] /= sum;
}

/* Smooths rows into `rows` [h, w], then columns into out (step as the plane's). */
static void smooth(Plane p, int64_t radius, const double *taps, double *rows, float *out)
{
    for (int64_t i = 0; i < p.h * p.w; i++) {
        int64_t r = i / p.w, c = i % p.w;
        double sum = 0;
        for (int64_t k = -radius; k <= radius; k++)
            sum += taps[k + radius] * (double)p.x[(r * p.w + mirror(c + k, p.w)) * p.step];
        rows[i] = sum;
    }
    for (int64_t i = 0; i < p.h * p.w; i++) {
        int64_t r = i / p.w, c = i % p.w;
        double sum = 0;
        for (int64_t k = -radius; k <= radius; k++)
            sum += taps[k + radius] * rows[mirror(r + k, p.h) * p.w + c];
        out[i * p.step] = (float)sum;
    }
}

static Status check_radius(int64_t radius, int64_t h, int64_t w, Error *err)
{
    if (radius >= 1 && radius <= RADIUS_MAX && radius < h && radius < w) return OK;
    error_set(err, E_RANGE, "a radius of %lld does not fit %lldx%lld samples",
              (long long)radius, (long long)w, (long long)h);
    error_fix(err, "use a radius below both sides, at most %d", RADIUS_MAX);
    return E_RANGE;
}

Status image_blur(const Tensor *image, int64_t radius, double sigma, Tensor **out, Error *err)
{
    const int64_t *s = image->shape;
    double taps[TAPS_MAX];
    if (radius == 0) return tensor_clone(image, out, err);
    TRY(check_radius(radius, s[1], s[2], err));
    gaussian(radius, sigma, taps);
    double *rows = mem_alloc_array((size_t)(s[1] * s[2]), sizeof *rows);
    if (!rows) return error_set(err, E_NOMEM, "no memory to blur a picture");
    Status status = tensor_new(K_F32, 4, s, out, err);
    for (int64_t i = 0; status == OK && i < s[0] * s[3]; i++) {
        int64_t at = i / s[3] * s[1] * s[2] * s[3] + i % s[3];
        smooth((Plane){ tensor_f32(image) + at, s[1], s[2], s[3] }, radius, taps, rows,
               tensor_f32(*out) + at);
    }
    mem_free(rows);
    return status;
}

/* y = (1 + 10 a) x - 10 a y, y being x smoothed. */
static void sharpen(const Tensor *x, Tensor *y, double alpha)
{
    double a = alpha * 10;
    for (int64_t i = 0; i < tensor_count(x); i++)
        tensor_f32(y)[i] =
            (float)((1 + a) * (double)tensor_f32(x)[i] - a * (double)tensor_f32(y)[i]);
}

Status image_sharpen(const Tensor *image, int64_t radius, double sigma, double alpha,
                     Tensor **out, Error *err)
{
    TRY(image_blur(image, radius, sigma, out, err));
    sharpen(image, *out, alpha);
    for (int64_t i = 0; i < tensor_count(*out); i++) {
        float v = tensor_f32(*out)[i];
        tensor_f32(*out)[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    return OK;
}

Status planes_sharpen(const Tensor *x, int64_t radius, double sigma, double alpha, Tensor **out,
                      Error *err)
{
    const int64_t *s = x->shape;
    Tensor *flat = NULL, *smoothed = NULL;
    Status status = OK;
    TRY_DONE(tensor_reshape(x, 4, (int64_t[]){ s[0] * s[1], s[2], s[3], 1 }, &flat, err));
    TRY_DONE(image_blur(flat, radius, sigma, &smoothed, err));
    sharpen(flat, smoothed, alpha);
    status = tensor_reshape(smoothed, 4, s, out, err);
done:
    tensor_unref(flat);
    tensor_unref(smoothed);
    return status;
}

/* ---- morphology --------------------------------------------------------------------------------- */

static const char *const morph_names[MORPH_OP_COUNT] = { "erode",  "dilate",   "open",
                                                         "close",  "gradient", "bottom_hat",
                                                         "top_hat" };

bool morph_op_from_name(const char *name, MorphOp *out)
{
    for (int i = 0; i < MORPH_OP_COUNT; i++) {
        if (strcmp(name, morph_names[i]) != 0) continue;
        *out = (MorphOp)i;
        return true;
    }
    return false;
}

/* Largest (or smallest) of x over [i - size/2, i - size/2 + size) along a line of n samples `step` apart. */
static void slide(const float *x, float *y, int64_t n, int64_t step, int64_t size, bool largest)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i - size / 2, to = from + size;
        from = from < 0 ? 0 : from;
        to = to > n ? n : to;
        float best = x[from * step];
        for (int64_t k = from + 1; k < to; k++)
            if (largest ? x[k * step] > best : x[k * step] < best) best = x[k * step];
        y[i * step] = best;
    }
}

/* A box is a row and a column one after the other. */
static Status extreme(const Tensor *x, int64_t size, bool largest, Tensor **out, Error *err)
{
    const int64_t *s = x->shape;
    Tensor *rows = NULL;
    TRY(tensor_new(K_F32, 4, s, &rows, err));
    Status status = tensor_new(K_F32, 4, s, out, err);
    for (int64_t i = 0; status == OK && i < s[0] * s[1] * s[3]; i++) {
        int64_t at = i / s[3] * s[2] * s[3] + i % s[3];
        slide(tensor_f32(x) + at, tensor_f32(rows) + at, s[2], s[3], size, largest);
    }
    for (int64_t i = 0; status == OK && i < s[0] * s[2] * s[3]; i++) {
        int64_t at = i / (s[2] * s[3]) * s[1] * s[2] * s[3] + i % (s[2] * s[3]);
        slide(tensor_f32(rows) + at, tensor_f32(*out) + at, s[1], s[2] * s[3], size, largest);
    }
    tensor_unref(rows);
    return status;
}

/* first, then second, of which each is a dilation (true) or an erosion. */
static Status twice(const Tensor *x, int64_t size, bool first, Tensor **out, Error *err)
{
    Tensor *half = NULL;
    TRY(extreme(x, size, first, &half, err));
    Status status = extreme(half, size, !first, out, err);
    tensor_unref(half);
    return status;
}

/* out = a - b, written into a new tensor; both references are given back. */
static Status difference(Tensor *a, Tensor *b, Tensor **out, Error *err)
{
    Status status = tensor_new(K_F32, 4, a->shape, out, err);
    for (int64_t i = 0; status == OK && i < tensor_count(a); i++)
        tensor_f32(*out)[i] = tensor_f32(a)[i] - tensor_f32(b)[i];
    tensor_unref(a);
    tensor_unref(b);
    return status;
}

static Status gradient(const Tensor *x, int64_t size, Tensor **out, Error *err)
{
    Tensor *high = NULL, *low = NULL;
    TRY(extreme(x, size, true, &high, err));
    Status status = extreme(x, size, false, &low, err);
    if (status == OK) return difference(high, low, out, err);
    tensor_unref(high);
    return status;
}

Status image_morphology(const Tensor *image, MorphOp op, int64_t size, Tensor **out, Error *err)
{
    Tensor *part = NULL;
    switch (op) {
    case MORPH_ERODE:
        return extreme(image, size, false, out, err);
    case MORPH_DILATE:
        return extreme(image, size, true, out, err);
    case MORPH_OPEN:
        return twice(image, size, false, out, err);
    case MORPH_CLOSE:
        return twice(image, size, true, out, err);
    case MORPH_GRADIENT:
        return gradient(image, size, out, err);
    case MORPH_BOTTOM_HAT:
        TRY(twice(image, size, true, &part, err));
        return difference(part, tensor_ref(image), out, err);
    default:
        TRY(twice(image, size, false, &part, err));
        return difference(tensor_ref(image), part, out, err);
    }
}
