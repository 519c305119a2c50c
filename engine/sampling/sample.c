/* sample.c - one whole sampling call: noise in, sampler around the guider, latent out. */
#include "engine/sampling/sample.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/mem.h"
#include "engine/tensor/ops.h"

/* What lives for one call. Every tensor is one owned reference. */
typedef struct Sampling {
    const SampleCall *call;
    GuiderRun *guider;
    Tensor *samples;  /* the latent as the model takes it */
    Tensor *latent;   /* after process_in */
    Tensor *noise;    /* initial noise */
    Tensor *fill;     /* noise of the parts that a mask keeps */
    Tensor *mask;     /* [B,C,h,w]; NULL = none */
    Tensor *mask_now; /* the same after the mask hook */
    Tensor *masked;   /* x with the kept parts put in */
    Tensor *last;     /* clean estimate of the last step */
    Tensor *x;
    float *sigmas; /* owned */
    int count, steps_made;
    double step_began;
    Rng rng;
} Sampling;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- callbacks of the sampler ------------------------------------------------------------------------------ */

static const Tensor *mask_at(Sampling *s, float sigma, int step, Status *status, Error *err)
{
    if (!guider_has_mask_hook(s->guider)) return s->mask;
    tensor_copy(s->mask_now, s->mask);
    *status = guider_mask(s->guider, sigma, step, s->mask_now, err);
    return s->mask_now;
}

/* Clean estimate with the kept parts of the latent put in before and after the model. */
static Status denoise_masked(SamplerRun *r, const Tensor *x, float sigma, Tensor *out,
                             Error *err)
{
    Sampling *s = r->user;
    Status status = OK;
    const Tensor *mask = mask_at(s, sigma, r->step, &status, err);

    if (status != OK) return status;
    tensor_axby(s->masked, s->fill, sigma, s->latent, 1.0f - sigma);
    tensor_mask_mix(s->masked, x, s->masked, mask);
    TRY(guider_denoise(s->guider, s->masked, sigma, r->step, out, &r->uncond, err));
    tensor_mask_mix(out, out, s->latent, mask);
    return OK;
}

static Status denoise_plain(SamplerRun *r, const Tensor *x, float sigma, Tensor *out,
                            Error *err)
{
    Sampling *s = r->user;
    return guider_denoise(s->guider, x, sigma, r->step, out, &r->uncond, err);
}

/* A sampler that reads U must get one, so only scripts meet NULL. */
static Status denoise_any(SamplerRun *r, const Tensor *x, float sigma, Tensor *out, Error *err)
{
    Sampling *s = r->user;

    if (s->mask)
        TRY(denoise_masked(r, x, sigma, out, err));
    else
        TRY(denoise_plain(r, x, sigma, out, err));
    bool reads = r->sampler->def->flags & SAMPLER_CFG_PP;
    if (!reads && guider_skipped(s->guider)) r->uncond = NULL;
    return OK;
}

static void on_step(SamplerRun *r, int step, const Tensor *denoised, const Tensor *x)
{
    Sampling *s = r->user;
    const SampleCall *c = s->call;
    double now = seconds_now();
    int steps = s->count - 1, done = step + 1 < steps ? step + 1 : steps;

    tensor_copy(s->last, denoised);
    s->steps_made++;
    if (c->on_step) c->on_step(c->user, step, steps, denoised, x);
    events_emit(c->events, &(Event){ .kind = EV_PROGRESS,
                                     .node = c->node,
                                     .step = done,
                                     .steps = steps,
                                     .seconds = now - s->step_began });
    s->step_began = now;
}

/* ---- before and after ------------------------------------------------------------------------------------------ */

static Status make_noise(Sampling *s, Error *err)
{
    const SampleCall *c = s->call;
    const Latent *l = c->latent;

    if (c->noise->disabled) {
        rng_init(&s->rng, c->noise->seed);
        return tensor_zeros(K_F32, 4, s->samples->shape, &s->noise, err);
    }
    TRY(noise_prepare(c->noise->seed, s->samples, l->batch_index, l->batch_count, &s->rng,
                      &s->noise, err));
    if (tensor_same_shape(s->noise, s->samples)) return OK;
    return error_set(err, E_SHAPE, "the latent has %lld items and %lld batch indices",
                     (long long)s->samples->shape[0], (long long)l->batch_count);
}

