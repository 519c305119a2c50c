/* ui_resolve.c - follows a wire through reroutes, channels, bypassed nodes and boundaries to its source.
 *
 * A cursor moves one station per step; where it stands decides all that follows, so that a loop is found by
 * meeting the same cursor again (Brent's cycle detection) and nothing recurses.
 */
#include <string.h>
#include <strings.h>

#include "engine/graph/ui_internal.h"

typedef enum Side {
    AT_INPUT,  /* an input whose wire is to be followed */
    AT_OUTPUT, /* an output that somebody reads */
    LEAVING    /* an instance's input, reached from inside: its promoted value may answer */
} Side;

typedef struct Cursor {
    int path, node, slot;
    Side side;
    const char *type; /* wanted by the consumer */
    bool required;    /* by the consumer */
    bool rerouted;    /* went through a Reroute: promoted values stop there */
} Cursor;

static UiNode *node_of(const UiDoc *doc, const Cursor *c)
{
    return &doc->paths[c->path].level->nodes[c->node];
}

/* ---- bypass ------------------------------------------------------------------------------ */

static bool is_any(const char *type)
{
    return type[0] == 0 || strcmp(type, "*") == 0;
}

static bool holds(const char *list, const char *member, size_t n)
{
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, ",");
        if (length == n && strncasecmp(p, member, n) == 0) return true;
        p += length + (p[length] == ',');
    }
    return false;
}

