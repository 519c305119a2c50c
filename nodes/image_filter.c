/* image_filter.c - node types that change the pixels of pictures and their alpha. */
#include "nodes/image_filter.h"

#include <string.h>

#include "engine/imaging/blend.h"
#include "engine/imaging/filter.h"
#include "engine/sampling/noise.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* ---- Canny ------------------------------------------------------------------------------- */

typedef struct CannyIn {
    const Tensor *image;
    double low_threshold, high_threshold;
} CannyIn;

/* clang-format off */
static const Socket canny_in[] = {
    { ROW(CannyIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(CannyIn, low_threshold, SOCK_FLOAT), .def = 0.4, .min = 0.01, .max = 0.99, .step = 0.01, .doc = "Edges that touch a strong one count from here on." },
    { ROW(CannyIn, high_threshold, SOCK_FLOAT), .def = 0.8, .min = 0.01, .max = 0.99, .step = 0.01, .doc = "Edges count from here on." },
    END_ROWS
};
/* clang-format on */

static Status canny_run(NodeCall *call)
{
    const CannyIn *in = call->in;
    ImageOut *out = call->out;
    return image_canny(in->image, in->low_threshold, in->high_threshold, &out->image, NULL,
                       call->err);
}

static const NodeDef canny_node = {
    .class_type = "Canny",
    .category = "image/preprocessors",
    .doc = "Finds edges; the hint picture of edge-guided models.",
    .inputs = canny_in,
    .outputs = image_out,
    .in_size = sizeof(CannyIn),
    .out_size = sizeof(ImageOut),
    .run = canny_run,
};

/* ---- ImageBlur --------------------------------------------------------------------------- */

typedef struct BlurIn {
    const Tensor *image;
    int64_t blur_radius;
    double sigma;
} BlurIn;

/* clang-format off */
static const Socket blur_in[] = {
    { ROW(BlurIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(BlurIn, blur_radius, SOCK_INT), .def = 1, .min = 1, .max = 31, .step = 1, .doc = "Pixels on each side." },
    { ROW(BlurIn, sigma, SOCK_FLOAT), .def = 1, .min = 0.1, .max = 10, .step = 0.1, .doc = "Spread of the Gaussian, relative to the radius." },
    END_ROWS
};
/* clang-format on */

static Status blur_run(NodeCall *call)
{
    const BlurIn *in = call->in;
    ImageOut *out = call->out;
    return image_blur(in->image, in->blur_radius, in->sigma, &out->image, call->err);
}

static const NodeDef blur_node = {
    .class_type = "ImageBlur",
    .category = "image/postprocessing",
    .doc = "Smooths pictures with a Gaussian.",
    .inputs = blur_in,
    .outputs = image_out,
    .in_size = sizeof(BlurIn),
    .out_size = sizeof(ImageOut),
    .run = blur_run,
};

/* ---- ImageSharpen ------------------------------------------------------------------------ */

typedef struct SharpenIn {
    const Tensor *image;
    int64_t sharpen_radius;
    double sigma, alpha;
} SharpenIn;

/* clang-format off */
static const Socket sharpen_in[] = {
    { ROW(SharpenIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(SharpenIn, sharpen_radius, SOCK_INT), .def = 1, .min = 1, .max = 31, .step = 1, .doc = "Pixels on each side." },
    { ROW(SharpenIn, sigma, SOCK_FLOAT), .def = 1, .min = 0.1, .max = 10, .step = 0.01, .doc = "Spread of the Gaussian, relative to the radius." },
    { ROW(SharpenIn, alpha, SOCK_FLOAT), .def = 1, .max = 5, .step = 0.01, .doc = "Strength." },
    END_ROWS
};
/* clang-format on */

static Status sharpen_run(NodeCall *call)
{
    const SharpenIn *in = call->in;
    ImageOut *out = call->out;
    return image_sharpen(in->image, in->sharpen_radius, in->sigma, in->alpha, &out->image,
                         call->err);
}

static const NodeDef sharpen_node = {
    .class_type = "ImageSharpen",
    .category = "image/postprocessing",
    .doc = "Sharpens pictures with an unsharp mask.",
    .inputs = sharpen_in,
    .outputs = image_out,
    .in_size = sizeof(SharpenIn),
    .out_size = sizeof(ImageOut),
    .run = sharpen_run,
};

/* ---- ImageBlend -------------------------------------------------------------------------- */

static const char *const blend_blend_modes[] = { "normal",  "multiply",   "screen",
                                                 "overlay", "soft_light", "difference",
                                                 NULL };

typedef struct BlendIn {
    const Tensor *image1, *image2;
    double blend_factor;
    const char *blend_mode;
} BlendIn;

/* clang-format off */
static const Socket blend_in[] = {
    { ROW(BlendIn, image1, SOCK_IMAGE), .doc = "Picture below; it gives the size." },
    { ROW(BlendIn, image2, SOCK_IMAGE), .doc = "Picture above." },
    { ROW(BlendIn, blend_factor, SOCK_FLOAT), .def = 0.5, .max = 1, .step = 0.01, .doc = "Share of the mixture." },
    { ROW(BlendIn, blend_mode, SOCK_COMBO), .options = blend_blend_modes, .doc = "How two pixels are mixed." },
    END_ROWS
};
/* clang-format on */

static Status blend_run(NodeCall *call)
{
    const BlendIn *in = call->in;
    ImageOut *out = call->out;
    return image_blend(in->image1, in->image2, in->blend_factor, in->blend_mode, &out->image,
                       call->err);
}

static const NodeDef blend_node = {
    .class_type = "ImageBlend",
    .category = "image/postprocessing",
    .doc = "Mixes two pictures by one of six modes.",
    .inputs = blend_in,
    .outputs = image_out,
    .in_size = sizeof(BlendIn),
    .out_size = sizeof(ImageOut),
    .run = blend_run,
};

/* ---- Morphology -------------------------------------------------------------------------- */

static const char *const morphology_operations[] = { "erode",   "dilate",   "open",
                                                     "close",   "gradient", "bottom_hat",
                                                     "top_hat", NULL };

typedef struct MorphologyIn {
    const Tensor *image;
    const char *operation;
    int64_t kernel_size;
} MorphologyIn;

/* clang-format off */
static const Socket morphology_in[] = {
    { ROW(MorphologyIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(MorphologyIn, operation, SOCK_COMBO), .options = morphology_operations, .doc = "What is done." },
    { ROW(MorphologyIn, kernel_size, SOCK_INT), .def = 3, .min = 3, .max = 999, .step = 1, .doc = "Side of the box in pixels." },
    END_ROWS
};
/* clang-format on */

static Status morphology_run(NodeCall *call)
{
    const MorphologyIn *in = call->in;
    ImageOut *out = call->out;
    MorphOp op = MORPH_ERODE;

    morph_op_from_name(in->operation, &op);
    return image_morphology(in->image, op, in->kernel_size, &out->image, call->err);
}

static const NodeDef morphology_node = {
    .class_type = "Morphology",
    .display = "ImageMorphology",
    .category = "image/postprocessing",
    .doc = "Grows or shrinks bright areas, or shows what that changes.",
    .inputs = morphology_in,
    .outputs = image_out,
    .in_size = sizeof(MorphologyIn),
    .out_size = sizeof(ImageOut),
    .run = morphology_run,
};

/* ---- ImageAddNoise ----------------------------------------------------------------------- */

typedef struct AddNoiseIn {
    const Tensor *image;
    uint64_t seed;
    double strength;
} AddNoiseIn;

/* clang-format off */
static const Socket add_noise_in[] = {
    { ROW(AddNoiseIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(AddNoiseIn, seed, SOCK_INT), .max = 18446744073709551615.0, .flags = SOCK_F_U64 | SOCK_F_CONTROL, .doc = "Seed of the random stream." },
    { ROW(AddNoiseIn, strength, SOCK_FLOAT), .def = 0.5, .max = 1, .step = 0.01, .doc = "Standard deviation of the noise." },
    END_ROWS
};
/* clang-format on */

static Status add_noise_run(NodeCall *call)
{
    const AddNoiseIn *in = call->in;
    ImageOut *out = call->out;
    Rng rng;
    float strength = (float)in->strength;

    TRY(tensor_new(K_F32, 4, in->image->shape, &out->image, call->err));
    rng_init(&rng, in->seed);
    rng_normal(&rng, tensor_f32(out->image), tensor_count(out->image));
    for (int64_t i = 0; i < tensor_count(out->image); i++) {
        float v = tensor_f32(in->image)[i] + strength * tensor_f32(out->image)[i];
        tensor_f32(out->image)[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    return OK;
}

static const NodeDef add_noise_node = {
    .class_type = "ImageAddNoise",
    .category = "image",
    .doc = "Adds Gaussian noise of a seed, the same numbers as ComfyUI draws on the CPU.",
    .inputs = add_noise_in,
    .outputs = image_out,
    .in_size = sizeof(AddNoiseIn),
    .out_size = sizeof(ImageOut),
    .run = add_noise_run,
};

/* ---- ImageCompositeMasked ---------------------------------------------------------------- */

typedef struct PasteIn {
    const Tensor *destination, *source, *mask;
    int64_t x, y;
    bool resize_source;
} PasteIn;

/* clang-format off */
static const Socket paste_in[] = {
    { ROW(PasteIn, destination, SOCK_IMAGE), .doc = "Picture that is pasted onto." },
    { ROW(PasteIn, source, SOCK_IMAGE), .doc = "Picture that is pasted." },
    { ROW(PasteIn, x, SOCK_INT), .max = 16384, .step = 1, .doc = "Left edge in pixels." },
    { ROW(PasteIn, y, SOCK_INT), .max = 16384, .step = 1, .doc = "Top edge in pixels." },
    { ROW(PasteIn, resize_source, SOCK_BOOLEAN), .doc = "Stretch the source to the destination first." },
    { ROW(PasteIn, mask, SOCK_MASK), .flags = SOCK_F_OPTIONAL, .doc = "1 where the source shows; without it everywhere." },
    END_ROWS
};
/* clang-format on */

static Status paste_run(NodeCall *call)
{
    const PasteIn *in = call->in;
    ImageOut *out = call->out;
    Paste paste = { .destination = in->destination,
                    .source = in->source,
                    .mask = in->mask,
                    .x = in->x,
                    .y = in->y,
                    .resize_source = in->resize_source };

    return image_paste(&paste, &out->image, call->err);
}

static const NodeDef paste_node = {
    .class_type = "ImageCompositeMasked",
    .category = "image",
    .doc = "Pastes a picture onto another.",
    .inputs = paste_in,
    .outputs = image_out,
    .in_size = sizeof(PasteIn),
    .out_size = sizeof(ImageOut),
    .run = paste_run,
};

/* ---- JoinImageWithAlpha ------------------------------------------------------------------ */

typedef struct JoinIn {
    const Tensor *image, *alpha;
} JoinIn;

/* clang-format off */
static const Socket join_in[] = {
    { ROW(JoinIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    { ROW(JoinIn, alpha, SOCK_MASK), .doc = "Mask, 1 = transparent." },
    END_ROWS
};
/* clang-format on */

static Status join_run(NodeCall *call)
{
    const JoinIn *in = call->in;
    ImageOut *out = call->out;
    return image_join_alpha(in->image, in->alpha, &out->image, call->err);
}

static const NodeDef join_node = {
    .class_type = "JoinImageWithAlpha",
    .display = "Join Image with Alpha",
    .category = "mask/compositing",
    .doc = "Gives pictures an alpha channel: 1 - mask.",
    .inputs = join_in,
    .outputs = image_out,
    .in_size = sizeof(JoinIn),
    .out_size = sizeof(ImageOut),
    .run = join_run,
};

/* ---- SplitImageWithAlpha ----------------------------------------------------------------- */

typedef struct SplitIn {
    const Tensor *image;
} SplitIn;

/* clang-format off */
static const Socket split_in[] = {
    { ROW(SplitIn, image, SOCK_IMAGE), .doc = "Picture to read." },
    END_ROWS
};
/* clang-format on */

static Status split_run(NodeCall *call)
{
    const SplitIn *in = call->in;
    ImageMaskOut *out = call->out;
    return image_split_alpha(in->image, &out->image, &out->mask, call->err);
}

static const NodeDef split_node = {
    .class_type = "SplitImageWithAlpha",
    .display = "Split Image with Alpha",
    .category = "mask/compositing",
    .doc = "Takes the alpha channel off: colour, and 1 - alpha as a mask.",
    .inputs = split_in,
    .outputs = image_mask_out,
    .in_size = sizeof(SplitIn),
    .out_size = sizeof(ImageMaskOut),
    .run = split_run,
};

/* ---- PorterDuffImageComposite ------------------------------------------------------------ */

typedef struct PorterIn {
    const Tensor *source, *source_alpha, *destination, *destination_alpha;
    const char *mode;
} PorterIn;

/* clang-format off */
static const Socket porter_in[] = {
    { ROW(PorterIn, source, SOCK_IMAGE), .doc = "Picture above." },
    { ROW(PorterIn, source_alpha, SOCK_MASK), .doc = "Its mask, 1 = transparent." },
    { ROW(PorterIn, destination, SOCK_IMAGE), .doc = "Picture below; it gives the size." },
    { ROW(PorterIn, destination_alpha, SOCK_MASK), .doc = "Its mask, 1 = transparent." },
    { ROW(PorterIn, mode, SOCK_COMBO), .options = porter_duff_modes, .sdef = "DST", .doc = "Operator." },
    END_ROWS
};
/* clang-format on */

static Status porter_run(NodeCall *call)
{
    const PorterIn *in = call->in;
    ImageMaskOut *out = call->out;
    PorterDuff p = { .source = in->source,
                     .source_mask = in->source_alpha,
                     .destination = in->destination,
                     .destination_mask = in->destination_alpha,
                     .mode = in->mode };

    return image_porter_duff(&p, &out->image, &out->mask, call->err);
}

static const NodeDef porter_node = {
    .class_type = "PorterDuffImageComposite",
    .display = "Porter-Duff Image Composite (V1)",
    .category = "mask/compositing",
    .doc = "Lays a picture with alpha onto another by a Porter-Duff operator.",
    .inputs = porter_in,
    .outputs = image_mask_out,
    .in_size = sizeof(PorterIn),
    .out_size = sizeof(ImageMaskOut),
    .run = porter_run,
};

/* ---- ImageRGBToYUV ----------------------------------------------------------------------- */

typedef struct ToYuvOut {
    Tensor *y;
    Tensor *u;
    Tensor *v;
} ToYuvOut;

/* clang-format off */
static const Socket to_yuv_out[] = {
    OUT(ToYuvOut, y, "Y", SOCK_IMAGE),
    OUT(ToYuvOut, u, "U", SOCK_IMAGE),
    OUT(ToYuvOut, v, "V", SOCK_IMAGE),
    END_ROWS
};
/* clang-format on */

static Status to_yuv_run(NodeCall *call)
{
    const SplitIn *in = call->in;
    ToYuvOut *out = call->out;
    Tensor *parts[3] = { NULL };

    TRY(image_to_yuv(in->image, parts, call->err));
    out->y = parts[0];
    out->u = parts[1];
    out->v = parts[2];
    return OK;
}

static const NodeDef to_yuv_node = {
    .class_type = "ImageRGBToYUV",
    .category = "image/batch",
    .doc = "Brightness and two colour differences, each as a grey picture.",
    .inputs = split_in,
    .outputs = to_yuv_out,
    .in_size = sizeof(SplitIn),
    .out_size = sizeof(ToYuvOut),
    .run = to_yuv_run,
};

/* ---- ImageYUVToRGB ----------------------------------------------------------------------- */

typedef struct FromYuvIn {
    const Tensor *Y, *U, *V;
} FromYuvIn;

/* clang-format off */
static const Socket from_yuv_in[] = {
    { ROW(FromYuvIn, Y, SOCK_IMAGE), .doc = "Brightness." },
    { ROW(FromYuvIn, U, SOCK_IMAGE), .doc = "Blue difference." },
    { ROW(FromYuvIn, V, SOCK_IMAGE), .doc = "Red difference." },
    END_ROWS
};
/* clang-format on */

static Status from_yuv_run(NodeCall *call)
{
    const FromYuvIn *in = call->in;
    ImageOut *out = call->out;
    const Tensor *const parts[] = { in->Y, in->U, in->V };

    return image_from_yuv(parts, &out->image, call->err);
}

static const NodeDef from_yuv_node = {
    .class_type = "ImageYUVToRGB",
    .category = "image/batch",
    .doc = "Pictures from brightness and two colour differences.",
    .inputs = from_yuv_in,
    .outputs = image_out,
    .in_size = sizeof(FromYuvIn),
    .out_size = sizeof(ImageOut),
    .run = from_yuv_run,
};

/* clang-format off */
const NodeDef *const image_filter_nodes[] = {
    &canny_node,
    &blur_node,
    &sharpen_node,
    &blend_node,
    &morphology_node,
    &add_noise_node,
    &paste_node,
    &join_node,
    &split_node,
    &porter_node,
    &to_yuv_node,
    &from_yuv_node,
    NULL,
};
/* clang-format on */
