/* stb.c - the one file that compiles stb_image and stb_image_write, and guards what they lack.
 *
 * stb's hooks take no context, so the bound on one decoding stands in a thread-local struct, set on entry
 * and read by the allocator. stb's own loop over GIF frames reads before its buffer when a frame asks
 * for the picture before the last one: the loop here keeps that picture itself.
 */
#include "engine/formats/stb.h"

#include <limits.h>
#include <string.h>
#include <pthread.h>
#include <zlib.h>

#include "engine/base/mem.h"

typedef struct Bound {
    size_t limit;
    bool refused, exhausted; /* an allocation was too large, or the heap had none left */
} Bound;

static _Thread_local Bound bound;

static void *bounded_realloc(void *p, size_t size)
{
    void *q;

    if (size > bound.limit) {
        bound.refused = true;
        return NULL;
    }
    q = p ? mem_realloc(p, size) : mem_alloc(size);
    if (!q) bound.exhausted = true;
    return q;
}

static unsigned char *compress_rows(unsigned char *data, int length, int *out_length,
                                    int quality);

/* The file-less builds declare functions that they do not define. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define STBI_MALLOC(size) bounded_realloc(NULL, size)
#define STBI_REALLOC(p, size) bounded_realloc(p, size)
#define STBI_FREE(p) mem_free(p)
#define STBI_ASSERT(x) ((void)0)
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_PIC
#define STBI_NO_PSD
#define STBI_NO_TGA
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include "stb_image.h"

#define STBIW_MALLOC(size) mem_alloc(size)
#define STBIW_REALLOC(p, size) mem_realloc(p, size)
#define STBIW_FREE(p) mem_free(p)
#define STBIW_ASSERT(x) ((void)0)
#define STBIW_ZLIB_COMPRESS compress_rows
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include "stb_image_write.h"

static Status failure(Error *err)
{
    const char *reason = stbi_failure_reason();

    if (bound.exhausted)
        return error_set(err, E_NOMEM, "out of memory while decoding a picture");
    if (bound.refused)
        return error_set(err, E_LIMIT,
                         "the picture's data unpack to more than its size allows");
    return error_set(err, E_FORMAT, "broken picture: %s", reason ? reason : "unknown format");
}

static Status start(size_t size, size_t limit, Error *err)
{
    bound = (Bound){ .limit = limit };
    if (size > INT_MAX) return error_set(err, E_LIMIT, "the picture file is larger than 2 GiB");
    return OK;
}

Status stb_probe(const uint8_t *bytes, size_t size, int *width, int *height, int *channels,
                 Error *err)
{
    enum { HEADER_LIMIT = 1 << 20 };

    TRY(start(size, HEADER_LIMIT, err));
    if (!stbi_info_from_memory(bytes, (int)size, width, height, channels)) return failure(err);
    return OK;
}

Status stb_decode(const uint8_t *bytes, size_t size, size_t limit, StbPicture *out, Error *err)
{
    StbPicture p = { .bits = 8 };

    TRY(start(size, limit, err));
    if (stbi_is_16_bit_from_memory(bytes, (int)size)) p.bits = 16;
    if (p.bits == 16)
        p.data =
            stbi_load_16_from_memory(bytes, (int)size, &p.width, &p.height, &p.channels, 0);
    else
        p.data = stbi_load_from_memory(bytes, (int)size, &p.width, &p.height, &p.channels, 0);
    if (!p.data) return failure(err);
    *out = p;
    return OK;
}

/* ---- GIF ---------------------------------------------------------------------------------------------- */

/* The two frames before the one that is drawn next; disposal method 3 goes back to the older. */
typedef struct Film {
    stbi__context context;
    stbi__gif gif;
    uint8_t *last, *older; /* owned; NULL until there are such frames */
    size_t bytes;          /* of one frame */
} Film;

