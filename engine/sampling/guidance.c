/* guidance.c - lists of hooks, classifier-free guidance, and the built-in variants of it. */
#include "engine/sampling/guidance.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/denoiser.h"
#include "engine/sampling/guidance_impl.h"
#include "engine/tensor/ops.h"


/* ---- lists ------------------------------------------------------------------------------------------- */

static bool only_one(GuidanceKind k)
{
    return k == GUIDE_CFG || k == GUIDE_MASK;
}

Status guidance_list_add(GuidanceList *l, const GuidanceHook *h, Error *err)
{
    for (int i = 0; i < l->count; i++) {
        if (!only_one(h->kind) || l->hooks[i]->kind != h->kind) continue;
        ref_take(h);
        ref_drop(l->hooks[i]);
        l->hooks[i] = h;
        return OK;
    }
    const GuidanceHook **grown = mem_realloc(l->hooks, ((size_t)l->count + 1) * sizeof *grown);
    if (!grown) return error_set(err, E_NOMEM, "out of memory");
    l->hooks = grown;
    grown[l->count++] = ref_take(h);
    return OK;
}

Status guidance_list_copy(const GuidanceList *l, GuidanceList *out, Error *err)
{
    GuidanceList copy = { 0 };

    for (int i = 0; i < l->count; i++) {
        Status status = guidance_list_add(&copy, l->hooks[i], err);
        if (status == OK) continue;
        guidance_list_fini(&copy);
        return status;
    }
    *out = copy;
    return OK;
}

void guidance_list_fini(GuidanceList *l)
{
    for (int i = 0; i < l->count; i++)
        ref_drop(l->hooks[i]);
    mem_free(l->hooks);
    memset(l, 0, sizeof *l);
}

void denoiser_fini(Denoiser *d)
{
    ref_drop(d->sampling);
    guidance_list_fini(&d->hooks);
    ref_drop(d->around);
    d->around = NULL;
    d->sampling = NULL;
}

/* ---- what the built-ins share -------------------------------------------------------------------------- */

void *guidance_hook_new(size_t size, GuidanceKind kind, const char *name, GuidanceRunFn run,
                        Error *err)
{
    GuidanceHook *h = mem_calloc(1, size);
    if (!h) {
        error_set(err, E_NOMEM, "out of memory");
        return NULL;
    }
    ref_init(&h->ref, mem_free);
    h->kind = kind;
    h->name = name;
    h->run = run;
    return h;
}

GuidanceItems guidance_items(const Tensor *t)
{
    GuidanceItems g = { t->shape[0], t->shape[1], t->shape[2] * t->shape[3] };
    return g;
}

void guidance_cfg(const Tensor *cond, const Tensor *uncond, double scale, Tensor *out)
{
    const float *p = tensor_f32(cond), *u = tensor_f32(uncond);
    float *o = tensor_f32(out), w = (float)scale;
    int64_t n = tensor_count(out);

    for (int64_t i = 0; i < n; i++)
        o[i] = u[i] + (p[i] - u[i]) * w;
}

/* Sample standard deviation of n values. */
double guidance_std(const float *v, int64_t n)
{
    double sum = 0, squares = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)v[i] - mean;
        squares += d * d;
    }
    return sqrt(squares / (double)(n - 1));
}

/* ---- RescaleCFG ("Common Diffusion Noise Schedules and Sample Steps are Flawed") ----------------------- */

typedef struct RescaleCfg {
    GuidanceHook base;
    double multiplier;
} RescaleCfg;

/* Works on v of a variance-preserving model, whatever the model is. p, u, x, out: one item of n values;
 * out holds the guided v in between, p's deviation is taken without storing v of P. */
