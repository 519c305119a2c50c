/* arrange.c - cutting, turning, stitching and batching. */
#include "engine/imaging/arrange.h"

#include <math.h>
#include <string.h>

static int64_t product(const int64_t *v, int n)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p *= v[i];
    return p;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

Status tensor_narrow(const Tensor *x, int dim, int64_t from, int64_t count, Tensor **out,
                     Error *err)
{
    int64_t shape[K_MAX_DIMS], n = x->shape[dim];
    int64_t inner = product(x->shape + dim + 1, x->ndim - dim - 1);
    if (from < 0 || count < 1 || from > n - count)
        return error_set(err, E_RANGE, "%lld from %lld on do not lie within %lld",
                         (long long)count, (long long)from, (long long)n);
    memcpy(shape, x->shape, sizeof shape);
    shape[dim] = count;
    TRY(tensor_new(K_F32, x->ndim, shape, out, err));
    for (int64_t i = 0; i < product(x->shape, dim); i++)
        memcpy(tensor_f32(*out) + i * count * inner, tensor_f32(x) + (i * n + from) * inner,
               (size_t)(count * inner) * sizeof(float));
    return OK;
}

Status image_crop(const Tensor *image, int64_t x, int64_t y, int64_t width, int64_t height,
                  Tensor **out, Error *err)
{
    int64_t h = image->shape[1], w = image->shape[2];
    Tensor *rows = NULL;
    x = least(x, w - 1);
    y = least(y, h - 1);
    TRY(tensor_narrow(image, 1, y, least(height, h - y), &rows, err));
    Status status = tensor_narrow(rows, 2, x, least(width, w - x), out, err);
    tensor_unref(rows);
    return status;
}

Status tensor_flip(const Tensor *x, int dim, Tensor **out, Error *err)
{
    int64_t n = x->shape[dim], inner = product(x->shape + dim + 1, x->ndim - dim - 1);
    TRY(tensor_new(K_F32, x->ndim, x->shape, out, err));
    for (int64_t i = 0; i < product(x->shape, dim); i++)
        for (int64_t k = 0; k < n; k++)
            memcpy(tensor_f32(*out) + (i * n + k) * inner,
                   tensor_f32(x) + (i * n + n - 1 - k) * inner, (size_t)inner * sizeof(float));
    return OK;
}

/* One quarter clockwise: out[c][h-1-r] = in[r][c]. */
static Status quarter(const Tensor *x, int row, Tensor **out, Error *err)
{
    int64_t shape[K_MAX_DIMS], h = x->shape[row], w = x->shape[row + 1];
    int64_t inner = product(x->shape + row + 2, x->ndim - row - 2);
    memcpy(shape, x->shape, sizeof shape);
    shape[row] = w;
    shape[row + 1] = h;
    TRY(tensor_new(K_F32, x->ndim, shape, out, err));
    for (int64_t i = 0; i < product(x->shape, row) * h * w; i++) {
        int64_t item = i / (h * w), r = i / w % h, c = i % w;
        memcpy(tensor_f32(*out) + ((item * w + c) * h + h - 1 - r) * inner,
               tensor_f32(x) + i * inner, (size_t)inner * sizeof(float));
    }
    return OK;
}

Status tensor_turn(const Tensor *x, int row, int quarters, Tensor **out, Error *err)
{
    Tensor *now = tensor_ref(x);
    for (int i = 0; i < (quarters & 3); i++) {
        Tensor *next = NULL;
        Status status = quarter(now, row, &next, err);
        tensor_unref(now);
        TRY(status);
        now = next;
    }
    *out = now;
    return OK;
}

/* ---- batches ------------------------------------------------------------------------------------ */

Status tensor_to_batch(const Tensor *x, int64_t batch, Tensor **out, Error *err)
{
    int64_t shape[K_MAX_DIMS], n = x->shape[0], item = product(x->shape + 1, x->ndim - 1);
    if (n == batch) {
        *out = tensor_ref(x);
        return OK;
    }
    memcpy(shape, x->shape, sizeof shape);
    shape[0] = batch;
    TRY(tensor_new(K_F32, x->ndim, shape, out, err));
    for (int64_t i = 0; i < batch; i++)
        memcpy(tensor_f32(*out) + i * item, tensor_f32(x) + i % n * item,
               (size_t)item * sizeof(float));
    return OK;
}

Status image_with_channels(const Tensor *x, int64_t channels, Tensor **out, Error *err)
{
    int64_t old = x->shape[3], pixels = tensor_count(x) / old;
    if (old == channels) {
        *out = tensor_ref(x);
        return OK;
    }
    TRY(tensor_new(K_F32, 4, (int64_t[]){ x->shape[0], x->shape[1], x->shape[2], channels },
                   out, err));
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c++)
            tensor_f32(*out)[i * channels + c] = c < old ? tensor_f32(x)[i * old + c] : 1;
    return OK;
}

