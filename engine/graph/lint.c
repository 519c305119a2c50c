/* lint.c - the golden order over chains of MODEL patches. */
#include "engine/graph/lint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/lint_internal.h"
#include "engine/graph/rules.h"

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- looking ----------------------------------------------------------------------------- */

const GraphNode *lint_at(const Lint *l, int node)
{
    return &l->graph->nodes[node];
}

static int origin_of(const Lint *l, const GraphInput *in)
{
    bool good = in && in->is_link && in->fault == LINK_OK && in->origin >= 0;

    return good && lint_at(l, in->origin)->class_type ? in->origin : -1;
}

static int linked_source(const Lint *l, int node, SockType type, const GraphInput **out)
{
    const GraphNode *n = lint_at(l, node);

    for (const Socket *s = n->def ? n->def->inputs : NULL; s && s->name; s++) {
        const GraphInput *in = s->type == type ? graph_input(n, s->name) : NULL;
        int origin = origin_of(l, in);
        if (origin < 0 || !graph_output_fits(lint_at(l, origin), in->slot, s))
            continue; /* E203 tells of it; what lies behind says nothing about this input */
        if (out) *out = in;
        return origin;
    }
    return -1;
}

static int if_reached(const Lint *l, int node)
{
    return node >= 0 && l->report->reached[node] ? node : -1;
}

int lint_source(const Lint *l, int node, SockType type, const GraphInput **out)
{
    return if_reached(l, linked_source(l, node, type, out));
}

int lint_source_named(const Lint *l, int node, const char *name)
{
    return if_reached(l, origin_of(l, graph_input(lint_at(l, node), name)));
}

const Literal *lint_literal(const GraphNode *n, const char *name)
{
    const GraphInput *in = graph_input(n, name);

    return in && !in->is_link ? &in->value : NULL;
}

bool lint_text_is(const GraphNode *n, const char *name, const char *text)
{
    const Literal *v = lint_literal(n, name);

    return v && v->kind == LIT_TEXT && strcmp(v->text, text) == 0;
}

/* A switch that the file leaves out stands as its class has it. */
static bool is_flag(const GraphNode *n, const char *name, bool value)
{
    const Literal *v = lint_literal(n, name);
    const Socket *s = n->def ? node_input(n->def, name, NULL) : NULL;

    if (v) return v->kind == LIT_BOOL && v->b == value;
    return s && !graph_input(n, name) && s->type == SOCK_BOOLEAN && (s->def != 0) == value;
}

static bool is_zero(const GraphNode *n, const char *name)
{
    const Literal *v = lint_literal(n, name);

    return v && (v->kind == LIT_INT || v->kind == LIT_FLOAT) && literal_double(v) == 0;
}

/* A patch that leaves the model as it is has no stage. */
NodeStage lint_stage(const GraphNode *n)
{
    if (!n->def) return STAGE_NONE;
    if (n->def->stage == STAGE_ATTENTION && lint_text_is(n, "sage_attention", "disabled"))
        return STAGE_NONE;
    return n->def->stage;
}

static bool gives(const GraphNode *n, SockType type)
{
    for (int i = 0; i < node_output_count(n->def); i++)
        if (n->def->outputs[i].type == type) return true;
    return false;
}

/* ---- places in a chain ------------------------------------------------------------------- */

/* A class may take and give anything, as packs declare what only stands in for an old class of theirs: with
 * one thing linked, that is what it hands on. Of an unknown class its input's name tells, and above it the
 * chain goes on although nothing there is checked: what is below must not seem to lack what is above. */
static int model_above(const Lint *l, int node)
{
    const GraphNode *n = lint_at(l, node);
    int up = linked_source(l, node, SOCK_MODEL, NULL), linked = 0;

    if (!n->def) return origin_of(l, graph_input(n, "model"));
    if (up >= 0 || !gives(n, SOCK_ANY)) return up;
    for (const Socket *s = n->def->inputs; s && s->name; s++) {
        const GraphInput *in = s->type == SOCK_ANY ? graph_input(n, s->name) : NULL;
        linked += in && in->is_link;
    }
    return linked == 1 ? linked_source(l, node, SOCK_ANY, NULL) : -1;
}

