/* test_literal.c - Python's conversions, checked against what Python gives. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/unit/graph/toys.h"

typedef struct Row {
    const char *json, *want; /* want: str() of the result, or the exception's text */
    CoerceTo to;
    Coerced how;
} Row;

/* clang-format off */
static const Row rows[] = {
    { "4", "4", TO_INT, COERCED_SAME },
    { "4.9", "4", TO_INT, COERCED_LOSSY },
    { "-0.5", "0", TO_INT, COERCED_LOSSY },
    { "4.0", "4", TO_INT, COERCED_LOSSLESS },
    { "1e20", "100000000000000000000", TO_INT, COERCED_LOSSLESS },
    { "\"4\"", "4", TO_INT, COERCED_LOSSLESS },
    { "\" 12 \"", "12", TO_INT, COERCED_LOSSLESS },
    { "\"1_000\"", "1000", TO_INT, COERCED_LOSSLESS },
    { "\"-007\"", "-7", TO_INT, COERCED_LOSSLESS },
    { "\"-0\"", "0", TO_INT, COERCED_LOSSLESS },
    { "\"+5\"", "5", TO_INT, COERCED_LOSSLESS },
    { "true", "1", TO_INT, COERCED_LOSSLESS },
    { "\"4.5\"", "invalid literal for int() with base 10: '4.5'", TO_INT, COERCED_FAILED },
    { "\"0x10\"", "invalid literal for int() with base 10: '0x10'", TO_INT, COERCED_FAILED },
    { "\"\"", "invalid literal for int() with base 10: ''", TO_INT, COERCED_FAILED },
    { "\"1__0\"", "invalid literal for int() with base 10: '1__0'", TO_INT, COERCED_FAILED },
    { "\"_1\"", "invalid literal for int() with base 10: '_1'", TO_INT, COERCED_FAILED },
    { "\"1_\"", "invalid literal for int() with base 10: '1_'", TO_INT, COERCED_FAILED },
    { "\"- 1\"", "invalid literal for int() with base 10: '- 1'", TO_INT, COERCED_FAILED },
    { "NaN", "cannot convert float NaN to integer", TO_INT, COERCED_FAILED },
    { "Infinity", "cannot convert float infinity to integer", TO_INT, COERCED_FAILED },
    { "null", "int() argument must be a string, a bytes-like object or a real number, not 'NoneType'", TO_INT, COERCED_FAILED },
    { "{\"a\": 1}", "int() argument must be a string, a bytes-like object or a real number, not 'dict'", TO_INT, COERCED_FAILED },
    { "[1]", "int() argument must be a string, a bytes-like object or a real number, not 'list'", TO_INT, COERCED_FAILED },
    { "1", "1.0", TO_FLOAT, COERCED_SAME },
    { "\"1.5\"", "1.5", TO_FLOAT, COERCED_LOSSLESS },
    { "\"1e1\"", "10.0", TO_FLOAT, COERCED_LOSSLESS },
    { "\"inf\"", "inf", TO_FLOAT, COERCED_LOSSLESS },
    { "\"-Infinity\"", "-inf", TO_FLOAT, COERCED_LOSSLESS },
    { "true", "1.0", TO_FLOAT, COERCED_LOSSLESS },
    { "1e400", "inf", TO_FLOAT, COERCED_SAME },
    { "\"x\"", "could not convert string to float: 'x'", TO_FLOAT, COERCED_FAILED },
    { "null", "float() argument must be a string or a real number, not 'NoneType'", TO_FLOAT, COERCED_FAILED },
    { "5", "5", TO_STRING, COERCED_LOSSLESS },
    { "1e1", "10.0", TO_STRING, COERCED_LOSSLESS },
    { "null", "None", TO_STRING, COERCED_LOSSY },
    { "true", "True", TO_STRING, COERCED_LOSSY },
    { "\"a\"", "a", TO_STRING, COERCED_SAME },
    { "{\"a\": [1, null]}", "{\"a\": [1, null]}", TO_STRING, COERCED_LOSSY },
    { "\"false\"", "True", TO_BOOLEAN, COERCED_LOSSY },
    { "\"\"", "False", TO_BOOLEAN, COERCED_LOSSY },
    { "0", "False", TO_BOOLEAN, COERCED_LOSSLESS },
    { "2", "True", TO_BOOLEAN, COERCED_LOSSY },
    { "null", "False", TO_BOOLEAN, COERCED_LOSSY },
    { "{}", "False", TO_BOOLEAN, COERCED_LOSSY },
    { "0.0", "False", TO_BOOLEAN, COERCED_LOSSY },
    { "true", "True", TO_BOOLEAN, COERCED_SAME },
};
/* clang-format on */

static void literal_converts_as_python(void **state)
{
    Error err;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Arena *arena = arena_new();
        JsonDoc *doc;
        Literal in, out;
        Coerced how;
        const char *why = NULL;
        Str text = { 0 };

        assert_ok(json_parse(rows[i].json, strlen(rows[i].json), &doc, &err), &err);
        assert_ok(literal_from_json(arena, json_root(doc), &in, &err), &err);
        assert_ok(literal_coerce(arena, &in, rows[i].to, &out, &how, &why, &err), &err);
        if (how != rows[i].how)
            fail_msg("%s: conversion %d, wanted %d", rows[i].json, how, rows[i].how);
        if (how == COERCED_FAILED)
            str_add(&text, why);
        else
            literal_write_str(&text, &out);
        assert_string_equal(text.text, rows[i].want);
        str_fini(&text);
        json_free(doc);
        arena_free(arena);
    }
}

