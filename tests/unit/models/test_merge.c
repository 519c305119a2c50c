/* test_merge.c - matrices of merged models against the sums by hand. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/merge.h"
#include "tests/unit/support.h"

/* Two files of one network in different number formats, and a wider network. */
static const char first_file[] = "tiny-flux2-klein-mini-fp8_e4m3fn.safetensors";
static const char second_file[] = "tiny-flux2-klein-mini-fp8_scaled.safetensors";
static const char wider_file[] = "tiny-flux2-klein.safetensors";

static Model *open_model(Host *h, const char *name)
{
    char path[512], relative[160];
    Weights *w = NULL;
    Model *m = NULL;
    Error err = { 0 };
    snprintf(relative, sizeof relative, "golden/models/diffusion_models/%s", name);
    if (!shared_path(relative, path, sizeof path)) skip();
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    assert_ok(model_open(h, w, path, &m, &err), &err);
    weights_unref(w);
    return m;
}

static void row_of(const Model *m, const char *name, float *out, int64_t count)
{
    KWeight w;
    Error err = { 0 };
    assert_ok(model_matrix(m, name, &w, &err), &err);
    assert_int_equal(k_weight_row(&w, w.n - 1, 0, count, out), K_OK);
}

/* The last row of a matrix of the merged model is fa times a's plus fb times b's. */
static void check(const Model *merged, const Model *a, const Model *b, const char *name,
                  float fa, float fb)
{
    float x[16], y[16], z[16];
    row_of(merged, name, z, 16);
    row_of(a, name, x, 16);
    row_of(b, name, y, 16);
    for (int i = 0; i < 16; i++)
        if (fabsf(z[i] - (fa * x[i] + fb * y[i])) > 1e-6f)
            fail_msg("%s: %g, not %g", name, (double)z[i], (double)(fa * x[i] + fb * y[i]));
}

static const char double_name[] = "double_blocks.0.img_attn.proj.weight";
static const char final_name[] = "final_layer.linear.weight";

static void models_are_summed(void **state)
{
    Host *h = open_host(true, false);
    Model *a = open_model(h, first_file), *b = open_model(h, second_file), *m = NULL,
          *twice = NULL;
    const MergeShare shares[] = { { "img_in.", 0.25 }, { "double_blocks.0.", 1 } };
    Merge mix = { .mode = MERGE_MIX, .shares = shares, .count = 2 };
    Merge add = { .mode = MERGE_ADD }, subtract = { .mode = MERGE_SUBTRACT, .factor = 2 };
    Error err = { 0 };
    (void)state;
    assert_ok(model_merge(a, b, &mix, true, &m, &err), &err);
    check(m, a, b, "img_in.weight", 0.25f, 0.75f);
    check(m, a, b, double_name, 1, 0);
    check(m, a, b, final_name, 0.25f, 0.75f); /* the first share is for all else */
    assert_ok(model_merge(a, m, &add, true, &twice, &err), &err); /* b's own patches count */
    check(twice, a, m, final_name, 1, 1);
    model_unref(twice);
    assert_ok(model_merge(a, b, &subtract, true, &twice, &err), &err);
    check(twice, a, b, final_name, 2, -2);
    model_unref(twice);
    model_unref(m);
    model_unref(a);
    model_unref(b);
    host_free(h);
}

static void other_families_are_refused(void **state)
{
    Host *h = open_host(true, false);
    Model *a = open_model(h, first_file), *b = open_model(h, wider_file), *m = NULL;
    Merge add = { .mode = MERGE_ADD };
    Error err = { 0 };
    (void)state;
    assert_int_equal(model_merge(a, b, &add, true, &m, &err), E_SHAPE);
    model_unref(a);
    model_unref(b);
    host_free(h);
}

int group_merge(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(models_are_summed),
                                        cmocka_unit_test(other_families_are_refused) };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
