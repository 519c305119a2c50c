/* samplers_multistep.c - samplers that remember derivatives: LMS, iPNDM, DEIS, gradient estimation, RES. */
#include <float.h>

#include "engine/sampling/samplers_impl.h"

/* x += sum of coefficients times history; history[0] is the newest derivative. The sum is made first: the
 * terms nearly cancel, and added to x one by one they would lose what the reference keeps. */
static void add_history(Tensor *x, Tensor *const *history, const double *c, int n, Tensor *sum)
{
    tensor_affine(sum, history[0], (float)c[0], 0);
    for (int j = 1; j < n; j++)
        tensor_add_scaled(sum, history[j], (float)c[j]);
    tensor_add(x, x, sum);
}

static int history_length(const SamplerRun *r)
{
    int n = r->options->order;
    if (n > r->count - 1) n = r->count - 1;
    if (n > MULTISTEP_MAX) n = MULTISTEP_MAX;
    return n < 1 ? 1 : n;
}

/* ---- linear multistep ------------------------------------------------------------------------------- */

/* Lagrange basis polynomial over nodes[0], nodes[-1], ... (count of them) that is 1 at nodes[-j]. */
static double lagrange(const double *nodes, int count, int j, double at)
{
    double v = 1;
    for (int k = 0; k < count; k++)
        if (k != j) v *= (at - nodes[-k]) / (nodes[-j] - nodes[-k]);
    return v;
}

/* Node i of n and its weight of Gauss-Legendre quadrature on [-1, 1]. */
static double legendre_node(int n, int i, double *weight)
{
    double x = cos(3.14159265358979323846 * (i + 0.75) / (n + 0.5)), slope = 1;

    for (int round = 0; round < 100; round++) {
        double p0 = 1, p1 = x;
        for (int k = 2; k <= n; k++) {
            double p2 = ((2 * k - 1) * x * p1 - (k - 1) * p0) / k;
            p0 = p1;
            p1 = p2;
        }
        slope = n * (x * p1 - p0) / (x * x - 1);
        double step = p1 / slope;
        x -= step;
        if (fabs(step) < 1e-15) break;
    }
    *weight = 2 / ((1 - x * x) * slope * slope);
    return x;
}

/* Integral of the basis polynomial from nodes[0] to nodes[1]; exact up to rounding. */
static double multistep_coefficient(const double *nodes, int count, int j)
{
    double mid = 0.5 * (nodes[0] + nodes[1]), half = 0.5 * (nodes[1] - nodes[0]), sum = 0;
    int n = count / 2 + 2;

    for (int i = 0; i < n; i++) {
        double weight, at = legendre_node(n, i, &weight);
        sum += weight * lagrange(nodes, count, j, mid + half * at);
    }
    return sum * half;
}

/* The last MULTISTEP_MAX sigmas up to k+1 in double; returns where sigma k lies. */
static const double *recent_sigmas(const SamplerRun *r, int k, double *buffer)
{
    int first = k + 1 >= MULTISTEP_MAX ? k + 1 - MULTISTEP_MAX : 0;
    for (int i = first; i <= k + 1; i++)
        buffer[i - first] = (double)r->sigmas[i];
    return buffer + (k - first);
}

Status sampler_lms(SamplerRun *r, Error *err)
{
    int most = history_length(r);
    double nodes[MULTISTEP_MAX + 2], c[MULTISTEP_MAX];
    Tensor *d, *h[MULTISTEP_MAX];

    TRY(run_temp(r, &d, err));
    TRY(run_temps(r, h, most, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k];
        TRY(run_denoise(r, r->x, s, d, err));
        history_push(h, most);
        vec_derivative(h[0], r->x, d, s);
        run_step(r, k, d, r->x);
        if (r->sigmas[k + 1] == 0) {
            tensor_copy(r->x, d);
            continue;
        }
        int order = k + 1 < most ? k + 1 : most;
        const double *at = recent_sigmas(r, k, nodes);
        for (int j = 0; j < order; j++)
            c[j] = multistep_coefficient(at, order, j);
        add_history(r->x, h, c, order, d);
    }
    return OK;
}

/* ---- iPNDM ("Fast Sampling of Diffusion Models with Exponential Integrator") ------------------------------ */

