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

/* ---- weights of four bits ------------------------------------------------------------------------------- */

/* Sixteen codes from eight bytes; the even column low or high. */
GEMM_INLINE __m128i zmm_nibbles(const uint8_t *src, bool even_high)
{
    __m128i b = _mm_loadl_epi64((const void *)src), mask = _mm_set1_epi8(15);
    __m128i low = _mm_and_si128(b, mask), high = _mm_and_si128(_mm_srli_epi16(b, 4), mask);
    return even_high ? _mm_unpacklo_epi8(high, low) : _mm_unpacklo_epi8(low, high);
}

/* Whether every block of scales begins and ends between whole sixteens of columns. */
GEMM_INLINE bool zmm_whole_blocks(const KWeight *w, int64_t first, int64_t count)
{
    return first % 16 == 0 && count % 16 == 0 && count <= REF_SCALES_SPAN &&
           (w->quant->block % 16 == 0) && (w->quant->order != K_SCALES_FLAT || w->k % 16 == 0);
}

/* Codes of the dtypes whose values are levels[code] under one scale. */
static bool zmm_decode_levels(const KWeight *w, int64_t row, int64_t first, int64_t count,
                              float *out)
{
    bool even_high = w->dtype == K_NF4 || w->dtype == K_NVFP4;
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes + first / 2;
    float plain[16], whole = w->scale ? *w->scale : 1.0f;
    RefScales s;

    if (!zmm_whole_blocks(w, first, count)) return false;
    ref_levels(w, plain);
    ref_scales(w, row, first, count, &s);
    __m512 levels = _mm512_loadu_ps(plain);
    for (int64_t i = 0, block = 0; i < count; block++) {
        int64_t end = ref_scale_end(&s, block, count);
        __m512 table = _mm512_mul_ps(levels, _mm512_set1_ps(s.scale[block] * whole));
        table = _mm512_add_ps(table, _mm512_set1_ps(s.zero[block]));
        for (; i < end; i += 16) {
            __m512i codes = _mm512_cvtepu8_epi32(zmm_nibbles(src + i / 2, even_high));
            _mm512_storeu_ps(out + i, _mm512_permutexvar_ps(codes, table));
        }
    }
    return true;
}

/* Sixteen bytes hold 32 codes: the first half in the low nibbles. */
GEMM_INLINE void zmm_halves(const uint8_t *src, __m512 table, float *out)
{
    __m128i b = _mm_loadu_si128((const void *)src), mask = _mm_set1_epi8(15);
    __m128i low = _mm_and_si128(b, mask), high = _mm_and_si128(_mm_srli_epi16(b, 4), mask);
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(low), table));
    _mm512_storeu_ps(out + 16, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(high), table));
}

static void zmm_decode_iq4(const KWeight *w, const uint8_t *src, int64_t count, float *out)
{
    __m512 levels = _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)block_iq4_levels)));

    for (; w->dtype == K_IQ4_NL && count > 0; count -= 32, src += 18, out += 32)
        zmm_halves(src + 2, _mm512_mul_ps(_mm512_set1_ps(block_load_f16(src)), levels), out);
    for (; count > 0; count -= 256, src += 136, out += 256) {
        int high = block_load_u16(src + 2);
        float d = block_load_f16(src);
        for (int j = 0; j < 8; j++) {
            int scale = (src[4 + j / 2] >> (j % 2 * 4) & 15) | (high >> (2 * j) & 3) << 4;
            __m512 s = _mm512_set1_ps(d * (float)(scale - 32));
            zmm_halves(src + 8 + j * 16, _mm512_mul_ps(s, levels), out + j * 32);
        }
    }
}

static bool zmm_decode(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;
    int64_t block = k_dtype_block_elements(w->dtype);

    if (w->dtype == K_NF4 || w->dtype == K_NVFP4 || w->dtype == K_I4 || w->dtype == K_U4)
        return zmm_decode_levels(w, row, first, count, out);
    if ((w->dtype == K_IQ4_NL || w->dtype == K_IQ4_XS) && first % block == 0 &&
        count % block == 0) {
        zmm_decode_iq4(w, src + k_row_bytes(w->dtype, first), count, out);
        return true;
    }
    return ops_decode(w, row, first, count, out);
}

/* The sixteen int8 that the codes of a group stand for. */
GEMM_INLINE __m128i zmm_int8_levels(__m512 levels, float scale)
{
    __m512 v = _mm512_mul_ps(levels, _mm512_set1_ps(scale));
    v = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-127)), _mm512_set1_ps(127));
    return _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v));
}

static bool zmm_codes(const KWeight *w, int64_t row, int64_t first, int64_t count, int8_t *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes + first / 2;
    float plain[16];
    RefScales s = { .scale = { 1 }, .head = count };
    bool w4a8 = w->dtype == K_W4A8;

    if (w->dtype != K_I4 && !(w4a8 && zmm_whole_blocks(w, first, count)))
        return ops_codes(w, row, first, count, out);
    if (first % 16 || count % 16) return false;
    if (w4a8) ref_scales(w, row, first, count, &s);
    ref_levels(w, plain);
    __m512 levels = _mm512_loadu_ps(plain);
    for (int64_t i = 0, block = 0; i < count; block++) {
        int64_t end = ref_scale_end(&s, block, count);
        __m128i table = zmm_int8_levels(levels, s.scale[block]);
        for (; i < end; i += 16)
            _mm_storeu_si128((void *)(out + i),
                             _mm_shuffle_epi8(table, zmm_nibbles(src + i / 2, false)));
    }
    return true;
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
    .exponentials = zmm_exponentials, .store = zmm_store, .decode = zmm_decode,                \
    .codes = zmm_codes, GEMM_ROW_OPS

#endif
