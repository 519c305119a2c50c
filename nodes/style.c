/* style.c - node types that let pictures speak as prompts: vision encoder, Redux, USO, kept references. */
#include "nodes/style.h"

#include <stdio.h>
#include <string.h>

#include "engine/formats/weights.h"
#include "engine/models/model.h"
#include "engine/models/style_model.h"
#include "engine/models/style_tokens.h"
#include "engine/residency/host.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* ---- the three loaders --------------------------------------------------------------------------------- */

/* One struct for all: the file's name, and what was opened. */
typedef struct LoadIn {
    const char *name;
} LoadIn;

typedef struct LoadOut {
    void *object;
} LoadOut;

/* How a folder's files are opened, and what stands for one that is missing in a dummy run. */
typedef struct Loader {
    const char *folder, *published;
    Status (*open)(Host *h, const Weights *w, const char *file, void **out, Error *err);
    Status (*open_published)(Host *h, const char *name, void **out, Error *err);
} Loader;

static Status open_missing(NodeCall *call, const Loader *l, const char *name, void **out)
{
    char text[400];

    error_clear(call->err);
    TRY(l->open_published(call->host, name, out, call->err));
    snprintf(text, sizeof text, "%s is missing; sizes of %s are taken", name, l->published);
    events_emit(call->events,
                &(Event){ .kind = EV_NOTE, .node = call->id, .path = name, .text = text });
    return OK;
}

static Status load_file(NodeCall *call, const Loader *l)
{
    const LoadIn *in = call->in;
    LoadOut *out = call->out;
    WeightsOptions options = { .dummy = host_dummy(call->host) };
    const char *path = NULL;
    Weights *w = NULL;

    Status status = host_find_model(call->host, l->folder, in->name, &path, call->err);
    if (status == E_MISSING && host_dummy(call->host))
        return open_missing(call, l, in->name, &out->object);
    TRY(status);
    status = weights_open(path, &options, &w, call->err);
    if (status == OK) status = l->open(call->host, w, path, &out->object, call->err);
    if (status != OK) error_at_file(call->err, path, -1);
    weights_unref(w);
    return status;
}

/* The functions of a loader under the types that the table wants. */
#define OPENERS(name, Type, open_fn, published_fn)                                             \
    static Status name##_open(Host *h, const Weights *w, const char *file, void **out,         \
                              Error *err)                                                      \
    {                                                                                          \
        Type *object = NULL;                                                                   \
        TRY(open_fn(h, w, file, &object, err));                                                \
        *out = object;                                                                         \
        return OK;                                                                             \
    }                                                                                          \
    static Status name##_published(Host *h, const char *file, void **out, Error *err)          \
    {                                                                                          \
        Type *object = NULL;                                                                   \
        TRY(published_fn(h, file, &object, err));                                              \
        *out = object;                                                                         \
        return OK;                                                                             \
    }

OPENERS(vision, ClipVision, clip_vision_open, clip_vision_open_published)
OPENERS(style, StyleModel, style_model_open, style_model_open_published)
OPENERS(uso, StylePatch, style_patch_open, style_patch_open_published)

static Status vision_run(NodeCall *call)
{
    static const Loader l = { "clip_vision", "SigLIP so400m", vision_open, vision_published };
    return load_file(call, &l);
}

static Status style_run(NodeCall *call)
{
    static const Loader l = { "style_models", "FLUX.1 Redux", style_open, style_published };
    return load_file(call, &l);
}

static Status uso_run(NodeCall *call)
{
    static const Loader l = { "model_patches", "USO's projector", uso_open, uso_published };
    return load_file(call, &l);
}

/* clang-format off */
static const Socket vision_in[] = {
    { .name = "clip_name", .type = SOCK_COMBO, .at = offsetof(LoadIn, name), .options_fn = clip_vision_options, .folder = "clip_vision",
      .doc = "File in models/clip_vision." },
    END_ROWS
};
static const Socket style_in[] = {
    { .name = "style_model_name", .type = SOCK_COMBO, .at = offsetof(LoadIn, name), .options_fn = style_model_options, .folder = "style_models",
      .doc = "File in models/style_models." },
    END_ROWS
};
static const Socket uso_in[] = {
    { .name = "name", .type = SOCK_COMBO, .at = offsetof(LoadIn, name), .options_fn = model_patch_options, .folder = "model_patches",
      .doc = "File in models/model_patches." },
    END_ROWS
};
static const Socket vision_out[] = { OUT(LoadOut, object, "CLIP_VISION", SOCK_CLIP_VISION), END_ROWS };
static const Socket style_out[] = { OUT(LoadOut, object, "STYLE_MODEL", SOCK_STYLE_MODEL), END_ROWS };
static const Socket uso_out[] = { OUT(LoadOut, object, "MODEL_PATCH", SOCK_MODEL_PATCH), END_ROWS };
/* clang-format on */

