/* guidance_after.c - hooks that bend the two estimates, or the guided one, without further model calls. */
#include <math.h>

#include "engine/sampling/guidance_impl.h"
#include "engine/sampling/sigmas.h"
#include "engine/tensor/ops.h"

/* A hook with up to two numbers. */
typedef struct Numbers {
    GuidanceHook base;
    double a, b;
} Numbers;

static Status numbers_new(GuidanceKind kind, const char *name, GuidanceRunFn run, double a,
                          double b, GuidanceHook **out, Error *err)
{
    Numbers *n = guidance_hook_new(sizeof *n, kind, name, run, err);
    if (!n) return E_NOMEM;
    n->a = a;
    n->b = b;
    *out = &n->base;
    return OK;
}

/* One item [C,h,w] of a tensor. */
static float *item_of(const Tensor *t, int64_t item)
{
    return tensor_f32(t) + item * (tensor_count(t) / t->shape[0]);
}

static double length(const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

/* ---- RenormCFG ---------------------------------------------------------------------------------- */

static Status renorm_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const Numbers *o = (const Numbers *)h;
    int64_t n = tensor_count(g->x) / g->x->shape[0];

    (void)state, (void)err;
    if ((double)g->sigma >= o->a) {
        tensor_copy(g->denoised, g->cond);
        return OK;
    }
    guidance_cfg(g->cond, g->uncond, g->scale, g->denoised);
    for (int64_t b = 0; o->b > 0 && b < g->x->shape[0]; b++) {
        float *d = item_of(g->denoised, b);
        double most = length(item_of(g->cond, b), n) * o->b, now = length(d, n);
        for (int64_t i = 0; now >= most && i < n; i++)
            d[i] *= (float)(most / now);
    }
    return OK;
}

Status guidance_renorm(double trunc, double renorm, GuidanceHook **out, Error *err)
{
    return numbers_new(GUIDE_CFG, "RenormCFG", renorm_run, trunc, renorm, out, err);
}

/* ---- scales along a batch of frames ------------------------------------------------------------------ */

static double frame_scale(bool triangle, double low, double high, int64_t i, int64_t n)
{
    double t = n > 1 ? (double)i / (double)(n - 1) : 0;
    if (triangle) t = 2 * fabs(t - floor(t + 0.5));
    return triangle ? t * (high - low) + low : low + t * (high - low);
}

static Status frames_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const Numbers *o = (const Numbers *)h;
    int64_t batch = g->x->shape[0], n = tensor_count(g->x) / batch;

    (void)state, (void)err;
    for (int64_t b = 0; b < batch; b++) {
        float w = (float)frame_scale(o->b != 0, o->a, g->scale, b, batch);
        const float *p = item_of(g->cond, b), *u = item_of(g->uncond, b);
        float *d = item_of(g->denoised, b);
        for (int64_t i = 0; i < n; i++)
            d[i] = u[i] + w * (p[i] - u[i]);
    }
    return OK;
}

Status guidance_frames(double min_cfg, bool triangle, GuidanceHook **out, Error *err)
{
    return numbers_new(GUIDE_CFG, triangle ? "VideoTriangleCFG" : "VideoLinearCFG", frames_run,
                       min_cfg, triangle, out, err);
}

/* ---- TCFG ("TCFG: Tangential Damping Classifier-free Guidance") ---------------------------------------- */

static double product(const float *x, const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)a[i]) * ((double)x[i] - (double)b[i]);
    return sum;
}

/* The negative noise of one item goes onto the first right singular vector of (negative, positive): v = (a u + b c)
 * / sqrt(top), with (a, b) the first eigenvector of their Gram matrix. */
static void damp(const float *x, const float *cond, float *uncond, int64_t n)
{
    double uu = product(x, uncond, uncond, n), cc = product(x, cond, cond, n),
           uc = product(x, uncond, cond, n);
    double top = (uu + cc) / 2 + sqrt((uu - cc) * (uu - cc) / 4 + uc * uc);
    double a = uc, b = top - uu, norm;

    if (fabs(a) + fabs(b) == 0) { /* orthogonal: the longer one is the axis */
        a = uu >= cc;
        b = uu < cc;
    }
    norm = sqrt(a * a + b * b);
    a /= norm;
    b /= norm;
    double k = top > 0 ? (a * uu + b * uc) / top : 0;
    for (int64_t i = 0; i < n; i++) {
        double u = (double)x[i] - (double)uncond[i], c = (double)x[i] - (double)cond[i];
        uncond[i] = (float)((double)x[i] - k * (a * u + b * c));
    }
}

