/* test_status.c - the diagnostic record: layering, cutting, its line of text. */
#include "tests/unit/base/common.h"

#include <string.h>

#include "engine/base/status.h"
#include "engine/base/str.h"

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(status_name(OK), "OK");
    assert_string_equal(status_name(E_INTERNAL), "E_INTERNAL");
    assert_string_equal(status_message(E_NOMEM), "out of memory");
}

static void test_layers(void **state)
{
    Error e;
    char text[512];

    (void)state;
    assert_int_equal(error_set(&e, E_RANGE, "%d is below the minimum %d", 0, 1), E_RANGE);
    error_fix(&e, "use 1 to 10000");
    error_at_input(&e, "steps");
    error_at_input(&e, "outer");
    error_at_node(&e, "12", "KSampler");
    error_at_node(&e, "13", "Other");
    error_at_file(&e, "a.json", -1);
    error_at_file(&e, "b.json", 7);
    error_format(&e, text, sizeof text);
    assert_string_equal(text, "a.json: byte 7: error node 12 (KSampler): steps: 0 is below the "
                              "minimum 1; use 1 to 10000");
    e.line = 3;
    e.column = 4;
    strcpy(e.rule, "E205");
    e.severity = SEV_WARNING;
    error_format(&e, text, 60);
    assert_string_equal(text, "a.json:3:4: warning E205 node 12 (KSampler): steps: 0 is be");
    assert_int_equal(error_set(NULL, E_IO, "x"), E_IO);
    error_fix(NULL, "x");
    error_at_file(NULL, "x", 0);
}

static void test_minimal(void **state)
{
    Error e;
    char text[64];

    (void)state;
    error_clear(&e);
    e.status = E_CANCELLED;
    error_format(&e, text, sizeof text);
    assert_string_equal(text, "error: interrupted");
    assert_int_equal(e.offset, -1);
    error_clear(NULL);
}

/* A long text of two-byte letters is cut between letters. */
static void test_cut_text(void **state)
{
    Error e;
    Str s = { 0 };

    (void)state;
    for (int i = 0; i < 600; i++)
        str_add(&s, "\xC3\xA9");
    error_set(&e, E_RANGE, "x%s", s.text);
    assert_true(str_utf8_error(e.message, strlen(e.message)) < 0);
    assert_int_equal(strlen(e.message), 511);
    error_at_input(&e, s.text);
    assert_true(str_utf8_error(e.input, strlen(e.input)) < 0);
    str_fini(&s);
}

int run_status_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_cut_text),
    };

    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
