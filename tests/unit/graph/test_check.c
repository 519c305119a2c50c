/* test_check.c - each finding carries node, input, value, bound and a way out. */
#include "engine/base/mem.h"
#include "engine/graph/lint.h"
#include "tests/unit/graph/toys.h"

#define SEED(inputs)                                                                           \
    "{\"9\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"4\", 0]}}, \"4\": "     \
    "{\"class_type\": \"Seed\", \"inputs\": {" inputs                                          \
    "}, \"_meta\": {\"title\": \"My seed\"}}}"
#define BLUR(inputs)                                                                           \
    "{\"9\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"4\", 0]}}, "       \
    "\"1\": {\"class_type\": \"EmptyImage\", \"inputs\": {\"width\": 1, \"height\": 1, "       \
    "\"batch_size\": 1, \"color\": 0}}, \"4\": {\"class_type\": \"ImageBlur\", \"inputs\": "   \
    "{" inputs "}}}"

typedef struct Case {
    const char *text, *rule, *node, *input, *message, *fix;
} Case;

/* clang-format off */
static const Case cases[] = {
    { SEED("\"seed\": -1"), "E205", "4", "seed", "-1 is below the minimum 0", "0 to 18446744073709551615" },
    { SEED("\"seed\": 18446744073709551616"), "E205", "4", "seed", "18446744073709551616 is above the maximum 18446744073709551615", "0 to 18446744073709551615" },
    { SEED("\"seed\": \"abc\""), "E205", "4", "seed", "'abc' cannot be read as a whole number", "0 to 18446744073709551615" },
    { SEED("\"seed\": NaN"), "E205", "4", "seed", "nan cannot be read", "whole number" },
    { SEED("\"seed\": 1, \"scale\": \"nan\""), "E205", "4", "scale", "'nan' cannot be read as a number", "0 to 10" },
    { SEED("\"seed\": 1, \"scale\": Infinity"), "E205", "4", "scale", "inf is above the maximum 10.0", "0 to 10" },
    { SEED("\"seed\": 1, \"scale\": 1e400"), "E205", "4", "scale", "inf is above the maximum 10.0", "0 to 10" },
    { SEED("\"seed\": 4.9"), "W103", "4", "seed", "4.9 is read as 4", "write 4" },
    { SEED("\"seed\": 1, \"text\": null"), "W103", "4", "text", "None is read as 'None'", "write 'None'" },
    { SEED("\"seed\": 1, \"nope\": 2"), "W102", "4", "nope", "not an input of Seed", "remove" },
    { SEED(""), "E202", "4", "seed", "required, but missing", "set it" },
    { BLUR("\"image\": 5, \"blur_radius\": 1, \"sigma\": 1"), "E206", "4", "image", "needs a link of type IMAGE, the file gives 5", "IMAGE" },
    { BLUR("\"image\": [\"1\", 0], \"blur_radius\": 40, \"sigma\": 1"), "E205", "4", "blur_radius", "40 is above the maximum 31", "1 to 31" },
    { BLUR("\"image\": [\"404\", 0], \"blur_radius\": 1, \"sigma\": 1"), "E103", "4", "image", "missing node 404", "link it" },
    { BLUR("\"image\": [\"1\", 3], \"blur_radius\": 1, \"sigma\": 1"), "E103", "4", "image", "output 3 of node 1, which has 1", "0 to 0" },
    { BLUR("\"image\": [1, 0], \"blur_radius\": 1, \"sigma\": 1"), "E103", "4", "image", "not a text", "quotes" },
    { BLUR("\"image\": [\"1\", \"0\"], \"blur_radius\": 1, \"sigma\": 1"), "E103", "4", "image", "not a whole number", "use 0" },
    { BLUR("\"image\": [\"1\"], \"blur_radius\": 1, \"sigma\": 1"), "E103", "4", "image", "a list of 1 values", "__value__" },
    { BLUR("\"image\": [\"1\", 0], \"blur_radius\": [\"1\", 0], \"sigma\": 1"), "E203", "4", "blur_radius", "wants INT, link gives IMAGE", "INT" },
    { BLUR("\"image\": [\"4\", 0], \"blur_radius\": 1, \"sigma\": 1"), "E104", "4", "", "dependency cycle: 4 <- 4", "cut" },
    { BLUR("\"blur_radius\": 1, \"sigma\": 1"), "E202", "4", "image", "required", "link an output of type IMAGE" },
    { "{\"1\": {\"class_type\": \"PreviewImages\", \"inputs\": {}}}", "E201", "1", "", "unknown node class PreviewImages", "PreviewImage" },
    { "{\"1\": {\"class_type\": \"previewimage\", \"inputs\": {}}}", "E201", "1", "", "unknown node class", "PreviewImage" },
    { "{\"1\": {\"class_type\": \"NodeId\", \"inputs\": {}}}", "E106", "", "", "no output node", "SaveImage" },
    { "{\"1\": {\"class_type\": \"NodeId\", \"inputs\": {}}}", "N203", "1", "", "feeds no output", "remove" },
    { "{\"1\": {\"class_type\": \"PreviewImage\"}}", "E102", "1", "", "no \"inputs\"", "{}" },
    { "{\"1\": {\"inputs\": {}}, \"2\": {\"class_type\": \"NodeId\"}}", "E201", "1", "", "no class_type", "export" },
    { "{\"1\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"2\", 0]}}, \"2\": {\"class_type\": \"Known\", \"inputs\": {}}}", "E207", "2", "", "recognised but not supported", "runnable" },
    { "{\"1\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"2\", 0]}}, \"2\": {\"class_type\": \"Known\", \"inputs\": {}}}", "N202", "2", "", "experimental", "" },
    { "{\"1\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"2\", 0]}}, \"2\": {\"class_type\": \"Fail\", \"inputs\": {}}}", "W201", "2", "", "deprecated", "" },
    { "{\"1\": {\"class_type\": \"ImageScaleBy\", \"inputs\": {\"image\": [\"1\", 0], \"upscale_method\": \"bilinaer\", \"scale_by\": 1}}, \"2\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"1\", 0]}}}", "E204", "1", "upscale_method", "'bilinaer' is not one of the 3 choices", "bilinear" },
};
/* clang-format on */

