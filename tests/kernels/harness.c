/*
 * harness.c - runs every operation of every CPU backend against the reference.
 *
 * A case is a descriptor whose operands lie in one block of memory. The reference runs first and its
 * block is kept; then each backend runs on the same block with 1, 2 and 3 threads. Checked: outputs
 * within the tolerance of the case, every other byte as it was, the same bits for any number of threads.
 * Error cases spoil one operand at a time: the same code as the reference, and no byte changed.
 *
 *   OMP_WAIT_POLICY=passive test_kernels [pattern]
 *
 * runs the operations whose name matches (cmocka pattern with *). Three threads on two cores would spin
 * ten times longer than they work, hence the policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/ops.h"
#include "tests/kernels/vectors.h"

enum {
    MEMORY_BYTES = 32 << 20,
    SCRATCH_BYTES = 64 << 20,
    MAX_THREADS = 3,
    ERRORS_FROM_CASES = 4
};

typedef struct Harness {
    Scene scene;
    uint8_t *before, *expected, *first, *writable; /* as large as the scene's memory */
    void *scratch;
    const KBackend *backends[K_ISA_COUNT];
    int backend_count;
} Harness;

static Harness harness; /* of the test program alone */

/* ---- calling by name --------------------------------------------------------------------------- */

typedef struct Op {
    const char *name;
    const OpTest *test;
    KResult (*run)(const KBackend *b, KContext *ctx, const AnyOp *d);
} Op;

#define DEFINE_RUN(op, Desc)                                                                   \
    static KResult run_##op(const KBackend *b, KContext *ctx, const AnyOp *d)                  \
    {                                                                                          \
        if (b->op##_scratch) ctx->scratch_size = b->op##_scratch(ctx, &d->op);                 \
        if (ctx->scratch_size > SCRATCH_BYTES) return K_NO_SCRATCH;                            \
        return b->op ? b->op(ctx, &d->op) : K_UNSUPPORTED;                                     \
    }
K_OP_MAP(DEFINE_RUN)
#undef DEFINE_RUN

static const Op ops[] = {
#define OP_ROW(op, Desc) { #op, &op##_test, run_##op },
    K_OP_MAP(OP_ROW)
#undef OP_ROW
};

static KResult run(const Op *op, const KBackend *b, int threads)
{
    KContext ctx = { .threads = threads, .scratch = harness.scratch };
    return op->run(b, &ctx, &harness.scene.d);
}

/* Differences below it never count: where one side underflows. */
#define ABSOLUTE_FLOOR 1e-30f

/* ---- comparing ----------------------------------------------------------------------------------- */

static void mark_outputs(const Scene *s)
{
    memset(harness.writable, 0, s->used);
    for (int o = 0; o < s->outputs; o++) {
        const KView *v = s->out[o].view;
        size_t at = (size_t)((uint8_t *)v->data - s->memory);
        for (int64_t i = 0, n = k_view_count(v); i < n; i++)
            memset(harness.writable + at + view_offset(v, i), 1, k_dtype_block_bytes(v->dtype));
    }
}

static float row_rms(const KView *v, int64_t first, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        double x = (double)view_value(v, first + i, harness.scene.memory, harness.expected);
        if (isfinite(x)) sum += x * x;
    }
    return (float)sqrt(sum / (double)n);
}

/* One unit in the last place of a BF16 near v. */
static float bf16_ulp(float v)
{
    return ldexpf(1.0f, ilogbf(fmaxf(fabsf(v), 0x1p-126f)) - 7);
}

static bool close_enough(float got, float want, float allowed)
{
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(got) != 0 : got == want;
    return fabsf(got - want) <= allowed;
}

/* One row of output o: elements [first, first+n). */
static void compare_row(const Scene *s, int o, int64_t first, int64_t n, const KBackend *b)
{
    const KView *v = s->out[o].view;
    float rms = row_rms(v, first, n);

    for (int64_t i = first; i < first + n; i++) {
        float want = view_value(v, i, s->memory, harness.expected);
        float got = view_value(v, i, s->memory, s->memory);
        float allowed = s->out[o].tolerance * fmaxf(fabsf(want), rms) + ABSOLUTE_FLOOR;
        if (v->dtype == K_BF16) allowed += bf16_ulp(want);
        if (!close_enough(got, want, allowed))
            fail_msg("%s: %s: element %lld is %.9g, not %.9g (allowed %.3g)", s->name, b->name,
                     (long long)i, (double)got, (double)want, (double)allowed);
    }
}

static void compare_output(const Scene *s, int o, const KBackend *b)
{
    const KView *v = s->out[o].view;
    int64_t columns = v->ndim ? v->shape[v->ndim - 1] : 1;

    for (int64_t i = 0, n = k_view_count(v); i < n; i += columns)
        compare_row(s, o, i, columns, b);
}

static void check_untouched(const Scene *s, const char *backend, int threads)
{
    for (size_t i = 0; i < s->used; i++)
        if (!harness.writable[i] && s->memory[i] != harness.before[i])
            fail_msg("%s: %s, %d threads: byte %zu outside the output changed", s->name,
                     backend, threads, i);
}

static void check_backend(const Op *op, const KBackend *b)
{
    Scene *s = &harness.scene;

    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        memcpy(s->memory, harness.before, s->used);
        KResult r = run(op, b, threads);
        if (r != K_OK) fail_msg("%s: %s: %s", s->name, b->name, k_result_message(r));
        check_untouched(s, b->name, threads);
        for (int o = 0; o < s->outputs && threads == 1; o++)
            compare_output(s, o, b);
        if (threads == 1)
            memcpy(harness.first, s->memory, s->used);
        else if (memcmp(harness.first, s->memory, s->used) != 0)
            fail_msg("%s: %s: other bits with %d threads", s->name, b->name, threads);
    }
}

