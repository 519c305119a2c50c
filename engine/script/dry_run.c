/* dry_run.c - one script on toy inputs, and the curve it draws: `weft lua check` and `weft lua plot`. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/script/host.h"
#include "engine/script/toy.h"
#include "engine/tensor/ops.h"

enum { TOY_STEPS = 8, TOY_FIELD_BYTES = SCRIPT_ROWS_MAX * SCRIPT_FIELD };

static const int64_t toy_shape[4] = { 1, 4, 8, 8 };

static Status check_finite(const Script *s, const Tensor *t, Error *err)
{
    for (int64_t i = 0, n = tensor_count(t); i < n; i++) {
        if (isfinite(tensor_f32(t)[i])) continue;
        error_set(err, E_SCRIPT, "the result on toy tensors holds a value that is not finite");
        error_at_file(err, s->file, -1);
        return E_SCRIPT;
    }
    return OK;
}

/* ---- scheduler and sampler ---------------------------------------------------------------------------- */

static Status dry_scheduler(const ScriptValues *v, const ModelSampling *m, Error *err)
{
    static const int64_t steps[] = { 1, 4, 20 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        Tensor *t = NULL;
        TRY(script_schedule(v, m, steps[i], 1, &t, err));
        tensor_unref(t);
    }
    return OK;
}

/* A smooth toy model: x0 = x / (1 + sigma). */
static Status toy_denoise(SamplerRun *run, const Tensor *x, float sigma, Tensor *out,
                          Error *err)
{
    (void)run, (void)err;
    tensor_affine(out, x, 1.0f / (1.0f + sigma), 0);
    return OK;
}

static Status dry_sampler(const ScriptValues *v, const ModelSampling *m, Error *err)
{
    Tensor *x = NULL, *sigmas = NULL;
    Sampler *sampler = NULL;
    Rng churn;
    Status status;

    rng_init(&churn, 1);
    TRY_DONE(script_sampler_new(v, &sampler, err));
    TRY_DONE(toy_values(4, toy_shape, 0.1, &x, err));
    TRY_DONE(sigmas_schedule(m, "simple", TOY_STEPS, 1, NULL, &sigmas, err));
    SamplerRun run = { .sampler = sampler,
                       .model = m,
                       .sigmas = tensor_f32(sigmas),
                       .count = TOY_STEPS + 1,
                       .seed = 1,
                       .churn = &churn,
                       .x = x,
                       .denoise = toy_denoise };
    TRY_DONE(sampler_run(&run, err));
    status = check_finite(v->script, x, err);
done:
    tensor_unref(x);
    tensor_unref(sigmas);
    sampler_unref(sampler);
    return status;
}

/* ---- guidance ------------------------------------------------------------------------------------------- */

static Status dry_guidance(const ScriptValues *v, const ModelSampling *m, Error *err)
{
    Toy t;
    double scale;
    Status status = toy_init(&t, v, m, toy_shape, TOY_STEPS, err);
    if (status == OK) status = toy_begin(&t, err);

    for (int i = 0; status == OK && i < TOY_STEPS; i++) {
        status = toy_step(&t, m, i, 4, false, &scale, err);
        if (status == OK) status = check_finite(v->script, t.denoised, err);
    }
    toy_fini(&t);
    return status;
}

/* ---- cache ------------------------------------------------------------------------------------------------ */

/* One conditioning through a run in which the input changes by `gain` more each time. */
static Status dry_lane(const StepCache *c, const ModelSampling *m, int64_t steps, double gain,
                       Error *err)
{
    Tensor *sigmas = NULL;
    void *lane = NULL;
    Status status = c->begin(c, &lane, err);

    if (status == OK) status = sigmas_schedule(m, "simple", steps, 1, NULL, &sigmas, err);
    for (int k = 0; status == OK && k < steps; k++) {
        CacheQuestion q = { .step = k,
                            .steps = (int)steps,
                            .sigma = tensor_f32(sigmas)[k],
                            .time = model_time(m, (double)tensor_f32(sigmas)[k]),
                            .sigmas = sigmas,
                            .change = gain * k,
                            .kept = k > 0 };
        status = c->decide(c, lane, &q, err);
    }
    if (lane) c->end(c, lane);
    tensor_unref(sigmas);
    return status;
}

static Status dry_cache(const ScriptValues *v, const ModelSampling *m, Error *err)
{
    static const int64_t runs[] = { 1, 4, 20 };
    StepCache *c = NULL;
    Status status = script_cache_new(v, NULL, &c, err);

    for (int i = 0; status == OK && i < 3; i++) {
        status = dry_lane(c, m, runs[i], 0.01, err);
        if (status == OK) status = dry_lane(c, m, runs[i], 0.05, err);
    }
    ref_drop(c);
    return status;
}

/* ---- node -------------------------------------------------------------------------------------------------- */

static bool is_toy_type(const Socket *s)
{
    if (s->flags & (SOCK_F_LIST | SOCK_F_U64)) return !(s->flags & SOCK_F_LIST);
    return s->type <= SOCK_COMBO || s->type == SOCK_IMAGE || s->type == SOCK_MASK ||
           s->type == SOCK_LATENT || s->type == SOCK_SIGMAS;
}

static Status toy_object(SockType type, const Ref **out, Error *err)
{
    static const int64_t image[4] = { 1, 16, 16, 3 }, mask[3] = { 1, 16, 16 };
    static const double sigmas[] = { 1, 0.75, 0.5, 0.25, 0 };
    Tensor *t = NULL;

    if (type == SOCK_SIGMAS)
        TRY(sigmas_from_values(sigmas, 5, &t, err));
    else if (type == SOCK_LATENT)
        TRY(toy_values(4, toy_shape, 0.3, &t, err));
    else
        TRY(toy_values(type == SOCK_IMAGE ? 4 : 3, type == SOCK_IMAGE ? image : mask, 0.3, &t,
                       err));
    *out = &t->ref;
    if (type != SOCK_LATENT) return OK;
    Latent *l = NULL;
    TRY(latent_new(t, &l, err));
    *out = &l->ref;
    return OK;
}