static const NodeDef vision_loader = {
    .class_type = "CLIPVisionLoader",
    .display = "Load CLIP Vision",
    .category = "loaders",
    .doc = "Opens SigLIP, the picture encoder of Redux and USO.",
    NODE_PARTS(vision, LoadIn, LoadOut),
    .stage = STAGE_LOAD,
};

static const NodeDef style_loader = {
    .class_type = "StyleModelLoader",
    .display = "Load Style Model",
    .category = "loaders",
    .doc = "Opens FLUX.1 Redux.",
    NODE_PARTS(style, LoadIn, LoadOut),
    .stage = STAGE_LOAD,
};

static const NodeDef patch_loader = {
    .class_type = "ModelPatchLoader",
    .category = "advanced/loaders",
    .doc = "Opens USO's projector.",
    NODE_PARTS(uso, LoadIn, LoadOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_LOAD,
};

/* ---- CLIPVisionEncode ------------------------------------------------------------------------------------ */

typedef struct EncodeIn {
    const ClipVision *clip_vision;
    const Tensor *image;
    const char *crop;
} EncodeIn;

typedef struct EncodeOut {
    ClipVisionOutput *output;
} EncodeOut;

static const char *const crops[] = { "center", "none", NULL };

/* clang-format off */
static const Socket encode_in[] = {
    { ROW(EncodeIn, clip_vision, SOCK_CLIP_VISION), .doc = "Picture encoder." },
    { ROW(EncodeIn, image, SOCK_IMAGE), .doc = "Pictures to encode." },
    { ROW(EncodeIn, crop, SOCK_COMBO), .options = crops, .doc = "Take the centre square, or stretch the whole to a square." },
    END_ROWS
};
static const Socket encode_out[] = { OUT(EncodeOut, output, "CLIP_VISION_OUTPUT", SOCK_CLIP_VISION_OUTPUT), END_ROWS };
/* clang-format on */

static Status encode_run(NodeCall *call)
{
    const EncodeIn *in = call->in;
    EncodeOut *out = call->out;
    return clip_vision_encode(in->clip_vision, in->image, strcmp(in->crop, "center") == 0,
                              &out->output, call->err);
}

static const NodeDef vision_encode = {
    .class_type = "CLIPVisionEncode",
    .display = "CLIP Vision Encode",
    .category = "conditioning",
    .doc = "Encodes pictures for style models.",
    NODE_PARTS(encode, EncodeIn, EncodeOut),
};

/* ---- StyleModelApply -------------------------------------------------------------------------------------- */

typedef struct ApplyIn {
    const Cond *conditioning;
    const StyleModel *style_model;
    const ClipVisionOutput *clip_vision_output;
    double strength;
    const char *strength_type;
} ApplyIn;

typedef struct ApplyOut {
    Cond *conditioning;
} ApplyOut;

static const char *const strength_types[] = { "multiply", "attn_bias", NULL };

/* clang-format off */
static const Socket apply_in[] = {
    { ROW(ApplyIn, conditioning, SOCK_COND), .doc = "Prompt that the pictures' tokens are put behind; it is copied." },
    { ROW(ApplyIn, style_model, SOCK_STYLE_MODEL), .doc = "Redux." },
    { ROW(ApplyIn, clip_vision_output, SOCK_CLIP_VISION_OUTPUT), .doc = "Encoded pictures." },
    { ROW(ApplyIn, strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.001, .doc = "How much the pictures count." },
    { ROW(ApplyIn, strength_type, SOCK_COMBO), .options = strength_types,
      .doc = "Scale the tokens, or the attention that they get." },
    END_ROWS
};
static const Socket apply_out[] = { OUT(ApplyOut, conditioning, "CONDITIONING", SOCK_COND), END_ROWS };
/* clang-format on */

static Status apply_run(NodeCall *call)
{
    const ApplyIn *in = call->in;
    ApplyOut *out = call->out;
    bool bias = strcmp(in->strength_type, "attn_bias") == 0;
    return style_model_apply(in->style_model, in->conditioning, in->clip_vision_output,
                             in->strength, bias ? STYLE_ATTENTION : STYLE_MULTIPLY,
                             &out->conditioning, call->err);
}

static const NodeDef style_apply = {
    .class_type = "StyleModelApply",
    .display = "Apply Style Model",
    .category = "conditioning/style_model",
    .doc = "Adds what Redux sees in pictures to a prompt.",
    .engine_note = "strength 0 with attn_bias hides the pictures from prompt and target.",
    NODE_PARTS(apply, ApplyIn, ApplyOut),
};

/* ---- USOStyleReference, FluxKVCache ------------------------------------------------------------------------ */

/* A patched copy whose patch carries `object` (NULL, or one reference that is taken over). */
static Status patched(NodeCall *call, const Model *model, PatchKind kind, const void *object)
{
    ModelOut *out = call->out;
    Patch patch = {
        .kind = kind, .object = object, .text = call->def->class_type, .strength = 1
    };
    Status status = model_with_patch(model, &patch, &out->model, call->err);
    ref_drop(object);
    return status;
}

typedef struct ReferenceIn {
    const Model *model;
    const StylePatch *model_patch;
    const ClipVisionOutput *clip_vision_output;
} ReferenceIn;

/* clang-format off */
static const Socket reference_in[] = {
    { ROW(ReferenceIn, model, SOCK_MODEL), .doc = "FLUX.1 model to patch; it is copied, not changed." },
    { ROW(ReferenceIn, model_patch, SOCK_MODEL_PATCH), .doc = "USO's projector." },
    { ROW(ReferenceIn, clip_vision_output, SOCK_CLIP_VISION_OUTPUT), .doc = "One encoded picture, whose style is taken." },
    END_ROWS
};
/* clang-format on */

static Status reference_run(NodeCall *call)
{
    const ReferenceIn *in = call->in;
    StyleTokens *tokens = NULL;

    if (style_patch_width(in->model_patch) != model_dims(in->model)->width) {
        error_set(call->err, E_SHAPE,
                  "model_patch: it is for models of width %lld, this has %lld",
                  (long long)style_patch_width(in->model_patch),
                  (long long)model_dims(in->model)->width);
        error_fix(call->err, "use the FLUX.1 model that USO was trained for");
        return E_SHAPE;
    }
    TRY(style_tokens_new(in->model_patch, in->clip_vision_output, &tokens, call->err));
    return patched(call, in->model, PATCH_TOKENS, tokens);
}

static const NodeDef style_reference = {
    .class_type = "USOStyleReference",
    .category = "advanced/model_patches/flux",
    .doc = "Puts a picture's style before the prompt, inside the transformer.",
    .inputs = reference_in,
    .outputs = model_out,
    .in_size = sizeof(ReferenceIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_BLOCKS,
    .run = reference_run,
};

typedef struct KvIn {
    const Model *model;
} KvIn;

/* clang-format off */
static const Socket kv_in[] = {
    { ROW(KvIn, model, SOCK_MODEL), .doc = "Model to patch; it is copied, not changed." },
    END_ROWS
};
/* clang-format on */

static Status kv_run(NodeCall *call)
{
    return patched(call, ((const KvIn *)call->in)->model, PATCH_KV, NULL);
}

static const NodeDef kv_cache = {
    .class_type = "FluxKVCache",
    .display = "Flux KV Cache",
    .category = "advanced/model",
    .doc = "Computes keys and values of reference pictures once; every step reads them.",
    .engine_note = "For models that were trained so (FLUX.2 klein KV): references see only "
                   "each other. Without references nothing changes.",
    .inputs = kv_in,
    .outputs = model_out,
    .in_size = sizeof(KvIn),
    .out_size = sizeof(ModelOut),
    .flags = NODE_F_EXPERIMENTAL,
    .stage = STAGE_GUIDE,
    .run = kv_run,
};

const NodeDef *const style_nodes[] = {
    &vision_loader, &style_loader,    &patch_loader, &vision_encode,
    &style_apply,   &style_reference, &kv_cache,     NULL,
};
