/* pack_kj.c - node types of the KJNodes pack that only hand values on, count or mirror them. */
#include "nodes/pack_kj.h"

#include <math.h>

#include "engine/base/str.h"
#include "engine/imaging/arrange.h"
#include "engine/models/model.h"
#include "engine/sampling/cond.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* ---- INTConstant ------------------------------------------------------------------------- */

typedef struct IntConstantIn {
    int64_t value;
} IntConstantIn;

/* clang-format off */
static const Socket int_constant_in[] = {
    { ROW(IntConstantIn, value, SOCK_INT), .min = -18446744073709551615.0, .max = 18446744073709551615.0, .doc = "The value." },
    END_ROWS
};
/* clang-format on */

typedef struct IntValueOut {
    int64_t value;
} IntValueOut;

/* clang-format off */
static const Socket int_value_out[] = {
    OUT(IntValueOut, value, "value", SOCK_INT),
    END_ROWS
};
/* clang-format on */

static Status int_constant_run(NodeCall *call)
{
    const IntConstantIn *in = call->in;
    IntValueOut *out = call->out;
    out->value = in->value;
    return OK;
}

static const NodeDef int_constant_node = {
    .class_type = "INTConstant",
    .display = "INT Constant",
    .category = "KJNodes/constants",
    .doc = "A whole number for several inputs.",
    .inputs = int_constant_in,
    .outputs = int_value_out,
    .in_size = sizeof(IntConstantIn),
    .out_size = sizeof(IntValueOut),
    .run = int_constant_run,
};

/* ---- FloatConstant ----------------------------------------------------------------------- */

typedef struct FloatConstantIn {
    double value;
} FloatConstantIn;

/* clang-format off */
static const Socket float_constant_in[] = {
    { ROW(FloatConstantIn, value, SOCK_FLOAT), .min = -18446744073709551615.0, .max = 18446744073709551615.0, .step = 1e-05, .doc = "The value." },
    END_ROWS
};
/* clang-format on */

typedef struct FloatValueOut {
    double value;
} FloatValueOut;

/* clang-format off */
static const Socket float_value_out[] = {
    OUT(FloatValueOut, value, "value", SOCK_FLOAT),
    END_ROWS
};
/* clang-format on */

static Status float_constant_run(NodeCall *call)
{
    const FloatConstantIn *in = call->in;
    FloatValueOut *out = call->out;
    out->value = in->value;
    return OK;
}

static const NodeDef float_constant_node = {
    .class_type = "FloatConstant",
    .display = "Float Constant",
    .category = "KJNodes/constants",
    .doc = "A number for several inputs.",
    .inputs = float_constant_in,
    .outputs = float_value_out,
    .in_size = sizeof(FloatConstantIn),
    .out_size = sizeof(FloatValueOut),
    .run = float_constant_run,
};

/* ---- BOOLConstant ------------------------------------------------------------------------ */

typedef struct BoolConstantIn {
    bool value;
} BoolConstantIn;

/* clang-format off */
static const Socket bool_constant_in[] = {
    { ROW(BoolConstantIn, value, SOCK_BOOLEAN), .def = 1, .doc = "The value." },
    END_ROWS
};
/* clang-format on */

typedef struct BoolValueOut {
    bool value;
} BoolValueOut;

/* clang-format off */
static const Socket bool_value_out[] = {
    OUT(BoolValueOut, value, "value", SOCK_BOOLEAN),
    END_ROWS
};
/* clang-format on */

static Status bool_constant_run(NodeCall *call)
{
    const BoolConstantIn *in = call->in;
    BoolValueOut *out = call->out;
    out->value = in->value;
    return OK;
}

static const NodeDef bool_constant_node = {
    .class_type = "BOOLConstant",
    .display = "BOOL Constant",
    .category = "KJNodes/constants",
    .doc = "A yes or no for several inputs.",
    .inputs = bool_constant_in,
    .outputs = bool_value_out,
    .in_size = sizeof(BoolConstantIn),
    .out_size = sizeof(BoolValueOut),
    .run = bool_constant_run,
};

