/* graph.c - the workflow: building it, looking into it, and writing it back. */
#include "engine/graph/graph.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/rows.h"

enum { INDEX_FROM = 16 }; /* inputs from which a node keeps a table of their names */

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* Indices are kept as pointers, plus one so that NULL means absent. */
static void *index_pointer(int i)
{
    return (void *)(uintptr_t)(i + 1);
}

static int pointer_index(const void *p)
{
    return (int)(uintptr_t)p - 1;
}

Status graph_new(Graph **out, Error *err)
{
    Graph *g = mem_calloc(1, sizeof *g);

    if (g) g->arena = arena_new();
    if (!g || !g->arena) {
        mem_free(g);
        return no_memory(err);
    }
    g->notes_end = &g->notes;
    *out = g;
    return OK;
}

static void drop_index(GraphNode *n)
{
    if (!n->index) return;
    map_fini(n->index);
    mem_free(n->index);
    n->index = NULL;
}

void graph_free(Graph *g)
{
    if (!g) return;
    for (int i = 0; i < g->count; i++) {
        drop_index(&g->nodes[i]);
        mem_free(g->nodes[i].inputs);
    }
    mem_free(g->nodes);
    map_fini(&g->by_id);
    json_free(g->doc);
    for (GraphDoc *kept = g->kept; kept; kept = kept->next)
        json_free(kept->doc);
    if (g->added) arena_free(g->added);
    arena_free(g->arena);
    mem_free(g);
}

static void swap_arenas(Graph *g)
{
    Arena *a = g->arena;

    g->arena = g->added;
    g->added = a;
}

Status graph_begin_added(Graph *g, Error *err)
{
    if (!g->added) g->added = arena_new();
    if (!g->added) return no_memory(err);
    swap_arenas(g);
    return OK;
}

void graph_end_added(Graph *g)
{
    swap_arenas(g);
}

void graph_forget_added(Graph *g, int count)
{
    for (int i = count; i < g->count; i++) {
        drop_index(&g->nodes[i]);
        mem_free(g->nodes[i].inputs);
    }
    g->count = count;
    map_cut(&g->by_id, (size_t)count);
    if (g->added) arena_free(g->added);
    g->added = NULL;
}

int graph_display(const Graph *g, int node)
{
    return g->nodes[node].display ? g->nodes[node].display - 1 : node;
}

void graph_own_doc(Graph *g, JsonDoc *doc)
{
    json_free(g->doc);
    g->doc = doc;
}

Status graph_keep_doc(Graph *g, JsonDoc *doc, Error *err)
{
    GraphDoc *kept = arena_alloc(g->arena, sizeof *kept);

    if (!kept) {
        json_free(doc);
        return no_memory(err);
    }
    *kept = (GraphDoc){ .doc = doc, .next = g->kept };
    g->kept = kept;
    return OK;
}

Status graph_note(Graph *g, const Error *note, const Json *source, Error *err)
{
    GraphNote *n = arena_alloc(g->arena, sizeof *n);

    if (!n) return no_memory(err);
    n->error = *note;
    n->source = source;
    *g->notes_end = n;
    g->notes_end = &n->next;
    return OK;
}

int graph_find(const Graph *g, const char *id)
{
    return pointer_index(map_get(&g->by_id, id));
}

/* ---- nodes ------------------------------------------------------------------------------- */

static Status note_duplicate(Graph *g, const char *id, Error *err)
{
    Error note;

    error_clear(&note);
    error_set(&note, E_FORMAT, "duplicate id %s: the last one wins", id);
    error_fix(&note, "give each node an id of its own");
    note.severity = SEV_WARNING;
    memcpy(note.rule, "W101", 5);
    error_at_node(&note, id, NULL);
    return graph_note(g, &note, NULL, err);
}

static Status restart_node(Graph *g, int index, Error *err)
{
    GraphNode *n = &g->nodes[index];
    GraphInput *inputs = n->inputs;
    int capacity = n->capacity;

    drop_index(n);
    *n = (GraphNode){ .id = n->id, .inputs = inputs, .capacity = capacity, .offset = -1 };
    return note_duplicate(g, n->id, err);
}

static Status grow_nodes(Graph *g, Error *err)
{
    int capacity = g->capacity ? g->capacity * 2 : 16;
    GraphNode *nodes;

    if (g->count < g->capacity) return OK;
    if (g->capacity > INT32_MAX / 2 / (int)sizeof *nodes)
        return error_set(err, E_LIMIT, "too many nodes");
    nodes = mem_realloc(g->nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes) return no_memory(err);
    g->nodes = nodes;
    g->capacity = capacity;
    return OK;
}

static Status new_node(Graph *g, const char *id, int *index, Error *err)
{
    char *own;

    TRY(grow_nodes(g, err));
    own = arena_strdup(g->arena, id);
    if (!own || !map_put(&g->by_id, id, index_pointer(g->count))) return no_memory(err);
    g->nodes[g->count] = (GraphNode){ .id = own, .offset = -1 };
    *index = g->count++;
    return OK;
}

