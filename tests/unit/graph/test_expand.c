/* test_expand.c - nodes that answer with a sub-graph, and values that stop what reads them. */
#include "tests/unit/graph/toys.h"

#include "engine/base/mem.h"
#include "engine/graph/expand.h"

/* ---- classes ----------------------------------------------------------------------------- */

typedef struct In {
    int64_t n, m;
    bool flag;
    const char *text;
    Value any;
    const Ref *image;
} In;

typedef struct Out {
    int64_t n, m;
    Value any;
    const Ref *image;
} Out;

/* clang-format off */
static const Socket number_in[] = { { .name = "n", .type = SOCK_INT, .at = offsetof(In, n), .min = -1000000, .max = 1000000 }, { 0 } };
static const Socket number_out[] = { { .name = "INT", .type = SOCK_INT, .at = offsetof(Out, n) }, { 0 } };
static const Socket two_in[] = {
    { .name = "n", .type = SOCK_INT, .at = offsetof(In, n), .min = -1000000, .max = 1000000 },
    { .name = "m", .type = SOCK_INT, .at = offsetof(In, m), .min = -1000000, .max = 1000000 }, { 0 },
};
static const Socket two_out[] = {
    { .name = "A", .type = SOCK_INT, .at = offsetof(Out, n) }, { .name = "B", .type = SOCK_INT, .at = offsetof(Out, m) }, { 0 },
};
static const Socket block_in[] = {
    { .name = "n", .type = SOCK_INT, .at = offsetof(In, n), .min = -1000000, .max = 1000000 },
    { .name = "over", .type = SOCK_INT, .at = offsetof(In, m), .def = -1, .min = -1000, .max = 1000 },
    { .name = "message", .type = SOCK_STRING, .at = offsetof(In, text), .flags = SOCK_F_OPTIONAL }, { 0 },
};
static const Socket image_in[] = {
    { .name = "image", .type = SOCK_IMAGE, .at = offsetof(In, image) },
    { .name = "n", .type = SOCK_INT, .at = offsetof(In, n), .min = -1000000, .max = 1000000 }, { 0 },
};
static const Socket image_out[] = { { .name = "IMAGE", .type = SOCK_IMAGE, .at = offsetof(Out, image) }, { 0 } };
static const Socket text_in[] = { { .name = "text", .type = SOCK_STRING, .at = offsetof(In, text) }, { 0 } };
/* clang-format on */

static int added;

static Status run_add(NodeCall *call)
{
    const In *in = call->in;
    ((Out *)call->out)->n = in->n + in->m;
    added++;
    return OK;
}

static Status set_int(NodeCall *call, const char *node, const char *input, int64_t v)
{
    return node_expand_value(call, node, input, &(Value){ .type = SOCK_INT, .i = v });
}

/* n becomes (n + 1) + 10, by two nodes; the second output is a plain value. */
static Status run_twice(NodeCall *call)
{
    const In *in = call->in;

    TRY(node_expand(call, "first", "Add"));
    TRY(set_int(call, "first", "n", in->n));
    TRY(set_int(call, "first", "m", 1));
    TRY(node_expand(call, "second", "Add"));
    TRY(node_expand_link(call, "second", "n", "first", 0));
    TRY(set_int(call, "second", "m", 10));
    ((Out *)call->out)->m = 7;
    return node_expand_output(call, 0, "second", 0);
}

/* Sum of 1 .. n: expands into itself with n - 1. */
static Status run_sum(NodeCall *call)
{
    const In *in = call->in;

    if (in->n <= 0) return OK;
    TRY(node_expand(call, "rest", call->def->class_type));
    TRY(set_int(call, "rest", "n", in->n - 1));
    TRY(node_expand(call, "sum", "Add"));
    TRY(node_expand_link(call, "sum", "n", "rest", 0));
    TRY(set_int(call, "sum", "m", in->n));
    return node_expand_output(call, 0, "sum", 0);
}

/* Expands into itself for ever. */
static Status run_forever(NodeCall *call)
{
    char name[16];

    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%d", i);
        TRY(node_expand(call, name, "Add"));
        TRY(set_int(call, name, "n", i));
        TRY(set_int(call, name, "m", i));
    }
    TRY(node_expand(call, "x", call->def->class_type));
    TRY(set_int(call, "x", "n", 1));
    return node_expand_output(call, 0, "x", 0);
}

