/* test_run.c - order, caching, lists, lazy inputs, errors and releasing, with toy nodes. */
#include <stdlib.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/unit/graph/toys.h"

static Status run_once(const char *text, Cache *cache, Trace *trace, RunStats *stats,
                       Error *err)
{
    Graph *g = graph_of(text);
    CheckReport *r = check_of(g, NULL, 0);
    RunOptions options = { .events = trace ? &trace->events : NULL, .cache = cache };
    Status status = run_graph(g, r, &options, stats, err);

    check_free(r);
    graph_free(g);
    return status;
}

#define EMPTY(id, n)                                                                           \
    "\"" id "\": {\"class_type\": \"EmptyImage\", \"inputs\": {\"width\": 64, \"height\": "    \
    "64, \"batch_size\": " n ", \"color\": 0}}"
#define LINK(id) "[\"" id "\", 0]"
#define BATCH(id, a, b)                                                                        \
    "\"" id "\": {\"class_type\": \"ImageBatch\", \"inputs\": {\"image1\": " LINK(             \
        a) ", \"image2\": " LINK(b) "}}"
#define UNARY(id, c, a)                                                                        \
    "\"" id "\": {\"class_type\": \"" c "\", \"inputs\": {\"image\": " LINK(a) "}}"
#define SHOW(id, a)                                                                            \
    "\"" id "\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": " LINK(a) "}}"

static void expect_order(const char *text, const char *order)
{
    Trace t;
    Error err;

    trace_init(&t);
    assert_ok(run_once(text, NULL, &t, NULL, &err), &err);
    assert_string_equal(t.executing, order);
    assert_string_equal(t.end, "execution_success");
    assert_int_equal(toy_alive(), 0);
}

/* The worked tie-breaks of the execution specification. */
static void run_breaks_ties_as_the_reference(void **state)
{
    (void)state;
    expect_order("{" EMPTY("1", "1") "," UNARY("2", "ImageInvert", "1") "," UNARY(
                     "3", "ImageSame", "1") "," BATCH("4", "2", "3") "," SHOW("5", "4") "}",
                 "1,3,2,4,5");
    expect_order(
        "{" EMPTY("1", "1") "," EMPTY("2", "2") "," UNARY("3", "ImageInvert", "1") "," UNARY(
            "4", "ImageInvert", "2") "," BATCH("5", "3", "4") "," SHOW("6", "5") "}",
        "2,4,1,3,5,6");
    expect_order("{" SHOW("1", "6") "," EMPTY("8", "1") "," EMPTY("9", "2") "," EMPTY(
                     "10", "3") "," BATCH("7", "10", "9") "," BATCH("6", "7", "8") "}",
                 "8,9,10,7,6,1");
}

/* Identical nodes 1 and 2 feeding 3: the second takes the result of the first. */
static void run_shares_equal_nodes(void **state)
{
    const char *text =
        "{" EMPTY("1", "1") "," EMPTY("2", "1") "," BATCH("3", "1", "2") "," SHOW("4", "3") "}";
    RunStats stats;
    Error err;
    Trace t;

    (void)state;
    trace_init(&t);
    assert_ok(run_once(text, NULL, &t, &stats, &err), &err);
    assert_string_equal(t.executing, "2,3,4");
    assert_int_equal(stats.ran, 3);
    assert_int_equal(stats.cached, 1);
}

static void run_repeats_for_lists(void **state)
{
    int times;
    Error err;

    (void)state;
    toy_collected(NULL);
    assert_ok(run_once("{\"1\": {\"class_type\": \"Count\", \"inputs\": {\"value\": 4}},"
                       "\"2\": {\"class_type\": \"Count\", \"inputs\": {\"value\": 3}},"
                       "\"3\": {\"class_type\": \"Collect\", \"inputs\": {\"n\": [\"1\", 0], "
                       "\"m\": [\"2\", 0]}}}",
                       NULL, NULL, NULL, &err),
              &err);
    /* m 0 counts as 1: 0*1 + 1*1 + 2*2 + 3*2, the shorter list repeats its last */
    assert_int_equal(toy_collected(&times), 11);
    assert_int_equal(times, 4);
}

