/* samplers_impl.h - the sampler functions and the small arithmetic they share.
 *
 * Notation of the comments: s and t are the sigmas of this step and the next, D the clean estimate, U the
 * negative one, d = (x - D) / s. Scalars are float32, as the reference computes them.
 */
#ifndef WEFT_SAMPLING_SAMPLERS_IMPL_H
#define WEFT_SAMPLING_SAMPLERS_IMPL_H

#include <math.h>

#include "engine/sampling/samplers.h"
#include "engine/tensor/ops.h"

/* ---- one function per sampler (variants share one and read options or flags) ---- */
Status sampler_euler(SamplerRun *r, Error *err);
Status sampler_euler_cfg_pp(SamplerRun *r, Error *err);
Status sampler_euler_ancestral(SamplerRun *r, Error *err);
Status sampler_heun(SamplerRun *r, Error *err);
Status sampler_heunpp2(SamplerRun *r, Error *err);
Status sampler_dpm_2(SamplerRun *r, Error *err);
Status sampler_dpm_2_ancestral(SamplerRun *r, Error *err);
Status sampler_ddpm(SamplerRun *r, Error *err);
Status sampler_lcm(SamplerRun *r, Error *err);
Status sampler_lms(SamplerRun *r, Error *err);
Status sampler_ipndm(SamplerRun *r, Error *err);
Status sampler_ipndm_v(SamplerRun *r, Error *err);
Status sampler_deis(SamplerRun *r, Error *err);
Status sampler_gradient_estimation(SamplerRun *r, Error *err);
Status sampler_res_multistep(SamplerRun *r, Error *err);
Status sampler_dpm_fast(SamplerRun *r, Error *err);
Status sampler_dpm_adaptive(SamplerRun *r, Error *err);
Status sampler_dpmpp_2s_ancestral(SamplerRun *r, Error *err);
Status sampler_dpmpp_2s_ancestral_cfg_pp(SamplerRun *r, Error *err);
Status sampler_dpmpp_sde(SamplerRun *r, Error *err);
Status sampler_dpmpp_2m(SamplerRun *r, Error *err);
Status sampler_dpmpp_2m_cfg_pp(SamplerRun *r, Error *err);
Status sampler_dpmpp_2m_sde(SamplerRun *r, Error *err);
Status sampler_dpmpp_3m_sde(SamplerRun *r, Error *err);
Status sampler_er_sde(SamplerRun *r, Error *err);
Status sampler_seeds_2(SamplerRun *r, Error *err);
Status sampler_seeds_3(SamplerRun *r, Error *err);
Status sampler_sa_solver(SamplerRun *r, Error *err);
Status sampler_uni_pc(SamplerRun *r, Error *err);
Status sampler_uni_pc_bh2(SamplerRun *r, Error *err);

/* ---- shared ---- */

enum { MULTISTEP_MAX = 100 }; /* longest history a sampler can be asked for */

/* n work tensors. */
Status run_temps(SamplerRun *r, Tensor **out, int n, Error *err);
/* sigma k as samplers in log-SNR time see it: a first value of 1 is moved just below. */
float run_sigma_offset(const SamplerRun *r, int k);
bool run_cfg_pp(const SamplerRun *r);

/* Split of a step to t into a deterministic part down to `down` and noise of size `up`. */
typedef struct Ancestral {
    float down, up;
} Ancestral;
Ancestral ancestral_step(float s, float t, double eta);

/* The same for flow models: x' = ratio * x + noise * up after the step to `down`. */
typedef struct AncestralFlow {
    float down, ratio, up;
} AncestralFlow;
AncestralFlow ancestral_flow(float s, float t, double eta);

/* Half log-SNR of flow models and its inverse. */
static inline float lambda_of(float sigma)
{
    return -logf(sigma / (1.0f - sigma));
}
static inline float sigma_of(float lambda)
{
    return 1.0f / (1.0f + expf(lambda));
}

/* out = (x - d) / s */
void vec_derivative(Tensor *out, const Tensor *x, const Tensor *d, float s);
/* out = a x + b y + c z; out may be any of them. */
void vec_mix3(Tensor *out, float a, const Tensor *x, float b, const Tensor *y, float c,
              const Tensor *z);

static inline void vec_mix2(Tensor *out, float a, const Tensor *x, float b, const Tensor *y)
{
    tensor_axby(out, x, a, y, b);
}

/* The newest of n history slots becomes free at [0], the others move one back. */
void history_push(Tensor **slots, int n);

/* Solves the n x n system (n <= 8, row-major, overwritten) in double with partial pivoting. */
void solve_small(double *a, double *b, int n);

#endif
