/* samplers_dpmpp.c - DPM-Solver++ in its many forms.
 *
 * Source: "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models". The SDE forms run
 * in half log-SNR of flow models; 2m and the cfg_pp forms in -ln sigma.
 */
#include "engine/sampling/samplers_impl.h"

static float alpha_of(float sigma, float lambda)
{
    return sigma * expf(lambda);
}

Status sampler_dpmpp_2s_ancestral(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    Tensor *D = w[0], *u = w[1], *D2 = w[2], *z = w[3];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        AncestralFlow a = ancestral_flow(s, t, o->eta);
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        if (t == 0) {
            vec_derivative(u, r->x, D, s);
            tensor_add_scaled(r->x, u, a.down - s);
            continue;
        }
        float l = lambda_of(s),
              mid = s == 1 ? 0.9999f : sigma_of(l + 0.5f * (lambda_of(a.down) - l));
        vec_mix2(u, mid / s, r->x, 1.0f - mid / s, D);
        TRY(run_stage(r, u, mid, D2, err));
        vec_mix2(r->x, a.down / s, r->x, 1.0f - a.down / s, D2);
        if (o->eta > 0) {
            run_noise(r, s, t, z);
            vec_mix2(r->x, a.ratio, r->x, (float)o->s_noise * a.up, z);
        }
    }
    return OK;
}

/* One step over log sigma: out = (to/s)(x + D - U) - expm1(-h) C. */
static void pp_step(Tensor *out, const Tensor *x, const Tensor *D, const Tensor *U,
                    const Tensor *C, float ratio, float h)
{
    float keep = -expm1f(-h);
    vec_mix3(out, ratio, x, ratio, D, -ratio, U);
    tensor_add_scaled(out, C, keep);
}

/* U of the second stage is that of the second call: the reference's hook overwrites it. */
Status sampler_dpmpp_2s_ancestral_cfg_pp(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    Tensor *D = w[0], *x2 = w[1], *D2 = w[2], *z = w[3];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, D, err));
        Ancestral a = ancestral_step(s, t, o->eta);
        run_step(r, k, D, r->x);
        if (a.down == 0) {
            vec_derivative(x2, r->x, r->uncond, s);
            vec_mix2(r->x, 1, D, a.down, x2);
        } else {
            float l = -logf(s), h = -logf(a.down) - l, mid = expf(-(l + 0.5f * h));
            pp_step(x2, r->x, D, r->uncond, D, mid / s, 0.5f * h);
            TRY(run_stage(r, x2, mid, D2, err));
            vec_mix3(x2, 1, r->x, 1, D, -1, r->uncond);
            vec_mix2(r->x, a.down / s, x2, -expm1f(-h), D2);
        }
        if (t > 0) {
            run_noise(r, s, t, z);
            tensor_add_scaled(r->x, z, (float)o->s_noise * a.up);
        }
    }
    return OK;
}

Status sampler_dpmpp_2m(SamplerRun *r, Error *err)
{
    float h_last = 0;
    Tensor *w[2];

    TRY(run_temps(r, w, 2, err));
    Tensor *D = w[0], *old = w[1];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1], h = -logf(t) + logf(s);
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        float keep = -expm1f(-h);
        if (t == 0) {
            tensor_copy(r->x, D);
        } else if (k == 0) {
            vec_mix2(r->x, t / s, r->x, keep, D);
        } else {
            float c = 1.0f / (2.0f * (h_last / h));
            vec_mix3(r->x, t / s, r->x, keep * (1.0f + c), D, -keep * c, old);
        }
        tensor_copy(old, D);
        h_last = h;
    }
    return OK;
}

Status sampler_dpmpp_2m_cfg_pp(SamplerRun *r, Error *err)
{
    float h_last = 0;
    Tensor *w[2];

    TRY(run_temps(r, w, 2, err));
    Tensor *D = w[0], *old = w[1]; /* old: U of the step before */
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1], h = -logf(t) + logf(s), decay = expf(-h);
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        float c = k == 0 || t == 0 ? 0 : -expm1f(-h) / (2.0f * (h_last / h));
        if (t == 0) {
            tensor_copy(r->x, D);
        } else {
            vec_mix3(r->x, decay, r->x, 1.0f + c, D, -decay, r->uncond);
            if (c != 0) tensor_add_scaled(r->x, old, -c);
        }
        tensor_copy(old, r->uncond);
        h_last = h;
    }
    return OK;
}

/* ---- stochastic ------------------------------------------------------------------------------------------- */

static bool noisy(const SamplerOptions *o)
{
    return o->eta > 0 && o->s_noise > 0;
}

