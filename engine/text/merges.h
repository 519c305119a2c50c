/* merges.h - byte-pair encoding: the table of merges and the search for the lowest rank.
 *
 * A table is used in place, whether it lies in read-only memory (data/qwen.bin, data/clip.bin)
 * or was made from a tokenizer file. Layout of a .bin file, all u32 little-endian:
 *
 *   head    magic "WBPE", version 1, byte ids (256 or 512), merges, id of the first product,
 *           slot bits, 0, 0
 *   bytes   id of each byte; with 512, then of each byte as the last of a word
 *   pairs   left and right id of each merge, by rank
 *   slots   2^bits of rank + 1, or 0; open addressing from the pair's hash, linear probing
 */
#ifndef WEFT_TEXT_MERGES_H
#define WEFT_TEXT_MERGES_H

#include "engine/text/tokenizer.h"

typedef struct Merges {
    const uint32_t *byte_ids; /* 256 or 512; MERGES_NO_ID = no such symbol */
    const uint32_t *pairs;    /* [count][2] */
    const uint32_t *products; /* [count], or NULL: first + rank */
    const uint32_t *slots;    /* [mask + 1] */
    uint32_t count, first, mask;
    bool word_ends; /* byte_ids has the second half */
} Merges;

#define MERGES_NO_ID UINT32_MAX

/* A view on a built-in table. Errors: E_INTERNAL when it is damaged. */
Status merges_view(const unsigned char *table, const unsigned char *end, Merges *out,
                   Error *err);

/* Fills slots (mask + 1 of them, zeroed, at least twice count) from pairs; the first of equal
 * pairs wins. */
void merges_fill_slots(uint32_t *slots, uint32_t mask, const uint32_t *pairs, uint32_t count);

/* Working memory of one encoding, grown as needed. Zero-initialise. */
typedef struct MergeWork {
    struct MergeSymbol *symbols; /* owned */
    struct MergeQueued *queue;   /* owned */
    size_t capacity, queued;
} MergeWork;
void merge_work_fini(MergeWork *w);

/* Appends the ids of one pre-token: symbols are its bytes, the pair of lowest rank is merged
 * first, left to right. O(n log n). Bytes without a symbol give `unknown` (nothing when
 * negative). */
void merges_encode(const Merges *m, MergeWork *w, const char *text, size_t n, int32_t unknown,
                   Ids *out);

#endif
