/* image.c - pictures: files to float tensors, samples to PNG. */
#include "engine/formats/image.h"

#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/formats/chunks.h"
#include "engine/formats/stb.h"

/* ---- headers ------------------------------------------------------------------------------------------- */

static int load_be32(const uint8_t *p)
{
    return (int)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

static int load_le(const uint8_t *p, int n)
{
    int v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* IHDR and whether a tRNS chunk follows. Colour types: 0 grey, 2 RGB, 3 palette, 4 and 6 with alpha. */
typedef struct PngHead {
    int width, height, color;
    bool transparency;
} PngHead;

static bool read_png_head(const uint8_t *bytes, size_t size, PngHead *out)
{
    size_t at = 0;
    Chunk k;

    if (!chunk_next(CONTAINER_PNG, bytes, size, &at, &k) || k.size < 13 ||
        k.type != CHUNK_TYPE('I', 'H', 'D', 'R'))
        return false;
    *out = (PngHead){ load_be32(k.data), load_be32(k.data + 4), k.data[9], false };
    while (chunk_next(CONTAINER_PNG, bytes, size, &at, &k))
        if (k.type == CHUNK_TYPE('t', 'R', 'N', 'S')) out->transparency = true;
    return true;
}

static int png_channels(const PngHead *h)
{
    int color = h->color == 0 || h->color == 4 ? 1 : 3;

    return color + (h->color >= 4 || h->transparency ? 1 : 0);
}

/* The three kinds of WebP picture chunk: lossy, lossless, extended (WebP container specification). */
static bool read_webp_head(const uint8_t *bytes, size_t size, ImageInfo *info)
{
    size_t at = 0;
    Chunk k;

    if (!chunk_next(CONTAINER_WEBP, bytes, size, &at, &k) || k.size < 10) return false;
    info->channels = 3;
    if (k.type == CHUNK_TYPE('V', 'P', '8', ' ')) {
        info->width = load_le(k.data + 6, 2) & 0x3FFF;
        info->height = load_le(k.data + 8, 2) & 0x3FFF;
    } else if (k.type == CHUNK_TYPE('V', 'P', '8', 'L')) {
        info->width = 1 + (load_le(k.data + 1, 2) & 0x3FFF);
        info->height = 1 + (load_le(k.data + 2, 3) >> 6 & 0x3FFF);
        info->channels = (k.data[4] & 0x10) != 0 ? 4 : 3;
    } else if (k.type == CHUNK_TYPE('V', 'P', '8', 'X')) {
        info->width = 1 + load_le(k.data + 4, 3);
        info->height = 1 + load_le(k.data + 7, 3);
        info->channels = (k.data[0] & 0x10) != 0 ? 4 : 3;
    } else {
        return false;
    }
    return true;
}

static Status read_head(Container c, const uint8_t *bytes, size_t size, ImageInfo *info,
                        Error *err)
{
    PngHead png;

    if (c == CONTAINER_UNKNOWN) {
        error_set(err, E_FORMAT, "no picture format that is known");
        error_fix(err, "use PNG, JPEG, GIF or BMP");
        return E_FORMAT;
    }
    if (c == CONTAINER_PNG) {
        if (!read_png_head(bytes, size, &png))
            return error_set(err, E_FORMAT, "broken PNG header");
        info->width = png.width;
        info->height = png.height;
        info->channels = png_channels(&png);
        return OK;
    }
    if (c != CONTAINER_WEBP)
        return stb_probe(bytes, size, &info->width, &info->height, &info->channels, err);
    return read_webp_head(bytes, size, info) ? OK
                                             : error_set(err, E_FORMAT, "broken WebP header");
}

static Status check_size(const ImageInfo *info, Error *err)
{
    int64_t pixels = (int64_t)info->width * info->height;

    if (info->width <= 0 || info->height <= 0)
        return error_set(err, E_FORMAT, "a picture of %d x %d pixels", info->width,
                         info->height);
    if (pixels > IMAGE_MAX_PIXELS) {
        error_set(err, E_LIMIT, "a picture of %d x %d pixels is over the limit of %d pixels",
                  info->width, info->height, (int)IMAGE_MAX_PIXELS);
        error_fix(err, "make it smaller");
        return E_LIMIT;
    }
    return OK;
}

/* As stored, before the orientation. */
static Status read_info(Container c, const uint8_t *bytes, size_t size, ImageInfo *info,
                        Error *err)
{
    *info = (ImageInfo){ .format = container_name(c) };
    TRY(read_head(c, bytes, size, info, err));
    TRY(check_size(info, err));
    info->orientation = exif_orientation(c, bytes, size);
    return OK;
}

Status image_probe(const uint8_t *bytes, size_t size, ImageInfo *out, Error *err)
{
    ImageInfo info;

    TRY(read_info(container_of(bytes, size), bytes, size, &info, err));
    if (info.orientation >= 5) {
        int swap = info.width;

        info.width = info.height;
        info.height = swap;
    }
    *out = info;
    return OK;
}

/* ---- samples to tensors ---------------------------------------------------------------------------------- */

/* One 8-bit value of sample c of pixel i. */
static uint8_t sample8(const StbPicture *p, size_t i, int c)
{
    size_t at = i * (size_t)p->channels + (size_t)c;
    uint16_t v;

    if (p->bits == 8) return ((const uint8_t *)p->data)[at];
    v = ((const uint16_t *)p->data)[at];
    if (p->channels <= 2 && c == 0) return (uint8_t)(v < 255 ? v : 255);
    return (uint8_t)(v >> 8);
}

/* How the shown picture reads the stored one: stored = origin + x * right + y * down, in pixels. */
typedef struct Walk {
    int64_t origin, right, down;
    int64_t width, height; /* as shown */
} Walk;

/* EXIF orientations: 1 upright, 2 mirrored, 3 half turn, 4 flipped, 5 transposed, 6 a quarter turn
 * clockwise to show, 7 transversed, 8 a quarter turn counter-clockwise. */
static Walk walk_for(int orientation, int64_t w, int64_t h)
{
    const int64_t last_x = w - 1, last_y = (h - 1) * w;
    const Walk walks[] = {
        { 0, 1, w, w, h },
        { last_x, -1, w, w, h },
        { last_x + last_y, -1, -w, w, h },
        { last_y, 1, -w, w, h },
        { 0, w, 1, h, w },
        { last_y, -w, 1, h, w },
        { last_x + last_y, -w, -1, h, w },
        { last_x, w, -1, h, w },
    };

    return walks[orientation - 1];
}

static void copy_pixel(const StbPicture *p, size_t from, float *rgb, float *alpha)
{
    bool grey = p->channels <= 2;

    for (int c = 0; c < 3; c++)
        rgb[c] = (float)sample8(p, from, grey ? 0 : c) / 255.0f;
    if (alpha) *alpha = (float)sample8(p, from, p->channels - 1) / 255.0f;
}

/* Writes one frame of the image. */
static void fill_frame(const StbPicture *p, const Walk *w, Image *out, int64_t frame)
{
    int64_t pixels = w->width * w->height;
    float *rgb = tensor_f32(out->rgb) + frame * pixels * 3;
    float *alpha = out->alpha ? tensor_f32(out->alpha) + frame * pixels : NULL;

    for (int64_t y = 0; y < w->height; y++)
        for (int64_t x = 0; x < w->width; x++) {
            int64_t to = y * w->width + x;

            copy_pixel(p, (size_t)(w->origin + x * w->right + y * w->down), rgb + to * 3,
                       alpha ? alpha + to : NULL);
        }
}

static Status make_tensors(const Walk *w, int64_t frames, bool alpha, Image *out, Error *err)
{
    const int64_t shape[] = { frames, w->height, w->width, 3 };

    TRY(tensor_new(K_F32, 4, shape, &out->rgb, err));
    if (alpha) TRY(tensor_new(K_F32, 3, shape, &out->alpha, err));
    return OK;
}

/* ---- films -------------------------------------------------------------------------------------------------- */

typedef struct Frames {
    uint8_t *data; /* owned; RGBA frames one after the other */
    size_t count, capacity;
    int width, height;
    bool transparent; /* some pixel of some frame is */
    Error *err;
} Frames;

static Status reserve_frame(Frames *f, size_t bytes)
{
    size_t wanted = f->capacity ? f->capacity * 2 : 1;
    uint8_t *data;

    if (f->count < f->capacity) return OK;
    if ((f->count + 1) * (bytes / 4) > IMAGE_MAX_PIXELS)
        return error_set(f->err, E_LIMIT, "the film has more than %d pixels in all",
                         (int)IMAGE_MAX_PIXELS);
    data = mem_realloc(f->data, wanted * bytes);
    if (!data) return error_set(f->err, E_NOMEM, "out of memory while decoding a film");
    f->data = data;
    f->capacity = wanted;
    return OK;
}

static Status take_frame(void *user, const uint8_t *rgba, int width, int height)
{
    Frames *f = user;
    size_t bytes = (size_t)width * (size_t)height * 4;

    TRY(reserve_frame(f, bytes));
    memcpy(f->data + f->count * bytes, rgba, bytes);
    for (size_t i = 3; i < bytes && !f->transparent; i += 4)
        f->transparent = rgba[i] != 255;
    f->width = width;
    f->height = height;
    f->count++;
    return OK;
}

static Status decode_film(const uint8_t *bytes, size_t size, size_t limit, Image *out,
                          Error *err)
{
    Frames f = { .err = err };
    Walk w;
    Status status;

    TRY_DONE(stb_decode_gif(bytes, size, limit, take_frame, &f, err));
    w = walk_for(1, f.width, f.height);
    TRY_DONE(make_tensors(&w, (int64_t)f.count, f.transparent, out, err));
    out->masked = f.transparent;
    for (size_t i = 0; i < f.count; i++) {
        StbPicture p = { .data = f.data + i * (size_t)(w.width * w.height) * 4,
                         .channels = 4,
                         .bits = 8 };

        fill_frame(&p, &w, out, (int64_t)i);
    }
done:
    mem_free(f.data);
    return status;
}

/* ---- stills -------------------------------------------------------------------------------------------------- */

/* Whether LoadImage makes a mask of the alpha that was decoded. */
static bool makes_mask(Container c, const uint8_t *bytes, size_t size)
{
    PngHead h;

    if (c != CONTAINER_PNG || !read_png_head(bytes, size, &h)) return true;
    return h.color == 3 || h.color == 4 || h.color == 6;
}

static Status decode_still(Container c, const uint8_t *bytes, size_t size, size_t limit,
                           const ImageInfo *info, Image *out, Error *err)
{
    StbPicture p = { 0 };
    Walk w;
    Status status;

    TRY(stb_decode(bytes, size, limit, &p, err));
    w = walk_for(info->orientation, p.width, p.height);
    status = make_tensors(&w, 1, p.channels == 2 || p.channels == 4, out, err);
    if (status == OK) {
        out->masked = out->alpha && makes_mask(c, bytes, size);
        fill_frame(&p, &w, out, 0);
    }
    mem_free(p.data);
    return status;
}

/* The largest block that decoding an honest file of this size asks for: samples of 16 bits in four
 * channels or progressive JPEG's coefficients, or twice the file. */
static size_t decode_limit(const ImageInfo *info, size_t size)
{
    return (size_t)info->width * (size_t)info->height * 12 + 2 * size + (1 << 20);
}

Status image_decode(const uint8_t *bytes, size_t size, Image *out, Error *err)
{
    Container c = container_of(bytes, size);
    Image image = { 0 };
    ImageInfo info;
    Status status;

    TRY(read_info(c, bytes, size, &info, err));
    if (c == CONTAINER_WEBP) {
        error_set(err, E_UNSUPPORTED, "the pixels of a WebP picture cannot be read");
        error_fix(err, "convert it to PNG");
        return E_UNSUPPORTED;
    }
    if (c == CONTAINER_GIF)
        status = decode_film(bytes, size, decode_limit(&info, size), &image, err);
    else
        status = decode_still(c, bytes, size, decode_limit(&info, size), &info, &image, err);
    if (status == OK)
        *out = image;
    else
        image_fini(&image);
    return status;
}

void image_fini(Image *image)
{
    tensor_unref(image->rgb);
    tensor_unref(image->alpha);
    *image = (Image){ 0 };
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

Status image_encode_png(const uint8_t *pixels, int width, int height, int channels,
                        const PngText *texts, size_t text_count, uint8_t **out, size_t *size,
                        Error *err)
{
    uint8_t *plain = NULL;
    size_t plain_size = 0;
    Status status;

    if (width <= 0 || height <= 0 || channels < 1 || channels > 4)
        return error_set(err, E_RANGE, "no PNG has %d x %d pixels of %d channels", width,
                         height, channels);
    TRY(stb_encode_png(pixels, width, height, channels, &plain, &plain_size, err));
    if (text_count == 0) {
        *out = plain;
        *size = plain_size;
        return OK;
    }
    status = png_add_text(plain, plain_size, texts, text_count, out, size, err);
    mem_free(plain);
    return status;
}

Status image_write_png(const char *path, const uint8_t *pixels, int width, int height,
                       int channels, const PngText *texts, size_t text_count, Error *err)
{
    uint8_t *png = NULL;
    size_t size = 0;
    Status status;

    TRY(image_encode_png(pixels, width, height, channels, texts, text_count, &png, &size, err));
    status = file_write(path, png, size, err);
    mem_free(png);
    return status;
}
