/* test_weights.c - the weights table: shards, scopes, scaled FP8, casts, dummy runs. */
#include "tests/unit/formats/common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/formats/file_name.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/weights.h"

/* ---- scaled FP8 against the reference's dequantised matrix ---- */

static void check_scaled(const char *name)
{
    char path[4096];
    Weights *w = NULL, *expected = NULL;
    Error err = { 0 };
    float want[16 * 32], got[16 * 32];
    KWeight kw;

    shared_path(path, sizeof path, "vectors/quantisation/scaled_fp8_expected.safetensors");
    assert_ok(weights_open(path, NULL, &expected, &err), &err);
    shared_path(path, sizeof path, name);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    assert_ok(weights_f32_into(expected, "weight_dequantised", want, 512, &err), &err);
    assert_ok(weights_f32_into(w, "net.fc.weight", got, 512, &err), &err);
    assert_memory_equal(want, got, sizeof got);
    assert_ok(weights_matrix(w, "net.fc.weight", 16, 32, &kw, &err), &err);
    assert_int_equal(kw.dtype, K_F8_E4M3);
    assert_int_equal(kw.row_bytes, 32);
    assert_non_null(kw.scale);
    assert_true(want[5] == k_f32_from_e4m3(((const uint8_t *)kw.data)[5]) * *kw.scale);
    weights_unref(w);
    weights_unref(expected);
}

static void test_scaled_comfy_quant(void **state)
{
    (void)state;
    check_scaled("vectors/quantisation/scaled_fp8_comfy_quant.safetensors");
}

static void test_scaled_metadata(void **state)
{
    (void)state;
    check_scaled("vectors/quantisation/scaled_fp8_metadata.safetensors");
}

static void test_scaled_old_style(void **state)
{
    (void)state;
    check_scaled("vectors/quantisation/scaled_fp8_old_style.safetensors");
    check_scaled("vectors/quantisation/scaled_fp8_old_style_fp8mm.safetensors");
}

static void test_sharded(void **state)
{
    char path[4096];
    Weights *w = NULL;
    Error err = { 0 };

    (void)state;
    shared_path(path, sizeof path, "vectors/quantisation/sharded/model.safetensors.index.json");
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    assert_int_equal(weights_count(w), 4);
    assert_true(weights_has(w, "a.weight") && weights_has(w, "b.bias") &&
                weights_has(w, "c.weight") && weights_has(w, "d"));
    assert_string_equal(weights_path(w), path);
    assert_true(weights_bytes(w) > 0);
    weights_unref(w);
}

/* ---- files made here ---- */

typedef struct Made {
    char folder[64], path[128];
} Made;

static const float sample[] = { 1, 0.3f, -0.7f, 448, 500, 1e-5f };

static void made_path(Made *m, const char *name)
{
    strcpy(m->folder, "/tmp/weft-test-XXXXXX");
    assert_non_null(mkdtemp(m->folder));
    snprintf(m->path, sizeof m->path, "%s/%s", m->folder, name);
}

static void unmake(const Made *m)
{
    unlink(m->path);
    rmdir(m->folder);
}

static void make_sample(Made *m)
{
    static const int64_t matrix[] = { 2, 3 }, vector[] = { 6 }, conv[] = { 1, 3, 2, 1 },
                         one[] = { 1 };
    static const uint16_t half[6] = { 0x3F80, 0x4000, 0x4040, 0x4080, 0x40A0, 0x40C0 };
    static const double wide[6] = { 1, 2, 3, 4, 5, 6 };
    static const uint8_t codes[6] = { 0x38, 0x40, 0x7E, 0xB8, 0x01, 0x00 };
    static const SafeItem items[] = {
        { "net.blocks.0.w", K_F32, 2, matrix, sample },
        { "net.blocks.1.w", K_BF16, 2, matrix, half },
        { "net.blocks.3.w", K_F64, 2, matrix, wide },
        { "net.norm", K_BF16, 1, vector, half },
        { "net.conv.w", K_F8_E4M3, 4, conv, codes },
        { "net.fc.weight", K_F8_E4M3, 2, matrix, codes },
        { "net.fc.weight_scale", K_F32, 1, one, sample + 1 },
        { "ids", K_I64, 1, one, wide },
    };
    static const SafePair meta[] = { { "format", "pt" } };
    Error err = { 0 };

    made_path(m, "sample.safetensors");
    assert_ok(safetensors_write(m->path, items, 8, meta, 1, &err), &err);
}

