/* samplers.c - the table of samplers, the SAMPLER value, and what a run offers to a sampler. */
#include "engine/sampling/samplers.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/sampling/registry.h"
#include "engine/sampling/samplers_impl.h"

/* clang-format off */
#define CHURN .s_tmax = INFINITY, .s_noise = 1
#define ETA .eta = 1, .s_noise = 1
#define ADAPTIVE .order = 3, .rtol = 0.05, .atol = 0.0078, .h_init = 0.05, .icoeff = 1, .accept_safety = 0.81, .s_noise = 1
#define SA_SOLVER ETA, .predictor_order = 3, .corrector_order = 4, .sde_start = 0.2, .sde_end = 0.8

/* The menu order is the order of the reference's menu. */
static const SamplerDef samplers[] = {
    { "euler", sampler_euler, 0, NOISE_NONE, { CHURN } },
    { "euler_cfg_pp", sampler_euler_cfg_pp, SAMPLER_CFG_PP, NOISE_DEFAULT, { .eta = 0, .s_noise = 0 } },
    { "euler_ancestral", sampler_euler_ancestral, 0, NOISE_DEFAULT, { ETA } },
    { "euler_ancestral_cfg_pp", sampler_euler_cfg_pp, SAMPLER_CFG_PP, NOISE_DEFAULT, { ETA } },
    { "heun", sampler_heun, 0, NOISE_NONE, { CHURN } },
    { "heunpp2", sampler_heunpp2, 0, NOISE_NONE, { CHURN } },
    { "exp_heun_2_x0", sampler_seeds_2, 0, NOISE_DEFAULT, { .r = 1, .phi_2 = true } },
    { "exp_heun_2_x0_sde", sampler_seeds_2, 0, NOISE_DEFAULT, { ETA, .r = 1, .phi_2 = true } },
    { "dpm_2", sampler_dpm_2, SAMPLER_DISCARD, NOISE_NONE, { CHURN } },
    { "dpm_2_ancestral", sampler_dpm_2_ancestral, SAMPLER_DISCARD, NOISE_DEFAULT, { ETA } },
    { "lms", sampler_lms, 0, NOISE_NONE, { .order = 4 } },
    { "dpm_fast", sampler_dpm_fast, 0, NOISE_DEFAULT, { .s_noise = 1 } },
    { "dpm_adaptive", sampler_dpm_adaptive, 0, NOISE_DEFAULT, { ADAPTIVE } },
    { "dpmpp_2s_ancestral", sampler_dpmpp_2s_ancestral, 0, NOISE_DEFAULT, { ETA } },
    { "dpmpp_2s_ancestral_cfg_pp", sampler_dpmpp_2s_ancestral_cfg_pp, SAMPLER_CFG_PP, NOISE_DEFAULT, { ETA } },
    { "dpmpp_sde", sampler_dpmpp_sde, 0, NOISE_BROWNIAN, { ETA, .r = 0.5 } },
    { "dpmpp_sde_gpu", sampler_dpmpp_sde, 0, NOISE_BROWNIAN, { ETA, .r = 0.5 } },
    { "dpmpp_2m", sampler_dpmpp_2m, 0, NOISE_NONE, { .s_noise = 1 } },
    { "dpmpp_2m_cfg_pp", sampler_dpmpp_2m_cfg_pp, SAMPLER_CFG_PP, NOISE_NONE, { .s_noise = 1 } },
    { "dpmpp_2m_sde", sampler_dpmpp_2m_sde, 0, NOISE_BROWNIAN, { ETA } },
    { "dpmpp_2m_sde_gpu", sampler_dpmpp_2m_sde, 0, NOISE_BROWNIAN, { ETA } },
    { "dpmpp_2m_sde_heun", sampler_dpmpp_2m_sde, 0, NOISE_BROWNIAN, { ETA, .solver_heun = true } },
    { "dpmpp_2m_sde_heun_gpu", sampler_dpmpp_2m_sde, 0, NOISE_BROWNIAN, { ETA, .solver_heun = true } },
    { "dpmpp_3m_sde", sampler_dpmpp_3m_sde, 0, NOISE_BROWNIAN, { ETA } },
    { "dpmpp_3m_sde_gpu", sampler_dpmpp_3m_sde, 0, NOISE_BROWNIAN, { ETA } },
    { "ddpm", sampler_ddpm, 0, NOISE_DEFAULT, { .s_noise = 1 } },
    { "lcm", sampler_lcm, 0, NOISE_DEFAULT, { .s_noise = 1 } },
    { "ipndm", sampler_ipndm, 0, NOISE_NONE, { .order = 4 } },
    { "ipndm_v", sampler_ipndm_v, 0, NOISE_NONE, { .order = 4 } },
    { "deis", sampler_deis, 0, NOISE_NONE, { .order = 3 } },
    { "res_multistep", sampler_res_multistep, 0, NOISE_DEFAULT, { .s_noise = 1 } },
    { "res_multistep_cfg_pp", sampler_res_multistep, SAMPLER_CFG_PP, NOISE_DEFAULT, { .s_noise = 1 } },
    { "res_multistep_ancestral", sampler_res_multistep, 0, NOISE_DEFAULT, { ETA } },
    { "res_multistep_ancestral_cfg_pp", sampler_res_multistep, SAMPLER_CFG_PP, NOISE_DEFAULT, { ETA } },
    { "gradient_estimation", sampler_gradient_estimation, 0, NOISE_NONE, { .ge_gamma = 2 } },
    { "gradient_estimation_cfg_pp", sampler_gradient_estimation, SAMPLER_CFG_PP, NOISE_NONE, { .ge_gamma = 2 } },
    { "er_sde", sampler_er_sde, 0, NOISE_DEFAULT, { ETA, .max_stage = 3 } },
    { "seeds_2", sampler_seeds_2, 0, NOISE_DEFAULT, { ETA, .r = 0.5 } },
    { "seeds_3", sampler_seeds_3, 0, NOISE_DEFAULT, { ETA, .r = 1.0 / 3, .r2 = 2.0 / 3 } },
    { "sa_solver", sampler_sa_solver, 0, NOISE_DEFAULT, { SA_SOLVER } },
    { "sa_solver_pece", sampler_sa_solver, 0, NOISE_DEFAULT, { SA_SOLVER, .pece = true } },
    { "ddim", sampler_euler, SAMPLER_RANDOM_INPAINT, NOISE_NONE, { CHURN } },
    { "uni_pc", sampler_uni_pc, SAMPLER_DISCARD, NOISE_NONE, { .s_noise = 1 } },
    { "uni_pc_bh2", sampler_uni_pc_bh2, SAMPLER_DISCARD, NOISE_NONE, { .s_noise = 1 } },
};

