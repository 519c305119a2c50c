/* tekken.c - Mistral's Tekken tokenizer, read from its JSON. */
#include "engine/text/tekken.h"

#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/text/merge_list.h"

enum { LONGEST = 1024, MOST_TOKENS = 1 << 22 };

/* One entry of the vocabulary; its id is the number of special tokens plus its place. */
typedef struct Entry {
    const char *bytes; /* into Vocabulary.bytes */
    uint32_t length, rank;
} Entry;

typedef struct Vocabulary {
    Entry *entries; /* owned */
    uint32_t count, specials;
    char *bytes;     /* owned */
    uint32_t *slots; /* owned; index + 1, open addressing */
    uint32_t mask;
} Vocabulary;

static Status bad_tekken(const char *what, Error *err)
{
    return error_set(err, E_FORMAT, "the tekken tokenizer's %s cannot be read", what);
}

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory for a tokenizer");
}

/* ---- reading ----------------------------------------------------------------------------- */

static int base64_value(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes base64 into `to` (three quarters of the text at most); -1 when it is none. */
static int64_t base64_decode(const char *text, char *to)
{
    uint32_t bits = 0;
    int held = 0;
    int64_t n = 0;
    for (; *text && *text != '='; text++) {
        int v = base64_value(*text);
        if (v < 0) return -1;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        to[n++] = (char)(bits >> held & 255);
    }
    return n;
}

static bool count_of(const Json *node, int64_t *out)
{
    return json_is(node, JSON_NUMBER) && json_int64(node, out) && *out >= 0 &&
           *out <= MOST_TOKENS;
}

static Status read_entry(const Json *node, int64_t rank, char **at, Vocabulary *v, Error *err)
{
    const char *text = json_string(json_get(node, "token_bytes"));
    int64_t n = text ? base64_decode(text, *at) : -1;
    if (n < 1 || n > LONGEST) return bad_tekken("token_bytes", err);
    v->entries[v->count++] =
        (Entry){ .bytes = *at, .length = (uint32_t)n, .rank = (uint32_t)rank };
    *at += n;
    return OK;
}

/* Entries whose rank is below what the specials leave of the vocabulary's size. */
static Status read_entries(const Json *root, Vocabulary *v, Error *err)
{
    const Json *list = json_get(root, "vocab");
    int64_t size, rank;
    size_t total = 0;

    if (!count_of(json_get(json_get(root, "config"), "default_vocab_size"), &size) ||
        size < v->specials)
        return bad_tekken("default_vocab_size", err);
    if (!json_is(list, JSON_ARRAY) || json_count(list) > MOST_TOKENS)
        return bad_tekken("vocab", err);
    for (const Json *e = json_first(list); e; e = json_next(e))
        total += json_string_length(json_get(e, "token_bytes"));
    v->entries = mem_alloc_array(json_count(list), sizeof *v->entries);
    v->bytes = mem_alloc(total);
    if (!v->entries || !v->bytes) return no_memory(err);
    char *at = v->bytes;
    for (const Json *e = json_first(list); e; e = json_next(e)) {
        if (!count_of(json_get(e, "rank"), &rank)) return bad_tekken("rank", err);
        if (rank < size - v->specials) TRY(read_entry(e, rank, &at, v, err));
    }
    return OK;
}

static Status read_specials(const Json *root, Vocabulary *v, PieceSet *out, Error *err)
{
    const Json *list = json_get(root, "special_tokens");
    uint32_t n = 0;
    if (!json_is(list, JSON_ARRAY) || json_count(list) > MOST_TOKENS)
        return bad_tekken("special_tokens", err);
    PieceItem *items = mem_alloc_array(json_count(list), sizeof *items);
    if (!items) return no_memory(err);
    for (const Json *s = json_first(list); s; s = json_next(s), n++) {
        const Json *text = json_get(s, "token_str");
        if (!json_is(text, JSON_STRING)) {
            mem_free(items);
            return bad_tekken("special_tokens", err);
        }
        items[n] = (PieceItem){ .text = json_string(text),
                                .length = (uint32_t)json_string_length(text),
                                .id = (int32_t)n };
    }
    bool ok = piece_set_build(items, n, out);
    mem_free(items);
    v->specials = n;
    return ok ? OK : no_memory(err);
}

/* ---- merges ------------------------------------------------------------------------------ */

static uint32_t hash_bytes(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h ^ (h >> 13);
}

/* Place of the slot that holds these bytes, or of the empty one where they would go. */
static uint32_t slot_of(const Vocabulary *v, const char *s, size_t n)
{
    uint32_t at = hash_bytes(s, n) & v->mask;
    for (; v->slots[at]; at = (at + 1) & v->mask) {
        const Entry *e = &v->entries[v->slots[at] - 1];
        if (e->length == n && memcmp(e->bytes, s, n) == 0) break;
    }
    return at;
}

static Status index_entries(Vocabulary *v, Error *err)
{
    uint32_t size = 64;
    while (size < 2 * v->count)
        size *= 2;
    v->slots = mem_calloc(size, sizeof *v->slots);
    if (!v->slots) return no_memory(err);
    v->mask = size - 1;
    for (uint32_t i = 0; i < v->count; i++) {
        uint32_t at = slot_of(v, v->entries[i].bytes, v->entries[i].length);
        if (!v->slots[at]) v->slots[at] = i + 1;
    }
    return OK;
}

/* One way to cut a token. */
typedef struct Cut {
    uint32_t left, right; /* entries */
} Cut;

static bool cut_before(const Vocabulary *v, Cut a, Cut b)
{
    uint32_t la = v->entries[a.left].rank, lb = v->entries[b.left].rank;
    return la != lb ? la < lb : v->entries[a.right].rank < v->entries[b.right].rank;
}

/* All cuts of entry i in two known ones, in order of their ranks. */
static void add_cuts(const Vocabulary *v, uint32_t i, MergeList *list)
{
    const Entry *e = &v->entries[i];
    Cut cuts[LONGEST];
    int n = 0;
    for (uint32_t k = 1; k < e->length; k++) {
        uint32_t left = v->slots[slot_of(v, e->bytes, k)];
        uint32_t right = left ? v->slots[slot_of(v, e->bytes + k, e->length - k)] : 0;
        if (!right) continue;
        Cut c = { left - 1, right - 1 };
        int at = n++;
        for (; at > 0 && cut_before(v, c, cuts[at - 1]); at--)
            cuts[at] = cuts[at - 1];
        cuts[at] = c;
    }
    for (int k = 0; k < n; k++)
        merge_list_add(list, v->specials + cuts[k].left, v->specials + cuts[k].right,
                       v->specials + i);
}

/* Tokens by rank; files list them so, which is checked. */
static Status add_merges(const Vocabulary *v, MergeList *list, Error *err)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (i && v->entries[i].rank <= v->entries[i - 1].rank)
            return bad_tekken("order of ranks", err);
        add_cuts(v, i, list);
    }
    return list->failed ? no_memory(err) : OK;
}