/* The noise that stands behind a mask: the initial one, or a draw of its own (ddim). */
static Status make_fill(Sampling *s, Error *err)
{
    Rng own;

    if (!(s->call->sampler->def->flags & SAMPLER_RANDOM_INPAINT)) {
        s->fill = tensor_ref(s->noise);
        return OK;
    }
    TRY(tensor_new(K_F32, 4, s->noise->shape, &s->fill, err));
    rng_init(&own, s->call->noise->seed + 1);
    rng_normal(&own, tensor_f32(s->fill), tensor_count(s->fill));
    return OK;
}

static Status make_mask(Sampling *s, Error *err)
{
    const Tensor *mask = s->call->latent->noise_mask;

    if (!mask) return OK;
    TRY(latent_prepare_mask(mask, s->samples, &s->mask, err));
    TRY(tensor_new(K_F32, 4, s->samples->shape, &s->mask_now, err));
    TRY(tensor_new(K_F32, 4, s->samples->shape, &s->masked, err));
    return make_fill(s, err);
}

static Status make_sigmas(Sampling *s, Error *err)
{
    const Tensor *t = s->call->sigmas;

    s->count = (int)t->shape[0];
    s->sigmas = mem_alloc_array((size_t)s->count, sizeof *s->sigmas);
    if (!s->sigmas) return error_set(err, E_NOMEM, "out of memory");
    memcpy(s->sigmas, tensor_f32(t), (size_t)s->count * sizeof *s->sigmas);
    return OK;
}

/* Everything up to the first step. */
static Status prepare(Sampling *s, Error *err)
{
    const LatentFormat *f = &s->call->guider->denoiser->format;

    TRY(make_sigmas(s, err));
    TRY(make_noise(s, err));
    if (latent_is_zero(s->samples))
        s->latent = tensor_ref(s->samples);
    else
        TRY(latent_process_in(f, s->samples, &s->latent, err));
    TRY(make_mask(s, err));
    TRY(tensor_new(K_F32, 4, s->samples->shape, &s->last, err));
    TRY(tensor_new(K_F32, 4, s->samples->shape, &s->x, err));
    tensor_axby(s->x, s->noise, s->sigmas[0], s->latent, 1.0f - s->sigmas[0]);
    return OK;
}

static Status walk(Sampling *s, Error *err)
{
    const SampleCall *c = s->call;
    bool pp = c->sampler->def->flags & SAMPLER_CFG_PP;
    DenoiseRun run = { c->sigmas, s->noise, s->latent, s->mask, c->events };
    SamplerRun r = { .sampler = c->sampler,
                     .model = c->guider->denoiser->sampling,
                     .sigmas = s->sigmas,
                     .count = s->count,
                     .seed = c->noise->seed,
                     .churn = &s->rng,
                     .x = s->x,
                     .denoise = denoise_any,
                     .progress = on_step,
                     .user = s };

    TRY(guider_begin(c->guider, &run, pp, &s->guider, err));
    s->step_began = seconds_now();
    TRY(sampler_run(&r, err));
    /* The last sigma as the sampler left it: UniPC moves it. */
    float left = 1.0f - s->sigmas[s->count - 1], *x = tensor_f32(s->x);
    for (int64_t i = 0, n = tensor_count(s->x); left != 1.0f && i < n; i++)
        x[i] /= left;
    return OK;
}

static void sampling_fini(Sampling *s)
{
    Tensor *const all[] = { s->samples,  s->latent, s->noise, s->fill, s->mask,
                            s->mask_now, s->masked, s->last,  s->x };
    guider_end(s->guider);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tensor_unref(all[i]);
    mem_free(s->sigmas);
}

static Status wrap(const Sampling *s, const Tensor *result, bool process, Latent **out,
                   Error *err)
{
    const LatentFormat *f = &s->call->guider->denoiser->format;
    Tensor *t = tensor_ref(result);

    if (process) {
        tensor_unref(t);
        TRY(latent_process_out(f, result, &t, err));
    }
    return latent_with_samples(s->call->latent, t, out, err);
}