/* ---- StringConstant ---------------------------------------------------------------------- */

typedef struct StringConstantIn {
    const char *string;
} StringConstantIn;

/* clang-format off */
static const Socket string_constant_in[] = {
    { ROW(StringConstantIn, string, SOCK_STRING), .doc = "The text." },
    END_ROWS
};
/* clang-format on */

static Status finish(Str *s, char **out, Error *err)
{
    *out = str_take(s);
    return *out ? OK : error_set(err, E_NOMEM, "no memory for a text");
}

static Status string_constant_run(NodeCall *call)
{
    const StringConstantIn *in = call->in;
    StringOut *out = call->out;
    Str s = { 0 };

    str_add(&s, in->string);
    return finish(&s, &out->text, call->err);
}

static const NodeDef string_constant_node = {
    .class_type = "StringConstant",
    .display = "String Constant",
    .category = "KJNodes/constants",
    .doc = "A text for several inputs.",
    .inputs = string_constant_in,
    .outputs = string_out,
    .in_size = sizeof(StringConstantIn),
    .out_size = sizeof(StringOut),
    .run = string_constant_run,
};

/* ---- JoinStrings ------------------------------------------------------------------------- */

typedef struct JoinIn {
    const char *delimiter, *string1, *string2;
} JoinIn;

/* clang-format off */
static const Socket join_in[] = {
    { ROW(JoinIn, delimiter, SOCK_STRING), .sdef = " ", .doc = "Text between them." },
    { ROW(JoinIn, string1, SOCK_STRING), .flags = SOCK_F_OPTIONAL | SOCK_F_FORCE_INPUT, .doc = "First text." },
    { ROW(JoinIn, string2, SOCK_STRING), .flags = SOCK_F_OPTIONAL | SOCK_F_FORCE_INPUT, .doc = "Second text." },
    END_ROWS
};
/* clang-format on */

static Status join_run(NodeCall *call)
{
    const JoinIn *in = call->in;
    StringOut *out = call->out;
    Str s = { 0 };

    str_add(&s, in->string1 ? in->string1 : "");
    str_add(&s, in->delimiter);
    str_add(&s, in->string2 ? in->string2 : "");
    return finish(&s, &out->text, call->err);
}

static const NodeDef join_node = {
    .class_type = "JoinStrings",
    .display = "Join Strings",
    .category = "KJNodes/text",
    .doc = "Joins two texts.",
    .inputs = join_in,
    .outputs = string_out,
    .in_size = sizeof(JoinIn),
    .out_size = sizeof(StringOut),
    .run = join_run,
};

/* ---- GetImageSizeAndCount ---------------------------------------------------------------- */

typedef struct ImageSizeIn {
    const Tensor *image;
} ImageSizeIn;

/* clang-format off */
static const Socket image_size_in[] = {
    { ROW(ImageSizeIn, image, SOCK_IMAGE), .doc = "Pictures to look at." },
    END_ROWS
};
/* clang-format on */

typedef struct ImageSizeOut {
    Tensor *image;
    int64_t width;
    int64_t height;
    int64_t count;
} ImageSizeOut;

/* clang-format off */
static const Socket image_size_out[] = {
    OUT(ImageSizeOut, image, "image", SOCK_IMAGE),
    OUT(ImageSizeOut, width, "width", SOCK_INT),
    OUT(ImageSizeOut, height, "height", SOCK_INT),
    OUT(ImageSizeOut, count, "count", SOCK_INT),
    END_ROWS
};
/* clang-format on */

static Status image_size_run(NodeCall *call)
{
    const ImageSizeIn *in = call->in;
    ImageSizeOut *out = call->out;
    out->image = tensor_ref(in->image);
    out->width = in->image->shape[2];
    out->height = in->image->shape[1];
    out->count = in->image->shape[0];
    return OK;
}

