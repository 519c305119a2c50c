/* test_sigmas.c - schedules and the nodes on them against the reference's own numbers. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampling/sigmas.h"

/* One case's output: one or two lists of values. */
typedef struct Made {
    Tensor *a, *b;
} Made;

static ModelSampling *model_of(const Json *item)
{
    return vectors_model(json_get(item, "model"));
}

static Tensor *list_of(const Json *array)
{
    double values[256];
    int64_t n = 0;
    Tensor *t;
    Error err = { 0 };

    for (const Json *v = json_first(array); v; v = json_next(v))
        values[n++] = number_of(v);
    ok(sigmas_from_values(values, n, &t, &err), &err);
    return t;
}

#define STEPS(c) ((int64_t)num(c, "steps", 0))
#define SMAX(c) num(c, "sigma_max", 0)
#define SMIN(c) num(c, "sigma_min", 0)
#define DENOISE(c) num(c, "denoise", 1)

static void make_scheduler(const Json *c, Made *m, Error *err)
{
    ModelSampling *ms = model_of(c);
    ok(sigmas_schedule(ms, text(c, "scheduler"), STEPS(c), 1, NULL, &m->a, err), err);
    ref_drop(ms);
}

static void make_basic(const Json *c, Made *m, Error *err)
{
    ModelSampling *ms = model_of(c);
    ok(sigmas_basic(ms, text(c, "scheduler"), STEPS(c), DENOISE(c), NULL, &m->a, err), err);
    ref_drop(ms);
}

static void make_ksampler(const Json *c, Made *m, Error *err)
{
    const char *s = text(c, "sampler");
    ModelSampling *ms = model_of(c);
    KSigmas k = { .scheduler = text(c, "scheduler"),
                  .steps = STEPS(c),
                  .denoise = DENOISE(c),
                  .start_step = -1,
                  .last_step = -1,
                  .discard = !strncmp(s, "dpm_2", 5) || !strncmp(s, "uni_pc", 6) };
    ok(sigmas_ksampler(ms, &k, NULL, &m->a, err), err);
    ref_drop(ms);
}

static void make_beta(const Json *c, Made *m, Error *err)
{
    ModelSampling *ms = model_of(c);
    ok(sigmas_beta(ms, STEPS(c), num(c, "alpha", 0), num(c, "beta", 0), &m->a, err), err);
    ref_drop(ms);
}

static void make_turbo(const Json *c, Made *m, Error *err)
{
    ModelSampling *ms = model_of(c);
    ok(sigmas_sd_turbo(ms, STEPS(c), DENOISE(c), &m->a, err), err);
    ref_drop(ms);
}

static void make_karras(const Json *c, Made *m, Error *err)
{
    ok(sigmas_karras(STEPS(c), SMAX(c), SMIN(c), num(c, "rho", 7), &m->a, err), err);
}

static void make_exponential(const Json *c, Made *m, Error *err)
{
    ok(sigmas_exponential(STEPS(c), SMAX(c), SMIN(c), &m->a, err), err);
}

static void make_poly(const Json *c, Made *m, Error *err)
{
    ok(sigmas_polyexponential(STEPS(c), SMAX(c), SMIN(c), num(c, "rho", 1), &m->a, err), err);
}

static void make_laplace(const Json *c, Made *m, Error *err)
{
    ok(sigmas_laplace(STEPS(c), SMAX(c), SMIN(c), num(c, "mu", 0), num(c, "beta", 0), &m->a,
                      err),
       err);
}

static void make_vp(const Json *c, Made *m, Error *err)
{
    ok(sigmas_vp(STEPS(c), num(c, "beta_d", 0), num(c, "beta_min", 0), num(c, "eps_s", 0),
                 &m->a, err),
       err);
}

