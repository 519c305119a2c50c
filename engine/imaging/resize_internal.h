/* resize_internal.h - the methods that do not fit the table of taps. */
#ifndef WEFT_IMAGING_RESIZE_INTERNAL_H
#define WEFT_IMAGING_RESIZE_INTERNAL_H

#include "engine/imaging/resize.h"

/* x [N, C, H, W] F32, checked by the caller. */
Status resize_lanczos(const Tensor *x, Size2 to, Tensor **out, Error *err);
Status resize_bislerp(const Tensor *x, Size2 to, Tensor **out, Error *err);

#endif
