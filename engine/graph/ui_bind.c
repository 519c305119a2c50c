/* ui_bind.c - what each node is, its sockets as the class has them, and where each wire starts.
 *
 * A known class gives names, types and order of the sockets: plain ones first, then those of widgets, then
 * what the file has on top (sockets that grow). An instance has its definition's inputs. An input's own
 * wire decides; a wire that no input refers to is taken when its target is free.
 */
#include <string.h>

#include "engine/graph/ui_internal.h"

/* ---- kinds ------------------------------------------------------------------------------- */

static UiKind kind_of(const char *type)
{
    static const struct {
        const char *type;
        UiKind kind;
    } rows[] = { { "Note", UI_NOTE },
                 { "MarkdownNote", UI_NOTE },
                 { "Reroute", UI_REROUTE },
                 { "PrimitiveNode", UI_PRIMITIVE },
                 { "SetNode", UI_SET },
                 { "GetNode", UI_GET },
                 { "Anything Everywhere", UI_NOTE },
                 { "Anything Everywhere?", UI_NOTE },
                 { "Anything Everywhere3", UI_NOTE },
                 { "Prompts Everywhere", UI_NOTE } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].type, type) == 0) return rows[i].kind;
    return UI_CLASS;
}

static bool is_uuid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(text) != sizeof form - 1) return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == '-' ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    return true;
}

static Status bind_kind(UiDoc *doc, UiNode *node, Error *err)
{
    int body = ui_index(&doc->level_by_id, node->type);

    if (node->body) return OK;
    node->kind = kind_of(node->type);
    if (node->kind != UI_CLASS) return OK;
    if (body > 0) {
        node->kind = UI_INSTANCE;
        node->body = doc->levels[body];
        return OK;
    }
    node->def = node_facts(doc->options->table, node->type);
    if (!node->def) node->def = node_find(doc->options->table, node->type);
    if (node->def || !is_uuid(node->type)) return OK;
    error_set(err, E_FORMAT, "subgraph %s is not defined in this document", node->type);
    error_fix(err, "save the workflow again with its subgraphs");
    return ui_at_node(doc, err, "E105", node);
}

/* ---- sockets ----------------------------------------------------------------------------- */

/* The inputs as the file has them. */
typedef struct Written {
    const char *name, *type;
    bool marked; /* has `widget` */
    int link;
    const Json *json;
} Written;

static Status note_dangling(UiDoc *doc, const UiNode *node, const Json *socket,
                            const char *input, const char *link, Error *err)
{
    Error note;

    error_clear(&note);
    error_set(&note, E_MISSING, "link %s does not exist; the input counts as unconnected",
              link);
    error_fix(&note, "connect it again and save");
    error_at_input(&note, input);
    ui_at(doc, &note, "E103", socket);
    return ui_note(doc, &note, "E103", SEV_WARNING, node, err);
}

static Status read_written(UiDoc *doc, UiLevel *level, UiNode *node, const Json *json,
                           Written *out, Error *err)
{
    bool object = json_is(json, JSON_OBJECT);
    const char *name = object ? json_string(json_get(json, "name")) : NULL;
    const char *type = object ? json_string(json_get(json, "type")) : NULL;
    const char *link = object ? ui_text(json_get(json, "link")) : NULL;

    *out = (Written){ .name = name ? name : "", .type = type ? type : "*", .json = json };
    out->marked = object && json_is(json_get(json, "widget"), JSON_OBJECT);
    out->link = ui_index(&level->link_id, link);
    if (out->link >= 0) level->links[out->link].used = true;
    return link && out->link < 0 ? note_dangling(doc, node, json, out->name, link, err) : OK;
}

static Status read_all_written(UiDoc *doc, UiLevel *level, UiNode *node, Written **out,
                               Error *err)
{
    const Json *inputs = json_get(node->json, "inputs");
    bool array = json_is(inputs, JSON_ARRAY);
    size_t n = array ? json_count(inputs) : 0;

    *out = arena_array(doc->arena, n + 1, sizeof **out);
    node->socket_of = arena_array(doc->arena, n + 1, sizeof *node->socket_of);
    if (!*out || !node->socket_of) return ui_no_memory(err);
    for (const Json *m = array ? json_first(inputs) : NULL; m; m = json_next(m)) {
        node->socket_of[node->n_written] = -1;
        TRY(read_written(doc, level, node, m, &(*out)[node->n_written++], err));
    }
    return OK;
}

static void take_written(UiNode *node, int socket, const Written *written, int index)
{
    node->inputs[socket].link = written[index].link;
    node->inputs[socket].json = written[index].json;
    node->socket_of[index] = socket;
}

static void add_socket(UiNode *node, const char *name, const char *type, bool widget)
{
    node->inputs[node->n_inputs++] =
        (UiSocket){ .name = name, .type = type, .link = -1, .widget = widget };
}

