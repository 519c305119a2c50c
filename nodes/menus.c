/* menus.c - option lists that are not fixed when the program is built. */
#include "nodes/menus.h"

#include "engine/residency/inputs.h"
#include "engine/sampling/samplers.h"
#include "engine/sampling/sigmas.h"

static size_t count_names(const char *const *names)
{
    size_t n = 0;
    while (names[n])
        n++;
    return n;
}

Status sampler_options(struct Host *host, const char *const **names, size_t *count, Error *err)
{
    (void)err;
    const HostMenus *menus = host ? host_menus(host) : NULL;
    *names = menus && menus->samplers ? menus->samplers : sampler_names();
    *count = count_names(*names);
    return OK;
}

Status scheduler_options(struct Host *host, const char *const **names, size_t *count,
                         Error *err)
{
    (void)err;
    const HostMenus *menus = host ? host_menus(host) : NULL;
    *names = menus && menus->schedulers ? menus->schedulers : scheduler_names();
    *count = count_names(*names);
    return OK;
}

static Status model_files(struct Host *host, const char *folder, const char *const **names,
                          size_t *count, Error *err)
{
    *count = 0;
    return host ? host_list_models(host, folder, names, count, err) : OK;
}

Status diffusion_model_options(struct Host *host, const char *const **names, size_t *count,
                               Error *err)
{
    return model_files(host, "diffusion_models", names, count, err);
}

Status text_encoder_options(struct Host *host, const char *const **names, size_t *count,
                            Error *err)
{
    return model_files(host, "text_encoders", names, count, err);
}

Status vae_options(struct Host *host, const char *const **names, size_t *count, Error *err)
{
    return model_files(host, "vae", names, count, err);
}

Status checkpoint_options(struct Host *host, const char *const **names, size_t *count,
                          Error *err)
{
    return model_files(host, "checkpoints", names, count, err);
}

Status lora_options(struct Host *host, const char *const **names, size_t *count, Error *err)
{
    return model_files(host, "loras", names, count, err);
}

Status controlnet_options(struct Host *host, const char *const **names, size_t *count,
                          Error *err)
{
    return model_files(host, "controlnet", names, count, err);
}

Status clip_vision_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err)
{
    return model_files(host, "clip_vision", names, count, err);
}

Status style_model_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err)
{
    return model_files(host, "style_models", names, count, err);
}

Status model_patch_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err)
{
    return model_files(host, "model_patches", names, count, err);
}

static const char *const picture_suffixes[] = { ".png", ".jpg", ".jpeg", ".bmp",
                                                ".gif", ".tga", ".psd",  ".webp",
                                                ".pgm", ".ppm", NULL };

Status image_options(struct Host *host, const char *const **names, size_t *count, Error *err)
{
    *count = 0;
    return host ? input_list(host, picture_suffixes, names, count, err) : OK;
}

Status output_image_options(struct Host *host, const char *const **names, size_t *count,
                            Error *err)
{
    *count = 0;
    return host ? output_list(host, picture_suffixes, names, count, err) : OK;
}

Status upscale_model_options(struct Host *host, const char *const **names, size_t *count,
                             Error *err)
{
    return model_files(host, "upscale_models", names, count, err);
}
