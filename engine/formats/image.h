/* image.h - pictures: files to float tensors, samples to PNG.
 *
 * Decodes PNG, JPEG, GIF, BMP and binary PNM (stb_image). WebP: its size and metadata are read, its pixels
 * are not (E_UNSUPPORTED). Every size is checked before memory is asked for.
 */
#ifndef WEFT_FORMATS_IMAGE_H
#define WEFT_FORMATS_IMAGE_H

#include "engine/formats/png_meta.h"
#include "engine/tensor/tensor.h"

/* Pillow refuses more than this as a decompression bomb. All frames of a film count together. */
enum { IMAGE_MAX_PIXELS = 178956970 };

typedef struct ImageInfo {
    const char *format; /* "PNG", "JPEG", "WebP", "GIF", "BMP", "PNM" */
    int width, height;  /* as shown: after the EXIF orientation */
    int channels;    /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; a palette counts as 3 or 4 */
    int orientation; /* EXIF, 1 to 8 */
} ImageInfo;

/* Reads the header. Errors: E_FORMAT, E_LIMIT (too many pixels). */
Status image_probe(const uint8_t *bytes, size_t size, ImageInfo *out, Error *err);

typedef struct Image {
    Tensor *rgb; /* [frames, height, width, 3] F32, sample/255; owned */
    Tensor *
        alpha; /* [frames, height, width] F32, 1 = opaque; NULL when the file has none; owned */
    bool
        masked; /* ComfyUI's LoadImage takes a mask from it: alpha channel or transparent palette, but
                      not a transparent colour of a grey or RGB PNG */
} Image;

/*
 * Decodes, turned upright by the EXIF orientation. GIF: all frames. 16-bit grey is clipped to 255 and not
 * scaled (what Pillow's conversion does), other 16-bit samples lose their low byte.
 * Errors: E_FORMAT, E_UNSUPPORTED (WebP pixels), E_LIMIT, E_NOMEM.
 */
Status image_decode(const uint8_t *bytes, size_t size, Image *out, Error *err);
void image_fini(Image *image);

/* pixels [height, width, channels], 8 bit, channels 1 to 4 -> a PNG (mem_free), with texts as tEXt chunks
 * behind the header. Errors: E_RANGE, E_LIMIT, E_NOMEM. */
Status image_encode_png(const uint8_t *pixels, int width, int height, int channels,
                        const PngText *texts, size_t text_count, uint8_t **out, size_t *size,
                        Error *err);
/* The same, into a file that appears whole or not at all. */
Status image_write_png(const char *path, const uint8_t *pixels, int width, int height,
                       int channels, const PngText *texts, size_t text_count, Error *err);

#endif
