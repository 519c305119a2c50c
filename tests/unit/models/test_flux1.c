/* test_flux1.c - the FLUX.1 transformer against the reference's vectors, stage by stage. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/models/concat.h"
#include "engine/models/names.h"

enum { MAX_STAGES = 32, CHANNELS = 16, REFS = 4 };

/* One case of a vector file, opened. */
typedef struct Case {
    Host *host;
    Weights *file, *data;
    Model *model;
    Tensor *x, *context, *timestep, *guidance, *pooled, *refs[REFS];
    int n_refs;
} Case;

static Weights *open_vector(const char *name)
{
    char path[512], file[96];
    snprintf(file, sizeof file, "flux1-transformer/%s.safetensors", name);
    vector_path(file, path, sizeof path);
    return open_file(path);
}

static Tensor *load_if(const Weights *w, const char *name)
{
    return weights_has(w, name) ? load(w, name) : NULL;
}

static void open_case(Case *c, const char *weights, const char *vector, bool exact)
{
    char name[32];
    Error err = { 0 };

    memset(c, 0, sizeof *c);
    c->file = open_vector(weights);
    c->data = open_vector(vector);
    c->host = open_host(exact, false);
    if (model_open(c->host, c->file, weights, &c->model, &err) != OK)
        fail_msg("%s", err.message);
    c->x = load(c->data, "in.x");
    c->context = load(c->data, "in.context");
    c->timestep = load(c->data, "in.timestep");
    c->guidance = load_if(c->data, "in.guidance");
    c->pooled = load_if(c->data, "in.y");
    for (int k = 0; k < REFS; k++) {
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
    tensor_unref(c->pooled);
    for (int k = 0; k < c->n_refs; k++)
        tensor_unref(c->refs[k]);
    model_unref(c->model);
    host_free(c->host);
    weights_unref(c->data);
    weights_unref(c->file);
}

/* Item b of a batched tensor. */
static float *item(const Tensor *t, int64_t b)
{
    return tensor_f32(t) + tensor_count(t) / t->shape[0] * b;
}

/* The vectors' x holds the extra channels behind the latent's. */
static ForwardCall call_of(const Case *c, int64_t b, RefMethod method, const float **refs,
                           PosSize *sizes, float *out)
{
    int64_t extra = c->x->shape[1] - CHANNELS;
    for (int k = 0; k < c->n_refs; k++) {
        refs[k] = item(c->refs[k], b);
        sizes[k] = (PosSize){ c->refs[k]->shape[2], c->refs[k]->shape[3] };
    }
    return (ForwardCall){
        .x = item(c->x, b),
        .size = { c->x->shape[2], c->x->shape[3] },
        .sigma = *item(c->timestep, b),
        .context = item(c->context, b),
        .tokens = c->context->shape[1],
        .pooled = c->pooled ? item(c->pooled, b) : NULL,
        .guided = c->guidance != NULL,
        .guidance = c->guidance ? (double)*item(c->guidance, b) : 0,
        .concat = extra ? item(c->x, b) + CHANNELS * c->x->shape[2] * c->x->shape[3] : NULL,
        .concat_channels = extra,
        .refs = refs,
        .ref_sizes = sizes,
        .n_refs = c->n_refs,
        .method = method,
        .out = out
    };
}

/* Runs all items of the case and gives the distance to the tensor `expected`. */
static double run_case(const char *weights, const char *vector, const char *expected,
                       RefMethod method, bool exact)
{
    Case c;
    const float *refs[REFS];
    PosSize sizes[REFS];
    Error err = { 0 };

    open_case(&c, weights, vector, exact);
    Tensor *want = load(c.data, expected), *got = NULL;
    assert_int_equal(tensor_clone(want, &got, NULL), OK);
    tensor_fill(got, 0);
    for (int64_t b = 0; b < c.x->shape[0]; b++) {
        ForwardCall f = call_of(&c, b, method, refs, sizes, item(got, b));
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
    { "dev_tiny.weights_f32", "dev_tiny.case_t2i", REF_DEFAULT, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_odd", REF_DEFAULT, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_batch2", REF_DEFAULT, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_noy", REF_DEFAULT, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_kontext_offset", REF_DEFAULT, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_kontext_index", REF_INDEX, 3e-4 },
    { "dev_tiny.weights_f32", "dev_tiny.case_kontext_uxo", REF_UXO, 3e-4 },
    { "schnell_tiny.weights_f32", "schnell_tiny.case_t2i", REF_DEFAULT, 2e-5 },
    { "canny_tiny.weights_f32", "canny_tiny.case_concat", REF_DEFAULT, 5e-4 },
    { "fill_tiny.weights_f32", "fill_tiny.case_concat", REF_DEFAULT, 5e-4 },
    { "head128.weights_f32", "head128.case_t2i", REF_DEFAULT, 3e-4 },
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
    static const char *const names[] = { "t2i", "odd", "batch2", "noy", "kontext_offset" };
    agree_on_bf16("dev_tiny", names, 5, 3e-4, run_case);
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
    static const char *const plain[] = { "time_in", "vector_in", "guidance_in",
                                         "txt_in",  "img_in",    "final_layer" };
    int n = 0;
    for (; n < 6; n++)
        snprintf(names[n], 32, "%s", plain[n]);
    for (int i = 0; i < d->double_blocks; i++) {
        snprintf(names[n++], 32, "double_blocks.%d.img", i);
        snprintf(names[n++], 32, "double_blocks.%d.txt", i);
    }
    for (int i = 0; i < d->single_blocks; i++)
        snprintf(names[n++], 32, "single_blocks.%d", i);
    return n;
}

/* The program of the case with all stages as outputs, planned on the reference backend. */
static Program *stage_program(const Case *c, const ForwardCall *call, KContext *ctx)
{
    ForwardShape shape;
    Program *p = NULL;
    Error err = { 0 };
    WeightSource source = { .weights = model_weights(c->model) };

    memset(&shape, 0, sizeof shape);
    shape.size = call->size;
    shape.tokens = call->tokens;
    shape.concat = call->concat_channels;
    shape.n_refs = call->n_refs;
    for (int k = 0; k < call->n_refs; k++)
        shape.refs[k] = call->ref_sizes[k];
    shape.method = call->method == REF_DEFAULT ? REF_OFFSET : call->method;
    shape.guided = call->guided;
    shape.stages = true;
    assert_int_equal(prog_new("stages", &p, NULL), OK);
    model_family(c->model)->build(model_dims(c->model), &source, &shape, true, p);
    assert_int_equal(prog_compile(p, PASS_ALL, NULL), OK);
    if (prog_plan(p, kernels_ref(), ctx, &err) != OK) fail_msg("%s", err.message);
    return p;
}

static void run_stages(const Case *c, const ForwardCall *call, const ProgArg *out, int n_out)
{
    static const char *const ref_names[REFS] = { "ref.0", "ref.1", "ref.2", "ref.3" };
    KContext ctx = { .threads = 1 };
    Error err = { 0 };
    Program *p = stage_program(c, call, &ctx);
    float timestep = 1000.0f * call->sigma, guidance = 1000.0f * (float)call->guidance;
    float *zeros = mem_calloc((size_t)model_dims(c->model)->pooled, sizeof *zeros);
    ProgArg in[6 + REFS];
    int n = 0;

    in[n++] = (ProgArg){ "x", (void *)(uintptr_t)call->x };
    in[n++] = (ProgArg){ "context", (void *)(uintptr_t)call->context };
    in[n++] = (ProgArg){ "timestep", &timestep };
    in[n++] = (ProgArg){ "pooled", call->pooled ? (void *)(uintptr_t)call->pooled : zeros };
    if (call->guided) in[n++] = (ProgArg){ "guidance", &guidance };
    if (call->concat) in[n++] = (ProgArg){ "concat", (void *)(uintptr_t)call->concat };
    for (int k = 0; k < call->n_refs; k++)
        in[n++] = (ProgArg){ ref_names[k], (void *)(uintptr_t)call->refs[k] };
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena };
    if (prog_run(p, &run, in, n, out, n_out, &err) != OK) fail_msg("%s", err.message);
    mem_free(arena);
    mem_free(zeros);
    prog_free(p);
}

static void stages_of(int index)
{
    Case c;
    const float *refs[REFS];
    PosSize sizes[REFS];
    char names[MAX_STAGES][32], mid[1100];
    Tensor *expected[MAX_STAGES];
    ProgArg out[MAX_STAGES];
    int n_out = 0;

    open_case(&c, cases[index].weights, cases[index].vector, true);
    ForwardCall f = call_of(&c, 0, cases[index].method, refs, sizes, NULL);
    int n = list_stages(model_dims(c.model), names);
    for (int i = 0; i < n; i++) {
        snprintf(mid, sizeof mid, "mid.%s", names[i]);
        if (!weights_has(c.data, mid)) continue;
        expected[n_out] = load(c.data, mid);
        size_t size = (size_t)tensor_count(expected[n_out]) * sizeof(float);
        out[n_out++] = (ProgArg){ names[i], mem_alloc(size) };
    }
    assert_true(n_out >= n - 1);
    run_stages(&c, &f, out, n_out);
    for (int i = 0; i < n_out; i++) {
        int64_t count = tensor_count(expected[i]) / expected[i]->shape[0];
        if (!strcmp(out[i].name, "final_layer")) /* the target's tokens only */
            count = (f.size.h + 1) / 2 * ((f.size.w + 1) / 2) * CHANNELS * 4;
        double d = distance(out[i].data, tensor_f32(expected[i]), count);
        if (!(d <= cases[index].tolerance))
            fail_msg("%s: stage %s differs by %g", cases[index].vector, out[i].name, d);
        mem_free(out[i].data);
        tensor_unref(expected[i]);
    }
    close_case(&c);
}

static void every_stage_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        stages_of(i);
}

/* ---- extra channels ------------------------------------------------------------------------------------- */

static const LatentFormat flux1_format = {
    .channels = CHANNELS, .downscale = 8, .scale = 0.3611f, .shift = 0.1159f
};

static const struct {
    const char *latent, *mask, *expected;
    int64_t extra;
} concats[] = {
    { "latent", NULL, "canny.out", 16 },
    { NULL, NULL, "canny.no_image.out", 16 },
    { "latent", "mask", "fill.out", 80 },
    { NULL, NULL, "fill.no_mask_no_image.out", 80 },
    { "latent_other_size", "mask_other_size", "fill.resized.out", 80 },
};

static void extra_channels_agree_with_the_reference(void **state)
{
    (void)state;
    Error err = { 0 };
    Weights *w = open_vector("concat_channels");
    for (size_t i = 0; i < sizeof concats / sizeof *concats; i++) {
        Tensor *want = load(w, concats[i].expected), *got = NULL;
        Tensor *latent = concats[i].latent ? load(w, concats[i].latent) : NULL;
        Tensor *mask = concats[i].mask ? load(w, concats[i].mask) : NULL;
        ConcatCall c = { &flux1_format,  latent,         mask,          concats[i].extra,
                         want->shape[0], want->shape[2], want->shape[3] };
        if (concat_channels(&c, &got, &err) != OK) fail_msg("%s", err.message);
        assert_int_equal(got->shape[1], concats[i].extra);
        assert_int_equal(tensor_count(got), tensor_count(want));
        double d = tensor_distance(got, want);
        print_message("%s: %.3g\n", concats[i].expected, d);
        assert_true(d <= 1e-6);
        tensor_unref(got);
        tensor_unref(want);
        tensor_unref(latent);
        tensor_unref(mask);
    }
    weights_unref(w);
}

static void an_area_reads_its_part_of_the_extra_channels(void **state)
{
    (void)state;
    Tensor *t = NULL, *part = NULL;
    assert_int_equal(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 2, 3, 4 }, &t, NULL), OK);
    for (int i = 0; i < 24; i++)
        tensor_f32(t)[i] = (float)i;
    assert_int_equal(concat_crop(t, 1, 2, 2, 2, &part, NULL), OK);
    static const float want[] = { 6, 7, 10, 11, 18, 19, 22, 23 };
    assert_memory_equal(tensor_f32(part), want, sizeof want);
    tensor_unref(part);
    assert_int_equal(concat_crop(t, 2, 2, 2, 2, &part, NULL), E_SHAPE);
    tensor_unref(t);
}

