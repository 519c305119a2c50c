/* cells.h - arithmetic on latents [B,C,h,w] F32: mixing, tone mapping, pasting with soft edges. */
#ifndef WEFT_IMAGING_CELLS_H
#define WEFT_IMAGING_CELLS_H

#include "engine/tensor/tensor.h"

/* x in the size of `like` (bilinear, centre crop) and, when repeat is set, in its batch. E_SHAPE when the channels
 * differ. */
Status planes_fit(const Tensor *x, const Tensor *like, bool repeat, Tensor **out, Error *err);
/* a * wa + b * wb, b fitted to a and repeated over the batch. */
Status planes_mix(const Tensor *a, float wa, const Tensor *b, float wb, Tensor **out,
                  Error *err);
/* LatentBlend: a * factor + b * (1 - factor), b fitted by bicubic with a centre crop. */
Status planes_blend(const Tensor *a, const Tensor *b, double factor, Tensor **out, Error *err);
/* LatentInterpolate: directions of the channel vectors are mixed, and their lengths. */
Status planes_interpolate(const Tensor *a, const Tensor *b, double ratio, Tensor **out,
                          Error *err);
/* Lengths of the channel vectors through Reinhard's curve with white at multiplier (5 std + mean). */
Status planes_tonemap(const Tensor *x, double multiplier, Tensor **out, Error *err);
/* Sharpens the directions of the channel vectors, lengths stay (planes_sharpen's kernel). */
Status planes_sharpen_directions(const Tensor *x, int64_t radius, double sigma, double alpha,
                                 Tensor **out, Error *err);
/* LatentComposite: `from` pasted at cell (x, y); its first `feather` rows and columns on each side that is not at
 * the destination's border fade in. E_RANGE when it lies outside. */
Status planes_paste(const Tensor *to, const Tensor *from, int64_t x, int64_t y, int64_t feather,
                    Tensor **out, Error *err);
/* Slices of `size` along dimension 2 (rows) or 3 (columns) become batch items; a rest is dropped. */
Status planes_slice_to_batch(const Tensor *x, int dim, int64_t size, Tensor **out, Error *err);

#endif
