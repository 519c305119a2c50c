/* test_tensor.c - tensors: shapes, sharing, concatenation, element-wise loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/tensor/ops.h"

static Tensor *counting(int ndim, const int64_t *shape)
{
    Tensor *t = NULL;
    assert_int_equal(tensor_new(K_F32, ndim, shape, &t, NULL), OK);
    for (int64_t i = 0; i < tensor_count(t); i++)
        tensor_f32(t)[i] = (float)i;
    return t;
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    Tensor *t = NULL;
    assert_int_equal(tensor_new(K_F32, 3, (int64_t[]){ 1LL << 31, 1LL << 31, 4 }, &t, NULL),
                     E_RANGE);
    assert_int_equal(tensor_new(K_F32, 1, (int64_t[]){ -1 }, &t, NULL), E_RANGE);
    assert_null(t);
}

static void slices_and_reshapes_share_memory_and_outlive_their_source(void **state)
{
    (void)state;
    Tensor *t = counting(3, (int64_t[]){ 4, 2, 3 }), *s = NULL, *r = NULL, *bad = NULL;
    Error err = { 0 };
    assert_int_equal(tensor_slice(t, 1, 2, &s, NULL), OK);
    assert_ptr_equal(s->data, tensor_f32(t) + 6);
    assert_int_equal(tensor_reshape(s, 2, (int64_t[]){ 3, 4 }, &r, NULL), OK);
    assert_int_equal(tensor_reshape(s, 2, (int64_t[]){ 3, 5 }, &bad, &err), E_SHAPE);
    assert_int_equal(tensor_slice(t, 3, 2, &bad, &err), E_RANGE);
    tensor_unref(t);
    tensor_unref(s);
    assert_true(tensor_f32(r)[0] == 6.0f && tensor_f32(r)[11] == 17.0f);
    tensor_unref(r);
}

static void concatenation_along_any_dimension(void **state)
{
    (void)state;
    Tensor *a = counting(2, (int64_t[]){ 2, 2 }), *b = counting(2, (int64_t[]){ 2, 1 }),
           *c = NULL;
    Error err = { 0 };
    const Tensor *parts[2] = { a, b };
    assert_int_equal(tensor_concat(parts, 2, 1, &c, NULL), OK);
    static const float want[6] = { 0, 1, 0, 2, 3, 1 };
    assert_memory_equal(c->data, want, sizeof want);
    tensor_unref(c);
    assert_int_equal(tensor_concat(parts, 2, 0, &c, &err), E_SHAPE);
    assert_non_null(strstr(err.message, "[2, 1] F32 does not fit beside [2, 2] F32"));
    tensor_unref(a);
    tensor_unref(b);
}

static void elementwise_loops_give_their_formulas(void **state)
{
    (void)state;
    Tensor *x = counting(1, (int64_t[]){ 5 }), *y = NULL, *m = NULL;
    assert_int_equal(tensor_clone(x, &y, NULL), OK);
    assert_int_equal(tensor_zeros(K_F32, 1, (int64_t[]){ 5 }, &m, NULL), OK);
    assert_true(tensor_is_zero(m));
    tensor_f32(m)[2] = 1;
    tensor_affine(y, x, 2, 1);
    assert_true(tensor_f32(y)[4] == 9);
    tensor_mask_mix(y, x, y, m);
    assert_true(tensor_f32(y)[2] == 2 && tensor_f32(y)[3] == 7);
    tensor_axby(y, x, 3, y, -1);
    assert_true(tensor_f32(y)[3] == 2);
    assert_true(tensor_sum(x) == 10);
    assert_true(tensor_distance(x, x) == 0);
    tensor_unref(x);
    tensor_unref(y);
    tensor_unref(m);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(slices_and_reshapes_share_memory_and_outlive_their_source),
        cmocka_unit_test(concatenation_along_any_dimension),
        cmocka_unit_test(elementwise_loops_give_their_formulas),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("tensor", tests, NULL, NULL);
}
