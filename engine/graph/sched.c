/* sched.c - which node runs next. */
#include "engine/graph/sched.h"

#include <string.h>

#include "engine/base/mem.h"

typedef struct Edge {
    int to, next; /* consumer; next edge of the same origin, -1 = last */
} Edge;

typedef struct Ready {
    int rank;
    unsigned order;
    int node;
} Ready;

typedef struct Link {
    int from, to;
} Link;

typedef struct State {
    bool pending, feeds_output, queued;
    unsigned order; /* of insertion */
    int blocked;    /* origins that are not done */
    int first;      /* edge, -1 = none */
} State;

struct Sched {
    const Graph *graph; /* borrowed */
    SchedCached cached;
    void *user;
    State *states; /* owned, per node */
    Edge *edges;   /* owned */
    Ready *heap;   /* owned; smallest (rank, order) first */
    int *stack;    /* owned; scratch of sched_add */
    Link *links;   /* owned; scratch of sched_add */
    int n_states, n_edges, edge_capacity, n_heap, heap_capacity, stack_capacity, n_links, link_capacity,
        pending;
    unsigned next_order;
    bool stale; /* links were added since the heap was ordered */
};

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* Makes room for one more item of an owned array. */
static bool room(void **items, int count, int *capacity, size_t size)
{
    int wanted = *capacity ? *capacity * 2 : 64;
    void *more;

    if (count < *capacity) return true;
    if (*capacity > INT32_MAX / 2) return false;
    more = mem_realloc(*items, (size_t)wanted * size);
    if (!more) return false;
    *items = more;
    *capacity = wanted;
    return true;
}

Status sched_new(const Graph *g, SchedCached cached, void *user, Sched **out, Error *err)
{
    Sched *s = mem_calloc(1, sizeof *s);

    if (s) s->states = mem_calloc((size_t)g->count + 1, sizeof *s->states);
    if (!s || !s->states) {
        mem_free(s);
        return no_memory(err);
    }
    for (int i = 0; i < g->count; i++)
        s->states[i].first = -1;
    s->n_states = g->count;
    s->graph = g;
    s->cached = cached;
    s->user = user;
    *out = s;
    return OK;
}

Status sched_grow(Sched *s, Error *err)
{
    int wanted = s->graph->count;
    State *more;

    if (wanted <= s->n_states) return OK;
    if (wanted < 2 * s->n_states) wanted = 2 * s->n_states;
    more = mem_realloc(s->states, ((size_t)wanted + 1) * sizeof *more);
    if (!more) return no_memory(err);
    s->states = more;
    for (int i = s->n_states; i < wanted; i++)
        s->states[i] = (State){ .first = -1 };
    s->n_states = wanted;
    return OK;
}

void sched_free(Sched *s)
{
    if (!s) return;
    mem_free(s->states);
    mem_free(s->edges);
    mem_free(s->heap);
    mem_free(s->stack);
    mem_free(s->links);
    mem_free(s);
}

bool sched_empty(const Sched *s)
{
    return s->pending == 0;
}

bool sched_is_dependency(const Graph *g, const GraphNode *n, const GraphInput *in, bool *lazy)
{
    const Socket *s;

    if (!in->is_link || in->fault != LINK_OK || in->origin < 0 || !g->nodes[in->origin].def)
        return false;
    s = n->def ? node_input(n->def, in->name, NULL) : NULL;
    if (lazy) *lazy = s && s->flags & SOCK_F_LAZY;
    return s != NULL;
}

/* ---- the ready ones: a binary heap ------------------------------------------------------- */

static bool is_output(const Sched *s, int node)
{
    const NodeDef *def = s->graph->nodes[node].def;

    return def && def->flags & NODE_F_OUTPUT;
}

static int rank_of(const Sched *s, int node)
{
    if (is_output(s, node)) return 0;
    if (s->states[node].feeds_output) return 1;
    for (int e = s->states[node].first; e >= 0; e = s->edges[e].next)
        if (s->states[s->edges[e].to].feeds_output) return 2;
    return 3;
}

static bool is_before(const Ready *a, const Ready *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->order < b->order;
}

static void sift_down(Ready *heap, int n, int i)
{
    Ready moved = heap[i];

    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child])) child++;
        if (!is_before(&heap[child], &moved)) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

