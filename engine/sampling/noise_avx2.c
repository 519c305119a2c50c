/* noise_avx2.c - the normal transform of noise.c for processors with AVX2 and FMA: eight lanes at a time.
 *
 * Operation for operation the polynomials of noise.c, where they are explained.
 */
#include "engine/sampling/noise_impl.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))

AVX2 static inline __m256 all(float v)
{
    return _mm256_set1_ps(v);
}

AVX2 static inline __m256 bits_of(int v)
{
    return _mm256_castsi256_ps(_mm256_set1_epi32(v));
}

AVX2 static inline __m256 log8(__m256 x)
{
    static const float poly[] = { -1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f,
                                  1.4249322787e-1f,  -1.6668057665e-1f, 2.0000714765e-1f,
                                  -2.4999993993e-1f, 3.3333331174e-1f };

    x = _mm256_max_ps(x, all(0x1p-126f));
    __m256i exponent = _mm256_srli_epi32(_mm256_castps_si256(x), 23);
    __m256 e = _mm256_cvtepi32_ps(_mm256_sub_epi32(exponent, _mm256_set1_epi32(127)));
    e = _mm256_add_ps(e, all(1.0f));
    __m256 m = _mm256_or_ps(_mm256_and_ps(x, bits_of(0x7fffff)), bits_of(0x3f000000));
    __m256 low = _mm256_cmp_ps(m, all(0.707106781186547524f), _CMP_LT_OQ);
    e = _mm256_sub_ps(e, _mm256_and_ps(low, all(1.0f)));
    x = _mm256_add_ps(_mm256_sub_ps(m, all(1.0f)), _mm256_and_ps(low, m));

    __m256 z = _mm256_mul_ps(x, x), y = all(7.0376836292e-2f);
    for (int i = 0; i < 8; i++)
        y = _mm256_fmadd_ps(y, x, all(poly[i]));
    y = _mm256_mul_ps(y, x);
    y = _mm256_fmadd_ps(y, z, _mm256_mul_ps(e, all(-2.12194440e-4f)));
    y = _mm256_fnmadd_ps(z, all(0.5f), y);
    x = _mm256_add_ps(x, y);
    return _mm256_fmadd_ps(e, all(0.693359375f), x);
}

/* All ones in the lanes where the bit of j is set. */
AVX2 static inline __m256 where_bit(__m256i j, int bit)
{
    __m256i b = _mm256_set1_epi32(bit);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(j, b), b));
}

AVX2 static inline void sincos8(__m256 x, __m256 *sine, __m256 *cosine)
{
    __m256i j = _mm256_cvttps_epi32(_mm256_mul_ps(x, all(1.27323954473516f)));
    j = _mm256_and_si256(_mm256_add_epi32(j, _mm256_set1_epi32(1)), _mm256_set1_epi32(~1));
    __m256 y = _mm256_cvtepi32_ps(j);

    x = _mm256_fmadd_ps(y, all(-0.78515625f), x);
    x = _mm256_fmadd_ps(y, all(-2.4187564849853515625e-4f), x);
    x = _mm256_fmadd_ps(y, all(-3.77489497744594108e-8f), x);
    __m256 z = _mm256_mul_ps(x, x);

    __m256 c = _mm256_fmadd_ps(all(2.443315711809948e-5f), z, all(-1.388731625493765e-3f));
    c = _mm256_fmadd_ps(c, z, all(4.166664568298827e-2f));
    c = _mm256_mul_ps(c, z);
    c = _mm256_fmsub_ps(c, z, _mm256_mul_ps(z, all(0.5f)));
    c = _mm256_add_ps(c, all(1.0f));

    __m256 s = _mm256_fmadd_ps(all(-1.9515295891e-4f), z, all(8.3321608736e-3f));
    s = _mm256_fmadd_ps(s, z, all(-1.6666654611e-1f));
    s = _mm256_mul_ps(s, z);
    s = _mm256_fmadd_ps(s, x, x);

    __m256 swap = where_bit(j, 2), sign = all(-0.0f);
    __m256i k = _mm256_sub_epi32(j, _mm256_set1_epi32(2));
    __m256 flip_sine = _mm256_and_ps(where_bit(j, 4), sign);
    __m256 flip_cosine = _mm256_andnot_ps(where_bit(k, 4), sign);
    *sine = _mm256_xor_ps(_mm256_blendv_ps(s, c, swap), flip_sine);
    *cosine = _mm256_xor_ps(_mm256_blendv_ps(c, s, swap), flip_cosine);
}

AVX2 void noise_blocks_avx2(float *d, int64_t blocks)
{
    const __m256 two_pi = all((float)6.283185307179586476925286766559);

    for (int64_t i = 0; i < blocks; i++, d += 16) {
        __m256 s, c, u1 = _mm256_sub_ps(all(1.0f), _mm256_loadu_ps(d));
        __m256 radius = _mm256_sqrt_ps(_mm256_mul_ps(all(-2.0f), log8(u1)));
        sincos8(_mm256_mul_ps(two_pi, _mm256_loadu_ps(d + 8)), &s, &c);
        _mm256_storeu_ps(d, _mm256_mul_ps(radius, c));
        _mm256_storeu_ps(d + 8, _mm256_mul_ps(radius, s));
    }
}

bool noise_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#else

void noise_blocks_avx2(float *d, int64_t blocks)
{
    noise_blocks_plain(d, blocks);
}

bool noise_has_avx2(void)
{
    return false;
}

#endif
