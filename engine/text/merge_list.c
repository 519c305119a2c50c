/* merge_list.c - a table of merges made at run time from a tokenizer file. */
#include "engine/text/merge_list.h"

#include "engine/base/mem.h"

enum { MOST_MERGES = 1 << 24 };

static bool grow(MergeList *l)
{
    uint32_t capacity = l->capacity ? l->capacity * 2 : 1024;
    if (capacity > MOST_MERGES) return false;
    uint32_t *pairs = mem_realloc(l->pairs, capacity * 2 * sizeof *pairs);
    if (!pairs) return false;
    l->pairs = pairs;
    uint32_t *products = mem_realloc(l->products, capacity * sizeof *products);
    if (!products) return false;
    l->products = products;
    l->capacity = capacity;
    return true;
}

void merge_list_add(MergeList *l, uint32_t left, uint32_t right, uint32_t product)
{
    if (!l->failed && l->count == l->capacity && !grow(l)) l->failed = true;
    if (l->failed) return;
    l->pairs[2 * l->count] = left;
    l->pairs[2 * l->count + 1] = right;
    l->products[l->count++] = product;
}

void merge_list_fini(MergeList *l)
{
    mem_free(l->pairs);
    mem_free(l->products);
    *l = (MergeList){ 0 };
}

Status merge_list_finish(MergeList *l, uint32_t *byte_ids, BpeParts *parts, Error *err)
{
    uint32_t size = 64;
    while (size < 2 * l->count)
        size *= 2;
    uint32_t *slots = l->failed ? NULL : mem_calloc(size, sizeof *slots);
    if (!slots) {
        mem_free(byte_ids);
        merge_list_fini(l);
        return error_set(err, E_NOMEM, "out of memory for a tokenizer");
    }
    merges_fill_slots(slots, size - 1, l->pairs, l->count);
    parts->merges = (Merges){ .byte_ids = byte_ids,
                              .pairs = l->pairs,
                              .products = l->products,
                              .slots = slots,
                              .count = l->count,
                              .mask = size - 1 };
    parts->owned[0] = byte_ids;
    parts->owned[1] = l->pairs;
    parts->owned[2] = l->products;
    parts->owned[3] = slots;
    *l = (MergeList){ 0 };
    return OK;
}
