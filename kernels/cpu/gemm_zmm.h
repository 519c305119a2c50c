/* gemm_zmm.h - what the three AVX-512 paths share: the float32 tile and the transposition. */
#ifndef WEFT_CPU_GEMM_ZMM_H
#define WEFT_CPU_GEMM_ZMM_H

#include "kernels/cpu/gemm_ops.h"

#include <immintrin.h>

enum { ZMM_MR = 14, ZMM_NR = 32 };

/* Row i of a at element k, over all sixteen lanes. Rows are reached from every third one, which keeps
 * the address in the load: additions would take turns from the multiplier's ports. */
#define ZMM_ROW(i, k)                                                                          \
    _mm512_set1_ps(((const float *)(const void *)(third[(i) / 3] + (i) % 3 * row))[k])

/* One chunk of K: for each k two loads of b, fourteen broadcasts of a, 28 products. */
GEMM_INLINE void zmm_chunk(__m512 c[ZMM_MR][2], const char *a, ptrdiff_t row, const float *b)
{
    const char *third[5] = { a, a + 3 * row, a + 6 * row, a + 9 * row, a + 12 * row };

#pragma GCC unroll 4
    for (int k = 0; k < GEMM_GROUPS; k++, b += ZMM_NR) {
        __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
#pragma GCC unroll 14
        for (int i = 0; i < ZMM_MR; i++) {
            __m512 x = ZMM_ROW(i, k);
            c[i][0] = _mm512_fmadd_ps(x, b0, c[i][0]);
            c[i][1] = _mm512_fmadd_ps(x, b1, c[i][1]);
        }
    }
}

/* c[14, 32] += a b^T in 28 accumulators. */
static void zmm_tile_f32(const GemmTile *t)
{
    __m512 c[ZMM_MR][2];
    const float *b = (const float *)(const void *)t->b;

#pragma GCC unroll 14
    for (int i = 0; i < ZMM_MR; i++) {
        c[i][0] = t->add ? _mm512_loadu_ps(t->c + i * t->ldc) : _mm512_setzero_ps();
        c[i][1] = t->add ? _mm512_loadu_ps(t->c + i * t->ldc + 16) : _mm512_setzero_ps();
    }
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk, b += GEMM_GROUPS * ZMM_NR)
            zmm_chunk(c, a, t->a_row, b);
    }
#pragma GCC unroll 14
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

/* ---- attention ---------------------------------------------------------------------------------------- */

static float zmm_maximum(const float *s, int64_t n)
{
    __m512 none = _mm512_set1_ps(-__builtin_inff()), m0 = none, m1 = none;
    int64_t j = 0;
    for (; j + 32 <= n; j += 32) {
        m0 = _mm512_max_ps(_mm512_loadu_ps(s + j), m0);
        m1 = _mm512_max_ps(_mm512_loadu_ps(s + j + 16), m1);
    }
    for (; j < n; j += 16) {
        __mmask16 in = n - j >= 16 ? 0xffff : (__mmask16)((1u << (n - j)) - 1u);
        m0 = _mm512_max_ps(_mm512_mask_loadu_ps(none, in, s + j), m0);
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(m0, m1));
}

/* 2^(x / ln 2) as 2^n 2^r with n the nearest integer: the series of 2^r to degree 6, or to 5 (2.4e-6) where
 * the result is rounded to BF16 anyway. Underflow becomes zero, e^-infinity too. */
GEMM_INLINE __m512 zmm_exp(__m512 x, bool fine)
{
    __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f));
    __m512 r = _mm512_reduce_ps(t, 0), n = _mm512_sub_ps(t, r);
    __m512 p = _mm512_set1_ps(1.33335581464284e-3f);
    if (fine) p = _mm512_fmadd_ps(_mm512_set1_ps(1.54035303933816e-4f), r, p);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.61812910762848e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55041086648216e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40226506959101e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147180559945e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Nearest even; the argument is no NaN that matters (the sum has caught it). */
GEMM_INLINE __m256i zmm_to_bf16(__m512 v)
{
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(v);
#else
    __m512i u = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    u = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(u, 16));
#endif
}

GEMM_INLINE float zmm_exponentials_as(float *p, uint16_t *p_bf16, const float *s, float scale,
                                      float max, int64_t n)
{
    __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0, by = _mm512_set1_ps(scale);
    __m512 less = _mm512_set1_ps(-max);

    for (int64_t j = 0; j < n; j += 32) {
        int64_t left = n - j;
        __mmask16 in0 = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1u);
        __mmask16 in1 = left >= 32   ? 0xffff
                        : left <= 16 ? 0
                                     : (__mmask16)((1u << (left - 16)) - 1u);
        __m512 x0 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in0, s + j), by, less);
        __m512 x1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in1, s + j + 16), by, less);
        __m512 e0 = _mm512_maskz_mov_ps(in0, zmm_exp(x0, p != NULL));
        __m512 e1 = _mm512_maskz_mov_ps(in1, zmm_exp(x1, p != NULL));
        sum0 = _mm512_add_ps(sum0, e0);
        sum1 = _mm512_add_ps(sum1, e1);
        if (p) {
            _mm512_storeu_ps(p + j, e0);
            if (left > 16) _mm512_storeu_ps(p + j + 16, e1);
        } else {
            _mm256_storeu_si256((void *)(p_bf16 + j), zmm_to_bf16(e0));
            if (left > 16) _mm256_storeu_si256((void *)(p_bf16 + j + 16), zmm_to_bf16(e1));
        }
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
}

