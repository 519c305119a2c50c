/* test_text.c - LoRA files on the networks of text encoders, in every trainer's names, against the merged
 * float32 result (tests/tools/make_text_lora.py). usage: test_text_lora DATA_FOLDER [NAME_FILTER] */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/formats/safetensors.h"
#include "engine/lora/lora.h"
#include "tests/unit/support.h"

static const double TOLERANCE = 1e-6;
static const char *folder;

static Weights *open_data(const char *name)
{
    char path[700];
    Weights *w = NULL;
    Error err = { 0 };

    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    return w;
}

static Weights *scope(const Weights *w, const char *kind, int n)
{
    char prefix[32];
    Weights *out = NULL;
    Error err = { 0 };

    if (n < 0)
        snprintf(prefix, sizeof prefix, "%s.", kind);
    else
        snprintf(prefix, sizeof prefix, "%s.%d.", kind, n);
    assert_ok(weights_scope(w, prefix, &out, &err), &err);
    return out;
}

static void compare(const char *what, const char *tensor, const KWeight *w, const Weights *want)
{
    float got[64], values[64];
    Error err = { 0 };
    KView v;

    assert_ok(weights_view(want, tensor, &v, &err), &err);
    for (int64_t i = 0; i < w->n; i++) {
        assert_int_equal(k_weight_row(w, i, 0, w->k, got), K_OK);
        memcpy(values, (const char *)v.data + i * w->k * 4, (size_t)w->k * 4);
        for (int64_t j = 0; j < w->k; j++)
            if (fabs((double)got[j] - (double)values[j]) >
                TOLERANCE * (1 + fabs((double)values[j])))
                fail_msg("%s %s [%d,%d]: %g, not %g", what, tensor, (int)i, (int)j,
                         (double)got[j], (double)values[j]);
    }
}

static void one_case(const char *name, const Weights *all, const Weights *base,
                     const LoraTextPart *part, int n, double strength)
{
    Weights *file = scope(all, "lora", n), *want = scope(all, "want", n);
    Lora *lora = NULL;
    Error err = { 0 };
    char what[64];

    snprintf(what, sizeof what, "%s case %d (%s)", name, n, weights_name(file, 0));
    assert_ok(lora_open_text(file, base, part, true, &lora, &err), &err);
    const LoraReport *r = lora_report(lora);
    if (r->changes != 2 || r->unmatched || r->misfits || r->matched != (int)weights_count(file))
        fail_msg("%s: %d changes, %d matched, %d unmatched (%s), %d misfits", what, r->changes,
                 r->matched, r->unmatched, r->unmatched_key, r->misfits);
    for (size_t i = 0; i < weights_count(base); i++) {
        KWeight w;
        assert_ok(weights_matrix(base, weights_name(base, i), 0, 0, &w, &err), &err);
        assert_ok(lora_apply(lora, weights_name(base, i), strength, &w, &err), &err);
        compare(what, weights_name(base, i), &w, want);
    }
    assert_true(lora_held(lora) > 0);
    lora_forget(lora);
    assert_int_equal(lora_held(lora), 0);
    lora_free(lora);
    weights_unref(file);
    weights_unref(want);
}

static void one_network(const char *name, bool alone)
{
    Weights *all = open_data(name), *base = scope(all, "base", -1);
    const char *key = weights_metadata(all, "key");
    LoraTextPart part = { .key = key, .clip = strcmp(key, "clip_l") == 0, .alone = alone };

    for (int n = 0; n < atoi(weights_metadata(all, "cases")); n++)
        one_case(name, all, base, &part, n, atof(weights_metadata(all, "strength")));
    weights_unref(base);
    weights_unref(all);
}

static void text_lora_on_clip(void **state)
{
    (void)state;
    one_network("text_clip", false);
}

static void text_lora_on_fp8_clip(void **state)
{
    (void)state;
    one_network("text_clip_fp8", false);
}

static void text_lora_on_t5(void **state)
{
    (void)state;
    one_network("text_t5", false);
}

static void text_lora_on_qwen3(void **state)
{
    (void)state;
    one_network("text_qwen3", true);
}

static void text_lora_on_mistral3(void **state)
{
    (void)state;
    one_network("text_mistral3", true);
}

