/* decoder.h - the decoder-only transformer that Qwen3 and Mistral share. */
#ifndef WEFT_TEXT_DECODER_H
#define WEFT_TEXT_DECODER_H

#include "engine/text/model.h"

enum { DECODER_MAX_CAPTURES = 8 };

/* V vocabulary, h hidden, m width of the MLP, H heads, KV key heads, d head width. */
typedef struct DecoderDims {
    int64_t vocab, hidden, mlp, heads, kv_heads, head_dim;
    int layers; /* blocks that the file has */
    double theta;
    float eps;
    bool qk_norm;     /* q and k get an RMS norm per head */
    bool paired_rope; /* q, k rows lie in pairs (2i, 2i+1), as llama.cpp permutes them; else in
                         halves */
    bool final_norm;  /* a state after the last block passes the final norm */
    int32_t mask_pad; /* the first token of this id and all after it are never attended to; -1 =
                         none */
    int capture[DECODER_MAX_CAPTURES]; /* number of blocks before each state that is taken;
                                          rising */
    int captures;
} DecoderDims;

extern const TextModelKind decoder_qwen3, decoder_mistral3;

/* Reads every dimension that tensors tell (all but theta, eps, mask_pad, capture and, without
 * q_norm, the head width, which must be set before). Errors: E_MISSING, E_SHAPE. */
Status decoder_read_dims(const Weights *w, DecoderDims *dims, Error *err);

/*
 * The network: states [T, captures * h], the residual stream after capture[i] blocks, side by
 * side. Only the blocks that are needed run. Key j is seen by query i when j <= i and j stands
 * before the first mask_pad. Block, with u = RMS(x) each time:
 *   x += o(attention(rope(norm(q(u))), rope(norm(k(u))), v(u)))
 *   x += down(silu(gate(u)) * up(u))
 * weights may be NULL (dummy). Errors: E_SHAPE, E_RANGE (a capture past the last block),
 * E_MISSING, E_NOMEM.
 */
Status decoder_new(Host *h, const TextModelKind *kind, const Weights *weights,
                   const DecoderDims *dims, const char *file, TextModel **out, Error *err);

#endif
