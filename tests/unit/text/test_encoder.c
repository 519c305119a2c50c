/* test_encoder.c - the CLIP value: opening by content, weights, sections, dummy runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/text/encoder.h"
#include "engine/text/part.h"
#include "tests/unit/text/suite.h"

#define ENCODERS "golden/models/text_encoders/"

static Host *open_host(bool dummy)
{
    static const char *const none[] = { NULL };
    HostOptions options = {
        .models = none, .precision = PRECISION_EXACT, .threads = 1, .dummy = dummy
    };
    Host *h = NULL;
    Error err = { 0 };
    if (host_new(&options, &h, &err) != OK) fail_msg("%s", err.message);
    return h;
}

static TextFile shared_file(const char *name, char path[512])
{
    const char *full = shared_path(name);
    if (!full) {
        printf("%s is not at hand\n", name);
        skip();
    }
    snprintf(path, 512, "%s", full ? full : "");
    return (TextFile){ .name = strrchr(path, '/') + 1, .path = path };
}

static TextEncoder *open_one(Host *h, const char *name, const char *type)
{
    char path[512];
    TextFile file = shared_file(name, path);
    TextEncoder *e = NULL;
    Error err = { 0 };
    if (text_encoder_open(h, &file, 1, type, &e, &err) != OK) fail_msg("%s", err.message);
    return e;
}

static TextEncoder *open_pair(Host *h)
{
    char first[512], second[512];
    TextFile files[] = { shared_file(ENCODERS "tiny-t5xxl.safetensors", first),
                         shared_file(ENCODERS "tiny-clip_l.safetensors", second) };
    TextEncoder *e = NULL;
    Error err = { 0 };
    if (text_encoder_open(h, files, 2, "flux", &e, &err) != OK) fail_msg("%s", err.message);
    return e;
}

static Cond *encode(const TextEncoder *e, Host *h, const char *text)
{
    Cond *c = NULL;
    Error err = { 0 };
    if (text_encode(e, h, text, &c, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(c->count, 1);
    return c;
}

/* A file of LoRAs whose first matrix is `up`, the second `down` and the rest absent. */
static Weights *rank_one_file(const char *path, const char *stem, const float *up,
                              const float *down, int rows, int cols)
{
    char header[1024], name[128];
    Str file = { 0 };
    Weights *w = NULL;
    Error err = { 0 };
    size_t up_bytes = (size_t)rows * 4, down_bytes = (size_t)cols * 4;

    snprintf(name, sizeof name, "%s", stem);
    int n = snprintf(header, sizeof header,
                     "{\"%s.lora_up.weight\":{\"dtype\":\"F32\",\"shape\":[%d,1],"
                     "\"data_offsets\":[0,%zu]},\"%s.lora_down.weight\":{\"dtype\":\"F32\","
                     "\"shape\":[1,%d],\"data_offsets\":[%zu,%zu]}}",
                     name, rows, up_bytes, name, cols, up_bytes, up_bytes + down_bytes);
    uint64_t length = (uint64_t)n;
    str_add_n(&file, (const char *)&length, sizeof length);
    str_add_n(&file, header, (size_t)n);
    str_add_n(&file, (const char *)up, up_bytes);
    str_add_n(&file, (const char *)down, down_bytes);
    if (file_write(path, file.text, file.length, &err) != OK) fail_msg("%s", err.message);
    str_fini(&file);
    if (weights_open(path, NULL, &w, &err) != OK) fail_msg("%s", err.message);
    return w;
}

static TextEncoder *with_lora(const TextEncoder *e, Host *h, const Weights *file,
                              double strength, int matched)
{
    TextEncoder *out = NULL;
    TextLoraReport report;
    Error err = { 0 };

    if (text_encoder_with_lora(e, h, file, strength, &out, &report, &err) != OK)
        fail_msg("%s", err.message);
    assert_int_equal(report.matched, matched);
    assert_int_equal(report.misfits, 0);
    return out;
}

static double distance(const Tensor *a, const Tensor *b)
{
    double most = 0;
    for (int64_t i = 0; i < tensor_count(a); i++)
        most = fmax(most, fabs((double)tensor_f32(a)[i] - (double)tensor_f32(b)[i]));
    return most;
}

