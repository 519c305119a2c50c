/* test_png_meta.c - texts in PNG, WebP and JPEG files. */
#include "tests/unit/formats/common.h"

#include <string.h>
#include <zlib.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/chunks.h"
#include "engine/formats/image.h"
#include "engine/formats/png_meta.h"

static void add_be32(Str *s, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        str_add_char(s, (char)(v >> shift & 0xFF));
}

static void add_chunk(Str *s, const char *type, const void *data, size_t n)
{
    uLong crc;

    add_be32(s, (uint32_t)n);
    str_add_n(s, type, 4);
    str_add_n(s, data, n);
    crc = crc32(0, (const Bytef *)s->text + s->length - n - 4, (uInt)n + 4);
    add_be32(s, (uint32_t)crc);
}

static void start_png(Str *s)
{
    str_add_n(s, "\x89PNG\r\n\x1A\n", 8);
    add_chunk(s, "IHDR", "\0\0\0\1\0\0\0\1\x08\0\0\0\0", 13);
}

static Meta *read_bytes(const void *bytes, size_t n)
{
    Meta *m = NULL;
    Error err = { 0 };

    assert_ok(meta_read(bytes, n, &m, &err), &err);
    return m;
}

static void assert_text(const Meta *m, const char *key, const char *want)
{
    const MetaText *t = meta_get(m, key);

    if (!t) fail_msg("no text under %s", key);
    assert_string_equal(t->text, want);
    assert_int_equal(t->length, strlen(want));
}

static void test_round_trip(void **state)
{
    static const uint8_t pixels[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    static const PngText texts[] = { { "prompt", "{\"1\": {}}" },
                                     { "workflow", "{}" },
                                     { "a", "" } };
    uint8_t *png = NULL;
    size_t size = 0;
    Error err = { 0 };
    Meta *m;

    (void)state;
    assert_ok(image_encode_png(pixels, 2, 2, 3, texts, 3, &png, &size, &err), &err);
    assert_memory_equal(png + 8 + 25 + 4, "tEXtprompt", 11); /* right behind IHDR */
    m = read_bytes(png, size);
    assert_int_equal(m->count, 3);
    assert_text(m, "prompt", "{\"1\": {}}");
    assert_text(m, "workflow", "{}");
    assert_text(m, "a", "");
    assert_true(m->texts[0].intact);
    assert_null(meta_get(m, "none"));
    meta_free(m);
    mem_free(png);
}

static void test_write_refusals(void **state)
{
    static const PngText bad[] = {
        { "", "x" },
        { "a\nb", "x" },
        { "0123456789012345678901234567890123456789012345678901234567890123456789"
          "0123456789",
          "x" }
    };
    Str s = { 0 };
    uint8_t *out = NULL;
    size_t size = 0;

    (void)state;
    start_png(&s);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            png_add_text((uint8_t *)s.text, s.length, &bad[i], 1, &out, &size, NULL), E_RANGE);
    assert_int_equal(png_add_text((uint8_t *)s.text, 20, NULL, 0, &out, &size, NULL), E_FORMAT);
    str_fini(&s);
}

static void test_png_kinds(void **state)
{
    static const char packed[] = "a packed text, a packed text, a packed text";
    unsigned char z[256];
    uLongf zn = sizeof z;
    Str s = { 0 }, body = { 0 };
    Meta *m;

    (void)state;
    assert_int_equal(compress(z, &zn, (const Bytef *)packed, sizeof packed - 1), Z_OK);
    start_png(&s);
    add_chunk(&s, "tEXt", "latin\0caf\xE9", 10);
    str_add_n(&body, "zipped\0\0", 8);
    str_add_n(&body, (char *)z, zn);
    add_chunk(&s, "zTXt", body.text, body.length);
    str_clear(&body);
    str_add_n(&body, "both\0\1\0en\0key\0", 14);
    str_add_n(&body, (char *)z, zn);
    add_chunk(&s, "iTXt", body.text, body.length);
    add_chunk(&s, "iTXt", "utf8\0\0\0\0\0caf\xC3\xA9", 14);
    add_chunk(&s, "tEXt", "twice\0first", 11);
    add_chunk(&s, "tEXt", "twice\0second", 12);
    m = read_bytes(s.text, s.length);
    assert_text(m, "latin", "caf\xC3\xA9");
    assert_text(m, "zipped", packed);
    assert_text(m, "both", packed);
    assert_text(m, "utf8", "caf\xC3\xA9");
    assert_text(m, "twice", "second");
    meta_free(m);
    str_fini(&body);
    str_fini(&s);
}

