/* fix_ui.c - corrections of UI documents: wires stand in a table, and once more at both of their ends.
 *
 * A wire [id, origin, slot, target, slot, type] is named by its target's input and listed by its origin's
 * output (by the boundary of a definition, -10, where it comes from outside). All three are kept in step.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base/map.h"
#include "engine/base/mem.h"
#include "engine/graph/fix_internal.h"
#include "engine/graph/ui_internal.h"

typedef enum LinkField {
    LINK_ID,
    LINK_ORIGIN,
    LINK_ORIGIN_SLOT,
    LINK_TARGET,
    LINK_TARGET_SLOT
} LinkField;

static const Json *member(const Json *object, const char *key)
{
    return json_is(object, JSON_OBJECT) ? json_get(object, key) : NULL;
}

static const Json *field(const Json *link, LinkField which)
{
    static const char *const keys[] = { "id", "origin_id", "origin_slot", "target_id",
                                        "target_slot" };

    return json_is(link, JSON_ARRAY) ? json_at(link, which) : member(link, keys[which]);
}

static const char *field_text(const Json *link, LinkField which)
{
    const Json *value = field(link, which);
    const char *text = value ? ui_text(value) : NULL;

    return text ? text : "";
}

static const Json *definitions(const Json *root)
{
    const Json *list = member(member(root, "definitions"), "subgraphs");

    return json_is(list, JSON_ARRAY) ? list : NULL;
}

/* The drawing or definition whose list of nodes a node stands in; NULL when it stands elsewhere, or wires are
 * tangled. */
static const Json *level_of(const Fixer *x, const Json *node)
{
    const Json *level = node && x->plain ? json_parent(json_parent(node)) : NULL;
    const Json *root = x->graph->root;

    if (!level || member(level, "nodes") != json_parent(node)) return NULL;
    if (level != root && (!definitions(root) || json_parent(level) != definitions(root)))
        return NULL;
    return level;
}

static const Json *first_link(const Json *level)
{
    const Json *links = member(level, "links");

    return json_is(links, JSON_ARRAY) ? json_first(links) : NULL;
}

static const char *id_of(const Json *node)
{
    const char *id = member(node, "id") ? ui_text(member(node, "id")) : NULL;

    return id ? id : "";
}

/* ---- nodes and wires by id --------------------------------------------------------------- */

typedef enum Side { FROM, INTO } Side;

typedef struct Wire {
    const Json *at;
    struct Wire *next[2]; /* of the same origin and target, in the table's order */
} Wire;

/* Keys are a level's address and an id: ids are unique within a level of a plain drawing. */
struct UiIndex {
    Map nodes, wires; /* Json */
    Map ends[2];      /* first Wire of an origin, of a target */
    Wire *list;       /* owned */
    size_t count;
    bool failed; /* out of memory in a search: what was found is not all */
};

static bool write_key(Str *key, const Json *level, const char *id)
{
    str_clear(key);
    str_printf(key, "%p %s", (const void *)level, id);
    return !key->failed;
}

static void *look_up(struct UiIndex *ui, const Map *map, const Json *level, const char *id)
{
    Str key = { 0 };
    void *found = NULL;

    if (id && write_key(&key, level, id))
        found = map_get(map, key.text);
    else if (id)
        ui->failed = true;
    str_fini(&key);
    return found;
}

static const Json *find_link(const Fixer *x, const Json *level, const char *id)
{
    return look_up(x->ui, &x->ui->wires, level, id);
}

static const Json *find_node(const Fixer *x, const Json *level, const char *id)
{
    return look_up(x->ui, &x->ui->nodes, level, id);
}

static const Wire *first_wire(const Fixer *x, const Json *level, Side side, const char *id)
{
    return look_up(x->ui, &x->ui->ends[side], level, id);
}

static bool put(Map *map, Str *key, const Json *level, const char *id, const void *what)
{
    return write_key(key, level, id) && map_put(map, key->text, (void *)(uintptr_t)what);
}

