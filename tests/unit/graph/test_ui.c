/* test_ui.c - UI documents made by hand: one rule each, faults with their place, depth, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/graph/parse_ui.h"

/* ---- classes ------------------------------------------------------------------------------ */

/* clang-format off */
static const char *const kinds[] = { "plain", "sized", NULL };
static const Socket sized_in[] = {
    { .name = "width", .type = SOCK_INT, .def = 64, .min = 8, .max = 512, .step = 8 }, { 0 } };
static const SocketKey kind_keys[] = { { "plain", NULL }, { "sized", sized_in }, { NULL, NULL } };
static const Socket combine_in[] = {
    { .name = "a", .type = SOCK_IMAGE }, { .name = "b", .type = SOCK_IMAGE },
    { .name = "amount", .type = SOCK_FLOAT, .def = 1, .min = 0, .max = 10, .step = 0.1, .round = 0.01 }, { 0 } };
static const Socket make_in[] = {
    { .name = "seed", .type = SOCK_INT, .flags = SOCK_F_U64, .min = 0, .max = 18446744073709551615.0 },
    { .name = "kind", .type = SOCK_OTHER, .type_name = "COMFY_DYNAMICCOMBO_V3", .options = kinds, .keys = kind_keys },
    { .name = "text", .type = SOCK_STRING, .flags = SOCK_F_DYNAMIC_PROMPTS }, { 0 } };
static const Socket show_in[] = { { .name = "images", .type = SOCK_IMAGE }, { 0 } };
static const Socket image_out[] = { { .name = "IMAGE", .type = SOCK_IMAGE }, { 0 } };
static const Socket no_out[] = { { 0 } };
static const NodeDef known[] = {
    { .class_type = "Combine", .inputs = combine_in, .outputs = image_out },
    { .class_type = "Make", .inputs = make_in, .outputs = image_out },
    { .class_type = "Show", .inputs = show_in, .outputs = no_out, .flags = NODE_F_OUTPUT },
};
/* clang-format on */
static const NodeTable table = { .known = known, .n_known = 3 };

static Status read_text(const char *text, Graph **out, Error *err)
{
    const UiOptions options = { .table = &table };

    return parse_document(text, strlen(text), &options, out, err);
}

/* The API text must be exactly this, titles aside. */
static void expect(const char *text, const char *id, const char *input, const char *value)
{
    Graph *g = NULL;
    Error err = { 0 };
    Str api = { 0 };
    JsonDoc *doc = NULL;
    const Json *node;
    Str got = { 0 };

    if (read_text(text, &g, &err) != OK) fail_msg("%s", err.message);
    graph_write_api(g, &api);
    assert_int_equal(json_parse(api.text, api.length, &doc, &err), OK);
    node = json_get(json_root(doc), id);
    if (!node) fail_msg("no node %s in %s", id, api.text);
    node = json_get(json_get(node, "inputs"), input);
    if (node)
        json_write(&got, node);
    else
        str_add(&got, "absent");
    assert_string_equal(got.text, value);
    str_fini(&got);
    str_fini(&api);
    json_free(doc);
    graph_free(g);
}

static void refuse(const char *text, const char *rule, const char *node, const char *word)
{
    Graph *g = NULL;
    Error err = { 0 };

    assert_int_not_equal(read_text(text, &g, &err), OK);
    assert_null(g);
    assert_string_equal(err.rule, rule);
    assert_string_equal(err.node, node);
    if (!strstr(err.message, word)) fail_msg("\"%s\" lacks \"%s\"", err.message, word);
    assert_true(err.line > 0 && err.column > 0);
}

#define MAKE                                                                                   \
    "{\"id\": 1, \"type\": \"Make\", \"widgets_values\": [18446744073709551615, "              \
    "\"randomize\", "
#define SHOW                                                                                   \
    "{\"id\": 9, \"type\": \"Show\", \"inputs\": [{\"name\": \"images\", \"type\": "           \
    "\"IMAGE\", \"link\": 7}]}"
#define DOC(nodes, links) "{\"nodes\": [" nodes "], \"links\": [" links "]}"

/* ---- tests -------------------------------------------------------------------------------- */

