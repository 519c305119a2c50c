/* sampling.c - node types around the sampler: noise, schedules, samplers, guiders, the sampling itself. */
#include "nodes/sampling.h"

#include <string.h>

#include "engine/models/model.h"
#include "engine/residency/host.h"
#include "engine/sampling/sample.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

enum { SIDE_MAX = 16384, STEPS_MAX = 10000 };
#define SEED_MAX 18446744073709551615.0

/* ---- noise ------------------------------------------------------------------------------------------ */

typedef struct NoiseIn {
    uint64_t noise_seed;
} NoiseIn;

typedef struct NoiseOut {
    Noise *noise;
} NoiseOut;

/* clang-format off */
static const Socket random_noise_in[] = {
    { ROW(NoiseIn, noise_seed, SOCK_INT), .flags = SOCK_F_U64 | SOCK_F_CONTROL, .max = SEED_MAX,
      .doc = "Seed; its low 32 bits choose the stream, as in ComfyUI." },
    END_ROWS
};
static const Socket no_in[] = { END_ROWS };
static const Socket noise_out[] = { OUT(NoiseOut, noise, "NOISE", SOCK_NOISE), END_ROWS };
/* clang-format on */

static Status random_noise_run(NodeCall *call)
{
    const NoiseIn *in = call->in;
    NoiseOut *out = call->out;
    return noise_new(in->noise_seed, &out->noise, call->err);
}

static const NodeDef random_noise = {
    .class_type = "RandomNoise",
    .category = "sampling/custom_sampling/noise",
    .doc = "Gaussian noise of a seed, the same numbers as ComfyUI draws on the CPU.",
    .inputs = random_noise_in,
    .outputs = noise_out,
    .in_size = sizeof(NoiseIn),
    .out_size = sizeof(NoiseOut),
    .run = random_noise_run,
};

static Status disable_noise_run(NodeCall *call)
{
    NoiseOut *out = call->out;
    return noise_new_disabled(&out->noise, call->err);
}

static const NodeDef disable_noise = {
    .class_type = "DisableNoise",
    .category = "sampling/custom_sampling/noise",
    .doc = "No noise: sampling goes on from the latent as it is.",
    .inputs = no_in,
    .outputs = noise_out,
    .out_size = sizeof(NoiseOut),
    .run = disable_noise_run,
};

/* ---- KSamplerSelect ----------------------------------------------------------------------------------- */

typedef struct SelectIn {
    const char *sampler_name;
} SelectIn;

/* clang-format off */
static const Socket select_in[] = {
    { ROW(SelectIn, sampler_name, SOCK_COMBO), .options_fn = sampler_options, .doc = "Sampling method." },
    END_ROWS
};
/* clang-format on */

static Status select_run(NodeCall *call)
{
    const SelectIn *in = call->in;
    SamplerOut *out = call->out;
    return sampler_new(in->sampler_name, NULL, host_registry(call->host), &out->sampler,
                       call->err);
}

static const NodeDef ksampler_select = {
    .class_type = "KSamplerSelect",
    .category = "sampling/custom_sampling/samplers",
    .doc = "Chooses a sampling method.",
    .inputs = select_in,
    .outputs = sampler_out,
    .in_size = sizeof(SelectIn),
    .out_size = sizeof(SamplerOut),
    .run = select_run,
};

/* ---- schedules ------------------------------------------------------------------------------------------ */

typedef struct BasicIn {
    const Model *model;
    const char *scheduler;
    int64_t steps;
    double denoise;
} BasicIn;

