/* test_quant.c - quantised matrices against the reference's own numbers: codes, values, products. */
#include "tests/unit/formats/common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "engine/formats/encode.h"
#include "engine/formats/encode_gguf.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/weights.h"

/* ---- files ------------------------------------------------------------------------------------------ */

typedef struct Case {
    Weights *file, *expected;
} Case;

static void open_vector(const char *name, Weights **out)
{
    char path[4096];
    Error err = { 0 };

    shared_path(path, sizeof path, name);
    assert_ok(weights_open(path, NULL, out, &err), &err);
}

static Case open_case(const char *name)
{
    char path[256];
    Case c = { 0 };

    snprintf(path, sizeof path, "vectors/int8-convrot/%s.safetensors", name);
    open_vector(path, &c.file);
    snprintf(path, sizeof path, "vectors/int8-convrot/%s.expected.safetensors", name);
    open_vector(path, &c.expected);
    return c;
}

static void close_case(Case *c)
{
    weights_unref(c->file);
    weights_unref(c->expected);
}

/* A tensor as float32, to be freed. */
static float *numbers(const Weights *w, const char *name, int64_t *count)
{
    Error err = { 0 };
    int64_t n = weights_elements(w, name);
    float *v = mem_alloc_array((size_t)(n > 0 ? n : 1), sizeof *v);

    assert_non_null(v);
    assert_ok(weights_f32_into(w, name, v, n, &err), &err);
    if (count) *count = n;
    return v;
}

static double relative_error(const float *got, const float *want, int64_t n)
{
    double difference = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        norm += (double)want[i] * (double)want[i];
    }
    return sqrt(difference / norm);
}

/* ---- products --------------------------------------------------------------------------------------- */

/* x w^T + bias on one backend, with the given number of threads. */
static void multiply(const KBackend *b, const KWeight *w, const float *x, const float *bias,
                     int64_t m, KDtype type, float *y)
{
    KContext ctx = { .threads = 2 };
    uint16_t *half = mem_alloc_array((size_t)(m * (w->k + w->n)), sizeof *half);
    bool bf16 = type == K_BF16;
    void *in = bf16 ? (void *)half : (void *)(uintptr_t)x;
    void *out = bf16 ? (void *)(half + m * w->k) : (void *)y;

    assert_non_null(half);
    for (int64_t i = 0; i < m * w->k; i++)
        half[i] = k_bf16_from_f32(x[i]);
    KLinear d = { .x = k_view(in, type, 2, (int64_t[]){ m, w->k }),
                  .w = *w,
                  .y = k_view(out, type, 2, (int64_t[]){ m, w->n }) };
    if (bias) d.bias = k_view((void *)(uintptr_t)bias, K_F32, 1, &w->n);
    ctx.scratch_size = b->linear_scratch(&ctx, &d);
    ctx.scratch = mem_aligned(64, ctx.scratch_size);
    assert_int_equal(b->linear(&ctx, &d), K_OK);
    for (int64_t i = 0; bf16 && i < m * w->n; i++)
        y[i] = k_f32_from_bf16(half[m * w->k + i]);
    mem_free(ctx.scratch);
    mem_free(half);
}

/* The product of a case on the reference and on every path of this machine. */
static void check_product(const Case *c, const KWeight *w, const char *name, double tolerance)
{
    int64_t count, m;
    float *x = numbers(c->expected, "x", &count), *want = numbers(c->expected, name, NULL);
    float *bias =
        weights_has(c->file, "layer.bias") ? numbers(c->file, "layer.bias", NULL) : NULL;
    KDtype type = weights_dtype(c->expected, "x");
    float *y;

    m = count / w->k;
    y = mem_alloc_array((size_t)(m * w->n), sizeof *y);
    for (int isa = -1; isa < K_ISA_COUNT; isa++) {
        const KBackend *b = isa < 0 ? kernels_ref() : kernels_cpu((KIsa)isa);
        if (!b) continue;
        multiply(b, w, x, bias, m, type, y);
        double error = relative_error(y, want, m * w->n);
        if (!(error <= tolerance))
            fail_msg("%s: %s: error %.3g, allowed %.3g", weights_path(c->file), b->name, error,
                     tolerance);
    }
    mem_free(x);
    mem_free(want);
    mem_free(bias);
    mem_free(y);
}

