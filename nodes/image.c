/* image.c - node types that load, save and resize pictures. */
#include "nodes/image.h"

#include <math.h>
#include <string.h>

#include "engine/imaging/arrange.h"
#include "engine/imaging/compose.h"
#include "engine/imaging/resize.h"
#include "engine/residency/inputs.h"
#include "nodes/menus.h"
#include "nodes/outputs.h"
#include "nodes/picture_file.h"
#include "nodes/rows.h"

enum { SIDE_MAX = 16384 };

typedef struct ImageIn {
    const Tensor *image;
} ImageIn;

/* ---- LoadImage, LoadImageMask ---------------------------------------------------------------------- */

typedef struct LoadIn {
    const char *image;
} LoadIn;

typedef struct LoadOut {
    Tensor *image, *mask;
} LoadOut;

/* clang-format off */
static const Socket load_in[] = {
    { ROW(LoadIn, image, SOCK_COMBO), .options_fn = image_options, .flags = SOCK_F_IMAGE_UPLOAD, .folder = "input",
      .doc = "Picture of the input folder; ` [output]` or ` [temp]` behind the name chooses another folder." },
    END_ROWS
};
static const Socket load_out[] = {
    OUT(LoadOut, image, "IMAGE", SOCK_IMAGE), OUT(LoadOut, mask, "MASK", SOCK_MASK), END_ROWS
};
/* clang-format on */

static Status load_run(NodeCall *call)
{
    const LoadIn *in = call->in;
    LoadOut *out = call->out;
    return picture_load(call->host, in->image, &out->image, &out->mask, call->err);
}

/* Both loading nodes have `image` first. */
static Status load_check(struct Host *host, const void *data, Error *err)
{
    const LoadIn *in = data;
    const char *path = NULL;
    return host_find_input(host, in->image, &path, err);
}

static Status load_changed(struct Host *host, const void *data, char token[65], Error *err)
{
    const LoadIn *in = data;
    return input_file_token(host, in->image, token, err);
}

static const NodeDef load_image = {
    .class_type = "LoadImage",
    .display = "Load Image",
    .category = "image",
    .doc = "Reads a picture; its mask is 1 - alpha, or 64x64 zeros without alpha.",
    .inputs = load_in,
    .outputs = load_out,
    .in_size = sizeof(LoadIn),
    .out_size = sizeof(LoadOut),
    .run = load_run,
    .check = load_check,
    .changed = load_changed,
};

typedef struct LoadMaskIn {
    const char *image, *channel;
} LoadMaskIn;

static const char *const mask_channels[] = { "alpha", "red", "green", "blue", NULL };

/* clang-format off */
static const Socket load_mask_in[] = {
    { ROW(LoadMaskIn, image, SOCK_COMBO), .options_fn = image_options, .flags = SOCK_F_IMAGE_UPLOAD, .folder = "input",
      .doc = "Picture of the input folder." },
    { ROW(LoadMaskIn, channel, SOCK_COMBO), .options = mask_channels, .doc = "Channel that becomes the mask; alpha is inverted." },
    END_ROWS
};
/* clang-format on */

static Status load_mask_run(NodeCall *call)
{
    const LoadMaskIn *in = call->in;
    MaskOut *out = call->out;
    int channel = strcmp(in->channel, "red") == 0     ? 0
                  : strcmp(in->channel, "green") == 0 ? 1
                  : strcmp(in->channel, "blue") == 0  ? 2
                                                      : 3;
    return picture_load_channel(call->host, in->image, channel, &out->mask, call->err);
}

static const NodeDef load_image_mask = {
    .class_type = "LoadImageMask",
    .display = "Load Image (as Mask)",
    .category = "mask",
    .doc = "Reads one channel of a picture as a mask.",
    .inputs = load_mask_in,
    .outputs = mask_out,
    .in_size = sizeof(LoadMaskIn),
    .out_size = sizeof(MaskOut),
    .run = load_mask_run,
    .check = load_check,
    .changed = load_changed,
};

/* ---- SaveImage, PreviewImage ------------------------------------------------------------------------ */

typedef struct SaveIn {
    const Tensor *images;
    const char *filename_prefix, *prompt, *extra_pnginfo;
} SaveIn;