static void test_png_broken(void **state)
{
    Str s = { 0 };
    Meta *m;

    (void)state;
    start_png(&s);
    add_chunk(&s, "tEXt", "good\0yes", 8);
    s.text[s.length - 1] ^= 1; /* its checksum */
    add_chunk(&s, "tEXt", "no end of key", 13);
    add_chunk(&s, "zTXt", "k\0\0 no zlib stream", 18);
    add_chunk(&s, "iTXt", "k\0\1", 3);
    add_chunk(&s, "tEXt", "\0empty key", 10);
    str_add_n(&s, "\x7F\xFF\xFF\xFFtEXtlong\0x", 14);
    m = read_bytes(s.text, s.length);
    assert_int_equal(m->count, 1);
    assert_text(m, "good", "yes");
    assert_false(m->texts[0].intact);
    meta_free(m);
    str_fini(&s);
    assert_int_equal(meta_read((const uint8_t *)"GIF89a", 6, &m, NULL), E_FORMAT);
    assert_int_equal(meta_read((const uint8_t *)"", 0, &m, NULL), E_FORMAT);
}

/* A TIFF block with Make and Model the way ComfyUI fills them, and an orientation. */
static void add_tiff(Str *s)
{
    static const char workflow[] = "workflow:{\"nodes\": []}",
                      prompt[] = "prompt:{\"1\": {\"a\": \":\"}}";
    static const char head[] = "II*\0\x08\0\0\0\x03\0";
    size_t at = 8 + 2 + 3 * 12 + 4;
    unsigned char e[12] = { 0 };

    str_add_n(s, head, 10);
    memcpy(e, "\x0F\x01\x02\0", 4);
    e[4] = sizeof workflow;
    e[8] = (unsigned char)at;
    str_add_n(s, (char *)e, 12);
    memcpy(e, "\x10\x01\x02\0", 4);
    e[4] = sizeof prompt;
    e[8] = (unsigned char)(at + sizeof workflow);
    str_add_n(s, (char *)e, 12);
    str_add_n(s, "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", 12);
    str_add_n(s, "\0\0\0\0", 4);
    str_add_n(s, workflow, sizeof workflow);
    str_add_n(s, prompt, sizeof prompt);
}

static void add_riff_chunk(Str *s, const char *type, const char *data, size_t n)
{
    str_add_n(s, type, 4);
    for (int i = 0; i < 4; i++)
        str_add_char(s, (char)(n >> (8 * i) & 0xFF));
    str_add_n(s, data, n);
    if (n & 1) str_add_char(s, 0);
}