static void test_positions(void **state)
{
    (void)state;
    expect(DOC(MAKE "\"sized\", 128, \"x\"]}", ""), "1", "seed", "18446744073709551615");
    expect(DOC(MAKE "\"sized\", 128, \"x\"]}", ""), "1", "kind.width", "128");
    expect(DOC(MAKE "\"plain\", \"x\"]}", ""), "1", "text", "\"x\"");
    expect(DOC(MAKE "\"plain\", \"x\"]}", ""), "1", "kind.width", "absent");
    expect(DOC("{\"id\": 1, \"type\": \"Make\"}", ""), "1", "kind", "\"plain\"");
    expect(
        DOC("{\"id\": 1, \"type\": \"Make\", \"widgets_values_named\": {\"text\": \"n\"}}", ""),
        "1", "text", "\"n\"");
}

static void test_texts(void **state)
{
    (void)state;
    expect(DOC(MAKE "\"plain\", \"a {b|{c|d}} /* x */ \\\\{e\\\\}\"]}", ""), "1", "text",
           "\"a b  {e}\"");
    expect(DOC(MAKE "\"plain\", \"http://x\"]}", ""), "1", "text", "\"http:\"");
}

static void test_wires(void **state)
{
    static const char primitive[] = DOC(
        "{\"id\": 5, \"type\": \"PrimitiveNode\", \"widgets_values\": [\"1.26\", \"fixed\"]},"
        "{\"id\": 2, \"type\": \"Combine\", \"inputs\": [{\"name\": \"amount\", \"type\": "
        "\"FLOAT\", "
        "\"widget\": {\"name\": \"amount\"}, \"link\": 3}], \"widgets_values\": [2]}",
        "[3, 5, 0, 2, 0, \"FLOAT\"]");
    static const char bypassed[] = DOC(
        MAKE "\"plain\", \"\"]}, {\"id\": 2, \"type\": \"Combine\", \"mode\": 4, \"inputs\": "
             "[{\"name\": \"b\", \"type\": \"IMAGE\", \"link\": 4}, {\"name\": \"a\", "
             "\"type\": \"IMAGE\", "
             "\"link\": 3}]}," SHOW,
        "null, [3, 1, 0, 2, 0, \"IMAGE\"], {\"id\": 4, \"origin_id\": 8, \"origin_slot\": 0, "
        "\"target_id\": "
        "2, \"target_slot\": 1, \"type\": \"IMAGE\"}, [7, \"2\", 0, 9, 0, \"IMAGE\"]");
    (void)state;
    expect(primitive, "2", "amount", "1.3");
    expect(bypassed, "9", "images", "[\"1\", 0]");
    expect(DOC(SHOW, ""), "9", "images", "absent");
}

static void test_everywhere(void **state)
{
    (void)state;
    expect(
        "{\"nodes\": [" MAKE
        "\"plain\", \"\"]}, {\"id\": 2, \"type\": \"Anything Everywhere\"}, "
        "{\"id\": 9, \"type\": \"Show\", \"inputs\": [{\"name\": \"images\", \"type\": "
        "\"IMAGE\", \"link\": null}]}], "
        "\"links\": [], \"extra\": {\"ue_links\": [{\"upstream\": 1, \"upstream_slot\": 0, "
        "\"downstream\": 9, \"downstream_slot\": 0, \"controller\": 2, \"type\": \"IMAGE\"}]}}",
        "9", "images", "[\"1\", 0]");
}

static void test_unknown_classes(void **state)
{
    Graph *g = NULL;
    Error err = { 0 };

    (void)state;
    expect(DOC("{\"id\": 1, \"type\": \"Mine\", \"widgets_values\": {\"x\": 1}}", ""), "1", "x",
           "1");
    expect(DOC("{\"id\": 1, \"type\": \"Mine\", \"inputs\": [{\"name\": \"seed\", \"widget\": "
               "{\"name\": \"seed\"}}, "
               "{\"name\": \"y\", \"widget\": {\"name\": \"y\"}}], \"widgets_values\": [4, "
               "\"fixed\", 2]}",
               ""),
           "1", "y", "2");
    assert_int_equal(
        read_text(DOC("{\"id\": 1, \"type\": \"Mine\", \"widgets_values\": [1, 2]}", ""), &g,
                  &err),
        OK);
    assert_non_null(g->notes);
    assert_int_equal(g->notes->error.severity, SEV_ERROR);
    assert_string_equal(g->notes->error.class_type, "Mine");
    assert_string_equal(g->notes->error.node, "1");
    graph_free(g);
}