/* One change on CLIP-L moves the pooled vector and not the states, on T5 the other way round; opposite
 * strengths cancel; the base is not touched. */
static void loras_change_their_network(void **state)
{
    static const struct {
        const char *stem;
        bool pooled;
        int rows;
    } cases[] = { { "lora_te1_text_model_encoder_layers_0_self_attn_v_proj", true, 32 },
                  { "lora_te3_encoder_block_0_layer_0_SelfAttention_v", false, 64 } };
    float up[64], down[32];
    char path[64];

    (void)state;
    for (int i = 0; i < 64; i++)
        up[i] = 0.01f * (float)(i % 7 - 3);
    for (int i = 0; i < 32; i++)
        down[i] = 0.3f * (float)(i % 5 - 2);
    Host *h = open_host(false);
    TextEncoder *e = open_pair(h);
    Cond *base = encode(e, h, "a cat");
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/tmp/weft-text-lora-%d.safetensors", (int)getpid());
        Weights *file = rank_one_file(path, cases[i].stem, up, down, cases[i].rows, 32);
        TextEncoder *more = with_lora(e, h, file, 1, 2),
                    *less = with_lora(more, h, file, -1, 2),
                    *none = with_lora(e, h, file, 0, 2);
        Cond *a = encode(more, h, "a cat"), *b = encode(less, h, "a cat"),
             *c = encode(none, h, "a cat"), *again = encode(e, h, "a cat");
        double states = distance(a->entries[0].embed, base->entries[0].embed),
               pooled = distance(a->entries[0].pooled, base->entries[0].pooled);
        assert_true(cases[i].pooled ? pooled > 1e-4 && states == 0
                                    : states > 1e-4 && pooled == 0);
        assert_true(distance(b->entries[0].embed, base->entries[0].embed) < 1e-5);
        assert_true(distance(b->entries[0].pooled, base->entries[0].pooled) < 1e-5);
        assert_true(distance(c->entries[0].embed, base->entries[0].embed) == 0);
        assert_true(distance(again->entries[0].embed, base->entries[0].embed) == 0);
        cond_unref(a);
        cond_unref(b);
        cond_unref(c);
        cond_unref(again);
        text_encoder_unref(more);
        text_encoder_unref(less);
        text_encoder_unref(none);
        weights_unref(file);
        unlink(path);
    }
    cond_unref(base);
    text_encoder_unref(e);
    host_free(h);
}

/* ---- embeddings on disk ------------------------------------------------------------------ */

typedef struct Kept {
    char folder[64], copy[128];
    const char *isa;
    Precision precision;
    int64_t limit;
    Host *h;
    int from_disk, networks; /* what events told */
} Kept;

static void on_component(void *user, const Event *e)
{
    Kept *k = user;
    if (e->kind != EV_COMPONENT) return;
    if (e->detail && strcmp(e->detail, "prompt cache") == 0)
        k->from_disk++;
    else
        k->networks++;
}

/* A new host, as a new process has. */
static void kept_start(Kept *k)
{
    static const char *const none[] = { NULL };
    HostOptions options = { .models = none,
                            .precision = k->precision,
                            .threads = 1,
                            .isa = k->isa,
                            .cache_dir = k->folder,
                            .prompt_limit = k->limit };
    Error err = { 0 };
    if (k->h) host_free(k->h);
    if (host_new(&options, &k->h, &err) != OK) fail_msg("%s", err.message);
    events_listen(host_events(k->h), on_component, k);
    k->from_disk = k->networks = 0;
}

static void kept_open(Kept *k)
{
    memset(k, 0, sizeof *k);
    snprintf(k->folder, sizeof k->folder, "/tmp/weft-prompts-%d", (int)getpid());
    k->precision = PRECISION_EXACT;
    k->limit = 1 << 30;
    kept_start(k);
}

static int kept_files(const Kept *k, char *last, size_t size)
{
    FileList list = { 0 };
    char prompts[128];
    snprintf(prompts, sizeof prompts, "%s/prompts", k->folder);
    assert_int_equal(file_list(prompts, NULL, &list, NULL), OK);
    int count = (int)list.count;
    if (count && last) snprintf(last, size, "%s/%s", prompts, list.names[0]);
    file_list_fini(&list);
    return count;
}

