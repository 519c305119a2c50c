/* samplers_sde.c - stochastic exponential integrators: ER-SDE, SEEDS, SA-Solver. */
#include <string.h>

#include "engine/sampling/samplers_impl.h"

/* ---- ER-SDE ("Elucidating the Solution Space of Extended Reverse-Time SDE for Diffusion Models") ------- */

enum { ER_POINTS = 200 };

static float er_scaler(const SamplerOptions *o, float v)
{
    if (o->er_reverse) return powf(v, (float)(o->eta + 1));
    return v * (expf(powf(v, 0.3f)) + 10.0f);
}

/* Sums over the rectangle points of one step: of 1/F and of (p - qs)/F. */
static void er_integrals(const SamplerOptions *o, float qs, float qt, float *plain,
                         float *moment)
{
    float step = -(qt - qs) / (float)ER_POINTS;
    double sum = 0, first = 0;

    for (int i = 0; i < ER_POINTS; i++) {
        float p = qt + (float)i * step, f = er_scaler(o, p);
        sum += (double)(1.0f / f);
        first += (double)((p - qs) / f);
    }
    *plain = (float)sum * step;
    *moment = (float)first * step;
}

/* q(sigma) = sigma / (1 - sigma), the noise over the signal. */
static float er_ratio(const SamplerRun *r, int k)
{
    return expf(-lambda_of(run_sigma_offset(r, k)));
}

Status sampler_er_sde(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *w[5];

    TRY(run_temps(r, w, 5, err));
    Tensor *D = w[0], *old = w[1], *slope = w[2], *old_slope = w[3], *z = w[4];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = run_sigma_offset(r, k), t = r->sigmas[k + 1];
        int stage = k + 1 < o->max_stage ? k + 1 : o->max_stage;
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        if (t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        float qs = er_ratio(r, k), qt = er_ratio(r, k + 1), at = t / qt, as = s / qs;
        float ft = er_scaler(o, qt), ratio = ft / er_scaler(o, qs), plain, moment, dt = qt - qs;
        vec_mix2(r->x, at / as * ratio, r->x, at * (1.0f - ratio), D);
        er_integrals(o, qs, qt, &plain, &moment);
        if (stage >= 2) {
            vec_derivative(slope, D, old, qs - er_ratio(r, k - 1));
            tensor_add_scaled(r->x, slope, at * (dt + plain * ft));
        }
        if (stage >= 3) {
            float c = at * (dt * dt / 2.0f + moment * ft) / ((qs - er_ratio(r, k - 2)) / 2.0f);
            vec_mix3(r->x, 1, r->x, c, slope, -c, old_slope);
        }
        if (o->s_noise > 0) {
            float spread = sqrtf(qt * qt - qs * qs * (ratio * ratio));
            run_noise(r, s, t, z);
            if (spread > 0) tensor_add_scaled(r->x, z, at * (float)o->s_noise * spread);
        }
        tensor_copy(old, D);
        tensor_copy(old_slope, slope);
    }
    return OK;
}

/* ---- SEEDS ("Exponential SDE Solvers for Fast High-Quality Sampling from Diffusion Models") -------------- */

/* One step in half log-SNR. z carries the noise of the stages made so far. */
typedef struct Seeds {
    SamplerRun *r;
    float s, t, l, lt, h, he;
    bool noise;
    Tensor *z, *fresh;
} Seeds;

static void seeds_step(Seeds *e, SamplerRun *r, int k)
{
    const SamplerOptions *o = r->options;
    e->r = r;
    e->s = run_sigma_offset(r, k);
    e->t = r->sigmas[k + 1];
    e->l = lambda_of(e->s);
    e->lt = lambda_of(e->t);
    e->h = e->lt - e->l;
    e->he = e->h * (float)(o->eta + 1);
    e->noise = o->eta > 0 && o->s_noise > 0;
}

/* lambda at `part` of the way, with the reference's two-sided interpolation. */
static float seeds_lambda(const Seeds *e, float part)
{
    return part < 0.5f ? e->l + part * e->h : e->lt - e->h * (1.0f - part);
}

/* Carries z from `part` `from` to `to` of the step, drawing between sigmas a and b, and adds it to x. */
static void seeds_noise(Seeds *e, Tensor *x, float from, float to, float a, float b)
{
    const SamplerOptions *o = e->r->options;
    float q = (from - to) * e->h * (float)o->eta;

    if (!e->noise) return;
    run_noise(e->r, a, b, e->fresh);
    float grown = sqrtf(-expm1f(2.0f * q));
    vec_mix2(e->z, from > 0 ? expf(q) : 0, e->z, grown, e->fresh);
    tensor_add_scaled(x, e->z, b * (float)o->s_noise);
}

/* Weight of the second estimate, phi_2(-v)-like: (expm1(-v) + v) / -v. */
static float seeds_phi_2(float v)
{
    return (expm1f(-v) + v) / -v;
}

