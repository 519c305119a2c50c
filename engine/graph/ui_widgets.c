/* ui_widgets.c - which stored value belongs to which widget.
 *
 * Values are stored by position over the class's widgets in creation order, with extra slots for the
 * controls of seeds, for inputs that a dynamic combo brings along, and in old files for inputs that are
 * never widgets. A class that nobody knows is read by names, as far as the document gives them.
 */
#include <string.h>

#include "engine/graph/ui_internal.h"

UiWidget *ui_widget(const UiNode *node, const char *name)
{
    for (int i = 0; i < node->n_widgets; i++)
        if (strcmp(node->widgets[i].name, name) == 0) return &node->widgets[i];
    return NULL;
}

static bool is_seed(const char *name)
{
    return strcmp(name, "seed") == 0 || strcmp(name, "noise_seed") == 0;
}

static bool is_mode_word(const char *text)
{
    static const char *const words[] = { "fixed", "increment", "decrement", "randomize" };

    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i]) == 0) return true;
    return false;
}

/* Slots of the control that follows a widget: a mode, and for a combo a filter text too. */
static int control_slots(const Socket *row)
{
    if (row->flags & SOCK_F_CONTROL) return row->type == SOCK_COMBO ? 2 : 1;
    return row->type == SOCK_INT && is_seed(row->name) && !(row->flags & SOCK_F_FREE_SEED);
}

static int upload_slots(const Socket *row)
{
    if (row->flags & SOCK_F_OPTIONAL) return 0;
    return row->flags & SOCK_F_AUDIO_UPLOAD ? 2 : row->flags & SOCK_F_IMAGE_UPLOAD ? 1 : 0;
}

int ui_slot_count(const NodeDef *def)
{
    int n = 0;

    for (const Socket *row = def->inputs; row && row->name; row++)
        if (socket_is_widget(row)) n += 1 + control_slots(row) + upload_slots(row);
    return n;
}

bool ui_values_by_name(const NodeDef *def, const Json *values, const Json *named, Str *out)
{
    const Json *control = json_get(named, "control_after_generate");
    const char *comma = "";

    for (const Json *m = json_first(values); m && !control; m = json_next(m))
        if (is_mode_word(json_string(m))) control = m;
    str_add_char(out, '[');
    for (const Socket *row = def->inputs; row && row->name; row++) {
        const Json *value = socket_is_widget(row) ? json_get(named, row->name) : NULL;
        if (row->keys || (socket_is_widget(row) && !value) || control_slots(row) > 1) return false;
        if (!value) continue;
        str_add(out, comma);
        json_write(out, value);
        if (control_slots(row)) {
            str_add(out, ", ");
            str_add(out, control ? "" : "\"fixed\"");
            if (control) json_write(out, control);
        }
        comma = ", ";
    }
    str_add_char(out, ']');
    return !out->failed;
}

/* Old files hold a value for each forceInput input too: told by the number of values. */
static bool has_dummies(const NodeDef *def, int n_values)
{
    int n = 0, forced = 0;

    for (const Socket *row = def->inputs; row && row->name; row++) {
        bool force = row->flags & SOCK_F_FORCE_INPUT;
        if (!force && !socket_is_widget(row)) continue;
        forced += force;
        n += 1 + (control_slots(row) > 0);
    }
    return forced > 0 && n == n_values;
}

/* ---- values ------------------------------------------------------------------------------ */

static Status option_literal(UiDoc *doc, const Socket *row, const char *option, UiWidget *w,
                             Error *err)
{
    int64_t number = 0;

    w->has = option != NULL;
    if (!option) return OK;
    if (!socket_option_is_number(row, option))
        return literal_text(doc->graph->arena, option, strlen(option), &w->value, err);
    for (const char *p = option; *p >= '0' && *p <= '9'; p++)
        number = number * 10 + (*p - '0');
    return literal_int(doc->graph->arena, number, &w->value, err);
}

