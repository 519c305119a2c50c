/* fix.c - corrections of findings as changes to the document's text; those of API documents. */
#include "engine/graph/fix.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/fix_internal.h"
#include "engine/graph/ui_internal.h"

/* ---- helpers ----------------------------------------------------------------------------- */

const char *fix_input_of(const NodeDef *def, SockType type)
{
    for (const Socket *s = def ? def->inputs : NULL; s && s->name; s++)
        if (s->type == type) return s->name;
    return NULL;
}

int fix_output_of(const NodeDef *def, SockType type)
{
    for (int i = 0; i < node_output_count(def); i++)
        if (def->outputs[i].type == type) return i;
    return -1;
}

const GraphInput *fix_model_input(const GraphNode *n)
{
    const char *name = fix_input_of(n->def, SOCK_MODEL);
    const GraphInput *in = name ? graph_input(n, name) : NULL;

    return in && in->is_link && in->fault == LINK_OK && in->origin >= 0 ? in : NULL;
}

static const GraphNode *node_of(const Fixer *x, int node)
{
    return &x->graph->nodes[node];
}

/* The link leads to an output that exists and that the input takes: others may read the same. */
static bool link_is_good(const Fixer *x, const GraphNode *n, const GraphInput *in)
{
    const GraphNode *from = in->origin >= 0 ? node_of(x, in->origin) : NULL;
    const Socket *row = n->def ? node_input(n->def, in->name, NULL) : NULL;
    int slot;

    if (in->fault != LINK_OK || !from) return false;
    if (!row) return !from->def || graph_slot(from, in->slot, &slot);
    return graph_output_fits(from, in->slot, row);
}

static bool reads_well(const Fixer *x, const GraphNode *n)
{
    for (int k = 0; k < n->n_inputs; k++)
        if (n->inputs[k].is_link && !link_is_good(x, n, &n->inputs[k])) return false;
    return true;
}

/* Marks a node and all whose results go into it, over however many others. */
static void mark_sources(Fixer *x, int node)
{
    int n = 0;

    memset(x->seen, 0, (size_t)x->graph->count * sizeof *x->seen);
    x->waiting[n++] = node;
    x->seen[node] = true;
    while (n > 0) {
        const GraphNode *at = node_of(x, x->waiting[--n]);
        for (int k = 0; k < at->n_inputs; k++) {
            int from = at->inputs[k].is_link ? at->inputs[k].origin : -1;
            if (from < 0 || x->seen[from]) continue;
            x->seen[from] = true;
            x->waiting[n++] = from;
        }
    }
}

static bool replace(Fixer *x, const Json *value, const Str *text)
{
    if (!value || text->failed || !text->text) return false;
    json_edit_replace(x->edit, value, text->text);
    return true;
}

/* The value becomes the text of another one. */
static bool copy_over(Fixer *x, const Json *value, const Json *from)
{
    Str text = { 0 };
    bool good;

    if (!value || !from) return false;
    json_edit_freeze(x->edit, from);
    json_copy_source(&text, x->graph->doc, from);
    good = replace(x, value, &text);
    str_fini(&text);
    return good;
}

static bool write_number(Fixer *x, const Json *value, int64_t number)
{
    Str text = { 0 };
    bool good;

    str_printf(&text, "%" PRId64, number);
    good = replace(x, value, &text);
    str_fini(&text);
    return good;
}

/* A link to the model of another node; only what differs is written, so that the list keeps its layout. */
static bool write_link(Fixer *x, const Json *value, int to)
{
    const GraphNode *node = node_of(x, to);
    int slot = fix_output_of(node->def, SOCK_MODEL);
    const Json *old_id = json_first(value), *old_slot = json_next(old_id);
    int64_t old = -1;
    Str text = { 0 };
    bool good = json_is(value, JSON_ARRAY) && old_id && old_slot;

    json_edit_use(x->edit, node->source);
    json_write_string(&text, node->id, strlen(node->id));
    good = good && replace(x, old_id, &text);
    str_fini(&text);
    if (good && (!json_int64(old_slot, &old) || old != slot))
        good = write_number(x, old_slot, slot);
    return good;
}

