/* filter.h - smoothing, sharpening, edges and grey-scale morphology of pictures [B,H,W,C] F32. */
#ifndef WEFT_IMAGING_FILTER_H
#define WEFT_IMAGING_FILTER_H

#include "engine/tensor/tensor.h"

/* Gaussian of 2 radius + 1 taps on linspace(-1, 1) (not pixels): exp(-d^2 / (2 sigma^2)), normalised; borders
 * mirrored without repeating the edge. Radius 0 copies. E_RANGE when a side is not above radius. */
Status image_blur(const Tensor *image, int64_t radius, double sigma, Tensor **out, Error *err);
/* x + 10 alpha (x - blur(x)), clamped to 0..1. */
Status image_sharpen(const Tensor *image, int64_t radius, double sigma, double alpha,
                     Tensor **out, Error *err);
/* The same without the clamp on planes [B,C,h,w]. */
Status planes_sharpen(const Tensor *x, int64_t radius, double sigma, double alpha, Tensor **out,
                      Error *err);

typedef enum MorphOp {
    MORPH_ERODE,
    MORPH_DILATE,
    MORPH_OPEN,
    MORPH_CLOSE,
    MORPH_GRADIENT,
    MORPH_BOTTOM_HAT,
    MORPH_TOP_HAT,
    MORPH_OP_COUNT
} MorphOp;
bool morph_op_from_name(const char *name, MorphOp *out);
/* A size x size box whose origin is cell size / 2; what lies outside the picture does not count. */
Status image_morphology(const Tensor *image, MorphOp op, int64_t size, Tensor **out,
                        Error *err);

/*
 * Canny edges of pictures with 1 or 3 channels -> [B,H,W,3] of 0 and 1.
 * Grey, 5-tap Gaussian, Sobel (not normalised), thinning along the gradient, two thresholds with
 * 8-connected tracking. magnitude (may be NULL): the thinned gradient [B,H,W].
 * Errors: E_SHAPE for other channel counts or a side below 3, E_RANGE when low is above high.
 */
Status image_canny(const Tensor *image, double low, double high, Tensor **out,
                   Tensor **magnitude, Error *err);

#endif
