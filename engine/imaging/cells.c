/* cells.c - arithmetic on latents. */
#include "engine/imaging/cells.h"

#include <math.h>
#include <string.h>

#include "engine/imaging/arrange.h"
#include "engine/imaging/filter.h"

static Status same_channels(const Tensor *a, const Tensor *b, Error *err)
{
    if (a->shape[1] == b->shape[1]) return OK;
    error_set(err, E_SHAPE, "the latents have %lld and %lld channels", (long long)a->shape[1],
              (long long)b->shape[1]);
    error_fix(err, "use latents of one model family");
    return E_SHAPE;
}

static Status fit_by(const Tensor *x, const Tensor *like, ResizeMethod method, Tensor **out,
                     Error *err)
{
    TRY(same_channels(x, like, err));
    if (x->shape[2] != like->shape[2] || x->shape[3] != like->shape[3])
        return resize_nchw(x, like->shape[3], like->shape[2], method, true, out, err);
    *out = tensor_ref(x);
    return OK;
}

Status planes_fit(const Tensor *x, const Tensor *like, bool repeat, Tensor **out, Error *err)
{
    Tensor *fitted = NULL;
    TRY(fit_by(x, like, RESIZE_BILINEAR, &fitted, err));
    if (!repeat) {
        *out = fitted;
        return OK;
    }
    Status status = tensor_to_batch(fitted, like->shape[0], out, err);
    tensor_unref(fitted);
    return status;
}

Status planes_mix(const Tensor *a, float wa, const Tensor *b, float wb, Tensor **out,
                  Error *err)
{
    Tensor *other = NULL;
    TRY(planes_fit(b, a, true, &other, err));
    Status status = tensor_new(K_F32, 4, a->shape, out, err);
    for (int64_t i = 0; status == OK && i < tensor_count(a); i++)
        tensor_f32(*out)[i] = tensor_f32(a)[i] * wa + tensor_f32(other)[i] * wb;
    tensor_unref(other);
    return status;
}

Status planes_blend(const Tensor *a, const Tensor *b, double factor, Tensor **out, Error *err)
{
    Tensor *other = NULL, *even = NULL;
    Status status = OK;
    TRY_DONE(fit_by(b, a, RESIZE_BICUBIC, &other, err));
    int64_t na = a->shape[0], nb = b->shape[0], batch = na > nb ? na : nb;
    if (na != nb && na != 1 && nb != 1) {
        status = error_set(err, E_SHAPE, "batches of %lld and %lld latents do not go together",
                           (long long)na, (long long)nb);
        goto done;
    }
    TRY_DONE(tensor_to_batch(a, batch, &even, err));
    status = planes_mix(even, (float)factor, other, (float)(1 - factor), out, err);
done:
    tensor_unref(other);
    tensor_unref(even);
    return status;
}

/* ---- channel vectors ------------------------------------------------------------------------------- */

/* The vector at cell `at` of item b: `c` values, `area` apart. */
typedef struct Vectors {
    int64_t c, area;
} Vectors;

static Vectors vectors_of(const Tensor *x)
{
    return (Vectors){ x->shape[1], x->shape[2] * x->shape[3] };
}

static float length_at(const float *x, Vectors v)
{
    double sum = 0;
    for (int64_t k = 0; k < v.c; k++)
        sum += (double)x[k * v.area] * (double)x[k * v.area];
    return (float)sqrt(sum);
}

/* 0/0 is 0, infinities become the largest number, as the reference's nan_to_num. */
static float number(float v)
{
    if (isnan(v)) return 0;
    return isinf(v) ? copysignf(3.402823466e+38f, v) : v;
}

static void interpolate_cell(const float *a, const float *b, Vectors v, float ratio, float *out)
{
    float la = length_at(a, v), lb = length_at(b, v), rest = 1 - ratio;
    for (int64_t k = 0; k < v.c * v.area; k += v.area)
        out[k] = number(a[k] / la) * ratio + number(b[k] / lb) * rest;
    float lt = length_at(out, v), length = la * ratio + lb * rest;
    for (int64_t k = 0; k < v.c * v.area; k += v.area)
        out[k] = number(out[k] / lt) * length;
}

Status planes_interpolate(const Tensor *a, const Tensor *b, double ratio, Tensor **out,
                          Error *err)
{
    Vectors v = vectors_of(a);
    Tensor *other = NULL;
    TRY(planes_fit(b, a, true, &other, err));
    Status status = tensor_new(K_F32, 4, a->shape, out, err);
    for (int64_t i = 0; status == OK && i < a->shape[0] * v.area; i++) {
        int64_t at = i / v.area * v.c * v.area + i % v.area;
        interpolate_cell(tensor_f32(a) + at, tensor_f32(other) + at, v, (float)ratio,
                         tensor_f32(*out) + at);
    }
    tensor_unref(other);
    return status;
}

/* White point of one item: 5 standard deviations (n - 1) above the mean length. */
static double white_point(const float *x, Vectors v)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < v.area; i++)
        sum += (double)(length_at(x + i, v) + 1e-10f);
    double mean = sum / (double)v.area;
    for (int64_t i = 0; i < v.area; i++) {
        double d = (double)(length_at(x + i, v) + 1e-10f) - mean;
        squares += d * d;
    }
    return 5 * sqrt(squares / (double)(v.area - 1)) + mean;
}