static bool index_level(struct UiIndex *ui, Str *key, const Json *level)
{
    size_t first = ui->count;
    bool good = true;

    for (const Json *m = json_first(member(level, "nodes")); m && good; m = json_next(m))
        good = put(&ui->nodes, key, level, id_of(m), m);
    for (const Json *m = first_link(level); m; m = json_next(m))
        if (!json_is(m, JSON_NULL)) ui->list[ui->count++].at = m;
    for (size_t i = ui->count; i-- > first && good;) {
        Wire *w = &ui->list[i];
        const char *from = field_text(w->at, LINK_ORIGIN),
                   *into = field_text(w->at, LINK_TARGET);
        w->next[FROM] = look_up(ui, &ui->ends[FROM], level, from);
        w->next[INTO] = look_up(ui, &ui->ends[INTO], level, into);
        good = put(&ui->wires, key, level, field_text(w->at, LINK_ID), w->at) &&
               put(&ui->ends[FROM], key, level, from, w) &&
               put(&ui->ends[INTO], key, level, into, w);
    }
    return good;
}

struct UiIndex *fix_ui_index_new(const Json *root)
{
    const Json *list = definitions(root);
    struct UiIndex *ui = mem_calloc(1, sizeof *ui);
    size_t total = 1;
    Str key = { 0 };
    bool good;

    for (const Json *m = first_link(root); m; m = json_next(m))
        total++;
    for (const Json *d = list ? json_first(list) : NULL; d; d = json_next(d))
        for (const Json *m = first_link(d); m; m = json_next(m))
            total++;
    if (ui) ui->list = mem_calloc(total, sizeof *ui->list);
    good = ui && ui->list && index_level(ui, &key, root);
    for (const Json *d = list ? json_first(list) : NULL; d && good; d = json_next(d))
        good = index_level(ui, &key, d);
    str_fini(&key);
    if (good && !ui->failed) return ui;
    fix_ui_index_free(ui);
    return NULL;
}

bool fix_ui_failed(const Fixer *x)
{
    return x->ui && x->ui->failed;
}

void fix_ui_index_free(struct UiIndex *ui)
{
    if (!ui) return;
    map_fini(&ui->nodes);
    map_fini(&ui->wires);
    map_fini(&ui->ends[FROM]);
    map_fini(&ui->ends[INTO]);
    mem_free(ui->list);
    mem_free(ui);
}

/* The list of wires at the output that a wire starts from; NULL = none is written. */
static const Json *list_at_origin(const Fixer *x, const Json *level, const Json *link)
{
    const char *origin = field_text(link, LINK_ORIGIN);
    bool outside = strcmp(origin, "-10") == 0;
    const Json *node = outside ? level : find_node(x, level, origin);
    const Json *outputs = member(node, outside ? "inputs" : "outputs");
    int slot = ui_int(field(link, LINK_ORIGIN_SLOT), -1);
    const Json *output =
        json_is(outputs, JSON_ARRAY) && slot >= 0 ? json_at(outputs, (size_t)slot) : NULL;

    return member(output, outside ? "linkIds" : "links");
}

static const Json *item_of(const Json *list, const char *id)
{
    for (const Json *m = json_is(list, JSON_ARRAY) ? json_first(list) : NULL; m;
         m = json_next(m))
        if (ui_text(m) && strcmp(ui_text(m), id) == 0) return m;
    return NULL;
}

static const Json *socket_named(const Json *node, const char *name, int *index)
{
    const Json *inputs = member(node, "inputs");
    int i = 0;

    for (const Json *m = json_is(inputs, JSON_ARRAY) ? json_first(inputs) : NULL; m;
         m = json_next(m), i++) {
        const char *own = json_string(member(m, "name"));
        if (!own || !name || strcmp(own, name) != 0) continue;
        if (index) *index = i;
        return m;
    }
    return NULL;
}