static Status keep_text(Graph *g, const char *text, const char **out, Error *err)
{
    *out = text ? arena_strdup(g->arena, text) : NULL;
    return text && !*out ? no_memory(err) : OK;
}

Status graph_add_node(Graph *g, const char *id, const char *class_type, const char *title,
                      int *index, Error *err)
{
    int i = graph_find(g, id);

    if (i >= 0)
        TRY(restart_node(g, i, err));
    else
        TRY(new_node(g, id, &i, err));
    TRY(keep_text(g, class_type, &g->nodes[i].class_type, err));
    TRY(keep_text(g, title, &g->nodes[i].title, err));
    *index = i;
    return OK;
}

/* ---- inputs ------------------------------------------------------------------------------ */

GraphInput *graph_input(const GraphNode *n, const char *name)
{
    int i;

    if (n->index) {
        i = pointer_index(map_get(n->index, name));
        return i < 0 ? NULL : &n->inputs[i];
    }
    for (i = 0; i < n->n_inputs; i++)
        if (strcmp(n->inputs[i].name, name) == 0) return &n->inputs[i];
    return NULL;
}

static bool index_inputs(GraphNode *n)
{
    n->index = mem_calloc(1, sizeof *n->index);
    if (!n->index) return false;
    for (int i = 0; i < n->n_inputs; i++) {
        if (map_put(n->index, n->inputs[i].name, index_pointer(i))) continue;
        drop_index(n);
        return false;
    }
    return true;
}

static Status add_input(Graph *g, GraphNode *n, const char *name, GraphInput **out, Error *err)
{
    if (n->n_inputs == n->capacity) {
        int capacity = n->capacity ? n->capacity * 2 : 8;
        GraphInput *inputs = mem_realloc(n->inputs, (size_t)capacity * sizeof *inputs);
        if (!inputs) return no_memory(err);
        n->inputs = inputs;
        n->capacity = capacity;
    }
    GraphInput *in = &n->inputs[n->n_inputs];
    *in = (GraphInput){ .origin = -1 };
    TRY(keep_text(g, name, &in->name, err));
    if (n->index && !map_put(n->index, name, index_pointer(n->n_inputs))) return no_memory(err);
    n->n_inputs++;
    if (!n->index && n->n_inputs >= INDEX_FROM && !index_inputs(n)) return no_memory(err);
    *out = in;
    return OK;
}

/* An empty input of that name, new or cleared. */
static Status fresh_input(Graph *g, int node, const char *name, GraphInput **out, Error *err)
{
    GraphInput *in = graph_input(&g->nodes[node], name);

    if (!in) return add_input(g, &g->nodes[node], name, out, err);
    *in = (GraphInput){ .name = in->name, .origin = -1 };
    *out = in;
    return OK;
}

Status graph_set_link(Graph *g, int node, const char *name, const char *origin_id, int64_t slot,
                      Error *err)
{
    GraphInput *in;

    TRY(fresh_input(g, node, name, &in, err));
    in->is_link = true;
    in->slot = slot;
    return keep_text(g, origin_id, &in->origin_id, err);
}

Status graph_set_literal(Graph *g, int node, const char *name, const Literal *value, Error *err)
{
    GraphInput *in;

    TRY(fresh_input(g, node, name, &in, err));
    in->value = *value;
    in->source = value->source;
    return OK;
}

/* Slots are integers; Python counts true and false as such. */
static bool read_slot(const Json *slot, int64_t *out)
{
    if (json_is(slot, JSON_BOOL)) {
        *out = json_bool(slot);
        return true;
    }
    if (!json_is(slot, JSON_NUMBER) || !json_is_integer(slot)) return false;
    if (!json_int64(slot, out)) *out = INT64_MAX;
    return true;
}

static void read_link(const Json *array, GraphInput *in)
{
    const Json *id = json_first(array), *slot = id ? json_next(id) : NULL;

    in->is_link = true;
    if (json_count(array) != 2)
        in->fault = LINK_BAD_LENGTH;
    else if (!json_is(id, JSON_STRING))
        in->fault = LINK_BAD_ID_TYPE;
    else if (!read_slot(slot, &in->slot))
        in->fault = LINK_BAD_SLOT_TYPE;
    if (json_is(id, JSON_STRING)) in->origin_id = json_string(id);
}

Status graph_set_json(Graph *g, int node, const char *name, const Json *value, Error *err)
{
    GraphInput *in;

    TRY(fresh_input(g, node, name, &in, err));
    in->raw = in->source = value;
    if (!json_is(value, JSON_ARRAY)) return literal_from_json(g->arena, value, &in->value, err);
    read_link(value, in);
    return OK;
}

/* ---- binding ----------------------------------------------------------------------------- */