static void test_webp(void **state)
{
    Str s = { 0 }, tiff = { 0 };
    ImageInfo info;
    Image image = { 0 };
    Error err = { 0 };
    Meta *m;

    (void)state;
    str_add_n(&tiff, "Exif\0\0", 6);
    add_tiff(&tiff);
    str_add_n(&s, "RIFF\xFF\0\0\0WEBP", 12);
    add_riff_chunk(&s, "VP8X", "\x10\0\0\0\x3F\0\0\x1F\0\0", 10);
    add_riff_chunk(&s, "XMP ", "<x/>", 4);
    add_riff_chunk(&s, "EXIF", tiff.text, tiff.length);
    m = read_bytes(s.text, s.length);
    assert_text(m, "workflow", "{\"nodes\": []}");
    assert_text(m, "prompt", "{\"1\": {\"a\": \":\"}}");
    assert_text(m, "XML:com.adobe.xmp", "<x/>");
    meta_free(m);
    assert_ok(image_probe((uint8_t *)s.text, s.length, &info, &err), &err);
    assert_int_equal(info.width, 32); /* orientation 6 turns 64 x 32 */
    assert_int_equal(info.height, 64);
    assert_int_equal(info.channels, 4);
    assert_int_equal(image_decode((uint8_t *)s.text, s.length, &image, &err), E_UNSUPPORTED);
    str_fini(&tiff);
    str_fini(&s);
}

static void test_jpeg(void **state)
{
    Str s = { 0 }, tiff = { 0 };
    Meta *m;

    (void)state;
    str_add_n(&tiff, "Exif\0\0", 6);
    add_tiff(&tiff);
    str_add_n(&s, "\xFF\xD8\xFF\xE0\0\x04zz\xFF\xFF\xE1\0", 12);
    str_add_char(&s, (char)(tiff.length + 2));
    str_add_n(&s, tiff.text, tiff.length);
    str_add_n(&s, "\xFF\xE1\0\x23http://ns.adobe.com/xap/1.0/\0<x/>", 37);
    str_add_n(&s, "\xFF\xDA\0\x02zz", 6);
    m = read_bytes(s.text, s.length);
    assert_text(m, "workflow", "{\"nodes\": []}");
    assert_text(m, "XML:com.adobe.xmp", "<x/>");
    meta_free(m);
    for (size_t n = 3; n < s.length; n++)
        meta_free(read_bytes(s.text, n)); /* cut anywhere */
    str_fini(&tiff);
    str_fini(&s);
}

static Status read_user(void *user, Error *err)
{
    const Str *s = user;
    Meta *m = NULL;
    Status status = meta_read((uint8_t *)s->text, s->length, &m, err);

    if (status == OK) meta_free(m);
    return status;
}

static void test_out_of_memory(void **state)
{
    Str s = { 0 };

    (void)state;
    start_png(&s);
    add_chunk(&s, "tEXt", "good\0yes", 8);
    for (int i = 0; i < 20; i++)
        add_chunk(&s, "iTXt", "utf8\0\0\0\0\0caf\xC3\xA9", 14);
    assert_true(fail_each_allocation(read_user, &s) >= 2);
    str_fini(&s);
}

/* Files that end early say so, whole ones do not. */
static void test_cut_pictures(void **state)
{
    static const uint8_t jpeg[] = { 0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 1, 2, 0xFF, 0xD9 };
    static const uint8_t webp[] = "RIFF\x0C\0\0\0WEBPVP8 \0\0\0\0";
    static const uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\0IEND\xAE\x42\x60\x82";
    (void)state;
    assert_false(container_is_cut(CONTAINER_JPEG, jpeg, sizeof jpeg));
    assert_true(container_is_cut(CONTAINER_JPEG, jpeg, sizeof jpeg - 1));
    assert_false(container_is_cut(CONTAINER_WEBP, webp, sizeof webp - 1));
    assert_true(container_is_cut(CONTAINER_WEBP, webp, sizeof webp - 2));
    assert_false(container_is_cut(CONTAINER_PNG, png, sizeof png - 1));
    for (size_t n = 8; n < sizeof png - 1; n++)
        assert_true(container_is_cut(CONTAINER_PNG, png, n));
}

int run_png_meta_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_pictures),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_write_refusals), cmocka_unit_test(test_png_kinds),
        cmocka_unit_test(test_png_broken),     cmocka_unit_test(test_webp),
        cmocka_unit_test(test_jpeg),           cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("png_meta", tests, NULL, NULL);
}