static void run_gives_lists_whole(void **state)
{
    int times;
    Error err;

    (void)state;
    toy_collected(NULL);
    assert_ok(
        run_once(
            "{\"1\": {\"class_type\": \"Count\", \"inputs\": {\"value\": 4}},"
            "\"3\": {\"class_type\": \"Gather\", \"inputs\": {\"n\": [\"1\", 0], \"m\": 10}}}",
            NULL, NULL, NULL, &err),
        &err);
    assert_int_equal(toy_collected(&times), 46);
    assert_int_equal(times, 1);
    assert_ok(
        run_once("{\"3\": {\"class_type\": \"Gather\", \"inputs\": {\"n\": 7, \"m\": 10}}}",
                 NULL, NULL, NULL, &err),
        &err);
    assert_int_equal(toy_collected(&times), 17);
}

static void run_computes_only_the_chosen_side(void **state)
{
    const char *text =
        "{\"f\": {\"class_type\": \"Number\", \"inputs\": {\"value\": 1}},"
        "\"t\": {\"class_type\": \"Number\", \"inputs\": {\"value\": 20}},"
        "\"s\": {\"class_type\": \"Switch\", \"inputs\": {\"switch\": true, \"on_false\": "
        "[\"f\", 0], \"on_true\": [\"t\", 0]}},"
        "\"o\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"s\", 0]}}}";
    Trace t;
    Error err;

    (void)state;
    toy_collected(NULL);
    trace_init(&t);
    assert_ok(run_once(text, NULL, &t, NULL, &err), &err);
    assert_string_equal(t.executing, "t,s,o");
    assert_int_equal(toy_collected(NULL), 20);
}

static void run_carries_full_seeds(void **state)
{
    const char *text =
        "{\"1\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": 18446744073709551615}},"
        "\"2\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": [\"1\", 0], \"text\": "
        "[\"1\", 1]}},"
        "\"3\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"2\", 0]}}}";
    Error err;

    (void)state;
    toy_collected(NULL);
    assert_ok(run_once(text, NULL, NULL, NULL, &err), &err);
    assert_int_equal(toy_collected(NULL), -1); /* the bits of 2^64-1 */
}

