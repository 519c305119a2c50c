/* run.c - executes a checked graph. */
#include "engine/graph/run.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/call.h"
#include "engine/graph/sched.h"

typedef struct Run {
    Graph *graph;
    const CheckReport *report;
    const RunOptions *options;
    Events *events;
    CacheKey *keys;       /* owned, per node */
    int *same;            /* owned, per node: the node of equal key that holds the result */
    int *uses;            /* owned, per result: links that will still read it */
    NodeResult **results; /* owned, per node: one reference each; NULL = not there */
    Sched *sched;         /* owned */
    CallTexts texts;
    Str prompt; /* owned */
    RunStats stats;
    Error *err;
} Run;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

static void emit(Run *r, EventKind kind, const GraphNode *n, const char *text)
{
    Event e = { .kind = kind, .text = text };

    if (n) {
        e.node = n->id;
        e.class_type = n->class_type;
    }
    events_emit(r->events, &e);
}

/* ---- tokens ------------------------------------------------------------------------------ */

static Status ask_token(Graph *g, GraphNode *n, struct Host *host, Error *err)
{
    char token[65] = "";
    Error ignored;
    Status status;
    void *in = mem_calloc(1, n->def->in_size + 1);

    if (!in) return no_memory(err);
    fill_literals(n, in);
    status = n->def->changed(host, in, token, &ignored);
    mem_free(in);
    n->never_cached = status != OK;
    if (status != OK) return OK;
    token[64] = 0;
    n->changed = arena_strdup(g->arena, token);
    return n->changed ? OK : no_memory(err);
}

Status run_tokens(Graph *g, const CheckReport *report, struct Host *host, Error *err)
{
    for (int i = 0; i < g->count; i++) {
        GraphNode *n = &g->nodes[i];
        if (report->valid[i] && n->def->changed) TRY(ask_token(g, n, host, err));
    }
    return OK;
}

/* ---- results ----------------------------------------------------------------------------- */

static NodeResult *result_of(const Run *r, int node)
{
    return r->results[r->same[node]];
}

/* Sched's question; a hit is held from now on, so that no eviction can take it away. */
static bool is_cached(void *user, int node)
{
    Run *r = user;
    NodeResult **held = &r->results[r->same[node]];

    if (!*held && r->options->cache)
        *held = ref_take(cache_get(r->options->cache, &r->keys[node]));
    return *held != NULL;
}

/* One reader less; the last one frees the result. */
static void release_one(Run *r, int node)
{
    int holder = r->same[node];

    if (--r->uses[holder] > 0) return;
    ref_drop(r->results[holder]);
    r->results[holder] = NULL;
}

/* The node has had its turn: it reads its inputs no more. */
static void release_inputs(Run *r, int node)
{
    const GraphNode *n = &r->graph->nodes[node];

    for (int i = 0; i < n->n_inputs; i++)
        if (sched_is_dependency(r->graph, n, &n->inputs[i], NULL))
            release_one(r, n->inputs[i].origin);
    release_one(r, node);
}

/* A result is kept for each link that reads it and for each node of its key that waits for its turn. */
static void count_uses(Run *r)
{
    for (int i = 0; i < r->graph->count; i++) {
        const GraphNode *n = &r->graph->nodes[i];
        if (!r->report->valid[i]) continue;
        r->uses[r->same[i]]++;
        for (int k = 0; k < n->n_inputs; k++)
            if (sched_is_dependency(r->graph, n, &n->inputs[k], NULL))
                r->uses[r->same[n->inputs[k].origin]]++;
    }
}

/* ---- one node ---------------------------------------------------------------------------- */

static void annotate(Run *r, const GraphNode *n)
{
    if (!r->err) return;
    error_at_node(r->err, n->id, n->class_type);
    if (n->title && !r->err->title[0])
        strncpy(r->err->title, n->title, sizeof r->err->title - 1);
    if (r->err->offset >= 0 || n->offset < 0 || r->err->file[0] || !r->graph->doc) return;
    r->err->offset = n->offset;
    json_line_column(r->graph->doc, n->offset, &r->err->line, &r->err->column);
}