Status planes_tonemap(const Tensor *x, double multiplier, Tensor **out, Error *err)
{
    Vectors v = vectors_of(x);
    TRY(tensor_new(K_F32, 4, x->shape, out, err));
    for (int64_t b = 0; b < x->shape[0]; b++) {
        const float *item = tensor_f32(x) + b * v.c * v.area;
        float top = (float)(white_point(item, v) * multiplier);
        for (int64_t i = 0; i < v.area; i++) {
            float length = length_at(item + i, v) + 1e-10f, m = length * (1 / top);
            float mapped = m / (m + 1) * top;
            for (int64_t k = i; k < v.c * v.area; k += v.area)
                tensor_f32(*out)[b * v.c * v.area + k] = item[k] / length * mapped;
        }
    }
    return OK;
}

/* Each vector times (or divided by) its length in x, plus a little. */
static void scale_by_length(const Tensor *x, Tensor *y, bool divide)
{
    Vectors v = vectors_of(x);
    for (int64_t i = 0; i < x->shape[0] * v.area; i++) {
        int64_t at = i / v.area * v.c * v.area + i % v.area;
        float length = length_at(tensor_f32(x) + at, v) + 1e-6f;
        for (int64_t k = at; k < at + v.c * v.area; k += v.area)
            tensor_f32(y)[k] = divide ? tensor_f32(y)[k] / length : tensor_f32(y)[k] * length;
    }
}

Status planes_sharpen_directions(const Tensor *x, int64_t radius, double sigma, double alpha,
                                 Tensor **out, Error *err)
{
    Tensor *unit = NULL;
    TRY(tensor_clone(x, &unit, err));
    scale_by_length(x, unit, true);
    Status status = planes_sharpen(unit, radius, sigma, alpha, out, err);
    if (status == OK) scale_by_length(x, *out, false);
    tensor_unref(unit);
    return status;
}

/* ---- pasting ------------------------------------------------------------------------------------ */

/* Share of the pasted latent at its cell (r, c) of h x w. */
typedef struct Fade {
    int64_t h, w, feather;
    bool top, left, bottom, right; /* sides that fade */
} Fade;

/* Factor of the t-th line from a side, 1 past the ramp. */
static float ramp(int64_t t, int64_t feather)
{
    return t < feather ? (float)(1.0 / (double)feather * (double)(t + 1)) : 1;
}

/* The far sides' ramp, when longer than the picture, comes in again from the far end but for the last line: the
 * reference counts lines below 0 from the end. */
static float far_ramp(int64_t i, int64_t n, int64_t feather)
{
    float m = ramp(n - 1 - i, feather);
    return i < n - 1 ? m * ramp(2 * n - 1 - i, feather) : m;
}

static float fade_at(const Fade *f, int64_t r, int64_t c)
{
    float m = 1;
    if (f->top) m *= ramp(r, f->feather);
    if (f->bottom) m *= far_ramp(r, f->h, f->feather);
    if (f->left) m *= ramp(c, f->feather);
    if (f->right) m *= far_ramp(c, f->w, f->feather);
    return m;
}

Status planes_paste(const Tensor *to, const Tensor *from, int64_t x, int64_t y, int64_t feather,
                    Tensor **out, Error *err)
{
    const int64_t *d = to->shape, *s = from->shape;
    TRY(same_channels(to, from, err));
    if (x >= d[3] || y >= d[2])
        return error_set(err, E_RANGE,
                         "cell (%lld, %lld) lies outside a latent of %lldx%lld cells",
                         (long long)x, (long long)y, (long long)d[3], (long long)d[2]);
    if (s[0] != d[0] && s[0] != 1)
        return error_set(err, E_SHAPE, "%lld latents do not go onto %lld", (long long)s[0],
                         (long long)d[0]);
    int64_t h = s[2] < d[2] - y ? s[2] : d[2] - y, w = s[3] < d[3] - x ? s[3] : d[3] - x;
    Fade fade = { h, w, feather, y != 0, x != 0, y + h < d[2], x + w < d[3] };
    TRY(tensor_clone(to, out, err));
    for (int64_t i = 0; i < d[0] * d[1] * h * w; i++) {
        int64_t plane = i / (h * w), r = i / w % h, c = i % w;
        int64_t source = s[0] == d[0] ? plane : plane % d[1];
        float *cell = tensor_f32(*out) + (plane * d[2] + y + r) * d[3] + x + c;
        float m = feather ? fade_at(&fade, r, c) : 1;
        *cell = tensor_f32(from)[(source * s[2] + r) * s[3] + c] * m + *cell * (1 - m);
    }
    return OK;
}

Status planes_slice_to_batch(const Tensor *x, int dim, int64_t size, Tensor **out, Error *err)
{
    const int64_t *s = x->shape;
    int64_t step = size < s[dim] ? size : s[dim], n = s[dim] / step;
    int64_t shape[4] = { s[0] * n, s[1], s[2], s[3] };
    shape[dim] = step;
    TRY(tensor_new(K_F32, 4, shape, out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++) {
        int64_t at[4], rest = i;
        for (int k = 3; k >= 0; rest /= shape[k], k--)
            at[k] = rest % shape[k];
        at[dim] += at[0] % n * step;
        at[0] /= n;
        tensor_f32(*out)[i] =
            tensor_f32(x)[((at[0] * s[1] + at[1]) * s[2] + at[2]) * s[3] + at[3]];
    }
    return OK;
}
