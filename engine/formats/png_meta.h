/* png_meta.h - text that travels inside pictures: the workflow that made them.
 *
 * ComfyUI writes `prompt` and `workflow` as tEXt chunks of a PNG, and into WebP as EXIF strings
 * "prompt:{...}" (tag Model) and "workflow:{...}" (tag Make and those below it).
 */
#ifndef WEFT_FORMATS_PNG_META_H
#define WEFT_FORMATS_PNG_META_H

#include "engine/base/status.h"

typedef struct MetaText {
    const char *key;  /* UTF-8 */
    const char *text; /* UTF-8, NUL-ended */
    size_t length;
    bool intact; /* false: the chunk's checksum is wrong, the text was taken all the same */
} MetaText;

/* All texts of a picture, in file order. */
typedef struct Meta {
    struct Arena *arena; /* owned */
    MetaText *texts;
    size_t count;
    bool cut; /* the file ends before the picture does */
} Meta;

/* PNG: tEXt, zTXt, iTXt, and EXIF strings of the form key:text. WebP and JPEG: such EXIF strings, other
 * EXIF strings under "exif:<tag in hex>", and an XMP packet as "XML:com.adobe.xmp". A broken chunk is
 * passed over. Errors: E_FORMAT when the bytes are none of the three, E_NOMEM. */
Status meta_read(const uint8_t *bytes, size_t size, Meta **out, Error *err);
void meta_free(Meta *m);
/* The last text of that key, NULL when absent. */
const MetaText *meta_get(const Meta *m, const char *key);

typedef struct PngText {
    const char *key;  /* 1 to 79 bytes of printable Latin-1 */
    const char *text; /* ASCII or Latin-1, written as it is */
} PngText;

/* A copy of the PNG with one tEXt chunk per text behind its IHDR (mem_free). Errors: E_FORMAT when the
 * bytes are no PNG, E_RANGE for a key that PNG does not allow, E_NOMEM. */
Status png_add_text(const uint8_t *png, size_t size, const PngText *texts, size_t count,
                    uint8_t **out, size_t *out_size, Error *err);

#endif