/* A text with as few escapes as JSON allows. */
static void quote(Str *out, const char *text, size_t n)
{
    str_add_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            str_printf(out, "\\%c", c);
        else if (c == '\n')
            str_add(out, "\\n");
        else if (c < 0x20)
            str_printf(out, "\\u%04x", c);
        else
            str_add_char(out, (char)c);
    }
    str_add_char(out, '"');
}

/* A literal that stands in the node itself: not a link, not a value shared through a primitive. */
static const Json *own_value(const Fixer *x, int node, const char *name)
{
    const GraphNode *n = node_of(x, node);
    const GraphInput *in = graph_input(n, name);
    const Json *up;

    if (!in || in->is_link || !in->source) return NULL;
    up = json_parent(json_parent(in->source));
    return up == n->source ? in->source : NULL;
}

/* ---- single values ----------------------------------------------------------------------- */

/* What is wanted takes the value's place. */
static bool fix_value(Fixer *x, const Finding *f)
{
    if (!f->want || !f->at || f->at->is_link || f->at->source != f->source) return false;
    json_edit_replace(x->edit, f->source, f->want);
    return true;
}

/* Every value stands in the file: none is a default, which another class may have otherwise. */
static bool stores_all(const GraphNode *n)
{
    for (int k = 0; k < n->n_inputs; k++)
        if (!n->inputs[k].is_link && !n->inputs[k].source) return false;
    return true;
}

static bool fix_class(Fixer *x, const Finding *f)
{
    const Json *source = node_of(x, f->node)->source;
    const Json *name = json_get(source, x->graph->drawing ? "type" : "class_type");
    Str text = { 0 };
    bool good;

    if (!f->want || !stores_all(node_of(x, f->node))) return false;
    json_write_string(&text, f->want, strlen(f->want));
    good = replace(x, name, &text);
    str_fini(&text);
    return good;
}

static bool fix_missing(Fixer *x, const Finding *f)
{
    const Json *inputs = json_get(node_of(x, f->node)->source, "inputs");

    if (!f->want || !f->input || x->graph->drawing || !inputs) return false;
    json_edit_add_member(x->edit, inputs, f->input, f->want);
    return true;
}

static bool fix_surplus(Fixer *x, const Finding *f)
{
    if (!f->at || !f->at->source) return false;
    if (x->graph->drawing)
        return fix_ui_disconnect(x, node_of(x, f->node)->source, f->at->source);
    json_edit_remove(x->edit, f->at->source);
    return true;
}

static bool fix_escape(Fixer *x, const Finding *f)
{
    Str text = { 0 }, quoted = { 0 };
    bool good = json_is(f->source, JSON_STRING) &&
                ui_escape(json_string(f->source), json_string_length(f->source), &text);

    if (good && !text.failed) quote(&quoted, text.text ? text.text : "", text.length);
    good = good && replace(x, f->source, &quoted);
    str_fini(&text);
    str_fini(&quoted);
    return good;
}

static bool fix_count(Fixer *x, const Finding *f)
{
    const Json *values = json_get(f->source, "widgets_values");
    const Json *named = json_get(f->source, "widgets_values_named");
    const char *type = json_string(json_get(f->source, "type"));
    const NodeDef *def = NULL;
    Str text = { 0 };
    bool good;

    for (int i = 0; i < x->graph->count && type && !def; i++)
        if (node_of(x, i)->source == f->source) def = node_of(x, i)->def;
    good = def && json_is(values, JSON_ARRAY) && json_is(named, JSON_OBJECT) &&
           ui_values_by_name(def, values, named, &text) && replace(x, values, &text);
    str_fini(&text);
    return good;
}

static bool is_within(const GraphNode *n, const char *name, int64_t v)
{
    const Socket *s = n->def ? node_input(n->def, name, NULL) : NULL;
    SocketBound low, high;

    if (!s || s->type != SOCK_INT) return false;
    return (!socket_min(s, &low) || (double)v >= low.f) &&
           (!socket_max(s, &high) || (double)v <= high.f);
}

