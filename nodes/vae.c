/* vae.c - node types that turn pictures into latents and back. */
#include "nodes/vae.h"

#include "engine/imaging/mask.h"
#include "engine/imaging/resize.h"
#include "engine/sampling/latent.h"
#include "engine/vae/vae.h"
#include "nodes/outputs.h"
#include "nodes/rows.h"

/* ---- VAEDecode, VAEDecodeTiled ------------------------------------------------------------------------ */

typedef struct DecodeIn {
    const Latent *samples;
    const Vae *vae;
} DecodeIn;

/* clang-format off */
static const Socket decode_in[] = {
    { ROW(DecodeIn, samples, SOCK_LATENT), .doc = "Latent to decode." },
    { ROW(DecodeIn, vae, SOCK_VAE), .doc = "Decoder." },
    END_ROWS
};
/* clang-format on */

static Status decode_run(NodeCall *call)
{
    const DecodeIn *in = call->in;
    ImageOut *out = call->out;
    return vae_decode(in->vae, in->samples->samples, &out->image, call->err);
}

static const NodeDef vae_decode_node = {
    .class_type = "VAEDecode",
    .display = "VAE Decode",
    .category = "latent",
    .doc = "Turns a latent into pictures.",
    .inputs = decode_in,
    .outputs = image_out,
    .in_size = sizeof(DecodeIn),
    .out_size = sizeof(ImageOut),
    .stage = STAGE_DECODE,
    .run = decode_run,
};

typedef struct DecodeTiledIn {
    const Latent *samples;
    const Vae *vae;
    int64_t tile_size, overlap, temporal_size, temporal_overlap;
} DecodeTiledIn;

/* clang-format off */
static const Socket decode_tiled_in[] = {
    { ROW(DecodeTiledIn, samples, SOCK_LATENT), .doc = "Latent to decode." },
    { ROW(DecodeTiledIn, vae, SOCK_VAE), .doc = "Decoder." },
    { ROW(DecodeTiledIn, tile_size, SOCK_INT), .def = 512, .min = 64, .max = 4096, .step = 32, .doc = "Side of a tile in pixels." },
    { ROW(DecodeTiledIn, overlap, SOCK_INT), .def = 64, .max = 4096, .step = 32, .doc = "Pixels that neighbours share." },
    { ROW(DecodeTiledIn, temporal_size, SOCK_INT), .def = 64, .min = 8, .max = 4096, .step = 4, .doc = "Video only; without effect on pictures." },
    { ROW(DecodeTiledIn, temporal_overlap, SOCK_INT), .def = 8, .min = 4, .max = 4096, .step = 4, .doc = "Video only; without effect on pictures." },
    END_ROWS
};
/* clang-format on */

static Status decode_tiled_run(NodeCall *call)
{
    const DecodeTiledIn *in = call->in;
    ImageOut *out = call->out;
    VaeTiles tiles = vae_tiles_from_pixels(in->vae, in->tile_size, in->overlap);
    return vae_decode_tiled(in->vae, in->samples->samples, &tiles, &out->image, call->err);
}

static const NodeDef vae_decode_tiled_node = {
    .class_type = "VAEDecodeTiled",
    .display = "VAE Decode (Tiled)",
    .category = "_for_testing",
    .doc = "Decodes tile by tile, in less memory.",
    .inputs = decode_tiled_in,
    .outputs = image_out,
    .in_size = sizeof(DecodeTiledIn),
    .out_size = sizeof(ImageOut),
    .stage = STAGE_DECODE,
    .run = decode_tiled_run,
};

/* ---- VAEEncode, VAEEncodeTiled ------------------------------------------------------------------------ */

/* Wraps samples (reference taken over) into a latent. */
static Status wrap(Status status, Tensor *samples, Latent **out, Error *err)
{
    return status == OK ? latent_new(samples, out, err) : status;
}

typedef struct EncodeIn {
    const Tensor *pixels;
    const Vae *vae;
} EncodeIn;

/* clang-format off */
static const Socket encode_in[] = {
    { ROW(EncodeIn, pixels, SOCK_IMAGE), .doc = "Pictures; cropped to whole latent cells." },
    { ROW(EncodeIn, vae, SOCK_VAE), .doc = "Encoder." },
    END_ROWS
};
/* clang-format on */

static Status encode_run(NodeCall *call)
{
    const EncodeIn *in = call->in;
    LatentOut *out = call->out;
    Tensor *samples = NULL;
    Status status = vae_encode(in->vae, in->pixels, &samples, call->err);
    return wrap(status, samples, &out->latent, call->err);
}

static const NodeDef vae_encode_node = {
    .class_type = "VAEEncode",
    .display = "VAE Encode",
    .category = "latent",
    .doc = "Turns pictures into a latent (the mean, no sampling).",
    .inputs = encode_in,
    .outputs = latent_out,
    .in_size = sizeof(EncodeIn),
    .out_size = sizeof(LatentOut),
    .run = encode_run,
};