/* ---- cases ------------------------------------------------------------------------------------------ */

typedef struct Row {
    const char *name, *codes, *out; /* codes: tensor of the stored integers */
    KDtype dtype;
    bool quantised; /* the file asks for quantised activations */
} Row;

/* clang-format off */
static const Row rows[] = {
    { "w8_tensor", NULL, "out", K_I8, true },
    { "w8_row", NULL, "out", K_I8, true },
    { "w8_convrot256", NULL, "out", K_I8, true },
    { "w8_convrot64_params", NULL, "out", K_I8, true },
    { "w8_convrot_default_header", NULL, "out", K_I8, true },
    { "w8_convrot16", NULL, "out_dequantised", K_I8, false },
    { "w8_convrot256_bf16", NULL, "out", K_I8, true },
    { "w4a8", "weight_int8", "out", K_W4A8, true },
    { "w4a8_u8scale_custom", "weight_int8", "out", K_W4A8, true },
    { "w4a8_uniform", "weight_int8", "out", K_W4A8, true },
    { "w6a8", "weight_int8", "out", K_W6A8, true },
    { "w4a4", "weight_int4", "out_int8_activations", K_I4, true },
    { "awq_w4a16", NULL, "out", K_U4, false },
};
/* clang-format on */

static void check_codes(const Case *c, const KWeight *w, const char *name)
{
    float *want = numbers(c->expected, name, NULL);
    int8_t *codes = mem_alloc_array((size_t)w->k, 1);

    for (int64_t r = 0; r < w->n; r++) {
        assert_int_equal(k_weight_codes(w, r, 0, w->k, codes), K_OK);
        for (int64_t i = 0; i < w->k; i++)
            assert_int_equal(codes[i], (int)want[r * w->k + i]);
    }
    mem_free(codes);
    mem_free(want);
}

/* The matrix through the table, and rows of it through a slice. */
static void check_values(const Case *c, const char *layer, const KWeight *w)
{
    float *want = numbers(c->expected, "dequantised", NULL);
    float *got = numbers(c->file, layer, NULL),
          *row = mem_alloc_array((size_t)w->k, sizeof *row);
    KWeight slice = *w;

    assert_true(relative_error(got, want, w->n * w->k) <= 1e-5);
    slice.row0 = w->n / 2;
    slice.n = w->n - slice.row0;
    slice.data = (const char *)w->data + slice.row0 * w->row_bytes;
    for (int64_t r = 0; r < slice.n; r++) {
        assert_int_equal(k_weight_row(&slice, r, 0, w->k, row), K_OK);
        assert_memory_equal(row, got + (slice.row0 + r) * w->k, (size_t)w->k * sizeof *row);
    }
    mem_free(want);
    mem_free(got);
    mem_free(row);
}

static void test_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Row *r = &rows[i];
        Case c = open_case(r->name);
        bool bf16 = weights_dtype(c.expected, "x") == K_BF16;
        Error err = { 0 };
        KWeight w;

        assert_ok(weights_matrix(c.file, "layer.weight", 0, 0, &w, &err), &err);
        assert_int_equal(w.dtype, r->dtype);
        assert_int_equal(w.int8_x, r->quantised);
        assert_int_equal(weights_dim(c.file, "layer.weight", 1), w.k);
        check_values(&c, "layer.weight", &w);
        if (r->codes) check_codes(&c, &w, r->codes);
        check_product(&c, &w, r->out, bf16 ? 1.5e-2 : r->quantised ? 2e-3 : 1e-4);
        w.int8_x = false;
        if (r->dtype != K_U4) check_product(&c, &w, "out_dequantised", bf16 ? 1e-2 : 1e-4);
        close_case(&c);
    }
}

