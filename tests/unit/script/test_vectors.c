/* test_vectors.c - guidance and schedule scripts against the reference's numbers. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "engine/sampling/denoiser.h"
#include "engine/tensor/ops.h"
#include "tests/unit/script/support.h"

/* Hooks of one script with their states, and what plain guidance does where none combines. */
typedef struct Guided {
    GuidanceHook *hooks[4];
    void *states[4];
    int count;
} Guided;

static void guided_begin(Guided *g, const ScriptValues *v, const Tensor *x)
{
    Error err = { 0 };
    ok(script_guidance_hooks(v, "7", g->hooks, &g->count, &err), &err);
    for (int i = 0; i < g->count; i++)
        ok(g->hooks[i]->begin(g->hooks[i], x, &g->states[i], &err), &err);
}

static void guided_end(Guided *g)
{
    for (int i = 0; i < g->count; i++) {
        g->hooks[i]->end(g->hooks[i], g->states[i]);
        ref_drop(g->hooks[i]);
    }
}

static void guided_step(Guided *g, GuidanceStep *s)
{
    static const GuidanceKind order[] = { GUIDE_SCALE, GUIDE_PRE, GUIDE_CFG, GUIDE_POST };
    Error err = { 0 };

    for (int k = 0; k < 4; k++) {
        bool own = false;
        for (int i = 0; i < g->count; i++) {
            if (g->hooks[i]->kind != order[k]) continue;
            own = true;
            ok(g->hooks[i]->run(g->hooks[i], g->states[i], s, &err), &err);
        }
        if (order[k] == GUIDE_CFG && !own)
            guidance_cfg(s->cond, s->uncond, s->scale, s->denoised);
    }
}

/* ---- scales ------------------------------------------------------------------------------------------ */

static double scale_at(Guided *g, const Tensor *x, double time, double cfg)
{
    GuidanceStep s = {
        .x = x, .sigma = 0.5f, .cfg = cfg, .scale = cfg, .steps = 10, .time = time
    };
    Error err = { 0 };
    ok(g->hooks[0]->run(g->hooks[0], g->states[0], &s, &err), &err);
    return s.scale;
}

static int check_scales(const ScriptSet *set, const Json *item, bool interval)
{
    bool cosine = !interval && strcmp(text(item, "window"), "cosine") == 0;
    ScriptValues *v = values_of(set, interval ? "guidance_interval"
                                     : cosine ? "tvcfg_cosine"
                                              : "tvcfg_triangle");
    Tensor *x = toy_tensor(0);
    Guided g;

    set_number(v, interval ? "start" : "lo", num(item, interval ? "lo" : "low", 0));
    set_number(v, interval ? "stop" : "hi", num(item, interval ? "hi" : "high", 0));
    guided_begin(&g, v, x);
    const Json *times = json_get(item, interval ? "percent" : "t"),
               *scales = json_get(item, "scale");
    for (size_t i = 0; i < json_count(times); i++) {
        double at = json_double(json_at(times, i)), want = json_double(json_at(scales, i));
        double have = scale_at(&g, x, interval ? 1 - at : at, num(item, "cfg", 1));
        if (fabs(have - want) > 1e-9) fail_msg("scale at %g: %.17g, not %.17g", at, have, want);
    }
    guided_end(&g);
    tensor_unref(x);
    ref_drop(v);
    return 1;
}

/* Distance of out from the values of want (F32 or F64) that start at `from`. */
static double distance(const Tensor *out, const Tensor *want, int64_t from)
{
    double far = 0;
    for (int64_t i = 0, n = tensor_count(out); i < n; i++) {
        double right = want->dtype == K_F64 ? ((const double *)want->data)[from + i]
                                            : (double)tensor_f32(want)[from + i];
        far = fmax(far, fabs((double)tensor_f32(out)[i] - right) / fmax(1, fabs(right)));
    }
    return far;
}

/* ---- tensors ------------------------------------------------------------------------------------------- */

