/* ui_read.c - the document's nodes, wires and definitions as plain structs, nothing interpreted. */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/ui_internal.h"

/* ---- helpers ----------------------------------------------------------------------------- */

Status ui_no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while reading a workflow");
}

Status ui_at(const UiDoc *doc, Error *err, const char *rule, const Json *at)
{
    if (!err) return E_FORMAT;
    memcpy(err->rule, rule, strlen(rule) + 1);
    if (at && err->offset < 0) {
        err->offset = json_offset(at);
        json_line_column(doc->json, err->offset, &err->line, &err->column);
    }
    return err->status;
}

Status ui_at_node(const UiDoc *doc, Error *err, const char *rule, const UiNode *node)
{
    error_at_node(err, node->id ? node->id : node->own_id, node->type);
    return ui_at(doc, err, rule, node->json);
}

Status ui_note(UiDoc *doc, Error *note, const char *rule, Severity severity, const UiNode *node,
               Error *err)
{
    note->severity = severity;
    if (node)
        ui_at_node(doc, note, rule, node);
    else
        ui_at(doc, note, rule, NULL);
    return graph_note(doc->graph, note, node ? node->json : NULL, err);
}

const char *ui_text(const Json *value)
{
    if (json_is(value, JSON_STRING)) return json_string(value);
    return json_is(value, JSON_NUMBER) ? json_number_text(value) : NULL;
}

int ui_int(const Json *value, int fallback)
{
    int64_t v;

    if (!json_is(value, JSON_NUMBER)) return fallback;
    if (!json_int64(value, &v)) {
        double d = json_double(value);
        if (!(d > -1e9 && d < 1e9)) return fallback;
        v = (int64_t)d;
    }
    return v < -INT32_MAX || v > INT32_MAX ? fallback : (int)v;
}

int ui_index(const Map *map, const char *key)
{
    return key ? (int)(intptr_t)map_get(map, key) - 1 : -1;
}

bool ui_map_first(Map *map, const char *key, int index)
{
    return map_has(map, key) || map_put(map, key, (void *)(intptr_t)(index + 1));
}

/* ---- nodes ------------------------------------------------------------------------------- */

Status ui_read_values(UiDoc *doc, const Json *values, UiNode *out, Error *err)
{
    int n = 0;

    if (json_is(values, JSON_OBJECT)) out->named = values;
    if (!json_is(values, JSON_ARRAY)) return OK;
    out->values = arena_array(doc->arena, json_count(values) + 1, sizeof *out->values);
    if (!out->values) return ui_no_memory(err);
    for (const Json *v = json_first(values); v; v = json_next(v))
        out->values[n++] = v;
    out->n_values = n;
    return OK;
}

static int read_mode(const Json *mode)
{
    int m = ui_int(mode, 0);

    return m == MODE_MUTE || m == MODE_BYPASS ? m : 0;
}

Status ui_read_node(UiDoc *doc, const Json *json, UiNode *out, Error *err)
{
    const Json *id = json_is(json, JSON_OBJECT) ? json_get(json, "id") : NULL, *named;

    *out = (UiNode){ .json = json, .own_id = ui_text(id), .body = NULL };
    if (json_is(json, JSON_OBJECT)) out->type = json_string(json_get(json, "type"));
    if (!out->own_id || !out->type) {
        error_set(err, E_FORMAT, "a node without %s", out->own_id ? "type" : "id");
        error_fix(err, "save the workflow again, or remove the entry");
        error_at_node(err, out->own_id, NULL);
        return ui_at(doc, err, "E102", json);
    }
    out->id = out->own_id;
    out->title = json_string(json_get(json, "title"));
    out->mode = read_mode(json_get(json, "mode"));
    named = json_get(json, "widgets_values_named");
    TRY(ui_read_values(doc, json_get(json, "widgets_values"), out, err));
    if (json_is(named, JSON_OBJECT)) out->named = named;
    return OK;
}

