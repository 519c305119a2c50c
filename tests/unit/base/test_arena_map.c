/* test_arena_map.c - mem, arena, map, ref and the event bus. */
#include "tests/unit/base/common.h"

#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/events.h"
#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/base/ref.h"

static void test_mem_counts_bytes(void **state)
{
    (void)state;
    int64_t before = mem_live();
    mem_peak_reset();
    void *a = mem_alloc(100000), *b = mem_calloc(1000, 50);
    assert_true(mem_live() - before >= 150000 && mem_live() - before < 160000);
    a = mem_realloc(a, 300000);
    mem_free(b);
    assert_true(mem_live() - before >= 300000 && mem_live() - before < 310000);
    assert_true(mem_peak() - before >= 350000 && mem_peak() - before < 360000);
    mem_free(a);
    assert_int_equal(mem_live(), before);
    mem_peak_reset();
    assert_int_equal(mem_peak(), before);
}

static void test_mem_fails_on_request(void **state)
{
    uint64_t before = mem_count();
    void *p;

    (void)state;
    mem_fail_at(2);
    p = mem_alloc(1);
    assert_non_null(p);
    assert_null(mem_alloc(1));
    assert_null(mem_realloc(p, 8));
    assert_null(mem_strdup("x"));
    mem_fail_at(0);
    mem_free(p);
    assert_int_equal(mem_count() - before, 4);
    assert_null(mem_alloc_array(SIZE_MAX / 2, 4));
    p = mem_aligned(64, 100);
    assert_int_equal((uintptr_t)p % 64, 0);
    mem_free(p);
    p = mem_calloc(0, 8);
    assert_non_null(p);
    mem_free(p);
}

static void test_arena(void **state)
{
    Arena *a = arena_new();
    char *text;

    (void)state;
    for (size_t n = 0; n < 20000; n = n * 3 / 2 + 1) {
        unsigned char *p = arena_alloc(a, n);

        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xAA, n);
    }
    assert_null(arena_array(a, SIZE_MAX / 2, 4));
    assert_null(arena_alloc(a, SIZE_MAX));
    text = arena_printf(a, "%s-%d", "abc", 7);
    assert_string_equal(text, "abc-7");
    assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
    arena_free(a);
    arena_free(NULL);
}

static void test_map(void **state)
{
    Map m = { 0 };
    char key[16];
    int values[500];

    (void)state;
    assert_null(map_get(&m, "a"));
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_true(map_put(&m, key, &values[i]));
    }
    assert_true(map_put(&m, "key7", NULL));
    assert_int_equal(m.count, 500);
    assert_true(map_has(&m, "key7"));
    assert_null(map_get(&m, "key7"));
    assert_false(map_has(&m, "key500"));
    for (int i = 8; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_ptr_equal(map_get(&m, key), &values[i]);
        assert_string_equal(m.entries[i].key, key); /* insertion order */
    }
    map_fini(&m);
    assert_int_equal(m.count, 0);
}

static void test_map_out_of_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        Map m = { 0 };
        char key[16];
        bool good = true;

        mem_fail_at(n);
        for (int i = 0; i < 20 && good; i++) {
            snprintf(key, sizeof key, "key%d", i);
            good = map_put(&m, key, &m);
        }
        mem_fail_at(0);
        for (size_t i = 0; i < m.count; i++)
            assert_ptr_equal(map_get(&m, m.entries[i].key), &m);
        map_fini(&m);
    }
}

typedef struct Counted {
    Ref ref;
    int *destroyed;
} Counted;

static void destroy_counted(void *object)
{
    Counted *c = object;

    (*c->destroyed)++;
}

static void test_ref(void **state)
{
    int destroyed = 0;
    Counted c = { .destroyed = &destroyed };

    (void)state;
    ref_init(&c.ref, destroy_counted);
    assert_ptr_equal(ref_take(&c), &c);
    ref_drop(&c);
    assert_int_equal(destroyed, 0);
    ref_drop(&c);
    assert_int_equal(destroyed, 1);
    ref_drop(NULL);
    assert_null(ref_take(NULL));
}

static void count_event(void *user, const Event *event)
{
    int *sum = user;

    *sum += (int)event->step;
}

static void test_events(void **state)
{
    Events ev = { 0 };
    int sum = 0;
    double first, second;

    (void)state;
    for (int i = 0; i < EVENTS_MAX_LISTENERS; i++)
        assert_true(events_listen(&ev, count_event, &sum));
    assert_false(events_listen(&ev, count_event, &sum));
    events_emit(&ev, &(Event){ .kind = EV_PROGRESS, .step = 3 });
    events_emit(NULL, &(Event){ .kind = EV_PROGRESS, .step = 3 });
    assert_int_equal(sum, 3 * EVENTS_MAX_LISTENERS);
    assert_string_equal(event_name(EV_FIRST_MATMUL), "first_matmul");
    assert_string_equal(event_name(EV_EXECUTION_INTERRUPTED), "execution_interrupted");
    first = events_seconds_since_exec();
    second = events_seconds_since_exec();
    assert_true(first >= 0 && first < 3600 && second >= first);
}

int run_arena_map_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem_counts_bytes),
        cmocka_unit_test(test_mem_fails_on_request),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_out_of_memory),
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_events),
    };

    return cmocka_run_group_tests_name("arena_map", tests, NULL, NULL);
}
