/* test_upscale.c - enlarging networks against the reference's vectors: three spellings, compact, tiles, blending. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/imaging/tiling.h"
#include "engine/models/upscale.h"
#include "tests/unit/support.h"

static Weights *net_file(const char *net)
{
    char path[512], file[128];
    snprintf(file, sizeof file, "upscale/%s.weights_bf16.safetensors", net);
    vector_path(file, path, sizeof path);
    return open_file(path);
}

static UpscaleModel *open_net(Host *h, const char *net)
{
    Weights *w = net_file(net);
    UpscaleModel *m = NULL;
    Error err = { 0 };
    assert_ok(upscale_open(h, w, net, &m, &err), &err);
    weights_unref(w);
    return m;
}

/* A tensor of the vectors by group and case; bytes stand for value / 255. */
static Tensor *picture(const Weights *w, const char *group, const char *name)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", group, name);
    Tensor *t = load(w, key);
    if (weights_dtype(w, key) == K_U8) tensor_affine(t, t, 1.0f / 255.0f, 0);
    return t;
}

static void check_case(Host *h, const Weights *v, const Json *c)
{
    const char *name = json_key(c), *net = param_text(c, "net", "");
    UpscaleTiles tiles = { (int64_t)param_number(c, "tile", 512),
                           (int64_t)param_number(c, "overlap", 32) };
    UpscaleModel *m = open_net(h, net);
    Tensor *in = picture(v, "in", name), *want = picture(v, "out", name), *got = NULL;
    Error err = { 0 };
    assert_ok(upscale_image(m, in, &tiles, NULL, &got, &err), &err);
    double d = tensor_max_diff(got, want);
    print_message("upscale %-16s off by at most %.2g\n", name, d);
    if (!(d <= 1e-5)) fail_msg("%s: off by %g", name, d);
    tensor_unref(in);
    tensor_unref(want);
    tensor_unref(got);
    upscale_unref(m);
}

static Weights *open_vectors(void)
{
    char path[512];
    vector_path("upscale/upscale.safetensors", path, sizeof path);
    return open_file(path);
}

static JsonDoc *open_list(void)
{
    char path[512];
    vector_path("upscale/upscale.json", path, sizeof path);
    return json_file(path);
}

static void pictures_equal_the_reference(void **state)
{
    JsonDoc *doc = open_list();
    Weights *v = open_vectors();
    Host *h = open_host(true, false);
    (void)state;
    for (const Json *c = json_first(json_get(json_root(doc), "cases")); c; c = json_next(c))
        if (json_get(c, "net")) check_case(h, v, c);
    host_free(h);
    weights_unref(v);
    json_free(doc);
}

static void sizes_are_read_from_shapes(void **state)
{
    JsonDoc *doc = open_list();
    Host *h = open_host(true, false);
    (void)state;
    for (const Json *n = json_first(json_get(json_root(doc), "nets")); n; n = json_next(n)) {
        UpscaleModel *m = open_net(h, json_key(n));
        const UpscaleDims *d = upscale_dims(m);
        assert_int_equal(d->scale, (int64_t)param_number(n, "scale", 0));
        assert_int_equal(d->in, (int64_t)param_number(n, "in", 0));
        assert_int_equal(d->out, (int64_t)param_number(n, "out", 0));
        upscale_unref(m);
    }
    host_free(h);
    json_free(doc);
}

/* The tile minus its first column. */
static Status minus_first(void *user, const Tensor *in, Tensor *out, Error *err)
{
    (void)user, (void)err;
    for (int64_t i = 0; i < tensor_count(in); i++)
        tensor_f32(out)[i] =
            tensor_f32(in)[i] - tensor_f32(in)[i / in->shape[2] * in->shape[2]];
    return OK;
}

