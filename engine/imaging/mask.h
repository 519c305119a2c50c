/* mask.h - making and changing masks [B,H,W] F32, 1 = to be repainted. */
#ifndef WEFT_IMAGING_MASK_H
#define WEFT_IMAGING_MASK_H

#include "engine/tensor/tensor.h"

/* image [B,H,W,C] -> its channel (0 red .. 3 alpha) as a mask. E_RANGE when there is no such channel. */
Status mask_from_image(const Tensor *image, int channel, Tensor **out, Error *err);
/* 1 where round(255 * clamp(rgb)) equals 0xRRGGBB, else 0. */
Status mask_from_color(const Tensor *image, int64_t rgb, Tensor **out, Error *err);
/* [B,H,W] -> [B,H,W,3] */
Status mask_to_image(const Tensor *mask, Tensor **out, Error *err);
Status mask_solid(float value, int64_t width, int64_t height, Tensor **out, Error *err);
Status mask_invert(const Tensor *mask, Tensor **out, Error *err);
/* 1 where the mask is above value, else 0. */
Status mask_threshold(const Tensor *mask, float value, Tensor **out, Error *err);
/* The window [y, y+height) x [x, x+width), cut at the border; E_RANGE when nothing is left. */
Status mask_crop(const Tensor *mask, int64_t x, int64_t y, int64_t width, int64_t height,
                 Tensor **out, Error *err);
/* |expand| rounds of 3x3 grey dilation (erosion when negative) with mirrored borders; tapered: only the
 * four neighbours count. */
Status mask_grow(const Tensor *mask, int64_t expand, bool tapered, Tensor **out, Error *err);
/* Linear ramps at the sides. The right and bottom ramps count columns from the left edge as the reference
 * does: index -x, so that x = 0 falls on the first column. */
Status mask_feather(const Tensor *mask, int64_t left, int64_t top, int64_t right,
                    int64_t bottom, Tensor **out, Error *err);

typedef enum MaskOp {
    MASK_MULTIPLY,
    MASK_ADD,
    MASK_SUBTRACT,
    MASK_AND,
    MASK_OR,
    MASK_XOR,
    MASK_OP_COUNT
} MaskOp;
bool mask_op_from_name(const char *name, MaskOp *out);
/* Combines source into destination at (x, y); a source that lies outside changes nothing. */
Status mask_composite(const Tensor *destination, const Tensor *source, int64_t x, int64_t y,
                      MaskOp op, Tensor **out, Error *err);


/* VAEEncodeForInpaint: grows the rounded mask by a k x k box (k = 0 keeps it), clamps to 0..1 and rounds. */
Status mask_grow_for_inpaint(const Tensor *mask, int64_t k, Tensor **out, Error *err);
/* Pixels where round(mask) is 1 go to 0.5. image [B,H,W,C], mask [B or 1,H,W]. */
Status mask_neutralise(const Tensor *image, const Tensor *mask, Tensor **out, Error *err);

/* The central window of [..,H,W] (mask) with H and W floored to multiples of `step`; offset = rest / 2. */
Status mask_crop_to_multiple(const Tensor *mask, int64_t step, Tensor **out, Error *err);
Status image_crop_to_multiple(const Tensor *image, int64_t step, Tensor **out, Error *err);

#endif
