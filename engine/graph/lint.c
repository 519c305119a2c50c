/* lint.c - the golden order over chains of MODEL patches. */
#include "engine/graph/lint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

enum { STAGES = STAGE_DECODE + 1, LONGEST_SIGMAS = 1000 };

/* What is known of a node's place in its chain. */
typedef struct Place {
    int up; /* node that gives its MODEL, -1 = none */
    bool done;
    int last[STAGES];   /* nearest node of a stage among it and above it, -1 = none */
    int before[STAGES]; /* the same, strictly above it */
} Place;

typedef struct Lint {
    const Graph *graph;
    CheckReport *report;
    Place *places; /* owned, per node */
    int *stack;    /* owned */
    Error *err;
} Lint;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- looking ----------------------------------------------------------------------------- */

static const GraphNode *node_of(const Lint *l, int node)
{
    return &l->graph->nodes[node];
}

/* The node that feeds the first linked input of a type, -1 = none. */
static int source_of(const Lint *l, int node, SockType type)
{
    const GraphNode *n = node_of(l, node);

    for (const Socket *s = n->def ? n->def->inputs : NULL; s && s->name; s++) {
        const GraphInput *in = s->type == type ? graph_input(n, s->name) : NULL;
        if (in && in->is_link && in->fault == LINK_OK && in->origin >= 0 &&
            l->report->reached[in->origin])
            return in->origin;
    }
    return -1;
}

static const Literal *literal_of(const GraphNode *n, const char *name)
{
    const GraphInput *in = graph_input(n, name);

    return in && !in->is_link ? &in->value : NULL;
}

static bool text_is(const GraphNode *n, const char *name, const char *text)
{
    const Literal *v = literal_of(n, name);

    return v && v->kind == LIT_TEXT && strcmp(v->text, text) == 0;
}

static bool is_flag(const GraphNode *n, const char *name, bool value)
{
    const Literal *v = literal_of(n, name);

    return v && v->kind == LIT_BOOL && v->b == value;
}

static bool is_zero(const GraphNode *n, const char *name)
{
    const Literal *v = literal_of(n, name);

    return v && (v->kind == LIT_INT || v->kind == LIT_FLOAT) && literal_double(v) == 0;
}

/* A patch that leaves the model as it is has no stage. */
static NodeStage stage_of(const GraphNode *n)
{
    if (!n->def) return STAGE_NONE;
    if (n->def->stage == STAGE_ATTENTION && text_is(n, "sage_attention", "disabled"))
        return STAGE_NONE;
    return n->def->stage;
}

/* ---- places in a chain ------------------------------------------------------------------- */

static void set_place(Lint *l, int node)
{
    Place *p = &l->places[node];

    for (int i = 0; i < STAGES; i++)
        p->last[i] = p->before[i] =
            p->up >= 0 && l->places[p->up].done ? l->places[p->up].last[i] : -1;
    p->last[stage_of(node_of(l, node))] = node;
    p->done = true;
}

/* Walks up to a node whose place is known, then down again; a cycle ends the walk. */
static void find_place(Lint *l, int node)
{
    int depth = 0;

    while (node >= 0 && !l->places[node].done) {
        l->stack[depth++] = node;
        l->places[node].done = true; /* met: a cycle stops here */
        l->places[node].up = source_of(l, node, SOCK_MODEL);
        for (int i = 0; i < STAGES; i++)
            l->places[node].last[i] = -1;
        node = l->places[node].up;
    }
    while (depth > 0)
        set_place(l, l->stack[--depth]);
}

/* ---- telling ----------------------------------------------------------------------------- */

static Status tell(Lint *l, const char *rule, Severity severity, int node, const char *input,
                   const char *message, const char *fix)
{
    Error e;

    error_clear(&e);
    error_set(&e, E_USAGE, "%s", message);
    error_fix(&e, "%s", fix);
    snprintf(e.rule, sizeof e.rule, "%s", rule);
    e.severity = severity;
    if (input) error_at_input(&e, input);
    return check_add(l->report, &e, node, l->err);
}

