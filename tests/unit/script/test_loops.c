/* test_loops.c - the loops of tensors: the same bits in every table, and a quantile whatever the values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/script/loops.h"
#include "tests/unit/script/support.h"

enum { MOST = 700 };

typedef struct Pool {
    float a[MOST], b[MOST], out[2][MOST];
} Pool;

/* Values of both signs with some zeros, and now and then what is no number. */
static void fill(Pool *p, unsigned seed)
{
    for (int i = 0; i < MOST; i++) {
        seed = seed * 1664525u + 1013904223u;
        p->a[i] = (float)((int)(seed >> 8) - (1 << 23)) * 1e-6f;
        seed = seed * 1664525u + 1013904223u;
        p->b[i] = (seed >> 28) == 0 ? -0.0f : (float)((int)(seed >> 8) - (1 << 23)) * 1e-5f;
    }
    p->a[13] = p->b[17] = NAN;
    p->a[MOST - 1] = INFINITY;
}

static void same_floats(const Pool *p, int64_t n, const char *what, int op)
{
    if (memcmp(p->out[0], p->out[1], (size_t)n * sizeof(float)) != 0)
        print_error("%s %d over %d\n", what, op, (int)n);
    assert_memory_equal(p->out[0], p->out[1], (size_t)n * sizeof(float));
}

static void compare_elements(const Loops *loops, Pool *p, int64_t row, int64_t rows)
{
    const Loops *both[] = { loops_at(0), loops };
    const int64_t steps[][4] = { { row, row, 1, 1 }, { row, 0, 1, 0 }, { 1, row, 0, 1 } };

    for (int op = 0; op < LOOP_BINARIES; op++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            for (int side = 0; side < 2; side++) {
                LoopPair pair = { p->a,        p->b,        p->out[side], rows,       row,
                                  steps[k][0], steps[k][1], steps[k][2],  steps[k][3] };
                both[side]->binary[op](&pair);
            }
            same_floats(p, row * rows, "binary", op);
        }
    for (int op = 0; op < LOOP_UNARIES; op++) {
        for (int side = 0; side < 2; side++)
            both[side]->unary[op](p->a, -1, 2, p->out[side], row * rows);
        same_floats(p, row * rows, "unary", op);
    }
    for (int side = 0; side < 2; side++)
        both[side]->lerp(p->a, p->b, 0.3f, p->out[side], row * rows);
    same_floats(p, row * rows, "lerp", 0);
}

/* Rows and columns of the same values, in this table and the plain one: four ways to the same bits. */
static void compare_reductions(const Loops *loops, const Pool *p, int64_t n, int64_t columns)
{
    float side[MOST], plain[MOST], wide[MOST];

    for (int op = 0; op < LOOP_REDUCTIONS; op++) {
        LoopColumns c = { p->a, plain, n, columns, columns };
        loops_at(0)->reduce_columns[op](&c);
        c.out = wide;
        loops->reduce_columns[op](&c);
        for (int64_t k = 0; k < columns; k++) {
            for (int64_t i = 0; i < n; i++)
                side[i] = p->a[i * columns + k];
            float one = (float)loops->reduce[op](side, n),
                  two = (float)loops_at(0)->reduce[op](side, n);
            if (isnan(one)) {
                assert_true(isnan(two) && isnan(plain[k]) && isnan(wide[k]));
                continue;
            }
            assert_memory_equal(&one, &two, sizeof one);
            assert_memory_equal(&one, &plain[k], sizeof one);
            assert_memory_equal(&one, &wide[k], sizeof one);
        }
    }
}

static void test_tables_give_the_same_bits(void **state)
{
    static const int64_t lengths[] = { 1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100 };
    Pool *p = mem_alloc(sizeof *p);

    (void)state;
    assert_non_null(p);
    assert_non_null(loops_at(0));
    assert_null(loops_at(2));
    for (int table = 0; loops_at(table); table++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            fill(p, (unsigned)i + 1);
            for (int64_t other = 1; other <= 7; other += 2) {
                compare_elements(loops_at(table), p, lengths[i], other);
                compare_reductions(loops_at(table), p, lengths[i], other);
                compare_reductions(loops_at(table), p, other, lengths[i]);
            }
        }
    mem_free(p);
}

static void test_reductions_by_hand(void **state)
{
    const float v[] = { 3, -1, 4, -1, 5, -9, 2, 6 };
    const double want[LOOP_REDUCTIONS] = {
        [LOOP_SUM] = 9,          [LOOP_MEAN] = 1.125, [LOOP_STD] = sqrt(162.875 / 7),
        [LOOP_NORM] = sqrt(173), [LOOP_AMIN] = -9,    [LOOP_AMAX] = 6,
    };

    (void)state;
    for (int table = 0; loops_at(table); table++)
        for (int op = 0; op < LOOP_REDUCTIONS; op++)
            assert_true(fabs(loops_at(table)->reduce[op](v, 8) - want[op]) < 1e-12);
}

/* ---- quantile ------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Kinds of values: spread, all the same, few different ones, rising to the middle and falling, far apart. */
static float value_of(int kind, int64_t i, int64_t n, unsigned random)
{
    switch (kind) {
    case 0:
        return (float)((int)(random >> 8) - (1 << 23)) * 1e-6f;
    case 1:
        return -2.5f;
    case 2:
        return (float)(random >> 30) - 1;
    case 3:
        return (float)(i < n / 2 ? i : n - i);
    default:
        return i % 3 == 0 ? 1e30f : i % 3 == 1 ? -1e-30f : -INFINITY;
    }
}

static void compare_quantiles(int kind, int64_t n)
{
    float *v = mem_alloc_array((size_t)n * 3, sizeof *v), *sorted = v + n, *scratch = v + 2 * n;
    unsigned random = 7;

    for (int64_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        sorted[i] = v[i] = value_of(kind, i, n, random);
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int step = 0; step <= 20; step++) {
        double q = step / 20.0, rank = q * (double)(n - 1);
        int64_t k = (int64_t)rank, next = k + 1 < n ? k + 1 : k;
        double below = (double)sorted[k], share = rank - (double)k,
               want = share == 0 ? below : below + share * ((double)sorted[next] - below);
        for (int table = 0; loops_at(table); table++) {
            double have = loops_at(table)->quantile(v, n, q, scratch);
            assert_true(have == want || (isnan(have) && isnan(want)));
        }
    }
    mem_free(v);
}

static void test_quantiles_are_those_of_a_sort(void **state)
{
    static const int64_t sizes[] = { 1, 2, 10, 511, 512, 513, 3000, 40000 };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 5; kind++)
            compare_quantiles(kind, sizes[i]);
    const float nan[] = { 1, NAN, 2 };
    float scratch[3];
    assert_true(isnan(loops_best()->quantile(nan, 3, 0.5, scratch)));
}

int run_loops_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_give_the_same_bits),
        cmocka_unit_test(test_reductions_by_hand),
        cmocka_unit_test(test_quantiles_are_those_of_a_sort),
    };
    return cmocka_run_group_tests_name("loops", tests, NULL, NULL);
}
