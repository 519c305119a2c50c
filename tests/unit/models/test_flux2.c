/* test_flux2.c - the FLUX.2 transformer against the reference's vectors, stage by stage. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

enum { MAX_STAGES = 32 };

/* One case of a vector file, opened. */
typedef struct Case {
    Host *host;
    Weights *file, *data;
    Model *model;
    Tensor *x, *context, *timestep, *guidance, *refs[4];
    int n_refs;
} Case;

static void open_case(Case *c, const char *weights, const char *vector, bool exact)
{
    char path[512], name[96];
    Error err = { 0 };

    memset(c, 0, sizeof *c);
    snprintf(name, sizeof name, "flux2-transformer/%s.safetensors", weights);
    vector_path(name, path, sizeof path);
    c->file = open_file(path);
    snprintf(name, sizeof name, "flux2-transformer/%s.safetensors", vector);
    vector_path(name, path, sizeof path);
    c->data = open_file(path);
    c->host = open_host(exact, false);
    if (model_open(c->host, c->file, weights, &c->model, &err) != OK)
        fail_msg("%s", err.message);
    c->x = load(c->data, "in.x");
    c->context = load(c->data, "in.context");
    c->timestep = load(c->data, "in.timestep");
    if (weights_has(c->data, "in.guidance")) c->guidance = load(c->data, "in.guidance");
    for (int k = 0; k < 4; k++) {
        snprintf(name, sizeof name, "in.ref.%d", k);
        if (weights_has(c->data, name)) c->refs[c->n_refs++] = load(c->data, name);
    }
}

static void close_case(Case *c)
{
    tensor_unref(c->x);
    tensor_unref(c->context);
    tensor_unref(c->timestep);
    tensor_unref(c->guidance);
    for (int k = 0; k < c->n_refs; k++)
        tensor_unref(c->refs[k]);
    model_unref(c->model);
    host_free(c->host);
    weights_unref(c->data);
    weights_unref(c->file);
}

/* Item b of a batched tensor. */
static const float *item(const Tensor *t, int64_t b)
{
    return tensor_f32(t) + tensor_count(t) / t->shape[0] * b;
}

static ForwardCall call_of(const Case *c, int64_t b, RefMethod method, const float **refs,
                           PosSize *sizes, float *out)
{
    for (int k = 0; k < c->n_refs; k++) {
        refs[k] = item(c->refs[k], b);
        sizes[k] = (PosSize){ c->refs[k]->shape[2], c->refs[k]->shape[3] };
    }
    return (ForwardCall){ .x = item(c->x, b),
                          .size = { c->x->shape[2], c->x->shape[3] },
                          .sigma = *item(c->timestep, b),
                          .context = item(c->context, b),
                          .tokens = c->context->shape[1],
                          .guided = c->guidance != NULL,
                          .guidance = c->guidance ? (double)*item(c->guidance, b) : 0,
                          .refs = refs,
                          .ref_sizes = sizes,
                          .n_refs = c->n_refs,
                          .method = method,
                          .out = out };
}

/* Runs all items of the case and gives the distance to the tensor `expected`. */
static double run_case(const char *weights, const char *vector, const char *expected,
                       RefMethod method, bool exact)
{
    Case c;
    const float *refs[4];
    PosSize sizes[4];
    Error err = { 0 };

    open_case(&c, weights, vector, exact);
    Tensor *want = load(c.data, expected), *got = NULL;
    assert_int_equal(tensor_clone(want, &got, NULL), OK);
    tensor_fill(got, 0);
    for (int64_t b = 0; b < c.x->shape[0]; b++) {
        ForwardCall f = call_of(&c, b, method, refs, sizes, (float *)(uintptr_t)item(got, b));
        if (model_forward(c.model, &f, &err) != OK) fail_msg("%s", err.message);
    }
    double d = tensor_distance(got, want);
    print_message("%s %s %s: %.3g\n", vector, expected, exact ? "exact" : "fast", d);
    tensor_unref(got);
    tensor_unref(want);
    close_case(&c);
    return d;
}

