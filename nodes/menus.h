/* menus.h - option lists that are not fixed when the program is built. */
#ifndef WEFT_NODES_MENUS_H
#define WEFT_NODES_MENUS_H

#include "engine/graph/node.h"

/* Built-in samplers and schedulers in menu order, then those of the host's registry as lua:<name>. */
Status sampler_options(struct Host *host, const char *const **names, size_t *count, Error *err);
Status scheduler_options(struct Host *host, const char *const **names, size_t *count,
                         Error *err);

/* Files of one models folder. */
Status diffusion_model_options(struct Host *host, const char *const **names, size_t *count,
                               Error *err);
Status text_encoder_options(struct Host *host, const char *const **names, size_t *count,
                            Error *err);
Status vae_options(struct Host *host, const char *const **names, size_t *count, Error *err);
Status checkpoint_options(struct Host *host, const char *const **names, size_t *count,
                          Error *err);
Status lora_options(struct Host *host, const char *const **names, size_t *count, Error *err);

Status controlnet_options(struct Host *host, const char *const **names, size_t *count,
                          Error *err);
Status clip_vision_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err);
Status style_model_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err);
Status model_patch_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err);
Status upscale_model_options(struct Host *host, const char *const **names, size_t *count,
                             Error *err);

/* Pictures of the input folder; of the output folder, " [output]" behind each name. */
Status image_options(struct Host *host, const char *const **names, size_t *count, Error *err);
Status output_image_options(struct Host *host, const char *const **names, size_t *count,
                            Error *err);

#endif
