/* gemm_ops.h - row conversions and tile epilogues, compiled anew for each instruction-set path.
 *
 * Plain loops on purpose: each file that includes this header is built with its own flags and the
 * compiler turns the loops into that path's vectors. Rounding is the same on every path.
 */
#ifndef WEFT_CPU_GEMM_OPS_H
#define WEFT_CPU_GEMM_OPS_H

#include "kernels/blocks.h"
#include "kernels/cpu/gemm.h"
#include "kernels/ref/quant.h"

#include <string.h>

#define GEMM_INLINE static inline __attribute__((always_inline))

GEMM_INLINE float ops_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

GEMM_INLINE uint32_t ops_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* Nearest even; every NaN becomes 0x7fc0, as in the reference. */
GEMM_INLINE uint32_t ops_bf16(float f)
{
    uint32_t u = ops_bits(f);
    uint32_t r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (u & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : r;
}

#ifdef __FMA__
#define OPS_FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define OPS_FMA(a, b, c) ((a) * (b) + (c))
#endif

/*
 * e^x for -87 <= x <= 88 (clamped), about one unit in the last place: x = n ln 2 + r, polynomial in r
 * of degree 6 (minimax coefficients of the Cephes library), 2^n by exponent bits.
 */
GEMM_INLINE float ops_exp(float x)
{
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float n = OPS_FMA(x, 1.44269504088896341f, shifter) - shifter;
    float r = OPS_FMA(n, 2.12194440e-4f, OPS_FMA(n, -0.693359375f, x));
    float p = 1.9875691500e-4f;
    p = OPS_FMA(p, r, 1.3981999507e-3f);
    p = OPS_FMA(p, r, 8.3334519073e-3f);
    p = OPS_FMA(p, r, 4.1665795894e-2f);
    p = OPS_FMA(p, r, 1.6666665459e-1f);
    p = OPS_FMA(p, r, 5.0000001201e-1f);
    p = OPS_FMA(p * r, r, r) + 1.0f;
    return p * ops_float((uint32_t)((int32_t)n + 127) << 23);
}

GEMM_INLINE float ops_sigmoid_times(float v, float u)
{
    return v / (1.0f + ops_exp(-u));
}

static void ops_act(float *v, int n, KAct act)
{
    switch (act) {
    case K_ACT_NONE:
        break;
    case K_ACT_SILU:
        for (int i = 0; i < n; i++)
            v[i] = ops_sigmoid_times(v[i], v[i]);
        break;
    case K_ACT_GELU_TANH: /* v (1 + tanh(u)) / 2 = v sigmoid(2 u) */
        for (int i = 0; i < n; i++) {
            float u = 0.7978845608028654f * (v[i] + 0.044715f * v[i] * v[i] * v[i]);
            v[i] = ops_sigmoid_times(v[i], 2.0f * u);
        }
        break;
    case K_ACT_GELU_QUICK:
        for (int i = 0; i < n; i++)
            v[i] = ops_sigmoid_times(v[i], 1.702f * v[i]);
        break;
    case K_ACT_RELU:
        for (int i = 0; i < n; i++)
            v[i] = v[i] > 0.0f ? v[i] : 0.0f;
        break;
    }
}

static void ops_widen(float *dst, const uint16_t *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = ops_float((uint32_t)src[i] << 16);
}

static void ops_narrow(uint16_t *dst, const float *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = (uint16_t)ops_bf16(src[i]);
}

static void ops_round(float *dst, const float *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = ops_float(ops_bf16(src[i]) << 16);
}

/* yes or no without a branch, which would keep a loop from the vectorizer. */
GEMM_INLINE uint32_t ops_pick(bool condition, uint32_t yes, uint32_t no)
{
    uint32_t mask = 0u - (uint32_t)condition;
    return (yes & mask) | (no & ~mask);
}

/* Small formats are rebiased in their exponent; a subnormal is its integer times its unit. A product with the
 * subnormal float that a plain shift gives would do both, but costs the processor an assist: with weights of
 * a plain FP8 file, of which half are subnormal, four times the whole decoding. */
__attribute__((unused)) static void ops_half(float *dst, const uint16_t *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t h = src[i], m = h & 0x7fffu;
        uint32_t small = ops_bits((float)(int32_t)m * 0x1p-24f);
        uint32_t bits = ops_pick(m < 0x400u, small, (m << 13) + (112u << 23));
        bits = ops_pick(m >= 0x7c00u, m << 13 | 0x7f800000u, bits);
        dst[i] = ops_float(bits | (h & 0x8000u) << 16);
    }
}

