/* test_guidance.c - CFG and its variants against the reference's own numbers. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <string.h>

#include "engine/sampling/guidance.h"
#include "engine/tensor/ops.h"

/* Largest difference to a wanted tensor of F32 or F64, relative above 1. */
static double distance(const float *got, const Tensor *want)
{
    int64_t n = tensor_count(want);
    double most = 0;

    for (int64_t i = 0; i < n; i++) {
        double w =
            want->dtype == K_F64 ? ((double *)want->data)[i] : (double)tensor_f32(want)[i];
        double d = fabs((double)got[i] - w) / fmax(1, fabs(w));
        if (!(d <= most)) most = d;
    }
    return most;
}

static Tensor *as_f32(Tensor *t)
{
    Tensor *f;
    Error err = { 0 };

    if (t->dtype == K_F32) return t;
    ok(tensor_new(K_F32, t->ndim, t->shape, &f, &err), &err);
    for (int64_t i = 0; i < tensor_count(t); i++)
        tensor_f32(f)[i] = (float)((double *)t->data)[i];
    tensor_unref(t);
    return f;
}

/* The hook that a case describes; NULL for plain cfg. */
static GuidanceHook *hook_of(const Json *item)
{
    const char *op = text(item, "op");
    GuidanceHook *h = NULL;
    Error err = { 0 };

    if (!strcmp(op, "CFGZeroStar")) ok(guidance_cfg_zero_star(&h, &err), &err);
    if (!strcmp(op, "CFGNorm")) ok(guidance_cfg_norm(num(item, "strength", 1), &h, &err), &err);
    if (!strcmp(op, "RescaleCFG"))
        ok(guidance_rescale_cfg(num(item, "multiplier", 0), &h, &err), &err);
    if (!strcmp(op, "APG"))
        ok(guidance_apg(num(item, "eta", 0), num(item, "norm_threshold", 0),
                        num(item, "momentum", 0), &h, &err),
           &err);
    return h;
}

/* One guided estimate with one hook, in the order that a guider uses. */
static void guide(const GuidanceHook *h, void *state, GuidanceStep *g)
{
    Error err = { 0 };

    if (h && h->kind == GUIDE_PRE) ok(h->run(h, state, g, &err), &err);
    if (!h || h->kind != GUIDE_CFG) guidance_cfg(g->cond, g->uncond, g->scale, g->denoised);
    if (h && h->kind != GUIDE_PRE) ok(h->run(h, state, g, &err), &err);
}

static double check_estimate(const Vectors *v, const Json *item)
{
    Tensor *p = as_f32(vectors_at(v, item, "cond"));
    Tensor *u = as_f32(vectors_at(v, item, "uncond"));
    Tensor *x = text(item, "x") ? as_f32(vectors_at(v, item, "x")) : tensor_ref(p);
    Tensor *want = vectors_at(v, item, "out"), *cond, *uncond, *out;
    const Json *calls = json_get(item, "calls"), *call = calls ? json_first(calls) : NULL;
    GuidanceHook *h = hook_of(item);
    void *state = NULL;
    double most = 0;
    Error err = { 0 };

    ok(tensor_clone(p, &cond, &err), &err);
    ok(tensor_clone(p, &uncond, &err), &err);
    ok(tensor_clone(p, &out, &err), &err);
    if (h && h->begin) ok(h->begin(h, x, &state, &err), &err);
    double weight = num(item, "cfg_weight", num(item, "scale", 1));
    GuidanceStep g = { .x = x,
                       .sigma = (float)num(item, "sigma", 1),
                       .cfg = weight,
                       .scale = weight,
                       .cond = cond,
                       .uncond = uncond,
                       .denoised = out,
                       .steps = 1 };
    for (int64_t i = 0; i == 0 || call; i++) {
        tensor_affine(cond, p, call ? (float)num(call, "cond_mul", 1) : 1, 0);
        tensor_affine(uncond, u, call ? (float)num(call, "uncond_mul", 1) : 1, 0);
        if (call) g.sigma = (float)num(call, "sigma", 1);
        guide(h, state, &g);
        int64_t n = tensor_count(out);
        Tensor *part = NULL;
        if (calls)
            ok(tensor_slice(want, i * (want->shape[0] / (int64_t)json_count(calls)),
                            want->shape[0] / (int64_t)json_count(calls), &part, &err),
               &err);
        assert_int_equal(n, tensor_count(part ? part : want));
        most = fmax(most, distance(tensor_f32(out), part ? part : want));
        tensor_unref(part);
        call = call ? json_next(call) : NULL;
    }
    if (h && h->end) h->end(h, state);
    ref_drop(h);
    Tensor *const all[] = { p, u, x, want, cond, uncond, out };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tensor_unref(all[i]);
    return most;
}

static const struct {
    const char *op;
    double tolerance;
} ops[] = {
    { "cfg", 2e-5 },        { "CFGZeroStar", 2e-5 }, { "CFGNorm", 2e-5 },
    { "RescaleCFG", 2e-5 }, { "APG", 2e-5 },
};

enum { OPS = sizeof ops / sizeof ops[0] };

static void guidance_vectors(void **state)
{
    Vectors v;
    double most[OPS] = { 0 };
    int seen[OPS] = { 0 };

    (void)state;
    vectors_open(&v, "guidance", "guidance");
    for (const Json *c = json_first(json_get(json_root(v.json), "cases")); c;
         c = json_next(c)) {
        size_t i = 0;
        while (i < OPS && strcmp(text(c, "op"), ops[i].op))
            i++;
        if (i == OPS) continue; /* tests/unit/script holds scripts against the others */
        double d = check_estimate(&v, c);
        if (!(d <= ops[i].tolerance))
            fail_msg("%s %s: %.3g, allowed %.3g", ops[i].op,
                     text(c, "out") ? text(c, "out") : "", d, ops[i].tolerance);
        most[i] = fmax(most[i], d);
        seen[i]++;
    }
    for (size_t i = 0; i < OPS; i++)
        print_message("guidance: %-18s %2d cases, worst %.2g\n", ops[i].op, seen[i], most[i]);
    vectors_close(&v);
}

static void a_second_cfg_function_replaces_the_first(void **state)
{
    GuidanceHook *a, *b, *c;
    GuidanceList l = { 0 }, copy;
    Error err = { 0 };

    (void)state;
    ok(guidance_rescale_cfg(0.7, &a, &err), &err);
    ok(guidance_rescale_cfg(0.3, &b, &err), &err);
    ok(guidance_cfg_norm(1, &c, &err), &err);
    ok(guidance_list_add(&l, a, &err), &err);
    ok(guidance_list_add(&l, c, &err), &err);
    ok(guidance_list_add(&l, b, &err), &err);
    ok(guidance_list_copy(&l, &copy, &err), &err);
    assert_int_equal(copy.count, 2);
    assert_ptr_equal(copy.hooks[0], b);
    assert_ptr_equal(copy.hooks[1], c);
    guidance_list_fini(&l);
    guidance_list_fini(&copy);
    ref_drop(a);
    ref_drop(b);
    ref_drop(c);
}

int run_guidance_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guidance_vectors),
        cmocka_unit_test(a_second_cfg_function_replaces_the_first),
    };
    return cmocka_run_group_tests_name("guidance", tests, NULL, NULL);
}
