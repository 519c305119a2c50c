/* test_patch.c - the set of patches: slots, lists, order, history. */
#include "suite.h"

#include <string.h>

static void add(PatchSet *s, PatchKind kind, const char *text)
{
    assert_int_equal(
        patch_set_add(s, &(Patch){ .kind = kind, .text = text, .strength = 1 }, NULL), OK);
}

static void kinds_are_sorted_and_lists_keep_their_order(void **state)
{
    (void)state;
    PatchSet s = { 0 }, copy = { 0 };
    add(&s, PATCH_COMPILE, "compile");
    add(&s, PATCH_WEIGHTS, "first");
    add(&s, PATCH_ATTENTION, "sage");
    add(&s, PATCH_WEIGHTS, "second");
    assert_int_equal(patch_set_copy(&s, &copy, NULL), OK);
    patch_set_fini(&s);
    assert_int_equal(copy.count, 4);
    assert_string_equal(copy.items[0].text, "first");
    assert_string_equal(copy.items[1].text, "second");
    assert_string_equal(copy.items[2].text, "sage");
    assert_string_equal(copy.items[3].text, "compile");
    assert_string_equal(patch_set_find(&copy, PATCH_WEIGHTS, 1)->text, "second");
    assert_null(patch_set_find(&copy, PATCH_WEIGHTS, 2));
    patch_set_fini(&copy);
}

static void the_last_patch_of_a_slot_wins_and_the_lost_is_remembered(void **state)
{
    (void)state;
    PatchSet s = { 0 };
    add(&s, PATCH_ATTENTION, "sage");
    add(&s, PATCH_ATTENTION, "flash");
    assert_int_equal(s.count, 1);
    assert_string_equal(s.items[0].text, "flash");
    assert_int_equal(s.lost_count, 1);
    assert_string_equal(s.lost[0].text, "sage");
    patch_set_fini(&s);
}

int group_patch(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_sorted_and_lists_keep_their_order),
        cmocka_unit_test(the_last_patch_of_a_slot_wins_and_the_lost_is_remembered),
    };
    return cmocka_run_group_tests_name("patch", tests, NULL, NULL);
}
