/* chunks.c - walks the chunks of PNG, WebP (RIFF) and JPEG files, and the tags of their EXIF block.
 *
 * Sources: PNG specification (chunk layout), WebP container specification, ITU T.81 annex B (JPEG
 * markers), TIFF 6.0 section 2 (directories), CIPA DC-008 (EXIF).
 */
#include "engine/formats/chunks.h"

#include <string.h>
#include <zlib.h>

enum { PNG_SIGNATURE = 8, PNG_FRAME = 12, RIFF_HEADER = 12, RIFF_FRAME = 8 };

static const struct Magic {
    Container container;
    size_t at, length;
    const char *bytes;
} magics[] = {
    { CONTAINER_PNG, 0, 8, "\x89PNG\r\n\x1A\n" },
    { CONTAINER_JPEG, 0, 3, "\xFF\xD8\xFF" },
    { CONTAINER_WEBP, 8, 4, "WEBP" },
    { CONTAINER_GIF, 0, 6, "GIF87a" },
    { CONTAINER_GIF, 0, 6, "GIF89a" },
    { CONTAINER_BMP, 0, 2, "BM" },
    { CONTAINER_PNM, 0, 2, "P5" },
    { CONTAINER_PNM, 0, 2, "P6" },
};

static const char *const names[] = { "unknown", "PNG", "JPEG", "WebP", "GIF", "BMP", "PNM" };

Container container_of(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        const struct Magic *m = &magics[i];

        if (size < m->at + m->length || memcmp(bytes + m->at, m->bytes, m->length) != 0)
            continue;
        if (m->container == CONTAINER_WEBP && memcmp(bytes, "RIFF", 4) != 0) continue;
        return m->container;
    }
    return CONTAINER_UNKNOWN;
}

const char *container_name(Container c)
{
    return names[(unsigned)c < sizeof names / sizeof names[0] ? c : 0];
}