static Status tangential_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    int64_t n = tensor_count(g->x) / g->x->shape[0];

    (void)h, (void)state, (void)err;
    for (int64_t b = 0; !g->uncond_skipped && b < g->x->shape[0]; b++)
        damp(item_of(g->x, b), item_of(g->cond, b), item_of(g->uncond, b), n);
    return OK;
}

Status guidance_tangential(GuidanceHook **out, Error *err)
{
    return numbers_new(GUIDE_PRE, "TCFG", tangential_run, 0, 0, out, err);
}

/* ---- Mahiro ---------------------------------------------------------------------------------------- */

static double signed_root(double v)
{
    return copysign(sqrt(fabs(v)), v);
}

/* Cosine over channels of the roots of scaled U and of the middle between scaled P and the guided estimate. */
static double similarity(const GuidanceStep *g, int64_t item, int64_t cell, GuidanceItems it)
{
    const float *p = item_of(g->cond, item) + cell, *u = item_of(g->uncond, item) + cell;
    const float *d = item_of(g->denoised, item) + cell;
    double dot = 0, uu = 0, mm = 0;

    for (int64_t k = 0; k < it.channels * it.plane; k += it.plane) {
        double a = signed_root((double)u[k] * g->scale);
        double m = signed_root(((double)p[k] * g->scale + (double)d[k]) / 2);
        dot += a * m;
        uu += a * a;
        mm += m * m;
    }
    return dot / (fmax(sqrt(uu), 1e-8) * fmax(sqrt(mm), 1e-8));
}

static Status mahiro_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    GuidanceItems it = guidance_items(g->x);
    double sum = 0;

    (void)h, (void)state, (void)err;
    for (int64_t i = 0; i < it.batch * it.plane; i++)
        sum += similarity(g, i / it.plane, i % it.plane, it);
    double s = 2 * (sum / (double)(it.batch * it.plane) + 1);
    tensor_axby(g->denoised, g->denoised, (float)(s / 4), g->cond,
                (float)((4 - s) / 4 * g->scale));
    return OK;
}

Status guidance_mahiro(GuidanceHook **out, Error *err)
{
    return numbers_new(GUIDE_POST, "Mahiro", mahiro_run, 0, 0, out, err);
}

/* ---- Epsilon Scaling ("Elucidating the Exposure Bias in Diffusion Models") ------------------------------- */

static Status epsilon_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    float f = (float)((const Numbers *)h)->a;
    int64_t n = tensor_count(g->x);

    (void)state, (void)err;
    for (int64_t i = 0; i < n; i++) {
        float x = tensor_f32(g->x)[i];
        tensor_f32(g->denoised)[i] = x - (x - tensor_f32(g->denoised)[i]) / f;
    }
    return OK;
}

Status guidance_epsilon_scaling(double factor, GuidanceHook **out, Error *err)
{
    return numbers_new(GUIDE_POST, "Epsilon Scaling", epsilon_run, factor, 0, out, err);
}

/* ---- Temporal Score Rescaling (arXiv 2510.01184, equation 6) ---------------------------------------------- */

/* Of a flow at sigma: alpha = 1 - sigma, signal to noise ratio (alpha / sigma)^2. */
static Status tsr_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const Numbers *o = (const Numbers *)h;
    double sigma = (double)g->sigma, alpha = 1 - sigma, k = o->a, variance = o->b * o->b;
    double snr = alpha * alpha / (sigma * sigma);

    (void)state, (void)err;
    if (k == 1 || sigma == 0 || snr == 0) return OK;
    double r = (snr * variance + 1) / (snr * variance / k + 1);
    tensor_axby(g->denoised, g->x, (float)((1 - r) / alpha), g->denoised, (float)r);
    return OK;
}

Status guidance_tsr(double k, double sigma, GuidanceHook **out, Error *err)
{
    return numbers_new(GUIDE_POST, "TSR", tsr_run, k, sigma, out, err);
}