static ScriptValues *values_for(const ScriptSet *set, const Json *item, const char *op)
{
    ScriptValues *v;

    if (!strcmp(op, "APG")) {
        v = values_of(set, "apg");
        set_number(v, "eta", num(item, "eta", 1));
        set_number(v, "norm_threshold", num(item, "norm_threshold", 5));
        set_number(v, "momentum", num(item, "momentum", 0));
        return v;
    }
    if (!strcmp(op, "CFGNorm")) {
        v = values_of(set, "cfg_norm");
        set_number(v, "strength", num(item, "strength", 1));
        return v;
    }
    if (!strcmp(op, "RescaleCFG")) {
        v = values_of(set, "rescale_cfg");
        set_number(v, "multiplier", num(item, "multiplier", 0.7));
        return v;
    }
    if (!strcmp(op, "mimic_cfg")) {
        v = values_of(set, "mimic_cfg");
        set_number(v, "mimic_scale", num(item, "mimic_weight", 7));
        set_number(v, "percentile", num(item, "percentile", 1));
        set_value(v, "variability", text(item, "variability"));
        set_value(v, "center_mean", flag(item, "center_mean") ? "true" : "false");
        set_value(v, "separate_channels", flag(item, "separate_channels") ? "true" : "false");
        set_number(v, "phi", num(item, "interpolate_phi", 1));
        return v;
    }
    return values_of(set, "cfg_zero_star");
}

static double check_tensors(const ScriptSet *set, const Vectors *vec, const Json *item,
                            const char *op)
{
    ScriptValues *v = values_for(set, item, op);
    Tensor *p = vectors_at(vec, item, "cond"), *u = vectors_at(vec, item, "uncond"),
           *want = vectors_at(vec, item, "out");
    Tensor *x = json_get(item, "x") ? vectors_at(vec, item, "x") : tensor_ref(p), *out = NULL,
           *c = NULL, *n = NULL;
    const Json *calls = json_get(item, "calls");
    size_t rounds = calls ? json_count(calls) : 1;
    double scale = num(item, "scale", num(item, "cfg_weight", 1)), far = 0;
    Guided g;
    Error err = { 0 };

    ok(tensor_clone(p, &out, &err), &err);
    ok(tensor_clone(p, &c, &err), &err);
    ok(tensor_clone(u, &n, &err), &err);
    guided_begin(&g, v, p);
    for (size_t k = 0; k < rounds; k++) {
        const Json *call = calls ? json_at(calls, k) : item;
        tensor_affine(c, p, (float)num(call, "cond_mul", 1), 0);
        tensor_affine(n, u, (float)num(call, "uncond_mul", 1), 0);
        GuidanceStep s = { .x = x,
                           .sigma = (float)num(call, "sigma", 1),
                           .cfg = scale,
                           .scale = scale,
                           .cond = c,
                           .uncond = n,
                           .denoised = out,
                           .steps = 10 };
        guided_step(&g, &s);
        far = fmax(far, distance(out, want, (int64_t)k * tensor_count(out)));
    }
    guided_end(&g);
    tensor_unref(p);
    tensor_unref(u);
    tensor_unref(x);
    tensor_unref(want);
    tensor_unref(out);
    tensor_unref(c);
    tensor_unref(n);
    ref_drop(v);
    return far;
}

static double check_threshold(const ScriptSet *set, const Vectors *vec, const Json *item)
{
    ScriptValues *v = values_of(set, "dynamic_threshold");
    Tensor *in = vectors_at(vec, item, "in"), *want = vectors_at(vec, item, "out"), *out = NULL;
    Guided g;
    Error err = { 0 };

    set_number(v, "percentile", num(item, "percentile", 99.5));
    set_number(v, "min_s", num(item, "min_s", 1));
    ok(tensor_clone(in, &out, &err), &err);
    guided_begin(&g, v, in);
    GuidanceStep s = { .x = in,
                       .sigma = 1,
                       .cfg = 1,
                       .scale = 1,
                       .cond = in,
                       .uncond = in,
                       .denoised = out,
                       .steps = 10 };
    ok(g.hooks[0]->run(g.hooks[0], g.states[0], &s, &err), &err);
    double far = distance(out, want, 0);
    guided_end(&g);
    tensor_unref(in);
    tensor_unref(want);
    tensor_unref(out);
    ref_drop(v);
    return far;
}

/* Of the vectors that were made in double precision, and of those made in float32. */
static double tolerance_of(const char *op)
{
    bool exact = !strcmp(op, "dynamic_threshold") || !strcmp(op, "mimic_cfg");
    return exact ? 1e-6 : 3e-6;
}

