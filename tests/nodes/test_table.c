/* test_table.c - every node type's descriptor is whole, and agrees with ComfyUI's own description. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "nodes/table.h"
#include "tests/unit/support.h"

static size_t field_size(const Socket *s)
{
    switch (s->type) {
    case SOCK_BOOLEAN:
        return sizeof(bool);
    case SOCK_INT:
    case SOCK_FLOAT:
        return 8;
    default:
        return sizeof(void *);
    }
}

static void check_range(const NodeDef *def, const Socket *s)
{
    if (s->type != SOCK_INT && s->type != SOCK_FLOAT) return;
    if (s->min > s->max) fail_msg("%s.%s: min above max", def->class_type, s->name);
    if (s->min < s->max && (s->def < s->min || s->def > s->max))
        fail_msg("%s.%s: default outside its range", def->class_type, s->name);
}

static void check_sockets(const NodeDef *def, const Socket *rows, size_t size, bool input)
{
    for (const Socket *s = rows; s && s->name; s++) {
        if (!s->doc || !*s->doc) fail_msg("%s.%s has no doc", def->class_type, s->name);
        if (s->at + field_size(s) > size)
            fail_msg("%s.%s lies outside its struct", def->class_type, s->name);
        for (const Socket *t = rows; t < s; t++) {
            if (input && strcmp(t->name, s->name) == 0)
                fail_msg("%s.%s is there twice", def->class_type, s->name);
            if (t->at == s->at) fail_msg("%s.%s shares its field", def->class_type, s->name);
        }
        if (input && s->type == SOCK_COMBO && !s->options && !s->options_fn)
            fail_msg("%s.%s has no options", def->class_type, s->name);
        if (input) check_range(def, s);
    }
}

static void test_descriptors(void **state)
{
    NodeTable table = nodes_table();
    const NodeDef *def;
    size_t n = 0;
    (void)state;
    table.n_known = 0; /* facts alone have neither fields nor texts */
    for (; (def = node_at(&table, n)); n++) {
        assert_non_null(def->class_type);
        assert_ptr_equal(node_find(&table, def->class_type),
                         def); /* also: the name is there once */
        check_sockets(def, def->inputs, def->in_size, true);
        check_sockets(def, def->outputs, def->out_size, false);
    }
    assert_true(n > 60);
}

/* ---- against the facts ----------------------------------------------------------------------------- */

static JsonDoc *read_facts(const char *relative)
{
    char path[1024];
    enum { LIMIT = 64 << 20 };
    JsonDoc *doc = NULL;
    if (!shared_path(relative, path, sizeof path)) return NULL;
    gzFile f = gzopen(path, "rb");
    char *text = mem_alloc(LIMIT);
    int n = gzread(f, text, LIMIT);
    Error err = { 0 };
    gzclose(f);
    Status s = json_parse(text, (size_t)n, &doc, &err);
    mem_free(text);
    assert_ok(s, &err);
    return doc;
}

static bool is_hidden(const Socket *s)
{
    return s->flags & (SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID);
}

static void compare_number(const NodeDef *def, const Socket *s, const Json *fact,
                           const char *key, double ours)
{
    const Json *v = json_get(fact, key);
    if (!json_is(v, JSON_NUMBER)) return;
    if (json_double(v) != ours)
        fail_msg("%s.%s: %s is %g, ComfyUI has %g", def->class_type, s->name, key, ours,
                 json_double(v));
}

static void compare_default(const NodeDef *def, const Socket *s, const Json *fact)
{
    const Json *v = json_get(fact, "default");
    if (json_is(v, JSON_BOOL) && s->type == SOCK_BOOLEAN && json_bool(v) != (s->def != 0))
        fail_msg("%s.%s: another default", def->class_type, s->name);
    if (json_is(v, JSON_STRING) && s->type == SOCK_STRING &&
        strcmp(json_string(v), s->sdef ? s->sdef : "") != 0)
        fail_msg("%s.%s: default '%s', ComfyUI has '%s'", def->class_type, s->name, s->sdef,
                 json_string(v));
    if (s->type == SOCK_INT || s->type == SOCK_FLOAT)
        compare_number(def, s, fact, "default", s->def);
}

