/* test_image.c - decoding against the reference's tensors, orientation, limits, writing. */
#include "tests/unit/formats/common.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/image.h"
#include "engine/formats/weights.h"

static Image decode_file(const char *path)
{
    FileMap *map = NULL;
    Image image = { 0 };
    Error err = { 0 };

    assert_ok(file_map(path, &map, &err), &err);
    assert_ok(image_decode(map->data, map->size, &image, &err), &err);
    ref_drop(map);
    return image;
}

static void assert_tensor(const Weights *w, const char *name, const float *got, int64_t count)
{
    const float *want = NULL;
    Error err = { 0 };

    assert_ok(weights_f32(w, name, count, &want, &err), &err);
    for (int64_t i = 0; i < count; i++)
        if (want[i] != got[i])
            fail_msg("%s[%d]: %g instead of %g", name, (int)i, (double)got[i], (double)want[i]);
}

static void check_load(const Json *c, const Weights *w)
{
    char path[4096], name[256];
    const Json *out = json_get(c, "out");
    Image image;
    int64_t pixels;

    snprintf(name, sizeof name, "vectors/images/%s", json_string(json_get(c, "file")));
    image = decode_file(shared_path(path, sizeof path, name));
    pixels = tensor_count(image.rgb) / 3;
    assert_tensor(w, json_string(json_at(out, 0)), tensor_f32(image.rgb), pixels * 3);
    if (image.masked) {
        float *mask = tensor_f32(image.alpha);

        for (int64_t i = 0; i < pixels; i++)
            mask[i] = 1 - mask[i];
        assert_tensor(w, json_string(json_at(out, 1)), mask, pixels);
    } else { /* LoadImage's zero mask of 64 x 64 */
        assert_int_equal(weights_elements(w, json_string(json_at(out, 1))), 64 * 64);
    }
    image_fini(&image);
}

static void test_load_vectors(void **state)
{
    char path[4096];
    char *text = NULL;
    size_t size = 0;
    JsonDoc *doc = NULL;
    Weights *w = NULL;
    Error err = { 0 };
    int cases = 0;

    (void)state;
    shared_path(path, sizeof path, "vectors/images/images.json");
    assert_ok(file_read(path, 1 << 24, &text, &size, &err), &err);
    assert_ok(json_parse(text, size, &doc, &err), &err);
    shared_path(path, sizeof path, "vectors/images/images.safetensors");
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    for (const Json *c = json_first(json_first(json_root(doc))); c; c = json_next(c)) {
        if (!json_get(c, "op") || strcmp(json_string(json_get(c, "op")), "LoadImage") != 0)
            continue;
        check_load(c, w);
        cases++;
    }
    assert_int_equal(cases, 8);
    weights_unref(w);
    json_free(doc);
    mem_free(text);
}

static void test_write_and_read(void **state)
{
    enum { W = 37, H = 23 };
    uint8_t pixels[W * H * 4];

    (void)state;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i * 7 + i / 5);
    for (int channels = 1; channels <= 4; channels++) {
        uint8_t *png = NULL;
        size_t size = 0;
        Image image = { 0 };
        ImageInfo info;
        Error err = { 0 };

        assert_ok(image_encode_png(pixels, W, H, channels, NULL, 0, &png, &size, &err), &err);
        assert_ok(image_probe(png, size, &info, &err), &err);
        assert_int_equal(info.width, W);
        assert_int_equal(info.height, H);
        assert_int_equal(info.channels, channels);
        assert_ok(image_decode(png, size, &image, &err), &err);
        assert_int_equal(image.masked, channels == 2 || channels == 4);
        for (int i = 0; i < W * H; i++)
            assert_true(tensor_f32(image.rgb)[i * 3] == (float)pixels[i * channels] / 255.0f);
        if (image.alpha)
            assert_true(tensor_f32(image.alpha)[9] ==
                        (float)pixels[10 * channels - 1] / 255.0f);
        image_fini(&image);
        mem_free(png);
    }
}

/* A PNG of 2 x 3 grey pixels 10 20 / 30 40 / 50 60 with an EXIF orientation, read back in order. */
static void check_orientation(int orientation, int width, const char *want)
{
    static const uint8_t pixels[] = { 10, 20, 30, 40, 50, 60 };
    uint8_t *png = NULL,
            exif[4 + 4 + 26 + 4 + 1] =
                "\0\0\0\x1A"
                "eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0\0\0";
    size_t size = 0;
    Str s = { 0 }, got = { 0 };
    Image image = { 0 };
    Error err = { 0 };

    exif[8 + 19] = (uint8_t)orientation;
    assert_ok(image_encode_png(pixels, 2, 3, 1, NULL, 0, &png, &size, &err), &err);
    str_add_n(&s, (char *)png, 33);
    str_add_n(&s, (char *)exif, sizeof exif - 1);
    str_add_n(&s, (char *)png + 33, size - 33);
    assert_ok(image_decode((uint8_t *)s.text, s.length, &image, &err), &err);
    assert_int_equal(image.rgb->shape[2], width);
    for (int i = 0; i < 6; i++)
        str_printf(&got, "%d", (int)(tensor_f32(image.rgb)[i * 3] * 25.5f + 0.5f));
    assert_string_equal(got.text, want);
    image_fini(&image);
    str_fini(&got);
    str_fini(&s);
    mem_free(png);
}