static const Json *link_into(const Fixer *x, const Json *level, const Json *socket)
{
    const Json *link = member(socket, "link");

    return link ? find_link(x, level, ui_text(link)) : NULL;
}

/* Writes the text unless it stands there. */
static bool set_text(Fixer *x, const Json *value, const char *text)
{
    Str own = { 0 };
    bool same;

    if (!value) return false;
    json_copy_source(&own, x->graph->doc, value);
    same = own.text && strcmp(own.text, text) == 0;
    if (!same) json_edit_replace(x->edit, value, text);
    str_fini(&own);
    return true;
}

static bool set_like(Fixer *x, const Json *value, const Json *from)
{
    Str text = { 0 };
    bool good;

    if (!from) return false;
    json_edit_freeze(x->edit, from);
    json_copy_source(&text, x->graph->doc, from);
    good = !text.failed && set_text(x, value, text.text);
    str_fini(&text);
    return good;
}

static bool set_number(Fixer *x, const Json *value, int number)
{
    char text[16];

    snprintf(text, sizeof text, "%d", number);
    return set_text(x, value, text);
}

/* ---- may wires be changed? --------------------------------------------------------------- */

/* Adds an id; false when it stood there, or is none. */
static bool add_id(Map *ids, const Json *id, const Json *of)
{
    const char *text = id ? ui_text(id) : NULL;

    return text && !map_has(ids, text) && map_put(ids, text, (void *)(uintptr_t)of);
}

/* Each id to its node, and each wire that an input names to the node of that input. */
static bool list_nodes(const Json *level, Map *nodes, Map *named)
{
    const Json *list = member(level, "nodes");

    for (const Json *m = json_is(list, JSON_ARRAY) ? json_first(list) : NULL; m;
         m = json_next(m)) {
        const Json *inputs = member(m, "inputs");
        if (!add_id(nodes, member(m, "id"), m)) return false;
        for (const Json *s = json_is(inputs, JSON_ARRAY) ? json_first(inputs) : NULL; s;
             s = json_next(s)) {
            const Json *link = member(s, "link");
            if (link && !json_is(link, JSON_NULL) && !add_id(named, link, m)) return false;
        }
    }
    return true;
}

/* The wire has an id of its own, starts at a node or outside, and ends where an input names it, or outside. */
static bool is_plain_wire(const Json *wire, const Map *nodes, const Map *named, Map *wires)
{
    const char *id = field_text(wire, LINK_ID), *target = field_text(wire, LINK_TARGET);
    bool leaves = strcmp(target, "-20") == 0;

    if (!add_id(wires, field(wire, LINK_ID), wire)) return false;
    if (ui_int(field(wire, LINK_ORIGIN_SLOT), -1) < 0) return false;
    if (strcmp(field_text(wire, LINK_ORIGIN), "-10") != 0 &&
        !map_has(nodes, field_text(wire, LINK_ORIGIN)))
        return false;
    return leaves ? !map_has(named, id)
                  : map_has(named, id) && map_get(named, id) == map_get(nodes, target);
}

static bool is_plain_level(const Json *level)
{
    Map nodes = { 0 }, named = { 0 }, wires = { 0 };
    const Json *hidden = ui_everywhere(level); /* wires that name nodes by id */
    bool plain = (!hidden || !json_first(hidden)) && list_nodes(level, &nodes, &named);
    size_t ends = 0;

    for (const Json *m = first_link(level); m && plain; m = json_next(m)) {
        if (json_is(m, JSON_NULL)) continue;
        plain = is_plain_wire(m, &nodes, &named, &wires);
        ends += strcmp(field_text(m, LINK_TARGET), "-20") != 0;
    }
    plain = plain && ends == named.count;
    map_fini(&nodes);
    map_fini(&named);
    map_fini(&wires);
    return plain;
}

