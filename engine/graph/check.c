/* check.c - finds everything that is wrong with a graph before anything runs. */
#include "engine/graph/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/base/mem.h"
#include "engine/graph/check_internal.h"

/* clang-format off */
static const struct KindFacts {
    const char *rule;
    Severity severity;
    Status status;
    const char *comfy;
} kinds[FINDING_KINDS] = {
#define FINDING_FACTS(name, rule, severity, status, comfy) { rule, severity, status, comfy },
    FINDING_MAP(FINDING_FACTS)
#undef FINDING_FACTS
};
/* clang-format on */

enum {
    HIDDEN = SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID,
    SHOWN_CYCLE = 100
};

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- findings ---------------------------------------------------------------------------- */

static Status grow(CheckReport *r, Error *err)
{
    int capacity = r->capacity ? r->capacity * 2 : 16;
    Finding *items;

    if (r->count < r->capacity) return OK;
    items = mem_realloc(r->items, (size_t)capacity * sizeof *items);
    if (!items) return no_memory(err);
    r->items = items;
    r->capacity = capacity;
    return OK;
}

static void count_severity(CheckReport *r, Severity severity)
{
    if (severity == SEV_ERROR)
        r->errors++;
    else if (severity == SEV_WARNING)
        r->warnings++;
    else
        r->notes++;
}

static Status add(CheckReport *r, FindingKind kind, Severity severity, Finding **out,
                  Error *err)
{
    TRY(grow(r, err));
    count_severity(r, severity);
    *out = &r->items[r->count++];
    **out = (Finding){ .kind = kind,
                       .severity = severity,
                       .rule = kinds[kind].rule,
                       .node = -1,
                       .other = -1,
                       .message = "",
                       .fix = "",
                       .offset = -1 };
    return OK;
}

Status check_find(Check *c, FindingKind kind, int node, const GraphInput *at, Finding **out)
{
    TRY(add(c->report, kind, kinds[kind].severity, out, c->err));
    (*out)->node = node;
    if (node >= 0) (*out)->offset = c->graph->nodes[node].offset;
    if (node >= 0) (*out)->source = c->graph->nodes[node].source;
    if (!at) return OK;
    (*out)->at = at;
    (*out)->input = at->name;
    if (!at->source) return OK;
    (*out)->source = at->source;
    (*out)->offset = json_offset(at->source);
    return OK;
}

Status check_say(Check *c, const char **field, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *field = arena_strdup(c->report->arena, text);
    if (*field) return OK;
    *field = "";
    return no_memory(c->err);
}

const char *check_show(Check *c, const Literal *v)
{
    const char *text;
    size_t n;

    str_clear(&c->text);
    literal_write_repr(&c->text, v);
    if (c->text.failed) return "";
    n = c->text.length;
    if (n <= SHOWN_VALUE) {
        text = arena_strdup(c->report->arena, c->text.text);
    } else {
        for (n = SHOWN_VALUE; n > 0 && ((unsigned char)c->text.text[n] & 0xC0) == 0x80;)
            n--;
        text = arena_printf(c->report->arena, "%.*s...", (int)n, c->text.text);
    }
    return text ? text : "";
}

Status check_add(CheckReport *report, const Error *finding, int node, Error *err)
{
    Error *copy = arena_alloc(report->arena, sizeof *copy);
    Finding *f;

    if (!copy) return no_memory(err);
    *copy = *finding;
    TRY(add(report, FIND_LINT, finding->severity, &f, err));
    f->rule = copy->rule;
    f->node = node;
    f->input = copy->input[0] ? copy->input : NULL;
    f->message = copy->message;
    f->fix = copy->fix;
    f->error = copy;
    f->offset = copy->offset;
    if (node >= 0) f->source = report->graph->nodes[node].source;
    if (f->offset < 0 && node >= 0) f->offset = report->graph->nodes[node].offset;
    return OK;
}

static void copy_text(char *to, size_t size, const char *from)
{
    if (from) snprintf(to, size, "%s", from);
}

static void place(const CheckReport *report, const Finding *f, Error *out)
{
    const GraphNode *n = f->node >= 0 ? &report->graph->nodes[f->node] : NULL;

    if (n) {
        error_at_node(out, n->id, n->class_type);
        if (!out->title[0]) copy_text(out->title, sizeof out->title, n->title);
    }
    error_at_input(out, f->input);
    if (out->offset < 0) out->offset = f->offset;
    if (out->offset >= 0 && !out->line && report->graph->doc)
        json_line_column(report->graph->doc, out->offset, &out->line, &out->column);
}

