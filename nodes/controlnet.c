/* controlnet.c - node types that open ControlNets and put them on conditionings. */
#include "nodes/controlnet.h"

#include <stdio.h>
#include <string.h>

#include "engine/formats/weights.h"
#include "engine/models/control.h"
#include "engine/models/published.h"
#include "engine/residency/host.h"
#include "engine/vae/vae.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

enum { HINT_RATIO = 8 };

typedef struct NetOut {
    ControlNet *control_net;
} NetOut;

typedef struct PairOut {
    Cond *positive, *negative;
} PairOut;

/* clang-format off */
static const Socket net_out[] = { OUT(NetOut, control_net, "CONTROL_NET", SOCK_CONTROL_NET), END_ROWS };
static const Socket pair_out[] = { OUT(PairOut, positive, "positive", SOCK_COND), OUT(PairOut, negative, "negative", SOCK_COND), END_ROWS };
/* clang-format on */

/* ---- loaders --------------------------------------------------------------------------------------------- */

/* One struct for all loaders; what a class has not stays 0. */
typedef struct LoadIn {
    const Model *model;
    const char *control_net_name, *weight_dtype;
} LoadIn;

static const char *const weight_dtypes[] = { "default", "fp8_e4m3fn", "fp8_e5m2",
                                             "fp8_e4m3fn_fast", NULL };

/* clang-format off */
static const Socket load_in[] = {
    { ROW(LoadIn, control_net_name, SOCK_COMBO), .options_fn = controlnet_options, .folder = "controlnet", .doc = "File in models/controlnet." },
    END_ROWS
};
static const Socket load_diff_in[] = {
    { ROW(LoadIn, model, SOCK_MODEL), .doc = "Not read: no ControlNet of FLUX.1 is a difference to its model." },
    { ROW(LoadIn, control_net_name, SOCK_COMBO), .options_fn = controlnet_options, .folder = "controlnet", .doc = "File in models/controlnet." },
    END_ROWS
};
static const Socket load_cast_in[] = {
    { ROW(LoadIn, control_net_name, SOCK_COMBO), .options_fn = controlnet_options, .folder = "controlnet", .doc = "File in models/controlnet." },
    { ROW(LoadIn, weight_dtype, SOCK_COMBO), .options = weight_dtypes, .doc = "Round every parameter to FP8 first." },
    END_ROWS
};
/* clang-format on */

static KDtype cast_of(const char *name)
{
    if (!name || strcmp(name, "default") == 0) return K_F32;
    return strcmp(name, "fp8_e5m2") == 0 ? K_F8_E5M2 : K_F8_E4M3;
}

/* A dummy run may do without the file. */
static Status open_published(NodeCall *call, const char *name, ControlNet **out)
{
    const char *what = NULL;
    char text[400];

    error_clear(call->err);
    TRY(controlnet_open_published(call->host, name, out, &what, call->err));
    snprintf(text, sizeof text, "%s is missing; sizes of %s are taken", name, what);
    events_emit(call->events,
                &(Event){ .kind = EV_NOTE, .node = call->id, .path = name, .text = text });
    return OK;
}

static Status load_run(NodeCall *call)
{
    const LoadIn *in = call->in;
    NetOut *out = call->out;
    const char *path = NULL;
    Weights *w = NULL;
    WeightsOptions options = { .dummy = host_dummy(call->host),
                               .cast = cast_of(in->weight_dtype) };

    Status status =
        host_find_model(call->host, "controlnet", in->control_net_name, &path, call->err);
    if (status == E_MISSING && host_dummy(call->host))
        return open_published(call, in->control_net_name, &out->control_net);
    TRY(status);
    status = weights_open(path, &options, &w, call->err);
    if (status == OK)
        status = controlnet_open(call->host, w, path, &out->control_net, call->err);
    if (status != OK) error_at_file(call->err, path, -1);
    weights_unref(w);
    return status;
}

#define LOADER(name, class, shown, rows, about)                                                \
    static const NodeDef name = {                                                              \
        .class_type = class,                                                                   \
        .display = shown,                                                                      \
        .category = "loaders",                                                                 \
        .doc = about,                                                                          \
        .inputs = rows,                                                                        \
        .outputs = net_out,                                                                    \
        .in_size = sizeof(LoadIn),                                                             \
        .out_size = sizeof(NetOut),                                                            \
        .stage = STAGE_LOAD,                                                                   \
        .run = load_run,                                                                       \
    }