/* clang-format off */
static const Socket save_in[] = {
    { ROW(SaveIn, images, SOCK_IMAGE), .doc = "Pictures to write." },
    { ROW(SaveIn, filename_prefix, SOCK_STRING), .sdef = "ComfyUI",
      .doc = "Folder and start of the file name; %width%, %year% and kin are replaced." },
    { ROW(SaveIn, prompt, SOCK_STRING), .flags = SOCK_F_HIDDEN_PROMPT, .doc = "The workflow, for the file's metadata." },
    { ROW(SaveIn, extra_pnginfo, SOCK_STRING), .flags = SOCK_F_HIDDEN_PNGINFO, .doc = "The editor's file, for the metadata." },
    END_ROWS
};
/* clang-format on */

static Status save_run(NodeCall *call)
{
    const SaveIn *in = call->in;
    PictureTarget target = { .folder = host_options(call->host)->output,
                             .prefix = in->filename_prefix,
                             .type = "output" };
    Metadata meta = { 0 };
    Status status = metadata_init(&meta, call, in->prompt, in->extra_pnginfo);
    if (status == OK) status = picture_save(call, in->images, &target, &meta);
    metadata_fini(&meta);
    return status;
}

static const NodeDef save_image = {
    .class_type = "SaveImage",
    .display = "Save Image",
    .category = "image",
    .doc = "Writes pictures as PNG with the workflow inside, named as ComfyUI names them.",
    .inputs = save_in,
    .outputs = no_out,
    .in_size = sizeof(SaveIn),
    .flags = NODE_F_OUTPUT,
    .run = save_run,
};

/* clang-format off */
static const Socket preview_in[] = {
    { ROW(SaveIn, images, SOCK_IMAGE), .doc = "Pictures to show." },
    { ROW(SaveIn, prompt, SOCK_STRING), .flags = SOCK_F_HIDDEN_PROMPT, .doc = "The workflow, for the file's metadata." },
    { ROW(SaveIn, extra_pnginfo, SOCK_STRING), .flags = SOCK_F_HIDDEN_PNGINFO, .doc = "The editor's file, for the metadata." },
    END_ROWS
};
/* clang-format on */

static Status preview_run(NodeCall *call)
{
    const SaveIn *in = call->in;
    Metadata meta = { 0 };
    Status status = metadata_init(&meta, call, in->prompt, in->extra_pnginfo);
    if (status == OK) status = picture_preview(call, in->images, "ComfyUI", "images", &meta);
    metadata_fini(&meta);
    return status;
}

static const NodeDef preview_image = {
    .class_type = "PreviewImage",
    .display = "Preview Image",
    .category = "image",
    .doc = "Writes pictures to the temp folder.",
    .inputs = preview_in,
    .outputs = no_out,
    .in_size = sizeof(SaveIn),
    .flags = NODE_F_OUTPUT,
    .run = preview_run,
};

/* ---- scaling -------------------------------------------------------------------------------------------- */

static const char *const methods[] = { "nearest-exact", "bilinear", "area",
                                       "bicubic",       "lanczos",  NULL };
static const char *const crops[] = { "disabled", "center", NULL };

static Size2 image_size(const Tensor *image)
{
    return (Size2){ image->shape[2], image->shape[1] };
}

static Status resize(const Tensor *image, Size2 size, const char *method, bool center,
                     Tensor **out, Error *err)
{
    ResizeMethod m = RESIZE_NEAREST_EXACT;
    resize_method_from_name(method, &m);
    return resize_nhwc(image, size.width, size.height, m, center, out, err);
}

typedef struct ScaleIn {
    const Tensor *image;
    const char *upscale_method;
    int64_t width, height;
    const char *crop;
} ScaleIn;

