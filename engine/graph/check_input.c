/* check_input.c - checks one declared input of a node: its link, or its literal. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/check_internal.h"
#include "engine/graph/fill.h"

/* ---- ways out ---------------------------------------------------------------------------- */

static void add_bound(Str *out, const Socket *s, const SocketBound *b)
{
    if (s->type == SOCK_FLOAT)
        str_printf(out, "%g", b->f);
    else
        str_printf(out, "%s%" PRIu64, b->negative && b->magnitude ? "-" : "", b->magnitude);
}

/* "1 to 10000", "at least 0", or nothing. */
static void add_range(Str *out, const Socket *s)
{
    SocketBound low, high;
    bool has_low = socket_min(s, &low), has_high = socket_max(s, &high);

    if (has_low && !has_high) str_add(out, "at least ");
    if (!has_low && has_high) str_add(out, "at most ");
    if (has_low) add_bound(out, s, &low);
    if (has_low && has_high) str_add(out, " to ");
    if (has_high) add_bound(out, s, &high);
}

static const char *number_word(const Socket *s)
{
    return s->type == SOCK_INT ? "a whole number" : "a number";
}

static Status fix_number(Check *c, const Socket *s, Finding *f)
{
    str_clear(&c->text);
    add_range(&c->text, s);
    if (!c->text.length) return check_say(c, &f->fix, "use %s", number_word(s));
    return check_say(c, &f->fix, "use %s from %s", number_word(s),
                     c->text.failed ? "" : c->text.text);
}

static Status fix_range(Check *c, const Socket *s, Finding *f)
{
    str_clear(&c->text);
    add_range(&c->text, s);
    if (!c->text.length)
        str_add(&c->text, s->flags & SOCK_F_U64 ? "0 to 18446744073709551615" : "64 bits");
    return check_say(c, &f->fix, "use %s", c->text.failed ? "" : c->text.text);
}

static Status fix_missing(Check *c, const Socket *s, Finding *f)
{
    switch (socket_is_widget(s) ? s->type : SOCK_OTHER) {
    case SOCK_INT:
    case SOCK_FLOAT:
        return check_say(c, &f->fix, "set it; the usual value is %g", s->def);
    case SOCK_BOOLEAN:
        return check_say(c, &f->fix, "set it; the usual value is %s",
                         s->def != 0 ? "true" : "false");
    case SOCK_STRING:
        return check_say(c, &f->fix, "set it to a text");
    case SOCK_COMBO:
        return check_say(c, &f->fix, "set it to one of its choices");
    default:
        return check_say(c, &f->fix, "link an output of type %s", socket_type_name(s));
    }
}

Status check_want(Check *c, Finding *f)
{
    f->want = c->text.failed ? NULL : arena_strdup(c->report->arena, c->text.text);
    return f->want ? OK : error_set(c->err, E_NOMEM, "out of memory");
}

/* The class's own default as JSON; none where the class names none. */
static Status want_default(Check *c, const Socket *s, Finding *f)
{
    const char *text = s->sdef;

    str_clear(&c->text);
    if (!socket_is_widget(s)) return OK;
    switch (s->type) {
    case SOCK_INT:
        str_printf(&c->text, "%.0f", s->def);
        break;
    case SOCK_FLOAT:
        json_write_double(&c->text, s->def);
        break;
    case SOCK_BOOLEAN:
        str_add(&c->text, s->def != 0 ? "true" : "false");
        break;
    case SOCK_COMBO:
        if (!text && s->options) text = s->options[0];
        if (!text) return OK;
        if (socket_option_is_number(s, text))
            str_add(&c->text, text);
        else
            json_write_string(&c->text, text, strlen(text));
        break;
    case SOCK_STRING:
        json_write_string(&c->text, text ? text : "", text ? strlen(text) : 0);
        break;
    default:
        return OK;
    }
    return check_want(c, f);
}

static Status missing(Check *c, int node, const Socket *s)
{
    Finding *f;

    TRY(check_find(c, FIND_MISSING, node, NULL, &f));
    f->input = s->name;
    f->socket = s;
    TRY(check_say(c, &f->message, "required, but missing"));
    TRY(want_default(c, s, f));
    return fix_missing(c, s, f);
}

/* ---- links ------------------------------------------------------------------------------- */

