/* samplers_euler.c - one-step samplers: Euler, Heun, DPM-2, their ancestral forms, DDPM, LCM. */
#include "engine/sampling/samplers_impl.h"

/* Raises x's noise from s to the value returned; z is work memory ("Elucidating the Design Space of
 * Diffusion-Based Generative Models", algorithm 2). drawn: z already holds the normals. */
static float churn(SamplerRun *r, int k, Tensor *z, bool drawn)
{
    const SamplerOptions *o = r->options;
    float s = r->sigmas[k];
    bool inside = o->s_tmin <= (double)s && (double)s <= o->s_tmax;

    if (!(o->s_churn > 0) || !inside) return s;
    double gamma = fmin(o->s_churn / (r->count - 1), sqrt(2.0) - 1);
    float hat = s * (float)(gamma + 1);
    if (!drawn) run_churn_noise(r, z);
    tensor_add_scaled(r->x, z, (float)o->s_noise * sqrtf(hat * hat - s * s));
    return hat;
}

Status sampler_euler(SamplerRun *r, Error *err)
{
    Tensor *d, *z;

    TRY(run_temp(r, &d, err));
    TRY(run_temp(r, &z, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = churn(r, k, z, false);
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        vec_derivative(d, r->x, d, s);
        tensor_add_scaled(r->x, d, r->sigmas[k + 1] - s);
    }
    return OK;
}

/* eta 0 for euler_cfg_pp. The step to t runs on (x - (1-s) U) / s, renoised around (1-t) D. */
Status sampler_euler_cfg_pp(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *d, *z;

    TRY(run_temp(r, &d, err));
    TRY(run_temp(r, &z, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1], as = 1.0f - s, at = 1.0f - t;
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        if (t == 0) {
            tensor_copy(r->x, d);
            continue;
        }
        Ancestral a = ancestral_step(s / as, t / at, o->eta);
        vec_mix3(r->x, a.down * at / s, r->x, -a.down * at / s * as, r->uncond, at, d);
        if (o->eta > 0 && o->s_noise > 0) {
            run_noise(r, s, t, z);
            tensor_add_scaled(r->x, z, at * (float)o->s_noise * a.up);
        }
    }
    return OK;
}

/* d = (x - 2 D + U) / s, Euler step along it. */
static Status sampler_euler_pp(SamplerRun *r, Error *err)
{
    Tensor *d;

    TRY(run_temp(r, &d, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], dt = r->sigmas[k + 1] - s;
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        vec_mix3(r->x, 1 + dt / s, r->x, -2 * dt / s, d, dt / s, r->uncond);
    }
    return OK;
}

const SamplerDef sampler_euler_pp_def = { .name = "euler_pp",
                                          .fn = sampler_euler_pp,
                                          .flags = SAMPLER_CFG_PP,
                                          .noise = NOISE_NONE };

Status sampler_euler_ancestral(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *d, *z;

    TRY(run_temp(r, &d, err));
    TRY(run_temp(r, &z, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        if (t == 0) {
            tensor_copy(r->x, d);
            continue;
        }
        AncestralFlow a = ancestral_flow(s, t, o->eta);
        float keep = a.down / s;
        vec_mix2(r->x, keep, r->x, 1.0f - keep, d);
        if (o->eta > 0) {
            run_noise(r, s, t, z);
            vec_mix2(r->x, a.ratio, r->x, (float)o->s_noise * a.up, z);
        }
    }
    return OK;
}

Status sampler_heun(SamplerRun *r, Error *err)
{
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    Tensor *d = w[0], *x2 = w[1], *d2 = w[2];
    for (int k = 0; k + 1 < r->count; k++) {
        float s = churn(r, k, w[3], false), t = r->sigmas[k + 1], dt = t - s;
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        vec_derivative(d, r->x, d, s);
        if (t == 0) {
            tensor_add_scaled(r->x, d, dt);
            continue;
        }
        vec_mix2(x2, 1, r->x, dt, d);
        TRY(run_stage(r, x2, t, d2, err));
        vec_derivative(d2, x2, d2, t);
        vec_mix3(r->x, 1, r->x, dt / 2, d, dt / 2, d2);
    }
    return OK;
}

/* Heun's method with one or two stages more, weighted by the sigmas they are taken at. */
Status sampler_heunpp2(SamplerRun *r, Error *err)
{
    const float *v = r->sigmas;
    float end = v[r->count - 1];
    Tensor *w[6];

    TRY(run_temps(r, w, 6, err));
    Tensor *d = w[0], *x2 = w[1], *d2 = w[2], *x3 = w[3], *d3 = w[4];
    for (int k = 0; k + 1 < r->count; k++) {
        run_churn_noise(r, w[5]); /* the reference draws whether it uses it or not */
        float s = churn(r, k, w[5], true), t = v[k + 1], dt = t - s;
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        vec_derivative(d, r->x, d, s);
        if (t == end) {
            tensor_add_scaled(r->x, d, dt);
            continue;
        }
        vec_mix2(x2, 1, r->x, dt, d);
        TRY(run_stage(r, x2, t, d2, err));
        vec_derivative(d2, x2, d2, t);
        if (v[k + 2] == end) {
            float w2 = t / (2.0f * v[0]);
            vec_mix3(r->x, 1, r->x, (1.0f - w2) * dt, d, w2 * dt, d2);
            continue;
        }
        vec_mix2(x3, 1, x2, v[k + 2] - t, d2);
        TRY(run_stage(r, x3, v[k + 2], d3, err));
        vec_derivative(d3, x3, d3, v[k + 2]);
        float w2 = t / (3.0f * v[0]), w3 = v[k + 2] / (3.0f * v[0]), w1 = 1.0f - w2 - w3;
        vec_mix3(d, w1, d, w2, d2, w3, d3);
        tensor_add_scaled(r->x, d, dt);
    }
    return OK;
}

/* Halfway between two sigmas in log sigma. */
static float log_middle(float s, float t)
{
    float a = logf(s), b = logf(t);
    return expf(b - (b - a) * 0.5f);
}

/* A step from s to t through the derivative at their middle; d holds the derivative at s. */
static Status midpoint(SamplerRun *r, float s, float t, Tensor *d, Tensor *x2, Tensor *d2,
                       Error *err)
{
    float mid = log_middle(s, t);

    vec_mix2(x2, 1, r->x, mid - s, d);
    TRY(run_stage(r, x2, mid, d2, err));
    vec_derivative(d2, x2, d2, mid);
    tensor_add_scaled(r->x, d2, t - s);
    return OK;
}

Status sampler_dpm_2(SamplerRun *r, Error *err)
{
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = churn(r, k, w[3], false), t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, w[0], err));
        run_step(r, k, w[0], r->x);
        vec_derivative(w[0], r->x, w[0], s);
        if (t == 0)
            tensor_add_scaled(r->x, w[0], t - s);
        else
            TRY(midpoint(r, s, t, w[0], w[1], w[2], err));
    }
    return OK;
}

