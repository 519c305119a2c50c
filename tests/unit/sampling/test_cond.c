/* test_cond.c - conditionings and latents: copies share, edits do not reach the original. */
#include "tests/unit/sampling/vectors.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/cond.h"
#include "engine/sampling/latent.h"
#include "engine/tensor/ops.h"

static Tensor *filled(int64_t tokens, int64_t width, float value)
{
    int64_t shape[3] = { 1, tokens, width };
    Tensor *t;
    Error err = { 0 };

    ok(tensor_new(K_F32, 3, shape, &t, &err), &err);
    tensor_fill(t, value);
    return t;
}

static Tensor *row(int64_t width, float value)
{
    int64_t shape[2] = { 1, width };
    Tensor *t;
    Error err = { 0 };

    ok(tensor_new(K_F32, 2, shape, &t, &err), &err);
    tensor_fill(t, value);
    return t;
}

static Cond *prompt(int64_t tokens, float value, bool pooled)
{
    Cond *c;
    Error err = { 0 };

    ok(cond_new(filled(tokens, 4, value), pooled ? row(3, value) : NULL, &c, &err), &err);
    return c;
}

static void edits_stay_on_the_copy(void **state)
{
    Cond *a = prompt(2, 1, true), *b;
    Tensor *reference = filled(1, 1, 5);
    Error err = { 0 };

    (void)state;
    ok(cond_copy(a, &b, &err), &err);
    cond_set_guidance(b, 4);
    cond_set_range(b, 0.2, 0.8);
    cond_set_method(b, ref_method_from_name("uxo/uno"));
    ok(cond_append_reference(b, reference, &err), &err);
    ok(cond_append_reference(b, reference, &err), &err);
    assert_int_equal(a->entries[0].guidance_use, GUIDANCE_MODEL);
    assert_false(a->entries[0].has_range);
    assert_int_equal(a->entries[0].reference_count, 0);
    assert_int_equal(b->entries[0].reference_count, 2);
    assert_int_equal(b->entries[0].method, REF_UXO);
    assert_int_equal(ref_method_from_name("index_timestep_zero"), REF_OFFSET);
    assert_ptr_equal(a->entries[0].embed, b->entries[0].embed);
    cond_unref(a);
    cond_unref(b);
    assert_int_equal(reference->ref.count, 1);
    tensor_unref(reference);
}

static void average_cuts_and_pads(void **state)
{
    Cond *to = prompt(3, 2, true), *shorter = prompt(1, 10, true),
         *longer = prompt(9, 10, false), *out;
    Error err = { 0 };

    (void)state;
    ok(cond_average(to, shorter, 0.75, &out, &err), &err);
    const float *v = tensor_f32(out->entries[0].embed);
    assert_true(v[0] == 2 * 0.75f + 10 * 0.25f && v[4] == 2 * 0.75f);
    assert_true(tensor_f32(out->entries[0].pooled)[0] == 4);
    cond_unref(out);
    ok(cond_average(to, longer, 0.75, &out, &err), &err);
    assert_int_equal(out->entries[0].embed->shape[1], 3);
    assert_true(tensor_f32(out->entries[0].pooled)[0] == 2);
    cond_unref(out);
    cond_unref(to);
    cond_unref(shorter);
    cond_unref(longer);
}

static void concat_combine_and_zero(void **state)
{
    Cond *a = prompt(2, 1, true), *b = prompt(3, 7, true), *out;
    Error err = { 0 };

    (void)state;
    ok(cond_concat(a, b, &out, &err), &err);
    assert_int_equal(out->entries[0].embed->shape[1], 5);
    assert_true(tensor_f32(out->entries[0].embed)[4 * 2] == 7);
    cond_unref(out);
    ok(cond_combine(a, b, &out, &err), &err);
    assert_int_equal(out->count, 2);
    cond_unref(out);
    cond_set_guidance(b, 2);
    ok(cond_zero_out(b, &out, &err), &err);
    assert_true(tensor_is_zero(out->entries[0].embed) &&
                tensor_is_zero(out->entries[0].pooled));
    assert_true(out->entries[0].guidance == 2 && tensor_f32(b->entries[0].embed)[0] == 7);
    cond_unref(out);
    cond_unref(a);
    cond_unref(b);
}