static void kept_close(Kept *k)
{
    char path[400];
    host_free(k->h);
    while (kept_files(k, path, sizeof path))
        assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/prompts", k->folder);
    rmdir(path);
    rmdir(k->folder);
}

/* Encodes in a host of its own; true when it came from disk. */
static bool kept_encode(Kept *k, const char *file, const char *text, Cond **out)
{
    kept_start(k);
    TextEncoder *e = open_one(k->h, file, NULL);
    *out = encode(e, k->h, text);
    text_encoder_unref(e);
    assert_int_equal(k->from_disk + (k->networks > 0), 1);
    return k->from_disk == 1;
}

static bool kept_again(Kept *k, const char *file, const char *text)
{
    Cond *c = NULL;
    bool disk = kept_encode(k, file, text, &c);
    cond_unref(c);
    return disk;
}

#define T5 ENCODERS "tiny-t5xxl.safetensors"
#define CLIP ENCODERS "tiny-clip_l.safetensors"

static void prompts_come_back_bit_for_bit(void **state)
{
    Kept k;
    Cond *first, *second;

    (void)state;
    kept_open(&k);
    assert_false(kept_encode(&k, CLIP, "a cat", &first));
    assert_true(kept_encode(&k, CLIP, "a cat", &second));
    assert_int_equal(k.networks, 0);
    const Tensor *a = first->entries[0].embed, *b = second->entries[0].embed;
    assert_true(tensor_same_shape(a, b));
    assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * 4);
    a = first->entries[0].pooled, b = second->entries[0].pooled;
    assert_true(tensor_same_shape(a, b));
    assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * 4);
    cond_unref(first);
    cond_unref(second);
    kept_close(&k);
}

static void prompts_are_told_apart(void **state)
{
    Kept k;

    (void)state;
    kept_open(&k);
    assert_false(kept_again(&k, CLIP, "a cat"));
    assert_false(kept_again(&k, CLIP, "a cat "));
    assert_false(kept_again(&k, T5, "a cat"));
    k.precision = PRECISION_FAST;
    assert_false(kept_again(&k, CLIP, "a cat"));
    k.precision = PRECISION_EXACT;
    k.isa = "generic";
    assert_false(kept_again(&k, CLIP, "a cat"));
    k.isa = "ref";
    assert_false(kept_again(&k, CLIP, "a cat"));
    k.isa = NULL;
    assert_true(kept_again(&k, CLIP, "a cat"));
    assert_true(kept_again(&k, T5, "a cat"));
    assert_int_equal(kept_files(&k, NULL, 0), 6);
    assert_false(kept_again(&k, CLIP, "a cat embedding:none"));
    assert_false(kept_again(&k, CLIP, "a cat embedding:none"));
    kept_close(&k);
}

/* The same bytes at another time, other bytes, a tokenizer beside the file, LoRAs and their strength. */
static void prompts_know_their_encoder(void **state)
{
    char source[512], copy[128], tokenizer[128], lora[128];
    float up[64] = { 0.5f }, down[32] = { 1 };
    Error err = { 0 };
    char *bytes = NULL;
    size_t size = 0;
    Kept k;

    (void)state;
    kept_open(&k);
    shared_file(CLIP, source);
    if (file_read(source, 1 << 30, &bytes, &size, &err) != OK) fail_msg("%s", err.message);
    snprintf(copy, sizeof copy, "/tmp/weft-clip-%d.safetensors", (int)getpid());
    snprintf(tokenizer, sizeof tokenizer, "/tmp/weft-clip-%d.tokenizer.json", (int)getpid());
    snprintf(lora, sizeof lora, "/tmp/weft-lora-%d.safetensors", (int)getpid());
    for (int round = 0; round < 3; round++) {
        if (round == 1) bytes[size / 2] ^= 1;
        if (round < 2 && file_write(copy, bytes, size, &err) != OK) fail_msg("%s", err.message);
        if (round == 2 && file_write(tokenizer, "{}", 2, &err) != OK)
            fail_msg("%s", err.message);
        for (int again = 0; again < 2; again++) {
            TextFile file = { .name = "clip", .path = copy };
            TextEncoder *e = NULL;
            kept_start(&k);
            if (text_encoder_open(k.h, &file, 1, NULL, &e, &err) != OK)
                fail_msg("%s", err.message);
            cond_unref(encode(e, k.h, "a cat"));
            assert_int_equal(k.from_disk, again);
            text_encoder_unref(e);
        }
    }
    Weights *file = rank_one_file(lora, "lora_te1_text_model_encoder_layers_0_self_attn_v_proj",
                                  up, down, 32, 32);
    for (int i = 0; i < 4; i++) {
        kept_start(&k);
        TextEncoder *e = open_one(k.h, CLIP, NULL),
                    *more = with_lora(e, k.h, file, i < 2 ? 1 : 0.5, 2);
        cond_unref(encode(more, k.h, "a cat"));
        assert_int_equal(k.from_disk, i % 2);
        text_encoder_unref(e);
        text_encoder_unref(more);
    }
    weights_unref(file);
    unlink(copy);
    unlink(tokenizer);
    unlink(lora);
    mem_free(bytes);
    kept_close(&k);
}

