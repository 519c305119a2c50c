/* pieces.c - a sorted set of byte strings, searched by prefix. */
#include "engine/text/pieces.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

PieceWalk pieces_begin(const Pieces *p)
{
    return (PieceWalk){ .last = p->n };
}

/* Byte `depth` of piece i, or -1 where it is shorter: shorter pieces sort first. */
static int byte_at(const Pieces *p, uint32_t i, uint32_t depth)
{
    uint32_t at = p->offsets[i] + depth;
    return at < p->offsets[i + 1] ? (unsigned char)p->bytes[at] : -1;
}

/* First piece of [first, last) whose byte at depth is at least c. */
static uint32_t lower_bound(const Pieces *p, uint32_t first, uint32_t last, uint32_t depth,
                            int c)
{
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        if (byte_at(p, middle, depth) < c)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

bool pieces_step(const Pieces *p, PieceWalk *w, unsigned char c)
{
    uint32_t first = lower_bound(p, w->first, w->last, w->depth, c);
    uint32_t last = lower_bound(p, first, w->last, w->depth, c + 1);
    if (first == last) return false;
    *w = (PieceWalk){ .first = first, .last = last, .depth = w->depth + 1 };
    return true;
}

int64_t pieces_here(const Pieces *p, const PieceWalk *w)
{
    if (w->first == w->last) return -1;
    return p->offsets[w->first + 1] - p->offsets[w->first] == w->depth ? (int64_t)w->first : -1;
}

int64_t pieces_longest(const Pieces *p, const char *text, size_t n, size_t *length)
{
    PieceWalk w = pieces_begin(p);
    int64_t best = -1;
    for (size_t i = 0; i < n && pieces_step(p, &w, (unsigned char)text[i]); i++) {
        int64_t here = pieces_here(p, &w);
        if (here < 0) continue;
        best = here;
        *length = i + 1;
    }
    return best;
}

int64_t pieces_find(const Pieces *p, const char *text, size_t n)
{
    PieceWalk w = pieces_begin(p);
    for (size_t i = 0; i < n; i++)
        if (!pieces_step(p, &w, (unsigned char)text[i])) return -1;
    return pieces_here(p, &w);
}

/* By bytes; a shorter text before the longer ones that it begins. */
static int compare_items(const void *a, const void *b)
{
    const PieceItem *x = a, *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->text, y->text, shorter);
    if (order) return order;
    return x->length != y->length ? (x->length < y->length ? -1 : 1) : 0;
}

static uint32_t drop_equal(PieceItem *items, size_t n)
{
    uint32_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || compare_items(&items[kept - 1], &items[i]) != 0)
            items[kept++] = items[i];
    return kept;
}

bool piece_set_build(PieceItem *items, size_t n, PieceSet *out)
{
    PieceSet set = { 0 };
    size_t total = 0;

    if (n >= UINT32_MAX) return false;
    if (n) qsort(items, n, sizeof *items, compare_items);
    set.pieces.n = drop_equal(items, n);
    for (uint32_t i = 0; i < set.pieces.n; i++)
        total += items[i].length;
    set.ids = mem_alloc_array(set.pieces.n, sizeof *set.ids);
    set.offsets = mem_alloc_array((size_t)set.pieces.n + 1, sizeof *set.offsets);
    set.bytes = total < UINT32_MAX ? mem_alloc(total) : NULL;
    if (!set.ids || !set.offsets || !set.bytes) {
        piece_set_fini(&set);
        return false;
    }
    set.offsets[0] = 0;
    for (uint32_t i = 0; i < set.pieces.n; i++) {
        memcpy(set.bytes + set.offsets[i], items[i].text, items[i].length);
        set.offsets[i + 1] = set.offsets[i] + items[i].length;
        set.ids[i] = items[i].id;
        if (items[i].length) set.begins[(unsigned char)items[i].text[0]] = true;
    }
    set.pieces.offsets = set.offsets;
    set.pieces.bytes = set.bytes;
    *out = set;
    return true;
}

void piece_set_fini(PieceSet *set)
{
    mem_free(set->ids);
    mem_free(set->offsets);
    mem_free(set->bytes);
    *set = (PieceSet){ 0 };
}

int32_t piece_set_longest(const PieceSet *set, const char *text, size_t n, size_t *length)
{
    if (n == 0 || !set->begins[(unsigned char)text[0]]) return -1;
    int64_t at = pieces_longest(&set->pieces, text, n, length);
    return at < 0 ? -1 : set->ids[at];
}

int32_t piece_set_find(const PieceSet *set, const char *text, size_t n)
{
    int64_t at = pieces_find(&set->pieces, text, n);
    return at < 0 ? -1 : set->ids[at];
}
