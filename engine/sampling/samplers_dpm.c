/* samplers_dpm.c - DPM-Solver in the time lambda = -ln sigma: fixed steps (dpm_fast), adaptive ones.
 *
 * Source: "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps".
 * Both end at the smallest positive sigma, not at 0, and know nothing of flow models.
 */
#include "engine/base/status.h"
#include "engine/sampling/samplers_impl.h"

typedef struct Solver {
    SamplerRun *r;
    Tensor *u, *e, *e1, *e2, *D, *z;
} Solver;

static float sigma_at(float lambda)
{
    return expf(-lambda);
}

/* e = (x - D) / sigma at lambda; x is the state itself in the first call of a step. */
static Status eps_at(Solver *s, const Tensor *x, float lambda, Tensor *e, Error *err)
{
    float sigma = sigma_at(lambda);
    if (x == s->r->x)
        TRY(run_denoise(s->r, x, sigma, e, err));
    else
        TRY(run_stage(s->r, x, sigma, e, err));
    vec_derivative(e, x, e, sigma);
    return OK;
}

/* s->D = x - sigma e, the estimate that e stands for. */
static void clean_of(Solver *s, float lambda)
{
    vec_mix2(s->D, 1, s->r->x, -sigma_at(lambda), s->e);
}

/* e1 at r1 of the way from lambda to lambda + h. */
static Status stage_1(Solver *s, const Tensor *x, float l, float h, float r1, Error *err)
{
    float at = l + r1 * h;
    vec_mix2(s->u, 1, x, -sigma_at(at) * expm1f(r1 * h), s->e);
    return eps_at(s, s->u, at, s->e1, err);
}

/* The results of the three orders, from e (at lambda), e1 and e2, into out (which may be x). */
static void finish_1(const Solver *s, const Tensor *x, float l, float h, Tensor *out)
{
    vec_mix2(out, 1, x, -sigma_at(l + h) * expm1f(h), s->e);
}

static void finish_2(const Solver *s, const Tensor *x, float l, float h, float r1, Tensor *out)
{
    float whole = sigma_at(l + h) * expm1f(h), bend = whole / (2.0f * r1);
    vec_mix3(out, 1, x, bend - whole, s->e, -bend, s->e1);
}

/* e2 at two thirds, from e and e1 at one third. */
static Status stage_2(Solver *s, const Tensor *x, float l, float h, Error *err)
{
    const float r1 = 1.0f / 3, r2 = 2.0f / 3;
    float at = l + r2 * h, sigma = sigma_at(at);
    float bend = sigma * (r2 / r1) * (expm1f(r2 * h) / (r2 * h) - 1.0f);

    vec_mix3(s->u, 1, x, bend - sigma * expm1f(r2 * h), s->e, -bend, s->e1);
    return eps_at(s, s->u, at, s->e2, err);
}

static void finish_3(const Solver *s, const Tensor *x, float l, float h, Tensor *out)
{
    const float r2 = 2.0f / 3;
    float sigma = sigma_at(l + h), bend = sigma / r2 * (expm1f(h) / h - 1.0f);
    vec_mix3(out, 1, x, bend - sigma * expm1f(h), s->e, -bend, s->e2);
}

/* One step of the given order from x, in place; s->e is known. */
static Status advance(Solver *s, float l, float h, int order, Error *err)
{
    Tensor *x = s->r->x;

    if (order == 1) {
        finish_1(s, x, l, h, x);
        return OK;
    }
    TRY(stage_1(s, x, l, h, order == 2 ? 0.5f : 1.0f / 3, err));
    if (order == 2) {
        finish_2(s, x, l, h, 0.5f, x);
        return OK;
    }
    TRY(stage_2(s, x, l, h, err));
    finish_3(s, x, l, h, x);
    return OK;
}

static Status solver_init(Solver *s, SamplerRun *r, Error *err)
{
    Tensor *w[6];

    TRY(run_temps(r, w, 6, err));
    *s = (Solver){ r, w[0], w[1], w[2], w[3], w[4], w[5] };
    return OK;
}

/* lambda of the first sigma and of the last positive one. */
static void ends(const SamplerRun *r, float *first, float *last)
{
    float low = r->sigmas[r->count - 1];
    if (low == 0) low = r->sigmas[r->count - 2];
    *first = -logf(r->sigmas[0]);
    *last = -logf(low);
}

/* Value i of m + 1 on the line from a to b. */
static float line(float a, float b, int m, int i)
{
    float step = (b - a) / (float)m;
    return i < (m + 1) / 2 ? a + step * (float)i : b - step * (float)(m - i);
}

/* Order of segment i of m that together cost n calls. */
static int fast_order(int n, int m, int i)
{
    if (n % 3 == 0) return i < m - 2 ? 3 : m - i;
    return i < m - 1 ? 3 : n % 3;
}