void finding_error(const CheckReport *report, const Finding *f, Error *out)
{
    if (f->error) {
        *out = *f->error;
    } else {
        error_set(out, kinds[f->kind].status, "%s", f->message);
        error_fix(out, "%s", f->fix);
        copy_text(out->rule, sizeof out->rule, f->rule);
    }
    out->severity = f->severity;
    place(report, f, out);
}

const char *finding_comfy_type(const Finding *f)
{
    return kinds[f->kind].comfy[0] ? kinds[f->kind].comfy : NULL;
}

/* ---- notes of the parsers, classes ------------------------------------------------------- */

static Status take_notes(Check *c)
{
    for (const GraphNote *n = c->graph->notes; n; n = n->next) {
        Finding *f;
        TRY(check_add(c->report, &n->error,
                      n->error.node[0] ? graph_find(c->graph, n->error.node) : -1, c->err));
        f = &c->report->items[c->report->count - 1];
        f->kind = FIND_PARSER;
        f->source = n->source;
    }
    return OK;
}

/* Names of all classes; one may stand twice, which does not matter for guessing. */
static Status list_classes(Check *c)
{
    const NodeTable *t = c->options->table;
    size_t n = t->n_extra + (t->known ? t->n_known : 0);

    if (c->class_names) return OK;
    for (const NodeDef *const *const *family = t->families; family && *family; family++)
        for (const NodeDef *const *def = *family; *def; def++)
            n++;
    c->class_names = arena_array(c->report->arena, n + 1, sizeof *c->class_names);
    if (!c->class_names) return no_memory(c->err);
    for (const NodeDef *const *const *family = t->families; family && *family; family++)
        for (const NodeDef *const *def = *family; *def; def++)
            c->class_names[c->n_classes++] = (*def)->class_type;
    for (size_t i = 0; i < t->n_extra; i++)
        c->class_names[c->n_classes++] = t->extra[i]->class_type;
    for (size_t i = 0; t->known && i < t->n_known; i++)
        c->class_names[c->n_classes++] = t->known[i].class_type;
    return OK;
}

/* Each name is looked for once. */
static Status nearest_class(Check *c, const char *name, const char **out)
{
    static const char none[] = "";

    *out = map_get(&c->nearest, name);
    if (!*out) {
        if (++c->guesses > GUESSES_MAX) return OK;
        TRY(list_classes(c));
        *out = str_nearest(name, c->class_names, c->n_classes);
        if (!*out) *out = none;
        if (!map_put(&c->nearest, name, (void *)(uintptr_t)*out)) return no_memory(c->err);
    }
    if (*out == none) *out = NULL;
    return OK;
}

static Status unknown_class(Check *c, int node)
{
    const GraphNode *n = &c->graph->nodes[node];
    const char *nearest;
    Finding *f;

    TRY(check_find(c, FIND_UNKNOWN_CLASS, node, NULL, &f));
    TRY(check_say(c, &f->message, "unknown node class %.80s", n->class_type));
    TRY(nearest_class(c, n->class_type, &nearest));
    if (nearest && strcasecmp(nearest, n->class_type) == 0) f->want = nearest;
    if (nearest) return check_say(c, &f->fix, "did you mean %s?", nearest);
    return check_say(c, &f->fix, "`weft nodes` lists the classes that are known");
}

static Status no_class(Check *c, int node)
{
    Finding *f;

    TRY(check_find(c, FIND_NO_CLASS, node, NULL, &f));
    if (c->graph->nodes[node].raw_class)
        TRY(check_say(c, &f->message, "class_type is not a text"));
    else
        TRY(check_say(c, &f->message, "the node has no class_type"));
    return check_say(c, &f->fix, "export the workflow again in API format");
}

static Status check_classes(Check *c)
{
    for (int i = 0; i < c->graph->count; i++) {
        const GraphNode *n = &c->graph->nodes[i];
        if (!n->class_type)
            TRY(no_class(c, i));
        else if (!n->def)
            TRY(unknown_class(c, i));
    }
    return OK;
}

/* ---- outputs ----------------------------------------------------------------------------- */

static bool is_chosen(const CheckOptions *o, const char *id)
{
    for (size_t i = 0; i < o->n_targets; i++)
        if (strcmp(o->targets[i], id) == 0) return true;
    return !o->targets;
}

static bool is_output(const GraphNode *n)
{
    return n->def && n->def->flags & NODE_F_OUTPUT;
}

