/* patch.c - node types that patch a MODEL. */
#include "nodes/patch.h"

#include <stdio.h>
#include <string.h>

#include "engine/models/model.h"
#include "engine/sampling/guidance.h"
#include "engine/sampling/sigmas.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

enum { SIDE_MAX = 16384 };

/* A patched copy whose patch carries `object` (one reference, taken over). */
static Status patched(NodeCall *call, const Model *model, PatchKind kind, const void *object)
{
    ModelOut *out = call->out;
    Patch patch = { .kind = kind,
                    .object = object,
                    .text = (char *)(uintptr_t)call->def->class_type,
                    .strength = 1 };
    Status status = model_with_patch(model, &patch, &out->model, call->err);
    ref_drop(object);
    return status;
}

/* ---- model sampling ------------------------------------------------------------------------------------- */

typedef struct FluxIn {
    const Model *model;
    double max_shift, base_shift;
    int64_t width, height;
} FluxIn;

/* clang-format off */
static const Socket flux_in[] = {
    { ROW(FluxIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(FluxIn, max_shift, SOCK_FLOAT), .def = 1.15, .max = 100, .step = 0.01, .doc = "Shift at 4096 tokens." },
    { ROW(FluxIn, base_shift, SOCK_FLOAT), .def = 0.5, .max = 100, .step = 0.01, .doc = "Shift at 256 tokens." },
    { ROW(FluxIn, width, SOCK_INT), .def = 1024, .min = 16, .max = SIDE_MAX, .step = 8, .doc = "Width of the picture in pixels." },
    { ROW(FluxIn, height, SOCK_INT), .def = 1024, .min = 16, .max = SIDE_MAX, .step = 8, .doc = "Height of the picture in pixels." },
    END_ROWS
};
/* clang-format on */

static Status flux_run(NodeCall *call)
{
    const FluxIn *in = call->in;
    ModelSampling *sampling = NULL;
    double shift =
        model_sampling_flux_shift(in->max_shift, in->base_shift, in->width, in->height);
    TRY(model_sampling_flux(shift, &sampling, call->err));
    return patched(call, in->model, PATCH_SAMPLING, sampling);
}

static const NodeDef sampling_flux = {
    .class_type = "ModelSamplingFlux",
    .category = "advanced/model",
    .doc = "Shifts the noise levels of a FLUX model by picture size.",
    .inputs = flux_in,
    .outputs = model_out,
    .in_size = sizeof(FluxIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_SAMPLING,
    .run = flux_run,
};

typedef struct ShiftIn {
    const Model *model;
    double shift;
} ShiftIn;

/* clang-format off */
static const Socket sd3_in[] = {
    { ROW(ShiftIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(ShiftIn, shift, SOCK_FLOAT), .def = 3, .max = 100, .step = 0.01, .doc = "Shift of the noise levels, 1 = none." },
    END_ROWS
};
static const Socket aura_in[] = {
    { ROW(ShiftIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(ShiftIn, shift, SOCK_FLOAT), .def = 1.73, .max = 100, .step = 0.01, .doc = "Shift of the noise levels, 1 = none." },
    END_ROWS
};
/* clang-format on */

static Status flow_patch(NodeCall *call, double multiplier)
{
    const ShiftIn *in = call->in;
    ModelSampling *sampling = NULL;
    TRY(model_sampling_flow(in->shift, multiplier, &sampling, call->err));
    return patched(call, in->model, PATCH_SAMPLING, sampling);
}

static Status sd3_run(NodeCall *call)
{
    return flow_patch(call, 1000);
}

static Status aura_run(NodeCall *call)
{
    return flow_patch(call, 1);
}

static const NodeDef sampling_sd3 = {
    .class_type = "ModelSamplingSD3",
    .category = "advanced/model",
    .doc = "Discrete flow noise levels with timesteps times 1000.",
    .inputs = sd3_in,
    .outputs = model_out,
    .in_size = sizeof(ShiftIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_SAMPLING,
    .run = sd3_run,
};

static const NodeDef sampling_aura = {
    .class_type = "ModelSamplingAuraFlow",
    .category = "advanced/model",
    .doc = "Discrete flow noise levels with timesteps as they are.",
    .inputs = aura_in,
    .outputs = model_out,
    .in_size = sizeof(ShiftIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_SAMPLING,
    .run = aura_run,
};

/* ---- DifferentialDiffusion ------------------------------------------------------------------------------- */

typedef struct DifferentialIn {
    const Model *model;
    double strength;
} DifferentialIn;

/* clang-format off */
static const Socket differential_in[] = {
    { ROW(DifferentialIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(DifferentialIn, strength, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .flags = SOCK_F_OPTIONAL,
      .doc = "1 takes the mask as a threshold per step, 0 as it is." },
    END_ROWS
};
/* clang-format on */

static Status differential_run(NodeCall *call)
{
    const DifferentialIn *in = call->in;
    GuidanceHook *hook = NULL;
    TRY(guidance_differential(in->strength, &hook, call->err));
    return patched(call, in->model, PATCH_GUIDE, hook);
}

static const NodeDef differential = {
    .class_type = "DifferentialDiffusion",
    .display = "Differential Diffusion",
    .category = "_for_testing",
    .doc = "A soft mask says at which step a pixel starts to be repainted.",
    .inputs = differential_in,
    .outputs = model_out,
    .in_size = sizeof(DifferentialIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_GUIDE,
    .run = differential_run,
};

/* ---- guidance functions -------------------------------------------------------------------------------- */

typedef struct NormIn {
    const Model *model;
    double strength;
} NormIn;

/* clang-format off */
static const Socket norm_in[] = {
    { ROW(NormIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(NormIn, strength, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .doc = "Factor on the guided estimate." },
    END_ROWS
};
/* clang-format on */

static Status norm_run(NodeCall *call)
{
    const NormIn *in = call->in;
    GuidanceHook *hook = NULL;
    TRY(guidance_cfg_norm(in->strength, &hook, call->err));
    return patched(call, in->model, PATCH_GUIDE, hook);
}

static const NodeDef cfg_norm = {
    .class_type = "CFGNorm",
    .category = "advanced/guidance",
    .doc = "Keeps the guided estimate no longer than the positive one, pixel by pixel.",
    .inputs = norm_in,
    .outputs = model_out,
    .in_size = sizeof(NormIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_GUIDE,
    .run = norm_run,
};

typedef struct RescaleIn {
    const Model *model;
    double multiplier;
} RescaleIn;

/* clang-format off */
static const Socket rescale_in[] = {
    { ROW(RescaleIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(RescaleIn, multiplier, SOCK_FLOAT), .def = 0.7, .max = 1, .step = 0.01, .doc = "Share of the rescaled estimate." },
    END_ROWS
};
/* clang-format on */

static Status rescale_run(NodeCall *call)
{
    const RescaleIn *in = call->in;
    GuidanceHook *hook = NULL;
    TRY(guidance_rescale_cfg(in->multiplier, &hook, call->err));
    return patched(call, in->model, PATCH_GUIDE, hook);
}

static const NodeDef rescale_cfg = {
    .class_type = "RescaleCFG",
    .category = "advanced/model",
    .doc = "Brings the guided estimate to the spread of the positive one.",
    .inputs = rescale_in,
    .outputs = model_out,
    .in_size = sizeof(RescaleIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_GUIDE,
    .run = rescale_run,
};

typedef struct ZeroStarIn {
    const Model *model;
} ZeroStarIn;

/* clang-format off */
static const Socket zero_star_in[] = {
    { ROW(ZeroStarIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." }, END_ROWS
};
/* clang-format on */

static Status zero_star_run(NodeCall *call)
{
    const ZeroStarIn *in = call->in;
    GuidanceHook *hook = NULL;
    TRY(guidance_cfg_zero_star(&hook, call->err));
    return patched(call, in->model, PATCH_GUIDE, hook);
}

static const NodeDef cfg_zero_star = {
    .class_type = "CFGZeroStar",
    .category = "advanced/guidance",
    .doc = "Scales the negative estimate onto the positive one before guidance.",
    .inputs = zero_star_in,
    .outputs = model_out,
    .in_size = sizeof(ZeroStarIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_GUIDE,
    .run = zero_star_run,
};

/* ---- compile and attention ---------------------------------------------------------------------------------- */

/* A patched copy whose patch only says what is asked for. */
static Status asks_for(NodeCall *call, const Model *model, PatchKind kind, const char *what)
{
    ModelOut *out = call->out;
    Patch patch = { .kind = kind, .text = (char *)(uintptr_t)what, .strength = 1 };
    return model_with_patch(model, &patch, &out->model, call->err);
}

typedef struct CompileIn {
    const Model *model;
    const char *backend;
} CompileIn;

static const char *const compile_backends[] = { "inductor", "cudagraphs", NULL };

/* clang-format off */
static const Socket compile_in[] = {
    { ROW(CompileIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(CompileIn, backend, SOCK_COMBO), .options = compile_backends, .doc = "Compiler that the Python stack would use." },
    END_ROWS
};
/* clang-format on */

static Status compile_run(NodeCall *call)
{
    const CompileIn *in = call->in;
    return asks_for(call, in->model, PATCH_COMPILE, in->backend);
}

static const NodeDef torch_compile = {
    .class_type = "TorchCompileModel",
    .category = "_for_testing",
    .doc = "Asks for a compiled model.",
    .engine_note =
        "Every program is planned and its fusion passes run with or without this node; it is "
        "kept in the "
        "patch set, the plan orders it last, and results do not depend on where it stands.",
    .inputs = compile_in,
    .outputs = model_out,
    .in_size = sizeof(CompileIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_COMPILE,
    .run = compile_run,
};

typedef struct SageIn {
    const Model *model;
    const char *sage_attention;
    bool allow_compile;
} SageIn;

static const char *const sage_kernels[] = {
    "disabled",
    "auto",
    "sageattn_qk_int8_pv_fp16_cuda",
    "sageattn_qk_int8_pv_fp16_triton",
    "sageattn_qk_int8_pv_fp8_cuda",
    "sageattn_qk_int8_pv_fp8_cuda++",
    "sageattn3",
    "sageattn3_per_block_mean",
    NULL,
};

/* clang-format off */
static const Socket sage_in[] = {
    { ROW(SageIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(SageIn, sage_attention, SOCK_COMBO), .options = sage_kernels, .doc = "Attention kernel that the Python stack would use." },
    { ROW(SageIn, allow_compile, SOCK_BOOLEAN), .flags = SOCK_F_OPTIONAL, .doc = "Whether a compiled graph may go through it." },
    END_ROWS
};
/* clang-format on */

static Status sage_run(NodeCall *call)
{
    const SageIn *in = call->in;
    ModelOut *out = call->out;
    if (strcmp(in->sage_attention, "disabled") != 0)
        return asks_for(call, in->model, PATCH_ATTENTION, in->sage_attention);
    out->model = model_ref(in->model);
    return OK;
}

static const NodeDef sage_attention = {
    .class_type = "PathchSageAttentionKJ",
    .display = "Patch Sage Attention KJ",
    .category = "KJNodes/experimental",
    .doc = "Asks for a quantised attention kernel.",
    .engine_note = "Attention always runs in Weft's own flash kernels, unquantised; the "
                   "request is kept in the patch "
                   "set and ordered before model sampling, and does not change the picture.",
    .inputs = sage_in,
    .outputs = model_out,
    .in_size = sizeof(SageIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_ATTENTION,
    .run = sage_run,
};

typedef struct BackendIn {
    const Model *model;
    const char *attention;
} BackendIn;

/* clang-format off */
static const Socket backend_in[] = {
    { ROW(BackendIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(BackendIn, attention, SOCK_STRING), .sdef = "auto", .doc = "Attention implementation that the Python stack would use, by its name there." },
    END_ROWS
};
/* clang-format on */

static Status backend_run(NodeCall *call)
{
    const BackendIn *in = call->in;
    return asks_for(call, in->model, PATCH_ATTENTION, in->attention);
}

static const NodeDef attention_backend = {
    .class_type = "ModelAttentionBackend",
    .category = "advanced/model",
    .doc = "Asks for an attention implementation.",
    .engine_note = "Attention always runs in Weft's own flash kernels; the request is kept in "
                   "the patch set and "
                   "ordered before model sampling, and does not change the picture. Any name "
                   "is taken, since the "
                   "names depend on what the Python stack has installed.",
    .inputs = backend_in,
    .outputs = model_out,
    .in_size = sizeof(BackendIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_ATTENTION,
    .run = backend_run,
};

const NodeDef *const patch_nodes[] = {
    &sampling_flux,  &sampling_sd3,      &sampling_aura, &differential,
    &cfg_norm,       &rescale_cfg,       &cfg_zero_star, &torch_compile,
    &sage_attention, &attention_backend, NULL,
};