static void run_checks_numbers_on_links(void **state)
{
    const char *text =
        "{\"1\": {\"class_type\": \"Number\", \"inputs\": {\"value\": -1}},"
        "\"2\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": [\"1\", 0]}},"
        "\"3\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"2\", 0]}}}";
    Error err;

    (void)state;
    assert_int_equal(run_once(text, NULL, NULL, NULL, &err), E_RANGE);
    assert_string_equal(err.node, "2");
    assert_string_equal(err.input, "seed");
    assert_non_null(strstr(err.message, "-1"));
    assert_non_null(strstr(err.fix, "18446744073709551615"));
}

static void run_stops_at_the_first_error(void **state)
{
    Error err;
    Trace t;

    (void)state;
    trace_init(&t);
    assert_int_equal(
        run_once("{" EMPTY("1", "1") "," UNARY("2", "Fail", "1") "," SHOW("3", "2") "}", NULL,
                 &t, NULL, &err),
        E_IO);
    assert_string_equal(err.node, "2");
    assert_string_equal(err.class_type, "Fail");
    assert_string_equal(t.end, "execution_error");
    assert_int_equal(toy_alive(), 0);
}

static void run_stops_when_cancelled(void **state)
{
    Error err;
    Trace t;

    (void)state;
    trace_init(&t);
    t.stop_at = 1;
    assert_int_equal(
        run_once("{" EMPTY("1", "1") "," UNARY("2", "ImageInvert", "1") "," SHOW("3", "2") "}",
                 NULL, &t, NULL, &err),
        E_CANCELLED);
    assert_string_equal(t.executing, "1");
    assert_string_equal(t.end, "execution_interrupted");
}

static void run_bounds_the_lru_cache(void **state)
{
    Cache *cache = NULL;
    Error err;
    Trace t;

    (void)state;
    assert_ok(cache_new(CACHE_LRU, 2, &cache, &err), &err);
    trace_init(&t);
    assert_ok(
        run_once("{" EMPTY("1", "1") "," UNARY("2", "ImageInvert", "1") "," SHOW("3", "2") "}",
                 cache, &t, NULL, &err),
        &err);
    assert_int_equal(cache_count(cache), 2);
    trace_init(&t);
    assert_ok(
        run_once("{" EMPTY("1", "1") "," UNARY("2", "ImageInvert", "1") "," SHOW("3", "2") "}",
                 cache, &t, NULL, &err),
        &err);
    assert_string_equal(t.cached, "2,3");
    assert_string_equal(t.executing, "");
    cache_free(cache);
    assert_int_equal(toy_alive(), 0);
}

static int64_t hundred_each(const Value *v)
{
    return v->type == SOCK_IMAGE ? 100000 : 0;
}

static void run_bounds_the_cache_by_bytes(void **state)
{
    const char *text = "{" EMPTY("1", "1") "," UNARY("2", "ImageInvert", "1") "," UNARY(
        "3", "ImageInvert", "2") "," SHOW("4", "3") "}";
    Cache *cache = NULL;
    Error err;
    Trace t;

    (void)state;
    assert_ok(cache_new(CACHE_BYTES, 250000, &cache, &err), &err);
    cache_set_sizes(cache, hundred_each);
    trace_init(&t);
    assert_ok(run_once(text, cache, &t, NULL, &err), &err);
    assert_int_equal(cache_count(cache), 3); /* the first picture had to go */
    assert_true(cache_bytes(cache) > 200000 && cache_bytes(cache) <= 250000);
    trace_init(&t);
    assert_ok(run_once(text, cache, &t, NULL, &err), &err);
    assert_string_equal(t.cached, "2,3,4");
    cache_free(cache);
    assert_int_equal(toy_alive(), 0);
}

static void run_gives_id_classes_their_own_key(void **state)
{
    const char *text =
        "{\"1\": {\"class_type\": \"NodeId\", \"inputs\": {}}, \"22\": {\"class_type\": "
        "\"NodeId\", \"inputs\": {}},"
        "\"3\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"1\", 0]}},"
        "\"4\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"22\", 0]}}}";
    Error err;

    (void)state;
    toy_collected(NULL);
    assert_ok(run_once(text, NULL, NULL, NULL, &err), &err);
    assert_int_equal(toy_collected(NULL), 3);
}

/* ---- traces of the reference ------------------------------------------------------------- */

static void join(const Json *list, char *out, size_t size)
{
    out[0] = 0;
    for (const Json *m = json_first(list); m; m = json_next(m)) {
        const Json *id = json_is(m, JSON_ARRAY) ? json_first(m) : m;
        size_t n = strlen(out);
        snprintf(out + n, size - n, "%s%s", n ? "," : "", json_string(id));
    }
}

static void expect_list(const Json *event, const char *key, const char *got, const char *file)
{
    char want[4096];

    join(json_get(event, key), want, sizeof want);
    if (strcmp(want, got)) fail_msg("%s: %s: want %s, got %s", file, key, want, got);
}

static void one_step(const Json *step, const Json *event, Cache *cache, bool multi,
                     const char *file)
{
    const Json *list = json_get(step, "targets");
    const char *targets[16];
    size_t n = 0;
    Str text = { 0 };
    Graph *g;
    CheckReport *r;
    Trace t;

    for (const Json *m = list ? json_first(list) : NULL; m; m = json_next(m))
        targets[n++] = json_string(m);
    json_write(&text, json_get(step, "prompt"));
    g = graph_of(text.text);
    r = check_of(g, list ? targets : NULL, n);
    trace_init(&t);
    RunOptions options = { .events = &t.events, .cache = cache };
    Error err;
    Status status = run_graph(g, r, &options, NULL, &err);
    if (!multi) expect_list(event, "executing", t.executing, file);
    expect_list(event, "cached", t.cached, file);
    expect_list(event, "executed", t.executed, file);
    assert_int_equal(status == OK,
                     strcmp(json_string(json_get(event, "status")), "success") == 0);
    if (status != OK)
        assert_string_equal(err.node,
                            json_string(json_get(json_get(event, "error"), "node_id")));
    str_fini(&text);
    check_free(r);
    graph_free(g);
}

static void one_trace(const char *path, const char *name)
{
    char *text;
    size_t size;
    JsonDoc *doc;
    Cache *cache;
    Error err;

    assert_ok(file_read(path, 1 << 20, &text, &size, &err), &err);
    assert_ok(json_parse(text, size, &doc, &err), &err);
    assert_ok(cache_new(CACHE_CLASSIC, 0, &cache, &err), &err);
    const Json *root = json_root(doc), *step = json_first(json_get(root, "steps")),
               *event = json_first(json_get(root, "events"));
    const Json *multi = json_get(root, "multi");
    for (; step && event; step = json_next(step), event = json_next(event))
        one_step(step, event, cache, multi && json_bool(multi), name);
    cache_free(cache);
    json_free(doc);
    mem_free(text);
    assert_int_equal(toy_alive(), 0);
}

static void run_holds_recorded_traces(void **state)
{
    static const char *const json[] = { ".json", NULL };
    char folder[512], path[1024];
    FileList files;
    Error err;

    (void)state;
    shared_path(folder, sizeof folder, "vectors/execution");
    assert_ok(file_list(folder, json, &files, &err), &err);
    assert_true(files.count > 0);
    for (size_t i = 0; i < files.count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files.names[i]);
        one_trace(path, files.names[i]);
    }
    file_list_fini(&files);
}

