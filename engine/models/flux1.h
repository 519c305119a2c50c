/* flux1.h - the FLUX.1 transformer (dev, schnell, Fill, Canny, Depth, Kontext) as a program.
 *
 * Easy to get wrong: a latent of odd size is continued with its own first row and column before it is cut
 * into patches of 2 x 2; a patch lies channel by channel; without a pooled text vector the term is that
 * of a zero vector, not nothing; schnell samples on the plain flow table.
 * Source: Black Forest Labs' FLUX.1 model code; ComfyUI's comfy/ldm/flux.
 */
#ifndef WEFT_MODELS_FLUX1_H
#define WEFT_MODELS_FLUX1_H

#include "engine/models/family.h"

extern const ModelFamily flux1_family;

#endif