static const VectorCase cases[] = {
    { "klein_tiny.weights_f32", "klein_tiny.case_t2i", REF_DEFAULT, 2e-5 },
    { "klein_tiny.weights_f32", "klein_tiny.case_ref1", REF_DEFAULT, 2e-5 },
    { "klein_tiny.weights_f32", "klein_tiny.case_ref2", REF_DEFAULT, 2e-5 },
    { "klein_tiny.weights_f32", "klein_tiny.case_ref_offset", REF_OFFSET, 2e-5 },
    { "klein_tiny.weights_f32", "klein_tiny.case_batch2", REF_DEFAULT, 2e-5 },
    { "dev_tiny.weights_f32", "dev_tiny.case_guided", REF_DEFAULT, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_ref1", REF_DEFAULT, 3e-4 },
    { "head128.weights_f32", "head128.case_t2i", REF_DEFAULT, 2e-5 },
};
enum { CASES = sizeof cases / sizeof *cases };

static void exact_agrees_with_the_reference(void **state)
{
    (void)state;
    agree_exactly(cases, CASES, run_case);
}

static void exact_takes_bf16_weights_as_they_lie(void **state)
{
    (void)state;
    static const char *const names[] = { "t2i", "ref1", "ref2", "batch2" };
    agree_on_bf16("klein_tiny", names, 4, 2e-5, run_case);
}

static void fast_is_as_near_as_bf16_can_be(void **state)
{
    (void)state;
    agree_fast(cases, CASES, run_case);
}

/* ---- stages ------------------------------------------------------------------------------------------ */

/* Names of the intermediate results in the vector, by the program's output names. */
static int list_stages(const ModelDims *d, char names[MAX_STAGES][32])
{
    int n = 0;
    snprintf(names[n++], 32, "time_in");
    snprintf(names[n++], 32, "txt_in");
    snprintf(names[n++], 32, "img_in");
    for (int i = 0; i < d->double_blocks; i++) {
        snprintf(names[n++], 32, "double_blocks.%d.img", i);
        snprintf(names[n++], 32, "double_blocks.%d.txt", i);
    }
    for (int i = 0; i < d->single_blocks; i++)
        snprintf(names[n++], 32, "single_blocks.%d", i);
    snprintf(names[n++], 32, "final_layer");
    return n;
}

/* Item 0 of the case through a program of its own with all stages as outputs. */
static void stages_of(const char *weights, const char *vector, double tolerance)
{
    Case c;
    char names[MAX_STAGES][32], mid[48];
    float *results[MAX_STAGES];
    Tensor *expected[MAX_STAGES];
    ProgArg out[MAX_STAGES], in[8];
    Program *p = NULL;
    Error err = { 0 };

    open_case(&c, weights, vector, true);
    ForwardShape shape;
    memset(&shape, 0, sizeof shape);
    shape.size = (PosSize){ c.x->shape[2], c.x->shape[3] };
    shape.tokens = c.context->shape[1];
    shape.n_refs = c.n_refs;
    for (int k = 0; k < c.n_refs; k++)
        shape.refs[k] = (PosSize){ c.refs[k]->shape[2], c.refs[k]->shape[3] };
    shape.method = model_dims(c.model)->references;
    shape.guided = c.guidance != NULL;
    shape.stages = true;
    WeightSource source = { .weights = model_weights(c.model) };
    assert_int_equal(prog_new("stages", &p, NULL), OK);
    model_family(c.model)->build(model_dims(c.model), &source, &shape, true, p);
    KContext ctx = { .threads = 1 };
    assert_int_equal(prog_compile(p, PASS_ALL, NULL), OK);
    if (prog_plan(p, kernels_ref(), &ctx, &err) != OK) fail_msg("%s", err.message);

    int n = list_stages(model_dims(c.model), names), n_out = 0;
    for (int i = 0; i < n; i++) {
        snprintf(mid, sizeof mid, "mid.%s", names[i]);
        expected[i] = weights_has(c.data, mid) ? load(c.data, mid) : NULL;
        if (!expected[i]) continue;
        results[i] = mem_alloc((size_t)tensor_count(expected[i]) * sizeof(float));
        out[n_out++] = (ProgArg){ names[i], results[i] };
    }
    assert_true(n_out > 4);
    float timestep = 1000.0f * tensor_f32(c.timestep)[0];
    float guidance = c.guidance ? 1000.0f * tensor_f32(c.guidance)[0] : 0;
    int n_in = 0;
    in[n_in++] = (ProgArg){ "x", tensor_f32(c.x) };
    in[n_in++] = (ProgArg){ "context", tensor_f32(c.context) };
    in[n_in++] = (ProgArg){ "timestep", &timestep };
    if (c.guidance) in[n_in++] = (ProgArg){ "guidance", &guidance };
    if (c.n_refs > 0) in[n_in++] = (ProgArg){ "ref.0", tensor_f32(c.refs[0]) };
    if (c.n_refs > 1) in[n_in++] = (ProgArg){ "ref.1", tensor_f32(c.refs[1]) };
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena };
    if (prog_run(p, &run, in, n_in, out, n_out, &err) != OK) fail_msg("%s", err.message);
    for (int i = 0; i < n; i++) {
        if (!expected[i]) continue;
        int64_t count = tensor_count(expected[i]) / expected[i]->shape[0];
        if (!strcmp(names[i], "final_layer"))
            count = tensor_count(c.x) / c.x->shape[0]; /* target only */
        double d = distance(results[i], tensor_f32(expected[i]), count);
        if (!(d <= tolerance)) fail_msg("%s: stage %s differs by %g", vector, names[i], d);
        mem_free(results[i]);
        tensor_unref(expected[i]);
    }
    mem_free(arena);
    prog_free(p);
    close_case(&c);
}

static void every_stage_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        if (cases[i].method == REF_DEFAULT)
            stages_of(cases[i].weights, cases[i].vector, cases[i].tolerance);
}

/* ---- what samplers see ---------------------------------------------------------------------------------- */