static const NodeDef image_size_node = {
    .class_type = "GetImageSizeAndCount",
    .display = "Get Image Size & Count",
    .category = "KJNodes/image",
    .doc = "Hands pictures on with their width, height and number.",
    .inputs = image_size_in,
    .outputs = image_size_out,
    .in_size = sizeof(ImageSizeIn),
    .out_size = sizeof(ImageSizeOut),
    .run = image_size_run,
};

/* ---- GetMaskSizeAndCount ----------------------------------------------------------------- */

typedef struct MaskSizeIn {
    const Tensor *mask;
} MaskSizeIn;

/* clang-format off */
static const Socket mask_size_in[] = {
    { ROW(MaskSizeIn, mask, SOCK_MASK), .doc = "Masks to look at." },
    END_ROWS
};
/* clang-format on */

typedef struct MaskSizeOut {
    Tensor *mask;
    int64_t width;
    int64_t height;
    int64_t count;
} MaskSizeOut;

/* clang-format off */
static const Socket mask_size_out[] = {
    OUT(MaskSizeOut, mask, "mask", SOCK_MASK),
    OUT(MaskSizeOut, width, "width", SOCK_INT),
    OUT(MaskSizeOut, height, "height", SOCK_INT),
    OUT(MaskSizeOut, count, "count", SOCK_INT),
    END_ROWS
};
/* clang-format on */

static Status mask_size_run(NodeCall *call)
{
    const MaskSizeIn *in = call->in;
    MaskSizeOut *out = call->out;
    out->mask = tensor_ref(in->mask);
    out->width = in->mask->shape[2];
    out->height = in->mask->shape[1];
    out->count = in->mask->shape[0];
    return OK;
}

static const NodeDef mask_size_node = {
    .class_type = "GetMaskSizeAndCount",
    .display = "Get Mask Size & Count",
    .category = "KJNodes/masking",
    .doc = "Hands masks on with their width, height and number.",
    .inputs = mask_size_in,
    .outputs = mask_size_out,
    .in_size = sizeof(MaskSizeIn),
    .out_size = sizeof(MaskSizeOut),
    .run = mask_size_run,
};

/* ---- ReverseImageBatch ------------------------------------------------------------------- */

typedef struct ReverseIn {
    const Tensor *images;
} ReverseIn;

/* clang-format off */
static const Socket reverse_in[] = {
    { ROW(ReverseIn, images, SOCK_IMAGE), .doc = "Pictures to read." },
    END_ROWS
};
/* clang-format on */

static Status reverse_run(NodeCall *call)
{
    const ReverseIn *in = call->in;
    ImageOut *out = call->out;
    return tensor_flip(in->images, 0, &out->image, call->err);
}

static const NodeDef reverse_node = {
    .class_type = "ReverseImageBatch",
    .display = "Reverse Image Batch",
    .category = "KJNodes/image",
    .doc = "Reverses the order of pictures.",
    .inputs = reverse_in,
    .outputs = image_out,
    .in_size = sizeof(ReverseIn),
    .out_size = sizeof(ImageOut),
    .run = reverse_run,
};

/* ---- ImageNormalize_Neg1_To_1 ------------------------------------------------------------ */

static Status normalise_run(NodeCall *call)
{
    const ReverseIn *in = call->in;
    ImageOut *out = call->out;
    TRY(tensor_clone(in->images, &out->image, call->err));
    for (int64_t i = 0; i < tensor_count(out->image); i++)
        tensor_f32(out->image)[i] = tensor_f32(out->image)[i] * 2 - 1;
    return OK;
}

static const NodeDef normalise_node = {
    .class_type = "ImageNormalize_Neg1_To_1",
    .display = "Image Normalize -1 to 1",
    .category = "KJNodes/image",
    .doc = "Maps pictures from 0..1 to -1..1.",
    .inputs = reverse_in,
    .outputs = image_out,
    .in_size = sizeof(ReverseIn),
    .out_size = sizeof(ImageOut),
    .run = normalise_run,
};

