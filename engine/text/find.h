/* find.h - which encoder networks a table of tensors holds. */
#ifndef WEFT_TEXT_FIND_H
#define WEFT_TEXT_FIND_H

#include "engine/formats/weights.h"

typedef enum TextNetwork {
    TEXT_QWEN3,
    TEXT_MISTRAL3,
    TEXT_T5,
    TEXT_CLIP,
    TEXT_NETWORKS
} TextNetwork;

/* Looks for a network by the tensors that mark it, whatever prefix they stand under and also in
 * llama.cpp's names. *out is the table with the prefix cut off and transformers' names, or NULL
 * when the network is not there. *paired is set when q and k rows lie in rotary pairs. Errors:
 * E_NOMEM. */
Status text_find(const Weights *w, TextNetwork network, Weights **out, bool *paired,
                 Error *err);

#endif