/* te1 is CLIP-L's in a pair and T5's where that stands alone; te3 names nothing in CLIP-L. */
static void text_lora_tells_networks_apart(void **state)
{
    Weights *clip = open_data("text_clip"), *t5 = open_data("text_t5");
    Weights *clip_base = scope(clip, "base", -1), *t5_base = scope(t5, "base", -1);
    Weights *te1 = scope(clip, "lora", 0), *te3 = scope(t5, "lora", 0);
    LoraTextPart clip_l = { .key = "clip_l", .clip = true }, t5xxl = { .key = "t5xxl" };
    Lora *lora = NULL;
    Error err = { 0 };

    (void)state;
    assert_ok(lora_open_text(te3, clip_base, &clip_l, true, &lora, &err), &err);
    assert_int_equal(lora_report(lora)->changes, 0);
    assert_int_equal(lora_report(lora)->unmatched, 6);
    lora_free(lora);
    assert_ok(lora_open_text(te1, t5_base, &t5xxl, true, &lora, &err), &err);
    assert_int_equal(lora_report(lora)->changes, 0);
    lora_free(lora);
    /* a transformer counts both as text encoders' */
    assert_ok(lora_open(te3, clip_base, true, &lora, &err), &err);
    assert_int_equal(lora_report(lora)->text_keys, 6);
    assert_int_equal(lora_report(lora)->unmatched, 0);
    lora_free(lora);
    weights_unref(te1);
    weights_unref(te3);
    weights_unref(clip_base);
    weights_unref(t5_base);
    weights_unref(clip);
    weights_unref(t5);
}

/* ---- llama.cpp's order of rows ------------------------------------------------------------------------------ */

enum { ROWS = 16, COLS = 32, HEAD = 8, RANK = 2 };

static Weights *made(const SafeItem *items, size_t count)
{
    char path[64];
    Weights *w = NULL;
    Error err = { 0 };
    snprintf(path, sizeof path, "/tmp/weft-rows-%d.safetensors", (int)getpid());
    assert_ok(safetensors_write(path, items, count, NULL, 0, &err), &err);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    unlink(path);
    return w;
}

/* Row of the file in llama.cpp's order for row i of transformers': pairs (2j, 2j+1) stand for (j, j + HEAD/2). */
static int paired_row(int i)
{
    int head = i / HEAD, in_head = i % HEAD;
    return head * HEAD + 2 * (in_head % (HEAD / 2)) + in_head / (HEAD / 2);
}

/* Matrix `name` of a base under the file's changes, decoded, with those beside it added. */
static void changed(const Weights *base, const Weights *file, int64_t head, const char *name,
                    float *out)
{
    LoraTextPart part = { .key = "mistral3_24b", .alone = true, .head = head };
    Lora *lora = NULL;
    KWeight w;
    Error err = { 0 };
    assert_ok(lora_open_text(file, base, &part, true, &lora, &err), &err);
    assert_ok(weights_matrix(base, name, ROWS, COLS, &w, &err), &err);
    assert_ok(lora_apply(lora, name, 0.7, &w, &err), &err);
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(k_weight_row(&w, i, 0, COLS, out + i * COLS), K_OK);
        for (int r = 0; w.side && r < w.side->rank; r++)
            for (int j = 0; j < COLS; j++)
                out[i * COLS + j] +=
                    w.side->up[i * w.side->rank + r] * w.side->down[r * COLS + j];
    }
    lora_free(lora);
}