static bool fix_schedule_size(Fixer *x, const Finding *f)
{
    static const char *const names[] = { "width", "height" };

    if (f->other < 0) return false;
    for (int i = 0; i < 2; i++) {
        const GraphInput *from = graph_input(node_of(x, f->other), names[i]);
        const GraphInput *to = graph_input(node_of(x, f->node), names[i]);
        const Json *at = x->graph->drawing ? own_value(x, f->node, names[i])
                         : to              ? to->raw
                                           : NULL;
        int64_t a, b;
        if (!from || !at) return false;
        if (!from->is_link && !to->is_link && literal_int64(&from->value, &a) &&
            literal_int64(&to->value, &b) && a == b)
            continue;
        if (!from->is_link && literal_int64(&from->value, &a)) {
            if (!is_within(node_of(x, f->node), names[i], a) || !write_number(x, at, a))
                return false;
        } else if (x->graph->drawing || !copy_over(x, at, from->raw)) {
            return false;
        }
    }
    return true;
}

static bool fix_rounding(Fixer *x, const Finding *f)
{
    static const char *const names[] = { "width", "height" };
    enum { PATCH = 16 };

    for (int i = 0; i < 2; i++) {
        const Json *at = own_value(x, f->node, names[i]);
        const GraphInput *in = graph_input(node_of(x, f->node), names[i]);
        int64_t v;
        if (!at || !literal_int64(&in->value, &v) || v < PATCH) return false;
        if (v % PATCH && !write_number(x, at, v - v % PATCH)) return false;
    }
    return true;
}

static bool fix_suppression(Fixer *x, const Finding *f)
{
    json_edit_remove(x->edit, f->source);
    return f->source != NULL;
}

/* ---- nodes of API documents -------------------------------------------------------------- */

static const GraphInput *input_of(const Fixer *x, const Use *use)
{
    return &node_of(x, use->node)->inputs[use->input];
}

/* Consumers read what the node itself read. */
static bool api_take_out(Fixer *x, int node)
{
    const GraphNode *gone = node_of(x, node);

    for (int i = x->use_at[node]; i < x->use_at[node + 1]; i++) {
        const GraphInput *in = input_of(x, &x->uses[i]), *from;
        const char *name;
        int slot;
        if (in->fault != LINK_OK || !graph_slot(gone, in->slot, &slot)) return false;
        name = fix_input_of(gone->def, gone->def->outputs[slot].type);
        from = name ? graph_input(gone, name) : NULL;
        if (!from || !from->is_link || from->origin == node ||
            !copy_over(x, in->raw, from->raw))
            return false; /* also one that reads itself: nothing is before it */
    }
    json_edit_remove(x->edit, gone->source);
    return true;
}

/* Consumers, which are unused as well, lose the input. */
static bool api_delete(Fixer *x, int node)
{
    for (int i = x->use_at[node]; i < x->use_at[node + 1]; i++) {
        if (x->uses[i].node == node) continue;
        if (!input_of(x, &x->uses[i])->raw) return false;
        json_edit_remove(x->edit, input_of(x, &x->uses[i])->raw);
    }
    json_edit_remove(x->edit, node_of(x, node)->source);
    return true;
}

static bool api_rewire(Fixer *x, int node, int like)
{
    const GraphInput *to = fix_model_input(node_of(x, node));
    const GraphInput *from = fix_model_input(node_of(x, like));

    return to && from && copy_over(x, to->raw, from->raw);
}

/* Who reads the model of the chain's last node, but for the chain's own nodes, reads that of the new last one. */
static bool api_move_readers(Fixer *x, const Chain *c)
{
    int old_end = c->old[c->count - 1], end = c->now[c->count - 1];
    int slot = fix_output_of(node_of(x, old_end)->def, SOCK_MODEL), at;

    for (int i = x->use_at[old_end]; i < x->use_at[old_end + 1]; i++) {
        const GraphInput *in = input_of(x, &x->uses[i]);
        const GraphNode *reader = node_of(x, x->uses[i].node);
        bool inside = false;
        for (int n = 0; n < c->count; n++)
            inside |= node_of(x, c->old[n]) == reader && in == fix_model_input(reader);
        if (inside || in->fault != LINK_OK) continue; /* a link that is none stays so */
        if (!graph_slot(node_of(x, old_end), in->slot, &at) || at != slot) continue;
        if (!write_link(x, in->raw, end)) return false;
    }
    return true;
}

