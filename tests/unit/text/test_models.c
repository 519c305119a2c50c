/* test_models.c - encoder networks against the reference's states on tiny weights. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/text/clip.h"
#include "engine/text/mistral3.h"
#include "engine/text/qwen3.h"
#include "engine/text/t5.h"
#include "tests/unit/text/suite.h"

static Host *open_host(Precision precision)
{
    static const char *const none[] = { NULL };
    HostOptions options = { .models = none, .precision = precision, .threads = 1 };
    Host *h = NULL;
    Error err = { 0 };
    if (host_new(&options, &h, &err) != OK) fail_msg("%s", err.message);
    return h;
}

static Weights *open_vectors(const char *name)
{
    const char *path = shared_path(name);
    Weights *w = NULL;
    Error err = { 0 };
    if (!path) {
        printf("%s is not at hand\n", name);
        skip();
    }
    if (weights_open(path, NULL, &w, &err) != OK) fail_msg("%s: %s", name, err.message);
    return w;
}

/* The configuration beside the vectors. */
typedef struct Config {
    JsonDoc *doc;
    const Json *node;
} Config;

static int64_t config_int(const Config *c, const char *key)
{
    int64_t v = -1;
    json_int64(json_get(c->node, key), &v);
    return v;
}

typedef TextModel *(*OpenModel)(Host *h, const Weights *w, const Config *c);

/* sqrt(sum (a-b)^2 / sum b^2) */
static double relative_l2(const float *a, const float *b, int64_t n)
{
    double d = 0, s = 0;
    for (int64_t i = 0; i < n; i++) {
        double e = (double)a[i] - (double)b[i];
        d += e * e;
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d / (s > 0 ? s : 1));
}

/* Largest difference relative to the largest value of the reference. */
static double largest(const float *a, const float *b, int64_t n)
{
    double d = 0, s = 0;
    for (int64_t i = 0; i < n; i++) {
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
        s = fmax(s, fabs((double)b[i]));
    }
    return d / (s > 0 ? s : 1);
}

static void compare(const char *what, const Weights *w, const char *name, const Tensor *got,
                    int64_t section, double bound)
{
    KView want;
    Error err = { 0 };
    if (weights_view(w, name, &want, &err) != OK) fail_msg("%s", err.message);
    int64_t n = tensor_count(got);
    const float *from = (const float *)want.data + section * n;
    double l2 = relative_l2(tensor_f32(got), from, n), most = largest(tensor_f32(got), from, n);
    printf("%s %s: relative L2 %.2e, largest %.2e\n", what, name, l2, most);
    if (!(l2 <= bound && most <= bound * 5)) fail_msg("%s %s is above %g", what, name, bound);
}

static void run_case(const char *area, const char *file, const char *weights, OpenModel open,
                     Precision precision, double bound)
{
    char name[256], stem[96];
    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(file, "."), file);
    snprintf(name, sizeof name, "vectors/%s/%s.json", area, stem);
    Config config = { .doc = shared_json(name) };
    config.node = json_get(json_root(config.doc), "config");
    snprintf(name, sizeof name, "vectors/%s/%s.%s.safetensors", area, stem, weights);
    Weights *w = open_vectors(name);
    snprintf(name, sizeof name, "vectors/%s/%s.safetensors", area, file);
    Weights *v = open_vectors(name);
    Host *h = open_host(precision);
    TextModel *m = open(h, w, &config);

    KView tokens;
    assert_int_equal(weights_view(v, "in.tokens", &tokens, NULL), OK);
    bool rounded = strcmp(weights, "weights_bf16") == 0;
    const char *out = rounded ? "out.bf16_weights_f32_compute.cond" : "out.cond";
    const char *out_pooled = rounded ? "out.bf16_weights_f32_compute.pooled" : "out.pooled";
    for (int64_t s = 0; s < tokens.shape[0]; s++) {
        int32_t *ids = mem_alloc_array((size_t)tokens.shape[1], sizeof *ids);
        for (int64_t i = 0; i < tokens.shape[1]; i++)
            ids[i] = (int32_t)((const int64_t *)tokens.data)[s * tokens.shape[1] + i];
        TextTokens t = { .ids = ids, .count = tokens.shape[1] };
        Tensor *states = NULL, *pooled = NULL;
        Error err = { 0 };
        if (text_model_run(m, h, NULL, &t, &states, &pooled, &err) != OK) fail_msg("%s", err.message);
        compare(file, v, out, states, s, bound);
        if (pooled) compare(file, v, out_pooled, pooled, s, bound);
        tensor_unref(states);
        tensor_unref(pooled);
        mem_free(ids);
    }
    text_model_unref(m);
    host_free(h);
    weights_unref(w);
    weights_unref(v);
    json_free(config.doc);
}