static void set_place(Lint *l, int node)
{
    Place *p = &l->places[node];

    for (int i = 0; i < STAGES; i++)
        p->last[i] = p->before[i] =
            p->up >= 0 && l->places[p->up].done ? l->places[p->up].last[i] : -1;
    p->last[lint_stage(lint_at(l, node))] = node;
    p->root = p->up >= 0 && l->places[p->up].done ? l->places[p->up].root : node;
    p->done = true;
}

/* Walks up to a node whose place is known, then down again; a cycle ends the walk. */
void lint_place(Lint *l, int node)
{
    int depth = 0;

    while (node >= 0 && !l->places[node].done) {
        l->stack[depth++] = node;
        l->places[node].done = true; /* met: a cycle stops here */
        l->places[node].root = node;
        l->places[node].up = model_above(l, node);
        for (int i = 0; i < STAGES; i++)
            l->places[node].last[i] = -1;
        node = l->places[node].up;
    }
    while (depth > 0)
        set_place(l, l->stack[--depth]);
}

/* ---- telling ----------------------------------------------------------------------------- */

Status lint_say(Lint *l, const char *rule, int node, const char *input, const char *fix,
                Finding **out, const char *format, ...)
{
    const GraphInput *in = input && node >= 0 ? graph_input(lint_at(l, node), input) : NULL;
    char message[512];
    va_list args;
    Finding *f;
    Error e;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    error_clear(&e);
    error_set(&e, E_USAGE, "%s", message);
    error_fix(&e, "%s", fix);
    snprintf(e.rule, sizeof e.rule, "%s", rule);
    e.severity = rule_find(rule)->severity;
    if (input) error_at_input(&e, input);
    if (in && in->source) e.offset = json_offset(in->source);
    TRY(check_add(l->report, &e, node, l->err));
    f = &l->report->items[l->report->count - 1];
    if (in && in->source) f->source = in->source;
    f->at = in;
    if (out) *out = f;
    return OK;
}

Status lint_want(Lint *l, Finding *f, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    f->want = arena_strdup(l->report->arena, text);
    return f->want ? OK : no_memory(l->err);
}

bool lint_once(Lint *l, const char *rule, int node)
{
    uint64_t bit = UINT64_C(1) << (rule_index(rule) % 64);
    bool first = !(l->told[node] & bit);

    l->told[node] |= bit;
    return first;
}

/* ---- rules: each looks at one node that an output needs ---------------------------------- */

/* Nobody but the chain itself reads the model between two nodes of it. */
static bool is_alone(const Lint *l, int later, int earlier)
{
    for (int n = l->places[later].up; n >= 0; n = l->places[n].up) {
        if (l->readers[n] != 1) return false;
        if (n == earlier) return true;
    }
    return false;
}

/* Two patches of one slot: the later one wins. */
static Status overridden(Lint *l, int node, NodeStage stage, const char *rule, const char *what)
{
    int earlier = l->places[node].before[stage];
    Finding *f;

    if (lint_stage(lint_at(l, node)) != stage || earlier < 0) return OK;
    if (!lint_once(l, rule, earlier)) return OK;
    TRY(lint_say(l, rule, earlier, NULL, "remove the earlier one", &f,
                 "%s %s is overridden by node %s (%s)", what, lint_at(l, earlier)->class_type,
                 lint_at(l, node)->id, lint_at(l, node)->class_type));
    if (is_alone(l, node, earlier)) f->other = node;
    return OK;
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
        int up = lint_source(l, node, SOCK_SIGMAS, NULL);
        if (up < 0) return node;
        node = up;
    }
    return -1;
}

int lint_sampled_model(const Lint *l, int node, int *holder)
{
    int guider = lint_source(l, node, SOCK_GUIDER, NULL);

    if (guider >= 0) node = guider;
    if (holder) *holder = node;
    return lint_source(l, node, SOCK_MODEL, NULL);
}

