/* test_plan.c - the plan's order and marks, and each rule of the golden order. */
#include "engine/base/mem.h"
#include "engine/graph/lint.h"
#include "engine/graph/plan_print.h"
#include "tests/unit/graph/toys.h"

/* ---- classes of a chain: only stages and sockets count ----------------------------------- */

/* clang-format off */
#define ROW(n, t) { .name = n, .type = t }
static const Socket model_out[] = { ROW("MODEL", SOCK_MODEL), { 0 } };
static const Socket load_in[] = { { .name = "unet_name", .type = SOCK_STRING }, { 0 } };
static const Socket lora_in[] = {
    ROW("model", SOCK_MODEL), { .name = "lora_name", .type = SOCK_STRING },
    { .name = "strength_model", .type = SOCK_FLOAT, .min = -100, .max = 100 }, { 0 },
};
static const Socket sage_in[] = {
    ROW("model", SOCK_MODEL), { .name = "sage_attention", .type = SOCK_STRING, .flags = SOCK_F_OPTIONAL },
    { .name = "allow_compile", .type = SOCK_BOOLEAN, .flags = SOCK_F_OPTIONAL }, { 0 },
};
static const Socket shift_in[] = {
    ROW("model", SOCK_MODEL), { .name = "width", .type = SOCK_INT, .flags = SOCK_F_OPTIONAL },
    { .name = "height", .type = SOCK_INT, .flags = SOCK_F_OPTIONAL }, { 0 },
};
static const Socket compile_in[] = {
    ROW("model", SOCK_MODEL), { .name = "fullgraph", .type = SOCK_BOOLEAN, .flags = SOCK_F_OPTIONAL }, { 0 },
};
static const Socket cache_in[] = { ROW("model", SOCK_MODEL), { 0 } };
static const Socket sigmas_out[] = { ROW("SIGMAS", SOCK_SIGMAS), { 0 } };
static const Socket flip_in[] = { ROW("sigmas", SOCK_SIGMAS), { 0 } };
static const Socket guider_out[] = { ROW("GUIDER", SOCK_GUIDER), { 0 } };
static const Socket latent_out[] = { ROW("LATENT", SOCK_LATENT), { 0 } };
static const Socket latent_in[] = { ROW("width", SOCK_INT), ROW("height", SOCK_INT), { 0 } };
static const Socket sample_in[] = {
    { .name = "guider", .type = SOCK_GUIDER, .flags = SOCK_F_OPTIONAL }, { .name = "model", .type = SOCK_MODEL, .flags = SOCK_F_OPTIONAL },
    { .name = "sigmas", .type = SOCK_SIGMAS, .flags = SOCK_F_OPTIONAL }, { .name = "latent", .type = SOCK_LATENT, .flags = SOCK_F_OPTIONAL }, { 0 },
};
static const NodeDef chain_defs[] = {
    { .class_type = "Load", .inputs = load_in, .outputs = model_out, .stage = STAGE_LOAD },
    { .class_type = "Lora", .inputs = lora_in, .outputs = model_out, .stage = STAGE_LORA },
    { .class_type = "Sage", .inputs = sage_in, .outputs = model_out, .stage = STAGE_ATTENTION },
    { .class_type = "Shift", .inputs = shift_in, .outputs = model_out, .stage = STAGE_SAMPLING },
    { .class_type = "Compile", .inputs = compile_in, .outputs = model_out, .stage = STAGE_COMPILE },
    { .class_type = "StepCache", .inputs = cache_in, .outputs = model_out, .stage = STAGE_CACHE },
    { .class_type = "Sigmas", .inputs = shift_in, .outputs = sigmas_out },
    { .class_type = "Flip", .inputs = flip_in, .outputs = sigmas_out },
    { .class_type = "Guider", .inputs = cache_in, .outputs = guider_out },
    { .class_type = "Empty", .inputs = latent_in, .outputs = latent_out },
    { .class_type = "Sample", .inputs = sample_in, .outputs = latent_out, .stage = STAGE_SAMPLE, .flags = NODE_F_OUTPUT },
};
static const NodeDef *const chain_family[] = {
    &chain_defs[0], &chain_defs[1], &chain_defs[2], &chain_defs[3], &chain_defs[4], &chain_defs[5],
    &chain_defs[6], &chain_defs[7], &chain_defs[8], &chain_defs[9], &chain_defs[10], NULL,
};
static const NodeDef *const *const chain_families[] = { chain_family, NULL };
static const NodeTable chain_table = { .families = chain_families };