static void rescale_item(const float *x, const float *p, const float *u, float *out, int64_t n,
                         float sigma, float scale, float m)
{
    float square = sigma * sigma + 1.0f, root = sqrtf(square), to_v = root / sigma;
    double sum = 0, squares = 0;

    for (int64_t i = 0; i < n; i++) {
        float y = x[i] / square, vp = (y - p[i]) * to_v, vu = (y - u[i]) * to_v;
        out[i] = vu + scale * (vp - vu);
        sum += (double)vp;
    }
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)((x[i] / square - p[i]) * to_v) - mean;
        squares += d * d;
    }
    float ratio = (float)(sqrt(squares / (double)(n - 1)) / guidance_std(out, n));
    for (int64_t i = 0; i < n; i++) {
        float f = m * (out[i] * ratio) + (1.0f - m) * out[i];
        out[i] = x[i] / square - f * sigma / root;
    }
}

static Status rescale_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const RescaleCfg *r = (const RescaleCfg *)h;
    GuidanceItems it = guidance_items(g->x);
    int64_t n = it.channels * it.plane;

    (void)state, (void)err;
    for (int64_t b = 0; b < it.batch; b++)
        rescale_item(tensor_f32(g->x) + b * n, tensor_f32(g->cond) + b * n,
                     tensor_f32(g->uncond) + b * n, tensor_f32(g->denoised) + b * n, n,
                     g->sigma, (float)g->scale, (float)r->multiplier);
    return OK;
}

Status guidance_rescale_cfg(double multiplier, GuidanceHook **out, Error *err)
{
    RescaleCfg *r = guidance_hook_new(sizeof *r, GUIDE_CFG, "RescaleCFG", rescale_run, err);
    if (!r) return E_NOMEM;
    r->multiplier = multiplier;
    *out = &r->base;
    return OK;
}

/* ---- CFGZeroStar ("CFG-Zero*: Improved Classifier-Free Guidance for Flow Matching Models") ---------------- */

/* How much of U's velocity explains P's: <x-P, x-U> / |x-U|^2. */
static float zero_star_scale(const float *x, const float *p, const float *u, int64_t n)
{
    double dot = 0, square = 0;

    for (int64_t i = 0; i < n; i++) {
        float a = x[i] - p[i], b = x[i] - u[i];
        dot += (double)(a * b);
        square += (double)(b * b);
    }
    return (float)(dot / (square + 1e-8));
}

static Status zero_star_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    GuidanceItems it = guidance_items(g->x);
    int64_t n = it.channels * it.plane;

    (void)h, (void)state, (void)err;
    for (int64_t b = 0; b < it.batch; b++) {
        const float *u = tensor_f32(g->uncond) + b * n;
        float *d = tensor_f32(g->denoised) + b * n, w = (float)g->scale;
        float a = zero_star_scale(tensor_f32(g->x) + b * n, tensor_f32(g->cond) + b * n, u, n);
        for (int64_t i = 0; i < n; i++)
            d[i] = d[i] + u[i] * (a - 1.0f) + w * u[i] * (1.0f - a);
    }
    return OK;
}

Status guidance_cfg_zero_star(GuidanceHook **out, Error *err)
{
    GuidanceHook *h =
        guidance_hook_new(sizeof *h, GUIDE_POST, "CFGZeroStar", zero_star_run, err);
    if (!h) return E_NOMEM;
    *out = h;
    return OK;
}

/* ---- CFGNorm -------------------------------------------------------------------------------------------- */

typedef struct CfgNorm {
    GuidanceHook base;
    double strength;
} CfgNorm;

/* Norm over channels at one pixel. */
static float pixel_norm(const float *v, int64_t channels, int64_t plane)
{
    double sum = 0;
    for (int64_t c = 0; c < channels; c++)
        sum += (double)(v[c * plane] * v[c * plane]);
    return (float)sqrt(sum);
}

static Status norm_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    float strength = (float)((const CfgNorm *)h)->strength;
    GuidanceItems it = guidance_items(g->x);

    (void)state, (void)err;
    for (int64_t i = 0; i < it.batch * it.plane; i++) {
        int64_t at = i / it.plane * it.channels * it.plane + i % it.plane;
        float *d = tensor_f32(g->denoised) + at;
        float p = pixel_norm(tensor_f32(g->cond) + at, it.channels, it.plane);
        float scale = p / (pixel_norm(d, it.channels, it.plane) + 1e-8f);
        scale = fminf(fmaxf(scale, 0), 1);
        for (int64_t c = 0; c < it.channels; c++)
            d[c * it.plane] = d[c * it.plane] * scale * strength;
    }
    return OK;
}