/* A picture goes through n ImageInvert nodes, by value. */
static Status run_inverts(NodeCall *call)
{
    const In *in = call->in;
    Value picture = { .type = SOCK_IMAGE, .object = in->image };
    char name[16], before[16];

    for (int64_t i = 0; i < in->n; i++) {
        snprintf(name, sizeof name, "i%d", (int)i);
        snprintf(before, sizeof before, "i%d", (int)i - 1);
        TRY(node_expand(call, name, "ImageInvert"));
        if (i == 0)
            TRY(node_expand_value(call, name, "image", &picture));
        else
            TRY(node_expand_link(call, name, "image", before, 0));
    }
    return node_expand_output(call, 0, name, 0);
}

/* Shows n by an output node of its own. */
static Status run_shows(NodeCall *call)
{
    const In *in = call->in;

    ((Out *)call->out)->n = in->n;
    TRY(node_expand(call, "show", "Collect"));
    return set_int(call, "show", "n", in->n);
}

/* Reads what another node of the workflow, by id, gives. */
static Status run_reach(NodeCall *call)
{
    const In *in = call->in;

    return node_expand_output(call, 0, in->text, 0);
}

static Status run_wrong(NodeCall *call)
{
    const In *in = call->in;

    TRY(node_expand(call, "bad", strcmp(in->text, "class") ? "Add" : "Nonsense"));
    if (strcmp(in->text, "twice") == 0) TRY(node_expand(call, "bad", "Add"));
    if (strcmp(in->text, "range") == 0) TRY(set_int(call, "bad", "n", 5000000));
    if (strcmp(in->text, "output") == 0) TRY(set_int(call, "bad", "n", 5));
    if (strcmp(in->text, "missing") != 0) TRY(set_int(call, "bad", "m", 1));
    if (strcmp(in->text, "origin") == 0) TRY(node_expand_link(call, "bad", "n", "no", 0));
    if (strcmp(in->text, "slot") == 0) TRY(node_expand_link(call, "bad", "n", "bad", 3));
    if (strcmp(in->text, "loop") == 0) TRY(node_expand_link(call, "bad", "n", "bad", 0));
    return node_expand_output(call, 0, "bad", strcmp(in->text, "output") ? 0 : 9);
}

static Status run_block(NodeCall *call)
{
    const In *in = call->in;

    ((Out *)call->out)->n = in->n;
    return in->n > in->m ? node_block(call, 0, in->text[0] ? in->text : NULL) : OK;
}

#define CLASS(ins, outs, fn)                                                                   \
    .category = "toys", .doc = "A toy.", .inputs = ins, .outputs = outs,                       \
    .in_size = sizeof(In), .out_size = sizeof(Out), .run = fn

static const NodeDef defs[] = {
    { .class_type = "Add", CLASS(two_in, number_out, run_add) },
    { .class_type = "Twice", CLASS(number_in, two_out, run_twice) },
    { .class_type = "Sum", CLASS(number_in, number_out, run_sum) },
    { .class_type = "Forever", CLASS(number_in, number_out, run_forever) },
    { .class_type = "Inverts", CLASS(image_in, image_out, run_inverts) },
    { .class_type = "Shows", CLASS(number_in, number_out, run_shows) },
    { .class_type = "Reach", CLASS(text_in, number_out, run_reach) },
    { .class_type = "Wrong", CLASS(text_in, number_out, run_wrong) },
    { .class_type = "Block", CLASS(block_in, number_out, run_block) },
};
static const NodeDef *const family[] = { &defs[0], &defs[1], &defs[2], &defs[3], &defs[4],
                                         &defs[5], &defs[6], &defs[7], &defs[8], NULL };

/* ---- running ----------------------------------------------------------------------------- */

typedef struct Shown {
    Trace trace;
    char display[4096], blocked[1024];
} Shown;

static void on_event(void *user, const Event *e)
{
    Shown *s = user;
    size_t n = strlen(s->display), b = strlen(s->blocked);

    if (e->kind == EV_EXECUTING && e->display_node)
        snprintf(s->display + n, sizeof s->display - n, "%s%s", n ? "," : "", e->display_node);
    if (e->kind == EV_BLOCKED)
        snprintf(s->blocked + b, sizeof s->blocked - b, "%s%s: %s", b ? "; " : "", e->node,
                 e->text);
}

static Status run_with(const char *text, Cache *cache, Shown *shown, RunStats *stats,
                       Error *err)
{
    const NodeDef *const *families[] = { toy_table.families[0], family, NULL };
    NodeTable table = { .families = families };
    CheckOptions check = { .table = &table };
    CheckReport *report = NULL;
    Graph *g = graph_of(text);
    Status status;

    memset(shown, 0, sizeof *shown);
    trace_init(&shown->trace);
    events_listen(&shown->trace.events, on_event, shown);
    assert_ok(check_graph(g, &check, &report, err), err);
    assert_int_equal(report->errors, 0);
    RunOptions options = { .events = &shown->trace.events, .cache = cache, .check = &check };
    int before = g->count;
    status = run_graph(g, report, &options, stats, err);
    assert_int_equal(g->count, before);
    check_free(report);
    graph_free(g);
    return status;
}

