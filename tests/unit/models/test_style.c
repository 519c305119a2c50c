/* test_style.c - SigLIP, Redux and USO against the reference's vectors, alone and on a model. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/imaging/antialias.h"
#include "engine/models/style_model.h"
#include "engine/models/style_tokens.h"
#include "tests/unit/support.h"

static Weights *open_vector(const char *name, const char *config)
{
    char path[512], file[128];
    snprintf(file, sizeof file, "%s.safetensors", name);
    vector_path(file, path, sizeof path);
    return config ? open_with_config(path, config) : open_file(path);
}

static Weights *open_tower(void)
{
    return open_vector("redux/siglip_redux_tiny.weights_f32",
                       "{\\\"num_attention_heads\\\": 2}");
}

static Tensor *load_picture(const Weights *w, const char *name)
{
    Tensor *t = load(w, name);
    if (weights_dtype(w, name) == K_U8) tensor_affine(t, t, 1.0f / 255.0f, 0);
    return t;
}

/* ---- what the encoder reads -------------------------------------------------------------------------- */

/* Share of samples that are off, and fails on one that is more than a level off. */
static double samples_off(const Tensor *got, const Tensor *want, double level)
{
    int64_t off = 0;
    if (!tensor_same_shape(got, want)) fail_msg("shapes differ");
    for (int64_t i = 0; i < tensor_count(got); i++) {
        double d = fabs((double)tensor_f32(got)[i] - (double)tensor_f32(want)[i]);
        if (d > level * 1.01) fail_msg("sample %lld is %g off", (long long)i, d);
        off += d > level / 10;
    }
    return (double)off / (double)tensor_count(got);
}

static void pictures_are_fitted_as_the_reference_does(void **state)
{
    static const struct {
        const char *image, *want;
        int64_t side;
        bool crop, clip;
    } cases[] = {
        { "batch", "center", 56, true, false },
        { "exact", "center", 56, true, false },
        { "landscape", "center", 56, true, false },
        { "landscape", "none", 56, false, false },
        { "portrait", "center", 56, true, false },
        { "rgba", "center", 56, true, false },
        { "rgba", "none", 56, false, false },
        { "tall", "center", 56, true, false },
        { "upscale", "center", 56, true, false },
        { "upscale", "none", 56, false, false },
        { "smooth", "clip_mean.none", 28, false, true },
    };
    static const float half[3] = { 0.5f, 0.5f, 0.5f };
    static const float mean[3] = { 0.48145466f, 0.4578275f, 0.40821073f };
    static const float std[3] = { 0.26862954f, 0.26130258f, 0.27577711f };
    Error err = { 0 };
    (void)state;
    Weights *w = open_vector("redux/preprocess", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        Tensor *got = NULL;
        snprintf(name, sizeof name, "%s.image", cases[i].image);
        Tensor *image = load_picture(w, name);
        snprintf(name, sizeof name, "%s.%s", cases[i].image, cases[i].want);
        Tensor *want = load(w, name);
        assert_ok(image_for_vision(image, cases[i].side, cases[i].crop,
                                   cases[i].clip ? mean : half, cases[i].clip ? std : half,
                                   &got, &err),
                  &err);
        double off = samples_off(got, want, cases[i].clip ? 1 / (255 * 0.26) : 2.0 / 255);
        print_message("%s: %.4f of the samples a level off\n", name, off);
        if (off > 0.005) fail_msg("%s: %g", name, off);
        tensor_unref(image);
        tensor_unref(want);
        tensor_unref(got);
    }
    weights_unref(w);
}

/* ---- the encoder --------------------------------------------------------------------------------------- */

static void compare_encoder(const ClipVision *v, const Weights *data, const char *which)
{
    char name[64];
    Tensor *hidden = NULL;
    Error err = { 0 };

    snprintf(name, sizeof name, "encode.%s.pixels", which);
    Tensor *pixels = load(data, name);
    snprintf(name, sizeof name, "encode.%s.hidden", which);
    Tensor *want = load(data, name);
    assert_ok(clip_vision_hidden(v, pixels, &hidden, &err), &err);
    double d = tensor_rel_diff(hidden, want);
    print_message("%s: %.3g\n", name, d);
    if (!(d <= 2e-5)) fail_msg("%s: %g", name, d);
    tensor_unref(pixels);
    tensor_unref(want);
    tensor_unref(hidden);
}

/* The picture that the pixels came from, encoded in one go. */
static ClipVisionOutput *encode(const ClipVision *v, const char *which)
{
    char name[64];
    Weights *pictures = open_vector("redux/preprocess", NULL);
    ClipVisionOutput *out = NULL;
    Error err = { 0 };

    snprintf(name, sizeof name, "%s.image", which);
    Tensor *image = load_picture(pictures, name);
    assert_ok(clip_vision_encode(v, image, true, &out, &err), &err);
    tensor_unref(image);
    weights_unref(pictures);
    return out;
}