static void damaged_prompts_are_written_anew(void **state)
{
    char path[400], *bytes = NULL;
    size_t size = 0;
    Error err = { 0 };
    Kept k;

    (void)state;
    kept_open(&k);
    assert_false(kept_again(&k, CLIP, "a cat"));
    assert_int_equal(kept_files(&k, path, sizeof path), 1);
    assert_int_equal(file_read(path, 1 << 30, &bytes, &size, &err), OK);
    for (size_t at = 0; at < 4; at++) { /* head, values, digest; cut short; empty */
        static const double places[] = { 0.001, 0.5, 0.9999 };
        char *copy = mem_strndup(bytes, size);
        if (at < 3) copy[(size_t)((double)size * places[at])] ^= 4;
        assert_int_equal(file_write(path, copy, at < 3 ? size : size / 2, &err), OK);
        mem_free(copy);
        assert_false(kept_again(&k, CLIP, "a cat"));
        assert_true(kept_again(&k, CLIP, "a cat"));
    }
    assert_int_equal(file_write(path, "", 0, &err), OK);
    assert_false(kept_again(&k, CLIP, "a cat"));
    mem_free(bytes);
    kept_close(&k);
}

static void old_prompts_make_room(void **state)
{
    Kept k;

    (void)state;
    kept_open(&k);
    k.limit = 3 * 80 * 32 * 4 + 3 * 400; /* three of 77 tokens and their ends */
    for (int i = 0; i < 6; i++) {
        char text[16];
        snprintf(text, sizeof text, "cat %d", i);
        assert_false(kept_again(&k, CLIP, text));
        usleep(20000);
    }
    int count = kept_files(&k, NULL, 0);
    assert_true(count >= 2 && count <= 4);
    assert_true(kept_again(&k, CLIP, "cat 5"));
    assert_false(kept_again(&k, CLIP, "cat 0"));
    kept_close(&k);
}

static void a_folder_that_cannot_be_written_is_no_error(void **state)
{
    Kept k;

    (void)state;
    kept_open(&k);
    snprintf(k.folder, sizeof k.folder, "/proc/weft-no-such-folder");
    assert_false(kept_again(&k, CLIP, "a cat"));
    assert_false(kept_again(&k, CLIP, "a cat"));
    host_free(k.h);
}

/* ---- learned embeddings -------------------------------------------------------------------- */

/* A file with one tensor [rows, width] of the given values. */
static void embedding_file(const char *folder, const char *name, const char *tensor,
                           const float *values, int rows, int width)
{
    char path[300], header[300];
    Str file = { 0 };
    Error err = { 0 };
    size_t bytes = (size_t)(rows * width) * sizeof *values;
    int n = snprintf(header, sizeof header,
                     "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}",
                     tensor, rows, width, bytes);
    uint64_t length = (uint64_t)n;
    snprintf(path, sizeof path, "%s/embeddings/%s.safetensors", folder, name);
    str_add_n(&file, (const char *)&length, sizeof length);
    str_add_n(&file, header, (size_t)n);
    str_add_n(&file, (const char *)values, bytes);
    if (file_write(path, file.text, file.length, &err) != OK) fail_msg("%s", err.message);
    str_fini(&file);
}