static Literal literal_of(Arena *a, const char *json, JsonDoc **doc)
{
    Literal v = { 0 };
    Error err;

    assert_ok(json_parse(json, strlen(json), doc, &err), &err);
    assert_ok(literal_from_json(a, json_root(*doc), &v, &err), &err);
    return v;
}

static void literal_compares_beyond_64_bits(void **state)
{
    static const struct {
        const char *json;
        bool negative;
        uint64_t magnitude;
        int order;
    } cases[] = {
        { "18446744073709551615", false, UINT64_MAX, 0 },
        { "18446744073709551616", false, UINT64_MAX, 1 },
        { "-18446744073709551617", true, (uint64_t)INT64_MAX + 1, -1 },
        { "99999999999999999999999999999999", false, 0, 1 },
        { "-1", false, 0, -1 },
        { "0", true, 0, 0 },
        { "-5", true, 4, -1 },
        { "-3", true, 4, 1 },
        { "9007199254740993", false, 9007199254740992u, 1 },
    };
    Arena *arena = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        JsonDoc *doc;
        Literal v = literal_of(arena, cases[i].json, &doc);
        assert_int_equal(literal_compare_int(&v, cases[i].negative, cases[i].magnitude),
                         cases[i].order);
        json_free(doc);
    }
    arena_free(arena);
}

static void literal_reads_whole_seeds(void **state)
{
    Arena *arena = arena_new();
    JsonDoc *doc;
    int64_t i;
    Literal v = literal_of(arena, "18446744073709551615", &doc);

    (void)state;
    assert_true(v.fits && !v.negative && v.magnitude == UINT64_MAX);
    assert_false(literal_int64(&v, &i));
    json_free(doc);
    v = literal_of(arena, "-9223372036854775808", &doc);
    assert_true(literal_int64(&v, &i));
    assert_true(i == INT64_MIN);
    json_free(doc);
    arena_free(arena);
}

static void literal_writes_python_repr(void **state)
{
    Arena *arena = arena_new();
    Str text = { 0 };
    JsonDoc *doc;
    Literal v = literal_of(
        arena, "{\"a\": [1, true, null, 1.0, \"it's\"], \"b\": {}, \"c\": []}", &doc);

    (void)state;
    literal_write_repr(&text, &v);
    assert_string_equal(text.text, "{'a': [1, True, None, 1.0, \"it's\"], 'b': {}, 'c': []}");
    str_fini(&text);
    json_free(doc);
    arena_free(arena);
}

/* What int() or float() gave for a text; NULL = it refused. */
static void check_number(const char *file, const Literal *in, CoerceTo to, const Json *want)
{
    Arena *arena = arena_new();
    Literal out = { 0 };
    Coerced how = COERCED_SAME;
    const char *why = NULL;
    Str got = { 0 };
    Error err = { 0 };
    /* NaN is no number for a socket, though Python reads it. */
    const char *number = json_is(want, JSON_STRING) ? json_string(want) : NULL;
    if (number && strcmp(number, "nan") == 0) number = NULL;

    assert_ok(literal_coerce(arena, in, to, &out, &how, &why, &err), &err);
    if (how != COERCED_FAILED) literal_write_str(&got, &out);
    bool same = number ? how == COERCED_LOSSLESS && got.text && strcmp(got.text, number) == 0
                       : how == COERCED_FAILED;
    if (!same)
        fail_msg("%s: %s(\"%.60s\") is %.60s, not %.60s", file, to == TO_INT ? "int" : "float",
                 in->text, got.text ? got.text : "refused", number ? number : "refused");
    str_fini(&got);
    arena_free(arena);
}

static void literal_reads_numbers_as_python(void **state)
{
    static const char file[] = WEFT_SOURCE_ROOT "/tests/data/graph/python_numbers.json";
    JsonDoc *doc = NULL;
    char *text = NULL;
    size_t size = 0;
    int count = 0;
    Error err = { 0 };

    (void)state;
    assert_ok(file_read(file, 1 << 20, &text, &size, &err), &err);
    assert_ok(json_parse(text, size, &doc, &err), &err);
    for (const Json *row = json_first(json_root(doc)); row; row = json_next(row), count++) {
        const Json *said = json_at(row, 0);
        Literal in = { .kind = LIT_TEXT,
                       .text = json_string(said),
                       .length = json_string_length(said) };
        check_number(file, &in, TO_INT, json_at(row, 1));
        check_number(file, &in, TO_FLOAT, json_at(row, 2));
    }
    assert_true(count > 500);
    json_free(doc);
    mem_free(text);
}

int run_literal_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_converts_as_python),
        cmocka_unit_test(literal_reads_numbers_as_python),
        cmocka_unit_test(literal_compares_beyond_64_bits),
        cmocka_unit_test(literal_reads_whole_seeds),
        cmocka_unit_test(literal_writes_python_repr),
    };
    return cmocka_run_group_tests_name("literal", tests, NULL, NULL);
}
