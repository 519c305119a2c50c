/* blend.h - mixing two pictures: blend modes, alpha compositing, alpha and colour channels. */
#ifndef WEFT_IMAGING_BLEND_H
#define WEFT_IMAGING_BLEND_H

#include "engine/tensor/tensor.h"

/* ImageBlend: normal, multiply, screen, overlay, soft_light, difference. The second picture is fitted to the first
 * (bicubic, centre crop); a single picture serves a whole batch. Clamped to 0..1. */
Status image_blend(const Tensor *a, const Tensor *b, double factor, const char *mode,
                   Tensor **out, Error *err);

/* Names of the Porter-Duff operators and their kin in menu order, NULL-ended. */
extern const char *const porter_duff_modes[];
/* Pictures with masks (1 = transparent) in, picture and mask out. The source and both masks are fitted to the
 * destination picture (bicubic, centre crop); as many items as the shortest batch has. */
typedef struct PorterDuff {
    const Tensor *source, *source_mask, *destination, *destination_mask;
    const char *mode;
} PorterDuff;
Status image_porter_duff(const PorterDuff *p, Tensor **out, Tensor **mask, Error *err);

/* Alpha = 1 - mask, the mask stretched to the picture (bilinear); the shorter batch is repeated. */
Status image_join_alpha(const Tensor *image, const Tensor *mask, Tensor **out, Error *err);
/* Colour and 1 - alpha; all zeros where there is no alpha. */
Status image_split_alpha(const Tensor *image, Tensor **out, Tensor **mask, Error *err);

/* ImageCompositeMasked: the source takes the destination's channels (cut, or a missing alpha is 1), then
 * compose_masked with one pixel per cell. */
typedef struct Paste {
    const Tensor *destination, *source, *mask; /* mask may be NULL */
    int64_t x, y;
    bool resize_source;
} Paste;
Status image_paste(const Paste *p, Tensor **out, Error *err);

/* Y, Cb, Cr of ITU-R BT.601 in 0..1 (chroma around 0.5), each as a grey picture. */
Status image_to_yuv(const Tensor *image, Tensor *out[3], Error *err);
/* Back; of each input the mean over its channels counts. */
Status image_from_yuv(const Tensor *const in[3], Tensor **out, Error *err);

#endif
