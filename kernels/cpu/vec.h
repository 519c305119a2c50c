/*
 * vec.h - one vector vocabulary for AVX-512, AVX2 and the compiler's own portable vectors.
 *
 * A file that includes it is compiled once per instruction-set path (meson.build: cpu_every_files) and
 * names its functions CPU_FN(op). vf is a vector of V_WIDTH floats; + - * / work on it in every path.
 * Bits may differ between paths (the portable one has no fused multiply-add), never within one.
 */
#ifndef WEFT_CPU_VEC_H
#define WEFT_CPU_VEC_H

#include "kernels/cpu/variants.h"
#include "kernels/element.h"

#if defined(__AVX512F__)
#define CPU_FN(op) cpu_##op##_avx512
#define CPU_SCRATCH_FN(op) cpu_##op##_avx512_scratch
#elif defined(__AVX2__)
#define CPU_FN(op) cpu_##op##_avx2
#define CPU_SCRATCH_FN(op) cpu_##op##_avx2_scratch
#else
#define CPU_FN(op) cpu_##op##_generic
#define CPU_SCRATCH_FN(op) cpu_##op##_generic_scratch
#endif

/* Work (elements) below which a second thread costs more than it brings. */
enum { V_PARALLEL_FROM = 1 << 14 };

#if defined(__AVX512F__)

#include <immintrin.h>

enum { V_WIDTH = 16, VD_WIDTH = 8 };
typedef __m512 vf;
typedef __m512d vd; /* half as many doubles */

