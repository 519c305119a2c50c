/* loaders.c - node types that open model files. */
#include "nodes/loaders.h"

#include <stdio.h>
#include <string.h>

#include "engine/formats/file_name.h"
#include "engine/formats/weights.h"
#include "engine/models/model.h"
#include "engine/models/published.h"
#include "engine/residency/host.h"
#include "engine/text/encoder.h"
#include "engine/vae/published.h"
#include "engine/vae/vae.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

typedef struct VaeOut {
    Vae *vae;
} VaeOut;

static const Socket vae_out[] = { OUT(VaeOut, vae, "VAE", SOCK_VAE), END_ROWS };

/* Opens a file of a models folder. Errors name the file. */
static Status open_weights(Host *host, const char *folder, const char *name, KDtype cast,
                           Weights **out, const char **path, Error *err)
{
    WeightsOptions options = { .dummy = host_dummy(host), .cast = cast };
    TRY(host_find_model(host, folder, name, path, err));
    Status status = weights_open(*path, &options, out, err);
    if (status != OK) error_at_file(err, *path, -1);
    return status;
}

/* A dummy run may do without the file: when the last error says that it is missing, the error goes. */
static bool may_miss(NodeCall *call, Status status)
{
    if (status != E_MISSING || !host_dummy(call->host)) return false;
    error_clear(call->err);
    return true;
}

/* Says whose sizes take the place of a missing file. */
static void tell_published(NodeCall *call, const char *name, const char *what)
{
    char text[400];
    snprintf(text, sizeof text, "%s is missing; sizes of %s are taken", name, what);
    events_emit(call->events,
                &(Event){ .kind = EV_NOTE, .node = call->id, .path = name, .text = text });
}

/* ---- UNETLoader ------------------------------------------------------------------------------------- */

typedef struct UnetIn {
    const char *unet_name, *weight_dtype;
} UnetIn;

static const char *const weight_dtypes[] = { "default", "fp8_e4m3fn", "fp8_e5m2",
                                             "fp8_e4m3fn_fast", NULL };

/* clang-format off */
static const Socket unet_in[] = {
    { ROW(UnetIn, unet_name, SOCK_COMBO), .options_fn = diffusion_model_options, .folder = "diffusion_models",
      .doc = "File in models/diffusion_models." },
    { ROW(UnetIn, weight_dtype, SOCK_COMBO), .options = weight_dtypes, .doc = "Round every parameter to FP8 first." },
    END_ROWS
};
/* clang-format on */

static KDtype cast_from_name(const char *name)
{
    if (strncmp(name, "fp8_e4m3fn", 10) == 0) return K_F8_E4M3;
    return strcmp(name, "fp8_e5m2") == 0 ? K_F8_E5M2 : K_F32;
}

static Status unet_run(NodeCall *call)
{
    const UnetIn *in = call->in;
    ModelOut *out = call->out;
    Weights *w = NULL;
    const char *path = NULL, *what = NULL;
    Status status = open_weights(call->host, "diffusion_models", in->unet_name,
                                 cast_from_name(in->weight_dtype), &w, &path, call->err);
    if (may_miss(call, status)) {
        TRY(model_open_published(call->host, in->unet_name, host_family(call->host, call->id),
                                 &out->model, &what, call->err));
        tell_published(call, in->unet_name, what);
        return OK;
    }
    TRY(status);
    status = model_open(call->host, w, path, &out->model, call->err);
    if (status != OK) error_at_file(call->err, path, -1);
    weights_unref(w);
    return status;
}