static bool api_reorder(Fixer *x, const Chain *c)
{
    const GraphInput *top = fix_model_input(node_of(x, c->old[0]));

    for (int i = 0; i < c->count; i++) {
        const GraphInput *in = fix_model_input(node_of(x, c->now[i]));
        if (i == 0 ? c->now[0] == c->old[0] : in->origin == c->now[i - 1]) continue;
        if (i == 0 && !copy_over(x, in->raw, top->raw)) return false;
        if (i > 0 && !write_link(x, in->raw, c->now[i - 1])) return false;
    }
    return c->now[c->count - 1] == c->old[c->count - 1] || api_move_readers(x, c);
}

/* ---- nodes ------------------------------------------------------------------------------- */

static bool fix_take_out(Fixer *x, const Finding *f)
{
    const GraphNode *n = node_of(x, f->node);
    const GraphInput *model = n->def ? fix_model_input(n) : NULL;

    if (f->other < 0 || !model || !model->is_link || !reads_well(x, n))
        return false; /* without a model of its own it has none to hand on */
    return x->graph->drawing ? fix_ui_take_out(x, f->node) : api_take_out(x, f->node);
}

/* What is unused because a wire is broken elsewhere will be used when that is mended. */
static bool is_whole(const CheckReport *r)
{
    for (int i = 0; i < r->count; i++)
        switch (r->items[i].kind) {
        case FIND_UNUSED:
        case FIND_NOT_RUNNABLE:
        case FIND_NOT_IN_LIST:
        case FIND_CUSTOM:
        case FIND_CONVERT:
        case FIND_SMALL:
        case FIND_BIG:
            break;
        default:
            if (r->items[i].severity == SEV_ERROR) return false;
            if (strcmp(r->items[i].rule, "E103") == 0 || strcmp(r->items[i].rule, "W106") == 0)
                return false;
        }
    return r->n_outputs > 0;
}

static bool has_circle(const CheckReport *r)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->items[i].rule, "E104") == 0) return true;
    return false;
}

static bool fix_unused(Fixer *x, const Finding *f)
{
    if (!x->whole) return false;
    return x->graph->drawing ? fix_ui_delete(x, f->node) : api_delete(x, f->node);
}

/* A scheduler that serves several samplers cannot stand on the branch of each. */
static bool fix_branch(Fixer *x, const Finding *f)
{
    const GraphInput *from = f->other >= 0 ? fix_model_input(node_of(x, f->other)) : NULL;

    if (!from || x->use_at[f->node + 1] - x->use_at[f->node] > 1 ||
        !reads_well(x, node_of(x, f->other)))
        return false;
    mark_sources(x, from->origin);
    if (x->seen[f->node]) return false; /* it would be a circle */
    return x->graph->drawing ? fix_ui_rewire(x, f->node, f->other)
                             : api_rewire(x, f->node, f->other);
}

/* Places in the usual order; what has no place stops the chain. */
static int rank_of(const GraphNode *n)
{
    static const int ranks[] = {
        [STAGE_NONE] = -1,    [STAGE_LOAD] = -1,   [STAGE_LORA] = 0,   [STAGE_ATTENTION] = 1,
        [STAGE_SAMPLING] = 2, [STAGE_BLOCKS] = 2,  [STAGE_GUIDE] = 2,  [STAGE_COMPILE] = 3,
        [STAGE_CACHE] = 4,    [STAGE_SAMPLE] = -1, [STAGE_DECODE] = -1
    };

    if (!n->def || !n->source || !fix_model_input(n) || fix_output_of(n->def, SOCK_MODEL) < 0)
        return -1;
    return ranks[n->def->stage];
}

/* The patches around a node that only feed one another; false when there are too many. */
static bool find_chain(const Fixer *x, int node, Chain *c)
{
    int top = node, met = 0;

    for (;; top = fix_model_input(node_of(x, top))->origin) {
        int up = fix_model_input(node_of(x, top))->origin;
        if (rank_of(node_of(x, up)) < 0 || x->readers[up] != 1) break;
        if (++met >= FIX_CHAIN_MAX) return false;
    }
    for (c->count = 0; c->count < FIX_CHAIN_MAX;) {
        c->old[c->count++] = top;
        if (x->readers[top] != 1 || rank_of(node_of(x, x->reader[top])) < 0) return true;
        top = x->reader[top];
    }
    return false;
}

