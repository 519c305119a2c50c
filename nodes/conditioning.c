/* conditioning.c - node types that make and edit conditionings. */
#include "nodes/conditioning.h"

#include <string.h>

#include "engine/imaging/mask.h"
#include "engine/imaging/resize.h"
#include "engine/sampling/cond.h"
#include "engine/sampling/latent.h"
#include "engine/text/encoder.h"
#include "engine/vae/vae.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

enum { SIDE_MAX = 16384 };

typedef struct CondIn {
    const Cond *conditioning;
} CondIn;

/* clang-format off */
static const Socket cond_in[] = {
    { ROW(CondIn, conditioning, SOCK_COND), .doc = "Embedded prompt; it is copied, not changed." },
    END_ROWS
};
/* clang-format on */

/* ---- CLIPTextEncode, CLIPTextEncodeFlux -------------------------------------------------------------- */

typedef struct EncodeIn {
    const char *text;
    const TextEncoder *clip;
} EncodeIn;

/* clang-format off */
static const Socket encode_in[] = {
    { ROW(EncodeIn, text, SOCK_STRING), .flags = SOCK_F_MULTILINE | SOCK_F_DYNAMIC_PROMPTS, .doc = "Prompt." },
    { ROW(EncodeIn, clip, SOCK_CLIP), .doc = "Text encoder." },
    END_ROWS
};
/* clang-format on */

static Status encode_run(NodeCall *call)
{
    const EncodeIn *in = call->in;
    CondOut *out = call->out;
    return text_encode(in->clip, call->host, in->text, &out->conditioning, call->err);
}

static const NodeDef text_encode_node = {
    .class_type = "CLIPTextEncode",
    .display = "CLIP Text Encode (Prompt)",
    .category = "conditioning",
    .doc = "Embeds a prompt.",
    .inputs = encode_in,
    .outputs = cond_out,
    .in_size = sizeof(EncodeIn),
    .out_size = sizeof(CondOut),
    .run = encode_run,
};

typedef struct EncodeFluxIn {
    const TextEncoder *clip;
    const char *clip_l, *t5xxl;
    double guidance;
} EncodeFluxIn;

/* clang-format off */
static const Socket encode_flux_in[] = {
    { ROW(EncodeFluxIn, clip, SOCK_CLIP), .doc = "Text encoders of FLUX.1." },
    { ROW(EncodeFluxIn, clip_l, SOCK_STRING), .flags = SOCK_F_MULTILINE | SOCK_F_DYNAMIC_PROMPTS, .doc = "Prompt for CLIP-L." },
    { ROW(EncodeFluxIn, t5xxl, SOCK_STRING), .flags = SOCK_F_MULTILINE | SOCK_F_DYNAMIC_PROMPTS, .doc = "Prompt for T5." },
    { ROW(EncodeFluxIn, guidance, SOCK_FLOAT), .def = 3.5, .max = 100, .step = 0.1, .doc = "Distilled guidance, no unit." },
    END_ROWS
};
/* clang-format on */

static Status encode_flux_run(NodeCall *call)
{
    const EncodeFluxIn *in = call->in;
    CondOut *out = call->out;
    TRY(text_encode_flux(in->clip, call->host, in->clip_l, in->t5xxl, &out->conditioning,
                         call->err));
    cond_set_guidance(out->conditioning, in->guidance);
    return OK;
}

static const NodeDef text_encode_flux_node = {
    .class_type = "CLIPTextEncodeFlux",
    .category = "advanced/conditioning/flux",
    .doc = "Embeds separate prompts for the two encoders of FLUX.1.",
    .inputs = encode_flux_in,
    .outputs = cond_out,
    .in_size = sizeof(EncodeFluxIn),
    .out_size = sizeof(CondOut),
    .run = encode_flux_run,
};

/* ---- ConditioningZeroOut ----------------------------------------------------------------------- */

static Status zero_out_run(NodeCall *call)
{
    const CondIn *in = call->in;
    CondOut *out = call->out;
    return cond_zero_out(in->conditioning, &out->conditioning, call->err);
}

