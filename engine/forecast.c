/* forecast.c - what a run will need: a pass through the graph without weights, with a ledger of memory. */
#include "engine/forecast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/machine.h"
#include "engine/base/mem.h"
#include "engine/graph/run.h"
#include "engine/guide.h"
#include "engine/program/ops.h"
#include "engine/sampling/cond.h"
#include "engine/sampling/latent.h"
#include "engine/tensor/tensor.h"

enum {
    /* The kernel maps whole neighbourhoods of a page that is read (fault-around). */
    PAGE_GROUP = 64 << 10,
    /* Code of kernels and stacks of threads that a pass without weights does not touch. */
    COMPUTE_CODE = 3 << 20,
    THREAD_STACK = 128 << 10,
    /* When the system does not tell what the process holds. */
    BARE_PROCESS = 12 << 20
};

/* Bytes [from, to) of a mapped file. */
typedef struct Span {
    uintptr_t from, to;
} Span;

/* A component as the pass meets it. */
typedef struct Held {
    const void *object; /* never looked into */
    Span *spans;        /* owned; sorted, apart; weights that were read */
    size_t count, capacity;
    int64_t bytes;  /* of the spans */
    int64_t merged; /* of weights that exist in memory alone: a LoRA's results */
    int64_t mapped; /* of the spans, since it came into memory */
    bool in_ram;
    const Program *last; /* never looked into: the program read just before */
} Held;

typedef struct Forecast {
    Host *host; /* owned */
    Plan *plan;
    const ForecastOptions *options;
    Held held[PLAN_MAX_COMPONENTS];
    int current; /* component that computes now, -1 = none */
    int step;
    int64_t process, arena;
    int64_t kept; /* beside the arena, at its highest since the last look */
    double step_began, spent_before, program_seconds;
    Error *err;
    Status status;
} Forecast;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(Forecast *f, Status s)
{
    if (f->status == OK) f->status = s;
}

