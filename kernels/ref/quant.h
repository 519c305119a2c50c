/* quant.h - weights whose codes need tables beside them. */
#ifndef WEFT_REF_QUANT_H
#define WEFT_REF_QUANT_H

#include "kernels/kernels.h"

/* Elements [first, first+count) of one row of a weight with w->quant, as stored. */
KResult ref_decode_quant(const KWeight *w, int64_t row, int64_t first, int64_t count,
                         float *out);

/* Parts of that for kernels with vectors of their own: the scales (without the matrix' own) and zeros of the
 * blocks that columns [first, first+count) lie in, count <= REF_SCALES_SPAN. */
enum { REF_SCALES_SPAN = 256 };
typedef struct RefScales {
    float scale[REF_SCALES_SPAN + 1],
        zero[REF_SCALES_SPAN + 1]; /* zero: only where there are any */
    int64_t head, block;           /* columns that the first scale and each other one serves */
} RefScales;
void ref_scales(const KWeight *w, int64_t row, int64_t first, int64_t count, RefScales *out);
/* Where the columns of that block of the span end. */
static inline int64_t ref_scale_end(const RefScales *s, int64_t block, int64_t count)
{
    int64_t end = s->head + block * s->block;
    return end < count ? end : count;
}
/* What the 16 codes of a 4-bit dtype stand for before any scale. */
void ref_levels(const KWeight *w, float out[16]);

/* From stored values to the matrix' own: rotation, column scales, low-rank addition. */
void ref_finish_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out);

#endif