static Status add_words(const Vocabulary *v, PieceSet *out, Error *err)
{
    PieceItem *items = mem_alloc_array(v->count, sizeof *items);
    if (!items) return no_memory(err);
    for (uint32_t i = 0; i < v->count; i++)
        items[i] = (PieceItem){ .text = v->entries[i].bytes,
                                .length = v->entries[i].length,
                                .id = (int32_t)(v->specials + i) };
    bool ok = piece_set_build(items, v->count, out);
    mem_free(items);
    return ok ? OK : no_memory(err);
}

static Status make_parts(const Vocabulary *v, BpeParts *parts, Error *err)
{
    MergeList list = { 0 };
    uint32_t *bytes = mem_alloc_array(256, sizeof *bytes);
    Status status = bytes ? add_merges(v, &list, err) : no_memory(err);
    if (status != OK) {
        mem_free(bytes);
        merge_list_fini(&list);
        return status;
    }
    for (int b = 0; b < 256; b++) {
        char c = (char)b;
        uint32_t found = v->slots[slot_of(v, &c, 1)];
        bytes[b] = found ? v->specials + found - 1 : MERGES_NO_ID;
    }
    return merge_list_finish(&list, bytes, parts, err);
}

Status bpe_from_tekken(const char *text, size_t n, Tokenizer **out, Error *err)
{
    JsonDoc *doc = NULL;
    Vocabulary v = { 0 };
    BpeParts parts = { .rule = pretoken_llama3, .whole_words = true };
    Status status = OK;

    TRY(json_parse(text, n, &doc, err));
    const Json *root = json_root(doc);
    TRY_DONE(read_specials(root, &v, &parts.added, err));
    TRY_DONE(read_entries(root, &v, err));
    TRY_DONE(index_entries(&v, err));
    TRY_DONE(add_words(&v, &parts.words, err));
    TRY_DONE(make_parts(&v, &parts, err));
    status = bpe_new("tekken", &parts, out, err);

done:
    bpe_parts_fini(&parts);
    mem_free(v.entries);
    mem_free(v.bytes);
    mem_free(v.slots);
    json_free(doc);
    return status;
}
