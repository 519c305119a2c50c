/* test_exec.c - running: numbers, no allocation, cancelling, dummy runs, events. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

static float w_values[6 * 4];

/* y = silu(x w^T) */
static Program *small(void)
{
    Program *p = NULL;
    fill(w_values, 24, 1);
    assert_int_equal(prog_new("small", &p, NULL), OK);
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ 3, 4 });
    ProgValue h = prog_linear(p, &(PLinear){ .x = x, .w = weight_f32(w_values, 6, 4) });
    prog_output(p, "y", prog_unary(p, &(PUnary){ .x = h, .act = K_ACT_SILU }));
    return p;
}

static void a_small_program_gives_its_formula(void **state)
{
    (void)state;
    float x[12], y[18];
    Program *p = small();
    fill(x, 12, 2);
    run_xy(p, x, y);
    for (int r = 0; r < 3; r++) {
        for (int n = 0; n < 6; n++) {
            double s = 0;
            for (int k = 0; k < 4; k++)
                s += (double)x[r * 4 + k] * (double)w_values[n * 4 + k];
            assert_true(fabs((double)y[r * 6 + n] - s / (1 + exp(-s))) < 1e-6);
        }
    }
    prog_free(p);
}

static void running_allocates_nothing(void **state)
{
    (void)state;
    float x[12], y[18];
    KContext ctx = { .threads = 1 };
    Program *p = small();
    fill(x, 12, 2);
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena };
    uint64_t before = mem_count();
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            prog_run(p, &run, &(ProgArg){ "x", x }, 1, &(ProgArg){ "y", y }, 1, NULL), OK);
    assert_int_equal(mem_count(), before);
    mem_free(arena);
    prog_free(p);
}

static void cancel_is_read_between_operations(void **state)
{
    (void)state;
    float x[12] = { 0 }, y[18];
    KContext ctx = { .threads = 1 };
    Events ev = { 0 };
    Program *p = small();
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena, .events = &ev };
    atomic_store(&ev.cancel, true);
    assert_int_equal(prog_run(p, &run, &(ProgArg){ "x", x }, 1, &(ProgArg){ "y", y }, 1, NULL),
                     E_CANCELLED);
    mem_free(arena);
    prog_free(p);
}

static void count_event(void *user, const Event *event)
{
    if (event->kind == EV_FIRST_MATMUL) ++*(int *)user;
}

static void the_first_product_is_told_once(void **state)
{
    (void)state;
    float x[12] = { 0 }, y[18];
    int told = 0;
    KContext ctx = { .threads = 1 };
    Events ev = { 0 };
    Program *p = small();
    assert_true(events_listen(&ev, count_event, &told));
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena, .events = &ev };
    for (int i = 0; i < 2; i++)
        prog_run(p, &run, &(ProgArg){ "x", x }, 1, &(ProgArg){ "y", y }, 1, NULL);
    assert_int_equal(told, 1);
    mem_free(arena);
    prog_free(p);
}

static void a_dummy_run_checks_names_and_touches_nothing(void **state)
{
    (void)state;
    KContext ctx = { .threads = 1 };
    Program *p = small();
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .dummy = true };
    assert_int_equal(
        prog_run(p, &run, &(ProgArg){ "x", NULL }, 1, &(ProgArg){ "y", NULL }, 1, NULL), OK);
    assert_int_equal(
        prog_run(p, &run, &(ProgArg){ "z", NULL }, 1, &(ProgArg){ "y", NULL }, 1, NULL),
        E_INTERNAL);
    prog_free(p);
}

static void parameters_are_read_on_the_first_real_run(void **state)
{
    (void)state;
    float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, y[8];
    uint16_t half[4];
    for (int i = 0; i < 4; i++)
        half[i] = k_bf16_from_f32((float)(i + 1));
    KWeight w = { .data = half, .dtype = K_BF16, .n = 1, .k = 4, .row_bytes = 8 };
    Program *p = NULL;
    assert_int_equal(prog_new("param", &p, NULL), OK);
    ProgValue in = prog_input(p, "x", K_F32, 2, (int64_t[]){ 2, 4 });
    ProgValue mul = prog_param(p, &w);
    half[0] = k_bf16_from_f32(10.0f);
    prog_output(p, "y", prog_affine(p, &(PAffine){ .x = in, .mul = mul }));
    run_xy(p, x, y);
    assert_true(y[0] == 10.0f && y[1] == 4.0f && y[7] == 32.0f);
    prog_free(p);
}

static void a_scalar_fills_a_window(void **state)
{
    (void)state;
    float x[12], y[12];
    Program *p = NULL;
    fill(x, 12, 5);
    assert_int_equal(prog_new("fill", &p, NULL), OK);
    ProgValue in = prog_input(p, "x", K_F32, 2, (int64_t[]){ 3, 4 });
    ProgValue out = prog_temp(p, K_F32, 2, (int64_t[]){ 3, 4 });
    prog_copy(p, &(PCopy){ .x = in, .y = out });
    prog_copy(p, &(PCopy){ .x = prog_scalar(p, 2.5f, 2, (int64_t[]){ 1, 4 }),
                           .y = prog_rows(p, out, 1, 1) });
    prog_output(p, "y", out);
    run_xy(p, x, y);
    for (int i = 0; i < 12; i++)
        assert_true(y[i] == (i / 4 == 1 ? 2.5f : x[i]));
    prog_free(p);
}

/* Another pointer at each run; the arena has no room for it. */
static void a_borrowed_input_is_read_in_place(void **state)
{
    (void)state;
    float x[12], a[4096], b[4096], y[12];
    KContext ctx = { .threads = 1 };
    Program *p = NULL;
    fill(x, 12, 2);
    fill(a, 4096, 3);
    fill(b, 4096, 4);
    assert_int_equal(prog_new("borrowed", &p, NULL), OK);
    ProgValue in = prog_input(p, "x", K_F32, 2, (int64_t[]){ 3, 4 });
    ProgValue kept = prog_borrowed(p, "kept", K_F32, 2, (int64_t[]){ 1024, 4 });
    ProgValue sum = prog_copy(p, &(PCopy){ .x = in });
    prog_add(p, &(PAdd){ .a = sum, .b = prog_rows(p, kept, 1000, 3) });
    prog_output(p, "y", sum);
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    assert_true(prog_arena_bytes(p) < 1024);
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena };
    for (int k = 0; k < 2; k++) {
        float *from = k ? b : a;
        ProgArg args[2] = { { "x", x }, { "kept", from } };
        assert_int_equal(prog_run(p, &run, args, 2, &(ProgArg){ "y", y }, 1, NULL), OK);
        for (int i = 0; i < 12; i++)
            assert_true(y[i] == x[i] + from[4000 + i]);
    }
    mem_free(arena);
    prog_free(p);
}

int group_exec(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_program_gives_its_formula),
        cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(cancel_is_read_between_operations),
        cmocka_unit_test(the_first_product_is_told_once),
        cmocka_unit_test(a_dummy_run_checks_names_and_touches_nothing),
        cmocka_unit_test(parameters_are_read_on_the_first_real_run),
        cmocka_unit_test(a_scalar_fills_a_window),
        cmocka_unit_test(a_borrowed_input_is_read_in_place),
    };
    return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
