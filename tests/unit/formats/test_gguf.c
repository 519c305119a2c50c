/* test_gguf.c - GGUF headers, values and names, against the reference's decoded tensors. */
#include "tests/unit/formats/common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/gguf.h"
#include "engine/formats/weights.h"

/* ---- a writer for tests ---- */

static void put(Str *s, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        str_add_char(s, (char)(v >> (8 * i) & 0xFF));
}

static void put_text(Str *s, const char *text)
{
    put(s, strlen(text), 8);
    str_add(s, text);
}

static void put_head(Str *s, uint64_t tensors, uint64_t pairs)
{
    str_add(s, "GGUF");
    put(s, 3, 4);
    put(s, tensors, 8);
    put(s, pairs, 8);
}

static void put_string_pair(Str *s, const char *key, const char *value)
{
    put_text(s, key);
    put(s, GGUF_STRING, 4);
    put_text(s, value);
}

static void put_u32_pair(Str *s, const char *key, uint32_t v)
{
    put_text(s, key);
    put(s, GGUF_U32, 4);
    put(s, v, 4);
}

static void put_tensor(Str *s, const char *name, uint64_t columns, uint64_t rows, unsigned type,
                       uint64_t offset)
{
    put_text(s, name);
    put(s, 2, 4);
    put(s, columns, 8);
    put(s, rows, 8);
    put(s, type, 4);
    put(s, offset, 8);
}

static void align(Str *s)
{
    while (s->length % 32 != 0)
        str_add_char(s, 0);
}

static Status parse(const Str *s, Gguf **out, Error *err)
{
    return gguf_parse((const uint8_t *)s->text, s->length, out, err);
}

/* ---- tests ---- */

static void test_values(void **state)
{
    char path[4096];
    FileMap *map = NULL;
    Gguf *g = NULL;
    Error err = { 0 };
    int64_t v;

    (void)state;
    shared_path(path, sizeof path, "vectors/quantisation/tiny.gguf");
    assert_ok(file_map(path, &map, &err), &err);
    assert_ok(gguf_parse(map->data, map->size, &g, &err), &err);
    assert_int_equal(g->tensor_count, 8);
    assert_string_equal(gguf_print(g, gguf_find(g, "general.architecture")), "flux");
    assert_string_equal(gguf_print(g, gguf_find(g, "k.str")), "gr\xC3\xBC\xC3\x9F"
                                                              "e");
    assert_string_equal(gguf_print(g, gguf_find(g, "k.f32")), "0.25");
    assert_string_equal(gguf_print(g, gguf_find(g, "k.f64")), "1e-300");
    assert_string_equal(gguf_print(g, gguf_find(g, "k.bool")), "true");
    assert_true(gguf_integer(gguf_find(g, "k.i32"), 0, &v) && v == -3);
    assert_true(gguf_integer(gguf_find(g, "k.i16"), 0, &v) && v == -32768);
    assert_true(gguf_integer(gguf_find(g, "k.u64"), 0, &v) && v == INT64_C(1099511627776));
    assert_true(gguf_integer(gguf_find(g, "k.arr_i"), 2, &v) && v == 3);
    assert_false(gguf_integer(gguf_find(g, "k.arr_i"), 3, &v));
    assert_int_equal(gguf_find(g, "k.arr_s")->count, 2);
    assert_null(gguf_find(g, "k.none"));
    gguf_free(g);
    ref_drop(map);
}

