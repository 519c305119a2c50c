/* test_lora.c - LoRA files of every format against patched matrices of the reference; an argument filters
 * tests by name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/quantize.h"
#include "engine/formats/safetensors.h"
#include "engine/lora/lora.h"
#include "engine/lora/targets.h"
#include "tests/unit/support.h"

static const double TOLERANCE = 1e-6;

/* ---- opening ---------------------------------------------------------------------------------------------- */

static Weights *open_file(const char *name, const char *prefix)
{
    char path[700], relative[256];
    Weights *w = NULL, *scope = NULL;
    Error err = { 0 };

    snprintf(relative, sizeof relative, "vectors/lora/%s.safetensors", name);
    if (!shared_path(relative, path, sizeof path)) {
        print_message("no %s\n", relative);
        skip();
    }
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    if (!prefix) return w;
    assert_ok(weights_scope(w, prefix, &scope, &err), &err);
    weights_unref(w);
    return scope;
}

static JsonDoc *open_json(const char *name)
{
    char path[700], relative[256];
    snprintf(relative, sizeof relative, "vectors/lora/%s.json", name);
    if (!shared_path(relative, path, sizeof path)) {
        print_message("no %s\n", relative);
        skip();
    }
    return json_file(path);
}

/* A matrix as the model's builder asks for it: vectors are float32 matrices of one row. */
static KWeight matrix_of(const Weights *base, const char *name)
{
    KWeight w = { 0 };
    Error err = { 0 };
    int64_t shape[K_MAX_DIMS];

    if (weights_shape(base, name, shape) == 1) {
        const float *values = NULL;
        assert_ok(weights_f32(base, name, shape[0], &values, &err), &err);
        return (KWeight){
            .data = values, .dtype = K_F32, .n = 1, .k = shape[0], .row_bytes = shape[0] * 4
        };
    }
    assert_ok(weights_matrix(base, name, 0, 0, &w, &err), &err);
    return w;
}

/* ---- every case of the manifest ----------------------------------------------------------------------------- */

static double compare(const Weights *patched, const char *name, const KWeight *w)
{
    double worst = 0;
    Error err = { 0 };
    int64_t count = weights_elements(patched, name);

    assert_int_equal(count, w->n * w->k);
    assert_int_equal(w->dtype, K_F32);
    float *want = mem_alloc_array((size_t)count, sizeof *want);
    assert_ok(weights_f32_into(patched, name, want, count, &err), &err);
    const float *have = w->data;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)have[i] - (double)want[i];
        d = d < 0 ? -d : d;
        if (!(d <= worst)) worst = d;
    }
    mem_free(want);
    return worst;
}

/* Every tensor of base: those of the patched file must agree, all others must stay. */
static double check_all(Lora *lora, const Weights *base, const Weights *patched,
                        double strength)
{
    double worst = 0;
    size_t changed = 0;
    Error err = { 0 };

    for (size_t i = 0; i < weights_count(base); i++) {
        const char *name = weights_name(base, i);
        KWeight w = matrix_of(base, name);
        const void *before = w.data;
        assert_ok(lora_apply(lora, name, strength, &w, &err), &err);
        bool listed = weights_has(patched, name);
        if (listed != (w.data != before)) fail_msg("%s is changed: %d", name, !listed);
        if (!listed) continue;
        double d = compare(patched, name, &w);
        if (!(d <= worst)) worst = d;
        changed++;
    }
    assert_int_equal(changed, weights_count(patched));
    return worst;
}

static void run_case(const char *model, const char *name, const Json *facts)
{
    char file[128];
    Lora *lora = NULL;
    Error err = { 0 };

    snprintf(file, sizeof file, "%s.base_weights", model);
    Weights *base = open_file(file, "diffusion_model.");
    snprintf(file, sizeof file, "%s.case_%s.lora", model, name);
    Weights *tensors = open_file(file, NULL);
    snprintf(file, sizeof file, "%s.case_%s.patched", model, name);
    Weights *patched = open_file(file, "diffusion_model.");
    assert_ok(lora_open(tensors, base, true, &lora, &err), &err);
    assert_int_equal(lora_report(lora)->unmatched, 0);
    assert_int_equal(lora_report(lora)->changes, (int)param_number(facts, "patches", 0));
    double worst = check_all(lora, base, patched, param_number(facts, "strength", 1));
    print_message("%s %s: %d changes, largest error %.2g\n", model, name,
                  lora_report(lora)->changes, worst);
    if (!(worst <= TOLERANCE)) fail_msg("%s %s is off by %g", model, name, worst);
    lora_free(lora);
    weights_unref(patched);
    weights_unref(tensors);
    weights_unref(base);
}

