/* plan.c - what a run will do, step by step. */
#include "engine/graph/plan.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/call.h"
#include "engine/graph/run.h"
#include "engine/graph/sched.h"

typedef struct Planner {
    Graph *graph;
    const CheckReport *report;
    Cache *cache;
    Plan *plan;
    CacheKey *keys;    /* owned */
    int *same;         /* owned */
    int *uses;         /* owned, per result */
    bool *maybe;       /* owned, per node */
    bool *asked;       /* owned, per node: its lazy inputs have been settled */
    int *release_step; /* owned, per result: step after which nothing reads it */
    Sched *sched;      /* owned */
    Error *err;
} Planner;

static const char *const stages[] = {
    [STAGE_NONE] = "",
    [STAGE_LOAD] = "load",
    [STAGE_LORA] = "lora",
    [STAGE_ATTENTION] = "attention",
    [STAGE_SAMPLING] = "sampling",
    [STAGE_BLOCKS] = "blocks",
    [STAGE_GUIDE] = "guide",
    [STAGE_COMPILE] = "compile",
    [STAGE_CACHE] = "cache",
    [STAGE_SAMPLE] = "sample",
    [STAGE_DECODE] = "decode",
};

const char *stage_name(NodeStage stage)
{
    return (unsigned)stage < sizeof stages / sizeof *stages ? stages[stage] : "";
}

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

static bool is_cached(void *user, int node)
{
    const Planner *p = user;

    return p->cache && cache_get(p->cache, &p->keys[node]);
}

/* ---- lazy inputs ------------------------------------------------------------------------- */

/* What can be known without running: literals. */
static bool knows_choice(const GraphNode *n)
{
    for (const Socket *s = n->def->inputs; s->name; s++) {
        const GraphInput *in = graph_input(n, s->name);
        if (in && in->is_link && !(s->flags & SOCK_F_LAZY) && socket_is_widget(s)) return false;
    }
    return n->def->lazy != NULL;
}

static Status ask_lazy(Planner *p, const GraphNode *n, uint64_t *needed)
{
    CallInput inputs[CALL_MAX_INPUTS];
    CallTexts texts = { 0 };
    int i = 0;

    for (const Socket *s = n->def->inputs; s->name; s++, i++) {
        const GraphInput *in = graph_input(n, s->name);
        if (i == CALL_MAX_INPUTS)
            return error_set(p->err, E_LIMIT, "the class has too many inputs");
        inputs[i] = (CallInput){ .socket = s, .given = in };
        if (in && in->is_link && in->origin >= 0)
            inputs[i].from = &p->graph->nodes[in->origin].def->outputs[in->slot];
    }
    return call_lazy(n, inputs, &texts, needed, p->err);
}

/* Makes the lazy inputs that will be wanted dependencies; all of them, marked, when that is not known. */
static Status settle_lazy(Planner *p, int node, bool *waits)
{
    const GraphNode *n = &p->graph->nodes[node];
    bool sure = knows_choice(n);
    uint64_t needed = UINT64_MAX;

    *waits = false;
    if (!call_has_lazy(n->def) || p->asked[node]) return OK;
    p->asked[node] = true;
    if (sure && ask_lazy(p, n, &needed) != OK) needed = UINT64_MAX;
    for (int i = 0; i < 64 && n->def->inputs[i].name; i++) {
        const GraphInput *in = graph_input(n, n->def->inputs[i].name);
        bool added = false;
        if (!(n->def->inputs[i].flags & SOCK_F_LAZY) || !(needed >> i & 1)) continue;
        if (!in || !sched_is_dependency(p->graph, n, in, NULL)) continue;
        p->maybe[in->origin] |= !sure;
        TRY(sched_need(p->sched, node, in, &added, p->err));
        *waits |= added;
    }
    return OK;
}

/* ---- steps ------------------------------------------------------------------------------- */