/* clang-format off */
static const Socket scale_in[] = {
    { ROW(ScaleIn, image, SOCK_IMAGE), .doc = "Picture to resize." },
    { ROW(ScaleIn, upscale_method, SOCK_COMBO), .options = methods, .doc = "How pixels between are found." },
    { ROW(ScaleIn, width, SOCK_INT), .def = 512, .max = SIDE_MAX, .step = 1, .doc = "Width in pixels; 0 follows the ratio." },
    { ROW(ScaleIn, height, SOCK_INT), .def = 512, .max = SIDE_MAX, .step = 1, .doc = "Height in pixels; 0 follows the ratio." },
    { ROW(ScaleIn, crop, SOCK_COMBO), .options = crops, .doc = "Cut to the new aspect first." },
    END_ROWS
};
/* clang-format on */

static Status scale_run(NodeCall *call)
{
    const ScaleIn *in = call->in;
    ImageOut *out = call->out;
    if (in->width == 0 && in->height == 0) {
        out->image = tensor_ref(in->image);
        return OK;
    }
    return resize(in->image, size_scale(image_size(in->image), in->width, in->height),
                  in->upscale_method, strcmp(in->crop, "center") == 0, &out->image, call->err);
}

static const NodeDef image_scale = {
    .class_type = "ImageScale",
    .display = "Upscale Image",
    .category = "image/upscaling",
    .doc = "Resizes pictures to a size in pixels.",
    .inputs = scale_in,
    .outputs = image_out,
    .in_size = sizeof(ScaleIn),
    .out_size = sizeof(ImageOut),
    .run = scale_run,
};

typedef struct ScaleByIn {
    const Tensor *image;
    const char *upscale_method;
    double scale_by;
} ScaleByIn;

/* clang-format off */
static const Socket scale_by_in[] = {
    { ROW(ScaleByIn, image, SOCK_IMAGE), .doc = "Picture to resize." },
    { ROW(ScaleByIn, upscale_method, SOCK_COMBO), .options = methods, .doc = "How pixels between are found." },
    { ROW(ScaleByIn, scale_by, SOCK_FLOAT), .def = 1, .min = 0.01, .max = 8, .step = 0.01, .doc = "Factor on both sides." },
    END_ROWS
};
/* clang-format on */

static Status scale_by_run(NodeCall *call)
{
    const ScaleByIn *in = call->in;
    ImageOut *out = call->out;
    return resize(in->image, size_scale_by(image_size(in->image), in->scale_by),
                  in->upscale_method, false, &out->image, call->err);
}

static const NodeDef image_scale_by = {
    .class_type = "ImageScaleBy",
    .display = "Upscale Image By",
    .category = "image/upscaling",
    .doc = "Resizes pictures by a factor.",
    .inputs = scale_by_in,
    .outputs = image_out,
    .in_size = sizeof(ScaleByIn),
    .out_size = sizeof(ImageOut),
    .run = scale_by_run,
};

typedef struct TotalIn {
    const Tensor *image;
    const char *upscale_method;
    double megapixels;
    int64_t resolution_steps;
} TotalIn;

/* clang-format off */
static const Socket total_in[] = {
    { ROW(TotalIn, image, SOCK_IMAGE), .doc = "Picture to resize." },
    { ROW(TotalIn, upscale_method, SOCK_COMBO), .options = methods, .doc = "How pixels between are found." },
    { ROW(TotalIn, megapixels, SOCK_FLOAT), .def = 1, .min = 0.01, .max = 16, .step = 0.01, .doc = "Area in units of 1024x1024 pixels." },
    { ROW(TotalIn, resolution_steps, SOCK_INT), .def = 1, .min = 1, .max = 256, .flags = SOCK_F_OPTIONAL, .doc = "Sides become multiples of it." },
    END_ROWS
};
/* clang-format on */

static Status total_run(NodeCall *call)
{
    const TotalIn *in = call->in;
    ImageOut *out = call->out;
    return resize(
        in->image,
        size_total_pixels(image_size(in->image), in->megapixels, in->resolution_steps),
        in->upscale_method, false, &out->image, call->err);
}

static const NodeDef image_scale_total = {
    .class_type = "ImageScaleToTotalPixels",
    .category = "image/upscaling",
    .doc = "Resizes pictures to an area, keeping the aspect.",
    .inputs = total_in,
    .outputs = image_out,
    .in_size = sizeof(TotalIn),
    .out_size = sizeof(ImageOut),
    .run = total_run,
};