static void test_vectors(void **state)
{
    JsonDoc *doc = open_json("manifest");
    int cases = 0;
    (void)state;
    for (const Json *c = json_first(json_root(doc)); c; c = json_next(c), cases++) {
        char model[32];
        const char *key = json_key(c), *dot = strchr(key, '.');
        assert_non_null(dot);
        snprintf(model, sizeof model, "%.*s", (int)(dot - key), key);
        run_case(model, dot + 1, c);
    }
    assert_true(cases > 0);
    json_free(doc);
}

/* ---- the table of prefixes ------------------------------------------------------------------------------------ */

static void check_prefix(const LoraTargets *t, const Weights *base, const Json *row)
{
    bool plain = json_is(row, JSON_STRING);
    const char *tensor = json_string(plain ? row : json_at(row, 0));
    const Json *slice = plain ? NULL : json_at(row, 1),
               *change = plain ? NULL : json_at(row, 2);
    const LoraTarget *have = lora_targets_find(t, json_key(row));

    tensor += strlen("diffusion_model.");
    if (!weights_has(base, tensor)) {
        assert_null(have);
        return;
    }
    if (!have) fail_msg("%s is not known", json_key(row));
    assert_string_equal(have->tensor, tensor);
    bool sliced = json_is(slice, JSON_ARRAY);
    assert_int_equal(have->first, sliced ? (int)json_double(json_at(slice, 1)) : 0);
    assert_int_equal(have->rows, sliced ? (int)json_double(json_at(slice, 2)) : 0);
    assert_int_equal(have->swap, json_is(change, JSON_STRING));
}

static void check_table(const Json *table)
{
    char file[64];
    LoraTargets targets = { 0 };
    Error err = { 0 };
    size_t known = 0;

    snprintf(file, sizeof file, "%s.base_weights", json_key(table));
    Weights *base = open_file(file, "diffusion_model.");
    assert_ok(lora_targets_init(&targets, base, &err), &err);
    for (const Json *row = json_first(table); row; row = json_next(row)) {
        check_prefix(&targets, base, row);
        known += lora_targets_find(&targets, json_key(row)) != NULL;
    }
    assert_int_equal(known, targets.map.count);
    lora_targets_fini(&targets);
    weights_unref(base);
}

static void test_prefixes(void **state)
{
    JsonDoc *doc = open_json("key_map");
    (void)state;
    for (const Json *t = json_first(json_root(doc)); t; t = json_next(t))
        check_table(t);
    json_free(doc);
}

/* ---- what files may get wrong --------------------------------------------------------------------------------- */

enum { WIDTH = 32 };

static Weights *table_of(const WeightsShape *rows, size_t count)
{
    Weights *w = NULL;
    Error err = { 0 };
    assert_ok(weights_from_shapes("test", K_F32, rows, count, &w, &err), &err);
    return w;
}

static Weights *small_base(void)
{
    static const WeightsShape rows[] = {
        { "double_blocks.0.img_attn.qkv.weight", 2, { 3 * WIDTH, WIDTH } },
        { "double_blocks.0.img_attn.proj.weight", 2, { WIDTH, WIDTH } },
    };
    return table_of(rows, sizeof rows / sizeof *rows);
}

/* Opens a file of one pair on the small base; gives the report of one that opens. */
static Status open_pair(const char *a, int64_t a_rows, int64_t a_cols, const char *b,
                        int64_t b_rows, int64_t b_cols, LoraReport *report, Error *err)
{
    WeightsShape rows[2] = { { .ndim = 2, .shape = { a_rows, a_cols } },
                             { .ndim = 2, .shape = { b_rows, b_cols } } };
    Lora *lora = NULL;

    snprintf(rows[0].name, sizeof rows[0].name, "%s", a);
    snprintf(rows[1].name, sizeof rows[1].name, "%s", b);
    Weights *base = small_base(), *file = table_of(rows, b_rows ? 2 : 1);
    Status status = lora_open(file, base, true, &lora, err);
    if (status == OK) *report = *lora_report(lora);
    lora_free(lora);
    weights_unref(file);
    weights_unref(base);
    return status;
}

#define PROJ "diffusion_model.double_blocks.0.img_attn.proj"

