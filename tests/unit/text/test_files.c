/* test_files.c - tokenizers that come from files: tokenizer.json and tekken.json. */
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/text/bpe.h"
#include "engine/text/tekken.h"
#include "tests/unit/text/suite.h"

static char *read_text(const char *path, size_t *n)
{
    char *text = NULL;
    Error err = { 0 };
    if (file_read(path, (size_t)1 << 28, &text, n, &err) != OK) fail_msg("%s", err.message);
    return text;
}

static char *read_shared(const char *name, size_t *n)
{
    const char *path = shared_path(name);
    if (!path) {
        printf("%s is not at hand\n", name);
        skip();
    }
    return read_text(path, n);
}

/* A tokenizer.json made of Qwen's vocabulary and merges, as a list of strings. */
static void write_qwen_json(Str *out)
{
    size_t n;
    char *vocab = read_shared("golden/tokenizers/qwen/vocab.json", &n);
    str_add(
        out,
        "{\"added_tokens\": [{\"id\": 151645, \"content\": \"<|im_end|>\", \"lstrip\": false}],"
        "\"normalizer\": {\"type\": \"NFC\"}, \"pre_tokenizer\": {\"type\": \"Sequence\","
        "\"pretokenizers\": [{\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": "
        "false,"
        "\"pattern\": {\"Regex\": "
        "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+"
        "|\\\\p{N}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}}"
        ","
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]},"
        "\"model\": {\"type\": \"BPE\", \"vocab\": ");
    str_add_n(out, vocab, n);
    mem_free(vocab);
    char *merges = read_shared("golden/tokenizers/qwen/merges.txt", &n);
    str_add(out, ", \"merges\": [");
    const char *between = "";
    size_t at = strcspn(merges, "\n"); /* the first line tells the version */
    while (merges[at]) {
        size_t length = strcspn(merges + ++at, "\n");
        if (length) {
            str_add(out, between);
            json_write_string(out, merges + at, length);
            between = ",";
        }
        at += length;
    }
    str_add(out, "]}}");
    mem_free(merges);
}