Status guidance_cfg_norm(double strength, GuidanceHook **out, Error *err)
{
    CfgNorm *n = guidance_hook_new(sizeof *n, GUIDE_POST, "CFGNorm", norm_run, err);
    if (!n) return E_NOMEM;
    n->strength = strength;
    *out = &n->base;
    return OK;
}

/* ---- APG ("Eliminating Oversaturation and Artifacts of High Guidance Scales in Diffusion Models") --------- */

typedef struct Apg {
    GuidanceHook base;
    double eta, norm_threshold, momentum;
} Apg;

typedef struct ApgState {
    Tensor *g; /* the guidance of this step; with momentum also its running average */
    bool has_average, has_sigma;
    float sigma;
} ApgState;

static void apg_end(const GuidanceHook *h, void *state)
{
    ApgState *s = state;
    (void)h;
    tensor_unref(s->g);
    mem_free(s);
}

static Status apg_begin(const GuidanceHook *h, const Tensor *x, void **state, Error *err)
{
    ApgState *s = mem_calloc(1, sizeof *s);
    if (!s) return error_set(err, E_NOMEM, "out of memory");
    Status status = tensor_new(K_F32, x->ndim, x->shape, &s->g, err);
    if (status != OK) {
        apg_end(h, s);
        return status;
    }
    *state = s;
    return OK;
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Rewrites P of one item: the guidance g is shortened, split along P, and the part along P weighted. The
 * running average keeps the unshortened g, so shortening goes into the formula. */
static void apg_item(const Apg *a, const float *g, float *p, const float *u, int64_t n,
                     float scale)
{
    double shorten = 1, norm = sqrt(dot(g, g, n)), length = fmax(sqrt(dot(p, p, n)), 1e-12);

    if (a->norm_threshold > 0) shorten = fmin(1, a->norm_threshold / norm);
    double along = dot(g, p, n) * shorten / length;
    float keep = (float)shorten, par = (float)(along / length), eta = (float)a->eta;
    for (int64_t i = 0; i < n; i++) {
        float parallel = par * p[i], orthogonal = keep * g[i] - parallel;
        p[i] = (u[i] + (orthogonal + eta * parallel)) + (p[i] - u[i]) / scale;
    }
}

static Status apg_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const Apg *a = (const Apg *)h;
    ApgState *s = state;
    GuidanceItems it = guidance_items(g->x);
    int64_t n = it.channels * it.plane, total = n * it.batch;
    const float *u = tensor_f32(g->uncond);
    float *p = tensor_f32(g->cond), *avg = tensor_f32(s->g), m = (float)a->momentum;

    (void)err;
    if (s->has_sigma && g->sigma > s->sigma) s->has_average = false;
    s->has_sigma = true;
    s->sigma = g->sigma;
    bool mix = m != 0 && s->has_average;
    for (int64_t i = 0; i < total; i++)
        avg[i] = mix ? m * avg[i] + (p[i] - u[i]) : p[i] - u[i];
    s->has_average = true;
    for (int64_t b = 0; b < it.batch; b++)
        apg_item(a, avg + b * n, p + b * n, u + b * n, n, (float)g->scale);
    return OK;
}

Status guidance_apg(double eta, double norm_threshold, double momentum, GuidanceHook **out,
                    Error *err)
{
    Apg *a = guidance_hook_new(sizeof *a, GUIDE_PRE, "APG", apg_run, err);
    if (!a) return E_NOMEM;
    a->base.begin = apg_begin;
    a->base.end = apg_end;
    a->eta = eta;
    a->norm_threshold = norm_threshold;
    a->momentum = momentum;
    *out = &a->base;
    return OK;
}

/* ---- DifferentialDiffusion ("Differential Diffusion: Giving Each Pixel Its Strength") --------------------- */

typedef struct Differential {
    GuidanceHook base;
    double strength;
} Differential;