static void test_errors(void **state)
{
    Error err = { 0 };
    LoraReport r = { 0 };
    (void)state;
    assert_ok(open_pair("nothing.lora_A.weight", 4, WIDTH, "nothing.lora_B.weight", WIDTH, 4,
                        &r, &err),
              &err);
    assert_int_equal(r.changes, 0);
    assert_int_equal(r.matched, 0);
    assert_int_equal(r.unmatched, 2);
    assert_non_null(strstr(r.unmatched_key, "nothing.lora_"));
    assert_int_equal(open_pair(PROJ ".lora_A.weight", 4, WIDTH, "", 0, 0, &r, &err), E_MISSING);
    assert_non_null(strstr(err.message, PROJ));
    assert_int_equal(open_pair(PROJ ".oft_blocks", 4, 4, "", 0, 0, &r, &err), E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "oft_blocks"));
    assert_int_equal(
        open_pair(PROJ ".lora_A.weight", 4, WIDTH, PROJ ".lora_B.weight", WIDTH, 5, &r, &err),
        E_SHAPE);
    assert_ok(
        open_pair(PROJ ".lora_A.weight", 4, 48, PROJ ".lora_B.weight", WIDTH, 4, &r, &err),
        &err);
    assert_int_equal(r.changes, 0);
    assert_int_equal(r.misfits, 1);
}

static void test_text_keys(void **state)
{
    Error err = { 0 };
    LoraReport r = { 0 };
    (void)state;
    assert_ok(open_pair("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", 4, 8,
                        PROJ ".diff", WIDTH, WIDTH, &r, &err),
              &err);
    assert_int_equal(r.text_keys, 1);
    assert_int_equal(r.changes, 1);
    assert_int_equal(r.unmatched, 0);
}

/* A dummy run sees shapes and no values; 16-bit matrices stay 16 bits wide where nothing asks for more. */
static void test_dummy(void **state)
{
    static const WeightsShape rows[] = { { PROJ ".diff", 2, { WIDTH, WIDTH } } };
    Weights *base = small_base(), *file = table_of(rows, 1);
    KWeight w = { .dtype = K_BF16, .n = WIDTH, .k = WIDTH, .row_bytes = 2 * WIDTH };
    Lora *lora = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(lora_open(file, base, false, &lora, &err), &err);
    assert_ok(lora_apply(lora, "double_blocks.0.img_attn.proj.weight", 1, &w, &err), &err);
    assert_null(w.data);
    assert_int_equal(w.dtype, K_BF16);
    assert_int_equal(w.row_bytes, 2 * WIDTH);
    lora_free(lora);
    weights_unref(file);
    weights_unref(base);
}

/* ---- matrices in parts, and results in 16 bits ------------------------------------------------------------------ */

/* Names of a model that keeps the attention rows of its first block apart. */
static bool part_name(void *user, const char *name, char *buf, size_t size)
{
    (void)user;
    if (strcmp(name, "final_layer.adaLN_modulation.1.weight") == 0)
        return snprintf(buf, size, "%s.0", name) > 0;
    return snprintf(buf, size, "%s", name) > 0;
}

/* Stored with its halves exchanged, the final modulation takes a diffusers change as it is. */
static void test_swapped_final(void **state)
{
    static const char name[] = "final_layer.adaLN_modulation.1.weight.0";
    Weights *whole = open_file("flux.base_weights", "diffusion_model.");
    Weights *file = open_file("flux.case_diffusers_peft.lora", NULL), *parts = NULL;
    Lora *a = NULL, *b = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(weights_rename(whole, part_name, NULL, &parts, &err), &err);
    assert_ok(lora_open(file, whole, true, &a, &err), &err);
    assert_ok(lora_open(file, parts, true, &b, &err), &err);
    KWeight x = matrix_of(whole, "final_layer.adaLN_modulation.1.weight");
    KWeight y = x, base = x;
    assert_ok(lora_apply(a, "final_layer.adaLN_modulation.1.weight", 1, &x, &err), &err);
    assert_ok(lora_apply(b, name, 1, &y, &err), &err);
    int64_t n = x.n * x.k, half = n / 2;
    const float *p = x.data, *q = y.data, *w = base.data;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = (i + half) % n;
        assert_true(fabsf((p[i] - w[i]) - (q[j] - w[j])) < 1e-6f);
    }
    lora_free(a);
    lora_free(b);
    weights_unref(parts);
    weights_unref(file);
    weights_unref(whole);
}

