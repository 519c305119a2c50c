/* step_cache.h - step caches: objects on a MODEL that let a model call be answered from what an earlier one
 * left.
 *
 * There are three places: inside the transformer, where the sum that its blocks added is used again (TeaCache,
 * scripts); around the transformer, for each conditioning (EasyCache); around the guided estimate (LazyCache).
 * The first kind only decides: who asks also keeps and reuses. A MODEL may carry one of each place, the last
 * one that was added.
 */
#ifndef WEFT_SAMPLING_STEP_CACHE_H
#define WEFT_SAMPLING_STEP_CACHE_H

#include "engine/sampling/sigmas.h"

typedef enum CachePlace { CACHE_BLOCKS, CACHE_OUTPUT, CACHE_GUIDED, CACHE_PLACES } CachePlace;

enum { CACHE_STEPS_LEAST = 8, CACHE_REASON = 200 };

/* What a BLOCKS cache is told of a call, and what it answers. */
typedef struct CacheQuestion {
    int step, steps; /* of the sampler, from 0 */
    float sigma;
    double time; /* model time, 1 = noise */
    const Tensor *sigmas;
    double
        change; /* mean|m - m'| / mean|m'|, m the modulated input of the first block now, m' at the call
                      before; 0 at the first call */
    bool kept;    /* false: nothing to reuse, the call is computed whatever the answer */
    bool compute; /* the answer */
    char reason[CACHE_REASON]; /* may be filled: told once per run */
} CacheQuestion;

/* When EasyCache and LazyCache act. */
typedef struct EasyLimits {
    double threshold;                  /* of the summed estimate of the output's change */
    double start_percent, end_percent; /* of model time, 0 = noise */
} EasyLimits;

typedef struct StepCache StepCache;
struct StepCache {
    Ref ref;
    CachePlace place;
    char name[64], node[64]; /* class and node id, for notes and faults */
    EasyLimits easy;         /* OUTPUT and GUIDED */
    /* BLOCKS: one state for each side, entry and picture of a run. decide never changes *c. */
    Status (*begin)(const StepCache *c, void **state, Error *err);
    void (*end)(const StepCache *c, void *state);
    Status (*decide)(const StepCache *c, void *state, CacheQuestion *q, Error *err);
};

/* Starts a cache of `size` zeroed bytes that begin with a StepCache; names are copied. NULL when out of memory. */
void *step_cache_new(size_t size, CachePlace place, const char *name, const char *node,
                     void (*destroy)(void *));

/* The polynomials that its authors fitted for FLUX.1 dev and FLUX.1 Kontext. */
typedef enum TeaFit { TEA_FLUX, TEA_FLUX_KONTEXT } TeaFit;
double tea_change(TeaFit fit, double change);
/*
 * "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model", with the fit for FLUX: the sum of
 * tea_change since the last computed call; computed from `threshold` on. The first and the last step, steps
 * outside of start..end (share of the steps, 0..1) and runs of fewer than CACHE_STEPS_LEAST steps are computed.
 */
Status step_cache_tea(const char *node, TeaFit fit, double threshold, double start, double end,
                      StepCache **out, Error *err);
/* EasyCache (OUTPUT) and LazyCache (GUIDED) of ComfyUI. */
Status step_cache_easy(CachePlace place, const char *node, const EasyLimits *limits,
                       StepCache **out, Error *err);

/*
 * One run of EasyCache or LazyCache. x is the model's input and o its answer, [B,C,h,w] F32. While
 * sigma(start) >= sigma > sigma(end) the change of o is estimated from that of x, both seen at every eighth row
 * and column, and summed; below the threshold the answer is x + (o - x) of the last computed call. The lane
 * (conditioning, any pointer) that is seen first decides, others follow at the same sigma.
 */
typedef struct EasyRun EasyRun;
Status easy_begin(const EasyLimits *limits, const ModelSampling *m, EasyRun **out, Error *err);
void easy_end(EasyRun *r);
/* *answered: out holds the answer. Else the call is made and its answer given to easy_keep. */
Status easy_ask(EasyRun *r, const void *lane, const Tensor *x, float sigma, Tensor *out,
                bool *answered, Error *err);
Status easy_keep(EasyRun *r, const void *lane, const Tensor *x, float sigma, const Tensor *out,
                 Error *err);

#endif
