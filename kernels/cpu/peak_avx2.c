/* peak_avx2.c - peak loop of AVX2 fused multiply-add. */
#include "kernels/cpu/peak.h"

#include <immintrin.h>

double peak_f32_avx2(int64_t rounds)
{
    __m256 a[12], x = _mm256_set1_ps(1.0001f), y = _mm256_set1_ps(0.9999f);

#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        a[i] = _mm256_set1_ps((float)i);
    for (int64_t n = 0; n < rounds * 100; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = _mm256_fmadd_ps(x, y, a[i]);
        __asm__ volatile("" : "+x"(x), "+x"(y));
    }
    for (int i = 1; i < 12; i++)
        a[0] = _mm256_add_ps(a[0], a[i]);
    volatile float sink = _mm256_cvtss_f32(a[0]);
    (void)sink;
    return (double)rounds * 100 * 12 * 8 * 2;
}
