/* samplers.c - node types that make samplers with options of their own, and the sampler that takes all at once. */
#include "nodes/samplers.h"

#include <math.h>
#include <string.h>

#include "engine/models/model.h"
#include "engine/residency/host.h"
#include "engine/sampling/sample.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* The options that a sampler's menu entry has; the nodes change some of them. */
static SamplerOptions defaults(const char *name)
{
    return sampler_find(name)->options;
}

/* ---- SamplerEulerAncestral --------------------------------------------------------------- */

typedef struct EulerAIn {
    double eta, s_noise;
} EulerAIn;

/* clang-format off */
static const Socket euler_a_in[] = {
    { ROW(EulerAIn, eta, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(EulerAIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    END_ROWS
};
/* clang-format on */

static Status euler_a_run(NodeCall *call)
{
    const EulerAIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("euler_ancestral");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    return sampler_new("euler_ancestral", &o, NULL, &out->sampler, call->err);
}

static const NodeDef euler_a_node = {
    .class_type = "SamplerEulerAncestral",
    .category = "sampling/custom_sampling/samplers",
    .doc = "Euler steps with fresh noise.",
    .inputs = euler_a_in,
    .outputs = sampler_out,
    .in_size = sizeof(EulerAIn),
    .out_size = sizeof(SamplerOut),
    .run = euler_a_run,
};

/* ---- SamplerEulerAncestralCFGPP ---------------------------------------------------------- */

/* clang-format off */
static const Socket euler_a_pp_in[] = {
    { ROW(EulerAIn, eta, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(EulerAIn, s_noise, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    END_ROWS
};
/* clang-format on */

static Status euler_a_pp_run(NodeCall *call)
{
    const EulerAIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("euler_ancestral_cfg_pp");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    return sampler_new("euler_ancestral_cfg_pp", &o, NULL, &out->sampler, call->err);
}

static const NodeDef euler_a_pp_node = {
    .class_type = "SamplerEulerAncestralCFGPP",
    .display = "SamplerEulerAncestralCFG++",
    .category = "sampling/custom_sampling/samplers",
    .doc = "Euler steps with fresh noise, CFG++ form.",
    .inputs = euler_a_pp_in,
    .outputs = sampler_out,
    .in_size = sizeof(EulerAIn),
    .out_size = sizeof(SamplerOut),
    .run = euler_a_pp_run,
};

/* ---- SamplerDPMPP_2S_Ancestral ----------------------------------------------------------- */

static Status dpm_2s_run(NodeCall *call)
{
    const EulerAIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("dpmpp_2s_ancestral");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    return sampler_new("dpmpp_2s_ancestral", &o, NULL, &out->sampler, call->err);
}

static const NodeDef dpm_2s_node = {
    .class_type = "SamplerDPMPP_2S_Ancestral",
    .category = "sampling/custom_sampling/samplers",
    .doc = "DPM-Solver++ of second order, single steps, with fresh noise.",
    .inputs = euler_a_in,
    .outputs = sampler_out,
    .in_size = sizeof(EulerAIn),
    .out_size = sizeof(SamplerOut),
    .run = dpm_2s_run,
};

/* ---- SamplerDPMPP_SDE -------------------------------------------------------------------- */

static const char *const dpm_sde_noise_devices[] = { "gpu", "cpu", NULL };

typedef struct DpmSdeIn {
    double eta, s_noise, r;
    const char *noise_device;
} DpmSdeIn;

/* clang-format off */
static const Socket dpm_sde_in[] = {
    { ROW(DpmSdeIn, eta, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(DpmSdeIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    { ROW(DpmSdeIn, r, SOCK_FLOAT), .def = 0.5, .max = 100, .step = 0.01, .round = -1, .doc = "Place of the stage within a step." },
    { ROW(DpmSdeIn, noise_device, SOCK_COMBO), .options = dpm_sde_noise_devices, .doc = "Where the reference draws noise; here it is the CPU stream." },
    END_ROWS
};
/* clang-format on */

static Status dpm_sde_run(NodeCall *call)
{
    const DpmSdeIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("dpmpp_sde");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    o.r = in->r;
    return sampler_new("dpmpp_sde", &o, NULL, &out->sampler, call->err);
}

static const NodeDef dpm_sde_node = {
    .class_type = "SamplerDPMPP_SDE",
    .category = "sampling/custom_sampling/samplers",
    .doc = "DPM-Solver++ for the stochastic equation.",
    .inputs = dpm_sde_in,
    .outputs = sampler_out,
    .in_size = sizeof(DpmSdeIn),
    .out_size = sizeof(SamplerOut),
    .run = dpm_sde_run,
};

/* ---- SamplerDPMPP_2M_SDE ----------------------------------------------------------------- */

static const char *const dpm_2m_solver_types[] = { "midpoint", "heun", NULL };

typedef struct Dpm2mIn {
    const char *solver_type, *noise_device;
    double eta, s_noise;
} Dpm2mIn;

/* clang-format off */
static const Socket dpm_2m_in[] = {
    { ROW(Dpm2mIn, solver_type, SOCK_COMBO), .options = dpm_2m_solver_types, .doc = "Form of the second order." },
    { ROW(Dpm2mIn, eta, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(Dpm2mIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    { ROW(Dpm2mIn, noise_device, SOCK_COMBO), .options = dpm_sde_noise_devices, .doc = "Where the reference draws noise; here it is the CPU stream." },
    END_ROWS
};
/* clang-format on */

static Status dpm_2m_run(NodeCall *call)
{
    const Dpm2mIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("dpmpp_2m_sde");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    o.solver_heun = strcmp(in->solver_type, "heun") == 0;
    return sampler_new("dpmpp_2m_sde", &o, NULL, &out->sampler, call->err);
}

static const NodeDef dpm_2m_node = {
    .class_type = "SamplerDPMPP_2M_SDE",
    .category = "sampling/custom_sampling/samplers",
    .doc = "DPM-Solver++ of second order, several steps, for the stochastic equation.",
    .inputs = dpm_2m_in,
    .outputs = sampler_out,
    .in_size = sizeof(Dpm2mIn),
    .out_size = sizeof(SamplerOut),
    .run = dpm_2m_run,
};

/* ---- SamplerDPMPP_3M_SDE ----------------------------------------------------------------- */

typedef struct Dpm3mIn {
    double eta, s_noise;
    const char *noise_device;
} Dpm3mIn;

/* clang-format off */
static const Socket dpm_3m_in[] = {
    { ROW(Dpm3mIn, eta, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(Dpm3mIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    { ROW(Dpm3mIn, noise_device, SOCK_COMBO), .options = dpm_sde_noise_devices, .doc = "Where the reference draws noise; here it is the CPU stream." },
    END_ROWS
};
/* clang-format on */

static Status dpm_3m_run(NodeCall *call)
{
    const Dpm3mIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("dpmpp_3m_sde");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    return sampler_new("dpmpp_3m_sde", &o, NULL, &out->sampler, call->err);
}

static const NodeDef dpm_3m_node = {
    .class_type = "SamplerDPMPP_3M_SDE",
    .category = "sampling/custom_sampling/samplers",
    .doc = "DPM-Solver++ of third order for the stochastic equation.",
    .inputs = dpm_3m_in,
    .outputs = sampler_out,
    .in_size = sizeof(Dpm3mIn),
    .out_size = sizeof(SamplerOut),
    .run = dpm_3m_run,
};

/* ---- SamplerDPMAdaptative ---------------------------------------------------------------- */

typedef struct AdaptiveIn {
    int64_t order;
    double rtol, atol, h_init, pcoeff, icoeff, dcoeff, accept_safety, eta, s_noise;
} AdaptiveIn;

/* clang-format off */
static const Socket adaptive_in[] = {
    { ROW(AdaptiveIn, order, SOCK_INT), .def = 3, .min = 2, .max = 3, .doc = "Order of the solver." },
    { ROW(AdaptiveIn, rtol, SOCK_FLOAT), .def = 0.05, .max = 100, .step = 0.01, .round = -1, .doc = "Relative tolerance." },
    { ROW(AdaptiveIn, atol, SOCK_FLOAT), .def = 0.0078, .max = 100, .step = 0.01, .round = -1, .doc = "Absolute tolerance." },
    { ROW(AdaptiveIn, h_init, SOCK_FLOAT), .def = 0.05, .max = 100, .step = 0.01, .round = -1, .doc = "First step." },
    { ROW(AdaptiveIn, pcoeff, SOCK_FLOAT), .max = 100, .step = 0.01, .round = -1, .doc = "Proportional gain of the step control." },
    { ROW(AdaptiveIn, icoeff, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Integral gain." },
    { ROW(AdaptiveIn, dcoeff, SOCK_FLOAT), .max = 100, .step = 0.01, .round = -1, .doc = "Derivative gain." },
    { ROW(AdaptiveIn, accept_safety, SOCK_FLOAT), .def = 0.81, .max = 100, .step = 0.01, .round = -1, .doc = "Factor from which a step is accepted." },
    { ROW(AdaptiveIn, eta, SOCK_FLOAT), .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(AdaptiveIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    END_ROWS
};
/* clang-format on */

static Status adaptive_run(NodeCall *call)
{
    const AdaptiveIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("dpm_adaptive");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    o.order = (int)in->order;
    o.rtol = in->rtol;
    o.atol = in->atol;
    o.h_init = in->h_init;
    o.pcoeff = in->pcoeff;
    o.icoeff = in->icoeff;
    o.dcoeff = in->dcoeff;
    o.accept_safety = in->accept_safety;
    return sampler_new("dpm_adaptive", &o, NULL, &out->sampler, call->err);
}

static const NodeDef adaptive_node = {
    .class_type = "SamplerDPMAdaptative",
    .category = "sampling/custom_sampling/samplers",
    .doc = "DPM-Solver with steps of its own choice.",
    .inputs = adaptive_in,
    .outputs = sampler_out,
    .in_size = sizeof(AdaptiveIn),
    .out_size = sizeof(SamplerOut),
    .run = adaptive_run,
};

/* ---- SamplerLMS -------------------------------------------------------------------------- */

typedef struct LmsIn {
    int64_t order;
} LmsIn;

/* clang-format off */
static const Socket lms_in[] = {
    { ROW(LmsIn, order, SOCK_INT), .def = 4, .min = 1, .max = 100, .doc = "Steps that are looked back." },
    END_ROWS
};
/* clang-format on */

static Status lms_run(NodeCall *call)
{
    const LmsIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("lms");

    o.order = (int)in->order;
    return sampler_new("lms", &o, NULL, &out->sampler, call->err);
}

static const NodeDef lms_node = {
    .class_type = "SamplerLMS",
    .category = "sampling/custom_sampling/samplers",
    .doc = "Linear multistep method.",
    .inputs = lms_in,
    .outputs = sampler_out,
    .in_size = sizeof(LmsIn),
    .out_size = sizeof(SamplerOut),
    .run = lms_run,
};

/* ---- SamplerSEEDS2 ----------------------------------------------------------------------- */

static const char *const seeds_solver_types[] = { "phi_1", "phi_2", NULL };

typedef struct SeedsIn {
    const char *solver_type;
    double eta, s_noise, r;
} SeedsIn;

/* clang-format off */
static const Socket seeds_in[] = {
    { ROW(SeedsIn, solver_type, SOCK_COMBO), .options = seeds_solver_types, .doc = "Form of the second order." },
    { ROW(SeedsIn, eta, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(SeedsIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    { ROW(SeedsIn, r, SOCK_FLOAT), .def = 0.5, .min = 0.01, .max = 1, .step = 0.01, .round = -1, .doc = "Place of the stage within a step." },
    END_ROWS
};
/* clang-format on */

static Status seeds_run(NodeCall *call)
{
    const SeedsIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("seeds_2");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    o.phi_2 = strcmp(in->solver_type, "phi_2") == 0;
    o.r = in->r;
    return sampler_new("seeds_2", &o, NULL, &out->sampler, call->err);
}

static const NodeDef seeds_node = {
    .class_type = "SamplerSEEDS2",
    .category = "sampling/custom_sampling/samplers",
    .doc = "SEEDS of second order.",
    .inputs = seeds_in,
    .outputs = sampler_out,
    .in_size = sizeof(SeedsIn),
    .out_size = sizeof(SamplerOut),
    .run = seeds_run,
};

/* ---- SamplerER_SDE ----------------------------------------------------------------------- */

static const char *const er_solver_types[] = { "ER-SDE", "Reverse-time SDE", "ODE", NULL };

typedef struct ErIn {
    const char *solver_type;
    int64_t max_stage;
    double eta, s_noise;
} ErIn;

/* clang-format off */
static const Socket er_in[] = {
    { ROW(ErIn, solver_type, SOCK_COMBO), .options = er_solver_types, .doc = "Which equation is solved." },
    { ROW(ErIn, max_stage, SOCK_INT), .def = 3, .min = 1, .max = 3, .doc = "Highest order." },
    { ROW(ErIn, eta, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(ErIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    END_ROWS
};
/* clang-format on */

static Status er_run(NodeCall *call)
{
    const ErIn *in = call->in;
    SamplerOut *out = call->out;
    bool reverse = strcmp(in->solver_type, "ER-SDE") != 0;
    bool ode = strcmp(in->solver_type, "ODE") == 0 || (reverse && in->eta == 0);
    SamplerOptions o = defaults("er_sde");

    o.er_reverse = reverse;
    o.max_stage = (int)in->max_stage;
    o.eta = ode ? 0 : in->eta;
    o.s_noise = ode ? 0 : in->s_noise;
    return sampler_new("er_sde", &o, NULL, &out->sampler, call->err);
}

static const NodeDef er_node = {
    .class_type = "SamplerER_SDE",
    .category = "sampling/custom_sampling/samplers",
    .doc = "Extended reverse-time solver.",
    .inputs = er_in,
    .outputs = sampler_out,
    .in_size = sizeof(ErIn),
    .out_size = sizeof(SamplerOut),
    .run = er_run,
};

/* ---- SamplerSASolver --------------------------------------------------------------------- */

typedef struct SaIn {
    const Model *model;
    double eta, sde_start_percent, sde_end_percent, s_noise;
    int64_t predictor_order, corrector_order;
    bool use_pece, simple_order_2;
} SaIn;

/* clang-format off */
static const Socket sa_in[] = {
    { ROW(SaIn, model, SOCK_MODEL), .doc = "Model whose noise levels the percentages count on; the sampled one." },
    { ROW(SaIn, eta, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .round = -1, .doc = "Share of fresh noise, 0 = none." },
    { ROW(SaIn, sde_start_percent, SOCK_FLOAT), .def = 0.2, .max = 1, .step = 0.001, .doc = "From here on noise is added." },
    { ROW(SaIn, sde_end_percent, SOCK_FLOAT), .def = 0.8, .max = 1, .step = 0.001, .doc = "Up to here noise is added." },
    { ROW(SaIn, s_noise, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Factor on the noise that is added." },
    { ROW(SaIn, predictor_order, SOCK_INT), .def = 3, .min = 1, .max = 6, .doc = "Order of the predictor." },
    { ROW(SaIn, corrector_order, SOCK_INT), .def = 4, .max = 6, .doc = "Order of the corrector, 0 = none." },
    { ROW(SaIn, use_pece, SOCK_BOOLEAN), .doc = "Evaluate once more after the corrector." },
    { ROW(SaIn, simple_order_2, SOCK_BOOLEAN), .doc = "The plain formula at order 2." },
    END_ROWS
};
/* clang-format on */

static Status sa_run(NodeCall *call)
{
    const SaIn *in = call->in;
    SamplerOut *out = call->out;
    SamplerOptions o = defaults("sa_solver");

    o.eta = in->eta;
    o.s_noise = in->s_noise;
    o.sde_start = in->sde_start_percent;
    o.sde_end = in->sde_end_percent;
    o.predictor_order = (int)in->predictor_order;
    o.corrector_order = (int)in->corrector_order;
    o.pece = in->use_pece;
    o.simple_order_2 = in->simple_order_2;
    return sampler_new("sa_solver", &o, NULL, &out->sampler, call->err);
}

static const NodeDef sa_node = {
    .class_type = "SamplerSASolver",
    .category = "sampling/custom_sampling/samplers",
    .doc = "Stochastic Adams solver.",
    .inputs = sa_in,
    .outputs = sampler_out,
    .in_size = sizeof(SaIn),
    .out_size = sizeof(SamplerOut),
    .run = sa_run,
};

/* ---- SamplerEulerCFGpp ------------------------------------------------------------------- */

static const char *const euler_pp_versions[] = { "regular", "alternative", NULL };

typedef struct EulerPpIn {
    const char *version;
} EulerPpIn;

/* clang-format off */
static const Socket euler_pp_in[] = {
    { ROW(EulerPpIn, version, SOCK_COMBO), .options = euler_pp_versions, .doc = "Form of the step." },
    END_ROWS
};
/* clang-format on */

static Status euler_pp_run(NodeCall *call)
{
    const EulerPpIn *in = call->in;
    SamplerOut *out = call->out;
    if (strcmp(in->version, "regular") == 0)
        return sampler_new("euler_cfg_pp", NULL, NULL, &out->sampler, call->err);
    return sampler_new_custom(&sampler_euler_pp_def, NULL, &out->sampler, call->err);
}

static const NodeDef euler_pp_node = {
    .class_type = "SamplerEulerCFGpp",
    .display = "SamplerEulerCFG++",
    .category = "_for_testing",
    .doc = "Euler steps in CFG++ form.",
    .inputs = euler_pp_in,
    .outputs = sampler_out,
    .in_size = sizeof(EulerPpIn),
    .out_size = sizeof(SamplerOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = euler_pp_run,
};

/* ---- SamplerCustom ----------------------------------------------------------------------- */

typedef struct CustomIn {
    const Model *model;
    bool add_noise;
    uint64_t noise_seed;
    double cfg;
    const Cond *positive, *negative;
    const Sampler *sampler;
    const Tensor *sigmas;
    const Latent *latent_image;
} CustomIn;

/* clang-format off */
static const Socket custom_in[] = {
    { ROW(CustomIn, model, SOCK_MODEL), .doc = "Model that answers." },
    { ROW(CustomIn, add_noise, SOCK_BOOLEAN), .def = 1, .doc = "Start from noise; else from the latent as it is." },
    { ROW(CustomIn, noise_seed, SOCK_INT), .max = 18446744073709551615.0, .flags = SOCK_F_U64 | SOCK_F_CONTROL, .doc = "Seed of the noise." },
    { ROW(CustomIn, cfg, SOCK_FLOAT), .def = 8, .max = 100, .step = 0.1, .round = 0.01, .doc = "Classifier-free guidance scale." },
    { ROW(CustomIn, positive, SOCK_COND), .doc = "Prompt to follow." },
    { ROW(CustomIn, negative, SOCK_COND), .doc = "Prompt to move away from." },
    { ROW(CustomIn, sampler, SOCK_SAMPLER), .doc = "Sampling method." },
    { ROW(CustomIn, sigmas, SOCK_SIGMAS), .doc = "Noise levels." },
    { ROW(CustomIn, latent_image, SOCK_LATENT), .doc = "Start: empty, or an encoded picture." },
    END_ROWS
};
/* clang-format on */

static Status custom_run(NodeCall *call)
{
    const CustomIn *in = call->in;
    CustomOut *out = call->out;
    Noise *noise = NULL;
    Guider *guider = NULL;
    Status status = OK;

    TRY_DONE(in->add_noise ? noise_new(in->noise_seed, &noise, call->err)
                           : noise_new_disabled(&noise, call->err));
    noise->seed = in->noise_seed;
    TRY_DONE(guider_cfg(model_denoiser(in->model), in->positive, in->negative, in->cfg, &guider,
                        call->err));
    SampleCall s = { .guider = guider,
                     .sampler = in->sampler,
                     .sigmas = in->sigmas,
                     .latent = in->latent_image,
                     .noise = noise,
                     .events = call->events,
                     .node = call->id };
    status = sample_custom(&s, &out->output, &out->denoised_output, NULL, call->err);
done:
    noise_unref(noise);
    guider_unref(guider);
    return status;
}

static const NodeDef custom_node = {
    .class_type = "SamplerCustom",
    .category = "sampling/custom_sampling",
    .doc = "Walks a latent down given noise levels with one model and two prompts.",
    .inputs = custom_in,
    .outputs = custom_out,
    .in_size = sizeof(CustomIn),
    .out_size = sizeof(CustomOut),
    .stage = STAGE_SAMPLE,
    .run = custom_run,
};

/* ---- AddNoise ---------------------------------------------------------------------------- */

typedef struct NoiseIn {
    const Model *model;
    const Noise *noise;
    const Tensor *sigmas;
    const Latent *latent_image;
} NoiseIn;

/* clang-format off */
static const Socket noise_in[] = {
    { ROW(NoiseIn, model, SOCK_MODEL), .doc = "Model whose noise is meant." },
    { ROW(NoiseIn, noise, SOCK_NOISE), .doc = "Noise." },
    { ROW(NoiseIn, sigmas, SOCK_SIGMAS), .doc = "Levels; the distance from first to last is added." },
    { ROW(NoiseIn, latent_image, SOCK_LATENT), .doc = "Latent to change; it is copied." },
    END_ROWS
};
/* clang-format on */

static float finite_or_zero(float v)
{
    return isfinite(v) ? v : 0;
}

/* sigma * noise + (1 - sigma) * latent in the model's scale, and back. */
static Status add_noise(const NoiseIn *in, Tensor **out, Error *err)
{
    const LatentFormat *format = &model_denoiser(in->model)->format;
    const Latent *l = in->latent_image;
    int64_t n = in->sigmas->shape[0];
    float sigma = tensor_f32(in->sigmas)[0];
    Tensor *noise = NULL, *start = NULL, *mixed = NULL;
    Status status = OK;
    Rng rng;

    if (n > 1) sigma = fabsf(sigma - tensor_f32(in->sigmas)[n - 1]);
    if (in->noise->disabled)
        TRY_DONE(tensor_zeros(K_F32, 4, l->samples->shape, &noise, err));
    else
        TRY_DONE(noise_prepare(in->noise->seed, l->samples, l->batch_index, l->batch_count,
                               &rng, &noise, err));
    if (latent_is_zero(l->samples))
        start = tensor_ref(l->samples);
    else
        TRY_DONE(latent_process_in(format, l->samples, &start, err));
    TRY_DONE(tensor_clone(noise, &mixed, err));
    for (int64_t i = 0; i < tensor_count(mixed); i++)
        tensor_f32(mixed)[i] =
            sigma * tensor_f32(noise)[i] + (1 - sigma) * tensor_f32(start)[i];
    TRY_DONE(latent_process_out(format, mixed, out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++)
        tensor_f32(*out)[i] = finite_or_zero(tensor_f32(*out)[i]);
done:
    tensor_unref(noise);
    tensor_unref(start);
    tensor_unref(mixed);
    return status;
}

static Status noise_run(NodeCall *call)
{
    const NoiseIn *in = call->in;
    LatentOut *out = call->out;
    Status status = OK;
    Tensor *samples = NULL;

    if (in->sigmas->shape[0] == 0) {
        out->latent = latent_ref(in->latent_image);
        return OK;
    }
    status = add_noise(in, &samples, call->err);
    return status == OK
               ? latent_with_samples(in->latent_image, samples, &out->latent, call->err)
               : status;
}

static const NodeDef noise_node = {
    .class_type = "AddNoise",
    .category = "_for_testing/custom_sampling/noise",
    .doc = "Brings a latent to a noise level.",
    .inputs = noise_in,
    .outputs = latent_out,
    .in_size = sizeof(NoiseIn),
    .out_size = sizeof(LatentOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = noise_run,
};

/* clang-format off */
const NodeDef *const samplers_nodes[] = {
    &euler_a_node,
    &euler_a_pp_node,
    &dpm_2s_node,
    &dpm_sde_node,
    &dpm_2m_node,
    &dpm_3m_node,
    &adaptive_node,
    &lms_node,
    &seeds_node,
    &er_node,
    &sa_node,
    &euler_pp_node,
    &custom_node,
    &noise_node,
    NULL,
};
/* clang-format on */
