/* bench_model.c - one denoising step, one prompt, one decode of a model file. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cli/bench.h"
#include "engine/formats/weights.h"
#include "engine/models/model.h"
#include "engine/text/encoder.h"
#include "engine/vae/vae.h"

static Status open_file(const Bench *b, Weights **out, Error *err)
{
    if (!b->args->model) {
        error_set(err, E_USAGE, "weft bench %s needs a model file", b->what);
        error_fix(err, "name one with --model FILE");
        return E_USAGE;
    }
    Status status = weights_open(b->args->model, NULL, out, err);
    if (status != OK) error_at_file(err, b->args->model, -1);
    return status;
}

static float *noise(int64_t count)
{
    uint32_t seed = 7;
    float *x = mem_alloc_array((size_t)count, sizeof *x);
    for (int64_t i = 0; x && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    return x;
}

/* ---- step -------------------------------------------------------------------------------------------- */

typedef struct Step {
    Model *model; /* owned */
    ForwardCall call;
    float *x, *context, *out; /* owned */
} Step;

static void step_fini(Step *s)
{
    model_unref(s->model);
    mem_free(s->x);
    mem_free(s->context);
    mem_free(s->out);
}

static Status step_init(Step *s, Bench *b, Error *err)
{
    int64_t width, height, tokens = b->args->tokens > 0 ? b->args->tokens : 512;
    Weights *w = NULL;
    TRY(bench_size(b, &width, &height, err));
    TRY(open_file(b, &w, err));
    Status status = model_open(b->session->host, w, b->args->model, &s->model, err);
    weights_unref(w);
    if (status != OK) return status;
    const ModelDims *d = model_dims(s->model);
    int cell = model_denoiser(s->model)->format.downscale;
    PosSize size = { .h = height / cell, .w = width / cell };
    s->x = noise(d->channels * size.h * size.w);
    s->context = noise(tokens * d->context);
    s->out = mem_alloc_array((size_t)(d->channels * size.h * size.w), sizeof(float));
    if (!s->x || !s->context || !s->out)
        return error_set(err, E_NOMEM, "no memory for a latent");
    s->call = (ForwardCall){ .x = s->x,
                             .size = size,
                             .sigma = 0.7f,
                             .context = s->context,
                             .tokens = tokens,
                             .guided = d->guidance,
                             .guidance = 4,
                             .method = REF_DEFAULT,
                             .out = s->out };
    return OK;
}

static Status step_work(void *user, Error *err)
{
    Step *s = user;
    return model_forward(s->model, &s->call, err);
}

Status bench_step(Bench *b, Error *err)
{
    Step s = { 0 };
    ModelCost cost;
    BenchResult r = { 0 };
    Status status = step_init(&s, b, err);
    if (status == OK) status = model_cost(s.model, &s.call, &cost, err);
    if (status == OK) status = bench_time(b, step_work, &s, &r.seconds, err);
    if (status == OK) {
        snprintf(r.subject, sizeof r.subject, "%lldx%lld latent, %lld tokens",
                 (long long)s.call.size.w, (long long)s.call.size.h, (long long)s.call.tokens);
        r.flops = cost.flops;
        r.arena = (int64_t)cost.arena_bytes;
        r.weights = (int64_t)cost.weight_bytes;
        bench_print(b, &r);
    }
    step_fini(&s);
    return status;
}

/* ---- scripts ------------------------------------------------------------------------------------------- */

enum { SCRIPT_STEPS = 20 };

/* The best of several runs of one script, and its share of a step of the model. */
static Status time_script(Bench *b, const Step *step, const Script *script, double whole,
                          Error *err)
{
    const ModelDims *d = model_dims(step->model);
    const int64_t shape[4] = { 1, d->channels, step->call.size.h, step->call.size.w };
    int64_t repeat = b->args->repeat > 0 ? b->args->repeat : 3;
    ScriptValues *v = NULL;
    double best = 0, seconds = 0;
    Status status = script_values_default(script, &v, err);

    for (int64_t i = 0; status == OK && i <= repeat; i++) {
        status = script_cost(v, model_denoiser(step->model)->sampling, shape, SCRIPT_STEPS,
                             &seconds, err);
        if (i == 1 || seconds < best) best = seconds;
    }
    ref_drop(v);
    if (status != OK) return status;
    if (b->args->json)
        printf("{\"bench\": \"lua\", \"script\": \"%s\", \"kind\": \"%s\", \"seconds\": %.9f, "
               "\"step_seconds\": %.6f, \"share\": %.6f}\n",
               script->name, script_kind_name(script->kind), best, whole, best / whole);
    else
        printf("lua      %-10s %-24s %9.1f us a step, %.4f %% of %.4f s\n",
               script_kind_name(script->kind), script->name, best * 1e6, 100 * best / whole,
               whole);
    return OK;
}