static void tell_executed(Run *r, const GraphNode *n, const NodeResult *result)
{
    if (result->ui) emit(r, EV_EXECUTED, n, result->ui);
}

/* Looks where each input's values are; a lazy one that is not computed yet has no list. */
static Status gather(Run *r, int node, CallInput *inputs)
{
    const GraphNode *n = &r->graph->nodes[node];
    int i = 0;

    for (const Socket *s = n->def->inputs; s && s->name; s++, i++) {
        const GraphInput *in = graph_input(n, s->name);
        NodeResult *from;
        if (i == CALL_MAX_INPUTS)
            return error_set(r->err, E_LIMIT, "the class has too many inputs");
        inputs[i] = (CallInput){ .socket = s, .given = in };
        if (!in || !in->is_link || in->origin < 0) continue;
        from = result_of(r, in->origin);
        inputs[i].from = &r->graph->nodes[in->origin].def->outputs[in->slot];
        if (from && in->slot < from->count) inputs[i].list = &from->slots[in->slot];
    }
    return OK;
}

static Status need_inputs(Run *r, int node, const CallInput *inputs, uint64_t needed,
                          bool *waits)
{
    const GraphNode *n = &r->graph->nodes[node];

    *waits = false;
    for (int i = 0; n->def->inputs[i].name && i < 64; i++) {
        bool added;
        if (!(needed >> i & 1) || inputs[i].list || !inputs[i].from) continue;
        TRY(sched_need(r->sched, node, inputs[i].given, &added, r->err));
        *waits |= added;
    }
    return OK;
}

/* Asks a class with lazy inputs which of them it wants, until it wants nothing new. */
static Status settle_lazy(Run *r, int node, CallInput *inputs, bool *waits)
{
    const GraphNode *n = &r->graph->nodes[node];
    uint64_t needed = 0, before = 0;

    *waits = false;
    if (!call_has_lazy(n->def)) return OK;
    do {
        before = needed;
        TRY(call_lazy(n, inputs, &r->texts, &needed, r->err));
        needed |= before;
        TRY(need_inputs(r, node, inputs, needed, waits));
        TRY(gather(r, node, inputs));
    } while (!*waits && needed != before);
    return OK;
}

static Status execute(Run *r, int node, const CallInput *inputs)
{
    const GraphNode *n = &r->graph->nodes[node];
    NodeResult *result = NULL;

    emit(r, EV_EXECUTING, n, NULL);
    if (r->options->before) r->options->before(r->options->user, n);
    TRY(call_node(n, inputs, &r->texts, r->options->host, r->events, &result, r->err));
    r->stats.ran++;
    ref_drop(r->results[r->same[node]]);
    r->results[r->same[node]] = result;
    if (r->options->cache) cache_put(r->options->cache, &r->keys[node], result);
    if (r->options->after) r->options->after(r->options->user, n);
    tell_executed(r, n, result);
    return OK;
}

static Status turn(Run *r, int node)
{
    const GraphNode *n = &r->graph->nodes[node];
    CallInput inputs[CALL_MAX_INPUTS];
    bool waits;

    if (is_cached(r, node)) {
        r->stats.cached++;
        tell_executed(r, n, result_of(r, node));
    } else {
        TRY(gather(r, node, inputs));
        TRY(settle_lazy(r, node, inputs, &waits));
        if (waits) return sched_defer(r->sched, node, r->err);
        TRY(execute(r, node, inputs));
    }
    release_inputs(r, node);
    return sched_done(r->sched, node, r->err);
}

/* ---- the run ----------------------------------------------------------------------------- */

static Status stuck(Run *r)
{
    int node = sched_stuck(r->sched);

    error_set(r->err, E_WORKFLOW, "dependency cycle detected");
    if (node >= 0) annotate(r, &r->graph->nodes[node]);
    return E_WORKFLOW;
}

