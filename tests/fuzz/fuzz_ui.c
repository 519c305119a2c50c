/* fuzz_ui.c - documents of any kind: lowered to a graph, checked, linted and written back. */
#include <string.h>

#include "engine/graph/check.h"
#include "engine/graph/lint.h"
#include "engine/graph/parse_ui.h"
#include "tests/fuzz/fuzz.h"

/* clang-format off */
static const char *const words[] = { "a", "b", "c", NULL };
static const Socket more_in[] = { { .name = "w", .type = SOCK_INT, .def = 8, .min = 0, .max = 64, .step = 8 },
    { .name = "p", .type = SOCK_IMAGE, .flags = SOCK_F_OPTIONAL }, { 0 } };
static const SocketKey keys[] = { { "a", more_in }, { "b", NULL }, { NULL, NULL } };
static const Socket all_in[] = {
    { .name = "image", .type = SOCK_IMAGE, .flags = SOCK_F_OPTIONAL },
    { .name = "any", .type = SOCK_ANY, .flags = SOCK_F_OPTIONAL },
    { .name = "seed", .type = SOCK_INT, .flags = SOCK_F_U64 | SOCK_F_CONTROL, .max = 18446744073709551615.0 },
    { .name = "f", .type = SOCK_FLOAT, .def = 1, .min = -1, .max = 9, .step = 0.1, .round = 0.01 },
    { .name = "forced", .type = SOCK_STRING, .flags = SOCK_F_FORCE_INPUT | SOCK_F_OPTIONAL },
    { .name = "text", .type = SOCK_STRING, .flags = SOCK_F_DYNAMIC_PROMPTS },
    { .name = "list", .type = SOCK_COMBO, .options = words },
    { .name = "kind", .type = SOCK_OTHER, .type_name = "COMFY_DYNAMICCOMBO_V3", .options = words, .keys = keys },
    { .name = "on", .type = SOCK_BOOLEAN, .def = 1 },
    { 0 },
};
static const Socket save_in[] = { { .name = "images", .type = SOCK_IMAGE },
    { .name = "filename_prefix", .type = SOCK_STRING, .sdef = "x" }, { 0 } };
static const Socket outputs[] = { { .name = "IMAGE", .type = SOCK_IMAGE }, { .name = "INT", .type = SOCK_INT }, { 0 } };
static const Socket none[] = { { 0 } };
static const NodeDef known[] = {
    { .class_type = "A", .inputs = all_in, .outputs = outputs },
    { .class_type = "CustomCombo", .inputs = none, .outputs = outputs },
    { .class_type = "ImageCompare", .inputs = none, .outputs = none, .flags = NODE_F_OUTPUT },
    { .class_type = "SaveImage", .inputs = save_in, .outputs = none, .flags = NODE_F_OUTPUT },
};
static const NodeTable table = { .known = known, .n_known = 4 };
/* clang-format on */

static void use(Graph *g)
{
    CheckOptions options = { .table = &table };
    CheckReport *report = NULL;
    Graph *again = NULL;
    Str text = { 0 };

    graph_write_api(g, &text);
    MUST(!text.failed);
    if (g->count && parse_api(text.text, text.length, &again, NULL) == OK)
        MUST(again->count == g->count);
    graph_free(again);
    str_fini(&text);
    MUST(check_graph(g, &options, &report, NULL) == OK);
    MUST(lint_graph(g, report, NULL) == OK);
    for (int i = 0; i < report->count; i++) {
        Error e;
        finding_error(report, &report->items[i], &e);
        MUST(e.message[0] && e.rule[0]);
    }
    check_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tm now = { .tm_year = 126, .tm_mon = 10, .tm_mday = 21 };
    const UiOptions options = { .table = &table, .choice_seed = size, .now = &now };
    Graph *g = NULL;
    Error err = { 0 };

    if (parse_document((const char *)data, size, &options, &g, &err) == OK)
        use(g);
    else
        MUST(err.message[0]);
    graph_free(g);
    return 0;
}
