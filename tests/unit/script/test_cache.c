/* test_cache.c - scripts of kind cache: contract, decisions, faults. */
#include <math.h>
#include <string.h>

#include "tests/unit/script/support.h"

static StepCache *cache_of(const ScriptValues *v)
{
    StepCache *c = NULL;
    Error err = { 0 };
    ok(script_cache_new(v, "12", &c, &err), &err);
    return c;
}

static ScriptValues *default_values(const char *script)
{
    Script *s = NULL;
    ScriptValues *v = NULL;
    Error err = { 0 };
    ok(load_text(script, NULL, &s, &err), &err);
    ok(script_values_default(s, &v, &err), &err);
    ref_drop(s);
    return v;
}

static double change_of(const Tensor *series, int64_t i)
{
    int64_t n = tensor_count(series) / series->shape[0];
    const float *now = tensor_f32(series) + i * n, *before = now - n;
    double moved = 0, size = 0;

    for (int64_t k = 0; i > 0 && k < n; k++) {
        moved += (double)fabsf(now[k] - before[k]);
        size += (double)fabsf(before[k]);
    }
    return i > 0 ? moved / size : 0;
}

/* The shipped script decides every step of every series as the reference does. */
static void test_teacache_vectors(void **state)
{
    static const double thresholds[] = { 0.25, 0.4, 0.6, 0.8 };
    Vectors vec;
    Error err = { 0 };

    (void)state;
    vectors_open(&vec, "quantisation", "step_caches");
    ScriptSet *set = builtin_scripts();
    for (int k = 0; k < 8; k++) {
        int steps = k % 2 ? 28 : 20;
        char key[64], name[64];
        void *lane = NULL;
        ScriptValues *v = values_of(set, "teacache");
        snprintf(key, sizeof key, "teacache.%d.%g", steps, thresholds[k / 2]);
        snprintf(name, sizeof name, "teacache.%d.modulated", steps);
        const Json *compute = json_get(json_get(json_root(vec.json), key), "compute");
        Tensor *series = vectors_tensor(&vec, name);
        set_number(v, "threshold", thresholds[k / 2]);
        StepCache *c = cache_of(v);
        ok(c->begin(c, &lane, &err), &err);
        for (int i = 0; i < steps; i++) {
            CacheQuestion q = {
                .step = i, .steps = steps, .change = change_of(series, i), .kept = i > 0
            };
            ok(c->decide(c, lane, &q, &err), &err);
            if (q.compute != json_bool(json_at(compute, (size_t)i)))
                fail_msg("%s step %d: compute %d", key, i, q.compute);
        }
        c->end(c, lane);
        ref_drop(c);
        ref_drop(v);
        tensor_unref(series);
    }
    script_set_free(set);
    vectors_close(&vec);
}

/* Skipped steps of a run in which nothing changes; the reason goes to `reason`. */
static int skipped_of(const ScriptValues *v, int steps, char reason[CACHE_REASON])
{
    StepCache *c = cache_of(v);
    void *lane = NULL;
    int skipped = 0;
    Error err = { 0 };

    ok(c->begin(c, &lane, &err), &err);
    for (int i = 0; i < steps; i++) {
        CacheQuestion q = { .step = i, .steps = steps, .change = 0.01, .kept = i > 0 };
        ok(c->decide(c, lane, &q, &err), &err);
        skipped += !q.compute;
        if (q.reason[0]) snprintf(reason, CACHE_REASON, "%s", q.reason);
    }
    c->end(c, lane);
    ref_drop(c);
    return skipped;
}

static void test_teacache_refuses_short_runs(void **state)
{
    ScriptSet *set = builtin_scripts();
    ScriptValues *v = values_of(set, "teacache");
    char reason[CACHE_REASON] = "";

    (void)state;
    set_number(v, "threshold", 10);
    assert_int_equal(skipped_of(v, 7, reason), 0);
    assert_non_null(strstr(reason, "7 steps are too few"));
    assert_non_null(strstr(reason, "force"));
    reason[0] = 0;
    assert_int_equal(skipped_of(v, 8, reason), 6);
    set_value(v, "force", "true");
    assert_int_equal(skipped_of(v, 4, reason), 2);
    assert_int_equal(reason[0], 0);
    set_value(v, "max_skip", "1");
    assert_int_equal(skipped_of(v, 9, reason), 4);
    ref_drop(v);
    script_set_free(set);
}

/* Locals of the file and ctx.state both belong to one conditioning and picture. */
static void test_lanes_do_not_meet(void **state)
{
    ScriptValues *v = default_values(
        "local calls = 0 return { kind = 'cache', name = 'a', decide = function(ctx)\n"
        "calls = calls + 1 ctx.state.n = (ctx.state.n or 0) + 1\n"
        "assert(calls == ctx.step + 1 and ctx.state.n == calls) assert(#ctx.sigmas == 0)\n"
        "assert(ctx.percent == 1 - ctx.t and ctx.kept == (ctx.step > 0)) return false end }");
    StepCache *c = cache_of(v);
    void *lanes[2] = { NULL, NULL };
    Error err = { 0 };

    (void)state;
    for (int k = 0; k < 2; k++)
        ok(c->begin(c, &lanes[k], &err), &err);
    for (int i = 0; i < 8; i++) {
        CacheQuestion q = { .step = i / 2, .steps = 4, .time = 0.25, .kept = i > 1 };
        ok(c->decide(c, lanes[i % 2], &q, &err), &err);
        assert_false(q.compute);
    }
    c->end(c, lanes[0]);
    c->end(c, lanes[1]);
    ref_drop(c);
    ref_drop(v);
}

static void decides_wrongly(const char *body, const char *words)
{
    char script[400];
    void *lane = NULL;
    Error err = { 0 };
    CacheQuestion q = { .steps = 4 };

    snprintf(script, sizeof script,
             "return { kind = 'cache', name = 'a',\ndecide = function(ctx, p)\n%s\nend }",
             body);
    ScriptValues *v = default_values(script);
    StepCache *c = cache_of(v);
    ok(c->begin(c, &lane, &err), &err);
    assert_int_equal(c->decide(c, lane, &q, &err), E_SCRIPT);
    if (!strstr(err.message, words)) fail_msg("'%s' lacks '%s'", err.message, words);
    assert_string_equal(err.node, "12");
    assert_string_equal(err.class_type, "Lua.a");
    assert_true(err.line == 2 || err.line == 3);
    c->end(c, lane);
    ref_drop(c);
    ref_drop(v);
}

static void test_wrong_decisions(void **state)
{
    (void)state;
    decides_wrongly("", "must return true or false, not a nil");
    decides_wrongly("return 1", "must return true or false, not a number");
    decides_wrongly("return true, {}", "must be text, not a table");
    decides_wrongly("return ctx.nothing.at_all", "attempt to index");
    decides_wrongly("while true do end", "used up");
}

int run_cache_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_teacache_vectors),
        cmocka_unit_test(test_teacache_refuses_short_runs),
        cmocka_unit_test(test_lanes_do_not_meet),
        cmocka_unit_test(test_wrong_decisions),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