static const char *const names[] = {
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "exp_heun_2_x0",
    "exp_heun_2_x0_sde", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm",
    "lcm", "ipndm", "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2",
    "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2", NULL
};
/* clang-format on */

enum { SAMPLERS = sizeof samplers / sizeof samplers[0] };
_Static_assert(sizeof names / sizeof names[0] == SAMPLERS + 1, "names follow the table");

const SamplerDef *sampler_find(const char *name)
{
    for (int i = 0; i < SAMPLERS; i++)
        if (!strcmp(name, samplers[i].name)) return &samplers[i];
    return NULL;
}

const char *const *sampler_names(void)
{
    return names;
}

/* ---- the value ------------------------------------------------------------------------------------- */

static void sampler_destroy(void *object)
{
    Sampler *s = object;
    ref_drop(s->user);
    mem_free(s);
}

Status sampler_new_custom(const SamplerDef *def, const Ref *user, Sampler **out, Error *err)
{
    Sampler *s = mem_calloc(1, sizeof *s);
    if (!s) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&s->ref, sampler_destroy);
    s->def = def;
    s->options = def->options;
    s->user = ref_take(user);
    *out = s;
    return OK;
}

Status sampler_new(const char *name, const SamplerOptions *options, const Registry *registry,
                   Sampler **out, Error *err)
{
    const SamplerDef *def = sampler_find(name);

    if (def) {
        TRY(sampler_new_custom(def, NULL, out, err));
        if (options) (*out)->options = *options;
        return OK;
    }
    if (registry && registry->sampler && strchr(name, ':'))
        return registry->sampler(registry->user, name, out, err);
    const char *near = str_nearest(name, names, SAMPLERS);
    error_set(err, E_RANGE, "there is no sampler \"%s\"", name);
    error_at_input(err, "sampler_name");
    error_fix(err, "use %s", near ? near : "one of the sampler menu");
    return E_RANGE;
}