/* ---- what samplers see ---------------------------------------------------------------------------------- */

/* References are in the VAE's scale there; the model's own reading of them is checked above. */
static void references_go_through_the_latent_format(void **state)
{
    (void)state;
    Case c;
    const float *refs[REFS];
    PosSize sizes[REFS];
    Error err = { 0 };
    Cond *cond = NULL;
    Tensor *out = NULL;

    open_case(&c, "dev_tiny.weights_f32", "dev_tiny.case_kontext_offset", true);
    const Denoiser *d = model_denoiser(c.model);
    assert_int_equal(d->format.downscale, 8);
    assert_true(d->format.scale == 0.3611f && d->format.shift == 0.1159f);
    float *v = mem_calloc((size_t)tensor_count(c.x), sizeof *v);
    ForwardCall f = call_of(&c, 0, REF_DEFAULT, refs, sizes, v);
    assert_int_equal(model_forward(c.model, &f, NULL), OK);
    assert_int_equal(cond_new(tensor_ref(c.context), tensor_ref(c.pooled), &cond, NULL), OK);
    cond_set_guidance(cond, f.guidance);
    for (int k = 0; k < c.n_refs; k++) {
        Tensor *raw = NULL;
        assert_int_equal(latent_process_out(&d->format, c.refs[k], &raw, NULL), OK);
        assert_int_equal(cond_append_reference(cond, raw, NULL), OK);
        tensor_unref(raw);
    }
    assert_int_equal(tensor_clone(c.x, &out, NULL), OK);
    DenoiseCall call = { .x = c.x, .sigma = f.sigma, .cond = &cond->entries[0], .out = out };
    if (d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err) != OK)
        fail_msg("%s", err.message);
    for (int64_t i = 0; i < tensor_count(c.x); i++)
        v[i] = f.x[i] - f.sigma * v[i];
    assert_true(distance(tensor_f32(out), v, tensor_count(c.x)) < 1e-5);
    tensor_unref(out);
    cond_unref(cond);
    mem_free(v);
    close_case(&c);
}