static Status link_length(Check *c, Finding *f)
{
    TRY(check_say(c, &f->message, "a list of %zu values is no link", json_count(f->at->raw)));
    return check_say(c, &f->fix,
                     "a link is [\"node id\", output index]; wrap a list value in "
                     "{\"__value__\": [...]}");
}

static Status link_node(Check *c, Finding *f)
{
    const char *id = f->at->origin_id ? f->at->origin_id : "";
    Literal text = { .kind = LIT_TEXT, .text = id, .length = strlen(id) };

    f->why = check_show(c, &text);
    TRY(check_say(c, &f->message, "link to missing node %.80s", id));
    return check_say(c, &f->fix, "link it to a node of this workflow");
}

/* Python's words for looking up a key that is no text. */
static Status link_id(Check *c, Finding *f)
{
    Literal id = { .kind = LIT_NULL };

    if (f->at->raw)
        TRY(literal_from_json(c->report->arena, json_first(f->at->raw), &id, c->err));
    f->received = id;
    f->why = id.kind == LIT_JSON ? "unhashable type" : check_show(c, &id);
    TRY(check_say(c, &f->message, "link to node %s, which is not a text", check_show(c, &id)));
    return check_say(c, &f->fix, "write the node id in quotes");
}

static Status link_slot_type(Check *c, Finding *f)
{
    static const char *const python[] = { "NoneType", "bool", "float", "str", "list", "dict" };
    const Json *slot = f->at->raw ? json_at(f->at->raw, 1) : NULL;
    JsonKind kind = slot ? json_kind(slot) : JSON_NULL;

    TRY(check_say(c, &f->why, "tuple indices must be integers or slices, not %s",
                  python[kind]));
    TRY(check_say(c, &f->message, "the output index of the link is not a whole number"));
    return check_say(c, &f->fix, "use 0 for the first output");
}

static Status bad_link(Check *c, int node, const Socket *s, const GraphInput *in)
{
    static const struct {
        FindingKind kind;
        Status (*words)(Check *, Finding *);
    } faults[] = { [LINK_BAD_LENGTH] = { FIND_LINK_LENGTH, link_length },
                   [LINK_BAD_ID_TYPE] = { FIND_LINK_ID_TYPE, link_id },
                   [LINK_UNKNOWN_NODE] = { FIND_LINK_NODE, link_node },
                   [LINK_BAD_SLOT_TYPE] = { FIND_LINK_SLOT_TYPE, link_slot_type } };
    Finding *f;

    TRY(check_find(c, faults[in->fault].kind, node, in, &f));
    f->socket = s;
    return faults[in->fault].words(c, f);
}

static Status bad_slot(Check *c, int node, const Socket *s, const GraphInput *in)
{
    const GraphNode *origin = &c->graph->nodes[in->origin];
    int n = node_output_count(origin->def);
    Finding *f;

    TRY(check_find(c, FIND_LINK_SLOT, node, in, &f));
    f->socket = s;
    f->why = "tuple index out of range";
    TRY(check_say(c, &f->message, "link to output %" PRId64 " of node %.60s, which has %d",
                  in->slot, origin->id, n));
    if (n == 0)
        return check_say(c, &f->fix, "%.80s has no outputs to link", origin->class_type);
    return check_say(c, &f->fix, "use 0 to %d", n - 1);
}

static Status bad_type(Check *c, int node, const Socket *s, const GraphInput *in,
                       const Socket *from)
{
    Finding *f;

    TRY(check_find(c, FIND_TYPE, node, in, &f));
    f->socket = s;
    f->got_type = socket_type_name(from);
    TRY(check_say(c, &f->message,
                  "wants %.80s, link gives %.80s (output %" PRId64 " of node %.60s)",
                  socket_type_name(s), f->got_type, in->slot, in->origin_id));
    return check_say(c, &f->fix, "link an output of type %.80s", socket_type_name(s));
}

static Status check_link(Check *c, int node, const Socket *s, GraphInput *in, int *origin,
                         bool *bad)
{
    const GraphNode *from;
    int slot;

    *bad = true;
    if (in->fault != LINK_OK) return bad_link(c, node, s, in);
    from = &c->graph->nodes[in->origin];
    *origin = in->origin;
    if (!from->def) return OK; /* its class is unknown, and reported */
    *origin = -1;
    if (!graph_slot(from, in->slot, &slot)) return bad_slot(c, node, s, in);
    in->slot = slot;
    if (!socket_types_match(socket_type_name(&from->def->outputs[slot]), socket_type_name(s)))
        return bad_type(c, node, s, in, &from->def->outputs[slot]);
    *origin = in->origin;
    *bad = false;
    return OK;
}

