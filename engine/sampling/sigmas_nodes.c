/* sigmas_nodes.c - the scheduler nodes, and the nodes that cut and bend schedules. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/sigmas.h"
#include "engine/sampling/sigmas_impl.h"

static const double PI = 3.14159265358979323846;

/* n values plus a closing zero if asked. */
static Status start(int64_t n, bool zero, Tensor **out, Error *err)
{
    TRY(sigmas_check_steps(n, err));
    TRY(sigmas_alloc(n + zero, out, err));
    if (zero) tensor_f32(*out)[n] = 0;
    return OK;
}

/* "Elucidating the Design Space of Diffusion-Based Generative Models", equation 5. */
Status sigmas_karras(int64_t n, double smax, double smin, double rho, Tensor **out, Error *err)
{
    double low = pow(smin, 1 / rho), high = pow(smax, 1 / rho);

    TRY(start(n, true, out, err));
    for (int64_t i = 0; i < n; i++) {
        float ramp = linspace_at(0, 1, n, i);
        tensor_f32(*out)[i] = powf((float)high + ramp * (float)(low - high), (float)rho);
    }
    return OK;
}

Status sigmas_exponential(int64_t n, double smax, double smin, Tensor **out, Error *err)
{
    TRY(start(n, true, out, err));
    for (int64_t i = 0; i < n; i++)
        tensor_f32(*out)[i] = expf(linspace_at((float)log(smax), (float)log(smin), n, i));
    return OK;
}

Status sigmas_polyexponential(int64_t n, double smax, double smin, double rho, Tensor **out,
                              Error *err)
{
    TRY(start(n, true, out, err));
    for (int64_t i = 0; i < n; i++) {
        float ramp = powf(linspace_at(1, 0, n, i), (float)rho);
        tensor_f32(*out)[i] = expf(ramp * (float)(log(smax) - log(smin)) + (float)log(smin));
    }
    return OK;
}

/* Inverse of a Laplace distribution of log noise. */
Status sigmas_laplace(int64_t n, double smax, double smin, double mu, double beta, Tensor **out,
                      Error *err)
{
    TRY(start(n, false, out, err));
    for (int64_t i = 0; i < n; i++) {
        float side = 0.5f - linspace_at(0, 1, n, i);
        float sign = (float)((side > 0) - (side < 0));
        float v = (float)mu - (float)beta * sign * logf(1.0f - 2.0f * fabsf(side) + 1e-5f);
        tensor_f32(*out)[i] = fminf(fmaxf(expf(v), (float)smin), (float)smax);
    }
    return OK;
}

/* Continuous variance-preserving schedule. */
Status sigmas_vp(int64_t n, double beta_d, double beta_min, double eps, Tensor **out,
                 Error *err)
{
    TRY(start(n, true, out, err));
    for (int64_t i = 0; i < n; i++) {
        float t = linspace_at(1, (float)eps, n, i);
        float v = (float)beta_d * (t * t) / 2.0f + (float)beta_min * t;
        tensor_f32(*out)[i] = sqrtf(expm1f(v));
    }
    return OK;
}

/* ---- beta ------------------------------------------------------------------------------------------ */