/* What every script takes of a step, beside the model's own time for one call. */
Status bench_lua(Bench *b, Error *err)
{
    Step s = { 0 };
    double whole = 0;
    Status status = step_init(&s, b, err);
    const Script *script;

    if (status == OK) status = bench_time(b, step_work, &s, &whole, err);
    for (size_t i = 0; status == OK && (script = script_set_at(b->session->scripts, i)); i++)
        if (script->kind != SCRIPT_SCHEDULER && script->kind != SCRIPT_NODE)
            status = time_script(b, &s, script, whole, err);
    step_fini(&s);
    return status;
}

/* ---- encoder ------------------------------------------------------------------------------------------- */

typedef struct Encoding {
    TextEncoder *encoder; /* owned */
    Host *host;
} Encoding;

static Status encode_work(void *user, Error *err)
{
    Encoding *e = user;
    Cond *cond = NULL;
    Status status =
        text_encode(e->encoder, e->host, "a lighthouse on a cliff at dusk", &cond, err);
    cond_unref(cond);
    return status;
}

Status bench_encoder(Bench *b, Error *err)
{
    Encoding e = { .host = b->session->host };
    TextFile file = { .name = b->args->model, .path = b->args->model };
    BenchResult r = { 0 };
    Weights *w = NULL;
    TRY(open_file(b, &w, err));
    weights_unref(w);
    Status status = text_encoder_open(e.host, &file, 1, NULL, &e.encoder, err);
    if (status == OK) status = bench_time(b, encode_work, &e, &r.seconds, err);
    if (status == OK) {
        int64_t tokens = 0;
        status = text_count_tokens(e.encoder, e.host, "a lighthouse on a cliff at dusk",
                                   &tokens, err);
        snprintf(r.subject, sizeof r.subject, "%s, %lld tokens", text_encoder_name(e.encoder),
                 (long long)tokens);
        r.weights = text_encoder_bytes(e.encoder);
        if (status == OK) status = text_encoder_flops(e.encoder, e.host, tokens, &r.flops, err);
    }
    if (status == OK) bench_print(b, &r);
    text_encoder_unref(e.encoder);
    return status;
}

/* ---- VAE ----------------------------------------------------------------------------------------------- */

typedef struct Decoding {
    Vae *vae;       /* owned */
    Tensor *latent; /* owned */
    Host *host;
} Decoding;

static Status decode_work(void *user, Error *err)
{
    Decoding *d = user;
    Tensor *image = NULL;
    Status status = vae_decode(d->vae, d->latent, &image, err);
    tensor_unref(image);
    return status;
}

static Status decoding_init(Decoding *d, Bench *b, Error *err)
{
    int64_t width, height;
    Weights *w = NULL;
    TRY(bench_size(b, &width, &height, err));
    TRY(open_file(b, &w, err));
    Status status = vae_open(b->session->host, w, b->args->model, &d->vae, err);
    weights_unref(w);
    if (status != OK) return status;
    int64_t cell = vae_ratio(d->vae), channels = vae_channels(d->vae);
    TRY(tensor_new(K_F32, 4, (int64_t[]){ 1, channels, height / cell, width / cell },
                   &d->latent, err));
    float *x = noise(tensor_count(d->latent));
    if (!x) return error_set(err, E_NOMEM, "no memory for a latent");
    memcpy(d->latent->data, x, (size_t)tensor_count(d->latent) * sizeof *x);
    mem_free(x);
    return OK;
}

Status bench_vae(Bench *b, Error *err)
{
    Decoding d = { .host = b->session->host };
    BenchResult r = { 0 };
    VaeCost cost;
    Status status = decoding_init(&d, b, err);
    if (status == OK)
        status = vae_decode_cost(d.vae, d.latent->shape[2] * vae_ratio(d.vae),
                                 d.latent->shape[3] * vae_ratio(d.vae), &cost, err);
    if (status == OK) status = bench_time(b, decode_work, &d, &r.seconds, err);
    if (status == OK) {
        snprintf(r.subject, sizeof r.subject, "decode, %lldx%lld latent",
                 (long long)d.latent->shape[3], (long long)d.latent->shape[2]);
        r.flops = cost.flops;
        r.arena = (int64_t)cost.arena_bytes;
        r.weights = (int64_t)cost.weight_bytes;
        bench_print(b, &r);
    }
    tensor_unref(d.latent);
    vae_unref(d.vae);
    return status;
}