static void add_step(Planner *p, int node)
{
    PlanStep *s = &p->plan->steps[p->plan->count];
    int holder = p->same[node], first = p->plan->step_of[holder];

    *s = (PlanStep){ .node = node,
                     .stage = p->graph->nodes[node].def->stage,
                     .same_as = -1,
                     .cached = is_cached(p, node),
                     .maybe = p->maybe[node],
                     .arena_peak = -1,
                     .weights_peak = -1,
                     .cost = { .ram = -1, .seconds = -1 } };
    if (!s->cached) {
        if (p->release_step[holder]) s->same_as = p->plan->steps[first].node;
        p->release_step[holder] = p->plan->count + 1;
    }
    if (first < 0) p->plan->step_of[holder] = p->plan->count;
    p->plan->step_of[node] = p->plan->count++;
}

/* The step reads these results: they live at least until it is done. */
static void read_inputs(Planner *p, int node)
{
    const GraphNode *n = &p->graph->nodes[node];

    for (int i = 0; i < n->n_inputs; i++) {
        if (!sched_is_dependency(p->graph, n, &n->inputs[i], NULL)) continue;
        p->uses[n->inputs[i].origin]++;
        if (p->release_step[p->same[n->inputs[i].origin]])
            p->release_step[p->same[n->inputs[i].origin]] = p->plan->count;
    }
}

static Status walk(Planner *p)
{
    while (!sched_empty(p->sched)) {
        int node = sched_next(p->sched);
        bool waits;
        if (node < 0) return error_set(p->err, E_WORKFLOW, "dependency cycle detected");
        TRY(settle_lazy(p, node, &waits));
        if (waits) {
            TRY(sched_defer(p->sched, node, p->err));
            continue;
        }
        add_step(p, node);
        read_inputs(p, node);
        TRY(sched_done(p->sched, node, p->err));
    }
    return OK;
}

/* Lists each result at the step after which nothing reads it. */
static Status list_releases(Planner *p)
{
    Plan *plan = p->plan;
    int *all = arena_array(plan->arena, (size_t)p->graph->count + 1, sizeof *all);
    int at = 0;

    if (!all) return no_memory(p->err);
    for (int i = 0; i < plan->count; i++)
        plan->steps[i].uses = p->uses[plan->steps[i].node];
    for (int i = 0; i < p->graph->count; i++)
        if (p->release_step[i] > 0) plan->steps[p->release_step[i] - 1].n_releases++;
    for (int i = 0; i < plan->count; i++) {
        plan->steps[i].releases = all + at;
        at += plan->steps[i].n_releases;
        plan->steps[i].n_releases = 0;
    }
    for (int i = 0; i < p->graph->count; i++) {
        if (p->release_step[i] <= 0) continue;
        PlanStep *s = &plan->steps[p->release_step[i] - 1];
        all[s->releases - all + s->n_releases++] = i;
    }
    return OK;
}

static Status new_plan(const Graph *g, Plan **out, Error *err)
{
    Plan *plan = mem_calloc(1, sizeof *plan);

    if (plan) plan->arena = arena_new();
    if (plan && plan->arena) {
        plan->steps = arena_array(plan->arena, (size_t)g->count + 1, sizeof *plan->steps);
        plan->step_of = arena_array(plan->arena, (size_t)g->count + 1, sizeof *plan->step_of);
    }
    if (!plan || !plan->steps || !plan->step_of) {
        plan_free(plan);
        return no_memory(err);
    }
    for (int i = 0; i < g->count; i++)
        plan->step_of[i] = -1;
    plan->graph = g;
    plan->ram.step = -1;
    plan->vram = -1;
    plan->start_seconds = plan->disk_seconds = -1;
    *out = plan;
    return OK;
}

