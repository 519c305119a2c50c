/* test_glob.c - patterns of file names. */
#include "engine/base/glob.h"

#include "tests/unit/base/common.h"

static const struct Case {
    const char *pattern, *path;
    bool match;
} cases[] = {
    { "*.json", "a.json", true },
    { "*.json", "deep/er/a.json", true }, /* no '/': the last part */
    { "*.json", "a.jsonx", false },
    { "a/*.json", "a/b.json", true },
    { "a/*.json", "a/b/c.json", false },
    { "a/**/c.json", "a/c.json", true },
    { "a/**/c.json", "a/b/b/c.json", true },
    { "a/**", "a/b/c", true },
    { "**/x*y.png", "p/q/xay.png", true },
    { "**/x*y.png", "xy.png", true },
    { "?.json", "ab.json", false },
    { "[a-c]?.json", "bz.json", true },
    { "[!a-c].json", "b.json", false },
    { "[]x].json", "].json", true },
    { "a[.json", "a[.json", true },
    { "./a*", "./ab", true },
    { "", "", true },
    { "*", "", true },
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (glob_match(cases[i].pattern, cases[i].path) != cases[i].match)
            fail_msg("%s against %s", cases[i].pattern, cases[i].path);
}

/* Many stars against a long text that almost matches: quadratic, not exponential. */
static void test_no_blow_up(void **state)
{
    char path[4001], pattern[401];

    (void)state;
    for (int i = 0; i < 4000; i++)
        path[i] = 'a';
    path[4000] = 0;
    for (int i = 0; i < 400; i++)
        pattern[i] = i % 2 ? '*' : 'a';
    pattern[399] = 'b';
    pattern[400] = 0;
    assert_false(glob_match(pattern, path));
}

int run_glob_tests(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases),
                                        cmocka_unit_test(test_no_blow_up) };

    return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}
