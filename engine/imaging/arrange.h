/* arrange.h - cutting, turning, stitching and batching of pictures [B,H,W,C], masks [B,H,W], latents [B,C,h,w]. */
#ifndef WEFT_IMAGING_ARRANGE_H
#define WEFT_IMAGING_ARRANGE_H

#include "engine/imaging/resize.h"

/* The window [y, y+height) x [x, x+width) cut at the border; x and y are moved inside first. */
Status image_crop(const Tensor *image, int64_t x, int64_t y, int64_t width, int64_t height,
                  Tensor **out, Error *err);
/* Window [from, from+count) along one dimension of any tensor; E_RANGE when it lies outside. */
Status tensor_narrow(const Tensor *x, int dim, int64_t from, int64_t count, Tensor **out,
                     Error *err);
/* Mirrored along one dimension. */
Status tensor_flip(const Tensor *x, int dim, Tensor **out, Error *err);
/* Quarter turns clockwise in the plane of the dimensions row and row + 1. */
Status tensor_turn(const Tensor *x, int row, int quarters, Tensor **out, Error *err);

/* Exactly `batch` items: cut, or repeated from the first on. */
Status tensor_to_batch(const Tensor *x, int64_t batch, Tensor **out, Error *err);
/* [B,H,W,C] with `channels` channels: cut, or new ones that are 1. */
Status image_with_channels(const Tensor *x, int64_t channels, Tensor **out, Error *err);
/* Puts n pictures (masks, latents) behind one another in the batch; those of another size are fitted to the first
 * (bilinear, centre crop), missing channels of pictures are 1. */
Status image_join(const Tensor *const *images, int n, Tensor **out, Error *err);
Status mask_join(const Tensor *const *masks, int n, Tensor **out, Error *err);
Status planes_join(const Tensor *const *planes, int n, Tensor **out, Error *err);

typedef struct Stitch {
    const char *direction; /* right, down, left, up */
    bool match;            /* the second takes the first one's height or width (lanczos) */
    int64_t spacing;       /* odd ones grow by 1 */
    const char *color;     /* white, black, red, green, blue */
} Stitch;
/* Side by side. Without matching the smaller one is padded with 1 (white) or 0 (all other colours, as the
 * reference does). A shorter batch repeats its last picture; missing channels are 1. b NULL: a itself. */
Status image_stitch(const Tensor *a, const Tensor *b, const Stitch *s, Tensor **out,
                    Error *err);

/* As large as fits into width x height with its aspect kept, centred on `fill`. */
Status image_fit(const Tensor *image, int64_t width, int64_t height, float fill,
                 ResizeMethod method, Tensor **out, Error *err);

/* The longer (or shorter) side becomes `size`, the other one follows, rounded half to even. */
Size2 size_longest(Size2 image, int64_t size);
Size2 size_shortest(Size2 image, int64_t size);
/* Covers the largest size of whole multiples that fits; *target is that size (0 = leave the picture as it is). */
Size2 size_cover_multiple(Size2 image, int64_t multiple, Size2 *target);

#endif
