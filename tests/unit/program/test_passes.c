/* test_passes.c - every fusion pass removes what it should and keeps the numbers. */
#include "suite.h"

#include <math.h>

enum { ROWS = 5, WIDTH = 32, HIDDEN = 48 };

static float w_in[2 * HIDDEN * WIDTH], w_out[WIDTH * HIDDEN], modulation[3 * WIDTH];

/* x + gate * lin(silu(z0) * z1), z = lin(norm(x)): one MLP of a transformer block. */
static Program *mlp(KDtype act)
{
    Program *p = NULL;
    fill(w_in, 2 * HIDDEN * WIDTH, 1);
    fill(w_out, WIDTH * HIDDEN, 2);
    fill(modulation, 3 * WIDTH, 3);
    assert_int_equal(prog_new("mlp", &p, NULL), OK);
    ProgValue in = prog_input(p, "x", K_F32, 2, (int64_t[]){ ROWS, WIDTH });
    ProgValue x = prog_copy(p, &(PCopy){ .x = in });
    ProgValue mod = prog_vector(p, modulation, 3 * WIDTH);
    ProgValue u = prog_norm_mod(p, &(PNormMod){ .x = x,
                                                .shift = prog_chunk(p, mod, 0, WIDTH),
                                                .scale = prog_chunk(p, mod, 1, WIDTH),
                                                .eps = 1e-6f,
                                                .out = act });
    ProgValue z = prog_linear(
        p, &(PLinear){ .x = u, .w = weight_f32(w_in, 2 * HIDDEN, WIDTH), .out = act });
    ProgValue g = prog_glu(p, &(PGlu){ .gate = prog_cols(p, z, 0, HIDDEN),
                                       .value = prog_cols(p, z, HIDDEN, HIDDEN),
                                       .act = K_ACT_SILU,
                                       .out = act });
    ProgValue o = prog_linear(p, &(PLinear){ .x = g, .w = weight_f32(w_out, WIDTH, HIDDEN) });
    prog_add(p, &(PAdd){ .a = x, .gate = prog_chunk(p, mod, 2, WIDTH), .b = o });
    prog_output(p, "y", x);
    return p;
}

/* Runs plain and fused; returns the largest difference over the largest value. */
static double difference(KDtype act, unsigned passes, int *removed)
{
    float x[ROWS * WIDTH], a[ROWS * WIDTH], b[ROWS * WIDTH];
    double most = 0, size = 0;
    Program *plain = mlp(act), *fused = mlp(act);

    fill(x, ROWS * WIDTH, 4);
    run_xy(plain, x, a);
    assert_int_equal(prog_compile(fused, passes, NULL), OK);
    *removed = prog_op_count(plain) - prog_op_count(fused);
    run_xy(fused, x, b);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    prog_free(plain);
    prog_free(fused);
    return most / size;
}

static void check(unsigned pass, int expected, double f32, double bf16)
{
    int removed = 0;
    double d = difference(K_F32, pass, &removed);
    assert_int_equal(removed, expected);
    if (d > f32) fail_msg("F32 differs by %g", d);
    d = difference(K_BF16, pass, &removed);
    assert_int_equal(removed, expected);
    if (d > bf16) fail_msg("BF16 differs by %g", d);
}

static void norm_linear_keeps_the_numbers(void **state)
{
    (void)state;
    check(PASS_NORM_LINEAR, 1, 1e-6, 0);
}

static void glu_linear_keeps_the_numbers(void **state)
{
    (void)state;
    check(PASS_GLU_LINEAR, 1, 0, 4e-3);
}

static void gate_residual_keeps_the_bits(void **state)
{
    (void)state;
    check(PASS_GATE_RESIDUAL, 1, 0, 0);
}

static void all_passes_together(void **state)
{
    (void)state;
    check(PASS_ALL, 3, 1e-6, 4e-3);
}

static void a_result_that_others_read_is_left_alone(void **state)
{
    (void)state;
    Program *p = NULL;
    fill(w_in, 2 * HIDDEN * WIDTH, 1);
    assert_int_equal(prog_new("shared", &p, NULL), OK);
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ ROWS, WIDTH });
    ProgValue mod = prog_vector(p, w_in, 2 * WIDTH);
    ProgValue u = prog_norm_mod(p, &(PNormMod){ .x = x,
                                                .shift = prog_chunk(p, mod, 0, WIDTH),
                                                .scale = prog_chunk(p, mod, 1, WIDTH),
                                                .eps = 1e-6f });
    ProgValue b = prog_linear(p, &(PLinear){ .x = u, .w = weight_f32(w_in, WIDTH, WIDTH) });
    ProgValue y = prog_add(
        p, &(PAdd){ .a = u, .b = b, .y = prog_temp(p, K_F32, 2, (int64_t[]){ ROWS, WIDTH }) });
    prog_output(p, "y", y);
    prog_output(p, "b", b);
    assert_int_equal(prog_compile(p, PASS_ALL, NULL), OK);
    assert_int_equal(prog_op_count(p), 3);
    prog_free(p);
}

int group_passes(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_linear_keeps_the_numbers),
        cmocka_unit_test(glu_linear_keeps_the_numbers),
        cmocka_unit_test(gate_residual_keeps_the_bits),
        cmocka_unit_test(all_passes_together),
        cmocka_unit_test(a_result_that_others_read_is_left_alone),
    };
    return cmocka_run_group_tests_name("passes", tests, NULL, NULL);
}
