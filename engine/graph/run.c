/* run.c - executes a checked graph. */
#include "engine/graph/run.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/call.h"
#include "engine/graph/expand.h"
#include "engine/graph/sched.h"

/* A node that has answered with a sub-graph and waits for it. */
typedef struct Waiting {
    NodeResult *result; /* owned; holds pending values */
    Answer *answers;    /* owned */
} Waiting;

/* What is known of one node. */
typedef struct NodeState {
    int same;           /* the node of equal key that holds the result */
    int uses;           /* of a result: links that will still read it, nodes that wait for it */
    bool done;          /* has had its turn */
    NodeResult *result; /* one reference owned; NULL = not there */
    Waiting *waiting;   /* owned; NULL = it does not wait */
} NodeState;

typedef struct Run {
    Graph *graph;
    const CheckReport *report;
    const RunOptions *options;
    Events *events;
    CacheKey *keys;    /* owned, per node */
    NodeState *states; /* owned, per node */
    int capacity;      /* of both */
    int file_count;    /* nodes before any expansion */
    KeyIndex index;
    Sched *sched; /* owned */
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
        if (n->display) e.display_node = r->graph->nodes[n->display - 1].id;
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

static NodeState *holder_of(const Run *r, int node)
{
    return &r->states[r->states[node].same];
}

static NodeResult *result_of(const Run *r, int node)
{
    return holder_of(r, node)->result;
}

/* A result is kept for each link that reads it and for each node of its key that waits for its turn. */
static void count_node(Run *r, int node)
{
    const GraphNode *n = &r->graph->nodes[node];

    holder_of(r, node)->uses++;
    for (int i = 0; i < n->n_inputs; i++)
        if (sched_is_dependency(r->graph, n, &n->inputs[i], NULL))
            holder_of(r, n->inputs[i].origin)->uses++;
}

/* Sched's question; a hit is held from now on, so that no eviction can take it away. A node that was done,
 * whose result is gone and which an expansion wants again, will have another turn. */
static bool is_cached(void *user, int node)
{
    Run *r = user;
    NodeState *holder = holder_of(r, node);

    if (!holder->result && r->options->cache)
        holder->result = ref_take(cache_get(r->options->cache, &r->keys[node]));
    if (!holder->result && r->states[node].done) {
        r->states[node].done = false;
        count_node(r, node);
    }
    return holder->result != NULL;
}

/* One reader less; the last one frees the result. */
static void release_one(Run *r, int node)
{
    NodeState *holder = holder_of(r, node);

    if (--holder->uses > 0) return;
    ref_drop(holder->result);
    holder->result = NULL;
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

/* Keeps a finished result for its readers and for later runs. */
static void keep_result(Run *r, int node, NodeResult *result)
{
    const GraphNode *n = &r->graph->nodes[node];
    NodeState *holder = holder_of(r, node);
    Cache *cache = r->options->cache;

    ref_drop(holder->result);
    holder->result = result;
    if (cache && n->display)
        cache_put_owned(cache, &r->keys[node], cache_owner(&r->graph->nodes[n->display - 1]),
                        result);
    else if (cache)
        cache_put(cache, &r->keys[node], result);
}

/* ---- expansions -------------------------------------------------------------------------- */

static Status grow_states(Run *r)
{
    int wanted = r->graph->count;

    if (wanted <= r->capacity) return OK;
    if (wanted < 2 * r->capacity) wanted = 2 * r->capacity;
    CacheKey *keys = mem_realloc(r->keys, (size_t)wanted * sizeof *keys);
    if (keys) r->keys = keys;
    NodeState *states = keys ? mem_realloc(r->states, (size_t)wanted * sizeof *states) : NULL;
    if (!states) return no_memory(r->err);
    memset(states + r->capacity, 0, (size_t)(wanted - r->capacity) * sizeof *states);
    r->states = states;
    r->capacity = wanted;
    return OK;
}

/* Nodes from `first` on get keys, holders and counts. */
static Status enrol(Run *r, int first)
{
    Graph *g = r->graph;

    TRY(grow_states(r));
    TRY(sched_grow(r->sched, r->err));
    for (int i = first; i < g->count; i++)
        if (g->nodes[i].def->changed) TRY(ask_token(g, &g->nodes[i], r->options->host, r->err));
    TRY(cache_keys_from(g, first, r->keys, r->err));
    for (int i = first; i < g->count; i++)
        TRY(key_index_add(&r->index, r->keys, i, &r->states[i].same, r->err));
    for (int i = first; i < g->count; i++)
        count_node(r, i);
    return OK;
}

/* The object that a node of its own hands out is there from the start. */
static Status hand_out(Run *r, AnswerInput *in)
{
    NodeState *holder = holder_of(r, in->holder);
    NodeResult *result = NULL;

    if (holder->result) return OK;
    TRY(result_new(1, &result, r->err));
    result->slots[0].items = mem_alloc(sizeof(Value));
    if (!result->slots[0].items) {
        ref_drop(result);
        return no_memory(r->err);
    }
    result->slots[0].items[0] = in->value;
    result->slots[0].count = 1;
    in->value = (Value){ 0 };
    holder->result = result;
    return OK;
}

/* The parent waits for what its outputs name and for the output classes among the new nodes. */
static Status depend(Run *r, int parent, const Answer *a, int first)
{
    bool added;

    for (int i = first; i < r->graph->count; i++)
        if (r->graph->nodes[i].def->flags & NODE_F_OUTPUT)
            TRY(sched_need_node(r->sched, parent, i, &added, r->err));
    for (int i = 0; i < node_output_count(r->graph->nodes[parent].def); i++) {
        if (a->outputs[i].kind != ANSWER_LINK) continue;
        holder_of(r, a->outputs[i].origin)->uses++;
        TRY(sched_need_node(r->sched, parent, a->outputs[i].origin, &added, r->err));
    }
    return OK;
}

static Status add_answer(Run *r, const Expansion *e, Answer *a)
{
    int first = r->graph->count;

    TRY(graph_begin_added(r->graph, r->err));
    Status status = expand_answer(e, a, r->err);
    graph_end_added(r->graph);
    TRY(status);
    TRY(enrol(r, first));
    for (AnswerNode *n = a->nodes; n; n = n->next)
        for (AnswerInput *in = n->inputs; in; in = in->next)
            if (in->holder >= 0) TRY(hand_out(r, in));
    TRY(depend(r, e->parent, a, first));
    return answer_settle(a, r->err);
}

/* Takes result and answers over. */
static Status expand(Run *r, int node, const CallInput *inputs, NodeResult *result,
                     Answer *answers)
{
    Waiting *w = mem_alloc(sizeof *w);

    if (!w) {
        ref_drop(result);
        call_answers_free(answers);
        return no_memory(r->err);
    }
    *w = (Waiting){ result, answers };
    r->states[node].waiting = w;
    if (!r->options->check) return error_set(r->err, E_UNSUPPORTED, "nodes cannot expand here");
    for (Answer *a = answers; a; a = a->next) {
        Expansion e = { .graph = r->graph,
                        .check = r->options->check,
                        .parent = node,
                        .inputs = inputs,
                        .keys = r->keys,
                        .valid = r->report->valid,
                        .file_count = r->file_count };
        TRY(add_answer(r, &e, a));
    }
    return OK;
}

static void waiting_free(Waiting *w)
{
    if (!w) return;
    ref_drop(w->result);
    call_answers_free(w->answers);
    mem_free(w);
}

static const NodeResult *filled_result(void *user, int node)
{
    return result_of(user, node);
}

/* What the node has read of its expansion, and the objects that it kept for it. */
static void release_answer(Run *r, const Answer *a, int outputs)
{
    for (int i = 0; i < outputs; i++)
        if (a->outputs[i].kind == ANSWER_LINK) release_one(r, a->outputs[i].origin);
    for (int i = 0; i < a->n_holders; i++)
        release_one(r, a->holders[i]);
}

/* The sub-graph has run: the node's result is complete. */
static Status complete(Run *r, int node)
{
    Waiting *w = r->states[node].waiting;
    int outputs = node_output_count(r->graph->nodes[node].def);

    TRY(call_fill_in(w->result, w->answers, filled_result, r, r->err));
    for (const Answer *a = w->answers; a; a = a->next)
        release_answer(r, a, outputs);
    keep_result(r, node, w->result);
    w->result = NULL;
    waiting_free(w);
    r->states[node].waiting = NULL;
    return OK;
}

/* ---- a node's turn ----------------------------------------------------------------------- */

/* *waits: the node has expanded and must be asked again. */
static Status execute(Run *r, int node, const CallInput *inputs, bool *waits)
{
    const GraphNode *n = &r->graph->nodes[node];
    NodeResult *result = NULL;
    Answer *answers = NULL;

    emit(r, EV_EXECUTING, n, NULL);
    if (r->options->before) r->options->before(r->options->user, n);
    TRY(call_node(n, inputs, &r->texts, r->options->host, r->events, &result, &answers,
                  r->err));
    r->stats.ran++;
    tell_executed(r, n, result);
    *waits = answers != NULL;
    if (*waits)
        TRY(expand(r, node, inputs, result, answers));
    else
        keep_result(r, node, result);
    if (r->options->after) r->options->after(r->options->user, &r->graph->nodes[node], *waits ? NULL : result);
    return OK;
}

static Status end_turn(Run *r, int node)
{
    r->states[node].done = true;
    release_inputs(r, node);
    return sched_done(r->sched, node, r->err);
}

static Status turn(Run *r, int node)
{
    CallInput inputs[CALL_MAX_INPUTS];
    bool waits;

    if (r->states[node].waiting) {
        TRY(complete(r, node));
        return end_turn(r, node);
    }
    if (is_cached(r, node)) {
        r->stats.cached++;
        tell_executed(r, &r->graph->nodes[node], result_of(r, node));
        return end_turn(r, node);
    }
    TRY(gather(r, node, inputs));
    TRY(settle_lazy(r, node, inputs, &waits));
    if (!waits) TRY(execute(r, node, inputs, &waits));
    return waits ? sched_defer(r->sched, node, r->err) : end_turn(r, node);
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

static Status find_holders(Run *r)
{
    for (int i = 0; i < r->graph->count; i++) {
        r->states[i].same = i;
        if (r->report->valid[i])
            TRY(key_index_add(&r->index, r->keys, i, &r->states[i].same, r->err));
    }
    for (int i = 0; i < r->graph->count; i++)
        if (r->report->valid[i]) count_node(r, i);
    return OK;
}

static Status prepare(Run *r)
{
    r->file_count = r->graph->count;
    TRY(grow_states(r));
    TRY(run_tokens(r->graph, r->report, r->options->host, r->err));
    TRY(cache_keys(r->graph, r->keys, r->err));
    if (r->options->cache) TRY(cache_start(r->options->cache, r->graph, r->keys, r->err));
    TRY(find_holders(r));
    TRY(write_texts(r));
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
    for (int i = 0; i < r->capacity; i++) {
        ref_drop(r->states[i].result);
        waiting_free(r->states[i].waiting);
    }
    graph_forget_added(r->graph, r->file_count);
    key_index_fini(&r->index);
    mem_free(r->states);
    mem_free(r->keys);
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
    if (r.graph->count > r.file_count && options->cache)
        TRY_DONE(cache_settle(options->cache, g, r.keys, r.err));
done:
    r.stats.seconds = events_seconds_since_exec() - began;
    finish(&r, status);
    if (stats) *stats = r.stats;
    run_fini(&r);
    return status;
}
