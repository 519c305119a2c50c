/* test_imaging.c - resampling, masks and composition against the reference's vectors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/imaging/arrange.h"
#include "engine/imaging/compose.h"
#include "engine/imaging/filter.h"
#include "engine/imaging/mask.h"
#include "engine/imaging/resize.h"
#include "tests/unit/support.h"

/* One case of images.json: its tensors by role, its parameters, its results. */
typedef struct Case {
    const Vectors *v;
    const Json *json, *params;
    Tensor *out[2];
} Case;

static Tensor *in_tensor(const Case *c, const char *role)
{
    return vectors_tensor(c->v, json_string(json_get(json_get(c->json, "in"), role)));
}

static int64_t int_param(const Case *c, const char *name)
{
    return (int64_t)param_number(c->params, name, 0);
}

static ResizeMethod method_param(const Case *c, const char *name)
{
    ResizeMethod m = RESIZE_NEAREST_EXACT;
    assert_true(resize_method_from_name(param_text(c->params, name, ""), &m));
    return m;
}

static bool center_param(const Case *c)
{
    return strcmp(param_text(c->params, "crop", "disabled"), "center") == 0;
}

static Status run_common_upscale(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "samples"), *folded = NULL, *y = NULL;
    int64_t frames = x->ndim == 5 ? x->shape[2] : 1;
    if (x->ndim == 5 || x->ndim != 4) {
        tensor_unref(x);
        return E_UNSUPPORTED; /* video latents: no node of ours makes one */
    }
    (void)frames;
    (void)folded;
    Status s = resize_nchw(x, int_param(c, "width"), int_param(c, "height"),
                           method_param(c, "method"), center_param(c), &y, err);
    c->out[0] = y;
    tensor_unref(x);
    return s;
}

