/* test_noise.c - random streams and the Brownian tree against the reference's own numbers. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/noise.h"
#include "engine/sampling/noise_impl.h"

static void same_bits(const Json *item, const void *got, const Tensor *want, size_t width)
{
    int64_t n = tensor_count(want);
    if (memcmp(got, want->data, (size_t)n * width) == 0) return;
    fail_msg("%s seed %llu, %lld values: bits differ", text(item, "op"),
             (unsigned long long)num_u64(item, "seed"), (long long)n);
}

static void check_randn(const Json *item, const Tensor *want)
{
    int64_t n = tensor_count(want);
    float *got = mem_alloc((size_t)n * sizeof *got);
    Rng rng;

    rng_init(&rng, num_u64(item, "seed"));
    rng_normal(&rng, got, n);
    same_bits(item, got, want, sizeof *got);
    mem_free(got);
}

static void check_rand(const Json *item, const Tensor *want)
{
    int64_t n = tensor_count(want);
    float *got = mem_alloc((size_t)n * sizeof *got);
    Rng rng;

    rng_init(&rng, num_u64(item, "seed"));
    rng_uniform(&rng, got, n);
    same_bits(item, got, want, sizeof *got);
    mem_free(got);
}

static void check_sequence(const Json *item, const Tensor *want)
{
    float *got = mem_alloc((size_t)tensor_count(want) * 4);
    int64_t at = 0;
    Rng rng;

    rng_init(&rng, num_u64(item, "seed"));
    for (const Json *c = json_first(json_get(item, "counts")); c; c = json_next(c)) {
        rng_normal(&rng, got + at, (int64_t)json_double(c));
        at += (int64_t)json_double(c);
    }
    assert_int_equal(at, tensor_count(want));
    same_bits(item, got, want, 4);
    mem_free(got);
}

static void check_prepare(const Json *item, const Tensor *want)
{
    const Json *index = json_get(item, "batch_inds");
    int64_t shape[4], list[16], count = 0;
    Tensor *like, *got;
    Error err = { 0 };
    Rng rng;

    for (size_t i = 0; i < 4; i++)
        shape[i] = (int64_t)json_double(json_at(json_get(item, "latent_shape"), i));
    bool listed = json_is(index, JSON_ARRAY);
    for (const Json *c = listed ? json_first(index) : NULL; c; c = json_next(c))
        list[count++] = (int64_t)json_double(c);
    ok(tensor_zeros(K_F32, 4, shape, &like, &err), &err);
    ok(noise_prepare(num_u64(item, "seed"), like, listed ? list : NULL, count, &rng, &got,
                     &err),
       &err);
    assert_true(tensor_same_shape(got, want));
    same_bits(item, got->data, want, 4);
    tensor_unref(like);
    tensor_unref(got);
}

/* Increments exactly, scaled noise to 2 units in the last place. */
static void check_brownian(const Vectors *v, const Json *item, const Tensor *want)
{
    Tensor *raw = vectors_at(v, item, "tensor_W");
    const Json *calls = json_get(item, "calls");
    int64_t count = (int64_t)json_count(calls), n = tensor_count(want) / count;
    float *got = mem_alloc((size_t)n * 4);
    Brownian *tree;
    Error err = { 0 };

    ok(brownian_new(num_u64(item, "seed"), num(item, "sigma_min", 0), num(item, "sigma_max", 0),
                    n, &tree, &err),
       &err);
    for (int64_t c = 0; c < count; c++) {
        const Json *pair = json_at(calls, (size_t)c);
        float from = (float)json_double(json_at(pair, 0)),
              to = (float)json_double(json_at(pair, 1));
        brownian_increment(tree, (double)from, (double)to, got);
        if (c < count - 1 && memcmp(got, tensor_f32(raw) + c * n, (size_t)n * 4))
            fail_msg("increment %lld of seed %llu differs", (long long)c,
                     (unsigned long long)num_u64(item, "seed"));
        brownian_noise(tree, from, to, got);
        for (int64_t i = 0; i < n; i++)
            assert_in_range(ulps(got[i], tensor_f32(want)[c * n + i]), 0, 2);
    }
    brownian_free(tree);
    mem_free(got);
    tensor_unref(raw);
}