static float zmm_exponentials(float *p, uint16_t *p_bf16, const float *s, float scale,
                              float max, int64_t n)
{
    return p ? zmm_exponentials_as(p, NULL, s, scale, max, n)
             : zmm_exponentials_as(NULL, p_bf16, s, scale, max, n);
}

/* ---- epilogue ----------------------------------------------------------------------------------------- */

/* v / (1 + e^-u) */
GEMM_INLINE __m512 zmm_sigmoid_times(__m512 v, __m512 u)
{
    __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(
        v, _mm512_add_ps(one, zmm_exp(_mm512_sub_ps(_mm512_setzero_ps(), u), true)));
}

GEMM_INLINE __m512 zmm_act(__m512 v, KAct act)
{
    __m512 u;
    switch (act) {
    case K_ACT_NONE:
        return v;
    case K_ACT_SILU:
        return zmm_sigmoid_times(v, v);
    case K_ACT_GELU_TANH: /* v (1 + tanh(u)) / 2 = v sigmoid(2 u) */
        u = _mm512_mul_ps(_mm512_mul_ps(v, v), _mm512_set1_ps(0.044715f));
        u = _mm512_mul_ps(_mm512_fmadd_ps(u, v, v), _mm512_set1_ps(1.5957691216057308f));
        return zmm_sigmoid_times(v, u);
    case K_ACT_GELU_QUICK:
        return zmm_sigmoid_times(v, _mm512_mul_ps(v, _mm512_set1_ps(1.702f)));
    case K_ACT_RELU:
        return _mm512_mask_mov_ps(_mm512_setzero_ps(),
                                  _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ), v);
    }
    return v;
}

/* BF16 to nearest even; every NaN becomes 0x7fc0, as in the reference. */
GEMM_INLINE __m256i zmm_round(__m512 v)
{
    __m512i u = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    u = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd),
                          16);
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(u, nan, _mm512_set1_epi32(0x7fc0)));
}

GEMM_INLINE __m512 zmm_vector(const float *p, int at, __mmask16 in)
{
    return p ? _mm512_maskz_loadu_ps(in, p + at) : _mm512_setzero_ps();
}

GEMM_INLINE __m512 zmm_residual(const GemmStore *s, int64_t at, __mmask16 in)
{
    if (!s->residual_bf16) return _mm512_maskz_loadu_ps(in, (const float *)s->residual + at);
    __m256i h = _mm256_maskz_loadu_epi16(in, (const uint16_t *)s->residual + at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* Up to sixteen columns of a tile from column `at` on. */
GEMM_INLINE void zmm_store_columns(const GemmStore *s, int at, __mmask16 in)
{
    __m512 bias = zmm_vector(s->bias, at, in), bias_value = zmm_vector(s->bias_value, at, in);
    __m512 gate = zmm_vector(s->gate, at, in);

    for (int r = 0; r < s->rows; r++) {
        const float *c = s->c + r * s->ldc + at;
        __m512 v = zmm_act(_mm512_add_ps(_mm512_maskz_loadu_ps(in, c), bias), s->act);
        if (s->glu_offset) {
            __m512 u = _mm512_maskz_loadu_ps(in, c + s->glu_offset);
            v = _mm512_mul_ps(v, _mm512_add_ps(u, bias_value));
        }
        if (s->gate) v = _mm512_mul_ps(v, gate);
        if (s->residual) v = _mm512_add_ps(v, zmm_residual(s, r * s->residual_row + at, in));
        if (s->y_bf16)
            _mm256_mask_storeu_epi16((uint16_t *)s->y + r * s->y_row + at, in, zmm_round(v));
        else
            _mm512_mask_storeu_ps((float *)s->y + r * s->y_row + at, in, v);
    }
}

static void zmm_store(const GemmStore *s)
{
    for (int at = 0; at < s->cols; at += 16)
        zmm_store_columns(
            s, at, s->cols - at >= 16 ? 0xffff : (__mmask16)((1u << (s->cols - at)) - 1u));
}

#define ZMM_KERNEL_F32                                                                         \
    {                                                                                          \
        .mr = ZMM_MR, .nr = ZMM_NR, .elems = 1, .b_budget = 768 << 10, .tile = zmm_tile_f32    \
    }
#define ZMM_ROW_OPS                                                                            \
    .transpose = zmm_transpose, .half = zmm_half, .maximum = zmm_maximum,                      \
    .exponentials = zmm_exponentials, .store = zmm_store, .decode = ops_no_decode,             \
    .codes = ops_no_codes, GEMM_ROW_OPS

#endif
