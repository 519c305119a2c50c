/* test_samplers.c - every sampler on an analytic denoiser: results, what each step reports, order of events. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/latent.h"
#include "engine/sampling/samplers.h"
#include "engine/tensor/ops.h"

/* The analytic model of the vectors: tanh of a channel mix, shrunk by sigma. */
typedef struct Mix {
    float A[4][4], b[4];
} Mix;

/* One case while it runs. */
typedef struct Bench {
    const Json *item;
    Mix cond, uncond;
    double cfg;
    const Tensor *noise, *latent, *mask; /* mask: [B,C,h,w] or NULL */
    Tensor *positive, *negative, *masked;
    const Json *event; /* the next one that is expected */
    const Tensor *want_x, *want_denoised;
    int steps, model_calls;
    double worst_step, worst_sigma;
} Bench;

static Mix mix_of(const Json *j)
{
    Mix m;
    for (size_t i = 0; i < 4; i++) {
        m.b[i] = (float)json_double(json_at(json_get(j, "b"), i));
        for (size_t k = 0; k < 4; k++)
            m.A[i][k] = (float)json_double(json_at(json_at(json_get(j, "A"), i), k));
    }
    return m;
}

static void mix_apply(const Mix *m, const Tensor *x, float sigma, Tensor *out)
{
    int64_t plane = x->shape[2] * x->shape[3];

    for (int64_t b = 0; b < x->shape[0]; b++) {
        const float *in = tensor_f32(x) + b * 4 * plane;
        float *to = tensor_f32(out) + b * 4 * plane;
        for (int64_t p = 0; p < plane; p++)
            for (int i = 0; i < 4; i++) {
                float sum = 0;
                for (int j = 0; j < 4; j++)
                    sum += m->A[i][j] * in[j * plane + p];
                to[i * plane + p] = tanhf(sum) / (1.0f + sigma) + m->b[i];
            }
    }
}

static Status bench_denoise(SamplerRun *r, const Tensor *x, float sigma, Tensor *out,
                            Error *err)
{
    Bench *b = r->user;
    const Tensor *input = x;

    (void)err;
    b->model_calls++;
    if (b->mask) {
        tensor_axby(b->masked, b->noise, sigma, b->latent, 1.0f - sigma);
        tensor_mask_mix(b->masked, x, b->masked, b->mask);
        input = b->masked;
    }
    mix_apply(&b->cond, input, sigma, b->positive);
    bool skipped = b->cfg == 1 && !(r->sampler->def->flags & SAMPLER_CFG_PP);
    if (skipped) {
        tensor_copy(out, b->positive);
    } else {
        mix_apply(&b->uncond, input, sigma, b->negative);
        tensor_sub(out, b->positive, b->negative);
        tensor_axby(out, out, (float)b->cfg, b->negative, 1);
    }
    r->uncond = b->negative;
    if (b->mask) tensor_mask_mix(out, out, b->latent, b->mask);
    return OK;
}

static const char *const noise_names[] = { "none", "default", "brownian" };

static void near(Bench *b, const char *what, double got, double want)
{
    double d = fabs(got - want);
    /* The adaptive sampler's steps follow from differences of nearly equal states. */
    double allowed = strcmp(text(b->item, "sampler"), "dpm_adaptive") ? 1e-6 : 1e-5;
    if (!(d <= allowed * fmax(1, fabs(want))))
        fail_msg("%s: %s %.9g, want %.9g", text(b->item, "case"), what, got, want);
    if (d > b->worst_sigma) b->worst_sigma = d;
}

static void check_step(Bench *b, const RunEvent *e)
{
    int64_t n = tensor_count(e->x);
    double wx = worst(tensor_f32(e->x), tensor_f32(b->want_x) + e->step * n, n);
    double wd = worst(tensor_f32(e->denoised), tensor_f32(b->want_denoised) + e->step * n, n);

    assert_int_equal(e->step, (int)num(b->event, "i", -1));
    b->worst_step = fmax(b->worst_step, fmax(wx, wd));
    b->steps++;
}

static void check_new_rng(Bench *b, const RunEvent *e)
{
    assert_string_equal(text(b->event, "kind"), noise_names[e->noise]);
    if (e->noise == NOISE_DEFAULT) {
        assert_true(e->seed == num_u64(b->event, "manual_seed"));
        return;
    }
    assert_true(e->seed == num_u64(b->event, "entropy"));
    near(b, "tree start", (double)e->sigma, num(b->event, "sigma_min", -1));
    near(b, "tree end", (double)e->sigma_next, num(b->event, "sigma_max", -1));
}

