/* vectors.c - small floats, block formats and embedding tables against the shared vectors. */
#include "tests/kernels/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

/* ---- a reader for files that the tests trust ----------------------------------------------------- */

typedef struct Vectors {
    char *bytes; /* owned */
    char *data;
} Vectors;

static void vectors_path(char *path, size_t size, const char *name)
{
    const char *shared = getenv("WEFT_SHARED");

    if (shared)
        snprintf(path, size, "%s/vectors/%s.safetensors", shared, name);
    else
        snprintf(path, size, "%s/../shared/vectors/%s.safetensors", WEFT_SOURCE_ROOT, name);
}

/* Skips the test when the file is not there. The header is cut off by a NUL. */
static Vectors vectors_open(const char *name)
{
    char path[1024];
    uint64_t header;
    Vectors v;

    vectors_path(path, sizeof path, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        print_message("%s is not there\n", path);
        skip();
    }
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    v.bytes = malloc(size + 1);
    assert_non_null(v.bytes);
    assert_int_equal(fread(v.bytes, 1, size, f), size);
    fclose(f);
    memcpy(&header, v.bytes, sizeof header);
    v.data = v.bytes + 8 + header;
    v.bytes[7 + header] = '\0';
    return v;
}

/* The tensor's bytes, and how many. */
static const void *vectors_get(const Vectors *v, const char *name, size_t *bytes)
{
    char key[128];
    size_t begin, end;

    snprintf(key, sizeof key, "\"%s\":{", name);
    const char *p = strstr(v->bytes + 8, key);
    if (!p) fail_msg("no tensor %s", name);
    p = strstr(p, "\"data_offsets\":[");
    assert_non_null(p);
    assert_int_equal(sscanf(p, "\"data_offsets\":[%zu,%zu]", &begin, &end), 2);
    *bytes = end - begin;
    return v->data + begin;
}

static float float_at(const void *data, size_t i)
{
    float v;

    memcpy(&v, (const char *)data + i * sizeof v, sizeof v);
    return v;
}

static uint16_t u16_at(const void *data, size_t i)
{
    uint16_t v;

    memcpy(&v, (const char *)data + i * sizeof v, sizeof v);
    return v;
}

/* ---- small floats ------------------------------------------------------------------------------------ */

static void test_bf16_and_f16(void **state)
{
    Vectors v = vectors_open("quantisation/float_codes");
    size_t bytes, n;

    (void)state;
    const void *in = vectors_get(&v, "bf16.in", &n), *out = vectors_get(&v, "bf16.out", &bytes);
    for (size_t i = 0; i < bytes / 2; i++)
        assert_int_equal(k_bf16_from_f32(float_at(in, i)), u16_at(out, i));
    in = vectors_get(&v, "f16.in", &n);
    out = vectors_get(&v, "f16.out", &bytes);
    for (size_t i = 0; i < bytes / 2; i++)
        assert_int_equal(k_f16_from_f32(float_at(in, i)), u16_at(out, i));
    free(v.bytes);
}

static void check_codes(const Vectors *v, const char *in_name, const char *out_name,
                        uint8_t (*round)(float, bool), bool saturate)
{
    size_t bytes, n;
    const void *in = vectors_get(v, in_name, &n);
    const uint8_t *out = vectors_get(v, out_name, &bytes);
    bool bf16 = n == 2 * bytes;

    for (size_t i = 0; i < bytes; i++) {
        float x = bf16 ? k_f32_from_bf16(u16_at(in, i)) : float_at(in, i);
        if (round(x, saturate) != out[i]) fail_msg("%s[%zu]: %.9g", out_name, i, (double)x);
    }
}

static void check_values(const Vectors *v, const char *name, float (*widen)(uint8_t))
{
    size_t bytes;
    const void *want = vectors_get(v, name, &bytes);

    for (size_t i = 0; i < 256; i++) {
        float w = float_at(want, i), got = widen((uint8_t)i);
        if (isnan(w) ? !isnan(got) : got != w) fail_msg("%s[%zu]: %.9g", name, i, (double)got);
    }
}