/* A fill model without a picture: zeros in the VAE's scale, and the run's own mask. */
static void the_noise_mask_stands_in_for_a_missing_mask(void **state)
{
    (void)state;
    Case c;
    const float *refs[REFS];
    PosSize sizes[REFS];
    Error err = { 0 };
    Cond *cond = NULL;
    Tensor *x = NULL, *out = NULL, *mask = NULL, *extra = NULL;

    open_case(&c, "fill_tiny.weights_f32", "fill_tiny.case_concat", true);
    int64_t shape[4] = { 1, CHANNELS, c.x->shape[2], c.x->shape[3] };
    int64_t count = CHANNELS * shape[2] * shape[3];
    assert_int_equal(tensor_zeros(K_F32, 4, shape, &x, NULL), OK);
    memcpy(tensor_f32(x), tensor_f32(c.x), (size_t)count * sizeof(float));
    assert_int_equal(tensor_clone(x, &out, NULL), OK);
    assert_int_equal(tensor_zeros(K_F32, 4, shape, &mask, NULL), OK);
    for (int64_t i = 0; i < count; i++)
        tensor_f32(mask)[i] = (float)(i % (shape[2] * shape[3]) % 3) / 2;

    const Denoiser *d = model_denoiser(c.model);
    ConcatCall parts = { &d->format, NULL, mask, 80, 1, shape[2], shape[3] };
    assert_int_equal(concat_channels(&parts, &extra, NULL), OK);
    float *v = mem_calloc((size_t)count, sizeof *v);
    ForwardCall f = call_of(&c, 0, REF_DEFAULT, refs, sizes, v);
    f.concat = tensor_f32(extra);
    assert_int_equal(model_forward(c.model, &f, NULL), OK);

    assert_int_equal(cond_new(tensor_ref(c.context), tensor_ref(c.pooled), &cond, NULL), OK);
    cond_set_guidance(cond, f.guidance);
    Denoiser *own = (Denoiser *)(uintptr_t)d;
    DenoiseRun run = { .mask = mask };
    DenoiseCall call = { .x = x, .sigma = f.sigma, .cond = &cond->entries[0], .out = out };
    assert_int_equal(d->class->begin(own, &run, NULL), OK);
    if (d->class->denoise(own, &call, &err) != OK) fail_msg("%s", err.message);
    d->class->end(own);
    for (int64_t i = 0; i < count; i++)
        assert_true(tensor_f32(out)[i] == f.x[i] - f.sigma * v[i]);
    tensor_unref(x);
    tensor_unref(out);
    tensor_unref(mask);
    tensor_unref(extra);
    cond_unref(cond);
    mem_free(v);
    close_case(&c);
}

