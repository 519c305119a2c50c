/* test_vae.c - encoder, decoder and tiles against the reference's vectors, stage by stage. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/vae/net.h"
#include "engine/vae/published.h"

enum { MAX_STAGES = 64 };

static Vae *open_vae(Host *h, const Weights *w)
{
    Vae *v = NULL;
    Error err = { 0 };
    if (vae_open(h, w, "vae", &v, &err) != OK) fail_msg("%s", err.message);
    return v;
}

/* Distance of one case in the given precision; tile 0: whole. */
static double run_case(const char *weights, const char *vector, bool decoder, int64_t tile,
                       int64_t overlap, bool exact)
{
    Error err = { 0 };
    Host *h = open_host(exact, false);
    Weights *w = open_vector(weights), *data = open_vector(vector);
    Vae *v = open_vae(h, w);
    Tensor *in = load(data, decoder ? "in.latent" : "in.image_nhwc");
    Tensor *want = load(data, decoder ? "out.image_nhwc" : "out.latent"), *got = NULL;
    VaeTiles t = { tile, tile, overlap };
    Status s;

    if (tile)
        s = decoder ? vae_decode_tiled(v, in, &t, &got, &err)
                    : vae_encode_tiled(v, in, &t, &got, &err);
    else
        s = decoder ? vae_decode(v, in, &got, &err) : vae_encode(v, in, &got, &err);
    if (s != OK) fail_msg("%s: %s", vector, err.message);
    assert_true(tensor_same_shape(got, want));
    double d = tensor_distance(got, want);
    print_message("%s %s: %.3g\n", vector, exact ? "exact" : "fast", d);
    tensor_unref(got);
    tensor_unref(want);
    tensor_unref(in);
    vae_unref(v);
    host_free(h);
    weights_unref(data);
    weights_unref(w);
    return d;
}

static const struct {
    const char *weights, *vector;
    bool decoder;
    int64_t tile, overlap;
    double tolerance;
} cases[] = {
    { "flux1_tiny.weights_f32.safetensors", "flux1_tiny.case_encode0.safetensors", false, 0, 0,
      2e-5 },
    { "flux1_tiny.weights_f32.safetensors", "flux1_tiny.case_encode1.safetensors", false, 0, 0,
      2e-5 },
    { "flux1_tiny.weights_f32.safetensors", "flux1_tiny.case_decode0.safetensors", true, 0, 0,
      2e-5 },
    { "flux1_tiny.weights_f32.safetensors", "flux1_tiny.case_decode1.safetensors", true, 0, 0,
      2e-4 },
    { "flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_encode0.safetensors", false, 0, 0,
      2e-5 },
    { "flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_encode1.safetensors", false, 0, 0,
      2e-5 },
    { "flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_decode0.safetensors", true, 0, 0,
      2e-5 },
    { "flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_tiled0.safetensors", true, 4, 1,
      2e-5 },
    { "flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_tiled1.safetensors", false, 64, 16,
      2e-5 },
};
enum { CASES = sizeof cases / sizeof *cases };

static void exact_agrees_with_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        double d = run_case(cases[i].weights, cases[i].vector, cases[i].decoder, cases[i].tile,
                            cases[i].overlap, true);
        if (!(d <= cases[i].tolerance)) fail_msg("%s: %g", cases[i].vector, d);
    }
}

static void fast_stays_near(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        if (strstr(cases[i].vector, "decode1"))
            continue; /* statistics over a handful of values */
        double d = run_case(cases[i].weights, cases[i].vector, cases[i].decoder, cases[i].tile,
                            cases[i].overlap, false);
        if (!(d <= 5e-2)) fail_msg("%s: %g", cases[i].vector, d);
    }
}

/* ---- stages ------------------------------------------------------------------------------------------- */

/* One stage of a run: the vector's [1,c,h,w] and the program's [h,w,c]. */
typedef struct Stage {
    const char *name;
    Tensor *want;
    float *got;
} Stage;