/* Asked for again, a merged matrix is the one made first. */
static void test_kept(void **state)
{
    static const char name[] = "double_blocks.0.img_attn.proj.weight";
    Weights *base = open_file("flux.base_weights", "diffusion_model.");
    Weights *file = open_file("flux.case_kohya.lora", NULL);
    Lora *lora = NULL;
    Error err = { 0 };
    (void)state;
    assert_ok(lora_open(file, base, true, &lora, &err), &err);
    KWeight first = matrix_of(base, name), second = first, third = first;
    assert_ok(lora_apply(lora, name, 0.5, &first, &err), &err);
    assert_ok(lora_apply(lora, name, 0.5, &second, &err), &err);
    assert_ok(lora_apply(lora, name, -0.5, &third, &err), &err);
    assert_ptr_equal(first.data, second.data);
    assert_ptr_not_equal(first.data, third.data);
    lora_free(lora);
    weights_unref(file);
    weights_unref(base);
}

/* ---- quantised bases -------------------------------------------------------------------------------------------- */

static float *all_values(const KWeight *w)
{
    float *v = mem_alloc_array((size_t)(w->n * w->k), sizeof *v);

    assert_non_null(v);
    for (int64_t r = 0; r < w->n; r++)
        assert_int_equal(k_weight_row(w, r, 0, w->k, v + r * w->k), K_OK);
    return v;
}

/* The quantised matrix changes by as much as the wide one, and keeps its codes where nothing else is needed. */
static double compare_change(Lora *lora, const Weights *base, const Weights *wide,
                             const Weights *patched, const char *name, double strength,
                             bool beside)
{
    KWeight w = matrix_of(base, name);
    bool coded = w.quant || w.scale || w.dtype > K_F16;
    Error err = { 0 };
    double worst = 0;
    float *before = all_values(&w), *original = mem_alloc_array((size_t)(w.n * w.k), 4),
          *want = mem_alloc_array((size_t)(w.n * w.k), 4);
    const void *data = w.data;

    assert_ok(weights_f32_into(wide, name, original, w.n * w.k, &err), &err);
    assert_ok(weights_f32_into(patched, name, want, w.n * w.k, &err), &err);
    assert_ok(lora_apply(lora, name, strength, &w, &err), &err);
    if (beside && coded) {
        assert_ptr_equal(w.data, data);
        assert_non_null(w.side);
    }
    KWeight again = matrix_of(base, name);
    assert_ok(lora_apply(lora, name, strength, &again, &err), &err);
    assert_ptr_equal(again.data, w.data);
    assert_ptr_equal(again.side, w.side);
    float *after = all_values(&w);
    for (int64_t i = 0; i < w.n * w.k; i++) {
        double change = (double)want[i] - (double)original[i];
        double d = fabs((double)after[i] - (double)before[i] - change);
        if (!(d <= worst)) worst = d;
    }
    mem_free(before);
    mem_free(original);
    mem_free(want);
    mem_free(after);
    return worst;
}

static void check_quantised(const char *model, const char *name, const Json *facts,
                            const Weights *base)
{
    char file[128];
    Lora *lora = NULL;
    Error err = { 0 };

    snprintf(file, sizeof file, "%s.base_weights", model);
    Weights *wide = open_file(file, "diffusion_model.");
    snprintf(file, sizeof file, "%s.case_%s.lora", model, name);
    Weights *tensors = open_file(file, NULL);
    snprintf(file, sizeof file, "%s.case_%s.patched", model, name);
    Weights *patched = open_file(file, "diffusion_model.");
    assert_ok(lora_open(tensors, base, true, &lora, &err), &err);
    bool beside = strcmp(name, "loha") != 0 && strcmp(name, "lokr") != 0;
    for (size_t i = 0; i < weights_count(patched); i++) {
        const char *tensor = weights_name(patched, i);
        int64_t shape[K_MAX_DIMS];
        if (weights_shape(base, tensor, shape) != 2) continue;
        double d = compare_change(lora, base, wide, patched, tensor,
                                  param_number(facts, "strength", 1), beside);
        if (!(d <= 1e-5)) fail_msg("%s %s: %s is off by %g", model, name, tensor, d);
    }
    lora_free(lora);
    weights_unref(patched);
    weights_unref(tensors);
    weights_unref(wide);
}