static Status read_nodes(UiDoc *doc, UiLevel *level, Error *err)
{
    const Json *nodes = json_get(level->json, "nodes");

    level->nodes = arena_array(doc->arena, json_count(nodes) + 1, sizeof *level->nodes);
    if (!level->nodes) return ui_no_memory(err);
    for (const Json *m = json_first(nodes); m; m = json_next(m)) {
        UiNode *node = &level->nodes[level->n_nodes];
        TRY(ui_read_node(doc, m, node, err));
        if (!ui_map_first(&level->by_id, node->own_id, level->n_nodes))
            return ui_no_memory(err);
        level->n_nodes++;
    }
    return OK;
}

/* ---- wires ------------------------------------------------------------------------------- */

static Status bad_link(const UiDoc *doc, const Json *json, Error *err)
{
    error_set(err, E_FORMAT,
              "a link that is neither [id, origin, slot, target, slot, type] nor "
              "an object with these fields");
    error_fix(err, "save the workflow again, or remove the entry");
    return ui_at(doc, err, "E102", json);
}

static Status read_link(UiDoc *doc, UiLevel *level, const Json *json, Error *err)
{
    static const char *const keys[] = { "id", "origin_id", "origin_slot", "target_id",
                                        "target_slot" };
    const Json *field[5] = { NULL }, *m = json_is(json, JSON_ARRAY) ? json_first(json) : NULL;
    UiLink *link = &level->links[level->n_links];
    const char *id;

    for (int i = 0; i < 5; i++) {
        field[i] = json_is(json, JSON_OBJECT) ? json_get(json, keys[i]) : m;
        m = m ? json_next(m) : NULL;
    }
    id = ui_text(field[0]);
    if (!id || !ui_text(field[1])) return bad_link(doc, json, err);
    *link = (UiLink){ .json = json,
                      .origin_id = ui_text(field[1]),
                      .target_id = ui_text(field[3]),
                      .origin_slot = ui_int(field[2], -1),
                      .target_slot = ui_int(field[4], -1),
                      .origin = FROM_NOWHERE };
    if (!map_put(&level->link_id, id, (void *)(intptr_t)(level->n_links + 1)))
        return ui_no_memory(err);
    level->n_links++;
    return OK;
}

/* Wires that the Anything Everywhere pack keeps beside the table: they serve inputs that nothing else feeds. */
static Status read_everywhere(UiDoc *doc, UiLevel *level, const Json *list, Error *err)
{
    for (const Json *m = list ? json_first(list) : NULL; m; m = json_next(m)) {
        bool object = json_is(m, JSON_OBJECT);
        const char *from = object ? ui_text(json_get(m, "upstream")) : NULL;
        const char *to = object ? ui_text(json_get(m, "downstream")) : NULL;
        if (!from || !to) return bad_link(doc, m, err);
        level->links[level->n_links++] =
            (UiLink){ .json = m,
                      .origin_id = from,
                      .target_id = to,
                      .origin_slot = ui_int(json_get(m, "upstream_slot"), -1),
                      .target_slot = ui_int(json_get(m, "downstream_slot"), -1),
                      .origin = FROM_NOWHERE };
    }
    return OK;
}

const Json *ui_everywhere(const Json *level)
{
    const Json *extra = json_get(level, "extra");
    const Json *list = json_is(extra, JSON_OBJECT) ? json_get(extra, "ue_links") : NULL;

    return json_is(list, JSON_ARRAY) ? list : NULL;
}

static Status read_links(UiDoc *doc, UiLevel *level, Error *err)
{
    const Json *links = json_get(level->json, "links"), *more = ui_everywhere(level->json);
    size_t n = links && json_kind(links) >= JSON_ARRAY ? json_count(links) : 0;

    level->links =
        arena_array(doc->arena, n + (more ? json_count(more) : 0) + 1, sizeof *level->links);
    if (!level->links) return ui_no_memory(err);
    for (const Json *m = n ? json_first(links) : NULL; m; m = json_next(m))
        if (!json_is(m, JSON_NULL)) TRY(read_link(doc, level, m, err));
    return read_everywhere(doc, level, more, err);
}