static void compare_tensor(const Weights *data, const char *name, const Tensor *got,
                           double most)
{
    Tensor *want = load(data, name);
    double d = tensor_rel_diff(got, want);
    print_message("%s: %.3g\n", name, d);
    if (!(d <= most)) fail_msg("%s: %g", name, d);
    tensor_unref(want);
}

/* From pixels on: a level that is off in the fitted picture does not count here. */
static ClipVisionOutput *output_of(const Weights *data, const char *which)
{
    static ClipVisionOutput o;
    char name[64];
    memset(&o, 0, sizeof o);
    snprintf(name, sizeof name, "encode.%s.last_hidden_state", which);
    o.last = load(data, name);
    return &o;
}

static void siglip_agrees(void **state)
{
    static const char *const pictures[] = { "landscape", "batch" };
    ClipVision *v = NULL;
    Error err = { 0 };
    (void)state;
    Host *h = open_host(true, false);
    Weights *w = open_tower(), *data = open_vector("redux/redux", NULL);
    assert_ok(clip_vision_open(h, w, "tower", &v, &err), &err);
    assert_int_equal(clip_vision_dims(v)->side, 56);
    for (int i = 0; i < 2; i++) {
        char name[64];
        compare_encoder(v, data, pictures[i]);
        ClipVisionOutput *o = encode(v, pictures[i]);
        snprintf(name, sizeof name, "encode.%s.last_hidden_state", pictures[i]);
        compare_tensor(data, name, o->last, 2e-3);
        snprintf(name, sizeof name, "encode.%s.penultimate", pictures[i]);
        compare_tensor(data, name, o->levels[0], 2e-3);
        assert_null(o->levels[1]);
        ref_drop(o);
    }
    clip_vision_unref(v);
    weights_unref(data);
    weights_unref(w);
    host_free(h);
}

/* ---- Redux ------------------------------------------------------------------------------------------------ */

typedef struct Style {
    Host *host;
    Weights *tower, *redux, *base, *data;
    StyleModel *model;
    Model *flux;
    JsonDoc *doc;
} Style;

static void open_style(Style *s, bool exact)
{
    char path[512];
    Error err = { 0 };

    memset(s, 0, sizeof *s);
    s->host = open_host(exact, false);
    s->tower = open_tower();
    s->data = open_vector("redux/redux", NULL);
    assert_ok(weights_scope(s->tower, "redux.", &s->redux, &err), &err);
    assert_ok(style_model_open(s->host, s->redux, "redux", &s->model, &err), &err);
    s->base = open_vector("controlnet/base.weights_bf16", TINY_CONFIG);
    assert_ok(model_open(s->host, s->base, "base", &s->flux, &err), &err);
    vector_path("redux/redux.json", path, sizeof path);
    s->doc = json_file(path);
}

static void close_style(Style *s)
{
    json_free(s->doc);
    model_unref(s->flux);
    style_model_unref(s->model);
    weights_unref(s->base);
    weights_unref(s->redux);
    weights_unref(s->tower);
    weights_unref(s->data);
    host_free(s->host);
}

/* The text with the chain of applications of a case. */
static Cond *applied(const Style *s, const char *name)
{
    Error err = { 0 };
    Cond *c = NULL;
    assert_ok(cond_new(load(s->data, "in.text"), load(s->data, "model.y"), &c, &err), &err);
    const Json *chain = json_get(json_get(json_root(s->doc), "apply"), name);
    for (const Json *e = json_first(chain); e; e = json_next(e)) {
        Cond *next = NULL;
        ClipVisionOutput *o = output_of(s->data, param_text(e, "image", ""));
        bool bias = !strcmp(param_text(e, "strength_type", ""), "attn_bias");
        assert_ok(style_model_apply(s->model, c, o, param_number(e, "strength", 1),
                                    bias ? STYLE_ATTENTION : STYLE_MULTIPLY, &next, &err),
                  &err);
        tensor_unref(o->last);
        cond_unref(c);
        c = next;
    }
    return c;
}

/* -inf in both counts as equal. */
static void compare_mask(const Style *s, const char *name, const AttentionMask *m)
{
    char key[64];
    snprintf(key, sizeof key, "apply.%s.mask", name);
    if (!weights_has(s->data, key)) {
        assert_null(m);
        return;
    }
    Tensor *want = load(s->data, key);
    assert_int_equal(tensor_count(want), tensor_count(m->bias));
    for (int64_t i = 0; i < tensor_count(want); i++)
        if (tensor_f32(want)[i] != tensor_f32(m->bias)[i])
            fail_msg("%s: sample %lld is %g, not %g", key, (long long)i,
                     (double)tensor_f32(m->bias)[i], (double)tensor_f32(want)[i]);
    tensor_unref(want);
}

