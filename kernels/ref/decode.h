/* decode.h - weights of every dtype as float32. */
#ifndef WEFT_REF_DECODE_H
#define WEFT_REF_DECODE_H

#include "kernels/kernels.h"

/* Elements [first, first+count) of one row; see k_weight_row. K_BAD_SHAPE when row, first or count lie
 * outside w or cut a block. */
KResult ref_decode_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out);

/* The same as the row is stored; see k_weight_stored. */
KResult ref_decode_stored(const KWeight *w, int64_t row, int64_t first, int64_t count,
                          float *out);

/* `count` elements (whole blocks) of a GGUF block type or a plain float type, without any scale.
 * False for codes that need tables, and integers. */
bool ref_decode_blocks(KDtype t, const void *src, int64_t count, float *out);

#endif