/* ---- definitions ------------------------------------------------------------------------- */

static Status read_ports(UiDoc *doc, const Json *list, UiPort **out, int *count, Error *err)
{
    int n = 0;

    *out = arena_array(doc->arena, json_is(list, JSON_ARRAY) ? json_count(list) + 1 : 1,
                       sizeof **out);
    if (!*out) return ui_no_memory(err);
    for (const Json *m = json_is(list, JSON_ARRAY) ? json_first(list) : NULL; m;
         m = json_next(m)) {
        UiPort *port = &(*out)[n++];
        *port = (UiPort){ .name = "", .type = "*", .link = -1 };
        if (!json_is(m, JSON_OBJECT)) continue;
        if (json_string(json_get(m, "name"))) port->name = json_string(json_get(m, "name"));
        if (json_string(json_get(m, "type"))) port->type = json_string(json_get(m, "type"));
        port->link_ids = json_get(m, "linkIds");
    }
    *count = n;
    return OK;
}

Status ui_add_level(UiDoc *doc, const Json *json, UiLevel **out, Error *err)
{
    UiLevel *level;

    if (doc->n_levels == doc->level_capacity) {
        int capacity = doc->level_capacity ? doc->level_capacity * 2 : 16;
        UiLevel **levels = mem_realloc(doc->levels, (size_t)capacity * sizeof(UiLevel *));
        if (!levels) return ui_no_memory(err);
        doc->levels = levels;
        doc->level_capacity = capacity;
    }
    level = arena_alloc(doc->arena, sizeof *level);
    if (!level) return ui_no_memory(err);
    level->json = json;
    level->index = doc->n_levels;
    doc->levels[doc->n_levels++] = level;
    *out = level;
    return OK;
}

static Status fill_level(UiDoc *doc, UiLevel *level, Error *err)
{
    TRY(read_nodes(doc, level, err));
    TRY(read_links(doc, level, err));
    TRY(read_ports(doc, json_get(level->json, "inputs"), &level->inputs, &level->n_inputs,
                   err));
    return read_ports(doc, json_get(level->json, "outputs"), &level->outputs, &level->n_outputs,
                      err);
}

static const Json *definitions_of(const Json *level)
{
    const Json *list = json_get(level, "definitions");

    list = json_is(list, JSON_OBJECT) ? json_get(list, "subgraphs") : NULL;
    return json_is(list, JSON_ARRAY) ? json_first(list) : NULL;
}

static Status read_definition(UiDoc *doc, const Json *json, Error *err)
{
    UiLevel *level;
    const char *id = json_is(json, JSON_OBJECT) ? ui_text(json_get(json, "id")) : NULL;

    if (!id || !json_is(json_get(json, "nodes"), JSON_ARRAY)) {
        error_set(err, E_FORMAT, "a subgraph definition without %s", id ? "nodes" : "id");
        return ui_at(doc, err, "E102", json);
    }
    TRY(ui_add_level(doc, json, &level, err));
    level->id = id;
    if (!ui_map_first(&doc->level_by_id, id, doc->n_levels - 1)) return ui_no_memory(err);
    return fill_level(doc, level, err);
}

/* Lists inside definitions stand behind their parent: a stack of places in lists, as deep as JSON goes. */
static Status read_definitions(UiDoc *doc, Error *err)
{
    const Json *stack[JSON_MAX_DEPTH] = { definitions_of(doc->root) };
    int depth = 1;

    while (depth > 0) {
        const Json *at = stack[depth - 1], *inner;
        if (!at) {
            depth--;
            continue;
        }
        stack[depth - 1] = json_next(at);
        TRY(read_definition(doc, at, err));
        inner = definitions_of(at);
        if (inner && depth < JSON_MAX_DEPTH) stack[depth++] = inner;
    }
    return OK;
}

Status ui_read(UiDoc *doc, Error *err)
{
    UiLevel *root = NULL;

    TRY(ui_add_level(doc, doc->root, &root, err));
    TRY(fill_level(doc, root, err));
    return read_definitions(doc, err);
}