static const NodeDef zero_out = {
    .class_type = "ConditioningZeroOut",
    .category = "advanced/conditioning",
    .doc = "Replaces the embedding by zeros; references and guidance stay.",
    .inputs = cond_in,
    .outputs = cond_out,
    .in_size = sizeof(CondIn),
    .out_size = sizeof(CondOut),
    .run = zero_out_run,
};

/* ---- FluxGuidance, FluxDisableGuidance ------------------------------------------------------------ */

typedef struct GuidanceIn {
    const Cond *conditioning;
    double guidance;
} GuidanceIn;

/* clang-format off */
static const Socket guidance_in[] = {
    { ROW(GuidanceIn, conditioning, SOCK_COND), .doc = "Embedded prompt to annotate; it is copied, not changed." },
    { ROW(GuidanceIn, guidance, SOCK_FLOAT), .def = 3.5, .max = 100, .step = 0.1, .doc = "Distilled guidance, no unit." },
    END_ROWS
};
/* clang-format on */

static Status guidance_run(NodeCall *call)
{
    const GuidanceIn *in = call->in;
    CondOut *out = call->out;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_guidance(out->conditioning, in->guidance);
    return OK;
}

static const NodeDef flux_guidance = {
    .class_type = "FluxGuidance",
    .category = "advanced/conditioning/flux",
    .doc = "Sets the guidance scale read by guidance-distilled models.",
    .inputs = guidance_in,
    .outputs = cond_out,
    .in_size = sizeof(GuidanceIn),
    .out_size = sizeof(CondOut),
    .run = guidance_run,
};

static Status disable_guidance_run(NodeCall *call)
{
    const CondIn *in = call->in;
    CondOut *out = call->out;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_disable_guidance(out->conditioning);
    return OK;
}

static const NodeDef flux_disable_guidance = {
    .class_type = "FluxDisableGuidance",
    .category = "advanced/conditioning/flux",
    .doc = "Leaves the guidance term out of guidance-distilled models.",
    .inputs = cond_in,
    .outputs = cond_out,
    .in_size = sizeof(CondIn),
    .out_size = sizeof(CondOut),
    .run = disable_guidance_run,
};

/* ---- ReferenceLatent and its method ---------------------------------------------------------------- */

typedef struct ReferenceIn {
    const Cond *conditioning;
    const Latent *latent;
} ReferenceIn;

/* clang-format off */
static const Socket reference_in[] = {
    { ROW(ReferenceIn, conditioning, SOCK_COND), .doc = "Embedded prompt to annotate; it is copied, not changed." },
    { ROW(ReferenceIn, latent, SOCK_LATENT), .flags = SOCK_F_OPTIONAL, .doc = "Encoded reference picture, appended." },
    END_ROWS
};
/* clang-format on */

static Status reference_run(NodeCall *call)
{
    const ReferenceIn *in = call->in;
    CondOut *out = call->out;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    return in->latent ? cond_append_reference(out->conditioning, in->latent->samples, call->err)
                      : OK;
}

static const NodeDef reference_latent = {
    .class_type = "ReferenceLatent",
    .category = "advanced/conditioning/edit_models",
    .doc = "Gives an edit model a reference picture; several in a chain are numbered in order.",
    .inputs = reference_in,
    .outputs = cond_out,
    .in_size = sizeof(ReferenceIn),
    .out_size = sizeof(CondOut),
    .run = reference_run,
};

typedef struct MethodIn {
    const Cond *conditioning;
    const char *reference_latents_method;
} MethodIn;

static const char *const methods[] = { "offset", "index", "uxo/uno", "index_timestep_zero",
                                       NULL };

/* clang-format off */
static const Socket method_in[] = {
    { ROW(MethodIn, conditioning, SOCK_COND), .doc = "Embedded prompt with references; it is copied, not changed." },
    { ROW(MethodIn, reference_latents_method, SOCK_COMBO), .options = methods,
      .doc = "Where reference tokens lie in position space; index_timestep_zero acts as offset." },
    END_ROWS
};
/* clang-format on */