static void keep_note(void *user, const Event *e)
{
    if (e->kind == EV_NOTE) snprintf(user, 256, "%s", e->text);
}

/* The row of a token in a file's table. */
static void token_row(const char *name, const char *table, int64_t id, float *out,
                      int64_t width)
{
    char path[512];
    Weights *w = NULL;
    KWeight matrix;
    Error err = { 0 };
    TextFile file = shared_file(name, path);
    if (weights_open(file.path, NULL, &w, &err) != OK) fail_msg("%s", err.message);
    if (weights_matrix(w, table, 0, width, &matrix, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(k_weight_row(&matrix, id, 0, width, out), K_OK);
    weights_unref(w);
}

/* An embedding that holds the row of the token "cat" acts as that word, in each network; one of another width
 * and one that is missing are told and left out. */
static void embeddings_act_as_tokens(void **state)
{
    static const struct {
        const char *file, *type, *table, *tensor;
        int64_t id;
    } cases[] = {
        { CLIP, NULL, "text_model.embeddings.token_embedding.weight", "clip_l", 2368 },
        { T5, NULL, "shared.weight", "t5xxl", 1712 },
        { ENCODERS "tiny-qwen3-4b.safetensors", "flux2", "model.embed_tokens.weight", "any",
          4616 },
    };
    char folder[64], path[200], note[256];
    float row[64];

    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft-embeddings-%d", (int)getpid());
    snprintf(path, sizeof path, "%s/embeddings", folder);
    assert_int_equal(file_make_dirs(path, NULL), OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *models[] = { folder, NULL };
        HostOptions options = { .models = models, .precision = PRECISION_EXACT, .threads = 1 };
        Host *h = NULL;
        Error err = { 0 };
        token_row(cases[i].file, cases[i].table, cases[i].id, row, 32);
        embedding_file(folder, "word", cases[i].tensor, row, 1, 32);
        embedding_file(folder, "wide", cases[i].tensor, row, 1, 48);
        if (host_new(&options, &h, &err) != OK) fail_msg("%s", err.message);
        events_listen(host_events(h), keep_note, note);
        TextEncoder *e = open_one(h, cases[i].file, cases[i].type);
        note[0] = 0;
        /* klein's template ends a name only at a blank, as the reference does */
        bool klein = i == 2;
        Cond *word = encode(e, h, "cat"),
             *learned = encode(e, h, klein ? "embedding:word ," : "embedding:word");
        assert_string_equal(note, "");
        Cond *none = encode(e, h, ""),
             *wide = encode(e, h, klein ? "embedding:wide ," : "embedding:wide");
        assert_non_null(strstr(note, "48 wide, the encoder 32"));
        Cond *missing = encode(e, h, klein ? "embedding:nothing ," : "embedding:nothing");
        assert_non_null(strstr(note, "nothing is in no embeddings folder"));
        assert_true(distance(wide->entries[0].embed, missing->entries[0].embed) == 0);
        assert_true(distance(learned->entries[0].embed, missing->entries[0].embed) > 0);
        if (!klein) {
            assert_true(distance(word->entries[0].embed, learned->entries[0].embed) == 0);
            assert_true(distance(none->entries[0].embed, wide->entries[0].embed) == 0);
        }
        cond_unref(word);
        cond_unref(learned);
        cond_unref(none);
        cond_unref(wide);
        cond_unref(missing);
        text_encoder_unref(e);
        host_free(h);
    }
    snprintf(path, sizeof path, "%s/embeddings/word.safetensors", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/embeddings/wide.safetensors", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/embeddings", folder);
    rmdir(path);
    rmdir(folder);
}

static void klein_pads_to_512(void **state)
{
    (void)state;
    Host *h = open_host(false);
    TextEncoder *e = open_one(h, ENCODERS "tiny-qwen3-4b.safetensors", "flux2");
    Cond *c = encode(e, h, "a cat"), *again = encode(e, h, "a cat");
    const Tensor *t = c->entries[0].embed;
    assert_int_equal(t->shape[1], 512);
    assert_int_equal(t->shape[2], 96);
    assert_int_equal(text_encoder_width(e), 96);
    assert_null(c->entries[0].pooled);
    assert_memory_equal(t->data, again->entries[0].embed->data, (size_t)tensor_count(t) * 4);
    cond_unref(c);
    cond_unref(again);
    text_encoder_unref(e);
    host_free(h);
}

static void flux1_pairs_clip_and_t5(void **state)
{
    (void)state;
    Host *h = open_host(false);
    TextEncoder *e = open_pair(h);
    assert_string_equal(text_encoder_name(e), "CLIP-L + T5");
    Cond *c = encode(e, h, "a cat"), *two = NULL;
    assert_int_equal(c->entries[0].embed->shape[1], 256);
    assert_int_equal(c->entries[0].embed->shape[2], 32);
    assert_int_equal(c->entries[0].pooled->shape[1], 32);
    assert_int_equal(text_encode_flux(e, h, "a dog", "a cat", &two, NULL), OK);
    size_t bytes = (size_t)tensor_count(c->entries[0].embed) * 4;
    assert_memory_equal(c->entries[0].embed->data, two->entries[0].embed->data, bytes);
    assert_memory_not_equal(c->entries[0].pooled->data, two->entries[0].pooled->data, 32 * 4);
    cond_unref(c);
    cond_unref(two);
    text_encoder_unref(e);
    host_free(h);
}

/* z = (z - z_empty) w + z_empty, from three encodings with weight 1. */
static void weights_lean_on_the_empty_prompt(void **state)
{
    (void)state;
    Host *h = open_host(false);
    TextEncoder *e = open_pair(h);
    Cond *plain = encode(e, h, "cat"), *heavy = encode(e, h, "(cat:1.5)"),
         *empty = encode(e, h, "");
    const float *p = tensor_f32(plain->entries[0].embed),
                *w = tensor_f32(heavy->entries[0].embed);
    const float *z = tensor_f32(empty->entries[0].embed);
    for (int i = 0; i < 32; i++) {
        float want = (p[i] - z[i]) * 1.5f + z[i];
        assert_true(fabsf(w[i] - want) <= 1e-6f * (1 + fabsf(want)));
    }
    assert_memory_equal(p + 32, w + 32, 255 * 32 * 4);
    assert_memory_equal(plain->entries[0].pooled->data, heavy->entries[0].pooled->data, 32 * 4);
    cond_unref(plain);
    cond_unref(heavy);
    cond_unref(empty);
    text_encoder_unref(e);
    host_free(h);
}

static void a_long_clip_prompt_has_sections(void **state)
{
    (void)state;
    Host *h = open_host(false);
    TextEncoder *e = open_one(h, ENCODERS "tiny-clip_l.safetensors", NULL);
    Str text = { 0 };
    for (int i = 0; i < 100; i++)
        str_add(&text, "a red cat, ");
    Cond *c = encode(e, h, text.text);
    assert_true(c->entries[0].embed->shape[1] > 77 * 3);
    assert_int_equal(c->entries[0].embed->shape[1] % 77, 0);
    int64_t count = 0;
    assert_int_equal(text_count_tokens(e, h, text.text, &count, NULL), OK);
    assert_int_equal(count, c->entries[0].embed->shape[1]);
    cond_unref(c);
    str_fini(&text);
    text_encoder_unref(e);
    host_free(h);
}

static void a_checkpoint_holds_both(void **state)
{
    (void)state;
    char path[512];
    TextFile file =
        shared_file("golden/models/checkpoints/tiny-flux1-schnell-fp8.safetensors", path);
    Host *h = open_host(false);
    Weights *w = NULL;
    TextEncoder *e = NULL;
    Error err = { 0 };
    assert_int_equal(weights_open(file.path, NULL, &w, &err), OK);
    if (text_encoder_from_checkpoint(h, w, file.path, &e, &err) != OK)
        fail_msg("%s", err.message);
    assert_string_equal(text_encoder_name(e), "CLIP-L + T5");
    Cond *c = encode(e, h, "a cat");
    assert_int_equal(c->entries[0].embed->shape[2], 32);
    cond_unref(c);
    text_encoder_unref(e);
    weights_unref(w);
    host_free(h);
}

static bool without_last_block(void *user, const char *name, char *buf, size_t size)
{
    char prefix[48];
    snprintf(prefix, sizeof prefix, "encoder.block.%d.", *(const int *)user);
    snprintf(buf, size, "%s", name);
    return strncmp(name, prefix, strlen(prefix)) != 0;
}

/* CLIPSetLastLayer -2 is a T5 whose last block is not there; -1, and more than there are blocks, change nothing. */
static void a_last_layer_leaves_blocks_out(void **state)
{
    (void)state;
    char path[512];
    TextFile file = shared_file(ENCODERS "tiny-t5xxl.safetensors", path);
    Host *h = open_host(false);
    TextEncoder *e = open_pair(h), *last[3] = { NULL }, *shorter = NULL;
    Weights *w = NULL, *cut = NULL;
    Error err = { 0 };
    static const int layers[] = { -1, -2, -25 };

    assert_int_equal(weights_open(file.path, NULL, &w, &err), OK);
    int block = weights_blocks(w, "encoder.block.") - 1;
    assert_int_equal(weights_rename(w, without_last_block, &block, &cut, &err), OK);
    if (text_encoder_from_checkpoint(h, cut, file.path, &shorter, &err) != OK)
        fail_msg("%s", err.message);
    Cond *want[3] = { encode(e, h, "a cat"), encode(shorter, h, "a cat"),
                      encode(e, h, "a cat") };
    for (int i = 0; i < 3; i++) {
        if (text_encoder_with_last(e, h, layers[i], &last[i], &err) != OK)
            fail_msg("%s", err.message);
        Cond *got = encode(last[i], h, "a cat");
        assert_true(distance(got->entries[0].embed, want[i]->entries[0].embed) < 1e-6);
        assert_memory_equal(got->entries[0].pooled->data, want[0]->entries[0].pooled->data,
                            32 * 4);
        cond_unref(got);
    }
    assert_true(distance(want[1]->entries[0].embed, want[0]->entries[0].embed) > 1e-3);
    for (int i = 0; i < 3; i++) {
        cond_unref(want[i]);
        text_encoder_unref(last[i]);
    }
    text_encoder_unref(shorter);
    text_encoder_unref(e);
    weights_unref(cut);
    weights_unref(w);
    e = open_one(h, ENCODERS "tiny-qwen3-4b.safetensors", "flux2");
    assert_int_equal(text_encoder_with_last(e, h, -2, &shorter, &err), E_UNSUPPORTED);
    text_encoder_unref(e);
    host_free(h);
}

static void wrong_types_are_named(void **state)
{
    (void)state;
    char path[512];
    Host *h = open_host(false);
    TextFile file = shared_file(ENCODERS "tiny-qwen3-4b.safetensors", path);
    TextFile twice[] = { file, file };
    TextFile other = shared_file("golden/models/vae/tiny-ae.safetensors", path);
    TextEncoder *e = NULL;
    Error err = { 0 };
    assert_int_equal(text_encoder_open(h, &other, 1, NULL, &e, &err), E_FORMAT);
    file = shared_file(ENCODERS "tiny-qwen3-4b.safetensors", path);
    assert_int_equal(text_encoder_open(h, &file, 1, "wan", &e, &err), E_UNSUPPORTED);
    assert_non_null(strstr(err.fix, "flux2"));
    assert_int_equal(text_encoder_open(h, twice, 2, "flux", &e, &err), E_UNSUPPORTED);
    assert_null(e);
    host_free(h);
}

/* Missing files take the published dimensions, and nothing is read. */
static void a_dummy_needs_no_file(void **state)
{
    static const struct {
        const char *name, *type;
        int64_t width, tokens;
    } cases[] = { { "qwen_3_4b.safetensors", "flux2", 7680, 512 },
                  { "qwen_3_8b.safetensors", "flux2", 12288, 512 },
                  { "mistral_3_small.safetensors", "flux2", 15360, 0 },
                  { "t5xxl_fp16.safetensors", NULL, 4096, 256 } };
    (void)state;
    Host *h = open_host(true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TextFile file = { .name = cases[i].name };
        TextEncoder *e = NULL;
        Error err = { 0 };
        if (text_encoder_open(h, &file, 1, cases[i].type, &e, &err) != OK)
            fail_msg("%s", err.message);
        Cond *c = encode(e, h, "a cat");
        assert_int_equal(c->entries[0].embed->shape[2], cases[i].width);
        if (cases[i].tokens) assert_int_equal(c->entries[0].embed->shape[1], cases[i].tokens);
        printf("%s: %.2f GiB of weights\n", text_encoder_name(e),
               (double)text_encoder_bytes(e) / (1 << 30));
        cond_unref(c);
        text_encoder_unref(e);
    }
    host_free(h);
}

/* The vectors' Qwen3 file with weft.* entries in its header and a tokenizer beside it. */
static void write_own_model(const char *path)
{
    static const char entries[] =
        "\"weft.layers\":\"1,3,6\",\"weft.min_length\":\"10\",\"weft.pad_id\":\"3\","
        "\"weft.template\":\"<x>{}\",";
    static const char mark[] = "\"__metadata__\":{";
    const char *from = shared_path("vectors/text-qwen3/qwen3_tiny.weights_f32.safetensors");
    char *text;
    size_t n;
    Str out = { 0 };
    if (!from) skip();
    assert_int_equal(file_read(from, (size_t)1 << 24, &text, &n, NULL), OK);
    char *at = memmem(text, n, mark, sizeof mark - 1);
    assert_non_null(at);
    uint64_t header;
    memcpy(&header, text, sizeof header);
    header += sizeof entries - 1;
    str_add_n(&out, (const char *)&header, sizeof header);
    size_t before = (size_t)(at - text) + sizeof mark - 1;
    str_add_n(&out, text + 8, before - 8);
    str_add_n(&out, entries, sizeof entries - 1);
    str_add_n(&out, text + before, n - before);
    assert_int_equal(file_write(path, out.text, out.length, NULL), OK);
    str_fini(&out);
    mem_free(text);
}

static void an_own_model_says_how_it_is_read(void **state)
{
    static const char tokenizer[] =
        "{\"added_tokens\": [{\"id\": 3, \"content\": \"<pad>\"}, {\"id\": 4, \"content\": "
        "\"<x>\"}],"
        "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"model\": "
        "{\"type\": \"BPE\","
        "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}";
    char folder[] = "/tmp/weft-text-XXXXXX", model[64], own[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(model, sizeof model, "%s/own.safetensors", folder);
    snprintf(own, sizeof own, "%s/own.tokenizer.json", folder);
    write_own_model(model);
    assert_int_equal(file_write(own, tokenizer, sizeof tokenizer - 1, NULL), OK);
    Host *h = open_host(false);
    TextFile file = { .name = "own.safetensors", .path = model };
    TextEncoder *e = NULL;
    Error err = { 0 };
    if (text_encoder_open(h, &file, 1, "flux2", &e, &err) != OK) fail_msg("%s", err.message);
    Cond *c = encode(e, h, "aba");
    assert_int_equal(c->entries[0].embed->shape[1], 10);
    assert_int_equal(c->entries[0].embed->shape[2], 3 * 48);
    cond_unref(c);
    text_encoder_unref(e);
    host_free(h);
    unlink(model);
    unlink(own);
    rmdir(folder);
}

int run_encoder_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loras_change_their_network),
        cmocka_unit_test(embeddings_act_as_tokens),
        cmocka_unit_test(prompts_come_back_bit_for_bit),
        cmocka_unit_test(prompts_are_told_apart),
        cmocka_unit_test(prompts_know_their_encoder),
        cmocka_unit_test(damaged_prompts_are_written_anew),
        cmocka_unit_test(old_prompts_make_room),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_no_error),
        cmocka_unit_test(klein_pads_to_512),
        cmocka_unit_test(flux1_pairs_clip_and_t5),
        cmocka_unit_test(weights_lean_on_the_empty_prompt),
        cmocka_unit_test(a_long_clip_prompt_has_sections),
        cmocka_unit_test(a_checkpoint_holds_both),
        cmocka_unit_test(a_last_layer_leaves_blocks_out),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(a_dummy_needs_no_file),
        cmocka_unit_test(an_own_model_says_how_it_is_read),
    };
    return cmocka_run_group_tests_name("encoders", tests, NULL, NULL);
}
