/* control.c - hints of ControlNets, prepared for a latent's size. */
#include "engine/models/control.h"

#include <math.h>

#include "engine/base/mem.h"
#include "engine/imaging/mask.h"
#include "engine/imaging/resize.h"
#include "engine/tensor/ops.h"

enum { PIXELS_PER_CELL = 8 };

struct Control {
    Ref ref;
    ControlNet *net; /* one reference owned, as are image, mask, vae */
    Tensor *image, *mask;
    void *vae;
    ControlEncodeFn encode;
    double strength, start, end;
    Tensor *hint; /* owned; NULL = not prepared */
};

static void control_destroy(void *object)
{
    Control *c = object;
    controlnet_unref(c->net);
    tensor_unref(c->image);
    tensor_unref(c->mask);
    ref_drop(c->vae);
    tensor_unref(c->hint);
    mem_free(c);
}

static Status check_use(const ControlUse *u, Error *err)
{
    char text[96];

    if (u->image->ndim != 4 || u->image->shape[3] < 3) {
        tensor_describe(u->image, text, sizeof text);
        return error_set(err, E_SHAPE, "the hint is %s; a picture [B,H,W,3] is needed", text);
    }
    if (controlnet_kind(u->net) != CONTROL_LATENT || u->vae) return OK;
    error_set(err, E_MISSING,
              "this ControlNet reads its hint as a latent and no VAE is connected");
    error_at_file(err, controlnet_file(u->net), -1);
    error_fix(err, "connect the VAE of FLUX.1 to vae");
    return E_MISSING;
}

Status control_new(const ControlUse *u, Control **out, Error *err)
{
    TRY(check_use(u, err));
    Control *c = mem_calloc(1, sizeof *c);
    if (!c) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&c->ref, control_destroy);
    c->net = controlnet_ref(u->net);
    c->image = tensor_ref(u->image);
    c->mask = tensor_ref(u->mask);
    c->vae = ref_take(u->vae);
    c->encode = u->encode;
    c->strength = u->strength;
    c->start = u->start;
    c->end = u->end;
    *out = c;
    return OK;
}

const ControlNet *control_net(const Control *c)
{
    return c->net;
}

double control_strength(const Control *c)
{
    return c->strength;
}

bool control_is_active(const Control *c, const ModelSampling *sampling, float sigma)
{
    return (double)sigma <= model_percent_to_sigma(sampling, c->start) &&
           (double)sigma >= model_percent_to_sigma(sampling, c->end);
}

/* ---- the hint ------------------------------------------------------------------------------------------ */

/* The picture's three colours at the size of the latent, [B,H,W,3]. */
static Status fit_picture(const Control *c, int64_t h, int64_t w, Tensor **out, Error *err)
{
    const Tensor *in = c->image;
    Tensor *rgb = NULL;
    int64_t channels = in->shape[3], n = tensor_count(in) / channels;
    int64_t shape[4] = { in->shape[0], in->shape[1], in->shape[2], 3 };

    if (channels == 3) {
        rgb = tensor_ref(in);
    } else {
        TRY(tensor_new(K_F32, 4, shape, &rgb, err));
        for (int64_t i = 0; i < n * 3; i++)
            tensor_f32(rgb)[i] = tensor_f32(in)[i / 3 * channels + i % 3];
    }
    Status s = resize_nhwc(rgb, w * PIXELS_PER_CELL, h * PIXELS_PER_CELL, RESIZE_NEAREST_EXACT,
                           true, out, err);
    tensor_unref(rgb);
    return s;
}

/* The mask as one more channel [B,1,h,w] behind a latent [B,C,h,w]. */
static Status mask_channel(const Control *c, const Tensor *latent, Tensor **out, Error *err)
{
    int64_t b = latent->shape[0], h = latent->shape[2], w = latent->shape[3];
    Tensor *fitted = NULL;

    TRY(tensor_new(K_F32, 4, (int64_t[]){ b, 1, h, w }, out, err));
    if (!c->mask) {
        tensor_fill(*out, 1);
        return OK;
    }
    Status status = resize_mask(c->mask, w, h, RESIZE_NEAREST_EXACT, true, &fitted, err);
    for (int64_t i = 0; status == OK && i < b * h * w; i++)
        tensor_f32(*out)[i] = tensor_f32(fitted)[i % tensor_count(fitted)];
    tensor_unref(fitted);
    if (status != OK) {
        tensor_unref(*out);
        *out = NULL;
    }
    return status;
}

