/* encode_gguf.h - rows of float32 as GGUF blocks, without searching for better scales. */
#ifndef WEFT_FORMATS_ENCODE_GGUF_H
#define WEFT_FORMATS_ENCODE_GGUF_H

#include "kernels/kernels.h"

/* `count` values (whole blocks) as blocks of type t into out: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0,
 * Q2_K to Q6_K, IQ4_NL, IQ4_XS. The simple types give the bytes that the reference writer gives. */
void gguf_encode(KDtype t, const float *x, int64_t count, uint8_t *out);

#endif