/* A base of each coding, all plain changes of the manifest on it. */
static void check_coding(const Json *manifest, const char *model, const char *type)
{
    static const char *const cases[] = { "kohya",      "bfl_peft", "diffusers_peft",
                                         "onetrainer", "loha",     "lokr" };
    char folder[] = "/tmp/weft-lora-XXXXXX", out[64], in[700], relative[96], key[64];
    QuantizeReport report;
    Weights *whole = NULL, *base = NULL;
    Error err = { 0 };
    const QuantizeOptions options = { .type = type };

    assert_non_null(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/base.safetensors", folder);
    snprintf(relative, sizeof relative, "vectors/lora/%s.base_weights.safetensors", model);
    if (!shared_path(relative, in, sizeof in)) skip();
    assert_ok(quantize_file(in, out, &options, &report, &err), &err);
    assert_true(report.count > 4);
    quantize_report_fini(&report);
    assert_ok(weights_open(out, NULL, &whole, &err), &err);
    assert_ok(weights_scope(whole, "diffusion_model.", &base, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(key, sizeof key, "%s.%s", model, cases[i]);
        check_quantised(model, cases[i], json_get(manifest, key), base);
    }
    weights_unref(base);
    weights_unref(whole);
    unlink(out);
    rmdir(folder);
}

static void test_quantised_bases(void **state)
{
    static const char *const types[] = { "fp8_e4m3fn", "int8", "w4a8" };
    JsonDoc *doc = open_json("manifest");

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        check_coding(json_root(doc), "flux", types[i]);
        check_coding(json_root(doc), "flux2", types[i]);
    }
    json_free(doc);
}

/* Two files one after the other: their columns stand side by side. */
static void test_two_on_quantised(void **state)
{
    enum { N = 32, RANK = 3 };
    static const char *const names[2] = { "double_blocks.0.img_attn.proj.weight", PROJ };
    float down[RANK * N], up[N * RANK], scales[N];
    int8_t codes[N * N];
    const int64_t matrix[] = { N, N }, down_shape[] = { RANK, N }, up_shape[] = { N, RANK },
                  rows[] = { N, 1 };
    static const char record[] = "{\"format\": \"int8_tensorwise\", \"convrot\": true, "
                                 "\"convrot_groupsize\": 16}";
    const int64_t length[] = { sizeof record - 1 };
    char folder[] = "/tmp/weft-lora-XXXXXX", path[64];
    Weights *base = NULL, *file = NULL;
    Lora *a = NULL, *b = NULL;
    Error err = { 0 };

    (void)state;
    for (int i = 0; i < N * N; i++)
        codes[i] = (int8_t)(i * 37 % 255 - 127);
    for (int i = 0; i < RANK * N; i++) {
        down[i] = (float)(i % 7) * 0.25f - 0.5f;
        up[i] = (float)(i % 5) * 0.125f - 0.25f;
    }
    for (int i = 0; i < N; i++)
        scales[i] = 0.01f;
    const SafeItem model[] = {
        { names[0], K_I8, 2, matrix, codes },
        { "double_blocks.0.img_attn.proj.weight_scale", K_F32, 2, rows, scales },
        { "double_blocks.0.img_attn.proj.comfy_quant", K_U8, 1, length, record },
    };
    const SafeItem pair[] = { { PROJ ".lora_A.weight", K_F32, 2, down_shape, down },
                              { PROJ ".lora_B.weight", K_F32, 2, up_shape, up } };
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    assert_ok(safetensors_write(path, model, 3, NULL, 0, &err), &err);
    assert_ok(weights_open(path, NULL, &base, &err), &err);
    assert_ok(safetensors_write(path, pair, 2, NULL, 0, &err), &err);
    assert_ok(weights_open(path, NULL, &file, &err), &err);
    assert_ok(lora_open(file, base, true, &a, &err), &err);
    assert_ok(lora_open(file, base, true, &b, &err), &err);
    KWeight w = matrix_of(base, names[0]);
    float *before = all_values(&w);
    assert_ok(lora_apply(a, names[0], 2, &w, &err), &err);
    assert_ok(lora_apply(b, names[0], -0.5, &w, &err), &err);
    assert_int_equal(w.side->rank, 2 * RANK);
    assert_true(w.int8_x);
    float *after = all_values(&w);
    for (int i = 0; i < N * N; i++) {
        float change = 0;
        for (int r = 0; r < RANK; r++)
            change += up[i / N * RANK + r] * down[r * N + i % N];
        assert_true(fabsf(after[i] - before[i] - 1.5f * change) < 1e-5f);
    }
    mem_free(before);
    mem_free(after);
    lora_free(a);
    lora_free(b);
    weights_unref(file);
    weights_unref(base);
    unlink(path);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_text_keys),
        cmocka_unit_test(test_dummy),
        cmocka_unit_test(test_swapped_final),
        cmocka_unit_test(test_quantised_bases),
        cmocka_unit_test(test_two_on_quantised),
        cmocka_unit_test(test_kept),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