LOADER(loader, "ControlNetLoader", "Load ControlNet Model", load_in,
       "Opens a ControlNet of FLUX.1: XLabs, InstantX, Union, AliMama inpainting, MistoLine.");
LOADER(loader_diff, "DiffControlNetLoader", "Load ControlNet Model (diff)", load_diff_in,
       "Opens a ControlNet of FLUX.1, as ControlNetLoader does.");
LOADER(loader_cast, "ControlNetLoaderWeights", "Load ControlNet Model (Weights)", load_cast_in,
       "Opens a ControlNet of FLUX.1, its weights rounded to FP8 when asked.");

/* ---- the type of a union net ------------------------------------------------------------------------------- */

typedef struct TypeIn {
    const ControlNet *control_net;
    const char *type;
} TypeIn;

/* The menu, and the row of the net's table that each entry stands for. */
static const char *const union_types[] = { "auto",
                                           "openpose",
                                           "depth",
                                           "hed/pidi/scribble/ted",
                                           "canny/lineart/anime_lineart/mlsd",
                                           "normal",
                                           "segment",
                                           "tile",
                                           "repaint",
                                           "canny (InstantX)",
                                           "tile (InstantX)",
                                           "depth (InstantX)",
                                           "blur (InstantX)",
                                           "pose (InstantX)",
                                           "gray (InstantX)",
                                           "lq (InstantX)",
                                           NULL };
static const int union_rows[] = { -1, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6 };

static const char *const shakker_types[] = { "auto", "canny", "tile",        "depth", "blur",
                                             "pose", "gray",  "low quality", NULL };

/* clang-format off */
static const Socket union_in[] = {
    { ROW(TypeIn, control_net, SOCK_CONTROL_NET), .doc = "Union net; it is copied, not changed." },
    { ROW(TypeIn, type, SOCK_COMBO), .options = union_types, .doc = "What the hint shows; auto says nothing." },
    END_ROWS
};
static const Socket shakker_in[] = {
    { ROW(TypeIn, control_net, SOCK_CONTROL_NET), .doc = "Union net; it is copied, not changed." },
    { ROW(TypeIn, type, SOCK_COMBO), .options = shakker_types, .doc = "What the hint shows; auto says nothing." },
    END_ROWS
};
/* clang-format on */