static Status push_ready(Sched *s, int node, Error *err)
{
    Ready item = { rank_of(s, node), s->states[node].order, node };
    int i = s->n_heap;

    if (s->states[node].queued) return OK;
    if (!room((void **)&s->heap, s->n_heap, &s->heap_capacity, sizeof *s->heap))
        return no_memory(err);
    for (s->n_heap++; i > 0 && is_before(&item, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = item;
    s->states[node].queued = true;
    return OK;
}

/* New links change what a ready node feeds. */
static void rank_again(Sched *s)
{
    for (int i = 0; i < s->n_heap; i++)
        s->heap[i].rank = rank_of(s, s->heap[i].node);
    for (int i = s->n_heap / 2 - 1; i >= 0; i--)
        sift_down(s->heap, s->n_heap, i);
    s->stale = false;
}

int sched_next(Sched *s)
{
    if (s->stale) rank_again(s);
    while (s->n_heap > 0) {
        int node = s->heap[0].node;
        s->heap[0] = s->heap[--s->n_heap];
        if (s->n_heap > 0) sift_down(s->heap, s->n_heap, 0);
        s->states[node].queued = false;
        if (s->states[node].pending && s->states[node].blocked == 0) return node;
    }
    return -1;
}

/* ---- links ------------------------------------------------------------------------------- */

/* Links of one consumer come one after the other, so that a double one is the newest of its origin. */
static Status add_edge(Sched *s, int from, int to, Error *err)
{
    State *origin = &s->states[from];

    if (origin->first >= 0 && s->edges[origin->first].to == to) return OK;
    if (!room((void **)&s->edges, s->n_edges, &s->edge_capacity, sizeof *s->edges))
        return no_memory(err);
    s->edges[s->n_edges] = (Edge){ to, origin->first };
    origin->first = s->n_edges++;
    origin->feeds_output |= is_output(s, to);
    s->states[to].blocked++;
    return OK;
}

static bool has_edge(const Sched *s, int from, int to)
{
    for (int e = s->states[from].first; e >= 0; e = s->edges[e].next)
        if (s->edges[e].to == to) return true;
    return false;
}

static Status push_node(Sched *s, int *depth, int node, Error *err)
{
    if (!room((void **)&s->stack, *depth, &s->stack_capacity, sizeof *s->stack))
        return no_memory(err);
    s->stack[(*depth)++] = node;
    return OK;
}

static Status push_link(Sched *s, int from, int to, Error *err)
{
    if (!room((void **)&s->links, s->n_links, &s->link_capacity, sizeof *s->links))
        return no_memory(err);
    s->links[s->n_links++] = (Link){ from, to };
    return OK;
}

/* Puts one node among the pending and its origins on the stack. */
static Status take_in(Sched *s, int node, int *depth, Error *err)
{
    const GraphNode *n = &s->graph->nodes[node];
    bool lazy;

    s->states[node].pending = true;
    s->states[node].order = s->next_order++;
    s->pending++;
    for (int i = 0; i < n->n_inputs; i++) {
        if (!sched_is_dependency(s->graph, n, &n->inputs[i], &lazy) || lazy) continue;
        if (s->cached(s->user, n->inputs[i].origin)) continue;
        TRY(push_node(s, depth, n->inputs[i].origin, err));
        TRY(push_link(s, n->inputs[i].origin, node, err));
    }
    return OK;
}

Status sched_add(Sched *s, int node, Error *err)
{
    int depth = 0;
    unsigned from_order = s->next_order;

    s->n_links = 0;
    TRY(push_node(s, &depth, node, err));
    while (depth > 0) {
        int next = s->stack[--depth];
        if (!s->states[next].pending) TRY(take_in(s, next, &depth, err));
    }
    for (int i = 0; i < s->n_links; i++)
        TRY(add_edge(s, s->links[i].from, s->links[i].to, err));
    s->stale = true;
    if (s->n_links == 0 && s->states[node].blocked == 0) return push_ready(s, node, err);
    for (int i = 0; i < s->n_links; i++) {
        State *origin = &s->states[s->links[i].from];
        if (origin->blocked == 0 && origin->order >= from_order)
            TRY(push_ready(s, s->links[i].from, err));
    }
    return OK;
}

Status sched_need_node(Sched *s, int node, int origin, bool *added, Error *err)
{
    *added = false;
    if (s->cached(s->user, origin)) return OK;
    TRY(sched_add(s, origin, err));
    if (has_edge(s, origin, node)) return OK;
    TRY(add_edge(s, origin, node, err));
    s->stale = true;
    *added = true;
    return OK;
}

Status sched_need(Sched *s, int node, const GraphInput *input, bool *added, Error *err)
{
    return sched_need_node(s, node, input->origin, added, err);
}

Status sched_done(Sched *s, int node, Error *err)
{
    State *state = &s->states[node];

    if (!state->pending) return OK;
    state->pending = false;
    s->pending--;
    for (int e = state->first; e >= 0; e = s->edges[e].next)
        if (--s->states[s->edges[e].to].blocked == 0) TRY(push_ready(s, s->edges[e].to, err));
    state->first = -1;
    return OK;
}

Status sched_defer(Sched *s, int node, Error *err)
{
    return s->states[node].blocked == 0 ? push_ready(s, node, err) : OK;
}

/* Walks up along blocked nodes until one comes again; that one lies on the cycle. */
int sched_stuck(const Sched *s)
{
    int node = -1, met = 0;

    for (int i = 0; i < s->graph->count && node < 0; i++)
        if (s->states[i].pending && s->states[i].blocked) node = i;
    while (node >= 0 && met++ <= s->graph->count) {
        const GraphNode *n = &s->graph->nodes[node];
        int up = -1;
        for (int i = 0; i < n->n_inputs && up < 0; i++) {
            int origin = sched_is_dependency(s->graph, n, &n->inputs[i], NULL)
                             ? n->inputs[i].origin
                             : -1;
            if (origin >= 0 && s->states[origin].pending) up = origin;
        }
        if (up < 0) break;
        node = up;
    }
    return node;
}