static void test_fp8(void **state)
{
    Vectors v = vectors_open("quantisation/float_codes");

    (void)state;
    check_codes(&v, "e4m3fn.in", "e4m3fn.code_ieee", k_e4m3_from_f32, false);
    check_codes(&v, "e4m3fn.in", "e4m3fn.code_saturating", k_e4m3_from_f32, true);
    check_codes(&v, "e4m3fn.from_bf16.in", "e4m3fn.from_bf16.code_saturating", k_e4m3_from_f32,
                true);
    check_codes(&v, "e5m2.in", "e5m2.code_ieee", k_e5m2_from_f32, false);
    check_codes(&v, "e5m2.in", "e5m2.code_saturating", k_e5m2_from_f32, true);
    check_codes(&v, "e5m2.from_bf16.in", "e5m2.from_bf16.code_saturating", k_e5m2_from_f32,
                true);
    check_values(&v, "e4m3fn.decode", k_f32_from_e4m3);
    check_values(&v, "e5m2.decode", k_f32_from_e5m2);
    free(v.bytes);
}

/* ---- weights ------------------------------------------------------------------------------------------ */

/* Every row of w against float32 values; tolerance relative to the largest value of the matrix. */
static void check_weight(const KWeight *w, const void *want, float tolerance, const char *name)
{
    float row[1024], largest = 0;

    assert_true(w->k <= 1024);
    for (int64_t i = 0; i < w->n * w->k; i++)
        largest = fmaxf(largest, fabsf(float_at(want, (size_t)i)));
    for (int64_t r = 0; r < w->n; r++) {
        assert_int_equal(k_weight_row(w, r, 0, w->k, row), K_OK);
        for (int64_t c = 0; c < w->k; c++) {
            float expected = float_at(want, (size_t)(r * w->k + c));
            if (fabsf(row[c] - expected) > tolerance * largest)
                fail_msg("%s[%d, %d]: %.9g, not %.9g", name, (int)r, (int)c, (double)row[c],
                         (double)expected);
        }
    }
}

static void test_gguf_blocks(void **state)
{
    Vectors v = vectors_open("quantisation/gguf_blocks");

    (void)state;
    for (int t = K_Q4_0; t <= K_MXFP4; t++) {
        char name[64];
        size_t bytes;
        KWeight w = { .dtype = (KDtype)t, .n = 6, .k = k_dtype_block_elements((KDtype)t) };
        w.row_bytes = (int64_t)k_dtype_block_bytes((KDtype)t);
        snprintf(name, sizeof name, "%s.blocks", k_dtype_name((KDtype)t));
        w.data = vectors_get(&v, name, &bytes);
        assert_int_equal(bytes, w.n * w.row_bytes);
        snprintf(name, sizeof name, "%s.values", k_dtype_name((KDtype)t));
        check_weight(&w, vectors_get(&v, name, &bytes), 2e-8f, name);
    }
    free(v.bytes);
}

/* Aligned copy of float32 data. */
static float *copy_floats(const void *data, size_t bytes)
{
    float *out = malloc(bytes);

    assert_non_null(out);
    memcpy(out, data, bytes);
    return out;
}

static void test_nf4(void **state)
{
    Vectors v = vectors_open("quantisation/nf4_single");
    size_t bytes;
    KQuant q = { .rows = 40, .block = 64, .order = K_SCALES_FLAT };
    KWeight w = { .dtype = K_NF4, .n = 40, .k = 512, .row_bytes = 256, .quant = &q };

    (void)state;
    w.data = vectors_get(&v, "lin.weight", &bytes);
    const void *absmax = vectors_get(&v, "lin.weight.absmax", &bytes);
    float *scales = copy_floats(absmax, bytes);
    const void *quant_map = vectors_get(&v, "lin.weight.quant_map", &bytes);
    float *map = copy_floats(quant_map, bytes);
    q.scales = scales;
    const void *want = vectors_get(&v, "expected.single.lin.weight", &bytes);
    check_weight(&w, want, 1e-7f, "usual map");
    q.levels = map;
    check_weight(&w, want, 1e-7f, "map of the file");
    free(scales);
    free(map);
    free(v.bytes);
}

