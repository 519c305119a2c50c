/* side.h - changes of low rank kept beside a quantised matrix instead of in it.
 *
 * A merged copy of a quantised matrix would lose what its coding saved, and its rows may be rotated. The factors
 * of the change are kept instead, and products add (x down^T) up^T from x as it comes (KSide).
 */
#ifndef WEFT_LORA_SIDE_H
#define WEFT_LORA_SIDE_H

#include "engine/lora/merge.h"

/* Whether matrices of this weight are changed from the side: it is coded in fewer than 16 bits, or is already. */
bool lora_side_suits(const KWeight *w);

/* Factors on their way: up [rows, rank], down [rank, k] with room for the ranks of all changes. */
typedef struct LoraSide {
    KSide side;              /* what kernels take; up and down lie in `data` */
    float *up, *down, *data; /* data is owned; up and down point into it */
    int64_t rows, k, before, filled; /* before: columns that were there already */
} LoraSide;

/* Room for `rank` more columns behind those that w has already, which are copied. data stays NULL when dummy.
 * Errors: E_NOMEM. */
Status lora_side_init(LoraSide *s, const KWeight *w, int64_t rank, bool dummy, Error *err);
void lora_side_fini(LoraSide *s);
/* Adds strength * scale * (up down) of a LORA_PRODUCT for the rows that window and place share. */
Status lora_side_add(LoraSide *s, const LoraWindow *w, const LoraPlace *place,
                     const LoraFactors *f, double strength, Error *err);
/* Whether the side was begun with what w has, which is how a kept one is known again. */
bool lora_side_continues(const LoraSide *s, const KWeight *w);

#endif
