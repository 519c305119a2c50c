/* samplers_unipc.c - UniPC: a predictor and a corrector that share their model calls.
 *
 * Source: "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models". The
 * reference runs it on a variance-preserving map of sigma, whatever the model is: the state y is x scaled
 * by 1/sqrt(1 + s^2). A final sigma 0 becomes 0.001, in the caller's array too.
 */
#include "engine/sampling/samplers_impl.h"

enum { UNI_ORDER = 3 };

typedef struct Uni {
    SamplerRun *r;
    bool bh2;
    int order;
    Tensor *m[UNI_ORDER]; /* estimates, newest first */
    int at[UNI_ORDER];    /* their steps */
    Tensor *base, *y, *input, *scratch;
} Uni;

/* Signal, noise and half log-SNR of the variance-preserving map; float32 as the reference computes. */
typedef struct VpPoint {
    float alpha, std, lambda;
} VpPoint;

static VpPoint vp_point(const Uni *u, int k)
{
    float s = u->r->sigmas[k], log_alpha = 0.5f * logf(1.0f / (s * s + 1.0f));
    float rest = 1.0f - expf(2.0f * log_alpha);
    return (VpPoint){ expf(log_alpha), sqrtf(rest), log_alpha - 0.5f * logf(rest) };
}

/* m = clean estimate in the map's own scale, from the state y at step k. */
static Status uni_model(Uni *u, const Tensor *y, int k, Tensor *m, Error *err)
{
    float s = u->r->sigmas[k];
    VpPoint p = vp_point(u, k);

    tensor_affine(u->input, y, sqrtf(s * s + 1.0f), 0);
    TRY(run_denoise(u->r, u->input, s, m, err));
    vec_derivative(m, u->input, m, s);
    vec_mix2(m, 1.0f / p.alpha, y, -p.std / p.alpha, m);
    return OK;
}

/* Everything of one update that depends on the sigmas alone. All of it is float32: where steps are close the
 * differences in phi_k lose half their digits, and the reference's result is made of what is left. */
typedef struct UniCoeffs {
    int order;
    float r[UNI_ORDER]; /* relative lambdas of the older estimates; the last is 1 */
    float R[UNI_ORDER][UNI_ORDER], b[UNI_ORDER];
    float scale, phi, B; /* on y, on m0, on the sums */
} UniCoeffs;

static UniCoeffs uni_coeffs(const Uni *u, int target, int order)
{
    UniCoeffs c = { .order = order };
    VpPoint from = vp_point(u, u->at[0]), to = vp_point(u, target);
    float h = to.lambda - from.lambda, hh = -h;

    for (int i = 1; i < order; i++)
        c.r[i - 1] = (vp_point(u, u->at[i]).lambda - from.lambda) / h;
    c.r[order - 1] = 1;
    float phi_1 = expm1f(hh), B = u->bh2 ? phi_1 : hh;
    float phi_k = phi_1 / hh - 1;
    int factorial = 1;
    for (int i = 1; i <= order; i++) {
        for (int j = 0; j < order; j++)
            c.R[i - 1][j] = powf(c.r[j], (float)(i - 1));
        c.b[i - 1] = phi_k * (float)factorial / B;
        factorial *= i + 1;
        phi_k = phi_k / hh - (float)(1.0 / factorial);
    }
    c.scale = to.std / from.std;
    c.phi = to.alpha * phi_1;
    c.B = to.alpha * B;
    return c;
}

/* rho of the first n rows and columns, by elimination with row pivots. */
static void uni_solve(const UniCoeffs *c, int n, float *rho)
{
    float a[UNI_ORDER][UNI_ORDER + 1];

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            a[i][j] = c->R[i][j];
        a[i][n] = c->b[i];
    }
    for (int k = 0; k < n; k++) {
        int best = k;
        for (int i = k + 1; i < n; i++)
            if (fabsf(a[i][k]) > fabsf(a[best][k])) best = i;
        for (int j = 0; j <= n; j++) {
            float swap = a[k][j];
            a[k][j] = a[best][j];
            a[best][j] = swap;
        }
        for (int i = k + 1; i < n; i++) {
            float f = a[i][k] / a[k][k];
            for (int j = k; j <= n; j++)
                a[i][j] -= f * a[k][j];
        }
    }
    for (int k = n - 1; k >= 0; k--) {
        rho[k] = a[k][n];
        for (int j = k + 1; j < n; j++)
            rho[k] -= a[k][j] * rho[j];
        rho[k] /= a[k][k];
    }
}