/* x2 at `part` of the step from D alone: returns sigma and alpha there. */
static float seeds_first_stage(Seeds *e, float part, const Tensor *D, Tensor *x2)
{
    float l1 = seeds_lambda(e, part), s1 = sigma_of(l1), eta = (float)e->r->options->eta;
    vec_mix2(x2, s1 / e->s * expf(-part * e->h * eta), e->r->x,
             -s1 * expf(l1) * expm1f(-part * e->he), D);
    return s1;
}

/* x at `part` of the step (1: the end) from D and a later estimate with weights b1 and b2. */
static void seeds_two_points(Seeds *e, Tensor *out, float part, float sigma, float lambda,
                             const Tensor *D, float b1, const Tensor *D2, float b2)
{
    float alpha = sigma * expf(lambda), eta = (float)e->r->options->eta;
    vec_mix3(out, sigma / e->s * expf(-part * e->h * eta), e->r->x, -alpha * b1, D, -alpha * b2,
             D2);
}

Status sampler_seeds_2(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    float part = (float)o->r, f = (float)(1 / (2 * o->r));
    Tensor *w[5];
    Seeds e = { 0 };

    TRY(run_temps(r, w, 5, err));
    Tensor *D = w[0], *x2 = w[1], *D2 = w[2];
    e.z = w[3];
    e.fresh = w[4];
    tensor_fill(e.z, 0);
    for (int k = 0; k + 1 < r->count; k++) {
        seeds_step(&e, r, k);
        TRY(run_denoise(r, r->x, e.s, D, err));
        run_step(r, k, D, r->x);
        if (e.t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        float s1 = seeds_first_stage(&e, part, D, x2);
        seeds_noise(&e, x2, 0, part, e.s, s1);
        TRY(run_stage(r, x2, s1, D2, err));
        float whole = expm1f(-e.he), b2 = o->phi_2 ? seeds_phi_2(e.he) / part : f * whole;
        seeds_two_points(&e, r->x, 1, e.t, e.lt, D, whole - b2, D2, b2);
        seeds_noise(&e, r->x, part, 1, s1, e.t);
    }
    return OK;
}

Status sampler_seeds_3(SamplerRun *r, Error *err)
{
    float r1 = (float)r->options->r, r2 = (float)r->options->r2;
    Tensor *w[6];
    Seeds e = { 0 };

    TRY(run_temps(r, w, 6, err));
    Tensor *D = w[0], *u = w[1], *D2 = w[2], *D3 = w[3];
    e.z = w[4];
    e.fresh = w[5];
    tensor_fill(e.z, 0);
    for (int k = 0; k + 1 < r->count; k++) {
        seeds_step(&e, r, k);
        TRY(run_denoise(r, r->x, e.s, D, err));
        run_step(r, k, D, r->x);
        if (e.t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        float s1 = seeds_first_stage(&e, r1, D, u);
        seeds_noise(&e, u, 0, r1, e.s, s1);
        TRY(run_stage(r, u, s1, D2, err));

        float l2 = seeds_lambda(&e, r2), s2 = sigma_of(l2);
        float a32 = r2 / r1 * seeds_phi_2(r2 * e.he), a31 = expm1f(-r2 * e.he) - a32;
        seeds_two_points(&e, u, r2, s2, l2, D, a31, D2, a32);
        seeds_noise(&e, u, r1, r2, s1, s2);
        TRY(run_stage(r, u, s2, D3, err));

        float b3 = seeds_phi_2(e.he) / r2, b1 = expm1f(-e.he) - b3;
        seeds_two_points(&e, r->x, 1, e.t, e.lt, D, b1, D3, b3);
        seeds_noise(&e, r->x, r2, 1, s2, e.t);
    }
    return OK;
}

/* ---- SA-Solver ("Stochastic Adams Solver for Fast Sampling of Diffusion Models") ------------------------ */

enum { SA_MAX = 6 };

/* Weights b of the estimates at lambda[0..n-1] (rising) for a step from ls to lt that ends at `sigma`:
 * integrals of the Lagrange basis against e^{m lambda}, by way of the integrals of the powers. */
static void sa_weights(const double *lambda, int n, double ls, double lt, double sigma,
                       double tau, double *b)
{
    double m = 1 + tau * tau, decay = exp(-m * (lt - ls)), matrix[SA_MAX * SA_MAX], alpha;

    for (int p = 0; p < n; p++) {
        double sum = 0, factor = 1; /* p!/q! / m^{p-q}, with its sign */
        for (int q = p; q >= 0; q--) {
            sum += factor * (pow(lt, q) - pow(ls, q) * decay);
            factor *= -q / m;
        }
        b[p] = sum;
        for (int j = 0; j < n; j++)
            matrix[p * n + j] = pow(lambda[j], p);
    }
    solve_small(matrix, b, n);
    alpha = sigma * exp(lt);
    for (int j = 0; j < n; j++)
        b[j] *= alpha;
}

/* The two-point weights of the paper's simple form. */
static void sa_weights_simple(const double *lambda, double ls, double lt, double sigma,
                              double tau, bool corrector, double *b)
{
    double m = 1 + tau * tau, h = lt - ls, alpha = sigma * exp(lt),
           whole = alpha * -expm1(-m * h);

    if (corrector) {
        b[1] = alpha * 0.5 * m * h;
        b[0] = whole - b[1];
    } else {
        b[0] = alpha * (0.5 * m * h * h) / (lambda[0] - ls);
        b[1] = whole - b[0];
    }
}

typedef struct SaState {
    SamplerRun *r;
    int history, known;   /* slots, and how many are filled */
    Tensor *past[SA_MAX]; /* estimates, newest first */
    Tensor *pred, *z;     /* predicted state; the noise of the last predictor step */
    bool has_noise;
    double tau, h;
} SaState;

static double sa_lambda(const SamplerRun *r, int k)
{
    return (double)lambda_of(run_sigma_offset(r, k));
}

/* out = (to/from) e^{-tau^2 h} x + sum of n estimates ending at step `last`, for the step a -> a+1. */
static void sa_combine(SaState *a, Tensor *out, int last, int n, int step, bool corrector)
{
    SamplerRun *r = a->r;
    double lambda[SA_MAX], b[SA_MAX], ls = sa_lambda(r, step), lt = sa_lambda(r, step + 1);
    double from = (double)run_sigma_offset(r, step), to = (double)r->sigmas[step + 1];

    for (int i = 0; i < n; i++)
        lambda[i] = sa_lambda(r, last - n + 1 + i);
    if (r->options->simple_order_2 && n == 2)
        sa_weights_simple(lambda, ls, lt, to, a->tau, corrector, b);
    else
        sa_weights(lambda, n, ls, lt, to, a->tau, b);
    tensor_affine(out, r->x, (float)(to / from * exp(-a->tau * a->tau * (lt - ls))), 0);
    for (int i = 0; i < n; i++)
        tensor_add_scaled(out, a->past[n - 1 - i], (float)b[i]);
}

static double sa_tau(const SamplerRun *r, float sigma)
{
    const SamplerOptions *o = r->options;
    double high = model_percent_to_sigma(r->model, o->sde_start);
    double low = model_percent_to_sigma(r->model, o->sde_end);
    return o->eta > 0 && high >= (double)sigma && (double)sigma >= low ? o->eta : 0;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Orders of predictor and corrector at step k. */
static void sa_orders(const SaState *a, int k, int *predictor, int *corrector)
{
    const SamplerRun *r = a->r;
    const SamplerOptions *o = r->options;

    *predictor = least(o->predictor_order, a->known);
    *corrector = least(o->corrector_order, a->known);
    if (k == 0 || (r->sigmas[k + 1] == 0 && !o->pece)) *corrector = 0;
    if (r->sigmas[r->count - 1] == 0) {
        *predictor = least(*predictor, r->count - 2 - k);
        *corrector = least(*corrector, r->count - 1 - k);
    }
}

static Status sa_correct(SaState *a, int k, int order, Error *err)
{
    SamplerRun *r = a->r;

    if (order == 0) {
        tensor_copy(r->x, a->pred);
        return OK;
    }
    sa_combine(a, r->x, k, order, k - 1, true);
    if (a->has_noise) tensor_add(r->x, r->x, a->z);
    if (!r->options->pece) return OK;
    return run_stage(r, r->x, run_sigma_offset(r, k), a->past[0], err);
}

static void sa_predict(SaState *a, int k, int order)
{
    SamplerRun *r = a->r;
    float s = run_sigma_offset(r, k), t = r->sigmas[k + 1];

    if (t == 0) {
        tensor_copy(a->pred, a->past[0]);
        return;
    }
    a->tau = sa_tau(r, t);
    sa_combine(a, a->pred, k, order, k, false);
    a->has_noise = a->tau > 0 && r->options->s_noise > 0;
    if (!a->has_noise) return;
    double h = sa_lambda(r, k + 1) - sa_lambda(r, k);
    double size = (double)t * sqrt(-expm1(-2 * a->tau * a->tau * h)) * r->options->s_noise;
    run_noise(r, s, t, a->z);
    tensor_affine(a->z, a->z, (float)size, 0);
    tensor_add(a->pred, a->pred, a->z);
}

Status sampler_sa_solver(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    int most =
        o->predictor_order > o->corrector_order ? o->predictor_order : o->corrector_order;
    int predictor, corrector;
    SaState a = { .r = r };

    a.history = most < 1 ? 1 : least(most, SA_MAX);
    TRY(run_temps(r, a.past, a.history, err));
    TRY(run_temp(r, &a.pred, err));
    TRY(run_temp(r, &a.z, err));
    tensor_copy(a.pred, r->x);
    for (int k = 0; k + 1 < r->count; k++) {
        history_push(a.past, a.history);
        a.known = least(a.known + 1, a.history);
        TRY(run_denoise(r, a.pred, run_sigma_offset(r, k), a.past[0], err));
        run_step(r, k, a.past[0], a.pred);
        sa_orders(&a, k, &predictor, &corrector);
        TRY(sa_correct(&a, k, corrector, err));
        sa_predict(&a, k, predictor);
    }
    tensor_copy(r->x, a.pred);
    return OK;
}