static void test_int8(void **state)
{
    Vectors v = vectors_open("quantisation/int8_llm");
    const float inverse = 1.0f / 127.0f;
    size_t bytes;
    KQuant q = { .rows = 40 };
    KWeight w = {
        .dtype = K_I8, .n = 40, .k = 512, .row_bytes = 512, .scale = &inverse, .quant = &q
    };

    (void)state;
    w.data = vectors_get(&v, "lin.weight", &bytes);
    const void *scb = vectors_get(&v, "lin.SCB", &bytes);
    float *scales = copy_floats(scb, bytes);
    q.scales = scales;
    check_weight(&w, vectors_get(&v, "expected.lin.weight", &bytes), 2e-7f, "int8");
    free(scales);
    free(v.bytes);
}

/* ---- timestep embedding ---------------------------------------------------------------------------------- */

/* Frequency j of 128. The reference's own float32 exponential is off by one unit in the last place at
 * two of them, so an angle may be off by one unit of its own. */
static float allowed_at(float value, size_t column)
{
    float frequency = expf(-9.210340371976184f * (float)(column % 128) / 128.0f);
    return 2e-7f + value * frequency * 0x1p-23f;
}

/* One backend against one table of 256 columns; values are in units of 1/1000 where the table is F32,
 * and where it is BF16 they are the product already. */
static void check_timesteps(const KBackend *b, const Vectors *v, const char *in_name,
                            const char *out_name, KDtype dtype)
{
    size_t bytes;
    const void *in = vectors_get(v, in_name, &bytes);
    size_t n = bytes / sizeof(float);
    const void *want = vectors_get(v, out_name, &bytes);

    for (size_t i = 0; i < n; i++) {
        float value = float_at(in, i) * (dtype == K_F32 ? 1000.0f : 1.0f);
        float y[256];
        KContext ctx = { .threads = 1 };
        KTimestep d = { .value = k_view(&value, K_F32, 1, (const int64_t[]){ 1 }),
                        .y = k_view(y, dtype, 2, (const int64_t[]){ 1, 256 }) };
        assert_int_equal(b->timestep(&ctx, &d), K_OK);
        for (size_t c = 0; c < 256; c++) {
            float got = dtype == K_F32 ? y[c] : k_f32_from_bf16(u16_at(y, c));
            float expected = dtype == K_F32 ? float_at(want, i * 256 + c)
                                            : k_f32_from_bf16(u16_at(want, i * 256 + c));
            float allowed =
                allowed_at(value, c) + (dtype == K_F32 ? 0 : 0x1p-8f * fabsf(expected));
            if (fabsf(got - expected) > allowed)
                fail_msg("%s: %s[%zu, %zu]: %.9g, not %.9g", b->name, out_name, i, c,
                         (double)got, (double)expected);
        }
    }
}

static void test_timestep(void **state)
{
    Vectors v = vectors_open("flux1-transformer/embedding_tables");

    (void)state;
    for (int isa = -1; isa < K_ISA_COUNT; isa++) {
        const KBackend *b = isa < 0 ? kernels_ref() : kernels_cpu((KIsa)isa);
        if (!b) continue;
        check_timesteps(b, &v, "timestep", "timestep.emb", K_F32);
        check_timesteps(b, &v, "guidance", "guidance.emb_f32", K_F32);
        check_timesteps(b, &v, "guidance.bf16_times_1000", "guidance.emb_bf16", K_BF16);
    }
    free(v.bytes);
}

int vectors_run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_and_f16), cmocka_unit_test(test_fp8),
        cmocka_unit_test(test_gguf_blocks),  cmocka_unit_test(test_nf4),
        cmocka_unit_test(test_int8),         cmocka_unit_test(test_timestep),
    };

    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
