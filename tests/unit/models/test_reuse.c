/* test_reuse.c - step caches: the parts of a forward pass, and runs that skip. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/sample.h"

/* A case whose stages the vectors tell. */
typedef struct Source {
    const char *weights, *vector, *mod, *last;
} Source;

static const Source sources[] = {
    { "flux2-transformer/klein_tiny.weights_f32", "flux2-transformer/klein_tiny.case_t2i",
      "double_stream_modulation_img.lin", "mid.single_blocks.1" },
    { "flux2-transformer/klein_tiny.weights_f32", "flux2-transformer/klein_tiny.case_ref1",
      "double_stream_modulation_img.lin", "mid.single_blocks.1" },
    { "flux1-transformer/dev_tiny.weights_f32", "flux1-transformer/dev_tiny.case_t2i",
      "double_blocks.0.img_mod.lin", "mid.single_blocks.1" },
    { "flux1-transformer/fill_tiny.weights_f32", "flux1-transformer/fill_tiny.case_concat",
      "double_blocks.0.img_mod.lin", "mid.single_blocks.0" },
};
enum { SOURCES = sizeof sources / sizeof *sources };

typedef struct Case {
    Host *host;
    Weights *file, *data;
    Model *model;
    Tensor *x, *context, *timestep, *guidance, *pooled, *ref;
    const float *ref_data;
    PosSize ref_size;
    ForwardCall call; /* of the first picture */
} Case;

static Weights *open_vector(const char *name)
{
    char path[512], file[128];
    snprintf(file, sizeof file, "%s.safetensors", name);
    vector_path(file, path, sizeof path);
    return open_file(path);
}

static Tensor *load_if(const Weights *w, const char *name)
{
    return weights_has(w, name) ? load(w, name) : NULL;
}

static const float *data_of(const Tensor *t)
{
    return t ? tensor_f32(t) : NULL;
}

static void open_case(Case *c, const Source *s, bool exact, bool dummy)
{
    Error err = { 0 };

    memset(c, 0, sizeof *c);
    c->file = open_vector(s->weights);
    c->data = open_vector(s->vector);
    c->host = open_host(exact, dummy);
    if (model_open(c->host, c->file, s->weights, &c->model, &err) != OK)
        fail_msg("%s", err.message);
    c->x = load(c->data, "in.x");
    c->context = load(c->data, "in.context");
    c->timestep = load(c->data, "in.timestep");
    c->guidance = load_if(c->data, "in.guidance");
    c->pooled = load_if(c->data, "in.y");
    c->ref = load_if(c->data, "in.ref.0");
    if (c->ref) c->ref_size = (PosSize){ c->ref->shape[2], c->ref->shape[3] };
    c->ref_data = data_of(c->ref);
    c->call = (ForwardCall){ .x = data_of(c->x),
                             .size = { c->x->shape[2], c->x->shape[3] },
                             .sigma = *tensor_f32(c->timestep),
                             .context = data_of(c->context),
                             .tokens = c->context->shape[1],
                             .pooled = data_of(c->pooled),
                             .guided = c->guidance != NULL,
                             .guidance = c->guidance ? (double)*tensor_f32(c->guidance) : 0,
                             .refs = &c->ref_data,
                             .ref_sizes = &c->ref_size,
                             .n_refs = c->ref != NULL };
    int64_t own = model_dims(c->model)->channels, plane = c->call.size.h * c->call.size.w;
    c->call.concat_channels = c->x->shape[1] - own;
    if (c->call.concat_channels) c->call.concat = data_of(c->x) + own * plane;
}

/* Values of one answer. */
static int64_t answer_count(const Case *c)
{
    return model_dims(c->model)->channels * c->call.size.h * c->call.size.w;
}

static void close_case(Case *c)
{
    Tensor *const all[] = { c->x, c->context, c->timestep, c->guidance, c->pooled, c->ref };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tensor_unref(all[i]);
    model_unref(c->model);
    host_free(c->host);
    weights_unref(c->data);
    weights_unref(c->file);
}

static void forward(const Case *c, ForwardPart part, const float *residual, float *kept,
                    float *out)
{
    ForwardCall f = c->call;
    Error err = { 0 };
    f.part = part;
    f.residual = residual;
    f.kept = kept;
    f.out = out;
    if (model_forward(c->model, &f, &err) != OK) fail_msg("%s", err.message);
}

static float *floats(int64_t n)
{
    return mem_calloc((size_t)n, sizeof(float));
}

/* ---- parts ---------------------------------------------------------------------------------------------- */