static void test_tensors(void **state)
{
    char path[4096];
    Weights *w = NULL, *expected = NULL;
    Error err = { 0 };

    (void)state;
    shared_path(path, sizeof path, "vectors/quantisation/tiny.gguf");
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    shared_path(path, sizeof path, "vectors/quantisation/tiny_gguf_expected.safetensors");
    assert_ok(weights_open(path, NULL, &expected, &err), &err);
    assert_int_equal(weights_count(w), weights_count(expected));
    for (size_t i = 0; i < weights_count(w); i++) {
        const char *name = weights_name(w, i);
        int64_t shape[K_MAX_DIMS], other[K_MAX_DIMS], n = weights_elements(expected, name);
        const float *got = NULL, *want = NULL;
        int ndim = weights_shape(w, name, shape);

        assert_int_equal(ndim, weights_shape(expected, name, other));
        for (int d = 0; d < ndim; d++)
            assert_int_equal(shape[d], other[d]);
        assert_ok(weights_f32(w, name, n, &got, &err), &err);
        assert_ok(weights_f32(expected, name, n, &want, &err), &err);
        for (int64_t j = 0; j < n; j++)
            assert_true(fabsf(got[j] - want[j]) <= 2e-7f * fabsf(want[j]));
    }
    assert_string_equal(weights_metadata(w, "general.architecture"), "flux");
    weights_unref(expected);
    weights_unref(w);
}

static void open_text(Str *s, Weights **w)
{
    char folder[] = "/tmp/weft-test-XXXXXX", path[64];
    Error err = { 0 };

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.gguf", folder);
    assert_ok(file_write(path, s->text, s->length, &err), &err);
    assert_ok(weights_open(path, NULL, w, &err), &err);
    unlink(path);
    rmdir(folder);
    str_fini(s);
}