static Status prepare(Planner *p, struct Host *host)
{
    size_t n = (size_t)p->graph->count + 1;

    TRY(new_plan(p->graph, &p->plan, p->err));
    p->keys = mem_calloc(n, sizeof *p->keys);
    p->same = mem_calloc(n, sizeof *p->same);
    p->uses = mem_calloc(n, sizeof *p->uses);
    p->maybe = mem_calloc(n, sizeof *p->maybe);
    p->asked = mem_calloc(n, sizeof *p->asked);
    p->release_step = mem_calloc(n, sizeof *p->release_step);
    if (!p->keys || !p->same || !p->uses || !p->maybe || !p->asked || !p->release_step)
        return no_memory(p->err);
    if (host) TRY(run_tokens(p->graph, p->report, host, p->err));
    TRY(cache_keys(p->graph, p->keys, p->err));
    TRY(cache_same(p->keys, p->report->valid, p->graph->count, p->same, p->err));
    return sched_new(p->graph, is_cached, p, &p->sched, p->err);
}

static void planner_fini(Planner *p)
{
    sched_free(p->sched);
    plan_free(p->plan);
    mem_free(p->keys);
    mem_free(p->same);
    mem_free(p->uses);
    mem_free(p->maybe);
    mem_free(p->asked);
    mem_free(p->release_step);
}

Status plan_graph(Graph *g, const CheckReport *report, struct Host *host, Cache *cache,
                  Plan **out, Error *err)
{
    Planner p = { .graph = g, .report = report, .cache = cache, .err = err };
    Status status = OK;

    TRY_DONE(prepare(&p, host));
    for (int i = 0; i < report->n_outputs; i++)
        if (report->valid[report->outputs[i]])
            TRY_DONE(sched_add(p.sched, report->outputs[i], err));
    TRY_DONE(walk(&p));
    TRY_DONE(list_releases(&p));
    *out = p.plan;
    p.plan = NULL;
done:
    planner_fini(&p);
    return status;
}

void plan_free(Plan *plan)
{
    if (!plan) return;
    arena_free(plan->arena);
    mem_free(plan);
}

/* ---- memory ------------------------------------------------------------------------------ */

void plan_attach(Plan *plan, int node, int64_t arena_peak, int64_t weights_peak)
{
    PlanStep *s;

    if (plan->step_of[node] < 0) return;
    s = &plan->steps[plan->step_of[node]];
    if (arena_peak > s->arena_peak) s->arena_peak = arena_peak;
    if (weights_peak > s->weights_peak) s->weights_peak = weights_peak;
}

int64_t plan_arena_peak(const Plan *plan)
{
    int64_t most = -1;

    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].arena_peak > most) most = plan->steps[i].arena_peak;
    return most;
}

int64_t plan_weights_peak(const Plan *plan)
{
    int64_t most = -1;

    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].weights_peak > most) most = plan->steps[i].weights_peak;
    return most;
}

static bool is_run(const PlanStep *s)
{
    return !s->cached && s->same_as < 0;
}

PlanCost plan_total(const Plan *plan)
{
    PlanCost sum = { .ram = plan->ram.step < 0 ? -1 : plan->ram.total,
                     .seconds = plan->start_seconds };

    for (int i = 0; i < plan->count; i++) {
        const PlanCost *c = &plan->steps[i].cost;
        if (!is_run(&plan->steps[i])) continue;
        sum.programs += c->programs;
        sum.flops += c->flops;
        sum.bytes += c->bytes;
        if (sum.seconds >= 0 && c->seconds > 0) sum.seconds += c->seconds;
    }
    return sum;
}

Status plan_note(Plan *plan, const char *text, Error *err)
{
    const char **grown =
        arena_array(plan->arena, (size_t)plan->n_notes + 1, sizeof *plan->notes);
    char *copy = arena_strdup(plan->arena, text);

    if (!grown || !copy) return no_memory(err);
    if (plan->n_notes) memcpy(grown, plan->notes, (size_t)plan->n_notes * sizeof *plan->notes);
    grown[plan->n_notes++] = copy;
    plan->notes = grown;
    return OK;
}