static Status collect_outputs(Check *c)
{
    CheckReport *r = c->report;
    Finding *f;

    for (int i = 0; i < c->graph->count; i++)
        if (is_output(&c->graph->nodes[i]) && is_chosen(c->options, c->graph->nodes[i].id))
            r->outputs[r->n_outputs++] = i;
    if (r->n_outputs) return OK;
    TRY(check_find(c, FIND_NO_OUTPUT, -1, NULL, &f));
    TRY(check_say(c, &f->message, "nothing to run: no output node"));
    return check_say(c, &f->fix, "add a node that keeps its result, such as SaveImage");
}

/* ---- the walk ---------------------------------------------------------------------------- */

enum { UNSEEN, OPEN, CLOSED };

typedef struct Frame {
    int node;
    const Socket *next; /* input to look at next; NULL = none */
    bool bad;           /* wrong here, or above */
    int errors_before;
} Frame;

typedef struct Walk {
    Frame *stack;         /* owned; one per node is enough */
    unsigned char *state; /* owned */
    bool *in_cycle;       /* owned */
    int depth;
} Walk;

static Status report_cycle(Check *c, Walk *w, int origin)
{
    int first = w->depth - 1, n, *ids;
    Finding *f;

    if (w->in_cycle[origin]) return OK;
    while (w->stack[first].node != origin)
        first--;
    for (int i = first; i < w->depth; i++)
        w->in_cycle[w->stack[i].node] = true;
    n = w->depth - first < SHOWN_CYCLE ? w->depth - first : SHOWN_CYCLE;
    ids = arena_array(c->report->arena, (size_t)n, sizeof *ids);
    if (!ids) return no_memory(c->err);
    for (int i = 0; i < n; i++)
        ids[i] = w->stack[first + i].node;
    TRY(check_find(c, FIND_CYCLE, origin, NULL, &f));
    f->cycle = ids;
    f->n_cycle = n;
    str_clear(&c->text);
    for (int i = 0; i < n && c->text.length < 300; i++)
        str_printf(&c->text, "%s <- ", c->graph->nodes[ids[i]].id);
    TRY(check_say(c, &f->message, "dependency cycle: %s%s", c->text.failed ? "" : c->text.text,
                  c->graph->nodes[origin].id));
    return check_say(c, &f->fix, "cut one of these links");
}

/* "resize_type.width" belongs to the socket before the dot, when that one brings inputs along. */
static bool is_input(const NodeDef *def, const char *name)
{
    const char *dot = strchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) : 0;

    if (node_input(def, name, NULL)) return true;
    for (const Socket *s = dot ? def->inputs : NULL; s && s->name; s++)
        if (strncmp(s->name, name, length) == 0 && !s->name[length]) return s->keys != NULL;
    return false;
}

static Status surplus_inputs(Check *c, int node)
{
    const GraphNode *n = &c->graph->nodes[node];
    Finding *f;

    if (n->def->flags & NODE_F_ANY_INPUT) return OK;
    for (int i = 0; i < n->n_inputs; i++) {
        if (is_input(n->def, n->inputs[i].name)) continue;
        TRY(check_find(c, FIND_SURPLUS, node, &n->inputs[i], &f));
        TRY(check_say(c, &f->message, "not an input of %.80s; it is ignored", n->class_type));
        TRY(check_say(c, &f->fix, "remove it"));
    }
    return OK;
}

/* Python's words. */
static const char *why_no_inputs(const GraphNode *n)
{
    const Json *inputs = n->raw ? json_get(n->raw, "inputs") : NULL;

    if (!inputs) return "'inputs'";
    if (json_is(inputs, JSON_BOOL)) return "argument of type 'bool' is not iterable";
    if (json_is(inputs, JSON_NULL)) return "argument of type 'NoneType' is not iterable";
    return json_is_integer(inputs) ? "argument of type 'int' is not iterable"
                                   : "argument of type 'float' is not iterable";
}

static Status missing_inputs_object(Check *c, int node)
{
    Finding *f;

    TRY(check_find(c, FIND_NO_INPUTS, node, NULL, &f));
    TRY(check_say(c, &f->why, "%s", why_no_inputs(&c->graph->nodes[node])));
    TRY(check_say(c, &f->message, "the node has no \"inputs\" object"));
    return check_say(c, &f->fix, "give it one, {} when it has no inputs");
}

