/* test_json.c - the JSON guard: what it keeps that cJSON loses, and what it refuses. */
#include "tests/unit/base/common.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"

static JsonDoc *parse_n(const char *text, size_t n)
{
    JsonDoc *doc = NULL;
    Error err;
    Status s = json_parse(text, n, &doc, &err);

    if (s != OK) fail_msg("%.40s: %s", text, err.message);
    return doc;
}

static JsonDoc *parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static void assert_writes(const char *text, const char *want)
{
    JsonDoc *doc = parse(text);
    Str s = { 0 };

    json_write(&s, json_root(doc));
    assert_string_equal(s.text, want);
    str_fini(&s);
    json_free(doc);
}

/* ---- numbers ---- */

static void test_integers(void **state)
{
    JsonDoc *doc = parse(
        "[18446744073709551615, -9223372036854775808, 9223372036854775808, 9007199254740993,"
        " 18446744073709551616, 1.0, 1e3, -0, -1, 123456789012345678901234567890]");
    const Json *a = json_root(doc);
    uint64_t u;
    int64_t i;

    (void)state;
    assert_true(json_uint64(json_at(a, 0), &u) && u == UINT64_MAX);
    assert_false(json_int64(json_at(a, 0), &i));
    assert_true(json_int64(json_at(a, 1), &i) && i == INT64_MIN);
    assert_false(json_uint64(json_at(a, 1), &u));
    assert_false(json_int64(json_at(a, 2), &i));
    assert_true(json_uint64(json_at(a, 2), &u));
    assert_true(json_int64(json_at(a, 3), &i) && i == INT64_C(9007199254740993));
    assert_false(json_uint64(json_at(a, 4), &u));
    assert_false(json_is_integer(json_at(a, 5)) || json_is_integer(json_at(a, 6)));
    assert_true(json_int64(json_at(a, 7), &i) && i == 0);
    assert_false(json_uint64(json_at(a, 8), &u));
    assert_string_equal(json_number_text(json_at(a, 9)), "123456789012345678901234567890");
    json_free(doc);
}

static void test_floats(void **state)
{
    JsonDoc *doc = parse("[1e400, -1e400, NaN, Infinity, -Infinity, 1e-400, 0.1]");
    const Json *a = json_root(doc);

    (void)state;
    assert_true(isinf(json_double(json_at(a, 0))) && json_double(json_at(a, 1)) < 0);
    assert_true(isnan(json_double(json_at(a, 2))));
    assert_false(json_is_integer(json_at(a, 2)));
    assert_true(isinf(json_double(json_at(a, 3))) && json_double(json_at(a, 4)) < -DBL_MAX);
    assert_true(json_double(json_at(a, 5)) == 0 && json_double(json_at(a, 6)) == 0.1);
    json_free(doc);
}

/* Python's repr of the same doubles. */
static void test_write_double(void **state)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        { 1, "1.0" },
        { -0.0, "-0.0" },
        { 0.1, "0.1" },
        { 1e16, "1e+16" },
        { 1e15, "1000000000000000.0" },
        { 123456.789, "123456.789" },
        { 1e-4, "0.0001" },
        { 1e-5, "1e-05" },
        { 5e-324, "5e-324" },
        { DBL_MAX, "1.7976931348623157e+308" },
        { 1.0 / 3, "0.3333333333333333" },
        { 100, "100.0" },
        { 2.5e-7, "2.5e-07" },
        { 9007199254740993.0, "9007199254740992.0" },
        { 1e22, "1e+22" },
        { 0.30000000000000004, "0.30000000000000004" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Str s = { 0 };

        json_write_double(&s, rows[i].v);
        assert_string_equal(s.text, rows[i].text);
        str_fini(&s);
    }
    assert_writes("[NaN]", "[NaN]");
}

/* ---- strings ---- */

