/* values.c - the parameters of one use of a script. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/script/host.h"

static void destroy(void *object)
{
    ScriptValues *v = object;
    for (int i = 0; i < v->count; i++)
        value_fini(&v->items[i]);
    ref_drop(v->script);
    mem_free(v);
}

static Value default_of(const Socket *s)
{
    Value v = { .type = s->type };

    switch (s->type) {
    case SOCK_INT:
        v.i = (int64_t)s->def;
        break;
    case SOCK_FLOAT:
        v.f = s->def;
        break;
    case SOCK_BOOLEAN:
        v.b = s->def != 0;
        break;
    case SOCK_STRING:
    case SOCK_COMBO:
        v.s = (char *)(uintptr_t)(s->sdef ? s->sdef : "");
        break;
    default:
        v.object = NULL;
    }
    return v;
}

static Status make(const Script *s, const void *in, ScriptValues **out, Error *err)
{
    ScriptValues *v = mem_calloc(1, sizeof *v + (size_t)s->params * sizeof *v->items);
    if (!v) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&v->ref, destroy);
    v->script = ref_take(s);
    for (; v->count < s->params; v->count++) {
        const Socket *row = &s->def.inputs[s->lead + v->count];
        Value borrowed = in ? host_field(row, in) : default_of(row);
        Status status = value_copy(&borrowed, &v->items[v->count], err);
        if (status == OK) continue;
        ref_drop(v);
        return status;
    }
    *out = v;
    return OK;
}

Status script_values_default(const Script *s, ScriptValues **out, Error *err)
{
    return make(s, NULL, out, err);
}

Status script_values_from(const Script *s, const void *in, ScriptValues **out, Error *err)
{
    return make(s, in, out, err);
}

/* ---- from text ---------------------------------------------------------------------------------------- */

static bool in_range(const Socket *s, double number)
{
    return !(s->min < s->max) || (number >= s->min && number <= s->max);
}

static bool is_option(const Socket *s, const char *text)
{
    for (const char *const *o = s->options; o && *o; o++)
        if (strcmp(*o, text) == 0) return true;
    return !s->options;
}

/* The value that text says, borrowed; false when it does not fit the row. */
static bool parse_value(const Socket *s, const char *text, Value *v)
{
    char *end = NULL;
    double number = strtod(text, &end);
    bool is_number = end != text && *end == 0 && number == number;

    *v = (Value){ .type = s->type };
    switch (s->type) {
    case SOCK_INT:
        v->i = strtoll(text, &end, 10);
        return is_number && *end == 0 && in_range(s, number);
    case SOCK_FLOAT:
        v->f = number;
        return is_number && in_range(s, number);
    case SOCK_BOOLEAN:
        v->b = strcmp(text, "true") == 0;
        return v->b || strcmp(text, "false") == 0;
    case SOCK_COMBO:
        v->s = (char *)(uintptr_t)text;
        return is_option(s, text);
    default:
        v->s = (char *)(uintptr_t)text;
        return true;
    }
}

Status script_values_set(ScriptValues *v, const char *name, const char *text, Error *err)
{
    const char *names[SCRIPT_ROWS_MAX];

    for (int i = 0; i < v->count; i++) {
        const Socket *s = &v->script->def.inputs[v->script->lead + i];
        Value given, copy;
        names[i] = s->name;
        if (strcmp(s->name, name) != 0) continue;
        if (!parse_value(s, text, &given)) {
            error_set(err, E_RANGE, "%s: '%s' is out of range", name, text);
            if (s->min < s->max) error_fix(err, "the range is %g to %g", s->min, s->max);
            return E_RANGE;
        }
        TRY(value_copy(&given, &copy, err));
        value_fini(&v->items[i]);
        v->items[i] = copy;
        return OK;
    }
    const char *near = str_nearest(name, names, (size_t)v->count);
    error_set(err, E_MISSING, "%s has no parameter '%s'", v->script->name, name);
    if (near) error_fix(err, "did you mean %s?", near);
    return E_MISSING;
}
