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
    GUIDE_SCALE, /* before the model calls: sets scale, negative_skip */
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
    const void *negative_skip; /* BlockSkip of the negative estimate; NULL = none */
    double time;               /* model time: sigma_at(time) = sigma */
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
Status guidance_differential(double strength, GuidanceHook **out, Error *err);
/* SkipLayerGuidance of transformers: within start..end (model percent) another positive estimate without the
 * listed blocks is made and guided away from; or the negative alone is made without them. */
typedef struct SkipLayers {
    double scale, start_percent, end_percent;
    double rescale; /* 0 = none */
    bool negative_only;
    const int *double_blocks, *single_blocks; /* copied */
    int double_count, single_count;
} SkipLayers;
Status guidance_skip_layers(const SkipLayers *s, GuidanceHook **out, Error *err);

/* RenormCFG: at sigmas from `trunc` on the positive estimate alone; below, the guided one no longer than renorm times
 * the positive one (0 = no bound). */
Status guidance_renorm(double trunc, double renorm, GuidanceHook **out, Error *err);
/* Scales from min_cfg to the guider's along the items of a batch, or there and back. */
Status guidance_frames(double min_cfg, bool triangle, GuidanceHook **out, Error *err);
/* Tangential damping: the negative keeps what it has in common with the positive. */
Status guidance_tangential(GuidanceHook **out, Error *err);
/* Mahiro: the guided estimate and the scaled positive one, mixed by how alike the negative is. */
Status guidance_mahiro(GuidanceHook **out, Error *err);
/* The noise of the guided estimate divided by `factor`. */
Status guidance_epsilon_scaling(double factor, GuidanceHook **out, Error *err);
/* Temporal score rescaling with strength k and width sigma. */
Status guidance_tsr(double k, double sigma, GuidanceHook **out, Error *err);

#endif