static uint32_t load_big(const uint8_t *p, size_t n)
{
    uint32_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static uint32_t load_little(const uint8_t *p, size_t n)
{
    uint32_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* length, type, data, CRC of type and data */
static bool next_png(const uint8_t *bytes, size_t size, size_t *at, Chunk *out)
{
    size_t pos = *at ? *at : PNG_SIGNATURE;
    uint32_t length;
    const uint8_t *p = bytes + pos;

    if (pos > size || size - pos < PNG_FRAME) return false;
    length = load_big(p, 4);
    if (length > size - pos - PNG_FRAME) return false;
    out->type = load_big(p + 4, 4);
    out->data = p + 8;
    out->size = length;
    out->intact = crc32_z(0, p + 4, (size_t)length + 4) == load_big(p + 8 + length, 4);
    *at = pos + PNG_FRAME + length;
    return true;
}

/* type, length, data, padded to an even size */
static bool next_riff(const uint8_t *bytes, size_t size, size_t *at, Chunk *out)
{
    size_t pos = *at ? *at : RIFF_HEADER;
    uint32_t length;

    if (pos > size || size - pos < RIFF_FRAME) return false;
    length = load_little(bytes + pos + 4, 4);
    if (length > size - pos - RIFF_FRAME) return false;
    out->type = load_big(bytes + pos, 4);
    out->data = bytes + pos + RIFF_FRAME;
    out->size = length;
    out->intact = true;
    *at = pos + RIFF_FRAME + length + (length & 1);
    return true;
}

enum { JPEG_EOI = 0xD9, JPEG_SOS = 0xDA, JPEG_APP1 = 0xE1 };

static bool next_jpeg(const uint8_t *bytes, size_t size, size_t *at, Chunk *out)
{
    size_t pos = *at ? *at : 2;
    uint32_t length;
    uint8_t marker;

    if (pos >= size || bytes[pos] != 0xFF) return false;
    while (pos < size && bytes[pos] == 0xFF)
        pos++;
    if (pos >= size) return false;
    marker = bytes[pos++];
    if (marker == JPEG_EOI || marker == JPEG_SOS || size - pos < 2) return false;
    length = load_big(bytes + pos, 2);
    if (length < 2 || length > size - pos) return false;
    out->type = marker;
    out->data = bytes + pos + 2;
    out->size = length - 2;
    out->intact = true;
    *at = pos + length;
    return true;
}

bool chunk_next(Container c, const uint8_t *bytes, size_t size, size_t *at, Chunk *out)
{
    if (c == CONTAINER_PNG) return next_png(bytes, size, at, out);
    if (c == CONTAINER_WEBP) return next_riff(bytes, size, at, out);
    return c == CONTAINER_JPEG && next_jpeg(bytes, size, at, out);
}

static bool png_is_cut(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    Chunk k;
    while (chunk_next(CONTAINER_PNG, bytes, size, &at, &k))
        if (k.type == CHUNK_TYPE('I', 'E', 'N', 'D')) return false;
    return true;
}

static bool jpeg_is_cut(const uint8_t *bytes, size_t size)
{
    for (size_t i = size; i >= 2; i--)
        if (bytes[i - 2] == 0xFF && bytes[i - 1] == 0xD9) return false;
    return true;
}

bool container_is_cut(Container c, const uint8_t *bytes, size_t size)
{
    if (c == CONTAINER_PNG) return png_is_cut(bytes, size);
    if (c == CONTAINER_JPEG) return jpeg_is_cut(bytes, size);
    if (c != CONTAINER_WEBP || size < 8) return false;
    uint64_t riff = (uint64_t)bytes[4] | (uint64_t)bytes[5] << 8 | (uint64_t)bytes[6] << 16 |
                    (uint64_t)bytes[7] << 24;
    return riff + 8 > size;
}

/* ---- EXIF -------------------------------------------------------------------------------------------- */

bool exif_find(Container c, const uint8_t *bytes, size_t size, const uint8_t **tiff,
               size_t *length)
{
    static const uint8_t head[6] = { 'E', 'x', 'i', 'f', 0, 0 };
    size_t at = 0;
    Chunk k;

    while (chunk_next(c, bytes, size, &at, &k)) {
        bool headed = k.size >= sizeof head && memcmp(k.data, head, sizeof head) == 0;
        bool exif = (c == CONTAINER_PNG && k.type == CHUNK_TYPE('e', 'X', 'I', 'f')) ||
                    (c == CONTAINER_WEBP && k.type == CHUNK_TYPE('E', 'X', 'I', 'F')) ||
                    (c == CONTAINER_JPEG && k.type == JPEG_APP1 && headed);

        if (!exif) continue;
        *tiff = headed ? k.data + sizeof head : k.data;
        *length = headed ? k.size - sizeof head : k.size;
        return true;
    }
    return false;
}

static uint32_t load(const uint8_t *p, size_t n, bool big)
{
    return big ? load_big(p, n) : load_little(p, n);
}

/* Start of the first directory's entries and their number. */
static bool find_directory(const uint8_t *tiff, size_t length, bool *big, size_t *at,
                           size_t *count)
{
    uint32_t pos;

    if (length < 8) return false;
    if (memcmp(tiff, "II*\0", 4) == 0)
        *big = false;
    else if (memcmp(tiff, "MM\0*", 4) == 0)
        *big = true;
    else
        return false;
    pos = load(tiff + 4, 4, *big);
    if (pos > length - 2) return false;
    *count = load(tiff + pos, 2, *big);
    *at = (size_t)pos + 2;
    return true;
}

bool exif_tag(const uint8_t *tiff, size_t length, size_t i, ExifTag *out)
{
    static const uint8_t sizes[] = { 0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8 };
    const uint8_t *p;
    bool big = false;
    size_t at = 0, count = 0, bytes, place;

    if (!find_directory(tiff, length, &big, &at, &count) || i >= count) return false;
    if ((length - at) / 12 <= i) return false;
    p = tiff + at + i * 12;
    *out = (ExifTag){ .big_endian = big };
    out->tag = (uint16_t)load(p, 2, big);
    out->type = (uint16_t)load(p + 2, 2, big);
    if (out->type >= sizeof sizes) return true;
    bytes = (size_t)load(p + 4, 4, big) * sizes[out->type];
    place = bytes <= 4 ? (size_t)(p + 8 - tiff) : load(p + 8, 4, big);
    if (place > length || bytes > length - place) return true;
    out->data = tiff + place;
    out->size = bytes;
    return true;
}

int exif_orientation(Container c, const uint8_t *bytes, size_t size)
{
    enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };
    const uint8_t *tiff = NULL;
    size_t length = 0;
    ExifTag t;

    if (!exif_find(c, bytes, size, &tiff, &length)) return 1;
    for (size_t i = 0; exif_tag(tiff, length, i, &t); i++) {
        uint32_t v;

        if (t.tag != TAG_ORIENTATION || t.type != TYPE_SHORT || t.size < 2) continue;
        v = load(t.data, 2, t.big_endian);
        return v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}
