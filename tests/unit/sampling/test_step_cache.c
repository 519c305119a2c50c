/* test_step_cache.c - the decisions of TeaCache and EasyCache against the reference's series. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <string.h>

#include "engine/sampling/denoiser.h"
#include "engine/sampling/step_cache.h"

/* ---- TeaCache ---------------------------------------------------------------------------------------- */

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

/* Every decision of one series; the sums before each as well. */
static void check_tea(const Vectors *v, const char *key, const Json *item)
{
    char name[64];
    int steps = 0;
    double threshold = 0, sum = 0;
    StepCache *c = NULL;
    void *state = NULL;
    Error err = { 0 };

    assert_int_equal(sscanf(key, "teacache.%d.%lf", &steps, &threshold), 2);
    snprintf(name, sizeof name, "teacache.%d.modulated", steps);
    Tensor *series = vectors_tensor(v, name);
    const Json *sums = json_get(item, "accumulated_before_decision"),
               *compute = json_get(item, "compute");
    ok(step_cache_tea("5", TEA_FLUX, threshold, 0, 1, &c, &err), &err);
    ok(c->begin(c, &state, &err), &err);
    for (int i = 0; i < steps; i++) {
        CacheQuestion q = {
            .step = i, .steps = steps, .change = change_of(series, i), .kept = i > 0
        };
        bool inner = i > 0 && i < steps - 1;
        sum += tea_change(TEA_FLUX, q.change);
        if (inner) {
            double want = json_double(json_at(sums, (size_t)i - 1));
            if (fabs(sum - want) > 1e-5 * want) fail_msg("%s step %d: %.9g", key, i, sum);
        }
        ok(c->decide(c, state, &q, &err), &err);
        if (q.compute != json_bool(json_at(compute, (size_t)i)))
            fail_msg("%s step %d: compute %d", key, i, q.compute);
        if (q.compute) sum = 0;
        assert_int_equal(q.reason[0], 0);
    }
    c->end(c, state);
    ref_drop(c);
    tensor_unref(series);
}

static void teacache_decides_as_the_reference(void **state)
{
    static const char *const keys[] = { "teacache.20.0.25", "teacache.20.0.4",
                                        "teacache.20.0.6",  "teacache.20.0.8",
                                        "teacache.28.0.25", "teacache.28.0.4",
                                        "teacache.28.0.6",  "teacache.28.0.8" };
    Vectors v;

    (void)state;
    vectors_open(&v, "quantisation", "step_caches");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        check_tea(&v, keys[i], json_get(json_root(v.json), keys[i]));
    vectors_close(&v);
}

static void teacache_skips_nothing_in_short_runs(void **state)
{
    StepCache *c = NULL;
    void *sum = NULL;
    Error err = { 0 };

    (void)state;
    ok(step_cache_tea("5", TEA_FLUX_KONTEXT, 10, 0, 1, &c, &err), &err);
    ok(c->begin(c, &sum, &err), &err);
    for (int i = 0; i < 7; i++) {
        CacheQuestion q = { .step = i, .steps = 7, .change = 0.01, .kept = true };
        ok(c->decide(c, sum, &q, &err), &err);
        assert_true(q.compute);
        assert_non_null(strstr(q.reason, "7 steps are too few"));
    }
    CacheQuestion q = { .step = 1, .steps = 8, .change = 0.01, .kept = true };
    ok(c->decide(c, sum, &q, &err), &err);
    assert_false(q.compute);
    c->end(c, sum);
    ref_drop(c);
}

/* ---- EasyCache ------------------------------------------------------------------------------------------- */

/* Item i of a series as a tensor of batch 1, sharing memory. */
static Tensor *item_of(const Tensor *series, int64_t i)
{
    Tensor *t = NULL;
    Error err = { 0 };
    ok(tensor_slice(series, i, 1, &t, &err), &err);
    return t;
}

/* A limit in percent whose noise level under the plain flow is `sigma`. */
static double percent_of(double sigma)
{
    return 1 - sigma;
}