static void test_guidance_vectors(void **state)
{
    Vectors vec;
    ScriptSet *set;
    int checked = 0;

    (void)state;
    vectors_open(&vec, "guidance", "guidance");
    set = builtin_scripts();
    const Json *cases = json_get(json_root(vec.json), "cases");
    for (const Json *item = json_first(cases); item; item = json_next(item)) {
        const char *op = text(item, "op");
        double far = 0;
        if (!strcmp(op, "cfg")) continue;
        checked++;
        if (!strcmp(op, "tv_cfg") || !strcmp(op, "guidance_interval"))
            check_scales(set, item, !strcmp(op, "guidance_interval"));
        else if (!strcmp(op, "dynamic_threshold"))
            far = check_threshold(set, &vec, item);
        else
            far = check_tensors(set, &vec, item, op);
        if (!(far <= tolerance_of(op)))
            fail_msg("%s, case %d: off by %g", op, checked, far);
    }
    print_message("%d guidance cases\n", checked);
    assert_true(checked >= 150);
    script_set_free(set);
    vectors_close(&vec);
}

/* ---- schedules -------------------------------------------------------------------------------------------- */

/* Compares steps + 1 numbers; skips lists that break the contract of a schedule (nan, rising, not ending in 0). */
static bool compare_schedule(const ScriptValues *v, const ModelSampling *m, int64_t steps,
                             const Json *want)
{
    Tensor *t = NULL;
    Error err = { 0 };
    size_t n = json_count(want);

    for (size_t i = 0; i + 1 < n; i++)
        if (!(number_of(json_at(want, i)) > number_of(json_at(want, i + 1)))) return false;
    if (n != (size_t)steps + 1 || number_of(json_at(want, n - 1)) != 0) return false;
    ok(script_schedule(v, m, steps, 1, &t, &err), &err);
    for (size_t i = 0; i < n; i++) {
        double have = (double)tensor_f32(t)[i], right = number_of(json_at(want, i));
        if (fabs(have - right) > 3e-6 * fmax(fabs(right), 0.1))
            fail_msg("number %zu: %.9g, not %.9g", i, have, right);
    }
    tensor_unref(t);
    return true;
}

/* "linspace": equal steps from 1 to 1/n, as the vectors' user gave them. */
static void join_linspace(int n, char *out, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%.17g ",
                               n == 1 ? 1.0 : 1.0 + i * ((1.0 / n - 1.0) / (n - 1)));
}

static bool check_flow_match(const ScriptSet *set, const ModelSampling *m, const Json *item)
{
    const Json *c = json_get(item, "config") ? json_get(item, "config") : item;
    bool dynamic = flag(c, "use_dynamic_shifting");
    char list[4000] = "", mu[40];

    if (flag(c, "invert_sigmas") || !json_is(json_get(item, "sigmas"), JSON_ARRAY))
        return false;
    ScriptValues *v = values_of(set, "flow_match_euler");
    set_number(v, "shift", num(c, "shift", 1));
    set_value(v, "dynamic", dynamic ? "true" : "false");
    if (json_is(json_get(item, "mu"), JSON_NUMBER)) {
        snprintf(mu, sizeof mu, "%.17g", num(item, "mu", 0));
        set_value(v, "mu", mu);
    }
    if (text(c, "time_shift_type")) set_value(v, "time_shift_type", text(c, "time_shift_type"));
    if (json_is(json_get(c, "shift_terminal"), JSON_NUMBER))
        set_number(v, "shift_terminal", num(c, "shift_terminal", 0));
    if (flag(c, "use_karras_sigmas")) set_value(v, "spread", "karras");
    if (flag(c, "use_exponential_sigmas")) set_value(v, "spread", "exponential");
    if (flag(c, "use_beta_sigmas")) set_value(v, "spread", "beta");
    if (text(item, "input_sigmas"))
        join_linspace((int)num(item, "steps", 0), list, sizeof list);
    set_value(v, "sigmas", list);
    bool done = compare_schedule(v, m, (int64_t)json_count(json_get(item, "sigmas")) - 1,
                                 json_get(item, "sigmas"));
    ref_drop(v);
    return done;
}