/* E4M3 has a NaN and no infinity; E5M2 is the upper half of an F16. */
static void ops_fp8(float *dst, const uint8_t *src, bool e5m2, int64_t n)
{
    if (e5m2)
        for (int64_t i = 0; i < n; i++) {
            uint32_t v = src[i], m = v & 0x7fu;
            uint32_t small = ops_bits((float)(int32_t)m * 0x1p-16f);
            uint32_t bits = ops_pick(m < 4, small, (m << 21) + (112u << 23));
            bits = ops_pick(m >= 0x7cu, m << 21 | 0x7f800000u, bits);
            dst[i] = ops_float(bits | (v & 0x80u) << 24);
        }
    else
        for (int64_t i = 0; i < n; i++) {
            uint32_t v = src[i], m = v & 0x7fu;
            uint32_t small = ops_bits((float)(int32_t)m * 0x1p-9f);
            uint32_t bits = ops_pick(m < 8, small, (m << 20) + (120u << 23));
            bits = ops_pick(m == 0x7fu, 0x7fc00000u, bits);
            dst[i] = ops_float(bits | (v & 0x80u) << 24);
        }
}

/* Sums in 16 lanes whatever the path's vectors are, folded pairwise. */
GEMM_INLINE float ops_fold(float *lane)
{
    for (int w = 8; w; w /= 2)
        for (int j = 0; j < w; j++)
            lane[j] += lane[j + w];
    return lane[0];
}

static float ops_sum(const float *x, int64_t n)
{
    float lane[16] = { 0 };
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            lane[j] += x[i + j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += x[i];
    return ops_fold(lane);
}

static float ops_sum_squares(const float *x, float mean, int64_t n)
{
    float lane[16] = { 0 };
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) {
            float d = x[i + j] - mean;
            lane[j] += d * d;
        }
    for (int j = 0; i < n; i++, j++)
        lane[j] += (x[i] - mean) * (x[i] - mean);
    return ops_fold(lane);
}

static void ops_norm(float *dst, const float *src, const float *scale, const float *shift,
                     int64_t n, float eps)
{
    float mean = ops_sum(src, n) / (float)n;
    float rstd = 1.0f / __builtin_sqrtf(ops_sum_squares(src, mean, n) / (float)n + eps);
    if (shift)
        for (int64_t i = 0; i < n; i++)
            dst[i] = (src[i] - mean) * rstd * (1.0f + scale[i]) + shift[i];
    else
        for (int64_t i = 0; i < n; i++)
            dst[i] = (src[i] - mean) * rstd * (1.0f + scale[i]);
}

static void ops_affine(float *dst, const float *src, const float *mul, const float *add,
                       bool silu, int64_t n)
{
    if (mul && add)
        for (int64_t i = 0; i < n; i++)
            dst[i] = src[i] * mul[i] + add[i];
    else if (mul)
        for (int64_t i = 0; i < n; i++)
            dst[i] = src[i] * mul[i];
    else if (add)
        for (int64_t i = 0; i < n; i++)
            dst[i] = src[i] + add[i];
    else if (dst != src)
        memcpy(dst, src, (size_t)n * sizeof *dst);
    if (silu)
        for (int64_t i = 0; i < n; i++)
            dst[i] = ops_sigmoid_times(dst[i], dst[i]);
}

static void ops_store_row(const GemmStore *s, int64_t r)
{
    float v[GEMM_MAX_NR], u[GEMM_MAX_NR];
    const float *c = s->c + r * s->ldc;
    int n = s->cols;

    for (int i = 0; i < n; i++)
        v[i] = c[i];
    if (s->bias)
        for (int i = 0; i < n; i++)
            v[i] += s->bias[i];
    ops_act(v, n, s->act);
    if (s->glu_offset) {
        for (int i = 0; i < n; i++)
            u[i] = c[i + s->glu_offset];
        if (s->bias_value)
            for (int i = 0; i < n; i++)
                u[i] += s->bias_value[i];
        for (int i = 0; i < n; i++)
            v[i] *= u[i];
    }
    if (s->gate)
        for (int i = 0; i < n; i++)
            v[i] *= s->gate[i];
    if (s->residual && s->residual_bf16) {
        ops_widen(u, (const uint16_t *)s->residual + r * s->residual_row, n);
        for (int i = 0; i < n; i++)
            v[i] += u[i];
    } else if (s->residual) {
        const float *res = (const float *)s->residual + r * s->residual_row;
        for (int i = 0; i < n; i++)
            v[i] += res[i];
    }
    if (s->y_bf16)
        ops_narrow((uint16_t *)s->y + r * s->y_row, v, n);
    else
        memcpy((float *)s->y + r * s->y_row, v, (size_t)n * sizeof *v);
}

