/* parts.h - what step caches need of a forward pass: a look at its input, its blocks' residual, and a pass
 * without blocks.
 *
 * A family calls part_probe and part_enter after img_in, part_leave
 * after the last block. For PART_WHOLE all of them do nothing.
 */
#ifndef WEFT_MODELS_PARTS_H
#define WEFT_MODELS_PARTS_H

#include "engine/models/family.h"

/* Narrows a shape to what the part depends on, so that sides and prompts share programs: no text, no controls;
 * references only where PART_PROBE finds them in the stream. */
void part_narrow(ForwardShape *s);
/* The part runs the blocks, so it needs text, references and positions. */
bool part_has_blocks(const ForwardShape *s);

/* PART_PROBE: LN(img)*(1+scale)+shift of all image rows with chunks 0 (shift) and 1 (scale) of the first
 * double block's modulation, as output "modulated" [b->image, D] F32. */
void part_probe(Blocks *b, ProgValue image_mod);
/* Before the blocks, for the target rows. PART_KEEP: a copy of img_in(x), to be given to
 * part_leave. PART_REUSE: adds the input "residual" [target, D] F32. */
ProgValue part_enter(Blocks *b, const ForwardShape *s);
/* After the blocks. PART_KEEP: output "residual" = target rows - entered. */
void part_leave(Blocks *b, const ForwardShape *s, ProgValue entered);

#endif
