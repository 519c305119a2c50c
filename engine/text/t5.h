/* t5.h - the T5 encoder: v1.1 (gated GELU), v1.0 (ReLU), distilled with a projection. */
#ifndef WEFT_TEXT_T5_H
#define WEFT_TEXT_T5_H

#include "engine/text/model.h"

/* V vocabulary, h model width, f width of the MLP, H heads, d head width. */
typedef struct T5Dims {
    int64_t vocab, hidden, mlp, heads, head_dim, buckets;
    int layers;
    bool gated; /* gelu(wi_0 u) * (wi_1 u), else relu(wi u) */
    int64_t projected,
        projected_inner; /* widths of the two layers behind the encoder (DistillT5); 0 = none */
} T5Dims;

/* All dimensions from the tensors. Errors: E_MISSING, E_SHAPE. */
Status t5_read_dims(const Weights *w, T5Dims *dims, Error *err);
extern const T5Dims t5_published; /* T5-XXL v1.1 */

/*
 * The network: states [T, h] (or [T, projected]). Attention without scale, with a learned bias
 * per head and bucket of the distance; no mask, pads take part. Tensors are named as in
 * transformers: shared.weight, encoder.block.i.*. weights may be NULL (dummy).
 * Errors: E_MISSING, E_SHAPE, E_NOMEM.
 * Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text
 * Transformer (2020).
 */
Status t5_new(Host *h, const Weights *weights, const T5Dims *dims, const char *file,
              TextModel **out, Error *err);

#endif
