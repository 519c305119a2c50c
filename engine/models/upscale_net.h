/* upscale_net.h - enlarging networks: recognised in a file, written as programs. */
#ifndef WEFT_MODELS_UPSCALE_NET_H
#define WEFT_MODELS_UPSCALE_NET_H

#include "engine/models/upscale.h"
#include "engine/program/ops.h"

/* Sizes from names and shapes. Errors: E_UNSUPPORTED, E_SHAPE. */
Status upscale_read_dims(const Weights *w, UpscaleDims *out, Error *err);

/* The network for h x w positions. Input "image" [in * unshuffle^2, h*w], output "image": RRDB [out, h*w*4^ups],
 * compact [out * scale^2, h*w] (before the pixel shuffle). F32. */
void upscale_build(const UpscaleDims *d, const Weights *w, int64_t h, int64_t width,
                   Program *p);

#endif