/* A class of the same inputs and outputs takes its place, where there is one. */
static Status deprecated(Check *c, const NodeDef *def, Finding *f)
{
    static const struct {
        const char *old, *now;
    } successors[] = { { "ControlNetApplySD3", "ControlNetApplyAdvanced" } };

    TRY(check_say(c, &f->message, "%s is deprecated", def->class_type));
    for (size_t i = 0; i < sizeof successors / sizeof *successors; i++) {
        if (strcmp(successors[i].old, def->class_type) != 0) continue;
        f->want = successors[i].now;
        return check_say(c, &f->fix, "use %s", successors[i].now);
    }
    return OK;
}

static Status class_facts(Check *c, int node)
{
    const NodeDef *def = c->graph->nodes[node].def;
    Finding *f;

    if (!def->run) {
        TRY(check_find(c, FIND_NOT_RUNNABLE, node, NULL, &f));
        TRY(check_say(c, &f->message, "%s is recognised but not supported by this engine",
                      def->class_type));
        TRY(check_say(c, &f->fix, "replace it by a class that `weft nodes` marks as runnable"));
    }
    if (def->flags & NODE_F_DEPRECATED) {
        TRY(check_find(c, FIND_DEPRECATED, node, NULL, &f));
        TRY(deprecated(c, def, f));
    }
    if (!(def->flags & NODE_F_EXPERIMENTAL)) return OK;
    TRY(check_find(c, FIND_EXPERIMENTAL, node, NULL, &f));
    return check_say(c, &f->message, "%s is experimental", def->class_type);
}

/* Starts on a node; a node without class is closed at once and spoils its consumers. */
static Status enter(Check *c, Walk *w, int node, int parent, const char *parent_input)
{
    const GraphNode *n = &c->graph->nodes[node];
    Frame *frame = &w->stack[w->depth];

    c->report->reached[node] = true;
    c->report->parent[node] = parent;
    c->report->parent_input[node] = parent_input;
    if (!n->def) {
        w->state[node] = CLOSED;
        return OK;
    }
    w->state[node] = OPEN;
    *frame =
        (Frame){ .node = node, .next = n->def->inputs, .errors_before = c->report->errors };
    w->depth++;
    TRY(class_facts(c, node));
    if (n->no_inputs) {
        frame->next = NULL;
        frame->bad = true;
        return missing_inputs_object(c, node);
    }
    return surplus_inputs(c, node);
}

static Status follow(Check *c, Walk *w, Frame *frame, int origin, const char *input)
{
    if (w->state[origin] == OPEN) {
        frame->bad = true;
        return report_cycle(c, w, origin);
    }
    if (w->state[origin] == CLOSED) {
        frame->bad |= !c->report->valid[origin];
        return OK;
    }
    TRY(enter(c, w, origin, frame->node, input));
    if (w->state[origin] == CLOSED) frame->bad = true;
    return OK;
}

static Status leave(Check *c, Walk *w)
{
    Frame *frame = &w->stack[w->depth - 1];
    bool bad = false;

    if (!frame->bad || c->report->errors == frame->errors_before)
        TRY(check_hook(c, frame->node, &bad));
    w->state[frame->node] = CLOSED;
    c->report->valid[frame->node] = !frame->bad && !bad;
    w->depth--;
    if (w->depth > 0 && !c->report->valid[frame->node]) w->stack[w->depth - 1].bad = true;
    return OK;
}

/* One declared input of the node on top of the stack. */
static Status step(Check *c, Walk *w)
{
    Frame *frame = &w->stack[w->depth - 1];
    const Socket *s = frame->next;
    bool bad = false;
    int origin = -1;

    if (!s || !s->name) return leave(c, w);
    frame->next++;
    if (s->flags & HIDDEN) return OK;
    TRY(check_input(c, frame->node, s, &origin, &bad));
    frame->bad |= bad;
    return origin < 0 ? OK : follow(c, w, frame, origin, s->name);
}

static Status walk_outputs(Check *c)
{
    size_t n = (size_t)c->graph->count;
    Status status = OK;
    Walk w = { 0 };

    w.stack = mem_alloc_array(n + 1, sizeof *w.stack);
    w.state = mem_calloc(n + 1, sizeof *w.state);
    w.in_cycle = mem_calloc(n + 1, sizeof *w.in_cycle);
    if (!w.stack || !w.state || !w.in_cycle) {
        status = no_memory(c->err);
        goto done;
    }
    for (int i = 0; i < c->report->n_outputs; i++) {
        int output = c->report->outputs[i];
        if (w.state[output] == UNSEEN) TRY_DONE(enter(c, &w, output, -1, NULL));
        while (w.depth > 0)
            TRY_DONE(step(c, &w));
    }
done:
    mem_free(w.stack);
    mem_free(w.state);
    mem_free(w.in_cycle);
    return status;
}