/* ---- literals ---------------------------------------------------------------------------- */

static Status cannot_convert(Check *c, int node, const Socket *s, const GraphInput *in,
                             const char *why)
{
    Finding *f;

    TRY(check_find(c, FIND_CONVERT, node, in, &f));
    f->socket = s;
    f->received = in->value;
    f->why = why;
    TRY(check_say(c, &f->message, "%s cannot be read as %s", check_show(c, &in->value),
                  s->type == SOCK_INT ? "a whole number" : "a number"));
    return fix_number(c, s, f);
}

static Status tell_conversion(Check *c, int node, const Socket *s, const GraphInput *in,
                              const Literal *to, Coerced how)
{
    Finding *f;

    if (how == COERCED_LOSSLESS && in->value.kind == LIT_FLOAT && s->type == SOCK_INT)
        return OK;
    TRY(check_find(c, how == COERCED_LOSSY ? FIND_LOSSY : FIND_READ_AS, node, in, &f));
    f->socket = s;
    f->received = in->value;
    TRY(check_say(c, &f->message, "%s is read as %s", check_show(c, &in->value),
                  check_show(c, to)));
    TRY(check_say(c, &f->fix, "write %s", check_show(c, to)));
    str_clear(&c->text);
    literal_write_json(&c->text, to);
    return check_want(c, f);
}

typedef enum Side { SIDE_MIN, SIDE_MAX } Side;

static Status out_of_range(Check *c, int node, const Socket *s, const GraphInput *in, Side side,
                           const char *bound)
{
    Finding *f;

    TRY(check_find(c, side == SIDE_MIN ? FIND_SMALL : FIND_BIG, node, in, &f));
    f->socket = s;
    f->received = in->value;
    f->why = bound;
    TRY(check_say(c, &f->message, "%s is %s %s", check_show(c, &in->value),
                  side == SIDE_MIN ? "below the minimum" : "above the maximum", bound));
    f->want = bound;
    return fix_range(c, s, f);
}

/* Bounds of the field itself, where the descriptor has none. */
static SocketBound type_bound(const Socket *s, Side side)
{
    bool u64 = s->flags & SOCK_F_U64;

    if (side == SIDE_MAX) return (SocketBound){ .magnitude = u64 ? UINT64_MAX : INT64_MAX };
    return (SocketBound){ .negative = !u64, .magnitude = u64 ? 0 : (uint64_t)INT64_MAX + 1 };
}

static bool is_outside(const Socket *s, const Literal *v, Side side, const SocketBound *b)
{
    int order;

    if (s->type == SOCK_FLOAT) return side == SIDE_MIN ? v->f < b->f : v->f > b->f;
    order = literal_compare_int(v, b->negative, b->magnitude);
    return side == SIDE_MIN ? order < 0 : order > 0;
}

static void write_bound(Str *out, const Socket *s, const SocketBound *b)
{
    if (s->type == SOCK_FLOAT)
        json_write_double(out, b->f);
    else
        add_bound(out, s, b);
}

static Status check_side(Check *c, int node, const Socket *s, const GraphInput *in, Side side,
                         bool *bad)
{
    const char *text;
    SocketBound b;

    if (!(side == SIDE_MIN ? socket_min(s, &b) : socket_max(s, &b))) {
        if (s->type == SOCK_FLOAT) return OK;
        b = type_bound(s, side);
    }
    if (!is_outside(s, &in->value, side, &b)) return OK;
    *bad = true;
    str_clear(&c->text);
    write_bound(&c->text, s, &b);
    text = c->text.failed ? NULL : arena_strdup(c->report->arena, c->text.text);
    if (!text) return error_set(c->err, E_NOMEM, "out of memory");
    return out_of_range(c, node, s, in, side, text);
}

static Status check_number(Check *c, int node, const Socket *s, const GraphInput *in, bool *bad)
{
    TRY(check_side(c, node, s, in, SIDE_MIN, bad));
    return *bad ? OK : check_side(c, node, s, in, SIDE_MAX, bad);
}

/* ---- choices ----------------------------------------------------------------------------- */

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !(*a == '\\' && *b == '/') && !(*a == '/' && *b == '\\')) return false;
    return *a == *b;
}