static void check_easy(const Vectors *v, int number)
{
    char key[32], name[64];
    ModelSampling *m = NULL;
    EasyRun *run = NULL;
    Error err = { 0 };

    snprintf(key, sizeof key, "easycache.%d", number);
    const Json *item = json_get(json_root(v->json), key), *compute = json_get(item, "compute"),
               *sigmas = json_get(item, "sigmas");
    snprintf(name, sizeof name, "%s.x", key);
    Tensor *xs = vectors_tensor(v, name);
    snprintf(name, sizeof name, "%s.model_output", key);
    Tensor *answers = vectors_tensor(v, name);
    snprintf(name, sizeof name, "%s.returned", key);
    Tensor *wants = vectors_tensor(v, name), *out = NULL;
    EasyLimits limits = { num(item, "threshold", 0), percent_of(num(item, "start_t", 1)),
                          percent_of(num(item, "end_t", 0)) };

    ok(model_sampling_flow(1, 1, &m, &err), &err);
    ok(easy_begin(&limits, m, &run, &err), &err);
    for (int64_t i = 0; i < xs->shape[0]; i++) {
        Tensor *x = item_of(xs, i), *answer = item_of(answers, i), *want = item_of(wants, i);
        float sigma = (float)json_double(json_at(sigmas, (size_t)i));
        bool answered = false;
        if (!out) ok(tensor_new(K_F32, 4, x->shape, &out, &err), &err);
        ok(easy_ask(run, v, x, sigma, out, &answered, &err), &err);
        if (answered == json_bool(json_at(compute, (size_t)i)))
            fail_msg("%s step %d: skipped %d", key, (int)i, answered);
        if (!answered) {
            memcpy(out->data, answer->data, (size_t)tensor_count(out) * sizeof(float));
            ok(easy_keep(run, v, x, sigma, out, &err), &err);
        }
        assert_true(worst(tensor_f32(out), tensor_f32(want), tensor_count(out)) < 1e-6);
        tensor_unref(x);
        tensor_unref(answer);
        tensor_unref(want);
    }
    easy_end(run);
    ref_drop(m);
    tensor_unref(out);
    tensor_unref(xs);
    tensor_unref(answers);
    tensor_unref(wants);
}

static void easycache_answers_as_the_reference(void **state)
{
    Vectors v;

    (void)state;
    vectors_open(&v, "quantisation", "step_caches");
    for (int i = 0; i < 3; i++)
        check_easy(&v, i);
    vectors_close(&v);
}

/* The second conditioning follows the first within a step, with a difference of its own. */
static void a_second_conditioning_follows_the_first(void **state)
{
    const int64_t shape[4] = { 1, 2, 9, 9 };
    EasyLimits limits = { 3, 0, 1 };
    ModelSampling *m = NULL;
    EasyRun *run = NULL;
    Tensor *x = NULL, *out = NULL;
    int lanes[2], skipped[2] = { 0 };
    Error err = { 0 };

    (void)state;
    ok(model_sampling_flow(1, 1, &m, &err), &err);
    ok(easy_begin(&limits, m, &run, &err), &err);
    ok(tensor_new(K_F32, 4, shape, &x, &err), &err);
    ok(tensor_new(K_F32, 4, shape, &out, &err), &err);
    for (int step = 0; step < 6; step++)
        for (int lane = 0; lane < 2; lane++) {
            bool answered = false;
            for (int64_t i = 0; i < tensor_count(x); i++)
                tensor_f32(x)[i] = 1 + 0.01f * (float)step;
            ok(easy_ask(run, &lanes[lane], x, 1 - 0.1f * (float)step, out, &answered, &err),
               &err);
            skipped[lane] += answered;
            if (answered) {
                assert_true(fabsf(tensor_f32(out)[0] - (lane ? 7.0f : 5.0f)) < 0.2f);
                continue;
            }
            for (int64_t i = 0; i < tensor_count(x); i++)
                tensor_f32(out)[i] = tensor_f32(x)[i] * (lane ? 7.0f : 5.0f);
            ok(easy_keep(run, &lanes[lane], x, 1 - 0.1f * (float)step, out, &err), &err);
        }
    assert_int_equal(skipped[0], 4);
    assert_int_equal(skipped[1], 4);
    easy_end(run);
    ref_drop(m);
    tensor_unref(x);
    tensor_unref(out);
}

int run_step_cache_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teacache_decides_as_the_reference),
        cmocka_unit_test(teacache_skips_nothing_in_short_runs),
        cmocka_unit_test(easycache_answers_as_the_reference),
        cmocka_unit_test(a_second_conditioning_follows_the_first),
    };
    return cmocka_run_group_tests_name("step_cache", tests, NULL, NULL);
}