#define NODE(id, class, inputs)                                                                \
    "\"" id "\": {\"class_type\": \"" class "\", \"inputs\": {" inputs "}}"
#define COLLECT(id, from) NODE(id, "Collect", "\"n\": [\"" from "\", 0]")

static int64_t sum_of(const char *text, Cache *cache, Shown *shown)
{
    Error err;

    toy_collected(NULL);
    assert_ok(run_with(text, cache, shown, NULL, &err), &err);
    return toy_collected(NULL);
}

static void expand_takes_the_place_of_a_node(void **state)
{
    Shown s;

    (void)state;
    assert_int_equal(sum_of("{" NODE("5", "Twice", "\"n\": 3") "," COLLECT("9", "5") "," NODE(
                                "8", "Collect", "\"n\": [\"5\", 1]") "}",
                            NULL, &s),
                     14 + 7);
    assert_string_equal(s.trace.executing, "5,5.0.0.first,5.0.0.second,9,8");
    assert_string_equal(s.display, "5,5");
    assert_string_equal(s.trace.end, "execution_success");
}

static void expand_runs_each_call_of_a_list(void **state)
{
    Shown s;

    (void)state;
    assert_int_equal(sum_of("{" NODE("1", "Count", "\"value\": 3") "," NODE(
                                "5", "Twice", "\"n\": [\"1\", 0]") "," COLLECT("9", "5") "}",
                            NULL, &s),
                     11 + 12 + 13);
    assert_non_null(strstr(s.trace.executing, "5.2.0.second"));
}

static void expand_nests_without_recursion(void **state)
{
    Shown s;

    (void)state;
    assert_int_equal(
        sum_of("{" NODE("5", "Sum", "\"n\": 4") "," COLLECT("9", "5") "}", NULL, &s), 10);
    assert_string_equal(
        s.trace.executing,
        "5,5.0.0.rest,5.0.0.rest.0.0.rest,5.0.0.rest.0.0.rest.0.0.rest,"
        "5.0.0.rest.0.0.rest.0.0.rest.0.0.rest,5.0.0.rest.0.0.rest.0.0.rest.0.0.sum,"
        "5.0.0.rest.0.0.rest.0.0.sum,5.0.0.rest.0.0.sum,5.0.0.sum,9");
    assert_string_equal(s.display, "5,5,5,5,5,5,5,5");
    assert_int_equal(
        sum_of("{" NODE("5", "Sum", "\"n\": 1400") "," COLLECT("9", "5") "}", NULL, &s),
        1400 * 1401 / 2);
}

static void expand_has_an_end(void **state)
{
    Shown s;
    Error err;

    (void)state;
    Status status = run_with("{" NODE("5", "Forever", "\"n\": 4") "," COLLECT("9", "5") "}",
                             NULL, &s, NULL, &err);
    assert_int_equal(status, E_LIMIT);
    assert_string_equal(s.trace.end, "execution_error");
}

static void expand_shares_objects_and_keys(void **state)
{
    const char *three =
        "{" NODE("1", "EmptyImage", "\"width\": 8, \"height\": 8, \"batch_size\": 2, \"color\": 0") "," NODE(
            "5", "Inverts",
            "\"image\": [\"1\", 0], \"n\": 3") "," NODE("9", "PreviewImage",
                                                        "\"images\": [\"5\", 0]") "}";
    const char *four =
        "{" NODE("1", "EmptyImage", "\"width\": 8, \"height\": 8, \"batch_size\": 2, \"color\": 0") "," NODE(
            "5", "Inverts",
            "\"image\": [\"1\", 0], \"n\": 4") "," NODE("9", "PreviewImage",
                                                        "\"images\": [\"5\", 0]") "}";
    Cache *cache;
    Error err;
    Shown s;

    (void)state;
    assert_ok(cache_new(CACHE_CLASSIC, 0, &cache, &err), &err);
    assert_ok(run_with(three, cache, &s, NULL, &err), &err);
    assert_string_equal(s.trace.executing, "1,5,5.0.0.i0,5.0.0.i1,5.0.0.i2,9");
    assert_ok(run_with(three, cache, &s, NULL, &err), &err);
    assert_string_equal(s.trace.executing, "");
    /* the expanding node runs again, of its sub-graph only what is new */
    assert_ok(run_with(four, cache, &s, NULL, &err), &err);
    assert_string_equal(s.trace.executing, "5,5.0.0.i3,9");
    assert_ok(run_with(three, cache, &s, NULL, &err), &err);
    assert_string_equal(s.trace.executing, "5,9");
    /* what the last expansion did not name is dropped */
    assert_ok(run_with(four, cache, &s, NULL, &err), &err);
    assert_string_equal(s.trace.executing, "5,5.0.0.i3,9");
    cache_free(cache);
    assert_int_equal(toy_alive(), 0);
}

