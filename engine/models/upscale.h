/* upscale.h - the UPSCALE_MODEL value: networks that enlarge pictures.
 *
 * ESRGAN (RRDB) in the three spellings of its publishers, with or without pixel unshuffle, and the compact
 * networks (SRVGG). Everything computes in float32, whatever the file holds. Other architectures are refused by name.
 * Sources: "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks"; "Real-ESRGAN: Training Real-World Blind
 * Super-Resolution with Pure Synthetic Data".
 */
#ifndef WEFT_MODELS_UPSCALE_H
#define WEFT_MODELS_UPSCALE_H

#include "engine/formats/weights.h"
#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"

typedef struct UpscaleModel UpscaleModel; /* shared by reference */

typedef struct UpscaleDims {
    bool compact;      /* SRVGG rather than RRDB */
    int64_t scale;     /* of the picture's sides */
    int64_t in, out;   /* channels of pictures: 1 or 3 */
    int64_t unshuffle; /* 1, 2 or 4 */
    int64_t filters, blocks, ups, spelling;
} UpscaleDims;

/* Errors: E_UNSUPPORTED naming what the file looks like, E_MISSING, E_SHAPE, E_NOMEM. */
Status upscale_open(Host *h, const Weights *w, const char *file, UpscaleModel **out,
                    Error *err);

static inline void upscale_unref(const UpscaleModel *m)
{
    ref_drop(m);
}

const UpscaleDims *upscale_dims(const UpscaleModel *m);

/* How a picture is cut; sides in pixels. */
typedef struct UpscaleTiles {
    int64_t tile, overlap;
} UpscaleTiles;

/* image [B,H,W,3] in 0..1 -> [B, H*scale, W*scale, 3] clamped to 0..1. Tiles and overlap halve until their program
 * fits under the host's limit of RAM; E_LIMIT below 64 or 4. Progress: one step per tile. node may be NULL. */
Status upscale_image(const UpscaleModel *m, const Tensor *image, const UpscaleTiles *tiles,
                     const char *node, Tensor **out, Error *err);

#endif