static bool keep_frame(Film *f, const uint8_t *frame)
{
    uint8_t *swap = f->older;

    if (!swap) swap = bounded_realloc(NULL, f->bytes);
    if (!swap) return false;
    memcpy(swap, frame, f->bytes);
    f->older = f->last;
    f->last = swap;
    return true;
}

/* Draws the next frame; NULL at the end or where the file breaks. */
static const uint8_t *next_frame(Film *f)
{
    int channels = 0;
    stbi_uc *u = stbi__gif_load_next(&f->context, &f->gif, &channels, 4, f->older);

    return u == (stbi_uc *)&f->context ? NULL : u;
}

static Status play(Film *f, StbFrameFn take, void *user, Error *err)
{
    const uint8_t *frame;
    int count = 0;

    while ((frame = next_frame(f))) {
        f->bytes = (size_t)f->gif.w * (size_t)f->gif.h * 4;
        TRY(take(user, frame, f->gif.w, f->gif.h));
        if (!keep_frame(f, frame)) return failure(err);
        count++;
    }
    return count > 0 && !bound.exhausted ? OK : failure(err);
}

Status stb_decode_gif(const uint8_t *bytes, size_t size, size_t limit, StbFrameFn take,
                      void *user, Error *err)
{
    Film *f;
    Status status;

    TRY(start(size, limit, err));
    f = mem_calloc(1, sizeof *f); /* the LZW table makes it too large for the stack */
    if (!f) return error_set(err, E_NOMEM, "out of memory while decoding a picture");
    stbi__start_mem(&f->context, bytes, (int)size);
    f->gif.transparent = -1;
    status = play(f, take, user, err);
    mem_free(f->gif.out);
    mem_free(f->gif.background);
    mem_free(f->gif.history);
    mem_free(f->last);
    mem_free(f->older);
    mem_free(f);
    return status;
}

/* ---- PNG ---------------------------------------------------------------------------------------------- */

/* Run-length matches only: after the Up filter longer matches are rare, and looking for them costs ten
 * times as much. */
static unsigned char *compress_rows(unsigned char *data, int length, int *out_length,
                                    int quality)
{
    z_stream z = { 0 };
    unsigned char *out = NULL;
    uLong room;
    int code = Z_MEM_ERROR;

    if (deflateInit2(&z, quality, Z_DEFLATED, 15, 9, Z_RLE) != Z_OK) return NULL;
    room = deflateBound(&z, (uLong)length);
    if (room <= INT_MAX) out = mem_alloc(room);
    if (out) {
        z.next_in = data;
        z.avail_in = (unsigned)length;
        z.next_out = out;
        z.avail_out = (unsigned)room;
        code = deflate(&z, Z_FINISH);
        *out_length = (int)(room - z.avail_out);
    }
    deflateEnd(&z);
    if (code == Z_STREAM_END) return out;
    mem_free(out);
    return NULL;
}

enum { FILTER_UP = 2, ZLIB_LEVEL = 1 };

static pthread_once_t configured = PTHREAD_ONCE_INIT;

static void configure(void)
{
    stbi_write_force_png_filter = FILTER_UP;
    stbi_write_png_compression_level = ZLIB_LEVEL;
}

Status stb_encode_png(const uint8_t *pixels, int width, int height, int channels, uint8_t **out,
                      size_t *size, Error *err)
{
    int64_t bytes = ((int64_t)width * channels + 1) * height;
    int length = 0;
    uint8_t *png;

    if (bytes > INT_MAX / 2) {
        error_set(err, E_LIMIT, "a picture of %d x %d is too large for one PNG", width, height);
        error_fix(err, "save it in parts");
        return E_LIMIT;
    }
    pthread_once(&configured, configure);
    png = stbi_write_png_to_mem(pixels, 0, width, height, channels, &length);
    if (!png) return error_set(err, E_NOMEM, "out of memory while writing a picture");
    *out = png;
    *size = (size_t)length;
    return OK;
}
