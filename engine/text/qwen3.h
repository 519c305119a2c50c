/* qwen3.h - Qwen3 as the text encoder of FLUX.2 klein. */
#ifndef WEFT_TEXT_QWEN3_H
#define WEFT_TEXT_QWEN3_H

#include "engine/text/decoder.h"
#include "engine/text/prompt.h"

/*
 * Dimensions from the tensors, states 9, 18, 27 and klein's prompt rules; an own small model
 * says otherwise in its header metadata: weft.layers ("2,3,4"), weft.pad_id, weft.min_length,
 * weft.template (one "{}"). rules->template is borrowed from weights. Errors: E_MISSING,
 * E_SHAPE, E_FORMAT (metadata that cannot be read).
 * Source: Yang et al., Qwen3 Technical Report (2025).
 */
Status qwen3_describe(const Weights *w, DecoderDims *dims, PromptRules *rules, Error *err);

/* The published dimensions: 8B when the file's name says so, else 4B. */
void qwen3_published(const char *file_name, DecoderDims *dims, PromptRules *rules);

#endif
