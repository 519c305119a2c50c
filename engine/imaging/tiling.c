/* tiling.c - tiles with feathered overlaps, as ComfyUI's tiled_scale lays them. */
#include "engine/imaging/tiling.h"

#include <math.h>
#include <string.h>

#include "engine/tensor/ops.h"

int64_t tiling_scaled(double scale, int64_t n)
{
    return (int64_t)rint(scale * (double)n);
}

/* One axis of one tile. */
typedef struct Span {
    int64_t pos, length;         /* in the input */
    int64_t out_pos, out_length; /* in the output */
} Span;

/* The i-th tile of an axis of n; false past the end. */
static bool span_at(const Tiling *t, int64_t n, int64_t tile, int64_t i, Span *s)
{
    int64_t start = i * (tile - t->overlap);

    if (n <= tile ? i > 0 : start >= n - t->overlap) return false;
    if (n <= tile) start = 0;
    int64_t last = n - t->overlap;
    s->pos = start < last ? start : last;
    if (s->pos < 0) s->pos = 0;
    s->length = tile < n - s->pos ? tile : n - s->pos;
    s->out_pos = tiling_scaled(t->scale, s->pos);
    s->out_length = tiling_scaled(t->scale, s->length);
    return true;
}

/* Weight of line i of n: rises over the feather at both ends, also at the picture's border. */
static float feather_at(int64_t i, int64_t n, int64_t feather)
{
    float w = 1.0f;
    if (feather <= 0 || feather >= n) return 1.0f;
    if (i < feather) w *= (float)((double)(i + 1) / (double)feather);
    if (n - 1 - i < feather) w *= (float)((double)(n - i) / (double)feather);
    return w;
}

static void cut_tile(const Tensor *x, const Span *sy, const Span *sx, Tensor *tile)
{
    const float *src = tensor_f32(x);
    float *dst = tensor_f32(tile);
    int64_t h = x->shape[1], w = x->shape[2];

    for (int64_t c = 0; c < x->shape[0]; c++)
        for (int64_t r = 0; r < sy->length; r++, dst += sx->length)
            memcpy(dst, src + (c * h + sy->pos + r) * w + sx->pos,
                   (size_t)sx->length * sizeof *dst);
}

/* out += y * mask, weights += mask; parts that would leave the output are cut. */
static void blend(const Tiling *t, const Tensor *y, const Span *sy, const Span *sx, Tensor *out,
                  Tensor *weights)
{
    int64_t oh = out->shape[1], ow = out->shape[2],
            feather = tiling_scaled(t->scale, t->overlap);
    int64_t h = sy->out_length < oh - sy->out_pos ? sy->out_length : oh - sy->out_pos;
    int64_t w = sx->out_length < ow - sx->out_pos ? sx->out_length : ow - sx->out_pos;

    for (int64_t c = 0; c < out->shape[0]; c++) {
        for (int64_t r = 0; r < h; r++) {
            const float *src = tensor_f32(y) + (c * sy->out_length + r) * sx->out_length;
            float *dst = tensor_f32(out) + (c * oh + sy->out_pos + r) * ow + sx->out_pos;
            float *sum = tensor_f32(weights) + (sy->out_pos + r) * ow + sx->out_pos;
            float wy = feather_at(r, sy->out_length, feather);
            for (int64_t i = 0; i < w; i++) {
                float m = wy * feather_at(i, sx->out_length, feather);
                dst[i] += src[i] * m;
                if (c == 0) sum[i] += m;
            }
        }
    }
}

static Status run_tile(const Tiling *t, const Tensor *x, const Span *sy, const Span *sx,
                       Tensor *out, Tensor *weights, Error *err)
{
    Status status = OK;
    Tensor *tile = NULL, *y = NULL;

    TRY_DONE(
        tensor_new(K_F32, 3, (int64_t[]){ x->shape[0], sy->length, sx->length }, &tile, err));
    TRY_DONE(tensor_new(K_F32, 3, (int64_t[]){ out->shape[0], sy->out_length, sx->out_length },
                        &y, err));
    cut_tile(x, sy, sx, tile);
    TRY_DONE(t->fn(t->user, tile, y, err));
    blend(t, y, sy, sx, out, weights);
done:
    tensor_unref(tile);
    tensor_unref(y);
    return status;
}

static void divide(Tensor *out, const Tensor *weights)
{
    int64_t plane = tensor_count(weights);
    float *o = tensor_f32(out);
    const float *w = tensor_f32(weights);

    for (int64_t c = 0; c < out->shape[0]; c++)
        for (int64_t i = 0; i < plane; i++)
            o[c * plane + i] /= w[i];
}

Status tiling_run(const Tiling *t, const Tensor *x, Tensor *out, Error *err)
{
    Status status = OK;
    Tensor *weights = NULL;
    Span sy, sx;

    if (t->overlap < 0 || t->overlap >= t->tile_x || t->overlap >= t->tile_y)
        return error_set(err, E_RANGE, "an overlap of %lld does not fit tiles of %lld x %lld",
                         (long long)t->overlap, (long long)t->tile_x, (long long)t->tile_y);
    if (x->shape[1] <= t->tile_y && x->shape[2] <= t->tile_x)
        return t->fn(t->user, x, out, err);
    TRY(tensor_zeros(K_F32, 2, (int64_t[]){ out->shape[1], out->shape[2] }, &weights, err));
    tensor_fill(out, 0);
    for (int64_t i = 0; span_at(t, x->shape[1], t->tile_y, i, &sy); i++)
        for (int64_t j = 0; span_at(t, x->shape[2], t->tile_x, j, &sx); j++)
            TRY_DONE(run_tile(t, x, &sy, &sx, out, weights, err));
    divide(out, weights);
done:
    tensor_unref(weights);
    return status;
}
