/* value.c - what travels on a link. */
#include "engine/graph/value.h"

#include <string.h>

#include "engine/base/mem.h"

static const char *const names[] = {
#define SOCK_NAME(name, text) text,
    SOCK_MAP(SOCK_NAME)
#undef SOCK_NAME
};

enum { SOCK_KINDS = sizeof names / sizeof *names };

const char *sock_name(SockType t)
{
    return (unsigned)t < SOCK_KINDS ? names[t] : "";
}

SockType sock_from_name(const char *name)
{
    for (int i = 0; i < SOCK_KINDS; i++)
        if (name[0] && strcmp(names[i], name) == 0) return (SockType)i;
    return SOCK_OTHER;
}

static bool is_text(SockType t)
{
    return t == SOCK_STRING || t == SOCK_COMBO || t == SOCK_BLOCKER;
}

static bool is_number(SockType t)
{
    return t == SOCK_INT || t == SOCK_FLOAT || t == SOCK_BOOLEAN || t == SOCK_PENDING;
}

Status value_copy(const Value *v, Value *out, Error *err)
{
    Value copy = *v;

    if (is_text(v->type)) {
        copy.s = v->s ? mem_strdup(v->s) : NULL;
        if (v->s && !copy.s) return error_set(err, E_NOMEM, "out of memory");
    } else if (!is_number(v->type)) {
        copy.object = ref_take(v->object);
    }
    *out = copy;
    return OK;
}

void value_fini(Value *v)
{
    if (is_text(v->type))
        mem_free(v->s);
    else if (!is_number(v->type))
        ref_drop(v->object);
    memset(v, 0, sizeof *v);
}

void value_list_fini(ValueList *list)
{
    for (size_t i = 0; i < list->count; i++)
        value_fini(&list->items[i]);
    mem_free(list->items);
    memset(list, 0, sizeof *list);
}