#define NODE(id, c, ...) "\"" id "\": {\"class_type\": \"" c "\", \"inputs\": {" __VA_ARGS__ "}}"
#define M(id) "\"model\": [\"" id "\", 0]"
#define LOAD NODE("1", "Load", "\"unet_name\": \"m\"")
#define LORA(id, from, file, s) NODE(id, "Lora", M(from) ", \"lora_name\": \"" file "\", \"strength_model\": " s)
#define END(from) NODE("9", "Sample", M(from))

typedef struct Case {
    const char *rule, *node, *message, *bad, *fixed;
} Case;

/* A file, the finding in it, the fixed file. */
static const Case cases[] = {
    { "W301", "2", "overridden by node 3",
      "{" LOAD "," NODE("2", "Shift", M("1")) "," NODE("3", "Shift", M("2")) "," END("3") "}",
      "{" LOAD "," NODE("3", "Shift", M("1")) "," END("3") "}" },
    { "W302", "2", "overridden by node 3",
      "{" LOAD "," NODE("2", "Sage", M("1")) "," NODE("3", "Sage", M("2")) "," END("3") "}",
      "{" LOAD "," NODE("2", "Sage", M("1") ", \"sage_attention\": \"disabled\"") "," NODE("3", "Sage", M("2")) "," END("3") "}" },
    { "W303", "2", "overridden by node 4",
      "{" LOAD "," NODE("2", "Compile", M("1")) "," NODE("4", "Compile", M("2")) "," END("4") "}",
      "{" LOAD "," NODE("4", "Compile", M("1")) "," END("4") "}" },
    { "W304", "5", "no model sampling patch, the sampler uses Shift",
      "{" LOAD "," NODE("2", "Shift", M("1")) "," NODE("5", "Sigmas", M("1")) "," NODE("7", "Flip", "\"sigmas\": [\"5\", 0]") ","
      NODE("6", "Guider", M("2")) "," NODE("9", "Sample", "\"guider\": [\"6\", 0], \"sigmas\": [\"7\", 0]") "}",
      "{" LOAD "," NODE("2", "Shift", M("1")) "," NODE("5", "Sigmas", M("2")) "," NODE("7", "Flip", "\"sigmas\": [\"5\", 0]") ","
      NODE("6", "Guider", M("2")) "," NODE("9", "Sample", "\"guider\": [\"6\", 0], \"sigmas\": [\"7\", 0]") "}" },
    { "N305", "5", "another model branch",
      "{" LOAD "," LORA("2", "1", "a", "1") "," NODE("5", "Sigmas", M("1")) "," NODE("9", "Sample", M("2") ", \"sigmas\": [\"5\", 0]") "}",
      "{" LOAD "," LORA("2", "1", "a", "1") "," NODE("5", "Sigmas", M("2")) "," NODE("9", "Sample", M("2") ", \"sigmas\": [\"5\", 0]") "}" },
    { "W306", "3", "forces recompilation",
      "{" LOAD "," NODE("2", "Compile", M("1")) "," LORA("3", "2", "a", "1") "," END("3") "}",
      "{" LOAD "," LORA("3", "1", "a", "1") "," NODE("2", "Compile", M("3")) "," NODE("4", "StepCache", M("2")) "," END("4") "}" },
    { "N307", "3", "usual order",
      "{" LOAD "," NODE("2", "Shift", M("1")) "," NODE("3", "Sage", M("2")) "," END("3") "}",
      "{" LOAD "," NODE("3", "Sage", M("1")) "," NODE("2", "Shift", M("3")) "," END("2") "}" },
    { "N307", "3", "Shift after Compile",
      "{" LOAD "," NODE("2", "Compile", M("1")) "," NODE("3", "Shift", M("2")) "," END("3") "}",
      "{" LOAD "," NODE("3", "Shift", M("1")) "," NODE("2", "Compile", M("3")) "," END("2") "}" },
    { "E308", "3", "breaks the full graph",
      "{" LOAD "," NODE("2", "Sage", M("1") ", \"allow_compile\": false") "," NODE("3", "Compile", M("2") ", \"fullgraph\": true") "," END("3") "}",
      "{" LOAD "," NODE("2", "Sage", M("1") ", \"allow_compile\": false") "," NODE("3", "Compile", M("2") ", \"fullgraph\": false") "," END("3") "}" },
    { "W309", "2", "schedule computed for 1024x1024, latent is 512x1024",
      "{" LOAD "," NODE("2", "Shift", M("1") ", \"width\": 1024, \"height\": 1024") "," NODE("3", "Empty", "\"width\": 512, \"height\": 1024") ","
      NODE("9", "Sample", M("2") ", \"latent\": [\"3\", 0]") "}",
      "{" LOAD "," NODE("2", "Shift", M("1") ", \"width\": 512, \"height\": 1024") "," NODE("3", "Empty", "\"width\": 512, \"height\": 1024") ","
      NODE("9", "Sample", M("2") ", \"latent\": [\"3\", 0]") "}" },
    { "N310", "3", "harmless",
      "{" LOAD "," NODE("2", "Shift", M("1")) "," LORA("3", "2", "a", "1") "," END("3") "}",
      "{" LOAD "," LORA("3", "1", "a", "1") "," NODE("2", "Shift", M("3")) "," END("2") "}" },
    { "W311", "3", "applied twice (also by node 2)",
      "{" LOAD "," LORA("2", "1", "a", "1") "," LORA("3", "2", "a", "0.5") "," END("3") "}",
      "{" LOAD "," LORA("2", "1", "a", "1") "," LORA("3", "2", "b", "0.5") "," END("3") "}" },
    { "W311", "2", "strength 0",
      "{" LOAD "," LORA("2", "1", "a", "0") "," END("2") "}",
      "{" LOAD "," LORA("2", "1", "a", "0.1") "," END("2") "}" },
};
/* clang-format on */

