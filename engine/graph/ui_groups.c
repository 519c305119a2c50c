/* ui_groups.c - old group nodes as subgraphs: each instance gets a body of its own.
 *
 * The document's extra.groupNodes holds the members and their wires; the instance holds all values, one
 * member's after the other's. What the members leave unconnected is what the instance shows.
 */
#include <stdio.h>
#include <string.h>

#include "engine/graph/ui_internal.h"

static const char *group_name(const char *type)
{
    return str_starts_with(type, "workflow/") || str_starts_with(type, "workflow>") ? type + 9
                                                                                    : NULL;
}

static Status refuse(const UiDoc *doc, const UiNode *node, const char *why, Error *err)
{
    error_set(err, E_UNSUPPORTED, "legacy_group_node: %s", why);
    error_fix(err, "open it in the editor, convert it to a subgraph and save again");
    return ui_at_node(doc, err, "E102", node);
}

static const Json *list_of(const Json *object, const char *key)
{
    const Json *list = json_get(object, key);

    return json_is(list, JSON_ARRAY) ? list : NULL;
}

/* ---- members ----------------------------------------------------------------------------- */

/* The part of the instance's values that belongs to a member. */
static void take_values(UiDoc *doc, const UiNode *instance, UiNode *member, int *at)
{
    const NodeDef *def = node_facts(doc->options->table, member->type);
    int n = member->values ? member->n_values : 0;

    if (!member->values && !def) def = node_find(doc->options->table, member->type);
    if (!member->values && def) n = ui_slot_count(def);
    if (!instance->values) return;
    if (n > instance->n_values - *at) n = instance->n_values - *at;
    member->values = instance->values + *at;
    member->n_values = n;
    *at += n;
}

static Status read_member(UiDoc *doc, const UiNode *instance, const Json *json, UiLevel *level,
                          int *at, Error *err)
{
    int index = level->n_nodes;
    UiNode *member = &level->nodes[index];
    const char *type = json_is(json, JSON_OBJECT) ? json_string(json_get(json, "type")) : NULL;

    if (!type) return refuse(doc, instance, "a member without type", err);
    *member = (UiNode){ .json = json, .type = type };
    member->own_id = arena_printf(doc->arena, "%d", ui_int(json_get(json, "index"), index));
    if (!member->own_id) return ui_no_memory(err);
    member->id = member->own_id;
    member->title = json_string(json_get(json, "title"));
    member->mode = ui_int(json_get(json, "mode"), 0);
    TRY(ui_read_values(doc, json_get(json, "widgets_values"), member, err));
    take_values(doc, instance, member, at);
    level->n_nodes++;
    return ui_map_first(&level->by_id, member->own_id, index) ? OK : ui_no_memory(err);
}

/* ---- wires ------------------------------------------------------------------------------- */

/* Wires of the definition are [from, slot, to, slot, ...]; an end outside is null. */
static bool read_wire(const UiLevel *level, const Json *wire, int end[4])
{
    const Json *m = json_is(wire, JSON_ARRAY) ? json_first(wire) : NULL;

    for (int i = 0; i < 4; i++, m = m ? json_next(m) : NULL)
        end[i] = m ? ui_int(m, -1) : -1;
    return end[0] >= 0 && end[2] >= 0 && end[0] < level->n_nodes && end[2] < level->n_nodes;
}

static const char boundary_input[] = "-10", boundary_output[] = "-20";

static void add_link(UiLevel *level, const Json *json, const char *origin, int origin_slot,
                     const char *target, int target_slot)
{
    level->links[level->n_links++] = (UiLink){ .json = json,
                                               .origin_id = origin,
                                               .target_id = target,
                                               .origin_slot = origin_slot,
                                               .target_slot = target_slot,
                                               .origin = FROM_NOWHERE };
}

/* One bit per socket of a member that an inner wire uses. */
typedef struct Wired {
    bool *in, *out;      /* by member start + slot */
    int *in_at, *out_at; /* starts */
} Wired;

static int count_list(const UiNode *node, const char *key)
{
    const Json *list = list_of(node->json, key);

    return list ? (int)json_count(list) : 0;
}