/* One stage of dpmpp_sde from (s, l) to (t, lt): out = x moved towards D, and noise. */
static void sde_stage(SamplerRun *r, Tensor *out, const Tensor *D, float s, float l, float t,
                      float lt, Tensor *z)
{
    const SamplerOptions *o = r->options;
    Ancestral a = ancestral_step(expf(-l), expf(-lt), o->eta);
    float h = -logf(a.down) - l, as = alpha_of(s, l), at = alpha_of(t, lt);

    vec_mix2(out, at / as * expf(-h), r->x, -at * expm1f(-h), D);
    if (!noisy(o)) return;
    run_noise(r, s, t, z);
    tensor_add_scaled(out, z, at * (float)o->s_noise * a.up);
}

Status sampler_dpmpp_sde(SamplerRun *r, Error *err)
{
    float part = (float)r->options->r, f = (float)(1 / (2 * r->options->r));
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    Tensor *D = w[0], *x2 = w[1], *D2 = w[2], *z = w[3];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = run_sigma_offset(r, k), t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        if (t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        float l = lambda_of(s), lt = lambda_of(t), l1 = l + part * (lt - l), s1 = sigma_of(l1);
        sde_stage(r, x2, D, s, l, s1, l1, z);
        TRY(run_stage(r, x2, s1, D2, err));
        vec_mix2(D, 1.0f - f, D, f, D2);
        sde_stage(r, r->x, D, s, l, t, lt, z);
    }
    return OK;
}

/* The first term of the multistep SDE solvers, and their noise. h is the step in lambda. */
static void sde_first(SamplerRun *r, const Tensor *D, float s, float t, float h)
{
    float eta = (float)r->options->eta, he = h * (eta + 1.0f);
    vec_mix2(r->x, t / s * expf(-h * eta), r->x, -alpha_of(t, lambda_of(t)) * expm1f(-he), D);
}

static void sde_noise(SamplerRun *r, float s, float t, float h, Tensor *z)
{
    float eta = (float)r->options->eta;

    if (!noisy(r->options)) return;
    run_noise(r, s, t, z);
    tensor_add_scaled(r->x, z,
                      t * sqrtf(-expm1f(-2.0f * h * eta)) * (float)r->options->s_noise);
}

Status sampler_dpmpp_2m_sde(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    float h_last = 0;
    Tensor *w[3];

    TRY(run_temps(r, w, 3, err));
    Tensor *D = w[0], *old = w[1], *z = w[2];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = run_sigma_offset(r, k), t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        if (t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        float l = lambda_of(s), lt = lambda_of(t), h = lt - l, he = h * (float)(o->eta + 1);
        sde_first(r, D, s, t, h);
        if (k > 0) {
            float c = o->solver_heun ? expm1f(-he) / he + 1.0f : -0.5f * expm1f(-he);
            c *= alpha_of(t, lt) / (h_last / h);
            vec_mix3(r->x, 1, r->x, c, D, -c, old);
        }
        sde_noise(r, s, t, h, z);
        tensor_copy(old, D);
        h_last = h;
    }
    return OK;
}

/* The bend of dpmpp_3m_sde from up to two old estimates; h1, h2: the steps before h. */
static void sde_bend_3m(Tensor *x, const Tensor *D, Tensor *const *old, int known, float alpha,
                        float h, float he, float h1, float h2)
{
    float p2 = expm1f(-he) / he + 1.0f, p3 = p2 / he - 0.5f;

    if (known == 1) {
        float c = alpha * p2 / (h1 / h);
        vec_mix3(x, 1, x, c, D, -c, old[0]);
        return;
    }
    float r0 = h1 / h, r1 = h2 / h, share = r0 / (r0 + r1), each = 1.0f / (r0 + r1);
    /* d1 = d10 + (d10 - d11) share, d2 = (d10 - d11) each; collect what multiplies d10 and d11. */
    float on_10 = alpha * (p2 * (1.0f + share) - p3 * each),
          on_11 = alpha * (p3 * each - p2 * share);
    float a = on_10 / r0, b = on_11 / r1;
    vec_mix3(x, 1, x, a, D, b - a, old[0]);
    tensor_add_scaled(x, old[1], -b);
}

Status sampler_dpmpp_3m_sde(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    float h1 = 0, h2 = 0;
    Tensor *D, *z, *old[2];

    TRY(run_temp(r, &D, err));
    TRY(run_temp(r, &z, err));
    TRY(run_temps(r, old, 2, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = run_sigma_offset(r, k), t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, D, err));
        run_step(r, k, D, r->x);
        if (t == 0) {
            tensor_copy(r->x, D);
            continue;
        }
        float lt = lambda_of(t), h = lt - lambda_of(s), he = h * (float)(o->eta + 1);
        sde_first(r, D, s, t, h);
        if (k > 0) sde_bend_3m(r->x, D, old, k > 1 ? 2 : 1, alpha_of(t, lt), h, he, h1, h2);
        sde_noise(r, s, t, h, z);
        history_push(old, 2);
        tensor_copy(old[0], D);
        h2 = h1;
        h1 = h;
    }
    return OK;
}
