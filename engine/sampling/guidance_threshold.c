/* guidance_threshold.c - guidance that keeps the estimate's range: dynamic thresholding and its extension. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/guidance_impl.h"

static const double PI = 3.14159265358979323846;

/* ---- quantiles ----------------------------------------------------------------------------------------- */

/* Puts the k-th smallest of n values in place, smaller ones before it (Hoare's selection); no NaN. */
static void select_rank(float *v, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        float pivot = v[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i > j) break;
            float swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return;
    }
}

double guidance_quantile(const float *v, int64_t n, double q, float *scratch)
{
    double rank = fmin(fmax(q, 0), 1) * (double)(n - 1);
    int64_t k = (int64_t)rank;

    for (int64_t i = 0; i < n; i++) {
        if (isnan(v[i])) return (double)NAN;
        scratch[i] = v[i];
    }
    select_rank(scratch, n, k);
    double below = (double)scratch[k], share = rank - (double)k;
    if (share == 0 || k + 1 >= n) return below;
    float above = scratch[k + 1];
    for (int64_t i = k + 2; i < n; i++)
        if (scratch[i] < above) above = scratch[i];
    return below + share * ((double)above - below);
}

/* ---- work memory ----------------------------------------------------------------------------------------- */

/* Three items' worth of floats per run. */
typedef struct Work {
    float *mimic, *magnitude, *sorted;
    double *mean; /* per channel */
} Work;

static void work_end(const GuidanceHook *h, void *state)
{
    Work *w = state;
    (void)h;
    mem_free(w->mimic);
    mem_free(w->magnitude);
    mem_free(w->sorted);
    mem_free(w->mean);
    mem_free(w);
}

static Status work_begin(const GuidanceHook *h, const Tensor *x, void **state, Error *err)
{
    GuidanceItems it = guidance_items(x);
    size_t n = (size_t)(it.channels * it.plane);
    Work *w = mem_calloc(1, sizeof *w);

    if (!w) return error_set(err, E_NOMEM, "out of memory");
    w->mimic = mem_alloc_array(n, sizeof *w->mimic);
    w->magnitude = mem_alloc_array(n, sizeof *w->magnitude);
    w->sorted = mem_alloc_array(n, sizeof *w->sorted);
    w->mean = mem_alloc_array((size_t)it.channels, sizeof *w->mean);
    if (!w->mimic || !w->magnitude || !w->sorted || !w->mean) {
        work_end(h, w);
        return error_set(err, E_NOMEM, "out of memory");
    }
    *state = w;
    return OK;
}

/* ---- dynamic thresholding ("Photorealistic Text-to-Image Diffusion Models with Deep Language
 * Understanding") ---- */

typedef struct Threshold {
    GuidanceHook base;
    double percentile, min_s;
} Threshold;

static Status threshold_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const Threshold *t = (const Threshold *)h;
    Work *w = state;
    GuidanceItems it = guidance_items(g->denoised);
    int64_t n = it.channels * it.plane;

    (void)err;
    for (int64_t b = 0; b < it.batch; b++) {
        float *d = tensor_f32(g->denoised) + b * n;
        for (int64_t i = 0; i < n; i++)
            w->magnitude[i] = fabsf(d[i]);
        double s =
            fmax(t->min_s, guidance_quantile(w->magnitude, n, t->percentile / 100, w->sorted));
        for (int64_t i = 0; i < n; i++)
            d[i] = (float)(fmin(fmax((double)d[i], -s), s) / s);
    }
    return OK;
}

Status guidance_dynamic_threshold(double percentile, double min_s, GuidanceHook **out,
                                  Error *err)
{
    Threshold *t =
        guidance_hook_new(sizeof *t, GUIDE_POST, "dynamic thresholding", threshold_run, err);
    if (!t) return E_NOMEM;
    t->base.begin = work_begin;
    t->base.end = work_end;
    t->percentile = percentile;
    t->min_s = min_s;
    *out = &t->base;
    return OK;
}

/* ---- the extension: guide strongly, but with the range of a weaker guidance --------------------------------- */

typedef struct Mimic {
    GuidanceHook base;
    MimicCfg c;
} Mimic;

static const char *const curve_names[] = { "Constant",    "Linear Down", "Linear Up",
                                           "Cosine Down", "Cosine Up",   "Power Down",
                                           "Power Up" };

Status guidance_mimic_curve(const char *name, MimicCurve *out, Error *err)
{
    for (int i = 0; i <= MIMIC_POWER_UP; i++) {
        if (strcmp(name, curve_names[i])) continue;
        *out = (MimicCurve)i;
        return OK;
    }
    return error_set(err, E_RANGE, "there is no curve \"%s\"", name);
}

