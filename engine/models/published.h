/* published.h - sizes of published transformers, for dummy runs of a file that is not there. */
#ifndef WEFT_MODELS_PUBLISHED_H
#define WEFT_MODELS_PUBLISHED_H

#include "engine/models/controlnet.h"
#include "engine/models/model.h"

/* A model of the sizes that `name` (a file name) stands for; a name that tells nothing gives FLUX.1 dev when
 * family is "flux1", else (NULL too) FLUX.2 klein 4B. The name tells the number format, too
 * (formats/file_name.h). Only for dummy runs. *what names the model whose sizes were taken, for a note. Errors: E_NOMEM. */
Status model_open_published(Host *h, const char *name, const char *family, Model **out,
                            const char **what, Error *err);
/* The same for a ControlNet; a name that tells nothing gives a union net. */
Status controlnet_open_published(Host *h, const char *name, ControlNet **out, const char **what,
                                 Error *err);

#endif
