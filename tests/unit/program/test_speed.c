/* test_speed.c - expected seconds: curves from a file, interpolation, measuring what is missing. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/program/speed.h"

static char path[64];

/* A file of this machine line with one curve: rates of rows 1, 16, 128, 1024, each for three sizes. */
static void write_curve(const char *machine, const char *rates)
{
    snprintf(path, sizeof path, "/tmp/weft-speed-%d.txt", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s\nlinear/F32/F32 %s\n", machine, rates);
    fclose(f);
}

static Speed *open_speed(const char *machine, bool fresh)
{
    SpeedOptions o = {
        .backend = kernels_ref(), .threads = 1, .machine = machine, .path = path, .fresh = fresh
    };
    Speed *s = NULL;
    assert_int_equal(speed_open(&o, &s, NULL), OK);
    return s;
}

/* Seconds of x [rows, side] times [side, side]. */
static double seconds_of(Speed *s, int64_t rows, int64_t side)
{
    KContext ctx = { .threads = 1 };
    double seconds = -1;
    Program *p = NULL;
    KWeight w = weight_f32(NULL, side, side);

    assert_int_equal(prog_new("one", &p, NULL), OK);
    prog_linear(p,
                &(PLinear){ .x = prog_temp(p, K_F32, 2, (int64_t[]){ rows, side }), .w = w });
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    assert_int_equal(speed_program(s, p, &seconds, NULL), OK);
    prog_free(p);
    return seconds;
}

static void near(double a, double b)
{
    if (fabs(a - b) > 1e-5 * fabs(b)) fail_msg("%g is not %g", a, b);
}

static void rates_are_work_over_seconds(void **state)
{
    (void)state;
    write_curve("here", "1e9 1e9 1e9 2e9 2e9 2e9 4e9 4e9 4e9 8e9 8e9 8e9");
    Speed *s = open_speed("here", false);
    near(seconds_of(s, 1, 64), 2.0 * 64 * 64 / 1e9);
    near(seconds_of(s, 16, 512), 2.0 * 16 * 512 * 512 / 2e9);
    near(seconds_of(s, 4096, 512), 2.0 * 4096 * 512 * 512 / 8e9); /* past the last point */
    near(seconds_of(s, 4, 64), 2.0 * 4 * 64 * 64 / (1e9 * sqrt(2.0)));
    assert_true(speed_spent(s) == 0);
    speed_free(s);
    remove(path);
}

static void sizes_are_interpolated(void **state)
{
    (void)state;
    write_curve("here", "1e9 4e9 9e9 1e9 4e9 9e9 1e9 4e9 9e9 1e9 4e9 9e9");
    Speed *s = open_speed("here", false);
    /* A quarter of the way from 64 x 64 to 512 x 512 on a logarithmic scale. */
    int64_t side = 108;
    double share = log((double)(side * side) / 4096) / log(64.0);
    near(seconds_of(s, 16, side), 2.0 * 16 * (double)(side * side) / (1e9 * pow(4, share)));
    speed_free(s);
    remove(path);
}

static void what_is_missing_is_measured_and_kept(void **state)
{
    (void)state;
    write_curve("elsewhere", "1 1 1 1 1 1 1 1 1 1 1 1");
    Speed *s = open_speed("here", false);
    KContext ctx = { .threads = 1 };
    Program *p = NULL;
    double first = 0, again = 0;
    assert_int_equal(prog_new("one", &p, NULL), OK);
    prog_copy(p, &(PCopy){ .x = prog_temp(p, K_F32, 2, (int64_t[]){ 64, 64 }) });
    assert_int_equal(prog_plan(p, kernels_ref(), &ctx, NULL), OK);
    assert_int_equal(speed_program(s, p, &first, NULL), OK);
    assert_true(first > 0 && first < 1 && speed_spent(s) > 0);
    assert_int_equal(speed_save(s, NULL), OK);
    speed_free(s);
    s = open_speed("here", false);
    assert_int_equal(speed_program(s, p, &again, NULL), OK);
    if (!speed_is_rough(s)) near(again, first);
    speed_free(s);
    prog_free(p);
    remove(path);
}

static void a_broken_file_counts_as_empty(void **state)
{
    (void)state;
    static const char *const broken[] = { "1 2 3", "x",
                                          "1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 -1",
                                          "1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 1e9 nan" };
    for (size_t i = 0; i < 4; i++) {
        write_curve("here", broken[i]);
        speed_free(open_speed("here", false));
        remove(path);
    }
}

int group_speed(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_work_over_seconds),
        cmocka_unit_test(sizes_are_interpolated),
        cmocka_unit_test(what_is_missing_is_measured_and_kept),
        cmocka_unit_test(a_broken_file_counts_as_empty),
    };
    return cmocka_run_group_tests_name("speed", tests, NULL, NULL);
}