static void tokenizer_json_equals_the_table(void **state)
{
    (void)state;
    Tokenizer *built, *read;
    Str text = { 0 };
    Error err = { 0 };
    size_t different = 0;
    write_qwen_json(&text);
    if (bpe_from_json(text.text, text.length, &read, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(bpe_qwen(&built, &err), OK);
    JsonDoc *doc = shared_json("vectors/tokenizers/raw_ids.json");
    for (const Json *c = json_first(json_get(json_root(doc), "cases")); c; c = json_next(c)) {
        const Json *t = json_get(c, "text");
        Ids a = { 0 }, b = { 0 };
        if (strchr(json_string(t), '<'))
            continue; /* the file made here lists one added token only */
        assert_int_equal(
            tokenizer_encode(built, json_string(t), json_string_length(t), &a, NULL), OK);
        assert_int_equal(
            tokenizer_encode(read, json_string(t), json_string_length(t), &b, NULL), OK);
        bool same = a.count == b.count &&
                    (a.count == 0 || memcmp(a.at, b.at, a.count * sizeof *a.at) == 0);
        different += !same;
        ids_fini(&a);
        ids_fini(&b);
    }
    assert_int_equal(different, 0);
    json_free(doc);
    str_fini(&text);
    tokenizer_unref(built);
    tokenizer_unref(read);
}

static char *read_toy(size_t *n)
{
    return read_text(WEFT_SOURCE_ROOT "/tests/data/tokenizers/tekken_toy.json", n);
}

static void tekken_toy_gives_the_oracles_ids(void **state)
{
    (void)state;
    size_t n;
    char *text = read_toy(&n);
    Tokenizer *t;
    JsonDoc *doc;
    Error err = { 0 };
    if (bpe_from_tekken(text, n, &t, &err) != OK) fail_msg("%s", err.message);
    assert_int_equal(json_parse(text, n, &doc, &err), OK);
    for (const Json *c = json_first(json_get(json_root(doc), "cases")); c; c = json_next(c)) {
        const Json *prompt = json_get(c, "text"), *want = json_get(c, "ids");
        Ids ids = { 0 };
        size_t i = 0;
        assert_int_equal(
            tokenizer_encode(t, json_string(prompt), json_string_length(prompt), &ids, NULL),
            OK);
        assert_int_equal(ids.count, json_count(want));
        for (const Json *w = json_first(want); w; w = json_next(w), i++) {
            int64_t id = 0;
            json_int64(w, &id);
            assert_int_equal(ids.at[i], id);
        }
        ids_fini(&ids);
    }
    json_free(doc);
    tokenizer_unref(t);
    mem_free(text);
}

typedef Status (*ReadFn)(const char *text, size_t n, Tokenizer **out, Error *err);

/* A tiny but whole tokenizer.json. */
static const char tiny_json[] =
    "{\"added_tokens\": [{\"id\": 5, \"content\": \"<x>\"}], \"normalizer\": null,"
    "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", "
    "\"ignore_merges\": true,"
    "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u0120\": 3, \"\\u0120ab\": 4},"
    "\"merges\": [\"a b\", [\"\\u0120\", \"ab\"]]}}";

static void tiny_json_is_read(void **state)
{
    (void)state;
    Tokenizer *t;
    Ids ids = { 0 };
    Error err = { 0 };
    if (bpe_from_json(tiny_json, sizeof tiny_json - 1, &t, &err) != OK)
        fail_msg("%s", err.message);
    assert_int_equal(tokenizer_encode(t, "ab<x>a", 6, &ids, NULL), OK);
    assert_int_equal(ids.count, 4); /* " ab" whole; added token; blank put in front again, a */
    assert_int_equal(ids.at[0], 4);
    assert_int_equal(ids.at[1], 5);
    assert_int_equal(ids.at[2], 3);
    assert_int_equal(ids.at[3], 0);
    ids_fini(&ids);
    tokenizer_unref(t);
}

/* Every single byte of a good file, changed: an error or a tokenizer, never a fault. */
static void damaged_files_are_errors(void **state)
{
    (void)state;
    char text[sizeof tiny_json];
    for (size_t i = 0; i + 1 < sizeof tiny_json; i++) {
        Tokenizer *t = NULL;
        memcpy(text, tiny_json, sizeof text);
        text[i] = (char)(text[i] ^ 5);
        Error err = { 0 };
        Status s = bpe_from_json(text, sizeof text - 1, &t, &err);
        assert_true(s == OK ? t != NULL : err.message[0] != 0);
        tokenizer_unref(t);
        t = NULL;
        s = bpe_from_json(tiny_json, i, &t, &err);
        assert_int_not_equal(s, OK);
    }
}

static void allocations_may_fail(ReadFn read, const char *text, size_t n)
{
    Status status = E_NOMEM;
    for (uint64_t i = 1; status != OK; i++) {
        Tokenizer *t = NULL;
        assert_true(i < 100000);
        mem_fail_at(i);
        status = read(text, n, &t, NULL);
        mem_fail_at(0);
        if (status != OK) assert_int_equal(status, E_NOMEM);
        tokenizer_unref(t);
    }
}

static void file_readers_survive_short_memory(void **state)
{
    (void)state;
    static const char tekken[] =
        "{\"config\": {\"default_vocab_size\": 5}, \"special_tokens\": [{\"token_str\": "
        "\"<s>\"}],"
        "\"vocab\": [{\"rank\": 0, \"token_bytes\": \"YQ==\"}, {\"rank\": 1, \"token_bytes\": "
        "\"Yg==\"},"
        "{\"rank\": 2, \"token_bytes\": \"YWI=\"}, {\"rank\": 3, \"token_bytes\": \"YWJi\"}]}";
    allocations_may_fail(bpe_from_json, tiny_json, sizeof tiny_json - 1);
    allocations_may_fail(bpe_from_tekken, tekken, sizeof tekken - 1);
}

static void unknown_parts_are_named(void **state)
{
    static const char *const files[] = {
        "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}, \"merges\": []}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}, \"pre_tokenizer\": "
        "{\"type\": \"Bert\"}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}, \"normalizer\": "
        "{\"type\": \"Lowercase\"}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Tokenizer *t = NULL;
        Error err = { 0 };
        assert_int_equal(bpe_from_json(files[i], strlen(files[i]), &t, &err), E_UNSUPPORTED);
        assert_null(t);
    }
}

int run_file_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_json_equals_the_table),
        cmocka_unit_test(tekken_toy_gives_the_oracles_ids),
        cmocka_unit_test(tiny_json_is_read),
        cmocka_unit_test(damaged_files_are_errors),
        cmocka_unit_test(file_readers_survive_short_memory),
        cmocka_unit_test(unknown_parts_are_named),
    };
    return cmocka_run_group_tests_name("tokenizer files", tests, NULL, NULL);
}