/* Adams-Bashforth weights for equal steps, by order. */
static const double adams[4][4] = {
    { 1 },
    { 3 / 2.0, -1 / 2.0 },
    { 23 / 12.0, -16 / 12.0, 5 / 12.0 },
    { 55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0 },
};

static void weights_equal(const SamplerRun *r, int k, int order, double *c)
{
    double h = (double)(r->sigmas[k + 1] - r->sigmas[k]);
    for (int j = 0; j < order; j++)
        c[j] = h * adams[order - 1][j];
}

/* Weights for unequal steps; v[k+1]-v[k] is the step at hand, h1, h2, h3 the steps before it. */
static void weights_variable(const SamplerRun *r, int k, int order, double *c)
{
    const float *v = r->sigmas;
    double h = (double)v[k + 1] - (double)v[k];
    double h1 = order > 1 ? (double)v[k] - (double)v[k - 1] : 1;
    double h2 = order > 2 ? (double)v[k - 1] - (double)v[k - 2] : 1;
    double h3 = order > 3 ? (double)v[k - 2] - (double)v[k - 3] : 1;
    double T = 0, Q = 0, G = h1 * (h1 + h2) / (h2 * (h2 + h3));

    if (order > 2) T = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2;
    if (order > 3)
        Q = ((1 - h / (3 * (h + h1))) / 2 +
             (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))) *
            (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3));
    c[0] = order > 1 ? (2 + h / h1) / 2 + T + Q : 1;
    c[1] = -(h / h1) / 2 - (1 + h1 / h2) * T - (1 + h1 / h2 + G) * Q;
    c[2] = T * h1 / h2 + (h1 / h2 + G * (1 + h2 / h3)) * Q;
    c[3] = -Q * G * h1 / h2;
    if (order < 3) c[1] = -(h / h1) / 2;
    for (int j = 0; j < order; j++)
        c[j] *= h;
}

/* ---- DEIS (the same paper, tab mode) ------------------------------------------------------------------------ */

/* Sigma to time of the variance-preserving process whose extremes are sigma 0.002 and 80. */
typedef struct VpTime {
    double bd, bm;
} VpTime;

static VpTime vp_time(void)
{
    const double eps = 1e-3, low = 0.002, high = 80;
    VpTime v;
    v.bd = 2 * (log(low * low + 1) / eps - log(high * high + 1)) / (eps - 1);
    v.bm = log(high * high + 1) - 0.5 * v.bd;
    return v;
}

static double vp_of(VpTime v, double sigma)
{
    return (sqrt(v.bm * v.bm + 2 * v.bd * log(sigma * sigma + 1)) - v.bm) / v.bd;
}

/* Derivative of the exponential integrator's variable at time tau. */
static double vp_integrand(VpTime v, double tau)
{
    double log_alpha = -0.5 * tau * tau * v.bd - tau * v.bm, a = exp(log_alpha);
    return -0.5 * (-tau * v.bd - v.bm) / sqrt(a * (1 - a));
}

/* Coefficients of the step k -> k+1: rectangle sums over 10000 points, both ends included. */
static void weights_deis(const SamplerRun *r, int k, int order, double *c)
{
    enum { POINTS = 10000, MOST = 4 };
    VpTime v = vp_time();
    double times[MOST + 1] = { 0 }, next = vp_of(v, (double)r->sigmas[k + 1]);

    if (order == 1) {
        c[0] = (double)(r->sigmas[k + 1] - r->sigmas[k]);
        return;
    }
    for (int j = 0; j < order; j++)
        times[MOST - j] = vp_of(v, (double)r->sigmas[k - j]);
    const double *nodes = times + MOST;
    double step = (next - nodes[0]) / (POINTS - 1);
    for (int j = 0; j < order; j++)
        c[j] = 0;
    for (int i = 0; i < POINTS; i++) {
        double tau = nodes[0] + step * i, g = vp_integrand(v, tau);
        for (int j = 0; j < order; j++)
            c[j] += g * lagrange(nodes, order, j, tau);
    }
    for (int j = 0; j < order; j++)
        c[j] *= (next - nodes[0]) / POINTS;
}

typedef void (*WeightsFn)(const SamplerRun *r, int k, int order, double *c);

/* The loop of iPNDM and DEIS. last_clean: a final sigma 0 gives D itself, else an Euler step there. The
 * reference reports the *initial* x at every step, which is kept. */
