/* image_edit.c - node types that cut, turn, stitch and batch pictures. */
#include "nodes/image_edit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/imaging/arrange.h"
#include "engine/imaging/resize.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

static Size2 image_size(const Tensor *image)
{
    return (Size2){ image->shape[2], image->shape[1] };
}

static ResizeMethod method_of(const char *name)
{
    ResizeMethod m = RESIZE_NEAREST_EXACT;
    resize_method_from_name(name, &m);
    return m;
}

/* ---- ImageCrop --------------------------------------------------------------------------- */

typedef struct CropIn {
    const Tensor *image;
    int64_t width, height, x, y;
} CropIn;

/* clang-format off */
static const Socket crop_in[] = {
    { ROW(CropIn, image, SOCK_IMAGE), .doc = "Pictures to cut." },
    { ROW(CropIn, width, SOCK_INT), .def = 512, .min = 1, .max = 16384, .step = 1, .doc = "Width in pixels." },
    { ROW(CropIn, height, SOCK_INT), .def = 512, .min = 1, .max = 16384, .step = 1, .doc = "Height in pixels." },
    { ROW(CropIn, x, SOCK_INT), .max = 16384, .step = 1, .doc = "Left edge in pixels." },
    { ROW(CropIn, y, SOCK_INT), .max = 16384, .step = 1, .doc = "Top edge in pixels." },
    END_ROWS
};
/* clang-format on */

static Status crop_run(NodeCall *call)
{
    const CropIn *in = call->in;
    ImageOut *out = call->out;
    return image_crop(in->image, in->x, in->y, in->width, in->height, &out->image, call->err);
}

static const NodeDef crop_node = {
    .class_type = "ImageCrop",
    .display = "Image Crop",
    .category = "image/transform",
    .doc = "Cuts a rectangle out of pictures; what lies outside is left out.",
    .inputs = crop_in,
    .outputs = image_out,
    .in_size = sizeof(CropIn),
    .out_size = sizeof(ImageOut),
    .run = crop_run,
};

/* ---- ImageFlip --------------------------------------------------------------------------- */

static const char *const flip_flip_methods[] = { "x-axis: vertically", "y-axis: horizontally",
                                                 NULL };

typedef struct FlipIn {
    const Tensor *image;
    const char *flip_method;
} FlipIn;

