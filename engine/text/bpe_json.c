/* bpe_json.c - a byte-level tokenizer from a tokenizer.json. */
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/text/bpe.h"
#include "engine/text/merge_list.h"
#include "engine/text/unicode.h"

enum { MOST_BYTES = 64 << 20 };

static Status unknown_part(const char *what, const char *value, Error *err)
{
    return error_set(err, E_UNSUPPORTED, "the tokenizer file's %s \"%.80s\" is not known here",
                     what, value ? value : "null");
}

static Status bad_part(const char *what, const Json *at, Error *err)
{
    Status status = error_set(err, E_FORMAT, "the tokenizer file's %s cannot be read", what);
    if (at) error_at_file(err, "", json_offset(at));
    return status;
}

/* A string field, or "" when it is absent or null. */
static const char *text_of(const Json *object, const char *key)
{
    const char *s = json_string(json_get(object, key));
    return s ? s : "";
}

static bool flag_of(const Json *object, const char *key, bool otherwise)
{
    const Json *v = json_get(object, key);
    return json_is(v, JSON_BOOL) ? json_bool(v) : otherwise;
}

static bool id_of(const Json *node, uint32_t *out)
{
    int64_t v;
    if (!json_is(node, JSON_NUMBER) || !json_int64(node, &v) || v < 0 || v > INT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* ---- vocabulary and merges --------------------------------------------------------------- */

/* The two halves of a merge: "a b", or a list of two. */
static bool read_halves(const Json *merge, Str *left, Str *right)
{
    str_clear(left);
    str_clear(right);
    if (json_is(merge, JSON_ARRAY)) {
        const char *a = json_string(json_at(merge, 0)), *b = json_string(json_at(merge, 1));
        if (!a || !b || json_count(merge) != 2) return false;
        str_add(left, a);
        str_add(right, b);
        return true;
    }
    const char *text = json_string(merge), *blank = text ? strchr(text, ' ') : NULL;
    if (!blank) return false;
    str_add_n(left, text, (size_t)(blank - text));
    str_add(right, blank + 1);
    return true;
}

static Status read_merge(const Json *vocab, const Json *merge, Str *left, Str *right,
                         MergeList *list, Error *err)
{
    uint32_t a, b, product;
    if (!read_halves(merge, left, right)) return bad_part("merges", merge, err);
    if (left->failed || right->failed)
        return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    bool known =
        id_of(json_get(vocab, left->text), &a) && id_of(json_get(vocab, right->text), &b);
    str_add(left, right->text);
    if (left->failed) return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    if (!known || !id_of(json_get(vocab, left->text), &product))
        return bad_part("merge of tokens outside its vocabulary", merge, err);
    merge_list_add(list, a, b, product);
    return OK;
}

static Status read_merges(const Json *model, MergeList *list, Error *err)
{
    const Json *vocab = json_get(model, "vocab"), *merges = json_get(model, "merges");
    Str left = { 0 }, right = { 0 };
    Status status = OK;
    if (!json_is(merges, JSON_ARRAY)) return bad_part("merges", merges, err);
    for (const Json *m = json_first(merges); m && status == OK; m = json_next(m))
        status = read_merge(vocab, m, &left, &right, list, err);
    str_fini(&left);
    str_fini(&right);
    return status;
}

/* Ids of the 256 letters that stand for bytes. */
static Status read_bytes(const Json *vocab, uint32_t **out, Error *err)
{
    uint32_t *ids = mem_alloc_array(256, sizeof *ids);
    if (!ids) return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    for (int b = 0; b < 256; b++) {
        Str letter = { 0 };
        unicode_append(&letter, bpe_letter_of_byte((unsigned char)b));
        bool failed = letter.failed;
        ids[b] = MERGES_NO_ID;
        if (!failed) id_of(json_get(vocab, letter.text), &ids[b]);
        str_fini(&letter);
        if (!failed) continue;
        mem_free(ids);
        return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    }
    *out = ids;
    return OK;
}

/* The bytes that a vocabulary entry stands for, written over `to`; -1 when some letter stands
 * for none. */
static int64_t entry_bytes(const char *key, char *to)
{
    size_t n = strlen(key), length;
    int64_t count = 0;
    for (size_t at = 0; at < n; at += length) {
        int byte = bpe_byte_of_letter(unicode_decode(key + at, n - at, &length));
        if (byte < 0) return -1;
        to[count++] = (char)byte;
    }
    return count;
}

/* The whole vocabulary as bytes. */
static Status read_words(const Json *vocab, PieceSet *out, Error *err)
{
    size_t count = json_count(vocab), total = 0, n = 0;
    for (const Json *v = json_first(vocab); v; v = json_next(v))
        total += strlen(json_key(v));
    PieceItem *items = mem_alloc_array(count, sizeof *items);
    char *bytes = mem_alloc(total), *at = bytes;
    bool ok = items && bytes;
    for (const Json *v = json_first(vocab); v && ok; v = json_next(v)) {
        uint32_t id;
        int64_t length = entry_bytes(json_key(v), at);
        if (length < 1 || !id_of(v, &id)) continue;
        items[n++] = (PieceItem){ .text = at, .length = (uint32_t)length, .id = (int32_t)id };
        at += length;
    }
    ok = ok && piece_set_build(items, n, out);
    mem_free(items);
    mem_free(bytes);
    return ok ? OK : error_set(err, E_NOMEM, "out of memory for a tokenizer");
}

static Status read_model(const Json *model, BpeParts *parts, Error *err)
{
    static const char *const refused[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    const Json *vocab = json_get(model, "vocab");
    MergeList list = { 0 };
    uint32_t *bytes = NULL;

    if (!json_is(model, JSON_OBJECT) || !json_is(vocab, JSON_OBJECT))
        return bad_part("model", model, err);
    if (*text_of(model, "type") && strcmp(text_of(model, "type"), "BPE") != 0)
        return unknown_part("model type", text_of(model, "type"), err);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (*text_of(model, refused[i]))
            return unknown_part(refused[i], text_of(model, refused[i]), err);
    if (flag_of(model, "byte_fallback", false))
        return unknown_part("byte_fallback", "true", err);
    parts->whole_words = flag_of(model, "ignore_merges", false);
    if (parts->whole_words) TRY(read_words(vocab, &parts->words, err));
    Status status = read_merges(model, &list, err);
    if (status == OK) status = read_bytes(vocab, &bytes, err);
    if (status != OK) {
        merge_list_fini(&list);
        return status;
    }
    return merge_list_finish(&list, bytes, parts, err);
}

/* ---- added tokens, normaliser, pre-tokenizer
 * ------------------------------------------------- */

static Status read_added_token(const Json *node, PieceItem *out, Error *err)
{
    static const char *const refused[] = { "single_word", "lstrip", "rstrip" };
    const Json *content = json_get(node, "content");
    uint32_t id;
    if (!json_is(content, JSON_STRING) || !id_of(json_get(node, "id"), &id))
        return bad_part("added_tokens", node, err);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (flag_of(node, refused[i], false))
            return unknown_part(refused[i], json_string(content), err);
    *out = (PieceItem){ .text = json_string(content),
                        .length = (uint32_t)json_string_length(content),
                        .id = (int32_t)id };
    return OK;
}

static Status read_added(const Json *added, PieceSet *out, Error *err)
{
    size_t count = json_is(added, JSON_ARRAY) ? json_count(added) : 0, n = 0;
    PieceItem *items = mem_alloc_array(count, sizeof *items);
    Status status = OK;
    if (!items) return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    for (const Json *a = count ? json_first(added) : NULL; a && status == OK; a = json_next(a))
        status = read_added_token(a, &items[n++], err);
    if (status == OK && !piece_set_build(items, n, out))
        status = error_set(err, E_NOMEM, "out of memory for a tokenizer");
    mem_free(items);
    return status;
}

/* The steps of a node that may be one step or a Sequence of them under `list`. */
static const Json *first_step(const Json *node, const char *list)
{
    return strcmp(text_of(node, "type"), "Sequence") == 0 ? json_first(json_get(node, list))
                                                          : node;
}

static const Json *next_step(const Json *node, const Json *step)
{
    return step == node ? NULL : json_next(step);
}

static Status read_normalizer(const Json *node, BpeParts *parts, Error *err)
{
    if (!json_is(node, JSON_OBJECT)) return OK;
    for (const Json *s = first_step(node, "normalizers"); s; s = next_step(node, s)) {
        if (strcmp(text_of(s, "type"), "NFC") != 0)
            return unknown_part("normalizer", text_of(s, "type"), err);
        parts->nfc = true;
    }
    return OK;
}

static const struct {
    const char *pattern;
    const PretokenRule *rule;
} known_patterns[] = {
    { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
      "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      &pretoken_qwen },
    { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
      "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      &pretoken_llama3 },
    { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      &pretoken_gpt2 },
};

static Status read_split(const Json *step, const PretokenRule **rule, Error *err)
{
    const char *pattern = text_of(json_get(step, "pattern"), "Regex");
    if (strcmp(text_of(step, "behavior"), "Isolated") != 0 || flag_of(step, "invert", false))
        return unknown_part("way to split", text_of(step, "behavior"), err);
    for (size_t i = 0; i < sizeof known_patterns / sizeof *known_patterns; i++) {
        if (strcmp(pattern, known_patterns[i].pattern) != 0) continue;
        *rule = known_patterns[i].rule;
        return OK;
    }
    return unknown_part("pattern", pattern, err);
}

static Status read_pretokenizer(const Json *node, BpeParts *parts, Error *err)
{
    const PretokenRule *rule = NULL;
    bool byte_level = false;
    if (!json_is(node, JSON_OBJECT)) return unknown_part("pre_tokenizer", NULL, err);
    for (const Json *s = first_step(node, "pretokenizers"); s; s = next_step(node, s)) {
        const char *type = text_of(s, "type");
        if (strcmp(type, "Split") == 0 && !rule && !byte_level) {
            TRY(read_split(s, &rule, err));
        } else if (strcmp(type, "ByteLevel") == 0 && !byte_level) {
            byte_level = true;
            parts->prefix_blank = flag_of(s, "add_prefix_space", true);
            if (flag_of(s, "use_regex", true)) {
                if (rule) return unknown_part("pre_tokenizer", "two patterns", err);
                rule = &pretoken_gpt2;
            }
        } else
            return unknown_part("pre_tokenizer", type, err);
    }
    if (!rule || !byte_level) return unknown_part("pre_tokenizer", text_of(node, "type"), err);
    parts->rule = *rule;
    return OK;
}

/* ---- the file ---------------------------------------------------------------------------- */

Status bpe_from_json(const char *text, size_t n, Tokenizer **out, Error *err)
{
    JsonDoc *doc = NULL;
    BpeParts parts = { 0 };
    Status status = OK;

    TRY(json_parse(text, n, &doc, err));
    const Json *root = json_root(doc);
    TRY_DONE(read_model(json_get(root, "model"), &parts, err));
    TRY_DONE(read_added(json_get(root, "added_tokens"), &parts.added, err));
    TRY_DONE(read_normalizer(json_get(root, "normalizer"), &parts, err));
    TRY_DONE(read_pretokenizer(json_get(root, "pre_tokenizer"), &parts, err));
    status = bpe_new("bpe", &parts, out, err);

done:
    bpe_parts_fini(&parts);
    json_free(doc);
    return status;
}

Status bpe_open(const char *path, Tokenizer **out, Error *err)
{
    char *text = NULL;
    size_t size = 0;
    TRY(file_read(path, MOST_BYTES, &text, &size, err));
    Status status = bpe_from_json(text, size, out, err);
    if (status != OK) error_at_file(err, path, -1);
    mem_free(text);
    return status;
}