static void test_text_encoder_names(void **state)
{
    static const char *const rows[][3] = {
        { "t5encoder", "enc.blk.3.attn_rel_b.weight",
          "encoder.block.3.layer.0.SelfAttention.relative_attention_bias.weight" },
        { "t5", "enc.blk.11.ffn_gate.weight",
          "encoder.block.11.layer.1.DenseReluDense.wi_0.weight" },
        { "t5", "enc.blk.0.attn_norm.weight", "encoder.block.0.layer.0.layer_norm.weight" },
        { "t5", "enc.output_norm.weight", "encoder.final_layer_norm.weight" },
        { "t5", "token_embd.weight", "shared.weight" },
        { "qwen3", "blk.7.attn_q_norm.weight", "model.layers.7.self_attn.q_norm.weight" },
        { "qwen3", "blk.7.attn_q.weight", "model.layers.7.self_attn.q_proj.weight" },
        { "qwen3", "blk.7.attn_output.weight", "model.layers.7.self_attn.o_proj.weight" },
        { "qwen3", "output_norm.weight", "model.norm.weight" },
        { "qwen3", "output.weight", "lm_head.weight" },
        { "flux", "model.diffusion_model.img_in.weight", "img_in.weight" },
        { "flux", "double_blocks.0.img_attn.qkv.weight",
          "double_blocks.0.img_attn.qkv.weight" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Str s = { 0 };
        Weights *w = NULL;

        put_head(&s, 1, 1);
        put_string_pair(&s, "general.architecture", rows[i][0]);
        put_tensor(&s, rows[i][1], 2, 1, 0, 0);
        align(&s);
        put(&s, 0, 8);
        open_text(&s, &w);
        assert_string_equal(weights_name(w, 0), rows[i][2]);
        weights_unref(w);
    }
}

/* One head of four rows: the file has pairs side by side, a checkpoint has halves. */
static void test_interleaved_rows(void **state)
{
    static const float rows[] = { 0, 2, 1, 3 }, want[] = { 0, 1, 2, 3 };
    Str s = { 0 };
    Weights *w = NULL;
    Error err = { 0 };
    KWeight kw;

    (void)state;
    put_head(&s, 1, 3);
    put_string_pair(&s, "general.architecture", "llama");
    put_u32_pair(&s, "llama.attention.head_count", 1);
    put_u32_pair(&s, "llama.attention.head_count_kv", 1);
    put_tensor(&s, "blk.0.attn_q.weight", 1, 4, 0, 0);
    align(&s);
    str_add_n(&s, (const char *)rows, sizeof rows);
    open_text(&s, &w);
    assert_ok(weights_matrix(w, "model.layers.0.self_attn.q_proj.weight", 4, 1, &kw, &err),
              &err);
    assert_memory_equal(kw.data, want, sizeof want);
    weights_unref(w);
}

static void test_original_shape(void **state)
{
    static const float data[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    static const int dims[] = { 2, 3, 2, 1 };
    Str s = { 0 };
    Weights *w = NULL;
    Error err = { 0 };
    KWeight kw;

    (void)state;
    put_head(&s, 1, 1);
    put_text(&s, "comfy.gguf.orig_shape.conv.weight");
    put(&s, GGUF_ARRAY, 4);
    put(&s, GGUF_I32, 4);
    put(&s, 4, 8);
    for (int i = 0; i < 4; i++)
        put(&s, (uint64_t)dims[i], 4);
    put_tensor(&s, "conv.weight", 12, 1, 0, 0);
    align(&s);
    str_add_n(&s, (const char *)data, sizeof data);
    open_text(&s, &w);
    assert_ok(weights_matrix(w, "conv.weight", 2, 6, &kw, &err), &err);
    assert_int_equal(weights_dim(w, "conv.weight", 1), 3);
    weights_unref(w);
}

static void expect(Str *s, Status want)
{
    Gguf *g = NULL;
    Error err = { 0 };
    Status status = parse(s, &g, &err);

    if (status != want) fail_msg("%s instead of %s", status_name(status), status_name(want));
    if (status == OK) gguf_free(g);
    str_fini(s);
}

static void test_refusals(void **state)
{
    Str s = { 0 };

    (void)state;
    expect(&s, E_FORMAT);
    put_head(&s, UINT64_MAX, 0);
    expect(&s, E_FORMAT);
    put_head(&s, 0, UINT64_MAX);
    expect(&s, E_FORMAT);
    put_head(&s, 0, 0);
    s.text[4] = 1;
    expect(&s, E_UNSUPPORTED);
    put_head(&s, 1, 0);
    put_tensor(&s, "a", UINT64_C(1) << 62, 8, 0, 0);
    align(&s);
    expect(&s, E_FORMAT);
    put_head(&s, 1, 0);
    put_tensor(&s, "a", 33, 1, 2, 0); /* half a Q4_0 block */
    align(&s);
    expect(&s, E_FORMAT);
    put_head(&s, 1, 0);
    put_tensor(&s, "a", 1, 1, 99, 0);
    expect(&s, E_UNSUPPORTED);
    put_head(&s, 1, 0);
    put_tensor(&s, "a", 1, 1, 0, 16);
    align(&s);
    put(&s, 0, 8);
    put(&s, 0, 8);
    put(&s, 0, 8);
    expect(&s, E_FORMAT); /* not aligned */
    put_head(&s, 1, 0);
    put_tensor(&s, "a", 8, 1, 0, 0);
    align(&s);
    put(&s, 0, 8);
    expect(&s, E_FORMAT); /* cut off */
    put_head(&s, 0, 1);
    put_u32_pair(&s, "general.alignment", 3);
    expect(&s, E_FORMAT);
    put_head(&s, 0, 1);
    put_text(&s, "k");
    put(&s, GGUF_ARRAY, 4);
    put(&s, GGUF_U64, 4);
    put(&s, UINT64_MAX / 4, 8);
    expect(&s, E_FORMAT);
}

static Status open_path(void *user, Error *err)
{
    Weights *w = NULL;
    Status status = weights_open(user, NULL, &w, err);

    weights_unref(w);
    return status;
}

static void test_out_of_memory(void **state)
{
    char path[4096];

    (void)state;
    shared_path(path, sizeof path, "vectors/quantisation/tiny.gguf");
    assert_true(fail_each_allocation(open_path, path) > 10);
}

int run_gguf_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_text_encoder_names),
        cmocka_unit_test(test_interleaved_rows),
        cmocka_unit_test(test_original_shape),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
