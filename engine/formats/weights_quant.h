/* weights_quant.h - what a layer's quantisation record makes of its matrix (only weights_*.c). */
#ifndef WEFT_FORMATS_WEIGHTS_QUANT_H
#define WEFT_FORMATS_WEIGHTS_QUANT_H

#include "engine/formats/weights_source.h"

/* One layer's record, whichever notation it came in. Sizes are 0 where nothing is said. */
typedef struct QuantRecord {
    const char *layer, *format;
    bool full_precision, convrot;
    int64_t rotate, group; /* convrot_groupsize; group_size, or bitsandbytes' blocksize */
    int ndim;              /* of a matrix stored flat; 0 = the tensor's own shape counts */
    const int64_t *shape;
    int64_t nested_block;
    float nested_offset;
} QuantRecord;

/* Gives the entry LAYER.weight its dtype, logical shape and tables; a layer without a weight is passed over.
 * Errors: E_FORMAT (a tensor is missing or has another shape or dtype than the format says), E_UNSUPPORTED
 * (an unknown format, by name), E_NOMEM. */
Status quant_apply(Source *s, const Map *table, const QuantRecord *r, Error *err);

#endif