/* ---- a run ------------------------------------------------------------------------------------------- */

static void trace(SamplerRun *r, const RunEvent *e)
{
    if (r->trace) r->trace(r, e);
}

/* The tree spans from the smallest positive sigma to the largest. */
static Status start_tree(SamplerRun *r, Error *err)
{
    float low = INFINITY, high = 0;

    for (int i = 0; i < r->count; i++) {
        if (r->sigmas[i] > 0 && r->sigmas[i] < low) low = r->sigmas[i];
        if (r->sigmas[i] > high) high = r->sigmas[i];
    }
    if (r->count < 2 || !(low <= high)) return OK;
    trace(r, &(RunEvent){ .kind = RUN_NEW_RNG,
                          .noise = NOISE_BROWNIAN,
                          .seed = r->seed,
                          .sigma = low,
                          .sigma_next = high });
    return brownian_new(r->seed, (double)low, (double)high, tensor_count(r->x), &r->tree, err);
}

static Status start_noise(SamplerRun *r, Error *err)
{
    SamplerNoise kind = r->sampler->def->noise;

    if (kind == NOISE_BROWNIAN) return start_tree(r, err);
    /* Also of samplers that draw nothing by themselves: a script may ask for noise. */
    rng_init(&r->rng, r->seed + 1);
    if (kind == NOISE_DEFAULT)
        trace(r, &(RunEvent){ .kind = RUN_NEW_RNG, .noise = kind, .seed = r->seed + 1 });
    return OK;
}

Status sampler_run(SamplerRun *r, Error *err)
{
    Status status = OK;

    r->options = &r->sampler->options;
    r->uncond = NULL;
    r->step = 0;
    r->reported = 0;
    r->tree = NULL;
    r->temps = NULL;
    r->temp_count = 0;
    if (r->count < 2) return OK;
    TRY_DONE(start_noise(r, err));
    TRY_DONE(r->sampler->def->fn(r, err));
done:
    brownian_free(r->tree);
    r->tree = NULL;
    for (int i = 0; i < r->temp_count; i++)
        tensor_unref(r->temps[i]);
    mem_free(r->temps);
    r->temps = NULL;
    r->temp_count = 0;
    return status;
}

Status run_temp(SamplerRun *r, Tensor **out, Error *err)
{
    Tensor **grown = mem_realloc(r->temps, ((size_t)r->temp_count + 1) * sizeof *grown);
    if (!grown) return error_set(err, E_NOMEM, "out of memory");
    r->temps = grown;
    TRY(tensor_new(K_F32, r->x->ndim, r->x->shape, &grown[r->temp_count], err));
    *out = grown[r->temp_count++];
    return OK;
}

Status run_temps(SamplerRun *r, Tensor **out, int n, Error *err)
{
    for (int i = 0; i < n; i++)
        TRY(run_temp(r, &out[i], err));
    return OK;
}

Status run_denoise(SamplerRun *r, const Tensor *x, float sigma, Tensor *out, Error *err)
{
    r->step = r->reported < r->count - 1 ? r->reported : r->count - 2;
    return run_stage(r, x, sigma, out, err);
}

Status run_stage(SamplerRun *r, const Tensor *x, float sigma, Tensor *out, Error *err)
{
    trace(r, &(RunEvent){ .kind = RUN_MODEL, .sigma = sigma });
    return r->denoise(r, x, sigma, out, err);
}

