/* weights.h - the weight syntax of prompts: (text), (text:1.3), nested. */
#ifndef WEFT_TEXT_WEIGHTS_H
#define WEFT_TEXT_WEIGHTS_H

#include "engine/base/status.h"
#include "engine/base/str.h"

/* A piece of the escaped text with its weight; never empty. */
typedef struct WeightedPiece {
    size_t first, count;
    double weight;
} WeightedPiece;

typedef struct WeightedPieces {
    WeightedPiece *at; /* owned */
    size_t count, capacity;
} WeightedPieces;

/* Appends text with `\)` as bytes 00 01 and `\(` as 00 02, so that they are no brackets. */
void weights_escape(const char *text, size_t n, Str *out);
/* Appends text with 00 01 as `)` and 00 02 as `(`. */
void weights_restore(const char *text, size_t n, Str *out);

/* Splits escaped text. A bracketed piece multiplies the weight by 1.1, or sets it to the number
 * behind its last colon. Linear in n, nesting of any depth. Errors: E_NOMEM. */
Status weights_split(const char *text, size_t n, WeightedPieces *out, Error *err);

#endif