static void test_strings(void **state)
{
    JsonDoc *doc = parse("[\"a\\u0000b\", \"\\ud83d\\ude00\", \"\\ud800x\", "
                         "\"\\udc00\\ud800\", \"\\/\\b\\f\\n\\r\\t\\\"\\\\\","
                         " \"\\u00e9\xC3\xA9\"]");
    const Json *a = json_root(doc);

    (void)state;
    assert_int_equal(json_string_length(json_at(a, 0)), 3);
    assert_memory_equal(json_string(json_at(a, 0)), "a\0b", 4);
    assert_string_equal(json_string(json_at(a, 1)), "\xF0\x9F\x98\x80");
    assert_string_equal(json_string(json_at(a, 2)), "\xED\xA0\x80x");
    assert_string_equal(json_string(json_at(a, 3)), "\xED\xB0\x80\xED\xA0\x80");
    assert_string_equal(json_string(json_at(a, 4)), "/\b\f\n\r\t\"\\");
    assert_string_equal(json_string(json_at(a, 5)), "\xC3\xA9\xC3\xA9");
    json_free(doc);
}

static void test_write_strings(void **state)
{
    static const char odd[] = "a\x80"
                              "b\xE2\x82\xC0\x80";
    Str s = { 0 };

    (void)state;
    assert_writes(
        "[\"\\u0000\\u001f \\u007f~\", \"\xC3\xA9\", \"\\ud800\", \"\\ud83d\\ude00\", \"\\/\"]",
        "[\"\\u0000\\u001f \\u007f~\", \"\\u00e9\", \"\\ud800\", \"\\ud83d\\ude00\", \"/\"]");
    json_write_string(&s, odd, sizeof odd - 1);
    assert_string_equal(s.text, "\"a\\ufffdb\\ufffd\\ufffd\\ufffd\\ufffd\"");
    str_fini(&s);
}

/* ---- objects and arrays ---- */

static void test_duplicates(void **state)
{
    JsonDoc *doc =
        parse("{\"a\": 1, \"b\": 2, \"a\": 3, \"c\": {\"x\": 1, \"x\": 2}, \"a\": 4}");
    const Json *root = json_root(doc), *a = json_get(root, "a");

    (void)state;
    assert_int_equal(json_count(root), 3);
    assert_true(json_double(a) == 4);
    assert_ptr_equal(json_first(root), a); /* in the first one's place, as in a Python dict */
    assert_true(json_double(json_get(json_get(root, "c"), "x")) == 2);
    assert_string_equal(json_key(json_duplicate(doc, 0)), "x");
    assert_ptr_equal(json_duplicate(doc, 1), a);
    assert_int_equal(json_offset(a), 53);
    assert_null(json_duplicate(doc, 2));
    json_free(doc);
}

/* 100 keys, each written twice: both ways of finding a key are used by the sizes here. */
static void test_large_object(void **state)
{
    (void)state;
    for (int keys = 1; keys <= 100; keys += 3) {
        Str s = { 0 };
        JsonDoc *doc;
        char key[16];

        for (int i = 0; i < 2 * keys; i++)
            str_printf(&s, "%s\"k%d\": %d", i ? ", " : "{", i % keys, i);
        str_add(&s, "}");
        doc = parse(s.text);
        assert_int_equal(json_count(json_root(doc)), keys);
        for (int i = 0; i < keys; i++) {
            snprintf(key, sizeof key, "k%d", i);
            assert_true(json_double(json_get(json_root(doc), key)) == keys + i);
            assert_string_equal(json_key(json_at(json_root(doc), (size_t)i)), key);
        }
        assert_non_null(json_duplicate(doc, (size_t)keys - 1));
        assert_null(json_duplicate(doc, (size_t)keys));
        assert_null(json_get(json_root(doc), "none"));
        json_free(doc);
        str_fini(&s);
    }
}