static const NodeDef unet_loader = {
    .class_type = "UNETLoader",
    .display = "Load Diffusion Model",
    .category = "advanced/loaders",
    .doc = "Opens a diffusion transformer; weights stay in the mapped file.",
    .engine_note = "The family is told by the tensors. fp8_e4m3fn_fast rounds weights as "
                   "fp8_e4m3fn does; activations "
                   "are not quantised.",
    .inputs = unet_in,
    .outputs = model_out,
    .in_size = sizeof(UnetIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_LOAD,
    .run = unet_run,
};

/* ---- UNETLoaderNF4 ------------------------------------------------------------------------------------ */

/* clang-format off */
static const Socket unet_nf4_in[] = {
    { ROW(UnetIn, unet_name, SOCK_COMBO), .options_fn = diffusion_model_options, .folder = "diffusion_models",
      .doc = "File in models/diffusion_models." },
    { ROW(UnetIn, weight_dtype, SOCK_COMBO), .options = weight_dtypes, .flags = SOCK_F_OPTIONAL, .doc = "As in UNETLoader; matrices that are quantised in the file stay as they are." },
    END_ROWS
};
/* clang-format on */

static const NodeDef unet_nf4_loader = {
    .class_type = "UNETLoaderNF4",
    .display = "Load Diffusion Model (NF4)",
    .category = "advanced/loaders",
    .doc =
        "UNETLoader under the name that NF4 workflows use; the coding is told by the tensors.",
    .inputs = unet_nf4_in,
    .outputs = model_out,
    .in_size = sizeof(UnetIn),
    .out_size = sizeof(ModelOut),
    .stage = STAGE_LOAD,
    .run = unet_run,
};

/* ---- CLIPLoader, DualCLIPLoader ----------------------------------------------------------------------- */

typedef struct ClipIn {
    const char *clip_name, *type, *device;
} ClipIn;

static const char *const clip_types[] = {
    "stable_diffusion", "stable_cascade", "sd3",   "stable_audio", "mochi",  "ltxv", "pixart",
    "cosmos",           "lumina2",        "wan",   "hidream",      "chroma", "ace",  "omnigen2",
    "qwen_image",       "hunyuan_image",  "flux2", "ovis",         NULL,
};
static const char *const clip_devices[] = { "default", "cpu", NULL };

/* clang-format off */
static const Socket clip_in[] = {
    { ROW(ClipIn, clip_name, SOCK_COMBO), .options_fn = text_encoder_options, .folder = "text_encoders", .doc = "File in models/text_encoders." },
    { ROW(ClipIn, type, SOCK_COMBO), .options = clip_types, .doc = "Model family the encoder serves; flux2 here." },
    { ROW(ClipIn, device, SOCK_COMBO), .options = clip_devices, .flags = SOCK_F_OPTIONAL | SOCK_F_ADVANCED, .doc = "Where it runs." },
    END_ROWS
};
/* clang-format on */

/* Files by name; one that is missing is allowed in a dummy run, which says so. */
static Status find_encoder(NodeCall *call, const char *name, TextFile *out)
{
    *out = (TextFile){ .name = name };
    Status status = host_find_model(call->host, "text_encoders", name, &out->path, call->err);
    if (!may_miss(call, status)) return status;
    out->path = NULL;
    tell_published(call, name, "the published text encoder");
    return OK;
}

static Status clip_run(NodeCall *call)
{
    const ClipIn *in = call->in;
    ClipOut *out = call->out;
    TextFile file;
    TRY(find_encoder(call, in->clip_name, &file));
    return text_encoder_open(call->host, &file, 1, in->type, &out->clip, call->err);
}

static const NodeDef clip_loader = {
    .class_type = "CLIPLoader",
    .display = "Load CLIP",
    .category = "advanced/loaders",
    .doc = "Opens a text encoder; the network is told by its tensors.",
    .inputs = clip_in,
    .outputs = clip_out,
    .in_size = sizeof(ClipIn),
    .out_size = sizeof(ClipOut),
    .stage = STAGE_LOAD,
    .run = clip_run,
};

typedef struct DualIn {
    const char *clip_name1, *clip_name2, *type, *device;
} DualIn;

static const char *const dual_types[] = {
    "sdxl",
    "sd3",
    "flux",
    "hunyuan_video",
    "hidream",
    "hunyuan_image",
    "hunyuan_video_15",
    "kandinsky5",
    "kandinsky5_image",
    "ltxv",
    "newbie",
    "ace",
    NULL,
};

/* clang-format off */
static const Socket dual_in[] = {
    { ROW(DualIn, clip_name1, SOCK_COMBO), .options_fn = text_encoder_options, .folder = "text_encoders", .doc = "One of the two files." },
    { ROW(DualIn, clip_name2, SOCK_COMBO), .options_fn = text_encoder_options, .folder = "text_encoders", .doc = "The other one." },
    { ROW(DualIn, type, SOCK_COMBO), .options = dual_types, .doc = "Model family the encoders serve; flux here." },
    { ROW(DualIn, device, SOCK_COMBO), .options = clip_devices, .flags = SOCK_F_OPTIONAL | SOCK_F_ADVANCED, .doc = "Where they run." },
    END_ROWS
};
/* clang-format on */

static Status dual_run(NodeCall *call)
{
    const DualIn *in = call->in;
    ClipOut *out = call->out;
    TextFile files[2];
    TRY(find_encoder(call, in->clip_name1, &files[0]));
    TRY(find_encoder(call, in->clip_name2, &files[1]));
    return text_encoder_open(call->host, files, 2, in->type, &out->clip, call->err);
}

static const NodeDef dual_clip_loader = {
    .class_type = "DualCLIPLoader",
    .category = "advanced/loaders",
    .doc = "Opens the two text encoders of FLUX.1: CLIP-L and T5, in either order.",
    .inputs = dual_in,
    .outputs = clip_out,
    .in_size = sizeof(DualIn),
    .out_size = sizeof(ClipOut),
    .stage = STAGE_LOAD,
    .run = dual_run,
};

/* ---- VAELoader ------------------------------------------------------------------------------------------ */

typedef struct VaeIn {
    const char *vae_name;
} VaeIn;

/* clang-format off */
static const Socket vae_in[] = {
    { ROW(VaeIn, vae_name, SOCK_COMBO), .options_fn = vae_options, .folder = "vae", .doc = "File in models/vae." },
    END_ROWS
};
/* clang-format on */

static Status vae_run(NodeCall *call)
{
    const VaeIn *in = call->in;
    VaeOut *out = call->out;
    Weights *w = NULL;
    const char *path = NULL, *what = NULL;
    Status status = open_weights(call->host, "vae", in->vae_name, K_F32, &w, &path, call->err);
    if (may_miss(call, status)) {
        TRY(vae_open_published(call->host, in->vae_name, host_family(call->host, call->id),
                               &out->vae, &what, call->err));
        tell_published(call, in->vae_name, what);
        return OK;
    }
    TRY(status);
    status = vae_open(call->host, w, path, &out->vae, call->err);
    if (status != OK) error_at_file(call->err, path, -1);
    weights_unref(w);
    return status;
}

static const NodeDef vae_loader = {
    .class_type = "VAELoader",
    .display = "Load VAE",
    .category = "loaders",
    .doc = "Opens a FLUX autoencoder.",
    .inputs = vae_in,
    .outputs = vae_out,
    .in_size = sizeof(VaeIn),
    .out_size = sizeof(VaeOut),
    .stage = STAGE_LOAD,
    .run = vae_run,
};

/* ---- CheckpointLoaderSimple --------------------------------------------------------------------------- */

typedef struct CheckpointIn {
    const char *ckpt_name;
} CheckpointIn;

typedef struct CheckpointOut {
    Model *model;
    TextEncoder *clip;
    Vae *vae;
} CheckpointOut;

/* clang-format off */
static const Socket checkpoint_in[] = {
    { ROW(CheckpointIn, ckpt_name, SOCK_COMBO), .options_fn = checkpoint_options, .folder = "checkpoints", .doc = "File in models/checkpoints." },
    END_ROWS
};
static const Socket checkpoint_out[] = {
    OUT(CheckpointOut, model, "MODEL", SOCK_MODEL), OUT(CheckpointOut, clip, "CLIP", SOCK_CLIP),
    OUT(CheckpointOut, vae, "VAE", SOCK_VAE), END_ROWS
};
/* clang-format on */

/* A dummy run without the file: what a checkpoint with everything in one file publishes is FLUX.1, of numbers as
 * wide as the name tells. */
static Status checkpoint_published(NodeCall *call, const CheckpointIn *in, CheckpointOut *out)
{
    const TextFile encoders[] = { { .name = "clip_l.safetensors" },
                                  { .name = "t5xxl_fp8_e4m3fn.safetensors" } };
    const char *model = NULL, *vae = NULL;
    char like[64];
    snprintf(like, sizeof like, "flux1-%s-%s.safetensors",
             strstr(in->ckpt_name, "schnell") ? "schnell" : "dev",
             k_dtype_name(file_name_dtype(in->ckpt_name)));
    TRY(model_open_published(call->host, like, NULL, &out->model, &model, call->err));
    TRY(text_encoder_open(call->host, encoders, 2, "flux", &out->clip, call->err));
    TRY(vae_open_published(call->host, "ae.safetensors", NULL, &out->vae, &vae, call->err));
    tell_published(call, in->ckpt_name, model);
    return OK;
}

static Status checkpoint_run(NodeCall *call)
{
    const CheckpointIn *in = call->in;
    CheckpointOut *out = call->out;
    Weights *w = NULL;
    const char *path = NULL;
    Status status =
        open_weights(call->host, "checkpoints", in->ckpt_name, K_F32, &w, &path, call->err);
    if (may_miss(call, status)) return checkpoint_published(call, in, out);
    TRY(status);
    TRY_DONE(model_open(call->host, w, path, &out->model, call->err));
    TRY_DONE(text_encoder_from_checkpoint(call->host, w, path, &out->clip, call->err));
    TRY_DONE(vae_open(call->host, w, path, &out->vae, call->err));
done:
    if (status != OK) error_at_file(call->err, path, -1);
    weights_unref(w);
    return status;
}

static const NodeDef checkpoint_loader = {
    .class_type = "CheckpointLoaderSimple",
    .display = "Load Checkpoint",
    .category = "loaders",
    .doc = "Opens transformer, text encoders and VAE that lie in one file.",
    .inputs = checkpoint_in,
    .outputs = checkpoint_out,
    .in_size = sizeof(CheckpointIn),
    .out_size = sizeof(CheckpointOut),
    .stage = STAGE_LOAD,
    .run = checkpoint_run,
};

static const NodeDef checkpoint_nf4_loader = {
    .class_type = "CheckpointLoaderNF4",
    .display = "Load Checkpoint (NF4)",
    .category = "loaders",
    .doc = "CheckpointLoaderSimple under the name that NF4 workflows use.",
    .inputs = checkpoint_in,
    .outputs = checkpoint_out,
    .in_size = sizeof(CheckpointIn),
    .out_size = sizeof(CheckpointOut),
    .stage = STAGE_LOAD,
    .run = checkpoint_run,
};

const NodeDef *const loaders_nodes[] = {
    &unet_loader,       &clip_loader,     &dual_clip_loader,      &vae_loader,
    &checkpoint_loader, &unet_nf4_loader, &checkpoint_nf4_loader, NULL,
};
