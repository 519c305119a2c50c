/* antialias.h - pictures as vision models read them: bicubic with antialias, centre crop, whole levels. */
#ifndef WEFT_IMAGING_ANTIALIAS_H
#define WEFT_IMAGING_ANTIALIAS_H

#include "engine/tensor/tensor.h"

/*
 * image [B,H,W,C>=3] F32 -> *out [B,3,side,side] F32, normalised by mean and std per colour. A picture of
 * another size is resized first: crop: its short side becomes `side` and the centre is taken; otherwise both
 * sides do and the aspect is lost. Bicubic, a = -0.5, support widened when it shrinks, in float, not clipped
 * between the passes; then rounded half to even to 255 levels.
 * Errors: E_SHAPE, E_RANGE (a resized side beyond 2^20), E_NOMEM. Source: ComfyUI's clip_preprocess.
 */
Status image_for_vision(const Tensor *image, int64_t side, bool crop, const float mean[3],
                        const float std[3], Tensor **out, Error *err);

#endif