static Status loop(Run *r)
{
    while (!sched_empty(r->sched)) {
        int node = sched_next(r->sched);
        Status status;
        if (node < 0) return stuck(r);
        if (r->events && atomic_load(&r->events->cancel))
            status = error_set(r->err, E_CANCELLED, "interrupted");
        else
            status = turn(r, node);
        if (status == OK) continue;
        annotate(r, &r->graph->nodes[node]);
        return status;
    }
    return OK;
}

static Status write_texts(Run *r)
{
    r->texts.prompt = r->options->prompt;
    r->texts.pnginfo = r->options->pnginfo ? r->options->pnginfo : r->graph->extra_pnginfo;
    if (r->texts.prompt) return OK;
    graph_write_api(r->graph, &r->prompt);
    r->texts.prompt = r->prompt.text;
    return r->prompt.failed ? no_memory(r->err) : OK;
}

static Status prepare(Run *r)
{
    size_t n = (size_t)r->graph->count + 1;

    r->keys = mem_calloc(n, sizeof *r->keys);
    r->same = mem_calloc(n, sizeof *r->same);
    r->uses = mem_calloc(n, sizeof *r->uses);
    r->results = mem_calloc(n, sizeof *r->results);
    if (!r->keys || !r->same || !r->uses || !r->results) return no_memory(r->err);
    TRY(run_tokens(r->graph, r->report, r->options->host, r->err));
    TRY(cache_keys(r->graph, r->keys, r->err));
    if (r->options->cache)
        TRY(cache_start(r->options->cache, r->keys, r->graph->count, r->err));
    TRY(cache_same(r->keys, r->report->valid, r->graph->count, r->same, r->err));
    TRY(write_texts(r));
    count_uses(r);
    TRY(sched_new(r->graph, is_cached, r, &r->sched, r->err));
    return OK;
}

static int count_pending(const Run *r)
{
    int n = 0;

    for (int i = 0; i < r->graph->count; i++)
        n += r->report->valid[i];
    return n;
}

static Status start(Run *r)
{
    Event e = { .kind = EV_EXECUTION_START, .count = count_pending(r) };

    events_emit(r->events, &e);
    for (int i = 0; i < r->graph->count && r->options->cache; i++) {
        if (!cache_get(r->options->cache, &r->keys[i])) continue;
        emit(r, EV_EXECUTION_CACHED, &r->graph->nodes[i], NULL);
    }
    for (int i = 0; i < r->report->n_outputs; i++) {
        int output = r->report->outputs[i];
        if (r->report->valid[output]) TRY(sched_add(r->sched, output, r->err));
    }
    return OK;
}

static void finish(Run *r, Status status)
{
    Event e = { .kind = EV_EXECUTION_SUCCESS, .seconds = r->stats.seconds };

    if (status != OK)
        e.kind = status == E_CANCELLED ? EV_EXECUTION_INTERRUPTED : EV_EXECUTION_ERROR;
    if (status != OK && r->err) {
        e.error = r->err;
        e.node = r->err->node[0] ? r->err->node : NULL;
        e.class_type = r->err->class_type[0] ? r->err->class_type : NULL;
    }
    events_emit(r->events, &e);
}

static void run_fini(Run *r)
{
    sched_free(r->sched);
    for (int i = 0; r->results && i < r->graph->count; i++)
        ref_drop(r->results[i]);
    mem_free(r->results);
    mem_free(r->keys);
    mem_free(r->same);
    mem_free(r->uses);
    str_fini(&r->prompt);
}

Status run_graph(Graph *g, const CheckReport *report, const RunOptions *options,
                 RunStats *stats, Error *err)
{
    Error local;
    Run r = { .graph = g,
              .report = report,
              .options = options,
              .events = options->events,
              .err = err ? err : &local };
    double began = events_seconds_since_exec();
    Status status = OK;

    error_clear(r.err);
    TRY_DONE(prepare(&r));
    TRY_DONE(start(&r));
    TRY_DONE(loop(&r));
done:
    r.stats.seconds = events_seconds_since_exec() - began;
    finish(&r, status);
    if (stats) *stats = r.stats;
    run_fini(&r);
    return status;
}
