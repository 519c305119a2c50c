/* suppress.c - findings that a document asks to be silent about. */
#include "engine/graph/suppress.h"

#include <string.h>

typedef struct Reader {
    Suppressions *out;
    Arena *arena;
    int capacity;
    Error *err;
} Reader;

static Status add(Reader *r, const Json *text, const Json *owner)
{
    Suppressions *s = r->out;

    if (!json_is(text, JSON_STRING)) return OK;
    if (s->count == r->capacity) {
        int capacity = r->capacity ? r->capacity * 2 : 8;
        Suppression *items = arena_array(r->arena, (size_t)capacity, sizeof *items);
        if (!items) return error_set(r->err, E_NOMEM, "out of memory");
        if (s->count) memcpy(items, s->items, (size_t)s->count * sizeof *items);
        s->items = items;
        r->capacity = capacity;
    }
    s->items[s->count++] =
        (Suppression){ .rule = json_string(text), .at = text, .owner = owner };
    return OK;
}

/* The list under holder[key]; holder may be anything. */
static Status read_list(Reader *r, const Json *holder, const char *key, const Json *owner)
{
    const Json *list = json_is(holder, JSON_OBJECT) ? json_get(holder, key) : NULL;

    if (!json_is(list, JSON_ARRAY)) return add(r, list, owner);
    for (const Json *m = json_first(list); m; m = json_next(m))
        TRY(add(r, m, owner));
    return OK;
}

static const Json *member(const Json *object, const char *key)
{
    return json_is(object, JSON_OBJECT) ? json_get(object, key) : NULL;
}

static Status read_nodes(Reader *r, const Json *level)
{
    const Json *nodes = member(level, "nodes");

    if (!json_is(nodes, JSON_ARRAY)) return OK;
    for (const Json *m = json_first(nodes); m; m = json_next(m))
        TRY(read_list(r, member(m, "properties"), "weft.ignore", m));
    return OK;
}

/* The root and all definitions; those inside definitions are looked for as deep as JSON goes. */
static Status read_drawing(Reader *r, const Json *root)
{
    const Json *stack[JSON_MAX_DEPTH] = { NULL };
    int depth = 0;

    TRY(read_list(r, member(member(root, "extra"), "weft"), "ignore", root));
    for (const Json *level = root; level || depth > 0;) {
        const Json *inner;
        if (!level) {
            level = stack[--depth];
            continue;
        }
        TRY(read_nodes(r, level));
        inner = member(member(level, "definitions"), "subgraphs");
        if (level != root && depth < JSON_MAX_DEPTH) stack[depth++] = json_next(level);
        level = json_is(inner, JSON_ARRAY) ? json_first(inner) : NULL;
    }
    return OK;
}

static Status read_api(Reader *r, const Graph *g)
{
    for (int i = 0; i < g->count; i++)
        TRY(read_list(r, member(g->nodes[i].source, "_meta"), "weft_ignore",
                      g->nodes[i].source));
    return OK;
}

Status suppress_read(const CheckReport *report, Suppressions *out, Error *err)
{
    Reader r = { .out = out, .arena = report->arena, .err = err };

    *out = (Suppressions){ 0 };
    if (!report->graph->root) return OK;
    return report->graph->drawing ? read_drawing(&r, report->graph->root)
                                  : read_api(&r, report->graph);
}

static bool holds(const Json *owner, const Json *value)
{
    while (value && value != owner)
        value = json_parent(value);
    return value != NULL;
}

bool suppress_covers(const Suppressions *s, const CheckReport *report, const Finding *f)
{
    const Json *node = f->node >= 0 ? report->graph->nodes[f->node].source : NULL;
    bool covered = false;

    for (int i = 0; i < s->count; i++) {
        Suppression *one = &s->items[i];
        if (strncmp(f->rule, one->rule, strlen(one->rule)) != 0 || !one->rule[0]) continue;
        if (one->owner != report->graph->root && !holds(one->owner, f->source) &&
            one->owner != node)
            continue;
        one->used = covered = true;
    }
    return covered;
}