/* A low-rank addition on rotated int8: from x as it comes, neither rotated nor quantised. */
static void test_side(void **state)
{
    Case c = open_case("w8_convrot256");
    Error err = { 0 };
    float *up = numbers(c.expected, "lora.up", NULL),
          *down = numbers(c.expected, "lora.down", NULL), alpha;
    KSide side = { .up = up, .down = down, .rank = 4 };
    KWeight w;

    (void)state;
    assert_ok(weights_f32_into(c.expected, "lora.alpha", &alpha, 1, &err), &err);
    assert_ok(weights_matrix(c.file, "layer.weight", 0, 0, &w, &err), &err);
    for (int64_t i = 0; i < w.n * side.rank; i++)
        up[i] *= alpha / (float)side.rank;
    w.side = &side;
    check_product(&c, &w, "lora.out_side", 2e-3);
    w.int8_x = false;
    check_product(&c, &w, "lora.out_dequantised", 1e-4);
    mem_free(up);
    mem_free(down);
    close_case(&c);
}

static void test_embedding(void **state)
{
    Case c = open_case("embedding_convrot256");
    Error err = { 0 };
    int64_t count;
    float *ids = numbers(c.expected, "ids", &count), *want = numbers(c.expected, "out", NULL),
          row[256];
    KWeight w;

    (void)state;
    assert_ok(weights_matrix(c.file, "embed.weight", 0, 256, &w, &err), &err);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(k_weight_row(&w, (int64_t)ids[i], 0, 256, row), K_OK);
        assert_true(relative_error(row, want + i * 256, 256) <= 1e-5);
    }
    mem_free(ids);
    mem_free(want);
    close_case(&c);
}

static void test_refusals(void **state)
{
    static const char *const bad[] = {
        "group_not_dividing",
        "group_not_power_of_4",
        "missing_scale",
        "no_format",
        "not_json",
        "scale_count",
        "unknown_format",
        "w4a8_row_width",
        "w4a8_missing_channel_scale",
        "weight_not_i8",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[4096], name[256];
        Weights *w = NULL;
        Error err = { 0 };
        snprintf(name, sizeof name, "vectors/int8-convrot/bad/%s.safetensors", bad[i]);
        shared_path(path, sizeof path, name);
        Status status = weights_open(path, NULL, &w, &err);
        assert_true(status == E_FORMAT || status == E_UNSUPPORTED);
        assert_non_null(strstr(err.message, "layer"));
    }
}

/* ---- bitsandbytes, blocks of FP4 and FP8 ------------------------------------------------------------ */

static void check_dequantised(const char *file, const char *layer, const char *expected,
                              double tolerance)
{
    Weights *w = NULL;
    int64_t count;

    open_vector(file, &w);
    float *want = numbers(w, expected, &count), *got = numbers(w, layer, NULL);
    assert_int_equal(weights_elements(w, layer), count);
    assert_true(relative_error(got, want, count) <= tolerance);
    mem_free(want);
    mem_free(got);
    weights_unref(w);
}

static void test_bitsandbytes(void **state)
{
    (void)state;
    check_dequantised("vectors/quantisation/nf4_single.safetensors", "lin.weight",
                      "expected.single.lin.weight", 1e-7);
    check_dequantised("vectors/quantisation/nf4_double.safetensors", "lin.weight",
                      "expected.lin.weight", 1e-7);
    check_dequantised("vectors/quantisation/int8_llm.safetensors", "lin.weight",
                      "expected.lin.weight", 1e-7);
}

/* The vectors hold the parts of a layer; a file is made of them. */
static void check_block_file(const SafeItem *items, size_t count, const float *want,
                             int64_t elements)
{
    char folder[] = "/tmp/weft-test-XXXXXX", path[64];
    float *got = mem_alloc_array((size_t)elements, sizeof *got);
    Weights *w = NULL;
    Error err = { 0 };

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    assert_ok(safetensors_write(path, items, count, NULL, 0, &err), &err);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    assert_int_equal(weights_elements(w, "layer.weight"), elements);
    assert_ok(weights_f32_into(w, "layer.weight", got, elements, &err), &err);
    assert_true(relative_error(got, want, elements) <= 1e-7);
    weights_unref(w);
    unlink(path);
    rmdir(folder);
    mem_free(got);
}

static SafeItem item_of(const Weights *w, const char *name, const char *as, KView *v)
{
    Error err = { 0 };

    assert_ok(weights_view(w, name, v, &err), &err);
    return (SafeItem){ as, v->dtype, v->ndim, v->shape, v->data };
}