static void test_table(void **state)
{
    Made m;
    Weights *w = NULL, *net = NULL;
    Error err = { 0 };
    int64_t shape[K_MAX_DIMS];
    KWeight kw;
    KView v;

    (void)state;
    make_sample(&m);
    assert_ok(weights_open(m.path, NULL, &w, &err), &err);
    assert_ok(weights_scope(w, "net.", &net, &err), &err);
    weights_unref(w); /* a scope lives on its own */
    assert_int_equal(weights_count(net), 7);
    assert_false(weights_has(net, "ids"));
    assert_int_equal(weights_blocks(net, "blocks."), 2);
    assert_int_equal(weights_shape(net, "conv.w", shape), 4);
    assert_int_equal(shape[1], 3);
    assert_int_equal(weights_dim(net, "conv.w", -2), 2);
    assert_int_equal(weights_dim(net, "conv.w", 4), 0);
    assert_int_equal(weights_elements(net, "norm"), 6);
    assert_int_equal(weights_dtype(net, "norm"), K_BF16);
    assert_string_equal(weights_metadata(net, "format"), "pt");
    assert_ok(weights_matrix(net, "conv.w", 1, 6, &kw, &err), &err);
    assert_ok(weights_matrix(net, "blocks.3.w", 0, 0, &kw, &err), &err);
    assert_int_equal(kw.dtype, K_F32);
    assert_true(((const float *)kw.data)[4] == 5);
    assert_ok(weights_matrix(net, "fc.weight", 2, 3, &kw, &err), &err);
    assert_null(kw.scale); /* no mark, no scale */
    assert_ok(weights_view(net, "norm", &v, &err), &err);
    assert_int_equal(v.dtype, K_BF16);
    weights_release(net);
    weights_unref(net);
    unmake(&m);
}

static void test_lookup_errors(void **state)
{
    Made m;
    Weights *w = NULL;
    Error err = { 0 };
    KWeight kw;
    float f[6];

    (void)state;
    make_sample(&m);
    assert_ok(weights_open(m.path, NULL, &w, &err), &err);
    assert_int_equal(weights_matrix(w, "net.block.1.w", 0, 0, &kw, &err), E_MISSING);
    assert_non_null(strstr(err.fix, "net.blocks.1.w"));
    assert_string_equal(err.file, m.path);
    assert_int_equal(weights_matrix(w, "net.blocks.0.w", 2, 4, &kw, &err), E_SHAPE);
    assert_int_equal(weights_matrix(w, "net.norm", 0, 0, &kw, &err), E_SHAPE);
    assert_int_equal(weights_f32_into(w, "net.norm", f, 5, &err), E_SHAPE);
    assert_int_equal(weights_open("does/not/exist.safetensors", NULL, &w, &err), E_IO);
    weights_unref(w);
    unmake(&m);
}

/* Values: torch's .to(float8_e4m3fn) of 1, .3, -.7, 448, 500, 1e-5. */
static void test_cast(void **state)
{
    static const float want[] = { 1, 0.3125f, -0.6875f, 448, NAN, 0 };
    const WeightsOptions options = { .cast = K_F8_E4M3 };
    Made m;
    Weights *w = NULL;
    Error err = { 0 };
    KWeight kw;
    float got[6];

    (void)state;
    make_sample(&m);
    assert_ok(weights_open(m.path, &options, &w, &err), &err);
    assert_ok(weights_matrix(w, "net.blocks.0.w", 2, 3, &kw, &err), &err);
    assert_int_equal(kw.cast, K_F8_E4M3);
    assert_int_equal(kw.dtype, K_F32);
    assert_ok(weights_f32_into(w, "net.blocks.0.w", got, 6, &err), &err);
    for (int i = 0; i < 6; i++)
        assert_true(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])));
    weights_unref(w);
    unmake(&m);
}

