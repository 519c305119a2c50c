/* node.c - looking classes and sockets up, and the facts that every reader of a descriptor needs. */
#include "engine/graph/node.h"

#include <math.h>
#include <string.h>

const NodeDef *node_at(const NodeTable *t, size_t i)
{
    for (const NodeDef *const *const *family = t->families; family && *family; family++)
        for (const NodeDef *const *def = *family; *def; def++)
            if (i-- == 0) return *def;
    return i < t->n_extra ? t->extra[i] : NULL;
}

/* A descriptor made at run time takes the place of a built-in one of the same name. */
const NodeDef *node_find(const NodeTable *t, const char *class_type)
{
    for (size_t i = 0; i < t->n_extra; i++)
        if (strcmp(t->extra[i]->class_type, class_type) == 0) return t->extra[i];
    for (const NodeDef *const *const *family = t->families; family && *family; family++)
        for (const NodeDef *const *def = *family; *def; def++)
            if (strcmp((*def)->class_type, class_type) == 0) return *def;
    return NULL;
}

const Socket *node_input(const NodeDef *def, const char *name, int *index)
{
    int i = 0;

    for (const Socket *s = def->inputs; s && s->name; s++, i++) {
        if (strcmp(s->name, name) != 0) continue;
        if (index) *index = i;
        return s;
    }
    return NULL;
}

int node_output_count(const NodeDef *def)
{
    int n = 0;

    while (def->outputs && def->outputs[n].name)
        n++;
    return n;
}

const char *socket_type_name(const Socket *s)
{
    return s->type_name ? s->type_name : sock_name(s->type);
}

bool socket_is_any(const Socket *s)
{
    return s->type == SOCK_ANY || (s->type_name && strchr(s->type_name, ','));
}

bool socket_is_widget(const Socket *s)
{
    if (s->flags &
        (SOCK_F_FORCE_INPUT | SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID))
        return false;
    return s->type == SOCK_INT || s->type == SOCK_FLOAT || s->type == SOCK_BOOLEAN ||
           s->type == SOCK_STRING || s->type == SOCK_COMBO;
}

/* Takes the next member of a comma list, without the blanks around it. */
static bool next_type(const char **list, const char **start, size_t *length)
{
    const char *p = *list;

    if (!p) return false;
    while (*p == ' ')
        p++;
    size_t n = strcspn(p, ",");
    *list = p[n] == ',' ? p + n + 1 : NULL;
    while (n > 0 && p[n - 1] == ' ')
        n--;
    *start = p;
    *length = n;
    return true;
}

static bool is_wild(const char *name, size_t n)
{
    static const char match[] = "COMFY_MATCHTYPE_V3";

    return (n == 1 && name[0] == '*') || (n == sizeof match - 1 && memcmp(name, match, n) == 0);
}

bool socket_types_match(const char *from, const char *into)
{
    const char *a, *b, *left = from, *right;
    size_t na, nb;

    if (strcmp(from, into) == 0) return true;
    while (next_type(&left, &a, &na)) {
        if (is_wild(a, na)) return true;
        right = into;
        while (next_type(&right, &b, &nb))
            if (is_wild(b, nb) || (na == nb && memcmp(a, b, na) == 0)) return true;
    }
    return false;
}

static uint64_t bound_magnitude(double v, uint64_t limit)
{
    double m = fabs(v);

    return m >= (double)limit ? limit : (uint64_t)m;
}

static bool bound(const Socket *s, double v, SocketBound *out)
{
    if (s->min == s->max || isinf(v) || isnan(v)) return false;
    out->f = v;
    out->negative = v < 0;
    out->magnitude = bound_magnitude(v, s->flags & SOCK_F_U64 ? UINT64_MAX : INT64_MAX);
    return true;
}

bool socket_min(const Socket *s, SocketBound *out)
{
    return bound(s, s->min, out);
}

bool socket_max(const Socket *s, SocketBound *out)
{
    return bound(s, s->max, out);
}

Status socket_options(const Socket *s, struct Host *host, const char *const **names,
                      size_t *count, Error *err)
{
    *names = s->options;
    *count = 0;
    if (s->options_fn) return host ? s->options_fn(host, names, count, err) : OK;
    while (s->options && s->options[*count])
        ++*count;
    return OK;
}
