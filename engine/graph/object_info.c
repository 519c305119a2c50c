/* object_info.c - descriptors in the shape of ComfyUI's /object_info. */
#include <inttypes.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/graph/node.h"

enum { HIDDEN = SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID };

/* clang-format off */
static const struct FlagKey {
    unsigned flag;
    const char *key;
} flag_keys[] = {
    { SOCK_F_MULTILINE, "multiline" },
    { SOCK_F_DYNAMIC_PROMPTS, "dynamicPrompts" },
    { SOCK_F_CONTROL, "control_after_generate" },
    { SOCK_F_IMAGE_UPLOAD, "image_upload" },
    { SOCK_F_LAZY, "lazy" },
    { SOCK_F_FORCE_INPUT, "forceInput" },
    { SOCK_F_ADVANCED, "advanced" },
};
static const struct FlagKey node_keys[] = {
    { NODE_F_DEPRECATED, "deprecated" },
    { NODE_F_EXPERIMENTAL, "experimental" },
    { NODE_F_API, "api_node" },
};
static const struct FlagKey hidden_types[] = {
    { SOCK_F_HIDDEN_PROMPT, "PROMPT" },
    { SOCK_F_HIDDEN_PNGINFO, "EXTRA_PNGINFO" },
    { SOCK_F_HIDDEN_ID, "UNIQUE_ID" },
};
/* clang-format on */

static void write_text(Str *out, const char *text)
{
    json_write_string(out, text ? text : "", text ? strlen(text) : 0);
}

static void write_key(Str *out, bool *first, const char *key)
{
    if (!*first) str_add(out, ", ");
    *first = false;
    write_text(out, key);
    str_add(out, ": ");
}

static void write_bound(Str *out, const Socket *s, const SocketBound *b)
{
    if (s->type == SOCK_FLOAT)
        json_write_double(out, b->f);
    else
        str_printf(out, "%s%" PRIu64, b->negative && b->magnitude ? "-" : "", b->magnitude);
}

static void write_step(Str *out, bool *first, const Socket *s, const char *key, double v)
{
    if (v == 0) return;
    write_key(out, first, key);
    if (s->type == SOCK_INT)
        str_printf(out, "%.0f", v);
    else
        json_write_double(out, v);
}

static void write_number_options(Str *out, bool *first, const Socket *s)
{
    SocketBound b;

    write_key(out, first, "default");
    if (s->type == SOCK_INT)
        str_printf(out, "%.0f", s->def);
    else
        json_write_double(out, s->def);
    if (socket_min(s, &b)) {
        write_key(out, first, "min");
        write_bound(out, s, &b);
    }
    if (socket_max(s, &b)) {
        write_key(out, first, "max");
        write_bound(out, s, &b);
    }
    write_step(out, first, s, "step", s->step);
    write_step(out, first, s, "round", s->round);
}

static void write_default(Str *out, bool *first, const Socket *s)
{
    if (s->type == SOCK_INT || s->type == SOCK_FLOAT) {
        write_number_options(out, first, s);
    } else if (s->type == SOCK_BOOLEAN) {
        write_key(out, first, "default");
        str_add(out, s->def != 0 ? "true" : "false");
    } else if (s->sdef) {
        write_key(out, first, "default");
        if (socket_option_is_number(s, s->sdef))
            str_add(out, s->sdef);
        else
            write_text(out, s->sdef);
    }
}

static Status write_type(const Socket *s, struct Host *host, Str *out, Error *err)
{
    const char *const *names;
    size_t count;

    if (s->type != SOCK_COMBO || s->type_name) {
        write_text(out, socket_type_name(s));
        return OK;
    }
    TRY(socket_options(s, host, &names, &count, err));
    str_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i) str_add(out, ", ");
        if (socket_option_is_number(s, names[i]))
            str_add(out, names[i]);
        else
            write_text(out, names[i]);
    }
    str_add_char(out, ']');
    return OK;
}

static Status write_rows(const Socket *rows, struct Host *host, Str *out, Error *err);

/* What a dynamic combo's options bring along. */
static Status write_keys(const Socket *s, struct Host *host, Str *out, Error *err)
{
    str_add(out, "[");
    for (const SocketKey *k = s->keys; k->key; k++) {
        str_add(out, k == s->keys ? "{\"key\": " : ", {\"key\": ");
        write_text(out, k->key);
        str_add(out, ", \"inputs\": ");
        TRY(write_rows(k->inputs, host, out, err));
        str_add_char(out, '}');
    }
    str_add_char(out, ']');
    return OK;
}

static void write_template(const SocketGrow *g, Str *out)
{
    const char *type = g->type_name ? g->type_name : sock_name(g->type);

    str_add(out, g->first ? "{\"names\": [" : "{\"prefix\": ");
    if (!g->first) write_text(out, g->prefix);
    for (int i = 0; g->first && i < g->max; i++)
        str_printf(out, "%s\"%s%d\"", i ? ", " : "", g->prefix, g->first + i);
    str_printf(out, g->first ? "], \"min\": %d" : ", \"min\": %d, \"max\": %d", g->min, g->max);
    str_add(out, ", \"input\": {\"required\": {");
    write_text(out, g->prefix);
    str_printf(out, ": [\"%s\", {}]}}}", type);
}