static void models_without_guidance_sample_on_the_plain_flow(void **state)
{
    (void)state;
    static const struct {
        const char *weights, *vector;
        SigmaKind kind;
        int count;
        double shift;
    } kinds[] = {
        { "schnell_tiny.weights_f32", "schnell_tiny.case_t2i", SIGMA_FLOW, 1000, 1 },
        { "dev_tiny.weights_f32", "dev_tiny.case_t2i", SIGMA_FLUX, 10000, 1.15 },
    };
    for (int i = 0; i < 2; i++) {
        Case c;
        open_case(&c, kinds[i].weights, kinds[i].vector, true);
        const ModelSampling *s = model_denoiser(c.model)->sampling;
        assert_int_equal(s->kind, kinds[i].kind);
        assert_int_equal(s->count, kinds[i].count);
        assert_true(s->shift == kinds[i].shift);
        close_case(&c);
    }
}

static void wrong_extra_channels_are_refused(void **state)
{
    (void)state;
    Case c;
    const float *refs[REFS];
    PosSize sizes[REFS];
    Error err = { 0 };
    float out[CHANNELS * 24];
    open_case(&c, "canny_tiny.weights_f32", "canny_tiny.case_concat", true);
    ForwardCall f = call_of(&c, 0, REF_DEFAULT, refs, sizes, out);
    f.concat_channels = 8;
    assert_int_equal(model_forward(c.model, &f, &err), E_SHAPE);
    assert_non_null(
        strstr(err.message, "8 extra input channels are given, the model reads 16"));
    close_case(&c);
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static void diffusers_names_are_translated(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        { "time_text_embed.text_embedder.linear_2.bias", "vector_in.out_layer.bias" },
        { "transformer_blocks.7.norm1_context.linear.weight",
          "double_blocks.7.txt_mod.lin.weight" },
        { "transformer_blocks.7.attn.add_k_proj.bias", "double_blocks.7.txt_attn.qkv.bias.1" },
        { "transformer_blocks.7.attn.norm_added_q.weight",
          "double_blocks.7.txt_attn.norm.query_norm.scale" },
        { "transformer_blocks.7.ff_context.net.0.proj.bias", "double_blocks.7.txt_mlp.0.bias" },
        { "transformer_blocks.7.ff.net.2.weight", "double_blocks.7.img_mlp.2.weight" },
        { "single_transformer_blocks.37.proj_mlp.weight", "single_blocks.37.linear1.weight.3" },
        { "single_transformer_blocks.37.proj_out.bias", "single_blocks.37.linear2.bias" },
        { "proj_out.bias", "final_layer.linear.bias" },
        { "norm_out.linear.weight", NAMES_SWAPPED_FINAL },
    };
    char buf[160];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(names_flux1_from_diffusers(names[i][0], buf, sizeof buf));
        assert_string_equal(buf, names[i][1]);
    }
    assert_false(names_flux1_from_diffusers("img_in.weight", buf, sizeof buf));
}

int group_flux1(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_agrees_with_the_reference),
        cmocka_unit_test(exact_takes_bf16_weights_as_they_lie),
        cmocka_unit_test(fast_is_as_near_as_bf16_can_be),
        cmocka_unit_test(every_stage_agrees),
        cmocka_unit_test(extra_channels_agree_with_the_reference),
        cmocka_unit_test(an_area_reads_its_part_of_the_extra_channels),
        cmocka_unit_test(references_go_through_the_latent_format),
        cmocka_unit_test(the_noise_mask_stands_in_for_a_missing_mask),
        cmocka_unit_test(models_without_guidance_sample_on_the_plain_flow),
        cmocka_unit_test(wrong_extra_channels_are_refused),
        cmocka_unit_test(diffusers_names_are_translated),
    };
    return cmocka_run_group_tests_name("flux1", tests, NULL, NULL);
}