/* The VAE's latent of the picture in the transformer's scale, with the mask where the net reads one. */
static Status latent_hint(const Control *c, const Tensor *picture, Tensor **out, Error *err)
{
    static const LatentFormat flux1 = {
        .channels = 16, .downscale = PIXELS_PER_CELL, .scale = 0.3611f, .shift = 0.1159f
    };
    int64_t channels = controlnet_dims(c->net)->channels;
    Tensor *latent = NULL, *scaled = NULL, *mask = NULL;
    Status status = OK;

    TRY_DONE(c->encode(c->vae, picture, &latent, err));
    if (latent->shape[1] != channels) {
        status = error_set(err, E_SHAPE,
                           "the VAE gives latents of %lld channels, the ControlNet reads %lld",
                           (long long)latent->shape[1], (long long)channels);
        error_fix(err, "connect the VAE of FLUX.1");
        goto done;
    }
    TRY_DONE(latent_process_in(&flux1, latent, &scaled, err));
    if (controlnet_hint_channels(c->net) == channels) {
        *out = tensor_ref(scaled);
        goto done;
    }
    TRY_DONE(mask_channel(c, scaled, &mask, err));
    const Tensor *const parts[2] = { scaled, mask };
    TRY_DONE(tensor_concat(parts, 2, 1, out, err));
done:
    tensor_unref(latent);
    tensor_unref(scaled);
    tensor_unref(mask);
    return status;
}

static Status prepare(const Control *c, int64_t h, int64_t w, Tensor **out, Error *err)
{
    Tensor *picture = NULL;

    TRY(fit_picture(c, h, w, &picture, err));
    Status s = controlnet_kind(c->net) == CONTROL_LATENT ? latent_hint(c, picture, out, err)
                                                         : image_to_nchw(picture, out, err);
    tensor_unref(picture);
    return s;
}

Status control_hint(Control *c, int64_t h, int64_t w, const Tensor **out, Error *err)
{
    int64_t side = controlnet_kind(c->net) == CONTROL_LATENT ? 1 : PIXELS_PER_CELL;

    if (!c->hint || c->hint->shape[2] != h * side || c->hint->shape[3] != w * side) {
        tensor_unref(c->hint);
        c->hint = NULL;
        TRY(prepare(c, h, w, &c->hint, err));
    }
    if (c->hint->shape[2] != h * side || c->hint->shape[3] != w * side)
        return error_set(err, E_SHAPE,
                         "the VAE gives a hint of %lldx%lld cells for a latent of %lldx%lld",
                         (long long)c->hint->shape[3], (long long)c->hint->shape[2],
                         (long long)w, (long long)h);
    *out = c->hint;
    return OK;
}

Status control_inpaint(const Tensor *picture, const Tensor *mask, Tensor **image, Tensor **keep,
                       Error *err)
{
    Status status = OK;
    Tensor *inverse = NULL, *fitted = NULL, *masked = NULL;
    int64_t pixels = picture->shape[1] * picture->shape[2], channels = picture->shape[3];

    TRY_DONE(mask_invert(mask, &inverse, err));
    TRY_DONE(resize_mask(inverse, picture->shape[2], picture->shape[1], RESIZE_BILINEAR, true,
                         &fitted, err));
    TRY_DONE(tensor_clone(picture, &masked, err));
    for (int64_t i = 0; i < tensor_count(masked); i++) {
        int64_t at = i / channels, item = at / pixels % fitted->shape[0];
        tensor_f32(masked)[i] *= rintf(tensor_f32(fitted)[item * pixels + at % pixels]);
    }
    *image = tensor_ref(masked);
    *keep = tensor_ref(inverse);
done:
    tensor_unref(inverse);
    tensor_unref(fitted);
    tensor_unref(masked);
    return status;
}