static Status finish(const Sampling *s, bool walked, Latent **output, Latent **denoised,
                     Error *err)
{
    const Tensor *result = walked ? s->x : s->samples,
                 *clean = s->steps_made ? s->last : result;
    Latent *made = NULL;

    if (output) TRY(wrap(s, result, walked, &made, err));
    if (denoised) {
        Status status = wrap(s, clean, walked, denoised, err);
        if (status != OK) {
            latent_unref(made);
            return status;
        }
    }
    if (output) *output = made;
    return OK;
}

/* Says how many unconditional passes guidance over time left out; a scale that is always 1 needs no note. */
static void note_saved(const Sampling *s)
{
    char words[80];
    int saved = s->guider ? guider_saved(s->guider) : 0, calls = s->guider ? guider_calls(s->guider) : 0;

    if (saved == 0 || calls <= saved) return;
    snprintf(words, sizeof words, "%d unconditional passes were left out", saved);
    events_emit(s->call->events, &(Event){ .kind = EV_NOTE, .node = s->call->node, .text = words });
}

/* Says how many model calls step caches answered. */
static void note_reused(const Sampling *s)
{
    char words[80];
    int reused = 0, asked = 0;

    if (s->guider) guider_reuse(s->guider, &reused, &asked);
    if (reused == 0) return;
    snprintf(words, sizeof words, "%d of %d model calls were skipped", reused, asked);
    events_emit(s->call->events,
                &(Event){ .kind = EV_NOTE, .node = s->call->node, .text = words });
}

Status sample_custom(const SampleCall *call, Latent **output, Latent **denoised,
                     SampleStats *stats, Error *err)
{
    Status status = OK;
    Sampling *s = mem_calloc(1, sizeof *s);
    bool walks = call->sigmas->shape[0] > 0;

    if (!s) return error_set(err, E_NOMEM, "out of memory");
    s->call = call;
    TRY_DONE(latent_fix(call->latent, &call->guider->denoiser->format, &s->samples, err));
    if (walks) {
        TRY_DONE(prepare(s, err));
        TRY_DONE(walk(s, err));
    }
    TRY_DONE(finish(s, walks, output, denoised, err));
    note_saved(s);
    note_reused(s);
    if (stats && s->guider) {
        *stats = (SampleStats){ guider_calls(s->guider), guider_saved(s->guider), 0, 0 };
        guider_reuse(s->guider, &stats->reused, &stats->asked);
    } else if (stats) {
        *stats = (SampleStats){ 0 };
    }
done:
    sampling_fini(s);
    mem_free(s);
    return status;
}

/* ---- KSampler ---------------------------------------------------------------------------------------------- */

static Status ksampler_parts(const KSamplerCall *k, Sampler **sampler, Tensor **sigmas,
                             Guider **guider, Noise **noise, Error *err)
{
    KSigmas ks = { .scheduler = k->scheduler,
                   .steps = k->steps,
                   .denoise = k->denoise,
                   .start_step = k->start_step,
                   .last_step = k->last_step,
                   .force_full_denoise = k->force_full_denoise };

    TRY(sampler_new(k->sampler, NULL, k->registry, sampler, err));
    ks.discard = (*sampler)->def->flags & SAMPLER_DISCARD;
    TRY(sigmas_ksampler(k->denoiser->sampling, &ks, k->registry, sigmas, err));
    TRY(guider_cfg(k->denoiser, k->positive, k->negative, k->cfg, guider, err));
    TRY(noise_new(k->seed, noise, err));
    (*noise)->disabled = !k->add_noise;
    return OK;
}

Status sample_ksampler(const KSamplerCall *k, Latent **out, SampleStats *stats, Error *err)
{
    Status status = OK;
    Sampler *sampler = NULL;
    Tensor *sigmas = NULL;
    Guider *guider = NULL;
    Noise *noise = NULL;

    TRY_DONE(ksampler_parts(k, &sampler, &sigmas, &guider, &noise, err));
    SampleCall call = { .guider = guider,
                        .sampler = sampler,
                        .sigmas = sigmas,
                        .latent = k->latent,
                        .noise = noise,
                        .events = k->events,
                        .node = k->node };
    TRY_DONE(sample_custom(&call, out, NULL, stats, err));
done:
    sampler_unref(sampler);
    tensor_unref(sigmas);
    guider_unref(guider);
    noise_unref(noise);
    return status;
}