static void one_case(const Case *c)
{
    Graph *g = graph_of(c->text);
    CheckReport *r = check_of(g, NULL, 0);
    const Finding *f = find_rule(r, c->rule);
    Error e;

    if (!f) fail_msg("no %s in %s", c->rule, c->text);
    finding_error(r, f, &e);
    assert_string_equal(e.rule, c->rule);
    assert_string_equal(e.node, c->node);
    assert_string_equal(e.input, c->input);
    if (!strstr(e.message, c->message)) fail_msg("%s: message: %s", c->rule, e.message);
    if (!strstr(e.fix, c->fix)) fail_msg("%s: fix: %s", c->rule, e.fix);
    if (e.node[0]) assert_true(e.line >= 1 && e.column >= 1);
    check_free(r);
    graph_free(g);
}

static void check_findings_tell_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        one_case(&cases[i]);
}

static void check_collects_everything_at_once(void **state)
{
    Graph *g = graph_of(
        "{\"9\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"4\", 0]}},"
        "\"4\": {\"class_type\": \"ImageBlur\", \"inputs\": {\"image\": [\"5\", 0], "
        "\"blur_radius\": 99, \"x\": 1}},"
        "\"5\": {\"class_type\": \"ImageScaleBy\", \"inputs\": {\"upscale_method\": 1, "
        "\"scale_by\": \"z\"}},"
        "\"6\": {\"class_type\": \"Nope\", \"inputs\": {}}}");
    static const char *const rules[] = { "E201", "E202", "E204", "E205", "W102" };
    CheckReport *r = check_of(g, NULL, 0);

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        assert_non_null(find_rule(r, rules[i]));
    assert_int_equal(r->errors, 6); /* E201, sigma and image missing, radius, method, scale */
    assert_int_equal(r->warnings, 1);
    check_free(r);
    graph_free(g);
}

