/* test_build.c - values, windows and shape errors while building. */
#include "suite.h"

#include <string.h>

static Program *fresh(void)
{
    Program *p = NULL;
    assert_int_equal(prog_new("test", &p, NULL), OK);
    return p;
}

static Status plan(Program *p, Error *err)
{
    KContext ctx = { .threads = 1 };
    return prog_plan(p, kernels_ref(), &ctx, err);
}

static void shape_error_names_operation_and_shapes(void **state)
{
    (void)state;
    static const float w[6 * 4];
    Error err = { 0 };
    Program *p = fresh();
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ 3, 5 });
    prog_linear(p, &(PLinear){ .x = x, .w = weight_f32(w, 6, 4) });
    assert_int_equal(plan(p, &err), E_SHAPE);
    assert_non_null(strstr(err.message, "linear(x [3, 5] F32"));
    assert_non_null(strstr(err.message, "w [6, 4] F32"));
    prog_free(p);
}

static void first_failure_is_kept_and_later_calls_are_harmless(void **state)
{
    (void)state;
    Error err = { 0 };
    Program *p = fresh();
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ 3, 4 });
    ProgValue bad = prog_rows(p, x, 2, 5);
    assert_int_equal(bad, PROG_NONE);
    ProgValue y = prog_unary(p, &(PUnary){ .x = bad, .act = K_ACT_SILU });
    prog_output(p, "y", y);
    assert_int_equal(plan(p, &err), E_SHAPE);
    assert_non_null(strstr(err.message, "items 2 to 7 of 3"));
    prog_free(p);
}

static void windows_keep_strides(void **state)
{
    (void)state;
    Program *p = fresh();
    ProgValue x = prog_temp(p, K_F32, 2, (int64_t[]){ 6, 12 });
    KView v = prog_view_of(p, prog_heads(p, prog_cols(p, prog_rows(p, x, 1, 4), 4, 8), 2, 4));
    assert_int_equal(v.ndim, 3);
    assert_int_equal(v.shape[0], 4);
    assert_int_equal(v.shape[1], 2);
    assert_int_equal(v.stride[0], 12);
    assert_int_equal(v.stride[1], 4);
    KView c = prog_view_of(p, prog_chunk(p, x, 3, 12));
    assert_int_equal(c.ndim, 1);
    assert_int_equal(c.shape[0], 12);
    assert_false(prog_failed(p));
    prog_window(p, x, 70, 1, (int64_t[]){ 3 }, (int64_t[]){ 1 });
    assert_true(prog_failed(p));
    prog_free(p);
}

static void flops_and_weights_are_counted_once(void **state)
{
    (void)state;
    static const float w[6 * 4];
    Program *p = fresh();
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ 3, 4 });
    prog_linear(p, &(PLinear){ .x = x, .w = weight_f32(w, 6, 4) });
    prog_linear(p, &(PLinear){ .x = x, .w = weight_f32(w, 6, 4) });
    assert_int_equal(plan(p, NULL), OK);
    assert_true(prog_flops(p) == 2 * 2.0 * 3 * 6 * 4);
    assert_int_equal(prog_weight_bytes(p), sizeof w);
    Str text = { 0 };
    prog_print(p, &text);
    assert_non_null(strstr(text.text, "linear(x [3, 4] F32"));
    str_fini(&text);
    prog_free(p);
}

static void rows_of_a_weight(void **state)
{
    (void)state;
    static const float w[6 * 4];
    KWeight whole = weight_f32(w, 6, 4);
    bool ok = true;
    KWeight part = prog_weight_rows(&whole, 2, 3, &ok);
    assert_true(ok);
    assert_ptr_equal(part.data, w + 8);
    assert_int_equal(part.n, 3);
    prog_weight_rows(&whole, 4, 3, &ok);
    assert_false(ok);
}

int group_build(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_error_names_operation_and_shapes),
        cmocka_unit_test(first_failure_is_kept_and_later_calls_are_harmless),
        cmocka_unit_test(windows_keep_strides),
        cmocka_unit_test(flops_and_weights_are_counted_once),
        cmocka_unit_test(rows_of_a_weight),
    };
    return cmocka_run_group_tests_name("build", tests, NULL, NULL);
}
