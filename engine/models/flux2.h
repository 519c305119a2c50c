/* flux2.h - the FLUX.2 transformer (klein 4B, 9B, dev) as a program.
 *
 * Easy to get wrong: text comes first in the sequence; modulations are shared by all blocks of a kind;
 * the guidance value is rounded to bf16 before it is multiplied by 1000, in `fast` only; short contexts
 * are padded with zero rows on the left by the sampler's side, and nothing is masked.
 * Source: ComfyUI's comfy/ldm/flux; Black Forest Labs' FLUX.2 model code.
 */
#ifndef WEFT_MODELS_FLUX2_H
#define WEFT_MODELS_FLUX2_H

#include "engine/models/family.h"

extern const ModelFamily flux2_family;

#endif