static void expand_runs_output_classes(void **state)
{
    Shown s;
    int times;
    Error err;

    (void)state;
    toy_collected(NULL);
    assert_ok(run_with("{" NODE("5", "Shows", "\"n\": 4") "," COLLECT("9", "5") "}", NULL, &s,
                       NULL, &err),
              &err);
    assert_int_equal(toy_collected(&times), 8);
    assert_int_equal(times, 2);
    assert_string_equal(s.trace.executing, "5,5.0.0.show,9");
}

static void expand_reaches_other_nodes(void **state)
{
    Shown s;
    Error err;

    (void)state;
    assert_int_equal(
        sum_of("{" NODE("1", "Number", "\"value\": 5") "," NODE(
                   "2", "Reach", "\"text\": \"1\"") "," COLLECT("8", "1") "," COLLECT("9",
                                                                                      "2") "}",
               NULL, &s),
        10);
    assert_int_equal(run_with("{" NODE("1", "Number", "\"value\": 5") "," NODE(
                                  "2", "Reach", "\"text\": \"1\"") "," COLLECT("9", "2") "}",
                              NULL, &s, NULL, &err),
                     E_WORKFLOW);
    assert_non_null(strstr(err.message, "node 1"));
    assert_int_equal(
        run_with("{" NODE("2", "Reach", "\"text\": \"2\"") "," COLLECT("9", "2") "}", NULL, &s,
                 NULL, &err),
        E_WORKFLOW);
    assert_non_null(strstr(err.message, "cycle"));
}

static void expand_is_checked(void **state)
{
    static const struct {
        const char *what, *message;
        Status status;
    } cases[] = {
        { "class", "Nonsense", E_WORKFLOW },     { "twice", "two nodes bad", E_WORKFLOW },
        { "range", "5000000", E_RANGE },         { "missing", "missing", E_MISSING },
        { "origin", "links to no", E_WORKFLOW }, { "slot", "", E_RANGE },
        { "loop", "cycle", E_WORKFLOW },         { "output", "no slot 9", E_WORKFLOW },
    };
    char text[512];
    Shown s;
    Error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "{" NODE("5", "Wrong", "\"text\": \"%s\"") "," COLLECT("9", "5") "}",
                 cases[i].what);
        Status status = run_with(text, NULL, &s, NULL, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].message))
            fail_msg("%s: %s %s: %s", cases[i].what, status_name(status), err.node,
                     err.message);
        assert_true(strncmp(err.node, "5", 1) == 0);
    }
}

/* ---- blockers ---------------------------------------------------------------------------- */

#define BLOCK(id, n, over, message)                                                            \
    NODE(id, "Block", "\"n\": " n ", \"over\": " over ", \"message\": \"" message "\"")

static void block_stops_what_depends_on_it(void **state)
{
    Shown s;

    (void)state;
    assert_int_equal(
        sum_of(
            "{" BLOCK("1", "5", "0", "") "," NODE(
                "2", "Add",
                "\"n\": [\"1\", 0], \"m\": 1") "," COLLECT("8", "2") "," NODE("9", "Collect",
                                                                              "\"n\": 3") "}",
            NULL, &s),
        3);
    assert_string_equal(s.trace.executing, "9,1,2,8");
    assert_string_equal(s.trace.end, "execution_success");
    assert_string_equal(s.blocked, "");
}

static void block_tells_its_message_once(void **state)
{
    Shown s;

    (void)state;
    assert_int_equal(
        sum_of(
            "{" BLOCK("1", "5", "0", "too large") "," NODE("2", "Add", "\"n\": [\"1\", 0], \"m\": 1") "," NODE(
                "3", "Add",
                "\"n\": [\"2\", 0], \"m\": 1") "," COLLECT("8", "3") "," NODE("9", "Collect",
                                                                              "\"n\": 3") "}",
            NULL, &s),
        3);
    assert_string_equal(s.blocked, "2: too large");
}