/* Stable: nodes of one rank keep their order. */
static void sort_chain(const Fixer *x, Chain *c)
{
    int n = 0;

    for (int rank = 0; rank <= 4; rank++)
        for (int i = 0; i < c->count; i++)
            if (rank_of(node_of(x, c->old[i])) == rank) c->now[n++] = c->old[i];
}

/* No node of the chain gets, by another wire than the model's, what comes from its new place or from behind it. */
static bool may_stand_so(Fixer *x, const Chain *c)
{
    for (int i = 0; i < c->count; i++) {
        const GraphNode *n = node_of(x, c->now[i]);
        if (!reads_well(x, n)) return false;
        for (int k = 0; k < n->n_inputs; k++) {
            const GraphInput *in = &n->inputs[k];
            if (!in->is_link || in->origin < 0 || in == fix_model_input(n)) continue;
            mark_sources(x, in->origin);
            for (int later = i; later < c->count; later++)
                if (x->seen[c->now[later]]) return false;
        }
    }
    return true;
}

static int place_in(const int *list, int count, int node)
{
    int i = 0;

    while (i < count && list[i] != node)
        i++;
    return i;
}

static bool fix_order(Fixer *x, const Finding *f)
{
    Chain c;

    if (rank_of(node_of(x, f->node)) < 0 || !find_chain(x, f->node, &c)) return false;
    sort_chain(x, &c);
    if (place_in(c.old, c.count, f->other) >= c.count ||
        place_in(c.now, c.count, f->node) > place_in(c.now, c.count, f->other))
        return false; /* the node that stands wrong to it is elsewhere, or of the same rank */
    if (!may_stand_so(x, &c)) return false;
    return x->graph->drawing ? fix_ui_reorder(x, &c) : api_reorder(x, &c);
}

/* ---- by rule ----------------------------------------------------------------------------- */

enum {
    FIX_ANYWHERE = 1, /* needs no node of the graph, only the place in the document */
    FIX_BY_WIRES =
        2 /* right for what the node is wired to: not for all instances of a definition, nor in a circle */
};

/* clang-format off */
static const struct FixRow {
    const char *rule;
    bool (*fix)(Fixer *x, const Finding *f);
    int flags;
} rows[] = {
    { "E201", fix_class, 0 },                       { "E202", fix_missing, 0 },
    { "E204", fix_value, 0 },                       { "E205", fix_value, 0 },
    { "W102", fix_surplus, 0 },                     { "W103", fix_value, 0 },
    { "N104", fix_count, FIX_ANYWHERE },            { "W107", fix_escape, FIX_ANYWHERE },
    { "W201", fix_class, 0 },                       { "N203", fix_unused, 0 },
    { "W301", fix_take_out, FIX_BY_WIRES },         { "W302", fix_take_out, FIX_BY_WIRES },
    { "W303", fix_take_out, FIX_BY_WIRES },         { "W304", fix_branch, FIX_BY_WIRES },
    { "N305", fix_branch, FIX_BY_WIRES },           { "W306", fix_order, FIX_BY_WIRES },
    { "N307", fix_order, FIX_BY_WIRES },            { "E308", fix_value, FIX_BY_WIRES },
    { "W309", fix_schedule_size, FIX_BY_WIRES },    { "W311", fix_take_out, FIX_BY_WIRES },
    { "W403", fix_value, FIX_BY_WIRES },            { "N405", fix_class, FIX_BY_WIRES },
    { "N406", fix_rounding, 0 },                    { "W407", fix_value, FIX_BY_WIRES },
    { "N901", fix_suppression, FIX_ANYWHERE },
};
/* clang-format on */

static int by_address(const void *a, const void *b)
{
    const Json *p = *(const Json *const *)a, *q = *(const Json *const *)b;

    return (p > q) - (p < q);
}

/* The node of the document stands for several of the graph: instances of one definition. */
static bool is_shared(const Fixer *x, int node)
{
    const Json *source = node_of(x, node)->source;
    size_t n = (size_t)x->graph->count;
    const Json **at = bsearch(&source, x->sources, n, sizeof *at, by_address);

    return (at > x->sources && at[-1] == source) ||
           (at + 1 < x->sources + n && at[1] == source);
}