static inline vf v_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* The second operand when either is NaN. */
static inline vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vf v_rint(vf v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n for whole n in [-126, 127]. */
static inline vf v_exp2_whole(vf n)
{
    __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}

static inline vf v_load_bf16(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline void v_store_bf16(uint16_t *p, vf v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i round = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    round = _mm512_mask_set1_epi32(_mm512_srli_epi32(round, 16), nan, 0xFFFF);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(round));
}

/* Pairs (a, b) turned by pairs (cos, sin): (a cos - b sin, b cos + a sin). */
static inline vf v_rotate_pairs(vf x, vf cs)
{
    vf swapped = _mm512_permute_ps(x, 0xB1);
    return _mm512_fmaddsub_ps(x, _mm512_moveldup_ps(cs), swapped * _mm512_movehdup_ps(cs));
}

/* Even and odd elements of two vectors that follow each other. */
static inline void v_split(vf first, vf second, vf *even, vf *odd)
{
    const __m512i at =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(first, at, second);
    *odd = _mm512_permutex2var_ps(first, _mm512_add_epi32(at, _mm512_set1_epi32(1)), second);
}

static inline vd v_low_double(vf v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

static inline vd v_high_double(vf v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

#elif defined(__AVX2__)

#include <immintrin.h>

enum { V_WIDTH = 8, VD_WIDTH = 4 };
typedef __m256 vf;
typedef __m256d vd;

static inline vf v_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

static inline vf v_rint(vf v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vf v_exp2_whole(vf n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}

static inline vf v_load_bf16(const uint16_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline void v_store_bf16(uint16_t *p, vf v)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i round = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    round = _mm256_srli_epi32(_mm256_or_si256(round, nan), 16);
    round = _mm256_permute4x64_epi64(_mm256_packus_epi32(round, round), 0xD8);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(round));
}

static inline vf v_rotate_pairs(vf x, vf cs)
{
    vf swapped = _mm256_permute_ps(x, 0xB1);
    return _mm256_fmaddsub_ps(x, _mm256_moveldup_ps(cs), swapped * _mm256_movehdup_ps(cs));
}

static inline void v_split(vf first, vf second, vf *even, vf *odd)
{
    __m256d e = _mm256_castps_pd(_mm256_shuffle_ps(first, second, 0x88));
    __m256d o = _mm256_castps_pd(_mm256_shuffle_ps(first, second, 0xDD));
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(e, 0xD8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(o, 0xD8));
}

static inline vd v_low_double(vf v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

static inline vd v_high_double(vf v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

#else

enum { V_WIDTH = 4, VD_WIDTH = 2 };
typedef float vf __attribute__((vector_size(16)));
typedef double vd __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline vf v_set1(float x)
{
    return (vf){ x, x, x, x };
}

static inline vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void v_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

/* a where the mask is set, else b. */
static inline vf v_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

static inline vf v_max(vf a, vf b)
{
    return v_select(a > b, a, b);
}

static inline vf v_min(vf a, vf b)
{
    return v_select(a < b, a, b);
}

/* |v| < 2^22: the sum's last place is one. */
static inline vf v_rint(vf v)
{
    vf magic = v_set1(0x1.8p23f);
    return (v + magic) - magic;
}

static inline vf v_exp2_whole(vf n)
{
    vi e = { (int32_t)n[0], (int32_t)n[1], (int32_t)n[2], (int32_t)n[3] };
    return (vf)((e + 127) << 23);
}

static inline vf v_load_bf16(const uint16_t *p)
{
    return (vf){ k_bf16_widen(p[0]), k_bf16_widen(p[1]), k_bf16_widen(p[2]),
                 k_bf16_widen(p[3]) };
}

static inline void v_store_bf16(uint16_t *p, vf v)
{
    for (int i = 0; i < V_WIDTH; i++)
        p[i] = k_bf16_round(v[i]);
}

static inline vf v_rotate_pairs(vf x, vf cs)
{
    return (vf){ x[0] * cs[0] - x[1] * cs[1], x[1] * cs[0] + x[0] * cs[1],
                 x[2] * cs[2] - x[3] * cs[3], x[3] * cs[2] + x[2] * cs[3] };
}

static inline void v_split(vf first, vf second, vf *even, vf *odd)
{
    *even = (vf){ first[0], first[2], second[0], second[2] };
    *odd = (vf){ first[1], first[3], second[1], second[3] };
}

static inline vd v_low_double(vf v)
{
    return (vd){ (double)v[0], (double)v[1] };
}

static inline vd v_high_double(vf v)
{
    return (vd){ (double)v[2], (double)v[3] };
}

#endif

/* ---- what follows is the same everywhere ---------------------------------------------------------- */

/* Sum of the lanes, halves upon halves. */
static inline float v_sum(vf v)
{
    float lane[V_WIDTH];

    v_store(lane, v);
    for (int n = V_WIDTH / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            lane[i] += lane[i + n];
    return lane[0];
}

/* The first n of V_WIDTH floats; zeros behind them. */
static inline vf v_load_n(const float *p, int64_t n)
{
    float lane[V_WIDTH] = { 0 };

    memcpy(lane, p, (size_t)n * sizeof *p);
    return v_load(lane);
}

/* n (at most V_WIDTH) elements from `at` on of an F32 or BF16 view with innermost stride 1. */
static inline vf v_get(const KView *v, int64_t at, int64_t n)
{
    if (v->dtype == K_BF16) {
        const uint16_t *p = (const uint16_t *)v->data + at;
        uint16_t lane[V_WIDTH] = { 0 };
        if (n >= V_WIDTH) return v_load_bf16(p);
        memcpy(lane, p, (size_t)n * sizeof *p);
        return v_load_bf16(lane);
    }
    const float *p = (const float *)v->data + at;
    return n >= V_WIDTH ? v_load(p) : v_load_n(p, n);
}

static inline void v_put(const KView *v, int64_t at, int64_t n, vf x)
{
    if (v->dtype == K_BF16) {
        uint16_t *p = (uint16_t *)v->data + at, lane[V_WIDTH];
        v_store_bf16(n >= V_WIDTH ? p : lane, x);
        if (n < V_WIDTH) memcpy(p, lane, (size_t)n * sizeof *p);
        return;
    }
    float *p = (float *)v->data + at, lane[V_WIDTH];
    v_store(n >= V_WIDTH ? p : lane, x);
    if (n < V_WIDTH) memcpy(p, lane, (size_t)n * sizeof *p);
}

/* The same from an optional float32 vector. */
static inline vf v_get_or(const KView *v, int64_t at, int64_t n, float absent)
{
    return v->data ? v_get(v, at, n) : v_set1(absent);
}

/*
 * e^x for |x| <= 87, clamped beyond, NaN kept; error below 1.5 units in the last place with fused
 * multiply-add. x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts so that n times the first is exact;
 * e^r by its Taylor series up to r^7 (remainder 5e-9 relative).
 */
static inline vf v_exp(vf x)
{
    x = v_min(v_set1(87.0f), v_max(v_set1(-87.0f), x));
    vf n = v_rint(x * v_set1(0x1.715476p0f));
    vf r = v_fma(n, v_set1(-0x1.62e4p-1f), x);
    r = v_fma(n, v_set1(-0x1.7f7d1cp-20f), r);
    vf p = v_set1(1.0f / 5040);
    p = v_fma(p, r, v_set1(1.0f / 720));
    p = v_fma(p, r, v_set1(1.0f / 120));
    p = v_fma(p, r, v_set1(1.0f / 24));
    p = v_fma(p, r, v_set1(1.0f / 6));
    p = v_fma(p, r, v_set1(0.5f));
    p = v_fma(p * r, r, r) + v_set1(1.0f);
    return p * v_exp2_whole(n);
}

/* x * sigmoid(k) */
static inline vf v_times_sigmoid(vf x, vf k)
{
    vf one = v_set1(1.0f);
    return x / (one + v_exp(v_set1(0.0f) - k));
}

/* k_activate on vectors. The tanh form of GELU is x * sigmoid(2 u), since 1 + tanh u = 2 sigmoid(2 u). */
static inline vf v_activate(KAct act, vf x)
{
    switch (act) {
    case K_ACT_NONE:
        return x;
    case K_ACT_SILU:
        return v_times_sigmoid(x, x);
    case K_ACT_GELU_TANH: {
        vf cube = x * x * x;
        return v_times_sigmoid(x,
                               v_set1(1.5957691216057308f) * v_fma(v_set1(0.044715f), cube, x));
    }
    case K_ACT_GELU_QUICK:
        return v_times_sigmoid(x, v_set1(1.702f) * x);
    case K_ACT_RELU:
        return v_max(v_set1(0.0f), x);
    }
    return x;
}

#endif
