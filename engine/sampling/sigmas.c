/* sigmas.c - what sigma means to a model, and the schedules a KSampler offers. */
#include "engine/sampling/sigmas.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/sampling/registry.h"
#include "engine/sampling/sigmas_impl.h"

enum { FLUX_ENTRIES = 10000, FLOW_ENTRIES = 1000 };

/* ---- model sampling -------------------------------------------------------------------------------- */

static void model_sampling_destroy(void *object)
{
    ModelSampling *m = object;
    mem_free(m->table);
    mem_free(m);
}

static Status model_sampling_new(SigmaKind kind, double shift, double multiplier, int count,
                                 ModelSampling **out, Error *err)
{
    ModelSampling *m = mem_calloc(1, sizeof *m);
    if (!m) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&m->ref, model_sampling_destroy);
    m->kind = kind;
    m->shift = shift;
    m->multiplier = multiplier;
    m->count = count;
    m->table = mem_alloc_array((size_t)count, sizeof *m->table);
    if (!m->table) {
        ref_drop(m);
        return error_set(err, E_NOMEM, "out of memory");
    }
    for (int i = 0; i < count; i++) {
        float t = (float)(i + 1) / (float)count;
        m->table[i] = model_sigma_f32(m, kind == SIGMA_FLOW ? t * (float)multiplier : t);
    }
    *out = m;
    return OK;
}

Status model_sampling_flux(double shift, ModelSampling **out, Error *err)
{
    return model_sampling_new(SIGMA_FLUX, shift, 1, FLUX_ENTRIES, out, err);
}

Status model_sampling_flow(double shift, double multiplier, ModelSampling **out, Error *err)
{
    return model_sampling_new(SIGMA_FLOW, shift, multiplier, FLOW_ENTRIES, out, err);
}

double model_sampling_flux_shift(double max_shift, double base_shift, int64_t width,
                                 int64_t height)
{
    double slope = (max_shift - base_shift) / (4096 - 256);
    return (double)width * (double)height / (8 * 8 * 2 * 2) * slope +
           (base_shift - slope * 256);
}

float model_sigma_min(const ModelSampling *m)
{
    return m->table[0];
}

float model_sigma_max(const ModelSampling *m)
{
    return m->table[m->count - 1];
}

double model_sigma_at(const ModelSampling *m, double t)
{
    if (m->kind == SIGMA_FLUX) return exp(m->shift) / (exp(m->shift) + (1.0 / t - 1.0));
    if (m->shift == 1.0) return t;
    return m->shift * t / (1.0 + (m->shift - 1.0) * t);
}

float sigma_shift_f32(float factor, float t)
{
    float q = 1.0f / t - 1.0f;
    return 1.0f / (factor + q) * factor;
}

float model_sigma_f32(const ModelSampling *m, float timestep)
{
    if (m->kind == SIGMA_FLUX) return sigma_shift_f32((float)exp(m->shift), timestep);
    float t = timestep / (float)m->multiplier;
    if (m->shift == 1.0) return t;
    return (float)m->shift * t / (1.0f + (float)(m->shift - 1.0) * t);
}

float model_timestep(const ModelSampling *m, float sigma)
{
    return m->kind == SIGMA_FLOW ? sigma * (float)m->multiplier : sigma;
}

double model_time(const ModelSampling *m, double sigma)
{
    if (sigma <= 0) return 0;
    if (m->kind == SIGMA_FLUX) {
        double e = exp(m->shift);
        return 1.0 / (1.0 + e / sigma - e);
    }
    if (m->shift == 1.0) return sigma;
    return sigma / (m->shift - (m->shift - 1.0) * sigma);
}

double model_percent_to_sigma(const ModelSampling *m, double percent)
{
    if (percent <= 0) return 1.0;
    if (percent >= 1) return 0.0;
    return model_sigma_at(m, 1.0 - percent);
}

double model_percent_to_actual(const ModelSampling *m, double percent)
{
    if (percent == 0) return (double)model_sigma_max(m);
    if (percent == 1) return (double)model_sigma_min(m);
    return model_percent_to_sigma(m, percent);
}

/* ---- helpers shared with the other sigma files --------------------------------------------------------- */

Status sigmas_alloc(int64_t n, Tensor **out, Error *err)
{
    return tensor_new(K_F32, 1, &n, out, err);
}

Status sigmas_from_values(const double *values, int64_t n, Tensor **out, Error *err)
{
    TRY(sigmas_alloc(n, out, err));
    for (int64_t i = 0; i < n; i++)
        tensor_f32(*out)[i] = (float)values[i];
    return OK;
}

Status sigmas_range(const Tensor *s, int64_t first, int64_t count, Tensor **out, Error *err)
{
    int64_t n = s->shape[0];

    if (first < 0) first = 0;
    if (first > n) first = n;
    if (count > n - first) count = n - first;
    if (count < 0) count = 0;
    TRY(sigmas_alloc(count, out, err));
    if (count) memcpy(tensor_f32(*out), tensor_f32(s) + first, (size_t)count * sizeof(float));
    return OK;
}

