/* schema.c - a JSON schema (draft 7) of API documents, made from the node table.
 *
 * Source: JSON Schema, draft-07 core and validation (json-schema.org).
 */
#include "engine/graph/schema.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/json.h"

enum { HIDDEN = SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID };

static void put_text(Str *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void put_member(Str *out, const char *key, const char *text)
{
    str_printf(out, ", \"%s\": ", key);
    put_text(out, text);
}

/* ---- values ------------------------------------------------------------------------------ */

static void put_bound(Str *out, const char *key, const Socket *s, const SocketBound *b)
{
    str_printf(out, ", \"%s\": ", key);
    if (s->type == SOCK_FLOAT)
        json_write_double(out, b->f);
    else
        str_printf(out, "%s%" PRIu64, b->negative && b->magnitude ? "-" : "", b->magnitude);
}

static void put_number(Str *out, const Socket *s)
{
    SocketBound b;

    str_printf(out, "{\"type\": \"%s\"", s->type == SOCK_INT ? "integer" : "number");
    if (socket_min(s, &b)) put_bound(out, "minimum", s, &b);
    if (socket_max(s, &b)) put_bound(out, "maximum", s, &b);
    str_add(out, ", \"default\": ");
    if (s->type == SOCK_INT)
        str_printf(out, "%.0f", s->def);
    else
        json_write_double(out, s->def);
    str_add_char(out, '}');
}

static void put_options(Str *out, const Socket *s, const char *const *names, size_t count)
{
    str_add(out, "{\"enum\": [");
    for (size_t i = 0; i < count; i++) {
        if (i) str_add(out, ", ");
        if (socket_option_is_number(s, names[i]))
            str_add(out, names[i]);
        else
            put_text(out, names[i]);
    }
    str_add_char(out, ']');
    if (s->sdef && !(s->flags & SOCK_F_INT_OPTIONS)) put_member(out, "default", s->sdef);
    str_add_char(out, '}');
}

static Status put_combo(Str *out, const Socket *s, struct Host *host, Error *err)
{
    const char *const *names;
    size_t count = 0;

    /* Files come and go: any name is allowed. */
    if (!s->folder && !(s->flags & SOCK_F_IMAGE_UPLOAD) &&
        (s->options || (s->options_fn && host)))
        TRY(socket_options(s, host, &names, &count, err));
    if (count)
        put_options(out, s, names, count);
    else
        str_add(out, "{\"type\": [\"string\", \"integer\"]}");
    return OK;
}

/* What a widget holds; an editor's own kinds of value are left open. */
static Status put_value(Str *out, const Socket *s, struct Host *host, Error *err)
{
    if (s->keys || s->type == SOCK_COMBO) return put_combo(out, s, host, err);
    if (s->type == SOCK_INT || s->type == SOCK_FLOAT)
        put_number(out, s);
    else if (s->type == SOCK_BOOLEAN)
        str_printf(out, "{\"type\": \"boolean\", \"default\": %s}",
                   s->def != 0 ? "true" : "false");
    else if (s->type == SOCK_STRING)
        str_add(out, "{\"type\": \"string\"}");
    else
        str_add(out, "{}");
    return OK;
}

static bool takes_link_only(const Socket *s)
{
    return !socket_is_widget(s) && !socket_is_any(s);
}

static Status put_input(Str *out, const Socket *s, struct Host *host, Error *err)
{
    Str note = { 0 };

    put_text(out, s->name);
    str_add(out, ": {\"anyOf\": [{\"$ref\": \"#/definitions/link\"}");
    if (!takes_link_only(s)) {
        str_add(out, ", ");
        TRY(put_value(out, s, host, err));
    } else if (s->flags & SOCK_F_OPTIONAL) {
        str_add(out, ", {\"type\": \"null\"}");
    }
    str_add_char(out, ']');
    str_printf(&note, "%s%s%s", socket_type_name(s), s->doc ? ". " : "", s->doc ? s->doc : "");
    if (note.text) put_member(out, "description", note.text);
    out->failed |= note.failed;
    str_fini(&note);
    str_add_char(out, '}');
    return OK;
}

/* ---- classes ----------------------------------------------------------------------------- */

static bool grows(const Socket *s)
{
    return s->type_name && strcmp(s->type_name, "COMFY_AUTOGROW_V3") == 0;
}

/* A growing socket never stands under its own name. */
static bool is_required(const Socket *s)
{
    return !(s->flags & (SOCK_F_OPTIONAL | HIDDEN)) && !grows(s);
}

/* "name.", as a regular expression for the beginning of a key. */
static void put_prefix(Str *out, const char *name)
{
    Str pattern = { 0 };

    str_add_char(&pattern, '^');
    for (const char *p = name; *p; p++) {
        if (strchr("\\^$.|?*+()[]{}/", *p)) str_add_char(&pattern, '\\');
        str_add_char(&pattern, *p);
    }
    str_add(&pattern, "\\.");
    out->failed |= pattern.failed;
    put_text(out, pattern.text ? pattern.text : "");
    str_fini(&pattern);
}

/* Other inputs are errors of spelling, but for those that a socket brings along as "socket.name". */
static void put_others(Str *out, const NodeDef *def)
{
    const char *comma = "";

    if (def->flags & NODE_F_ANY_INPUT) return;
    str_add(out, ", \"additionalProperties\": false, \"patternProperties\": {");
    for (const Socket *s = def->inputs; s && s->name; s++) {
        if (!s->keys && !grows(s)) continue;
        str_add(out, comma);
        put_prefix(out, s->name);
        str_add(out, ": {}");
        comma = ", ";
    }
    str_add_char(out, '}');
}

static Status put_class(Str *out, const NodeDef *def, struct Host *host, Error *err)
{
    const char *comma = "";

    put_text(out, def->class_type);
    str_add(out, ": {\"type\": \"object\", \"properties\": {");
    for (const Socket *s = def->inputs; s && s->name; s++) {
        if (s->flags & HIDDEN) continue;
        str_add(out, comma);
        TRY(put_input(out, s, host, err));
        comma = ", ";
    }
    str_add(out, "}, \"required\": [");
    comma = "";
    for (const Socket *s = def->inputs; s && s->name; s++) {
        if (!is_required(s)) continue;
        str_add(out, comma);
        put_text(out, s->name);
        comma = ", ";
    }
    str_add_char(out, ']');
    put_others(out, def);
    str_add_char(out, '}');
    return OK;
}

static void put_choice(Str *out, const char *class_type)
{
    Str ref = { 0 };

    str_add(out, "{\"if\": {\"properties\": {\"class_type\": {\"const\": ");
    put_text(out, class_type);
    str_add(out, "}}, \"required\": [\"class_type\"]}, \"then\": {\"properties\": {\"inputs\": "
                 "{\"$ref\": ");
    /* Class names may hold what a pointer inside a URI must escape. */
    str_add(&ref, "#/definitions/classes/");
    for (const char *p = class_type; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '~' || c == '/')
            str_add(&ref, c == '~' ? "~0" : "~1");
        else if (c <= 0x20 || c >= 0x7F || strchr("\"%<>\\^`{|}#", c))
            str_printf(&ref, "%%%02X", c);
        else
            str_add_char(&ref, (char)c);
    }
    out->failed |= ref.failed;
    put_text(out, ref.text ? ref.text : "");
    str_fini(&ref);
    str_add(out, "}}}}");
}

