/* ui_subgraph.c - promoted values: which inputs of a definition reach a widget, and what each instance says.
 *
 * Definitions are taken inner ones first, so that a promoted input of an inner instance is known when the
 * definition around it asks. An instance's values stand by position over the promoted inputs; older files
 * list them by inner node and widget (proxyWidgets), with values that a second pass applies.
 */
#include <string.h>

#include "engine/graph/ui_internal.h"

/* ---- order of definitions ---------------------------------------------------------------- */

static Status recursive(const UiDoc *doc, Error *err)
{
    for (int i = 0; i < doc->n_levels; i++) {
        const UiLevel *level = doc->levels[i];
        for (int k = 0; k < level->n_nodes && !level->done; k++) {
            const UiNode *node = &level->nodes[k];
            if (!node->body || node->body->done) continue;
            error_set(err, E_WORKFLOW, "subgraph_cycle: subgraph %s holds itself", node->type);
            error_fix(err, "take the instance out of its own definition");
            return ui_at_node(doc, err, "E105", node);
        }
    }
    return OK;
}

/* Instances by body: at[b] starts the list of levels that hold an instance of body b. */
typedef struct Users {
    int *at, *level;
} Users;

/* Counts the instances of body b in at[b + 2], so that filling ends with at[b] as its start. */
static size_t count_users(UiDoc *doc, Users *u)
{
    size_t n = 0;

    for (int i = 0; i < doc->n_levels; i++) {
        UiLevel *level = doc->levels[i];
        for (int k = 0; k < level->n_nodes; k++) {
            if (!level->nodes[k].body) continue;
            u->at[level->nodes[k].body->index + 2]++;
            level->pending++;
            n++;
        }
    }
    return n;
}

static void fill_users(UiDoc *doc, Users *u)
{
    for (int i = 0; i < doc->n_levels; i++) {
        const UiLevel *level = doc->levels[i];
        for (int k = 0; k < level->n_nodes; k++)
            if (level->nodes[k].body) u->level[u->at[level->nodes[k].body->index + 1]++] = i;
    }
}

static Status find_users(UiDoc *doc, Users *u, Error *err)
{
    size_t n;

    u->at = arena_array(doc->arena, (size_t)doc->n_levels + 2, sizeof *u->at);
    if (!u->at) return ui_no_memory(err);
    n = count_users(doc, u);
    u->level = arena_array(doc->arena, n + 1, sizeof *u->level);
    if (!u->level) return ui_no_memory(err);
    for (int b = 2; b < doc->n_levels + 2; b++)
        u->at[b] += u->at[b - 1];
    fill_users(doc, u);
    return OK;
}

/* Inner definitions first (Kahn's topological order); one that never comes up holds itself. */
static Status sort_levels(UiDoc *doc, Error *err)
{
    Users users;
    int n = 0;

    TRY(find_users(doc, &users, err));
    doc->order = arena_array(doc->arena, (size_t)doc->n_levels + 1, sizeof(UiLevel *));
    if (!doc->order) return ui_no_memory(err);
    for (int i = 0; i < doc->n_levels; i++)
        if (doc->levels[i]->pending == 0) doc->order[n++] = doc->levels[i];
    for (int i = 0; i < n; i++) {
        int b = doc->order[i]->index;
        doc->order[i]->done = true;
        for (int k = users.at[b]; k < users.at[b + 1]; k++) {
            UiLevel *user = doc->levels[users.level[k]];
            if (--user->pending == 0) doc->order[n++] = user;
        }
    }
    return n == doc->n_levels ? OK : recursive(doc, err);
}

/* ---- which inputs are promoted ------------------------------------------------------------ */

static bool widget_behind(const UiNode *node, int socket, UiWidget *out)
{
    const UiSocket *s = &node->inputs[socket];
    const UiWidget *w = node->kind == UI_CLASS ? ui_widget(node, s->name) : NULL;

    if (node->body) {
        if (!node->body->inputs[socket].promoted) return false;
        *out = node->host[socket];
        return true;
    }
    if (!w && !s->widget) return false;
    *out = w ? *w : (UiWidget){ .name = s->name };
    return node->kind == UI_CLASS;
}