static Status differential_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const ModelSampling *s = g->sampling;
    double strength = ((const Differential *)h)->strength;
    int64_t n = tensor_count(g->mask), count = g->sigmas->shape[0];
    const float *sigmas = tensor_f32(g->sigmas);
    float last = fmaxf(sigmas[count - 1], model_sigma_min(s)), k = (float)strength;
    float from = model_timestep(s, sigmas[0]), to = model_timestep(s, last);
    float threshold = (model_timestep(s, g->sigma) - to) / (from - to),
          *m = tensor_f32(g->mask);

    (void)state, (void)err;
    for (int64_t i = 0; i < n; i++) {
        float binary = m[i] >= threshold ? 1.0f : 0.0f;
        m[i] = strength > 0 && strength < 1 ? k * binary + (1.0f - k) * m[i] : binary;
    }
    return OK;
}

Status guidance_differential(double strength, GuidanceHook **out, Error *err)
{
    Differential *d = guidance_hook_new(sizeof *d, GUIDE_MASK, "DifferentialDiffusion",
                                        differential_run, err);
    if (!d) return E_NOMEM;
    d->strength = strength;
    *out = &d->base;
    return OK;
}

/* ---- SkipLayerGuidance (as published with Stable Diffusion 3.5) -------------------------------------------- */

typedef struct SkipHook {
    GuidanceHook base;
    SkipLayers s;
    BlockSkip skip;
    int blocks[]; /* double ones, then single ones */
} SkipHook;

static bool skips_at(const SkipLayers *s, const GuidanceStep *g)
{
    double first = model_percent_to_sigma(g->sampling, s->start_percent);
    double last = model_percent_to_sigma(g->sampling, s->end_percent);
    return (double)g->sigma <= first && (double)g->sigma >= last;
}

static Status skip_negative(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const SkipHook *k = (const SkipHook *)h;
    (void)state, (void)err;
    if (skips_at(&k->s, g)) g->negative_skip = &k->skip;
    return OK;
}

static void skip_end(const GuidanceHook *h, void *state)
{
    (void)h;
    tensor_unref(state);
}

static Status skip_begin(const GuidanceHook *h, const Tensor *x, void **state, Error *err)
{
    Tensor *t;
    (void)h;
    TRY(tensor_new(K_F32, x->ndim, x->shape, &t, err));
    *state = t;
    return OK;
}

static Status skip_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const SkipHook *k = (const SkipHook *)h;
    Tensor *without = state;

    if (!(k->s.scale > 0) || !skips_at(&k->s, g)) return OK;
    TRY(g->again(g, &k->skip, without, err));
    tensor_sub(without, g->cond, without);
    tensor_add_scaled(g->denoised, without, (float)k->s.scale);
    if (k->s.rescale == 0) return OK;
    int64_t n = tensor_count(g->cond);
    double f = guidance_std(tensor_f32(g->cond), n) / guidance_std(tensor_f32(g->denoised), n);
    tensor_affine(g->denoised, g->denoised, (float)(k->s.rescale * f + (1 - k->s.rescale)), 0);
    return OK;
}

Status guidance_skip_layers(const SkipLayers *s, GuidanceHook **out, Error *err)
{
    size_t doubles = (size_t)s->double_count * sizeof(int),
           singles = (size_t)s->single_count * sizeof(int);
    SkipHook *k = guidance_hook_new(
        sizeof *k + doubles + singles, s->negative_only ? GUIDE_SCALE : GUIDE_POST,
        "SkipLayerGuidance", s->negative_only ? skip_negative : skip_run, err);
    if (!k) return E_NOMEM;
    if (!s->negative_only) {
        k->base.begin = skip_begin;
        k->base.end = skip_end;
    }
    k->s = *s;
    if (doubles) memcpy(k->blocks, s->double_blocks, doubles);
    if (singles) memcpy(k->blocks + s->double_count, s->single_blocks, singles);
    k->skip =
        (BlockSkip){ k->blocks, k->blocks + s->double_count, s->double_count, s->single_count };
    *out = &k->base;
    return OK;
}
