/* merge.h - adds one change to the rows of a matrix that a window holds. */
#ifndef WEFT_LORA_MERGE_H
#define WEFT_LORA_MERGE_H

#include "engine/lora/factors.h"

/* Rows [first, first + rows) of a matrix [total, cols], in float32. */
typedef struct LoraWindow {
    float *data;
    int64_t first, rows, total, cols;
    bool swapped; /* the file keeps the row halves of the matrix exchanged */
} LoraWindow;

/* Where a change lands: rows [first, first + rows), rows = 0 for all; its own halves exchanged or not. */
typedef struct LoraPlace {
    int64_t first, rows;
    bool swap;
    bool replace; /* the rows become the change, strength does not count */
    int64_t
        head; /* not 0: the matrix holds heads of so many rows in pairs (2i, 2i+1), as llama.cpp permutes q
                        and k, where the change holds them in halves (i, i + head/2) */
} LoraPlace;

/* The rows at work: rows [lo, hi) of the matrix, and where the change begins and how far it goes. */
typedef struct LoraSpan {
    int64_t lo, hi, first, rows, head;
    bool swap;
} LoraSpan;
/* What window and place share; false when that is nothing. */
bool lora_span(const LoraWindow *w, const LoraPlace *place, LoraSpan *out);
/* Row of the change that belongs to row i of the matrix. */
int64_t lora_span_row(const LoraSpan *s, bool swap, int64_t i);

/* W += strength * scale * delta on the rows that window and place share; with DoRA
 *   C = W + scale * delta;  C *= m / n;  W = C at strength 1, else W + strength * (C - W)
 * where n is the norm of each row of W (as many magnitudes as rows), or of each column of C.
 * Errors: E_SHAPE, E_UNSUPPORTED, E_NOMEM. */
Status lora_merge(LoraWindow *w, const LoraPlace *place, const LoraFactors *f, double strength,
                  Error *err);

#endif