static Status default_value(UiDoc *doc, const Socket *row, UiWidget *w, Error *err)
{
    Arena *arena = doc->graph->arena;
    const char *text = row->sdef;

    w->has = true;
    switch (row->type) {
    case SOCK_INT:
        if (row->def >= 0 && row->def < 18446744073709551615.0)
            return literal_uint(arena, (uint64_t)row->def, &w->value, err);
        return literal_int(arena, (int64_t)row->def, &w->value, err);
    case SOCK_FLOAT:
        w->value = literal_float(row->def);
        return OK;
    case SOCK_BOOLEAN:
        w->value = literal_bool(row->def != 0.0);
        return OK;
    case SOCK_STRING:
        text = text ? text : "";
        return literal_text(arena, text, strlen(text), &w->value, err);
    default:
        if (!text && row->options) text = row->options[0];
        return option_literal(doc, row, text, w, err);
    }
}

static bool is_sampler(const UiNode *node, const char *widget)
{
    return strcmp(widget, "sampler_name") == 0 &&
           (strcmp(node->type, "KSampler") == 0 || strcmp(node->type, "KSamplerAdvanced") == 0);
}

static Status read_stored(UiDoc *doc, const UiNode *node, const Json *stored, UiWidget *w,
                          Error *err)
{
    const char *text = json_string(stored);

    w->has = true;
    if (json_is(stored, JSON_NULL) && w->row && w->row->type == SOCK_COMBO && w->row->options)
        return option_literal(doc, w->row, w->row->options[0], w, err);
    if (text && is_sampler(node, w->name) && str_starts_with(text, "sample_"))
        return literal_text(doc->graph->arena, text + 7, strlen(text + 7), &w->value, err);
    return literal_from_json(doc->graph->arena, stored, &w->value, err);
}

static Status stored_value(UiDoc *doc, const UiNode *node, const Json *stored, UiWidget *w,
                           Error *err)
{
    TRY(read_stored(doc, node, stored, w, err));
    w->value.source = stored;
    return OK;
}

/* ---- known classes ----------------------------------------------------------------------- */

/* A walk over the rows of one class and the values of one node. */
typedef struct Walk {
    UiDoc *doc;
    UiNode *node;
    int at; /* next position */
    bool dummies;
    UiNames *plain;
} Walk;

/* Notes where the two stored forms tell different values; position wins. */
static Status compare_forms(const Walk *walk, const UiWidget *w, const Json *position,
                            Error *err)
{
    const Json *named = walk->node->named ? json_get(walk->node->named, w->name) : NULL;
    Str a = { 0 }, b = { 0 };
    Status status = OK;
    Error note;

    if (!named) return OK;
    json_write(&a, position);
    json_write(&b, named);
    bool failed = a.failed || b.failed;
    if (!failed && strcmp(a.text, b.text) != 0 &&
        !(json_is(named, JSON_NUMBER) && json_double(named) == json_double(position))) {
        error_clear(&note);
        error_set(&note, E_FORMAT, "%.80s by position, %.80s by name", a.text, b.text);
        error_fix(&note, "the value by position is taken; save the workflow again");
        error_at_input(&note, w->name);
        ui_at(walk->doc, &note, "W105", position);
        status = ui_note(walk->doc, &note, "W105", SEV_WARNING, walk->node, err);
    }
    str_fini(&a);
    str_fini(&b);
    return failed ? ui_no_memory(err) : status;
}

/* Old files call the column of names the values themselves; these only count without an array. */
static const Json *value_by_name(const UiNode *node, const char *name)
{
    bool only =
        !node->values && node->named && node->named != json_get(node->json, "widgets_values");

    return only ? json_get(node->named, name) : NULL;
}