static void bench_trace(SamplerRun *r, const RunEvent *e)
{
    static const char *const names[] = { "new_rng", "model", "noise", "callback" };
    Bench *b = r->user;

    if (!b->event)
        fail_msg("%s: an event too many (%s)", text(b->item, "case"), names[e->kind]);
    if (strcmp(text(b->event, "ev"), names[e->kind]))
        fail_msg("%s: %s, want %s", text(b->item, "case"), names[e->kind],
                 text(b->event, "ev"));
    if (e->kind == RUN_NEW_RNG) check_new_rng(b, e);
    if (e->kind == RUN_MODEL)
        near(b, "model sigma", (double)e->sigma, num(b->event, "sigma", -1));
    if (e->kind == RUN_STEP) check_step(b, e);
    if (e->kind == RUN_NOISE) {
        assert_string_equal(text(b->event, "kind"), noise_names[e->noise]);
        near(b, "noise sigma", (double)e->sigma, num(b->event, "sigma", -1));
        near(b, "noise sigma_next", (double)e->sigma_next, num(b->event, "sigma_next", -1));
    }
    b->event = json_next(b->event);
}

static void apply_options(const Json *j, SamplerOptions *o)
{
    const char *solver = text(j, "solver_type");

    o->s_churn = num(j, "s_churn", o->s_churn);
    o->s_noise = num(j, "s_noise", o->s_noise);
    o->eta = num(j, "eta", o->eta);
    o->r = num(j, "r", o->r);
    o->order = (int)num(j, "order", o->order);
    o->order = (int)num(j, "max_order", o->order);
    o->max_stage = (int)num(j, "max_stage", o->max_stage);
    o->ge_gamma = num(j, "ge_gamma", o->ge_gamma);
    o->predictor_order = (int)num(j, "predictor_order", o->predictor_order);
    o->corrector_order = (int)num(j, "corrector_order", o->corrector_order);
    o->simple_order_2 = flag(j, "simple_order_2");
    if (solver) {
        o->solver_heun = !strcmp(solver, "heun");
        o->phi_2 = !strcmp(solver, "phi_2");
    }
}

/* Absolute tolerance by sampler; the rest 3e-5. */
static double tolerance(const char *name)
{
    static const struct {
        const char *prefix;
        double v;
    } rows[] = {
        { "dpmpp_sde", 5e-3 },    { "dpmpp_2m_sde", 1e-4 }, { "dpmpp_3m_sde", 1e-4 },
        { "dpm_adaptive", 2e-4 }, { "sa_solver", 2e-4 },    { "uni_pc", 2e-4 },
        { "lms", 2e-4 },          { "deis", 2e-4 },         { "res_multistep_ancestral", 1e-3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strncmp(name, rows[i].prefix, strlen(rows[i].prefix))) return rows[i].v;
    return 3e-5;
}

static Tensor *named(const Vectors *v, const char *a, const char *b)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", a, b);
    return vectors_tensor(v, name);
}

static Tensor *like(const Tensor *t)
{
    Tensor *n;
    Error err = { 0 };
    ok(tensor_zeros(K_F32, t->ndim, t->shape, &n, &err), &err);
    return n;
}

/* Makes a case's sampler, with the options it names. */
static Sampler *sampler_of(const Json *item)
{
    SamplerOptions o = sampler_find(text(item, "sampler"))->options;
    Sampler *s;
    Error err = { 0 };

    if (json_get(item, "options")) apply_options(json_get(item, "options"), &o);
    ok(sampler_new(text(item, "sampler"), &o, NULL, &s, &err), &err);
    return s;
}

/* The vector's initial noise is the seed's; its churn comes from a generator that was seeded seed + 1000
 * just before the sampler ran (found from the states that x0.euler reports). */
static void seed_churn(const Json *config, const Tensor *noise, Rng *rng)
{
    Tensor *again;
    Error err = { 0 };

    ok(noise_prepare(num_u64(config, "seed"), noise, NULL, 0, rng, &again, &err), &err);
    assert_memory_equal(again->data, noise->data, (size_t)tensor_count(noise) * 4);
    tensor_unref(again);
    rng_init(rng, num_u64(config, "seed") + 1000);
}