static const char *class_or_none(const Lint *l, int node)
{
    return node < 0 ? "no model sampling patch" : lint_at(l, node)->class_type;
}

static bool same_value(const GraphInput *a, const GraphInput *b)
{
    Str x = { 0 }, y = { 0 };
    bool same;

    if (!b || a->is_link != b->is_link) return false;
    if (a->is_link) return a->origin == b->origin && a->slot == b->slot;
    literal_write_json(&x, &a->value);
    literal_write_json(&y, &b->value);
    same = !x.failed && !y.failed && strcmp(x.text, y.text) == 0;
    str_fini(&x);
    str_fini(&y);
    return same;
}

/* One node, or two of the same class and settings; -1 is the bare model. */
static bool same_patch(const Lint *l, int a, int b)
{
    const GraphNode *x, *y;

    if (a == b) return true;
    if (a < 0 || b < 0) return false;
    x = lint_at(l, a);
    y = lint_at(l, b);
    if (strcmp(x->class_type, y->class_type) != 0 || x->n_inputs != y->n_inputs) return false;
    for (int i = 0; i < x->n_inputs; i++)
        if (strcmp(x->inputs[i].name, "model") != 0 &&
            !same_value(&x->inputs[i], graph_input(y, x->inputs[i].name)))
            return false;
    return true;
}

/* W304 and N305: the scheduler reads another branch of the model than the sampler does. */
static Status w304(Lint *l, int node)
{
    int maker, scheduled, holder, sampled = lint_sampled_model(l, node, &holder), a, b;
    Finding *f;

    if (lint_source(l, node, SOCK_SIGMAS, NULL) < 0 || sampled < 0) return OK;
    maker = sigmas_maker(l, node);
    scheduled = maker < 0 || maker == node ? -1 : lint_source(l, maker, SOCK_MODEL, NULL);
    if (scheduled < 0 || scheduled == sampled || !lint_once(l, "W304", maker)) return OK;
    lint_place(l, scheduled);
    lint_place(l, sampled);
    a = l->places[scheduled].last[STAGE_SAMPLING];
    b = l->places[sampled].last[STAGE_SAMPLING];
    if (same_patch(l, a, b))
        TRY(lint_say(
            l, "N305", maker, "model", "link it to the guider's model", &f,
            "the scheduler reads another model branch (node %s) than the sampler (node %s)",
            lint_at(l, scheduled)->id, lint_at(l, sampled)->id));
    else
        TRY(lint_say(l, "W304", maker, "model", "link it to the guider's model", &f,
                     "sigmas are computed with %s, the sampler uses %s", class_or_none(l, a),
                     class_or_none(l, b)));
    f->other = holder;
    return OK;
}

/* The first node of a stage above, of two stages the nearer one does not matter. */
static int above(const Lint *l, int node, NodeStage a, NodeStage b)
{
    int found = l->places[node].before[a];

    return found >= 0 ? found : l->places[node].before[b];
}

static Status w306(Lint *l, int node)
{
    int compile = l->places[node].before[STAGE_COMPILE];
    NodeStage stage = lint_stage(lint_at(l, node));
    Finding *f;

    if ((stage != STAGE_LORA && stage != STAGE_BLOCKS) || compile < 0) return OK;
    TRY(lint_say(l, "W306", node, NULL, "move the compile node to the end of the chain", &f,
                 "a %s after %s (node %s) forces recompilation; old versions drop it",
                 stage == STAGE_LORA ? "LoRA" : "block patch", lint_at(l, compile)->class_type,
                 lint_at(l, compile)->id));
    f->other = compile;
    return OK;
}

/* What stands above although it belongs below; -1 = nothing. */
static int out_of_order(const Lint *l, int node, NodeStage stage)
{
    switch (stage) {
    case STAGE_LORA:
        return l->places[node].before[STAGE_ATTENTION];
    case STAGE_ATTENTION:
        return above(l, node, STAGE_SAMPLING, STAGE_COMPILE);
    case STAGE_SAMPLING:
        return l->places[node].before[STAGE_COMPILE];
    case STAGE_COMPILE:
        return l->places[node].before[STAGE_CACHE];
    default:
        return -1;
    }
}