static void tiles_blend_as_the_reference_does(void **state)
{
    Weights *v = open_vectors();
    Tensor *want = load(v, "blend.out_weight_row"), *x = NULL, *y = NULL;
    Tiling t = { 512, 512, 32, 1, minus_first, NULL };
    Error err = { 0 };
    (void)state;
    assert_ok(tensor_new(K_F32, 3, (int64_t[]){ 1, 1, 1000 }, &x, &err), &err);
    assert_ok(tensor_new(K_F32, 3, (int64_t[]){ 1, 1, 1000 }, &y, &err), &err);
    for (int i = 0; i < 1000; i++)
        tensor_f32(x)[i] = (float)i;
    assert_ok(tiling_run(&t, x, y, &err), &err);
    for (int i = 0; i < 1000; i++)
        assert_true(fabsf(tensor_f32(y)[i] - tensor_f32(want)[i]) <= 1e-4f);
    tensor_unref(x);
    tensor_unref(y);
    tensor_unref(want);
    weights_unref(v);
}

static void others_are_refused_by_name(void **state)
{
    static const struct {
        const char *tensor, *name;
    } cases[] = { { "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
                    "SwinIR" },
                  { "feats.0.weight", "PLKSR" },
                  { "block_1.c1_r.eval_conv.weight", "SPAN" },
                  { "double_blocks.0.x", "FLUX" },
                  { "something", "no enlarging network" } };
    Host *h = open_host(true, true);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        WeightsShape row = { .ndim = 2, .shape = { 4, 4 } };
        Weights *w = NULL;
        UpscaleModel *m = NULL;
        Error err = { 0 };
        snprintf(row.name, sizeof row.name, "%s", cases[i].tensor);
        assert_ok(weights_from_shapes("x.pth", K_F32, &row, 1, &w, &err), &err);
        assert_int_equal(upscale_open(h, w, "x.pth", &m, &err), E_UNSUPPORTED);
        assert_non_null(strstr(err.message, cases[i].name));
        weights_unref(w);
    }
    host_free(h);
}

/* A limit that a whole tile does not fit under makes the tiles smaller; one that none fits under is an error. */
static void tiles_shrink_under_a_limit(void **state)
{
    HostOptions o = { .threads = 1, .device = "cpu", .dummy = true, .ram_limit = 24 << 20 };
    UpscaleTiles tiles = { 512, 32 };
    Host *h = NULL;
    Tensor *x = NULL, *y = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(host_new(&o, &h, &err), &err);
    UpscaleModel *m = open_net(h, "compact_x3");
    assert_ok(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 600, 600, 3 }, &x, &err), &err);
    assert_ok(upscale_image(m, x, &tiles, NULL, &y, &err), &err);
    assert_int_equal(y->shape[1], 1800);
    assert_true(host_use(h).arena_peak <= 24 << 20);
    tensor_unref(y);
    upscale_unref(m);
    host_free(h);
    o.ram_limit = 1 << 18;
    assert_ok(host_new(&o, &h, &err), &err);
    m = open_net(h, "compact_x3");
    assert_int_equal(upscale_image(m, x, &tiles, NULL, &y, &err), E_LIMIT);
    upscale_unref(m);
    host_free(h);
    tensor_unref(x);
}

static void alpha_is_refused(void **state)
{
    UpscaleTiles tiles = { 512, 32 };
    Host *h = open_host(true, false);
    UpscaleModel *m = open_net(h, "compact_x3");
    Tensor *x = NULL, *y = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 4, 4, 4 }, &x, &err), &err);
    assert_int_equal(upscale_image(m, x, &tiles, NULL, &y, &err), E_SHAPE);
    tensor_unref(x);
    upscale_unref(m);
    host_free(h);
}

int group_upscale(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_equal_the_reference),
        cmocka_unit_test(sizes_are_read_from_shapes),
        cmocka_unit_test(tiles_blend_as_the_reference_does),
        cmocka_unit_test(others_are_refused_by_name),
        cmocka_unit_test(tiles_shrink_under_a_limit),
        cmocka_unit_test(alpha_is_refused),
    };
    return cmocka_run_group_tests_name("upscale", tests, NULL, NULL);
}
