/* mask.c - making and changing masks. */
#include "engine/imaging/mask.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/resize.h"

/* Masks come as [H,W] or [B,H,W]; all results are [B,H,W]. */
typedef struct Planes {
    int64_t n, h, w;
} Planes;

static Planes planes_of(const Tensor *mask)
{
    int d = mask->ndim;
    return (Planes){ d > 2 ? mask->shape[d - 3] : 1, mask->shape[d - 2], mask->shape[d - 1] };
}

static Status new_mask(Planes p, Tensor **out, Error *err)
{
    return tensor_new(K_F32, 3, (int64_t[]){ p.n, p.h, p.w }, out, err);
}

static Status copy_mask(const Tensor *mask, Tensor **out, Error *err)
{
    TRY(new_mask(planes_of(mask), out, err));
    memcpy((*out)->data, mask->data, (size_t)tensor_count(mask) * sizeof(float));
    return OK;
}

static float clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

Status mask_from_image(const Tensor *image, int channel, Tensor **out, Error *err)
{
    const int64_t *s = image->shape;
    if (channel >= s[3])
        return error_set(err, E_RANGE, "the picture has %lld channels, none is number %d",
                         (long long)s[3], channel + 1);
    TRY(new_mask((Planes){ s[0], s[1], s[2] }, out, err));
    const float *x = tensor_f32(image) + channel;
    float *y = tensor_f32(*out);
    for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++)
        y[i] = x[i * s[3]];
    return OK;
}

Status mask_from_color(const Tensor *image, int64_t rgb, Tensor **out, Error *err)
{
    const int64_t *s = image->shape;
    if (s[3] < 3) return error_set(err, E_RANGE, "a colour mask needs a picture of 3 channels");
    TRY(new_mask((Planes){ s[0], s[1], s[2] }, out, err));
    for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++) {
        const float *p = tensor_f32(image) + i * s[3];
        int64_t packed = 0;
        for (int c = 0; c < 3; c++)
            packed = packed << 8 | (int64_t)rintf(clamp01(p[c]) * 255.0f);
        tensor_f32(*out)[i] = packed == rgb ? 1 : 0;
    }
    return OK;
}

Status mask_to_image(const Tensor *mask, Tensor **out, Error *err)
{
    Planes p = planes_of(mask);
    TRY(tensor_new(K_F32, 4, (int64_t[]){ p.n, p.h, p.w, 3 }, out, err));
    for (int64_t i = 0; i < p.n * p.h * p.w; i++)
        for (int c = 0; c < 3; c++)
            tensor_f32(*out)[i * 3 + c] = tensor_f32(mask)[i];
    return OK;
}

Status mask_solid(float value, int64_t width, int64_t height, Tensor **out, Error *err)
{
    TRY(new_mask((Planes){ 1, height, width }, out, err));
    for (int64_t i = 0; i < width * height; i++)
        tensor_f32(*out)[i] = value;
    return OK;
}

Status mask_invert(const Tensor *mask, Tensor **out, Error *err)
{
    TRY(copy_mask(mask, out, err));
    float *y = tensor_f32(*out);
    for (int64_t i = 0; i < tensor_count(*out); i++)
        y[i] = 1.0f - y[i];
    return OK;
}

Status mask_threshold(const Tensor *mask, float value, Tensor **out, Error *err)
{
    TRY(copy_mask(mask, out, err));
    float *y = tensor_f32(*out);
    for (int64_t i = 0; i < tensor_count(*out); i++)
        y[i] = y[i] > value ? 1.0f : 0.0f;
    return OK;
}

Status mask_crop(const Tensor *mask, int64_t x, int64_t y, int64_t width, int64_t height,
                 Tensor **out, Error *err)
{
    Planes p = planes_of(mask);
    int64_t right = x + width < p.w ? x + width : p.w,
            bottom = y + height < p.h ? y + height : p.h;
    if (x < 0 || y < 0 || right <= x || bottom <= y)
        return error_set(err, E_RANGE,
                         "the window %lldx%lld at (%lld, %lld) lies outside a %lldx%lld mask",
                         (long long)width, (long long)height, (long long)x, (long long)y,
                         (long long)p.w, (long long)p.h);
    Planes q = { p.n, bottom - y, right - x };
    TRY(new_mask(q, out, err));
    for (int64_t b = 0; b < p.n; b++)
        for (int64_t r = 0; r < q.h; r++)
            memcpy(tensor_f32(*out) + (b * q.h + r) * q.w,
                   tensor_f32(mask) + (b * p.h + y + r) * p.w + x, (size_t)q.w * sizeof(float));
    return OK;
}

/* ---- growing ---------------------------------------------------------------------------------- */

