/* script.c - node classes of Lua scripts: takes models apart, calls the script, puts values together. */
#include "nodes/script.h"

#include "engine/models/model.h"
#include "engine/sampling/sigmas.h"

/* The field of row i in a script's in or out struct. */
static const void *input_at(const NodeCall *call, int i)
{
    return (const char *)call->in + call->def->inputs[i].at;
}

static Status values_of(NodeCall *call, ScriptValues **out)
{
    return script_values_from(call->def->user, call->in, out, call->err);
}

/* ---- scheduler: model, steps, denoise, params -> SIGMAS --------------------------------------------- */

static Status own_schedule(void *user, const char *name, const ModelSampling *m, int64_t steps,
                           double denoise, Tensor **out, Error *err)
{
    (void)name;
    return script_schedule(user, m, steps, denoise, out, err);
}

static Status scheduler_run(NodeCall *call)
{
    const Model *model = *(const Model *const *)input_at(call, 0);
    int64_t steps = *(const int64_t *)input_at(call, 1);
    double denoise = *(const double *)input_at(call, 2);
    const Script *script = call->def->user;
    ScriptValues *v = NULL;

    TRY(values_of(call, &v));
    Registry own = { .user = v, .scheduler = own_schedule };
    Status status = sigmas_basic(model_denoiser(model)->sampling, script->sampler.name, steps,
                                 denoise, &own, (Tensor **)call->out, call->err);
    ref_drop(v);
    return status;
}

/* ---- sampler: params -> SAMPLER ------------------------------------------------------------------------ */

static Status sampler_run_node(NodeCall *call)
{
    ScriptValues *v = NULL;
    TRY(values_of(call, &v));
    Status status = script_sampler_new(v, (Sampler **)call->out, call->err);
    ref_drop(v);
    return status;
}

/* ---- guidance: model, params -> MODEL ------------------------------------------------------------------- */

/* *model is replaced by a copy with one hook more. */
static Status add_hook(NodeCall *call, Model **model, const GuidanceHook *hook)
{
    Patch patch = {
        .kind = PATCH_GUIDE, .object = &hook->ref, .text = call->def->class_type, .strength = 1
    };
    Model *more = NULL;

    TRY(model_with_patch(*model, &patch, &more, call->err));
    model_unref(*model);
    *model = more;
    return OK;
}

static Status guidance_run(NodeCall *call)
{
    Model *model = model_ref(*(const Model *const *)input_at(call, 0));
    GuidanceHook *hooks[4];
    ScriptValues *v = NULL;
    int n = 0;
    Status status = values_of(call, &v);

    if (status == OK) status = script_guidance_hooks(v, call->id, hooks, &n, call->err);
    for (int i = 0; i < n; i++) {
        if (status == OK) status = add_hook(call, &model, hooks[i]);
        ref_drop(hooks[i]);
    }
    ref_drop(v);
    if (status == OK)
        *(Model **)call->out = model;
    else
        model_unref(model);
    return status;
}

/* ---- cache: model, params -> MODEL ------------------------------------------------------------------------ */

static Status cache_run(NodeCall *call)
{
    const Model *model = *(const Model *const *)input_at(call, 0);
    StepCache *cache = NULL;
    ScriptValues *v = NULL;
    Status status = values_of(call, &v);

    if (status == OK) status = script_cache_new(v, call->id, &cache, call->err);
    if (status == OK) {
        Patch patch = { .kind = PATCH_CACHE,
                        .object = &cache->ref,
                        .text = call->def->class_type,
                        .strength = 1 };
        status = model_with_patch(model, &patch, (Model **)call->out, call->err);
    }
    ref_drop(cache);
    ref_drop(v);
    return status;
}

const ScriptRunners nodes_script_runners = {
    .run = { [SCRIPT_SCHEDULER] = scheduler_run,
             [SCRIPT_SAMPLER] = sampler_run_node,
             [SCRIPT_GUIDANCE] = guidance_run,
             [SCRIPT_CACHE] = cache_run,
             [SCRIPT_NODE] = script_node_call },
};
