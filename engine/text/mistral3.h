/* mistral3.h - Mistral-3 Small 24B as the text encoder of FLUX.2 dev. */
#ifndef WEFT_TEXT_MISTRAL3_H
#define WEFT_TEXT_MISTRAL3_H

#include "engine/text/decoder.h"

/* Dimensions from the tensors; states after 10, 20 and 30 blocks, none of them normed. Files
 * cut to 30 blocks do. Head width 128. Errors: E_MISSING, E_SHAPE. */
Status mistral3_describe(const Weights *w, DecoderDims *dims, Error *err);

/* The published dimensions of the file with 40 blocks. */
extern const DecoderDims mistral3_published;

#endif
