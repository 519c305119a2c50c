/* test_pickle.c - files that torch.save wrote: their tensors, and what is not done with the rest of them. */
#include "tests/unit/formats/common.h"

#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/formats/pickle.h"
#include "engine/formats/weights.h"

static void pickle_path(char *buf, size_t size, const char *name)
{
    snprintf(buf, size, "%s/tests/fuzz/corpus/pickle/%s", WEFT_SOURCE_ROOT, name);
}

static Weights *open_pickle(const char *name)
{
    char path[1024];
    Weights *w = NULL;
    Error err = { 0 };
    pickle_path(path, sizeof path, name);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    return w;
}

static void check_values(const Weights *w, const char *name, int64_t n, float first)
{
    float v[8];
    Error err = { 0 };
    assert_int_equal(weights_elements(w, name), n);
    assert_ok(weights_f32_into(w, name, v, n, &err), &err);
    for (int64_t i = 0; i < n; i++)
        assert_true(v[i] == first + (float)i);
}

static void both_containers_are_read(void **state)
{
    static const char *const names[] = { "plain.pth", "bare.pth" };
    int64_t shape[K_MAX_DIMS];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Weights *w = open_pickle(names[i]);
        assert_int_equal(weights_count(w), 2);
        assert_int_equal(weights_shape(w, "a.weight", shape), 2);
        assert_int_equal(shape[0], 2);
        assert_int_equal(shape[1], 3);
        check_values(w, "a.weight", 6, 0);
        check_values(w, "a.bias", 3, 0);
        assert_int_equal(weights_dtype(w, "a.bias"), K_BF16);
        weights_unref(w);
    }
}

static void the_weights_stand_for_the_dictionary_around_them(void **state)
{
    Weights *w = open_pickle("nested.pth");
    (void)state;
    assert_int_equal(weights_count(w), 2); /* params_ema goes before params */
    check_values(w, "module.x", 6, 0);
    assert_int_equal(weights_dtype(w, "module.x"), K_F16);
    check_values(w, "y", 2, 1); /* a parameter, and a part of its data */
    weights_unref(w);
}

/* A call that is no tensor's becomes an object without use; nothing is called. */
static void calls_are_not_made(void **state)
{
    Weights *w = open_pickle("call.pth");
    (void)state;
    assert_int_equal(weights_count(w), 1);
    check_values(w, "a", 6, 0);
    weights_unref(w);
}

static void what_is_no_table_is_refused(void **state)
{
    static const struct {
        const char *name;
        Status status;
        const char *words;
    } cases[] = { { "turned.pth", E_UNSUPPORTED, "one piece" },
                  { "list.pth", E_FORMAT, "no dictionary" } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[1024];
        Weights *w = NULL;
        Error err = { 0 };
        pickle_path(path, sizeof path, cases[i].name);
        assert_int_equal(weights_open(path, NULL, &w, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].words));
        assert_string_equal(err.file, path);
    }
}

/* A file that breaks off anywhere is an error, never more. */
static void cut_files_are_refused(void **state)
{
    static const char *const names[] = { "plain.pth", "bare.pth" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1024], *bytes = NULL;
        size_t size = 0;
        Error err = { 0 };
        pickle_path(path, sizeof path, names[i]);
        assert_ok(file_read(path, 1 << 20, &bytes, &size, &err), &err);
        for (size_t n = 0; n < size; n++) {
            SafeTensors *st = NULL;
            char *copy = mem_alloc(n + 1);
            memcpy(copy, bytes, n);
            Status s = pickle_parse((const uint8_t *)copy, n, &st, &err);
            assert_true(s == E_FORMAT || s == E_UNSUPPORTED || s == E_MISSING);
            mem_free(copy);
        }
        mem_free(bytes);
    }
}

typedef struct Bytes {
    char *bytes;
    size_t size;
} Bytes;

static Status parse_once(void *user, Error *err)
{
    const Bytes *b = user;
    SafeTensors *st = NULL;
    TRY(pickle_parse((const uint8_t *)b->bytes, b->size, &st, err));
    safetensors_free(st);
    return OK;
}

static void each_allocation_may_fail(void **state)
{
    char path[1024];
    Bytes b = { 0 };
    Error err = { 0 };
    (void)state;
    pickle_path(path, sizeof path, "nested.pth");
    assert_ok(file_read(path, 1 << 20, &b.bytes, &b.size, &err), &err);
    assert_true(fail_each_allocation(parse_once, &b) > 5);
    mem_free(b.bytes);
}

int run_pickle_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_containers_are_read),
        cmocka_unit_test(the_weights_stand_for_the_dictionary_around_them),
        cmocka_unit_test(calls_are_not_made),
        cmocka_unit_test(what_is_no_table_is_refused),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("pickle", tests, NULL, NULL);
}
