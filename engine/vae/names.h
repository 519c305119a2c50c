/* names.h - tensor names of diffusers' AutoencoderKL and AutoencoderKLFlux2 as BFL's. */
#ifndef WEFT_VAE_NAMES_H
#define WEFT_VAE_NAMES_H

#include "engine/formats/weights.h"

/* The VAE's tensors in BFL's names, without prefix; one reference. Files that hold no VAE come back with
 * whatever they hold. Errors: E_NOMEM. */
Status vae_names(const Weights *w, Weights **out, Error *err);

#endif