typedef struct CaseTensors {
    Tensor *noise, *latent, *mask, *x, *denoised, *out;
} CaseTensors;

static CaseTensors tensors_of(const Vectors *v, const Json *item, const Json *config)
{
    char c[16];
    const char *name = text(item, "case");
    CaseTensors t = { 0 };

    snprintf(c, sizeof c, "c%d", (int)num(item, "config", 0));
    t.noise = named(v, c, "noise");
    t.latent = named(v, c, "latent");
    if (text(config, "mask")) {
        Tensor *mask = named(v, c, "mask");
        Error err = { 0 };
        ok(latent_prepare_mask(mask, t.noise, &t.mask, &err), &err);
        tensor_unref(mask);
    }
    t.x = named(v, name, "x");
    t.denoised = named(v, name, "denoised");
    t.out = named(v, name, "out");
    return t;
}

static void tensors_fini(CaseTensors *t)
{
    Tensor *const all[] = { t->noise, t->latent, t->mask, t->x, t->denoised, t->out };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tensor_unref(all[i]);
}

/* The noise that fills masked-out parts: the initial one, or ddim's own draw. */
static Tensor *inpaint_noise(const Sampler *s, const Json *config, const Tensor *noise)
{
    if (!(s->def->flags & SAMPLER_RANDOM_INPAINT)) return tensor_ref(noise);
    Tensor *n = like(noise);
    Rng rng;
    rng_init(&rng, num_u64(config, "seed") + 1);
    rng_normal(&rng, tensor_f32(n), tensor_count(n));
    return n;
}

/* Returns the worst difference of the case. */
static double check_case(const Vectors *v, const Json *item, const Json *config,
                         double *sigma_error)
{
    CaseTensors t = tensors_of(v, item, config);
    Sampler *s = sampler_of(item);
    ModelSampling *model = vectors_model(json_get(config, "model"));
    Tensor *fill = inpaint_noise(s, config, t.noise);
    float sigmas[64];
    Rng churn;
    Error err = { 0 };
    Bench b = { .item = item,
                .cfg = num(config, "cfg", 1),
                .noise = fill,
                .latent = t.latent,
                .mask = t.mask,
                .positive = like(t.noise),
                .negative = like(t.noise),
                .masked = like(t.noise),
                .want_x = t.x,
                .want_denoised = t.denoised,
                .cond = mix_of(json_get(json_get(json_root(v->json), "denoiser"), "cond")),
                .uncond = mix_of(json_get(json_get(json_root(v->json), "denoiser"), "uncond")),
                .event = json_first(json_get(item, "events")) };
    SamplerRun run = { .sampler = s,
                       .model = model,
                       .sigmas = sigmas,
                       .seed = num_u64(config, "seed"),
                       .churn = &churn,
                       .x = like(t.noise),
                       .denoise = bench_denoise,
                       .trace = bench_trace,
                       .user = &b };

    seed_churn(config, t.noise, &churn);
    for (const Json *j = json_first(json_get(item, "sigmas")); j; j = json_next(j))
        sigmas[run.count++] = (float)json_double(j);
    tensor_axby(run.x, t.noise, sigmas[0], t.latent, 1.0f - sigmas[0]);
    ok(sampler_run(&run, &err), &err);
    if (b.event) fail_msg("%s: events are missing", text(item, "case"));
    assert_int_equal(b.model_calls, (int)num(item, "nfe", 0));
    tensor_affine(run.x, run.x, 1.0f / (1.0f - sigmas[run.count - 1]), 0);
    double most =
        fmax(b.worst_step, worst(tensor_f32(run.x), tensor_f32(t.out), tensor_count(t.out)));
    *sigma_error = fmax(*sigma_error, b.worst_sigma);
    tensor_unref(run.x);
    tensor_unref(b.positive);
    tensor_unref(b.negative);
    tensor_unref(b.masked);
    tensor_unref(fill);
    sampler_unref(s);
    ref_drop(model);
    tensors_fini(&t);
    return most;
}