static Tensor *velocity(const Model *model, const Cond *c, const Tensor *x, float sigma,
                        double guidance)
{
    Error err = { 0 };
    Tensor *out = NULL;
    const Denoiser *d = model_denoiser(model);
    CondEntry entry = c->entries[0];

    entry.guidance_use = GUIDANCE_VALUE;
    entry.guidance = guidance;
    assert_ok(tensor_zeros(K_F32, 4, x->shape, &out, &err), &err);
    DenoiseCall call = { .x = x, .sigma = sigma, .cond = &entry, .out = out };
    assert_ok(d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err), &err);
    for (int64_t i = 0; i < tensor_count(x); i++)
        tensor_f32(out)[i] = (tensor_f32(x)[i] - tensor_f32(out)[i]) / sigma;
    return out;
}

static Tensor *styled_velocity(const Style *s, const Cond *c)
{
    Tensor *x = load(s->data, "model.x"), *t = load(s->data, "model.timestep"),
           *g = load(s->data, "model.guidance");
    Tensor *out = velocity(s->flux, c, x, tensor_f32(t)[0], (double)tensor_f32(g)[0]);
    tensor_unref(x);
    tensor_unref(t);
    tensor_unref(g);
    return out;
}

static void redux_agrees(void **state)
{
    static const char *const cases[] = { "multiply", "bias", "bias_one", "bias_then_multiply",
                                         "batch_images" };
    Style s;
    (void)state;
    open_style(&s, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        Cond *c = applied(&s, cases[i]);
        snprintf(name, sizeof name, "apply.%s.cond", cases[i]);
        compare_tensor(s.data, name, c->entries[0].embed, 2e-5);
        compare_mask(&s, cases[i], (const AttentionMask *)(const void *)c->entries[0].extra);
        Tensor *v = styled_velocity(&s, c);
        snprintf(name, sizeof name, "apply.%s.model_out", cases[i]);
        compare_tensor(s.data, name, v, 3e-4);
        tensor_unref(v);
        cond_unref(c);
    }
    close_style(&s);
}

/* The reference's picture is not a number here; Weft's is the one without the tokens, as far as the text and
 * the picture see. */
static void strength_zero_hides_the_tokens(void **state)
{
    Style s;
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        open_style(&s, exact);
        Cond *c = applied(&s, "bias_zero"), *plain = NULL;
        compare_mask(&s, "bias_zero", (const AttentionMask *)(const void *)c->entries[0].extra);
        assert_int_equal(
            cond_new(load(s.data, "in.text"), load(s.data, "model.y"), &plain, NULL), OK);
        Tensor *with = styled_velocity(&s, c), *without = styled_velocity(&s, plain);
        double d = tensor_rel_diff(with, without);
        print_message("strength 0, %s: %.3g from no tokens\n", exact ? "exact" : "fast", d);
        if (!(d <= (exact ? 1e-5 : 1e-2))) fail_msg("%g", d);
        tensor_unref(with);
        tensor_unref(without);
        cond_unref(c);
        cond_unref(plain);
        close_style(&s);
    }
}

/* The mask over a call's rows, as the reference enlarges it for 3 x 4 tokens. */
static void masks_spread_as_the_reference_does(void **state)
{
    static const char *const cases[] = { "bias", "bias_then_multiply" };
    Style s;
    (void)state;
    open_style(&s, true);
    for (int i = 0; i < 2; i++) {
        char name[64];
        Tensor *got = NULL;
        Cond *c = applied(&s, cases[i]);
        const AttentionMask *m = (const AttentionMask *)(const void *)c->entries[0].extra;
        snprintf(name, sizeof name, "apply.%s.model_mask", cases[i]);
        Tensor *want = load(s.data, name);
        assert_int_equal(tensor_clone(want, &got, NULL), OK);
        attention_mask_fill(m, 0, m->text, 12, 0, tensor_f32(got));
        assert_true(tensor_max_diff(got, want) == 0);
        tensor_unref(want);
        tensor_unref(got);
        cond_unref(c);
    }
    close_style(&s);
}

/* ---- USO ----------------------------------------------------------------------------------------------------- */

