/* denoiser.h - what sampling sees of a model: a callback, its noise levels, its latents, its hooks. */
#ifndef WEFT_SAMPLING_DENOISER_H
#define WEFT_SAMPLING_DENOISER_H

#include "engine/base/events.h"
#include "engine/sampling/cond.h"
#include "engine/sampling/guidance.h"
#include "engine/sampling/latent.h"
#include "engine/sampling/sigmas.h"
#include "engine/sampling/step_cache.h"

typedef struct Denoiser Denoiser;

/* Blocks an extra call leaves out (SkipLayerGuidance). */
typedef struct BlockSkip {
    const int *double_blocks, *single_blocks;
    int double_count, single_count;
} BlockSkip;

/* One model call: the clean estimate x0 = x - sigma * v under one conditioning. */
typedef struct DenoiseCall {
    const Tensor *x; /* [B,C,h,w] F32, noisy, in the transformer's scale; B >= 1 */
    float sigma;
    const CondEntry *cond;  /* batch 1 inside; the model broadcasts it over B */
    bool negative;          /* false: positive side */
    int entry;              /* which entry of that side; for caches kept per entry */
    int step, steps;        /* of the sampler, from 0 */
    int64_t y0, x0;         /* where x lies in the whole latent (areas) */
    int64_t full_h, full_w; /* the whole latent */
    const BlockSkip *skip;  /* NULL = none */
    Tensor *out;            /* [B,C,h,w] F32, written */
    int *reused;            /* grows by the pictures that a step cache answered for; may be NULL */
} DenoiseCall;

/* What a run tells a model before its first call. */
typedef struct DenoiseRun {
    const Tensor *sigmas;
    const Tensor *noise, *latent; /* latent after process_in; [B,C,h,w] */
    const Tensor *mask;           /* [B,C,h,w] or NULL */
    Events *events;               /* may be NULL */
} DenoiseRun;

typedef struct DenoiserClass {
    const char *name;
    Status (*begin)(Denoiser *d, const DenoiseRun *run, Error *err); /* may be NULL */
    Status (*denoise)(Denoiser *d, const DenoiseCall *call, Error *err);
    void (*end)(Denoiser *d); /* may be NULL; called once for every begin that succeeded */
} DenoiserClass;

/* Embedded first in a model's own struct; its maker fills it and its destroy calls denoiser_fini. */
struct Denoiser {
    Ref ref;
    const DenoiserClass *class;
    ModelSampling *sampling; /* one reference owned */
    LatentFormat format;
    GuidanceList hooks;      /* owned */
    const StepCache *around; /* one reference owned: acts around the guided estimate; NULL = none */
};

void denoiser_fini(Denoiser *d); /* gives back sampling, hooks and cache */

static inline Denoiser *denoiser_ref(const Denoiser *d)
{
    return ref_take(d);
}
static inline void denoiser_unref(const Denoiser *d)
{
    ref_drop(d);
}

#endif
