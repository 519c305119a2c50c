/* cost.c - what a script takes of each step, its model's time left out. */
#include <time.h>

#include "engine/script/toy.h"
#include "engine/tensor/ops.h"

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- sampler ----------------------------------------------------------------------------------------- */

/* A model that keeps count of its own time. */
typedef struct Answer {
    double spent;
} Answer;

static Status answer(SamplerRun *run, const Tensor *x, float sigma, Tensor *out, Error *err)
{
    Answer *a = run->user;
    double began = seconds_now();
    (void)err;
    tensor_affine(out, x, 1.0f / (1.0f + sigma), 0);
    a->spent += seconds_now() - began;
    return OK;
}

static Status sampler_cost(const ScriptValues *v, const ModelSampling *m,
                           const int64_t shape[4], int64_t steps, double *seconds, Error *err)
{
    Tensor *x = NULL, *sigmas = NULL;
    Sampler *sampler = NULL;
    Answer a = { 0 };
    Rng churn;
    Status status = OK;

    rng_init(&churn, 1);
    TRY_DONE(script_sampler_new(v, &sampler, err));
    TRY_DONE(toy_values(4, shape, 0.1, &x, err));
    TRY_DONE(sigmas_schedule(m, "simple", steps, 1, NULL, &sigmas, err));
    SamplerRun run = { .sampler = sampler,
                       .model = m,
                       .sigmas = tensor_f32(sigmas),
                       .count = (int)steps + 1,
                       .seed = 1,
                       .churn = &churn,
                       .x = x,
                       .denoise = answer,
                       .user = &a };
    double began = seconds_now();
    TRY_DONE(sampler_run(&run, err));
    *seconds = seconds_now() - began - a.spent;
done:
    tensor_unref(x);
    tensor_unref(sigmas);
    sampler_unref(sampler);
    return status;
}

/* ---- guidance and caches ------------------------------------------------------------------------------- */

static Status guidance_cost(const ScriptValues *v, const ModelSampling *m,
                            const int64_t shape[4], int64_t steps, double *seconds, Error *err)
{
    Toy t;
    double scale, began = 0;
    Status status = toy_init(&t, v, m, shape, steps, err);

    began = seconds_now();
    if (status == OK) status = toy_begin(&t, err);
    for (int i = 0; status == OK && i < steps; i++)
        status = toy_step(&t, m, i, 4, false, &scale, err);
    *seconds = seconds_now() - began;
    toy_fini(&t);
    return status;
}

static Status cache_cost(const ScriptValues *v, int64_t steps, double *seconds, Error *err)
{
    StepCache *c = NULL;
    void *lane = NULL;
    double began = seconds_now();

    TRY(script_cache_new(v, NULL, &c, err));
    Status status = c->begin(c, &lane, err);
    for (int i = 0; status == OK && i < steps; i++) {
        CacheQuestion q = { .step = i, .steps = (int)steps, .change = 0.05, .kept = i > 0 };
        status = c->decide(c, lane, &q, err);
    }
    if (lane) c->end(c, lane);
    *seconds = seconds_now() - began;
    ref_drop(c);
    return status;
}

Status script_cost(const ScriptValues *v, const ModelSampling *m, const int64_t shape[4],
                   int64_t steps, double *seconds, Error *err)
{
    double whole = 0;

    switch (v->script->kind) {
    case SCRIPT_SAMPLER:
        TRY(sampler_cost(v, m, shape, steps, &whole, err));
        break;
    case SCRIPT_GUIDANCE:
        TRY(guidance_cost(v, m, shape, steps, &whole, err));
        break;
    case SCRIPT_CACHE:
        TRY(cache_cost(v, steps, &whole, err));
        break;
    default:
        return error_set(err, E_UNSUPPORTED, "%s has no part in a step", v->script->name);
    }
    *seconds = whole / (double)steps;
    return OK;
}