static void test_blocks(void **state)
{
    static const char nvfp4[] = "{\"format\": \"nvfp4\"}", mxfp8[] = "{\"format\": \"mxfp8\"}";
    static const int64_t length[] = { sizeof nvfp4 - 1 };
    Weights *w = NULL;
    KView v[3];
    int64_t count;

    (void)state;
    open_vector("vectors/quantisation/block_fp4_fp8.safetensors", &w);
    float *want = numbers(w, "nvfp4.dequantised_f32", &count);
    const SafeItem fp4[] = {
        item_of(w, "nvfp4.weight", "layer.weight", &v[0]),
        item_of(w, "nvfp4.weight_scale", "layer.weight_scale", &v[1]),
        item_of(w, "nvfp4.weight_scale_2", "layer.weight_scale_2", &v[2]),
        { "layer.comfy_quant", K_U8, 1, length, nvfp4 },
    };
    check_block_file(fp4, 4, want, count);
    mem_free(want);
    want = numbers(w, "mxfp8.dequantised_f32", &count);
    const SafeItem fp8[] = {
        item_of(w, "mxfp8.weight", "layer.weight", &v[0]),
        item_of(w, "mxfp8.block_scale_e8m0", "layer.weight_scale", &v[1]),
        { "layer.comfy_quant", K_U8, 1, length, mxfp8 },
    };
    check_block_file(fp8, 3, want, count);
    mem_free(want);
    weights_unref(w);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/* The simple block types as the reference writer makes them, byte for byte. */
static void test_simple_blocks(void **state)
{
    static const KDtype types[] = { K_F16, K_BF16, K_Q4_0, K_Q4_1, K_Q5_0, K_Q5_1, K_Q8_0 };
    Weights *w = NULL;
    uint8_t bytes[4 * 128];
    char name[32];
    KView want;
    Error err = { 0 };
    int64_t count;

    (void)state;
    open_vector("vectors/quantisation/gguf_blocks.safetensors", &w);
    float *in = numbers(w, "quantise.in", &count);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        snprintf(name, sizeof name, "quantise.%s", k_dtype_name(types[t]));
        assert_ok(weights_view(w, name, &want, &err), &err);
        assert_int_equal((int64_t)k_row_bytes(types[t], count), k_view_count(&want));
        gguf_encode(types[t], in, count, bytes);
        if (memcmp(bytes, want.data, k_row_bytes(types[t], count)) != 0)
            fail_msg("%s differs from the reference writer", name);
    }
    mem_free(in);
    weights_unref(w);
}

/* Every form reads back within its step: random rows, a row of zeros, one huge value among small ones. */
static void test_forms(void **state)
{
    enum { K = 512, ROWS = 5 };
    uint8_t buffer[ENCODE_MAX_PARTS][4 * K + 64];
    float row[K], work[K], back[K];
    uint32_t seed = 7;

    (void)state;
    for (size_t f = 0; encode_name(f); f++) {
        const EncodeForm *form = encode_find(encode_name(f));
        uint8_t *at[ENCODE_MAX_PARTS];
        EncodePart parts[ENCODE_MAX_PARTS];
        double worst = 0;
        assert_ptr_equal(encode_fitting(form, K), form);
        for (int i = 0; i < ENCODE_MAX_PARTS; i++)
            at[i] = buffer[i];
        encode_parts(form, 1, K, 1.0f, parts);
        for (int r = 0; r < ROWS; r++) {
            for (int i = 0; i < K; i++) {
                seed = seed * 1664525u + 1013904223u;
                row[i] = r == 0 ? 0.0f : (float)(seed >> 8) / 8388608.0f - 1.0f;
            }
            memcpy(work, row, sizeof row);
            assert_true(encode_row(form, parts, work, K, at, back));
            for (int i = 0; r == 0 && i < K; i++)
                assert_true(back[i] == 0.0f);
            double error = r ? relative_error(back, row, K) : 0;
            if (error > worst) worst = error;
        }
        double allowed = strcmp(encode_name(f), "Q2_K") == 0   ? 0.34
                         : strcmp(encode_name(f), "Q3_K") == 0 ? 0.16
                                                               : 0.1;
        if (!(worst <= allowed)) fail_msg("%s is off by %g", encode_name(f), worst);
    }
}

int run_quant_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),       cmocka_unit_test(test_side),
        cmocka_unit_test(test_embedding),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bitsandbytes),  cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_simple_blocks), cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