/* clang-format off */
static const Socket basic_in[] = {
    { ROW(BasicIn, model, SOCK_MODEL), .doc = "Model whose noise levels are walked." },
    { ROW(BasicIn, scheduler, SOCK_COMBO), .options_fn = scheduler_options, .doc = "Spacing of the steps." },
    { ROW(BasicIn, steps, SOCK_INT), .def = 20, .min = 1, .max = STEPS_MAX, .doc = "Number of steps." },
    { ROW(BasicIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the way that is walked; 1 starts from pure noise." },
    END_ROWS
};
/* clang-format on */

static Status basic_run(NodeCall *call)
{
    const BasicIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_basic(model_denoiser(in->model)->sampling, in->scheduler, in->steps,
                        in->denoise, host_registry(call->host), &out->sigmas, call->err);
}

static const NodeDef basic_scheduler = {
    .class_type = "BasicScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Noise levels of a model, spaced by a scheduler.",
    .inputs = basic_in,
    .outputs = sigmas_out,
    .in_size = sizeof(BasicIn),
    .out_size = sizeof(SigmasOut),
    .run = basic_run,
};

typedef struct Flux2In {
    int64_t steps, width, height;
} Flux2In;

/* clang-format off */
static const Socket flux2_in[] = {
    { ROW(Flux2In, steps, SOCK_INT), .def = 20, .min = 1, .max = 4096, .doc = "Number of steps." },
    { ROW(Flux2In, width, SOCK_INT), .def = 1024, .min = 16, .max = SIDE_MAX, .step = 1, .doc = "Width of the picture in pixels." },
    { ROW(Flux2In, height, SOCK_INT), .def = 1024, .min = 16, .max = SIDE_MAX, .step = 1, .doc = "Height of the picture in pixels." },
    END_ROWS
};
/* clang-format on */

static Status flux2_run(NodeCall *call)
{
    const Flux2In *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_flux2(in->steps, in->width, in->height, &out->sigmas, call->err);
}

static const NodeDef flux2_scheduler = {
    .class_type = "Flux2Scheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "FLUX.2's own noise levels, shifted by picture size and number of steps.",
    .inputs = flux2_in,
    .outputs = sigmas_out,
    .in_size = sizeof(Flux2In),
    .out_size = sizeof(SigmasOut),
    .run = flux2_run,
};

typedef struct SplitIn {
    const Tensor *sigmas;
    int64_t step;
} SplitIn;

typedef struct SplitOut {
    Tensor *high_sigmas, *low_sigmas;
} SplitOut;

/* clang-format off */
static const Socket split_in[] = {
    { ROW(SplitIn, sigmas, SOCK_SIGMAS), .doc = "Schedule to cut." },
    { ROW(SplitIn, step, SOCK_INT), .max = STEPS_MAX, .doc = "Step at which it is cut." },
    END_ROWS
};
static const Socket split_out[] = {
    OUT(SplitOut, high_sigmas, "high_sigmas", SOCK_SIGMAS), OUT(SplitOut, low_sigmas, "low_sigmas", SOCK_SIGMAS), END_ROWS
};
/* clang-format on */

static Status split_run(NodeCall *call)
{
    const SplitIn *in = call->in;
    SplitOut *out = call->out;
    return sigmas_split(in->sigmas, in->step, &out->high_sigmas, &out->low_sigmas, call->err);
}

static const NodeDef split_sigmas = {
    .class_type = "SplitSigmas",
    .category = "sampling/custom_sampling/sigmas",
    .doc = "Cuts a schedule at a step; the level there is in both parts.",
    .inputs = split_in,
    .outputs = split_out,
    .in_size = sizeof(SplitIn),
    .out_size = sizeof(SplitOut),
    .run = split_run,
};

typedef struct SplitDenoiseIn {
    const Tensor *sigmas;
    double denoise;
} SplitDenoiseIn;

/* clang-format off */
static const Socket split_denoise_in[] = {
    { ROW(SplitDenoiseIn, sigmas, SOCK_SIGMAS), .doc = "Schedule to cut." },
    { ROW(SplitDenoiseIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the steps in the low part." },
    END_ROWS
};
/* clang-format on */

static Status split_denoise_run(NodeCall *call)
{
    const SplitDenoiseIn *in = call->in;
    SplitOut *out = call->out;
    return sigmas_split_denoise(in->sigmas, in->denoise, &out->high_sigmas, &out->low_sigmas,
                                call->err);
}

static const NodeDef split_sigmas_denoise = {
    .class_type = "SplitSigmasDenoise",
    .category = "sampling/custom_sampling/sigmas",
    .doc = "Cuts a schedule by share.",
    .inputs = split_denoise_in,
    .outputs = split_out,
    .in_size = sizeof(SplitDenoiseIn),
    .out_size = sizeof(SplitOut),
    .run = split_denoise_run,
};

typedef struct SigmasIn {
    const Tensor *sigmas;
} SigmasIn;

static const Socket sigmas_in[] = {
    { ROW(SigmasIn, sigmas, SOCK_SIGMAS), .doc = "Schedule to reverse." }, END_ROWS
};

static Status flip_run(NodeCall *call)
{
    const SigmasIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_flip(in->sigmas, &out->sigmas, call->err);
}

static const NodeDef flip_sigmas = {
    .class_type = "FlipSigmas",
    .category = "sampling/custom_sampling/sigmas",
    .doc = "Reverses a schedule, so that sampling adds noise; a leading 0 becomes 0.0001.",
    .inputs = sigmas_in,
    .outputs = sigmas_out,
    .in_size = sizeof(SigmasIn),
    .out_size = sizeof(SigmasOut),
    .run = flip_run,
};

/* ---- guiders ---------------------------------------------------------------------------------------------- */

typedef struct GuiderOut {
    Guider *guider;
} GuiderOut;

static const Socket guider_out[] = { OUT(GuiderOut, guider, "GUIDER", SOCK_GUIDER), END_ROWS };

typedef struct BasicGuiderIn {
    const Model *model;
    const Cond *conditioning;
} BasicGuiderIn;

/* clang-format off */
static const Socket basic_guider_in[] = {
    { ROW(BasicGuiderIn, model, SOCK_MODEL), .doc = "Model that answers." },
    { ROW(BasicGuiderIn, conditioning, SOCK_COND), .doc = "Prompt." },
    END_ROWS
};
/* clang-format on */

static Status basic_guider_run(NodeCall *call)
{
    const BasicGuiderIn *in = call->in;
    GuiderOut *out = call->out;
    return guider_basic(model_denoiser(in->model), in->conditioning, &out->guider, call->err);
}

static const NodeDef basic_guider = {
    .class_type = "BasicGuider",
    .category = "sampling/custom_sampling/guiders",
    .doc = "Follows one prompt, without classifier-free guidance.",
    .inputs = basic_guider_in,
    .outputs = guider_out,
    .in_size = sizeof(BasicGuiderIn),
    .out_size = sizeof(GuiderOut),
    .run = basic_guider_run,
};

typedef struct CfgGuiderIn {
    const Model *model;
    const Cond *positive, *negative;
    double cfg;
} CfgGuiderIn;

/* clang-format off */
static const Socket cfg_guider_in[] = {
    { ROW(CfgGuiderIn, model, SOCK_MODEL), .doc = "Model that answers." },
    { ROW(CfgGuiderIn, positive, SOCK_COND), .doc = "Prompt to follow." },
    { ROW(CfgGuiderIn, negative, SOCK_COND), .doc = "Prompt to move away from." },
    { ROW(CfgGuiderIn, cfg, SOCK_FLOAT), .def = 8, .max = 100, .step = 0.1, .round = 0.01, .doc = "Scale of the difference; at 1 the negative is not computed." },
    END_ROWS
};
/* clang-format on */

static Status cfg_guider_run(NodeCall *call)
{
    const CfgGuiderIn *in = call->in;
    GuiderOut *out = call->out;
    return guider_cfg(model_denoiser(in->model), in->positive, in->negative, in->cfg,
                      &out->guider, call->err);
}

static const NodeDef cfg_guider = {
    .class_type = "CFGGuider",
    .category = "sampling/custom_sampling/guiders",
    .doc = "Classifier-free guidance: negative + cfg * (positive - negative).",
    .inputs = cfg_guider_in,
    .outputs = guider_out,
    .in_size = sizeof(CfgGuiderIn),
    .out_size = sizeof(GuiderOut),
    .run = cfg_guider_run,
};

/* ---- SamplerCustomAdvanced ----------------------------------------------------------------------------------- */

typedef struct CustomIn {
    const Noise *noise;
    const Guider *guider;
    const Sampler *sampler;
    const Tensor *sigmas;
    const Latent *latent_image;
} CustomIn;

/* clang-format off */
static const Socket custom_in[] = {
    { ROW(CustomIn, noise, SOCK_NOISE), .doc = "Initial noise." },
    { ROW(CustomIn, guider, SOCK_GUIDER), .doc = "Model, prompts and guidance." },
    { ROW(CustomIn, sampler, SOCK_SAMPLER), .doc = "Sampling method." },
    { ROW(CustomIn, sigmas, SOCK_SIGMAS), .doc = "Noise levels to walk." },
    { ROW(CustomIn, latent_image, SOCK_LATENT), .doc = "Start: empty, or an encoded picture." },
    END_ROWS
};
/* clang-format on */

static Status custom_run(NodeCall *call)
{
    const CustomIn *in = call->in;
    CustomOut *out = call->out;
    SampleCall s = { .guider = in->guider,
                     .sampler = in->sampler,
                     .sigmas = in->sigmas,
                     .latent = in->latent_image,
                     .noise = in->noise,
                     .events = call->events,
                     .node = call->id };
    return sample_custom(&s, &out->output, &out->denoised_output, NULL, call->err);
}

static const NodeDef sampler_custom_advanced = {
    .class_type = "SamplerCustomAdvanced",
    .category = "sampling/custom_sampling",
    .doc = "Walks a latent down the noise levels.",
    .inputs = custom_in,
    .outputs = custom_out,
    .in_size = sizeof(CustomIn),
    .out_size = sizeof(CustomOut),
    .stage = STAGE_SAMPLE,
    .run = custom_run,
};

/* ---- KSampler, KSamplerAdvanced ------------------------------------------------------------------------------- */

typedef struct KSamplerIn {
    const Model *model;
    uint64_t seed;
    int64_t steps;
    double cfg;
    const char *sampler_name, *scheduler;
    const Cond *positive, *negative;
    const Latent *latent_image;
    double denoise;
} KSamplerIn;

/* clang-format off */
static const Socket ksampler_in[] = {
    { ROW(KSamplerIn, model, SOCK_MODEL), .doc = "Model that answers." },
    { ROW(KSamplerIn, seed, SOCK_INT), .flags = SOCK_F_U64 | SOCK_F_CONTROL, .max = SEED_MAX, .doc = "Seed of the noise." },
    { ROW(KSamplerIn, steps, SOCK_INT), .def = 20, .min = 1, .max = STEPS_MAX, .doc = "Number of steps." },
    { ROW(KSamplerIn, cfg, SOCK_FLOAT), .def = 8, .max = 100, .step = 0.1, .round = 0.01, .doc = "Classifier-free guidance scale; at 1 the negative is not computed." },
    { ROW(KSamplerIn, sampler_name, SOCK_COMBO), .options_fn = sampler_options, .doc = "Sampling method." },
    { ROW(KSamplerIn, scheduler, SOCK_COMBO), .options_fn = scheduler_options, .doc = "Spacing of the steps." },
    { ROW(KSamplerIn, positive, SOCK_COND), .doc = "Prompt to follow." },
    { ROW(KSamplerIn, negative, SOCK_COND), .doc = "Prompt to move away from." },
    { ROW(KSamplerIn, latent_image, SOCK_LATENT), .doc = "Start: empty, or an encoded picture." },
    { ROW(KSamplerIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the way that is walked; 1 starts from pure noise." },
    END_ROWS
};
/* clang-format on */

static Status ksampler_run(NodeCall *call)
{
    const KSamplerIn *in = call->in;
    LatentOut *out = call->out;
    KSamplerCall s = {
        .denoiser = model_denoiser(in->model),
        .positive = in->positive,
        .negative = in->negative,
        .cfg = in->cfg,
        .sampler = in->sampler_name,
        .scheduler = in->scheduler,
        .registry = host_registry(call->host),
        .seed = in->seed,
        .add_noise = true,
        .steps = in->steps,
        .denoise = in->denoise,
        .start_step = -1,
        .last_step = -1,
        .latent = in->latent_image,
        .events = call->events,
        .node = call->id,
    };
    return sample_ksampler(&s, &out->latent, NULL, call->err);
}

static const NodeDef ksampler = {
    .class_type = "KSampler",
    .category = "sampling",
    .doc = "Noise, schedule, guidance and sampling in one.",
    .inputs = ksampler_in,
    .outputs = latent_out,
    .in_size = sizeof(KSamplerIn),
    .out_size = sizeof(LatentOut),
    .stage = STAGE_SAMPLE,
    .run = ksampler_run,
};

typedef struct AdvancedIn {
    const Model *model;
    const char *add_noise;
    uint64_t noise_seed;
    int64_t steps;
    double cfg;
    const char *sampler_name, *scheduler;
    const Cond *positive, *negative;
    const Latent *latent_image;
    int64_t start_at_step, end_at_step;
    const char *return_with_leftover_noise;
} AdvancedIn;

static const char *const enable_first[] = { "enable", "disable", NULL };
static const char *const disable_first[] = { "disable", "enable", NULL };

/* clang-format off */
static const Socket advanced_in[] = {
    { ROW(AdvancedIn, model, SOCK_MODEL), .doc = "Model that answers." },
    { ROW(AdvancedIn, add_noise, SOCK_COMBO), .options = enable_first, .doc = "Whether noise is added first." },
    { ROW(AdvancedIn, noise_seed, SOCK_INT), .flags = SOCK_F_U64 | SOCK_F_CONTROL, .max = SEED_MAX, .doc = "Seed of the noise." },
    { ROW(AdvancedIn, steps, SOCK_INT), .def = 20, .min = 1, .max = STEPS_MAX, .doc = "Number of steps of the whole schedule." },
    { ROW(AdvancedIn, cfg, SOCK_FLOAT), .def = 8, .max = 100, .step = 0.1, .round = 0.01, .doc = "Classifier-free guidance scale." },
    { ROW(AdvancedIn, sampler_name, SOCK_COMBO), .options_fn = sampler_options, .doc = "Sampling method." },
    { ROW(AdvancedIn, scheduler, SOCK_COMBO), .options_fn = scheduler_options, .doc = "Spacing of the steps." },
    { ROW(AdvancedIn, positive, SOCK_COND), .doc = "Prompt to follow." },
    { ROW(AdvancedIn, negative, SOCK_COND), .doc = "Prompt to move away from." },
    { ROW(AdvancedIn, latent_image, SOCK_LATENT), .doc = "Start: empty, or an encoded picture." },
    { ROW(AdvancedIn, start_at_step, SOCK_INT), .max = STEPS_MAX, .doc = "First step that is made." },
    { ROW(AdvancedIn, end_at_step, SOCK_INT), .def = 10000, .max = STEPS_MAX, .doc = "Step before which it ends." },
    { ROW(AdvancedIn, return_with_leftover_noise, SOCK_COMBO), .options = disable_first, .doc = "Keep the noise of an early end." },
    END_ROWS
};
/* clang-format on */

static Status advanced_run(NodeCall *call)
{
    const AdvancedIn *in = call->in;
    LatentOut *out = call->out;
    KSamplerCall s = {
        .denoiser = model_denoiser(in->model),
        .positive = in->positive,
        .negative = in->negative,
        .cfg = in->cfg,
        .sampler = in->sampler_name,
        .scheduler = in->scheduler,
        .registry = host_registry(call->host),
        .seed = in->noise_seed,
        .add_noise = strcmp(in->add_noise, "disable") != 0,
        .steps = in->steps,
        .denoise = 1,
        .start_step = in->start_at_step,
        .last_step = in->end_at_step,
        .force_full_denoise = strcmp(in->return_with_leftover_noise, "enable") != 0,
        .latent = in->latent_image,
        .events = call->events,
        .node = call->id,
    };
    return sample_ksampler(&s, &out->latent, NULL, call->err);
}

static const NodeDef ksampler_advanced = {
    .class_type = "KSamplerAdvanced",
    .display = "KSampler (Advanced)",
    .category = "sampling",
    .doc = "A KSampler that makes a part of the schedule.",
    .inputs = advanced_in,
    .outputs = latent_out,
    .in_size = sizeof(AdvancedIn),
    .out_size = sizeof(LatentOut),
    .stage = STAGE_SAMPLE,
    .run = advanced_run,
};

const NodeDef *const sampling_nodes[] = {
    &random_noise,      &disable_noise, &ksampler_select,         &basic_scheduler,
    &flux2_scheduler,   &split_sigmas,  &split_sigmas_denoise,    &flip_sigmas,
    &basic_guider,      &cfg_guider,    &sampler_custom_advanced, &ksampler,
    &ksampler_advanced, NULL,
};