/* Where each wire of a level ends, as inputs have it. */
typedef struct End {
    int node, socket;
} End;

static void find_ends(const UiLevel *level, End *ends)
{
    for (int i = 0; i < level->n_links; i++)
        ends[i].node = -1;
    for (int i = 0; i < level->n_nodes; i++)
        for (int k = 0; k < level->nodes[i].n_inputs; k++) {
            int link = level->nodes[i].inputs[k].link;
            if (link >= 0) ends[link] = (End){ i, k };
        }
}

static void promote(UiLevel *level, const UiLink *link, const End *end)
{
    int k = link->origin_slot;
    UiPort *port = k >= 0 && k < level->n_inputs ? &level->inputs[k] : NULL;

    if (link->origin != FROM_BOUNDARY || end->node < 0 || !port || port->promoted) return;
    port->promoted = widget_behind(&level->nodes[end->node], end->socket, &port->first);
}

static Status promote_ports(UiDoc *doc, UiLevel *level, Error *err)
{
    End *ends = arena_array(doc->arena, (size_t)level->n_links + 1, sizeof *ends);

    if (!ends) return ui_no_memory(err);
    find_ends(level, ends);
    for (int k = 0; k < level->n_inputs; k++) {
        const Json *ids = level->inputs[k].link_ids;
        for (const Json *m = json_is(ids, JSON_ARRAY) ? json_first(ids) : NULL; m;
             m = json_next(m)) {
            int link = ui_index(&level->link_id, ui_text(m));
            if (link >= 0 && level->links[link].origin_slot == k)
                promote(level, &level->links[link], &ends[link]);
        }
    }
    for (int i = 0; i < level->n_links; i++)
        promote(level, &level->links[i], &ends[i]);
    return OK;
}

/* ---- what an instance says ----------------------------------------------------------------- */

static Status set_host(UiDoc *doc, UiNode *node, int k, const Json *value, Error *err)
{
    node->host[k].has = true;
    return literal_from_json(doc->graph->arena, value, &node->host[k].value, err);
}

static int port_named(const UiLevel *body, const char *name)
{
    for (int k = 0; name && k < body->n_inputs; k++)
        if (strcmp(body->inputs[k].name, name) == 0) return k;
    return -1;
}

/* By position over the promoted inputs, or by name when there is no array. */
static Status set_by_position(UiDoc *doc, UiNode *node, Error *err)
{
    int at = 0;

    for (int k = 0; k < node->body->n_inputs; k++) {
        const Json *named;
        if (!node->body->inputs[k].promoted) continue;
        named = !node->values && node->named ? json_get(node->named, node->body->inputs[k].name)
                                             : NULL;
        if (at < node->n_values) TRY(set_host(doc, node, k, node->values[at], err));
        if (named) TRY(set_host(doc, node, k, named, err));
        at++;
    }
    return OK;
}

static Status add_override(UiDoc *doc, UiNode *node, int inner, const char *name,
                           const Json *value, Error *err)
{
    UiOverride *o = arena_alloc(doc->arena, sizeof *o);

    if (!o) return ui_no_memory(err);
    *o = (UiOverride){ .node = inner, .name = name, .next = node->overrides };
    node->overrides = o;
    return literal_from_json(doc->graph->arena, value, &o->value, err);
}

/* A value for a primitive inside reaches all widgets that it is wired to, as it is. */
static Status override_targets(UiDoc *doc, UiNode *node, int primitive, const Json *value,
                               Error *err)
{
    const UiLevel *body = node->body;

    for (int i = 0; i < body->n_nodes; i++)
        for (int k = 0; k < body->nodes[i].n_inputs; k++) {
            const UiSocket *s = &body->nodes[i].inputs[k];
            if (s->link >= 0 && body->links[s->link].origin == primitive &&
                ui_widget(&body->nodes[i], s->name))
                TRY(add_override(doc, node, i, s->name, value, err));
        }
    return OK;
}

static int socket_named(const UiNode *node, const char *name)
{
    for (int k = 0; k < node->n_inputs; k++)
        if (strcmp(node->inputs[k].name, name) == 0) return k;
    return -1;
}

