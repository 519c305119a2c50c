/* element.h - one element of a view or a weight as float32, and back; for kernels only. */
#ifndef WEFT_KERNELS_ELEMENT_H
#define WEFT_KERNELS_ELEMENT_H

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

static inline uint32_t k_bits_of_f32(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float k_f32_of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline float k_bf16_widen(uint16_t v)
{
    return k_f32_of_bits((uint32_t)v << 16);
}

/* To nearest even; every NaN becomes 0xFFFF, as the reference's vector code makes it. */
static inline uint16_t k_bf16_round(float v)
{
    uint32_t bits = k_bits_of_f32(v);

    if (v != v) return 0xFFFF;
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float k_f32_as_bf16(float v)
{
    return k_bf16_widen(k_bf16_round(v));
}

/* `yes` or `no` without a branch, which compilers would otherwise keep around float arithmetic. */
static inline uint32_t k_pick(bool condition, uint32_t yes, uint32_t no)
{
    uint32_t mask = 0u - (uint32_t)condition;
    return (yes & mask) | (no & ~mask);
}

/* Bits of the float32 equal to a non-negative finite code with the given fraction and bias. No branch and
 * no denormal operand, so that loops over it become fast vector code. */
static inline uint32_t k_small_bits(uint32_t code, int fraction_bits, int bias)
{
    float step = k_f32_of_bits((uint32_t)(128 - bias - fraction_bits) << 23);
    uint32_t normal = (code << (23 - fraction_bits)) + ((uint32_t)(127 - bias) << 23);
    uint32_t below = k_bits_of_f32((float)(int32_t)code * step);

    return k_pick(code >> fraction_bits != 0, normal, below);
}

static inline float k_f16_widen(uint16_t v)
{
    uint32_t sign = (uint32_t)(v & 0x8000) << 16, code = v & 0x7FFF;
    uint32_t special = 0x7F800000 | (code & 0x3FF) << 13;

    return k_f32_of_bits(sign | k_pick(code >= 0x7C00, special, k_small_bits(code, 10, 15)));
}

static inline float k_e4m3_widen(uint8_t v)
{
    uint32_t sign = (uint32_t)(v & 0x80) << 24, code = v & 0x7F;

    return k_f32_of_bits(sign | k_pick(code == 0x7F, 0x7FC00000, k_small_bits(code, 3, 7)));
}

/* E5M2 is the upper half of an F16. */
static inline float k_e5m2_widen(uint8_t v)
{
    return k_f16_widen((uint16_t)(v << 8));
}

/* Element at `index` (in elements from data) of an F32 or BF16 view. */
static inline float k_get(const KView *v, int64_t index)
{
    if (v->dtype == K_BF16) return k_bf16_widen(((const uint16_t *)v->data)[index]);
    return ((const float *)v->data)[index];
}

static inline void k_put(const KView *v, int64_t index, float x)
{
    if (v->dtype == K_BF16)
        ((uint16_t *)v->data)[index] = k_bf16_round(x);
    else
        ((float *)v->data)[index] = x;
}

/* Element of an optional float32 vector with stride 1; `absent` when it is not there. */
static inline float k_get_or(const KView *v, int64_t index, float absent)
{
    return v->data ? ((const float *)v->data)[index] : absent;
}

/* The activations, float32. GELU (tanh form, and x * sigmoid(1.702 x)): Hendrycks and Gimpel, "Gaussian
 * Error Linear Units". */
static inline float k_activate(KAct act, float x)
{
    switch (act) {
    case K_ACT_NONE:
        return x;
    case K_ACT_SILU:
        return x / (1.0f + expf(-x));
    case K_ACT_GELU_TANH: /* 1 + tanh u = 2 sigmoid(2 u), without the cancellation */
        return x / (1.0f + expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
    case K_ACT_GELU_QUICK:
        return x / (1.0f + expf(-1.702f * x));
    case K_ACT_RELU:
        return x < 0.0f ? 0.0f : x;
    }
    return x;
}

/* Scratch of the call when it is large enough, else NULL. */
static inline void *k_scratch(const KContext *ctx, size_t bytes)
{
    return ctx->scratch && ctx->scratch_size >= bytes ? ctx->scratch : NULL;
}

#endif
