/* guidance.h - what happens between a model's estimates and the sampler: CFG, its variants, its hooks.
 *
 * A hook is an immutable object that a patch node puts on a model; what it remembers lives per run. At
 * one model call the order is: scale hooks (the last one decides), model calls, pre-cfg hooks, the cfg
 * function (at most one), post-cfg hooks in the order of registration. P and U are the positive and
 * negative estimates in x0 form. Where the negative was not evaluated U is all zeros.
 */
#ifndef WEFT_SAMPLING_GUIDANCE_H
#define WEFT_SAMPLING_GUIDANCE_H

#include "engine/tensor/tensor.h"

struct Denoiser;
struct ModelSampling;

typedef enum GuidanceKind {
    GUIDE_SCALE, /* sets step->scale */
    GUIDE_PRE,   /* may change cond and uncond */
    GUIDE_CFG,   /* writes denoised */
    GUIDE_POST,  /* may change denoised */
    GUIDE_MASK   /* may change mask (DifferentialDiffusion) */
} GuidanceKind;

/* One model call as hooks see it. Tensors are [B,C,h,w] F32. */
typedef struct GuidanceStep {
    const Tensor *x;
    float sigma;
    double cfg;   /* the guider's scale */
    double scale; /* the scale in force: cfg until a scale hook sets it */
    Tensor *cond, *uncond, *denoised;
    Tensor *mask;        /* GUIDE_MASK only */
    bool uncond_skipped; /* uncond holds zeros because nobody needed it */
    int step, steps;     /* of the sampler, from 0 */
    const Tensor *sigmas;
    double time; /* model time: sigma_at(time) = sigma */
    const struct ModelSampling *sampling;
    /* Another model call on the positive side, with blocks left out; out like x. */
    Status (*again)(struct GuidanceStep *g, const void *block_skip, Tensor *out, Error *err);
    void *again_user;
} GuidanceStep;

typedef struct GuidanceHook GuidanceHook;
struct GuidanceHook {
    Ref ref;
    GuidanceKind kind;
    const char *name;  /* static, or owned by the maker */
    bool needs_uncond; /* the negative is evaluated even at scale 1 */
    /* Makes the state of one run for latents like x; may be NULL. */
    Status (*begin)(const GuidanceHook *h, const Tensor *x, void **state, Error *err);
    void (*end)(const GuidanceHook *h, void *state); /* may be NULL */
    Status (*run)(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err);
};

/* Hooks in order of registration. Zero-initialise. */
typedef struct GuidanceList {
    const GuidanceHook **hooks; /* owned array of owned references */
    int count;
} GuidanceList;

/* Adds a reference. A second GUIDE_CFG or GUIDE_MASK hook takes the place of the first. */
Status guidance_list_add(GuidanceList *l, const GuidanceHook *h, Error *err);
Status guidance_list_copy(const GuidanceList *l, GuidanceList *out, Error *err);
void guidance_list_fini(GuidanceList *l);

/* out = U + scale (P - U). */
void guidance_cfg(const Tensor *cond, const Tensor *uncond, double scale, Tensor *out);

/* Built-in hooks. Each gives a new object with one reference. */
Status guidance_rescale_cfg(double multiplier, GuidanceHook **out, Error *err);
Status guidance_cfg_zero_star(GuidanceHook **out, Error *err);
Status guidance_cfg_norm(double strength, GuidanceHook **out, Error *err);
Status guidance_apg(double eta, double norm_threshold, double momentum, GuidanceHook **out,
                    Error *err);
/* percentile in 0..100, min_s >= 0: clips and rescales the guided estimate. */
Status guidance_dynamic_threshold(double percentile, double min_s, GuidanceHook **out,
                                  Error *err);

/* The dynamic thresholding extension. */
typedef enum MimicCurve {
    MIMIC_CONSTANT,
    MIMIC_LINEAR_DOWN,
    MIMIC_LINEAR_UP,
    MIMIC_COSINE_DOWN,
    MIMIC_COSINE_UP,
    MIMIC_POWER_DOWN,
    MIMIC_POWER_UP
} MimicCurve;
typedef struct MimicCfg {
    double mimic_scale;
    double percentile; /* 0..1 */
    MimicCurve mimic_mode;
    double mimic_scale_min;
    MimicCurve cfg_mode;
    double cfg_scale_min;
    double power;                             /* of the POWER curves */
    bool separate_channels, center_mean, std; /* std: variability STD rather than AD */
    double interpolate_phi;
} MimicCfg;
Status guidance_mimic(const MimicCfg *m, GuidanceHook **out, Error *err);
/* Curve name as in the extension's menus; E_RANGE when unknown. */
Status guidance_mimic_curve(const char *name, MimicCurve *out, Error *err);

/* Time-varying CFG over model time: low at both ends, high at `peak` (0.5: symmetric). */
Status guidance_tv_cfg(bool cosine, double low, double high, double peak, GuidanceHook **out,
                       Error *err);
/* The guider's scale while lo <= percent <= hi, else 1. */
Status guidance_interval(double lo, double hi, GuidanceHook **out, Error *err);
Status guidance_differential(double strength, GuidanceHook **out, Error *err);
/* SkipLayerGuidance of transformers; block lists are copied. rescale 0 = none. */
Status guidance_skip_layers(double scale, double start_percent, double end_percent,
                            double rescale, const int *double_blocks, int double_count,
                            const int *single_blocks, int single_count, GuidanceHook **out,
                            Error *err);

/* The formulas by themselves. */
double guidance_tv_scale(bool cosine, double low, double high, double peak, double t);
double guidance_interval_scale(double lo, double hi, double cfg, double percent);
/* Linear between order statistics at rank q*(n-1); scratch of n floats. */
double guidance_quantile(const float *v, int64_t n, double q, float *scratch);

#endif
