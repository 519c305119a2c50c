/* bislerp.c - bilinear positions, spherical interpolation of channel vectors (Shoemake, "Animating
 * Rotation with Quaternion Curves"): the width first, then the height. */
#include <math.h>

#include "engine/base/mem.h"
#include "engine/imaging/resize_internal.h"

/* Between channel vectors a and b (stride apart), ratio r, into out. */
static void slerp(const float *a, const float *b, float *out, int64_t channels, int64_t stride,
                  int64_t out_stride, float r)
{
    float na = 0, nb = 0, dot = 0;
    for (int64_t c = 0; c < channels; c++) {
        na += a[c * stride] * a[c * stride];
        nb += b[c * stride] * b[c * stride];
    }
    na = sqrtf(na);
    nb = sqrtf(nb);
    float ia = na > 0 ? 1 / na : 0, ib = nb > 0 ? 1 / nb : 0;
    for (int64_t c = 0; c < channels; c++)
        dot += (a[c * stride] * ia) * (b[c * stride] * ib);
    float wa, wb, length = na * (1 - r) + nb * r;
    if (dot > 1 - 1e-5f) {
        wa = 1, wb = 0;
    } else if (dot < 1e-5f - 1) {
        wa = 1 - r, wb = r;
    } else {
        float omega = acosf(dot), so = sinf(omega);
        wa = sinf((1 - r) * omega) / so * ia * length;
        wb = sinf(r * omega) / so * ib * length;
    }
    for (int64_t c = 0; c < channels; c++)
        out[c * out_stride] = wa * a[c * stride] + wb * b[c * stride];
}

typedef struct Position {
    int64_t first, second;
    float ratio;
} Position;

/* Where output i of an axis reads: the bilinear resize of the index ramps 0..n-1 and 1..n-1,n-1. */
static Position position(int64_t i, int64_t from, int64_t to)
{
    float scale = (float)from / (float)to;
    float centre = fmaxf(scale * ((float)i + 0.5f) - 0.5f, 0);
    int64_t base = (int64_t)centre;
    if (base > from - 1) base = from - 1;
    int64_t next = base + 1 < from ? base + 1 : from - 1,
            after = next + 1 < from ? next + 1 : from - 1;
    float t = centre - (float)base;
    float low = (1 - t) * (float)base + t * (float)next;
    float high = (1 - t) * (float)next + t * (float)after;
    return (Position){ (int64_t)low, (int64_t)high, low - floorf(low) };
}

Status resize_bislerp(const Tensor *x, Size2 to, Tensor **out, Error *err)
{
    int64_t n = x->shape[0], ch = x->shape[1], h = x->shape[2], w = x->shape[3];
    Tensor *wide = NULL;
    TRY(tensor_new(K_F32, 4, (int64_t[]){ n, ch, h, to.width }, &wide, err));
    for (int64_t b = 0; b < n; b++)
        for (int64_t r = 0; r < h; r++)
            for (int64_t i = 0; i < to.width; i++) {
                Position p = position(i, w, to.width);
                const float *row = tensor_f32(x) + (b * ch * h + r) * w;
                slerp(row + p.first, row + p.second,
                      tensor_f32(wide) + (b * ch * h + r) * to.width + i, ch, h * w,
                      h * to.width, p.ratio);
            }
    Status status = tensor_new(K_F32, 4, (int64_t[]){ n, ch, to.height, to.width }, out, err);
    for (int64_t b = 0; status == OK && b < n; b++)
        for (int64_t r = 0; r < to.height; r++) {
            Position p = position(r, h, to.height);
            const float *plane = tensor_f32(wide) + b * ch * h * to.width;
            for (int64_t i = 0; i < to.width; i++)
                slerp(plane + p.first * to.width + i, plane + p.second * to.width + i,
                      tensor_f32(*out) + (b * ch * to.height + r) * to.width + i, ch,
                      h * to.width, to.height * to.width, p.ratio);
        }
    tensor_unref(wide);
    return status;
}
