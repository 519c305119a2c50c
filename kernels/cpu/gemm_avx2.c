/* gemm_avx2.c - product tiles for AVX2 with FMA and F16C. */
#include "kernels/cpu/gemm_ops.h"
#include "kernels/cpu/variants.h"

#include <immintrin.h>

enum { MR = 6, NR = 16 };

/* c[6, 16] += a b^T: twelve accumulators, two loads of b and six broadcasts of a for each k. */
static void tile_f32(const GemmTile *t)
{
    __m256 c[MR][2];
    const float *b = (const float *)t->b;

#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) {
        c[i][0] = t->add ? _mm256_loadu_ps(t->c + i * t->ldc) : _mm256_setzero_ps();
        c[i][1] = t->add ? _mm256_loadu_ps(t->c + i * t->ldc + 8) : _mm256_setzero_ps();
    }
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk) {
            for (int k = 0; k < GEMM_GROUPS; k++, b += NR) {
                __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
                for (int i = 0; i < MR; i++) {
                    __m256 x = _mm256_broadcast_ss((const float *)(a + i * t->a_row) + k);
                    c[i][0] = _mm256_fmadd_ps(x, b0, c[i][0]);
                    c[i][1] = _mm256_fmadd_ps(x, b1, c[i][1]);
                }
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < MR; i++) {
        _mm256_storeu_ps(t->c + i * t->ldc, c[i][0]);
        _mm256_storeu_ps(t->c + i * t->ldc + 8, c[i][1]);
    }
}

enum { I8_MR = 4 };

/* The even and the odd bytes of each pair as 16-bit numbers. */
GEMM_INLINE __m256i even_bytes(__m256i v)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
}

GEMM_INLINE __m256i odd_bytes(__m256i v)
{
    return _mm256_srai_epi16(v, 8);
}

GEMM_INLINE __m256i dot_i8(__m256i c, const __m256i x[2], __m256i even, __m256i odd)
{
    c = _mm256_add_epi32(c, _mm256_madd_epi16(x[0], even));
    return _mm256_add_epi32(c, _mm256_madd_epi16(x[1], odd));
}

