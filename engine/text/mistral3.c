/* mistral3.c - Mistral-3 Small 24B as the text encoder of FLUX.2 dev. */
#include "engine/text/mistral3.h"

/* The pad that the mask looks for is 0, although prompts are padded with 11. */
const DecoderDims mistral3_published = { .vocab = 131072,
                                         .hidden = 5120,
                                         .mlp = 32768,
                                         .heads = 32,
                                         .kv_heads = 8,
                                         .head_dim = 128,
                                         .layers = 40,
                                         .theta = 1e9,
                                         .eps = 1e-5f,
                                         .mask_pad = 0,
                                         .capture = { 10, 20, 30 },
                                         .captures = 3 };

Status mistral3_describe(const Weights *w, DecoderDims *dims, Error *err)
{
    *dims = mistral3_published;
    return decoder_read_dims(w, dims, err);
}