static void test_dummy(void **state)
{
    const WeightsOptions options = { .dummy = true };
    Made m;
    Weights *w = NULL;
    Error err = { 0 };
    KWeight kw;
    const float *v = NULL;

    (void)state;
    make_sample(&m);
    assert_ok(weights_open(m.path, &options, &w, &err), &err);
    assert_true(weights_is_dummy(w));
    assert_ok(weights_matrix(w, "net.blocks.0.w", 2, 3, &kw, &err), &err);
    assert_non_null(kw.data);
    assert_ok(weights_f32(w, "net.norm", 6, &v, &err), &err);
    assert_true(v[0] == 0);
    weights_unref(w);
    unmake(&m);
}

static void write_text(Made *m, const char *name, const char *text, size_t n)
{
    Error err = { 0 };

    made_path(m, name);
    assert_ok(file_write(m->path, text, n, &err), &err);
}

static void check_open_fails(const char *name, const char *text, size_t n, Status want)
{
    Made m;
    Weights *w = NULL;
    Error err = { 0 };
    Status s;

    write_text(&m, name, text, n);
    s = weights_open(m.path, NULL, &w, &err);
    if (s != want) fail_msg("%s: %s", text, status_name(s));
    assert_true(err.file[0] != '\0');
    unmake(&m);
}

static void test_bad_files(void **state)
{
    static const char outside[] = "{\"weight_map\": {\"a\": \"../x.safetensors\"}}";
    static const char number[] = "{\"weight_map\": {\"a\": 1}}";
    static const char absent[] = "{\"weight_map\": {\"a\": \"x.safetensors\"}}";

    (void)state;
    check_open_fails("a.ckpt", "PK\3\4 and so on", 14, E_FORMAT);
    check_open_fails("a.pt", "\x80\x02}q", 4, E_FORMAT);
    check_open_fails("a.safetensors", "", 0, E_FORMAT);
    check_open_fails("a.index.json", "{}", 2, E_FORMAT);
    check_open_fails("a.index.json", "{", 1, E_FORMAT);
    check_open_fails("a.index.json", outside, sizeof outside - 1, E_FORMAT);
    check_open_fails("a.index.json", number, sizeof number - 1, E_FORMAT);
    check_open_fails("a.index.json", absent, sizeof absent - 1, E_IO);
}

/* Four FP8 layers: one marked by the header, one by a padded tensor record, one by both in disagreement
 * (the header wins), one not at all. */
static void test_marks(void **state)
{
    static const char record[] = "{\"format\": \"float8_e4m3fn\"}\0",
                      other[] = "{\"format\": \"nvfp4\"}";
    static const int64_t matrix[] = { 1, 2 }, one[] = { 1 }, length[] = { sizeof record },
                         other_length[] = { sizeof other - 1 };
    static const uint8_t codes[2] = { 0x38, 0x40 };
    static const float two = 2;
    static const SafePair meta[] = { { "_quantization_metadata",
                                       "{\"layers\": {\"a\": {\"format\": \"float8_e4m3fn\"}, "
                                       "\"c\": \"float8_e4m3fn\"}}" } };
    static const SafeItem items[] = {
        { "a.weight", K_F8_E4M3, 2, matrix, codes },
        { "a.weight_scale", K_F32, 0, NULL, &two },
        { "b.weight", K_F8_E4M3, 2, matrix, codes },
        { "b.weight_scale", K_F32, 1, one, &two },
        { "b.comfy_quant", K_U8, 1, length, record },
        { "c.weight", K_F8_E4M3, 2, matrix, codes },
        { "c.weight_scale", K_F32, 1, one, &two },
        { "c.comfy_quant", K_U8, 1, other_length, other },
        { "d.weight", K_F8_E4M3, 2, matrix, codes },
        { "d.scale_weight", K_F32, 1, one, &two },
        { "scaled_fp8", K_F8_E4M3, 1, one, codes },
    };
    static const char *const names[] = { "a.weight", "b.weight", "c.weight", "d.weight" };
    Made m;
    Weights *w = NULL;
    Error err = { 0 };
    float got[2];
    KWeight kw;

    (void)state;
    for (int with_header = 0; with_header < 2; with_header++) {
        made_path(&m, "marks.safetensors");
        assert_ok(safetensors_write(m.path, items, 11, meta, (size_t)with_header, &err), &err);
        if (!with_header) { /* an FP8 matrix marked as packed FP4 */
            assert_int_equal(weights_open(m.path, NULL, &w, &err), E_FORMAT);
            unmake(&m);
            continue;
        }
        assert_ok(weights_open(m.path, NULL, &w, &err), &err);
        for (int i = 0; i < 4; i++) {
            bool scaled = i < 3;

            assert_ok(weights_f32_into(w, names[i], got, 2, &err), &err);
            assert_true(got[0] == (scaled ? 2.0f : 1.0f));
        }
        assert_ok(weights_matrix(w, "c.weight", 1, 2, &kw, &err), &err);
        weights_unref(w);
        unmake(&m);
    }
}