enum { JOIN_MAX = 64 };

typedef Status (*ResizeFn)(const Tensor *, int64_t, int64_t, ResizeMethod, bool, Tensor **,
                           Error *);

/* Fits all to the first one's plane (its dimensions row and row + 1) and puts them behind one another. */
static Status join(const Tensor *const *items, int n, int row, ResizeFn resize, Tensor **out,
                   Error *err)
{
    Tensor *fitted[JOIN_MAX] = { NULL };
    const int64_t *first = items[0]->shape;
    Status status = OK;
    if (n > JOIN_MAX) return error_set(err, E_LIMIT, "at most %d can be joined", JOIN_MAX);
    for (int i = 0; i < n; i++) {
        const int64_t *s = items[i]->shape;
        if (s[row] == first[row] && s[row + 1] == first[row + 1])
            fitted[i] = tensor_ref(items[i]);
        else
            TRY_DONE(resize(items[i], first[row + 1], first[row], RESIZE_BILINEAR, true,
                            &fitted[i], err));
    }
    status = tensor_concat((const Tensor *const *)fitted, n, 0, out, err);
done:
    for (int i = 0; i < n; i++)
        tensor_unref(fitted[i]);
    return status;
}

Status image_join(const Tensor *const *images, int n, Tensor **out, Error *err)
{
    Tensor *even[JOIN_MAX] = { NULL };
    int64_t channels = 1;
    Status status = OK;
    if (n > JOIN_MAX) return error_set(err, E_LIMIT, "at most %d can be joined", JOIN_MAX);
    for (int i = 0; i < n; i++)
        if (images[i]->shape[3] > channels) channels = images[i]->shape[3];
    for (int i = 0; i < n; i++)
        TRY_DONE(image_with_channels(images[i], channels, &even[i], err));
    status = join((const Tensor *const *)even, n, 1, resize_nhwc, out, err);
done:
    for (int i = 0; i < n; i++)
        tensor_unref(even[i]);
    return status;
}

Status mask_join(const Tensor *const *masks, int n, Tensor **out, Error *err)
{
    return join(masks, n, 1, resize_mask, out, err);
}

Status planes_join(const Tensor *const *planes, int n, Tensor **out, Error *err)
{
    return join(planes, n, 2, resize_nchw, out, err);
}

/* ---- stitching ------------------------------------------------------------------------------------ */