typedef struct EncodeTiledIn {
    const Tensor *pixels;
    const Vae *vae;
    int64_t tile_size, overlap, temporal_size, temporal_overlap;
} EncodeTiledIn;

/* clang-format off */
static const Socket encode_tiled_in[] = {
    { ROW(EncodeTiledIn, pixels, SOCK_IMAGE), .doc = "Pictures; cropped to whole latent cells." },
    { ROW(EncodeTiledIn, vae, SOCK_VAE), .doc = "Encoder." },
    { ROW(EncodeTiledIn, tile_size, SOCK_INT), .def = 512, .min = 64, .max = 4096, .step = 64, .doc = "Side of a tile in pixels." },
    { ROW(EncodeTiledIn, overlap, SOCK_INT), .def = 64, .max = 4096, .step = 32, .doc = "Pixels that neighbours share." },
    { ROW(EncodeTiledIn, temporal_size, SOCK_INT), .def = 64, .min = 8, .max = 4096, .step = 4, .doc = "Video only; without effect on pictures." },
    { ROW(EncodeTiledIn, temporal_overlap, SOCK_INT), .def = 8, .min = 4, .max = 4096, .step = 4, .doc = "Video only; without effect on pictures." },
    END_ROWS
};
/* clang-format on */

static Status encode_tiled_run(NodeCall *call)
{
    const EncodeTiledIn *in = call->in;
    LatentOut *out = call->out;
    VaeTiles tiles = { in->tile_size, in->tile_size, in->overlap };
    Tensor *samples = NULL;
    Status status = vae_encode_tiled(in->vae, in->pixels, &tiles, &samples, call->err);
    return wrap(status, samples, &out->latent, call->err);
}

static const NodeDef vae_encode_tiled_node = {
    .class_type = "VAEEncodeTiled",
    .display = "VAE Encode (Tiled)",
    .category = "_for_testing",
    .doc = "Encodes tile by tile, in less memory.",
    .inputs = encode_tiled_in,
    .outputs = latent_out,
    .in_size = sizeof(EncodeTiledIn),
    .out_size = sizeof(LatentOut),
    .run = encode_tiled_run,
};

/* ---- VAEEncodeForInpaint ------------------------------------------------------------------------------- */

typedef struct InpaintIn {
    const Tensor *pixels;
    const Vae *vae;
    const Tensor *mask;
    int64_t grow_mask_by;
} InpaintIn;

/* clang-format off */
static const Socket inpaint_in[] = {
    { ROW(InpaintIn, pixels, SOCK_IMAGE), .doc = "Pictures to repaint." },
    { ROW(InpaintIn, vae, SOCK_VAE), .doc = "Encoder." },
    { ROW(InpaintIn, mask, SOCK_MASK), .doc = "1 where they are repainted; greyed before encoding." },
    { ROW(InpaintIn, grow_mask_by, SOCK_INT), .def = 6, .max = 64, .step = 1, .doc = "Pixels by which the noise mask is wider." },
    END_ROWS
};
/* clang-format on */

static Status inpaint_run(NodeCall *call)
{
    const InpaintIn *in = call->in;
    LatentOut *out = call->out;
    Error *err = call->err;
    int64_t cell = vae_ratio(in->vae);
    Status status = OK;
    Tensor *fitted = NULL, *pixels = NULL, *mask = NULL, *grown = NULL, *grey = NULL,
           *samples = NULL;
    TRY_DONE(resize_mask(in->mask, in->pixels->shape[2], in->pixels->shape[1], RESIZE_BILINEAR,
                         false, &fitted, err));
    TRY_DONE(image_crop_to_multiple(in->pixels, cell, &pixels, err));
    TRY_DONE(mask_crop_to_multiple(fitted, cell, &mask, err));
    TRY_DONE(mask_grow_for_inpaint(mask, in->grow_mask_by, &grown, err));
    TRY_DONE(mask_neutralise(pixels, mask, &grey, err));
    TRY_DONE(vae_encode(in->vae, grey, &samples, err));
    TRY_DONE(latent_new(tensor_ref(samples), &out->latent, err));
    latent_set_mask(out->latent, tensor_ref(grown));
done:
    tensor_unref(fitted);
    tensor_unref(pixels);
    tensor_unref(mask);
    tensor_unref(grown);
    tensor_unref(grey);
    tensor_unref(samples);
    return status;
}

static const NodeDef vae_encode_inpaint = {
    .class_type = "VAEEncodeForInpaint",
    .display = "VAE Encode (for Inpainting)",
    .category = "latent/inpaint",
    .doc = "Greys the masked part, encodes, and limits sampling to the grown mask.",
    .inputs = inpaint_in,
    .outputs = latent_out,
    .in_size = sizeof(InpaintIn),
    .out_size = sizeof(LatentOut),
    .run = inpaint_run,
};

const NodeDef *const vae_nodes[] = {
    &vae_decode_node,       &vae_decode_tiled_node, &vae_encode_node,
    &vae_encode_tiled_node, &vae_encode_inpaint,    NULL,
};
