/* rows.c - the input rows of one node where they depend on what the file gives it. */
#include "engine/graph/rows.h"

#include <string.h>

typedef struct Rows {
    Arena *arena;
    Socket *rows;
    int count, capacity;
} Rows;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

static bool is_dynamic(const NodeDef *def)
{
    for (const Socket *s = def->inputs; s && s->name; s++)
        if (s->keys || s->grow) return true;
    return false;
}

/* The inputs of the option that the file chose; none when the choice is no text or not known. */
static const Socket *chosen_rows(const GraphNode *n, const Socket *combo)
{
    const GraphInput *in = graph_input(n, combo->name);

    if (!in || in->is_link || in->value.kind != LIT_TEXT) return NULL;
    for (const SocketKey *k = combo->keys; k->key; k++)
        if (strcmp(k->key, in->value.text) == 0) return k->inputs;
    return NULL;
}

/* How many members of a growing socket the node has: up to the last given one, at least the minimum. */
static int grown_count(const GraphNode *n, const Socket *s)
{
    size_t name = strlen(s->name), prefix = strlen(s->grow->prefix);
    int count = s->grow->min;

    for (int i = 0; i < n->n_inputs; i++) {
        const char *p = n->inputs[i].name;
        int index = 0, digits = 0;
        if (strncmp(p, s->name, name) != 0 || p[name] != '.') continue;
        p += name + 1;
        if (strncmp(p, s->grow->prefix, prefix) != 0) continue;
        for (p += prefix; *p >= '0' && *p <= '9' && digits < 6; p++, digits++)
            index = index * 10 + (*p - '0');
        index -= s->grow->first;
        if (digits && !*p && index < s->grow->max && index >= count) count = index + 1;
    }
    return count;
}

static int count_rows(const Socket *rows)
{
    int n = 0;

    while (rows && rows[n].name)
        n++;
    return n;
}

static int most_rows(const GraphNode *n)
{
    int most = 0;

    for (const Socket *s = n->def->inputs; s->name; s++) {
        most++;
        if (s->keys) most += count_rows(chosen_rows(n, s));
        if (s->grow) most += grown_count(n, s);
    }
    return most;
}

static Status add_inner(Rows *r, const Socket *combo, const Socket *inner, Error *err)
{
    for (; inner && inner->name; inner++) {
        Socket *row = &r->rows[r->count];
        *row = *inner;
        row->name = arena_printf(r->arena, "%s.%s", combo->name, inner->name);
        if (!row->name) return no_memory(err);
        r->count++;
    }
    return OK;
}

static Status add_grown(Rows *r, const GraphNode *n, const Socket *s, Error *err)
{
    for (int i = 0, count = grown_count(n, s); i < count; i++) {
        Socket *row = &r->rows[r->count];
        *row = (Socket){ .type = s->grow->type,
                         .type_name = s->grow->type_name,
                         .at = s->at + (size_t)i * sizeof(void *),
                         .flags = i < s->grow->min ? 0 : SOCK_F_OPTIONAL,
                         .doc = s->doc };
        row->name =
            arena_printf(r->arena, "%s.%s%d", s->name, s->grow->prefix, s->grow->first + i);
        if (!row->name) return no_memory(err);
        r->count++;
    }
    return OK;
}

Status rows_of_node(Arena *arena, GraphNode *n, Error *err)
{
    Rows r = { .arena = arena };

    if (!n->def || !is_dynamic(n->def)) return OK;
    r.capacity = most_rows(n) + 1;
    r.rows = arena_array(arena, (size_t)r.capacity, sizeof *r.rows);
    NodeDef *def = arena_array(arena, 1, sizeof *def);
    if (!r.rows || !def) return no_memory(err);
    for (const Socket *s = n->def->inputs; s->name; s++) {
        if (s->grow) {
            TRY(add_grown(&r, n, s, err));
            continue;
        }
        r.rows[r.count++] = *s;
        if (s->keys) TRY(add_inner(&r, s, chosen_rows(n, s), err));
    }
    r.rows[r.count] = (Socket){ .name = NULL };
    *def = *n->def;
    def->inputs = r.rows;
    n->def = def;
    return OK;
}