Status sigmas_keep_last(Tensor *s, int64_t count, Tensor **out, Error *err)
{
    Status status = sigmas_range(s, s->shape[0] - count, count, out, err);
    tensor_unref(s);
    return status;
}

float linspace_at(float a, float b, int64_t n, int64_t i)
{
    if (n == 1) return a;
    float step = (b - a) / (float)(n - 1);
    return i < n / 2 ? a + step * (float)i : b - step * (float)(n - 1 - i);
}

Status sigmas_check_steps(int64_t steps, Error *err)
{
    if (steps >= 1 && steps <= SIGMAS_MAX_STEPS) return OK;
    error_set(err, E_RANGE, "%lld steps are out of range", (long long)steps);
    error_at_input(err, "steps");
    error_fix(err, "use 1 to 10000 steps, and a denoise that is not near 0");
    return E_RANGE;
}

/* ---- schedules by table ---------------------------------------------------------------------------------- */

static Status schedule_simple(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    double stride = (double)m->count / (double)n;

    TRY(sigmas_alloc(n + 1, out, err));
    float *s = tensor_f32(*out);
    for (int64_t k = 0; k < n; k++)
        s[k] = m->table[m->count - 1 - (int64_t)((double)k * stride)];
    s[n] = 0;
    return OK;
}

/* points values on a straight line of timesteps, the first n of them kept, then 0 if asked. */
static Status schedule_line(const ModelSampling *m, int64_t points, int64_t n, bool zero,
                            Tensor **out, Error *err)
{
    float start = model_timestep(m, model_sigma_max(m));
    float end = model_timestep(m, model_sigma_min(m));

    TRY(sigmas_alloc(n + zero, out, err));
    float *s = tensor_f32(*out);
    for (int64_t i = 0; i < n; i++)
        s[i] = model_sigma_f32(m, linspace_at(start, end, points, i));
    if (zero) s[n] = 0;
    return OK;
}

static Status schedule_sgm_uniform(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    return schedule_line(m, n + 1, n, true, out, err);
}

/* Whether the reference takes v for 0. */
static bool near_zero(float v)
{
    return fabsf(v) <= 0.00001f;
}

static Status schedule_normal(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    if (near_zero(model_sigma_f32(m, model_timestep(m, model_sigma_min(m)))))
        return schedule_line(m, n + 1, n + 1, false, out, err);
    return schedule_line(m, n, n, true, out, err);
}

/* Table entries 1, 1+stride, ... reversed; a zero closes unless entry 1 already is one. */
static Status schedule_ddim_uniform(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    bool zero = !near_zero(m->table[1]);
    int64_t stride = m->count / (zero ? n : n + 1);
    if (stride < 1) stride = 1;
    int64_t taken = (m->count - 1 + stride - 1) / stride;

    TRY(sigmas_alloc(taken + zero, out, err));
    float *s = tensor_f32(*out);
    for (int64_t k = 0; k < taken; k++)
        s[taken - 1 - k] = m->table[1 + k * stride];
    if (zero) s[taken] = 0;
    return OK;
}

static Status schedule_karras(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    return sigmas_karras(n, (double)model_sigma_max(m), (double)model_sigma_min(m), 7.0, out,
                         err);
}

static Status schedule_exponential(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    return sigmas_exponential(n, (double)model_sigma_max(m), (double)model_sigma_min(m), out,
                              err);
}

static Status schedule_beta(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    return sigmas_beta(m, n, 0.6, 0.6, out, err);
}

/* First half linear from 0 to the threshold, second half a parabola from there to 1. */
static double linear_quadratic_at(int64_t i, int64_t n)
{
    const double threshold = 0.025;
    double linear = (double)(n / 2), rest = (double)(n - n / 2), x = (double)i;

    if (i >= n) return 1.0;
    if (i < n / 2) return x * threshold / linear;
    double diff = linear - threshold * (double)n;
    double quadratic = diff / (linear * (rest * rest));
    double slope = threshold / linear - 2 * diff / (rest * rest);
    return quadratic * (x * x) + slope * x + quadratic * (linear * linear);
}

static Status schedule_linear_quadratic(const ModelSampling *m, int64_t n, Tensor **out,
                                        Error *err)
{
    TRY(sigmas_alloc(n + 1, out, err));
    float *s = tensor_f32(*out);
    for (int64_t i = 0; i <= n; i++) {
        double noise = n == 1 ? (double)(1 - i) : 1.0 - linear_quadratic_at(i, n);
        s[i] = (float)noise * model_sigma_max(m);
    }
    return OK;
}