static double stage_distance(const Stage *s)
{
    int64_t c = s->want->shape[1], n = s->want->shape[2] * s->want->shape[3];
    double apart = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < c; k++) {
            double b = (double)tensor_f32(s->want)[k * n + i],
                   d = (double)s->got[i * c + k] - b;
            apart += d * d;
            size += b * b;
        }
    }
    return sqrt(apart / size);
}

static int list_stages(const Weights *data, Stage *stages)
{
    int n = 0;
    for (size_t i = 0; i < weights_count(data) && n < MAX_STAGES; i++) {
        const char *name = weights_name(data, i);
        /* norm_out is folded into the convolution after it and never stored */
        if (strncmp(name, "mid.", 4) || strstr(name, "norm_out")) continue;
        Tensor *want = load(data, name);
        stages[n++] = (Stage){ name + 4, want, mem_alloc((size_t)tensor_count(want) * 4) };
    }
    return n;
}

static void stages_of(const char *weights, const char *vector, bool decoder)
{
    Stage stages[MAX_STAGES];
    ProgArg out[MAX_STAGES];
    Error err = { 0 };
    Program *p = NULL;
    VaeDims dims;
    KContext ctx = { .threads = 1 };
    Weights *w = open_vector(weights), *data = open_vector(vector);
    Tensor *in = load(data, decoder ? "in.latent" : "in.image_nhwc"), *planes = NULL;

    assert_int_equal(vae_read_dims(w, &dims, NULL), OK);
    assert_int_equal(prog_new("stages", &p, NULL), OK);
    if (decoder) {
        planes = tensor_ref(in);
        vae_build_decoder(&dims, w, in->shape[2], in->shape[3], true, true, p);
    } else {
        int64_t h = in->shape[1], wide = in->shape[2];
        assert_int_equal(tensor_new(K_F32, 3, (int64_t[]){ 3, h, wide }, &planes, NULL), OK);
        for (int64_t i = 0; i < h * wide; i++)
            for (int64_t c = 0; c < 3; c++)
                tensor_f32(planes)[c * h * wide + i] = 2 * tensor_f32(in)[i * 3 + c] - 1;
        vae_build_encoder(&dims, w, h, wide, true, true, p);
    }
    if (prog_plan(p, kernels_ref(), &ctx, &err) != OK) fail_msg("%s", err.message);
    int n = list_stages(data, stages);
    assert_true(n > 8);
    for (int i = 0; i < n; i++)
        out[i] = (ProgArg){ stages[i].name, stages[i].got };
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena };
    ProgArg from = { decoder ? "latent" : "image", tensor_f32(planes) };
    if (prog_run(p, &run, &from, 1, out, n, &err) != OK) fail_msg("%s", err.message);
    for (int i = 0; i < n; i++) {
        double d = stage_distance(&stages[i]);
        if (!(d <= 2e-5)) fail_msg("%s: stage %s differs by %g", vector, stages[i].name, d);
        tensor_unref(stages[i].want);
        mem_free(stages[i].got);
    }
    mem_free(arena);
    prog_free(p);
    tensor_unref(planes);
    tensor_unref(in);
    weights_unref(data);
    weights_unref(w);
}

static void every_stage_agrees(void **state)
{
    (void)state;
    stages_of("flux1_tiny.weights_f32.safetensors", "flux1_tiny.case_decode0.safetensors",
              true);
    stages_of("flux1_tiny.weights_f32.safetensors", "flux1_tiny.case_encode0.safetensors",
              false);
    stages_of("flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_decode0.safetensors",
              true);
    stages_of("flux2_tiny.weights_f32.safetensors", "flux2_tiny.case_encode0.safetensors",
              false);
}

/* ---- names ----------------------------------------------------------------------------------------------- */