static PlanStep *step_of(Forecast *f)
{
    return f->step >= 0 ? &f->plan->steps[f->step] : NULL;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

static void total_held(const Forecast *f, int64_t *weights, int64_t *merged)
{
    *weights = *merged = 0;
    for (int i = 0; i < f->plan->n_components; i++) {
        if (f->held[i].in_ram) *weights += f->held[i].bytes;
        *merged += f->held[i].merged;
    }
}

/* What was held since the last look, at its highest. */
static void look(Forecast *f)
{
    PlanPeak p = { .step = f->step, .process = f->process, .arena = f->arena + f->kept };
    PlanStep *s = step_of(f);

    total_held(f, &p.weights, &p.merged);
    p.heap = mem_peak();
    p.total = p.process + p.weights + p.merged + p.arena + p.heap;
    mem_peak_reset();
    f->kept = host_held(f->host);
    if (s && p.total > s->cost.ram) s->cost.ram = p.total;
    if (f->plan->ram.step < 0 || p.total > f->plan->ram.total) f->plan->ram = p;
}

static int by_start(const void *a, const void *b)
{
    const Span *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* Sorts and joins what overlaps or touches. */
static void settle(Held *h)
{
    size_t n = 0;

    qsort(h->spans, h->count, sizeof *h->spans, by_start);
    h->bytes = 0;
    for (size_t i = 0; i < h->count; i++) {
        Span s = h->spans[i];
        if (n > 0 && s.from <= h->spans[n - 1].to) {
            if (s.to > h->spans[n - 1].to) h->spans[n - 1].to = s.to;
        } else {
            h->spans[n++] = s;
        }
    }
    h->count = n;
    for (size_t i = 0; i < n; i++)
        h->bytes += (int64_t)(h->spans[i].to - h->spans[i].from);
}

static bool add_span(Held *h, uintptr_t from, uintptr_t to)
{
    if (h->count == h->capacity) {
        size_t more = h->capacity ? h->capacity * 2 : 256;
        Span *grown = mem_realloc(h->spans, more * sizeof *grown);
        if (!grown) return false;
        h->spans = grown;
        h->capacity = more;
    }
    h->spans[h->count++] = (Span){ from, to };
    return true;
}

/* One program's reading. */
typedef struct Reading {
    Held *held;
    int64_t merged;
    bool failed;
} Reading;

static void read_weight(void *user, const KWeight *w)
{
    Reading *r = user;
    uintptr_t from = (uintptr_t)w->data, to = from + (uintptr_t)(w->n * w->row_bytes);

    if (!w->data) {
        r->merged += w->n * w->row_bytes;
        return;
    }
    from = from / PAGE_GROUP * PAGE_GROUP;
    to = (to + PAGE_GROUP - 1) / PAGE_GROUP * PAGE_GROUP;
    if (!add_span(r->held, from, to)) r->failed = true;
}

static int64_t cold_bytes(const Held *h)
{
    int64_t cold = 0;

    for (size_t i = 0; i < h->count; i++)
        cold += machine_cold_bytes((const void *)h->spans[i].from,
                                   h->spans[i].to - h->spans[i].from);
    return cold;
}

static void read_program(Forecast *f, const Program *p)
{
    Held *h = &f->held[f->current];
    PlanComponent *c = &f->plan->components[f->current];
    Reading r = { .held = h };

    if (h->last == p) return;
    h->last = p;
    prog_each_weight(p, read_weight, &r);
    settle(h);
    c->cold = cold_bytes(h);
    if (r.merged > h->merged) h->merged = r.merged;
    if (r.failed) fail(f, error_set(f->err, E_NOMEM, "out of memory"));
}

/* ---- events ---------------------------------------------------------------------------------- */

static int component_of(Forecast *f, const Component *c)
{
    Plan *plan = f->plan;

    for (int i = 0; i < plan->n_components; i++)
        if (f->held[i].object == c &&
            strcmp(plan->components[i].file, c->file ? c->file : "") == 0)
            return i;
    if (plan->n_components == PLAN_MAX_COMPONENTS) {
        fail(f, error_set(f->err, E_LIMIT, "more than %d model files", PLAN_MAX_COMPONENTS));
        return -1;
    }
    int i = plan->n_components;
    plan->components[i] =
        (PlanComponent){ .name = arena_strdup(plan->arena, c->name),
                         .file = arena_strdup(plan->arena, c->file ? c->file : ""),
                         .first = f->step,
                         .last = f->step };
    if (!plan->components[i].name || !plan->components[i].file) {
        fail(f, error_set(f->err, E_NOMEM, "out of memory"));
        return -1;
    }
    f->held[i] = (Held){ .object = c };
    return plan->n_components++;
}

static void leave(Forecast *f, int i)
{
    PlanStep *s = step_of(f);

    if (i < 0 || host_options(f->host)->residency == RESIDENCY_HYBRID) return;
    f->held[i].in_ram = false;
    f->held[i].mapped = 0;
    f->plan->components[i].last = f->step;
    if (s) s->leaves |= 1ull << i;
}

static bool is_resident(const Forecast *f, const Component *c)
{
    const Component *r;
    for (int i = 0; (r = host_resident(f->host, i)); i++)
        if (r == c) return true;
    return false;
}

static void on_component(Forecast *f, const Component *c)
{
    int i = component_of(f, c);
    PlanStep *s = step_of(f);

    look(f);
    if (i < 0 || f->held[i].in_ram) return;
    for (int k = 0; k < f->plan->n_components; k++)
        if (f->held[k].in_ram && !is_resident(f, f->held[k].object)) leave(f, k);
    f->held[i].in_ram = true;
    if (s) s->in_ram |= 1ull << i;
    look(f);
}

static void count_work(Forecast *f, const Program *p)
{
    PlanStep *s = step_of(f);
    ProgOpInfo op;

    if (!s) return;
    s->cost.programs++;
    s->cost.flops += prog_flops(p);
    for (int i = 0; prog_op_info(p, i, &op); i++)
        s->cost.bytes += (double)op.bytes;
}

/* Pages are touched for the first time: of a larger arena, of weights that came back or are new. */
static void count_touch(Forecast *f, const Program *p)
{
    int64_t arena = (int64_t)prog_arena_bytes(p), fresh = arena > f->arena ? arena : 0;
    int64_t mapped = 0;
    double seconds = 0;

    if (fresh) f->arena = arena;
    if (host_held(f->host) > f->kept) f->kept = host_held(f->host);
    f->current = host_current(f->host) ? component_of(f, host_current(f->host)) : -1;
    if (f->current >= 0) {
        Held *h = &f->held[f->current];
        read_program(f, p);
        mapped = h->bytes - h->mapped;
        h->mapped = h->bytes;
    }
    look(f);
    if (!f->options->speed || f->status != OK) return;
    fail(f, speed_touch(f->options->speed, fresh, mapped, &seconds, f->err));
    f->program_seconds += seconds;
}

static void on_program(Forecast *f, const Program *p)
{
    double seconds = 0;

    count_touch(f, p);
    count_work(f, p);
    if (!f->options->speed || f->status != OK) return;
    fail(f, speed_program(f->options->speed, p, &seconds, f->err));
    f->program_seconds += seconds;
    mem_peak_reset(); /* measuring needs memory that the run does not */
}

static void hear(void *user, const Event *e)
{
    Forecast *f = user;

    if (e->kind == EV_COMPONENT && e->object) on_component(f, e->object);
    /* Without a component that wakes: the embedded prompt comes from the disk. */
    if (e->kind == EV_COMPONENT && !e->object && step_of(f)) step_of(f)->recalled = true;
    if (e->kind == EV_PROGRAM && e->object) on_program(f, e->object);
    if (e->kind == EV_NOTE && e->text) {
        look(f);
        fail(f, plan_note(f->plan, e->text, f->err));
    }
}

/* ---- results in words ------------------------------------------------------------------------ */

static void add_tensor(Str *out, const Tensor *t)
{
    str_add(out, " [");
    for (int i = 0; i < t->ndim; i++)
        str_printf(out, i ? ", %lld" : "%lld", (long long)t->shape[i]);
    str_add_char(out, ']');
}

static void add_cond(Str *out, const Cond *c)
{
    for (int i = 0; i < c->count; i++)
        if (c->entries[i].embed) add_tensor(out, c->entries[i].embed);
}

/* Shapes of what has some, and numbers. */
static void add_value(Str *out, const Value *v)
{
    switch (v->type) {
    case SOCK_IMAGE:
    case SOCK_MASK:
    case SOCK_SIGMAS:
        if (v->object) add_tensor(out, (const Tensor *)(const void *)v->object);
        break;
    case SOCK_LATENT:
        if (v->object) add_tensor(out, ((const Latent *)(const void *)v->object)->samples);
        break;
    case SOCK_COND:
        if (v->object) add_cond(out, (const Cond *)(const void *)v->object);
        break;
    case SOCK_INT:
        str_printf(out, " %lld", (long long)v->i);
        break;
    case SOCK_FLOAT:
        str_printf(out, " %g", v->f);
        break;
    default:
        break;
    }
}

static void describe(Forecast *f, PlanStep *s, const GraphNode *n, const NodeResult *r)
{
    Str out = { 0 };

    for (int i = 0; i < r->count && n->def->outputs[i].name; i++) {
        if (i) str_add(&out, ", ");
        str_add(&out, socket_type_name(&n->def->outputs[i]));
        for (size_t k = 0; k < r->slots[i].count && k < 4; k++)
            add_value(&out, &r->slots[i].items[k]);
    }
    if (out.length && !out.failed) s->shapes = arena_strdup(f->plan->arena, out.text);
    str_fini(&out);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void before_node(void *user, const GraphNode *node)
{
    Forecast *f = user;
    PlanStep *s;

    look(f);
    f->step =
        f->plan->step_of[graph_display(f->plan->graph, (int)(node - f->plan->graph->nodes))];
    f->step_began = now();
    f->program_seconds = 0;
    f->spent_before = f->options->speed ? speed_spent(f->options->speed) : 0;
    s = step_of(f);
    for (int i = 0; s && i < f->plan->n_components; i++)
        if (f->held[i].in_ram) s->in_ram |= 1ull << i;
}

static void after_node(void *user, const GraphNode *node, const NodeResult *result)
{
    Forecast *f = user;
    PlanStep *s = step_of(f);
    HostUse use = host_use(f->host);

    look(f);
    if (!s) return;
    if (result) describe(f, s, node, result);
    plan_attach(f->plan, s->node, use.arena_peak, use.weights_peak);
    if (!f->options->speed) return;
    double measuring = speed_spent(f->options->speed) - f->spent_before;
    double seconds = now() - f->step_began - measuring;
    if (s->cost.seconds < 0) s->cost.seconds = 0;
    s->cost.seconds += (seconds > 0 ? seconds : 0) + f->program_seconds;
}

static const char *guide_node(void *user, const char *node)
{
    return guide_family(user, node);
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* What the process holds beside its counted heap. */
static int64_t bare_process(const Host *h)
{
    int64_t resident = machine_resident();
    int64_t bare = resident > mem_live() ? resident - mem_live() : BARE_PROCESS;
    return bare + COMPUTE_CODE + host_context((Host *)(uintptr_t)h)->threads * THREAD_STACK;
}

/* Seconds for reading what is not in the page cache. */
static double disk_seconds(const Plan *plan)
{
    enum { WORTH_A_PROBE = 128 << 20 };
    double seconds = 0;

    for (int i = 0; i < plan->n_components; i++) {
        const PlanComponent *c = &plan->components[i];
        double rate = c->cold > WORTH_A_PROBE ? machine_read_rate(c->file) : 0;
        if (rate > 0) seconds += (double)c->cold / rate;
    }
    return seconds;
}

static void finish(Forecast *f)
{
    Plan *plan = f->plan;

    for (int i = 0; i < plan->n_components; i++) {
        plan->components[i].bytes = f->held[i].bytes + f->held[i].merged;
        if (f->held[i].in_ram) plan->components[i].last = plan->count - 1;
    }
    if (f->options->speed) {
        plan->disk_seconds = disk_seconds(plan);
        plan->rough_seconds = speed_is_rough(f->options->speed);
    }
    plan->vram = 0;
    plan->device = host_backend(f->host)->name;
    plan->residency = host_options(f->host)->residency == RESIDENCY_HYBRID       ? "hybrid"
                      : host_options(f->host)->residency == RESIDENCY_SEQUENTIAL ? "sequential"
                                                                                 : "auto";
}

Status forecast_graph(Graph *g, const CheckReport *report, const ForecastOptions *options,
                      Plan *plan, Error *err)
{
    HostOptions host = *options->host;
    Forecast f = { .plan = plan, .options = options, .current = -1, .step = -1, .err = err };

    host.dummy = true;
    TRY(host_new(&host, &f.host, err));
    host_set_menus(f.host, options->menus);
    host_set_guide(f.host, &(HostGuide){ guide_node, g });
    events_listen(host_events(f.host), hear, &f);
    f.process = bare_process(f.host);
    if (options->speed) plan->start_seconds = events_seconds_since_exec();
    mem_peak_reset();
    CheckOptions check = { .table = options->table, .host = f.host };
    RunOptions run = { .host = f.host,
                       .check = &check,
                       .events = host_events(f.host),
                       .cache = options->cache,
                       .before = before_node,
                       .after = after_node,
                       .user = &f };
    Status status = run_graph(g, report, &run, NULL, err);
    if (status == OK) {
        look(&f);
        status = f.status;
    }
    if (status == OK) finish(&f);
    for (int i = 0; i < plan->n_components; i++)
        mem_free(f.held[i].spans);
    host_free(f.host);
    return status;
}

/* ---- the speed of this machine --------------------------------------------------------------- */

/* <cache folder>/speed-<threads>-<path>.txt; NULL when there is no home to put it. */
static char *speed_path(const char *backend, int threads)
{
    char name[96], *folder = file_cache_folder();
    snprintf(name, sizeof name, "speed-%d-%s.txt", threads, backend);
    for (char *p = name; *p; p++)
        if (*p == '/' || *p == ' ') *p = '_';
    char *path = folder ? file_join(folder, name) : NULL;
    if (folder && file_make_dirs(folder, NULL) != OK) {
        mem_free(path);
        path = NULL;
    }
    mem_free(folder);
    return path;
}

Status forecast_speed(const Host *h, const char *version, bool fresh, Speed **out, Error *err)
{
    char cpu[128], machine[256];
    int threads = host_context((Host *)(uintptr_t)h)->threads;
    const KBackend *backend = host_backend(h);
    char *path = speed_path(backend->name, threads);

    machine_cpu(cpu, sizeof cpu);
    snprintf(machine, sizeof machine, "weft %s, %s, %d threads, %s", version, cpu, threads,
             backend->name);
    SpeedOptions options = {
        .backend = backend, .threads = threads, .machine = machine, .path = path, .fresh = fresh
    };
    Status status = speed_open(&options, out, err);
    mem_free(path);
    return status;
}