static void uso_agrees(void **state)
{
    static const char *const names[VISION_LEVELS] = { "in.high", "in.mid", "in.low" };
    Error err = { 0 };
    StylePatch *patch = NULL;
    StyleTokens *tokens = NULL;
    Model *flux = NULL, *styled = NULL;
    ClipVisionOutput o = { 0 };
    Cond *c = NULL;
    (void)state;
    Host *h = open_host(true, false);
    Weights *w = open_vector("redux/uso_tiny", NULL);
    Weights *base = open_vector("controlnet/base.weights_bf16", TINY_CONFIG);

    assert_ok(style_patch_open(h, w, "uso", &patch, &err), &err);
    for (int i = 0; i < VISION_LEVELS; i++)
        o.levels[i] = load(w, names[i]);
    o.last = o.levels[0];
    assert_ok(style_tokens_new(patch, &o, &tokens, &err), &err);
    Tensor *want = load(w, "out.tokens");
    double d = distance(tensor_f32(tokens->rows), tensor_f32(want), tensor_count(want));
    print_message("tokens: %.3g\n", d);
    assert_true(d <= 2e-5);
    tensor_unref(want);

    assert_ok(model_open(h, base, "base", &flux, &err), &err);
    Patch p = { .kind = PATCH_TOKENS, .object = &tokens->ref, .strength = 1 };
    assert_ok(model_with_patch(flux, &p, &styled, &err), &err);
    assert_ok(cond_new(load(w, "model.context"), load(w, "model.y"), &c, &err), &err);
    Tensor *x = load(w, "model.x"), *t = load(w, "model.timestep"),
           *g = load(w, "model.guidance");
    Tensor *v = velocity(styled, c, x, tensor_f32(t)[0], (double)tensor_f32(g)[0]);
    compare_tensor(w, "model.out", v, 3e-4);
    tensor_unref(v);
    tensor_unref(x);
    tensor_unref(t);
    tensor_unref(g);
    for (int i = 0; i < VISION_LEVELS; i++)
        tensor_unref(o.levels[i]);
    cond_unref(c);
    model_unref(flux);
    model_unref(styled);
    ref_drop(tokens);
    ref_drop(patch);
    weights_unref(base);
    weights_unref(w);
    host_free(h);
}

/* ---- published sizes, refusals --------------------------------------------------------------------------------- */

static void so400m_in_a_dummy_run(void **state)
{
    Error err = { 0 };
    ClipVision *v = NULL;
    StyleModel *m = NULL;
    Tensor *image = NULL, *tokens = NULL;
    ClipVisionOutput *o = NULL;
    (void)state;
    Host *h = open_host(false, true);
    assert_ok(clip_vision_open_published(h, "sigclip.safetensors", &v, &err), &err);
    assert_int_equal(clip_vision_dims(v)->layers, 27);
    assert_int_equal(clip_vision_dims(v)->heads, 16);
    assert_int_equal(clip_vision_dims(v)->side, 384);
    assert_ok(style_model_open_published(h, "redux.safetensors", &m, &err), &err);
    assert_ok(tensor_zeros(K_F32, 4, (int64_t[]){ 2, 40, 60, 3 }, &image, &err), &err);
    assert_ok(clip_vision_encode(v, image, true, &o, &err), &err);
    assert_non_null(o->levels[2]);
    assert_ok(style_model_tokens(m, o, &tokens, &err), &err);
    assert_int_equal(tokens->shape[1], 2 * 729);
    assert_int_equal(tokens->shape[2], 4096);
    tensor_unref(tokens);
    tensor_unref(image);
    ref_drop(o);
    style_model_unref(m);
    clip_vision_unref(v);
    host_free(h);
}

static void other_files_are_called_by_their_names(void **state)
{
    Error err = { 0 };
    ClipVision *v = NULL;
    StyleModel *m = NULL;
    StylePatch *p = NULL;
    (void)state;
    Host *h = open_host(true, false);
    Weights *tower = open_tower(), *uso = open_vector("redux/uso_tiny", NULL);
    assert_int_equal(clip_vision_open(h, uso, "a.safetensors", &v, &err), E_FORMAT);
    assert_non_null(strstr(err.message, "it looks like a USO model patch"));
    assert_non_null(strstr(err.fix, "ModelPatchLoader"));
    error_clear(&err);
    assert_int_equal(style_model_open(h, tower, "b.safetensors", &m, &err), E_FORMAT);
    assert_non_null(strstr(err.message, "it looks like a SigLIP vision model"));
    error_clear(&err);
    assert_int_equal(style_patch_open(h, tower, "c.safetensors", &p, &err), E_FORMAT);
    assert_non_null(strstr(err.fix, "CLIPVisionLoader"));
    weights_unref(tower);
    weights_unref(uso);
    host_free(h);
}

int group_style(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_fitted_as_the_reference_does),
        cmocka_unit_test(siglip_agrees),
        cmocka_unit_test(redux_agrees),
        cmocka_unit_test(strength_zero_hides_the_tokens),
        cmocka_unit_test(masks_spread_as_the_reference_does),
        cmocka_unit_test(uso_agrees),
        cmocka_unit_test(so400m_in_a_dummy_run),
        cmocka_unit_test(other_files_are_called_by_their_names),
    };
    return cmocka_run_group_tests_name("style", tests, NULL, NULL);
}
