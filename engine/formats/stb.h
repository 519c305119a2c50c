/* stb.h - stb_image and stb_image_write behind five calls (only image.c). */
#ifndef WEFT_FORMATS_STB_H
#define WEFT_FORMATS_STB_H

#include "engine/base/status.h"

/* Decoded samples; `data` is freed with mem_free. */
typedef struct StbPicture {
    void *data; /* uint8_t or uint16_t [height, width, channels] */
    int width, height;
    int channels; /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA */
    int bits;     /* 8 or 16 */
} StbPicture;

/* Reads width, height and channels from the header. E_FORMAT when stb does not know the file. */
Status stb_probe(const uint8_t *bytes, size_t size, int *width, int *height, int *channels,
                 Error *err);

/* Decodes the whole file. `limit` bounds each single block of memory that decoding may ask for, so that a
 * small file cannot inflate without end. Errors: E_FORMAT with stb's reason, E_LIMIT, E_NOMEM. */
Status stb_decode(const uint8_t *bytes, size_t size, size_t limit, StbPicture *out, Error *err);

/* Calls take(user, rgba, width, height) for each frame of a GIF; rgba is only valid during the call.
 * A broken frame behind a good one ends the film without an error. */
typedef Status (*StbFrameFn)(void *user, const uint8_t *rgba, int width, int height);
Status stb_decode_gif(const uint8_t *bytes, size_t size, size_t limit, StbFrameFn take,
                      void *user, Error *err);

/* A PNG of 8-bit samples (mem_free); Up filter, zlib's run-length strategy. Errors: E_LIMIT, E_NOMEM. */
Status stb_encode_png(const uint8_t *pixels, int width, int height, int channels, uint8_t **out,
                      size_t *size, Error *err);

#endif