static void list_sources(Fixer *x)
{
    for (int i = 0; i < x->graph->count; i++)
        x->sources[i] = node_of(x, i)->source;
    qsort(x->sources, (size_t)x->graph->count, sizeof *x->sources, by_address);
}

static void count_readers(Fixer *x)
{
    for (int i = 0; i < x->graph->count; i++) {
        const GraphNode *from = node_of(x, i);
        x->reader[i] = -1;
        for (int k = x->use_at[i]; k < x->use_at[i + 1] && from->def; k++) {
            int slot;
            if (!graph_slot(from, input_of(x, &x->uses[k])->slot, &slot)) continue;
            if (from->def->outputs[slot].type != SOCK_MODEL) continue;
            x->readers[i]++;
            x->reader[i] = x->uses[k].node;
        }
    }
}

/* Origin of an input's link; -1 = none. */
static int origin_of(const GraphInput *in)
{
    return in->is_link ? in->origin : -1;
}

/* Sorts the links by where they come from, by counting. */
static bool list_uses(Fixer *x)
{
    const Graph *g = x->graph;
    int total = 0;

    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < node_of(x, i)->n_inputs; k++) {
            int from = origin_of(&node_of(x, i)->inputs[k]);
            if (from >= 0) x->use_at[from]++, total++;
        }
    x->uses = mem_calloc((size_t)total + 1, sizeof *x->uses);
    if (!x->uses) return false;
    for (int i = 0; i < g->count; i++)
        x->use_at[i + 1] += x->use_at[i];
    for (int i = g->count - 1; i >= 0; i--)
        for (int k = node_of(x, i)->n_inputs - 1; k >= 0; k--) {
            int from = origin_of(&node_of(x, i)->inputs[k]);
            if (from >= 0) x->uses[--x->use_at[from]] = (Use){ i, k };
        }
    return true;
}

Status fixer_new(const CheckReport *report, JsonEdit *edit, Fixer **out, Error *err)
{
    Fixer *x = mem_calloc(1, sizeof *x);
    size_t n = (size_t)report->graph->count + 1;

    if (x) {
        x->edit = edit;
        x->report = report;
        x->graph = report->graph;
        x->use_at = mem_calloc(n, sizeof *x->use_at);
        x->readers = mem_calloc(n, sizeof *x->readers);
        x->reader = mem_calloc(n, sizeof *x->reader);
        x->waiting = mem_calloc(n, sizeof *x->waiting);
        x->seen = mem_calloc(n, sizeof *x->seen);
        x->sources = mem_calloc(n, sizeof *x->sources);
    }
    if (!x || !x->use_at || !x->readers || !x->reader || !x->waiting || !x->seen ||
        !x->sources || !list_uses(x)) {
        fixer_free(x);
        return error_set(err, E_NOMEM, "out of memory");
    }
    count_readers(x);
    x->whole = is_whole(report);
    x->circle = has_circle(report);
    list_sources(x);
    x->plain = x->graph->drawing && fix_ui_is_plain(x->graph->root);
    if (x->plain && !(x->ui = fix_ui_index_new(x->graph->root))) {
        fixer_free(x);
        return error_set(err, E_NOMEM, "out of memory");
    }
    *out = x;
    return OK;
}

void fixer_free(Fixer *x)
{
    if (!x) return;
    mem_free(x->uses);
    mem_free(x->use_at);
    mem_free(x->readers);
    mem_free(x->reader);
    mem_free(x->waiting);
    mem_free(x->seen);
    mem_free(x->sources);
    fix_ui_index_free(x->ui);
    mem_free(x);
}

bool fixer_add(Fixer *x, const Finding *f)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].rule, f->rule) != 0) continue;
        if (f->node < 0 && !(rows[i].flags & FIX_ANYWHERE)) return false;
        if (rows[i].flags & FIX_BY_WIRES &&
            (x->circle || (x->graph->drawing && is_shared(x, f->node))))
            return false;
        json_edit_begin(x->edit);
        if (rows[i].fix(x, f) && !fix_ui_failed(x)) return json_edit_commit(x->edit);
        json_edit_cancel(x->edit);
        return false;
    }
    return false;
}