/* BFL's name of the flux2 test file as diffusers writes it (four levels). */
static bool to_diffusers(void *user, const char *name, char *buf, size_t size)
{
    static const char *const rules[][2] = {
        { ".mid.block_1.", ".mid_block.resnets.0." },
        { ".mid.block_2.", ".mid_block.resnets.1." },
        { ".mid.attn_1.norm.", ".mid_block.attentions.0.group_norm." },
        { ".mid.attn_1.q.", ".mid_block.attentions.0.to_q." },
        { ".mid.attn_1.k.", ".mid_block.attentions.0.to_k." },
        { ".mid.attn_1.v.", ".mid_block.attentions.0.to_v." },
        { ".mid.attn_1.proj_out.", ".mid_block.attentions.0.to_out.0." },
        { ".up.0.", ".up_blocks.3." },
        { ".up.1.", ".up_blocks.2." },
        { ".up.2.", ".up_blocks.1." },
        { ".up.3.", ".up_blocks.0." },
        { ".down.", ".down_blocks." },
        { ".block.", ".resnets." },
        { ".upsample.conv.", ".upsamplers.0.conv." },
        { ".downsample.conv.", ".downsamplers.0.conv." },
        { ".nin_shortcut.", ".conv_shortcut." },
        { ".norm_out.", ".conv_norm_out." },
    };
    (void)user;
    snprintf(buf, size, "first_stage_model.%s", name);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        char rest[192];
        char *at = strstr(buf, rules[i][0]);
        if (!at) continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(rules[i][0]));
        snprintf(at, size - (size_t)(at - buf), "%s%s", rules[i][1], rest);
    }
    return true;
}

/* The file under other names gives the bits of the file itself; `there` is one of the new names. */
static void check_renamed(bool (*rename)(void *, const char *, char *, size_t),
                          const char *there, bool decode)
{
    Weights *other = NULL;
    Tensor *a = NULL, *b = NULL;
    Host *h = open_host(true, false);
    Weights *w = open_vector("flux2_tiny.weights_f32.safetensors");
    Weights *data = open_vector(decode ? "flux2_tiny.case_decode0.safetensors"
                                       : "flux2_tiny.case_encode0.safetensors");
    Tensor *in = load(data, decode ? "in.latent" : "in.image_nhwc");
    assert_int_equal(weights_rename(w, rename, NULL, &other, NULL), OK);
    assert_true(weights_has(other, there));
    Vae *v = open_vae(h, w), *u = open_vae(h, other);
    assert_int_equal(decode ? vae_decode(v, in, &a, NULL) : vae_encode(v, in, &a, NULL), OK);
    assert_int_equal(decode ? vae_decode(u, in, &b, NULL) : vae_encode(u, in, &b, NULL), OK);
    assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * 4);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(in);
    vae_unref(u);
    vae_unref(v);
    host_free(h);
    weights_unref(other);
    weights_unref(data);
    weights_unref(w);
}

static void diffusers_names_under_a_prefix_give_the_same_bits(void **state)
{
    (void)state;
    check_renamed(to_diffusers, "first_stage_model.decoder.up_blocks.0.resnets.0.norm1.weight",
                  true);
}

/* quant_conv and post_quant_conv as BFL's file keeps them: inside the networks. */
static bool to_inner(void *user, const char *name, char *buf, size_t size)
{
    (void)user;
    if (!strncmp(name, "quant_conv.", 11))
        snprintf(buf, size, "encoder.%s", name);
    else if (!strncmp(name, "post_quant_conv.", 16))
        snprintf(buf, size, "decoder.%s", name);
    else
        snprintf(buf, size, "%s", name);
    return true;
}

static void quant_convs_are_found_in_either_place(void **state)
{
    (void)state;
    check_renamed(to_inner, "encoder.quant_conv.weight", false);
}

