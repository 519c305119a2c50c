/* gemm_zmm.h - what the three AVX-512 paths share: the float32 tile and the transposition. */
#ifndef WEFT_CPU_GEMM_ZMM_H
#define WEFT_CPU_GEMM_ZMM_H

#include "kernels/cpu/gemm_ops.h"

#include <immintrin.h>

enum { ZMM_MR = 12, ZMM_NR = 32 };

/* c[12, 32] += a b^T: 24 accumulators, two loads of b and twelve broadcasts of a for each k. */
static void zmm_tile_f32(const GemmTile *t)
{
    __m512 c[ZMM_MR][2];
    const float *b = (const float *)t->b;

#pragma GCC unroll 12
    for (int i = 0; i < ZMM_MR; i++) {
        c[i][0] = t->add ? _mm512_loadu_ps(t->c + i * t->ldc) : _mm512_setzero_ps();
        c[i][1] = t->add ? _mm512_loadu_ps(t->c + i * t->ldc + 16) : _mm512_setzero_ps();
    }
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk) {
            for (int k = 0; k < GEMM_GROUPS; k++, b += ZMM_NR) {
                __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
                _mm_prefetch((const char *)(b + 16 * ZMM_NR), _MM_HINT_T0);
                _mm_prefetch((const char *)(b + 16 * ZMM_NR + 16), _MM_HINT_T0);
#pragma GCC unroll 12
                for (int i = 0; i < ZMM_MR; i++) {
                    __m512 x = _mm512_set1_ps(((const float *)(a + i * t->a_row))[k]);
                    c[i][0] = _mm512_fmadd_ps(x, b0, c[i][0]);
                    c[i][1] = _mm512_fmadd_ps(x, b1, c[i][1]);
                }
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < ZMM_MR; i++) {
        _mm512_storeu_ps(t->c + i * t->ldc, c[i][0]);
        _mm512_storeu_ps(t->c + i * t->ldc + 16, c[i][1]);
    }
}

/* Sixteen rows of sixteen groups at `at` become sixteen columns. */
static void zmm_transpose16(uint32_t *dst, int nr, const uint32_t *const *rows, int64_t at)
{
    __m512i r[16], t[16];

#pragma GCC unroll 16
    for (int j = 0; j < 16; j++)
        r[j] = rows[j] ? _mm512_loadu_si512(rows[j] + at) : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 16; j += 2) {
        t[j] = _mm512_unpacklo_epi32(r[j], r[j + 1]);
        t[j + 1] = _mm512_unpackhi_epi32(r[j], r[j + 1]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 16; j += 4) {
        r[j] = _mm512_unpacklo_epi64(t[j], t[j + 2]);
        r[j + 1] = _mm512_unpackhi_epi64(t[j], t[j + 2]);
        r[j + 2] = _mm512_unpacklo_epi64(t[j + 1], t[j + 3]);
        r[j + 3] = _mm512_unpackhi_epi64(t[j + 1], t[j + 3]);
    }
    /* r[4q + c] now holds columns c, c+4, c+8, c+12 of rows 4q..4q+3, one 128-bit lane each */
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        __m512i lo = _mm512_shuffle_i32x4(r[c], r[c + 4], 0x88);
        __m512i hi = _mm512_shuffle_i32x4(r[c], r[c + 4], 0xdd);
        __m512i lo2 = _mm512_shuffle_i32x4(r[c + 8], r[c + 12], 0x88);
        __m512i hi2 = _mm512_shuffle_i32x4(r[c + 8], r[c + 12], 0xdd);
        _mm512_store_si512(dst + c * nr, _mm512_shuffle_i32x4(lo, lo2, 0x88));
        _mm512_store_si512(dst + (c + 4) * nr, _mm512_shuffle_i32x4(hi, hi2, 0x88));
        _mm512_store_si512(dst + (c + 8) * nr, _mm512_shuffle_i32x4(lo, lo2, 0xdd));
        _mm512_store_si512(dst + (c + 12) * nr, _mm512_shuffle_i32x4(hi, hi2, 0xdd));
    }
}

static void zmm_transpose(uint32_t *dst, int nr, const uint32_t *const *rows, int64_t groups)
{
    for (int64_t g = 0; g < groups; g += 16)
        for (int j = 0; j < nr; j += 16)
            zmm_transpose16(dst + g * nr + j, nr, rows + j, g);
}

static void zmm_half(float *dst, const uint16_t *src, int64_t n)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(dst + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(src + i))));
    ops_half(dst + i, src + i, n - i);
}

#define ZMM_KERNEL_F32                                                                         \
    {                                                                                          \
        .mr = ZMM_MR, .nr = ZMM_NR, .elems = 1, .b_budget = 768 << 10, .tile = zmm_tile_f32    \
    }
#define ZMM_ROW_OPS .transpose = zmm_transpose, .half = zmm_half, GEMM_ROW_OPS

#endif