static void test_faults(void **state)
{
    (void)state;
    refuse(DOC("{\"id\": 1}", ""), "E102", "1", "without type");
    refuse(DOC("{\"type\": \"Make\"}", ""), "E102", "", "without id");
    refuse(DOC(SHOW, "[7]"), "E102", "", "a link that is neither");
    refuse(DOC(SHOW, "[7, 88, 0, 9, 0, \"IMAGE\"]"), "E103", "9", "88");
    refuse(DOC("{\"id\": 3, \"type\": \"00000000-0000-0000-0000-0000000000aa\"}", ""), "E105",
           "3", "not defined");
    refuse(DOC("{\"id\": 3, \"type\": \"workflow/Gone\"}", ""), "E102", "3",
           "legacy_group_node");
    refuse(DOC("{\"id\": 1, \"type\": \"Combine\", \"mode\": 4, \"inputs\": [{\"name\": \"a\", "
               "\"link\": 1}]}," SHOW,
               "[1, 1, 0, 1, 0, \"IMAGE\"], [7, 1, 0, 9, 0, \"IMAGE\"]"),
           "E104", "1", "circle");
}

static void add_definition(Str *s, int i, int depth)
{
    str_printf(
        s,
        "%s{\"id\": \"d%d\", \"inputs\": [{\"name\": \"i\", \"type\": \"IMAGE\", \"linkIds\": "
        "[1]}], "
        "\"outputs\": [{\"name\": \"o\", \"type\": \"IMAGE\", \"linkIds\": [2]}], \"links\": "
        "[[1, -10, 0, %d, 0, \"IMAGE\"], [2, %d, 0, -20, 0, \"IMAGE\"]], \"nodes\": [{\"id\": "
        "%d, ",
        i ? ", " : "", i, i + 100, i + 100, i + 100);
    if (i + 1 < depth)
        str_printf(s,
                   "\"type\": \"d%d\", \"inputs\": [{\"name\": \"i\", \"type\": \"IMAGE\", "
                   "\"link\": 1}]}]}",
                   i + 1);
    else
        str_add(s, "\"type\": \"Combine\", \"inputs\": [{\"name\": \"a\", \"type\": \"IMAGE\", "
                   "\"link\": 1}]}]}");
}