/* clang-format off */
static const Socket flip_in[] = {
    { ROW(FlipIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(FlipIn, flip_method, SOCK_COMBO), .options = flip_flip_methods, .doc = "Which way round." },
    END_ROWS
};
/* clang-format on */

static Status flip_run(NodeCall *call)
{
    const FlipIn *in = call->in;
    ImageOut *out = call->out;
    bool rows = in->flip_method[0] == 'x';

    return tensor_flip(in->image, rows ? 1 : 2, &out->image, call->err);
}

static const NodeDef flip_node = {
    .class_type = "ImageFlip",
    .category = "image/transform",
    .doc = "Mirrors pictures.",
    .inputs = flip_in,
    .outputs = image_out,
    .in_size = sizeof(FlipIn),
    .out_size = sizeof(ImageOut),
    .run = flip_run,
};

/* ---- ImageRotate ------------------------------------------------------------------------- */

static const char *const rotate_rotations[] = { "none", "90 degrees", "180 degrees",
                                                "270 degrees", NULL };

typedef struct RotateIn {
    const Tensor *image;
    const char *rotation;
} RotateIn;

/* clang-format off */
static const Socket rotate_in[] = {
    { ROW(RotateIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(RotateIn, rotation, SOCK_COMBO), .options = rotate_rotations, .doc = "Angle, clockwise." },
    END_ROWS
};
/* clang-format on */

static Status rotate_run(NodeCall *call)
{
    const RotateIn *in = call->in;
    ImageOut *out = call->out;
    int quarters = in->rotation[0] == 'n' ? 0 : atoi(in->rotation) / 90;

    return tensor_turn(in->image, 1, quarters, &out->image, call->err);
}

static const NodeDef rotate_node = {
    .class_type = "ImageRotate",
    .category = "image/transform",
    .doc = "Turns pictures clockwise.",
    .inputs = rotate_in,
    .outputs = image_out,
    .in_size = sizeof(RotateIn),
    .out_size = sizeof(ImageOut),
    .run = rotate_run,
};

/* ---- ImageStitch ------------------------------------------------------------------------- */

static const char *const stitch_directions[] = { "right", "down", "left", "up", NULL };

static const char *const stitch_spacing_colors[] = { "white", "black", "red",
                                                     "green", "blue",  NULL };

typedef struct StitchIn {
    const Tensor *image1, *image2;
    const char *direction, *spacing_color;
    bool match_image_size;
    int64_t spacing_width;
} StitchIn;

/* clang-format off */
static const Socket stitch_in[] = {
    { ROW(StitchIn, image1, SOCK_IMAGE), .doc = "First picture." },
    { ROW(StitchIn, direction, SOCK_COMBO), .options = stitch_directions, .sdef = "right", .doc = "Side of the first picture on which the second stands." },
    { ROW(StitchIn, match_image_size, SOCK_BOOLEAN), .def = 1, .doc = "The second takes the height (or width) of the first; else the smaller one is padded." },
    { ROW(StitchIn, spacing_width, SOCK_INT), .max = 1024, .step = 2, .doc = "Pixels between them; odd numbers grow by one." },
    { ROW(StitchIn, spacing_color, SOCK_COMBO), .options = stitch_spacing_colors, .sdef = "white", .doc = "Colour between them." },
    { ROW(StitchIn, image2, SOCK_IMAGE), .flags = SOCK_F_OPTIONAL, .doc = "Second picture; without it the first comes back." },
    END_ROWS
};
/* clang-format on */

static Status stitch_run(NodeCall *call)
{
    const StitchIn *in = call->in;
    ImageOut *out = call->out;
    Stitch stitch = { .direction = in->direction,
                      .match = in->match_image_size,
                      .spacing = in->spacing_width,
                      .color = in->spacing_color };

    return image_stitch(in->image1, in->image2, &stitch, &out->image, call->err);
}

static const NodeDef stitch_node = {
    .class_type = "ImageStitch",
    .display = "Image Stitch",
    .category = "image/transform",
    .doc = "Puts two pictures side by side.",
    .inputs = stitch_in,
    .outputs = image_out,
    .in_size = sizeof(StitchIn),
    .out_size = sizeof(ImageOut),
    .run = stitch_run,
};

/* ---- ImageScaleToMaxDimension ------------------------------------------------------------ */

static const char *const max_side_upscale_methods[] = {
    "area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic", NULL
};

typedef struct MaxSideIn {
    const Tensor *image;
    const char *upscale_method;
    int64_t largest_size;
} MaxSideIn;

/* clang-format off */
static const Socket max_side_in[] = {
    { ROW(MaxSideIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(MaxSideIn, upscale_method, SOCK_COMBO), .options = max_side_upscale_methods, .doc = "How pixels between are found." },
    { ROW(MaxSideIn, largest_size, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Longer side in pixels." },
    END_ROWS
};
/* clang-format on */

static Status max_side_run(NodeCall *call)
{
    const MaxSideIn *in = call->in;
    ImageOut *out = call->out;
    Size2 size = size_longest(image_size(in->image), in->largest_size);

    return resize_nhwc(in->image, size.width, size.height, method_of(in->upscale_method), false,
                       &out->image, call->err);
}

static const NodeDef max_side_node = {
    .class_type = "ImageScaleToMaxDimension",
    .category = "image/upscaling",
    .doc = "Resizes pictures until their longer side has a size.",
    .inputs = max_side_in,
    .outputs = image_out,
    .in_size = sizeof(MaxSideIn),
    .out_size = sizeof(ImageOut),
    .run = max_side_run,
};

/* ---- ResizeAndPadImage ------------------------------------------------------------------- */

static const char *const fit_padding_colors[] = { "white", "black", NULL };

static const char *const fit_interpolations[] = { "area",     "bicubic", "nearest-exact",
                                                  "bilinear", "lanczos", NULL };

typedef struct FitIn {
    const Tensor *image;
    int64_t target_width, target_height;
    const char *padding_color, *interpolation;
} FitIn;

/* clang-format off */
static const Socket fit_in[] = {
    { ROW(FitIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(FitIn, target_width, SOCK_INT), .def = 512, .min = 1, .max = 16384, .step = 1, .doc = "Width of the frame." },
    { ROW(FitIn, target_height, SOCK_INT), .def = 512, .min = 1, .max = 16384, .step = 1, .doc = "Height of the frame." },
    { ROW(FitIn, padding_color, SOCK_COMBO), .options = fit_padding_colors, .doc = "Colour of what stays free." },
    { ROW(FitIn, interpolation, SOCK_COMBO), .options = fit_interpolations, .doc = "How pixels between are found." },
    END_ROWS
};
/* clang-format on */

static Status fit_run(NodeCall *call)
{
    const FitIn *in = call->in;
    ImageOut *out = call->out;
    float fill = strcmp(in->padding_color, "black") == 0 ? 0 : 1;

    return image_fit(in->image, in->target_width, in->target_height, fill,
                     method_of(in->interpolation), &out->image, call->err);
}

static const NodeDef fit_node = {
    .class_type = "ResizeAndPadImage",
    .category = "image/transform",
    .doc = "Resizes pictures into a frame and fills what stays free.",
    .inputs = fit_in,
    .outputs = image_out,
    .in_size = sizeof(FitIn),
    .out_size = sizeof(ImageOut),
    .run = fit_run,
};

/* ---- RepeatImageBatch -------------------------------------------------------------------- */

typedef struct RepeatIn {
    const Tensor *image;
    int64_t amount;
} RepeatIn;

/* clang-format off */
static const Socket repeat_in[] = {
    { ROW(RepeatIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(RepeatIn, amount, SOCK_INT), .def = 1, .min = 1, .max = 4096, .doc = "How many times they are there afterwards." },
    END_ROWS
};
/* clang-format on */

static Status repeat_run(NodeCall *call)
{
    const RepeatIn *in = call->in;
    ImageOut *out = call->out;
    return tensor_to_batch(in->image, in->image->shape[0] * in->amount, &out->image, call->err);
}

static const NodeDef repeat_node = {
    .class_type = "RepeatImageBatch",
    .category = "image/batch",
    .doc = "Repeats pictures along the batch.",
    .inputs = repeat_in,
    .outputs = image_out,
    .in_size = sizeof(RepeatIn),
    .out_size = sizeof(ImageOut),
    .run = repeat_run,
};

/* ---- ImageFromBatch ---------------------------------------------------------------------- */

typedef struct FromBatchIn {
    const Tensor *image;
    int64_t batch_index, length;
} FromBatchIn;

/* clang-format off */
static const Socket from_batch_in[] = {
    { ROW(FromBatchIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(FromBatchIn, batch_index, SOCK_INT), .max = 4095, .doc = "First picture, from 0; past the end it is the last one." },
    { ROW(FromBatchIn, length, SOCK_INT), .def = 1, .min = 1, .max = 4096, .doc = "Number of pictures." },
    END_ROWS
};
/* clang-format on */

static Status from_batch_run(NodeCall *call)
{
    const FromBatchIn *in = call->in;
    ImageOut *out = call->out;
    int64_t n = in->image->shape[0];
    int64_t first = in->batch_index < n - 1 ? in->batch_index : n - 1;

    return tensor_narrow(in->image, 0, first, in->length < n - first ? in->length : n - first,
                         &out->image, call->err);
}

static const NodeDef from_batch_node = {
    .class_type = "ImageFromBatch",
    .category = "image/batch",
    .doc = "Takes pictures out of a batch.",
    .inputs = from_batch_in,
    .outputs = image_out,
    .in_size = sizeof(FromBatchIn),
    .out_size = sizeof(ImageOut),
    .run = from_batch_run,
};

/* ---- ResizeImageMaskNode -------------------------------------------------------------------------------- */

/* Which fields count is the option's matter. */
typedef struct ResizeIn {
    Value input, match;
    const char *resize_type, *crop, *scale_method;
    int64_t width, height, longer_size, shorter_size, multiple;
    double multiplier, megapixels;
} ResizeIn;

typedef struct ResizeOut {
    Value resized;
} ResizeOut;

static const char *const resize_crops[] = { "disabled", "center", NULL };
static const char *const resize_methods[] = { "nearest-exact", "bilinear", "area",
                                              "bicubic",       "lanczos",  NULL };
static const char *const resize_types[] = { "scale dimensions",
                                            "scale by multiplier",
                                            "scale longer dimension",
                                            "scale shorter dimension",
                                            "scale width",
                                            "scale height",
                                            "scale total pixels",
                                            "match size",
                                            "scale to multiple",
                                            NULL };
/* clang-format off */
static const Socket resize_dimensions_in[] = {
    { ROW(ResizeIn, width, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Width in pixels; 0 follows the ratio." },
    { ROW(ResizeIn, height, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Height in pixels; 0 follows the ratio." },
    { ROW(ResizeIn, crop, SOCK_COMBO), .options = resize_crops, .sdef = "center", .doc = "Cut to the new aspect first." },
    END_ROWS
};
static const Socket resize_by_multiplier_in[] = {
    { ROW(ResizeIn, multiplier, SOCK_FLOAT), .def = 1, .min = 0.01, .max = 8, .step = 0.01, .doc = "Factor on both sides." },
    END_ROWS
};
static const Socket resize_longer_dimension_in[] = {
    { ROW(ResizeIn, longer_size, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Longer side in pixels." },
    END_ROWS
};
static const Socket resize_shorter_dimension_in[] = {
    { ROW(ResizeIn, shorter_size, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Shorter side in pixels." },
    END_ROWS
};
static const Socket resize_width_in[] = {
    { ROW(ResizeIn, width, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Width in pixels; 0 follows the ratio." },
    END_ROWS
};
static const Socket resize_height_in[] = {
    { ROW(ResizeIn, height, SOCK_INT), .def = 512, .max = 16384, .step = 1, .doc = "Height in pixels; 0 follows the ratio." },
    END_ROWS
};
static const Socket resize_total_pixels_in[] = {
    { ROW(ResizeIn, megapixels, SOCK_FLOAT), .def = 1, .min = 0.01, .max = 16, .step = 0.01, .doc = "Area in units of 1024x1024 pixels." },
    END_ROWS
};
static const Socket resize_match_size_in[] = {
    { ROW(ResizeIn, match, SOCK_OTHER), .type_name = "IMAGE,MASK", .doc = "Picture or mask whose size is taken." },
    { ROW(ResizeIn, crop, SOCK_COMBO), .options = resize_crops, .sdef = "center", .doc = "Cut to the new aspect first." },
    END_ROWS
};
static const Socket resize_to_multiple_in[] = {
    { ROW(ResizeIn, multiple, SOCK_INT), .def = 8, .min = 1, .max = 16384, .step = 1, .doc = "Sides become multiples of it." },
    END_ROWS
};
static const SocketKey resize_keys[] = {
    { "scale dimensions", resize_dimensions_in },
    { "scale by multiplier", resize_by_multiplier_in },
    { "scale longer dimension", resize_longer_dimension_in },
    { "scale shorter dimension", resize_shorter_dimension_in },
    { "scale width", resize_width_in },
    { "scale height", resize_height_in },
    { "scale total pixels", resize_total_pixels_in },
    { "match size", resize_match_size_in },
    { "scale to multiple", resize_to_multiple_in },
    { NULL, NULL },
};
static const Socket resize_in[] = {
    { ROW(ResizeIn, input, SOCK_ANY), .type_name = "COMFY_MATCHTYPE_V3", .doc = "Pictures or masks to resize." },
    { ROW(ResizeIn, resize_type, SOCK_COMBO), .type_name = "COMFY_DYNAMICCOMBO_V3", .options = resize_types, .keys = resize_keys, .doc = "What the new size follows from." },
    { ROW(ResizeIn, scale_method, SOCK_COMBO), .options = resize_methods, .sdef = "area", .doc = "How pixels between are found." },
    END_ROWS
};
static const Socket resize_out[] = {
    { .name = "resized", .type = SOCK_ANY, .type_name = "COMFY_MATCHTYPE_V3", .at = offsetof(ResizeOut, resized), .doc = "What came in, in the new size." },
    END_ROWS
};
/* clang-format on */

/* Pictures [B,H,W,C] and masks [B,H,W] have their sides in the same places. */
static Status any_size(const Value *v, const char *input, Size2 *out, Error *err)
{
    if ((v->type == SOCK_IMAGE || v->type == SOCK_MASK) && v->object) {
        *out = image_size((const Tensor *)v->object);
        return OK;
    }
    error_set(err, E_TYPE, "wants IMAGE or MASK, not %s", sock_name(v->type));
    error_at_input(err, input);
    return E_TYPE;
}

static Size2 by_dimensions(const ResizeIn *in, Size2 now)
{
    return in->width == 0 && in->height == 0 ? now : size_scale(now, in->width, in->height);
}

static Size2 by_multiplier(const ResizeIn *in, Size2 now)
{
    return size_scale_by(now, in->multiplier);
}

static Size2 by_longer(const ResizeIn *in, Size2 now)
{
    return size_longest(now, in->longer_size);
}

static Size2 by_shorter(const ResizeIn *in, Size2 now)
{
    return size_shortest(now, in->shorter_size);
}

static Size2 by_width(const ResizeIn *in, Size2 now)
{
    return in->width == 0 ? now : size_scale(now, in->width, 0);
}

static Size2 by_height(const ResizeIn *in, Size2 now)
{
    return in->height == 0 ? now : size_scale(now, 0, in->height);
}

static Size2 by_area(const ResizeIn *in, Size2 now)
{
    double whole = (double)(int64_t)(in->megapixels * 1048576);

    return size_total_pixels(now, whole / 1048576, 1);
}

static const struct ResizeRule {
    const char *name;
    Size2 (*size)(const ResizeIn *in, Size2 now);
    bool crops;
} resize_rules[] = {
    { "scale dimensions", by_dimensions, true },
    { "scale by multiplier", by_multiplier, false },
    { "scale longer dimension", by_longer, false },
    { "scale shorter dimension", by_shorter, false },
    { "scale width", by_width, false },
    { "scale height", by_height, false },
    { "scale total pixels", by_area, false },
};

static Status resize_any(const Tensor *x, Size2 size, const ResizeIn *in, bool center,
                         Tensor **out, Error *err)
{
    Size2 now = image_size(x);

    if (now.width == size.width && now.height == size.height) {
        *out = tensor_ref(x);
        return OK;
    }
    return (x->ndim == 4 ? resize_nhwc : resize_mask)(
        x, size.width, size.height, method_of(in->scale_method), center, out, err);
}

/* Covers the next smaller multiples and cuts the middle out. */
static Status to_multiple(const Tensor *x, const ResizeIn *in, Tensor **out, Error *err)
{
    Size2 target, cover = size_cover_multiple(image_size(x), in->multiple, &target);
    Tensor *covered = NULL, *rows = NULL;
    Status status = OK;

    TRY(resize_any(x, cover, in, false, &covered, err));
    if (target.width == 0) {
        *out = covered;
        return OK;
    }
    TRY_DONE(tensor_narrow(covered, 1, (cover.height - target.height) / 2, target.height, &rows,
                           err));
    status = tensor_narrow(rows, 2, (cover.width - target.width) / 2, target.width, out, err);
done:
    tensor_unref(covered);
    tensor_unref(rows);
    return status;
}

static Status resize_tensor(const ResizeIn *in, const Tensor *x, Tensor **out, Error *err)
{
    bool center = in->crop && strcmp(in->crop, "center") == 0;
    Size2 now = image_size(x), size = now;

    if (strcmp(in->resize_type, "scale to multiple") == 0) return to_multiple(x, in, out, err);
    if (strcmp(in->resize_type, "match size") == 0) {
        TRY(any_size(&in->match, "resize_type.match", &size, err));
        return resize_any(x, size, in, center, out, err);
    }
    for (size_t i = 0; i < sizeof resize_rules / sizeof *resize_rules; i++) {
        if (strcmp(resize_rules[i].name, in->resize_type) != 0) continue;
        size = resize_rules[i].size(in, now);
        center = center && resize_rules[i].crops;
    }
    return resize_any(x, size, in, center, out, err);
}

static Status resize_run(NodeCall *call)
{
    const ResizeIn *in = call->in;
    ResizeOut *out = call->out;
    Tensor *result = NULL;
    Size2 now;

    TRY(any_size(&in->input, "input", &now, call->err));
    TRY(resize_tensor(in, (const Tensor *)in->input.object, &result, call->err));
    out->resized = (Value){ .type = in->input.type, .object = &result->ref };
    return OK;
}

static const NodeDef resize_node = {
    .class_type = "ResizeImageMaskNode",
    .display = "Resize Image/Mask",
    .category = "transform",
    .doc = "Resizes pictures or masks by one of nine rules.",
    .inputs = resize_in,
    .outputs = resize_out,
    .in_size = sizeof(ResizeIn),
    .out_size = sizeof(ResizeOut),
    .run = resize_run,
};

/* ---- BatchImagesNode, BatchMasksNode --------------------------------------------------------------------- */

enum { GROW_MAX = 50 };

typedef struct GrowIn {
    const Tensor *items[GROW_MAX]; /* NULL where none is linked */
} GrowIn;

static const SocketGrow images_grow = { .prefix = "image", .type = SOCK_IMAGE, .min = 2, .max = GROW_MAX };
static const SocketGrow masks_grow = { .prefix = "mask", .type = SOCK_MASK, .min = 2, .max = GROW_MAX };
/* clang-format off */
static const Socket batch_images_in[] = {
    { .name = "images", .type = SOCK_OTHER, .type_name = "COMFY_AUTOGROW_V3", .at = offsetof(GrowIn, items), .grow = &images_grow, .doc = "Pictures; the first one gives the size." },
    END_ROWS
};
static const Socket batch_masks_in[] = {
    { .name = "masks", .type = SOCK_OTHER, .type_name = "COMFY_AUTOGROW_V3", .at = offsetof(GrowIn, items), .grow = &masks_grow, .doc = "Masks; the first one gives the size." },
    END_ROWS
};
/* clang-format on */

/* The given members without gaps. */
static int given(const GrowIn *in, const Tensor *list[GROW_MAX])
{
    int n = 0;

    for (int i = 0; i < GROW_MAX; i++)
        if (in->items[i]) list[n++] = in->items[i];
    return n;
}

static Status batch_images_run(NodeCall *call)
{
    ImageOut *out = call->out;
    const Tensor *list[GROW_MAX];
    int n = given(call->in, list);

    return image_join(list, n, &out->image, call->err);
}

static Status batch_masks_run(NodeCall *call)
{
    MaskOut *out = call->out;
    const Tensor *list[GROW_MAX];
    int n = given(call->in, list);

    return mask_join(list, n, &out->mask, call->err);
}

static const NodeDef batch_images_node = {
    .class_type = "BatchImagesNode",
    .display = "Batch Images",
    .category = "image",
    .doc = "Puts pictures behind one another.",
    .inputs = batch_images_in,
    .outputs = image_out,
    .in_size = sizeof(GrowIn),
    .out_size = sizeof(ImageOut),
    .run = batch_images_run,
};

static const NodeDef batch_masks_node = {
    .class_type = "BatchMasksNode",
    .display = "Batch Masks",
    .category = "mask",
    .doc = "Puts masks behind one another.",
    .inputs = batch_masks_in,
    .outputs = mask_out,
    .in_size = sizeof(GrowIn),
    .out_size = sizeof(MaskOut),
    .run = batch_masks_run,
};

/* clang-format off */
const NodeDef *const image_edit_nodes[] = {
    &crop_node,
    &flip_node,
    &rotate_node,
    &stitch_node,
    &max_side_node,
    &fit_node,
    &repeat_node,
    &from_batch_node,
    &resize_node,
    &batch_images_node,
    &batch_masks_node,
    NULL,
};
/* clang-format on */