/* The base in both orders under the same file gives the same matrix in both orders; v stays in its own. */
static void check_orders(const SafeItem *changes, size_t count, KDtype type)
{
    static const int64_t shape[] = { ROWS, COLS };
    static const char *const names[] = { "model.layers.0.self_attn.q_proj.weight",
                                         "model.layers.0.self_attn.k_proj.weight",
                                         "model.layers.0.self_attn.v_proj.weight" };
    static float halves[ROWS * COLS], pairs[ROWS * COLS], a[ROWS * COLS], b[ROWS * COLS];
    static uint8_t small[ROWS * COLS], small_pairs[ROWS * COLS];
    bool narrow = type == K_F8_E4M3;
    for (int i = 0; i < ROWS * COLS; i++) {
        halves[i] = (float)(i % 23 - 11) / 8;
        small[i] = (uint8_t)(0x20 + i % 31);
    }
    for (int i = 0; i < ROWS; i++) {
        memcpy(pairs + paired_row(i) * COLS, halves + i * COLS, sizeof(float) * COLS);
        memcpy(small_pairs + paired_row(i) * COLS, small + i * COLS, COLS);
    }
    SafeItem plain[3], permuted[3];
    for (int k = 0; k < 3; k++) {
        const void *data = narrow ? (const void *)small : halves;
        const void *moved = narrow ? (const void *)small_pairs : pairs;
        plain[k] = (SafeItem){ names[k], type, 2, shape, data };
        permuted[k] = (SafeItem){ names[k], type, 2, shape, k < 2 ? moved : data };
    }
    Weights *base = made(plain, 3), *other = made(permuted, 3), *file = made(changes, count);
    for (int k = 0; k < 3; k++) {
        changed(base, file, 0, names[k], a);
        changed(other, file, HEAD, names[k], b);
        for (int i = 0; i < ROWS; i++) {
            int row = k < 2 ? paired_row(i) : i;
            for (int j = 0; j < COLS; j++)
                if (!(fabsf(a[i * COLS + j] - b[row * COLS + j]) < 1e-6f))
                    fail_msg("%s [%d, %d]: %g and %g", names[k], i, j, (double)a[i * COLS + j],
                             (double)b[row * COLS + j]);
        }
        assert_true(fabsf(a[5] - (narrow ? 0 : halves[5])) > 1e-4f);
    }
    weights_unref(base);
    weights_unref(other);
    weights_unref(file);
}

#define OF(layer, rest)                                                                        \
    "text_encoders.mistral3_24b.transformer.model.layers.0.self_attn." layer rest

static void text_lora_on_llama_rows(void **state)
{
    static const int64_t up[] = { ROWS, RANK }, down[] = { RANK, COLS },
                         whole[] = { ROWS, COLS }, magnitudes[] = { ROWS, 1 };
    static float values[ROWS * COLS], sizes[ROWS];
    for (int i = 0; i < ROWS * COLS; i++)
        values[i] = (float)(i * 7 % 19 - 9) / 16;
    for (int i = 0; i < ROWS; i++)
        sizes[i] = 1 + (float)i / 8;
    const SafeItem low[] = { { OF("q_proj", ".lora_B.weight"), K_F32, 2, up, values },
                             { OF("q_proj", ".lora_A.weight"), K_F32, 2, down, values + 9 },
                             { OF("k_proj", ".lora_B.weight"), K_F32, 2, up, values + 3 },
                             { OF("k_proj", ".lora_A.weight"), K_F32, 2, down, values + 5 },
                             { OF("v_proj", ".lora_B.weight"), K_F32, 2, up, values + 1 },
                             { OF("v_proj", ".lora_A.weight"), K_F32, 2, down, values + 2 } };
    const SafeItem others[] = { { OF("q_proj", ".lora_B.weight"), K_F32, 2, up, values },
                                { OF("q_proj", ".lora_A.weight"), K_F32, 2, down, values + 9 },
                                { OF("q_proj", ".dora_scale"), K_F32, 2, magnitudes, sizes },
                                { OF("k_proj", ".diff"), K_F32, 2, whole, values },
                                { OF("v_proj", ".diff"), K_F32, 2, whole, values } };
    (void)state;
    check_orders(low, 6, K_F32);
    check_orders(low, 6, K_F8_E4M3); /* kept beside the matrix */
    check_orders(others, 5, K_F32);
    check_orders(others, 5, K_F8_E4M3);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lora_on_clip),
        cmocka_unit_test(text_lora_on_fp8_clip),
        cmocka_unit_test(text_lora_on_t5),
        cmocka_unit_test(text_lora_on_qwen3),
        cmocka_unit_test(text_lora_on_mistral3),
        cmocka_unit_test(text_lora_tells_networks_apart),
        cmocka_unit_test(text_lora_on_llama_rows),
    };
    if (argc < 2) return 2;
    folder = argv[1];
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
