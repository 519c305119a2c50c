/* outputs.c - the outputs that many classes share. */
#include "nodes/outputs.h"

#include "nodes/rows.h"

/* clang-format off */
const Socket model_out[] = { OUT(ModelOut, model, "MODEL", SOCK_MODEL), END_ROWS };
const Socket clip_out[] = { OUT(ClipOut, clip, "CLIP", SOCK_CLIP), END_ROWS };
const Socket cond_out[] = { OUT(CondOut, conditioning, "CONDITIONING", SOCK_COND), END_ROWS };
const Socket latent_out[] = { OUT(LatentOut, latent, "LATENT", SOCK_LATENT), END_ROWS };
const Socket sampler_out[] = { OUT(SamplerOut, sampler, "SAMPLER", SOCK_SAMPLER), END_ROWS };
const Socket sigmas_out[] = { OUT(SigmasOut, sigmas, "SIGMAS", SOCK_SIGMAS), END_ROWS };
const Socket custom_out[] = {
    OUT(CustomOut, output, "output", SOCK_LATENT),
    OUT(CustomOut, denoised_output, "denoised_output", SOCK_LATENT),
    END_ROWS
};
const Socket image_out[] = { OUT(ImageOut, image, "IMAGE", SOCK_IMAGE), END_ROWS };
const Socket mask_out[] = { OUT(MaskOut, mask, "MASK", SOCK_MASK), END_ROWS };
const Socket image_mask_out[] = {
    OUT(ImageMaskOut, image, "IMAGE", SOCK_IMAGE),
    OUT(ImageMaskOut, mask, "MASK", SOCK_MASK),
    END_ROWS
};
const Socket string_out[] = { OUT(StringOut, text, "STRING", SOCK_STRING), END_ROWS };
const Socket no_out[] = { END_ROWS };
/* clang-format on */
