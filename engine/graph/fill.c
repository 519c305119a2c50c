/* fill.c - writing values into a node's in struct. */
#include "engine/graph/fill.h"

#include <string.h>

static Value text_value(SockType type, const char *text)
{
    /* The Value is only borrowed: nobody frees or writes this text. */
    return (Value){ .type = type, .s = (char *)(uintptr_t)text };
}

static Value int_value(const Literal *v)
{
    Value out = { .type = SOCK_INT };
    uint64_t bits = v->negative ? 0 - v->magnitude : v->magnitude;

    memcpy(&out.i, &bits, sizeof bits);
    return out;
}

/* Sockets of any type take what the literal is. */
static bool any_value(const Literal *v, Value *out)
{
    switch (v->kind) {
    case LIT_BOOL:
        *out = (Value){ .type = SOCK_BOOLEAN, .b = v->b };
        return true;
    case LIT_INT:
        *out = int_value(v);
        return true;
    case LIT_FLOAT:
        *out = (Value){ .type = SOCK_FLOAT, .f = v->f };
        return true;
    case LIT_TEXT:
        *out = text_value(SOCK_STRING, v->text);
        return true;
    default:
        return false;
    }
}

bool fill_literal_value(const Socket *s, const Literal *v, Value *out)
{
    if (socket_is_any(s)) return any_value(v, out);
    switch (s->type) {
    case SOCK_INT:
        if (v->kind != LIT_INT) return false;
        *out = int_value(v);
        return true;
    case SOCK_FLOAT:
        *out = (Value){ .type = SOCK_FLOAT, .f = literal_double(v) };
        return v->kind == LIT_FLOAT || v->kind == LIT_INT;
    case SOCK_BOOLEAN:
        *out = (Value){ .type = SOCK_BOOLEAN, .b = v->b };
        return v->kind == LIT_BOOL;
    case SOCK_STRING:
    case SOCK_COMBO:
        *out = text_value(s->type, v->text);
        return v->kind == LIT_TEXT;
    default:
        return false;
    }
}

static Value default_int(const Socket *s)
{
    Value out = { .type = SOCK_INT };
    uint64_t bits;

    if (s->flags & SOCK_F_U64 && s->def > 0) {
        bits = s->def >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)s->def;
        memcpy(&out.i, &bits, sizeof bits);
    } else {
        out.i = s->def >= 9223372036854775808.0    ? INT64_MAX
                : s->def <= -9223372036854775808.0 ? INT64_MIN
                                                   : (int64_t)s->def;
    }
    return out;
}

Value fill_default_value(const Socket *s)
{
    if (socket_is_any(s)) return (Value){ .type = SOCK_ANY };
    switch (s->type) {
    case SOCK_INT:
        return default_int(s);
    case SOCK_FLOAT:
        return (Value){ .type = SOCK_FLOAT, .f = s->def };
    case SOCK_BOOLEAN:
        return (Value){ .type = SOCK_BOOLEAN, .b = s->def != 0 };
    case SOCK_STRING:
        return text_value(SOCK_STRING, s->sdef);
    case SOCK_COMBO:
        return text_value(SOCK_COMBO, s->sdef ? s->sdef : s->options ? s->options[0] : NULL);
    default:
        return (Value){ .type = s->type };
    }
}

void fill_field(const Socket *s, const Value *v, void *in)
{
    char *at = (char *)in + s->at;

    if (socket_is_any(s)) {
        memcpy(at, v, sizeof *v);
        return;
    }
    switch (s->type) {
    case SOCK_INT:
        memcpy(at, &v->i, sizeof v->i);
        break;
    case SOCK_FLOAT:
        memcpy(at, &v->f, sizeof v->f);
        break;
    case SOCK_BOOLEAN:
        memcpy(at, &v->b, sizeof v->b);
        break;
    case SOCK_STRING:
    case SOCK_COMBO:
        memcpy(at, &v->s, sizeof v->s);
        break;
    default:
        memcpy(at, &v->object, sizeof v->object);
    }
}

void fill_literals(const GraphNode *n, void *in)
{
    for (const Socket *s = n->def->inputs; s && s->name; s++) {
        const GraphInput *given = graph_input(n, s->name);
        Value v;
        if (s->flags & SOCK_F_LIST) continue;
        if (!given || given->is_link || !fill_literal_value(s, &given->value, &v))
            v = fill_default_value(s);
        fill_field(s, &v, in);
    }
}
