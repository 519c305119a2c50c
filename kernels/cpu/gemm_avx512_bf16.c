/* gemm_avx512_bf16.c - product tiles with the AVX-512 BF16 dot product (vdpbf16ps). */
#include "kernels/cpu/gemm_zmm.h"
#include "kernels/cpu/variants.h"

enum { MR = 12, NR = 32 };

/* Assembly rather than the intrinsic: compilers have been seen to copy and spill its accumulators. */
GEMM_INLINE __m512 dot(__m512 c, __m512i x, __m512i b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(x), "v"(b));
    return c;
}

/* c[12, 32] += a b^T, two elements of k at a time. */
static void tile_bf16(const GemmTile *t)
{
    __m512 c[MR][2];
    const uint32_t *b = (const uint32_t *)t->b;

#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        c[i][0] = t->add ? _mm512_loadu_ps(t->c + i * t->ldc) : _mm512_setzero_ps();
        c[i][1] = t->add ? _mm512_loadu_ps(t->c + i * t->ldc + 16) : _mm512_setzero_ps();
    }
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk) {
            for (int k = 0; k < GEMM_GROUPS; k++, b += NR) {
                __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 16);
#pragma GCC unroll 12
                for (int i = 0; i < MR; i++) {
                    __m512i x = _mm512_set1_epi32(((const int *)(a + i * t->a_row))[k]);
                    c[i][0] = dot(c[i][0], x, b0);
                    c[i][1] = dot(c[i][1], x, b1);
                }
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
        _mm512_storeu_ps(t->c + i * t->ldc, c[i][0]);
        _mm512_storeu_ps(t->c + i * t->ldc + 16, c[i][1]);
    }
}

GEMM_INLINE __m512i dot_i8(__m512i c, __m512i x, __m512i b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(x), "v"(b));
    return c;
}

/*
 * c[12, 32] += a b^T, four elements of k at a time. vpdpbusd takes unsigned times signed: a goes in as a + 128,
 * and 128 times the sums of b, which a thirteenth row of constants collects, is taken away at the end. Sums
 * that pass 2^31 on the way wrap round and back.
 */
static void tile_i8(const GemmTile *t)
{
    const __m512i bias = _mm512_set1_epi8((char)-128);
    __m512i c[MR + 1][2];
    const uint32_t *b = (const uint32_t *)t->b;

    for (int i = 0; i <= MR; i++)
        c[i][0] = c[i][1] = _mm512_setzero_si512();
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk) {
            for (int k = 0; k < GEMM_GROUPS; k++, b += NR) {
                __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 16);
                c[MR][0] = dot_i8(c[MR][0], bias, b0);
                c[MR][1] = dot_i8(c[MR][1], bias, b1);
#pragma GCC unroll 12
                for (int i = 0; i < MR; i++) {
                    __m512i x = _mm512_set1_epi32(((const int *)(a + i * t->a_row))[k]);
                    x = _mm512_xor_si512(x, bias);
                    c[i][0] = dot_i8(c[i][0], x, b0);
                    c[i][1] = dot_i8(c[i][1], x, b1);
                }
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < 2; j++) {
            __m512i sum = _mm512_sub_epi32(c[i][j], c[MR][j]);
            float *to = t->c + i * t->ldc + 16 * j;
            if (t->add) sum = _mm512_add_epi32(sum, _mm512_loadu_si512(to));
            _mm512_storeu_si512(to, sum);
        }
}

const GemmOps gemm_ops_avx512_bf16 = {
    .name = "avx512_bf16",
    .f32 = ZMM_KERNEL_F32,
    .bf16 = { .mr = MR, .nr = NR, .elems = 2, .b_budget = 768 << 10, .tile = tile_bf16 },
    .i8 = { .mr = MR, .nr = NR, .elems = 4, .b_budget = 768 << 10, .tile = tile_i8 },
    ZMM_ROW_OPS,
};

GEMM_ENTRIES(avx512_bf16)
