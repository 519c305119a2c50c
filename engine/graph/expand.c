/* expand.c - puts the sub-graph that a node answered with into the graph that is being run. */
#include "engine/graph/expand.h"

#include <string.h>

#include "engine/base/mem.h"

enum { LONG_ID = 160 };

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- objects among the inputs ------------------------------------------------------------ */

static const Socket held[] = { { .name = "value", .type = SOCK_ANY, .doc = "The object." },
                               { 0 } };

static Status gone(NodeCall *call)
{
    return error_set(call->err, E_INTERNAL, "the value of an expansion was given back");
}

const NodeDef expand_holder = {
    .class_type = "(value)",
    .category = "",
    .doc = "Hands an object to the nodes of an expansion.",
    .outputs = held,
    .out_size = sizeof(Value),
    .run = gone,
};

static bool is_object(const Value *v)
{
    return v->type > SOCK_COMBO && v->type != SOCK_BLOCKER && v->type != SOCK_PENDING;
}

/* The input of the parent that an object came from. */
static const CallInput *find_source(const Expansion *e, const Ref *object, size_t *item)
{
    const NodeDef *def = e->graph->nodes[e->parent].def;

    for (int i = 0; def->inputs && def->inputs[i].name; i++) {
        const ValueList *list = e->inputs[i].list;
        for (size_t k = 0; list && k < list->count; k++) {
            if (!is_object(&list->items[k]) || list->items[k].object != object) continue;
            *item = k;
            return &e->inputs[i];
        }
    }
    return NULL;
}

/* What tells two objects apart, as a text for the key of the node that hands it out. */
static Status name_object(const Expansion *e, const Answer *a, const AnswerInput *in,
                          const char *id, GraphNode *holder, Error *err)
{
    size_t item = 0;
    const CallInput *source = find_source(e, in->value.object, &item);
    int origin = source ? source->given->origin : e->parent;
    char hex[65];

    sha256_hex(e->keys[origin].digest, hex);
    holder->never_cached = e->keys[origin].never;
    holder->changed =
        source ? arena_printf(e->graph->arena, "%s %lld %zu", hex,
                              (long long)source->given->slot, item)
               : arena_printf(e->graph->arena, "%s (%d) %s %s", hex, a->call, id, in->name);
    return holder->changed ? OK : no_memory(err);
}

static Status add_holder(const Expansion *e, const Answer *a, const char *id, AnswerInput *in,
                         int node, Error *err)
{
    char *name = arena_printf(e->graph->arena, "%s.%s", id, in->name);

    if (!name) return no_memory(err);
    TRY(graph_add_node(e->graph, name, expand_holder.class_type, NULL, &in->holder, err));
    GraphNode *holder = &e->graph->nodes[in->holder];
    holder->def = &expand_holder;
    TRY(name_object(e, a, in, id, holder, err));
    return graph_set_link(e->graph, node, in->name, name, 0, err);
}

/* ---- inputs ------------------------------------------------------------------------------ */

static Status literal_of(const Expansion *e, const NodeDef *def, const AnswerInput *in,
                         Literal *out, Error *err)
{
    const Socket *s = def ? node_input(def, in->name, NULL) : NULL;
    const Value *v = &in->value;

    switch (v->type) {
    case SOCK_INT:
        if (s && s->flags & SOCK_F_U64)
            return literal_uint(e->graph->arena, (uint64_t)v->i, out, err);
        return literal_int(e->graph->arena, v->i, out, err);
    case SOCK_FLOAT:
        *out = literal_float(v->f);
        return OK;
    case SOCK_BOOLEAN:
        *out = literal_bool(v->b);
        return OK;
    default:
        return literal_text(e->graph->arena, v->s ? v->s : "", v->s ? strlen(v->s) : 0, out,
                            err);
    }
}

/* A name of the answer's own comes before an id of the workflow. */
static int origin_of(const Expansion *e, const Answer *a, const char *from)
{
    const AnswerNode *n = map_get(&a->by_name, from);

    return n ? n->index : graph_find(e->graph, from);
}

/* A node of the file that this run has not checked cannot be read. */
static Status check_origin(const Expansion *e, int origin, Error *err)
{
    if (origin >= e->file_count || e->valid[origin]) return OK;
    error_set(err, E_WORKFLOW,
              "the expansion links to node %s, which no output of this run needs",
              e->graph->nodes[origin].id);
    error_fix(err, "pass its value in as an input of the expanding node");
    return E_WORKFLOW;
}