static Status schedule_kl_optimal(const ModelSampling *m, int64_t n, Tensor **out, Error *err)
{
    float low = (float)atan((double)model_sigma_min(m));
    float high = (float)atan((double)model_sigma_max(m));

    TRY(sigmas_alloc(n + 1, out, err));
    float *s = tensor_f32(*out);
    for (int64_t k = 0; k < n; k++) {
        float x = (float)k / (float)(n - 1);
        s[k] = tanf(x * low + (1.0f - x) * high);
    }
    s[n] = 0;
    return OK;
}

typedef struct ScheduleRow {
    const char *name;
    Status (*make)(const ModelSampling *m, int64_t n, Tensor **out, Error *err);
} ScheduleRow;

static const ScheduleRow schedules[] = {
    { "simple", schedule_simple },
    { "sgm_uniform", schedule_sgm_uniform },
    { "karras", schedule_karras },
    { "exponential", schedule_exponential },
    { "ddim_uniform", schedule_ddim_uniform },
    { "beta", schedule_beta },
    { "normal", schedule_normal },
    { "linear_quadratic", schedule_linear_quadratic },
    { "kl_optimal", schedule_kl_optimal },
};

enum { SCHEDULES = sizeof schedules / sizeof schedules[0] };

static const char *const schedule_names[] = { "simple",      "sgm_uniform",      "karras",
                                              "exponential", "ddim_uniform",     "beta",
                                              "normal",      "linear_quadratic", "kl_optimal",
                                              NULL };

const char *const *scheduler_names(void)
{
    return schedule_names;
}

Status sigmas_schedule(const ModelSampling *m, const char *name, int64_t steps, double denoise,
                       const Registry *registry, Tensor **out, Error *err)
{
    TRY(sigmas_check_steps(steps, err));
    for (int i = 0; i < SCHEDULES; i++)
        if (!strcmp(name, schedules[i].name)) return schedules[i].make(m, steps, out, err);
    if (registry && registry->scheduler && strchr(name, ':'))
        return registry->scheduler(registry->user, name, m, steps, denoise, out, err);
    const char *near = str_nearest(name, schedule_names, SCHEDULES);
    error_set(err, E_RANGE, "there is no scheduler \"%s\"", name);
    error_at_input(err, "scheduler");
    error_fix(err, "use %s", near ? near : "one of the scheduler menu");
    return E_RANGE;
}

/* ---- what nodes ask for ------------------------------------------------------------------------------------ */

/* Steps of the whole schedule of which `steps` are walked; 0 = nothing to do. */
static int64_t total_steps(int64_t steps, double denoise, double full)
{
    if (denoise > full) return steps;
    if (!(denoise > 0)) return 0;
    double total = (double)steps / denoise;
    return total > (double)SIGMAS_MAX_STEPS ? SIGMAS_MAX_STEPS + 1 : (int64_t)total;
}

Status sigmas_basic(const ModelSampling *m, const char *name, int64_t steps, double denoise,
                    const Registry *registry, Tensor **out, Error *err)
{
    Tensor *all;
    int64_t total = denoise >= 1.0 ? steps : total_steps(steps, denoise, 1.0);

    if (!(denoise > 0)) return sigmas_alloc(0, out, err);
    TRY(sigmas_schedule(m, name, total, denoise, registry, &all, err));
    return sigmas_keep_last(all, steps + 1, out, err);
}

/* The schedule of `steps` steps as the sampler wants it: one more with the last-but-one dropped. */
static Status discarded(const ModelSampling *m, const KSigmas *k, int64_t steps,
                        const Registry *registry, Tensor **out, Error *err)
{
    TRY(sigmas_schedule(m, k->scheduler, steps + k->discard, k->denoise, registry, out, err));
    int64_t n = (*out)->shape[0];
    if (!k->discard || n < 2) return OK;
    tensor_f32(*out)[n - 2] = tensor_f32(*out)[n - 1];
    Tensor *whole = *out;
    Status status = sigmas_range(whole, 0, n - 1, out, err);
    tensor_unref(whole);
    return status;
}

Status sigmas_ksampler(const ModelSampling *m, const KSigmas *k, const Registry *registry,
                       Tensor **out, Error *err)
{
    Tensor *s = NULL;
    int64_t total = total_steps(k->steps, k->denoise, 0.9999);

    if (k->denoise <= 0) return sigmas_alloc(0, out, err);
    TRY(discarded(m, k, total, registry, &s, err));
    if (k->denoise <= 0.9999) TRY(sigmas_keep_last(s, k->steps + 1, &s, err));
    int64_t n = s->shape[0], first = 0;
    if (k->last_step >= 0 && k->last_step < n - 1) {
        n = k->last_step + 1;
        if (k->force_full_denoise) tensor_f32(s)[n - 1] = 0;
    }
    if (k->start_step >= 0) first = k->start_step < n - 1 ? k->start_step : n;
    Status status = sigmas_range(s, first, n - first, out, err);
    tensor_unref(s);
    return status;
}
