/* test_str.c - the growing string and what plain strings lack. */
#include "tests/unit/base/common.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"

static void test_growing(void **state)
{
    Str s = { 0 };
    char *text;

    (void)state;
    for (int i = 0; i < 100; i++)
        str_printf(&s, "%d,", i);
    str_add_char(&s, '.');
    assert_int_equal(s.length, 291);
    assert_int_equal(strlen(s.text), 291);
    text = str_take(&s);
    assert_true(str_ends_with(text, "98,99,."));
    mem_free(text);
    assert_null(s.text);
    text = str_take(&s);
    assert_string_equal(text, "");
    mem_free(text);
}

static void test_out_of_memory(void **state)
{
    Str s = { 0 };

    (void)state;
    str_add(&s, "kept");
    mem_fail_at(1);
    str_printf(&s, "%100d", 1);
    mem_fail_at(0);
    assert_true(s.failed);
    str_add(&s, "x");
    assert_string_equal(s.text, "kept");
    assert_null(str_take(&s));
    assert_false(s.failed);
}

static void test_affixes(void **state)
{
    (void)state;
    assert_true(str_ends_with("a.png", ".png"));
    assert_false(str_ends_with("png", ".png"));
    assert_true(str_starts_with("a.png", "a."));
    assert_false(str_starts_with("a", "a."));
}

static void test_distance(void **state)
{
    static const char *const names[] = { "KSampler", "VAEDecode", "VAEEncode", "SaveImage" };

    (void)state;
    assert_int_equal(str_distance("kitten", "sitting", 10), 3);
    assert_int_equal(str_distance("kitten", "sitting", 2), 2);
    assert_int_equal(str_distance("", "abc", 10), 3);
    assert_string_equal(str_nearest("ksamplr", names, 4), "KSampler");
    assert_string_equal(str_nearest("VAEdecoder", names, 4), "VAEDecode");
    assert_null(str_nearest("Something", names, 4));
    assert_null(str_nearest("", names, 4));
    assert_null(str_nearest("x", names, 0));
}

static void test_utf8(void **state)
{
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        { "plain", -1 },
        { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", -1 },
        { "a\x80", 1 },
        { "\xC0\x80", 0 },
        { "\xE0\x9F\xBF", 0 },
        { "\xED\xA0\x80", 0 },
        { "\xF4\x90\x80\x80", 0 },
        { "ab\xE2\x82", 2 },
        { "\xF5\x80\x80\x80", 0 },
        { "\xEF\xBF\xBF", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(str_utf8_error(rows[i].text, strlen(rows[i].text)), rows[i].error);
    assert_int_equal(str_utf8_error("a\0b", 3), -1);
}

static void test_to_double(void **state)
{
    static const char *const bad[] = { "",     " ",    "1 2", "0x10", "1_", "_1",
                                       "1__0", "1._5", "e5",  "one",  "1e" };
    double v;

    (void)state;
    assert_true(str_to_double(" 1_000.5e-1\n", &v) && v == 100.05);
    assert_true(str_to_double("-.5", &v) && v == -0.5);
    assert_true(str_to_double("5.", &v) && v == 5);
    assert_true(str_to_double("+Infinity", &v) && isinf(v));
    assert_true(str_to_double("-inf", &v) && v < 0);
    assert_true(str_to_double("NaN", &v) && isnan(v));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (str_to_double(bad[i], &v)) fail_msg("'%s' is taken", bad[i]);
}

int run_str_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growing), cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_affixes), cmocka_unit_test(test_distance),
        cmocka_unit_test(test_utf8),    cmocka_unit_test(test_to_double),
    };

    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