static Status wired_new(UiDoc *doc, const UiLevel *level, Wired *w, int *sockets, Error *err)
{
    size_t n = (size_t)level->n_nodes + 1;
    int in = 0, out = 0;

    w->in_at = arena_array(doc->arena, n, sizeof *w->in_at);
    w->out_at = arena_array(doc->arena, n, sizeof *w->out_at);
    if (!w->in_at || !w->out_at) return ui_no_memory(err);
    for (int i = 0; i < level->n_nodes; i++) {
        w->in_at[i] = in;
        w->out_at[i] = out;
        in += count_list(&level->nodes[i], "inputs");
        out += count_list(&level->nodes[i], "outputs");
    }
    w->in_at[level->n_nodes] = in;
    w->out_at[level->n_nodes] = out;
    w->in = arena_array(doc->arena, (size_t)in + 1, sizeof *w->in);
    w->out = arena_array(doc->arena, (size_t)out + 1, sizeof *w->out);
    *sockets = in + out;
    return w->in && w->out ? OK : ui_no_memory(err);
}

static void mark(bool *bits, const int *at, int node, int slot)
{
    if (slot >= 0 && slot < at[node + 1] - at[node]) bits[at[node] + slot] = true;
}

static void read_wires(UiLevel *level, const Json *wires, Wired *w)
{
    int end[4];

    for (const Json *m = wires ? json_first(wires) : NULL; m; m = json_next(m)) {
        if (!read_wire(level, m, end)) continue;
        mark(w->out, w->out_at, end[0], end[1]);
        mark(w->in, w->in_at, end[2], end[3]);
        add_link(level, m, level->nodes[end[0]].own_id, end[1], level->nodes[end[2]].own_id,
                 end[3]);
    }
}

/* Outputs that are used outside although a member inside uses them too: [member or index, slot, type]. */
static void read_external(const UiLevel *level, const Json *external, Wired *w)
{
    for (const Json *m = external ? json_first(external) : NULL; m; m = json_next(m)) {
        const Json *first = json_is(m, JSON_ARRAY) ? json_first(m) : NULL;
        const Json *slot = first ? json_next(first) : NULL;
        const Json *index = json_is(first, JSON_OBJECT) ? json_get(first, "index") : first;
        int node = ui_int(index, -1), s = ui_int(slot, -1);
        if (node < 0 || node >= level->n_nodes || s < 0) continue;
        if (s < w->out_at[node + 1] - w->out_at[node]) w->out[w->out_at[node] + s] = false;
    }
}

/* ---- what the instance shows ------------------------------------------------------------- */

static bool hidden_by_config(const Json *config, const UiNode *member, const char *side,
                             const char *name)
{
    const Json *m = json_is(config, JSON_OBJECT) ? json_get(config, member->own_id) : NULL;

    m = json_is(m, JSON_OBJECT) ? json_get(m, side) : NULL;
    m = json_is(m, JSON_OBJECT) ? json_get(m, name) : NULL;
    m = json_is(m, JSON_OBJECT) ? json_get(m, "visible") : NULL;
    return json_is(m, JSON_BOOL) && !json_bool(m);
}

static UiPort port_of(const Json *socket)
{
    bool object = json_is(socket, JSON_OBJECT);
    const char *name = object ? json_string(json_get(socket, "name")) : NULL;
    const char *type = object ? json_string(json_get(socket, "type")) : NULL;

    return (UiPort){ .name = name ? name : "", .type = type ? type : "*", .link = -1 };
}

static bool is_widget_socket(const UiDoc *doc, const UiNode *member, const Json *input)
{
    const NodeDef *def = node_facts(doc->options->table, member->type);
    const char *name =
        json_is(input, JSON_OBJECT) ? json_string(json_get(input, "name")) : NULL;
    const Socket *row = def && name ? node_input(def, name, NULL) : NULL;

    if (row) return socket_is_widget(row);
    return json_is(input, JSON_OBJECT) && json_is(json_get(input, "widget"), JSON_OBJECT);
}