/* ---- size and memory --------------------------------------------------------------------- */

static char *chain_text(int n)
{
    Str s = { 0 };

    str_add(&s, "{" EMPTY("0", "1"));
    for (int i = 1; i <= n; i++)
        str_printf(
            &s,
            ",\"%d\": {\"class_type\": \"ImageSame\", \"inputs\": {\"image\": [\"%d\", 0]}}", i,
            i - 1);
    str_printf(
        &s,
        ",\"o\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"%d\", 0]}}}",
        n);
    return str_take(&s);
}

static void run_takes_a_chain_of_100000(void **state)
{
    char *text = chain_text(100000);
    RunStats stats;
    Error err;

    (void)state;
    assert_ok(run_once(text, NULL, NULL, &stats, &err), &err);
    assert_int_equal(stats.ran, 100002);
    mem_free(text);
}

static void run_takes_60_stacked_diamonds(void **state)
{
    Str s = { 0 };
    RunStats stats;
    Error err;

    (void)state;
    str_add(&s, "{" EMPTY("0", "1"));
    for (int i = 1; i <= 60; i++)
        str_printf(&s,
                   ",\"%d\": {\"class_type\": \"Switch\", \"inputs\": {\"switch\": false, "
                   "\"on_false\": [\"%d\", 0],"
                   " \"on_true\": [\"%d\", 0]}}",
                   i, i - 1, i - 1);
    str_add(
        &s,
        ",\"o\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"60\", 0]}}}");
    assert_ok(run_once(s.text, NULL, NULL, &stats, &err), &err);
    assert_int_equal(stats.ran, 62);
    str_fini(&s);
}