/* ---- GetImageSize ------------------------------------------------------------------------------------------ */

typedef struct SizeOut {
    int64_t width, height, batch_size;
} SizeOut;

/* clang-format off */
static const Socket one_image_in[] = { { ROW(ImageIn, image, SOCK_IMAGE), .doc = "Picture to read." }, END_ROWS };
static const Socket size_out[] = {
    OUT(SizeOut, width, "width", SOCK_INT), OUT(SizeOut, height, "height", SOCK_INT),
    OUT(SizeOut, batch_size, "batch_size", SOCK_INT), END_ROWS
};
/* clang-format on */

static Status size_run(NodeCall *call)
{
    const ImageIn *in = call->in;
    SizeOut *out = call->out;
    out->width = in->image->shape[2];
    out->height = in->image->shape[1];
    out->batch_size = in->image->shape[0];
    return OK;
}

static const NodeDef get_image_size = {
    .class_type = "GetImageSize",
    .display = "Get Image Size",
    .category = "image",
    .doc = "Width, height and number of pictures.",
    .inputs = one_image_in,
    .outputs = size_out,
    .in_size = sizeof(ImageIn),
    .out_size = sizeof(SizeOut),
    .run = size_run,
};

/* ---- ImageInvert, EmptyImage, ImageBatch ------------------------------------------------------------------ */

static Status invert_run(NodeCall *call)
{
    const ImageIn *in = call->in;
    ImageOut *out = call->out;
    return image_invert(in->image, &out->image, call->err);
}

static const NodeDef image_invert_node = {
    .class_type = "ImageInvert",
    .display = "Invert Image",
    .category = "image",
    .doc = "The negative: 1 - image.",
    .inputs = one_image_in,
    .outputs = image_out,
    .in_size = sizeof(ImageIn),
    .out_size = sizeof(ImageOut),
    .run = invert_run,
};

typedef struct EmptyIn {
    int64_t width, height, batch_size, color;
} EmptyIn;

/* clang-format off */
static const Socket empty_in[] = {
    { ROW(EmptyIn, width, SOCK_INT), .def = 512, .min = 1, .max = SIDE_MAX, .step = 1, .doc = "Width in pixels." },
    { ROW(EmptyIn, height, SOCK_INT), .def = 512, .min = 1, .max = SIDE_MAX, .step = 1, .doc = "Height in pixels." },
    { ROW(EmptyIn, batch_size, SOCK_INT), .def = 1, .min = 1, .max = 4096, .doc = "Number of pictures." },
    { ROW(EmptyIn, color, SOCK_INT), .max = 0xFFFFFF, .step = 1, .doc = "Colour as 0xRRGGBB." },
    END_ROWS
};
/* clang-format on */

static Status empty_run(NodeCall *call)
{
    const EmptyIn *in = call->in;
    ImageOut *out = call->out;
    return image_solid(in->width, in->height, in->batch_size, in->color, &out->image,
                       call->err);
}

static const NodeDef empty_image = {
    .class_type = "EmptyImage",
    .category = "image",
    .doc = "Pictures of one colour.",
    .inputs = empty_in,
    .outputs = image_out,
    .in_size = sizeof(EmptyIn),
    .out_size = sizeof(ImageOut),
    .run = empty_run,
};

typedef struct BatchIn {
    const Tensor *image1, *image2;
} BatchIn;

/* clang-format off */
static const Socket batch_in[] = {
    { ROW(BatchIn, image1, SOCK_IMAGE), .doc = "Pictures that give the size." },
    { ROW(BatchIn, image2, SOCK_IMAGE), .doc = "Pictures that are fitted to it and appended." },
    END_ROWS
};
/* clang-format on */

static Status batch_run(NodeCall *call)
{
    const BatchIn *in = call->in;
    ImageOut *out = call->out;
    return image_join((const Tensor *const[]){ in->image1, in->image2 }, 2, &out->image,
                      call->err);
}

static const NodeDef image_batch_node = {
    .class_type = "ImageBatch",
    .display = "Batch Images",
    .category = "image",
    .doc = "Puts pictures behind one another.",
    .inputs = batch_in,
    .outputs = image_out,
    .in_size = sizeof(BatchIn),
    .out_size = sizeof(ImageOut),
    .run = batch_run,
};

