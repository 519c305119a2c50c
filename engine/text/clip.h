/* clip.h - the text tower of CLIP-L. */
#ifndef WEFT_TEXT_CLIP_H
#define WEFT_TEXT_CLIP_H

#include "engine/text/model.h"

typedef struct ClipDims {
    int64_t vocab, hidden, mlp, heads, positions;
    int layers;
    int32_t end; /* the pooled row is that of the first token of this id */
} ClipDims;

/* Dimensions from the tensors; heads as the header's "config" says, else 64 wide (16 in tiny
 * models), the end token is 49407. Errors: E_MISSING, E_SHAPE. */
Status clip_read_dims(const Weights *w, ClipDims *dims, Error *err);
extern const ClipDims clip_published; /* ViT-L/14 */

/*
 * The network: states [T, hidden] behind the final layer norm, pooled the row of the first end
 * token (without text_projection). Causal attention; learned positions; quick GELU. weights may
 * be NULL (dummy). Errors: E_MISSING, E_SHAPE, E_NOMEM. Source: Radford et al., Learning
 * Transferable Visual Models From Natural Language Supervision (2021).
 */
Status clip_new(Host *h, const Weights *weights, const ClipDims *dims, const char *file,
                TextModel **out, Error *err);

#endif
