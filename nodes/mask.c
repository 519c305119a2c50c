/* mask.c - node types that make and change masks. */
#include "nodes/mask.h"

#include <string.h>

#include "engine/imaging/mask.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

enum { SIDE_MAX = 16384 };

/* ---- ImageToMask ------------------------------------------------------------------------------ */

typedef struct ImageToMaskIn {
    const Tensor *image;
    const char *channel;
} ImageToMaskIn;

static const char *const to_mask_channels[] = { "red", "green", "blue", "alpha", NULL };

/* clang-format off */
static const Socket image_to_mask_in[] = {
    { ROW(ImageToMaskIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(ImageToMaskIn, channel, SOCK_COMBO), .options = to_mask_channels, .doc = "Channel that becomes the mask." },
    END_ROWS
};
/* clang-format on */

static int channel_index(const char *const *names, const char *name)
{
    int i = 0;
    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static Status image_to_mask_run(NodeCall *call)
{
    const ImageToMaskIn *in = call->in;
    MaskOut *out = call->out;
    return mask_from_image(in->image, channel_index(to_mask_channels, in->channel), &out->mask,
                           call->err);
}

static const NodeDef image_to_mask = {
    .class_type = "ImageToMask",
    .display = "Convert Image to Mask",
    .category = "mask",
    .doc = "Takes one channel of a picture as a mask.",
    .inputs = image_to_mask_in,
    .outputs = mask_out,
    .in_size = sizeof(ImageToMaskIn),
    .out_size = sizeof(MaskOut),
    .run = image_to_mask_run,
};

/* ---- MaskToImage ------------------------------------------------------------------------------ */

typedef struct MaskIn {
    const Tensor *mask;
} MaskIn;

static const Socket one_mask_in[] = { { ROW(MaskIn, mask, SOCK_MASK), .doc = "Mask to read." },
                                      END_ROWS };
static Status mask_to_image_run(NodeCall *call)
{
    const MaskIn *in = call->in;
    ImageOut *out = call->out;
    return mask_to_image(in->mask, &out->image, call->err);
}

static const NodeDef mask_to_image_node = {
    .class_type = "MaskToImage",
    .display = "Convert Mask to Image",
    .category = "mask",
    .doc = "Shows a mask as a grey picture.",
    .inputs = one_mask_in,
    .outputs = image_out,
    .in_size = sizeof(MaskIn),
    .out_size = sizeof(ImageOut),
    .run = mask_to_image_run,
};

/* ---- InvertMask ------------------------------------------------------------------------------- */

static Status invert_mask_run(NodeCall *call)
{
    const MaskIn *in = call->in;
    MaskOut *out = call->out;
    return mask_invert(in->mask, &out->mask, call->err);
}

static const NodeDef invert_mask = {
    .class_type = "InvertMask",
    .category = "mask",
    .doc = "Swaps what is repainted and what is kept: 1 - mask.",
    .inputs = one_mask_in,
    .outputs = mask_out,
    .in_size = sizeof(MaskIn),
    .out_size = sizeof(MaskOut),
    .run = invert_mask_run,
};

/* ---- ImageColorToMask --------------------------------------------------------------------------- */

typedef struct ColorIn {
    const Tensor *image;
    int64_t color;
} ColorIn;

/* clang-format off */
static const Socket color_in[] = {
    { ROW(ColorIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(ColorIn, color, SOCK_INT), .def = 0, .max = 0xFFFFFF, .step = 1, .doc = "Colour as 0xRRGGBB." },
    END_ROWS
};
/* clang-format on */

static Status color_run(NodeCall *call)
{
    const ColorIn *in = call->in;
    MaskOut *out = call->out;
    return mask_from_color(in->image, in->color, &out->mask, call->err);
}

static const NodeDef image_color_to_mask = {
    .class_type = "ImageColorToMask",
    .category = "mask",
    .doc = "Marks the pixels of one colour.",
    .inputs = color_in,
    .outputs = mask_out,
    .in_size = sizeof(ColorIn),
    .out_size = sizeof(MaskOut),
    .run = color_run,
};

/* ---- SolidMask ---------------------------------------------------------------------------------- */

typedef struct SolidIn {
    double value;
    int64_t width, height;
} SolidIn;

/* clang-format off */
static const Socket solid_in[] = {
    { ROW(SolidIn, value, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Value of every pixel." },
    { ROW(SolidIn, width, SOCK_INT), .def = 512, .min = 1, .max = SIDE_MAX, .step = 1, .doc = "Width in pixels." },
    { ROW(SolidIn, height, SOCK_INT), .def = 512, .min = 1, .max = SIDE_MAX, .step = 1, .doc = "Height in pixels." },
    END_ROWS
};
/* clang-format on */

static Status solid_run(NodeCall *call)
{
    const SolidIn *in = call->in;
    MaskOut *out = call->out;
    return mask_solid((float)in->value, in->width, in->height, &out->mask, call->err);
}

static const NodeDef solid_mask = {
    .class_type = "SolidMask",
    .category = "mask",
    .doc = "Makes a mask of one value.",
    .inputs = solid_in,
    .outputs = mask_out,
    .in_size = sizeof(SolidIn),
    .out_size = sizeof(MaskOut),
    .run = solid_run,
};

/* ---- CropMask ----------------------------------------------------------------------------------- */

typedef struct CropIn {
    const Tensor *mask;
    int64_t x, y, width, height;
} CropIn;

/* clang-format off */
static const Socket crop_in[] = {
    { ROW(CropIn, mask, SOCK_MASK), .doc = "Mask to cut." },
    { ROW(CropIn, x, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Left edge in pixels." },
    { ROW(CropIn, y, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Top edge in pixels." },
    { ROW(CropIn, width, SOCK_INT), .def = 512, .min = 1, .max = SIDE_MAX, .step = 1, .doc = "Width in pixels." },
    { ROW(CropIn, height, SOCK_INT), .def = 512, .min = 1, .max = SIDE_MAX, .step = 1, .doc = "Height in pixels." },
    END_ROWS
};
/* clang-format on */

static Status crop_run(NodeCall *call)
{
    const CropIn *in = call->in;
    MaskOut *out = call->out;
    return mask_crop(in->mask, in->x, in->y, in->width, in->height, &out->mask, call->err);
}

static const NodeDef crop_mask = {
    .class_type = "CropMask",
    .category = "mask",
    .doc = "Cuts a rectangle out of a mask.",
    .inputs = crop_in,
    .outputs = mask_out,
    .in_size = sizeof(CropIn),
    .out_size = sizeof(MaskOut),
    .run = crop_run,
};

/* ---- ThresholdMask ------------------------------------------------------------------------------ */

typedef struct ThresholdIn {
    const Tensor *mask;
    double value;
} ThresholdIn;

/* clang-format off */
static const Socket threshold_in[] = {
    { ROW(ThresholdIn, mask, SOCK_MASK), .doc = "Mask to read." },
    { ROW(ThresholdIn, value, SOCK_FLOAT), .def = 0.5, .max = 1, .step = 0.01, .doc = "Pixels above it become 1." },
    END_ROWS
};
/* clang-format on */

static Status threshold_run(NodeCall *call)
{
    const ThresholdIn *in = call->in;
    MaskOut *out = call->out;
    return mask_threshold(in->mask, (float)in->value, &out->mask, call->err);
}

static const NodeDef threshold_mask = {
    .class_type = "ThresholdMask",
    .category = "mask",
    .doc = "Makes a mask hard: 1 above a value, else 0.",
    .inputs = threshold_in,
    .outputs = mask_out,
    .in_size = sizeof(ThresholdIn),
    .out_size = sizeof(MaskOut),
    .run = threshold_run,
};

/* ---- GrowMask ----------------------------------------------------------------------------------- */

typedef struct GrowIn {
    const Tensor *mask;
    int64_t expand;
    bool tapered_corners;
} GrowIn;

/* clang-format off */
static const Socket grow_in[] = {
    { ROW(GrowIn, mask, SOCK_MASK), .doc = "Mask to grow." },
    { ROW(GrowIn, expand, SOCK_INT), .min = -SIDE_MAX, .max = SIDE_MAX, .step = 1, .doc = "Pixels; negative shrinks." },
    { ROW(GrowIn, tapered_corners, SOCK_BOOLEAN), .def = 1, .doc = "Grow along the axes only." },
    END_ROWS
};
/* clang-format on */

static Status grow_run(NodeCall *call)
{
    const GrowIn *in = call->in;
    MaskOut *out = call->out;
    return mask_grow(in->mask, in->expand, in->tapered_corners, &out->mask, call->err);
}

static const NodeDef grow_mask = {
    .class_type = "GrowMask",
    .display = "Grow Mask",
    .category = "mask",
    .doc = "Grows or shrinks the marked area.",
    .inputs = grow_in,
    .outputs = mask_out,
    .in_size = sizeof(GrowIn),
    .out_size = sizeof(MaskOut),
    .run = grow_run,
};

/* ---- FeatherMask -------------------------------------------------------------------------------- */

typedef struct FeatherIn {
    const Tensor *mask;
    int64_t left, top, right, bottom;
} FeatherIn;

/* clang-format off */
static const Socket feather_in[] = {
    { ROW(FeatherIn, mask, SOCK_MASK), .doc = "Mask to soften." },
    { ROW(FeatherIn, left, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Ramp at the left side, pixels." },
    { ROW(FeatherIn, top, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Ramp at the top, pixels." },
    { ROW(FeatherIn, right, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Ramp at the right side, pixels." },
    { ROW(FeatherIn, bottom, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Ramp at the bottom, pixels." },
    END_ROWS
};
/* clang-format on */

static Status feather_run(NodeCall *call)
{
    const FeatherIn *in = call->in;
    MaskOut *out = call->out;
    return mask_feather(in->mask, in->left, in->top, in->right, in->bottom, &out->mask,
                        call->err);
}

static const NodeDef feather_mask = {
    .class_type = "FeatherMask",
    .category = "mask",
    .doc = "Fades a mask towards its sides.",
    .inputs = feather_in,
    .outputs = mask_out,
    .in_size = sizeof(FeatherIn),
    .out_size = sizeof(MaskOut),
    .run = feather_run,
};

/* ---- MaskComposite ------------------------------------------------------------------------------ */

typedef struct CompositeIn {
    const Tensor *destination, *source;
    int64_t x, y;
    const char *operation;
} CompositeIn;

static const char *const composite_ops[] = { "multiply", "add", "subtract", "and",
                                             "or",       "xor", NULL };

/* clang-format off */
static const Socket composite_in[] = {
    { ROW(CompositeIn, destination, SOCK_MASK), .doc = "Mask that is changed." },
    { ROW(CompositeIn, source, SOCK_MASK), .doc = "Mask that is laid on it." },
    { ROW(CompositeIn, x, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Left edge in pixels." },
    { ROW(CompositeIn, y, SOCK_INT), .max = SIDE_MAX, .step = 1, .doc = "Top edge in pixels." },
    { ROW(CompositeIn, operation, SOCK_COMBO), .options = composite_ops, .doc = "How the two are combined." },
    END_ROWS
};
/* clang-format on */

static Status composite_run(NodeCall *call)
{
    const CompositeIn *in = call->in;
    MaskOut *out = call->out;
    MaskOp op = MASK_MULTIPLY;
    mask_op_from_name(in->operation, &op);
    return mask_composite(in->destination, in->source, in->x, in->y, op, &out->mask, call->err);
}

static const NodeDef mask_composite_node = {
    .class_type = "MaskComposite",
    .category = "mask",
    .doc = "Combines two masks.",
    .inputs = composite_in,
    .outputs = mask_out,
    .in_size = sizeof(CompositeIn),
    .out_size = sizeof(MaskOut),
    .run = composite_run,
};

const NodeDef *const mask_nodes[] = {
    &image_to_mask,
    &mask_to_image_node,
    &invert_mask,
    &image_color_to_mask,
    &solid_mask,
    &crop_mask,
    &threshold_mask,
    &grow_mask,
    &feather_mask,
    &mask_composite_node,
    NULL,
};
