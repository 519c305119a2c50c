/* test_tiling.c - blending alone, with a function of closed form in place of a network. */
#include "suite.h"

#include <math.h>
#include <stdio.h>

#include "engine/imaging/tiling.h"

/* Nearest enlargement (or block mean when scale < 1) plus the mean of the whole input tile. */
static Status toy(void *user, const Tensor *in, Tensor *out, Error *err)
{
    double scale = *(const double *)user;
    float mean = (float)(tensor_sum(in) / (double)tensor_count(in));
    int64_t h = in->shape[1], w = in->shape[2], oh = out->shape[1], ow = out->shape[2];
    (void)err;
    for (int64_t c = 0; c < out->shape[0]; c++) {
        for (int64_t y = 0; y < oh; y++) {
            for (int64_t x = 0; x < ow; x++) {
                const float *plane = tensor_f32(in) + c * h * w;
                double v = 0;
                int64_t k = scale < 1 ? (int64_t)(1 / scale) : 1;
                for (int64_t i = 0; i < k * k; i++) {
                    int64_t sy = scale < 1 ? y * k + i / k : (int64_t)((double)y / scale);
                    int64_t sx = scale < 1 ? x * k + i % k : (int64_t)((double)x / scale);
                    v += (double)plane[sy * w + sx];
                }
                tensor_f32(out)[(c * oh + y) * ow + x] = (float)(v / (double)(k * k)) + mean;
            }
        }
    }
    return OK;
}

static const struct {
    int64_t tile_x, tile_y, overlap;
    double scale;
} cases[] = {
    { 8, 8, 2, 8 }, { 16, 6, 4, 2 }, { 64, 64, 16, 1 }, { 32, 32, 8, 0.125 }, { 12, 12, 0, 2 }
};

static void blending_agrees_with_the_reference(void **state)
{
    (void)state;
    Weights *w = open_vector("tiled_scale.safetensors");
    for (int i = 0; i < 5; i++) {
        char name[16];
        Tensor *x, *want, *in = NULL, *got = NULL;
        snprintf(name, sizeof name, "%d.in", i);
        x = load(w, name);
        snprintf(name, sizeof name, "%d.out", i);
        want = load(w, name);
        assert_int_equal(tensor_reshape(x, 3, x->shape + 1, &in, NULL), OK);
        assert_int_equal(tensor_new(K_F32, 3, want->shape + 1, &got, NULL), OK);
        double scale = cases[i].scale;
        Tiling t = { cases[i].tile_x, cases[i].tile_y, cases[i].overlap, scale, toy, &scale };
        assert_int_equal(tiling_run(&t, in, got, NULL), OK);
        double d = tensor_distance(got, want);
        if (!(d < 1e-6)) fail_msg("case %d differs by %g", i, d);
        tensor_unref(x);
        tensor_unref(want);
        tensor_unref(in);
        tensor_unref(got);
    }
    weights_unref(w);
}

static void an_overlap_as_large_as_the_tile_is_refused(void **state)
{
    (void)state;
    Tensor *x = NULL;
    double one = 1;
    assert_int_equal(tensor_zeros(K_F32, 3, (int64_t[]){ 1, 9, 9 }, &x, NULL), OK);
    Tiling t = { 4, 4, 4, 1, toy, &one };
    assert_int_equal(tiling_run(&t, x, x, NULL), E_RANGE);
    tensor_unref(x);
}

int group_tiling(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blending_agrees_with_the_reference),
        cmocka_unit_test(an_overlap_as_large_as_the_tile_is_refused),
    };
    return cmocka_run_group_tests_name("tiling", tests, NULL, NULL);
}