static void make_flux2(const Json *c, Made *m, Error *err)
{
    int64_t w = (int64_t)num(c, "width", 0), h = (int64_t)num(c, "height", 0);
    assert_true(fabs(sigmas_flux2_mu(STEPS(c), w, h) - num(c, "mu", 0)) < 1e-12);
    ok(sigmas_flux2(STEPS(c), w, h, &m->a, err), err);
}

static void make_ays(const Json *c, Made *m, Error *err)
{
    ok(sigmas_align_your_steps(text(c, "model_type"), STEPS(c), DENOISE(c), &m->a, err), err);
}

static void make_optimal(const Json *c, Made *m, Error *err)
{
    ok(sigmas_optimal_steps(text(c, "model_type"), STEPS(c), DENOISE(c), &m->a, err), err);
}

static void make_gits(const Json *c, Made *m, Error *err)
{
    ok(sigmas_gits(num(c, "coeff", 0), STEPS(c), DENOISE(c), &m->a, err), err);
}

static void make_split(const Json *c, Made *m, Error *err)
{
    Tensor *in = list_of(json_get(c, "in"));
    ok(sigmas_split(in, (int64_t)num(c, "step", 0), &m->a, &m->b, err), err);
    tensor_unref(in);
}

static void make_split_denoise(const Json *c, Made *m, Error *err)
{
    Tensor *in = list_of(json_get(c, "in"));
    ok(sigmas_split_denoise(in, DENOISE(c), &m->a, &m->b, err), err);
    tensor_unref(in);
}

static void make_flip(const Json *c, Made *m, Error *err)
{
    Tensor *in = list_of(json_get(c, "in"));
    ok(sigmas_flip(in, &m->a, err), err);
    tensor_unref(in);
}

static void make_set_first(const Json *c, Made *m, Error *err)
{
    Tensor *in = list_of(json_get(c, "in"));
    ok(sigmas_set_first(in, num(c, "sigma", 0), &m->a, err), err);
    tensor_unref(in);
}

static void make_extend(const Json *c, Made *m, Error *err)
{
    Tensor *in = list_of(json_get(c, "in"));
    ok(sigmas_extend(in, STEPS(c), num(c, "start_at_sigma", 0), num(c, "end_at_sigma", 0),
                     text(c, "spacing"), &m->a, err),
       err);
    tensor_unref(in);
}

/* kind, maker, names of the expected lists, tolerance absolute and relative. */
typedef struct Row {
    const char *kind;
    void (*make)(const Json *, Made *, Error *);
    const char *a, *b;
    double absolute, relative;
} Row;

/* clang-format off */
static const Row rows[] = {
    { "scheduler", make_scheduler, "sigmas", NULL, 0, 0 },
    { "BasicScheduler", make_basic, "sigmas", NULL, 0, 0 },
    { "KSampler.sigmas", make_ksampler, "sigmas", NULL, 0, 0 },
    { "BetaSamplingScheduler", make_beta, "sigmas", NULL, 0, 0 },
    { "SDTurboScheduler", make_turbo, "sigmas", NULL, 3e-7, 0 },
    { "KarrasScheduler", make_karras, "sigmas", NULL, 0, 3e-6 },
    { "ExponentialScheduler", make_exponential, "sigmas", NULL, 0, 3e-6 },
    { "PolyexponentialScheduler", make_poly, "sigmas", NULL, 0, 3e-6 },
    { "LaplaceScheduler", make_laplace, "sigmas", NULL, 0, 3e-6 },
    { "VPScheduler", make_vp, "sigmas", NULL, 0, 3e-6 },
    { "Flux2Scheduler", make_flux2, "sigmas", NULL, 3e-7, 0 },
    { "AlignYourStepsScheduler", make_ays, "sigmas", NULL, 0, 3e-7 },
    { "OptimalStepsScheduler", make_optimal, "sigmas", NULL, 0, 3e-7 },
    { "GITSScheduler", make_gits, "sigmas", NULL, 0, 3e-7 },
    { "SplitSigmas", make_split, "high", "low", 0, 0 },
    { "SplitSigmasDenoise", make_split_denoise, "high", "low", 0, 0 },
    { "FlipSigmas", make_flip, "sigmas", NULL, 0, 0 },
    { "SetFirstSigma", make_set_first, "sigmas", NULL, 0, 0 },
    { "ExtendIntermediateSigmas", make_extend, "sigmas", NULL, 3e-7, 0 },
};

