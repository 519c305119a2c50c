/* quant.h - weights whose codes need tables beside them. */
#ifndef WEFT_REF_QUANT_H
#define WEFT_REF_QUANT_H

#include "kernels/kernels.h"

/* Elements [first, first+count) of one row of a weight with w->quant, as stored. */
KResult ref_decode_quant(const KWeight *w, int64_t row, int64_t first, int64_t count,
                         float *out);

/* From stored values to the matrix' own: rotation, column scales, low-rank addition. */
void ref_finish_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out);

#endif