bool fix_ui_is_plain(const Json *root)
{
    const Json *list = definitions(root);

    if (!is_plain_level(root)) return false;
    for (const Json *m = list ? json_first(list) : NULL; m; m = json_next(m))
        if (!is_plain_level(m)) return false;
    return true;
}

/* ---- taking wires away ------------------------------------------------------------------- */

static void unlist(Fixer *x, const Json *level, const Json *link)
{
    const Json *item = item_of(list_at_origin(x, level, link), field_text(link, LINK_ID));

    if (item) json_edit_remove(x->edit, item);
}

static const char *name_of(const Json *socket)
{
    const char *name = json_string(member(socket, "name"));

    return name ? name : "";
}

/* Of two inputs of one name the other would take the place of the one that is cut. */
static bool has_own_name(const Json *node, const Json *socket)
{
    int n = 0;

    for (const Json *m = json_first(member(node, "inputs")); m; m = json_next(m))
        n += strcmp(name_of(m), name_of(socket)) == 0;
    return n == 1;
}

bool fix_ui_disconnect(Fixer *x, const Json *node, const Json *socket)
{
    const Json *level = level_of(x, node), *link = level ? link_into(x, level, socket) : NULL;

    if (!link || !has_own_name(node, socket)) return false;
    unlist(x, level, link);
    json_edit_remove(x->edit, link);
    json_edit_replace(x->edit, member(socket, "link"), "null");
    return true;
}

/* Wires into a node go; false when one comes from outside a definition, whose inputs would shift. */
static bool cut_inputs(Fixer *x, const Json *level, const Json *node, const Json *spared)
{
    const char *id = id_of(node);

    for (const Wire *w = first_wire(x, level, INTO, id); w; w = w->next[INTO]) {
        const Json *m = w->at;
        if (m == spared) continue;
        if (strcmp(field_text(m, LINK_ORIGIN), "-10") == 0) return false;
        unlist(x, level, m);
        json_edit_remove(x->edit, m);
    }
    return true;
}

bool fix_ui_delete(Fixer *x, int node)
{
    const Json *at = x->graph->nodes[node].source, *level = level_of(x, at);

    if (!level || level != x->graph->root || find_node(x, level, id_of(at)) != at) return false;
    if (!cut_inputs(x, level, at, NULL)) return false;
    for (const Wire *w = first_wire(x, level, FROM, id_of(at)); w; w = w->next[FROM]) {
        const Json *m = w->at, *target = find_node(x, level, field_text(m, LINK_TARGET));
        const Json *inputs = member(target, "inputs");
        for (const Json *s = json_is(inputs, JSON_ARRAY) ? json_first(inputs) : NULL; s;
             s = json_next(s))
            if (link_into(x, level, s) == m)
                json_edit_replace(x->edit, member(s, "link"), "null");
        json_edit_remove(x->edit, m);
    }
    json_edit_remove(x->edit, at);
    return true;
}

/* ---- taking a patch out of its chain ----------------------------------------------------- */

/* The wire that the node reads for the type of one of its outputs. */
static const Json *link_for_output(const Fixer *x, const Json *level, const GraphNode *n,
                                   int slot)
{
    const char *name = slot >= 0 && slot < node_output_count(n->def)
                           ? fix_input_of(n->def, n->def->outputs[slot].type)
                           : NULL;

    return name ? link_into(x, level, socket_named(n->source, name, NULL)) : NULL;
}

/* Wires of one output start where the node's own wire `from` starts; lists their ids. */
static bool move_origins(Fixer *x, const Json *level, const GraphNode *n, const Json *from,
                         Str *ids)
{
    for (const Wire *w = first_wire(x, level, FROM, id_of(n->source)); w; w = w->next[FROM]) {
        const Json *m = w->at;
        const Json *source =
            link_for_output(x, level, n, ui_int(field(m, LINK_ORIGIN_SLOT), -1));
        if (!source) return false;
        if (source != from) continue;
        if (m == from) return false; /* the node reads itself: nothing is before it */
        if (!set_like(x, field(m, LINK_ORIGIN), field(from, LINK_ORIGIN))) return false;
        if (!set_like(x, field(m, LINK_ORIGIN_SLOT), field(from, LINK_ORIGIN_SLOT)))
            return false;
        if (ids->length) str_add(ids, ", ");
        json_copy_source(ids, x->graph->doc, field(m, LINK_ID));
    }
    return !ids->failed;
}

