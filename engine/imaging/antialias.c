/* antialias.c - bicubic resampling whose support widens when it shrinks, and what vision models read. */
#include "engine/imaging/antialias.h"

#include <math.h>

#include "engine/base/mem.h"

enum { SIDE_MAX = 1 << 20 };

/* Weights of one output sample: `count` inputs from `first` on. */
typedef struct Taps {
    int64_t first, count;
    float *weights; /* of the axis' table */
} Taps;

/* All output samples of one axis. */
typedef struct Axis {
    Taps *taps;     /* owned */
    float *weights; /* owned; `widest` per sample */
    int64_t out;
} Axis;

static void axis_fini(Axis *a)
{
    mem_free(a->taps);
    mem_free(a->weights);
}

/* Keys' kernel with a = -0.5. */
static double cubic(double x)
{
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
    return 0;
}

static void fill_taps(Taps *t, int64_t index, int64_t in, double ratio)
{
    double wide = ratio > 1 ? ratio : 1, support = 2 * wide;
    double centre = ratio * ((double)index + 0.5), sum = 0;
    int64_t first = (int64_t)floor(centre - support + 0.5),
            end = (int64_t)floor(centre + support + 0.5);

    t->first = first < 0 ? 0 : first;
    t->count = (end > in ? in : end) - t->first;
    for (int64_t k = 0; k < t->count; k++) {
        double w = cubic(((double)(k + t->first) - centre + 0.5) / wide);
        t->weights[k] = (float)w;
        sum += w;
    }
    for (int64_t k = 0; k < t->count; k++)
        t->weights[k] = (float)((double)t->weights[k] / sum);
}

static Status axis_init(Axis *a, int64_t in, int64_t out, Error *err)
{
    double ratio = (double)in / (double)out;
    int64_t widest = 4 * (int64_t)ceil(ratio > 1 ? ratio : 1) + 2;

    a->out = out;
    a->taps = mem_alloc_array((size_t)out, sizeof *a->taps);
    a->weights = mem_alloc_array((size_t)out, (size_t)widest * sizeof *a->weights);
    if (!a->taps || !a->weights) return error_set(err, E_NOMEM, "no memory for resampling");
    for (int64_t i = 0; i < out; i++) {
        a->taps[i].weights = a->weights + i * widest;
        fill_taps(&a->taps[i], i, in, ratio);
    }
    return OK;
}

/* One plane [h,w] (samples `step` apart in rows of row_step) to columns, then rows. */
static void resize_plane(const float *in, int64_t h, int64_t step, int64_t row_step,
                         const Axis *across, const Axis *down, float *between, float *out)
{
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < across->out; x++) {
            const Taps *t = &across->taps[x];
            float sum = 0;
            for (int64_t k = 0; k < t->count; k++)
                sum += in[y * row_step + (t->first + k) * step] * t->weights[k];
            between[y * across->out + x] = sum;
        }
    for (int64_t y = 0; y < down->out; y++)
        for (int64_t x = 0; x < across->out; x++) {
            const Taps *t = &down->taps[y];
            float sum = 0;
            for (int64_t k = 0; k < t->count; k++)
                sum += between[(t->first + k) * across->out + x] * t->weights[k];
            out[y * across->out + x] = sum;
        }
}

/* The three colours of image [B,H,W,C] as planes [B,3,h,w]. */
static Status resize_colours(const Tensor *image, int64_t h, int64_t w, Tensor **out,
                             Error *err)
{
    int64_t rows = image->shape[1], columns = image->shape[2], channels = image->shape[3];
    Axis across = { 0 }, down = { 0 };
    float *between = NULL;
    Status status = OK;

    TRY_DONE(axis_init(&across, columns, w, err));
    TRY_DONE(axis_init(&down, rows, h, err));
    between = mem_alloc_array((size_t)rows, (size_t)w * sizeof *between);
    if (!between) TRY_DONE(error_set(err, E_NOMEM, "no memory for resampling"));
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ image->shape[0], 3, h, w }, out, err));
    for (int64_t i = 0; i < image->shape[0] * 3; i++)
        resize_plane(tensor_f32(image) + i / 3 * rows * columns * channels + i % 3, rows,
                     channels, columns * channels, &across, &down, between,
                     tensor_f32(*out) + i * h * w);
done:
    mem_free(between);
    axis_fini(&across);
    axis_fini(&down);
    return status;
}

/* The same without resizing. */
static Status copy_colours(const Tensor *image, Tensor **out, Error *err)
{
    int64_t n = image->shape[1] * image->shape[2], channels = image->shape[3];

    TRY(tensor_new(K_F32, 4,
                   (int64_t[]){ image->shape[0], 3, image->shape[1], image->shape[2] }, out,
                   err));
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] =
            tensor_f32(image)[(i / (3 * n) * n + i % n) * channels + i / n % 3];
    return OK;
}

static Status fit(const Tensor *image, int64_t side, bool crop, Tensor **out, Error *err)
{
    int64_t rows = image->shape[1], columns = image->shape[2], h = side, w = side;

    if (rows == side && columns == side) return copy_colours(image, out, err);
    if (crop) {
        double k = (double)side / (double)(rows < columns ? rows : columns);
        h = (int64_t)rint(k * (double)rows);
        w = (int64_t)rint(k * (double)columns);
    }
    if (h > SIDE_MAX || w > SIDE_MAX)
        return error_set(err, E_RANGE, "a picture of %lldx%lld pixels is too long to be fitted",
                         (long long)columns, (long long)rows);
    return resize_colours(image, h, w, out, err);
}

static float level(float v)
{
    v *= 255.0f;
    return rintf(v < 0 ? 0 : v > 255 ? 255 : v) / 255.0f;
}

Status image_for_vision(const Tensor *image, int64_t side, bool crop, const float mean[3],
                        const float std[3], Tensor **out, Error *err)
{
    Tensor *fitted = NULL;
    char text[96];

    if (image->ndim != 4 || image->shape[3] < 3) {
        tensor_describe(image, text, sizeof text);
        return error_set(err, E_SHAPE, "%s is no picture [B,H,W,3]", text);
    }
    TRY(fit(image, side, crop, &fitted, err));
    int64_t h = fitted->shape[2], w = fitted->shape[3], y0 = (h - side) / 2,
            x0 = (w - side) / 2;
    Status s = tensor_new(K_F32, 4, (int64_t[]){ image->shape[0], 3, side, side }, out, err);
    for (int64_t i = 0; s == OK && i < tensor_count(*out); i++) {
        int64_t plane = i / (side * side), y = i / side % side, x = i % side, c = plane % 3;
        float v = level(tensor_f32(fitted)[(plane * h + y0 + y) * w + x0 + x]);
        tensor_f32(*out)[i] = (v - mean[c]) / std[c];
    }
    tensor_unref(fitted);
    return s;
}
