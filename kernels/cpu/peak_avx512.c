/* peak_avx512.c - peak loop of AVX-512 fused multiply-add. */
#include "kernels/cpu/peak.h"

#include <immintrin.h>

double peak_f32_avx512(int64_t rounds)
{
    __m512 a[16], x = _mm512_set1_ps(1.0001f), y = _mm512_set1_ps(0.9999f);

#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_set1_ps((float)i);
    for (int64_t n = 0; n < rounds * 100; n++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            a[i] = _mm512_fmadd_ps(x, y, a[i]);
        __asm__ volatile("" : "+v"(x), "+v"(y));
    }
    for (int i = 1; i < 16; i++)
        a[0] = _mm512_add_ps(a[0], a[i]);
    volatile float sink = _mm512_cvtss_f32(a[0]);
    (void)sink;
    return (double)rounds * 100 * 16 * 16 * 2;
}