/* Apart in letter case and path separators only. */
static bool is_respelt(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        int x = *a == '\\' ? '/' : tolower((unsigned char)*a);
        int y = *b == '\\' ? '/' : tolower((unsigned char)*b);
        if (x != y) return false;
    }
    return *a == *b;
}

static const char *find_choice(const Socket *s, const Literal *v, const char *const *names,
                               size_t count)
{
    bool number = v->kind == LIT_INT;

    if ((v->kind != LIT_TEXT && !number) || memchr(v->text, 0, v->length)) return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], v->text) == 0 && socket_option_is_number(s, names[i]) == number)
            return names[i];
    for (size_t i = 0; i < count && !number; i++)
        if (same_name(v->text, names[i]) && !socket_option_is_number(s, names[i]))
            return names[i];
    return NULL;
}

static Status fix_choice(Check *c, const Literal *v, const char *const *names, size_t count,
                         Finding *f)
{
    const char *nearest = v->kind == LIT_TEXT && ++c->guesses <= GUESSES_MAX
                              ? str_nearest(v->text, names, count)
                              : NULL;

    if (nearest && is_respelt(v->text, nearest)) {
        str_clear(&c->text);
        json_write_string(&c->text, nearest, strlen(nearest));
        TRY(check_want(c, f));
    }
    if (nearest) return check_say(c, &f->fix, "nearest is %.200s", nearest);
    if (!count) return check_say(c, &f->fix, "there is nothing to choose from; add the file");
    str_clear(&c->text);
    for (size_t i = 0; i < count && i < SHOWN_CHOICES; i++)
        str_printf(&c->text, "%s%s", i ? ", " : "", names[i]);
    return check_say(c, &f->fix, "use one of %.220s%s", c->text.failed ? "" : c->text.text,
                     count > SHOWN_CHOICES ? ", ..." : "");
}

static Status not_in_list(Check *c, int node, const Socket *s, const GraphInput *in,
                          const char *const *names, size_t count)
{
    Finding *f;

    TRY(check_find(c, FIND_NOT_IN_LIST, node, in, &f));
    f->socket = s;
    f->received = in->value;
    if (s->folder)
        TRY(check_say(c, &f->message, "%s is not a file of models/%.60s (%zu there)",
                      check_show(c, &in->value), s->folder, count));
    else
        TRY(check_say(c, &f->message, "%s is not one of the %zu choices",
                      check_show(c, &in->value), count));
    return fix_choice(c, &in->value, names, count, f);
}

/* Lists of files are looked at only when asked for; a class that checks its file itself is left to it. */
static bool is_listed(const Check *c, const GraphNode *n, const Socket *s)
{
    if (!s->options && !s->options_fn) return false;
    if (s->flags & SOCK_F_IMAGE_UPLOAD && (n->def->check || !c->options->files)) return false;
    if (s->folder) return c->options->files && c->options->host;
    return s->options || c->options->host;
}

static Status check_choice(Check *c, int node, const Socket *s, GraphInput *in, bool *bad)
{
    const char *const *names;
    const char *choice;
    size_t count;

    if (!is_listed(c, &c->graph->nodes[node], s)) {
        *bad = in->value.kind != LIT_TEXT;
        return *bad ? not_in_list(c, node, s, in, NULL, 0) : OK;
    }
    TRY(socket_options(s, c->options->host, &names, &count, c->err));
    choice = find_choice(s, &in->value, names, count);
    *bad = !choice;
    if (!choice) return not_in_list(c, node, s, in, names, count);
    return strcmp(choice, in->value.text) == 0
               ? OK
               : literal_text(c->graph->arena, choice, strlen(choice), &in->value, c->err);
}

/* ---- one input --------------------------------------------------------------------------- */

static Status convert(Check *c, int node, const Socket *s, GraphInput *in, bool *bad)
{
    static const CoerceTo to[] = { [SOCK_INT] = TO_INT,
                                   [SOCK_FLOAT] = TO_FLOAT,
                                   [SOCK_BOOLEAN] = TO_BOOLEAN,
                                   [SOCK_STRING] = TO_STRING };
    const char *why = NULL;
    Literal value;
    Coerced how;

    TRY(literal_coerce(c->graph->arena, &in->value, to[s->type], &value, &how, &why, c->err));
    *bad = how == COERCED_FAILED;
    if (*bad) return cannot_convert(c, node, s, in, why);
    if (how != COERCED_SAME) TRY(tell_conversion(c, node, s, in, &value, how));
    in->value = value;
    if (s->type == SOCK_INT || s->type == SOCK_FLOAT) return check_number(c, node, s, in, bad);
    return OK;
}

