/* published.h - sizes of the published VAEs, for dummy runs of a file that is not there. */
#ifndef WEFT_VAE_PUBLISHED_H
#define WEFT_VAE_PUBLISHED_H

#include "engine/vae/vae.h"

/* A VAE of the sizes that `name` (a file name) stands for: FLUX.2's or FLUX.1's when it says so, else that of
 * the family ("flux2"; NULL and all else: FLUX.1). Only for dummy runs. *what names the VAE whose sizes were taken. Errors: E_NOMEM. */
Status vae_open_published(Host *h, const char *name, const char *family, Vae **out,
                          const char **what, Error *err);

#endif