static Status n307(Lint *l, int node)
{
    NodeStage stage = lint_stage(lint_at(l, node));
    int before = out_of_order(l, node, stage);
    Finding *f;

    if (before < 0) return OK;
    TRY(lint_say(l, "N307", node, NULL, "the plan applies them in the usual order", &f,
                 "%s after %s (node %s); the usual order is load, LoRA, attention, sampling, "
                 "compile, step cache",
                 lint_at(l, node)->class_type, lint_at(l, before)->class_type,
                 lint_at(l, before)->id));
    f->other = before;
    return OK;
}

/* Looked at where the model is used, since a later node of a kind takes the earlier one's place; told at the
 * compile node. */
static Status e308(Lint *l, int node)
{
    const GraphNode *n = lint_at(l, node);
    int model = lint_source(l, node, SOCK_MODEL, NULL), compiler, kernel;
    Finding *f;

    if (model < 0 || gives(n, SOCK_MODEL) || gives(n, SOCK_SIGMAS)) return OK;
    lint_place(l, model);
    compiler = l->places[model].last[STAGE_COMPILE];
    kernel = l->places[model].last[STAGE_ATTENTION];
    if (compiler < 0 || kernel < 0) return OK;
    if (!is_flag(lint_at(l, compiler), "fullgraph", true)) return OK;
    if (!is_flag(lint_at(l, kernel), "allow_compile", false)) return OK;
    if (!lint_once(l, "E308", compiler)) return OK;
    TRY(lint_say(
        l, "E308", compiler, "fullgraph", "set fullgraph to false, or allow_compile to true",
        &f, "the attention kernel of node %s (allow_compile is false) breaks the full graph",
        lint_at(l, kernel)->id));
    return lint_want(l, f, "false");
}

/* The input that holds a value: the own one, or that of the node that only holds it. */
static const GraphInput *holding(const Lint *l, const GraphNode *n, const char *name)
{
    const GraphInput *in = graph_input(n, name);

    if (in && in->is_link && in->fault == LINK_OK && in->origin >= 0) {
        const GraphNode *origin = lint_at(l, in->origin);
        in = origin->n_inputs == 1 ? graph_input(origin, "value") : NULL;
    }
    return in && !in->is_link ? in : NULL;
}

bool lint_whole(const Lint *l, const GraphNode *n, const char *name, int64_t *out)
{
    const GraphInput *in = holding(l, n, name);

    return in && literal_int64(&in->value, out);
}

bool lint_number(const Lint *l, const GraphNode *n, const char *name, double *out)
{
    const GraphInput *in = holding(l, n, name);

    if (!in || (in->value.kind != LIT_INT && in->value.kind != LIT_FLOAT)) return false;
    *out = literal_double(&in->value);
    return true;
}

static bool read_size(const Lint *l, int node, int64_t *width, int64_t *height)
{
    return node >= 0 && lint_whole(l, lint_at(l, node), "width", width) &&
           lint_whole(l, lint_at(l, node), "height", height);
}

int lint_empty_latent(const Lint *l, int node)
{
    int latent = lint_source(l, node, SOCK_LATENT, NULL);

    return latent >= 0 && lint_source(l, latent, SOCK_LATENT, NULL) < 0 &&
                   lint_source(l, latent, SOCK_IMAGE, NULL) < 0
               ? latent
               : -1;
}

static Status compare_size(Lint *l, int node, int latent, int64_t width, int64_t height)
{
    int64_t w, h;
    Finding *f;

    if (!read_size(l, node, &w, &h) || (w == width && h == height)) return OK;
    if (!lint_once(l, "W309", node)) return OK;
    TRY(lint_say(l, "W309", node, w == width ? "height" : "width", "copy the latent's size", &f,
                 "schedule computed for %" PRId64 "x%" PRId64 ", latent is %" PRId64
                 "x%" PRId64,
                 w, h, width, height));
    f->other = latent;
    return OK;
}