static Status needs_link(Check *c, int node, const Socket *s, const GraphInput *in)
{
    Finding *f;

    TRY(check_find(c, FIND_NEEDS_LINK, node, in, &f));
    f->socket = s;
    f->received = in->value;
    TRY(check_say(c, &f->message, "needs a link of type %.80s, the file gives %s",
                  socket_type_name(s), check_show(c, &in->value)));
    return check_say(c, &f->fix, "link an output of type %.80s", socket_type_name(s));
}

/* {"__value__": x} stands for x: the editor's way to write a list that is no link. */
static Status unwrap(Check *c, GraphInput *in)
{
    const Json *inner;

    if (in->value.kind != LIT_JSON || !json_is(in->value.json, JSON_OBJECT)) return OK;
    inner = json_get(in->value.json, "__value__");
    return inner ? literal_from_json(c->graph->arena, inner, &in->value, c->err) : OK;
}

static Status check_literal(Check *c, int node, const Socket *s, GraphInput *in, bool *bad)
{
    TRY(unwrap(c, in));
    if (socket_is_any(s)) return OK;
    if (s->type == SOCK_COMBO || s->keys) return check_choice(c, node, s, in, bad);
    if (s->type == SOCK_OTHER && socket_is_widget(s)) return OK; /* an editor's own value */
    if (s->type == SOCK_INT || s->type == SOCK_FLOAT || s->type == SOCK_BOOLEAN ||
        s->type == SOCK_STRING)
        return convert(c, node, s, in, bad);
    if (s->flags & SOCK_F_OPTIONAL && in->value.kind == LIT_NULL) return OK;
    return needs_link(c, node, s, in);
}

Status check_input(Check *c, int node, const Socket *s, int *origin, bool *bad)
{
    GraphInput *in = graph_input(&c->graph->nodes[node], s->name);

    if (!in) {
        *bad = !(s->flags & (SOCK_F_OPTIONAL | SOCK_F_DEFAULTED));
        return *bad ? missing(c, node, s) : OK;
    }
    if (in->is_link) return check_link(c, node, s, in, origin, bad);
    return check_literal(c, node, s, in, bad);
}

/* ---- the class's own check --------------------------------------------------------------- */

static const Socket *hook_socket(const NodeDef *def, const Error *error)
{
    if (error->input[0]) return node_input(def, error->input, NULL);
    for (const Socket *s = def->inputs; s && s->name; s++)
        if (s->flags & SOCK_F_IMAGE_UPLOAD || s->folder) return s;
    return NULL;
}

static Status hook_failed(Check *c, int node, const Error *error)
{
    const GraphNode *n = &c->graph->nodes[node];
    const Socket *s = hook_socket(n->def, error);
    const GraphInput *in = s ? graph_input(n, s->name) : NULL;
    Finding *f;

    TRY(check_find(c, FIND_CUSTOM, node, in, &f));
    f->socket = s;
    if (s) f->input = s->name;
    if (in) f->received = in->value;
    if (error->rule[0]) f->rule = arena_strdup(c->report->arena, error->rule);
    if (!f->rule) return error_set(c->err, E_NOMEM, "out of memory");
    TRY(check_say(c, &f->message, "%s", error->message));
    return check_say(c, &f->fix, "%s", error->fix);
}

static bool looks_at_files(const NodeDef *def)
{
    for (const Socket *s = def->inputs; s && s->name; s++)
        if (s->flags & SOCK_F_IMAGE_UPLOAD || s->folder) return true;
    return false;
}

Status check_hook(Check *c, int node, bool *bad)
{
    const GraphNode *n = &c->graph->nodes[node];
    Status status;
    Error error;
    void *in;

    if (!n->def->check || !c->options->host || n->no_inputs) return OK;
    if (!c->options->files && looks_at_files(n->def)) return OK;
    in = mem_calloc(1, n->def->in_size + 1);
    if (!in) return error_set(c->err, E_NOMEM, "out of memory");
    error_clear(&error);
    fill_literals(n, in);
    status = n->def->check(c->options->host, in, &error);
    mem_free(in);
    if (status == OK) return OK;
    if (status == E_NOMEM) return error_set(c->err, E_NOMEM, "out of memory");
    *bad = true;
    return hook_failed(c, node, &error);
}
