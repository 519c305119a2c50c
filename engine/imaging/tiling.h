/* tiling.h - a function of a picture, computed tile by tile with feathered overlaps. */
#ifndef WEFT_IMAGING_TILING_H
#define WEFT_IMAGING_TILING_H

#include "engine/tensor/tensor.h"

/* in [c,h,w] F32 of one tile; writes out [channels, round(h*scale), round(w*scale)]. */
typedef Status (*TileFn)(void *user, const Tensor *in, Tensor *out, Error *err);

typedef struct Tiling {
    int64_t tile_x, tile_y, overlap; /* in units of the input */
    double scale;                    /* of the output against the input */
    TileFn fn;
    void *user;
} Tiling;

/* x [c,h,w]; out [channels, round(h*scale), round(w*scale)] is written. Sums run over tiles in rows, then
 * columns; every output is the weighted mean of the tiles that cover it. Rounding is to nearest even.
 * Errors: E_RANGE for an overlap that is not smaller than the tile; those of fn; E_NOMEM. */
Status tiling_run(const Tiling *t, const Tensor *x, Tensor *out, Error *err);
int64_t tiling_scaled(double scale, int64_t n);

#endif
