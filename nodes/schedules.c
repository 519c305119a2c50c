/* schedules.c - node types that make and change lists of noise levels. */
#include "nodes/schedules.h"

#include "engine/base/str.h"
#include "engine/models/model.h"
#include "engine/sampling/sigmas.h"
#include "engine/text/regex.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* ---- KarrasScheduler --------------------------------------------------------------------- */

typedef struct KarrasIn {
    int64_t steps;
    double sigma_max, sigma_min, rho;
} KarrasIn;

/* clang-format off */
static const Socket karras_in[] = {
    { ROW(KarrasIn, steps, SOCK_INT), .def = 20, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(KarrasIn, sigma_max, SOCK_FLOAT), .def = 14.614642, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to start from." },
    { ROW(KarrasIn, sigma_min, SOCK_FLOAT), .def = 0.0291675, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to end at." },
    { ROW(KarrasIn, rho, SOCK_FLOAT), .def = 7, .max = 100, .step = 0.01, .round = -1, .doc = "Bend of the curve." },
    END_ROWS
};
/* clang-format on */

static Status karras_run(NodeCall *call)
{
    const KarrasIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_karras(in->steps, in->sigma_max, in->sigma_min, in->rho, &out->sigmas,
                         call->err);
}

static const NodeDef karras_node = {
    .class_type = "KarrasScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels spaced evenly in a root of sigma.",
    .inputs = karras_in,
    .outputs = sigmas_out,
    .in_size = sizeof(KarrasIn),
    .out_size = sizeof(SigmasOut),
    .run = karras_run,
};

/* ---- ExponentialScheduler ---------------------------------------------------------------- */

typedef struct ExponentialIn {
    int64_t steps;
    double sigma_max, sigma_min;
} ExponentialIn;

/* clang-format off */
static const Socket exponential_in[] = {
    { ROW(ExponentialIn, steps, SOCK_INT), .def = 20, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(ExponentialIn, sigma_max, SOCK_FLOAT), .def = 14.614642, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to start from." },
    { ROW(ExponentialIn, sigma_min, SOCK_FLOAT), .def = 0.0291675, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to end at." },
    END_ROWS
};
/* clang-format on */

static Status exponential_run(NodeCall *call)
{
    const ExponentialIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_exponential(in->steps, in->sigma_max, in->sigma_min, &out->sigmas, call->err);
}

static const NodeDef exponential_node = {
    .class_type = "ExponentialScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels spaced evenly in the logarithm.",
    .inputs = exponential_in,
    .outputs = sigmas_out,
    .in_size = sizeof(ExponentialIn),
    .out_size = sizeof(SigmasOut),
    .run = exponential_run,
};

/* ---- PolyexponentialScheduler ------------------------------------------------------------ */

/* clang-format off */
static const Socket poly_in[] = {
    { ROW(KarrasIn, steps, SOCK_INT), .def = 20, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(KarrasIn, sigma_max, SOCK_FLOAT), .def = 14.614642, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to start from." },
    { ROW(KarrasIn, sigma_min, SOCK_FLOAT), .def = 0.0291675, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to end at." },
    { ROW(KarrasIn, rho, SOCK_FLOAT), .def = 1, .max = 100, .step = 0.01, .round = -1, .doc = "Bend of the curve." },
    END_ROWS
};
/* clang-format on */

static Status poly_run(NodeCall *call)
{
    const KarrasIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_polyexponential(in->steps, in->sigma_max, in->sigma_min, in->rho,
                                  &out->sigmas, call->err);
}

static const NodeDef poly_node = {
    .class_type = "PolyexponentialScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels spaced by a power in the logarithm.",
    .inputs = poly_in,
    .outputs = sigmas_out,
    .in_size = sizeof(KarrasIn),
    .out_size = sizeof(SigmasOut),
    .run = poly_run,
};

/* ---- LaplaceScheduler -------------------------------------------------------------------- */

typedef struct LaplaceIn {
    int64_t steps;
    double sigma_max, sigma_min, mu, beta;
} LaplaceIn;

/* clang-format off */
static const Socket laplace_in[] = {
    { ROW(LaplaceIn, steps, SOCK_INT), .def = 20, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(LaplaceIn, sigma_max, SOCK_FLOAT), .def = 14.614642, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to start from." },
    { ROW(LaplaceIn, sigma_min, SOCK_FLOAT), .def = 0.0291675, .max = 5000, .step = 0.01, .round = -1, .doc = "Level to end at." },
    { ROW(LaplaceIn, mu, SOCK_FLOAT), .min = -10, .max = 10, .step = 0.1, .round = -1, .doc = "Centre in the logarithm." },
    { ROW(LaplaceIn, beta, SOCK_FLOAT), .def = 0.5, .max = 10, .step = 0.1, .round = -1, .doc = "Width." },
    END_ROWS
};
/* clang-format on */

static Status laplace_run(NodeCall *call)
{
    const LaplaceIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_laplace(in->steps, in->sigma_max, in->sigma_min, in->mu, in->beta,
                          &out->sigmas, call->err);
}

static const NodeDef laplace_node = {
    .class_type = "LaplaceScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels spaced by a Laplace distribution in the logarithm.",
    .inputs = laplace_in,
    .outputs = sigmas_out,
    .in_size = sizeof(LaplaceIn),
    .out_size = sizeof(SigmasOut),
    .run = laplace_run,
};

/* ---- VPScheduler ------------------------------------------------------------------------- */

typedef struct VpIn {
    int64_t steps;
    double beta_d, beta_min, eps_s;
} VpIn;

/* clang-format off */
static const Socket vp_in[] = {
    { ROW(VpIn, steps, SOCK_INT), .def = 20, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(VpIn, beta_d, SOCK_FLOAT), .def = 19.9, .max = 5000, .step = 0.01, .round = -1, .doc = "Growth of the noise rate." },
    { ROW(VpIn, beta_min, SOCK_FLOAT), .def = 0.1, .max = 5000, .step = 0.01, .round = -1, .doc = "Noise rate at the end." },
    { ROW(VpIn, eps_s, SOCK_FLOAT), .def = 0.001, .max = 1, .step = 0.0001, .round = -1, .doc = "Time at the end." },
    END_ROWS
};
/* clang-format on */

static Status vp_run(NodeCall *call)
{
    const VpIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_vp(in->steps, in->beta_d, in->beta_min, in->eps_s, &out->sigmas, call->err);
}

static const NodeDef vp_node = {
    .class_type = "VPScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels of a variance-preserving process.",
    .inputs = vp_in,
    .outputs = sigmas_out,
    .in_size = sizeof(VpIn),
    .out_size = sizeof(SigmasOut),
    .run = vp_run,
};

/* ---- BetaSamplingScheduler --------------------------------------------------------------- */

typedef struct BetaIn {
    const Model *model;
    int64_t steps;
    double alpha, beta;
} BetaIn;

/* clang-format off */
static const Socket beta_in[] = {
    { ROW(BetaIn, model, SOCK_MODEL), .doc = "Model whose noise levels are walked." },
    { ROW(BetaIn, steps, SOCK_INT), .def = 20, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(BetaIn, alpha, SOCK_FLOAT), .def = 0.6, .max = 50, .step = 0.01, .round = -1, .doc = "First parameter." },
    { ROW(BetaIn, beta, SOCK_FLOAT), .def = 0.6, .max = 50, .step = 0.01, .round = -1, .doc = "Second parameter." },
    END_ROWS
};
/* clang-format on */

static Status beta_run(NodeCall *call)
{
    const BetaIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_beta(model_denoiser(in->model)->sampling, in->steps, in->alpha, in->beta,
                       &out->sigmas, call->err);
}

static const NodeDef beta_node = {
    .class_type = "BetaSamplingScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels spaced by a beta distribution.",
    .inputs = beta_in,
    .outputs = sigmas_out,
    .in_size = sizeof(BetaIn),
    .out_size = sizeof(SigmasOut),
    .run = beta_run,
};

/* ---- SDTurboScheduler -------------------------------------------------------------------- */

typedef struct TurboIn {
    const Model *model;
    int64_t steps;
    double denoise;
} TurboIn;

/* clang-format off */
static const Socket turbo_in[] = {
    { ROW(TurboIn, model, SOCK_MODEL), .doc = "Model whose noise levels are walked." },
    { ROW(TurboIn, steps, SOCK_INT), .def = 1, .min = 1, .max = 10, .doc = "Number of steps." },
    { ROW(TurboIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the way that is walked." },
    END_ROWS
};
/* clang-format on */

static Status turbo_run(NodeCall *call)
{
    const TurboIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_sd_turbo(model_denoiser(in->model)->sampling, in->steps, in->denoise,
                           &out->sigmas, call->err);
}

static const NodeDef turbo_node = {
    .class_type = "SDTurboScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Every hundredth timestep, for models distilled to few steps.",
    .inputs = turbo_in,
    .outputs = sigmas_out,
    .in_size = sizeof(TurboIn),
    .out_size = sizeof(SigmasOut),
    .run = turbo_run,
};

/* ---- AlignYourStepsScheduler ------------------------------------------------------------- */

static const char *const align_model_types[] = { "SD1", "SDXL", "SVD", NULL };

typedef struct AlignIn {
    const char *model_type;
    int64_t steps;
    double denoise;
} AlignIn;

/* clang-format off */
static const Socket align_in[] = {
    { ROW(AlignIn, model_type, SOCK_COMBO), .options = align_model_types, .doc = "Model family." },
    { ROW(AlignIn, steps, SOCK_INT), .def = 10, .min = 1, .max = 10000, .doc = "Number of steps." },
    { ROW(AlignIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the way that is walked." },
    END_ROWS
};
/* clang-format on */

static Status align_run(NodeCall *call)
{
    const AlignIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_align_your_steps(in->model_type, in->steps, in->denoise, &out->sigmas,
                                   call->err);
}

static const NodeDef align_node = {
    .class_type = "AlignYourStepsScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels optimised for a model family by Align Your Steps.",
    .inputs = align_in,
    .outputs = sigmas_out,
    .in_size = sizeof(AlignIn),
    .out_size = sizeof(SigmasOut),
    .run = align_run,
};

/* ---- OptimalStepsScheduler --------------------------------------------------------------- */

static const char *const optimal_model_types[] = { "FLUX", "Wan", "Chroma", NULL };

/* clang-format off */
static const Socket optimal_in[] = {
    { ROW(AlignIn, model_type, SOCK_COMBO), .options = optimal_model_types, .doc = "Model family." },
    { ROW(AlignIn, steps, SOCK_INT), .def = 20, .min = 3, .max = 1000, .doc = "Number of steps." },
    { ROW(AlignIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the way that is walked." },
    END_ROWS
};
/* clang-format on */

static Status optimal_run(NodeCall *call)
{
    const AlignIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_optimal_steps(in->model_type, in->steps, in->denoise, &out->sigmas,
                                call->err);
}

static const NodeDef optimal_node = {
    .class_type = "OptimalStepsScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels optimised for a model family by Optimal Steps.",
    .inputs = optimal_in,
    .outputs = sigmas_out,
    .in_size = sizeof(AlignIn),
    .out_size = sizeof(SigmasOut),
    .run = optimal_run,
};

/* ---- GITSScheduler ----------------------------------------------------------------------- */

typedef struct GitsIn {
    double coeff, denoise;
    int64_t steps;
} GitsIn;

/* clang-format off */
static const Socket gits_in[] = {
    { ROW(GitsIn, coeff, SOCK_FLOAT), .def = 1.2, .min = 0.8, .max = 1.5, .step = 0.05, .doc = "Which table of levels." },
    { ROW(GitsIn, steps, SOCK_INT), .def = 10, .min = 2, .max = 1000, .doc = "Number of steps." },
    { ROW(GitsIn, denoise, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Share of the way that is walked." },
    END_ROWS
};
/* clang-format on */

static Status gits_run(NodeCall *call)
{
    const GitsIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_gits(in->coeff, in->steps, in->denoise, &out->sigmas, call->err);
}

static const NodeDef gits_node = {
    .class_type = "GITSScheduler",
    .category = "sampling/custom_sampling/schedulers",
    .doc = "Levels from the geometry of sampling paths.",
    .inputs = gits_in,
    .outputs = sigmas_out,
    .in_size = sizeof(GitsIn),
    .out_size = sizeof(SigmasOut),
    .run = gits_run,
};

/* ---- SetFirstSigma ----------------------------------------------------------------------- */

typedef struct FirstIn {
    const Tensor *sigmas;
    double sigma;
} FirstIn;

/* clang-format off */
static const Socket first_in[] = {
    { ROW(FirstIn, sigmas, SOCK_SIGMAS), .doc = "Levels to change; they are copied." },
    { ROW(FirstIn, sigma, SOCK_FLOAT), .def = 136, .max = 20000, .step = 0.001, .round = -1, .doc = "New first level." },
    END_ROWS
};
/* clang-format on */

static Status first_run(NodeCall *call)
{
    const FirstIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_set_first(in->sigmas, in->sigma, &out->sigmas, call->err);
}

static const NodeDef first_node = {
    .class_type = "SetFirstSigma",
    .category = "sampling/custom_sampling/sigmas",
    .doc = "Overwrites the first level.",
    .inputs = first_in,
    .outputs = sigmas_out,
    .in_size = sizeof(FirstIn),
    .out_size = sizeof(SigmasOut),
    .run = first_run,
};

/* ---- ExtendIntermediateSigmas ------------------------------------------------------------ */

static const char *const extend_spacings[] = { "linear", "cosine", "sine", NULL };

typedef struct ExtendIn {
    const Tensor *sigmas;
    int64_t steps;
    double start_at_sigma, end_at_sigma;
    const char *spacing;
} ExtendIn;

/* clang-format off */
static const Socket extend_in[] = {
    { ROW(ExtendIn, sigmas, SOCK_SIGMAS), .doc = "Levels to extend." },
    { ROW(ExtendIn, steps, SOCK_INT), .def = 2, .min = 1, .max = 100, .doc = "Steps that one becomes." },
    { ROW(ExtendIn, start_at_sigma, SOCK_FLOAT), .def = -1, .min = -1, .max = 20000, .step = 0.01, .round = -1, .doc = "Highest level that is extended; below 0 = all." },
    { ROW(ExtendIn, end_at_sigma, SOCK_FLOAT), .def = 12, .max = 20000, .step = 0.01, .round = -1, .doc = "Lowest level that is extended." },
    { ROW(ExtendIn, spacing, SOCK_COMBO), .options = extend_spacings, .doc = "How they lie between." },
    END_ROWS
};
/* clang-format on */

static Status extend_run(NodeCall *call)
{
    const ExtendIn *in = call->in;
    SigmasOut *out = call->out;
    return sigmas_extend(in->sigmas, in->steps, in->start_at_sigma, in->end_at_sigma,
                         in->spacing, &out->sigmas, call->err);
}

static const NodeDef extend_node = {
    .class_type = "ExtendIntermediateSigmas",
    .category = "sampling/custom_sampling/sigmas",
    .doc = "Puts more levels between those of a range.",
    .inputs = extend_in,
    .outputs = sigmas_out,
    .in_size = sizeof(ExtendIn),
    .out_size = sizeof(SigmasOut),
    .run = extend_run,
};

/* ---- ManualSigmas ------------------------------------------------------------------------ */

typedef struct ManualIn {
    const char *sigmas;
} ManualIn;

/* clang-format off */
static const Socket manual_in[] = {
    { ROW(ManualIn, sigmas, SOCK_STRING), .sdef = "1, 0.5", .doc = "Numbers, with anything between them." },
    END_ROWS
};
/* clang-format on */

enum { VALUES_MAX = 10000 };

static Status read_levels(RegexScan *scan, double *values, int64_t *n, Error *err)
{
    for (bool found = true;;) {
        Str text = { 0 };
        TRY(regex_next(scan, &found, err));
        if (!found) return OK;
        if (*n == VALUES_MAX) return error_set(err, E_LIMIT, "more than %d levels", VALUES_MAX);
        regex_group(scan, 0, &text);
        bool good = text.text && str_to_double(text.text, &values[*n]);
        if (!good) error_set(err, E_FORMAT, "'%.20s' is no number", text.text ? text.text : "");
        str_fini(&text);
        if (!good) return E_FORMAT;
        ++*n;
    }
}

static Status manual_run(NodeCall *call)
{
    const ManualIn *in = call->in;
    SigmasOut *out = call->out;
    Regex *regex = NULL;
    RegexScan *scan = NULL;
    double values[VALUES_MAX];
    int64_t n = 0;
    Status status = OK;

    TRY(regex_new("[-+]?(?:\\d*\\.*\\d+)", 0, &regex, call->err));
    TRY_DONE(regex_scan(regex, in->sigmas, &scan, call->err));
    TRY_DONE(read_levels(scan, values, &n, call->err));
    status = sigmas_from_values(values, n, &out->sigmas, call->err);
done:
    regex_scan_free(scan);
    regex_free(regex);
    return status;
}

static const NodeDef manual_node = {
    .class_type = "ManualSigmas",
    .category = "_for_testing/custom_sampling",
    .doc = "Levels as written.",
    .inputs = manual_in,
    .outputs = sigmas_out,
    .in_size = sizeof(ManualIn),
    .out_size = sizeof(SigmasOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = manual_run,
};

/* clang-format off */
const NodeDef *const schedules_nodes[] = {
    &karras_node,
    &exponential_node,
    &poly_node,
    &laplace_node,
    &vp_node,
    &beta_node,
    &turbo_node,
    &align_node,
    &optimal_node,
    &gits_node,
    &first_node,
    &extend_node,
    &manual_node,
    NULL,
};
/* clang-format on */
