/* main.c - runner of the program suite; an argument filters tests by name. */
#include "suite.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

void fill(float *out, int64_t count, uint32_t seed)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

KWeight weight_f32(const float *data, int64_t n, int64_t k)
{
    return (KWeight){ .data = data, .dtype = K_F32, .n = n, .k = k, .row_bytes = k * 4 };
}

void run_xy(Program *p, float *x, float *y)
{
    Error err = { 0 };
    KContext ctx = { .threads = 1 };
    if (prog_plan(p, kernels_ref(), &ctx, &err) != OK) fail_msg("%s", err.message);
    void *arena = mem_aligned(64, prog_arena_bytes(p));
    ProgRun run = { .backend = kernels_ref(), .ctx = &ctx, .arena = arena };
    Status s = prog_run(p, &run, &(ProgArg){ "x", x }, 1, &(ProgArg){ "y", y }, 1, &err);
    mem_free(arena);
    if (s != OK) fail_msg("%s", err.message);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return group_build() + group_layout() + group_exec() + group_passes() +
           group_speed();
}
