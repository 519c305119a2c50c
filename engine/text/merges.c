/* merges.c - byte-pair encoding with a linked list of symbols and a queue of pairs. */
#include "engine/text/merges.h"

#include "engine/base/mem.h"

enum { HEAD_WORDS = 8 };
#define NO_SYMBOL UINT32_MAX
#define MERGES_MAGIC 0x45504257u

/* One symbol of the pre-token, in a list by position; length 0 marks one that was swallowed. */
typedef struct MergeSymbol {
    uint32_t id, before, after;
} MergeSymbol;

/* A pair that could be merged: rank of the merge, position of its left symbol. */
typedef struct MergeQueued {
    uint32_t rank, at;
} MergeQueued;

Status merges_view(const unsigned char *table, const unsigned char *end, Merges *out,
                   Error *err)
{
    const uint32_t *w = (const uint32_t *)(const void *)table;
    size_t words = (size_t)(end - table) / sizeof *w;
    if (words < HEAD_WORDS || w[0] != MERGES_MAGIC || w[1] != 1 || w[5] > 24 ||
        words != HEAD_WORDS + w[2] + 2 * (size_t)w[3] + ((size_t)1 << w[5]))
        return error_set(err, E_INTERNAL, "a built-in tokenizer table is damaged");
    *out = (Merges){
        .byte_ids = w + HEAD_WORDS,
        .pairs = w + HEAD_WORDS + w[2],
        .slots = w + HEAD_WORDS + w[2] + 2 * (size_t)w[3],
        .count = w[3],
        .first = w[4],
        .mask = ((uint32_t)1 << w[5]) - 1,
        .word_ends = w[2] == 512,
    };
    return OK;
}

static uint32_t pair_hash(uint32_t left, uint32_t right)
{
    uint32_t h = (left * 0x9E3779B1u) ^ (right * 0x85EBCA6Bu);
    return h ^ (h >> 15);
}

void merges_fill_slots(uint32_t *slots, uint32_t mask, const uint32_t *pairs, uint32_t count)
{
    for (uint32_t rank = 0; rank < count; rank++) {
        uint32_t at = pair_hash(pairs[2 * rank], pairs[2 * rank + 1]) & mask;
        while (slots[at])
            at = (at + 1) & mask;
        slots[at] = rank + 1;
    }
}

/* Rank of the merge of two symbols; false when there is none. */
static bool find_rank(const Merges *m, uint32_t left, uint32_t right, uint32_t *rank)
{
    for (uint32_t at = pair_hash(left, right) & m->mask; m->slots[at];
         at = (at + 1) & m->mask) {
        uint32_t r = m->slots[at] - 1;
        if (m->pairs[2 * r] == left && m->pairs[2 * r + 1] == right) {
            *rank = r;
            return true;
        }
    }
    return false;
}

static bool goes_first(MergeQueued a, MergeQueued b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void queue_push(MergeWork *w, MergeQueued item)
{
    size_t i = w->queued++;
    while (i > 0 && goes_first(item, w->queue[(i - 1) / 2])) {
        w->queue[i] = w->queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->queue[i] = item;
}

static MergeQueued queue_pop(MergeWork *w)
{
    MergeQueued top = w->queue[0], last = w->queue[--w->queued];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->queued) break;
        if (child + 1 < w->queued && goes_first(w->queue[child + 1], w->queue[child])) child++;
        if (!goes_first(w->queue[child], last)) break;
        w->queue[i] = w->queue[child];
        i = child;
    }
    w->queue[i] = last;
    return top;
}

void merge_work_fini(MergeWork *w)
{
    mem_free(w->symbols);
    mem_free(w->queue);
    *w = (MergeWork){ 0 };
}

/* Each symbol queues at most one pair at the start and each merge at most two. */
static bool work_reserve(MergeWork *w, size_t n)
{
    if (n <= w->capacity) return true;
    size_t capacity = n < 256 ? 256 : n * 2;
    MergeSymbol *symbols = mem_alloc_array(capacity, sizeof *symbols);
    MergeQueued *queue = mem_alloc_array(capacity, 3 * sizeof *queue);
    if (!symbols || !queue) {
        mem_free(symbols);
        mem_free(queue);
        return false;
    }
    merge_work_fini(w);
    *w = (MergeWork){ .symbols = symbols, .queue = queue, .capacity = capacity };
    return true;
}

static void offer_pair(const Merges *m, MergeWork *w, uint32_t left)
{
    uint32_t rank, right = w->symbols[left].after;
    if (right == NO_SYMBOL) return;
    if (find_rank(m, w->symbols[left].id, w->symbols[right].id, &rank))
        queue_push(w, (MergeQueued){ .rank = rank, .at = left });
}

static void merge_pair(const Merges *m, MergeWork *w, MergeQueued top)
{
    MergeSymbol *left = &w->symbols[top.at];
    if (left->id != m->pairs[2 * top.rank] || left->after == NO_SYMBOL) return;
    MergeSymbol *right = &w->symbols[left->after];
    if (right->id != m->pairs[2 * top.rank + 1]) return;

    left->id = m->products ? m->products[top.rank] : m->first + top.rank;
    left->after = right->after;
    right->id = MERGES_NO_ID;
    if (left->after != NO_SYMBOL) w->symbols[left->after].before = top.at;
    if (left->before != NO_SYMBOL) offer_pair(m, w, left->before);
    offer_pair(m, w, top.at);
}

static void start_symbols(const Merges *m, MergeWork *w, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t row = (unsigned char)text[i] + (m->word_ends && i + 1 == n ? 256 : 0);
        w->symbols[i] = (MergeSymbol){
            .id = m->byte_ids[row],
            .before = i ? (uint32_t)i - 1 : NO_SYMBOL,
            .after = i + 1 < n ? (uint32_t)i + 1 : NO_SYMBOL,
        };
    }
}

void merges_encode(const Merges *m, MergeWork *w, const char *text, size_t n, int32_t unknown,
                   Ids *out)
{
    if (n == 0) return;
    if (n >= UINT32_MAX / 4 || !work_reserve(w, n)) {
        out->failed = true;
        return;
    }
    start_symbols(m, w, text, n);
    w->queued = 0;
    for (size_t i = 0; i + 1 < n; i++)
        offer_pair(m, w, (uint32_t)i);
    while (w->queued)
        merge_pair(m, w, queue_pop(w));
    for (uint32_t i = 0; i != NO_SYMBOL; i = w->symbols[i].after) {
        if (w->symbols[i].id != MERGES_NO_ID)
            ids_add(out, (int32_t)w->symbols[i].id);
        else if (unknown >= 0)
            ids_add(out, unknown);
    }
}