static void show_inputs(UiDoc *doc, UiLevel *level, int i, const Json *config, const Wired *w)
{
    const UiNode *member = &level->nodes[i];
    const Json *list = list_of(member->json, "inputs");
    int slot = 0;

    if (strcmp(member->type, "PrimitiveNode") == 0) return;
    for (const Json *m = list ? json_first(list) : NULL; m; m = json_next(m), slot++) {
        UiPort port = port_of(m);
        if (w->in[w->in_at[i] + slot] || is_widget_socket(doc, member, m)) continue;
        if (hidden_by_config(config, member, "input", port.name)) continue;
        add_link(level, m, boundary_input, level->n_inputs, member->own_id, slot);
        level->inputs[level->n_inputs++] = port;
    }
}

static void show_outputs(UiLevel *level, int i, const Json *config, const Wired *w)
{
    const UiNode *member = &level->nodes[i];
    const Json *list = list_of(member->json, "outputs");
    char text[16];
    int slot = 0;

    if (strcmp(member->type, "Reroute") == 0) return;
    for (const Json *m = list ? json_first(list) : NULL; m; m = json_next(m), slot++) {
        snprintf(text, sizeof text, "%d", slot);
        if (w->out[w->out_at[i] + slot] || hidden_by_config(config, member, "output", text))
            continue;
        add_link(level, m, member->own_id, slot, boundary_output, level->n_outputs);
        level->outputs[level->n_outputs++] = port_of(m);
    }
}

static Status connect(UiDoc *doc, UiLevel *level, const Json *group, Error *err)
{
    const Json *wires = list_of(group, "links"), *config = json_get(group, "config");
    Wired w = { 0 };
    int sockets = 0;

    TRY(wired_new(doc, level, &w, &sockets, err));
    size_t most = (size_t)sockets + (wires ? json_count(wires) : 0) + 1;
    level->links = arena_array(doc->arena, most, sizeof *level->links);
    level->inputs = arena_array(doc->arena, (size_t)sockets + 1, sizeof *level->inputs);
    level->outputs = arena_array(doc->arena, (size_t)sockets + 1, sizeof *level->outputs);
    if (!level->links || !level->inputs || !level->outputs) return ui_no_memory(err);
    read_wires(level, wires, &w);
    read_external(level, list_of(group, "external"), &w);
    for (int i = 0; i < level->n_nodes; i++) {
        show_inputs(doc, level, i, config, &w);
        show_outputs(level, i, config, &w);
    }
    return OK;
}

/* ---- instances --------------------------------------------------------------------------- */

static Status too_many(const UiDoc *doc, const UiNode *node, Error *err)
{
    error_set(err, E_LIMIT, "group nodes expand to more than %d nodes", UI_NODES_MAX);
    return ui_at_node(doc, err, "E105", node);
}

static Status make_body(UiDoc *doc, UiNode *instance, const Json *group, int *total, Error *err)
{
    const Json *members = list_of(group, "nodes");
    UiLevel *level;
    int at = 0;

    if (!members) return refuse(doc, instance, "its definition has no nodes", err);
    *total += (int)json_count(members) + 1;
    if (*total > UI_NODES_MAX) return too_many(doc, instance, err);
    TRY(ui_add_level(doc, group, &level, err));
    level->id = instance->type;
    level->group = true;
    level->nodes = arena_array(doc->arena, json_count(members) + 1, sizeof *level->nodes);
    if (!level->nodes) return ui_no_memory(err);
    for (const Json *m = json_first(members); m; m = json_next(m))
        TRY(read_member(doc, instance, m, level, &at, err));
    instance->kind = UI_INSTANCE;
    instance->body = level;
    return connect(doc, level, group, err);
}

static const Json *group_nodes(const UiDoc *doc)
{
    const Json *extra = json_get(doc->root, "extra");
    const Json *groups = json_is(extra, JSON_OBJECT) ? json_get(extra, "groupNodes") : NULL;

    return json_is(groups, JSON_OBJECT) ? groups : NULL;
}

/* ---- sizes, before anything is built ------------------------------------------------------ */

