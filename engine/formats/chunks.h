/* chunks.h - walks the chunks of PNG, WebP (RIFF) and JPEG files, and the tags of their EXIF block. */
#ifndef WEFT_FORMATS_CHUNKS_H
#define WEFT_FORMATS_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Container {
    CONTAINER_UNKNOWN,
    CONTAINER_PNG,
    CONTAINER_JPEG,
    CONTAINER_WEBP,
    CONTAINER_GIF,
    CONTAINER_BMP,
    CONTAINER_PNM
} Container;

/* Four letters as they stand in the file; for JPEG the marker byte. */
#define CHUNK_TYPE(a, b, c, d)                                                                 \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

typedef struct Chunk {
    uint32_t type;
    const uint8_t *data; /* borrowed; size bytes */
    size_t size;
    bool intact; /* its checksum is right, or the container has none */
} Chunk;

/* What the first bytes say. */
Container container_of(const uint8_t *bytes, size_t size);
const char *container_name(Container c);

/* The chunk at *at (start with 0), moving *at behind it. False at the end, at a chunk that reaches past
 * the end of the bytes, and for containers without chunks. JPEG: the segments before the picture data. */
bool chunk_next(Container c, const uint8_t *bytes, size_t size, size_t *at, Chunk *out);

/* Whether the file ends before its container does: a PNG without IEND, a RIFF shorter than it says, a JPEG without end. */
bool container_is_cut(Container c, const uint8_t *bytes, size_t size);

typedef struct ExifTag {
    uint16_t tag, type;
    const uint8_t *data; /* borrowed; the value's bytes, in the block's byte order */
    size_t size;
    bool big_endian;
} ExifTag;

/* The TIFF block of the picture's EXIF chunk; false when it has none. */
bool exif_find(Container c, const uint8_t *bytes, size_t size, const uint8_t **tiff,
               size_t *length);
/* The i-th tag of the block's first directory; false past its end. Tags whose value lies outside the
 * block come with size 0. */
bool exif_tag(const uint8_t *tiff, size_t length, size_t i, ExifTag *out);
/* EXIF orientation, 1 to 8; 1 when there is none. */
int exif_orientation(Container c, const uint8_t *bytes, size_t size);

#endif