/* Continued fraction of the incomplete beta function (Lentz's method; "Numerical Recipes", 6.4). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);

    if (fabs(d) < tiny) d = tiny;
    d = 1 / d;
    double h = d;
    for (int m = 1; m <= 500; m++) {
        double m2 = 2.0 * m;
        double even = m * (b - m) * x / ((a + m2 - 1) * (a + m2));
        double odd = -(a + m) * (a + b + m) * x / ((a + m2) * (a + m2 + 1));
        for (int k = 0; k < 2; k++) {
            double step = k ? odd : even;
            d = 1 + step * d;
            c = 1 + step / c;
            if (fabs(d) < tiny) d = tiny;
            if (fabs(c) < tiny) c = tiny;
            d = 1 / d;
            h *= d * c;
        }
        if (fabs(d * c - 1) < 1e-16) break;
    }
    return h;
}

/* Regularised incomplete beta function. */
static double beta_cdf(double a, double b, double x)
{
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* Bisection down to neighbouring doubles: robust where the density has poles at both ends. */
double sigmas_beta_inverse(double a, double b, double p)
{
    double low = 0, high = 1;

    if (p <= 0) return 0;
    if (p >= 1) return 1;
    if (p == 0.5 && a == b) return 0.5;
    for (int i = 0; i < 1100; i++) {
        double mid = 0.5 * (low + high);
        if (mid <= low || mid >= high) break;
        if (beta_cdf(a, b, mid) < p)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}

/* "Beta Sampling is All You Need": timesteps at quantiles of a beta distribution, repeats dropped. */
Status sigmas_beta(const ModelSampling *m, int64_t n, double alpha, double beta, Tensor **out,
                   Error *err)
{
    Tensor *all;
    int64_t used = 0;
    double last = -1, step = 1.0 / (double)n;

    TRY(start(n, true, &all, err));
    for (int64_t k = 0; k < n; k++) {
        double q = sigmas_beta_inverse(alpha, beta, 1.0 - (double)k * step);
        double index = rint(q * (m->count - 1));
        if (index != last) tensor_f32(all)[used++] = m->table[(int)index];
        last = index;
    }
    tensor_f32(all)[used] = 0;
    Status status = sigmas_range(all, 0, used + 1, out, err);
    tensor_unref(all);
    return status;
}

/* ---- distilled models --------------------------------------------------------------------------------- */

Status sigmas_sd_turbo(const ModelSampling *m, int64_t steps, double denoise, Tensor **out,
                       Error *err)
{
    int64_t first = 10 - (int64_t)(10 * denoise), n = steps;

    if (first < 0) first = 0;
    if (n > 10 - first) n = 10 - first;
    if (n < 0) n = 0;
    TRY(sigmas_alloc(n + 1, out, err));
    for (int64_t i = 0; i < n; i++)
        tensor_f32(*out)[i] = model_sigma_f32(m, (float)((10 - first - i) * 100 - 1));
    tensor_f32(*out)[n] = 0;
    return OK;
}

/* The shift that FLUX.2 was tuned to: linear in tokens and steps, with a second law above 4300 tokens. */
double sigmas_flux2_mu(int64_t steps, int64_t width, int64_t height)
{
    const double a1 = 8.73809524e-05, b1 = 1.89833333, a2 = 0.00016927, b2 = 0.45666666;
    double tokens = rint((double)width * (double)height / 256);

    if (tokens > 4300) return a2 * tokens + b2;
    double m200 = a2 * tokens + b2, m10 = a1 * tokens + b1;
    double a = (m200 - m10) / 190.0, b = m200 - 200.0 * a;
    return a * (double)steps + b;
}

Status sigmas_flux2(int64_t steps, int64_t width, int64_t height, Tensor **out, Error *err)
{
    float factor = (float)exp(sigmas_flux2_mu(steps, width, height));

    TRY(sigmas_check_steps(steps, err));
    TRY(sigmas_alloc(steps + 1, out, err));
    for (int64_t i = 0; i <= steps; i++)
        tensor_f32(*out)[i] = sigma_shift_f32(factor, linspace_at(1, 0, steps + 1, i));
    return OK;
}

/* ---- published levels ----------------------------------------------------------------------------------- */

/* Element i of numpy's float64 linspace(0, 1, n). */
static double unit_at(int64_t n, int64_t i)
{
    if (n == 1) return 0;
    return i == n - 1 ? 1.0 : (double)i * (1.0 / (double)(n - 1));
}

/* Straight line in log sigma: value i of n over the whole of the row, falling. */
static double log_linear_at(const LevelRow *row, int64_t n, int64_t i)
{
    double x = unit_at(n, n - 1 - i);
    int k = 0;

    while (k < row->count - 2 && unit_at(row->count, k + 1) <= x)
        k++;
    double x0 = unit_at(row->count, k), x1 = unit_at(row->count, k + 1);
    double y0 = log(row->levels[row->count - 1 - k]), y1 = log(row->levels[row->count - 2 - k]);
    if (x >= x1) return exp(y1);
    return exp((y1 - y0) / (x1 - x0) * (x - x0) + y0);
}

/* The row brought to steps+1 values, the last round(steps*denoise)+1 of them, closed with 0. */
static Status from_levels(const LevelRow *row, int64_t steps, double denoise, Tensor **out,
                          Error *err)
{
    int64_t n = steps + 1, total = steps;

    if (denoise < 1) {
        if (!(denoise > 0)) return sigmas_alloc(0, out, err);
        total = (int64_t)rint((double)steps * denoise);
    }
    TRY(sigmas_alloc(total + 1, out, err));
    for (int64_t i = 0; i <= total; i++) {
        int64_t at = n - 1 - total + i;
        double v = n == row->count ? row->levels[at] : log_linear_at(row, n, at);
        tensor_f32(*out)[i] = (float)v;
    }
    tensor_f32(*out)[total] = 0;
    return OK;
}

static Status from_table(const LevelRow *rows, int count, const char *name, int64_t steps,
                         double denoise, Tensor **out, Error *err)
{
    TRY(sigmas_check_steps(steps, err));
    for (int i = 0; i < count; i++)
        if (!strcmp(name, rows[i].name)) return from_levels(&rows[i], steps, denoise, out, err);
    return error_set(err, E_RANGE, "there are no noise levels for model type \"%s\"", name);
}

Status sigmas_align_your_steps(const char *model_type, int64_t steps, double denoise,
                               Tensor **out, Error *err)
{
    return from_table(levels_align_your_steps, 3, model_type, steps, denoise, out, err);
}

Status sigmas_optimal_steps(const char *model_type, int64_t steps, double denoise, Tensor **out,
                            Error *err)
{
    return from_table(levels_optimal_steps, 3, model_type, steps, denoise, out, err);
}

Status sigmas_gits(double coeff, int64_t steps, double denoise, Tensor **out, Error *err)
{
    int64_t c = (int64_t)rint((coeff - 0.80) / 0.05);

    if (c < 0 || c >= GITS_COEFFS)
        return error_set(err, E_RANGE, "coeff: %g is not in 0.80 .. 1.50", coeff);
    if (steps < 2)
        return error_set(err, E_RANGE, "steps: %lld is below the minimum 2", (long long)steps);
    TRY(sigmas_check_steps(steps, err));
    int64_t row = steps <= 20 ? steps - 2 : GITS_ROWS - 1;
    return from_levels(&levels_gits[c][row], steps, denoise, out, err);
}

/* ---- cutting and bending ----------------------------------------------------------------------------------- */

/* s[:high_end] and s[low_start:], both cut to what there is. */
static Status cut(const Tensor *s, int64_t high_end, int64_t low_start, Tensor **high,
                  Tensor **low, Error *err)
{
    Tensor *h, *l;

    TRY(sigmas_range(s, 0, high_end, &h, err));
    Status status = sigmas_range(s, low_start, s->shape[0], &l, err);
    if (status != OK) {
        tensor_unref(h);
        return status;
    }
    *high = h;
    *low = l;
    return OK;
}

Status sigmas_split(const Tensor *s, int64_t step, Tensor **high, Tensor **low, Error *err)
{
    return cut(s, step + 1, step, high, low, err);
}

Status sigmas_split_denoise(const Tensor *s, double denoise, Tensor **high, Tensor **low,
                            Error *err)
{
    int64_t n = s->shape[0], steps = n > 0 ? n - 1 : 0;
    int64_t total = (int64_t)rint((double)steps * denoise);
    /* The reference cuts at [:-total], which keeps nothing when total is 0. */
    return cut(s, total == 0 ? 0 : n - total, n - (total + 1), high, low, err);
}

Status sigmas_flip(const Tensor *s, Tensor **out, Error *err)
{
    int64_t n = s->shape[0];

    TRY(sigmas_alloc(n, out, err));
    for (int64_t i = 0; i < n; i++)
        tensor_f32(*out)[i] = tensor_f32(s)[n - 1 - i];
    if (n && tensor_f32(*out)[0] == 0) tensor_f32(*out)[0] = 0.0001f;
    return OK;
}

Status sigmas_set_first(const Tensor *s, double sigma, Tensor **out, Error *err)
{
    TRY(sigmas_range(s, 0, s->shape[0], out, err));
    if (s->shape[0]) tensor_f32(*out)[0] = (float)sigma;
    return OK;
}

static float spacing_linear(float u)
{
    return u;
}
static float spacing_cosine(float u)
{
    return sinf(u * (float)PI / 2.0f);
}
static float spacing_sine(float u)
{
    return 1.0f - cosf(u * (float)PI / 2.0f);
}

typedef float (*SpacingFn)(float);

static SpacingFn spacing_find(const char *name)
{
    static const struct {
        const char *name;
        SpacingFn fn;
    } rows[] = { { "linear", spacing_linear },
                 { "cosine", spacing_cosine },
                 { "sine", spacing_sine } };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(name, rows[i].name)) return rows[i].fn;
    return NULL;
}

static bool extends_here(float sigma, double first, double last)
{
    return last <= (double)sigma && (double)sigma <= first;
}

Status sigmas_extend(const Tensor *s, int64_t steps, double first, double last,
                     const char *spacing, Tensor **out, Error *err)
{
    SpacingFn bend = spacing_find(spacing);
    int64_t n = s->shape[0], total = n, at = 0;
    const float *v = tensor_f32(s);

    if (!bend) return error_set(err, E_RANGE, "there is no spacing \"%s\"", spacing);
    TRY(sigmas_check_steps(steps, err));
    if (first < 0) first = INFINITY;
    for (int64_t i = 0; i + 1 < n; i++)
        if (extends_here(v[i], first, last)) total += steps - 1;
    TRY(sigmas_alloc(total, out, err));
    float *d = tensor_f32(*out);
    for (int64_t i = 0; i < n; i++) {
        d[at++] = v[i];
        if (i + 1 == n || !extends_here(v[i], first, last)) continue;
        for (int64_t k = 1; k < steps; k++)
            d[at++] = bend(linspace_at(0, 1, steps + 1, k)) * (v[i + 1] - v[i]) + v[i];
    }
    return OK;
}
