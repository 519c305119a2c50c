/* sigmas.h - noise levels: what sigma means to a model, and the schedules that walk down from it.
 *
 * Schedules are SIGMAS values: Tensor [n] F32, falling, usually ending in 0. Arithmetic follows the
 * reference's: scalars are float64, tensors float32, a scalar meets a tensor rounded to float32, and
 * scalar / tensor is reciprocal times scalar (two roundings).
 */
#ifndef WEFT_SAMPLING_SIGMAS_H
#define WEFT_SAMPLING_SIGMAS_H

#include "engine/tensor/tensor.h"

typedef struct Registry Registry; /* registry.h: names such as lua:cosine */

/* Flux: e^mu / (e^mu + 1/t - 1), table of 10000. Flow: a t / (1 + (a-1) t) with t = timestep/multiplier,
 * table of 1000. */
typedef enum SigmaKind { SIGMA_FLUX, SIGMA_FLOW } SigmaKind;

typedef struct ModelSampling {
    Ref ref;
    SigmaKind kind;
    double shift, multiplier;
    int count;    /* entries of table */
    float *table; /* owned, rising; [0] = sigma_min, [count-1] = sigma_max */
} ModelSampling;

Status model_sampling_flux(double shift, ModelSampling **out, Error *err);
Status model_sampling_flow(double shift, double multiplier, ModelSampling **out, Error *err);
/* mu of ModelSamplingFlux for a picture of width x height pixels. */
double model_sampling_flux_shift(double max_shift, double base_shift, int64_t width,
                                 int64_t height);

float model_sigma_min(const ModelSampling *m);
float model_sigma_max(const ModelSampling *m);
float model_sigma_f32(const ModelSampling *m,
                      float timestep); /* in float32, as tables are made */
float model_timestep(const ModelSampling *m, float sigma);
/* Model time t in [0,1], 1 = noise; sigma = model_sigma_at(t), t = model_time(sigma). */
double model_sigma_at(const ModelSampling *m, double t);
double model_time(const ModelSampling *m, double sigma);
double model_percent_to_sigma(const ModelSampling *m, double percent);
/* The same with 0 -> sigma_max and 1 -> sigma_min ("return actual sigma"). */
double model_percent_to_actual(const ModelSampling *m, double percent);

/* Names of the schedulers in menu order, NULL-ended. */
const char *const *scheduler_names(void);

/* Schedule by name for `steps` steps. A name with ':' is looked up in the registry (may be NULL).
 * denoise is only told to scripts. Errors: E_RANGE for an unknown name. */
Status sigmas_schedule(const ModelSampling *m, const char *name, int64_t steps, double denoise,
                       const Registry *registry, Tensor **out, Error *err);
/* BasicScheduler: int(steps/denoise) steps of which the last steps+1 values are kept; empty for
 * denoise <= 0. */
Status sigmas_basic(const ModelSampling *m, const char *name, int64_t steps, double denoise,
                    const Registry *registry, Tensor **out, Error *err);

/* KSampler's own schedule. `discard`: the sampler wants one step more with the last-but-one sigma
 * dropped. */
typedef struct KSigmas {
    const char *scheduler;
    int64_t steps;
    double denoise;
    bool discard;
    int64_t start_step, last_step; /* -1 = not given */
    bool force_full_denoise;
} KSigmas;
/* *out has fewer than 2 values, or is empty, when there is nothing to sample. */
Status sigmas_ksampler(const ModelSampling *m, const KSigmas *k, const Registry *registry,
                       Tensor **out, Error *err);

/* Scheduler nodes. */
Status sigmas_karras(int64_t n, double smax, double smin, double rho, Tensor **out, Error *err);
Status sigmas_exponential(int64_t n, double smax, double smin, Tensor **out, Error *err);
Status sigmas_polyexponential(int64_t n, double smax, double smin, double rho, Tensor **out,
                              Error *err);
Status sigmas_laplace(int64_t n, double smax, double smin, double mu, double beta, Tensor **out,
                      Error *err);
Status sigmas_vp(int64_t n, double beta_d, double beta_min, double eps, Tensor **out,
                 Error *err);
Status sigmas_beta(const ModelSampling *m, int64_t n, double alpha, double beta, Tensor **out,
                   Error *err);
Status sigmas_sd_turbo(const ModelSampling *m, int64_t steps, double denoise, Tensor **out,
                       Error *err);
double sigmas_flux2_mu(int64_t steps, int64_t width, int64_t height);
Status sigmas_flux2(int64_t steps, int64_t width, int64_t height, Tensor **out, Error *err);
/* model_type: SD1, SDXL, SVD. */
Status sigmas_align_your_steps(const char *model_type, int64_t steps, double denoise,
                               Tensor **out, Error *err);
/* model_type: FLUX, Wan, Chroma. */
Status sigmas_optimal_steps(const char *model_type, int64_t steps, double denoise, Tensor **out,
                            Error *err);
/* coeff 0.80 .. 1.50 in steps of 0.05. */
Status sigmas_gits(double coeff, int64_t steps, double denoise, Tensor **out, Error *err);

/* Nodes on sigmas. */
Status sigmas_split(const Tensor *s, int64_t step, Tensor **high, Tensor **low, Error *err);
Status sigmas_split_denoise(const Tensor *s, double denoise, Tensor **high, Tensor **low,
                            Error *err);
Status sigmas_flip(const Tensor *s, Tensor **out, Error *err);
Status sigmas_set_first(const Tensor *s, double sigma, Tensor **out, Error *err);
/* spacing: linear, cosine, sine. start < 0 = infinity. */
Status sigmas_extend(const Tensor *s, int64_t steps, double start, double end,
                     const char *spacing, Tensor **out, Error *err);

/* Inverse of the regularised incomplete beta function. */
double sigmas_beta_inverse(double a, double b, double p);

Status sigmas_from_values(const double *values, int64_t n, Tensor **out, Error *err);

#endif