static void test_reading(void **state)
{
    JsonDoc *doc =
        parse("\xEF\xBB\xBF {\"t\": true, \"n\": null, \"a\": [], \"o\": {}, \"\": 1}\n");
    const Json *root = json_root(doc);

    (void)state;
    assert_true(json_is(root, JSON_OBJECT) && !json_is(NULL, JSON_NULL));
    assert_true(json_bool(json_get(root, "t")));
    assert_int_equal(json_kind(json_get(root, "n")), JSON_NULL);
    assert_int_equal(json_count(json_get(root, "a")), 0);
    assert_null(json_first(json_get(root, "o")));
    assert_non_null(json_get(root, ""));
    assert_null(json_at(root, 5));
    assert_null(json_string(root));
    assert_null(json_get(json_get(root, "t"), "x"));
    assert_null(json_get(NULL, "x"));
    assert_int_equal(json_offset(root), 4);
    assert_int_equal(json_count(NULL), 0);
    json_free(doc);
}

static void test_array_access(void **state)
{
    Str s = { 0 };
    JsonDoc *doc;

    (void)state;
    for (int i = 0; i < 1000; i++)
        str_printf(&s, "%c%d", i ? ',' : '[', i);
    str_add(&s, "]");
    doc = parse(s.text);
    for (size_t i = 0; i < 1000; i++)
        assert_true(json_double(json_at(json_root(doc), i)) == (double)i);
    assert_null(json_at(json_root(doc), 1000));
    json_free(doc);
    str_fini(&s);
}

static void test_write(void **state)
{
    (void)state;
    assert_writes(
        " {\"a\":[1,2.50,{}],\"b\":[[],[[null]]],\"c\":{\"d\":{\"e\":false}}} ",
        "{\"a\": [1, 2.50, {}], \"b\": [[], [[null]]], \"c\": {\"d\": {\"e\": false}}}");
    assert_writes("7", "7");
}

static void test_write_part(void **state)
{
    JsonDoc *doc = parse("{\"a\": {\"b\": [1, 2]}, \"c\": 3}");
    Str s = { 0 };

    (void)state;
    json_write(&s, json_get(json_root(doc), "a"));
    assert_string_equal(s.text, "{\"b\": [1, 2]}");
    str_fini(&s);
    json_free(doc);
}

/* ---- places ---- */

static void test_line_column(void **state)
{
    JsonDoc *doc = parse("\xEF\xBB\xBF{\n  \"\xC3\xA9\": 1,\r\n  \"b\": [2]\n}");
    const Json *root = json_root(doc);
    int line, column;

    (void)state;
    json_line_column(doc, json_offset(root), &line, &column);
    assert_true(line == 1 && column == 1);
    json_line_column(doc, json_offset(json_get(root, "\xC3\xA9")), &line, &column);
    assert_true(line == 2 && column == 8);
    json_line_column(doc, json_offset(json_at(json_get(root, "b"), 0)), &line, &column);
    assert_true(line == 3 && column == 9);
    json_line_column(doc, 1 << 30, &line, &column);
    assert_int_equal(line, 4);
    json_free(doc);
}

