/* compose.c - padding, pasting and joining pictures and latents. */
#include "engine/imaging/compose.h"

#include <math.h>
#include <string.h>

#include "engine/imaging/resize.h"

void image_to_bytes(const float *x, uint8_t *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float v = 255.0f * x[i];
        y[i] = (uint8_t)(v > 0 ? (v < 255 ? v : 255) : 0);
    }
}

typedef struct Border {
    int64_t left, top, right, bottom;
} Border;

/* Fall-off of the mask at pixel (r, c) of an h x w picture; only sides that were padded count. */
static float feather_at(int64_t r, int64_t c, int64_t h, int64_t w, Border pad,
                        int64_t feathering)
{
    int64_t top = pad.top ? r : h, bottom = pad.bottom ? h - r : h;
    int64_t left = pad.left ? c : w, right = pad.right ? w - c : w;
    int64_t a = top < bottom ? top : bottom, b = left < right ? left : right, d = a < b ? a : b;
    if (d >= feathering) return 0;
    double v = (double)(feathering - d) / (double)feathering;
    return (float)(v * v);
}

Status image_pad(const Tensor *image, int64_t left, int64_t top, int64_t right, int64_t bottom,
                 int64_t feathering, Tensor **out, Tensor **mask, Error *err)
{
    const int64_t *s = image->shape;
    int64_t h = s[1] + top + bottom, w = s[2] + left + right;
    Border pad = { left, top, right, bottom };
    bool soft = feathering > 0 && feathering * 2 < s[1] && feathering * 2 < s[2];
    TRY(tensor_new(K_F32, 4, (int64_t[]){ s[0], h, w, s[3] }, out, err));
    Status status = tensor_new(K_F32, 3, (int64_t[]){ s[0], h, w }, mask, err);
    if (status != OK) {
        tensor_unref(*out);
        *out = NULL;
        return status;
    }
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] = 0.5f;
    for (int64_t i = 0; i < tensor_count(*mask); i++)
        tensor_f32(*mask)[i] = 1;
    for (int64_t b = 0; b < s[0]; b++)
        for (int64_t r = 0; r < s[1]; r++) {
            int64_t row = (b * h + top + r) * w + left;
            memcpy(tensor_f32(*out) + row * s[3],
                   tensor_f32(image) + (b * s[1] + r) * s[2] * s[3],
                   (size_t)(s[2] * s[3]) * sizeof(float));
            for (int64_t c = 0; c < s[2]; c++)
                tensor_f32(*mask)[row + c] =
                    soft ? feather_at(r, c, s[1], s[2], pad, feathering) : 0;
        }
    return OK;
}

Status image_solid(int64_t width, int64_t height, int64_t batch, int64_t rgb, Tensor **out,
                   Error *err)
{
    TRY(tensor_new(K_F32, 4, (int64_t[]){ batch, height, width, 3 }, out, err));
    for (int64_t i = 0; i < batch * height * width; i++)
        for (int c = 0; c < 3; c++)
            tensor_f32(*out)[i * 3 + c] = (float)((rgb >> (16 - 8 * c)) & 255) / 255.0f;
    return OK;
}

Status image_invert(const Tensor *image, Tensor **out, Error *err)
{
    TRY(tensor_clone(image, out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] = 1.0f - tensor_f32(*out)[i];
    return OK;
}

/* ---- pasting ------------------------------------------------------------------------------------ */

static int64_t clamp_to(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Blends the visible part: source cell (r - y, c - x) onto destination cell (r, c). */
static void paste(Tensor *to, const Tensor *source, const Tensor *mask, int64_t x, int64_t y)
{
    const int64_t *d = to->shape, *s = source->shape;
    for (int64_t b = 0; b < d[0]; b++)
        for (int64_t k = 0; k < d[1]; k++)
            for (int64_t r = y < 0 ? 0 : y; r < y + s[2] && r < d[2]; r++)
                for (int64_t c = x < 0 ? 0 : x; c < x + s[3] && c < d[3]; c++) {
                    float *cell = tensor_f32(to) + ((b * d[1] + k) * d[2] + r) * d[3] + c;
                    int64_t at = (r - y) * s[3] + c - x, area = s[2] * s[3];
                    float v = tensor_f32(source)[((b % s[0]) * s[1] + k) * area + at];
                    float m = mask ? tensor_f32(mask)[(b % mask->shape[0]) * area + at] : 1;
                    *cell = m * v + (1 - m) * *cell;
                }
}

Status compose_masked(const Tensor *destination, const Tensor *source, int64_t x, int64_t y,
                      const Tensor *mask, int64_t multiplier, bool resize_source, Tensor **out,
                      Error *err)
{
    const int64_t *d = destination->shape;
    Status status = OK;
    Tensor *from = NULL, *fitted = NULL, *result = NULL;
    if (resize_source)
        TRY_DONE(resize_nchw(source, d[3], d[2], RESIZE_BILINEAR, false, &from, err));
    else
        from = tensor_ref(source);
    if (from->shape[1] < d[1]) {
        status = error_set(err, E_SHAPE, "the source has %lld channels, the destination %lld",
                           (long long)from->shape[1], (long long)d[1]);
        goto done;
    }
    int64_t w = from->shape[3], h = from->shape[2];
    x = floor_div(clamp_to(x, -w * multiplier, d[3] * multiplier), multiplier);
    y = floor_div(clamp_to(y, -h * multiplier, d[2] * multiplier), multiplier);
    if (mask) TRY_DONE(resize_mask(mask, w, h, RESIZE_BILINEAR, false, &fitted, err));
    TRY_DONE(tensor_clone(destination, &result, err));
    paste(result, from, fitted, x, y);
    *out = result;
done:
    tensor_unref(from);
    tensor_unref(fitted);
    return status;
}