/* [B,H,W,C] in the middle of height x width; the odd pixel goes behind. */
static Status pad_to(const Tensor *x, int64_t height, int64_t width, float fill, Tensor **out,
                     Error *err)
{
    const int64_t *s = x->shape;
    int64_t top = (height - s[1]) / 2, left = (width - s[2]) / 2;
    TRY(tensor_new(K_F32, 4, (int64_t[]){ s[0], height, width, s[3] }, out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] = fill;
    for (int64_t i = 0; i < s[0] * s[1]; i++) {
        int64_t row = i / s[1] * height + top + i % s[1];
        memcpy(tensor_f32(*out) + (row * width + left) * s[3], tensor_f32(x) + i * s[2] * s[3],
               (size_t)(s[2] * s[3]) * sizeof(float));
    }
    return OK;
}

/* The last picture repeated until there are `batch`. */
static Status lengthen(const Tensor *x, int64_t batch, Tensor **out, Error *err)
{
    int64_t n = x->shape[0], item = tensor_count(x) / n;
    if (n >= batch) {
        *out = tensor_ref(x);
        return OK;
    }
    TRY(tensor_new(K_F32, 4, (int64_t[]){ batch, x->shape[1], x->shape[2], x->shape[3] }, out,
                   err));
    for (int64_t i = 0; i < batch; i++)
        memcpy(tensor_f32(*out) + i * item, tensor_f32(x) + least(i, n - 1) * item,
               (size_t)item * sizeof(float));
    return OK;
}

static Status match_size(const Tensor *a, const Tensor *b, bool across, Tensor **out,
                         Error *err)
{
    double aspect = (double)b->shape[2] / (double)b->shape[1];
    int64_t h = a->shape[1], w = a->shape[2];
    if (across)
        w = (int64_t)((double)h * aspect);
    else
        h = (int64_t)((double)w / aspect);
    return resize_nhwc(b, w, h, RESIZE_LANCZOS, false, out, err);
}

/* Pads one picture on the axis that must agree. */
static Status align(const Tensor *x, const Tensor *other, bool across, float fill, Tensor **out,
                    Error *err)
{
    int64_t h = x->shape[1], w = x->shape[2];
    if (across && other->shape[1] > h) h = other->shape[1];
    if (!across && other->shape[2] > w) w = other->shape[2];
    return pad_to(x, h, w, fill, out, err);
}

static float color_channel(const char *color, int64_t channel)
{
    static const char *const single[] = { "red", "green", "blue" };
    if (channel == 3 || strcmp(color, "white") == 0) return 1;
    return channel < 3 && strcmp(color, single[channel]) == 0;
}

/* The strip between two pictures, as high (or wide) as the first. */
static Status strip(const Tensor *like, bool across, const Stitch *s, Tensor **out, Error *err)
{
    int64_t width = s->spacing + s->spacing % 2, c = like->shape[3];
    TRY(tensor_new(K_F32, 4,
                   (int64_t[]){ like->shape[0], across ? like->shape[1] : width,
                                across ? width : like->shape[2], c },
                   out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] = color_channel(s->color, i % c);
    return OK;
}

static Status stitch_even(const Tensor *a, const Tensor *b, bool across, const Stitch *s,
                          Tensor **out, Error *err)
{
    bool first = strcmp(s->direction, "right") == 0 || strcmp(s->direction, "down") == 0;
    const Tensor *parts[3] = { first ? a : b, first ? b : a, NULL };
    Tensor *between = NULL;
    if (s->spacing > 0) {
        TRY(strip(a, across, s, &between, err));
        parts[2] = parts[1];
        parts[1] = between;
    }
    Status status = tensor_concat(parts, between ? 3 : 2, across ? 2 : 1, out, err);
    tensor_unref(between);
    return status;
}

Status image_stitch(const Tensor *a, const Tensor *b, const Stitch *s, Tensor **out, Error *err)
{
    bool across = strcmp(s->direction, "right") == 0 || strcmp(s->direction, "left") == 0;
    float fill = strcmp(s->color, "white") == 0;
    Tensor *a1 = NULL, *b1 = NULL, *a2 = NULL, *b2 = NULL, *a3 = NULL, *b3 = NULL;
    Status status = OK;
    if (!b) {
        *out = tensor_ref(a);
        return OK;
    }
    TRY_DONE(lengthen(a, b->shape[0], &a1, err));
    TRY_DONE(lengthen(b, a->shape[0], &b1, err));
    if (s->match) {
        a2 = tensor_ref(a1);
        TRY_DONE(match_size(a1, b1, across, &b2, err));
    } else {
        TRY_DONE(align(a1, b1, across, fill, &a2, err));
        TRY_DONE(align(b1, a1, across, fill, &b2, err));
    }
    int64_t channels = a->shape[3] > b->shape[3] ? a->shape[3] : b->shape[3];
    TRY_DONE(image_with_channels(a2, channels, &a3, err));
    TRY_DONE(image_with_channels(b2, channels, &b3, err));
    status = stitch_even(a3, b3, across, s, out, err);
done:
    tensor_unref(a1);
    tensor_unref(b1);
    tensor_unref(a2);
    tensor_unref(b2);
    tensor_unref(a3);
    tensor_unref(b3);
    return status;
}

Status image_fit(const Tensor *image, int64_t width, int64_t height, float fill,
                 ResizeMethod method, Tensor **out, Error *err)
{
    double w = (double)image->shape[2], h = (double)image->shape[1];
    double scale = fmin((double)width / w, (double)height / h);
    Tensor *resized = NULL;
    TRY(resize_nhwc(image, (int64_t)(w * scale), (int64_t)(h * scale), method, false, &resized,
                    err));
    Status status = pad_to(resized, height, width, fill, out, err);
    tensor_unref(resized);
    return status;
}

/* ---- sizes ------------------------------------------------------------------------------------------ */

static int64_t follow(int64_t side, int64_t other, int64_t size)
{
    return (int64_t)rint((double)side / (double)other * (double)size);
}

Size2 size_longest(Size2 image, int64_t size)
{
    if (image.height > image.width)
        return (Size2){ follow(image.width, image.height, size), size };
    return (Size2){ size, image.width > image.height ? follow(image.height, image.width, size)
                                                     : size };
}

Size2 size_shortest(Size2 image, int64_t size)
{
    if (image.height < image.width)
        return (Size2){ follow(image.width, image.height, size), size };
    return (Size2){ size, image.width < image.height ? follow(image.height, image.width, size)
                                                     : size };
}

Size2 size_cover_multiple(Size2 image, int64_t multiple, Size2 *target)
{
    Size2 t = { image.width / multiple * multiple, image.height / multiple * multiple };
    bool stays = multiple <= 1 || t.width == 0 || t.height == 0 ||
                 (t.width == image.width && t.height == image.height);
    *target = stays ? (Size2){ 0, 0 } : t;
    if (stays) return image;
    double sw = (double)t.width / (double)image.width,
           sh = (double)t.height / (double)image.height;
    Size2 size = t;
    if (sw >= sh)
        size.height = (int64_t)ceil((double)image.height * sw);
    else
        size.width = (int64_t)ceil((double)image.width * sh);
    if (size.height < t.height) size.height = t.height;
    if (size.width < t.width) size.width = t.width;
    return size;
}
