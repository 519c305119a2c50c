/* outputs.h - the outputs that many classes share: what their functions fill, and the rows that say so. */
#ifndef WEFT_NODES_OUTPUTS_H
#define WEFT_NODES_OUTPUTS_H

#include "engine/graph/node.h"

struct Cond;
struct Latent;
struct Model;
struct Sampler;
struct Tensor;
struct TextEncoder;

typedef struct ModelOut {
    struct Model *model;
} ModelOut;
typedef struct ClipOut {
    struct TextEncoder *clip;
} ClipOut;
typedef struct CondOut {
    struct Cond *conditioning;
} CondOut;
typedef struct LatentOut {
    struct Latent *latent;
} LatentOut;
typedef struct SamplerOut {
    struct Sampler *sampler;
} SamplerOut;
typedef struct SigmasOut {
    struct Tensor *sigmas;
} SigmasOut;
/* What custom sampling gives: the result, and the model's last clean estimate. */
typedef struct CustomOut {
    struct Latent *output, *denoised_output;
} CustomOut;
typedef struct ImageOut {
    struct Tensor *image;
} ImageOut;
typedef struct MaskOut {
    struct Tensor *mask;
} MaskOut;
typedef struct ImageMaskOut {
    struct Tensor *image, *mask;
} ImageMaskOut;
typedef struct StringOut {
    char *text;
} StringOut;

extern const Socket model_out[], clip_out[], cond_out[], latent_out[], sampler_out[], sigmas_out[],
    custom_out[], image_out[], mask_out[], image_mask_out[], string_out[];
extern const Socket no_out[]; /* of classes that only write or show */

#endif
