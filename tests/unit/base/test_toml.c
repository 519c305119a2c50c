/* test_toml.c - the part of TOML that settings need. */
#include "engine/base/toml.h"

#include <string.h>

#include "engine/base/mem.h"
#include "tests/unit/base/common.h"

static Status read_toml(const char *text, Arena **arena, Toml *out, Error *err)
{
    *arena = arena_new();
    assert_non_null(*arena);
    return toml_parse(text, strlen(text), *arena, out, err);
}

static void test_values(void **state)
{
    static const char text[] = "top = 1\r\n"
                               "[a.b] # table\n"
                               "s = \"q\\u00e9\\n\"\n"
                               "'l l' = 'raw\\n'\n"
                               "list = [ \"x\", # first\n  'y', ]\n"
                               "on = true\n"
                               "in = { k = -7, \"W 3\" = \"off\" }\n"
                               "d.e = false\n";
    Arena *arena;
    Toml t;
    Error err = { 0 };

    (void)state;
    assert_int_equal(read_toml(text, &arena, &t, &err), OK);
    assert_int_equal(t.count, 8);
    assert_int_equal(t.entries[0].depth, 1);
    assert_int_equal(t.entries[0].integer, 1);
    assert_int_equal(t.entries[1].depth, 3);
    assert_string_equal(t.entries[1].path[1], "b");
    assert_string_equal(t.entries[1].text, "q\xC3\xA9\n");
    assert_string_equal(t.entries[2].path[2], "l l");
    assert_string_equal(t.entries[2].text, "raw\\n");
    assert_int_equal(t.entries[3].n_items, 2);
    assert_string_equal(t.entries[3].items[1], "y");
    assert_true(t.entries[4].flag);
    assert_int_equal(t.entries[5].integer, -7);
    assert_string_equal(t.entries[6].path[3], "W 3");
    assert_int_equal(t.entries[7].depth, 4);
    assert_int_equal(t.entries[7].line, 9);
    arena_free(arena);
}

/* clang-format off */
static const struct Fault { const char *text; int line; const char *word; } faults[] = {
    { "a = 1\na = 2\n", 2, "twice" }, { "[a]\nb = 1\n[a.b]\nc = 1\n", 4, "twice" },
    { "[[a]]\n", 1, "arrays of tables" }, { "a = 1.5\n", 1, "expected" }, { "a = [1]\n", 1, "texts" },
    { "a = \"x\n\"", 1, "without an end" }, { "a = \"\"\"x\"\"\"\n", 1, "several lines" },
    { "a 1\n", 1, "'='" }, { "= 1\n", 1, "key" }, { "a = 1 b = 2\n", 1, "follows" }, { "a = { b = 1, }\n", 1, "comma" },
    { "a = { b = { c = 1 } }\n", 1, "inline" }, { "a = \"\\x\"\n", 1, "escape" }, { "\n\n[a\n", 3, "']'" },
    { "a = 9999999999999999999\n", 1, "15 digits" }, { "a = tru\n", 1, "expected" }, { "a = \"\xff\"\n", 1, "UTF-8" },
    { "a = \"\\ud800\"\n", 1, "character" }, { "a = [\"x\" \"y\"]\n", 1, "','" },
};
/* clang-format on */

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        Arena *arena;
        Toml t;
        Error err = { 0 };
        if (read_toml(faults[i].text, &arena, &t, &err) != E_FORMAT)
            fail_msg("%s", faults[i].text);
        if (err.line != faults[i].line || !strstr(err.message, faults[i].word))
            fail_msg("%s: line %d: %s", faults[i].text, err.line, err.message);
        arena_free(arena);
    }
}

int run_toml_tests(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_values),
                                        cmocka_unit_test(test_faults) };

    return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}