static void batches_alpha_and_errors(void **state)
{
    (void)state;
    Error err = { 0 };
    Tensor *pair = NULL, *a = NULL, *b = NULL, *small = NULL, *out = NULL;
    Host *h = open_host(true, false);
    Weights *w = open_vector("flux2_tiny.weights_f32.safetensors");
    Vae *v = open_vae(h, w);
    assert_int_equal(vae_ratio(v), 16);
    assert_int_equal(vae_channels(v), 128);
    assert_int_equal(tensor_new(K_F32, 4, (int64_t[]){ 2, 16, 32, 4 }, &pair, NULL), OK);
    for (int64_t i = 0; i < tensor_count(pair); i++)
        tensor_f32(pair)[i] = (float)(i * 37 % 101) / 101.0f;
    assert_int_equal(vae_encode(v, pair, &a, NULL), OK);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(tensor_slice(pair, 1, 1, &small, NULL), OK);
    assert_int_equal(vae_encode(v, small, &b, NULL), OK);
    assert_memory_equal(tensor_f32(a) + tensor_count(b), b->data, (size_t)tensor_count(b) * 4);
    tensor_unref(small);
    assert_int_equal(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 15, 40, 3 }, &small, NULL), OK);
    assert_int_equal(vae_encode(v, small, &out, &err), E_SHAPE);
    assert_non_null(strstr(err.message, "smaller than one latent cell"));
    tensor_unref(small);
    assert_int_equal(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 16, 4, 4 }, &small, NULL), OK);
    assert_int_equal(vae_decode(v, small, &out, &err), E_SHAPE);
    assert_non_null(strstr(err.message, "16 channels, the VAE takes 128"));
    assert_int_equal(vae_decode_tiled(v, a, &(VaeTiles){ 4, 4, 2 }, &out, &err), E_RANGE);
    VaeTiles t = vae_tiles_from_pixels(v, 128, 64);
    assert_int_equal(t.tile_x, 8);
    assert_int_equal(t.overlap, 2);
    tensor_unref(small);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(pair);
    vae_unref(v);
    host_free(h);
    weights_unref(w);
}

static void a_dummy_run_counts_and_gives_zeros(void **state)
{
    (void)state;
    VaeCost cost;
    Tensor *image = NULL, *latent = NULL;
    Host *h = open_host(false, true);
    Weights *w = open_vector("flux2_tiny.weights_f32.safetensors");
    Vae *v = open_vae(h, w);
    assert_int_equal(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 128, 4, 3 }, &latent, NULL), OK);
    assert_int_equal(vae_decode(v, latent, &image, NULL), OK);
    assert_int_equal(image->shape[1], 64);
    assert_int_equal(vae_decode_cost(v, 64, 48, &cost, NULL), OK);
    assert_int_equal(host_use(h).arena_peak, cost.arena_bytes);
    tensor_unref(image);
    tensor_unref(latent);
    vae_unref(v);
    host_free(h);
    weights_unref(w);
}

static void published_sizes_give_a_cost_without_a_file(void **state)
{
    (void)state;
    VaeCost cost;
    Vae *v = NULL;
    const char *what = NULL;
    Error err = { 0 };
    Host *h = open_host(false, true);
    if (vae_open_published(h, "flux2-vae.safetensors", NULL, &v, &what, &err) != OK)
        fail_msg("%s", err.message);
    assert_int_equal(vae_ratio(v), 16);
    if (vae_decode_cost(v, 512, 512, &cost, &err) != OK) fail_msg("%s", err.message);
    print_message(
        "FLUX.2 decode at 512: %d operations, arena %zu bytes, weights %zu bytes, %.4g FLOP\n",
        cost.operations, cost.arena_bytes, cost.weight_bytes, cost.flops);
    assert_true(cost.weight_bytes > 2 * 49000000 && cost.weight_bytes < 2 * 50000000);
    vae_unref(v);
    if (vae_open_published(h, "ae.safetensors", NULL, &v, &what, &err) != OK)
        fail_msg("%s", err.message);
    assert_int_equal(vae_channels(v), 16);
    vae_unref(v);
    host_free(h);
}

int group_vae(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_agrees_with_the_reference),
        cmocka_unit_test(fast_stays_near),
        cmocka_unit_test(every_stage_agrees),
        cmocka_unit_test(diffusers_names_under_a_prefix_give_the_same_bits),
        cmocka_unit_test(quant_convs_are_found_in_either_place),
        cmocka_unit_test(batches_alpha_and_errors),
        cmocka_unit_test(a_dummy_run_counts_and_gives_zeros),
        cmocka_unit_test(published_sizes_give_a_cost_without_a_file),
    };
    return cmocka_run_group_tests_name("vae", tests, NULL, NULL);
}
