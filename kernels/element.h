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