static CheckReport *lint_of(Graph *g)
{
    CheckOptions options = { .table = &chain_table };
    CheckReport *r = NULL;
    Error err;

    assert_ok(check_graph(g, &options, &r, &err), &err);
    assert_ok(lint_graph(g, r, &err), &err);
    return r;
}

static void lint_finds_each_rule_and_its_fix_ends_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Case *c = &cases[i];
        Graph *g = graph_of(c->bad);
        CheckReport *r = lint_of(g);
        const Finding *f = find_rule(r, c->rule);
        Error e;

        if (!f) fail_msg("%s not found", c->rule);
        finding_error(r, f, &e);
        assert_string_equal(e.node, c->node);
        if (!strstr(e.message, c->message)) fail_msg("%s: %s", c->rule, e.message);
        check_free(r);
        graph_free(g);
        g = graph_of(c->fixed);
        r = lint_of(g);
        if (find_rule(r, c->rule)) fail_msg("%s in the fixed file", c->rule);
        check_free(r);
        graph_free(g);
    }
}

static void lint_takes_a_chain_of_50000(void **state)
{
    Str s = { 0 };
    Graph *g;
    CheckReport *r;

    (void)state;
    str_add(&s, "{" NODE("0", "Load", "\"unet_name\": \"m\""));
    for (int i = 1; i <= 50000; i++)
        str_printf(&s,
                   ",\"%d\": {\"class_type\": \"Lora\", \"inputs\": {\"model\": [\"%d\", 0], "
                   "\"lora_name\": \"%d\", \"strength_model\": 1}}",
                   i, i - 1, i);
    str_add(&s, "," NODE("x", "Sample", "\"model\": [\"50000\", 0]") "}");
    g = graph_of(s.text);
    r = lint_of(g);
    assert_int_equal(r->warnings, 0);
    check_free(r);
    graph_free(g);
    str_fini(&s);
}

/* ---- plans ------------------------------------------------------------------------------- */

static Plan *plan_of(Graph *g, CheckReport *r)
{
    Plan *plan = NULL;
    Error err;

    assert_ok(plan_graph(g, r, NULL, NULL, &plan, &err), &err);
    return plan;
}

