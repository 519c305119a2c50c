/* control.h - one application of a ControlNet: the net, its hint, how strongly and when it acts.
 *
 * What conditionings carry in CondEntry.controls. Immutable but for the prepared hint, which is kept until
 * a latent of another size asks. Not thread-safe.
 */
#ifndef WEFT_MODELS_CONTROL_H
#define WEFT_MODELS_CONTROL_H

#include "engine/models/controlnet.h"
#include "engine/sampling/sigmas.h"

typedef struct Control Control; /* shared by reference; what cond_append_control takes */

/* Encodes a picture [B,H,W,3] to latents as the VAE gives them; vae is the object that came with it. */
typedef Status (*ControlEncodeFn)(const void *vae, const Tensor *image, Tensor **out,
                                  Error *err);

/* All pointers are borrowed; what is kept is referenced. */
typedef struct ControlUse {
    const ControlNet *net;
    const Tensor *image; /* [B,H,W,C>=3] */
    const Tensor *mask;  /* [B,H,W], 1 = keep; nets with a mask channel; NULL = ones */
    const void *vae;     /* needed by nets that read latents; NULL where there is none */
    ControlEncodeFn encode;
    double strength, start, end; /* part of the denoising, 0 = start */
} ControlUse;

/* Errors: E_MISSING (the net reads a latent and there is no VAE), E_SHAPE, E_NOMEM. */
Status control_new(const ControlUse *use, Control **out, Error *err);

const ControlNet *control_net(const Control *c);
double control_strength(const Control *c);
/* sigma lies in the range, whose ends are this sampling's levels. */
bool control_is_active(const Control *c, const ModelSampling *sampling, float sigma);
/* The hint for latents of h x w cells, borrowed until the next call: [B,3,8h,8w] or [B,16 or 17,h,w]. */
Status control_hint(Control *c, int64_t h, int64_t w, const Tensor **out, Error *err);

/* AliMama's inpainting: *image is the picture where the mask, fitted and rounded, is 0, black elsewhere;
 * *keep is 1 - mask. */
Status control_inpaint(const Tensor *picture, const Tensor *mask, Tensor **image, Tensor **keep,
                       Error *err);

#endif
