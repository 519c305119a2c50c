/* test_layout.c - what is alive together never shares memory, and what is not does. */
#include "suite.h"

#include "engine/program/internal.h"

/* A chain of unary operations, each on a result of its own. */
static Program *chain(int length, int64_t rows)
{
    Program *p = NULL;
    assert_int_equal(prog_new("chain", &p, NULL), OK);
    ProgValue v = prog_input(p, "x", K_F32, 2, (int64_t[]){ rows, 16 });
    for (int i = 0; i < length; i++)
        v = prog_unary(p, &(PUnary){ .x = v, .act = K_ACT_SILU });
    prog_output(p, "y", v);
    return p;
}

static void plan(Program *p)
{
    KContext ctx = { .threads = 1 };
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
}

static void assert_no_overlap(const Program *p)
{
    for (int a = 1; a < p->n_vals; a++) {
        for (int b = a + 1; b < p->n_vals; b++) {
            const Val *x = &p->vals[a], *y = &p->vals[b];
            if (x->root != a || y->root != b || x->view.data || y->view.data) continue;
            if (x->first > y->last || y->first > x->last) continue;
            bool apart = x->arena_offset + x->bytes <= y->arena_offset ||
                         y->arena_offset + y->bytes <= x->arena_offset;
            assert_true(apart);
        }
        assert_int_equal(p->vals[a].arena_offset % 64, 0);
    }
}

static void a_chain_needs_two_buffers(void **state)
{
    (void)state;
    Program *p = chain(20, 64);
    plan(p);
    assert_no_overlap(p);
    assert_int_equal(prog_arena_bytes(p), 2 * 64 * 16 * 4);
    prog_free(p);
}

static void random_programs_never_overlap(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 20; round++) {
        Program *p = NULL;
        ProgValue v[40];
        assert_int_equal(prog_new("random", &p, NULL), OK);
        v[0] = prog_input(p, "x", K_F32, 2, (int64_t[]){ 8, 16 });
        for (int i = 1; i < 40; i++) {
            seed = seed * 1664525u + 1013904223u;
            ProgValue a = v[(seed >> 8) % (unsigned)i], b = v[(seed >> 16) % (unsigned)i];
            if (seed >> 31)
                v[i] = prog_add(
                    p, &(PAdd){
                           .a = a, .b = b, .y = prog_temp(p, K_F32, 2, (int64_t[]){ 8, 16 }) });
            else
                v[i] =
                    prog_unary(p, &(PUnary){ .x = prog_rows(p, a, 0, 8), .act = K_ACT_RELU });
        }
        prog_output(p, "y", v[39]);
        plan(p);
        assert_no_overlap(p);
        prog_free(p);
    }
}

static void a_window_keeps_its_root_alive(void **state)
{
    (void)state;
    Program *p = NULL;
    assert_int_equal(prog_new("window", &p, NULL), OK);
    ProgValue x = prog_input(p, "x", K_F32, 2, (int64_t[]){ 4, 16 });
    ProgValue z = prog_unary(p, &(PUnary){ .x = x, .act = K_ACT_SILU });
    ProgValue part = prog_rows(p, z, 2, 1);
    ProgValue a = prog_unary(p, &(PUnary){ .x = x, .act = K_ACT_RELU });
    ProgValue b = prog_unary(p, &(PUnary){ .x = a, .act = K_ACT_RELU });
    prog_unary(p, &(PUnary){ .x = b, .act = K_ACT_RELU, .y = a });
    prog_output(p, "y", prog_copy(p, &(PCopy){ .x = part }));
    plan(p);
    assert_no_overlap(p);
    prog_free(p);
}

int group_layout(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_needs_two_buffers),
        cmocka_unit_test(random_programs_never_overlap),
        cmocka_unit_test(a_window_keeps_its_root_alive),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