/* ---- ImagePadForOutpaint ------------------------------------------------------------------------------------ */

typedef struct PadIn {
    const Tensor *image;
    int64_t left, top, right, bottom, feathering;
} PadIn;

/* clang-format off */
static const Socket pad_in[] = {
    { ROW(PadIn, image, SOCK_IMAGE), .doc = "Picture to extend." },
    { ROW(PadIn, left, SOCK_INT), .max = SIDE_MAX, .step = 8, .doc = "New pixels at the left." },
    { ROW(PadIn, top, SOCK_INT), .max = SIDE_MAX, .step = 8, .doc = "New pixels at the top." },
    { ROW(PadIn, right, SOCK_INT), .max = SIDE_MAX, .step = 8, .doc = "New pixels at the right." },
    { ROW(PadIn, bottom, SOCK_INT), .max = SIDE_MAX, .step = 8, .doc = "New pixels at the bottom." },
    { ROW(PadIn, feathering, SOCK_INT), .def = 40, .max = SIDE_MAX, .step = 1, .doc = "Width of the soft edge inside." },
    END_ROWS
};
/* clang-format on */

static Status pad_run(NodeCall *call)
{
    const PadIn *in = call->in;
    LoadOut *out = call->out;
    return image_pad(in->image, in->left, in->top, in->right, in->bottom, in->feathering,
                     &out->image, &out->mask, call->err);
}

static const NodeDef image_pad_node = {
    .class_type = "ImagePadForOutpaint",
    .display = "Pad Image for Outpainting",
    .category = "image",
    .doc = "Extends a picture with grey and masks what is new.",
    .inputs = pad_in,
    .outputs = load_out,
    .in_size = sizeof(PadIn),
    .out_size = sizeof(LoadOut),
    .run = pad_run,
};

/* ---- FluxKontextImageScale --------------------------------------------------------------------------------- */

/* Sizes that FLUX.1 Kontext was trained on, by width. */
static const Size2 kontext_sizes[] = {
    { 672, 1568 }, { 688, 1504 }, { 720, 1456 },  { 752, 1392 }, { 800, 1328 }, { 832, 1248 },
    { 880, 1184 }, { 944, 1104 }, { 1024, 1024 }, { 1104, 944 }, { 1184, 880 }, { 1248, 832 },
    { 1328, 800 }, { 1392, 752 }, { 1456, 720 },  { 1504, 688 }, { 1568, 672 },
};

static double aspect(Size2 size)
{
    return (double)size.width / (double)size.height;
}

/* The size of the nearest aspect; of two that are as near, the narrower. */
static Size2 kontext_size(Size2 image)
{
    Size2 best = kontext_sizes[0];
    for (size_t i = 1; i < sizeof kontext_sizes / sizeof *kontext_sizes; i++)
        if (fabs(aspect(image) - aspect(kontext_sizes[i])) < fabs(aspect(image) - aspect(best)))
            best = kontext_sizes[i];
    return best;
}

static Status kontext_scale_run(NodeCall *call)
{
    const ImageIn *in = call->in;
    ImageOut *out = call->out;
    return resize(in->image, kontext_size(image_size(in->image)), "lanczos", true, &out->image,
                  call->err);
}

static const NodeDef kontext_scale = {
    .class_type = "FluxKontextImageScale",
    .category = "advanced/conditioning/flux",
    .doc = "Cuts and resizes pictures to the nearest size that FLUX.1 Kontext was trained on.",
    .inputs = one_image_in,
    .outputs = image_out,
    .in_size = sizeof(ImageIn),
    .out_size = sizeof(ImageOut),
    .run = kontext_scale_run,
};

/* clang-format off */
const NodeDef *const image_nodes[] = {
    &load_image,
    &load_image_mask,
    &save_image,
    &preview_image,
    &image_scale,
    &image_scale_by,
    &image_scale_total,
    &kontext_scale,
    &get_image_size,
    &image_invert_node,
    &empty_image,
    &image_batch_node,
    &image_pad_node,
    NULL,
};
/* clang-format on */