static bool stands_for_others(const Socket *row)
{
    return row->type_name && strcmp(row->type_name, "COMFY_AUTOGROW_V3") == 0;
}

static bool is_plain(const Socket *row)
{
    enum { HIDDEN = SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID };

    return !(row->flags & HIDDEN) && !socket_is_widget(row) && !stands_for_others(row);
}

static void add_class_sockets(UiNode *node, const UiNames *plain)
{
    for (const Socket *row = node->def->inputs; row && row->name; row++)
        if (is_plain(row)) add_socket(node, row->name, socket_type_name(row), false);
    for (int i = 0; i < plain->count; i++)
        if (is_plain(plain->rows[i]))
            add_socket(node, plain->names[i], socket_type_name(plain->rows[i]), false);
    for (int i = 0; i < node->n_widgets; i++) {
        const UiWidget *w = &node->widgets[i];
        add_socket(node, w->name, w->row ? socket_type_name(w->row) : "*", true);
    }
}

static int count_rows(const NodeDef *def)
{
    int n = 0;

    while (def && def->inputs && def->inputs[n].name)
        n++;
    return n;
}

/* Sockets that only the file has: kept, but for those of a widget that the class has not. */
static void add_extra(UiNode *node, const Written *written, int i)
{
    if (node->def && written[i].marked) return;
    add_socket(node, written[i].name, written[i].type, written[i].marked);
    take_written(node, node->n_inputs - 1, written, i);
}

static Status bind_class_sockets(UiNode *node, const Written *written, Error *err)
{
    Map by_name = { 0 };
    bool fits = true;

    for (int i = 0; i < node->n_inputs && fits; i++)
        fits = ui_map_first(&by_name, node->inputs[i].name, i);
    for (int i = 0; i < node->n_written && fits; i++) {
        int socket = ui_index(&by_name, written[i].name);
        if (socket >= 0)
            take_written(node, socket, written, i);
        else
            add_extra(node, written, i);
    }
    map_fini(&by_name);
    return fits ? OK : ui_no_memory(err);
}

/* Instance inputs: same name and type first, then same name, each written one used once. */
static Status bind_ports(UiDoc *doc, UiNode *node, const Written *written, Error *err)
{
    int *next = arena_array(doc->arena, (size_t)node->n_written + 1, sizeof *next);
    Map by_name = { 0 };
    bool fits = next != NULL;

    for (int i = node->n_written - 1; i >= 0 && fits; i--) {
        next[i] = ui_index(&by_name, written[i].name);
        fits = map_put(&by_name, written[i].name, (void *)(intptr_t)(i + 1));
    }
    for (int pass = 0; pass < 2 && fits; pass++)
        for (int k = 0; k < node->n_inputs; k++) {
            const UiSocket *s = &node->inputs[k];
            int i = ui_index(&by_name, s->name);
            if (pass == 1 && s->widget) continue; /* matched in the first pass */
            while (i >= 0 && (node->socket_of[i] >= 0 ||
                              (pass == 0 && strcmp(written[i].type, s->type) != 0)))
                i = next[i];
            if (i < 0) continue;
            take_written(node, k, written, i);
            node->inputs[k].widget = true;
        }
    for (int k = 0; k < node->n_inputs; k++)
        node->inputs[k].widget = false;
    map_fini(&by_name);
    return fits ? OK : ui_no_memory(err);
}

/* A group node's inputs stand in the order of what its members expose, under names of its own. */
static Status bind_group_ports(UiDoc *doc, UiNode *node, const Written *written, Error *err)
{
    int k = 0;

    for (int i = 0; i < node->n_written; i++) {
        if (written[i].marked && written[i].link < 0) continue;
        if (written[i].marked || k >= node->n_inputs) {
            error_set(err, E_UNSUPPORTED,
                      "legacy_group_node: input %s is none that the members "
                      "expose",
                      written[i].name);
            error_fix(err, "open it in the editor, convert it to a subgraph and save again");
            return ui_at_node(doc, err, "E102", node);
        }
        take_written(node, k++, written, i);
    }
    return OK;
}

static Status bind_sockets(UiDoc *doc, UiLevel *level, UiNode *node, Error *err)
{
    Written *written;
    UiNames plain = { 0 };
    int ports = node->body ? node->body->n_inputs : 0;

    TRY(read_all_written(doc, level, node, &written, err));
    if (node->kind == UI_CLASS) TRY(ui_widgets(doc, node, &plain, err));
    size_t most = (size_t)node->n_written + (size_t)plain.count + (size_t)node->n_widgets +
                  (size_t)count_rows(node->def) + (size_t)ports + 1;
    node->inputs = arena_array(doc->arena, most, sizeof *node->inputs);
    if (!node->inputs) return ui_no_memory(err);
    for (int k = 0; k < ports; k++)
        add_socket(node, node->body->inputs[k].name, node->body->inputs[k].type, false);
    if (node->body)
        return node->body->group ? bind_group_ports(doc, node, written, err)
                                 : bind_ports(doc, node, written, err);
    if (node->def) add_class_sockets(node, &plain);
    return bind_class_sockets(node, written, err);
}