/* Mirrored border of which the edge repeats: d c b a | a b c d | d c b a, one step outside. */
static int64_t mirror(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static float neighbour_best(const float *x, Planes p, int64_t r, int64_t c, bool grow,
                            bool tapered)
{
    float best = x[r * p.w + c];
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) {
            if (tapered && dx != 0 && dy != 0) continue;
            float v = x[mirror(r + dy, p.h) * p.w + mirror(c + dx, p.w)];
            if (grow ? v > best : v < best) best = v;
        }
    return best;
}

Status mask_grow(const Tensor *mask, int64_t expand, bool tapered, Tensor **out, Error *err)
{
    Planes p = planes_of(mask);
    int64_t rounds = expand < 0 ? -expand : expand, area = p.h * p.w;
    /* Past this many rounds nothing changes any more. */
    if (rounds > p.h + p.w) rounds = p.h + p.w;
    TRY(copy_mask(mask, out, err));
    float *work = mem_alloc_array((size_t)area, sizeof *work);
    if (!work) {
        tensor_unref(*out);
        *out = NULL;
        return error_set(err, E_NOMEM, "no memory to grow a mask");
    }
    for (int64_t b = 0; b < p.n; b++) {
        float *plane = tensor_f32(*out) + b * area;
        for (int64_t k = 0; k < rounds; k++) {
            memcpy(work, plane, (size_t)area * sizeof *work);
            for (int64_t i = 0; i < area; i++)
                plane[i] = neighbour_best(work, p, i / p.w, i % p.w, expand > 0, tapered);
        }
    }
    mem_free(work);
    return OK;
}

/* ---- feathering --------------------------------------------------------------------------------- */

static void scale_column(Tensor *mask, Planes p, int64_t column, float factor)
{
    for (int64_t i = 0; i < p.n * p.h; i++)
        tensor_f32(mask)[i * p.w + column] *= factor;
}

static void scale_row(Tensor *mask, Planes p, int64_t row, float factor)
{
    for (int64_t b = 0; b < p.n; b++)
        for (int64_t c = 0; c < p.w; c++)
            tensor_f32(mask)[(b * p.h + row) * p.w + c] *= factor;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

Status mask_feather(const Tensor *mask, int64_t left, int64_t top, int64_t right,
                    int64_t bottom, Tensor **out, Error *err)
{
    Planes p = planes_of(mask);
    left = least(left, p.w);
    right = least(right, p.w);
    top = least(top, p.h);
    bottom = least(bottom, p.h);
    TRY(copy_mask(mask, out, err));
    for (int64_t i = 0; i < left; i++)
        scale_column(*out, p, i, (float)((double)(i + 1) / (double)left));
    for (int64_t i = 0; i < right; i++)
        scale_column(*out, p, i == 0 ? 0 : p.w - i, (float)((double)(i + 1) / (double)right));
    for (int64_t i = 0; i < top; i++)
        scale_row(*out, p, i, (float)((double)(i + 1) / (double)top));
    for (int64_t i = 0; i < bottom; i++)
        scale_row(*out, p, i == 0 ? 0 : p.h - i, (float)((double)(i + 1) / (double)bottom));
    return OK;
}

/* ---- combining ------------------------------------------------------------------------------------ */

static const char *const op_names[MASK_OP_COUNT] = { "multiply", "add", "subtract",
                                                     "and",      "or",  "xor" };

bool mask_op_from_name(const char *name, MaskOp *out)
{
    for (int i = 0; i < MASK_OP_COUNT; i++) {
        if (strcmp(name, op_names[i]) != 0) continue;
        *out = (MaskOp)i;
        return true;
    }
    return false;
}

static float combine(float d, float s, MaskOp op)
{
    bool a = rintf(d) != 0, b = rintf(s) != 0;
    switch (op) {
    case MASK_MULTIPLY:
        return d * s;
    case MASK_ADD:
        return d + s;
    case MASK_SUBTRACT:
        return d - s;
    case MASK_AND:
        return a && b;
    case MASK_OR:
        return a || b;
    case MASK_XOR:
        return a != b;
    case MASK_OP_COUNT:
        break;
    }
    return d;
}

Status mask_composite(const Tensor *destination, const Tensor *source, int64_t x, int64_t y,
                      MaskOp op, Tensor **out, Error *err)
{
    Planes d = planes_of(destination), s = planes_of(source);
    int64_t right = least(x + s.w, d.w), bottom = least(y + s.h, d.h);
    if (d.n != s.n && s.n != 1)
        return error_set(err, E_SHAPE, "%lld source masks cannot go onto %lld", (long long)s.n,
                         (long long)d.n);
    TRY(copy_mask(destination, out, err));
    for (int64_t b = 0; b < d.n; b++)
        for (int64_t r = y; r < bottom; r++)
            for (int64_t c = x; c < right; c++) {
                float *to = tensor_f32(*out) + (b * d.h + r) * d.w + c;
                int64_t from = ((s.n == 1 ? 0 : b) * s.h + r - y) * s.w + c - x;
                *to = combine(*to, tensor_f32(source)[from], op);
            }
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] = clamp01(tensor_f32(*out)[i]);
    return OK;
}