/* Keeping the residual changes no bit; with it the pass without blocks gives the same answer. */
static void a_kept_residual_stands_for_the_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        Case c;
        open_case(&c, &sources[i], true, false);
        int64_t n = answer_count(&c), d = model_dims(c.model)->width;
        int64_t rows = pos_tokens(&model_dims(c.model)->positions, c.call.size);
        Tensor *img = load(c.data, "mid.img_in"), *last = load_if(c.data, sources[i].last);
        float *whole = floats(n), *kept = floats(n), *again = floats(n),
              *residual = floats(rows * d), *want = floats(rows * d);

        forward(&c, PART_WHOLE, NULL, NULL, whole);
        forward(&c, PART_KEEP, NULL, residual, kept);
        assert_memory_equal(whole, kept, (size_t)n * sizeof(float));
        if (last) {
            const float *after = tensor_f32(last) + c.call.tokens * d;
            for (int64_t k = 0; k < rows * d; k++)
                want[k] = after[k] - tensor_f32(img)[k];
            double apart = distance(residual, want, rows * d);
            if (!(apart < 1e-4)) fail_msg("%s: %g", sources[i].vector, apart);
        }
        forward(&c, PART_REUSE, residual, NULL, again);
        assert_true(distance(again, whole, n) < 1e-5);
        mem_free(whole);
        mem_free(kept);
        mem_free(again);
        mem_free(residual);
        mem_free(want);
        tensor_unref(img);
        tensor_unref(last);
        close_case(&c);
    }
}

/* silu of the sum of the embeddings that the vectors tell; [d] from mem_alloc. */
static float *silu_of_condition(const Case *c, int64_t d)
{
    static const char *const terms[] = { "mid.time_in", "mid.guidance_in", "mid.vector_in" };
    float *vec = floats(d);

    for (int i = 0; i < 3; i++) {
        Tensor *t = load_if(c->data, terms[i]);
        for (int64_t k = 0; t && k < d; k++)
            vec[k] += tensor_f32(t)[k];
        tensor_unref(t);
    }
    for (int64_t k = 0; k < d; k++)
        vec[k] /= 1 + expf(-vec[k]);
    return vec;
}

/* Row r of NAME.weight times v plus NAME.bias. */
static double row_times(const Tensor *w, const Tensor *bias, int64_t r, const float *v)
{
    double sum = bias ? (double)tensor_f32(bias)[r] : 0;
    for (int64_t k = 0; k < w->shape[1]; k++)
        sum += (double)tensor_f32(w)[r * w->shape[1] + k] * (double)v[k];
    return sum;
}

static void modulate_row(const float *x, int64_t d, const double *shift, const double *scale,
                         float *out)
{
    double mean = 0, var = 0;
    for (int64_t k = 0; k < d; k++)
        mean += (double)x[k] / (double)d;
    for (int64_t k = 0; k < d; k++)
        var += ((double)x[k] - mean) * ((double)x[k] - mean) / (double)d;
    for (int64_t k = 0; k < d; k++)
        out[k] = (float)(((double)x[k] - mean) / sqrt(var + 1e-6) * (1 + scale[k]) + shift[k]);
}

/* LN(img)*(1+scale)+shift by its formula from the vectors' own img_in and embeddings. */
static void the_probe_is_the_first_modulated_input(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCES; i++) {
        Case c;
        char name[96];
        open_case(&c, &sources[i], true, false);
        int64_t d = model_dims(c.model)->width;
        Tensor *img = load(c.data, "mid.img_in");
        int64_t rows = img->shape[1];
        snprintf(name, sizeof name, "%s.weight", sources[i].mod);
        Tensor *w = load(model_weights(c.model), name);
        snprintf(name, sizeof name, "%s.bias", sources[i].mod);
        Tensor *bias = load_if(model_weights(c.model), name);
        float *vec = silu_of_condition(&c, d), *got = floats(rows * d),
              *want = floats(rows * d);
        double *mod = mem_calloc((size_t)(2 * d), sizeof *mod);

        for (int64_t k = 0; k < 2 * d; k++)
            mod[k] = row_times(w, bias, k, vec);
        for (int64_t r = 0; r < rows; r++)
            modulate_row(tensor_f32(img) + r * d, d, mod, mod + d, want + r * d);
        forward(&c, PART_PROBE, NULL, got, NULL);
        double apart = distance(got, want, rows * d);
        if (!(apart < 1e-4)) fail_msg("%s: %g", sources[i].vector, apart);
        mem_free(vec);
        mem_free(got);
        mem_free(want);
        mem_free(mod);
        tensor_unref(img);
        tensor_unref(w);
        tensor_unref(bias);
        close_case(&c);
    }
}

/* ---- runs ---------------------------------------------------------------------------------------------- */

