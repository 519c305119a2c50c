/* guidance.c - node types that change how conditionings steer: APG, skipped layers, two prompts against one. */
#include "nodes/guidance.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/model.h"
#include "engine/sampling/guidance.h"
#include "engine/sampling/guider.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* A patched copy with the hook, whose reference is taken over. */
static Status with_hook(NodeCall *call, const Model *model, GuidanceHook *hook)
{
    ModelOut *out = call->out;
    Patch patch = {
        .kind = PATCH_GUIDE, .object = &hook->ref, .text = call->def->class_type, .strength = 1
    };
    Status status = model_with_patch(model, &patch, &out->model, call->err);
    ref_drop(hook);
    return status;
}

/* ---- APG ------------------------------------------------------------------------------------------------- */

typedef struct ApgIn {
    const Model *model;
    double eta, norm_threshold, momentum;
} ApgIn;

/* clang-format off */
static const Socket apg_in[] = {
    { ROW(ApgIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(ApgIn, eta, SOCK_FLOAT), .def = 1, .min = -10, .max = 10, .step = 0.01, .doc = "Weight of the guidance along the positive estimate; 1 leaves it." },
    { ROW(ApgIn, norm_threshold, SOCK_FLOAT), .def = 5, .max = 50, .step = 0.1, .doc = "Longest guidance; 0 = any." },
    { ROW(ApgIn, momentum, SOCK_FLOAT), .min = -5, .max = 1, .step = 0.01, .doc = "Weight of the running average; 0 = none." },
    END_ROWS
};
/* clang-format on */

static Status apg_run(NodeCall *call)
{
    const ApgIn *in = call->in;
    GuidanceHook *hook = NULL;
    TRY(guidance_apg(in->eta, in->norm_threshold, in->momentum, &hook, call->err));
    return with_hook(call, in->model, hook);
}

static const NodeDef apg = {
    .class_type = "APG",
    .display = "Adaptive Projected Guidance",
    .category = "sampling/custom_sampling",
    .doc =
        "Strong guidance without oversaturation: shortens it and weights what lies along the "
        "positive estimate.",
    .stage = STAGE_GUIDE,
    .outputs = model_out,
    .inputs = apg_in,
    .in_size = sizeof(ApgIn),
    .out_size = sizeof(ModelOut),
    .run = apg_run,
};

/* ---- skipped layers ---------------------------------------------------------------------------------------- */

enum { LAYERS_MAX = MODEL_MAX_SKIPS };

typedef struct SkipIn {
    const Model *model;
    const char *double_layers, *single_layers;
    double scale, start_percent, end_percent, rescaling_scale;
} SkipIn;

/* clang-format off */
static const Socket skip_in[] = {
    { ROW(SkipIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(SkipIn, double_layers, SOCK_STRING), .sdef = "7, 8, 9", .doc = "Double blocks to leave out, numbers from 0." },
    { ROW(SkipIn, single_layers, SOCK_STRING), .sdef = "7, 8, 9", .doc = "Single blocks to leave out, numbers from 0." },
    { ROW(SkipIn, scale, SOCK_FLOAT), .def = 3, .max = 10, .step = 0.1, .doc = "Weight of the difference that the blocks make." },
    { ROW(SkipIn, start_percent, SOCK_FLOAT), .def = 0.01, .max = 1, .step = 0.001, .doc = "Share of model time at which it starts." },
    { ROW(SkipIn, end_percent, SOCK_FLOAT), .def = 0.15, .max = 1, .step = 0.001, .doc = "Share of model time at which it ends." },
    { ROW(SkipIn, rescaling_scale, SOCK_FLOAT), .max = 10, .step = 0.01, .doc = "How far the result is brought to the positive estimate's spread; 0 = not." },
    END_ROWS
};
static const Socket skip_simple_in[] = {
    { ROW(SkipIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    { ROW(SkipIn, double_layers, SOCK_STRING), .sdef = "7, 8, 9", .doc = "Double blocks that the negative leaves out, numbers from 0." },
    { ROW(SkipIn, single_layers, SOCK_STRING), .sdef = "7, 8, 9", .doc = "Single blocks that the negative leaves out, numbers from 0." },
    { ROW(SkipIn, start_percent, SOCK_FLOAT), .max = 1, .step = 0.001, .doc = "Share of model time at which it starts." },
    { ROW(SkipIn, end_percent, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.001, .doc = "Share of model time at which it ends." },
    END_ROWS
};
/* clang-format on */

/* Every run of digits in the text is a block, as the reference reads it. */
static int read_layers(const char *text, int layers[LAYERS_MAX])
{
    int n = 0;

    while (*text && n < LAYERS_MAX) {
        if (!isdigit((unsigned char)*text)) {
            text++;
            continue;
        }
        long number = strtol(text, (char **)(uintptr_t)&text, 10);
        if (number < MODEL_MAX_SKIPS) layers[n++] = (int)number;
    }
    return n;
}

static Status skip(NodeCall *call, bool simple)
{
    const SkipIn *in = call->in;
    int doubles[LAYERS_MAX], singles[LAYERS_MAX];
    GuidanceHook *hook = NULL;
    ModelOut *out = call->out;
    SkipLayers s = { .scale = in->scale,
                     .start_percent = in->start_percent,
                     .end_percent = in->end_percent,
                     .rescale = in->rescaling_scale,
                     .negative_only = simple,
                     .double_blocks = doubles,
                     .double_count = read_layers(in->double_layers, doubles),
                     .single_blocks = singles,
                     .single_count = read_layers(in->single_layers, singles) };

    if (s.double_count + s.single_count == 0) {
        out->model = model_ref(in->model);
        return OK;
    }
    TRY(guidance_skip_layers(&s, &hook, call->err));
    return with_hook(call, in->model, hook);
}

static Status skip_run(NodeCall *call)
{
    return skip(call, false);
}

static Status skip_simple_run(NodeCall *call)
{
    return skip(call, true);
}

static const NodeDef skip_layers = {
    .class_type = "SkipLayerGuidanceDiT",
    .category = "advanced/guidance",
    .doc = "Guides away from the estimate that the model makes without some of its blocks.",
    .inputs = skip_in,
    .outputs = model_out,
    .in_size = sizeof(SkipIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_BLOCKS,
    .run = skip_run,
};

static const NodeDef skip_layers_simple = {
    .class_type = "SkipLayerGuidanceDiTSimple",
    .category = "advanced/guidance",
    .doc = "Lets the negative estimate be made without some of the model's blocks.",
    .inputs = skip_simple_in,
    .outputs = model_out,
    .in_size = sizeof(SkipIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_BLOCKS,
    .run = skip_simple_run,
};

/* ---- DualCFGGuider ------------------------------------------------------------------------------------------ */

typedef struct DualIn {
    const Model *model;
    const Cond *cond1, *cond2, *negative;
    double cfg_conds, cfg_cond2_negative;
    const char *style;
} DualIn;

typedef struct DualOut {
    Guider *guider;
} DualOut;

static const char *const dual_styles[] = { "regular", "nested", NULL };

/* clang-format off */
static const Socket dual_in[] = {
    { ROW(DualIn, model, SOCK_MODEL), .doc = "Model that is steered." },
    { ROW(DualIn, cond1, SOCK_COND), .doc = "Prompt that weighs most." },
    { ROW(DualIn, cond2, SOCK_COND), .doc = "Prompt between the first and the negative." },
    { ROW(DualIn, negative, SOCK_COND), .doc = "What to steer away from." },
    { ROW(DualIn, cfg_conds, SOCK_FLOAT), .def = 8, .max = 100, .step = 0.1, .round = 0.01, .doc = "Scale of the first prompt against the second." },
    { ROW(DualIn, cfg_cond2_negative, SOCK_FLOAT), .def = 8, .max = 100, .step = 0.1, .round = 0.01, .doc = "Scale of the second prompt (nested: of both) against the negative." },
    { ROW(DualIn, style, SOCK_COMBO), .options = dual_styles, .doc = "regular: two differences are added; nested: one within the other." },
    END_ROWS
};
static const Socket dual_out[] = { OUT(DualOut, guider, "GUIDER", SOCK_GUIDER), END_ROWS };
/* clang-format on */

static Status dual_run(NodeCall *call)
{
    const DualIn *in = call->in;
    DualOut *out = call->out;
    return guider_dual(model_denoiser(in->model), in->cond1, in->cond2, in->negative,
                       in->cfg_conds, in->cfg_cond2_negative, strcmp(in->style, "nested") == 0,
                       &out->guider, call->err);
}

static const NodeDef dual_cfg = {
    .class_type = "DualCFGGuider",
    .category = "sampling/custom_sampling/guiders",
    .doc = "Classifier-free guidance with two prompts and a negative.",
    .inputs = dual_in,
    .outputs = dual_out,
    .in_size = sizeof(DualIn),
    .out_size = sizeof(DualOut),
    .run = dual_run,
};

/* ---- SamplingPercentToSigma ------------------------------------------------------------------------------------ */

typedef struct PercentIn {
    const Model *model;
    double sampling_percent;
    bool return_actual_sigma;
} PercentIn;

typedef struct PercentOut {
    double sigma_value;
} PercentOut;

/* clang-format off */
static const Socket percent_in[] = {
    { ROW(PercentIn, model, SOCK_MODEL), .doc = "Model whose noise levels are asked." },
    { ROW(PercentIn, sampling_percent, SOCK_FLOAT), .max = 1, .step = 0.0001, .doc = "Share of model time, 0 = noise." },
    { ROW(PercentIn, return_actual_sigma, SOCK_BOOLEAN), .doc = "At 0 and 1 the model's own first and last level." },
    END_ROWS
};
static const Socket percent_out[] = { OUT(PercentOut, sigma_value, "sigma_value", SOCK_FLOAT), END_ROWS };
/* clang-format on */

static Status percent_run(NodeCall *call)
{
    const PercentIn *in = call->in;
    PercentOut *out = call->out;
    const ModelSampling *m = model_denoiser(in->model)->sampling;
    out->sigma_value = in->return_actual_sigma
                           ? model_percent_to_actual(m, in->sampling_percent)
                           : model_percent_to_sigma(m, in->sampling_percent);
    return OK;
}

static const NodeDef percent_to_sigma = {
    .class_type = "SamplingPercentToSigma",
    .category = "sampling/custom_sampling/sigmas",
    .doc = "Noise level of a model at a share of its way.",
    .inputs = percent_in,
    .outputs = percent_out,
    .in_size = sizeof(PercentIn),
    .out_size = sizeof(PercentOut),
    .run = percent_run,
};

const NodeDef *const guidance_nodes[] = {
    &apg, &skip_layers, &skip_layers_simple, &dual_cfg, &percent_to_sigma, NULL,
};
