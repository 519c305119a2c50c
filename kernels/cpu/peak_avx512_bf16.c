/* peak_avx512_bf16.c - peak loop of the AVX-512 BF16 dot product. */
#include "kernels/cpu/peak.h"

#include <immintrin.h>

double peak_bf16_avx512_bf16(int64_t rounds)
{
    __m512 a[16];
    __m512i x = _mm512_set1_epi32(0x3f803f80), y = x; /* pairs of 1.0 */

#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_set1_ps((float)i);
    for (int64_t n = 0; n < rounds * 100; n++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(a[i]) : "v"(x), "v"(y));
    }
    for (int i = 1; i < 16; i++)
        a[0] = _mm512_add_ps(a[0], a[i]);
    volatile float sink = _mm512_cvtss_f32(a[0]);
    (void)sink;
    return (double)rounds * 100 * 16 * 32 * 2;
}
