/* concat.h - the input channels that inpaint and control models read beside the noisy latent.
 *
 * Control models (Canny, Depth): one latent. Fill: a latent of the masked picture, then the mask, whose
 * 8 x 8 pixels under a latent cell are 64 channels, row by row.
 */
#ifndef WEFT_MODELS_CONCAT_H
#define WEFT_MODELS_CONCAT_H

#include "engine/sampling/latent.h"

typedef struct ConcatCall {
    const LatentFormat *format;
    const Tensor *latent; /* [b,C,h,w] as the VAE gave it, of any size; NULL = zeros */
    const Tensor *mask;   /* [b,H,W] or [b,c,H,W] (its mean over c), of any size; NULL = ones */
    int64_t extra; /* channels that the model reads beside the latent's; above C: with mask */
    int64_t batch, h, w; /* of the sampled latent */
} ConcatCall;

/* *out: [batch, C or C + 64, h, w] F32. What has another size is cut at its centre to the aspect of the
 * latent and resized (bilinear); what has another batch is repeated or thinned out evenly. The latent
 * goes through process_in, zeros too. Errors: E_SHAPE, E_NOMEM. Source: ComfyUI's Flux model. */
Status concat_channels(const ConcatCall *c, Tensor **out, Error *err);

/* Rows [y, y+h) and columns [x, x+w) of every plane of t [b,c,H,W]; t itself where that is all of it. */
Status concat_crop(const Tensor *t, int64_t y, int64_t x, int64_t h, int64_t w, Tensor **out,
                   Error *err);

#endif