/* Schedules whose tolerance is not 0. */
static const struct { const char *name; double absolute, relative; } loose[] = {
    { "normal", 3e-7, 0 }, { "sgm_uniform", 3e-7, 0 }, { "karras", 0, 3e-6 }, { "exponential", 0, 3e-6 },
    { "kl_optimal", 0, 3e-6 }, { "linear_quadratic", 1.2e-7, 0 },
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof rows[0] };

static double compare(const Json *item, const Row *row, const Tensor *got, const Json *want)
{
    const char *name = text(item, "scheduler");
    double absolute = row->absolute, relative = row->relative, most = 0;
    int64_t n = (int64_t)json_count(want), i = 0;

    for (size_t k = 0; name && k < sizeof loose / sizeof loose[0]; k++) {
        if (strcmp(name, loose[k].name)) continue;
        absolute = loose[k].absolute;
        relative = loose[k].relative;
    }
    if (got->shape[0] != n)
        fail_msg("%s %s steps %d: %lld values, want %lld", row->kind, name ? name : "",
                 (int)num(item, "steps", -1), (long long)got->shape[0], (long long)n);
    for (const Json *v = json_first(want); v; v = json_next(v), i++) {
        double w = number_of(v), g = (double)tensor_f32(got)[i], d = fabs(w - g);
        if ((isnan(w) && isnan(g)) || w == g) continue;
        if (!(d <= absolute + relative * fabs(w)))
            fail_msg("%s %s steps %d at %lld: %.9g, want %.9g", row->kind, name ? name : "",
                     (int)num(item, "steps", -1), (long long)i, g, w);
        if (d > most) most = d;
    }
    return most;
}

static double check_row(const Json *item, const Row *row)
{
    Made made = { 0 };
    Error err = { 0 };

    row->make(item, &made, &err);
    double most = compare(item, row, made.a, json_get(item, row->a));
    if (row->b) most = fmax(most, compare(item, row, made.b, json_get(item, row->b)));
    tensor_unref(made.a);
    tensor_unref(made.b);
    return most;
}

static void check_table(const Json *item)
{
    ModelSampling *m = model_of(item);

    assert_int_equal(m->count, (int)num(item, "n", 0));
    assert_true((double)model_sigma_min(m) == num(item, "sigma_min", -1));
    assert_true((double)model_sigma_max(m) == num(item, "sigma_max", -1));
    for (const Json *s = json_first(json_get(item, "samples")); s; s = json_next(s))
        assert_true((double)m->table[atoi(json_key(s))] == json_double(s));
    ref_drop(m);
}

static void check_percent(const Json *item)
{
    ModelSampling *m = model_of(item);
    double got = model_percent_to_sigma(m, num(item, "percent", 0));
    assert_true(fabs(got - num(item, "sigma", -1)) < 1e-15);
    ref_drop(m);
}

static void sigmas_vectors(void **state)
{
    Vectors v;
    double most[ROWS] = { 0 };
    int seen[ROWS] = { 0 }, others = 0;

    (void)state;
    vectors_open(&v, "sigmas", "sigmas");
    for (const Json *c = json_first(json_get(json_root(v.json), "cases")); c;
         c = json_next(c)) {
        const char *kind = text(c, "kind");
        size_t i = 0;
        while (i < ROWS && strcmp(kind, rows[i].kind))
            i++;
        if (i < ROWS) {
            most[i] = fmax(most[i], check_row(c, &rows[i]));
            seen[i]++;
            continue;
        }
        if (!strcmp(kind, "FlowMatchEulerDiscreteScheduler")) continue; /* a script's */
        others++;
        if (!strcmp(kind, "table"))
            check_table(c);
        else if (!strcmp(kind, "percent_to_sigma"))
            check_percent(c);
        else
            fail_msg("unknown kind %s", kind);
    }
    for (size_t i = 0; i < ROWS; i++)
        print_message("sigmas: %-32s %3d cases, worst %.2g\n", rows[i].kind, seen[i], most[i]);
    print_message("sigmas: %d tables and percentages exact\n", others);
    vectors_close(&v);
}

