/* test_safetensors.c - the container against the reference reader's verdicts, and our own writer. */
#include "tests/unit/formats/common.h"

#include <string.h>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/safetensors.h"

static void check_tensor(const SafeTensors *st, const Json *want)
{
    const Json *shape = json_at(want, 1);

    for (size_t i = 0; i < st->count; i++) {
        const SafeTensor *t = &st->tensors[i];

        if (strcmp(t->name, json_key(want)) != 0) continue;
        assert_string_equal(t->dtype, json_string(json_at(want, 0)));
        assert_int_equal(t->ndim, json_count(shape));
        for (int d = 0; d < t->ndim; d++)
            assert_int_equal(t->shape[d], (int64_t)json_double(json_at(shape, (size_t)d)));
        return;
    }
    fail_msg("tensor %s is not found", json_key(want));
}

static void check_case(const Json *verdict, const char *path)
{
    bool accepted = strcmp(json_string(json_get(verdict, "reference")), "accepted") == 0;
    FileMap *map = NULL;
    SafeTensors *st = NULL;
    Error err = { 0 };
    Status s;

    assert_ok(file_map(path, &map, &err), &err);
    s = safetensors_parse(map->data, map->size, &st, &err);
    if (accepted) {
        assert_ok(s, &err);
        assert_int_equal(st->count, json_count(json_get(verdict, "tensors")));
        for (const Json *t = json_first(json_get(verdict, "tensors")); t; t = json_next(t))
            check_tensor(st, t);
    } else if (s != E_FORMAT) {
        fail_msg("%s: %s instead of E_FORMAT", json_key(verdict), status_name(s));
    }
    safetensors_free(st);
    ref_drop(map);
}

static void test_verdicts(void **state)
{
    char path[4096], folder[4096];
    char *text = NULL;
    size_t size = 0;
    JsonDoc *doc = NULL;
    Error err = { 0 };
    int cases = 0;

    (void)state;
    shared_path(path, sizeof path, "vectors/quantisation/safetensors_cases.json");
    assert_ok(file_read(path, 1 << 20, &text, &size, &err), &err);
    assert_ok(json_parse(text, size, &doc, &err), &err);
    shared_path(folder, sizeof folder, "vectors/quantisation/safetensors_cases");
    for (const Json *j = json_first(json_root(doc)); j; j = json_next(j), cases++) {
        Str name = { 0 };

        str_printf(&name, "%s/%s.safetensors", folder, json_key(j));
        check_case(j, name.text);
        str_fini(&name);
    }
    assert_true(cases > 20);
    json_free(doc);
    mem_free(text);
}

/* A container around a header text and n bytes of data. */
static Status parse_text(const char *header, size_t n, SafeTensors **out, Error *err)
{
    uint8_t bytes[4096] = { 0 };
    size_t length = strlen(header);

    bytes[0] = (uint8_t)length;
    bytes[1] = (uint8_t)(length >> 8);
    memcpy(bytes + 8, header, length);
    return safetensors_parse(bytes, 8 + length + n, out, err);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *header;
        size_t data;
    } rows[] = {
        { "\xEF\xBB\xBF{}", 0 },
        { "[]", 0 },
        { "{\"a\":1}", 0 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4 },
        { "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4 },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1 },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,2,0],\"data_offsets\":[0,0]"
          "}}",
          0 },
        { "{\"a\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}",
          0 },
        { "{\"__metadata__\":[]}", 0 },
        { "{", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        SafeTensors *st = NULL;
        Error err = { 0 };
        Status s = parse_text(rows[i].header, rows[i].data, &st, &err);

        if (s != E_FORMAT) fail_msg("row %zu: %s", i, status_name(s));
        assert_true(err.message[0] != '\0');
    }
}

static void test_offset_of_error(void **state)
{
    SafeTensors *st = NULL;
    Error err = { 0 };

    (void)state;
    assert_int_equal(
        parse_text("{\"a\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, &st,
                   &err),
        E_FORMAT);
    assert_int_equal(err.offset, 8 + 14);
    assert_int_equal(parse_text("{\"a\" 1}", 0, &st, &err), E_FORMAT);
    assert_int_equal(err.offset, 8 + 5);
}

static Status build_sample(uint8_t **bytes, size_t *size, Error *err)
{
    static const int64_t one[] = { 2, 3 }, none[] = { 0 };
    static const float f[] = { 1, 2, 3, 4, 5, 6 };
    static const uint8_t u[] = { 7, 8, 9 };
    static const int64_t three[] = { 3 };
    static const SafeItem items[] = {
        { "b.bytes", K_U8, 1, three, u },
        { "latent_tensor", K_F32, 2, one, f },
        { "latent_format_version_0", K_F32, 1, none, NULL },
        { "scalar", K_F32, 0, NULL, f + 4 },
    };
    static const SafePair meta[] = { { "prompt", "{\"a\": \"\xC3\xA9\"}" }, { "k\"ey", "" } };

    return safetensors_build(items, 4, meta, 2, bytes, size, err);
}

static void test_write_and_read(void **state)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    SafeTensors *st = NULL;
    Error err = { 0 };
    float first;

    (void)state;
    assert_ok(build_sample(&bytes, &size, &err), &err);
    assert_int_equal(bytes[0] % 8, 0);
    assert_ok(safetensors_parse(bytes, size, &st, &err), &err);
    assert_int_equal(st->count, 4);
    assert_string_equal(st->tensors[0].name, "latent_format_version_0");
    assert_string_equal(st->tensors[1].name, "latent_tensor");
    assert_int_equal(st->tensors[1].size, 24);
    memcpy(&first, st->tensors[1].data + 20, sizeof first);
    assert_true(first == 6);
    assert_string_equal(st->tensors[3].name, "b.bytes");
    assert_int_equal(st->tensors[3].data[2], 9);
    assert_string_equal(safetensors_metadata(st, "prompt"), "{\"a\": \"\xC3\xA9\"}");
    assert_string_equal(safetensors_metadata(st, "k\"ey"), "");
    assert_null(safetensors_metadata(st, "none"));
    safetensors_free(st);
    mem_free(bytes);
}

static void test_write_refusals(void **state)
{
    static const int64_t big[] = { INT64_MAX, 4 }, one[] = { 1 };
    static const float v = 1;
    SafeItem items[2] = { { "a", K_F32, 2, big, NULL }, { "a", K_F32, 1, one, &v } };
    uint8_t *bytes = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(safetensors_build(items, 1, NULL, 0, &bytes, &size, NULL), E_RANGE);
    items[0] = items[1];
    assert_int_equal(safetensors_build(items, 2, NULL, 0, &bytes, &size, NULL), E_RANGE);
    items[0].type = K_Q4_0;
    assert_int_equal(safetensors_build(items, 1, NULL, 0, &bytes, &size, NULL), E_TYPE);
    assert_null(bytes);
}

static Status build_and_parse(void *user, Error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    SafeTensors *st = NULL;
    Status status;

    (void)user;
    TRY(build_sample(&bytes, &size, err));
    status = safetensors_parse(bytes, size, &st, err);
    safetensors_free(st);
    mem_free(bytes);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_true(fail_each_allocation(build_and_parse, NULL) > 4);
}

int run_safetensors_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_offset_of_error), cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_write_refusals),  cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