static void a_short_context_equals_one_with_zero_rows_before_it(void **state)
{
    (void)state;
    Case c;
    const float *refs[4];
    PosSize sizes[4];
    Error err = { 0 };
    open_case(&c, "klein_tiny.weights_f32", "klein_tiny.case_t2i", true);
    int64_t count = tensor_count(c.x), width = c.context->shape[2],
            tokens = c.context->shape[1];
    float *a = mem_calloc((size_t)count, 4), *b = mem_calloc((size_t)count, 4);
    float *padded = mem_calloc((size_t)(512 * width), 4);
    memcpy(padded + (512 - tokens) * width, c.context->data, (size_t)(tokens * width) * 4);

    ForwardCall f = call_of(&c, 0, REF_DEFAULT, refs, sizes, a);
    f.pad = true;
    if (model_forward(c.model, &f, &err) != OK) fail_msg("%s", err.message);
    f.pad = false;
    f.out = b;
    f.context = padded;
    f.tokens = 512;
    assert_int_equal(model_forward(c.model, &f, NULL), OK);
    assert_memory_equal(a, b, (size_t)count * 4);
    mem_free(a);
    mem_free(b);
    mem_free(padded);
    close_case(&c);
}

static void the_denoiser_gives_the_estimate(void **state)
{
    (void)state;
    Case c;
    const float *refs[4];
    PosSize sizes[4];
    Error err = { 0 };
    Cond *cond = NULL;
    Tensor *out = NULL;
    open_case(&c, "klein_tiny.weights_f32", "klein_tiny.case_t2i", true);
    int64_t count = tensor_count(c.x);
    float *v = mem_calloc((size_t)count, 4);
    ForwardCall f = call_of(&c, 0, REF_DEFAULT, refs, sizes, v);
    f.pad = true;
    assert_int_equal(model_forward(c.model, &f, NULL), OK);
    assert_int_equal(cond_new(tensor_ref(c.context), NULL, &cond, NULL), OK);
    assert_int_equal(tensor_clone(c.x, &out, NULL), OK);
    const Denoiser *d = model_denoiser(c.model);
    DenoiseCall call = { .x = c.x, .sigma = f.sigma, .cond = &cond->entries[0], .out = out };
    uint64_t before = mem_count();
    if (d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err) != OK)
        fail_msg("%s", err.message);
    assert_int_equal(mem_count(), before);
    for (int64_t i = 0; i < count; i++)
        assert_true(tensor_f32(out)[i] == tensor_f32(c.x)[i] - f.sigma * v[i]);
    assert_int_equal(d->format.channels, 128);
    assert_int_equal(d->format.downscale, 16);
    tensor_unref(out);
    cond_unref(cond);
    mem_free(v);
    close_case(&c);
}

static void a_conditioning_of_another_width_is_refused(void **state)
{
    (void)state;
    Case c;
    Error err = { 0 };
    Cond *cond = NULL;
    Tensor *out = NULL, *embed = NULL;
    open_case(&c, "klein_tiny.weights_f32", "klein_tiny.case_t2i", true);
    assert_int_equal(tensor_zeros(K_F32, 3, (int64_t[]){ 1, 3, 61 }, &embed, NULL), OK);
    assert_int_equal(cond_new(embed, NULL, &cond, NULL), OK);
    assert_int_equal(tensor_clone(c.x, &out, NULL), OK);
    const Denoiser *d = model_denoiser(c.model);
    DenoiseCall call = { .x = c.x, .sigma = 1, .cond = &cond->entries[0], .out = out };
    assert_int_equal(d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err), E_SHAPE);
    assert_non_null(strstr(err.message, "61 wide, the model takes 60"));
    tensor_unref(out);
    cond_unref(cond);
    close_case(&c);
}

static void other_files_are_refused_by_what_they_look_like(void **state)
{
    (void)state;
    char path[512];
    Error err = { 0 };
    Model *m = NULL;
    vector_path("vae/flux2_tiny.weights_f32.safetensors", path, sizeof path);
    Host *h = open_host(true, false);
    Weights *w = open_file(path);
    assert_int_equal(model_open(h, w, "vae.safetensors", &m, &err), E_FORMAT);
    assert_non_null(strstr(err.message, "looks like a FLUX.2 VAE"));
    assert_string_equal(err.file, "vae.safetensors");
    weights_unref(w);
    host_free(h);
}

int group_flux2(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_agrees_with_the_reference),
        cmocka_unit_test(exact_takes_bf16_weights_as_they_lie),
        cmocka_unit_test(fast_is_as_near_as_bf16_can_be),
        cmocka_unit_test(every_stage_agrees),
        cmocka_unit_test(a_short_context_equals_one_with_zero_rows_before_it),
        cmocka_unit_test(the_denoiser_gives_the_estimate),
        cmocka_unit_test(a_conditioning_of_another_width_is_refused),
        cmocka_unit_test(other_files_are_refused_by_what_they_look_like),
    };
    return cmocka_run_group_tests_name("flux2", tests, NULL, NULL);
}