/* ---- inpainting ------------------------------------------------------------------------------------ */

/* Along one axis: y[i] = is any of x[i-pad .. i-pad+k-1] set, with n entries `step` apart. */
static void line_any(const float *x, float *y, int64_t n, int64_t step, int64_t k)
{
    int64_t pad = k / 2;
    float set = 0;
    for (int64_t i = -pad; i < k - pad - 1; i++)
        if (i >= 0 && i < n) set += rintf(x[i * step]) > 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t enters = i + k - pad - 1, leaves = i - pad - 1;
        if (enters < n) set += rintf(x[enters * step]) > 0;
        if (leaves >= 0) set -= rintf(x[leaves * step]) > 0;
        y[i * step] = set > 0;
    }
}

Status mask_grow_for_inpaint(const Tensor *mask, int64_t k, Tensor **out, Error *err)
{
    Planes p = planes_of(mask);
    Tensor *rows = NULL;
    TRY(new_mask(p, out, err));
    Status status = new_mask(p, &rows, err);
    if (status != OK) {
        tensor_unref(*out);
        *out = NULL;
        return status;
    }
    for (int64_t r = 0; r < p.n * p.h; r++)
        line_any(tensor_f32(mask) + r * p.w, tensor_f32(rows) + r * p.w, p.w, 1, k > 0 ? k : 1);
    for (int64_t b = 0; b < p.n; b++)
        for (int64_t c = 0; c < p.w; c++)
            line_any(tensor_f32(rows) + b * p.h * p.w + c, tensor_f32(*out) + b * p.h * p.w + c,
                     p.h, p.w, k > 0 ? k : 1);
    tensor_unref(rows);
    return OK;
}

Status mask_neutralise(const Tensor *image, const Tensor *mask, Tensor **out, Error *err)
{
    const int64_t *s = image->shape;
    Planes p = planes_of(mask);
    if (p.h != s[1] || p.w != s[2])
        return error_set(err, E_SHAPE, "the mask is %lldx%lld, the picture %lldx%lld",
                         (long long)p.w, (long long)p.h, (long long)s[2], (long long)s[1]);
    TRY(tensor_clone(image, out, err));
    for (int64_t i = 0; i < s[0] * p.h * p.w; i++) {
        float keep =
            1.0f -
            rintf(tensor_f32(mask)[(i / (p.h * p.w)) % p.n * p.h * p.w + i % (p.h * p.w)]);
        float *pixel = tensor_f32(*out) + i * s[3];
        for (int64_t c = 0; c < s[3] && c < 3; c++)
            pixel[c] = (pixel[c] - 0.5f) * keep + 0.5f;
    }
    return OK;
}

/* ---- cropping to multiples -------------------------------------------------------------------------- */

/* x [n, h, w, inner] -> the central window. */
static Status crop_window(const Tensor *x, Planes p, int64_t inner, int64_t step, int ndim,
                          Tensor **out, Error *err)
{
    int64_t h = p.h / step * step, w = p.w / step * step, top = p.h % step / 2,
            left = p.w % step / 2;
    if (h == 0 || w == 0)
        return error_set(err, E_RANGE,
                         "%lldx%lld is smaller than the %lld pixels of one latent cell",
                         (long long)p.w, (long long)p.h, (long long)step);
    TRY(tensor_new(K_F32, ndim, (int64_t[]){ p.n, h, w, inner }, out, err));
    for (int64_t b = 0; b < p.n; b++)
        for (int64_t r = 0; r < h; r++)
            memcpy(tensor_f32(*out) + (b * h + r) * w * inner,
                   tensor_f32(x) + ((b * p.h + top + r) * p.w + left) * inner,
                   (size_t)(w * inner) * sizeof(float));
    return OK;
}

Status mask_crop_to_multiple(const Tensor *mask, int64_t step, Tensor **out, Error *err)
{
    return crop_window(mask, planes_of(mask), 1, step, 3, out, err);
}

Status image_crop_to_multiple(const Tensor *image, int64_t step, Tensor **out, Error *err)
{
    const int64_t *s = image->shape;
    return crop_window(image, (Planes){ s[0], s[1], s[2] }, s[3], step, 4, out, err);
}
