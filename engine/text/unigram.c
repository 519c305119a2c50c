/* unigram.c - SentencePiece's unigram model as T5 uses it. */
#include "engine/text/unigram.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/text/charsmap.h"
#include "engine/text/pieces.h"
#include "engine/text/tables.h"
#include "engine/text/unicode.h"

#define UNIGRAM_MAGIC 0x474E5557u
enum { HEAD_WORDS = 8 };
/* U+2581, which stands for a blank. */
static const char bar[] = "\xE2\x96\x81";
enum { BAR = sizeof bar - 1 };
/* How much worse than the worst piece an unknown character is. */
static const double unknown_penalty = 10.0;

typedef struct Unigram {
    Tokenizer base;
    Pieces pieces;
    const uint32_t *ids;
    const double *scores;
    Charsmap map;
    int32_t unknown;
    double unknown_score;
} Unigram;

/* The best way to reach one byte of a word: where its last piece starts and what it is. */
typedef struct Node {
    double score;
    int64_t from; /* -1 = not reached */
    int32_t id;
} Node;

typedef struct Work {
    Node *nodes;   /* owned */
    int32_t *path; /* owned; ids of one word, from its end */
    size_t capacity;
} Work;

/* ---- the best path ----------------------------------------------------------------------- */

static bool work_reserve(Work *w, size_t n)
{
    if (n <= w->capacity) return true;
    size_t capacity = n < 256 ? 256 : n * 2;
    Node *nodes = mem_alloc_array(capacity + 1, sizeof *nodes);
    int32_t *path = mem_alloc_array(capacity + 1, sizeof *path);
    if (!nodes || !path) {
        mem_free(nodes);
        mem_free(path);
        return false;
    }
    mem_free(w->nodes);
    mem_free(w->path);
    *w = (Work){ .nodes = nodes, .path = path, .capacity = capacity };
    return true;
}

/* Of two paths with equal scores the one found first stays, which is that of the longer last
 * piece. */
static void reach(Node *node, double score, size_t from, int32_t id)
{
    if (node->from < 0 || score > node->score)
        *node = (Node){ .score = score, .from = (int64_t)from, .id = id };
}

/* Tries all pieces that start at `at`, and the unknown piece when none is exactly one character
 * long. */
static size_t extend(const Unigram *u, Node *nodes, const char *word, size_t n, size_t at)
{
    size_t length;
    bool single = false;
    PieceWalk walk = pieces_begin(&u->pieces);

    unicode_decode(word + at, n - at, &length);
    for (size_t i = at; i < n && pieces_step(&u->pieces, &walk, (unsigned char)word[i]);) {
        i++;
        int64_t piece = pieces_here(&u->pieces, &walk);
        if (piece < 0) continue;
        reach(&nodes[i], nodes[at].score + u->scores[piece], at, (int32_t)u->ids[piece]);
        if (i - at == length) single = true;
    }
    if (!single) reach(&nodes[at + length], nodes[at].score + u->unknown_score, at, u->unknown);
    return length;
}

/* Appends the ids of one word; neighbouring unknown characters become one. */
static void encode_word(const Unigram *u, Work *w, const char *word, size_t n, Ids *out)
{
    size_t count = 0;

    if (!work_reserve(w, n)) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i <= n; i++)
        w->nodes[i].from = -1;
    w->nodes[0].score = 0;
    for (size_t at = 0; at < n;)
        at += extend(u, w->nodes, word, n, at);
    for (size_t at = n; at > 0; at = (size_t)w->nodes[at].from) {
        int32_t id = w->nodes[at].id;
        if (id == u->unknown && count && w->path[count - 1] == id) continue;
        w->path[count++] = id;
    }
    while (count)
        ids_add(out, w->path[--count]);
}

/* ---- normalising ------------------------------------------------------------------------- */

/* Bytes of text without the white space at its end. */
static size_t stripped_length(const char *text, size_t n)
{
    while (n > 0) {
        size_t at = n - 1, length;
        while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
            at--;
        if (!unicode_is_space(unicode_decode(text + at, n - at, &length))) break;
        n = at;
    }
    return n;
}

/* Blanks to bars; a run of two and more blanks is one bar. */
static void bar_blanks(const char *text, size_t n, Str *out)
{
    for (size_t at = 0; at < n;) {
        if (text[at] != ' ') {
            str_add_char(out, text[at++]);
            continue;
        }
        while (at < n && text[at] == ' ')
            at++;
        str_add_n(out, bar, BAR);
    }
}

/* Start of the next bar behind `at`, or n. */
static size_t next_bar(const char *text, size_t n, size_t at)
{
    const char *hit = at < n ? memmem(text + at + 1, n - at - 1, bar, BAR) : NULL;
    return hit ? (size_t)(hit - text) : n;
}

