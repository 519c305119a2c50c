/* noise_impl.h - the two forms of the normal transform, which give the same bits. */
#ifndef WEFT_SAMPLING_NOISE_IMPL_H
#define WEFT_SAMPLING_NOISE_IMPL_H

#include <stdbool.h>
#include <stdint.h>

/* Turns blocks of 16 uniforms into 16 normals each, in place. The plain form runs anywhere; the AVX2 form
 * may be called where noise_has_avx2() holds. */
void noise_blocks_plain(float *d, int64_t blocks);
void noise_blocks_avx2(float *d, int64_t blocks);
bool noise_has_avx2(void);

#endif
