/* step_cache.c - node types that let a model skip calls: EasyCache, LazyCache, TeaCache. */
#include "nodes/step_cache.h"

#include <string.h>

#include "engine/models/model.h"
#include "engine/sampling/step_cache.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* A patched copy with the cache, whose reference is taken over. */
static Status with_cache(NodeCall *call, const Model *model, StepCache *cache)
{
    ModelOut *out = call->out;
    Patch patch = {
        .kind = PATCH_CACHE, .object = &cache->ref, .text = call->def->class_type, .strength = 1
    };
    Status status = model_with_patch(model, &patch, &out->model, call->err);
    ref_drop(cache);
    return status;
}

/* ---- EasyCache and LazyCache ------------------------------------------------------------------------- */

typedef struct EasyIn {
    const Model *model;
    double reuse_threshold, start_percent, end_percent;
    bool verbose;
} EasyIn;

/* clang-format off */
static const Socket easy_in[] = {
    { ROW(EasyIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(EasyIn, reuse_threshold, SOCK_FLOAT), .def = 0.2, .max = 3, .step = 0.01, .doc = "Summed estimate of the output's relative change below which a call is skipped." },
    { ROW(EasyIn, start_percent, SOCK_FLOAT), .def = 0.15, .max = 1, .step = 0.01, .doc = "Share of model time before which no call is skipped." },
    { ROW(EasyIn, end_percent, SOCK_FLOAT), .def = 0.95, .max = 1, .step = 0.01, .doc = "Share of model time after which no call is skipped." },
    { ROW(EasyIn, verbose, SOCK_BOOLEAN), .doc = "Makes the Python stack log every decision." },
    END_ROWS
};
/* clang-format on */

static Status easy(NodeCall *call, CachePlace place)
{
    const EasyIn *in = call->in;
    EasyLimits limits = { in->reuse_threshold, in->start_percent, in->end_percent };
    StepCache *cache = NULL;

    TRY(step_cache_easy(place, call->id, &limits, &cache, call->err));
    return with_cache(call, in->model, cache);
}

static Status easy_run(NodeCall *call)
{
    return easy(call, CACHE_OUTPUT);
}

static Status lazy_run(NodeCall *call)
{
    return easy(call, CACHE_GUIDED);
}

static const char easy_note[] =
    "A run that skipped calls ends with a note of how many, with or without `verbose`. Each "
    "conditioning is a call of its own here: the first one decides, as it does in the "
    "reference "
    "when they do not share a batch.";

static const NodeDef easy_cache = {
    .class_type = "EasyCache",
    .category = "advanced/debug/model",
    .doc =
        "Skips model calls whose answer the change of the input says is near to the last one.",
    .engine_note = easy_note,
    .inputs = easy_in,
    .outputs = model_out,
    .in_size = sizeof(EasyIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_CACHE,
    .run = easy_run,
};

static const NodeDef lazy_cache = {
    .class_type = "LazyCache",
    .category = "advanced/debug/model",
    .doc =
        "EasyCache around the guided estimate: a step is skipped with all its conditionings.",
    .engine_note =
        "A run that skipped calls ends with a note of how many, with or without `verbose`.",
    .inputs = easy_in,
    .outputs = model_out,
    .in_size = sizeof(EasyIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_CACHE,
    .run = lazy_run,
};

/* ---- TeaCache ---------------------------------------------------------------------------------------- */

typedef struct TeaIn {
    const Model *model;
    const char *model_type;
    double rel_l1_thresh, start_percent, end_percent;
    const char *cache_device;
} TeaIn;

static const char *const tea_types[] = { "flux", "flux-kontext", NULL };
static const char *const tea_devices[] = { "cuda", "cpu", NULL };

/* clang-format off */
static const Socket tea_in[] = {
    { ROW(TeaIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(TeaIn, model_type, SOCK_COMBO), .options = tea_types, .doc = "Model that the estimate of change was fitted to." },
    { ROW(TeaIn, rel_l1_thresh, SOCK_FLOAT), .def = 0.4, .max = 10, .step = 0.01, .doc = "Summed change from which a step is computed again; 0 skips nothing." },
    { ROW(TeaIn, start_percent, SOCK_FLOAT), .def = 0, .max = 1, .step = 0.01, .doc = "Share of the steps before which none is skipped." },
    { ROW(TeaIn, end_percent, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the steps after which none is skipped." },
    { ROW(TeaIn, cache_device, SOCK_COMBO), .options = tea_devices, .doc = "Memory that the Python stack keeps the residual in." },
    END_ROWS
};
/* clang-format on */

static Status tea_run(NodeCall *call)
{
    const TeaIn *in = call->in;
    TeaFit fit = strcmp(in->model_type, "flux-kontext") == 0 ? TEA_FLUX_KONTEXT : TEA_FLUX;
    StepCache *cache = NULL;

    TRY(step_cache_tea(call->id, fit, in->rel_l1_thresh, in->start_percent, in->end_percent,
                       &cache, call->err));
    return with_cache(call, in->model, cache);
}

static const NodeDef tea_cache = {
    .class_type = "TeaCache",
    .category = "TeaCache",
    .doc = "Skips the blocks of steps whose modulated input changed little.",
    .engine_note =
        "The first and the last step are always computed, and all of them in runs of "
        "fewer than 8 steps, which a note tells. The residual lies in ordinary memory "
        "whatever `cache_device` says. FLUX.2 uses the fit for FLUX.1.",
    .inputs = tea_in,
    .outputs = model_out,
    .in_size = sizeof(TeaIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_CACHE,
    .run = tea_run,
};

const NodeDef *const step_cache_nodes[] = { &easy_cache, &lazy_cache, &tea_cache, NULL };
