/* test_parse.c - documents that are read, documents that are refused, and writing back. */
#include "engine/base/mem.h"
#include "tests/unit/graph/toys.h"

static void expect_fault(const char *text, const char *rule, const char *words)
{
    Graph *g = NULL;
    Error err;

    assert_int_not_equal(parse_api(text, strlen(text), &g, &err), OK);
    assert_null(g);
    assert_string_equal(err.rule, rule);
    if (!strstr(err.message, words)) fail_msg("%s: %s", text, err.message);
}

static void parse_names_what_is_wrong(void **state)
{
    Graph *g = NULL;
    Error err;

    (void)state;
    expect_fault("{", "E101", "");
    expect_fault("", "E101", "");
    expect_fault("[]", "E102", "neither UI nor API");
    expect_fault("{}", "E102", "neither UI nor API");
    expect_fault("{\"nodes\": [], \"links\": []}", "E102", "UI");
    expect_fault("{\"1\": {\"class_type\": \"A\"}, \"2\": null}", "E102", "node 2 is null");
    expect_fault("{\"1\": {\"class_type\": \"A\"}, \"2\": \"class_type\"}", "E102",
                 "node 2 is text");
    expect_fault("{\"1\": {\"class_type\": [\"A\"]}}", "E102", "class_type is a list");
    assert_int_equal(parse_api("{\n \"1\": {\"class_type\": \"A\"},\n \"2\": 7}", 35, &g, &err),
                     E_FORMAT);
    assert_int_equal(err.line, 3);
    assert_true(err.column > 1);
}

static void parse_unwraps_an_envelope(void **state)
{
    Graph *g = graph_of("{\"prompt\": {\"a:1\": {\"class_type\": \"EmptyImage\", \"inputs\": "
                        "{}, \"_meta\": {\"title\": \"T\"}}},"
                        " \"extra_data\": {\"extra_pnginfo\": {\"workflow\": {\"x\": 1}}}}");

    (void)state;
    assert_int_equal(g->count, 1);
    assert_string_equal(g->nodes[0].id, "a:1");
    assert_string_equal(g->nodes[0].title, "T");
    assert_string_equal(g->extra_pnginfo, "{\"workflow\": {\"x\": 1}}");
    graph_free(g);
}

static void parse_keeps_the_last_of_equal_ids(void **state)
{
    Graph *g = graph_of("{\"1\": {\"class_type\": \"A\", \"inputs\": {}}, \"1\": "
                        "{\"class_type\": \"B\", \"inputs\": {}}}");
    CheckReport *r = check_of(g, NULL, 0);

    (void)state;
    assert_int_equal(g->count, 1);
    assert_string_equal(g->nodes[0].class_type, "B");
    assert_non_null(find_rule(r, "W101"));
    check_free(r);
    graph_free(g);
}

static void parse_reads_requests(void **state)
{
    static const char body[] =
        "{\"prompt\": {\"1\": {\"class_type\": \"A\", \"inputs\": {}}}, \"client_id\": \"c\", "
        "\"prompt_id\": 7,"
        " \"number\": -3.5, \"front\": true, \"partial_execution_targets\": [\"1\", \"2\"]}";
    PromptRequest request;
    const char *type;
    Error err;

    (void)state;
    assert_ok(parse_prompt_body(body, sizeof body - 1, &request, &type, &err), &err);
    assert_string_equal(request.prompt_id, "7");
    assert_string_equal(request.client_id, "c");
    assert_true(request.has_number && request.number == -3.5 && request.front);
    assert_int_equal(request.n_targets, 2);
    prompt_request_fini(&request);
}

/* Coerced values, links, what other programs added and wrapped lists come back. */
static void graph_writes_itself_back(void **state)
{
    Graph *g =
        graph_of("{\"1\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": \"12\", \"scale\": "
                 "1, \"text\": {\"__value__\": [1]},"
                 " \"flag\": [\"2\", 0]}, \"_meta\": {\"title\": \"\\u00e9\"}, \"is_changed\": "
                 "[\"x\"]}, \"2\": {\"inputs\": {}, \"class_type\": \"B\"}}");
    Str text = { 0 };

    (void)state;
    graph_write_api(g, &text);
    assert_string_equal(text.text,
                        "{\"1\": {\"inputs\": {\"seed\": \"12\", \"scale\": 1, \"text\": "
                        "{\"__value__\": [1]}, \"flag\": [\"2\", 0]},"
                        " \"class_type\": \"Seed\", \"_meta\": {\"title\": \"\\u00e9\"}}, "
                        "\"2\": {\"inputs\": {}, \"class_type\": \"B\"}}");
    str_fini(&text);
    graph_free(g);
}

static void graph_writes_coerced_values(void **state)
{
    Graph *g = graph_of(
        "{\"1\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": \"18446744073709551615\", "
        "\"scale\": \"2\"}},"
        " \"2\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"1\", -1]}}}");
    CheckReport *r = check_of(g, NULL, 0);
    Str text = { 0 };

    (void)state;
    assert_int_equal(r->errors, 0);
    graph_write_api(g, &text);
    assert_string_equal(
        text.text,
        "{\"1\": {\"inputs\": {\"seed\": 18446744073709551615, \"scale\": 2.0}, "
        "\"class_type\": \"Seed\"},"
        " \"2\": {\"inputs\": {\"source\": [\"1\", 1]}, \"class_type\": \"ShowAny\"}}");
    str_fini(&text);
    check_free(r);
    graph_free(g);
}

/* The builder that other parsers use. */
static void graph_is_built_by_hand(void **state)
{
    Graph *g = NULL;
    Literal n;
    Error err;
    int a, b, again;

    (void)state;
    assert_ok(graph_new(&g, &err), &err);
    assert_ok(graph_add_node(g, "n", "Number", "Title", &a, &err), &err);
    assert_ok(graph_add_node(g, "s", "ShowAny", NULL, &b, &err), &err);
    assert_ok(literal_int(g->arena, 5, &n, &err), &err);
    assert_ok(graph_set_literal(g, a, "value", &n, &err), &err);
    assert_ok(graph_set_literal(g, b, "source", &n, &err), &err);
    assert_ok(graph_set_link(g, b, "source", "n", 0, &err), &err);
    assert_ok(graph_bind(g, &toy_table, &err), &err);
    assert_int_equal(g->nodes[b].n_inputs, 1);
    assert_int_equal(g->nodes[b].inputs[0].origin, a);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        assert_ok(graph_set_literal(g, b, name, &n, &err), &err);
    }
    assert_non_null(graph_input(&g->nodes[b], "x20"));
    assert_non_null(graph_input(&g->nodes[b], "x39"));
    assert_ok(graph_add_node(g, "s", "ShowAny", NULL, &again, &err), &err);
    assert_int_equal(again, b);
    assert_int_equal(g->nodes[b].n_inputs, 0);
    assert_non_null(g->notes);
    graph_free(g);
}

int run_parse_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_names_what_is_wrong),
        cmocka_unit_test(parse_unwraps_an_envelope),
        cmocka_unit_test(parse_keeps_the_last_of_equal_ids),
        cmocka_unit_test(parse_reads_requests),
        cmocka_unit_test(graph_writes_itself_back),
        cmocka_unit_test(graph_writes_coerced_values),
        cmocka_unit_test(graph_is_built_by_hand),
    };
    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
