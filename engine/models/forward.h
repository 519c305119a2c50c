/* forward.h - what the forward passes of FLUX.1, FLUX.2 and ControlNets have in common: the joint stream,
 * its rotary table, the text's way in, the conditioning vector.
 *
 * Rows of the text part, in order: style tokens (already of the stream's width), zero rows of padding, the
 * text states through txt_in.
 */
#ifndef WEFT_MODELS_FORWARD_H
#define WEFT_MODELS_FORWARD_H

#include "engine/models/family.h"

/* Stream, sizes and rotary table for a call of shape s. */
Blocks forward_begin(const ModelDims *d, const WeightSource *w, const ForwardShape *s,
                     bool exact, Program *p);
/* Input "style" and input "context" through txt_in into the text rows of the stream. */
void forward_text_in(Blocks *b, const ModelDims *d, const ForwardShape *s);
/* silu(vec): the sum of time, guidance where it is given, and the pooled vector where one is read. */
ProgValue forward_condition(Blocks *b, const ModelDims *d, const ForwardShape *s);
/* The target tokens of the stream, [pos_tokens, D]; none where the references run alone. */
int64_t forward_target(const ModelDims *d, const ForwardShape *s);
/* Adds what the ControlNets say to the target rows after block i of a kind. */
void forward_control(Blocks *b, const ForwardShape *s, bool single, int i);
/* Stages of tests, before the blocks and after one. */
void forward_stage_in(Blocks *b, const ForwardShape *s);
void forward_stage_double(Blocks *b, const ForwardShape *s, int i);

#endif