static Status add_widget(Walk *walk, const Socket *row, const char *name, Error *err)
{
    UiNode *node = walk->node;
    const Json *stored = walk->at < node->n_values ? node->values[walk->at] : NULL;
    UiWidget *w = &node->widgets[node->n_widgets++];

    *w = (UiWidget){ .name = name, .row = row };
    walk->at++;
    if (stored) TRY(compare_forms(walk, w, stored, err));
    if (!stored) stored = value_by_name(node, name);
    TRY(stored ? stored_value(walk->doc, node, stored, w, err)
               : default_value(walk->doc, row, w, err));
    walk->at += control_slots(row);
    return OK;
}

static Status add_inner(Walk *walk, const char *combo, const Socket *row, const char **names,
                        const Socket **rows, Error *err)
{
    const char *name = arena_printf(walk->doc->arena, "%s.%s", combo, row->name);

    if (!name) return ui_no_memory(err);
    if (socket_is_widget(row)) return add_widget(walk, row, name, err);
    names[walk->plain->count] = name;
    rows[walk->plain->count++] = row;
    return OK;
}

/* The inputs of the option that the combo just read has. */
static Status add_key_inputs(Walk *walk, const Socket *combo, const char **names,
                             const Socket **rows, Error *err)
{
    const UiWidget *w = &walk->node->widgets[walk->node->n_widgets - 1];
    Str key = { 0 };
    const Socket *inner = NULL;

    literal_write_str(&key, &w->value);
    for (const SocketKey *k = combo->keys; key.text && k->key; k++)
        if (strcmp(k->key, key.text) == 0) inner = k->inputs;
    bool failed = key.failed;
    str_fini(&key);
    if (failed) return ui_no_memory(err);
    for (; inner && inner->name; inner++)
        TRY(add_inner(walk, combo->name, inner, names, rows, err));
    return OK;
}

/* Most widgets and sockets that the class can have at once. */
static int most_rows(const NodeDef *def)
{
    int n = 0;

    for (const Socket *row = def->inputs; row && row->name; row++) {
        int most = 0;
        for (const SocketKey *k = row->keys; k && k->key; k++) {
            int inner = 0;
            while (k->inputs && k->inputs[inner].name)
                inner++;
            if (inner > most) most = inner;
        }
        n += 1 + most;
    }
    return n;
}

/* How many values the file holds against the class; a difference is worth a note. */
static Status note_count(const Walk *walk, Error *err)
{
    int n = walk->node->n_values, want = walk->at, upload = 0;
    Error note;

    for (const Socket *row = walk->node->def->inputs; row && row->name; row++)
        upload += upload_slots(row);
    if (!walk->node->values || n == want || n == want + upload) return OK;
    error_clear(&note);
    error_set(&note, E_FORMAT, "%s stores %d values, the class has %d", walk->node->type, n,
              want + upload);
    error_fix(&note, "check the node's values; missing ones took their defaults");
    return ui_note(walk->doc, &note, "N104", SEV_NOTE, walk->node, err);
}

static Status known_widgets(UiDoc *doc, UiNode *node, UiNames *plain, Error *err)
{
    int most = most_rows(node->def);
    const char **names = arena_array(doc->arena, (size_t)most + 1, sizeof *names);
    const Socket **rows = arena_array(doc->arena, (size_t)most + 1, sizeof *rows);
    Walk walk = { .doc = doc, .node = node, .plain = plain };

    node->widgets = arena_array(doc->arena, (size_t)most + 1, sizeof *node->widgets);
    if (!names || !rows || !node->widgets) return ui_no_memory(err);
    *plain = (UiNames){ .names = names, .rows = rows };
    walk.dummies = has_dummies(node->def, node->n_values);
    for (const Socket *row = node->def->inputs; row && row->name; row++) {
        if (row->flags & SOCK_F_FORCE_INPUT)
            walk.at += walk.dummies;
        else if (socket_is_widget(row))
            TRY(add_widget(&walk, row, row->name, err));
        if (row->keys) TRY(add_key_inputs(&walk, row, names, rows, err));
    }
    return note_count(&walk, err);
}