/* c[4, 16] += a b^T in 16-bit products, two at a time: exact for every pair of int8, unlike vpmaddubsw. */
static void tile_i8(const GemmTile *t)
{
    __m256i c[I8_MR][2];
    const uint32_t *b = (const uint32_t *)(const void *)t->b;

#pragma GCC unroll 4
    for (int i = 0; i < I8_MR; i++)
        for (int j = 0; j < 2; j++)
            c[i][j] = t->add ? _mm256_loadu_si256((const void *)(t->c + i * t->ldc + 8 * j))
                             : _mm256_setzero_si256();
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk) {
            for (int k = 0; k < GEMM_GROUPS; k++, b += NR) {
                __m256i b0 = _mm256_load_si256((const void *)b);
                __m256i b1 = _mm256_load_si256((const void *)(b + 8));
                __m256i even0 = even_bytes(b0), odd0 = odd_bytes(b0);
                __m256i even1 = even_bytes(b1), odd1 = odd_bytes(b1);
#pragma GCC unroll 4
                for (int i = 0; i < I8_MR; i++) {
                    __m256i v =
                        _mm256_set1_epi32(((const int *)(const void *)(a + i * t->a_row))[k]);
                    __m256i x[2] = { even_bytes(v), odd_bytes(v) };
                    c[i][0] = dot_i8(c[i][0], x, even0, odd0);
                    c[i][1] = dot_i8(c[i][1], x, even1, odd1);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < I8_MR; i++)
        for (int j = 0; j < 2; j++)
            _mm256_storeu_si256((void *)(t->c + i * t->ldc + 8 * j), c[i][j]);
}

/* Eight rows of eight groups at `at` become eight columns. */
static void transpose8(uint32_t *dst, int nr, const uint32_t *const *rows, int64_t at)
{
    __m256 r[8], t[8];

    for (int j = 0; j < 8; j++)
        r[j] = rows[j] ? _mm256_loadu_ps((const float *)(rows[j] + at)) : _mm256_setzero_ps();
    for (int j = 0; j < 8; j += 2) {
        t[j] = _mm256_unpacklo_ps(r[j], r[j + 1]);
        t[j + 1] = _mm256_unpackhi_ps(r[j], r[j + 1]);
    }
    for (int j = 0; j < 8; j += 4) {
        r[j] = _mm256_shuffle_ps(t[j], t[j + 2], 0x44);
        r[j + 1] = _mm256_shuffle_ps(t[j], t[j + 2], 0xee);
        r[j + 2] = _mm256_shuffle_ps(t[j + 1], t[j + 3], 0x44);
        r[j + 3] = _mm256_shuffle_ps(t[j + 1], t[j + 3], 0xee);
    }
    for (int j = 0; j < 4; j++) {
        _mm256_store_ps((float *)dst + j * nr, _mm256_permute2f128_ps(r[j], r[j + 4], 0x20));
        _mm256_store_ps((float *)dst + (j + 4) * nr,
                        _mm256_permute2f128_ps(r[j], r[j + 4], 0x31));
    }
}

static void transpose(uint32_t *dst, int nr, const uint32_t *const *rows, int64_t groups)
{
    for (int64_t g = 0; g < groups; g += 8)
        for (int j = 0; j < nr; j += 8)
            transpose8(dst + g * nr + j, nr, rows + j, g);
}

/* Sixteen codes from eight bytes; the even column low or high. */
GEMM_INLINE __m128i nibbles(const uint8_t *src, bool even_high)
{
    __m128i b = _mm_loadl_epi64((const void *)src), mask = _mm_set1_epi8(15);
    __m128i low = _mm_and_si128(b, mask), high = _mm_and_si128(_mm_srli_epi16(b, 4), mask);
    return even_high ? _mm_unpacklo_epi8(high, low) : _mm_unpacklo_epi8(low, high);
}

/* levels[code] for eight codes: both halves of the table are looked at, bit 3 of the code chooses. */
GEMM_INLINE __m256 look_up(const __m256 levels[2], __m128i codes)
{
    __m256i at = _mm256_cvtepu8_epi32(codes);
    __m256 low = _mm256_permutevar8x32_ps(levels[0], at);
    __m256 high = _mm256_permutevar8x32_ps(levels[1], at);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
}

/* Codes of the dtypes whose values are levels[code] under one scale, in whole sixteens. */
static bool decode_levels(const KWeight *w, int64_t row, int64_t first, int64_t count,
                          float *out)
{
    bool even_high = w->dtype == K_NF4 || w->dtype == K_NVFP4;
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes + first / 2;
    float plain[16], table[16], whole = w->scale ? *w->scale : 1.0f;
    RefScales s;

    if (first % 16 || count % 16 || count > REF_SCALES_SPAN || w->quant->block % 16 ||
        (w->quant->order == K_SCALES_FLAT && w->k % 16))
        return false;
    ref_levels(w, plain);
    ref_scales(w, row, first, count, &s);
    for (int64_t i = 0, block = 0; i < count; block++) {
        int64_t end = ref_scale_end(&s, block, count);
        for (int j = 0; j < 16; j++)
            table[j] = plain[j] * (s.scale[block] * whole) + s.zero[block];
        __m256 levels[2] = { _mm256_loadu_ps(table), _mm256_loadu_ps(table + 8) };
        for (; i < end; i += 16) {
            __m128i codes = nibbles(src + i / 2, even_high);
            _mm256_storeu_ps(out + i, look_up(levels, codes));
            _mm256_storeu_ps(out + i + 8, look_up(levels, _mm_srli_si128(codes, 8)));
        }
    }
    return true;
}

static bool decode(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    if (w->dtype == K_NF4 || w->dtype == K_NVFP4 || w->dtype == K_I4 || w->dtype == K_U4)
        return decode_levels(w, row, first, count, out);
    return ops_decode(w, row, first, count, out);
}

static void half(float *dst, const uint16_t *src, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(src + i))));
    ops_half(dst + i, src + i, n - i);
}

const GemmOps gemm_ops_avx2 = {
    .name = "avx2",
    .f32 = { .mr = MR, .nr = NR, .elems = 1, .b_budget = 256 << 10, .tile = tile_f32 },
    .bf16 = { .mr = MR, .nr = NR, .elems = 1, .b_budget = 256 << 10, .tile = tile_f32 },
    .i8 = { .mr = I8_MR, .nr = NR, .elems = 4, .b_budget = 256 << 10, .tile = tile_i8 },
    .decode = decode,
    .codes = ops_codes,
    .transpose = transpose,
    .half = half,
    .maximum = ops_maximum,
    .exponentials = ops_exponentials,
    .store = ops_store,
    GEMM_ROW_OPS,
};

GEMM_ENTRIES(avx2)