static Status say(Lint *l, const char *rule, Severity severity, int node, const char *input,
                  const char *fix, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

static Status say(Lint *l, const char *rule, Severity severity, int node, const char *input,
                  const char *fix, const char *format, ...)
{
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tell(l, rule, severity, node, input, message, fix);
}

/* ---- rules: each looks at one node that an output needs ---------------------------------- */

/* Two patches of one slot: the later one wins. */
static Status overridden(Lint *l, int node, NodeStage stage, const char *rule, const char *what)
{
    int earlier = l->places[node].before[stage];

    if (stage_of(node_of(l, node)) != stage || earlier < 0) return OK;
    return say(l, rule, SEV_WARNING, earlier, NULL, "remove the earlier one",
               "%s %s is overridden by node %s (%s)", what, node_of(l, earlier)->class_type,
               node_of(l, node)->id, node_of(l, node)->class_type);
}

static Status w301(Lint *l, int node)
{
    return overridden(l, node, STAGE_SAMPLING, "W301", "model sampling");
}

static Status w302(Lint *l, int node)
{
    return overridden(l, node, STAGE_ATTENTION, "W302", "attention override");
}

static Status w303(Lint *l, int node)
{
    return overridden(l, node, STAGE_COMPILE, "W303", "compile setting");
}

/* The node that makes the sigmas: up along SIGMAS links. */
static int sigmas_maker(const Lint *l, int node)
{
    for (int met = 0; met < LONGEST_SIGMAS; met++) {
        int up = source_of(l, node, SOCK_SIGMAS);
        if (up < 0) return node;
        node = up;
    }
    return -1;
}

/* The model that a sampler denoises with: its own, or its guider's. */
static int sampled_model(const Lint *l, int node)
{
    int guider = source_of(l, node, SOCK_GUIDER);

    return source_of(l, guider >= 0 ? guider : node, SOCK_MODEL);
}

static const char *class_or_none(const Lint *l, int node)
{
    return node < 0 ? "no model sampling patch" : node_of(l, node)->class_type;
}

/* W304 and N305: the scheduler reads another branch of the model than the sampler does. */
static Status w304(Lint *l, int node)
{
    int maker, scheduled, sampled = sampled_model(l, node), a, b;

    if (source_of(l, node, SOCK_SIGMAS) < 0 || sampled < 0) return OK;
    maker = sigmas_maker(l, node);
    scheduled = maker < 0 || maker == node ? -1 : source_of(l, maker, SOCK_MODEL);
    if (scheduled < 0 || scheduled == sampled) return OK;
    find_place(l, scheduled);
    find_place(l, sampled);
    a = l->places[scheduled].last[STAGE_SAMPLING];
    b = l->places[sampled].last[STAGE_SAMPLING];
    if (a == b)
        return say(
            l, "N305", SEV_NOTE, maker, "model", "link it to the guider's model",
            "the scheduler reads another model branch (node %s) than the sampler (node %s)",
            node_of(l, scheduled)->id, node_of(l, sampled)->id);
    return say(l, "W304", SEV_WARNING, maker, "model", "link it to the guider's model",
               "sigmas are computed with %s, the sampler uses %s", class_or_none(l, a),
               class_or_none(l, b));
}

static Status w306(Lint *l, int node)
{
    int compile = l->places[node].before[STAGE_COMPILE];

    if (stage_of(node_of(l, node)) != STAGE_LORA || compile < 0) return OK;
    return say(l, "W306", SEV_WARNING, node, NULL,
               "move the compile node to the end of the chain",
               "a LoRA after %s (node %s) forces recompilation; old versions drop it",
               node_of(l, compile)->class_type, node_of(l, compile)->id);
}

/* Attention after sampling; attention or sampling after compile. */
static Status n307(Lint *l, int node)
{
    NodeStage stage = stage_of(node_of(l, node));
    int before = -1;

    if (stage == STAGE_ATTENTION) before = l->places[node].before[STAGE_SAMPLING];
    if ((stage == STAGE_ATTENTION || stage == STAGE_SAMPLING) && before < 0)
        before = l->places[node].before[STAGE_COMPILE];
    if (before < 0) return OK;
    return say(l, "N307", SEV_NOTE, node, NULL, "the plan applies them in the usual order",
               "%s patch after %s (node %s); the usual order is load, LoRA, attention, "
               "sampling, compile",
               stage == STAGE_ATTENTION ? "attention" : "sampling",
               node_of(l, before)->class_type, node_of(l, before)->id);
}

/* Both nodes are in one chain, in either order; told at the attention node. */
static Status e308(Lint *l, int node)
{
    const GraphNode *n = node_of(l, node);
    bool compile = stage_of(n) == STAGE_COMPILE, attention = stage_of(n) == STAGE_ATTENTION;
    int other = compile     ? l->places[node].before[STAGE_ATTENTION]
                : attention ? l->places[node].before[STAGE_COMPILE]
                            : -1;

    if (other < 0) return OK;
    if (!is_flag(node_of(l, compile ? node : other), "fullgraph", true)) return OK;
    if (!is_flag(node_of(l, compile ? other : node), "allow_compile", false)) return OK;
    return say(l, "E308", SEV_ERROR, compile ? node : other, "fullgraph",
               "set fullgraph to false, or allow_compile to true",
               "the attention kernel of node %s (allow_compile is false) breaks the full graph",
               node_of(l, compile ? other : node)->id);
}

/* Whole number of an input, also through one link to a node that only holds it. */
static bool size_of(const Lint *l, const GraphNode *n, const char *name, int64_t *out)
{
    const GraphInput *in = graph_input(n, name);

    if (in && in->is_link && in->fault == LINK_OK && in->origin >= 0) {
        const GraphNode *origin = node_of(l, in->origin);
        in = origin->n_inputs == 1 ? graph_input(origin, "value") : NULL;
    }
    return in && !in->is_link && literal_int64(&in->value, out);
}

static bool read_size(const Lint *l, int node, int64_t *width, int64_t *height)
{
    return node >= 0 && size_of(l, node_of(l, node), "width", width) &&
           size_of(l, node_of(l, node), "height", height);
}

/* The latent that a sampler starts from, when it is an empty one of stated size. */
static int empty_latent(const Lint *l, int node)
{
    int latent = source_of(l, node, SOCK_LATENT);

    return latent >= 0 && source_of(l, latent, SOCK_LATENT) < 0 &&
                   source_of(l, latent, SOCK_IMAGE) < 0
               ? latent
               : -1;
}

static Status compare_size(Lint *l, int node, int64_t width, int64_t height)
{
    int64_t w, h;

    if (!read_size(l, node, &w, &h) || (w == width && h == height)) return OK;
    return say(l, "W309", SEV_WARNING, node, "width", "copy the latent's size",
               "schedule computed for %" PRId64 "x%" PRId64 ", latent is %" PRId64 "x%" PRId64,
               w, h, width, height);
}

static Status w309(Lint *l, int node)
{
    int latent = empty_latent(l, node), model = sampled_model(l, node), maker;
    int64_t width, height;

    if (stage_of(node_of(l, node)) != STAGE_SAMPLE || !read_size(l, latent, &width, &height))
        return OK;
    maker = sigmas_maker(l, node);
    if (maker >= 0 && maker != node) TRY(compare_size(l, maker, width, height));
    if (model < 0) return OK;
    find_place(l, model);
    model = l->places[model].last[STAGE_SAMPLING];
    return model < 0 ? OK : compare_size(l, model, width, height);
}

static Status n310(Lint *l, int node)
{
    int sampling = l->places[node].before[STAGE_SAMPLING];

    if (stage_of(node_of(l, node)) != STAGE_LORA || sampling < 0) return OK;
    return say(l, "N310", SEV_NOTE, node, NULL, "",
               "LoRA after %s (node %s): harmless, unusual order",
               node_of(l, sampling)->class_type, node_of(l, sampling)->id);
}

static Status zero_strength(Lint *l, int node)
{
    const GraphNode *n = node_of(l, node);

    if (!is_zero(n, "strength_model")) return OK;
    if (graph_input(n, "strength_clip") && !is_zero(n, "strength_clip")) return OK;
    return say(l, "W311", SEV_WARNING, node, "strength_model", "remove the node",
               "strength 0 has no effect");
}

static Status w311(Lint *l, int node)
{
    const Literal *file = literal_of(node_of(l, node), "lora_name");
    int up = l->places[node].before[STAGE_LORA];

    if (stage_of(node_of(l, node)) != STAGE_LORA) return OK;
    TRY(zero_strength(l, node));
    for (int i = 0; file && file->kind == LIT_TEXT && up >= 0 && i < LINT_MAX_LORAS; i++) {
        if (text_is(node_of(l, up), "lora_name", file->text))
            return say(
                l, "W311", SEV_WARNING, node, "lora_name", "remove one, or add the strengths",
                "%.200s is applied twice (also by node %s)", file->text, node_of(l, up)->id);
        up = l->places[up].before[STAGE_LORA];
    }
    return OK;
}

/* ---- all rules --------------------------------------------------------------------------- */

static Status (*const rules[])(Lint *l, int node) = { w301, w302, w303, w304, w306,
                                                      n307, e308, w309, n310, w311 };

static Status lint_node(Lint *l, int node)
{
    find_place(l, node);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        TRY(rules[i](l, node));
    return OK;
}

Status lint_graph(const Graph *g, CheckReport *report, Error *err)
{
    Lint l = { .graph = g, .report = report, .err = err };
    Status status = OK;

    l.places = mem_calloc((size_t)g->count + 1, sizeof *l.places);
    l.stack = mem_alloc_array((size_t)g->count + 1, sizeof *l.stack);
    if (!l.places || !l.stack) {
        status = no_memory(err);
        goto done;
    }
    for (int i = 0; i < g->count; i++)
        if (report->reached[i] && g->nodes[i].def) TRY_DONE(lint_node(&l, i));
done:
    mem_free(l.places);
    mem_free(l.stack);
    return status;
}
