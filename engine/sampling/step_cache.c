/* step_cache.c - step caches: the objects, and TeaCache's decision. */
#include "engine/sampling/step_cache.h"

#include <math.h>
#include <stdio.h>

#include "engine/base/mem.h"

void *step_cache_new(size_t size, CachePlace place, const char *name, const char *node,
                     void (*destroy)(void *))
{
    StepCache *c = mem_calloc(1, size);
    if (!c) return NULL;
    ref_init(&c->ref, destroy);
    c->place = place;
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->node, sizeof c->node, "%s", node ? node : "");
    return c;
}

Status step_cache_easy(CachePlace place, const char *node, const EasyLimits *limits,
                       StepCache **out, Error *err)
{
    StepCache *c = step_cache_new(
        sizeof *c, place, place == CACHE_GUIDED ? "LazyCache" : "EasyCache", node, mem_free);
    if (!c) return error_set(err, E_NOMEM, "out of memory");
    c->easy = *limits;
    *out = c;
    return OK;
}

/* ---- TeaCache ------------------------------------------------------------------------------------------ */

typedef struct TeaCache {
    StepCache base;
    TeaFit fit;
    double threshold, start, end;
} TeaCache;

/* Coefficients from the highest power down. */
static const double tea_fits[][5] = {
    [TEA_FLUX] = { 498.651651, -283.781631, 55.8554382, -3.82021401, 0.264230861 },
    [TEA_FLUX_KONTEXT] = { -1046.55119, 312.563399, -16.9500694, 0.410995971, 0.0374537863 },
};

double tea_change(TeaFit fit, double change)
{
    double sum = 0;
    for (int i = 0; i < 5; i++)
        sum = sum * change + tea_fits[fit][i];
    return sum;
}

/* The state is the sum. */
static Status tea_begin(const StepCache *c, void **state, Error *err)
{
    (void)c;
    *state = mem_calloc(1, sizeof(double));
    return *state ? OK : error_set(err, E_NOMEM, "out of memory");
}

static void tea_end(const StepCache *c, void *state)
{
    (void)c;
    mem_free(state);
}

/* Whether the step may be skipped at all. */
static bool tea_acts(const TeaCache *t, CacheQuestion *q)
{
    double share = q->steps > 0 ? (double)q->step / q->steps : 0;

    if (q->steps < CACHE_STEPS_LEAST) {
        snprintf(
            q->reason, sizeof q->reason,
            "skips nothing: %d steps are too few, each differs too much from the one before; "
            "%d at least are needed",
            q->steps, CACHE_STEPS_LEAST);
        return false;
    }
    return q->step > 0 && q->step < q->steps - 1 && share >= t->start && share <= t->end;
}

static Status tea_decide(const StepCache *c, void *state, CacheQuestion *q, Error *err)
{
    const TeaCache *t = (const TeaCache *)c;
    double *sum = state;

    (void)err;
    *sum += tea_change(t->fit, q->change);
    q->compute = !tea_acts(t, q) || !(*sum < t->threshold);
    if (q->compute) *sum = 0;
    return OK;
}

Status step_cache_tea(const char *node, TeaFit fit, double threshold, double start, double end,
                      StepCache **out, Error *err)
{
    TeaCache *t = step_cache_new(sizeof *t, CACHE_BLOCKS, "TeaCache", node, mem_free);
    if (!t) return error_set(err, E_NOMEM, "out of memory");
    t->base.begin = tea_begin;
    t->base.end = tea_end;
    t->base.decide = tea_decide;
    t->fit = fit;
    t->threshold = threshold;
    t->start = start;
    t->end = end;
    *out = &t->base;
    return OK;
}