static Status open_and_look(void *user, Error *err)
{
    const Made *m = user;
    Weights *w = NULL, *net = NULL;
    const float *v;
    KWeight kw;
    Status status = weights_open(m->path, NULL, &w, err);

    if (status == OK) status = weights_scope(w, "net.", &net, err);
    if (status == OK) status = weights_f32(net, "norm", 6, &v, err);
    if (status == OK) status = weights_matrix(net, "blocks.3.w", 2, 3, &kw, err);
    weights_unref(net);
    weights_unref(w);
    return status;
}

static void test_out_of_memory(void **state)
{
    Made m;

    (void)state;
    make_sample(&m);
    assert_true(fail_each_allocation(open_and_look, &m) > 10);
    unmake(&m);
}

static void test_type_of_file_name(void **state)
{
    static const struct {
        const char *name;
        KDtype type;
    } names[] = {
        { "t5xxl_fp8_e4m3fn.safetensors", K_F8_E4M3 },
        { "t5xxl_fp8_e4m3fn_scaled.safetensors", K_F8_E4M3 },
        { "t5xxl_fp8_e5m2.safetensors", K_F8_E5M2 },
        { "qwen_3_4b_fp8_mixed.safetensors", K_F8_E4M3 },
        { "mistral_3_small_flux2_fp8.safetensors", K_F8_E4M3 },
        { "flux1DevKontextFP8.safetensors", K_F8_E4M3 },
        { "t5xxl_fp16.safetensors", K_F16 },
        { "mistral_3_small_flux2_bf16.safetensors", K_BF16 },
        { "qwen_3_4b.safetensors", K_BF16 },
        { "clip_l.safetensors", K_BF16 },
        { "t5-v1_1-xxl-encoder-Q4_K_M.gguf", K_Q4_K },
        { "flux1-dev-Q8_0.gguf", K_Q8_0 },
        { "Qwen3-4B-Q5_K_S.gguf", K_Q5_K },
        { "Qwen3-8B-IQ4_XS.gguf", K_IQ4_XS },
        { "flux2-dev-Q3_K_L.gguf", K_Q3_K },
        { "fp8/flux1-dev-F16.gguf", K_F16 },
        { "flux1-dev-bnb-nf4-v2.safetensors", K_Q4_0 },
        { "qwen_3_4b_fp4_flux2.safetensors", K_Q4_0 },
        { "rf16x-model.safetensors", K_BF16 },
        { "", K_BF16 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (file_name_dtype(names[i].name) != names[i].type)
            fail_msg("%s: %s", names[i].name, k_dtype_name(file_name_dtype(names[i].name)));
}

static void test_block_types_of_shapes(void **state)
{
    static const WeightsShape rows[] = { { "matrix", 2, { 4, 512 } },
                                         { "odd", 2, { 4, 96 } },
                                         { "vector", 1, { 512 } } };
    Weights *w = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(weights_from_shapes("x-Q4_K_M.gguf", K_Q4_K, rows, 3, &w, &err), &err);
    assert_int_equal(weights_dtype(w, "matrix"), K_Q4_K);
    assert_int_equal(weights_dtype(w, "odd"), K_BF16);
    assert_int_equal(weights_dtype(w, "vector"), K_BF16);
    assert_int_equal(weights_bytes(w), 4 * 2 * 144 + 2 * (4 * 96 + 512));
    weights_unref(w);
}

int run_weights_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaled_comfy_quant),
        cmocka_unit_test(test_scaled_metadata),
        cmocka_unit_test(test_scaled_old_style),
        cmocka_unit_test(test_sharded),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_lookup_errors),
        cmocka_unit_test(test_cast),
        cmocka_unit_test(test_dummy),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_type_of_file_name),
        cmocka_unit_test(test_block_types_of_shapes),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