/* ---- RoundMask --------------------------------------------------------------------------- */

/* clang-format off */
static const Socket round_in[] = {
    { ROW(MaskSizeIn, mask, SOCK_MASK), .doc = "Mask to read." },
    END_ROWS
};
/* clang-format on */

static Status round_run(NodeCall *call)
{
    const MaskSizeIn *in = call->in;
    MaskOut *out = call->out;
    TRY(tensor_clone(in->mask, &out->mask, call->err));
    for (int64_t i = 0; i < tensor_count(out->mask); i++)
        tensor_f32(out->mask)[i] = rintf(tensor_f32(out->mask)[i]);
    return OK;
}

static const NodeDef round_node = {
    .class_type = "RoundMask",
    .display = "Round Mask",
    .category = "KJNodes/masking",
    .doc = "Makes a mask hard: each value to the nearer of 0 and 1.",
    .inputs = round_in,
    .outputs = mask_out,
    .in_size = sizeof(MaskSizeIn),
    .out_size = sizeof(MaskOut),
    .run = round_run,
};

/* ---- ImagePass --------------------------------------------------------------------------- */

/* clang-format off */
static const Socket image_pass_in[] = {
    { ROW(ImageSizeIn, image, SOCK_IMAGE), .flags = SOCK_F_OPTIONAL, .doc = "Pictures to look at." },
    END_ROWS
};
/* clang-format on */

static Status image_pass_run(NodeCall *call)
{
    const ImageSizeIn *in = call->in;
    ImageOut *out = call->out;
    out->image = tensor_ref(in->image);
    return OK;
}

static const NodeDef image_pass_node = {
    .class_type = "ImagePass",
    .category = "KJNodes/image",
    .doc = "Hands pictures on.",
    .inputs = image_pass_in,
    .outputs = image_out,
    .in_size = sizeof(ImageSizeIn),
    .out_size = sizeof(ImageOut),
    .run = image_pass_run,
};

/* ---- ModelPassThrough -------------------------------------------------------------------- */

typedef struct ModelPassIn {
    const Model *model;
} ModelPassIn;

/* clang-format off */
static const Socket model_pass_in[] = {
    { ROW(ModelPassIn, model, SOCK_MODEL), .flags = SOCK_F_OPTIONAL, .doc = "Model to hand on." },
    END_ROWS
};
/* clang-format on */

typedef struct ModelPassOut {
    Model *model;
} ModelPassOut;

/* clang-format off */
static const Socket model_pass_out[] = {
    OUT(ModelPassOut, model, "model", SOCK_MODEL),
    END_ROWS
};
/* clang-format on */

static Status model_pass_run(NodeCall *call)
{
    const ModelPassIn *in = call->in;
    ModelPassOut *out = call->out;
    out->model = model_ref(in->model);
    return OK;
}

static const NodeDef model_pass_node = {
    .class_type = "ModelPassThrough",
    .display = "ModelPass",
    .category = "KJNodes/misc",
    .doc = "Hands a model on.",
    .inputs = model_pass_in,
    .outputs = model_pass_out,
    .in_size = sizeof(ModelPassIn),
    .out_size = sizeof(ModelPassOut),
    .run = model_pass_run,
};

/* ---- CondPassThrough --------------------------------------------------------------------- */

typedef struct CondPassIn {
    const Cond *positive, *negative;
} CondPassIn;

/* clang-format off */
static const Socket cond_pass_in[] = {
    { ROW(CondPassIn, positive, SOCK_COND), .flags = SOCK_F_OPTIONAL, .doc = "First prompt." },
    { ROW(CondPassIn, negative, SOCK_COND), .flags = SOCK_F_OPTIONAL, .doc = "Second prompt." },
    END_ROWS
};
/* clang-format on */

typedef struct CondPassOut {
    Cond *positive;
    Cond *negative;
} CondPassOut;