/* Where a class is meant to differ from the facts: an input that they lack, or a longer menu. */
static const struct Difference {
    const char *class_type, *input;
} differences[] = {
    { "CustomCombo", "index" }, /* the reference takes it beside its declared inputs */
    { "SetUnionControlNetType", "type" }, /* the types of InstantX came later */
    { "CLIPLoaderGGUF", "type" }, /* flux2 and ovis, as the core's CLIPLoader has them */
};

static bool is_known_difference(const NodeDef *def, const Socket *s)
{
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++)
        if (strcmp(differences[i].class_type, def->class_type) == 0 &&
            strcmp(differences[i].input, s->name) == 0)
            return true;
    return false;
}

static void compare_options(const NodeDef *def, const Socket *s, const Json *fact)
{
    const Json *options = json_get(fact, "enum");
    size_t i = 0;
    if (!options || !s->options) return;
    for (const Json *o = json_first(options); o; o = json_next(o), i++)
        if (!s->options[i] || strcmp(s->options[i], json_string(o)) != 0)
            fail_msg("%s.%s: option %zu is not '%s'", def->class_type, s->name, i,
                     json_string(o));
    if (s->options[i] && !is_known_difference(def, s))
        fail_msg("%s.%s: more options than ComfyUI", def->class_type, s->name);
}

static void compare_input(const NodeDef *def, const Socket *s, const Json *fact, bool optional)
{
    if (strcmp(s->name, json_key(fact)) != 0)
        fail_msg("%s: input '%s' stands where ComfyUI has '%s'", def->class_type, s->name,
                 json_key(fact));
    const char *type = param_text(fact, "t", "");
    if (strcmp(socket_type_name(s), type) != 0 && strcmp(type, "COMFY_MATCHTYPE_V3") != 0)
        fail_msg("%s.%s: type %s, ComfyUI has %s", def->class_type, s->name,
                 socket_type_name(s), type);
    if (optional != !!(s->flags & SOCK_F_OPTIONAL))
        fail_msg("%s.%s: optional differs", def->class_type, s->name);
    compare_default(def, s, fact);
    compare_options(def, s, fact);
    if (s->type == SOCK_INT || s->type == SOCK_FLOAT) {
        compare_number(def, s, fact, "min", s->min);
        compare_number(def, s, fact, "max", s->max);
    }
}

static const Socket *next_visible(const Socket *s)
{
    while (s && s->name && is_hidden(s))
        s++;
    return s;
}

static void compare_class(const NodeDef *def, const Json *fact)
{
    const Socket *s = next_visible(def->inputs);
    const char *const groups[] = { "required", "optional" };
    for (int g = 0; g < 2; g++)
        for (const Json *f = json_first(json_get(json_get(fact, "in"), groups[g])); f;
             f = json_next(f)) {
            if (!s || !s->name)
                fail_msg("%s: input '%s' is missing", def->class_type, json_key(f));
            compare_input(def, s, f, g == 1);
            s = next_visible(s + 1);
        }
    if (s && s->name && !is_known_difference(def, s))
        fail_msg("%s: ComfyUI has no input '%s'", def->class_type, s->name);
    size_t i = 0;
    for (const Json *o = json_first(json_get(fact, "out")); o; o = json_next(o), i++)
        if (!def->outputs[i].name ||
            strcmp(socket_type_name(&def->outputs[i]), json_string(o)) != 0)
            fail_msg("%s: output %zu is no %s", def->class_type, i, json_string(o));
    if (!!(def->flags & NODE_F_OUTPUT) != param_bool(fact, "output_node", false))
        fail_msg("%s: output flag differs", def->class_type);
}

static void test_facts(void **state)
{
    static const char *const files[] = { "data/object_info.core.json.gz",
                                         "data/object_info.custom.json.gz" };
    NodeTable table = nodes_table();
    int compared = 0;
    (void)state;
    table.n_known = 0;
    for (int i = 0; i < 2; i++) {
        JsonDoc *doc = read_facts(files[i]);
        if (!doc) {
            print_message("skipped: %s is not here\n", files[i]);
            skip();
        }
        for (const Json *f = json_first(json_get(json_root(doc), "nodes")); f;
             f = json_next(f)) {
            const NodeDef *def = node_find(&table, json_key(f));
            if (!def || !def->run) continue;
            compare_class(def, f);
            compared++;
        }
        json_free(doc);
    }
    assert_true(compared > 60);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_descriptors),
                                        cmocka_unit_test(test_facts) };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("nodes", tests, NULL, NULL);
}
