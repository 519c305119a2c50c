/* gguf.c - node types that open GGUF model files. */
#include "nodes/gguf.h"

#include <stdio.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/weights.h"
#include "engine/models/model.h"
#include "engine/models/published.h"
#include "engine/residency/host.h"
#include "engine/text/encoder.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

static const Socket unet_out[] = { OUT(ModelOut, model, "MODEL", SOCK_MODEL), END_ROWS };
#define dual_out clip_out

static void note(NodeCall *call, const char *name, const char *what)
{
    char text[400];
    snprintf(text, sizeof text, "%s is missing; sizes of %s are taken", name, what);
    events_emit(call->events,
                &(Event){ .kind = EV_NOTE, .node = call->id, .path = name, .text = text });
}

/* Finds a model file; *path is NULL when it is missing in a dummy run, which does without it. */
static Status find_file(NodeCall *call, const char *folder, const char *name, const char **path)
{
    Status status = host_find_model(call->host, folder, name, path, call->err);
    if (status != E_MISSING || !host_dummy(call->host)) return status;
    error_clear(call->err);
    *path = NULL;
    return OK;
}

/* ---- UnetLoaderGGUF ------------------------------------------------------------------------------------- */

/* The names of all that end in .gguf, copied. */
static Status keep_gguf(const char *const *all, size_t count, FileList *out, Error *err)
{
    out->names = mem_calloc(count + 1, sizeof *out->names);
    if (!out->names) return error_set(err, E_NOMEM, "no memory for a listing");
    for (size_t i = 0; i < count; i++) {
        if (!str_ends_with(all[i], ".gguf")) continue;
        char *name = mem_strdup(all[i]);
        if (!name) return error_set(err, E_NOMEM, "no memory for a listing");
        out->names[out->count++] = name;
    }
    return OK;
}

static Status unet_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err)
{
    const char *const *all = NULL;
    size_t n = 0;
    FileList found = { 0 };

    *count = 0;
    if (!host) return OK;
    TRY(diffusion_model_options(host, &all, &n, err));
    Status status = keep_gguf(all, n, &found, err);
    if (status == OK) return host_keep_list(host, &found, names, count, err);
    file_list_fini(&found);
    return status;
}

typedef struct UnetIn {
    const char *unet_name;
} UnetIn;

/* clang-format off */
static const Socket unet_in[] = {
    { ROW(UnetIn, unet_name, SOCK_COMBO), .options_fn = unet_options, .folder = "diffusion_models", .doc = "GGUF file in models/diffusion_models." },
    END_ROWS
};
/* clang-format on */

static Status unet_run(NodeCall *call)
{
    const UnetIn *in = call->in;
    ModelOut *out = call->out;
    WeightsOptions options = { .dummy = host_dummy(call->host) };
    Weights *w = NULL;
    const char *path = NULL, *what = NULL;

    TRY(find_file(call, "diffusion_models", in->unet_name, &path));
    if (!path) {
        TRY(model_open_published(call->host, in->unet_name, host_family(call->host, call->id),
                                 &out->model, &what, call->err));
        note(call, in->unet_name, what);
        return OK;
    }
    Status status = weights_open(path, &options, &w, call->err);
    if (status == OK) status = model_open(call->host, w, path, &out->model, call->err);
    if (status != OK) error_at_file(call->err, path, -1);
    weights_unref(w);
    return status;
}

static const NodeDef unet_loader = {
    .class_type = "UnetLoaderGGUF",
    .display = "Unet Loader (GGUF)",
    .category = "bootleg",
    .doc = "Opens a diffusion transformer in GGUF; blocks are decoded as they are multiplied.",
    .stage = STAGE_LOAD,
    NODE_PARTS(unet, UnetIn, ModelOut),
};

/* ---- CLIPLoaderGGUF, DualCLIPLoaderGGUF ------------------------------------------------------------------ */

/* Both formats are listed: a pair of encoders is often one of each. */
static Status open_encoders(NodeCall *call, const char *const *names, int count,
                            const char *type)
{
    ClipOut *out = call->out;
    TextFile files[2] = { 0 };

    for (int i = 0; i < count; i++) {
        files[i].name = names[i];
        TRY(find_file(call, "text_encoders", names[i], &files[i].path));
        if (!files[i].path) note(call, names[i], "the published text encoder");
    }
    return text_encoder_open(call->host, files, count, type, &out->clip, call->err);
}

typedef struct ClipIn {
    const char *clip_name, *type;
} ClipIn;

/* The menu of the core's CLIPLoader: without its entry flux2 no FLUX.2 encoder could be opened here. */
static const char *const clip_types[] = {
    "stable_diffusion", "stable_cascade", "sd3",   "stable_audio", "mochi",  "ltxv", "pixart",
    "cosmos",           "lumina2",        "wan",   "hidream",      "chroma", "ace",  "omnigen2",
    "qwen_image",       "hunyuan_image",  "flux2", "ovis",         NULL,
};

/* clang-format off */
static const Socket clip_in[] = {
    { ROW(ClipIn, clip_name, SOCK_COMBO), .options_fn = text_encoder_options, .folder = "text_encoders", .doc = "File in models/text_encoders." },
    { ROW(ClipIn, type, SOCK_COMBO), .options = clip_types, .doc = "Model family the encoder serves; flux2 here." },
    END_ROWS
};
/* clang-format on */

static Status clip_run(NodeCall *call)
{
    const ClipIn *in = call->in;
    return open_encoders(call, &in->clip_name, 1, in->type);
}

static const NodeDef clip_loader = {
    .class_type = "CLIPLoaderGGUF",
    .display = "CLIPLoader (GGUF)",
    .category = "bootleg",
    .doc = "Opens a text encoder in GGUF or safetensors; the network is told by its tensors.",
    .stage = STAGE_LOAD,
    NODE_PARTS(clip, ClipIn, ClipOut),
};

typedef struct DualIn {
    const char *clip_name1, *clip_name2, *type;
} DualIn;

static const char *const dual_types[] = {
    "sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image", NULL,
};

/* clang-format off */
static const Socket dual_in[] = {
    { ROW(DualIn, clip_name1, SOCK_COMBO), .options_fn = text_encoder_options, .folder = "text_encoders", .doc = "One of the two files." },
    { ROW(DualIn, clip_name2, SOCK_COMBO), .options_fn = text_encoder_options, .folder = "text_encoders", .doc = "The other one." },
    { ROW(DualIn, type, SOCK_COMBO), .options = dual_types, .doc = "Model family the encoders serve; flux here." },
    END_ROWS
};
/* clang-format on */

static Status dual_run(NodeCall *call)
{
    const DualIn *in = call->in;
    const char *const names[] = { in->clip_name1, in->clip_name2 };
    return open_encoders(call, names, 2, in->type);
}

static const NodeDef dual_clip_loader = {
    .class_type = "DualCLIPLoaderGGUF",
    .display = "DualCLIPLoader (GGUF)",
    .category = "bootleg",
    .doc = "Opens CLIP-L and T5 of FLUX.1, in GGUF or safetensors and in either order.",
    .stage = STAGE_LOAD,
    NODE_PARTS(dual, DualIn, ClipOut),
};

const NodeDef *const gguf_nodes[] = { &unet_loader, &clip_loader, &dual_clip_loader, NULL };
