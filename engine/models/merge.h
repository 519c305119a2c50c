/* merge.h - two models of one family become one: weighted sums of their matrices. */
#ifndef WEFT_MODELS_MERGE_H
#define WEFT_MODELS_MERGE_H

#include "engine/models/model.h"

/* Share of the first model for the matrices whose name starts with `prefix`; the longest prefix counts. */
typedef struct MergeShare {
    const char *prefix;
    double share;
} MergeShare;

typedef enum MergeMode {
    MERGE_MIX,     /* share * a + (1 - share) * b */
    MERGE_ADD,     /* a + b */
    MERGE_SUBTRACT /* factor * (a - b) */
} MergeMode;

typedef struct Merge {
    MergeMode mode;
    double factor; /* SUBTRACT */
    const MergeShare
        *shares; /* MIX; copied, prefixes borrowed for ever; the first one is for all else */
    int count;
} Merge;

/* A copy of `a` whose matrices are merged with those of `b` when a program first needs them (b with its own weight
 * patches). Sums in float32; kept in float32 when exact or when a's are, else in 16 bits. Errors: E_SHAPE (another
 * family or size), E_NOMEM. */
Status model_merge(const Model *a, const Model *b, const Merge *merge, bool exact, Model **out,
                   Error *err);

#endif