static Status w309(Lint *l, int node)
{
    int latent = lint_empty_latent(l, node), model = lint_sampled_model(l, node, NULL), maker;
    int64_t width, height;

    if (lint_stage(lint_at(l, node)) != STAGE_SAMPLE || !read_size(l, latent, &width, &height))
        return OK;
    maker = sigmas_maker(l, node);
    if (maker >= 0 && maker != node) TRY(compare_size(l, maker, latent, width, height));
    if (model < 0) return OK;
    lint_place(l, model);
    model = l->places[model].last[STAGE_SAMPLING];
    return model < 0 ? OK : compare_size(l, model, latent, width, height);
}

static Status n310(Lint *l, int node)
{
    int sampling = l->places[node].before[STAGE_SAMPLING];

    if (lint_stage(lint_at(l, node)) != STAGE_LORA || sampling < 0) return OK;
    return lint_say(l, "N310", node, NULL, "", NULL,
                    "LoRA after %s (node %s): harmless, unusual order",
                    lint_at(l, sampling)->class_type, lint_at(l, sampling)->id);
}

static Status zero_strength(Lint *l, int node)
{
    const GraphNode *n = lint_at(l, node);
    Finding *f;

    if (!is_zero(n, "strength_model")) return OK;
    if (graph_input(n, "strength_clip") && !is_zero(n, "strength_clip")) return OK;
    TRY(lint_say(l, "W311", node, "strength_model", "remove the node", &f,
                 "strength 0 has no effect"));
    f->other = node;
    return OK;
}

static Status w311(Lint *l, int node)
{
    const Literal *file = lint_literal(lint_at(l, node), "lora_name");
    int up = l->places[node].before[STAGE_LORA];

    if (lint_stage(lint_at(l, node)) != STAGE_LORA) return OK;
    TRY(zero_strength(l, node));
    if (is_zero(lint_at(l, node), "strength_model")) return OK;
    for (int i = 0; file && file->kind == LIT_TEXT && up >= 0 && i < LINT_MAX_LORAS; i++) {
        if (lint_text_is(lint_at(l, up), "lora_name", file->text) &&
            !is_zero(lint_at(l, up), "strength_model"))
            return lint_say(l, "W311", node, "lora_name", "remove one, or add the strengths",
                            NULL, "%.200s is applied twice (also by node %s)", file->text,
                            lint_at(l, up)->id);
        up = l->places[up].before[STAGE_LORA];
    }
    return OK;
}

/* ---- all rules --------------------------------------------------------------------------- */

static Status (*const rules[])(Lint *l, int node) = { w301, w302, w303, w304, w306,       n307,
                                                      e308, w309, n310, w311, lint_models };

/* How many inputs read each node's model. */
static void count_readers(Lint *l)
{
    const Graph *g = l->graph;

    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) {
            const GraphInput *in = &g->nodes[i].inputs[k];
            const GraphNode *from =
                in->is_link && in->origin >= 0 ? &g->nodes[in->origin] : NULL;
            int slot;
            if (from && from->def && graph_slot(from, in->slot, &slot) &&
                from->def->outputs[slot].type == SOCK_MODEL)
                l->readers[in->origin]++;
        }
}

static Status lint_node(Lint *l, int node)
{
    lint_place(l, node);
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
    l.told = mem_calloc((size_t)g->count + 1, sizeof *l.told);
    l.readers = mem_calloc((size_t)g->count + 1, sizeof *l.readers);
    if (!l.places || !l.stack || !l.told || !l.readers) {
        status = no_memory(err);
        goto done;
    }
    count_readers(&l);
    for (int i = 0; i < g->count; i++)
        if (report->reached[i] && g->nodes[i].def) TRY_DONE(lint_node(&l, i));
done:
    mem_free(l.places);
    mem_free(l.stack);
    mem_free(l.told);
    mem_free(l.readers);
    return status;
}
