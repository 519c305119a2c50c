/* test_cost.c - what a published model costs is known from its sizes alone. */
#include "suite.h"

#include <string.h>

#include "engine/models/published.h"

static void klein_4b_costs_what_its_sizes_say(void **state)
{
    (void)state;
    Model *m = NULL;
    const char *what = NULL;
    Error err = { 0 };
    Host *h = open_host(false, true);
    if (model_open_published(h, "flux-2-klein-4b.safetensors", NULL, &m, &what, &err) != OK)
        fail_msg("%s", err.message);
    assert_string_equal(what, "FLUX.2 klein 4B");
    for (int side = 32; side <= 64; side *= 2) {
        ModelCost cost;
        float x = 0;
        ForwardCall f = {
            .x = &x, .size = { side, side }, .context = &x, .tokens = 512, .out = &x
        };
        if (model_cost(m, &f, &cost, &err) != OK) fail_msg("%s", err.message);
        print_message(
            "klein 4B at %d: %d operations, arena %zu bytes, weights %zu bytes, %.4g FLOP\n",
            side * 16, cost.operations, cost.arena_bytes, cost.weight_bytes, cost.flops);
        /* 13 D^2 weights per block and token, attention over all tokens, txt_in */
        double tokens = 512 + (double)side * side, d = 3072;
        double expected =
            25 * (2 * 13 * d * d * tokens + 4 * tokens * tokens * d) + 2 * 512 * 7680 * d;
        assert_true(cost.flops > expected && cost.flops < 1.002 * expected);
        assert_true(cost.weight_bytes > 7.7e9 && cost.weight_bytes < 7.8e9);
        if (model_forward(m, &f, &err) != OK) fail_msg("%s", err.message);
        assert_int_equal(host_use(h).arena_peak, cost.arena_bytes);
    }
    model_unref(m);
    host_free(h);
}

static void names_tell_the_published_model(void **state)
{
    (void)state;
    Host *h = open_host(false, true);
    Error err = { 0 };
    Model *m = NULL;
    const char *what = NULL;
    assert_int_equal(
        model_open_published(h, "FLUX.2-klein-base-9B-fp8.safetensors", NULL, &m, &what, &err), OK);
    assert_string_equal(what, "FLUX.2 klein 9B");
    assert_int_equal(model_dims(m)->heads, 32);
    model_unref(m);
    assert_int_equal(model_open_published(h, "flux2_dev_fp8mixed.safetensors", NULL, &m, &what, &err),
                     OK);
    assert_true(model_dims(m)->guidance);
    assert_int_equal(model_dims(m)->single_blocks, 48);
    model_unref(m);
    assert_int_equal(model_open_published(h, "flux1-schnell.safetensors", NULL, &m, &what, &err), OK);
    assert_string_equal(what, "FLUX.1 schnell");
    assert_false(model_dims(m)->guidance);
    model_unref(m);
    assert_int_equal(model_open_published(h, "flux1-fill-dev.safetensors", NULL, &m, &what, &err),
                     OK);
    assert_string_equal(what, "FLUX.1 Fill dev");
    assert_int_equal(model_dims(m)->in_channels, 96);
    model_unref(m);
    host_free(h);
}

static void flux1_dev_has_its_published_weights(void **state)
{
    (void)state;
    Model *m = NULL;
    const char *what = NULL;
    Error err = { 0 };
    ModelCost cost;
    float x = 0;
    Host *h = open_host(false, true);
    if (model_open_published(h, "flux1-dev.safetensors", NULL, &m, &what, &err) != OK)
        fail_msg("%s", err.message);
    ForwardCall f = {
        .x = &x, .size = { 64, 64 }, .context = &x, .tokens = 256, .guided = true, .out = &x
    };
    if (model_cost(m, &f, &cost, &err) != OK) fail_msg("%s", err.message);
    print_message("FLUX.1 dev at 512: arena %zu bytes, weights %zu bytes, %.4g FLOP\n",
                  cost.arena_bytes, cost.weight_bytes, cost.flops);
    /* 11.90e9 parameters in bf16 */
    assert_true(cost.weight_bytes > 23.7e9 && cost.weight_bytes < 23.9e9);
    model_unref(m);
    host_free(h);
}

int group_cost(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(klein_4b_costs_what_its_sizes_say),
        cmocka_unit_test(names_tell_the_published_model),
        cmocka_unit_test(flux1_dev_has_its_published_weights),
    };
    return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