static void test_schedule_vectors(void **state)
{
    Vectors vec;
    ModelSampling *m = NULL;
    Error err = { 0 };
    int quadratic = 0, flow = 0;

    (void)state;
    vectors_open(&vec, "sigmas", "sigmas");
    ok(model_sampling_flux(1.15, &m, &err), &err);
    ScriptSet *set = builtin_scripts();
    ScriptValues *v = values_of(set, "linear_quadratic");
    const Json *cases = json_get(json_root(vec.json), "cases");
    for (const Json *item = json_first(cases); item; item = json_next(item)) {
        const char *kind = text(item, "kind"), *name = text(item, "scheduler");
        if (!strcmp(kind, "scheduler") && name && !strcmp(name, "linear_quadratic"))
            quadratic += compare_schedule(v, m, (int64_t)num(item, "steps", 0),
                                          json_get(item, "sigmas"));
        if (!strcmp(kind, "FlowMatchEulerDiscreteScheduler"))
            flow += check_flow_match(set, m, item);
    }
    print_message("%d linear-quadratic and %d flow match cases\n", quadratic, flow);
    assert_true(quadratic >= 40 && flow >= 60);
    ref_drop(v);
    ref_drop(m);
    script_set_free(set);
    vectors_close(&vec);
}

/* ---- equality and cost ---------------------------------------------------------------------------------------- */

static void test_flat_tvcfg_is_plain_cfg(void **state)
{
    static const char *const names[] = { "tvcfg_triangle", "tvcfg_cosine" };
    ScriptSet *set = builtin_scripts();

    (void)state;
    for (int k = 0; k < 2; k++) {
        ScriptValues *v = values_of(set, names[k]);
        Tensor *x = toy_tensor(0), *p = toy_tensor(1), *u = toy_tensor(2), *out = toy_tensor(3),
               *plain = toy_tensor(4);
        Guided g;
        set_value(v, "lo", "3.7");
        set_value(v, "hi", "3.7");
        guided_begin(&g, v, x);
        for (int i = 0; i <= 20; i++) {
            GuidanceStep s = { .x = x,
                               .sigma = 0.5f,
                               .cfg = 1,
                               .scale = 1,
                               .cond = p,
                               .uncond = u,
                               .denoised = out,
                               .step = i,
                               .steps = 20,
                               .time = i / 20.0 };
            guided_step(&g, &s);
            guidance_cfg(p, u, 3.7, plain);
            assert_memory_equal(out->data, plain->data,
                                (size_t)tensor_count(out) * sizeof(float));
        }
        guided_end(&g);
        tensor_unref(x);
        tensor_unref(p);
        tensor_unref(u);
        tensor_unref(out);
        tensor_unref(plain);
        ref_drop(v);
    }
    script_set_free(set);
}

static double microseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void test_cost_of_a_step(void **state)
{
    static const char *const names[] = { "tvcfg_cosine", "guidance_interval", "cfg_zero_star",
                                         "apg" };
    ScriptSet *set = builtin_scripts();
    Error err = { 0 };

    (void)state;
    for (int k = 0; k < 4; k++) {
        ScriptValues *v = values_of(set, names[k]);
        Tensor *x = toy_tensor(0), *p = toy_tensor(1), *u = toy_tensor(2), *out = toy_tensor(3);
        Guided g;
        guided_begin(&g, v, x);
        double began = microseconds();
        for (int i = 0; i < 2000; i++) {
            GuidanceStep s = { .x = x,
                               .sigma = 0.5f,
                               .cfg = 4,
                               .scale = 4,
                               .cond = p,
                               .uncond = u,
                               .denoised = out,
                               .step = i % 20,
                               .steps = 20,
                               .time = 0.3 };
            guided_step(&g, &s);
        }
        print_message("%s: %.1f us per step\n", names[k], (microseconds() - began) / 2000);
        guided_end(&g);
        tensor_unref(x);
        tensor_unref(p);
        tensor_unref(u);
        tensor_unref(out);
        ref_drop(v);
    }
    for (int k = 0; k < 2; k++) {
        Sampler *s = NULL;
        ok(sampler_new(k ? "lua:euler" : "euler", NULL, script_set_registry(set), &s, &err),
           &err);
        double began = microseconds();
        for (int i = 0; i < 200; i++) {
            Tensor *t = NULL;
            ok(run_toy(s, &t, &err), &err);
            tensor_unref(t);
        }
        print_message("%s: %.1f us per step of 8, start included\n", k ? "lua:euler" : "euler",
                      (microseconds() - began) / 200 / 8);
        sampler_unref(s);
    }
    script_set_free(set);
}

int run_script_vectors_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guidance_vectors),
        cmocka_unit_test(test_schedule_vectors),
        cmocka_unit_test(test_flat_tvcfg_is_plain_cfg),
        cmocka_unit_test(test_cost_of_a_step),
    };
    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