Status sampler_dpm_2_ancestral(SamplerRun *r, Error *err)
{
    const SamplerOptions *o = r->options;
    Tensor *w[4];

    TRY(run_temps(r, w, 4, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        AncestralFlow a = ancestral_flow(s, t, o->eta);
        TRY(run_denoise(r, r->x, s, w[0], err));
        run_step(r, k, w[0], r->x);
        vec_derivative(w[0], r->x, w[0], s);
        if (a.down == 0) {
            tensor_add_scaled(r->x, w[0], a.down - s);
            continue;
        }
        TRY(midpoint(r, s, a.down, w[0], w[1], w[2], err));
        run_noise(r, s, t, w[3]);
        vec_mix2(r->x, a.ratio, r->x, (float)o->s_noise * a.up, w[3]);
    }
    return OK;
}

/* "Denoising Diffusion Probabilistic Models" in variance-preserving scale; blind to flow. */
Status sampler_ddpm(SamplerRun *r, Error *err)
{
    Tensor *d, *z;

    TRY(run_temp(r, &d, err));
    TRY(run_temp(r, &z, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        vec_derivative(d, r->x, d, s);
        float A = 1.0f / (s * s + 1.0f), B = 1.0f / (t * t + 1.0f), a = A / B;
        float grow = sqrtf(1.0f / a), scale = sqrtf(1.0f + t * t);
        vec_mix2(r->x, grow / sqrtf(1.0f + s * s), r->x, -grow * (1.0f - a) / sqrtf(1.0f - A),
                 d);
        if (t > 0) {
            run_noise(r, s, t, z);
            vec_mix2(r->x, scale, r->x, scale * sqrtf((1.0f - a) * (1.0f - B) / (1.0f - A)), z);
        }
    }
    return OK;
}

/* "Latent Consistency Models": to the clean estimate and back into noise. */
Status sampler_lcm(SamplerRun *r, Error *err)
{
    Tensor *d, *z;

    TRY(run_temp(r, &d, err));
    TRY(run_temp(r, &z, err));
    for (int k = 0; k + 1 < r->count; k++) {
        float s = r->sigmas[k], t = r->sigmas[k + 1];
        TRY(run_denoise(r, r->x, s, d, err));
        run_step(r, k, d, r->x);
        tensor_copy(r->x, d);
        if (t > 0) {
            run_noise(r, s, t, z);
            vec_mix2(r->x, 1.0f - t, r->x, t, z);
        }
    }
    return OK;
}
