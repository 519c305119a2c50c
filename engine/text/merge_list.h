/* merge_list.h - a table of merges made at run time from a tokenizer file. */
#ifndef WEFT_TEXT_MERGE_LIST_H
#define WEFT_TEXT_MERGE_LIST_H

#include "engine/text/bpe.h"

/* Merges by rank, under way. Zero-initialise; a failed allocation sets `failed`. */
typedef struct MergeList {
    uint32_t *pairs;    /* owned, [count][2] */
    uint32_t *products; /* owned, [count] */
    uint32_t count, capacity;
    bool failed;
} MergeList;

void merge_list_add(MergeList *l, uint32_t left, uint32_t right, uint32_t product);
void merge_list_fini(MergeList *l);

/* Makes parts->merges of the list, which is emptied, and 256 ids of bytes (owned, taken over;
 * also on failure). Errors: E_NOMEM. */
Status merge_list_finish(MergeList *l, uint32_t *byte_ids, BpeParts *parts, Error *err);

#endif