static const char head[] =
    "{\"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
    " \"title\": \"ComfyUI workflow in API format\",\n"
    " \"type\": \"object\",\n"
    " \"additionalProperties\": {\"$ref\": \"#/definitions/node\"},\n"
    " \"definitions\": {\n"
    "  \"link\": {\"type\": \"array\", \"items\": [{\"type\": \"string\"}, {\"type\": "
    "\"integer\", "
    "\"minimum\": 0}], \"minItems\": 2, \"maxItems\": 2, \"description\": \"[node id, "
    "output]\"},\n"
    "  \"node\": {\"type\": \"object\", \"required\": [\"class_type\", \"inputs\"], "
    "\"properties\": {"
    "\"inputs\": {\"type\": \"object\"}, \"_meta\": {\"type\": \"object\", \"properties\": "
    "{\"title\": {\"type\": \"string\"}, \"weft_ignore\": {\"type\": [\"array\", "
    "\"string\"]}}}, "
    "\"class_type\": {\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^Lua\\\\.\"}, "
    "{\"enum\": [";

Status schema_write(const NodeTable *table, struct Host *host, Str *out, Error *err)
{
    const NodeDef *def;

    str_add(out, head);
    for (size_t i = 0; (def = node_at(table, i)); i++) {
        if (i) str_add(out, ", ");
        put_text(out, def->class_type);
    }
    str_add(out, "]}]}}, \"allOf\": [\n   ");
    for (size_t i = 0; (def = node_at(table, i)); i++) {
        if (i) str_add(out, ",\n   ");
        put_choice(out, def->class_type);
    }
    str_add(out, "]},\n  \"classes\": {\n   ");
    for (size_t i = 0; (def = node_at(table, i)); i++) {
        if (i) str_add(out, ",\n   ");
        TRY(put_class(out, def, host, err));
    }
    str_add(out, "}}}\n");
    return out->failed ? error_set(err, E_NOMEM, "out of memory") : OK;
}