__attribute__((unused)) static void ops_store(const GemmStore *s)
{
    for (int r = 0; r < s->rows; r++)
        ops_store_row(s, r);
}

/* ---- attention -------------------------------------------------------------------------------------- */

static void ops_interleave(uint32_t *dst, const uint16_t *a, const uint16_t *b, int64_t n)
{
    if (b)
        for (int64_t j = 0; j < n; j++)
            dst[j] = (uint32_t)a[j] | (uint32_t)b[j] << 16;
    else
        for (int64_t j = 0; j < n; j++)
            dst[j] = a[j];
}

/* Sixteen floats: one register or several, as the path has them. */
typedef float OpsLanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t OpsMask __attribute__((vector_size(64)));

__attribute__((unused)) static float ops_maximum(const float *s, int64_t n)
{
    float lane[16];
    int64_t j = 0;
    for (int i = 0; i < 16; i++)
        lane[i] = -__builtin_inff();
    OpsLanes m = *(const OpsLanes *)(const void *)lane;
    for (; j + 16 <= n; j += 16) {
        OpsLanes v = *(const OpsLanes *)(const void *)(s + j);
        OpsMask more = v > m;
        m = (OpsLanes)(((OpsMask)v & more) | ((OpsMask)m & ~more));
    }
    *(OpsLanes *)(void *)lane = m;
    for (int i = 0; j < n; i++, j++)
        lane[i] = s[j] > lane[i] ? s[j] : lane[i];
    for (int i = 1; i < 16; i++)
        lane[0] = lane[i] > lane[0] ? lane[i] : lane[0];
    return lane[0];
}

__attribute__((unused)) static float
ops_exponentials(float *p, uint16_t *p_bf16, const float *s, float scale, float max, int64_t n)
{
    float lane[16] = { 0 }, e[16];
    int64_t j = 0;
    OpsLanes sum = *(const OpsLanes *)(const void *)lane;
    for (; j < n; j += 16) {
        int64_t left = n - j < 16 ? n - j : 16;
        if (left == 16)
            for (int i = 0; i < 16; i++)
                e[i] = ops_exp(OPS_FMA(s[j + i], scale, -max));
        else
            for (int i = 0; i < 16; i++)
                e[i] = i < left ? ops_exp(s[j + i] * scale - max) : 0.0f;
        sum += *(const OpsLanes *)(const void *)e;
        if (p)
            for (int i = 0; i < 16; i++)
                p[j + i] = e[i];
        else /* not NaN-aware: a NaN score has made the sum NaN already */
            for (int i = 0; i < 16; i++) {
                uint32_t u = ops_bits(e[i]);
                p_bf16[j + i] = (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
            }
    }
    *(OpsLanes *)(void *)lane = sum;
    return ops_fold(lane);
}

static void ops_scale(float *dst, const float *src, float by, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        dst[j] = src[j] * by;
}

/* ---- quantised activations --------------------------------------------------------------------------- */

/* One digit of the index in base 4, of weight `step`, a compile-time constant where it is small. */
GEMM_INLINE void ops_rotate_digit(float *v, int64_t n, int64_t step)
{
    for (int64_t base = 0; base < n; base += 4 * step)
        for (int64_t i = base; i < base + step; i++) {
            float ab = v[i] + v[i + step], a_b = v[i] - v[i + step];
            float cd = v[i + 2 * step] + v[i + 3 * step],
                  c_d = v[i + 2 * step] - v[i + 3 * step];
            v[i] = ab + c_d;
            v[i + step] = ab - c_d;
            v[i + 2 * step] = a_b + cd;
            v[i + 3 * step] = cd - a_b;
        }
}

static void ops_rotate(float *v, int64_t n, int64_t group)
{
    float scale = 1.0f;
    for (int64_t step = 1; step < group; step *= 4) {
        if (step == 1)
            ops_rotate_digit(v, n, 1);
        else if (step == 4)
            ops_rotate_digit(v, n, 4);
        else
            ops_rotate_digit(v, n, step);
        scale *= 0.5f;
    }
    for (int64_t i = 0; i < n; i++)
        v[i] *= scale;
}

static float ops_quantise(int8_t *dst, const float *src, int64_t n)
{
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float lane[16] = { 0 };
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) {
            float a = __builtin_fabsf(src[i + j]);
            lane[j] = a > lane[j] ? a : lane[j];
        }
    for (int j = 0; i < n; i++, j++)
        lane[j] = __builtin_fabsf(src[i]) > lane[j] ? __builtin_fabsf(src[i]) : lane[j];
    for (int j = 1; j < 16; j++)
        lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
    float s = lane[0] / 127.0f;
    s = s > 1e-30f ? s : 1e-30f;
    for (i = 0; i < n; i++) {
        float v = src[i] / s;
        v = v > -128.0f ? v : -128.0f; /* NaN too */
        v = v < 127.0f ? v : 127.0f;
        dst[i] = (int8_t)(ops_bits(v + shifter) & 0xffu);
    }
    return s;
}

