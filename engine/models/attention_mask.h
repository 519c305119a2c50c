/* attention_mask.h - an additive bias on attention scores that a conditioning carries (CondEntry.extra).
 *
 * Made by style models: rows and columns of the text, and one that stands for all target tokens. At a model
 * call that one is repeated over the target, and over references; rows that the mask does not know (style
 * tokens, padding, text appended later) get nothing added.
 */
#ifndef WEFT_MODELS_ATTENTION_MASK_H
#define WEFT_MODELS_ATTENTION_MASK_H

#include "engine/tensor/tensor.h"

typedef struct AttentionMask {
    Ref ref;
    int64_t text; /* rows of text; the mask has one more, for the picture */
    Tensor
        *bias; /* [text + 1, text + 1] F32, values of float16; -inf hides a key from a query */
} AttentionMask;

/* `old` (NULL = none) with `added` text rows behind its `text` ones. Columns of the new rows are `value`,
 * rounded to float16, for the old text and the picture; the new rows are 0. Errors: E_SHAPE when old is of
 * another text, E_NOMEM. */
Status attention_mask_grow(const AttentionMask *old, int64_t text, int64_t added, double value,
                           AttentionMask **out, Error *err);
/* Writes the bias of a call, out [n, n]: n = before + text + target + references; `before` rows stand before
 * the text, text >= m->text. -inf becomes a finite number that leaves no weight. */
void attention_mask_fill(const AttentionMask *m, int64_t before, int64_t text, int64_t target,
                         int64_t references, float *out);

#endif