/* clang-format off */
static const Socket cond_pass_out[] = {
    OUT(CondPassOut, positive, "positive", SOCK_COND),
    OUT(CondPassOut, negative, "negative", SOCK_COND),
    END_ROWS
};
/* clang-format on */

static Status cond_pass_run(NodeCall *call)
{
    const CondPassIn *in = call->in;
    CondPassOut *out = call->out;
    out->positive = cond_ref(in->positive);
    out->negative = cond_ref(in->negative);
    return OK;
}

static const NodeDef cond_pass_node = {
    .class_type = "CondPassThrough",
    .category = "KJNodes/misc",
    .doc = "Hands two prompts on.",
    .inputs = cond_pass_in,
    .outputs = cond_pass_out,
    .in_size = sizeof(CondPassIn),
    .out_size = sizeof(CondPassOut),
    .run = cond_pass_run,
};

/* ---- LazySwitchKJ ------------------------------------------------------------------------ */

typedef struct LazyIn {
    bool condition;
    Value on_false, on_true;
} LazyIn;

/* clang-format off */
static const Socket lazy_in[] = {
    { .name = "switch", .type = SOCK_BOOLEAN, .at = offsetof(LazyIn, condition), .doc = "Which one." },
    { ROW(LazyIn, on_false, SOCK_ANY), .flags = SOCK_F_LAZY, .doc = "Value when it is off." },
    { ROW(LazyIn, on_true, SOCK_ANY), .flags = SOCK_F_LAZY, .doc = "Value when it is on." },
    END_ROWS
};
/* clang-format on */

typedef struct LazyOut {
    Value value;
} LazyOut;

/* clang-format off */
static const Socket lazy_out[] = {
    OUT(LazyOut, value, "*", SOCK_ANY),
    END_ROWS
};
/* clang-format on */

/* Bit i is row i: 1 = on_false, 2 = on_true. */
static Status lazy_choice(const void *data, uint64_t known, uint64_t *needed, Error *err)
{
    const LazyIn *in = data;

    (void)known;
    (void)err;
    *needed = UINT64_C(1) << (in->condition ? 2 : 1);
    return OK;
}

static Status lazy_run(NodeCall *call)
{
    const LazyIn *in = call->in;
    LazyOut *out = call->out;
    return value_copy(in->condition ? &in->on_true : &in->on_false, &out->value, call->err);
}

static const NodeDef lazy_node = {
    .class_type = "LazySwitchKJ",
    .display = "Lazy Switch KJ",
    .category = "KJNodes/misc",
    .doc = "Hands one of two values on; the other one is not computed.",
    .inputs = lazy_in,
    .outputs = lazy_out,
    .in_size = sizeof(LazyIn),
    .out_size = sizeof(LazyOut),
    .run = lazy_run,
    .lazy = lazy_choice,
};

/* ---- DummyOut ---------------------------------------------------------------------------- */

typedef struct DummyIn {
    Value any_input;
} DummyIn;

/* clang-format off */
static const Socket dummy_in[] = {
    { ROW(DummyIn, any_input, SOCK_ANY), .doc = "Any value." },
    END_ROWS
};
/* clang-format on */

static Status dummy_run(NodeCall *call)
{
    const DummyIn *in = call->in;
    LazyOut *out = call->out;
    return value_copy(&in->any_input, &out->value, call->err);
}

static const NodeDef dummy_node = {
    .class_type = "DummyOut",
    .display = "Dummy Out",
    .category = "KJNodes/misc",
    .doc = "An end for values that nobody else wants.",
    .inputs = dummy_in,
    .outputs = lazy_out,
    .in_size = sizeof(DummyIn),
    .out_size = sizeof(LazyOut),
    .flags = NODE_F_OUTPUT,
    .run = dummy_run,
};

/* ---- ConditioningSetMaskAndCombine ------------------------------------------------------- */