static void ops_descale(float *c, int64_t ldc, int rows, int columns, const float *row,
                        const float *column)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < columns; j++)
            c[r * ldc + j] = (float)(int32_t)ops_bits(c[r * ldc + j]) * (row[r] * column[j]);
}

/* ---- weights ----------------------------------------------------------------------------------------- */

/* int8, or FP8 that is widened already (src NULL), with scales for runs of columns. */
static void ops_decode_scaled(const KWeight *w, int64_t row, int64_t first, int64_t count,
                              const int8_t *src, float *out)
{
    RefScales s;
    float whole = w->scale ? *w->scale : 1.0f;

    ref_scales(w, row, first, count, &s);
    for (int64_t i = 0, block = 0; i < count; block++) {
        int64_t end = ref_scale_end(&s, block, count);
        float by = s.scale[block] * whole;
        if (src)
            for (int64_t c = i; c < end; c++)
                out[c] = (float)src[c] * by;
        else
            for (int64_t c = i; c < end; c++)
                out[c] *= by;
        i = end;
    }
}

static bool ops_decode_quant(const KWeight *w, int64_t row, int64_t first, int64_t count,
                             float *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes + first;

    if (count > REF_SCALES_SPAN || (w->dtype != K_I8 && w->dtype != K_F8_E4M3)) return false;
    if (w->dtype == K_F8_E4M3) ops_fp8(out, src, false, count);
    ops_decode_scaled(w, row, first, count, w->dtype == K_I8 ? (const int8_t *)src : NULL, out);
    return true;
}

/* The dtypes that plain loops decode well: GGUF blocks, int8, FP8 with block scales. */
static bool ops_decode(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;
    int64_t block = k_dtype_block_elements(w->dtype);

    if (w->quant) return ops_decode_quant(w, row, first, count, out);
    if (w->dtype < K_Q4_0 || !block_decoders[w->dtype] || first % block || count % block)
        return false;
    block_decoders[w->dtype](src + k_row_bytes(w->dtype, first), count, out);
    return true;
}

/* The sixteen int8 of a group first, then a look into them for each code. */
__attribute__((unused)) static bool ops_codes(const KWeight *w, int64_t row, int64_t first,
                                              int64_t count, int8_t *out)
{
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes + first / 2;
    RefScales s;
    float levels[16];
    int8_t table[16];

    if (w->dtype != K_W4A8 || first % 2 || count % 2 || count > REF_SCALES_SPAN) return false;
    ref_levels(w, levels);
    ref_scales(w, row, first, count, &s);
    for (int64_t i = 0, block = 0; i < count; block++) {
        int64_t end = ref_scale_end(&s, block, count);
        for (int j = 0; j < 16; j++) {
            float v = levels[j] * s.scale[block];
            v = v > -127.0f ? v : v == v ? -127.0f : 0.0f;
            v = v < 127.0f ? v : 127.0f;
            table[j] = (int8_t)(ops_bits(v + shifter) & 0xffu);
        }
        for (; i < end; i += 2) {
            out[i] = table[src[i / 2] & 15];
            out[i + 1] = table[src[i / 2] >> 4];
        }
    }
    return true;
}

#define GEMM_ROW_OPS                                                                           \
    .widen = ops_widen, .narrow = ops_narrow, .round = ops_round, .norm = ops_norm,            \
    .affine = ops_affine, .fp8 = ops_fp8, .interleave = ops_interleave, .scale = ops_scale,    \
    .rotate = ops_rotate, .quantise = ops_quantise, .descale = ops_descale

#endif
