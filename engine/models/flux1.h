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

/* ---- what ControlNets of FLUX.1 take from it ---- */

/* Sizes of a file with FLUX.1's blocks, final layer or not; channels are those of img_in. */
Status flux1_read_sizes(const Weights *w, ModelDims *out, Error *err);
/* Channels of a matrix that reads or writes patches of 2 x 2. */
Status flux1_patch_channels(const Weights *w, const char *name, int dim, int64_t *out,
                            Error *err);

/* Where the patches of a latent go: channels [channel, ...) of rows [first, ...). */
typedef struct Flux1Place {
    ProgValue tokens; /* [n, of * 4] */
    int64_t of;       /* channels of a token */
    int64_t first, channel;
} Flux1Place;
/* Patches of a latent `in` [c, h, w] F32, which is continued by its own first row and column where a side
 * is odd. */
void flux1_latent_tokens(Program *p, ProgValue in, int64_t c, PosSize size, Flux1Place to);

/* All blocks in order; `after` is called behind each, left out or not. */
typedef void (*Flux1AfterFn)(void *user, Blocks *b, const ForwardShape *s, bool single, int i);
void flux1_blocks(Blocks *b, const ModelDims *d, const ForwardShape *s, ProgValue silu_vec,
                  Flux1AfterFn after, void *user);

#endif