/* ---- what only scripts of the page know --------------------------------------------------- */

static Status push_literal(UiDoc *doc, UiNode *node, const char *name, const Json *value,
                           Error *err)
{
    UiWidget *w = &node->widgets[node->n_widgets++];

    *w = (UiWidget){ .name = name, .has = true };
    return literal_from_json(doc->graph->arena, value, &w->value, err);
}

/* CustomCombo stores choice, index, option1, option2 ...; the index is worked out again. */
static Status custom_combo(UiDoc *doc, UiNode *node, Error *err)
{
    int64_t index = -1;
    UiWidget *at;

    node->widgets = arena_array(doc->arena, (size_t)node->n_values + 2, sizeof *node->widgets);
    if (!node->widgets) return ui_no_memory(err);
    if (node->n_values == 0) return OK;
    TRY(push_literal(doc, node, "choice", node->values[0], err));
    at = &node->widgets[node->n_widgets++];
    for (int i = 2; i < node->n_values; i++) {
        const char *name = arena_printf(doc->arena, "option%d", i - 1);
        const char *a = json_string(node->values[0]), *b = json_string(node->values[i]);
        if (!name) return ui_no_memory(err);
        TRY(push_literal(doc, node, name, node->values[i], err));
        if (index < 0 && a && b && strcmp(a, b) == 0) index = i - 2;
    }
    *at = (UiWidget){ .name = "index", .has = true };
    return literal_int(doc->graph->arena, index, &at->value, err);
}

/* ---- unknown classes ----------------------------------------------------------------------- */

static bool is_page_slot(const char *name)
{
    return strcmp(name, "control_after_generate") == 0 || strcmp(name, "upload") == 0 ||
           strcmp(name, "audioUI") == 0;
}

static Status values_by_name(UiDoc *doc, UiNode *node, Error *err)
{
    node->widgets = arena_array(doc->arena, json_count(node->named) + 1, sizeof *node->widgets);
    if (!node->widgets) return ui_no_memory(err);
    for (const Json *m = json_first(node->named); m; m = json_next(m))
        if (!is_page_slot(json_key(m))) TRY(push_literal(doc, node, json_key(m), m, err));
    return OK;
}

static const char *marked_name(const Json *input)
{
    const Json *widget = json_is(input, JSON_OBJECT) ? json_get(input, "widget") : NULL;

    return json_is(widget, JSON_OBJECT) ? json_string(json_get(widget, "name")) : NULL;
}

/* Files of newer editors list each widget as a socket, in order. They name the values when every value is
 * accounted for; else no value is safe to name. */
static Status values_by_sockets(UiDoc *doc, UiNode *node, Error *err)
{
    const Json *inputs = json_get(node->json, "inputs");
    int at = 0;

    node->widgets = arena_array(doc->arena, (size_t)node->n_values + 1, sizeof *node->widgets);
    if (!node->widgets) return ui_no_memory(err);
    for (const Json *m = json_is(inputs, JSON_ARRAY) ? json_first(inputs) : NULL; m;
         m = json_next(m)) {
        const char *name = marked_name(m);
        if (!name) continue;
        if (at >= node->n_values) break;
        TRY(push_literal(doc, node, name, node->values[at++], err));
        if (at < node->n_values && is_seed(name) && is_mode_word(json_string(node->values[at])))
            at++;
    }
    node->nameless = at < node->n_values;
    if (node->nameless) node->n_widgets = 0;
    return OK;
}

Status ui_widgets(UiDoc *doc, UiNode *node, UiNames *plain, Error *err)
{
    *plain = (UiNames){ 0 };
    if (node->def && strcmp(node->type, "CustomCombo") == 0)
        return custom_combo(doc, node, err);
    if (node->def) return known_widgets(doc, node, plain, err);
    return node->named ? values_by_name(doc, node, err) : values_by_sockets(doc, node, err);
}
