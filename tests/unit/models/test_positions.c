/* test_positions.c - rotary tables against the reference's. */
#include "suite.h"

#include <math.h>
#include <stdio.h>

#include "engine/base/mem.h"

static const PosLayout flux2_tiny = { 4, { 8, 8, 8, 8 }, 2000, 1, 10, 3 };

/* mid.pe_embedder [1,1,tokens,pairs,2,2] holds (cos, -sin), (sin, cos). */
static void check(const char *vector, RefMethod method)
{
    char name[96], path[512];
    PosSize refs[2];
    int n_refs = 0;
    int64_t shape[K_MAX_DIMS];

    snprintf(name, sizeof name, "flux2-transformer/%s.safetensors", vector);
    vector_path(name, path, sizeof path);
    Weights *w = open_file(path);
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "in.ref.%d", k);
        if (weights_shape(w, name, shape) == 4)
            refs[n_refs++] = (PosSize){ shape[2], shape[3] };
    }
    weights_shape(w, "in.x", shape);
    Tensor *want = load(w, "mid.pe_embedder");
    float *got = mem_alloc((size_t)tensor_count(want) * 2);
    pos_table(&flux2_tiny, weights_dim(w, "in.context", 1), (PosSize){ shape[2], shape[3] },
              refs, n_refs, method, got);
    int64_t pairs = tensor_count(want) / want->shape[0] / 4;
    for (int64_t i = 0; i < pairs; i++) {
        const float *m = tensor_f32(want) + 4 * i;
        if (fabsf(got[2 * i] - m[0]) > 1e-6f || fabsf(got[2 * i + 1] - m[2]) > 1e-6f)
            fail_msg("%s: pair %lld", vector, (long long)i);
    }
    mem_free(got);
    tensor_unref(want);
    weights_unref(w);
}

static void index_and_offset_references(void **state)
{
    (void)state;
    check("klein_tiny.case_t2i", REF_INDEX);
    check("klein_tiny.case_ref1", REF_INDEX);
    check("klein_tiny.case_ref2", REF_INDEX);
    check("klein_tiny.case_ref_offset", REF_OFFSET);
}

static void uxo_references_stand_beyond_the_target_and_each_other(void **state)
{
    (void)state;
    const PosLayout l = { 3, { 2, 2, 2 }, 10000, 2, 1, -1 };
    float table[(1 + 4 + 1 + 1) * 3 * 2];
    /* target 4x4 is a 2x2 grid; references of one token at (2,2) and (3,3) of the token grid */
    pos_table(&l, 1, (PosSize){ 4, 4 }, (PosSize[]){ { 2, 2 }, { 2, 2 } }, 2, REF_UXO, table);
    const float *first = table + 5 * 6, *second = table + 6 * 6;
    assert_true(fabsf(first[2] - cosf(2)) < 1e-6f && fabsf(first[4] - cosf(2)) < 1e-6f);
    assert_true(fabsf(second[2] - cosf(3)) < 1e-6f && fabsf(second[5] - sinf(3)) < 1e-6f);
    assert_true(first[0] == 1.0f && table[0] == 1.0f);
}

int group_positions(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_and_offset_references),
        cmocka_unit_test(uxo_references_stand_beyond_the_target_and_each_other),
    };
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