static Status method_run(NodeCall *call)
{
    const MethodIn *in = call->in;
    CondOut *out = call->out;
    const char *name = in->reference_latents_method;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_method(out->conditioning,
                    ref_method_from_name(strncmp(name, "uxo", 3) == 0 ? "uxo" : name));
    return OK;
}

static const NodeDef reference_method = {
    .class_type = "FluxKontextMultiReferenceLatentMethod",
    .display = "Edit Model Reference Method",
    .category = "advanced/conditioning/flux",
    .doc = "Chooses how reference pictures are placed in position space.",
    .inputs = method_in,
    .outputs = cond_out,
    .in_size = sizeof(MethodIn),
    .out_size = sizeof(CondOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = method_run,
};

/* ---- Average, Combine, Concat ------------------------------------------------------------------------ */

typedef struct AverageIn {
    const Cond *conditioning_to, *conditioning_from;
    double conditioning_to_strength;
} AverageIn;

/* clang-format off */
static const Socket average_in[] = {
    { ROW(AverageIn, conditioning_to, SOCK_COND), .doc = "Embedding that gives length and annotations." },
    { ROW(AverageIn, conditioning_from, SOCK_COND), .doc = "Embedding that is mixed in." },
    { ROW(AverageIn, conditioning_to_strength, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01,
      .doc = "Weight of conditioning_to; the rest goes to conditioning_from." },
    END_ROWS
};
/* clang-format on */

static Status average_run(NodeCall *call)
{
    const AverageIn *in = call->in;
    CondOut *out = call->out;
    return cond_average(in->conditioning_to, in->conditioning_from,
                        in->conditioning_to_strength, &out->conditioning, call->err);
}

static const NodeDef average = {
    .class_type = "ConditioningAverage",
    .category = "conditioning",
    .doc = "Mixes two embeddings token by token.",
    .inputs = average_in,
    .outputs = cond_out,
    .in_size = sizeof(AverageIn),
    .out_size = sizeof(CondOut),
    .run = average_run,
};

typedef struct CombineIn {
    const Cond *conditioning_1, *conditioning_2;
} CombineIn;

/* clang-format off */
static const Socket combine_in[] = {
    { ROW(CombineIn, conditioning_1, SOCK_COND), .doc = "First list of prompts." },
    { ROW(CombineIn, conditioning_2, SOCK_COND), .doc = "Second list of prompts." },
    END_ROWS
};
/* clang-format on */

static Status combine_run(NodeCall *call)
{
    const CombineIn *in = call->in;
    CondOut *out = call->out;
    return cond_combine(in->conditioning_1, in->conditioning_2, &out->conditioning, call->err);
}

static const NodeDef combine = {
    .class_type = "ConditioningCombine",
    .display = "Conditioning (Combine)",
    .category = "conditioning",
    .doc = "Evaluates both prompts at every step and averages their estimates.",
    .inputs = combine_in,
    .outputs = cond_out,
    .in_size = sizeof(CombineIn),
    .out_size = sizeof(CondOut),
    .run = combine_run,
};

typedef struct ConcatIn {
    const Cond *conditioning_to, *conditioning_from;
} ConcatIn;

/* clang-format off */
static const Socket concat_in[] = {
    { ROW(ConcatIn, conditioning_to, SOCK_COND), .doc = "Embedding whose tokens come first." },
    { ROW(ConcatIn, conditioning_from, SOCK_COND), .doc = "Embedding whose tokens are appended." },
    END_ROWS
};
/* clang-format on */

static Status concat_run(NodeCall *call)
{
    const ConcatIn *in = call->in;
    CondOut *out = call->out;
    return cond_concat(in->conditioning_to, in->conditioning_from, &out->conditioning,
                       call->err);
}

static const NodeDef concat = {
    .class_type = "ConditioningConcat",
    .display = "Conditioning (Concat)",
    .category = "conditioning",
    .doc = "Joins the tokens of two embeddings.",
    .inputs = concat_in,
    .outputs = cond_out,
    .in_size = sizeof(ConcatIn),
    .out_size = sizeof(CondOut),
    .run = concat_run,
};

/* ---- areas, masks, ranges ------------------------------------------------------------------------------ */

typedef struct AreaIn {
    const Cond *conditioning;
    int64_t width, height, x, y;
    double strength;
} AreaIn;

/* clang-format off */
static const Socket area_in[] = {
    { ROW(AreaIn, conditioning, SOCK_COND), .doc = "Embedded prompt to annotate; it is copied, not changed." },
    { ROW(AreaIn, width, SOCK_INT), .def = 64, .min = 64, .max = SIDE_MAX, .step = 8, .doc = "Width in pixels of an 8-pixel latent." },
    { ROW(AreaIn, height, SOCK_INT), .def = 64, .min = 64, .max = SIDE_MAX, .step = 8, .doc = "Height in pixels of an 8-pixel latent." },
    { ROW(AreaIn, x, SOCK_INT), .max = SIDE_MAX, .step = 8, .doc = "Left edge in the same unit." },
    { ROW(AreaIn, y, SOCK_INT), .max = SIDE_MAX, .step = 8, .doc = "Top edge in the same unit." },
    { ROW(AreaIn, strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .doc = "Weight of this prompt where several overlap." },
    END_ROWS
};
/* clang-format on */

static Status area_run(NodeCall *call)
{
    const AreaIn *in = call->in;
    CondOut *out = call->out;
    CondArea area = { .kind = AREA_CELLS,
                      .h = (double)(in->height / 8),
                      .w = (double)(in->width / 8),
                      .y = (double)(in->y / 8),
                      .x = (double)(in->x / 8) };
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_area(out->conditioning, &area, in->strength);
    return OK;
}

static const NodeDef set_area = {
    .class_type = "ConditioningSetArea",
    .display = "Conditioning (Set Area)",
    .category = "conditioning",
    .doc = "Limits a prompt to a rectangle of the picture.",
    .inputs = area_in,
    .outputs = cond_out,
    .in_size = sizeof(AreaIn),
    .out_size = sizeof(CondOut),
    .run = area_run,
};

typedef struct PercentIn {
    const Cond *conditioning;
    double width, height, x, y, strength;
} PercentIn;

/* clang-format off */
static const Socket percent_in[] = {
    { ROW(PercentIn, conditioning, SOCK_COND), .doc = "Prompt to annotate; it is copied, not changed." },
    { ROW(PercentIn, width, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Width as a share of the picture." },
    { ROW(PercentIn, height, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.01, .doc = "Height as a share of the picture." },
    { ROW(PercentIn, x, SOCK_FLOAT), .max = 1, .step = 0.01, .doc = "Left edge as a share of the picture." },
    { ROW(PercentIn, y, SOCK_FLOAT), .max = 1, .step = 0.01, .doc = "Top edge as a share of the picture." },
    { ROW(PercentIn, strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .doc = "Weight against other prompts." },
    END_ROWS
};
/* clang-format on */

static Status percent_run(NodeCall *call)
{
    const PercentIn *in = call->in;
    CondOut *out = call->out;
    CondArea area = { AREA_PERCENT, in->height, in->width, in->y, in->x };
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_area(out->conditioning, &area, in->strength);
    return OK;
}

static const NodeDef set_area_percent = {
    .class_type = "ConditioningSetAreaPercentage",
    .display = "Conditioning (Set Area with Percentage)",
    .category = "conditioning",
    .doc = "Limits a prompt to a rectangle given in shares of the picture.",
    .inputs = percent_in,
    .outputs = cond_out,
    .in_size = sizeof(PercentIn),
    .out_size = sizeof(CondOut),
    .run = percent_run,
};

typedef struct AreaStrengthIn {
    const Cond *conditioning;
    double strength;
} AreaStrengthIn;

/* clang-format off */
static const Socket area_strength_in[] = {
    { ROW(AreaStrengthIn, conditioning, SOCK_COND), .doc = "Prompt to annotate; it is copied, not changed." },
    { ROW(AreaStrengthIn, strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .doc = "Weight against other prompts." },
    END_ROWS
};
/* clang-format on */

static Status area_strength_run(NodeCall *call)
{
    const AreaStrengthIn *in = call->in;
    CondOut *out = call->out;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_area_strength(out->conditioning, in->strength);
    return OK;
}

static const NodeDef set_area_strength = {
    .class_type = "ConditioningSetAreaStrength",
    .category = "conditioning",
    .doc = "Weight of a prompt against others.",
    .inputs = area_strength_in,
    .outputs = cond_out,
    .in_size = sizeof(AreaStrengthIn),
    .out_size = sizeof(CondOut),
    .run = area_strength_run,
};

typedef struct SetMaskIn {
    const Cond *conditioning;
    const Tensor *mask;
    double strength;
    const char *set_cond_area;
} SetMaskIn;

static const char *const mask_areas[] = { "default", "mask bounds", NULL };

/* clang-format off */
static const Socket set_mask_in[] = {
    { ROW(SetMaskIn, conditioning, SOCK_COND), .doc = "Embedded prompt to annotate; it is copied, not changed." },
    { ROW(SetMaskIn, mask, SOCK_MASK), .doc = "Where the prompt acts." },
    { ROW(SetMaskIn, strength, SOCK_FLOAT), .def = 1, .max = 10, .step = 0.01, .doc = "Factor on the mask." },
    { ROW(SetMaskIn, set_cond_area, SOCK_COMBO), .options = mask_areas,
      .doc = "Evaluate the whole picture, or only the box around the mask." },
    END_ROWS
};
/* clang-format on */

static Status set_mask_run(NodeCall *call)
{
    const SetMaskIn *in = call->in;
    CondOut *out = call->out;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_mask(out->conditioning, in->mask, in->strength,
                  strcmp(in->set_cond_area, "default") != 0);
    return OK;
}

static const NodeDef set_mask = {
    .class_type = "ConditioningSetMask",
    .display = "Conditioning (Set Mask)",
    .category = "conditioning",
    .doc = "Limits a prompt to a mask.",
    .inputs = set_mask_in,
    .outputs = cond_out,
    .in_size = sizeof(SetMaskIn),
    .out_size = sizeof(CondOut),
    .run = set_mask_run,
};

typedef struct RangeIn {
    const Cond *conditioning;
    double start, end;
} RangeIn;

/* clang-format off */
static const Socket range_in[] = {
    { ROW(RangeIn, conditioning, SOCK_COND), .doc = "Embedded prompt to annotate; it is copied, not changed." },
    { ROW(RangeIn, start, SOCK_FLOAT), .max = 1, .step = 0.001, .doc = "First part of the denoising it is used in, 0 = start." },
    { ROW(RangeIn, end, SOCK_FLOAT), .def = 1, .max = 1, .step = 0.001, .doc = "Last part of the denoising it is used in, 1 = end." },
    END_ROWS
};
/* clang-format on */

static Status range_run(NodeCall *call)
{
    const RangeIn *in = call->in;
    CondOut *out = call->out;
    TRY(cond_copy(in->conditioning, &out->conditioning, call->err));
    cond_set_range(out->conditioning, in->start, in->end);
    return OK;
}

static const NodeDef set_range = {
    .class_type = "ConditioningSetTimestepRange",
    .category = "advanced/conditioning",
    .doc = "Limits a prompt to a part of the denoising.",
    .inputs = range_in,
    .outputs = cond_out,
    .in_size = sizeof(RangeIn),
    .out_size = sizeof(CondOut),
    .run = range_run,
};

/* ---- InpaintModelConditioning ----------------------------------------------------------------------------- */

typedef struct InpaintIn {
    const Cond *positive, *negative;
    const Vae *vae;
    const Tensor *pixels, *mask;
    bool noise_mask;
} InpaintIn;

typedef struct InpaintOut {
    Cond *positive, *negative;
    Latent *latent;
} InpaintOut;

/* clang-format off */
static const Socket inpaint_in[] = {
    { ROW(InpaintIn, positive, SOCK_COND), .doc = "Prompt to annotate." },
    { ROW(InpaintIn, negative, SOCK_COND), .doc = "Negative prompt to annotate." },
    { ROW(InpaintIn, vae, SOCK_VAE), .doc = "Encodes the picture." },
    { ROW(InpaintIn, pixels, SOCK_IMAGE), .doc = "Picture to repaint." },
    { ROW(InpaintIn, mask, SOCK_MASK), .doc = "1 where it is repainted." },
    { ROW(InpaintIn, noise_mask, SOCK_BOOLEAN), .def = 1, .doc = "Also keep the unmasked part while sampling." },
    END_ROWS
};
static const Socket inpaint_out[] = {
    OUT(InpaintOut, positive, "positive", SOCK_COND),
    OUT(InpaintOut, negative, "negative", SOCK_COND),
    OUT(InpaintOut, latent, "latent", SOCK_LATENT),
    END_ROWS
};
/* clang-format on */

/* The greyed picture's latent, and the mask at the size of the cropped picture. */
static Status encode_masked(const InpaintIn *in, Tensor **concat_latent, Tensor **mask,
                            Error *err)
{
    Status status = OK;
    Tensor *fitted = NULL, *pixels = NULL, *grey = NULL, *cropped = NULL;
    TRY_DONE(resize_mask(in->mask, in->pixels->shape[2], in->pixels->shape[1], RESIZE_BILINEAR,
                         false, &fitted, err));
    TRY_DONE(image_crop_to_multiple(in->pixels, 8, &pixels, err));
    TRY_DONE(mask_crop_to_multiple(fitted, 8, &cropped, err));
    TRY_DONE(mask_neutralise(pixels, cropped, &grey, err));
    TRY_DONE(vae_encode(in->vae, grey, concat_latent, err));
    *mask = tensor_ref(cropped);
done:
    tensor_unref(fitted);
    tensor_unref(pixels);
    tensor_unref(grey);
    tensor_unref(cropped);
    return status;
}

static Status annotate(const Cond *from, const Tensor *latent, const Tensor *mask, Cond **out,
                       Error *err)
{
    TRY(cond_copy(from, out, err));
    cond_set_concat(*out, latent, mask);
    return OK;
}

static Status inpaint_run(NodeCall *call)
{
    const InpaintIn *in = call->in;
    InpaintOut *out = call->out;
    Status status = OK;
    Tensor *concat_latent = NULL, *mask = NULL, *samples = NULL;
    TRY_DONE(encode_masked(in, &concat_latent, &mask, call->err));
    TRY_DONE(vae_encode(in->vae, in->pixels, &samples, call->err));
    TRY_DONE(latent_new(tensor_ref(samples), &out->latent, call->err));
    if (in->noise_mask) latent_set_mask(out->latent, tensor_ref(mask));
    TRY_DONE(annotate(in->positive, concat_latent, mask, &out->positive, call->err));
    TRY_DONE(annotate(in->negative, concat_latent, mask, &out->negative, call->err));
done:
    tensor_unref(concat_latent);
    tensor_unref(mask);
    tensor_unref(samples);
    return status;
}

static const NodeDef inpaint_model = {
    .class_type = "InpaintModelConditioning",
    .category = "conditioning/inpaint",
    .doc = "Prepares prompts and latent for inpainting; models with extra input channels get "
           "picture and mask.",
    .inputs = inpaint_in,
    .outputs = inpaint_out,
    .in_size = sizeof(InpaintIn),
    .out_size = sizeof(InpaintOut),
    .run = inpaint_run,
};

/* ---- InstructPixToPixConditioning ------------------------------------------------------------------------- */

typedef struct GuidePictureIn {
    const Cond *positive, *negative;
    const Vae *vae;
    const Tensor *pixels;
} GuidePictureIn;

/* clang-format off */
static const Socket guide_picture_in[] = {
    { ROW(GuidePictureIn, positive, SOCK_COND), .doc = "Prompt to annotate." },
    { ROW(GuidePictureIn, negative, SOCK_COND), .doc = "Negative prompt to annotate." },
    { ROW(GuidePictureIn, vae, SOCK_VAE), .doc = "Encodes the picture." },
    { ROW(GuidePictureIn, pixels, SOCK_IMAGE), .doc = "Edges, depth or picture that the model follows." },
    END_ROWS
};
/* clang-format on */

static Status guide_picture_run(NodeCall *call)
{
    const GuidePictureIn *in = call->in;
    InpaintOut *out = call->out;
    Status status = OK;
    Tensor *pixels = NULL, *guide = NULL, *samples = NULL;
    TRY_DONE(image_crop_to_multiple(in->pixels, 8, &pixels, call->err));
    TRY_DONE(vae_encode(in->vae, pixels, &guide, call->err));
    TRY_DONE(tensor_zeros(K_F32, guide->ndim, guide->shape, &samples, call->err));
    TRY_DONE(latent_new(tensor_ref(samples), &out->latent, call->err));
    TRY_DONE(annotate(in->positive, guide, NULL, &out->positive, call->err));
    TRY_DONE(annotate(in->negative, guide, NULL, &out->negative, call->err));
done:
    tensor_unref(pixels);
    tensor_unref(guide);
    tensor_unref(samples);
    return status;
}

static const NodeDef guide_picture = {
    .class_type = "InstructPixToPixConditioning",
    .category = "conditioning/instructpix2pix",
    .doc =
        "Gives models with extra input channels (Canny, Depth) the picture they follow, and an "
        "empty latent of its size.",
    .inputs = guide_picture_in,
    .outputs = inpaint_out,
    .in_size = sizeof(GuidePictureIn),
    .out_size = sizeof(InpaintOut),
    .run = guide_picture_run,
};

/* ---- CLIPSetLastLayer -------------------------------------------------------------------------------------- */

typedef struct LastIn {
    const TextEncoder *clip;
    int64_t stop_at_clip_layer;
} LastIn;

/* clang-format off */
static const Socket last_in[] = {
    { ROW(LastIn, clip, SOCK_CLIP), .doc = "Text encoder; it is copied, not changed." },
    { ROW(LastIn, stop_at_clip_layer, SOCK_INT), .def = -1, .min = -24, .max = -1, .step = 1, .doc = "Last block that runs, counted from the end." },
    END_ROWS
};
/* clang-format on */

static Status last_run(NodeCall *call)
{
    const LastIn *in = call->in;
    ClipOut *out = call->out;
    return text_encoder_with_last(in->clip, call->host, (int)in->stop_at_clip_layer, &out->clip,
                                  call->err);
}

static const NodeDef set_last_layer = {
    .class_type = "CLIPSetLastLayer",
    .display = "CLIP Set Last Layer",
    .category = "conditioning",
    .doc = "Ends a text encoder early. For FLUX.1 that is T5; CLIP-L gives its pooled vector as before.",
    .inputs = last_in,
    .outputs = clip_out,
    .in_size = sizeof(LastIn),
    .out_size = sizeof(ClipOut),
    .run = last_run,
};

const NodeDef *const conditioning_nodes[] = {
    &text_encode_node,
    &text_encode_flux_node,
    &zero_out,
    &flux_guidance,
    &flux_disable_guidance,
    &reference_latent,
    &reference_method,
    &average,
    &combine,
    &concat,
    &set_area,
    &set_area_percent,
    &set_area_strength,
    &set_last_layer,
    &set_mask,
    &set_range,
    &inpaint_model,
    &guide_picture,
    NULL,
};