static Status multistep(SamplerRun *r, WeightsFn weights, bool last_clean, Error *err)
{
    int most = history_length(r);
    double c[MULTISTEP_MAX];
    Tensor *d, *start, *h[MULTISTEP_MAX];

    if (most > 4) most = 4;
    TRY(run_temp(r, &d, err));
    TRY(run_temp(r, &start, err));
    TRY(run_temps(r, h, most, err));
    tensor_copy(start, r->x);
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, start);
        if (t == 0 && last_clean) {
            tensor_copy(r->x, d);
            continue;
        }
        history_push(h, most);
        vec_derivative(h[0], r->x, d, s);
        int order = t <= 0 ? 1 : k + 1 < most ? k + 1 : most;
        weights(r, k, order, c);
        add_history(r->x, h, c, order, d);
    }
    return OK;
}

Status sampler_ipndm(SamplerRun *r, Error *err)
{
    return multistep(r, weights_equal, true, err);
}

Status sampler_ipndm_v(SamplerRun *r, Error *err)
{
    return multistep(r, weights_variable, true, err);
}

Status sampler_deis(SamplerRun *r, Error *err)
{
    return multistep(r, weights_deis, false, err);
}

/* ---- gradient estimation ("Interpreting and Improving Diffusion Models from an Optimization
 * Perspective") ---- */

Status sampler_gradient_estimation(SamplerRun *r, Error *err)
{
    bool pp = run_cfg_pp(r);
    float bend = (float)(r->options->ge_gamma - 1.0);
    Tensor *w[3];

    TRY(run_temps(r, w, 3, err));
    Tensor *D = w[0], *d = w[1], *old = w[2];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1], dt = t - s;
        TRY(run_denoise(r, r->x, s, D, err));
        vec_derivative(d, r->x, pp ? r->uncond : D, s);
        run_step(r, k, D, r->x);
        if (t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        if (pp)
            vec_mix2(r->x, 1, D, t, d);
        else
            tensor_add_scaled(r->x, d, dt);
        if (k >= 1) vec_mix3(r->x, 1, r->x, bend * dt, d, -bend * dt, old);
        Tensor *swap = old;
        old = d;
        d = swap;
    }
    return OK;
}

/* ---- RES ("Refined Exponential Solver", second order, multistep) ------------------------------------------ */

/* NaN becomes 0, infinities the largest float. */
static float tame(float v)
{
    if (isnan(v)) return 0;
    if (isinf(v)) return v > 0 ? FLT_MAX : -FLT_MAX;
    return v;
}

/* x = e^-h x + h (b1 new + b2 old) over log sigma, with `prev` the sigma before s and `old_down` where
 * the last step really ended. */
static void res_update(Tensor *x, const Tensor *now, const Tensor *old, float s, float down,
                       float prev, float old_down)
{
    float h = -logf(down) + logf(s), c2 = (-logf(prev) + logf(old_down)) / h;
    float p1 = expm1f(-h) / -h, p2 = (p1 - 1.0f) / -h;
    float b1 = tame(p1 - p2 / c2), b2 = tame(p2 / c2);
    vec_mix3(x, expf(-h), x, h * b1, now, h * b2, old);
}

/* eta 0 for the plain names: the stream of noise still advances, with weight 0. */
Status sampler_res_multistep(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    bool pp = run_cfg_pp(r);
    float old_down = 0;
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    Tensor *D = w[0], *old = w[1], *d = w[2], *z = w[3];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, D, err));
        Ancestral a = ancestral_step(s, t, o->eta);
        run_step(r, k, D, r->x);
        const Tensor *base = pp ? r->uncond : D;
        if (a.down == 0 || k == 0) {
            vec_derivative(d, r->x, base, s);
            vec_mix2(r->x, 1, pp ? D : r->x, pp ? a.down : a.down - s, d);
        } else {
            if (pp) vec_mix3(r->x, 1, r->x, 1, D, -1, base);
            res_update(r->x, base, old, s, a.down, r->sigmas[k - 1], old_down);
        }
        if (t > 0) {
            run_noise(r, s, t, z);
            if (a.up > 0) tensor_add_scaled(r->x, z, (float)o->s_noise * a.up);
        }
        tensor_copy(old, base);
        old_down = a.down;
    }
    return OK;
}