/* ---- outputs ----------------------------------------------------------------------------- */

static const char *written_type(const Json *outputs, int i)
{
    const Json *m = json_is(outputs, JSON_ARRAY) ? json_at(outputs, (size_t)i) : NULL;
    const char *type = json_is(m, JSON_OBJECT) ? json_string(json_get(m, "type")) : NULL;

    return type ? type : "*";
}

static const char *class_type(const Socket *row, const Json *outputs, int i)
{
    const char *type = socket_type_name(row);

    return strcmp(type, "COMFY_MATCHTYPE_V3") == 0 ? written_type(outputs, i) : type;
}

static Status bind_outputs(UiDoc *doc, UiNode *node, Error *err)
{
    const Json *outputs = json_get(node->json, "outputs");
    const Json *m = json_is(outputs, JSON_ARRAY) ? json_first(outputs) : NULL;
    int rows = node->def    ? node_output_count(node->def)
               : node->body ? node->body->n_outputs
                            : 0;
    size_t n = (size_t)rows + (m ? json_count(outputs) : 0);

    node->out_types = arena_array(doc->arena, n + 1, sizeof *node->out_types);
    if (!node->out_types) return ui_no_memory(err);
    for (int i = 0; i < rows; i++, m = m ? json_next(m) : NULL)
        node->out_types[i] = node->def ? class_type(&node->def->outputs[i], outputs, i)
                                       : node->body->outputs[i].type;
    node->n_outputs = rows;
    for (; m; m = json_next(m)) {
        const char *type = json_is(m, JSON_OBJECT) ? json_string(json_get(m, "type")) : NULL;
        node->out_types[node->n_outputs++] = type ? type : "*";
    }
    return OK;
}

/* ---- wires ------------------------------------------------------------------------------- */

static void bind_origins(UiLevel *level)
{
    for (int i = 0; i < level->n_links; i++) {
        UiLink *link = &level->links[i];
        link->origin = ui_index(&level->by_id, link->origin_id);
        if (level->id && strcmp(link->origin_id, "-10") == 0) link->origin = FROM_BOUNDARY;
    }
}

static void bind_unreferenced(UiLevel *level)
{
    for (int i = 0; i < level->n_links; i++) {
        const UiLink *link = &level->links[i];
        int target = link->used ? -1 : ui_index(&level->by_id, link->target_id);
        UiNode *node = target < 0 ? NULL : &level->nodes[target];
        if (!node || link->target_slot < 0 || link->target_slot >= node->n_written) continue;
        int socket = node->socket_of[link->target_slot];
        if (socket >= 0 && node->inputs[socket].link < 0) node->inputs[socket].link = i;
    }
}

static bool is_cut(const UiPort *port)
{
    return json_is(port->link_ids, JSON_ARRAY) && json_count(port->link_ids) == 0;
}

/* Of several wires into one output the first of the table counts. */
static void bind_level_outputs(UiLevel *level)
{
    for (int i = 0; i < level->n_links; i++) {
        const UiLink *link = &level->links[i];
        if (!link->target_id || strcmp(link->target_id, "-20") != 0) continue;
        if (link->target_slot < 0 || link->target_slot >= level->n_outputs) continue;
        UiPort *port = &level->outputs[link->target_slot];
        if (port->link < 0 && !is_cut(port)) port->link = i;
    }
}

/* The channel of a SetNode or GetNode. */
static Status bind_set(UiLevel *level, int index, Error *err)
{
    const UiNode *node = &level->nodes[index];
    const char *channel = node->n_values ? ui_text(node->values[0]) : NULL;

    if (node->kind != UI_SET || !channel) return OK;
    return ui_map_first(&level->sets, channel, index) ? OK : ui_no_memory(err);
}

static Status bind_level(UiDoc *doc, UiLevel *level, Error *err)
{
    bind_origins(level);
    for (int i = 0; i < level->n_nodes; i++) {
        TRY(bind_sockets(doc, level, &level->nodes[i], err));
        TRY(bind_outputs(doc, &level->nodes[i], err));
        TRY(bind_set(level, i, err));
    }
    bind_unreferenced(level);
    bind_level_outputs(level);
    return OK;
}

Status ui_bind(UiDoc *doc, Error *err)
{
    for (int i = 0; i < doc->n_levels; i++)
        for (int k = 0; k < doc->levels[i]->n_nodes; k++)
            TRY(bind_kind(doc, &doc->levels[i]->nodes[k], err));
    for (int i = 0; i < doc->n_levels; i++)
        TRY(bind_level(doc, doc->levels[i], err));
    return OK;
}
