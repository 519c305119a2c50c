/* fuzz_graph.c - API documents and request bodies: read, checked, linted, planned and written back. */
#include <string.h>

#include "engine/graph/check.h"
#include "engine/graph/comfy_errors.h"
#include "engine/graph/lint.h"
#include "engine/graph/parse_api.h"
#include "engine/graph/plan.h"
#include "tests/fuzz/fuzz.h"

/* Classes with one socket of each kind that the checker treats in its own way. */
/* clang-format off */
static const char *const choices[] = { "a", "b/c", "d", NULL };
static const Socket mixed_in[] = {
    { .name = "i", .type = SOCK_INT, .min = -5, .max = 100 },
    { .name = "seed", .type = SOCK_INT, .flags = SOCK_F_U64, .min = 0, .max = 18446744073709551615.0 },
    { .name = "f", .type = SOCK_FLOAT, .min = 0, .max = 1 },
    { .name = "b", .type = SOCK_BOOLEAN, .flags = SOCK_F_OPTIONAL },
    { .name = "s", .type = SOCK_STRING, .flags = SOCK_F_OPTIONAL },
    { .name = "c", .type = SOCK_COMBO, .options = choices, .flags = SOCK_F_OPTIONAL },
    { .name = "m", .type = SOCK_MODEL, .flags = SOCK_F_OPTIONAL },
    { .name = "x", .type = SOCK_ANY, .flags = SOCK_F_OPTIONAL | SOCK_F_LAZY },
    { 0 },
};
static const Socket model_in[] = { { .name = "m", .type = SOCK_MODEL, .flags = SOCK_F_OPTIONAL }, { 0 } };
static const Socket outputs[] = { { .name = "M", .type = SOCK_MODEL }, { .name = "I", .type = SOCK_INT }, { 0 } };
static const NodeDef defs[] = {
    { .class_type = "A", .inputs = mixed_in, .outputs = outputs, .in_size = 256, .out_size = 64 },
    { .class_type = "P", .inputs = model_in, .outputs = outputs, .stage = STAGE_SAMPLING },
    { .class_type = "L", .inputs = model_in, .outputs = outputs, .stage = STAGE_LORA },
    { .class_type = "O", .inputs = mixed_in, .outputs = outputs, .flags = NODE_F_OUTPUT, .stage = STAGE_SAMPLE },
};
static const NodeDef *const family[] = { &defs[0], &defs[1], &defs[2], &defs[3], NULL };
static const NodeDef *const *const families[] = { family, NULL };
static const NodeTable table = { .families = families };
/* clang-format on */

static void write_back(const Graph *g)
{
    Graph *again = NULL;
    Str text = { 0 };

    graph_write_api(g, &text);
    MUST(!text.failed);
    if (g->count && parse_api(text.text, text.length, &again, NULL) == OK)
        MUST(again->count == g->count);
    graph_free(again);
    str_fini(&text);
}

static void answer(const CheckReport *report)
{
    JsonDoc *doc = NULL;
    Str text = { 0 };

    MUST(comfy_write_refusal(report, NULL, &text, NULL) == OK);
    MUST(json_parse(text.text, text.length, &doc, NULL) == OK);
    json_free(doc);
    str_fini(&text);
}

static void use(Graph *g, const char *const *targets, size_t n_targets)
{
    CheckOptions options = { .table = &table, .targets = targets, .n_targets = n_targets };
    CheckReport *report = NULL;
    Plan *plan = NULL;

    MUST(check_graph(g, &options, &report, NULL) == OK);
    MUST(lint_graph(g, report, NULL) == OK);
    for (int i = 0; i < report->count; i++) {
        Error e;
        finding_error(report, &report->items[i], &e);
        MUST(e.message[0] && e.rule[0]);
    }
    answer(report);
    MUST(plan_graph(g, report, NULL, NULL, &plan, NULL) == OK);
    plan_free(plan);
    check_free(report);
    write_back(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *type;
    PromptRequest request = { 0 };
    Graph *g = NULL;

    if (parse_api(text, size, &g, NULL) == OK) use(g, NULL, 0);
    graph_free(g);
    if (parse_prompt_body(text, size, &request, &type, NULL) == OK)
        use(request.graph, request.targets, request.n_targets);
    else
        MUST(type);
    prompt_request_fini(&request);
    return 0;
}
