/* clip_vision.h - the CLIP_VISION value: the SigLIP picture encoder that Redux and USO read.
 *
 * Easy to get wrong: no class token and no norm before the blocks; LayerNorm with eps 1e-5; heads of 72; the last
 * hidden state is after post_layernorm, those of inner layers are not.
 * Source: "Sigmoid Loss for Language Image Pre-Training"; ComfyUI's comfy/clip_vision.
 */
#ifndef WEFT_MODELS_CLIP_VISION_H
#define WEFT_MODELS_CLIP_VISION_H

#include "engine/formats/weights.h"
#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"

typedef struct ClipVision
    ClipVision; /* shared by reference: clip_vision_ref, clip_vision_unref */

typedef struct ClipVisionDims {
    int64_t width, heads, hidden; /* hidden: of the MLP */
    int64_t patch, side, tokens;  /* tokens = (side / patch)^2, the division rounded down */
    int layers;
} ClipVisionDims;

/* Layers that USO reads, counted from the end: high, middle, low. */
enum { VISION_LEVELS = 3 };
extern const int vision_levels[VISION_LEVELS];

/* CLIP_VISION_OUTPUT; immutable. */
typedef struct ClipVisionOutput {
    Ref ref;
    Tensor *last; /* [B, tokens, width] after the final norm */
    Tensor *levels
        [VISION_LEVELS]; /* outputs of layers as they are; NULL where the tower is shorter */
} ClipVisionOutput;

/* Recognises SigLIP; heads are of 72, or as a `config` entry of the file says. Errors: E_FORMAT (what the
 * file looks like), E_UNSUPPORTED (other vision models), E_MISSING, E_SHAPE, E_NOMEM. */
Status clip_vision_open(Host *h, const Weights *w, const char *file, ClipVision **out,
                        Error *err);
/* so400m-patch14-384 without contents, for dummy runs of a file that is not there. */
Status clip_vision_open_published(Host *h, const char *name, ClipVision **out, Error *err);

static inline ClipVision *clip_vision_ref(const ClipVision *v)
{
    return ref_take(v);
}
static inline void clip_vision_unref(const ClipVision *v)
{
    ref_drop(v);
}

const ClipVisionDims *clip_vision_dims(const ClipVision *v);

/* image [B,H,W,C>=3], fitted as image_for_vision does. Errors: E_SHAPE, E_CANCELLED, E_NOMEM. */
Status clip_vision_encode(const ClipVision *v, const Tensor *image, bool crop,
                          ClipVisionOutput **out, Error *err);
/* From normalised pixels [B,3,side,side]: every layer's output [B, layers, tokens, width]; for tests. */
Status clip_vision_hidden(const ClipVision *v, const Tensor *pixels, Tensor **out, Error *err);

#endif
