/* test_json_edit.c - changes to JSON text: layout stays, groups that meet are refused. */
#include "engine/base/json_edit.h"

#include <string.h>

#include "engine/base/mem.h"
#include "tests/unit/base/common.h"

typedef struct Scene {
    JsonDoc *doc;
    JsonEdit *edit;
} Scene;

static void open_scene(Scene *s, const char *text)
{
    Error err = { 0 };

    if (json_parse(text, strlen(text), &s->doc, &err) != OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(json_edit_new(s->doc, &s->edit, &err), OK);
    json_edit_begin(s->edit);
}

static void close_scene(Scene *s, const char *expected)
{
    Str out = { 0 };

    assert_int_equal(json_edit_apply(s->edit, &out, NULL), OK);
    assert_string_equal(out.text, expected);
    str_fini(&out);
    json_edit_free(s->edit);
    json_free(s->doc);
}

static const Json *member(const Scene *s, const char *key)
{
    return json_get(json_root(s->doc), key);
}

static void test_replace(void **state)
{
    Scene s;

    (void)state;
    open_scene(&s, "{ \"a\\\"b\" :1 ,\n\t\"c\": [1, {\"x\": \"]\\\"\"}], \"d\": -1.50e3}");
    json_edit_replace(s.edit, member(&s, "a\"b"), "2");
    assert_true(json_edit_commit(s.edit));
    json_edit_begin(s.edit);
    json_edit_replace(s.edit, member(&s, "c"), "null");
    json_edit_replace(s.edit, member(&s, "d"), "7");
    assert_true(json_edit_commit(s.edit));
    close_scene(&s, "{ \"a\\\"b\" :2 ,\n\t\"c\": null, \"d\": 7}");
}

static void remove_all(const char *text, const char *const *keys, const char *expected)
{
    Scene s;

    open_scene(&s, text);
    for (; *keys; keys++)
        json_edit_remove(s.edit, member(&s, *keys));
    assert_true(json_edit_commit(s.edit));
    close_scene(&s, expected);
}

#define KEYS(...) ((const char *[]){ __VA_ARGS__, NULL })

static void test_remove(void **state)
{
    static const char three[] = "{\n  \"a\": 1,\n  \"b\": [2],\n  \"c\": 3\n}\n";

    (void)state;
    remove_all(three, KEYS("a"), "{\n  \"b\": [2],\n  \"c\": 3\n}\n");
    remove_all(three, KEYS("b"), "{\n  \"a\": 1,\n  \"c\": 3\n}\n");
    remove_all(three, KEYS("c"), "{\n  \"a\": 1,\n  \"b\": [2]\n}\n");
    remove_all(three, KEYS("c", "b"), "{\n  \"a\": 1\n}\n");
    remove_all(three, KEYS("a", "c"), "{\n  \"b\": [2]\n}\n");
    remove_all(three, KEYS("a", "b", "c"), "{}\n");
}

static void test_add(void **state)
{
    Scene s;

    (void)state;
    open_scene(&s, "{\n  \"a\": {},\n  \"b\": [1,2],\n  \"c\": []\n}");
    json_edit_add_member(s.edit, json_root(s.doc), "d", "4");
    json_edit_add_member(s.edit, member(&s, "a"), "k\n", "[]");
    json_edit_add_item(s.edit, member(&s, "b"), "3");
    json_edit_add_item(s.edit, member(&s, "c"), "9");
    assert_true(json_edit_commit(s.edit));
    close_scene(&s,
                "{\n  \"a\": {\"k\\n\": []},\n  \"b\": [1,2,3],\n  \"c\": [9],\n  \"d\": 4\n}");
}

static void test_groups_that_meet(void **state)
{
    Scene s;

    (void)state;
    open_scene(&s, "{\"a\": {\"x\": 1}, \"b\": 2}");
    json_edit_remove(s.edit, member(&s, "a"));
    assert_true(json_edit_commit(s.edit));
    json_edit_begin(s.edit);
    json_edit_replace(s.edit, json_get(member(&s, "a"), "x"), "5");
    json_edit_replace(s.edit, member(&s, "b"), "5");
    assert_false(json_edit_commit(s.edit)); /* whole, or not at all */
    json_edit_begin(s.edit);
    json_edit_freeze(s.edit, member(&s, "b"));
    assert_false(json_edit_commit(s.edit)); /* changes nothing */
    assert_int_equal(json_edit_count(s.edit), 1);
    close_scene(&s, "{\"b\": 2}");
    open_scene(&s, "{\"a\": [1, 0], \"b\": 2}");
    json_edit_freeze(s.edit, member(&s, "a"));
    json_edit_replace(s.edit, member(&s, "b"), "3");
    assert_true(json_edit_commit(s.edit));
    json_edit_begin(s.edit);
    json_edit_replace(s.edit, json_first(member(&s, "a")), "7");
    assert_false(json_edit_commit(s.edit)); /* the first group copied it */
    close_scene(&s, "{\"a\": [1, 0], \"b\": 3}");
}

/* Where a key stands twice, members are not in the text's order: nothing is removed there. */
static void test_ragged(void **state)
{
    Scene s;

    (void)state;
    open_scene(&s, "{\"a\": 1, \"b\": 2, \"a\": 3}");
    json_edit_remove(s.edit, member(&s, "b"));
    assert_false(json_edit_commit(s.edit));
    json_edit_begin(s.edit);
    json_edit_replace(s.edit, member(&s, "a"), "4");
    assert_true(json_edit_commit(s.edit));
    close_scene(&s, "{\"a\": 1, \"b\": 2, \"a\": 4}");
}

int run_json_edit_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace), cmocka_unit_test(test_remove),
        cmocka_unit_test(test_add),     cmocka_unit_test(test_groups_that_meet),
        cmocka_unit_test(test_ragged),
    };

    return cmocka_run_group_tests_name("json_edit", tests, NULL, NULL);
}