static Status fill_toy(const Socket *s, char *in, Error *err)
{
    int64_t whole = (int64_t)s->def;
    bool yes = s->def != 0;
    const char *text = s->sdef ? s->sdef : "";

    switch (s->type) {
    case SOCK_INT:
        memcpy(in + s->at, &whole, sizeof whole);
        return OK;
    case SOCK_FLOAT:
        memcpy(in + s->at, &s->def, sizeof s->def);
        return OK;
    case SOCK_BOOLEAN:
        memcpy(in + s->at, &yes, sizeof yes);
        return OK;
    case SOCK_STRING:
    case SOCK_COMBO:
        memcpy(in + s->at, &text, sizeof text);
        return OK;
    default: {
        const Ref *object = NULL;
        TRY(toy_object(s->type, &object, err));
        memcpy(in + s->at, &object, sizeof object);
        return OK;
    }
    }
}

/* Gives back what fields hold: objects of inputs; all of outputs. */
static void empty_fields(const Socket *rows, char *fields, bool output)
{
    for (const Socket *s = rows; s->name; s++) {
        Value v = host_field(s, fields);
        if (s->flags & SOCK_F_LIST) {
            ValueList list;
            memcpy(&list, fields + s->at, sizeof list);
            value_list_fini(&list);
        } else if (output || v.type > SOCK_COMBO) {
            value_fini(&v);
        }
    }
}

static Status dry_node(const Script *s, bool *ran, Error *err)
{
    char in[TOY_FIELD_BYTES] = { 0 }, out[TOY_FIELD_BYTES] = { 0 };
    NodeCall call = { .def = &s->def, .id = "", .in = in, .out = out, .err = err };
    Status status = OK;

    for (const Socket *row = s->def.inputs; row->name; row++)
        if (!is_toy_type(row)) *ran = false;
    if (!*ran) return OK;
    for (const Socket *row = s->def.inputs; status == OK && row->name; row++)
        status = fill_toy(row, in, err);
    if (status == OK) status = node_answer_new(&call.answer, err);
    if (status == OK) status = script_node_call(&call);
    node_answer_free(call.answer);
    empty_fields(s->def.inputs, in, false);
    empty_fields(s->def.outputs, out, true);
    return status;
}

/* ---- all kinds ------------------------------------------------------------------------------------------------ */

Status script_dry_run(const Script *s, bool *ran, Error *err)
{
    ModelSampling *m = NULL;
    ScriptValues *v = NULL;
    Status status;

    *ran = true;
    if (s->kind == SCRIPT_NODE) return dry_node(s, ran, err);
    TRY_DONE(model_sampling_flux(1.15, &m, err));
    TRY_DONE(script_values_default(s, &v, err));
    if (s->kind == SCRIPT_SCHEDULER) status = dry_scheduler(v, m, err);
    if (s->kind == SCRIPT_SAMPLER) status = dry_sampler(v, m, err);
    if (s->kind == SCRIPT_GUIDANCE) status = dry_guidance(v, m, err);
    if (s->kind == SCRIPT_CACHE) status = dry_cache(v, m, err);
done:
    ref_drop(m);
    ref_drop(v);
    return status;
}

/* ---- curves ------------------------------------------------------------------------------------------------------ */

static Status scheduler_curve(const ScriptValues *v, const ModelSampling *m, int64_t steps,
                              double *points, Error *err)
{
    Tensor *t = NULL;
    TRY(script_schedule(v, m, steps, 1, &t, err));
    for (int64_t i = 0; i <= steps; i++) {
        points[2 * i] = (double)i;
        points[2 * i + 1] = (double)tensor_f32(t)[i];
    }
    tensor_unref(t);
    return OK;
}

static Status guidance_curve(const ScriptValues *v, const ModelSampling *m, int64_t steps,
                             double cfg, double *points, Error *err)
{
    Toy t;
    Status status = toy_init(&t, v, m, toy_shape, steps, err);
    if (status == OK) status = toy_begin(&t, err);

    for (int i = 0; status == OK && i < steps; i++) {
        points[2 * i] = model_time(m, (double)tensor_f32(t.sigmas)[i]);
        status = toy_step(&t, m, i, cfg, true, &points[2 * i + 1], err);
    }
    toy_fini(&t);
    return status;
}

Status script_curve(const ScriptValues *v, const ModelSampling *m, int64_t steps, double cfg,
                    double **points, int *n, Error *err)
{
    const Script *s = v->script;
    bool scheduler = s->kind == SCRIPT_SCHEDULER;

    if (!scheduler && !(s->kind == SCRIPT_GUIDANCE && s->functions & SCRIPT_RUN)) {
        error_set(err, E_UNSUPPORTED, "%s draws no curve", s->name);
        error_fix(err, "name a scheduler, or guidance with a function 'run'");
        return E_UNSUPPORTED;
    }
    if (steps < 1 || steps > 10000) return error_set(err, E_RANGE, "steps must be 1 to 10000");
    double *p = mem_calloc((size_t)steps + 1, 2 * sizeof *p);
    if (!p) return error_set(err, E_NOMEM, "out of memory");
    Status status = scheduler ? scheduler_curve(v, m, steps, p, err)
                              : guidance_curve(v, m, steps, cfg, p, err);
    if (status != OK) {
        mem_free(p);
        return status;
    }
    *points = p;
    *n = (int)steps + scheduler;
    return OK;
}