void run_noise(SamplerRun *r, float sigma, float next, Tensor *out)
{
    SamplerNoise kind = r->tree ? NOISE_BROWNIAN : NOISE_DEFAULT;

    trace(r,
          &(RunEvent){ .kind = RUN_NOISE, .noise = kind, .sigma = sigma, .sigma_next = next });
    if (r->tree)
        brownian_noise(r->tree, sigma, next, tensor_f32(out));
    else
        rng_normal(&r->rng, tensor_f32(out), tensor_count(out));
}

void run_churn_noise(SamplerRun *r, Tensor *out)
{
    rng_normal(r->churn, tensor_f32(out), tensor_count(out));
}

void run_step(SamplerRun *r, int step, const Tensor *denoised, const Tensor *x)
{
    trace(r, &(RunEvent){ .kind = RUN_STEP, .step = step, .denoised = denoised, .x = x });
    if (r->progress) r->progress(r, step, denoised, x);
    r->reported = step + 1;
}

/* ---- shared arithmetic --------------------------------------------------------------------------------- */

float run_sigma_offset(const SamplerRun *r, int k)
{
    float s = r->sigmas[k];
    if (k == 0 && s >= 1.0f) return (float)model_percent_to_sigma(r->model, 1e-4);
    return s;
}

bool run_cfg_pp(const SamplerRun *r)
{
    return r->sampler->def->flags & SAMPLER_CFG_PP;
}

Ancestral ancestral_step(float s, float t, double eta)
{
    Ancestral a = { t, 0 };

    if (eta == 0) return a;
    float up = (float)eta * sqrtf(t * t * (s * s - t * t) / (s * s));
    a.up = up < t ? up : t; /* a NaN keeps t, as the reference's minimum does */
    a.down = sqrtf(t * t - a.up * a.up);
    return a;
}

AncestralFlow ancestral_flow(float s, float t, double eta)
{
    AncestralFlow a;

    a.down = t * (1.0f + (t / s - 1.0f) * (float)eta);
    float keep = 1.0f - t, keep_down = 1.0f - a.down;
    a.ratio = keep / keep_down;
    a.up = sqrtf(t * t - a.down * a.down * (keep * keep) / (keep_down * keep_down));
    return a;
}

void vec_derivative(Tensor *out, const Tensor *x, const Tensor *d, float s)
{
    const float *p = tensor_f32(x), *q = tensor_f32(d);
    float *o = tensor_f32(out);
    int64_t n = tensor_count(out);

    for (int64_t i = 0; i < n; i++)
        o[i] = (p[i] - q[i]) / s;
}

void vec_mix3(Tensor *out, float a, const Tensor *x, float b, const Tensor *y, float c,
              const Tensor *z)
{
    const float *p = tensor_f32(x), *q = tensor_f32(y), *w = tensor_f32(z);
    float *o = tensor_f32(out);
    int64_t n = tensor_count(out);

    for (int64_t i = 0; i < n; i++)
        o[i] = a * p[i] + b * q[i] + c * w[i];
}

void history_push(Tensor **slots, int n)
{
    Tensor *oldest = slots[n - 1];
    memmove(slots + 1, slots, (size_t)(n - 1) * sizeof *slots);
    slots[0] = oldest;
}

static void swap_rows(double *a, double *b, int n, int i, int j)
{
    for (int c = 0; c < n; c++) {
        double v = a[i * n + c];
        a[i * n + c] = a[j * n + c];
        a[j * n + c] = v;
    }
    double v = b[i];
    b[i] = b[j];
    b[j] = v;
}

void solve_small(double *a, double *b, int n)
{
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[best * n + k])) best = i;
        if (best != k) swap_rows(a, b, n, k, best);
        for (int i = k + 1; i < n; i++) {
            double f = a[i * n + k] / a[k * n + k];
            for (int c = k; c < n; c++)
                a[i * n + c] -= f * a[k * n + c];
            b[i] -= f * b[k];
        }
    }
    for (int k = n - 1; k >= 0; k--) {
        for (int c = k + 1; c < n; c++)
            b[k] -= a[k * n + c] * b[c];
        b[k] /= a[k * n + k];
    }
}