/* Integers and float64 stand in the vectors, too; nothing in the engine draws them. */
static bool check_case(const Vectors *v, const Json *item)
{
    bool known = !strcmp(text(item, "op"), "brownian");
    static const struct {
        const char *op;
        void (*check)(const Json *, const Tensor *);
    } checks[] = { { "randn", check_randn },
                   { "rand", check_rand },
                   { "randn_sequence", check_sequence },
                   { "prepare_noise", check_prepare } };
    Tensor *want = vectors_at(v, item, "tensor");

    if (known) check_brownian(v, item, want);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (strcmp(text(item, "op"), checks[i].op) || want->dtype != K_F32) continue;
        checks[i].check(item, want);
        known = true;
    }
    tensor_unref(want);
    return known;
}

static void noise_vectors(void **state)
{
    Vectors v;
    size_t cases = 0;

    (void)state;
    vectors_open(&v, "noise", "noise");
    for (const Json *c = json_first(json_get(json_root(v.json), "cases")); c; c = json_next(c))
        cases += check_case(&v, c);
    assert_true(cases > 50);
    print_message("noise: %zu cases, bit for bit\n", cases);
    vectors_close(&v);
}

/* The order of queries must not change an answer, and parts must add up to the whole. */
static void brownian_queries_are_independent(void **state)
{
    float a[48], b[48], c[48];
    Brownian *tree;
    Error err = { 0 };

    (void)state;
    ok(brownian_new(9, 0.1, 1.0, 48, &tree, &err), &err);
    brownian_increment(tree, 0.2, 0.7, a);
    brownian_increment(tree, 0.123456, 0.654321, b);
    brownian_increment(tree, 0.2, 0.7, b);
    assert_memory_equal(a, b, sizeof a);
    brownian_increment(tree, 0.2, 0.4, b);
    brownian_increment(tree, 0.4, 0.7, c);
    for (int i = 0; i < 48; i++)
        assert_true(fabsf(a[i] - (b[i] + c[i])) < 1e-5f);
    brownian_increment(tree, 0.4, 0.4, c);
    for (int i = 0; i < 48; i++)
        assert_true(c[i] == 0);
    brownian_free(tree);
}

static void seeds_differ_only_in_their_low_word(void **state)
{
    float a[20], b[20];
    Rng rng;

    (void)state;
    rng_init(&rng, 42);
    rng_normal(&rng, a, 20);
    rng_init(&rng, (UINT64_C(1) << 40) + 42);
    rng_normal(&rng, b, 20);
    assert_memory_equal(a, b, sizeof a);
}

/* The two forms agree bit for bit, at the ends of the range too. */
static void both_transforms_give_the_same_bits(void **state)
{
    enum { BLOCKS = 4096 };
    float *a = mem_alloc_array(16 * BLOCKS, sizeof *a),
          *b = mem_alloc_array(16 * BLOCKS, sizeof *b);
    Rng rng;

    (void)state;
    if (!noise_has_avx2()) {
        mem_free(a);
        mem_free(b);
        skip();
    }
    rng_init(&rng, 77);
    rng_uniform(&rng, a, 16 * BLOCKS);
    a[0] = 0;
    a[1] = 1 - 0x1p-24f;
    a[8] = 0;
    a[9] = 1 - 0x1p-24f;
    memcpy(b, a, 16 * BLOCKS * sizeof *a);
    noise_blocks_plain(a, BLOCKS);
    noise_blocks_avx2(b, BLOCKS);
    assert_memory_equal(a, b, 16 * BLOCKS * sizeof *a);
    mem_free(a);
    mem_free(b);
}

int run_noise_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_vectors),
        cmocka_unit_test(both_transforms_give_the_same_bits),
        cmocka_unit_test(brownian_queries_are_independent),
        cmocka_unit_test(seeds_differ_only_in_their_low_word),
    };
    return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