static void samplers_vectors(void **state)
{
    Vectors v;
    double most[64] = { 0 }, sigma_error = 0;
    int seen[64] = { 0 }, failed = 0;

    (void)state;
    vectors_open(&v, "samplers", "samplers");
    const Json *configs = json_get(json_root(v.json), "configs");
    for (const Json *c = json_first(json_get(json_root(v.json), "cases")); c;
         c = json_next(c)) {
        const char *name = text(c, "sampler");
        size_t i = 0;
        while (strcmp(sampler_names()[i], name))
            i++;
        double w =
            check_case(&v, c, json_at(configs, (size_t)num(c, "config", 0)), &sigma_error);
        if (!(w <= tolerance(name))) {
            print_error("%s: worst %.3g, allowed %.3g\n", text(c, "case"), w, tolerance(name));
            failed++;
        }
        most[i] = fmax(most[i], w);
        seen[i]++;
    }
    for (size_t i = 0; sampler_names()[i]; i++) {
        print_message("samplers: %-30s %d cases, worst %.2g\n", sampler_names()[i], seen[i],
                      most[i]);
        assert_true(seen[i] > 0);
    }
    print_message("samplers: sigmas of events to %.2g\n", sigma_error);
    vectors_close(&v);
    assert_int_equal(failed, 0);
}

static void table_and_names_agree(void **state)
{
    size_t n = 0;

    (void)state;
    for (; sampler_names()[n]; n++)
        assert_string_equal(sampler_find(sampler_names()[n])->name, sampler_names()[n]);
    assert_int_equal(n, 44);
}

static void unknown_sampler_names_the_nearest(void **state)
{
    Sampler *s = NULL;
    Error err = { 0 };

    (void)state;
    assert_int_equal(sampler_new("eulr", NULL, NULL, &s, &err), E_RANGE);
    assert_non_null(strstr(err.fix, "euler"));
    assert_null(s);
}

/* ---- a run without events: what it allocates, and short schedules ---- */

static uint64_t step_allocations;

static Status flat_denoise(SamplerRun *r, const Tensor *x, float sigma, Tensor *out, Error *err)
{
    uint64_t *at = r->user;

    (void)sigma, (void)err;
    if (*at && mem_count() != *at) step_allocations++;
    tensor_affine(out, x, 0.5f, 0);
    r->uncond = out;
    *at = mem_count();
    return OK;
}

static Status flat_run(const char *name, int count, const float *levels, Error *err)
{
    int64_t shape[4] = { 1, 4, 4, 4 };
    float sigmas[16];
    uint64_t at = 0;
    Rng churn;
    Sampler *s;
    ModelSampling *model;
    SamplerRun run = { .sigmas = sigmas,
                       .count = count,
                       .seed = 3,
                       .churn = &churn,
                       .denoise = flat_denoise,
                       .user = &at };

    rng_init(&churn, 3);
    memcpy(sigmas, levels, (size_t)count * sizeof *sigmas);
    ok(sampler_new(name, NULL, NULL, &s, err), err);
    ok(model_sampling_flux(1.15, &model, err), err);
    ok(tensor_zeros(K_F32, 4, shape, &run.x, err), err);
    tensor_fill(run.x, 0.25f);
    run.sampler = s;
    run.model = model;
    Status status = sampler_run(&run, err);
    if (count < 2) assert_true(tensor_f32(run.x)[0] == 0.25f);
    tensor_unref(run.x);
    sampler_unref(s);
    ref_drop(model);
    return status;
}

static void no_step_allocates(void **state)
{
    const float levels[] = { 1, 0.9f, 0.7f, 0.5f, 0.3f, 0.1f, 0 };
    Error err = { 0 };

    (void)state;
    for (size_t i = 0; sampler_names()[i]; i++) {
        step_allocations = 0;
        ok(flat_run(sampler_names()[i], 7, levels, &err), &err);
        if (step_allocations) fail_msg("%s allocates inside a step", sampler_names()[i]);
    }
}

static void short_schedules_run(void **state)
{
    const float levels[] = { 1, 0.5f, 0 }, low[] = { 0.8f, 0.4f };
    Error err = { 0 };

    (void)state;
    for (size_t i = 0; sampler_names()[i]; i++) {
        for (int n = 0; n <= 3; n++)
            ok(flat_run(sampler_names()[i], n, levels, &err), &err);
        ok(flat_run(sampler_names()[i], 2, low, &err), &err);
    }
}

int run_samplers_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samplers_vectors),
        cmocka_unit_test(table_and_names_agree),
        cmocka_unit_test(unknown_sampler_names_the_nearest),
        cmocka_unit_test(no_step_allocates),
        cmocka_unit_test(short_schedules_run),
    };
    return cmocka_run_group_tests_name("samplers", tests, NULL, NULL);
}