static Status no_origin(const char *from, Error *err)
{
    error_set(err, E_WORKFLOW, "the expansion links to %s, which is no node", from);
    error_fix(err, "name a node of the expansion, or an id of the workflow");
    return E_WORKFLOW;
}

static Status set_input(const Expansion *e, const Answer *a, const AnswerNode *n,
                        AnswerInput *in, Error *err)
{
    GraphNode *node = &e->graph->nodes[n->index];
    Literal value;

    if (in->from) {
        int origin = origin_of(e, a, in->from);
        if (origin < 0) return no_origin(in->from, err);
        TRY(check_origin(e, origin, err));
        return graph_set_link(e->graph, n->index, in->name, e->graph->nodes[origin].id,
                              in->slot, err);
    }
    if (is_object(&in->value)) {
        if (!in->value.object) return OK;
        return add_holder(e, a, node->id, in, n->index, err);
    }
    TRY(literal_of(e, node->def, in, &value, err));
    return graph_set_literal(e->graph, n->index, in->name, &value, err);
}

/* ---- nodes ------------------------------------------------------------------------------- */

static Status too_many(Error *err)
{
    error_set(err, E_LIMIT, "expansions have made more than %d nodes", EXPAND_MAX_NODES);
    error_fix(err, "look for a node that expands into itself without an end");
    return E_LIMIT;
}

/* <parent>.<call>.0.<name>. Deep nesting would make ids as long as it is deep, so a long parent is named by
 * the visible node and its number. */
static char *make_id(const Expansion *e, int call, const char *name)
{
    const GraphNode *parent = &e->graph->nodes[e->parent];

    if (strlen(parent->id) < LONG_ID)
        return arena_printf(e->graph->arena, "%s.%d.0.%s", parent->id, call, name);
    return arena_printf(e->graph->arena, "%.*s.~%d.%d.0.%s", LONG_ID,
                        e->graph->nodes[graph_display(e->graph, e->parent)].id, e->parent, call,
                        name);
}

static Status add_node(const Expansion *e, const Answer *a, AnswerNode *n, Error *err)
{
    char *id = make_id(e, a->call, n->name);

    if (!id) return no_memory(err);
    if (graph_find(e->graph, id) >= 0)
        return error_set(err, E_WORKFLOW,
                         "the expansion gives a node the id %s, which is taken", id);
    TRY(graph_add_node(e->graph, id, n->class_type, NULL, &n->index, err));
    e->graph->nodes[n->index].def = node_find(e->check->table, n->class_type);
    return OK;
}

static void adopt(Graph *g, int first, int parent)
{
    int display = g->nodes[parent].display ? g->nodes[parent].display : parent + 1;

    for (int i = first; i < g->count; i++) {
        g->nodes[i].parent = parent + 1;
        g->nodes[i].display = display;
    }
}

static Status resolve_outputs(const Expansion *e, Answer *a, Error *err)
{
    int count = node_output_count(e->graph->nodes[e->parent].def), slot;

    for (int i = 0; i < count; i++) {
        AnswerOutput *out = &a->outputs[i];
        if (out->kind != ANSWER_LINK) continue;
        out->origin = origin_of(e, a, out->text);
        if (out->origin < 0) return no_origin(out->text, err);
        TRY(check_origin(e, out->origin, err));
        if (!graph_slot(&e->graph->nodes[out->origin], out->slot, &slot))
            return error_set(err, E_WORKFLOW,
                             "the expansion's output %d: node %s has no slot %d", i,
                             e->graph->nodes[out->origin].id, out->slot);
        out->slot = slot;
    }
    return OK;
}

Status expand_answer(const Expansion *e, Answer *a, Error *err)
{
    int first = e->graph->count;

    if (e->graph->count + a->count > EXPAND_MAX_NODES) return too_many(err);
    for (AnswerNode *n = a->nodes; n; n = n->next)
        TRY(add_node(e, a, n, err));
    for (AnswerNode *n = a->nodes; n; n = n->next)
        for (AnswerInput *in = n->inputs; in; in = in->next)
            TRY(set_input(e, a, n, in, err));
    adopt(e->graph, first, e->parent);
    graph_bind_links(e->graph, first);
    TRY(check_added(e->graph, first, e->check, err));
    return resolve_outputs(e, a, err);
}