static void averaging_other_widths_is_an_error(void **state)
{
    Cond *a = prompt(2, 1, false), *b, *out = NULL;
    Error err = { 0 };

    (void)state;
    ok(cond_new(filled(2, 8, 1), NULL, &b, &err), &err);
    assert_int_equal(cond_average(a, b, 0.5, &out, &err), E_SHAPE);
    assert_null(out);
    cond_unref(a);
    cond_unref(b);
}

/* Copies whatever allocation fails, without a leak (seen under the address sanitizer). */
static void copies_survive_failing_allocations(void **state)
{
    Cond *a = prompt(2, 1, true), *out = NULL;
    Tensor *reference = filled(1, 1, 5);
    Error err = { 0 };
    Status s = E_NOMEM;

    (void)state;
    ok(cond_append_reference(a, reference, &err), &err);
    for (uint64_t n = 1; s != OK && n < 100; n++) {
        mem_fail_at(n);
        s = cond_combine(a, a, &out, &err);
        mem_fail_at(0);
        assert_true(s == OK || s == E_NOMEM);
    }
    assert_int_equal(s, OK);
    cond_unref(out);
    cond_unref(a);
    tensor_unref(reference);
}

static void empty_latents_fit_the_model(void **state)
{
    const LatentFormat flux2 = { 128, 16, 1, 0 }, flux1 = { 16, 8, 0.3611f, 0.1159f };
    Latent *l;
    Tensor *t;
    Error err = { 0 };

    (void)state;
    ok(latent_new_empty(2, 16, 1024, 768, 8, &l, &err), &err);
    ok(latent_fix(l, &flux2, &t, &err), &err);
    assert_int_equal(t->shape[1], 128);
    assert_int_equal(t->shape[2], 64);
    assert_int_equal(t->shape[3], 48);
    tensor_unref(t);
    ok(latent_fix(l, &flux1, &t, &err), &err);
    assert_ptr_equal(t, l->samples);
    tensor_unref(t);
    tensor_f32(l->samples)[5] = 1;
    assert_int_equal(latent_fix(l, &flux2, &t, &err), E_SHAPE);
    latent_unref(l);
}

static void masks_repeat_over_channels_and_batch(void **state)
{
    int64_t small[3] = { 1, 2, 2 }, shape[4] = { 2, 3, 4, 4 };
    Tensor *mask, *like, *out;
    Error err = { 0 };

    (void)state;
    ok(tensor_new(K_F32, 3, small, &mask, &err), &err);
    memcpy(mask->data, (float[]){ 0, 1, 0, 1 }, 16);
    ok(tensor_zeros(K_F32, 4, shape, &like, &err), &err);
    ok(latent_prepare_mask(mask, like, &out, &err), &err);
    for (int i = 0; i < 6 * 4; i++)
        assert_memory_equal(tensor_f32(out) + 4 * i, ((float[]){ 0, 0.25f, 0.75f, 1 }), 16);
    tensor_unref(mask);
    tensor_unref(like);
    tensor_unref(out);
}

int run_cond_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_stay_on_the_copy),
        cmocka_unit_test(average_cuts_and_pads),
        cmocka_unit_test(concat_combine_and_zero),
        cmocka_unit_test(averaging_other_widths_is_an_error),
        cmocka_unit_test(copies_survive_failing_allocations),
        cmocka_unit_test(empty_latents_fit_the_model),
        cmocka_unit_test(masks_repeat_over_channels_and_batch),
    };
    return cmocka_run_group_tests_name("cond", tests, NULL, NULL);
}