/* out -= B rho (m_i - m_0) / r */
static void uni_add(const Uni *u, const UniCoeffs *c, Tensor *out, const Tensor *m, float rho,
                    float r)
{
    float w = (float)((double)c->B * (double)rho / (double)r);
    vec_mix3(out, 1, out, -w, m, w, u->m[0]);
}

/* The predicted state at `target` into u->y, and the part both formulas share into u->base. */
static void uni_predict(Uni *u, const UniCoeffs *c, const Tensor *y)
{
    float rho[UNI_ORDER] = { 0.5f };

    vec_mix2(u->base, c->scale, y, -c->phi, u->m[0]);
    tensor_copy(u->y, u->base);
    if (c->order > 2) uni_solve(c, c->order - 1, rho);
    for (int i = 1; i < c->order; i++)
        uni_add(u, c, u->y, u->m[i], rho[i - 1], c->r[i - 1]);
}

/* The corrected state from the estimate at the prediction. */
static void uni_correct(Uni *u, const UniCoeffs *c, const Tensor *fresh)
{
    float rho[UNI_ORDER] = { 0.5f };

    if (c->order > 1) uni_solve(c, c->order, rho);
    tensor_copy(u->y, u->base);
    for (int i = 1; i < c->order; i++)
        uni_add(u, c, u->y, u->m[i], rho[i - 1], c->r[i - 1]);
    uni_add(u, c, u->y, fresh, rho[c->order - 1], 1);
}

/* One step of the state r->x to `target`. The estimate of the last target is never asked for. */
static Status uni_update(Uni *u, int target, int order, bool correct, Error *err)
{
    UniCoeffs c = uni_coeffs(u, target, order);

    uni_predict(u, &c, u->r->x);
    if (correct) {
        TRY(uni_model(u, u->y, target, u->scratch, err));
        uni_correct(u, &c, u->scratch);
    }
    tensor_copy(u->r->x, u->y);
    if (!correct) return OK;
    history_push(u->m, u->order);
    for (int i = u->order - 1; i > 0; i--)
        u->at[i] = u->at[i - 1];
    tensor_copy(u->m[0], u->scratch);
    u->at[0] = target;
    return OK;
}

static Status uni_loop(Uni *u, Error *err)
{
    SamplerRun *r = u->r;
    int steps = r->count - 1;

    TRY(uni_model(u, r->x, 0, u->m[0], err));
    run_step(r, 0, u->m[0], r->x);
    for (int k = 1; k < steps; k++) {
        int order = k < u->order ? k : u->order;
        if (order > steps + 1 - k) order = steps + 1 - k;
        TRY(uni_update(u, k, order, true, err));
        if (k == steps - 1) TRY(uni_update(u, steps, 1, false, err));
        run_step(r, k, u->m[0], r->x);
    }
    return OK;
}

static Status uni_run(SamplerRun *r, bool bh2, Error *err)
{
    Uni u = { .r = r, .bh2 = bh2 };
    Tensor *w[4];
    int last = r->count - 1;

    if (r->sigmas[last] == 0) r->sigmas[last] = 0.001f;
    u.order = r->count - 2 < UNI_ORDER ? r->count - 2 : UNI_ORDER;
    if (u.order < 1) u.order = 1;
    TRY(run_temps(r, u.m, u.order, err));
    TRY(run_temps(r, w, 4, err));
    u.base = w[0], u.y = w[1], u.input = w[2], u.scratch = w[3];
    tensor_affine(r->x, r->x, 1.0f / sqrtf(1.0f + r->sigmas[0] * r->sigmas[0]), 0);
    TRY(uni_loop(&u, err));
    tensor_affine(r->x, r->x, 1.0f / vp_point(&u, last).alpha, 0);
    return OK;
}

Status sampler_uni_pc(SamplerRun *r, Error *err)
{
    return uni_run(r, false, err);
}

Status sampler_uni_pc_bh2(SamplerRun *r, Error *err)
{
    return uni_run(r, true, err);
}