static void check_case(const Op *op, int index)
{
    Scene *s = &harness.scene;

    scene_start(s, (uint64_t)index + 1);
    op->test->build(s, index);
    memcpy(harness.before, s->memory, s->used);
    mark_outputs(s);
    KResult r = run(op, kernels_ref(), 1);
    if (r != K_OK) fail_msg("%s: ref: %s", s->name, k_result_message(r));
    check_untouched(s, "ref", 1);
    memcpy(harness.expected, s->memory, s->used);
    for (int b = 0; b < harness.backend_count; b++)
        check_backend(op, harness.backends[b]);
}

/* ---- errors ------------------------------------------------------------------------------------------ */

typedef enum Spoil {
    SPOIL_ABSENT,
    SPOIL_NDIM,
    SPOIL_EXTENT,
    SPOIL_STRIDE,
    SPOIL_DTYPE,
    SPOILS
} Spoil;

/* Spoils one view; false when this kind does not apply. */
static bool spoil(KView *v, Spoil kind, const OpTest *test, bool optional)
{
    int last = v->ndim - 1;

    if (!v->data) return false;
    switch (kind) {
    case SPOIL_ABSENT:
        v->data = NULL;
        return !optional;
    case SPOIL_NDIM:
        v->ndim++;
        return true;
    case SPOIL_EXTENT:
        v->shape[last]++;
        return true;
    case SPOIL_STRIDE:
        v->stride[last] = 2;
        return !test->strides_free && v->shape[last] > 1;
    case SPOIL_DTYPE:
        v->dtype = K_Q4_0;
        return true;
    default:
        return false;
    }
}

static void expect_error(const Op *op, const KBackend *b, KResult want, Spoil kind, size_t at)
{
    const Scene *s = &harness.scene;
    KResult r = run(op, b, 2);

    if (r == K_OK || r != want)
        fail_msg("%s: %s, operand at %zu spoilt (%d): %s", s->name, b->name, at, (int)kind,
                 k_result_message(r));
    if (memcmp(s->memory, harness.before, s->used) != 0)
        fail_msg("%s: %s wrote although it failed", s->name, b->name);
}

static void check_spoilt(const Op *op, int index, const Operand *operand, Spoil kind)
{
    Scene *s = &harness.scene;
    KResult want = kind == SPOIL_DTYPE ? K_BAD_DTYPE : K_BAD_SHAPE;

    scene_start(s, (uint64_t)index + 1);
    op->test->build(s, index);
    memcpy(harness.before, s->memory, s->used);
    KView *v = (KView *)(void *)((uint8_t *)&s->d + operand->at);
    if (!spoil(v, kind, op->test, operand->optional)) return;
    expect_error(op, kernels_ref(), want, kind, operand->at);
    for (int b = 0; b < harness.backend_count; b++)
        expect_error(op, harness.backends[b], want, kind, operand->at);
}

static void check_errors(const Op *op, int index)
{
    for (const Operand *o = op->test->operands; o->at != SIZE_MAX; o++)
        for (int kind = 0; kind < SPOILS; kind++)
            check_spoilt(op, index, o, (Spoil)kind);
}

/* ---- running ------------------------------------------------------------------------------------------ */

static void test_op(void **state)
{
    const Op *op = *state;

    for (int i = 0; i < op->test->count; i++)
        check_case(op, i);
    for (int i = 0; i < ERRORS_FROM_CASES && i < op->test->count; i++)
        check_errors(op, i * (op->test->count - 1) / (ERRORS_FROM_CASES - 1));
}

static void find_backends(void)
{
    printf("backends:");
    for (int isa = 0; isa < K_ISA_COUNT; isa++) {
        const KBackend *b = kernels_cpu((KIsa)isa);
        if (b) harness.backends[harness.backend_count++] = b;
        printf(" %s%s", k_isa_name((KIsa)isa), b ? "" : " (not on this processor)");
    }
    printf("\n");
    fflush(stdout);
}

static bool allocate(void)
{
    harness.scene.memory = aligned_alloc(64, MEMORY_BYTES);
    harness.scene.size = MEMORY_BYTES;
    harness.before = malloc(MEMORY_BYTES);
    harness.expected = malloc(MEMORY_BYTES);
    harness.first = malloc(MEMORY_BYTES);
    harness.writable = malloc(MEMORY_BYTES);
    harness.scratch = aligned_alloc(64, SCRATCH_BYTES);
    return harness.scene.memory && harness.before && harness.expected && harness.first &&
           harness.writable && harness.scratch;
}

static void release(void)
{
    free(harness.scene.memory);
    free(harness.before);
    free(harness.expected);
    free(harness.first);
    free(harness.writable);
    free(harness.scratch);
}

enum { OP_COUNT = sizeof ops / sizeof *ops };

int main(int argc, char **argv)
{
    struct CMUnitTest tests[OP_COUNT];
    int failed;

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    if (!allocate()) return 2;
    find_backends();
    for (int i = 0; i < OP_COUNT; i++) {
        Op *op = (Op *)(uintptr_t)&ops[i];
        tests[i] = (struct CMUnitTest){ .name = ops[i].name,
                                        .test_func = test_op,
                                        .initial_state = op };
    }
    failed = vectors_run();
    failed += cmocka_run_group_tests_name("operations", tests, NULL, NULL);
    release();
    return failed != 0;
}