static bool hand_over(Fixer *x, const Json *level, const GraphNode *n, const Json *from)
{
    const Json *item = item_of(list_at_origin(x, level, from), field_text(from, LINK_ID));
    Str ids = { 0 };
    bool good = move_origins(x, level, n, from, &ids);

    if (good && item && ids.length)
        json_edit_replace(x->edit, item, ids.text);
    else if (good && item)
        json_edit_remove(x->edit, item);
    if (good) json_edit_remove(x->edit, from);
    str_fini(&ids);
    return good;
}

bool fix_ui_take_out(Fixer *x, int node)
{
    const GraphNode *n = &x->graph->nodes[node];
    const Json *level = level_of(x, n->source), *inputs = member(n->source, "inputs");

    if (!level || find_node(x, level, id_of(n->source)) != n->source) return false;
    for (const Json *s = json_is(inputs, JSON_ARRAY) ? json_first(inputs) : NULL; s;
         s = json_next(s)) {
        const Json *link = link_into(x, level, s);
        const Socket *row = node_input(
            n->def, json_string(member(s, "name")) ? json_string(member(s, "name")) : "", NULL);
        if (!link) continue;
        if (row && (row->type == SOCK_MODEL || row->type == SOCK_CLIP)) {
            if (!hand_over(x, level, n, link)) return false;
        } else if (strcmp(field_text(link, LINK_ORIGIN), "-10") == 0) {
            return false;
        } else {
            unlist(x, level, link);
            json_edit_remove(x->edit, link);
        }
    }
    for (const Wire *w = first_wire(x, level, FROM, id_of(n->source)); w; w = w->next[FROM])
        if (!link_for_output(x, level, n, ui_int(field(w->at, LINK_ORIGIN_SLOT), -1)))
            return false;
    json_edit_remove(x->edit, n->source);
    return true;
}

/* ---- another origin ---------------------------------------------------------------------- */

static const Json *model_link(const Fixer *x, const Json *level, int node, int *index)
{
    const GraphNode *n = &x->graph->nodes[node];

    if (!level || level_of(x, n->source) != level ||
        find_node(x, level, id_of(n->source)) != n->source)
        return NULL;
    return link_into(x, level,
                     socket_named(n->source, fix_input_of(n->def, SOCK_MODEL), index));
}

bool fix_ui_rewire(Fixer *x, int node, int like)
{
    const Json *level = level_of(x, x->graph->nodes[node].source);
    const Json *link = model_link(x, level, node, NULL),
               *from = model_link(x, level, like, NULL);
    const Json *list = link && from ? list_at_origin(x, level, from) : NULL;
    Str id = { 0 };
    bool good;

    if (!link || !from || link == from) return false;
    if (strcmp(field_text(link, LINK_ORIGIN), field_text(from, LINK_ORIGIN)) == 0 &&
        strcmp(field_text(link, LINK_ORIGIN_SLOT), field_text(from, LINK_ORIGIN_SLOT)) == 0)
        return false;
    unlist(x, level, link);
    json_copy_source(&id, x->graph->doc, field(link, LINK_ID));
    if (id.failed) return false;
    if (json_is(list, JSON_ARRAY)) json_edit_add_item(x->edit, list, id.text);
    good = set_like(x, field(link, LINK_ORIGIN), field(from, LINK_ORIGIN)) &&
           set_like(x, field(link, LINK_ORIGIN_SLOT), field(from, LINK_ORIGIN_SLOT));
    str_fini(&id);
    return good;
}

