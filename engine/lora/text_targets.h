/* text_targets.h - which matrix of a text encoder the key prefix of a LoRA file means. */
#ifndef WEFT_LORA_TEXT_TARGETS_H
#define WEFT_LORA_TEXT_TARGETS_H

#include "engine/lora/lora.h"
#include "engine/lora/targets.h"

/*
 * All prefixes that trainers write for the tensors of one encoder, whose names N are transformers' own
 * without ".weight". N_ is N with underscores for dots, K the encoder's name in ComfyUI ("t5xxl").
 *
 *   text_encoders.K.transformer.N, K.transformer.N, K.N        every encoder
 *   text_encoders.transformer.N, base_model.model.N, N         every encoder but CLIP-L
 *   lora_te_N_, lora_te1_N_, text_encoder.N                    CLIP-L's layers; an encoder that stands alone
 *   lora_te2_N_, lora_te3_N_, text_encoder_2.N                 T5 beside CLIP-L
 *   base_model.model.N, lora_te1_text_projection               CLIP-L
 *
 * Errors: E_NOMEM; fini is due after errors too.
 */
Status lora_text_targets_init(LoraTargets *t, const Weights *base, const LoraTextPart *part,
                              Error *err);
/* A key of this form belongs to some text encoder. */
bool lora_is_text_key(const char *key);

#endif
