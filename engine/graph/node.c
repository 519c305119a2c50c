/* node.c - looking classes and sockets up, and the facts that every reader of a descriptor needs. */
#include "engine/graph/node.h"

#include <math.h>
#include <string.h>

static const NodeDef *executable_at(const NodeTable *t, size_t *i)
{
    for (const NodeDef *const *const *family = t->families; family && *family; family++)
        for (const NodeDef *const *def = *family; *def; def++)
            if ((*i)-- == 0) return *def;
    if (*i < t->n_extra) return t->extra[*i];
    *i -= t->n_extra;
    return NULL;
}

/* Facts in order of name, without those of executable classes: such names are looked for in the facts,
 * not the other way round, which is what keeps a walk over all classes short. */
static const NodeDef *known_at(const NodeTable *t, size_t i)
{
    enum { WORDS = 32, BITS = 64 };
    uint64_t taken[WORDS] = { 0 };
    const NodeDef *def, *fact;

    for (size_t k = 0, at = 0; at = k, (def = executable_at(t, &at)); k++) {
        fact = node_facts(t, def->class_type);
        size_t bit = fact ? (size_t)(fact - t->known) : WORDS * BITS;
        if (bit < WORDS * BITS) taken[bit / BITS] |= UINT64_C(1) << bit % BITS;
    }
    for (size_t k = 0; k < t->n_known; k++) {
        if (k < WORDS * BITS && taken[k / BITS] >> k % BITS & 1) continue;
        if (i-- == 0) return &t->known[k];
    }
    return NULL;
}

const NodeDef *node_at(const NodeTable *t, size_t i)
{
    const NodeDef *def = executable_at(t, &i);

    return def || !t->known ? def : known_at(t, i);
}

const NodeDef *node_facts(const NodeTable *t, const char *class_type)
{
    size_t low = 0, high = t->known ? t->n_known : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(class_type, t->known[middle].class_type);
        if (order == 0) return &t->known[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* A descriptor made at run time takes the place of a built-in one of the same name. */
const NodeDef *node_find(const NodeTable *t, const char *class_type)
{
    for (size_t i = 0; i < t->n_extra; i++)
        if (strcmp(t->extra[i]->class_type, class_type) == 0) return t->extra[i];
    for (const NodeDef *const *const *family = t->families; family && *family; family++)
        for (const NodeDef *const *def = *family; *def; def++)
            if (strcmp((*def)->class_type, class_type) == 0) return *def;
    return node_facts(t, class_type);
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

bool socket_option_is_number(const Socket *s, const char *option)
{
    return s->flags & SOCK_F_INT_OPTIONS && option[0] &&
           option[strspn(option, "0123456789")] == 0;
}

bool socket_is_any(const Socket *s)
{
    return s->type == SOCK_ANY || (s->type_name && strchr(s->type_name, ','));
}

/* Types outside SOCK_MAP whose value stands in the file: the editors of the page. */
static bool is_editor(const char *type)
{
    static const char *const editors[] = {
        "COMFY_DYNAMICCOMBO_V3",
        "COLOR",
        "COLORS",
        "CURVE",
        "RANGE",
        "BOUNDING_BOX",
        "CHART",
        "BOUNDING_BOXES",
        "PAINTER",
        "COMPOSITOR",
        "MARKDOWN",
        "VIDEO_EDIT",
        "TEXTAREA",
        "WEBCAM",
        "GALLERIA",
        "LOAD_3D",
    };

    for (size_t i = 0; i < sizeof editors / sizeof *editors; i++)
        if (strcmp(type, editors[i]) == 0) return true;
    return false;
}

bool socket_is_widget(const Socket *s)
{
    if (s->flags &
        (SOCK_F_FORCE_INPUT | SOCK_F_HIDDEN_PROMPT | SOCK_F_HIDDEN_PNGINFO | SOCK_F_HIDDEN_ID))
        return false;
    if (s->flags & SOCK_F_WIDGET) return true;
    if (s->type == SOCK_OTHER && s->type_name) return is_editor(s->type_name);
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
