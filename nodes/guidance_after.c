/* guidance_after.c - node types whose patches bend the estimates after the model. */
#include "nodes/guidance_after.h"

#include "engine/base/mem.h"
#include "engine/imaging/cells.h"
#include "engine/models/model.h"
#include "engine/sampling/guidance.h"
#include "engine/sampling/latent.h"
#include "engine/tensor/ops.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* A copy of the model with the hook, whose reference is taken over. */
static Status with_hook(NodeCall *call, const Model *model, GuidanceHook *hook, Model **out)
{
    Patch patch = {
        .kind = PATCH_GUIDE, .object = &hook->ref, .text = call->def->class_type, .strength = 1
    };
    Status status = model_with_patch(model, &patch, out, call->err);

    ref_drop(hook);
    return status;
}

/* ---- RenormCFG --------------------------------------------------------------------------- */

typedef struct RenormIn {
    const Model *model;
    double cfg_trunc, renorm_cfg;
} RenormIn;

/* clang-format off */
static const Socket renorm_in[] = {
    { ROW(RenormIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(RenormIn, cfg_trunc, SOCK_FLOAT), .def = 100, .max = 100, .step = 0.01, .doc = "Noise level from which on the positive estimate alone counts." },
    { ROW(RenormIn, renorm_cfg, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .doc = "Longest guided estimate, in lengths of the positive one; 0 = any." },
    END_ROWS
};
/* clang-format on */

static Status renorm_run(NodeCall *call)
{
    const RenormIn *in = call->in;
    ModelOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_renorm(in->cfg_trunc, in->renorm_cfg, &hook, call->err));
    return with_hook(call, in->model, hook, &out->model);
}

static const NodeDef renorm_node = {
    .class_type = "RenormCFG",
    .category = "advanced/model",
    .doc = "Keeps the guided estimate from growing longer than the positive one.",
    .inputs = renorm_in,
    .outputs = model_out,
    .in_size = sizeof(RenormIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_GUIDE,
    .run = renorm_run,
};

/* ---- TCFG -------------------------------------------------------------------------------- */

typedef struct TangentialIn {
    const Model *model;
} TangentialIn;

/* clang-format off */
static const Socket tangential_in[] = {
    { ROW(TangentialIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    END_ROWS
};
/* clang-format on */

typedef struct PatchedOut {
    Model *patched_model;
} PatchedOut;

/* clang-format off */
static const Socket patched_out[] = {
    OUT(PatchedOut, patched_model, "patched_model", SOCK_MODEL),
    END_ROWS
};
/* clang-format on */

static Status tangential_run(NodeCall *call)
{
    const TangentialIn *in = call->in;
    PatchedOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_tangential(&hook, call->err));
    return with_hook(call, in->model, hook, &out->patched_model);
}

static const NodeDef tangential_node = {
    .class_type = "TCFG",
    .display = "Tangential Damping CFG",
    .category = "advanced/guidance",
    .doc = "Takes out of the negative estimate what leads away from the positive one.",
    .inputs = tangential_in,
    .outputs = patched_out,
    .in_size = sizeof(TangentialIn),
    .out_size = sizeof(PatchedOut),
    .stage = STAGE_GUIDE,
    .run = tangential_run,
};

/* ---- Mahiro ------------------------------------------------------------------------------ */

static Status mahiro_run(NodeCall *call)
{
    const TangentialIn *in = call->in;
    PatchedOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_mahiro(&hook, call->err));
    return with_hook(call, in->model, hook, &out->patched_model);
}

static const NodeDef mahiro_node = {
    .class_type = "Mahiro",
    .display = "Mahiro CFG",
    .category = "_for_testing",
    .doc = "Scales guidance by how alike the two estimates are.",
    .inputs = tangential_in,
    .outputs = patched_out,
    .in_size = sizeof(TangentialIn),
    .out_size = sizeof(PatchedOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_GUIDE,
    .run = mahiro_run,
};

/* ---- Epsilon Scaling --------------------------------------------------------------------- */

typedef struct EpsilonIn {
    const Model *model;
    double scaling_factor;
} EpsilonIn;

/* clang-format off */
static const Socket epsilon_in[] = {
    { ROW(EpsilonIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(EpsilonIn, scaling_factor, SOCK_FLOAT), .def = 1.005, .min = 0.5, .max = 1.5, .step = 0.001, .doc = "Divisor of the noise." },
    END_ROWS
};
/* clang-format on */

static Status epsilon_run(NodeCall *call)
{
    const EpsilonIn *in = call->in;
    ModelOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_epsilon_scaling(in->scaling_factor, &hook, call->err));
    return with_hook(call, in->model, hook, &out->model);
}

static const NodeDef epsilon_node = {
    .class_type = "Epsilon Scaling",
    .category = "model_patches/unet",
    .doc = "Divides the predicted noise by a factor.",
    .inputs = epsilon_in,
    .outputs = model_out,
    .in_size = sizeof(EpsilonIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_GUIDE,
    .run = epsilon_run,
};

/* ---- TemporalScoreRescaling -------------------------------------------------------------- */

typedef struct TsrIn {
    const Model *model;
    double tsr_k, tsr_sigma;
} TsrIn;

/* clang-format off */
static const Socket tsr_in[] = {
    { ROW(TsrIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(TsrIn, tsr_k, SOCK_FLOAT), .def = 0.95, .min = 0.01, .max = 100, .step = 0.001, .doc = "Strength; 1 = none." },
    { ROW(TsrIn, tsr_sigma, SOCK_FLOAT), .def = 1, .min = 0.01, .max = 100, .step = 0.001, .doc = "How early it acts." },
    END_ROWS
};
/* clang-format on */

static Status tsr_run(NodeCall *call)
{
    const TsrIn *in = call->in;
    PatchedOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_tsr(in->tsr_k, in->tsr_sigma, &hook, call->err));
    return with_hook(call, in->model, hook, &out->patched_model);
}

static const NodeDef tsr_node = {
    .class_type = "TemporalScoreRescaling",
    .display = "TSR - Temporal Score Rescaling",
    .category = "model_patches/unet",
    .doc = "Rescales the score over time: lower k gives more detail.",
    .inputs = tsr_in,
    .outputs = patched_out,
    .in_size = sizeof(TsrIn),
    .out_size = sizeof(PatchedOut),
    .stage = STAGE_GUIDE,
    .run = tsr_run,
};

/* ---- VideoLinearCFGGuidance -------------------------------------------------------------- */

typedef struct LinearIn {
    const Model *model;
    double min_cfg;
} LinearIn;

/* clang-format off */
static const Socket linear_in[] = {
    { ROW(LinearIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(LinearIn, min_cfg, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.5, .round = 0.01, .doc = "Scale of the first item." },
    END_ROWS
};
/* clang-format on */

static Status linear_run(NodeCall *call)
{
    const LinearIn *in = call->in;
    ModelOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_frames(in->min_cfg, false, &hook, call->err));
    return with_hook(call, in->model, hook, &out->model);
}

static const NodeDef linear_node = {
    .class_type = "VideoLinearCFGGuidance",
    .category = "sampling/video_models",
    .doc = "Guidance that grows along the items of a batch.",
    .inputs = linear_in,
    .outputs = model_out,
    .in_size = sizeof(LinearIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_GUIDE,
    .run = linear_run,
};

/* ---- VideoTriangleCFGGuidance ------------------------------------------------------------ */

/* clang-format off */
static const Socket triangle_in[] = {
    { ROW(LinearIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(LinearIn, min_cfg, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.5, .round = 0.01, .doc = "Scale at both ends." },
    END_ROWS
};
/* clang-format on */

static Status triangle_run(NodeCall *call)
{
    const LinearIn *in = call->in;
    ModelOut *out = call->out;
    GuidanceHook *hook = NULL;

    TRY(guidance_frames(in->min_cfg, true, &hook, call->err));
    return with_hook(call, in->model, hook, &out->model);
}

static const NodeDef triangle_node = {
    .class_type = "VideoTriangleCFGGuidance",
    .category = "sampling/video_models",
    .doc = "Guidance that grows and falls along the items of a batch.",
    .inputs = triangle_in,
    .outputs = model_out,
    .in_size = sizeof(LinearIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_GUIDE,
    .run = triangle_run,
};

/* ---- operations on latents ------------------------------------------------------------------------------- */

/* The LATENT_OPERATION value. Immutable. */
typedef struct Operation {
    Ref ref;
    bool tonemap;
    double multiplier; /* tone mapping */
    int64_t radius;    /* sharpening */
    double sigma, alpha;
} Operation;

static void operation_destroy(void *object)
{
    mem_free(object);
}

static Status operation_new(Operation values, Ref **out, Error *err)
{
    Operation *o = mem_alloc(sizeof *o);

    if (!o) return error_set(err, E_NOMEM, "no memory for an operation");
    *o = values;
    ref_init(&o->ref, operation_destroy);
    *out = &o->ref;
    return OK;
}

static Status operation_apply(const Operation *o, const Tensor *x, Tensor **out, Error *err)
{
    if (o->tonemap) return planes_tonemap(x, o->multiplier, out, err);
    return planes_sharpen_directions(x, o->radius, o->sigma, o->alpha, out, err);
}

/* ---- LatentOperationTonemapReinhard ------------------------------------------------------ */

typedef struct TonemapIn {
    double multiplier;
} TonemapIn;

/* clang-format off */
static const Socket tonemap_in[] = {
    { ROW(TonemapIn, multiplier, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .doc = "White point, in units of the mean plus five deviations." },
    END_ROWS
};
/* clang-format on */

typedef struct LatentOperationOut {
    Ref *latent_operation;
} LatentOperationOut;

/* clang-format off */
static const Socket latent_operation_out[] = {
    { .name = "LATENT_OPERATION", .type = SOCK_OTHER, .type_name = "LATENT_OPERATION", .at = offsetof(LatentOperationOut, latent_operation), .doc = "LATENT_OPERATION" },
    END_ROWS
};
/* clang-format on */

static Status tonemap_run(NodeCall *call)
{
    const TonemapIn *in = call->in;
    LatentOperationOut *out = call->out;
    return operation_new((Operation){ .tonemap = true, .multiplier = in->multiplier },
                         &out->latent_operation, call->err);
}

static const NodeDef tonemap_node = {
    .class_type = "LatentOperationTonemapReinhard",
    .category = "latent/advanced/operations",
    .doc = "Compresses strong cells by Reinhard's curve.",
    .inputs = tonemap_in,
    .outputs = latent_operation_out,
    .in_size = sizeof(TonemapIn),
    .out_size = sizeof(LatentOperationOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = tonemap_run,
};

/* ---- LatentOperationSharpen -------------------------------------------------------------- */

typedef struct SharpenIn {
    int64_t sharpen_radius;
    double sigma, alpha;
} SharpenIn;

/* clang-format off */
static const Socket sharpen_in[] = {
    { ROW(SharpenIn, sharpen_radius, SOCK_INT), .def = 9, .min = 1, .max = 31, .step = 1, .doc = "Cells on each side." },
    { ROW(SharpenIn, sigma, SOCK_FLOAT), .def = 1, .min = 0.1, .max = 10, .step = 0.1, .doc = "Spread of the Gaussian, relative to the radius." },
    { ROW(SharpenIn, alpha, SOCK_FLOAT), .def = 0.1, .max = 5, .step = 0.01, .doc = "Strength." },
    END_ROWS
};
/* clang-format on */

static Status sharpen_run(NodeCall *call)
{
    const SharpenIn *in = call->in;
    LatentOperationOut *out = call->out;
    return operation_new(
        (Operation){ .radius = in->sharpen_radius, .sigma = in->sigma, .alpha = in->alpha },
        &out->latent_operation, call->err);
}

static const NodeDef sharpen_node = {
    .class_type = "LatentOperationSharpen",
    .category = "latent/advanced/operations",
    .doc = "Sharpens the directions of the cells.",
    .inputs = sharpen_in,
    .outputs = latent_operation_out,
    .in_size = sizeof(SharpenIn),
    .out_size = sizeof(LatentOperationOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = sharpen_run,
};

/* ---- LatentApplyOperation ---------------------------------------------------------------- */

typedef struct ApplyIn {
    const Latent *samples;
    const Ref *operation;
} ApplyIn;

/* clang-format off */
static const Socket apply_in[] = {
    { ROW(ApplyIn, samples, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    { ROW(ApplyIn, operation, SOCK_OTHER), .type_name = "LATENT_OPERATION", .doc = "What is done." },
    END_ROWS
};
/* clang-format on */

static Status apply_run(NodeCall *call)
{
    const ApplyIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;

    TRY(operation_apply((const Operation *)in->operation, in->samples->samples, &samples,
                        call->err));
    return latent_with_samples(in->samples, samples, &out->latent, call->err);
}

static const NodeDef apply_node = {
    .class_type = "LatentApplyOperation",
    .category = "latent/advanced/operations",
    .doc = "Applies an operation to a latent.",
    .inputs = apply_in,
    .outputs = latent_out,
    .in_size = sizeof(ApplyIn),
    .out_size = sizeof(LatentOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = apply_run,
};

/* ---- LatentApplyOperationCFG ------------------------------------------------------------- */

typedef struct ApplyCfgIn {
    const Model *model;
    const Ref *operation;
} ApplyCfgIn;

/* clang-format off */
static const Socket apply_cfg_in[] = {
    { ROW(ApplyCfgIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(ApplyCfgIn, operation, SOCK_OTHER), .type_name = "LATENT_OPERATION", .doc = "What is done." },
    END_ROWS
};
/* clang-format on */

typedef struct OperationHook {
    GuidanceHook base;
    const Ref *operation; /* owned */
} OperationHook;

static void hook_destroy(void *object)
{
    OperationHook *h = object;

    ref_drop(h->operation);
    mem_free(h);
}

/* P = operation(P - U) + U */
static Status hook_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    Tensor *changed = NULL;

    (void)state;
    tensor_sub(g->cond, g->cond, g->uncond);
    TRY(operation_apply((const Operation *)((const OperationHook *)h)->operation, g->cond,
                        &changed, err));
    tensor_add(g->cond, changed, g->uncond);
    tensor_unref(changed);
    return OK;
}

static Status apply_cfg_run(NodeCall *call)
{
    const ApplyCfgIn *in = call->in;
    ModelOut *out = call->out;
    OperationHook *hook = mem_calloc(1, sizeof *hook);

    if (!hook) return error_set(call->err, E_NOMEM, "no memory for a patch");
    ref_init(&hook->base.ref, hook_destroy);
    hook->base.kind = GUIDE_PRE;
    hook->base.name = "LatentApplyOperationCFG";
    hook->base.run = hook_run;
    hook->operation = ref_take(in->operation);
    return with_hook(call, in->model, &hook->base, &out->model);
}

static const NodeDef apply_cfg_node = {
    .class_type = "LatentApplyOperationCFG",
    .category = "latent/advanced/operations",
    .doc = "Applies an operation to the difference of the two estimates at every step.",
    .inputs = apply_cfg_in,
    .outputs = model_out,
    .in_size = sizeof(ApplyCfgIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_GUIDE,
    .run = apply_cfg_run,
};

/* clang-format off */
const NodeDef *const guidance_after_nodes[] = {
    &renorm_node,
    &tangential_node,
    &mahiro_node,
    &epsilon_node,
    &tsr_node,
    &linear_node,
    &triangle_node,
    &tonemap_node,
    &sharpen_node,
    &apply_node,
    &apply_cfg_node,
    NULL,
};
/* clang-format on */
