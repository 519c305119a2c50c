/* samplers.h - the SAMPLER value and the table of samplers.
 *
 * A sampler is a function over a SamplerRun: it owns the loop, asks the run for clean estimates and for
 * noise, and reports each step. It allocates its work tensors (run_temp) before its first step.
 */
#ifndef WEFT_SAMPLING_SAMPLERS_H
#define WEFT_SAMPLING_SAMPLERS_H

#include "engine/sampling/noise.h"
#include "engine/sampling/sigmas.h"

/* Every number a sampler node can set; each sampler reads its own. */
typedef struct SamplerOptions {
    double s_churn, s_tmin, s_tmax, s_noise, eta;
    double r, r2;     /* stage positions: dpmpp_sde, seeds_2 (r), seeds_3 (r, r2) */
    int order;        /* lms, dpm_adaptive, ipndm, ipndm_v, deis: max order */
    int max_stage;    /* er_sde */
    bool er_reverse;  /* er_sde: noise scaler v^(eta+1) rather than the default */
    bool solver_heun; /* dpmpp_2m_sde: heun rather than midpoint */
    bool phi_2;       /* seeds_2 */
    double ge_gamma;  /* gradient_estimation */
    double rtol, atol, h_init, pcoeff, icoeff, dcoeff, accept_safety; /* dpm_adaptive */
    int predictor_order, corrector_order;                             /* sa_solver */
    bool pece, simple_order_2;
    double sde_start, sde_end; /* sa_solver: window in percent where eta acts */
} SamplerOptions;

typedef enum SamplerNoise { NOISE_NONE, NOISE_DEFAULT, NOISE_BROWNIAN } SamplerNoise;

enum {
    SAMPLER_CFG_PP = 1,        /* reads the negative estimate */
    SAMPLER_DISCARD = 2,       /* KSampler drops the last-but-one sigma */
    SAMPLER_RANDOM_INPAINT = 4 /* inpaint noise is a fresh draw seeded seed+1 */
};

typedef struct SamplerRun SamplerRun;
typedef Status (*SamplerFn)(SamplerRun *run, Error *err);

typedef struct SamplerDef {
    const char *name;
    SamplerFn fn;
    unsigned flags;
    SamplerNoise noise;
    SamplerOptions options; /* defaults */
} SamplerDef;

/* The SAMPLER value. Immutable. */
typedef struct Sampler {
    Ref ref;
    const SamplerDef *def; /* static, or owned by `user` */
    SamplerOptions options;
    const Ref
        *user; /* what a script sampler carries; one reference owned; NULL for built-ins */
} Sampler;

const SamplerDef *sampler_find(const char *name); /* NULL when unknown */
/* The other form of SamplerEulerCFG++, which is in no menu. */
extern const SamplerDef sampler_euler_pp_def;
const char *const *sampler_names(void);           /* menu order, NULL-ended */
/* A name with ':' is looked up in the registry (may be NULL). options NULL = the entry's defaults.
 * Errors: E_RANGE for an unknown name, with the nearest one. */
Status sampler_new(const char *name, const SamplerOptions *options, const Registry *registry,
                   Sampler **out, Error *err);
/* For script samplers: def must live as long as user; takes a reference on user. */
Status sampler_new_custom(const SamplerDef *def, const Ref *user, Sampler **out, Error *err);

static inline Sampler *sampler_ref(const Sampler *s)
{
    return ref_take(s);
}
static inline void sampler_unref(const Sampler *s)
{
    ref_drop(s);
}

/* What a trace listener is told, in order. */
typedef enum RunEventKind { RUN_NEW_RNG, RUN_MODEL, RUN_NOISE, RUN_STEP } RunEventKind;
typedef struct RunEvent {
    RunEventKind kind;
    SamplerNoise noise; /* NEW_RNG, NOISE */
    uint64_t seed;      /* NEW_RNG */
    float sigma,
        sigma_next; /* MODEL: sigma; NOISE: both; NEW_RNG of a tree: smallest, largest */
    int step;       /* STEP */
    const Tensor *denoised, *x; /* STEP */
} RunEvent;

/* One run of a sampler. The caller fills the first part; sampler_run sets up the rest. */
struct SamplerRun {
    /* from the caller */
    const Sampler *sampler;
    const ModelSampling *model;
    float *sigmas; /* writable copy: uni_pc changes the last one, and the caller must see it */
    int count;     /* sigmas */
    uint64_t seed;
    Rng *churn; /* goes on from the initial noise */
    Tensor *x;  /* [B,C,h,w] F32: start in, result out */
    /* Clean estimate of x at sigma into out; sets run->uncond when the sampler is SAMPLER_CFG_PP or when
     * it is at hand (NULL = skipped). */
    Status (*denoise)(SamplerRun *run, const Tensor *x, float sigma, Tensor *out, Error *err);
    void (*progress)(SamplerRun *run, int step, const Tensor *denoised,
                     const Tensor *x);                 /* may be NULL */
    void (*trace)(SamplerRun *run, const RunEvent *e); /* may be NULL */
    void *user;
    /* for the sampler */
    const SamplerOptions *options;
    const Tensor *uncond; /* negative estimate of the last call; borrowed */
    int step;             /* that the last call belongs to, from 0, below count - 1 */
    /* private */
    int reported; /* steps that run_step was told of */
    Rng rng;
    Brownian *tree;
    Tensor **temps; /* owned array of owned references */
    int temp_count;
};

/* Runs the sampler: run->x becomes the result. */
Status sampler_run(SamplerRun *run, Error *err);

/* For samplers, built in or scripted. */
Status run_temp(SamplerRun *run, Tensor **out, Error *err); /* like x, freed with the run */
/* The first model call of a step, and the further ones of the same step. */
Status run_denoise(SamplerRun *run, const Tensor *x, float sigma, Tensor *out, Error *err);
Status run_stage(SamplerRun *run, const Tensor *x, float sigma, Tensor *out, Error *err);
void run_noise(SamplerRun *run, float sigma, float next,
               Tensor *out); /* the entry's noise kind */
void run_churn_noise(SamplerRun *run, Tensor *out);
void run_step(SamplerRun *run, int step, const Tensor *denoised, const Tensor *x);

#endif
