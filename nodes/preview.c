/* preview.c - node types that show pictures and values, and read what was shown. */
#include "nodes/preview.h"

#include <string.h>

#include "engine/base/json.h"
#include "engine/imaging/mask.h"
#include "engine/residency/inputs.h"
#include "nodes/menus.h"
#include "nodes/metadata.h"
#include "nodes/outputs.h"
#include "nodes/picture_file.h"
#include "nodes/rows.h"
#include "nodes/saved.h"

/* ---- PreviewAny -------------------------------------------------------------------------- */

typedef struct AnyIn {
    Value source;
} AnyIn;

/* clang-format off */
static const Socket any_in[] = {
    { ROW(AnyIn, source, SOCK_ANY), .doc = "Value to show." },
    END_ROWS
};
/* clang-format on */

/* Numbers and texts as Python's str() writes them; of tensors the shape, of other objects the type. */
static void describe(const Value *v, Str *out)
{
    const Tensor *t = (const Tensor *)v->object;

    switch (v->type) {
    case SOCK_INT:
        str_printf(out, "%lld", (long long)v->i);
        break;
    case SOCK_FLOAT:
        json_write_double(out, v->f);
        break;
    case SOCK_BOOLEAN:
        str_add(out, v->b ? "True" : "False");
        break;
    case SOCK_STRING:
    case SOCK_COMBO:
        str_add(out, v->s ? v->s : "None");
        break;
    case SOCK_IMAGE:
    case SOCK_MASK:
    case SOCK_SIGMAS:
        str_printf(out, "%s [", sock_name(v->type));
        for (int i = 0; t && i < t->ndim; i++)
            str_printf(out, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
        str_add(out, "]");
        break;
    default:
        str_add(out, v->object ? sock_name(v->type) : "None");
    }
}

static Status any_run(NodeCall *call)
{
    const AnyIn *in = call->in;
    Str text = { 0 };
    const char *shown;

    describe(&in->source, &text);
    shown = text.text ? text.text : "";
    if (call->ui && !text.failed) {
        str_add(call->ui, "{\"text\": [");
        json_write_string(call->ui, shown, strlen(shown));
        str_add(call->ui, "]}");
    }
    events_emit(call->events, &(Event){ .kind = EV_NOTE,
                                        .node = call->id,
                                        .class_type = call->def->class_type,
                                        .text = shown });
    bool failed = text.failed;
    str_fini(&text);
    return failed ? error_set(call->err, E_NOMEM, "no memory for a text") : OK;
}

static const NodeDef any_node = {
    .class_type = "PreviewAny",
    .display = "Preview as Text",
    .category = "utils",
    .doc = "Shows a value as text.",
    .inputs = any_in,
    .outputs = no_out,
    .in_size = sizeof(AnyIn),
    .flags = NODE_F_OUTPUT,
    .run = any_run,
};

/* ---- ImageCompare ------------------------------------------------------------------------ */

typedef struct SideIn {
    const Tensor *image_a, *image_b;
    const char *prompt, *extra_pnginfo;
    const Ref *compare_view;
} SideIn;

/* clang-format off */
static const Socket side_in[] = {
    { ROW(SideIn, compare_view, SOCK_OTHER), .type_name = "IMAGECOMPARE", .flags = SOCK_F_WIDGET, .doc = "The slider of the editor." },
    { ROW(SideIn, image_a, SOCK_IMAGE), .flags = SOCK_F_OPTIONAL, .doc = "First picture." },
    { ROW(SideIn, image_b, SOCK_IMAGE), .flags = SOCK_F_OPTIONAL, .doc = "Second picture." },
    { ROW(SideIn, prompt, SOCK_STRING), .flags = SOCK_F_HIDDEN_PROMPT, .doc = "The workflow, for the file's metadata." },
    { ROW(SideIn, extra_pnginfo, SOCK_STRING), .flags = SOCK_F_HIDDEN_PNGINFO, .doc = "The editor's file, for the metadata." },
    END_ROWS
};
/* clang-format on */

static Status show(NodeCall *call, const Tensor *images, const char *name, const char *key,
                   const Metadata *meta)
{
    saved_begin(call, key);
    return images ? picture_preview(call, images, name, key, meta) : OK;
}

static Status side_run(NodeCall *call)
{
    const SideIn *in = call->in;
    Metadata meta = { 0 };
    Status status = metadata_init(&meta, call, in->prompt, in->extra_pnginfo);

    if (status == OK) status = show(call, in->image_a, "comfy.compare.a", "a_images", &meta);
    if (status == OK) status = show(call, in->image_b, "comfy.compare.b", "b_images", &meta);
    metadata_fini(&meta);
    return status;
}

static const NodeDef side_node = {
    .class_type = "ImageCompare",
    .display = "Image Compare",
    .category = "image",
    .doc = "Shows two pictures over one another.",
    .inputs = side_in,
    .outputs = no_out,
    .in_size = sizeof(SideIn),
    .flags = NODE_F_OUTPUT | NODE_F_EXPERIMENTAL,
    .run = side_run,
};

/* ---- MaskPreview ------------------------------------------------------------------------- */

typedef struct MaskIn {
    const Tensor *mask;
    const char *prompt, *extra_pnginfo;
} MaskIn;

/* clang-format off */
static const Socket mask_in[] = {
    { ROW(MaskIn, mask, SOCK_MASK), .doc = "Masks to show." },
    { ROW(MaskIn, prompt, SOCK_STRING), .flags = SOCK_F_HIDDEN_PROMPT, .doc = "The workflow, for the file's metadata." },
    { ROW(MaskIn, extra_pnginfo, SOCK_STRING), .flags = SOCK_F_HIDDEN_PNGINFO, .doc = "The editor's file, for the metadata." },
    END_ROWS
};
/* clang-format on */

static Status mask_run(NodeCall *call)
{
    const MaskIn *in = call->in;
    Metadata meta = { 0 };
    Tensor *picture = NULL;
    Status status = OK;

    TRY(mask_to_image(in->mask, &picture, call->err));
    TRY_DONE(metadata_init(&meta, call, in->prompt, in->extra_pnginfo));
    status = picture_preview(call, picture, "ComfyUI", "images", &meta);
done:
    metadata_fini(&meta);
    tensor_unref(picture);
    return status;
}

static const NodeDef mask_node = {
    .class_type = "MaskPreview",
    .display = "Preview Mask",
    .category = "mask",
    .doc = "Writes masks to the temp folder as grey pictures.",
    .inputs = mask_in,
    .outputs = no_out,
    .in_size = sizeof(MaskIn),
    .flags = NODE_F_OUTPUT,
    .run = mask_run,
};

/* ---- LoadImageOutput --------------------------------------------------------------------- */

typedef struct OutputIn {
    const char *image;
} OutputIn;

/* clang-format off */
static const Socket output_in[] = {
    { ROW(OutputIn, image, SOCK_COMBO), .options_fn = output_image_options, .flags = SOCK_F_IMAGE_UPLOAD, .folder = "output", .doc = "Picture of the output folder; its name ends in ` [output]`." },
    END_ROWS
};
/* clang-format on */

static Status output_check(struct Host *host, const void *data, Error *err)
{
    const OutputIn *in = data;
    const char *path = NULL;
    return host_find_input(host, in->image, &path, err);
}

static Status output_changed(struct Host *host, const void *data, char token[65], Error *err)
{
    const OutputIn *in = data;
    return input_file_token(host, in->image, token, err);
}

static Status output_run(NodeCall *call)
{
    const OutputIn *in = call->in;
    ImageMaskOut *out = call->out;
    return picture_load(call->host, in->image, &out->image, &out->mask, call->err);
}

static const NodeDef output_node = {
    .class_type = "LoadImageOutput",
    .display = "Load Image (from Outputs)",
    .category = "image",
    .doc = "Reads a picture of the output folder.",
    .inputs = output_in,
    .outputs = image_mask_out,
    .in_size = sizeof(OutputIn),
    .out_size = sizeof(ImageMaskOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = output_run,
    .check = output_check,
    .changed = output_changed,
};

/* clang-format off */
const NodeDef *const preview_nodes[] = {
    &any_node,
    &side_node,
    &mask_node,
    &output_node,
    NULL,
};
/* clang-format on */