static void bind_links(const Graph *g, GraphNode *n)
{
    for (int i = 0; i < n->n_inputs; i++) {
        GraphInput *in = &n->inputs[i];
        if (!in->is_link || !in->origin_id) continue;
        in->origin = graph_find(g, in->origin_id);
        if (in->origin < 0 && (in->fault == LINK_OK || in->fault == LINK_BAD_SLOT_TYPE))
            in->fault = LINK_UNKNOWN_NODE;
        else if (in->origin >= 0 && in->fault == LINK_UNKNOWN_NODE)
            in->fault = LINK_OK;
    }
}

/* Each class is looked up once, however many nodes have it. */
static Status bind_class(GraphNode *n, const NodeTable *table, Map *seen, Error *err)
{
    n->def = NULL;
    if (!n->class_type) return OK;
    if (map_has(seen, n->class_type)) {
        n->def = map_get(seen, n->class_type);
        return OK;
    }
    n->def = node_find(table, n->class_type);
    /* The map only hands the pointer back; the descriptor stays const. */
    if (!map_put(seen, n->class_type, (void *)(uintptr_t)n->def)) return no_memory(err);
    return OK;
}

Status graph_bind(Graph *g, const NodeTable *table, Error *err)
{
    Status status = OK;
    Map seen = { 0 };

    for (int i = 0; i < g->count; i++) {
        bind_links(g, &g->nodes[i]);
        if (!table) continue;
        TRY_DONE(bind_class(&g->nodes[i], table, &seen, err));
        TRY_DONE(rows_of_node(g->arena, &g->nodes[i], err));
    }
done:
    map_fini(&seen);
    return status;
}

void graph_bind_links(Graph *g, int first)
{
    for (int i = first; i < g->count; i++)
        bind_links(g, &g->nodes[i]);
}

bool graph_slot(const GraphNode *origin, int64_t slot, int *out)
{
    int n = origin->def ? node_output_count(origin->def) : 0;

    if (slot < 0) slot += n;
    if (slot < 0 || slot >= n) return false;
    *out = (int)slot;
    return true;
}

bool graph_output_fits(const GraphNode *origin, int64_t slot, const Socket *input)
{
    int at;

    if (!origin->def) return true;
    return graph_slot(origin, slot, &at) &&
           socket_types_match(socket_type_name(&origin->def->outputs[at]),
                              socket_type_name(input));
}

/* ---- writing ----------------------------------------------------------------------------- */

static void write_text(Str *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void write_input(const GraphInput *in, Str *out)
{
    write_text(out, in->name);
    str_add(out, ": ");
    if (!in->is_link) {
        literal_write_json(out, &in->value);
    } else if (in->fault != LINK_OK && in->raw) {
        json_write(out, in->raw);
    } else {
        str_add_char(out, '[');
        write_text(out, in->origin_id ? in->origin_id : "");
        str_printf(out, ", %" PRId64 "]", in->slot);
    }
}

static void write_inputs(const GraphNode *n, Str *out)
{
    str_add(out, "\"inputs\": {");
    for (int i = 0; i < n->n_inputs; i++) {
        if (i) str_add(out, ", ");
        write_input(&n->inputs[i], out);
    }
    str_add_char(out, '}');
}

/* Members that are not ours (_meta and what other programs add) are kept as they stand. */
static void write_others(const GraphNode *n, Str *out)
{
    bool meta = false;

    for (const Json *m = n->raw ? json_first(n->raw) : NULL; m; m = json_next(m)) {
        const char *key = json_key(m);
        if (!strcmp(key, "inputs") || !strcmp(key, "class_type") || !strcmp(key, "is_changed"))
            continue;
        meta |= strcmp(key, "_meta") == 0;
        str_add(out, ", ");
        write_text(out, key);
        str_add(out, ": ");
        json_write(out, m);
    }
    if (!meta && n->title && !n->raw) {
        str_add(out, ", \"_meta\": {\"title\": ");
        write_text(out, n->title);
        str_add_char(out, '}');
    }
}

static void write_node(const GraphNode *n, Str *out)
{
    write_text(out, n->id);
    str_add(out, ": {");
    write_inputs(n, out);
    str_add(out, ", \"class_type\": ");
    if (n->class_type)
        write_text(out, n->class_type);
    else if (n->raw_class)
        json_write(out, n->raw_class);
    else
        str_add(out, "null");
    write_others(n, out);
    if (n->changed) {
        str_add(out, ", \"is_changed\": [");
        write_text(out, n->changed);
        str_add_char(out, ']');
    }
    str_add_char(out, '}');
}

void graph_write_api(const Graph *g, Str *out)
{
    str_add_char(out, '{');
    for (int i = 0; i < g->count; i++) {
        if (i) str_add(out, ", ");
        write_node(&g->nodes[i], out);
    }
    str_add_char(out, '}');
}
