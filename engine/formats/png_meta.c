/* png_meta.c - text that travels inside pictures: the workflow that made them. */
#include "engine/formats/png_meta.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "engine/base/arena.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/chunks.h"

enum { MAX_INFLATED = 1 << 26, MAX_TEXTS = 4096, MAX_KEY = 79 };

static const char xmp_key[] = "XML:com.adobe.xmp";

typedef struct Reader {
    Meta *meta;
    size_t capacity;
    bool intact; /* of the chunk at hand */
    Error *err;
} Reader;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while reading picture metadata");
}

static bool grow(Reader *r)
{
    size_t capacity = r->capacity ? r->capacity * 2 : 8;
    MetaText *texts;

    if (r->meta->count < r->capacity) return true;
    texts = arena_array(r->meta->arena, capacity, sizeof *texts);
    if (!texts) return false;
    if (r->meta->count) memcpy(texts, r->meta->texts, r->meta->count * sizeof *texts);
    r->meta->texts = texts;
    r->capacity = capacity;
    return true;
}

/* Latin-1 bytes as UTF-8. */
static char *from_latin1(Arena *a, const uint8_t *s, size_t n, size_t *length)
{
    size_t high = 0, at = 0;
    char *out;

    for (size_t i = 0; i < n; i++)
        high += s[i] >> 7;
    out = arena_alloc(a, n + high + 1);
    if (!out) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (s[i] >= 0x80) out[at++] = (char)(0xC0 | s[i] >> 6);
        out[at++] = (char)(s[i] >= 0x80 ? 0x80 | (s[i] & 0x3F) : s[i]);
    }
    *length = at;
    return out;
}

/* Takes key and text over; text that is no UTF-8 is read as Latin-1. */
static Status add(Reader *r, const uint8_t *key, size_t key_size, const uint8_t *text, size_t n,
                  bool utf8)
{
    Arena *a = r->meta->arena;
    size_t key_length = 0, length = n;
    char *k, *t;
    bool plain = utf8 && str_utf8_error((const char *)text, n) < 0;

    if (key_size == 0 || r->meta->count >= MAX_TEXTS) return OK;
    k = from_latin1(a, key, key_size, &key_length);
    t = plain ? arena_strndup(a, (const char *)text, n) : from_latin1(a, text, n, &length);
    if (!k || !t || !grow(r)) return no_memory(r->err);
    r->meta->texts[r->meta->count++] =
        (MetaText){ .key = k, .text = t, .length = length, .intact = r->intact };
    return OK;
}

/* ---- PNG chunks ------------------------------------------------------------------------------------------ */

/* Inflates as far as the data are good, up to MAX_INFLATED bytes. *out is NULL when nothing came. */
static Status inflate_text(Reader *r, const uint8_t *data, size_t n, Str *out)
{
    z_stream z = { 0 };
    unsigned char chunk[1 << 14];
    int code = Z_OK;

    if (n > UINT32_MAX) return OK;
    if (inflateInit(&z) != Z_OK) return no_memory(r->err);
    z.next_in = (unsigned char *)(uintptr_t)data; /* zlib reads it only */
    z.avail_in = (unsigned)n;
    while (code == Z_OK && !out->failed && out->length < MAX_INFLATED) {
        z.next_out = chunk;
        z.avail_out = sizeof chunk;
        code = inflate(&z, Z_NO_FLUSH);
        str_add_n(out, (const char *)chunk, sizeof chunk - z.avail_out);
    }
    inflateEnd(&z);
    if (code != Z_STREAM_END) r->intact = false;
    return out->failed ? no_memory(r->err) : OK;
}

static Status add_inflated(Reader *r, const uint8_t *key, size_t key_size, const uint8_t *data,
                           size_t n, bool utf8)
{
    Str text = { 0 };
    Status status = inflate_text(r, data, n, &text);

    if (status == OK && (text.length > 0 || r->intact))
        status = add(r, key, key_size, (const uint8_t *)(text.text ? text.text : ""),
                     text.length, utf8);
    str_fini(&text);
    return status;
}

/* Bytes up to the NUL at or behind p; false when there is none. */
static bool field(const uint8_t *p, const uint8_t *end, size_t *length)
{
    const uint8_t *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;

    if (!nul) return false;
    *length = (size_t)(nul - p);
    return true;
}

/* iTXt: key, 0, compressed?, method, language, 0, translated key, 0, text in UTF-8. */
static Status read_itxt(Reader *r, const Chunk *k, size_t key)
{
    const uint8_t *p = k->data + key + 1, *end = k->data + k->size;
    size_t n;
    bool packed;

    if (end - p < 2) return OK;
    packed = p[0] != 0;
    p += 2;
    for (int i = 0; i < 2; i++) {
        if (!field(p, end, &n)) return OK;
        p += n + 1;
    }
    if (packed) return add_inflated(r, k->data, key, p, (size_t)(end - p), true);
    return add(r, k->data, key, p, (size_t)(end - p), true);
}

static Status read_png_chunk(Reader *r, const Chunk *k)
{
    size_t key;

    if (!field(k->data, k->data + k->size, &key)) return OK;
    r->intact = k->intact;
    if (k->type == CHUNK_TYPE('t', 'E', 'X', 't'))
        return add(r, k->data, key, k->data + key + 1, k->size - key - 1, false);
    if (k->type == CHUNK_TYPE('z', 'T', 'X', 't') && k->size >= key + 2)
        return add_inflated(r, k->data, key, k->data + key + 2, k->size - key - 2, false);
    return k->type == CHUNK_TYPE('i', 'T', 'X', 't') ? read_itxt(r, k, key) : OK;
}

/* ---- EXIF and XMP ------------------------------------------------------------------------------------------ */