/* Ten thousand instances inside one another: one node comes out, wired to the outside. */
static void test_depth(void **state)
{
    enum { DEPTH = 10000 };
    Graph *g = NULL;
    Error err = { 0 };
    Str s = { 0 };
    (void)state;

    str_add(&s,
            "{\"nodes\": [" MAKE
            "\"plain\", \"\"]}, {\"id\": 2, \"type\": \"d0\", \"inputs\": [{\"name\": \"i\", "
            "\"type\": \"IMAGE\", \"link\": 6}]}, " SHOW
            "], \"links\": [[6, 1, 0, 2, 0, \"IMAGE\"], "
            "[7, 2, 0, 9, 0, \"IMAGE\"]], \"definitions\": {\"subgraphs\": [");
    for (int i = 0; i < DEPTH; i++)
        add_definition(&s, i, DEPTH);
    str_add(&s, "]}}");
    assert_false(s.failed);
    if (read_text(s.text, &g, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(g->count, 3);
    assert_string_equal(graph_input(&g->nodes[1], "a")->origin_id, "1");
    assert_string_equal(graph_input(&g->nodes[2], "images")->origin_id, g->nodes[1].id);
    graph_free(g);
    str_fini(&s);
}

/* Forty doublings, and a definition inside itself: refused at once. */
static void test_expansion(void **state)
{
    Graph *g = NULL;
    Error err = { 0 };
    Str s = { 0 };
    (void)state;

    str_add(&s,
            "{\"nodes\": [{\"id\": 1, \"type\": \"d0\"}], \"definitions\": {\"subgraphs\": [");
    for (int i = 0; i < 40; i++)
        str_printf(&s,
                   "%s{\"id\": \"d%d\", \"nodes\": [{\"id\": 1, \"type\": \"d%d\"}, {\"id\": "
                   "2, \"type\": \"d%d\"}]}",
                   i ? ", " : "", i, i + 1, i + 1);
    str_add(&s, ", {\"id\": \"d40\", \"nodes\": []}]}}");
    assert_int_equal(read_text(s.text, &g, &err), E_LIMIT);
    assert_string_equal(err.rule, "E105");
    str_fini(&s);
    refuse("{\"nodes\": [{\"id\": 1, \"type\": \"d\"}], \"definitions\": {\"subgraphs\": "
           "[{\"id\": \"d\", "
           "\"nodes\": [{\"id\": 2, \"type\": \"d\"}]}]}}",
           "E105", "1", "holds itself");
}

/* A million brackets are paired in one pass. */
/* Group nodes inside group nodes: sizes are known before anything is built. */
static void test_groups_in_groups(void **state)
{
    Str s = { 0 };
    Graph *g = NULL;
    Error err = { 0 };

    (void)state;
    refuse("{\"nodes\": [{\"id\": 1, \"type\": \"workflow/a\"}], \"extra\": {\"groupNodes\": "
           "{\"a\": "
           "{\"nodes\": [{\"index\": 0, \"type\": \"workflow/b\"}]}, \"b\": {\"nodes\": "
           "[{\"index\": 0, "
           "\"type\": \"workflow/a\"}]}}}}",
           "E105", "1", "holds itself");
    str_add(
        &s,
        "{\"nodes\": [{\"id\": 1, \"type\": \"workflow/0\"}], \"extra\": {\"groupNodes\": {");
    for (int i = 0; i < 200; i++)
        str_printf(
            &s,
            "\"%d\": {\"nodes\": [{\"index\": 0, \"type\": \"workflow/%d\"}, {\"index\": 1, "
            "\"type\": \"workflow/%d\"}]}, ",
            i, i + 1, i + 1);
    str_add(&s, "\"200\": {\"nodes\": [{\"index\": 0, \"type\": \"Make\"}]}}}}");
    assert_int_equal(read_text(s.text, &g, &err), E_LIMIT);
    assert_string_equal(err.rule, "E105");
    str_fini(&s);
}

/* 10^5 nodes in one row of wires. */
static void test_long_drawing(void **state)
{
    enum { LENGTH = 100000 };
    Str s = { 0 };
    Graph *g = NULL;
    Error err = { 0 };

    (void)state;
    str_add(&s,
            "{\"nodes\": [{\"id\": 0, \"type\": \"Make\", \"widgets_values\": [1, \"fixed\"]}");
    for (int i = 1; i < LENGTH; i++)
        str_printf(
            &s,
            ", {\"id\": %d, \"type\": \"Combine\", \"inputs\": [{\"name\": \"a\", \"type\": "
            "\"IMAGE\", \"link\": %d}]}",
            i, i);
    str_add(&s, "], \"links\": [");
    for (int i = 1; i < LENGTH; i++)
        str_printf(&s, "%s[%d, %d, 0, %d, 0, \"IMAGE\"]", i > 1 ? ", " : "", i, i - 1, i);
    str_add(&s, "]}");
    if (read_text(s.text, &g, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(g->count, LENGTH);
    graph_free(g);
    str_fini(&s);
}

static void test_brackets(void **state)
{
    enum { N = 500000 };
    const UiOptions options = { .table = &table };
    Str s = { 0 };
    Graph *g = NULL;
    (void)state;

    str_add(&s, "{\"nodes\": [" MAKE "\"plain\", \"");
    for (int i = 0; i < N; i++)
        str_add_char(&s, '{');
    str_add(&s, "a|b");
    for (int i = 0; i < N; i++)
        str_add_char(&s, '}');
    str_add(&s, "\"]}], \"links\": []}");
    assert_int_equal(parse_document(s.text, s.length, &options, &g, NULL), OK);
    assert_string_equal(graph_input(&g->nodes[0], "text")->value.text, "a");
    graph_free(g);
    str_fini(&s);
}

static const char rich[] = "{\"last_node_id\": 9, \"nodes\": [" MAKE
                           "\"sized\", 13, \"a {b|c}\"]}, {\"id\": 2, \"type\": \"s\", "
                           "\"inputs\": [{\"name\": \"i\", \"type\": \"IMAGE\", \"link\": 6}], "
                           "\"properties\": {\"proxyWidgets\": [[\"1\", "
                           "\"amount\"]]}, \"widgets_values\": [3]}, {\"id\": 4, \"type\": "
                           "\"workflow/g\", \"inputs\": [{\"name\": \"x\", "
                           "\"link\": 8}], \"widgets_values\": [5]}, " SHOW
                           "], \"links\": [[6, 1, 0, 2, 0, \"IMAGE\"], [7, 2, 0, 9, 0, "
                           "\"IMAGE\"], [8, 1, 0, 4, 0, \"IMAGE\"]], \"definitions\": "
                           "{\"subgraphs\": [{\"id\": \"s\", \"inputs\": "
                           "[{\"name\": \"i\", \"type\": \"IMAGE\", \"linkIds\": [1]}], "
                           "\"outputs\": [{\"name\": \"o\", \"type\": \"IMAGE\", "
                           "\"linkIds\": [2]}], \"nodes\": [{\"id\": 1, \"type\": \"Combine\", "
                           "\"inputs\": [{\"name\": \"a\", \"type\": "
                           "\"IMAGE\", \"link\": 1}], \"widgets_values\": [2]}], \"links\": "
                           "[[1, -10, 0, 1, 0, \"IMAGE\"], [2, 1, 0, -20, 0, "
                           "\"IMAGE\"]]}]}, \"extra\": {\"groupNodes\": {\"g\": {\"nodes\": "
                           "[{\"type\": \"Combine\", \"index\": 0, "
                           "\"inputs\": [{\"name\": \"a\", \"type\": \"IMAGE\"}], \"outputs\": "
                           "[{\"name\": \"IMAGE\", \"type\": \"IMAGE\"}], "
                           "\"widgets_values\": [1]}], \"links\": [], \"external\": []}}}}";

static void test_rich(void **state)
{
    (void)state;
    expect(rich, "2:10", "amount", "3");
    expect(rich, "2:10", "a", "[\"1\", 0]");
    expect(rich, "9", "images", "[\"2:10\", 0]");
    expect(rich, "4:0", "amount", "5");
    expect(rich, "4:0", "a", "[\"1\", 0]");
}

/* Every allocation fails once; nothing leaks and nothing crashes. */
static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        Graph *g = NULL;
        mem_fail_at(n);
        Status status = read_text(rich, &g, NULL);
        mem_fail_at(0);
        graph_free(g);
        if (status == OK) break;
        assert_int_equal(status, E_NOMEM);
        assert_true(n < 100000);
    }
}

/* The prompt of a metadata dump is preferred, whatever form it has. */
static void test_metadata(void **state)
{
    (void)state;
    expect("{\"prompt\": \"{\\\"3\\\": {\\\"class_type\\\": \\\"Show\\\", \\\"inputs\\\": "
           "{\\\"x\\\": 1}}}\", "
           "\"workflow\": \"{}\"}",
           "3", "x", "1");
    expect("{\"workflow\": {\"nodes\": [" MAKE "\"plain\", \"w\"]}]}}", "1", "text", "\"w\"");
    expect("{\"workflow\": \"{\\\"nodes\\\": [{\\\"id\\\": 1, \\\"type\\\": \\\"Make\\\"}]}\"}",
           "1", "text", "\"\"");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_wires),
        cmocka_unit_test(test_everywhere),
        cmocka_unit_test(test_unknown_classes),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_groups_in_groups),
        cmocka_unit_test(test_long_drawing),
        cmocka_unit_test(test_brackets),
        cmocka_unit_test(test_rich),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_metadata),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("ui", tests, NULL, NULL);
}