Status socket_write_config(const Socket *s, struct Host *host, bool with_doc, Str *out,
                           Error *err)
{
    bool first = true;

    str_add_char(out, '[');
    TRY(write_type(s, host, out, err));
    str_add(out, ", {");
    write_default(out, &first, s);
    if (s->keys) {
        write_key(out, &first, "options");
        TRY(write_keys(s, host, out, err));
    }
    if (s->grow) {
        write_key(out, &first, "template");
        write_template(s->grow, out);
    }
    for (size_t i = 0; i < sizeof flag_keys / sizeof *flag_keys; i++) {
        if (!(s->flags & flag_keys[i].flag)) continue;
        write_key(out, &first, flag_keys[i].key);
        str_add(out, "true");
    }
    if (with_doc && s->doc) {
        write_key(out, &first, "tooltip");
        write_text(out, s->doc);
    }
    str_add(out, "}]");
    return OK;
}

typedef enum Section { SECTION_REQUIRED, SECTION_OPTIONAL, SECTION_HIDDEN, SECTIONS } Section;

static const char *const section_names[SECTIONS] = { "required", "optional", "hidden" };

static Section section_of(const Socket *s)
{
    if (s->flags & HIDDEN) return SECTION_HIDDEN;
    return s->flags & SOCK_F_OPTIONAL ? SECTION_OPTIONAL : SECTION_REQUIRED;
}

static const char *hidden_type(const Socket *s)
{
    for (size_t i = 0; i < sizeof hidden_types / sizeof *hidden_types; i++)
        if (s->flags & hidden_types[i].flag) return hidden_types[i].key;
    return "";
}

static bool section_used(const Socket *rows, Section section)
{
    for (const Socket *s = rows; s && s->name; s++)
        if (section_of(s) == section) return true;
    return section == SECTION_REQUIRED;
}

static Status write_section(const Socket *rows, Section section, struct Host *host, Str *out,
                            Error *err)
{
    bool first = true;

    str_add_char(out, '{');
    for (const Socket *s = rows; s && s->name; s++) {
        if (section_of(s) != section) continue;
        write_key(out, &first, s->name);
        if (section == SECTION_HIDDEN)
            write_text(out, hidden_type(s));
        else
            TRY(socket_write_config(s, host, true, out, err));
    }
    str_add_char(out, '}');
    return OK;
}

static Status write_rows(const Socket *rows, struct Host *host, Str *out, Error *err)
{
    bool first = true;

    str_add_char(out, '{');
    for (int i = 0; i < SECTIONS; i++) {
        if (!section_used(rows, (Section)i)) continue;
        write_key(out, &first, section_names[i]);
        TRY(write_section(rows, (Section)i, host, out, err));
    }
    str_add_char(out, '}');
    return OK;
}

static void write_order(const NodeDef *def, Str *out)
{
    bool first = true;

    str_add_char(out, '{');
    for (int i = 0; i < SECTIONS; i++) {
        if (!section_used(def->inputs, (Section)i)) continue;
        write_key(out, &first, section_names[i]);
        str_add_char(out, '[');
        const char *comma = "";
        for (const Socket *s = def->inputs; s && s->name; s++) {
            if (section_of(s) != (Section)i) continue;
            str_add(out, comma);
            write_text(out, s->name);
            comma = ", ";
        }
        str_add_char(out, ']');
    }
    str_add_char(out, '}');
}

typedef enum OutputFact { OUTPUT_TYPE, OUTPUT_LIST, OUTPUT_NAME, OUTPUT_DOC } OutputFact;

static void write_outputs(const NodeDef *def, OutputFact fact, Str *out)
{
    const char *comma = "";

    str_add_char(out, '[');
    for (const Socket *s = def->outputs; s && s->name; s++, comma = ", ") {
        str_add(out, comma);
        if (fact == OUTPUT_LIST)
            str_add(out, s->flags & SOCK_F_LIST ? "true" : "false");
        else
            write_text(out, fact == OUTPUT_TYPE   ? socket_type_name(s)
                            : fact == OUTPUT_NAME ? s->name
                                                  : s->doc);
    }
    str_add_char(out, ']');
}

static void write_text_member(Str *out, const char *key, const char *text)
{
    bool first = false;

    write_key(out, &first, key);
    write_text(out, text);
}

Status node_object_info(const NodeDef *def, struct Host *host, Str *out, Error *err)
{
    str_add(out, "{\"input\": ");
    TRY(write_rows(def->inputs, host, out, err));
    str_add(out, ", \"input_order\": ");
    write_order(def, out);
    str_printf(out, ", \"is_input_list\": %s",
               def->flags & NODE_F_INPUT_IS_LIST ? "true" : "false");
    str_add(out, ", \"output\": ");
    write_outputs(def, OUTPUT_TYPE, out);
    str_add(out, ", \"output_is_list\": ");
    write_outputs(def, OUTPUT_LIST, out);
    str_add(out, ", \"output_name\": ");
    write_outputs(def, OUTPUT_NAME, out);
    str_add(out, ", \"output_tooltips\": ");
    write_outputs(def, OUTPUT_DOC, out);
    write_text_member(out, "name", def->class_type);
    write_text_member(out, "display_name", def->display ? def->display : def->class_type);
    write_text_member(out, "description", def->doc);
    write_text_member(out, "python_module", "nodes");
    write_text_member(out, "category", def->category);
    str_printf(out, ", \"output_node\": %s", def->flags & NODE_F_OUTPUT ? "true" : "false");
    for (size_t i = 0; i < sizeof node_keys / sizeof *node_keys; i++)
        if (def->flags & node_keys[i].flag) str_printf(out, ", \"%s\": true", node_keys[i].key);
    str_add_char(out, '}');
    return out->failed ? error_set(err, E_NOMEM, "out of memory") : OK;
}
