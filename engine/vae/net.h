/* net.h - encoder and decoder as programs.
 *
 * Inside a program pictures and features are [h, w, c]. A group norm is two small vectors (group_stats)
 * that the following convolution applies while it reads, with SiLU; so no normalised copy is stored.
 * Source: CompVis latent-diffusion's AutoencoderKL; Black Forest Labs' FLUX.1 and FLUX.2 code.
 */
#ifndef WEFT_VAE_NET_H
#define WEFT_VAE_NET_H

#include "engine/formats/weights.h"
#include "engine/program/ops.h"

/* Sizes read from the file; the transforms around the networks. */
typedef struct VaeDims {
    int levels;              /* resolutions; each but the last halves */
    int64_t z;               /* channels of the networks' latents */
    int64_t pack;            /* 2: packed 2x2 and normalised (FLUX.2); 1: as they are */
    int64_t channels;        /* z * pack^2 */
    int64_t ratio;           /* pixels per latent cell */
    const float *mean, *var; /* [channels], borrowed from the weights; NULL without packing */
} VaeDims;

Status vae_read_dims(const Weights *w, VaeDims *out, Error *err);

/* Decoder: input "latent" [channels,h,w], output "image" [3, h*ratio, w*ratio] in -1..1.
 * Encoder: input "image" [3,H,W] in -1..1 (multiples of the ratio), output "latent" [channels,h,w].
 * stages: intermediate results are outputs too, named by module path, [h,w,c] F32. */
void vae_build_decoder(const VaeDims *d, const Weights *w, int64_t h, int64_t width, bool exact,
                       bool stages, Program *p);
void vae_build_encoder(const VaeDims *d, const Weights *w, int64_t height, int64_t width,
                       bool exact, bool stages, Program *p);

#endif