static void block_skips_single_calls_of_a_list(void **state)
{
    Shown s;

    (void)state;
    /* 0, 1, 2, 3 of which 2 and 3 are stopped */
    assert_int_equal(
        sum_of("{" NODE("1", "Count", "\"value\": 4") "," BLOCK(
                   "2", "[\"1\", 0]", "1",
                   "x") "," NODE("3", "Add",
                                 "\"n\": [\"2\", 0], \"m\": 100") "," COLLECT("9", "3") "}",
               NULL, &s),
        201);
    assert_string_equal(s.blocked, "3: x; 3: x");
    /* a class that takes the whole list does not run */
    int times;
    toy_collected(NULL);
    assert_int_equal(sum_of("{" NODE("1", "Count", "\"value\": 4") "," BLOCK(
                                "2", "[\"1\", 0]", "1",
                                "") "," NODE("9", "Gather", "\"n\": [\"2\", 0], \"m\": 0") "}",
                            NULL, &s),
                     0);
    toy_collected(&times);
    assert_int_equal(times, 0);
}

static void block_keeps_a_lazy_node_from_asking(void **state)
{
    Shown s;

    (void)state;
    assert_int_equal(sum_of("{" BLOCK("1", "5", "0", "") "," NODE(
                                "2", "Switch",
                                "\"switch\": false, \"on_false\": [\"1\", 0], \"on_true\": "
                                "4") "," NODE("9", "ShowAny", "\"source\": [\"2\", 0]") "}",
                            NULL, &s),
                     0);
    assert_string_equal(s.trace.executing, "1,2,9");
}

static void block_is_kept_like_a_value(void **state)
{
    const char *text = "{" BLOCK("1", "5", "0", "m") "," COLLECT("9", "1") "}";
    Cache *cache;
    Error err;
    Shown s;

    (void)state;
    assert_ok(cache_new(CACHE_CLASSIC, 0, &cache, &err), &err);
    assert_int_equal(sum_of(text, cache, &s), 0);
    assert_string_equal(s.blocked, "9: m");
    assert_int_equal(sum_of(text, cache, &s), 0);
    assert_string_equal(s.trace.executing, "");
    cache_free(cache);
}

static Status one_run(void *user, Error *err)
{
    Shown s;

    (void)user;
    memset(&s, 0, sizeof s);
    const NodeDef *const *families[] = { toy_table.families[0], family, NULL };
    NodeTable table = { .families = families };
    CheckOptions check = { .table = &table };
    const char *text =
        "{" NODE("1", "EmptyImage", "\"width\": 8, \"height\": 8, \"batch_size\": 2, \"color\": 0") "," NODE(
            "5", "Inverts",
            "\"image\": [\"1\", 0], \"n\": 3") "," BLOCK("6", "5", "0",
                                                         "m") "," COLLECT("7",
                                                                          "6") "," NODE("9",
                                                                                        "Previe"
                                                                                        "wImag"
                                                                                        "e",
                                                                                        "\"imag"
                                                                                        "es\": "
                                                                                        "[\"5\""
                                                                                        ", 0]") "}";
    CheckReport *report = NULL;
    Graph *g = NULL;
    Status status = parse_api(text, strlen(text), &g, err);
    RunOptions options = { .check = &check };
    if (status == OK) status = check_graph(g, &check, &report, err);
    if (status == OK) status = run_graph(g, report, &options, NULL, err);
    check_free(report);
    graph_free(g);
    return status;
}

static void expand_survives_failing_memory(void **state)
{
    (void)state;
    assert_true(fail_each_allocation(one_run, NULL) > 100);
    assert_int_equal(toy_alive(), 0);
}

int run_expand_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expand_takes_the_place_of_a_node),
        cmocka_unit_test(expand_runs_each_call_of_a_list),
        cmocka_unit_test(expand_nests_without_recursion),
        cmocka_unit_test(expand_has_an_end),
        cmocka_unit_test(expand_shares_objects_and_keys),
        cmocka_unit_test(expand_runs_output_classes),
        cmocka_unit_test(expand_reaches_other_nodes),
        cmocka_unit_test(expand_is_checked),
        cmocka_unit_test(block_stops_what_depends_on_it),
        cmocka_unit_test(block_tells_its_message_once),
        cmocka_unit_test(block_skips_single_calls_of_a_list),
        cmocka_unit_test(block_keeps_a_lazy_node_from_asking),
        cmocka_unit_test(block_is_kept_like_a_value),
        cmocka_unit_test(expand_survives_failing_memory),
    };

    return cmocka_run_group_tests_name("expand", tests, NULL, NULL);
}