/* One definition on the way down; sizes are kept by name, -1 while a definition is open. */
typedef struct Open {
    const char *name;
    const Json *member; /* to look at next */
    int64_t size;
} Open;

static const Json *group_of_type(const Json *groups, const char *type, const char **name)
{
    *name = type ? group_name(type) : NULL;
    return *name ? json_get(groups, *name) : NULL;
}

static const Json *first_member(const Json *group)
{
    const Json *members = json_is(group, JSON_OBJECT) ? list_of(group, "nodes") : NULL;

    return members ? json_first(members) : NULL;
}

static bool keep_size(Map *sizes, const char *name, int64_t size)
{
    if (size > UI_NODES_MAX) size = UI_NODES_MAX + 1;
    return map_put(sizes, name, (void *)(intptr_t)(size + 2));
}

/* Works out the size of one definition and of all inside it. */
static Status size_group(const UiDoc *doc, const UiNode *at, const Json *groups,
                         const char *name, Map *sizes, Open *stack, size_t depth_max,
                         Error *err)
{
    size_t depth = 1;

    stack[0] = (Open){ name, first_member(json_get(groups, name)), 1 };
    if (!keep_size(sizes, name, -1)) return ui_no_memory(err);
    while (depth > 0) {
        Open *top = &stack[depth - 1];
        const Json *m = top->member, *inner;
        const char *inner_name;
        if (!m) {
            if (!keep_size(sizes, top->name, top->size)) return ui_no_memory(err);
            if (--depth > 0) stack[depth - 1].size += top->size;
            continue;
        }
        top->member = json_next(m);
        top->size += top->size <= UI_NODES_MAX;
        inner = json_is(m, JSON_OBJECT)
                    ? group_of_type(groups, json_string(json_get(m, "type")), &inner_name)
                    : NULL;
        if (!inner) continue;
        int64_t known = (intptr_t)map_get(sizes, inner_name) - 2;
        if (known >= 0) {
            top->size += known;
        } else if (known == -1 || depth == depth_max) {
            error_set(err, E_WORKFLOW, "subgraph_cycle: group node %s holds itself",
                      inner_name);
            error_fix(err, "take the instance out of its own definition");
            return ui_at_node(doc, err, "E105", at);
        } else {
            stack[depth++] = (Open){ inner_name, first_member(inner), 1 };
            if (!keep_size(sizes, inner_name, -1)) return ui_no_memory(err);
        }
    }
    return OK;
}

static Status check_sizes(UiDoc *doc, const Json *groups, Error *err)
{
    size_t n = json_count(groups) + 1;
    Open *stack = arena_array(doc->arena, n + 1, sizeof *stack);
    Map sizes = { 0 };
    int64_t total = 0;
    Status status = stack ? OK : ui_no_memory(err);

    for (int i = 0; i < doc->n_levels && status == OK; i++)
        for (int k = 0; k < doc->levels[i]->n_nodes && status == OK; k++) {
            const UiNode *node = &doc->levels[i]->nodes[k];
            const char *name;
            if (!group_of_type(groups, node->type, &name)) continue;
            if (!map_has(&sizes, name))
                status = size_group(doc, node, groups, name, &sizes, stack, n, err);
            total += (intptr_t)map_get(&sizes, name) - 2;
            if (status == OK && total > UI_NODES_MAX) status = too_many(doc, node, err);
        }
    map_fini(&sizes);
    return status;
}

Status ui_groups(UiDoc *doc, Error *err)
{
    const Json *groups = group_nodes(doc);
    int total = 0;

    if (groups) TRY(check_sizes(doc, groups, err));

    for (int i = 0; i < doc->n_levels; i++) { /* grows while it runs */
        UiLevel *level = doc->levels[i];
        for (int k = 0; k < level->n_nodes; k++) {
            UiNode *node = &level->nodes[k];
            const char *name = group_name(node->type);
            const Json *group = name && groups ? json_get(groups, name) : NULL;
            if (!name) continue;
            if (!json_is(group, JSON_OBJECT))
                return refuse(doc, node, "it is not defined", err);
            TRY(make_body(doc, node, group, &total, err));
        }
    }
    return OK;
}
