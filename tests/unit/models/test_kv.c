/* test_kv.c - kept keys and values of references against the reference's vector, and what does not change
 * them.
 */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/support.h"

enum { REFS = 2 };

typedef struct Case {
    Host *host;
    Weights *file, *data;
    Model *plain, *kept;
    Cond *cond;
    Tensor *x[2], *sigma[2], *out[2];
} Case;

static Weights *open_vector(const char *name)
{
    char path[512], file[128];
    snprintf(file, sizeof file, "flux2-transformer/%s.safetensors", name);
    vector_path(file, path, sizeof path);
    return open_file(path);
}

static Model *with_kv(const Model *m)
{
    Model *out = NULL;
    Error err = { 0 };
    Patch p = { .kind = PATCH_KV, .text = "FluxKVCache", .strength = 1 };
    assert_ok(model_with_patch(m, &p, &out, &err), &err);
    return out;
}

static void open_case(Case *c, bool exact)
{
    char name[32];
    Error err = { 0 };

    memset(c, 0, sizeof *c);
    c->host = open_host(exact, false);
    c->file = open_vector("klein_tiny.weights_f32");
    c->data = open_vector("klein_tiny.kv_cache");
    assert_ok(model_open(c->host, c->file, "klein", &c->plain, &err), &err);
    c->kept = with_kv(c->plain);
    assert_ok(cond_new(load(c->data, "in.context"), NULL, &c->cond, &err), &err);
    for (int k = 0; k < REFS; k++) {
        snprintf(name, sizeof name, "in.ref.%d", k);
        Tensor *ref = load(c->data, name);
        assert_ok(cond_append_reference(c->cond, ref, &err), &err);
        tensor_unref(ref);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "in.x_step%d", i + 1);
        c->x[i] = load(c->data, name);
        snprintf(name, sizeof name, "in.timestep_step%d", i + 1);
        c->sigma[i] = load(c->data, name);
        snprintf(name, sizeof name, "out.step%d", i + 1);
        c->out[i] = load(c->data, name);
    }
}

static void close_case(Case *c)
{
    for (int i = 0; i < 2; i++) {
        tensor_unref(c->x[i]);
        tensor_unref(c->sigma[i]);
        tensor_unref(c->out[i]);
    }
    cond_unref(c->cond);
    model_unref(c->kept);
    model_unref(c->plain);
    weights_unref(c->data);
    weights_unref(c->file);
    host_free(c->host);
}

/* The model takes contexts as they are here: the vector's is not padded. */
static void unpad(const Model *m)
{
    ((ModelDims *)(uintptr_t)model_dims(m))->context_pad = 0;
}

static void begin(const Case *c, const Model *m)
{
    const Denoiser *d = model_denoiser(m);
    Tensor *sigmas = NULL;
    Error err = { 0 };
    assert_ok(tensor_zeros(K_F32, 1, (int64_t[]){ 3 }, &sigmas, &err), &err);
    DenoiseRun run = { .sigmas = sigmas, .noise = c->x[0], .latent = c->x[0] };
    assert_ok(d->class->begin((Denoiser *)(uintptr_t)d, &run, &err), &err);
    tensor_unref(sigmas);
}

static void end(const Model *m)
{
    const Denoiser *d = model_denoiser(m);
    d->class->end((Denoiser *)(uintptr_t)d);
}

/* v of x at sigma. */
static Tensor *velocity(const Model *m, const Cond *cond, const Tensor *x, float sigma)
{
    const Denoiser *d = model_denoiser(m);
    Tensor *out = NULL;
    Error err = { 0 };
    assert_ok(tensor_zeros(K_F32, 4, x->shape, &out, &err), &err);
    DenoiseCall call = { .x = x, .sigma = sigma, .cond = &cond->entries[0], .out = out };
    assert_ok(d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err), &err);
    for (int64_t i = 0; i < tensor_count(x); i++)
        tensor_f32(out)[i] = (tensor_f32(x)[i] - tensor_f32(out)[i]) / sigma;
    return out;
}

static double step_distance(const Case *c, int i)
{
    Tensor *v = velocity(c->kept, c->cond, c->x[i], tensor_f32(c->sigma[i])[0]);
    double d = tensor_rel_diff(v, c->out[i]);
    tensor_unref(v);
    return d;
}

/* In the vector's order, backwards, and each alone: what is kept does not depend on the step that made it. */
static void both_steps_agree_in_any_order(void **state)
{
    static const int orders[4][2] = { { 0, 1 }, { 1, 0 }, { 0, 0 }, { 1, 1 } };
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        Case c;
        open_case(&c, exact);
        unpad(c.kept);
        for (int k = 0; k < 4; k++) {
            begin(&c, c.kept);
            for (int i = 0; i < 2; i++) {
                double d = step_distance(&c, orders[k][i]);
                print_message("%s, step %d: %.3g\n", exact ? "exact" : "fast", orders[k][i] + 1,
                              d);
                if (!(d <= (exact ? 2e-5 : 1.5e-2))) fail_msg("%g", d);
            }
            end(c.kept);
        }
        close_case(&c);
    }
}