/* ---- nodes that no output needs ---------------------------------------------------------- */

static void mark_used(const Graph *g, int *stack, bool *used)
{
    int depth = 0;

    for (int i = 0; i < g->count; i++)
        if (!g->nodes[i].def || is_output(&g->nodes[i])) used[i] = true, stack[depth++] = i;
    while (depth > 0) {
        const GraphNode *n = &g->nodes[stack[--depth]];
        for (int i = 0; i < n->n_inputs; i++) {
            int origin = n->inputs[i].is_link ? n->inputs[i].origin : -1;
            if (origin < 0 || used[origin]) continue;
            used[origin] = true;
            stack[depth++] = origin;
        }
    }
}

static Status unused_nodes(Check *c)
{
    size_t n = (size_t)c->graph->count;
    int *stack = mem_alloc_array(n + 1, sizeof *stack);
    bool *used = mem_calloc(n + 1, sizeof *used);
    Status status = OK;
    Finding *f;

    if (!stack || !used) {
        status = no_memory(c->err);
        goto done;
    }
    mark_used(c->graph, stack, used);
    for (int i = 0; i < c->graph->count; i++) {
        if (used[i]) continue;
        TRY_DONE(check_find(c, FIND_UNUSED, i, NULL, &f));
        TRY_DONE(check_say(c, &f->message, "%s feeds no output; it will not run",
                           c->graph->nodes[i].class_type));
        TRY_DONE(check_say(c, &f->fix, "remove it, or link it"));
    }
done:
    mem_free(stack);
    mem_free(used);
    return status;
}

/* ---- all of it --------------------------------------------------------------------------- */

static Status new_report(const Graph *g, CheckReport **out, Error *err)
{
    size_t n = (size_t)g->count + 1;
    CheckReport *r = mem_calloc(1, sizeof *r);

    if (r) r->arena = arena_new();
    if (r && r->arena) {
        r->outputs = arena_array(r->arena, n, sizeof *r->outputs);
        r->valid = arena_array(r->arena, n, sizeof *r->valid);
        r->reached = arena_array(r->arena, n, sizeof *r->reached);
        r->parent = arena_array(r->arena, n, sizeof *r->parent);
        r->parent_input = arena_array(r->arena, n, sizeof *r->parent_input);
    }
    if (!r || !r->outputs || !r->valid || !r->reached || !r->parent || !r->parent_input) {
        check_free(r);
        return no_memory(err);
    }
    r->graph = g;
    *out = r;
    return OK;
}

Status check_graph(Graph *g, const CheckOptions *options, CheckReport **out, Error *err)
{
    Check c = { .graph = g, .options = options, .err = err };
    Status status = OK;

    TRY_DONE(graph_bind(g, options->table, err));
    TRY_DONE(new_report(g, &c.report, err));
    TRY_DONE(take_notes(&c));
    TRY_DONE(check_classes(&c));
    TRY_DONE(collect_outputs(&c));
    TRY_DONE(walk_outputs(&c));
    TRY_DONE(unused_nodes(&c));
    *out = c.report;
    c.report = NULL;
done:
    str_fini(&c.text);
    map_fini(&c.nearest);
    check_free(c.report);
    return status;
}

static Status check_added_node(Check *c, int node)
{
    const GraphNode *n = &c->graph->nodes[node];
    bool bad = false;
    int origin;

    if (!n->def) return unknown_class(c, node);
    TRY(class_facts(c, node));
    for (const Socket *s = n->def->inputs; s && s->name; s++)
        if (!(s->flags & HIDDEN)) TRY(check_input(c, node, s, &origin, &bad));
    return bad ? OK : check_hook(c, node, &bad);
}

Status check_added(Graph *g, int first, const CheckOptions *options, Error *err)
{
    CheckReport report = { .graph = g };
    Check c = { .graph = g, .options = options, .report = &report, .err = err };
    Status status = OK;

    report.arena = arena_new();
    if (!report.arena) return no_memory(err);
    for (int i = first; i < g->count && !report.errors; i++)
        TRY_DONE(check_added_node(&c, i));
    for (int i = 0; i < report.count && status == OK; i++)
        if (report.items[i].severity == SEV_ERROR) {
            finding_error(&report, &report.items[i], err);
            status = kinds[report.items[i].kind].status;
        }
done:
    map_fini(&c.nearest);
    str_fini(&c.text);
    mem_free(report.items);
    arena_free(report.arena);
    return status;
}

void check_free(CheckReport *report)
{
    if (!report) return;
    mem_free(report->items);
    arena_free(report->arena);
    mem_free(report);
}