static void test_orientation(void **state)
{
    (void)state;
    check_orientation(1, 2, "123456");
    check_orientation(2, 2, "214365");
    check_orientation(3, 2, "654321");
    check_orientation(4, 2, "563412");
    check_orientation(5, 3, "135246");
    check_orientation(6, 3, "531642");
    check_orientation(7, 3, "642531");
    check_orientation(8, 3, "246135");
}

/* Two frames of 2 x 1: red and green, then the second pixel blue over what was there. */
static const uint8_t film[] = "GIF89a\2\0\1\0\xF1\0\0\xFF\0\0\0\xFF\0\0\0\xFF\0\0\0"
                              "!\xF9\4\0\0\0\0\0,\0\0\0\0\2\0\1\0\0\2\2D\n\0"
                              "!\xF9\4\0\0\0\0\0,\1\0\0\0\1\0\1\0\0\2\2T\1\0;";

static void test_film(void **state)
{
    static const float want[] = { 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1 };
    Image image = { 0 };
    Error err = { 0 };

    (void)state;
    assert_ok(image_decode(film, sizeof film - 1, &image, &err), &err);
    assert_int_equal(image.rgb->shape[0], 2);
    assert_int_equal(image.rgb->shape[2], 2);
    assert_memory_equal(tensor_f32(image.rgb), want, sizeof want);
    assert_false(image.masked);
    image_fini(&image);
}

static void check_refused(const void *bytes, size_t size, Status want)
{
    Image image = { 0 };
    Error err = { 0 };
    Status s = image_decode(bytes, size, &image, &err);

    if (s != want) fail_msg("%s instead of %s", status_name(s), status_name(want));
    assert_true(err.message[0] != '\0');
}

static void test_refusals(void **state)
{
    uint8_t *png = NULL;
    size_t size = 0;
    Error err = { 0 };
    const uint8_t pixels[4] = { 1, 2, 3, 4 };

    (void)state;
    check_refused("", 0, E_FORMAT);
    check_refused("hello, this is text", 19, E_FORMAT);
    check_refused("\x89PNG\r\n\x1A\n", 8, E_FORMAT);
    check_refused("\xFF\xD8\xFF\xE0", 4, E_FORMAT);
    check_refused("GIF89a\xFF\xFF\xFF\xFF\0\0\0;", 14, E_LIMIT);
    assert_int_equal(image_encode_png(pixels, 0, 1, 3, NULL, 0, &png, &size, &err), E_RANGE);
    assert_ok(image_encode_png(pixels, 2, 2, 1, NULL, 0, &png, &size, &err), &err);
    for (size_t n = 0; n < size - 12; n++)
        check_refused(png, n, E_FORMAT);
    png[16] = 0x40; /* a width of a thousand million */
    check_refused(png, size, E_LIMIT);
    mem_free(png);
}

static void test_write_file(void **state)
{
    const uint8_t pixels[4] = { 1, 2, 3, 4 };
    const PngText text = { "prompt", "{}" };
    char folder[] = "/tmp/weft-test-XXXXXX", path[64];
    Image image;
    Error err = { 0 };

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.png", folder);
    assert_ok(image_write_png(path, pixels, 2, 2, 1, &text, 1, &err), &err);
    image = decode_file(path);
    assert_int_equal(image.rgb->shape[1], 2);
    image_fini(&image);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left */
    assert_int_equal(image_write_png("/no/such/folder/a.png", pixels, 2, 2, 1, NULL, 0, &err),
                     E_IO);
}

typedef struct Bytes {
    const uint8_t *data;
    size_t size;
} Bytes;

static Status decode_user(void *user, Error *err)
{
    const Bytes *b = user;
    Image image = { 0 };
    Status s = image_decode(b->data, b->size, &image, err);

    image_fini(&image);
    return s;
}

static void test_out_of_memory(void **state)
{
    uint8_t pixels[64 * 4];
    uint8_t *png = NULL;
    Bytes b = { film, sizeof film - 1 };
    Error err = { 0 };

    (void)state;
    assert_true(fail_each_allocation(decode_user, &b) > 4);
    memset(pixels, 77, sizeof pixels);
    assert_ok(image_encode_png(pixels, 8, 8, 4, NULL, 0, &png, &b.size, &err), &err);
    b.data = png;
    assert_true(fail_each_allocation(decode_user, &b) > 3);
    mem_free(png);
}

int run_image_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_vectors),  cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_orientation),   cmocka_unit_test(test_film),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_write_file),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