static const char *const mask_combine_set_cond_areas[] = { "default", "mask bounds", NULL };

typedef struct MaskCombineIn {
    const Cond *positive_1, *negative_1, *positive_2, *negative_2;
    const Tensor *mask_1, *mask_2;
    double mask_1_strength, mask_2_strength;
    const char *set_cond_area;
} MaskCombineIn;

/* clang-format off */
static const Socket mask_combine_in[] = {
    { ROW(MaskCombineIn, positive_1, SOCK_COND), .doc = "First prompt to follow." },
    { ROW(MaskCombineIn, negative_1, SOCK_COND), .doc = "First prompt to move away from." },
    { ROW(MaskCombineIn, positive_2, SOCK_COND), .doc = "Second prompt to follow." },
    { ROW(MaskCombineIn, negative_2, SOCK_COND), .doc = "Second prompt to move away from." },
    { ROW(MaskCombineIn, mask_1, SOCK_MASK), .doc = "Where the first pair counts." },
    { ROW(MaskCombineIn, mask_2, SOCK_MASK), .doc = "Where the second pair counts." },
    { ROW(MaskCombineIn, mask_1_strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .doc = "Weight of the first pair." },
    { ROW(MaskCombineIn, mask_2_strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .doc = "Weight of the second pair." },
    { ROW(MaskCombineIn, set_cond_area, SOCK_COMBO), .options = mask_combine_set_cond_areas, .doc = "Compute the whole picture, or the masks' boxes alone." },
    END_ROWS
};
/* clang-format on */

typedef struct MaskCombineOut {
    Cond *combined_positive;
    Cond *combined_negative;
} MaskCombineOut;

/* clang-format off */
static const Socket mask_combine_out[] = {
    OUT(MaskCombineOut, combined_positive, "combined_positive", SOCK_COND),
    OUT(MaskCombineOut, combined_negative, "combined_negative", SOCK_COND),
    END_ROWS
};
/* clang-format on */

static Status mask_pair(const Cond *a, const Cond *b, const MaskCombineIn *in, bool bounds,
                        Cond **out, Error *err)
{
    Cond *first = NULL, *second = NULL;
    Status status = OK;

    TRY_DONE(cond_copy(a, &first, err));
    TRY_DONE(cond_copy(b, &second, err));
    cond_set_mask(first, in->mask_1, in->mask_1_strength, bounds);
    cond_set_mask(second, in->mask_2, in->mask_2_strength, bounds);
    status = cond_combine(first, second, out, err);
done:
    cond_unref(first);
    cond_unref(second);
    return status;
}

static Status mask_combine_run(NodeCall *call)
{
    const MaskCombineIn *in = call->in;
    MaskCombineOut *out = call->out;
    bool bounds = in->set_cond_area[0] == 'm';

    TRY(mask_pair(in->positive_1, in->positive_2, in, bounds, &out->combined_positive,
                  call->err));
    return mask_pair(in->negative_1, in->negative_2, in, bounds, &out->combined_negative,
                     call->err);
}

static const NodeDef mask_combine_node = {
    .class_type = "ConditioningSetMaskAndCombine",
    .category = "KJNodes/masking/conditioning",
    .doc = "Limits two pairs of prompts to masks of their own and combines them.",
    .inputs = mask_combine_in,
    .outputs = mask_combine_out,
    .in_size = sizeof(MaskCombineIn),
    .out_size = sizeof(MaskCombineOut),
    .run = mask_combine_run,
};

/* clang-format off */
const NodeDef *const pack_kj_nodes[] = {
    &int_constant_node,
    &float_constant_node,
    &bool_constant_node,
    &string_constant_node,
    &join_node,
    &image_size_node,
    &mask_size_node,
    &reverse_node,
    &normalise_node,
    &round_node,
    &image_pass_node,
    &model_pass_node,
    &cond_pass_node,
    &lazy_node,
    &dummy_node,
    &mask_combine_node,
    NULL,
};
/* clang-format on */