static bool compatible(const char *a, const char *b)
{
    if (is_any(a) || is_any(b) || strcasecmp(a, b) == 0) return true;
    for (const char *p = a; *p;) {
        size_t n = strcspn(p, ",");
        if (holds(b, p, n)) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static bool fits(const UiNode *node, int input, const char *out, const char *wanted)
{
    const char *type = node->inputs[input].type;

    return compatible(type, out) && compatible(type, wanted);
}

/* Which input stands in for an output of a bypassed node; -1 = none. */
static int stand_in(const UiNode *node, int slot, const char *wanted)
{
    const char *out = slot >= 0 && slot < node->n_outputs ? node->out_types[slot] : "*";
    bool same = slot >= 0 && slot < node->n_inputs;

    if (is_any(wanted)) return same ? slot : node->n_inputs > 0 ? 0 : -1;
    if (same && fits(node, slot, out, wanted)) return slot;
    for (int i = 0; i < node->n_inputs; i++)
        if (strcmp(node->inputs[i].type, wanted) == 0) return i;
    for (int i = 0; i < node->n_inputs; i++)
        if (fits(node, i, out, wanted)) return i;
    return -1;
}

/* Cutting an optional input is how a branch is switched off; cutting a required one breaks its node. */
static Status note_cut(UiDoc *doc, const UiNode *node, const Cursor *c, Error *err)
{
    Error note;

    error_clear(&note);
    error_set(&note, E_WORKFLOW, "bypassing %s leaves %s unconnected", node->type, c->type);
    error_fix(&note, "no input of it has that type; connect the consumer directly");
    return ui_note(doc, &note, "W106", c->required ? SEV_WARNING : SEV_NOTE, node, err);
}

/* ---- steps ------------------------------------------------------------------------------- */

static Status missing_origin(UiDoc *doc, const UiNode *node, const UiLink *link, int input,
                             Error *err)
{
    error_set(err, E_MISSING,
              "missing_origin: the link comes from node %s, which does not exist",
              link->origin_id);
    error_fix(err, "connect the input again and save");
    error_at_input(err, node->inputs[input].name);
    return ui_at_node(doc, err, "E103", node);
}

const Literal *ui_override(const UiDoc *doc, int path, int node, const char *name)
{
    const UiPath *p = &doc->paths[path];
    const UiOverride *o;

    if (p->parent < 0) return NULL;
    o = doc->paths[p->parent].level->nodes[p->instance].overrides;
    for (; o; o = o->next)
        if (o->node == node && strcmp(o->name, name) == 0) return &o->value;
    return NULL;
}

/* An instance's input that nothing feeds: what the instance says. */
static void host_value(const UiDoc *doc, const Cursor *c, UiFound *out)
{
    const UiNode *node = node_of(doc, c);
    const Literal *own = ui_override(doc, c->path, c->node, node->inputs[c->slot].name);

    out->kind = FOUND_NOTHING;
    if (c->rerouted || (!own && !node->host[c->slot].has)) return;
    out->kind = FOUND_VALUE;
    out->value = own ? own : &node->host[c->slot].value;
}

/* Goes out through input `slot` of the instance that this path is; false when there is none. */
static bool leave(const UiDoc *doc, Cursor *c, int slot)
{
    const UiPath *p = &doc->paths[c->path];
    const UiNode *instance;

    if (p->parent < 0) return false;
    instance = &doc->paths[p->parent].level->nodes[p->instance];
    if (slot < 0 || slot >= instance->n_inputs) return false;
    c->path = p->parent;
    c->node = p->instance;
    c->slot = slot;
    c->side = LEAVING;
    c->type = instance->inputs[slot].type;
    return true;
}

static Status follow_wire(UiDoc *doc, Cursor *c, bool *done, UiFound *out, Error *err)
{
    const UiLevel *level = doc->paths[c->path].level;
    const UiNode *node = node_of(doc, c);
    bool exists = c->slot >= 0 && c->slot < node->n_inputs;
    int wire = exists ? node->inputs[c->slot].link : -1;
    const UiLink *link = wire >= 0 ? &level->links[wire] : NULL;

    *done = true;
    out->kind = FOUND_NOTHING;
    if (!link) {
        if (c->side == LEAVING) host_value(doc, c, out);
        return OK;
    }
    if (link->origin == FROM_NOWHERE) return missing_origin(doc, node, link, c->slot, err);
    if (link->origin == FROM_BOUNDARY) {
        *done = !leave(doc, c, link->origin_slot);
        return OK;
    }
    c->node = link->origin;
    c->slot = link->origin_slot;
    c->side = AT_OUTPUT;
    *done = false;
    return OK;
}

/* A channel is looked for in the own level, then outwards. */
static bool find_set(UiDoc *doc, Cursor *c)
{
    const UiNode *get = node_of(doc, c);
    const char *channel = get->n_values ? ui_text(get->values[0]) : NULL;

    for (int path = c->path; channel && path >= 0; path = doc->paths[path].parent) {
        int set = ui_index(&doc->paths[path].level->sets, channel);
        doc->steps--;
        if (set < 0) continue;
        c->path = path;
        c->node = set;
        c->slot = 0;
        c->side = AT_INPUT;
        return true;
    }
    return false;
}

/* Goes into an instance to what feeds its output; a wire straight through comes out again. */
static Status enter(UiDoc *doc, Cursor *c, bool *done, Error *err)
{
    const UiNode *node = node_of(doc, c);
    int child = doc->paths[c->path].children + node->ordinal;
    const UiLevel *body = doc->paths[child].level;
    bool exists = c->slot >= 0 && c->slot < node->body->n_outputs;
    int wire = exists && body ? body->outputs[c->slot].link : -1;
    const UiLink *link = wire >= 0 ? &body->links[wire] : NULL;

    *done = true;
    if (!link) return OK;
    c->path = child;
    if (link->origin == FROM_BOUNDARY) {
        *done = !leave(doc, c, link->origin_slot);
        return OK;
    }
    if (link->origin == FROM_NOWHERE) {
        error_set(err, E_MISSING,
                  "missing_origin: output %d of the subgraph comes from node %s, "
                  "which does not exist",
                  c->slot, link->origin_id);
        error_fix(err, "connect the output again and save");
        return ui_at_node(doc, err, "E103", node);
    }
    c->node = link->origin;
    c->slot = link->origin_slot;
    *done = false;
    return OK;
}

static void move_to_input(Cursor *c, int slot, bool *done)
{
    c->slot = slot;
    c->side = AT_INPUT;
    *done = slot < 0;
}

static Status bypass(UiDoc *doc, Cursor *c, bool *done, Error *err)
{
    const UiNode *node = node_of(doc, c);
    int input = stand_in(node, c->slot, c->type);

    if (input < 0) TRY(note_cut(doc, node, c, err));
    if (input >= 0) c->type = node->inputs[input].type;
    move_to_input(c, input, done);
    return OK;
}

static Status read_output(UiDoc *doc, Cursor *c, bool *done, UiFound *out, Error *err)
{
    const UiNode *node = node_of(doc, c);

    *done = true;
    out->kind = FOUND_NOTHING;
    if (node->mode == MODE_MUTE || node->kind == UI_NOTE || node->kind == UI_PRIMITIVE)
        return OK;
    if (node->kind == UI_REROUTE || node->kind == UI_SET) {
        c->rerouted |= node->kind == UI_REROUTE;
        move_to_input(c, 0, done);
        return OK;
    }
    if (node->kind == UI_GET) {
        *done = node->mode == MODE_BYPASS || !find_set(doc, c);
        return OK;
    }
    if (node->mode == MODE_BYPASS) return bypass(doc, c, done, err);
    if (node->kind == UI_INSTANCE) return enter(doc, c, done, err);
    *out = (UiFound){ .kind = FOUND_LINK, .path = c->path, .node = c->node, .slot = c->slot };
    return OK;
}

/* ---- the walk ---------------------------------------------------------------------------- */

static bool same(const Cursor *a, const Cursor *b)
{
    return a->path == b->path && a->node == b->node && a->slot == b->slot &&
           a->side == b->side && a->rerouted == b->rerouted &&
           (a->type == b->type || strcmp(a->type, b->type) == 0);
}

static Status circle(UiDoc *doc, const Cursor *c, Error *err)
{
    error_set(err, E_WORKFLOW,
              "subgraph_cycle: the wires between nodes that are left out run in "
              "a circle");
    error_fix(err, "disconnect one of them");
    return ui_at_node(doc, err, "E104", node_of(doc, c));
}

static Status too_long(UiDoc *doc, const Cursor *c, Error *err)
{
    error_set(err, E_LIMIT, "following the wires takes more steps than a drawing can need");
    error_fix(err, "use fewer reroutes and nested subgraphs");
    return ui_at_node(doc, err, "E105", node_of(doc, c));
}

static bool is_required(const UiNode *node, int input)
{
    const Socket *row =
        node->def ? node_input(node->def, node->inputs[input].name, NULL) : NULL;

    return row && !(row->flags & SOCK_F_OPTIONAL) && !socket_is_widget(row);
}

Status ui_resolve(UiDoc *doc, int path, int node, int input, UiFound *out, Error *err)
{
    Cursor c = { .path = path, .node = node, .slot = input, .side = AT_INPUT }, saved;
    int64_t power = 1, length = 0;
    bool done = false, only_reroutes = true;

    c.type = node_of(doc, &c)->inputs[input].type;
    c.required = is_required(node_of(doc, &c), input);
    saved = c;
    for (;;) {
        if (c.side == AT_OUTPUT)
            TRY(read_output(doc, &c, &done, out, err));
        else
            TRY(follow_wire(doc, &c, &done, out, err));
        if (done) return OK;
        only_reroutes &= node_of(doc, &c)->kind == UI_REROUTE;
        if (same(&c, &saved)) break;
        if (--doc->steps < 0) return too_long(doc, &c, err);
        if (++length == power) {
            saved = c;
            power *= 2;
            length = 0;
            only_reroutes = true;
        }
    }
    out->kind = FOUND_NOTHING;
    return only_reroutes ? OK : circle(doc, &c, err);
}
