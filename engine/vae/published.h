/* published.h - sizes of the published VAEs, for dummy runs of a file that is not there. */
#ifndef WEFT_VAE_PUBLISHED_H
#define WEFT_VAE_PUBLISHED_H

#include "engine/vae/vae.h"

/* A VAE of the sizes that `name` (a file name) stands for: FLUX.2's when it says so, else FLUX.1's. Only
 * for dummy runs. *what names the VAE whose sizes were taken. Errors: E_NOMEM. */
Status vae_open_published(Host *h, const char *name, Vae **out, const char **what, Error *err);

#endif