/* One entry of the old list with its value. */
static Status set_proxy(UiDoc *doc, UiNode *node, const char *id, const char *name,
                        const Json *value, Error *err)
{
    const UiLevel *body = node->body;
    int port = strcmp(id, "-1") == 0 ? port_named(body, name) : -1;
    int inner = ui_index(&body->by_id, id), socket = -1;

    if (port >= 0) return set_host(doc, node, port, value, err);
    if (inner < 0 || strncmp(name, "$$", 2) == 0) return OK;
    const UiNode *target = &body->nodes[inner];
    if (target->kind == UI_PRIMITIVE) return override_targets(doc, node, inner, value, err);
    socket = socket_named(target, name);
    if (socket >= 0 && target->inputs[socket].link >= 0) {
        const UiLink *link = &body->links[target->inputs[socket].link];
        if (link->origin == FROM_BOUNDARY && link->origin_slot >= 0 &&
            link->origin_slot < body->n_inputs)
            return set_host(doc, node, link->origin_slot, value, err);
    }
    bool known = target->body ? socket >= 0 && target->body->inputs[socket].promoted
                              : ui_widget(target, name) != NULL;
    return known ? add_override(doc, node, inner, name, value, err) : OK;
}

static const Json *property(const UiNode *node, const char *name)
{
    const Json *properties = json_get(node->json, "properties");
    const Json *list = json_is(properties, JSON_OBJECT) ? json_get(properties, name) : NULL;

    return json_is(list, JSON_ARRAY) ? json_first(list) : NULL;
}

static Status set_by_proxies(UiDoc *doc, UiNode *node, Error *err)
{
    int i = 0;

    for (const Json *m = property(node, "proxyWidgets"); m && i < node->n_values;
         m = json_next(m), i++) {
        const Json *first = json_is(m, JSON_ARRAY) ? json_first(m) : NULL;
        const char *id = ui_text(first), *name = first ? ui_text(json_next(first)) : NULL;
        if (id && name) TRY(set_proxy(doc, node, id, name, node->values[i], err));
    }
    return OK;
}

/* Values that the editor kept aside when it could not place them: only those of a named input count. */
static Status set_by_quarantine(UiDoc *doc, UiNode *node, Error *err)
{
    for (const Json *m = property(node, "proxyWidgetErrorQuarantine"); m; m = json_next(m)) {
        const Json *entry = json_is(m, JSON_OBJECT) ? json_get(m, "originalEntry") : NULL;
        const Json *value = json_is(m, JSON_OBJECT) ? json_get(m, "hostValue") : NULL;
        const Json *first = json_is(entry, JSON_ARRAY) ? json_first(entry) : NULL;
        const char *id = ui_text(first);
        int k = first && id && strcmp(id, "-1") == 0
                    ? port_named(node->body, ui_text(json_next(first)))
                    : -1;
        if (k >= 0 && value) TRY(set_host(doc, node, k, value, err));
    }
    return OK;
}

static Status set_instance(UiDoc *doc, UiNode *node, Error *err)
{
    node->host = arena_array(doc->arena, (size_t)node->body->n_inputs + 1, sizeof *node->host);
    if (!node->host) return ui_no_memory(err);
    for (int k = 0; k < node->body->n_inputs; k++)
        node->host[k] = node->body->inputs[k].promoted ? node->body->inputs[k].first
                                                       : (UiWidget){ .name = "" };
    if (node->body->group) return OK;
    TRY(set_by_position(doc, node, err));
    TRY(set_by_proxies(doc, node, err));
    return set_by_quarantine(doc, node, err);
}

Status ui_subgraphs(UiDoc *doc, Error *err)
{
    TRY(sort_levels(doc, err));
    for (int i = 0; i < doc->n_levels; i++) {
        UiLevel *level = doc->order[i];
        for (int k = 0; k < level->n_nodes; k++)
            if (level->nodes[k].body) TRY(set_instance(doc, &level->nodes[k], err));
        TRY(promote_ports(doc, level, err));
    }
    return OK;
}