static void test_line_column_far(void **state)
{
    Str s = { 0 };
    JsonDoc *doc;
    int line, column;

    (void)state;
    str_add(&s, "[");
    for (int i = 0; i < 20000; i++)
        str_add(&s, "1,\n");
    str_add(&s, "2]");
    doc = parse(s.text);
    json_line_column(doc, json_offset(json_at(json_root(doc), 20000)), &line, &column);
    assert_true(line == 20001 && column == 1);
    json_free(doc);
    str_fini(&s);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text;
        int offset, line, column;
    } rows[] = {
        { "", 0, 1, 1 },
        { "  ", 2, 1, 3 },
        { "{", 1, 1, 2 },
        { "[1,]", 3, 1, 4 },
        { "[1 2]", 3, 1, 4 },
        { "{\"a\":1,}", 7, 1, 8 },
        { "{a:1}", 1, 1, 2 },
        { "{\"a\" 1}", 5, 1, 6 },
        { "[01]", 1, 1, 2 },
        { "[1.]", 3, 1, 4 },
        { "[.5]", 1, 1, 2 },
        { "[+1]", 1, 1, 2 },
        { "[-]", 2, 1, 3 },
        { "[1e]", 3, 1, 4 },
        { "[0x10]", 2, 1, 3 },
        { "\"abc", 0, 1, 1 },
        { "\"a\nb\"", 2, 1, 3 },
        { "\"\\x\"", 2, 1, 3 },
        { "\"\\u12g4\"", 3, 1, 4 },
        { "[1]\n x", 5, 2, 2 },
        { "'a'", 0, 1, 1 },
        { "[tru]", 1, 1, 2 },
        { "[1}", 2, 1, 3 },
        { "{\"a\":1]", 6, 1, 7 },
        { "\"\\", 0, 1, 1 },
        { "[\"\xC3\x28\"]", 2, 1, 3 },
        { "[\xED\xA0\x80]", 1, 1, 2 },
        { "{\n\"\xC3\xA9\": nul}", 8, 2, 6 },
        { "[-Inf]", 1, 1, 2 },
        { "// c\n1", 0, 1, 1 },
        { "]", 0, 1, 1 },
        { "[,1]", 1, 1, 2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        JsonDoc *doc = NULL;
        Error err;

        if (json_parse(rows[i].text, strlen(rows[i].text), &doc, &err) != E_FORMAT)
            fail_msg("'%s' is taken", rows[i].text);
        if (err.offset != rows[i].offset || err.line != rows[i].line ||
            err.column != rows[i].column)
            fail_msg("'%s': byte %d, %d:%d", rows[i].text, (int)err.offset, err.line,
                     err.column);
        assert_true(str_starts_with(err.message, "invalid JSON at byte "));
        assert_null(doc);
    }
}

static void check_depth(const char *open, const char *close, int depth, Status want)
{
    Str s = { 0 }, again = { 0 };
    JsonDoc *doc = NULL;

    for (int i = 0; i < depth; i++)
        str_add(&s, open);
    if (close[0] == '}') str_add(&s, "1");
    for (int i = 0; i < depth; i++)
        str_add(&s, close);
    assert_int_equal(json_parse(s.text, s.length, &doc, NULL), want);
    if (want == OK) {
        json_write(&again, json_root(doc));
        json_free(doc);
    }
    str_fini(&again);
    str_fini(&s);
}

static void test_depth(void **state)
{
    (void)state;
    check_depth("[", "]", JSON_MAX_DEPTH, OK);
    check_depth("[", "]", JSON_MAX_DEPTH + 1, E_FORMAT);
    check_depth("[", "]", 1000000, E_FORMAT);
    check_depth("{\"a\": ", "}", JSON_MAX_DEPTH, OK);
    check_depth("{\"a\": ", "}", JSON_MAX_DEPTH + 1, E_FORMAT);
}

static void test_exact_length(void **state)
{
    JsonDoc *doc = parse_n("[1]x", 3);
    JsonDoc *none = NULL;

    (void)state;
    json_free(doc);
    assert_int_equal(json_parse("[1]\0", 4, &none, NULL), E_FORMAT);
    assert_int_equal(json_parse(NULL, 0, &none, NULL), E_FORMAT);
}

static void test_out_of_memory(void **state)
{
    Str text = { 0 };
    Status s = E_NOMEM;
    uint64_t n = 0;

    (void)state;
    str_add(&text, "{\"a\": {\"a\": 1, \"a\": 2}");
    for (int i = 0; i < 200; i++)
        str_printf(&text, ", \"k%d\": [\"text\", 1, {}]", i);
    str_add(&text, "}");
    while (s != OK) {
        JsonDoc *doc = NULL;

        mem_fail_at(++n);
        s = json_parse(text.text, text.length, &doc, NULL);
        mem_fail_at(0);
        assert_true(s == OK || s == E_NOMEM);
        if (s == OK) json_free(doc);
    }
    assert_true(n > 5);
    str_fini(&text);
}

int run_json_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_write_double),    cmocka_unit_test(test_strings),
        cmocka_unit_test(test_write_strings),   cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_large_object),    cmocka_unit_test(test_reading),
        cmocka_unit_test(test_array_access),    cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_part),      cmocka_unit_test(test_line_column),
        cmocka_unit_test(test_line_column_far), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_depth),           cmocka_unit_test(test_exact_length),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