/* The keys that a layer keeps, against the vector's. */
static void kept_keys_agree(void **state)
{
    Case c;
    Error err = { 0 };
    float memory[4][2 * 16 * 64];
    void *places[4] = { memory[0], memory[1], memory[2], memory[3] };
    const float *refs[REFS];
    PosSize sizes[REFS];
    (void)state;
    open_case(&c, true);
    for (int k = 0; k < REFS; k++) {
        const Tensor *r = c.cond->entries[0].references[k];
        refs[k] = tensor_f32(r);
        sizes[k] = (PosSize){ r->shape[2], r->shape[3] };
    }
    ForwardCall f = { .size = { 4, 5 },
                      .refs = refs,
                      .ref_sizes = sizes,
                      .n_refs = REFS,
                      .kv = KV_REFS,
                      .kv_memory = places };
    assert_ok(model_forward(c.plain, &f, &err), &err);
    Tensor *k = load(c.data, "mid.k_ref.double0"), *v = load(c.data, "mid.v_ref.single0");
    assert_true(distance(memory[0], tensor_f32(k), 16 * 64) <= 2e-5);
    assert_true(distance(memory[2] + 16 * 64, tensor_f32(v), 16 * 64) <= 2e-5);
    tensor_unref(k);
    tensor_unref(v);
    close_case(&c);
}

/* Without references the patch changes nothing; with them the plain model differs. */
static void only_references_are_kept(void **state)
{
    Case c;
    Cond *plain = NULL;
    Error err = { 0 };
    (void)state;
    open_case(&c, true);
    assert_ok(cond_new(load(c.data, "in.context"), NULL, &plain, &err), &err);
    begin(&c, c.kept);
    Tensor *a = velocity(c.kept, plain, c.x[0], 0.5f),
           *b = velocity(c.plain, plain, c.x[0], 0.5f);
    assert_true(tensor_max_diff(a, b) == 0);
    tensor_unref(a);
    tensor_unref(b);
    a = velocity(c.kept, c.cond, c.x[0], 0.5f);
    b = velocity(c.plain, c.cond, c.x[0], 0.5f);
    assert_true(tensor_rel_diff(a, b) > 1e-3);
    tensor_unref(a);
    tensor_unref(b);
    end(c.kept);
    cond_unref(plain);
    close_case(&c);
}

/* A batch is its pictures; two sides with the same references share what is kept; other references get their
 * own. */
static void batches_and_sides(void **state)
{
    Case c;
    Cond *other = NULL;
    Error err = { 0 };
    const Tensor *pair[2];
    Tensor *both = NULL;
    (void)state;
    open_case(&c, true);
    pair[0] = c.x[0];
    pair[1] = c.x[1];
    assert_ok(tensor_concat(pair, 2, 0, &both, &err), &err);
    begin(&c, c.kept);
    Tensor *v = velocity(c.kept, c.cond, both, 0.7f);
    int64_t n = tensor_count(v) / 2;
    for (int b = 0; b < 2; b++) {
        Tensor *one = velocity(c.kept, c.cond, c.x[b], 0.7f);
        assert_memory_equal(tensor_f32(v) + b * n, tensor_f32(one), (size_t)n * sizeof(float));
        tensor_unref(one);
    }
    assert_ok(cond_new(load(c.data, "in.context"), NULL, &other, &err), &err);
    assert_ok(cond_append_reference(other, c.cond->entries[0].references[1], &err), &err);
    Tensor *a = velocity(c.kept, other, c.x[0], 0.7f);
    end(c.kept);
    begin(&c, c.kept);
    Tensor *again = velocity(c.kept, other, c.x[0], 0.7f);
    assert_true(tensor_max_diff(a, again) == 0);
    end(c.kept);
    tensor_unref(a);
    tensor_unref(again);
    tensor_unref(v);
    tensor_unref(both);
    cond_unref(other);
    close_case(&c);
}

/* What a run keeps is in the plan's figures, and given back. */
static void kept_memory_is_counted(void **state)
{
    Case c;
    (void)state;
    open_case(&c, true);
    Tensor *v = velocity(c.plain, c.cond, c.x[0], 0.5f);
    int64_t before = host_use(c.host).arena_peak;
    tensor_unref(v);
    begin(&c, c.kept);
    v = velocity(c.kept, c.cond, c.x[0], 0.5f);
    tensor_unref(v);
    end(c.kept);
    print_message("arena %lld, with kept keys %lld\n", (long long)before,
                  (long long)host_use(c.host).arena_peak);
    assert_true(host_use(c.host).arena_peak - before >= 4 * 2 * 16 * 64 * 4);
    close_case(&c);
}

int group_kv(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_steps_agree_in_any_order), cmocka_unit_test(kept_keys_agree),
        cmocka_unit_test(only_references_are_kept),      cmocka_unit_test(batches_and_sides),
        cmocka_unit_test(kept_memory_is_counted),
    };
    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
