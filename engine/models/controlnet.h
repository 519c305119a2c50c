/* controlnet.h - the CONTROL_NET value: a side network of FLUX.1 that turns a hint picture into residuals.
 *
 * Three kinds are told by their tensors: XLabs (BFL's names, the hint as pixels), InstantX and its kin
 * (Shakker's Union, AliMama's inpainting; diffusers' names, the hint as a latent), MistoLine (BFL's names,
 * pixels, a hint network of its own, SiLU behind every residual). A net runs as a program of its own; what
 * it gives are inputs of the model's program.
 *
 * Easy to get wrong: residuals are spread over 19 and 38 places whatever the base has; a latent hint is in the
 * transformer's scale, and a mask channel behind it is not scaled; the mode row of a union net comes before
 * the text without txt_in and lengthens it by one; the nets see no style tokens and no attention bias.
 * Source: XLabs-AI's, InstantX's, AliMama's and MistoLine's published nets; ComfyUI's comfy/ldm/flux/controlnet.
 */
#ifndef WEFT_MODELS_CONTROLNET_H
#define WEFT_MODELS_CONTROLNET_H

#include "engine/models/model.h"

typedef struct ControlNet
    ControlNet; /* shared by reference: controlnet_ref, controlnet_unref */

typedef enum ControlKind { CONTROL_XLABS, CONTROL_LATENT, CONTROL_MISTO } ControlKind;

/* Recognises the net in `w`; file is for messages. The host must outlive it. Errors: E_FORMAT (what the file
 * looks like), E_UNSUPPORTED (a net of another model), E_MISSING, E_SHAPE, E_NOMEM. */
Status controlnet_open(Host *h, const Weights *w, const char *file, ControlNet **out,
                       Error *err);
/* The same for a table of shapes that is known to be of a kind, in the names that the programs read. */
Status controlnet_open_as(Host *h, const Weights *w, const char *file, ControlKind kind,
                          ControlNet **out, Error *err);
/* A handle on the same net for one type of hint of a union net; -1 = none is said. Whether the net has such
 * a row is checked when it runs, as nets without modes ignore it. */
Status controlnet_with_type(const ControlNet *n, int type, ControlNet **out, Error *err);

static inline ControlNet *controlnet_ref(const ControlNet *n)
{
    return ref_take(n);
}
static inline void controlnet_unref(const ControlNet *n)
{
    ref_drop(n);
}

ControlKind controlnet_kind(const ControlNet *n);
const char *controlnet_file(const ControlNet *n);
/* 3 pixels' channels; 16 of a latent, or 17 with a mask. */
int64_t controlnet_hint_channels(const ControlNet *n);
const ModelDims *controlnet_dims(const ControlNet *n);
/* How many residuals it gives and how they are spread. */
ControlShape controlnet_shape(const ControlNet *n);
/* Bytes of all residuals for `tokens` target tokens. */
size_t controlnet_bytes(const ControlNet *n, int64_t tokens);

/* One evaluation for one picture. */
typedef struct ControlCall {
    const ForwardCall
        *forward;      /* x, size, sigma, context, tokens, pooled, guided, guidance are read */
    const float *hint; /* [3, 8h, 8w] in 0..1; or [16 or 17, h, w] in the transformer's scale */
    double strength;   /* on every residual */
    void *const *doubles, *const *singles; /* written: [tokens, D] of the precision's dtype */
} ControlCall;
/* Errors: E_SHAPE (an odd latent side where the hint is pixels), E_RANGE (a type that the net has not),
 * E_CANCELLED, E_NOMEM. */
Status controlnet_run(const ControlNet *n, const ControlCall *call, Error *err);

#endif