/* Length of the word before the first ':' when it can be a key ("workflow:{...}"), else 0. */
static size_t prefix_key(const uint8_t *s, size_t n)
{
    size_t i = 0;

    while (i < n && i < MAX_KEY &&
           ((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
            (s[i] >= '0' && s[i] <= '9') || s[i] == '_'))
        i++;
    return i < n && s[i] == ':' ? i : 0;
}

static Status read_exif_string(Reader *r, const ExifTag *t)
{
    char name[16];
    size_t n = t->size, word;

    while (n > 0 && t->data[n - 1] == 0)
        n--;
    word = prefix_key(t->data, n);
    if (word) return add(r, t->data, word, t->data + word + 1, n - word - 1, true);
    snprintf(name, sizeof name, "exif:%04x", t->tag);
    return add(r, (const uint8_t *)name, strlen(name), t->data, n, true);
}

static Status read_exif(Reader *r, const uint8_t *tiff, size_t length)
{
    enum { TYPE_ASCII = 2 };
    ExifTag t;

    for (size_t i = 0; exif_tag(tiff, length, i, &t); i++)
        if (t.type == TYPE_ASCII && t.size > 0) TRY(read_exif_string(r, &t));
    return OK;
}

static Status read_xmp(Reader *r, Container c, const Chunk *k)
{
    static const char head[] = "http://ns.adobe.com/xap/1.0/"; /* its NUL belongs to it */
    size_t skip = 0;

    if (c == CONTAINER_JPEG) {
        if (k->type != 0xE1 || k->size < sizeof head || memcmp(k->data, head, sizeof head) != 0)
            return OK;
        skip = sizeof head;
    } else if (c != CONTAINER_WEBP || k->type != CHUNK_TYPE('X', 'M', 'P', ' ')) {
        return OK;
    }
    return add(r, (const uint8_t *)xmp_key, sizeof xmp_key - 1, k->data + skip, k->size - skip,
               true);
}

static Status read_all(Reader *r, Container c, const uint8_t *bytes, size_t size)
{
    const uint8_t *tiff = NULL;
    size_t at = 0, length = 0;
    Chunk k;

    while (chunk_next(c, bytes, size, &at, &k)) {
        r->intact = true;
        TRY(c == CONTAINER_PNG ? read_png_chunk(r, &k) : read_xmp(r, c, &k));
    }
    r->intact = true;
    if (!exif_find(c, bytes, size, &tiff, &length)) return OK;
    return read_exif(r, tiff, length);
}

Status meta_read(const uint8_t *bytes, size_t size, Meta **out, Error *err)
{
    Container c = container_of(bytes, size);
    Reader r = { .err = err };
    Arena *arena;
    Status status;

    if (c != CONTAINER_PNG && c != CONTAINER_WEBP && c != CONTAINER_JPEG)
        return error_set(err, E_FORMAT, "no PNG, WebP or JPEG file");
    arena = arena_new();
    r.meta = arena ? arena_alloc(arena, sizeof *r.meta) : NULL;
    if (!r.meta) {
        arena_free(arena);
        return no_memory(err);
    }
    r.meta->arena = arena;
    status = read_all(&r, c, bytes, size);
    r.meta->cut = container_is_cut(c, bytes, size);
    if (status == OK)
        *out = r.meta;
    else
        arena_free(arena);
    return status;
}

void meta_free(Meta *m)
{
    if (m) arena_free(m->arena);
}

const MetaText *meta_get(const Meta *m, const char *key)
{
    for (size_t i = m->count; i > 0; i--)
        if (strcmp(m->texts[i - 1].key, key) == 0) return &m->texts[i - 1];
    return NULL;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static void add_big(Str *s, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        str_add_char(s, (char)(v >> shift & 0xFF));
}

static Status check_text(const PngText *t, Error *err)
{
    size_t n = strlen(t->key);

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)t->key[i];

        if (c < 0x20 || (c > 0x7E && c < 0xA1)) n = 0;
    }
    if (n == 0 || n > MAX_KEY)
        return error_set(err, E_RANGE, "a PNG text key has 1 to %d printable bytes", MAX_KEY);
    if (strlen(t->text) > INT32_MAX - MAX_KEY - 1)
        return error_set(err, E_RANGE, "the text under %s is too long for a PNG chunk", t->key);
    return OK;
}

static void add_text_chunk(Str *s, const PngText *t)
{
    size_t key = strlen(t->key), text = strlen(t->text), start;

    add_big(s, (uint32_t)(key + 1 + text));
    start = s->length;
    str_add(s, "tEXt");
    str_add_n(s, t->key, key + 1);
    str_add_n(s, t->text, text);
    if (!s->failed)
        add_big(
            s, (uint32_t)crc32_z(0, (const unsigned char *)s->text + start, s->length - start));
}

Status png_add_text(const uint8_t *png, size_t size, const PngText *texts, size_t count,
                    uint8_t **out, size_t *out_size, Error *err)
{
    size_t at = 0;
    Chunk head;
    Str s = { 0 };

    if (container_of(png, size) != CONTAINER_PNG ||
        !chunk_next(CONTAINER_PNG, png, size, &at, &head) ||
        head.type != CHUNK_TYPE('I', 'H', 'D', 'R'))
        return error_set(err, E_FORMAT, "no PNG file");
    for (size_t i = 0; i < count; i++)
        TRY(check_text(&texts[i], err));
    str_add_n(&s, (const char *)png, at);
    for (size_t i = 0; i < count; i++)
        add_text_chunk(&s, &texts[i]);
    str_add_n(&s, (const char *)png + at, size - at);
    *out_size = s.length;
    if (s.failed) {
        str_fini(&s);
        return error_set(err, E_NOMEM, "out of memory while writing picture metadata");
    }
    *out = (uint8_t *)str_take(&s);
    return OK;
}