static void expect_plan(const char *text, const char *lines)
{
    Graph *g = graph_of(text);
    CheckReport *r = check_of(g, NULL, 0);
    Plan *plan = plan_of(g, r);
    Str out = { 0 };

    plan_print(plan, &out);
    assert_string_equal(out.text, lines);
    str_fini(&out);
    plan_free(plan);
    check_free(r);
    graph_free(g);
}

#define EMPTY(id)                                                                              \
    NODE(id, "EmptyImage", "\"width\": 1, \"height\": 1, \"batch_size\": 1, \"color\": 0")

static void plan_tells_what_is_shared_and_freed(void **state)
{
    (void)state;
    expect_plan("{" EMPTY("1") "," EMPTY("2") "," NODE(
                    "3", "ImageBatch",
                    "\"image1\": [\"1\", 0], \"image2\": [\"2\", "
                    "0]") "," NODE("4", "PreviewImage", "\"images\": [\"3\", 0]") "}",
                "  1  2                     EmptyImage\n"
                "  2  1                     EmptyImage  same as 2\n"
                "  3  3                     ImageBatch  frees 1\n"
                "  4  4                     PreviewImage  frees 3, 4\n");
}

static void plan_follows_lazy_inputs(void **state)
{
    (void)state;
    expect_plan("{\"f\": {\"class_type\": \"Number\", \"inputs\": {\"value\": 1}}, \"t\": "
                "{\"class_type\": \"Number\", \"inputs\": {\"value\": 2}},"
                "\"s\": {\"class_type\": \"Switch\", \"inputs\": {\"switch\": true, "
                "\"on_false\": [\"f\", 0], \"on_true\": [\"t\", 0]}},"
                "\"o\": {\"class_type\": \"ShowAny\", \"inputs\": {\"source\": [\"s\", 0]}}}",
                "  1  t                     Number\n"
                "  2  s                     Switch  frees t\n"
                "  3  o                     ShowAny  frees s, o\n");
}

static void plan_carries_measured_memory(void **state)
{
    Graph *g =
        graph_of("{" EMPTY("1") "," NODE("2", "PreviewImage", "\"images\": [\"1\", 0]") "}");
    CheckReport *r = check_of(g, NULL, 0);
    Plan *plan = plan_of(g, r);
    Str out = { 0 };
    JsonDoc *doc;
    Error err;

    (void)state;
    assert_int_equal(plan_arena_peak(plan), -1);
    plan_attach(plan, 0, 100, 5000000000);
    plan_attach(plan, 1, 300, -1);
    assert_int_equal(plan_arena_peak(plan), 300);
    assert_true(plan_weights_peak(plan) == 5000000000);
    plan_write_json(plan, &out);
    assert_ok(json_parse(out.text, out.length, &doc, &err), &err);
    assert_int_equal(json_count(json_get(json_root(doc), "steps")), 2);
    json_free(doc);
    str_fini(&out);
    plan_free(plan);
    check_free(r);
    graph_free(g);
}

static Status plan_and_lint(void *user, Error *err)
{
    CheckOptions options = { .table = &chain_table };
    const char *text = user;
    CheckReport *r = NULL;
    Graph *g = NULL;
    Plan *plan = NULL;
    Status status = OK;

    TRY_DONE(parse_api(text, strlen(text), &g, err));
    TRY_DONE(check_graph(g, &options, &r, err));
    TRY_DONE(lint_graph(g, r, err));
    TRY_DONE(plan_graph(g, r, NULL, NULL, &plan, err));
done:
    plan_free(plan);
    check_free(r);
    graph_free(g);
    return status;
}

static void plan_survives_each_failed_allocation(void **state)
{
    char text[1024];

    (void)state;
    snprintf(text, sizeof text, "%s", cases[3].bad);
    assert_true(fail_each_allocation(plan_and_lint, text) > 20);
}

int run_plan_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lint_finds_each_rule_and_its_fix_ends_it),
        cmocka_unit_test(lint_takes_a_chain_of_50000),
        cmocka_unit_test(plan_tells_what_is_shared_and_freed),
        cmocka_unit_test(plan_follows_lazy_inputs),
        cmocka_unit_test(plan_carries_measured_memory),
        cmocka_unit_test(plan_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