/* One section between special tokens; the first of a text gets a bar in front. */
static void encode_section(const Unigram *u, Work *w, const char *text, size_t n, bool first,
                           Ids *out)
{
    Str mapped = { 0 }, words = { 0 };

    if (n == 0) return;
    charsmap_apply(&u->map, text, n, &mapped);
    size_t length = mapped.length ? stripped_length(mapped.text, mapped.length) : 0;
    if (length) bar_blanks(mapped.text, length, &words);
    if (words.length && first && (words.length < BAR || memcmp(words.text, bar, BAR) != 0)) {
        Str with = { 0 };
        str_add_n(&with, bar, BAR);
        str_add_n(&with, words.text, words.length);
        str_fini(&words);
        words = with;
    }
    if (mapped.failed || words.failed) out->failed = true;
    for (size_t at = 0, end; at < words.length && !out->failed; at = end) {
        end = next_bar(words.text, words.length, at);
        encode_word(u, w, words.text + at, end - at, out);
    }
    str_fini(&mapped);
    str_fini(&words);
}

/* ---- special tokens ---------------------------------------------------------------------- */

/* Length of `<extra_id_N>` at text, N from 0 to 99 without leading zeros, and its id. */
static size_t extra_at(const char *text, size_t n, int32_t *id)
{
    static const char head[] = "<extra_id_";
    enum { HEAD = sizeof head - 1, LAST_ID = 32099 };
    size_t at = HEAD;
    int32_t number = 0;
    if (n < HEAD + 2 || memcmp(text, head, HEAD) != 0) return 0;
    for (; at < n && at < HEAD + 2 && text[at] >= '0' && text[at] <= '9'; at++)
        number = number * 10 + (text[at] - '0');
    if (at == HEAD || at >= n || text[at] != '>' || (at == HEAD + 2 && number < 10)) return 0;
    *id = LAST_ID - number;
    return at + 1;
}

static size_t special_at(const char *text, size_t n, int32_t *id)
{
    static const char *const names[] = { "<pad>", "</s>", "<unk>" };
    for (int32_t i = 0; i < 3; i++) {
        size_t length = strlen(names[i]);
        if (n < length || memcmp(text, names[i], length) != 0) continue;
        *id = i;
        return length;
    }
    return extra_at(text, n, id);
}

static Status unigram_encode(const Tokenizer *t, const char *text, size_t n, Ids *out,
                             Error *err)
{
    const Unigram *u = (const Unigram *)t;
    Work work = { 0 };
    size_t from = 0;

    (void)err; /* out of memory is told by out->failed */
    for (size_t at = 0; at < n && !out->failed;) {
        int32_t id;
        size_t length = text[at] == '<' ? special_at(text + at, n - at, &id) : 0;
        if (length == 0) {
            at++;
            continue;
        }
        encode_section(u, &work, text + from, at - from, from == 0, out);
        ids_add(out, id);
        from = at += length;
    }
    encode_section(u, &work, text + from, n - from, from == 0, out);
    mem_free(work.nodes);
    mem_free(work.path);
    return OK;
}

/* ---- the table --------------------------------------------------------------------------- */

static size_t padded(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

static Status view_table(Unigram *u, const unsigned char *table, const unsigned char *end,
                         Error *err)
{
    const uint32_t *head = (const uint32_t *)(const void *)table;
    size_t size = (size_t)(end - table), n = head[2];
    size_t scores = HEAD_WORDS * sizeof *head, offsets = scores + n * sizeof(double);
    size_t ids = offsets + padded((n + 1) * sizeof *head),
           trie = ids + padded(n * sizeof *head);
    size_t strings = trie + padded(head[4]), text = strings + head[5];

    if (head[0] != UNIGRAM_MAGIC || head[1] != 1 || text + head[3] != size)
        return error_set(err, E_INTERNAL, "a built-in tokenizer table is damaged");
    u->scores = (const double *)(const void *)(table + scores);
    u->ids = (const uint32_t *)(const void *)(table + ids);
    u->pieces = (Pieces){ .offsets = (const uint32_t *)(const void *)(table + offsets),
                          .bytes = (const char *)table + text,
                          .n = head[2] };
    u->map = (Charsmap){ .units = (const uint32_t *)(const void *)(table + trie),
                         .unit_count = head[4] / sizeof *head,
                         .strings = (const char *)table + strings,
                         .string_bytes = head[5] };
    float worst;
    memcpy(&worst, &head[7], sizeof worst);
    u->unknown = (int32_t)head[6];
    u->unknown_score = (double)worst - unknown_penalty;
    return OK;
}

static void unigram_destroy(void *object)
{
    mem_free(object);
}

Status unigram_t5(Tokenizer **out, Error *err)
{
    Unigram *u = mem_calloc(1, sizeof *u);
    if (!u) return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    Status status = view_table(u, weft_table_t5, weft_table_t5_end, err);
    if (status != OK) {
        mem_free(u);
        return status;
    }
    ref_init(&u->base.ref, unigram_destroy);
    u->base.kind = "t5";
    u->base.encode = unigram_encode;
    *out = &u->base;
    return OK;
}
