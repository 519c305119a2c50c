/* upscale.c - node types that enlarge pictures with a network. */
#include "nodes/upscale.h"

#include "engine/formats/weights.h"
#include "engine/models/upscale.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* ---- UpscaleModelLoader --------------------------------------------------------------------- */

typedef struct LoaderIn {
    const char *model_name;
} LoaderIn;

typedef struct LoaderOut {
    UpscaleModel *model;
} LoaderOut;

/* clang-format off */
static const Socket loader_in[] = {
    { ROW(LoaderIn, model_name, SOCK_COMBO), .options_fn = upscale_model_options, .folder = "upscale_models", .doc = "File in models/upscale_models." },
    END_ROWS
};
static const Socket loader_out[] = { OUT(LoaderOut, model, "UPSCALE_MODEL", SOCK_UPSCALE_MODEL), END_ROWS };
/* clang-format on */

static Status loader_run(NodeCall *call)
{
    const LoaderIn *in = call->in;
    LoaderOut *out = call->out;
    const char *path = NULL;
    Weights *w = NULL;
    WeightsOptions options = { .dummy = host_dummy(call->host) };
    TRY(host_find_model(call->host, "upscale_models", in->model_name, &path, call->err));
    TRY(weights_open(path, &options, &w, call->err));
    Status status = upscale_open(call->host, w, path, &out->model, call->err);
    weights_unref(w);
    return status;
}

static const NodeDef loader_node = {
    .class_type = "UpscaleModelLoader",
    .display = "Load Upscale Model",
    .category = "loaders",
    .doc = "Opens a network that enlarges pictures: ESRGAN and its kin, or a compact one.",
    .inputs = loader_in,
    .outputs = loader_out,
    .in_size = sizeof(LoaderIn),
    .out_size = sizeof(LoaderOut),
    .stage = STAGE_LOAD,
    .run = loader_run,
};

/* ---- ImageUpscaleWithModel ------------------------------------------------------------------ */

typedef struct UpscaleIn {
    const UpscaleModel *upscale_model;
    const Tensor *image;
} UpscaleIn;

/* clang-format off */
static const Socket upscale_in[] = {
    { ROW(UpscaleIn, upscale_model, SOCK_UPSCALE_MODEL), .doc = "Network; it says by how much pictures grow." },
    { ROW(UpscaleIn, image, SOCK_IMAGE), .doc = "Pictures to enlarge." },
    END_ROWS
};
/* clang-format on */

static Status upscale_run(NodeCall *call)
{
    const UpscaleIn *in = call->in;
    ImageOut *out = call->out;
    const UpscaleTiles tiles = { .tile = 512, .overlap = 32 };
    return upscale_image(in->upscale_model, in->image, &tiles, call->id, &out->image,
                         call->err);
}

static const NodeDef upscale_node = {
    .class_type = "ImageUpscaleWithModel",
    .display = "Upscale Image (using Model)",
    .category = "image/upscaling",
    .doc = "Enlarges pictures with a network, in tiles of 512 pixels.",
    .inputs = upscale_in,
    .outputs = image_out,
    .in_size = sizeof(UpscaleIn),
    .out_size = sizeof(ImageOut),
    .run = upscale_run,
};

const NodeDef *const upscale_nodes[] = { &loader_node, &upscale_node, NULL };