Status sampler_dpm_fast(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    int n = r->count - 1, m = n / 3 + 1;
    float first, last;
    Solver s;

    TRY(solver_init(&s, r, err));
    ends(r, &first, &last);
    for (int i = 0; i < m; i++) {
        float l = line(first, last, m, i), next = line(first, last, m, i + 1), up = 0,
              to = next;
        if (o->eta > 0) {
            Ancestral a = ancestral_step(sigma_at(l), sigma_at(next), o->eta);
            float down = -logf(a.down), tn = sigma_at(next);
            to = down < last ? down : last;
            up = sqrtf(tn * tn - sigma_at(to) * sigma_at(to));
        }
        TRY(eps_at(&s, r->x, l, s.e, err));
        clean_of(&s, l);
        run_step(r, i, s.D, r->x);
        TRY(advance(&s, l, to - l, fast_order(n, m, i), err));
        run_noise(r, sigma_at(l), sigma_at(next), s.z);
        if (up > 0) tensor_add_scaled(r->x, s.z, (float)o->s_noise * up);
    }
    return OK;
}

/* ---- adaptive ------------------------------------------------------------------------------------------ */

/* PID controller of the step size ("Digital Filters in Adaptive Time-Stepping"). */
typedef struct Pid {
    double h, b1, b2, b3, accept, past[3];
    bool started;
} Pid;

static Pid pid_new(const SamplerOptions *o, double sign)
{
    double order = o->eta > 0 ? 1.5 : o->order;
    Pid p = { .h = fabs(o->h_init) * sign, .accept = o->accept_safety };

    p.b1 = (o->pcoeff + o->icoeff + o->dcoeff) / order;
    p.b2 = -(o->pcoeff + 2 * o->dcoeff) / order;
    p.b3 = o->dcoeff / order;
    return p;
}

static bool pid_propose(Pid *p, double error)
{
    double inverse = 1 / (error + 1e-8);

    for (int i = 0; !p->started && i < 3; i++)
        p->past[i] = inverse;
    p->started = true;
    p->past[0] = inverse;
    double raw = pow(p->past[0], p->b1) * pow(p->past[1], p->b2) * pow(p->past[2], p->b3);
    double factor = 1 + atan(raw - 1);
    bool accept = factor >= p->accept;
    if (accept) {
        p->past[2] = p->past[1];
        p->past[1] = p->past[0];
    }
    p->h *= factor;
    return accept;
}

static double relative_error(const Tensor *low, const Tensor *high, const Tensor *before,
                             float atol, float rtol)
{
    const float *a = tensor_f32(low), *b = tensor_f32(high), *c = tensor_f32(before);
    int64_t n = tensor_count(low);
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        float size = rtol * fmaxf(fabsf(a[i]), fabsf(c[i]));
        float d = (a[i] - b[i]) / fmaxf(atol, size);
        sum += (double)d * (double)d;
    }
    return sqrt(sum) / sqrt((double)n);
}

/* One attempt from x at l over h: the results of two neighbouring orders. */
static Status attempt(Solver *s, float l, float h, int order, Tensor *low, Tensor *high,
                      Error *err)
{
    const Tensor *x = s->r->x;

    if (order == 2) {
        finish_1(s, x, l, h, low);
        TRY(stage_1(s, x, l, h, 0.5f, err));
        finish_2(s, x, l, h, 0.5f, high);
        return OK;
    }
    TRY(stage_1(s, x, l, h, 1.0f / 3, err));
    finish_2(s, x, l, h, 1.0f / 3, low);
    TRY(stage_2(s, x, l, h, err));
    finish_3(s, x, l, h, high);
    return OK;
}

/* Where the deterministic part of an ancestral step to `next` ends, and the noise to add. */
static float adaptive_down(const SamplerOptions *o, float l, float next, float last, float *up)
{
    *up = 0;
    if (!(o->eta > 0)) return next;
    Ancestral a = ancestral_step(sigma_at(l), sigma_at(next), o->eta);
    float down = -logf(a.down), tn = sigma_at(next);
    float to = down < last ? down : last;
    *up = sqrtf(tn * tn - sigma_at(to) * sigma_at(to));
    return to;
}

Status sampler_dpm_adaptive(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *w[3], *low, *high, *before;
    float l, last, up;
    Solver s;

    TRY(solver_init(&s, r, err));
    TRY(run_temps(r, w, 3, err));
    low = w[0], high = w[1], before = w[2];
    tensor_copy(before, r->x);
    ends(r, &l, &last);
    float sign = last > l ? 1 : -1;
    Pid pid = pid_new(o, (double)sign);
    for (int i = 0; sign * l < sign * last - 1e-5f; i++) {
        float next = l + (float)pid.h;
        if (sign * next > sign * last) next = last;
        float h = adaptive_down(o, l, next, last, &up) - l;
        TRY(eps_at(&s, r->x, l, s.e, err));
        clean_of(&s, l);
        TRY(attempt(&s, l, h, o->order, low, high, err));
        double error = relative_error(low, high, before, (float)o->atol, (float)o->rtol);
        if (!isfinite(error))
            return error_set(err, E_RANGE, "dpm_adaptive met a value that is not finite");
        if (pid_propose(&pid, error)) {
            tensor_copy(before, low);
            tensor_copy(r->x, high);
            run_noise(r, sigma_at(l), sigma_at(next), s.z);
            if (up > 0) tensor_add_scaled(r->x, s.z, (float)o->s_noise * up);
            l = next;
        }
        run_step(r, i, s.D, r->x);
    }
    return OK;
}