/* ---- another order ----------------------------------------------------------------------- */

static int model_slot(const Fixer *x, int node)
{
    return fix_output_of(x->graph->nodes[node].def, SOCK_MODEL);
}

static const Json *model_output_list(const Fixer *x, int node)
{
    const Json *outputs = member(x->graph->nodes[node].source, "outputs");
    const Json *output =
        json_is(outputs, JSON_ARRAY) ? json_at(outputs, (size_t)model_slot(x, node)) : NULL;

    return member(output, "links");
}

/* Wire i of the chain leads from the node before place i into the node that has the place now. */
static bool place_link(Fixer *x, const Chain *c, const Json *level, const Json *const *links,
                       int i)
{
    const GraphNode *n = &x->graph->nodes[c->now[i]];
    const GraphNode *before = i ? &x->graph->nodes[c->now[i - 1]] : NULL;
    const Json *socket;
    int index = 0;

    model_link(x, level, c->now[i], &index);
    socket = socket_named(n->source, fix_input_of(n->def, SOCK_MODEL), NULL);
    if (before &&
        !(set_like(x, field(links[i], LINK_ORIGIN), member(before->source, "id")) &&
          set_number(x, field(links[i], LINK_ORIGIN_SLOT), model_slot(x, c->now[i - 1]))))
        return false;
    return set_like(x, field(links[i], LINK_TARGET), member(n->source, "id")) &&
           set_number(x, field(links[i], LINK_TARGET_SLOT), index) &&
           set_like(x, member(socket, "link"), field(links[i], LINK_ID));
}

static bool list_outputs(Fixer *x, const Chain *c, const Json *const *links)
{
    for (int i = 0; i < c->count; i++) {
        const Json *list = model_output_list(x, c->now[i]);
        Str text = { 0 };
        bool good = true;
        if (!list) return false;
        if (i + 1 < c->count) {
            str_add_char(&text, '[');
            json_copy_source(&text, x->graph->doc, field(links[i + 1], LINK_ID));
            str_add_char(&text, ']');
        } else {
            json_copy_source(&text, x->graph->doc, model_output_list(x, c->old[i]));
        }
        /* A list that holds the same wire keeps its spacing. */
        if (c->now[i] != c->old[i]) good = !text.failed && set_text(x, list, text.text);
        str_fini(&text);
        if (!good) return false;
    }
    return true;
}

bool fix_ui_reorder(Fixer *x, const Chain *c)
{
    const Json *level = level_of(x, x->graph->nodes[c->old[0]].source), *links[FIX_CHAIN_MAX];
    int last = c->count - 1;
    const char *old_end;

    for (int i = 0; i < c->count; i++) {
        links[i] = model_link(x, level, c->old[i], NULL);
        if (!links[i] || model_slot(x, c->old[i]) < 0) return false;
        if (i && strcmp(field_text(links[i], LINK_ORIGIN),
                        id_of(x->graph->nodes[c->old[i - 1]].source)) != 0)
            return false;
        if (!model_output_list(x, c->old[i])) return false;
    }
    for (int i = 0; i < c->count; i++)
        if (!place_link(x, c, level, links, i)) return false;
    old_end = id_of(x->graph->nodes[c->old[last]].source);
    for (const Wire *w = first_wire(x, level, FROM, old_end); w; w = w->next[FROM]) {
        const Json *m = w->at;
        bool inside = false;
        for (int i = 0; i < c->count; i++)
            inside |= links[i] == m;
        if (inside) continue;
        if (ui_int(field(m, LINK_ORIGIN_SLOT), -1) != model_slot(x, c->old[last])) continue;
        if (!set_like(x, field(m, LINK_ORIGIN),
                      member(x->graph->nodes[c->now[last]].source, "id")) ||
            !set_number(x, field(m, LINK_ORIGIN_SLOT), model_slot(x, c->now[last])))
            return false;
    }
    return list_outputs(x, c, links);
}
