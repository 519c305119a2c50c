/* model.h - the MODEL value: an immutable handle on a denoiser; a patch gives a copy that shares all but
 * the patch.
 *
 * Handles of one file share a core: weights, sizes, and the programs built so far (one per shape and set
 * of weight patches, the least recently used one goes). One thread at a time may run models of a core.
 */
#ifndef WEFT_MODELS_MODEL_H
#define WEFT_MODELS_MODEL_H

#include "engine/formats/weights.h"
#include "engine/models/family.h"
#include "engine/models/patch.h"
#include "engine/residency/host.h"
#include "engine/sampling/denoiser.h"

typedef struct Model Model; /* shared by reference: model_ref, model_unref */

/* An object under PATCH_WEIGHTS. apply replaces or leaves *w, which is the matrix `name` (BFL's name with
 * .weight, .bias or .scale; vectors are F32 matrices of one row) after the patches before it; what it makes must live as long as the object.
 * In a dummy run the contents of *w must not be read. */
typedef struct WeightPatch WeightPatch;
struct WeightPatch {
    Ref ref;
    Status (*apply)(WeightPatch *self, const char *name, double strength, KWeight *w,
                    Error *err);
};

/* Recognises the transformer in `w` (under any of the usual prefixes, BFL's or diffusers' names). file is
 * for messages. The host must outlive the model. Every tensor that the sizes promise is looked for. Errors:
 * E_FORMAT saying what the file looks like, E_MISSING, E_SHAPE, E_NOMEM. */
Status model_open(Host *h, const Weights *w, const char *file, Model **out, Error *err);

static inline Model *model_ref(const Model *m)
{
    return ref_take(m);
}
static inline void model_unref(const Model *m)
{
    ref_drop(m);
}

/* A copy with one more patch. PATCH_SAMPLING wants a ModelSampling, PATCH_GUIDE a GuidanceHook,
 * PATCH_WEIGHTS a WeightPatch, PATCH_CACHE a StepCache as object. */
Status model_with_patch(const Model *m, const Patch *patch, Model **out, Error *err);

/* The matrix `name` (BFL's name) with the model's weight patches; it lives as long as they do. */
Status model_matrix(const Model *m, const char *name, KWeight *out, Error *err);

const Denoiser *model_denoiser(const Model *m); /* borrowed */
const PatchSet *model_patches(const Model *m);
/* Sizes of the file, with the input channels that weight patches (control LoRAs) give it. */
const ModelDims *model_dims(const Model *m);
const ModelFamily *model_family(const Model *m);
const Weights *model_weights(const Model *m); /* in BFL's names */
Host *model_host(const Model *m);

/* What one ControlNet says about one picture: residuals [target tokens, D] of the model's activation dtype
 * (model_act). */
typedef struct ForwardControl {
    ControlShape shape;
    void *const *doubles, *const *singles; /* shape.doubles and shape.singles pointers */
} ForwardControl;

/* One evaluation for one picture. All pointers borrowed; contexts are padded as the family asks. */
typedef struct ForwardCall {
    const float *x; /* [channels, h, w] */
    PosSize size;
    float sigma;
    const float *context; /* [tokens, dims.context] */
    int64_t tokens;
    bool pad;            /* pad the context on the left to dims.context_pad */
    const float *pooled; /* [dims.pooled]; NULL = zeros */
    bool guided;         /* ignored where the model reads no guidance */
    double guidance;
    const float *concat; /* [concat_channels, h, w] or NULL */
    int64_t concat_channels;
    const float *const *refs; /* n_refs latents [channels, h, w] in the model's scale */
    const PosSize *ref_sizes;
    int n_refs;
    RefMethod method;
    const BlockSkip *skip;
    const float *style; /* [style_rows, D] put before the text, or NULL */
    int64_t style_rows;
    const float *bias; /* [n, n] added to scores, or NULL; see family.h */
    const ForwardControl *controls;
    int n_controls;
    KvUse kv; /* KV_REFS: x, context and out are not used */
    void *const *
        kv_memory; /* double and single blocks, then NULL where there is none: [2, rows, D] of model_act */
    ForwardPart part;
    const float *residual; /* PART_REUSE: [tokens of x, dims.width] */
    float *
        kept; /* PART_KEEP: the residual, written; PART_PROBE: the modulated input [image tokens, dims.width] */
    float *out; /* [channels, h, w]: the velocity; PART_PROBE writes none */
} ForwardCall;
Status model_forward(const Model *m, const ForwardCall *call, Error *err);
/* 1000 times the guidance; in fast precision rounded to bf16 before and after the product, as a model that
 * computes in bf16 does. Guided results depend on it visibly. */
float model_scaled_guidance(double guidance, bool exact);
/* Dtype of activations: F32 in exact, BF16 in fast precision. */
KDtype model_act(const Model *m);

/* What one evaluation costs, without running it: builds and plans the program. */
typedef struct ModelCost {
    size_t arena_bytes, weight_bytes;
    double flops;
    int operations;
} ModelCost;
Status model_cost(const Model *m, const ForwardCall *call, ModelCost *out, Error *err);

#endif