/* A guided run of 12 steps over a batch of two; cache (its reference is taken) may be NULL. */
static void sample_with(const Case *c, StepCache *cache, SampleStats *stats, Tensor **out)
{
    Model *m = model_ref(c->model);
    Cond *positive = NULL, *negative = NULL;
    Latent *latent = NULL, *result = NULL;
    Tensor *zeros = NULL, *other = NULL;
    Error err = { 0 };
    int64_t shape[4] = { 2, c->x->shape[1], c->x->shape[2], c->x->shape[3] };

    if (cache) {
        Patch patch = { .kind = PATCH_CACHE, .object = &cache->ref, .text = "test" };
        Model *more = NULL;
        assert_int_equal(model_with_patch(m, &patch, &more, &err), OK);
        model_unref(m);
        m = more;
        ref_drop(cache);
    }
    assert_int_equal(tensor_zeros(K_F32, 4, shape, &zeros, &err), OK);
    assert_int_equal(latent_new(zeros, &latent, &err), OK);
    assert_int_equal(tensor_clone(c->context, &other, &err), OK);
    tensor_affine(other, other, 0.5f, 0.1f);
    assert_int_equal(cond_new(tensor_ref(c->context), NULL, &positive, &err), OK);
    assert_int_equal(cond_new(other, NULL, &negative, &err), OK);
    KSamplerCall k = { .denoiser = model_denoiser(m),
                       .positive = positive,
                       .negative = negative,
                       .cfg = 3,
                       .sampler = "euler",
                       .scheduler = "simple",
                       .seed = 7,
                       .add_noise = true,
                       .steps = 12,
                       .denoise = 1,
                       .start_step = -1,
                       .last_step = -1,
                       .latent = latent };
    if (sample_ksampler(&k, &result, stats, &err) != OK) fail_msg("%s", err.message);
    *out = tensor_ref(result->samples);
    latent_unref(result);
    latent_unref(latent);
    cond_unref(positive);
    cond_unref(negative);
    model_unref(m);
}

static StepCache *tea(double threshold)
{
    StepCache *c = NULL;
    assert_int_equal(step_cache_tea("1", TEA_FLUX, threshold, 0, 1, &c, NULL), OK);
    return c;
}

static StepCache *easy(CachePlace place, double threshold)
{
    const EasyLimits limits = { threshold, 0.15, 0.95 };
    StepCache *c = NULL;
    assert_int_equal(step_cache_easy(place, "1", &limits, &c, NULL), OK);
    return c;
}

/* A cache that never skips gives the bits of a run without one; one that always may skips all it can. */
static void check_runs(const Source *source)
{
    Case c;
    Tensor *plain = NULL, *same = NULL;
    SampleStats stats;

    open_case(&c, source, true, false);
    sample_with(&c, NULL, &stats, &plain);
    assert_int_equal(stats.reused, 0);
    assert_int_equal(stats.asked, 12 * 2 * 2);
    sample_with(&c, tea(0), &stats, &same);
    assert_int_equal(stats.reused, 0);
    assert_memory_equal(plain->data, same->data, (size_t)tensor_count(plain) * 4);
    tensor_unref(same);

    StepCache *const caches[] = { tea(10), easy(CACHE_OUTPUT, 3), easy(CACHE_GUIDED, 3) };
    for (int i = 0; i < 3; i++) {
        Tensor *other = NULL;
        sample_with(&c, caches[i], &stats, &other);
        double apart = tensor_distance(other, plain);
        print_message("cache %d: %d of %d skipped, %.3g from plain\n", i, stats.reused,
                      stats.asked, apart);
        if (i == 0) assert_int_equal(stats.reused, 10 * 2 * 2);
        assert_true(stats.reused >= 12 && stats.reused % 4 == 0);
        assert_true(apart > 0 && apart < 1);
        tensor_unref(other);
    }
    tensor_unref(plain);
    close_case(&c);
}

static void runs_skip_what_the_cache_says(void **state)
{
    (void)state;
    check_runs(&sources[0]);
    check_runs(&sources[2]);
}

/* A dummy run asks for all programs and counts what is kept, with nothing skipped. */
static void dummy_runs_count_what_is_kept(void **state)
{
    Case c;
    Tensor *out = NULL;
    SampleStats stats;

    (void)state;
    open_case(&c, &sources[1], true, true);
    sample_with(&c, NULL, &stats, &out);
    int64_t before = host_use(c.host).arena_peak;
    tensor_unref(out);
    sample_with(&c, tea(10), &stats, &out);
    assert_int_equal(stats.reused, 0);
    /* two sides, two pictures: modulated input and residual of 24 rows, and the input of this call */
    assert_true(host_use(c.host).arena_peak - before >= (4 * 2 + 1) * 24 * 64 * 4);
    tensor_unref(out);
    close_case(&c);
}

int group_reuse(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_residual_stands_for_the_blocks),
        cmocka_unit_test(the_probe_is_the_first_modulated_input),
        cmocka_unit_test(runs_skip_what_the_cache_says),
        cmocka_unit_test(dummy_runs_count_what_is_kept),
    };
    return cmocka_run_group_tests_name("reuse", tests, NULL, NULL);
}