static void run_takes_50000_consumers(void **state)
{
    Str s = { 0 };
    RunStats stats;
    Error err;

    (void)state;
    str_add(&s, "{" EMPTY("0", "1"));
    for (int i = 1; i <= 50000; i++)
        str_printf(&s,
                   ",\"%d\": {\"class_type\": \"ImageBlur\", \"inputs\": {\"image\": [\"0\", "
                   "0], \"blur_radius\": 1,"
                   " \"sigma\": %d.5e-5}}, \"o%d\": {\"class_type\": \"PreviewImage\", "
                   "\"inputs\": {\"images\": [\"%d\", 0]}}",
                   i, 10000 + i, i, i);
    str_add(&s, "}");
    assert_ok(run_once(s.text, NULL, NULL, &stats, &err), &err);
    assert_int_equal(stats.ran, 100001);
    str_fini(&s);
}

static void run_takes_50000_outputs(void **state)
{
    Str s = { 0 };
    RunStats stats;
    Error err;

    (void)state;
    str_add(&s, "{" EMPTY("0", "1"));
    for (int i = 1; i <= 50000; i++)
        str_printf(
            &s,
            ",\"%d\": {\"class_type\": \"Number\", \"inputs\": {\"value\": %d}},"
            " \"o%d\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"%d\", 0]}}",
            i, i, i, i);
    str_add(&s, "}");
    assert_ok(run_once(s.text, NULL, NULL, &stats, &err), &err);
    assert_int_equal(stats.ran, 100000);
    str_fini(&s);
}

static Status whole_way(void *user, Error *err)
{
    CheckOptions options = { .table = &toy_table };
    RunOptions run = { 0 };
    const char *text = user;
    CheckReport *r = NULL;
    Graph *g = NULL;
    Cache *cache = NULL;
    Status status = OK;

    TRY_DONE(cache_new(CACHE_CLASSIC, 0, &cache, err));
    run.cache = cache;
    TRY_DONE(parse_api(text, strlen(text), &g, err));
    TRY_DONE(check_graph(g, &options, &r, err));
    TRY_DONE(run_graph(g, r, &run, NULL, err));
done:
    check_free(r);
    graph_free(g);
    cache_free(cache);
    return status;
}

static void run_survives_each_failed_allocation(void **state)
{
    char text[] = "{" EMPTY("1", "1") "," EMPTY("2", "\"2\"") "," BATCH("3", "1", "2") "," SHOW(
        "4", "3") ","
                  "\"5\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": 1, \"text\": null, "
                  "\"zz\": {\"a\": [1]}}},"
                  "\"6\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"5\", 1]}}, "
                  "\"7\": {\"class_type\": \"Nope\"}}";
    int n;

    (void)state;
    n = fail_each_allocation(whole_way, text);
    assert_true(n > 20);
    assert_int_equal(toy_alive(), 0);
}

int run_run_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_breaks_ties_as_the_reference),
        cmocka_unit_test(run_shares_equal_nodes),
        cmocka_unit_test(run_repeats_for_lists),
        cmocka_unit_test(run_gives_lists_whole),
        cmocka_unit_test(run_computes_only_the_chosen_side),
        cmocka_unit_test(run_carries_full_seeds),
        cmocka_unit_test(run_checks_numbers_on_links),
        cmocka_unit_test(run_stops_at_the_first_error),
        cmocka_unit_test(run_stops_when_cancelled),
        cmocka_unit_test(run_bounds_the_lru_cache),
        cmocka_unit_test(run_bounds_the_cache_by_bytes),
        cmocka_unit_test(run_gives_id_classes_their_own_key),
        cmocka_unit_test(run_holds_recorded_traces),
        cmocka_unit_test(run_takes_a_chain_of_100000),
        cmocka_unit_test(run_takes_60_stacked_diamonds),
        cmocka_unit_test(run_takes_50000_consumers),
        cmocka_unit_test(run_takes_50000_outputs),
        cmocka_unit_test(run_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
