/* gemm_avx512.c - product tiles for AVX-512 (F, BW, DQ, VL); BF16 is widened to float32. */
#include "kernels/cpu/gemm_zmm.h"
#include "kernels/cpu/variants.h"

enum { I8_MR = 8 };

/* The even and the odd bytes of each pair as 16-bit numbers. */
GEMM_INLINE __m512i even_bytes(__m512i v)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8);
}

GEMM_INLINE __m512i odd_bytes(__m512i v)
{
    return _mm512_srai_epi16(v, 8);
}

GEMM_INLINE __m512i dot_i8(__m512i c, const __m512i x[2], __m512i even, __m512i odd)
{
    c = _mm512_add_epi32(c, _mm512_madd_epi16(x[0], even));
    return _mm512_add_epi32(c, _mm512_madd_epi16(x[1], odd));
}

/* c[8, 32] += a b^T in 16-bit products, two at a time: exact for every pair of int8, unlike vpmaddubsw. */
static void tile_i8(const GemmTile *t)
{
    __m512i c[I8_MR][2];
    const uint32_t *b = (const uint32_t *)(const void *)t->b;

#pragma GCC unroll 8
    for (int i = 0; i < I8_MR; i++)
        for (int j = 0; j < 2; j++)
            c[i][j] = t->add ? _mm512_loadu_si512(t->c + i * t->ldc + 16 * j)
                             : _mm512_setzero_si512();
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk) {
            for (int k = 0; k < GEMM_GROUPS; k++, b += ZMM_NR) {
                __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 16);
                __m512i even0 = even_bytes(b0), odd0 = odd_bytes(b0);
                __m512i even1 = even_bytes(b1), odd1 = odd_bytes(b1);
#pragma GCC unroll 8
                for (int i = 0; i < I8_MR; i++) {
                    __m512i v =
                        _mm512_set1_epi32(((const int *)(const void *)(a + i * t->a_row))[k]);
                    __m512i x[2] = { even_bytes(v), odd_bytes(v) };
                    c[i][0] = dot_i8(c[i][0], x, even0, odd0);
                    c[i][1] = dot_i8(c[i][1], x, even1, odd1);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < I8_MR; i++)
        for (int j = 0; j < 2; j++)
            _mm512_storeu_si512(t->c + i * t->ldc + 16 * j, c[i][j]);
}

const GemmOps gemm_ops_avx512 = {
    .name = "avx512",
    .f32 = ZMM_KERNEL_F32,
    .bf16 = ZMM_KERNEL_F32,
    .i8 = { .mr = I8_MR, .nr = ZMM_NR, .elems = 4, .b_budget = 768 << 10, .tile = tile_i8 },
    ZMM_ROW_OPS,
};

GEMM_ENTRIES(avx512)
