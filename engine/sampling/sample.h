/* sample.h - one whole sampling call: latent and noise in, latent out. */
#ifndef WEFT_SAMPLING_SAMPLE_H
#define WEFT_SAMPLING_SAMPLE_H

#include "engine/sampling/guider.h"
#include "engine/sampling/registry.h"
#include "engine/sampling/samplers.h"

/* SamplerCustomAdvanced, and the core of all others. */
typedef struct SampleCall {
    const Guider *guider;
    const Sampler *sampler;
    const Tensor *sigmas; /* [n] F32; empty: the latent comes back unchanged */
    const Latent *latent;
    const Noise *noise;
    Events *events;   /* EV_PROGRESS per step, and the cancel flag; may be NULL */
    const char *node; /* id for the events; may be NULL */
    /* Told of every step (previews); may be NULL. */
    void (*on_step)(void *user, int step, int steps, const Tensor *denoised, const Tensor *x);
    void *user;
} SampleCall;

/* What a run cost. */
typedef struct SampleStats {
    int model_calls; /* forward passes */
    int saved_calls; /* negatives left out because the scale was 1 */
    int reused, asked; /* answers for one picture that a step cache gave, of how many */
} SampleStats;

/* *output: the sampler's result; *denoised: the clean estimate of the last step (the result itself when no
 * step was made); each may be NULL. stats may be NULL. Errors: E_CANCELLED, E_SHAPE, the model's. */
Status sample_custom(const SampleCall *call, Latent **output, Latent **denoised,
                     SampleStats *stats, Error *err);

/* KSampler and KSamplerAdvanced. */
typedef struct KSamplerCall {
    const Denoiser *denoiser;
    const Cond *positive, *negative;
    double cfg;
    const char *sampler, *scheduler;
    const Registry *registry; /* may be NULL */
    uint64_t seed;
    bool add_noise; /* false: zeros */
    int64_t steps;
    double denoise;                /* 1 = all */
    int64_t start_step, last_step; /* -1 = not given */
    bool force_full_denoise;
    const Latent *latent;
    Events *events;
    const char *node;
} KSamplerCall;

Status sample_ksampler(const KSamplerCall *call, Latent **out, SampleStats *stats, Error *err);

#endif