/* What no output needs is not checked beyond its class; a cycle there is accepted. */
static void check_leaves_unneeded_nodes_alone(void **state)
{
    Graph *g = graph_of(
        "{\"1\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": 5}},"
        "\"2\": {\"class_type\": \"ImageInvert\", \"inputs\": {\"image\": [\"3\", 0]}},"
        "\"3\": {\"class_type\": \"ImageInvert\", \"inputs\": {\"image\": [\"2\", 0]}},"
        "\"4\": {\"class_type\": \"EmptyImage\", \"inputs\": {\"width\": 0}}}");
    CheckReport *r = check_of(g, NULL, 0);

    (void)state;
    assert_int_equal(r->errors, 0);
    assert_int_equal(r->notes, 3);
    check_free(r);
    graph_free(g);
}

static void check_marks_each_output(void **state)
{
    Graph *g = graph_of("{\"1\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": 5}},"
                        "\"2\": {\"class_type\": \"ShowAny\", \"inputs\": {}}}");
    CheckReport *r = check_of(g, NULL, 0);

    (void)state;
    assert_int_equal(r->n_outputs, 2);
    assert_true(r->valid[0]);
    assert_false(r->valid[1]);
    check_free(r);
    graph_free(g);
}

/* Every node links back to the first: many cycles, one of them told, in linear time. */
static void check_survives_many_cycles(void **state)
{
    Str s = { 0 };
    Graph *g;
    CheckReport *r;

    (void)state;
    str_add(&s,
            "{\"o\": {\"class_type\": \"PreviewImage\", \"inputs\": {\"images\": [\"0\", 0]}}");
    for (int i = 0; i < 50000; i++)
        str_printf(&s,
                   ",\"%d\": {\"class_type\": \"ImageBatch\", \"inputs\": {\"image1\": [\"0\", "
                   "0], \"image2\": [\"%d\", 0]}}",
                   i, (i + 1) % 50000);
    str_add(&s, "}");
    g = graph_of(s.text);
    r = check_of(g, NULL, 0);
    assert_non_null(find_rule(r, "E104"));
    assert_false(r->valid[0]);
    check_free(r);
    graph_free(g);
    str_fini(&s);
}

static void types_match_as_the_reference(void **state)
{
    (void)state;
    assert_true(socket_types_match("IMAGE", "IMAGE"));
    assert_true(socket_types_match("*", "IMAGE"));
    assert_true(socket_types_match("IMAGE", "*"));
    assert_true(socket_types_match("INT, FLOAT", "FLOAT"));
    assert_true(socket_types_match("INT", "STRING,INT , FLOAT"));
    assert_true(socket_types_match("LATENT", "A,*"));
    assert_true(socket_types_match("LATENT", "COMFY_MATCHTYPE_V3"));
    assert_false(socket_types_match("INT", "FLOAT"));
    assert_false(socket_types_match("image", "IMAGE"));
    assert_false(socket_types_match("STRING", "COMBO"));
}

static void object_info_has_the_reference_shape(void **state)
{
    Str text = { 0 };
    JsonDoc *doc;
    Error err;

    (void)state;
    assert_ok(node_object_info(node_find(&toy_table, "Seed"), NULL, &text, &err), &err);
    assert_non_null(strstr(
        text.text,
        "\"seed\": [\"INT\", {\"default\": 0, \"min\": 0, \"max\": 18446744073709551615, "
        "\"control_after_generate\": true}]"));
    assert_non_null(strstr(text.text, "\"input_order\": {\"required\": [\"seed\"], "
                                      "\"optional\": [\"scale\", \"flag\", \"text\"]}"));
    assert_non_null(strstr(text.text, "\"output\": [\"INT\", \"STRING\"]"));
    assert_ok(json_parse(text.text, text.length, &doc, &err), &err);
    json_free(doc);
    str_clear(&text);
    assert_ok(node_object_info(node_find(&toy_table, "ImageScaleBy"), NULL, &text, &err), &err);
    assert_non_null(strstr(text.text, "[[\"nearest-exact\", \"bilinear\", \"area\"], {}]"));
    str_fini(&text);
}

int run_check_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_findings_tell_all),
        cmocka_unit_test(check_collects_everything_at_once),
        cmocka_unit_test(check_leaves_unneeded_nodes_alone),
        cmocka_unit_test(check_marks_each_output),
        cmocka_unit_test(check_survives_many_cycles),
        cmocka_unit_test(types_match_as_the_reference),
        cmocka_unit_test(object_info_has_the_reference_shape),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