static int place_of(const char *const *names, const char *name)
{
    int i = 0;
    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static Status union_run(NodeCall *call)
{
    const TypeIn *in = call->in;
    NetOut *out = call->out;
    int row = union_rows[place_of(union_types, in->type)];
    return controlnet_with_type(in->control_net, row, &out->control_net, call->err);
}

static Status shakker_run(NodeCall *call)
{
    const TypeIn *in = call->in;
    NetOut *out = call->out;
    int row = place_of(shakker_types, in->type) - 1;
    return controlnet_with_type(in->control_net, row, &out->control_net, call->err);
}

static const NodeDef union_type = {
    .class_type = "SetUnionControlNetType",
    .category = "conditioning/controlnet",
    .doc = "Tells a union ControlNet what its hint shows.",
    .inputs = union_in,
    .outputs = net_out,
    .in_size = sizeof(TypeIn),
    .out_size = sizeof(NetOut),
    .run = union_run,
};

static const NodeDef shakker_type = {
    .class_type = "SetShakkerLabsUnionControlNetType",
    .display = "Set Shakker Labs Union ControlNet Type",
    .category = "conditioning/controlnet",
    .doc = "Tells Shakker Labs' or InstantX' union ControlNet what its hint shows.",
    .inputs = shakker_in,
    .outputs = net_out,
    .in_size = sizeof(TypeIn),
    .out_size = sizeof(NetOut),
    .run = shakker_run,
};

/* ---- applying ---------------------------------------------------------------------------------------------- */

/* One struct for all classes; what a class has not stays as its run function sets it. */
typedef struct ApplyIn {
    const Cond *positive, *negative;
    const ControlNet *control_net;
    const Vae *vae;
    const Tensor *image, *mask;
    double strength, start_percent, end_percent;
} ApplyIn;

#define DOC_POSITIVE "Prompt to annotate; it is copied, not changed."
#define DOC_NEGATIVE "Negative prompt to annotate."
#define DOC_NET "Net that reads the picture."
#define DOC_IMAGE "Hint: edges, depth, pose, ...; fitted to the latent."
#define DOC_VAE "Encodes the hint for nets that read latents."
#define STRENGTH_ROW                                                                           \
    {                                                                                          \
        ROW(ApplyIn, strength, SOCK_FLOAT),                                                    \
            .def = 1, .max = 10, .step = 0.01,                                                 \
            .doc = "Factor on what the net adds; 0 leaves it out."                             \
    }
#define START_ROW                                                                              \
    {                                                                                          \
        ROW(ApplyIn, start_percent, SOCK_FLOAT),                                               \
            .max = 1, .step = 0.001,                                                           \
            .doc = "Part of the denoising where it begins to act, 0 = start."                  \
    }
#define END_ROW                                                                                \
    {                                                                                          \
        ROW(ApplyIn, end_percent, SOCK_FLOAT),                                                 \
            .def = 1, .max = 1, .step = 0.001,                                                 \
            .doc = "Part of the denoising where it ceases to act, 1 = end."                    \
    }

/* clang-format off */
static const Socket apply_in[] = {
    { .name = "conditioning", .type = SOCK_COND, .at = offsetof(ApplyIn, positive), .doc = DOC_POSITIVE },
    { ROW(ApplyIn, control_net, SOCK_CONTROL_NET), .doc = DOC_NET },
    { ROW(ApplyIn, image, SOCK_IMAGE), .doc = DOC_IMAGE },
    STRENGTH_ROW, END_ROWS
};
static const Socket advanced_in[] = {
    { ROW(ApplyIn, positive, SOCK_COND), .doc = DOC_POSITIVE },
    { ROW(ApplyIn, negative, SOCK_COND), .doc = DOC_NEGATIVE },
    { ROW(ApplyIn, control_net, SOCK_CONTROL_NET), .doc = DOC_NET },
    { ROW(ApplyIn, image, SOCK_IMAGE), .doc = DOC_IMAGE },
    STRENGTH_ROW, START_ROW, END_ROW,
    { ROW(ApplyIn, vae, SOCK_VAE), .flags = SOCK_F_OPTIONAL, .doc = DOC_VAE },
    END_ROWS
};
static const Socket sd3_in[] = {
    { ROW(ApplyIn, positive, SOCK_COND), .doc = DOC_POSITIVE },
    { ROW(ApplyIn, negative, SOCK_COND), .doc = DOC_NEGATIVE },
    { ROW(ApplyIn, control_net, SOCK_CONTROL_NET), .doc = DOC_NET },
    { ROW(ApplyIn, vae, SOCK_VAE), .doc = DOC_VAE },
    { ROW(ApplyIn, image, SOCK_IMAGE), .doc = DOC_IMAGE },
    STRENGTH_ROW, START_ROW, END_ROW, END_ROWS
};
static const Socket inpaint_in[] = {
    { ROW(ApplyIn, positive, SOCK_COND), .doc = DOC_POSITIVE },
    { ROW(ApplyIn, negative, SOCK_COND), .doc = DOC_NEGATIVE },
    { ROW(ApplyIn, control_net, SOCK_CONTROL_NET), .doc = DOC_NET },
    { ROW(ApplyIn, vae, SOCK_VAE), .doc = DOC_VAE },
    { ROW(ApplyIn, image, SOCK_IMAGE), .doc = "Picture to repaint." },
    { ROW(ApplyIn, mask, SOCK_MASK), .doc = "1 where it is repainted." },
    STRENGTH_ROW, START_ROW, END_ROW, END_ROWS
};
/* clang-format on */

static Status encode(const void *vae, const Tensor *image, Tensor **out, Error *err)
{
    return vae_encode(vae, image, out, err);
}

static Status check_vae(const ApplyIn *in, Error *err)
{
    if (controlnet_kind(in->control_net) != CONTROL_LATENT || !in->vae ||
        vae_ratio(in->vae) == HINT_RATIO)
        return OK;
    error_set(err, E_SHAPE, "vae: its cells are %lld pixels wide, those of FLUX.1 %d",
              (long long)vae_ratio(in->vae), HINT_RATIO);
    error_fix(err, "connect the VAE of FLUX.1");
    return E_SHAPE;
}

static Status put_on(const Cond *from, const Control *control, bool to_uncond, Cond **out,
                     Error *err)
{
    TRY(cond_copy(from, out, err));
    return control
               ? cond_append_control(*out, (const Ref *)(const void *)control, to_uncond, err)
               : OK;
}

/* NULL where the strength is 0. */
static Status make_control(const ApplyIn *in, const Tensor *image, const Tensor *mask,
                           Control **out, Error *err)
{
    ControlUse use = { .net = in->control_net,
                       .image = image,
                       .mask = mask,
                       .vae = in->vae,
                       .encode = encode,
                       .strength = in->strength,
                       .start = in->start_percent,
                       .end = in->end_percent };

    if (in->strength == 0) return OK;
    TRY(check_vae(in, err));
    return control_new(&use, out, err);
}

static Status put_on_both(NodeCall *call, const Tensor *image, const Tensor *mask)
{
    const ApplyIn *in = call->in;
    PairOut *out = call->out;
    Control *control = NULL;
    Status status = OK;

    TRY(make_control(in, image, mask, &control, call->err));
    TRY_DONE(put_on(in->positive, control, false, &out->positive, call->err));
    TRY_DONE(put_on(in->negative, control, false, &out->negative, call->err));
done:
    ref_drop(control);
    return status;
}

static Status pair_run(NodeCall *call)
{
    return put_on_both(call, ((const ApplyIn *)call->in)->image, NULL);
}

static Status apply_run(NodeCall *call)
{
    ApplyIn in = *(const ApplyIn *)call->in;
    CondOut *out = call->out;
    Control *control = NULL;

    in.end_percent = 1;
    TRY(make_control(&in, in.image, NULL, &control, call->err));
    Status status = put_on(in.positive, control, true, &out->conditioning, call->err);
    ref_drop(control);
    return status;
}

static Status inpaint_run(NodeCall *call)
{
    const ApplyIn *in = call->in;
    Tensor *image = NULL, *keep = NULL;

    if (controlnet_hint_channels(in->control_net) <= controlnet_dims(in->control_net)->channels)
        return put_on_both(call, in->image, NULL); /* a net without a mask channel */
    TRY(control_inpaint(in->image, in->mask, &image, &keep, call->err));
    Status status = put_on_both(call, image, keep);
    tensor_unref(image);
    tensor_unref(keep);
    return status;
}

static const NodeDef apply = {
    .class_type = "ControlNetApply",
    .display = "Apply ControlNet (OLD)",
    .category = "conditioning/controlnet",
    .doc = "Lets a ControlNet that reads pixels act on a prompt and on a negative prompt "
           "without one.",
    .inputs = apply_in,
    .outputs = cond_out,
    .in_size = sizeof(ApplyIn),
    .out_size = sizeof(CondOut),
    .flags = NODE_F_DEPRECATED,
    .run = apply_run,
};

static const NodeDef advanced = {
    .class_type = "ControlNetApplyAdvanced",
    .display = "Apply ControlNet",
    .category = "conditioning/controlnet",
    .doc = "Lets a ControlNet act on both prompts during a part of the denoising.",
    .inputs = advanced_in,
    .outputs = pair_out,
    .in_size = sizeof(ApplyIn),
    .out_size = sizeof(PairOut),
    .run = pair_run,
};

static const NodeDef sd3 = {
    .class_type = "ControlNetApplySD3",
    .display = "Apply Controlnet with VAE",
    .category = "conditioning/controlnet",
    .doc = "Lets a ControlNet act on both prompts during a part of the denoising.",
    .inputs = sd3_in,
    .outputs = pair_out,
    .in_size = sizeof(ApplyIn),
    .out_size = sizeof(PairOut),
    .flags = NODE_F_DEPRECATED,
    .run = pair_run,
};

static const NodeDef inpaint = {
    .class_type = "ControlNetInpaintingAliMamaApply",
    .category = "conditioning/controlnet",
    .doc =
        "Lets AliMama's inpainting ControlNet act: it reads the picture without what is to be "
        "repainted, and the mask.",
    .inputs = inpaint_in,
    .outputs = pair_out,
    .in_size = sizeof(ApplyIn),
    .out_size = sizeof(PairOut),
    .run = inpaint_run,
};

const NodeDef *const controlnet_nodes[] = {
    &loader, &loader_diff, &loader_cast, &union_type, &shakker_type,
    &apply,  &advanced,    &sd3,         &inpaint,    NULL,
};