static void beta_inverse_is_the_inverse(void **state)
{
    (void)state;
    /* I_x(1,1) = x, I_x(2,1) = x^2, I_x(1,2) = 1-(1-x)^2 */
    for (double p = 0.01; p < 1; p += 0.07) {
        assert_true(fabs(sigmas_beta_inverse(1, 1, p) - p) < 1e-14);
        assert_true(fabs(sigmas_beta_inverse(2, 1, p) - sqrt(p)) < 1e-14);
        assert_true(fabs(sigmas_beta_inverse(1, 2, p) - (1 - sqrt(1 - p))) < 1e-14);
    }
    assert_true(sigmas_beta_inverse(0.6, 0.6, 0.5) == 0.5);
}

static void unknown_scheduler_names_the_nearest(void **state)
{
    ModelSampling *m;
    Tensor *t = NULL;
    Error err = { 0 };

    (void)state;
    ok(model_sampling_flux(1.15, &m, &err), &err);
    assert_int_equal(sigmas_schedule(m, "simpel", 4, 1, NULL, &t, &err), E_RANGE);
    assert_non_null(strstr(err.fix, "simple"));
    assert_int_equal(sigmas_schedule(m, "simple", 0, 1, NULL, &t, &err), E_RANGE);
    assert_int_equal(sigmas_basic(m, "simple", 20, 1e-9, NULL, &t, &err), E_RANGE);
    assert_null(t);
    ref_drop(m);
}

/* KSamplerAdvanced: end first, then start. */
static void ksampler_start_and_end(void **state)
{
    ModelSampling *m;
    Tensor *t;
    Error err = { 0 };
    KSigmas k = { .scheduler = "simple",
                  .steps = 10,
                  .denoise = 1,
                  .start_step = 2,
                  .last_step = 6,
                  .force_full_denoise = true };

    (void)state;
    ok(model_sampling_flux(1.15, &m, &err), &err);
    ok(sigmas_ksampler(m, &k, NULL, &t, &err), &err);
    assert_int_equal(t->shape[0], 5);
    assert_true(tensor_f32(t)[4] == 0 && tensor_f32(t)[3] > 0);
    tensor_unref(t);
    k.start_step = 6;
    ok(sigmas_ksampler(m, &k, NULL, &t, &err), &err);
    assert_int_equal(t->shape[0], 0);
    tensor_unref(t);
    ref_drop(m);
}

static void model_time_is_the_inverse(void **state)
{
    ModelSampling *m[2];
    Error err = { 0 };

    (void)state;
    ok(model_sampling_flux(2.02, &m[0], &err), &err);
    ok(model_sampling_flow(3, 1000, &m[1], &err), &err);
    for (int i = 0; i < 2; i++) {
        for (double t = 0.05; t <= 1; t += 0.05)
            assert_true(fabs(model_time(m[i], model_sigma_at(m[i], t)) - t) < 1e-12);
        ref_drop(m[i]);
    }
}

int run_sigmas_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigmas_vectors),
        cmocka_unit_test(beta_inverse_is_the_inverse),
        cmocka_unit_test(unknown_scheduler_names_the_nearest),
        cmocka_unit_test(ksampler_start_and_end),
        cmocka_unit_test(model_time_is_the_inverse),
    };
    return cmocka_run_group_tests_name("sigmas", tests, NULL, NULL);
}