/* A scale at progress u of the run. */
static double curve_at(MimicCurve curve, double scale, double low, double power, double u)
{
    double f = 1;

    if (curve == MIMIC_LINEAR_DOWN) f = 1 - u;
    if (curve == MIMIC_LINEAR_UP) f = u;
    if (curve == MIMIC_COSINE_DOWN) f = cos(u * PI / 2);
    if (curve == MIMIC_COSINE_UP) f = 1 - cos(u * PI / 2);
    if (curve == MIMIC_POWER_DOWN) f = pow(1 - u, power);
    if (curve == MIMIC_POWER_UP) f = pow(u, power);
    return curve == MIMIC_CONSTANT ? scale : low + (scale - low) * f;
}

/* Subtracts each channel's mean; means (may be NULL) gets them. */
static void centre(float *v, int64_t channels, int64_t plane, double *means)
{
    for (int64_t c = 0; c < channels; c++, v += plane) {
        double sum = 0;
        for (int64_t i = 0; i < plane; i++)
            sum += (double)v[i];
        double mean = sum / (double)plane;
        for (int64_t i = 0; i < plane; i++)
            v[i] = (float)((double)v[i] - mean);
        if (means) means[c] = mean;
    }
}

/* Brings n values of dyn into the range of mim, in place. */
static void match_range(const MimicCfg *c, float *dyn, const float *mim, int64_t n, Work *w,
                        float *magnitude)
{
    if (c->std) {
        double ratio = guidance_std(mim, n) / guidance_std(dyn, n);
        for (int64_t i = 0; i < n; i++)
            dyn[i] = (float)((double)dyn[i] * ratio);
        return;
    }
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, (double)fabsf(mim[i]));
        magnitude[i] = fabsf(dyn[i]);
    }
    double limit = fmax(most, guidance_quantile(magnitude, n, c->percentile, w->sorted));
    for (int64_t i = 0; i < n; i++)
        dyn[i] = (float)(fmin(fmax((double)dyn[i], -limit), limit) * most / limit);
}

/* One item: out = U + scale (P - U), given the range of the mimicked scale. */
static void mimic_item(const MimicCfg *c, const float *p, const float *u, float *out,
                       const GuidanceItems *it, double scale, double mimic, Work *w)
{
    int64_t n = it->channels * it->plane, part = c->separate_channels ? it->plane : n;
    double phi = c->interpolate_phi;

    for (int64_t i = 0; i < n; i++) {
        double d = (double)p[i] - (double)u[i];
        out[i] = (float)((double)u[i] + scale * d);
        w->mimic[i] = (float)((double)u[i] + mimic * d);
    }
    if (c->center_mean) {
        centre(w->mimic, it->channels, it->plane, NULL);
        centre(out, it->channels, it->plane, w->mean);
    }
    for (int64_t at = 0; at < n; at += part)
        match_range(c, out + at, w->mimic + at, part, w, w->magnitude);
    for (int64_t i = 0; i < n; i++) {
        double full = (double)out[i] + (c->center_mean ? w->mean[i / it->plane] : 0);
        double plain = (double)u[i] + scale * ((double)p[i] - (double)u[i]);
        out[i] = (float)(phi * full + (1 - phi) * plain);
    }
}

static Status mimic_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const MimicCfg *c = &((const Mimic *)h)->c;
    GuidanceItems it = guidance_items(g->x);
    int64_t n = it.channels * it.plane;
    double u = g->steps > 1 ? (double)g->step / (g->steps - 1) : 0;
    double scale = curve_at(c->cfg_mode, g->scale, c->cfg_scale_min, c->power, u);
    double mimic = curve_at(c->mimic_mode, c->mimic_scale, c->mimic_scale_min, c->power, u);

    (void)err;
    for (int64_t b = 0; b < it.batch; b++)
        mimic_item(c, tensor_f32(g->cond) + b * n, tensor_f32(g->uncond) + b * n,
                   tensor_f32(g->denoised) + b * n, &it, scale, mimic, state);
    return OK;
}

Status guidance_mimic(const MimicCfg *m, GuidanceHook **out, Error *err)
{
    Mimic *h = guidance_hook_new(sizeof *h, GUIDE_CFG, "DynamicThresholding", mimic_run, err);
    if (!h) return E_NOMEM;
    h->base.begin = work_begin;
    h->base.end = work_end;
    h->c = *m;
    *out = &h->base;
    return OK;
}