static TextModel *open_decoder(Host *h, const Weights *w, const Config *c)
{
    DecoderDims dims;
    PromptRules rules;
    TextModel *m = NULL;
    Error err = { 0 };
    bool mistral = !json_bool(json_get(c->node, "qk_norm"));
    Status status;
    if (mistral) {
        dims = mistral3_published;
        dims.head_dim = config_int(c, "head_dim");
        status = decoder_read_dims(w, &dims, &err);
    } else
        status = qwen3_describe(w, &dims, &rules, &err);
    if (status != OK) fail_msg("%s", err.message);
    assert_int_equal(dims.heads, config_int(c, "num_attention_heads"));
    assert_int_equal(dims.kv_heads, config_int(c, "num_key_value_heads"));
    assert_int_equal(dims.layers, config_int(c, "num_hidden_layers"));
    dims.captures = 0;
    for (const Json *i = json_first(json_get(c->node, "capture_layers")); i; i = json_next(i)) {
        int64_t v = 0;
        json_int64(i, &v);
        dims.capture[dims.captures++] = (int)v;
    }
    dims.mask_pad = (int32_t)config_int(c, "pad_token");
    if (decoder_new(h, mistral ? &decoder_mistral3 : &decoder_qwen3, w, &dims, "tiny", &m,
                    &err) != OK)
        fail_msg("%s", err.message);
    return m;
}

static void qwen3_states(void **state)
{
    static const char *const cases[] = { "qwen3_tiny.case_batch2", "qwen3_tiny.case_nopad",
                                         "qwen3_tiny.case_pad", "qwen3_tiny.case_padmid",
                                         "qwen3_head128.case_pad" };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case("text-qwen3", cases[i], "weights_f32", open_decoder, PRECISION_EXACT, 2e-5);
        run_case("text-qwen3", cases[i], "weights_f32", open_decoder, PRECISION_FAST, 2e-2);
        if (i < 4)
            run_case("text-qwen3", cases[i], "weights_bf16", open_decoder, PRECISION_EXACT,
                     2e-5);
    }
}

static void mistral3_states(void **state)
{
    (void)state;
    run_case("text-qwen3", "mistral3_tiny.case_nopad", "weights_f32", open_decoder,
             PRECISION_EXACT, 2e-5);
    run_case("text-qwen3", "mistral3_tiny.case_nopad", "weights_f32", open_decoder,
             PRECISION_FAST, 2e-2);
}

static TextModel *open_t5(Host *h, const Weights *w, const Config *c)
{
    T5Dims dims;
    TextModel *m = NULL;
    Error err = { 0 };
    if (t5_read_dims(w, &dims, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(dims.heads, config_int(c, "num_heads"));
    assert_int_equal(dims.layers, config_int(c, "num_layers"));
    assert_int_equal(dims.gated, json_bool(json_get(c->node, "is_gated_act")));
    if (t5_new(h, w, &dims, "tiny", &m, &err) != OK) fail_msg("%s", err.message);
    return m;
}

static void t5_states(void **state)
{
    static const char *const cases[] = { "t5_tiny.case_long", "t5_tiny.case_pad",
                                         "t5_relu_tiny.case_pad" };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case("text-t5", cases[i], "weights_f32", open_t5, PRECISION_EXACT, 2e-5);
        run_case("text-t5", cases[i], "weights_f32", open_t5, PRECISION_FAST, 2e-2);
        if (i < 2)
            run_case("text-t5", cases[i], "weights_bf16", open_t5, PRECISION_EXACT, 2e-5);
    }
}

static TextModel *open_clip(Host *h, const Weights *w, const Config *c)
{
    ClipDims dims;
    TextModel *m = NULL;
    Error err = { 0 };
    if (clip_read_dims(w, &dims, &err) != OK) fail_msg("%s", err.message);
    dims.heads = config_int(c, "num_attention_heads");
    dims.end = (int32_t)config_int(c, "eos_token_id");
    if (clip_new(h, w, &dims, "tiny", &m, &err) != OK) fail_msg("%s", err.message);
    return m;
}

static void clip_states(void **state)
{
    static const char *const cases[] = { "clip_tiny.case_batch2", "clip_tiny.case_full",
                                         "clip_tiny.case_short" };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case("text-clip", cases[i], "weights_f32", open_clip, PRECISION_EXACT, 2e-5);
        run_case("text-clip", cases[i], "weights_f32", open_clip, PRECISION_FAST, 2e-2);
        run_case("text-clip", cases[i], "weights_bf16", open_clip, PRECISION_EXACT, 2e-5);
    }
}

int run_model_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen3_states),
        cmocka_unit_test(mistral3_states),
        cmocka_unit_test(t5_states),
        cmocka_unit_test(clip_states),
    };
    return cmocka_run_group_tests_name("encoder networks", tests, NULL, NULL);
}