static Status resize_image(Case *c, Size2 size, Error *err)
{
    Tensor *x = in_tensor(c, "image");
    Status s = resize_nhwc(x, size.width, size.height, method_param(c, "upscale_method"),
                           center_param(c), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Size2 image_size(const Case *c, const char *role)
{
    Tensor *x = in_tensor(c, role);
    Size2 s = { x->shape[2], x->shape[1] };
    tensor_unref(x);
    return s;
}

static Status run_image_scale(Case *c, Error *err)
{
    return resize_image(
        c, size_scale(image_size(c, "image"), int_param(c, "width"), int_param(c, "height")),
        err);
}

static Status run_image_scale_by(Case *c, Error *err)
{
    return resize_image(
        c, size_scale_by(image_size(c, "image"), param_number(c->params, "scale_by", 1)), err);
}

static Status run_total_pixels(Case *c, Error *err)
{
    Size2 s =
        size_total_pixels(image_size(c, "image"), param_number(c->params, "megapixels", 1),
                          (int64_t)param_number(c->params, "resolution_steps", 1));
    return resize_image(c, s, err);
}

static Status resize_latent(Case *c, Size2 size, Error *err)
{
    Tensor *x = in_tensor(c, "samples");
    Status s = resize_nchw(x, size.width, size.height, method_param(c, "upscale_method"),
                           center_param(c), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Size2 latent_size(const Case *c)
{
    Tensor *x = in_tensor(c, "samples");
    Size2 s = { x->shape[3], x->shape[2] };
    tensor_unref(x);
    return s;
}

static Status run_latent_upscale(Case *c, Error *err)
{
    return resize_latent(
        c, size_latent_upscale(latent_size(c), int_param(c, "width"), int_param(c, "height")),
        err);
}

static Status run_latent_upscale_by(Case *c, Error *err)
{
    return resize_latent(
        c, size_scale_by(latent_size(c), param_number(c->params, "scale_by", 1)), err);
}

static Status run_pad(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "image");
    Status s = image_pad(x, int_param(c, "left"), int_param(c, "top"), int_param(c, "right"),
                         int_param(c, "bottom"), int_param(c, "feathering"), &c->out[0],
                         &c->out[1], err);
    tensor_unref(x);
    return s;
}

static Status run_grow(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "mask");
    Status s = mask_grow(x, int_param(c, "expand"),
                         param_bool(c->params, "tapered_corners", true), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_feather(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "mask");
    Status s = mask_feather(x, int_param(c, "left"), int_param(c, "top"), int_param(c, "right"),
                            int_param(c, "bottom"), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_mask_composite(Case *c, Error *err)
{
    Tensor *d = in_tensor(c, "destination"), *s = in_tensor(c, "source");
    MaskOp op = MASK_MULTIPLY;
    assert_true(mask_op_from_name(param_text(c->params, "operation", ""), &op));
    Status status =
        mask_composite(d, s, int_param(c, "x"), int_param(c, "y"), op, &c->out[0], err);
    tensor_unref(d);
    tensor_unref(s);
    return status;
}

static Status run_image_to_mask(Case *c, Error *err)
{
    static const char *const names[] = { "red", "green", "blue", "alpha" };
    Tensor *x = in_tensor(c, "image");
    int channel = 0;
    while (strcmp(names[channel], param_text(c->params, "channel", "red")) != 0)
        channel++;
    Status s = mask_from_image(x, channel, &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_color_to_mask(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "image");
    Status s = mask_from_color(x, int_param(c, "color"), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_invert(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "mask");
    Status s = mask_invert(x, &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_mask_to_image(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "mask");
    Status s = mask_to_image(x, &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_threshold(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "mask");
    Status s = mask_threshold(x, (float)param_number(c->params, "value", 0), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_crop_mask(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "mask");
    Status s = mask_crop(x, int_param(c, "x"), int_param(c, "y"), int_param(c, "width"),
                         int_param(c, "height"), &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_solid(Case *c, Error *err)
{
    return mask_solid((float)param_number(c->params, "value", 0), int_param(c, "width"),
                      int_param(c, "height"), &c->out[0], err);
}

static Status run_image_batch(Case *c, Error *err)
{
    Tensor *a = in_tensor(c, "image1"), *b = in_tensor(c, "image2");
    Status s = image_join((const Tensor *const[]){ a, b }, 2, &c->out[0], err);
    tensor_unref(a);
    tensor_unref(b);
    return s;
}

static Status run_image_invert(Case *c, Error *err)
{
    Tensor *x = in_tensor(c, "image");
    Status s = image_invert(x, &c->out[0], err);
    tensor_unref(x);
    return s;
}

static Status run_empty_image(Case *c, Error *err)
{
    return image_solid(int_param(c, "width"), int_param(c, "height"),
                       int_param(c, "batch_size"), int_param(c, "color"), &c->out[0], err);
}

static Status run_latent_composite_masked(Case *c, Error *err)
{
    const Json *mask = json_get(json_get(c->json, "in"), "mask");
    Tensor *d = in_tensor(c, "destination"), *s = in_tensor(c, "source");
    Tensor *m = mask ? vectors_tensor(c->v, json_string(mask)) : NULL;
    Status status =
        compose_masked(d, s, int_param(c, "x"), int_param(c, "y"), m, 8,
                       param_bool(c->params, "resize_source", false), &c->out[0], err);
    tensor_unref(d);
    tensor_unref(s);
    tensor_unref(m);
    return status;
}

typedef struct Op {
    const char *name;
    Status (*run)(Case *c, Error *err);
    double tolerance;
} Op;

static const Op ops[] = {
    { "common_upscale", run_common_upscale, 2e-5 },
    { "ImageScale", run_image_scale, 2e-6 },
    { "ImageScaleBy", run_image_scale_by, 2e-6 },
    { "ImageScaleToTotalPixels", run_total_pixels, 2e-6 },
    { "LatentUpscale", run_latent_upscale, 2e-5 },
    { "LatentUpscaleBy", run_latent_upscale_by, 2e-5 },
    { "ImagePadForOutpaint", run_pad, 1e-6 },
    { "GrowMask", run_grow, 1e-6 },
    { "FeatherMask", run_feather, 1e-6 },
    { "MaskComposite", run_mask_composite, 1e-6 },
    { "ImageToMask", run_image_to_mask, 1e-6 },
    { "ImageColorToMask", run_color_to_mask, 1e-6 },
    { "InvertMask", run_invert, 1e-6 },
    { "MaskToImage", run_mask_to_image, 1e-6 },
    { "ThresholdMask", run_threshold, 1e-6 },
    { "CropMask", run_crop_mask, 1e-6 },
    { "SolidMask", run_solid, 1e-6 },
    { "ImageBatch", run_image_batch, 2e-6 },
    { "ImageInvert", run_image_invert, 1e-6 },
    { "EmptyImage", run_empty_image, 1e-6 },
    { "LatentCompositeMasked", run_latent_composite_masked, 2e-6 },
};

/* Lanczos works in 8 bits: a value may fall on the other side of a rounding, in few places. */
static void check_lanczos(const Tensor *got, const Tensor *want, const char *name)
{
    int64_t off = 0;
    for (int64_t i = 0; i < tensor_count(want); i++) {
        float d = fabsf(tensor_f32(got)[i] - tensor_f32(want)[i]);
        if (!(d < 1.01f / 255))
            fail_msg("%s: sample %lld is %g, not %g", name, (long long)i,
                     (double)tensor_f32(got)[i], (double)tensor_f32(want)[i]);
        off += d > 1e-6f;
    }
    if ((double)off >= 0.005 * (double)tensor_count(want) + 1)
        fail_msg("%s: %lld samples differ", name, (long long)off);
}

static void compare(const Case *c, const Op *op)
{
    const char *method =
        param_text(c->params, "method", param_text(c->params, "upscale_method", ""));
    for (size_t i = 0; i < json_count(json_get(c->json, "out")); i++) {
        Tensor *want = vectors_tensor(c->v, json_string(json_at(json_get(c->json, "out"), i)));
        if (strcmp(method, "lanczos") == 0) {
            if (tensor_same_shape(c->out[i], want))
                check_lanczos(c->out[i], want,
                              json_string(json_at(json_get(c->json, "out"), i)));
        } else if (tensor_max_diff(c->out[i], want) > op->tolerance) {
            fail_msg("%s %s: off by %g", op->name, method, tensor_max_diff(c->out[i], want));
        }
        tensor_unref(want);
    }
}

static void run_case(const Vectors *v, const Json *json, const Op *op)
{
    Case c = { .v = v, .json = json, .params = json_get(json, "params") };
    Error err = { 0 };
    if (json_get(json, "error")) return;
    Status s = op->run(&c, &err);
    if (s == OK) compare(&c, op);
    if (s != OK && s != E_UNSUPPORTED) assert_ok(s, &err);
    tensor_unref(c.out[0]);
    tensor_unref(c.out[1]);
}

static void test_vectors(void **state)
{
    Vectors v;
    int run = 0;
    (void)state;
    vectors_open(&v, "images", "images");
    for (const Json *c = json_first(json_get(json_root(v.doc), "cases")); c; c = json_next(c))
        for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
            if (strcmp(param_text(c, "op", ""), ops[i].name) == 0) {
                run_case(&v, c, &ops[i]);
                run++;
            }
    assert_true(run > 250);
    vectors_close(&v);
}

static void test_total_pixel_sizes(void **state)
{
    Vectors v;
    (void)state;
    vectors_open(&v, "images", "images");
    for (const Json *c = json_first(json_get(json_root(v.doc), "cases")); c; c = json_next(c)) {
        if (strcmp(param_text(c, "op", ""), "ImageScaleToTotalPixels.dims") != 0) continue;
        for (const Json *d = json_first(json_get(c, "cases")); d; d = json_next(d)) {
            const Json *in = json_get(d, "in"), *out = json_get(d, "out");
            Size2 s = size_total_pixels((Size2){ (int64_t)json_double(json_at(in, 0)),
                                                 (int64_t)json_double(json_at(in, 1)) },
                                        param_number(d, "megapixels", 1),
                                        (int64_t)param_number(d, "resolution_steps", 1));
            assert_int_equal(s.width, (int64_t)json_double(json_at(out, 0)));
            assert_int_equal(s.height, (int64_t)json_double(json_at(out, 1)));
        }
    }
    vectors_close(&v);
}

static void test_bytes_are_truncated(void **state)
{
    const float x[] = { -1, 0, 0.00391f, 0.5f, 0.9999f, 1, 2, NAN };
    const uint8_t want[] = { 0, 0, 0, 127, 254, 255, 255, 0 };
    uint8_t y[8];
    (void)state;
    image_to_bytes(x, y, 8);
    assert_memory_equal(y, want, 8);
}

static void test_sizes_are_refused(void **state)
{
    int64_t shape[] = { 1, 1, 2, 2 };
    Tensor *x = NULL, *y = NULL;
    Error err = { 0 };
    (void)state;
    assert_int_equal(tensor_zeros(K_F32, 4, shape, &x, &err), OK);
    assert_int_equal(resize_nchw(x, 0, 4, RESIZE_BILINEAR, false, &y, &err), E_RANGE);
    assert_int_equal(resize_nchw(x, 4, (int64_t)1 << 40, RESIZE_AREA, false, &y, &err),
                     E_RANGE);
    assert_null(y);
    tensor_unref(x);
}

/* A tensor of the Canny and stitching vectors; bytes stand for value / 255. NULL when it is not there. */
static Tensor *part_of(const Vectors *v, const char *group, const char *name, const char *part,
                       bool bytes)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s.%s", group, name, part);
    if (!weights_has(v->tensors, key)) return NULL;
    Tensor *t = vectors_tensor(v, key);
    for (int64_t i = 0; bytes && i < tensor_count(t); i++)
        tensor_f32(t)[i] /= 255;
    return t;
}

/* Edges may differ only where the gradient lies at a threshold. */
static void check_edges(const Tensor *edges, const Tensor *want, const Tensor *magnitude,
                        double low, double high)
{
    for (int64_t i = 0; i < tensor_count(want); i++) {
        double m = (double)tensor_f32(magnitude)[i];
        if (fabs(m - low) < 1e-5 || fabs(m - high) < 1e-5) continue;
        for (int k = 0; k < 3; k++)
            assert_true(tensor_f32(edges)[i * 3 + k] == tensor_f32(want)[i]);
    }
}

static void check_canny(const Vectors *v, const Json *c)
{
    const char *name = param_text(c, "name", "");
    double low = param_number(c, "low", 0), high = param_number(c, "high", 0);
    Tensor *x = part_of(v, "canny", name, "in", true), *edges = NULL, *m = NULL;
    Tensor *want_m = part_of(v, "canny", name, "magnitude", false);
    Tensor *want = part_of(v, "canny", name, "edges", false);
    Error err = { 0 };
    assert_ok(image_canny(x, low, high, &edges, &m, &err), &err);
    assert_int_equal(tensor_count(m), tensor_count(want_m));
    for (int64_t i = 0; i < tensor_count(m); i++)
        assert_true(fabsf(tensor_f32(m)[i] - tensor_f32(want_m)[i]) <= 2e-6f);
    check_edges(edges, want, want_m, low, high);
    tensor_unref(x);
    tensor_unref(edges);
    tensor_unref(m);
    tensor_unref(want_m);
    tensor_unref(want);
}

static void check_stitch(const Vectors *v, const Json *c)
{
    const char *name = param_text(c, "name", "");
    Stitch s = { .direction = param_text(c, "direction", ""),
                 .match = param_bool(c, "match_image_size", true),
                 .spacing = (int64_t)param_number(c, "spacing_width", 0),
                 .color = param_text(c, "spacing_color", "") };
    Tensor *a = part_of(v, "stitch", name, "in1", false), *y = NULL;
    Tensor *b = part_of(v, "stitch", name, "in2", false);
    Tensor *want = part_of(v, "stitch", name, "out", false);
    Error err = { 0 };
    assert_ok(image_stitch(a, b, &s, &y, &err), &err);
    if (s.match)
        check_lanczos(y, want, name);
    else
        assert_true(tensor_max_diff(y, want) <= 1e-6);
    assert_true(tensor_same_shape(y, want));
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(y);
    tensor_unref(want);
}

static void test_canny_and_stitch(void **state)
{
    Vectors v;
    (void)state;
    vectors_open(&v, "images", "canny_stitch");
    for (const Json *c = json_first(json_get(json_root(v.doc), "cases")); c; c = json_next(c)) {
        if (strcmp(param_text(c, "op", ""), "Canny") == 0)
            check_canny(&v, c);
        else
            check_stitch(&v, c);
    }
    vectors_close(&v);
}

static void test_edges_are_refused(void **state)
{
    Tensor *x = NULL, *y = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 8, 8, 3 }, &x, &err), &err);
    assert_int_equal(image_canny(x, 0.8, 0.4, &y, NULL, &err), E_RANGE);
    tensor_unref(x);
    assert_ok(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 8, 8, 4 }, &x, &err), &err);
    assert_int_equal(image_canny(x, 0.4, 0.8, &y, NULL, &err), E_SHAPE);
    tensor_unref(x);
    assert_ok(tensor_zeros(K_F32, 4, (int64_t[]){ 1, 1, 8, 3 }, &x, &err), &err);
    assert_int_equal(image_canny(x, 0.4, 0.8, &y, NULL, &err), E_SHAPE);
    tensor_unref(x);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canny_and_stitch),
        cmocka_unit_test(test_edges_are_refused),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_total_pixel_sizes),
        cmocka_unit_test(test_bytes_are_truncated),
        cmocka_unit_test(test_sizes_are_refused),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("imaging", tests, NULL, NULL);
}
