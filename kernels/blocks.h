/*
 * blocks.h - plain floats, FP8 and GGUF blocks as float32: plain loops, compiled anew for each instruction-set path.
 *
 * A decoder turns a whole number of blocks into float32. GGUF block layouts (all little endian; d, m,
 * dmin are F16): "GGUF quantisation formats", the ggml block structures.
 */
#ifndef WEFT_KERNELS_BLOCKS_H
#define WEFT_KERNELS_BLOCKS_H

#include "kernels/element.h"

typedef void BlockDecodeFn(const uint8_t *src, int64_t count, float *out);

static inline uint16_t block_load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v); /* little endian, like every machine that this runs on */
    return v;
}

static inline uint32_t block_load_u32(const uint8_t *p)
{
    return (uint32_t)block_load_u16(p) | (uint32_t)block_load_u16(p + 2) << 16;
}

static inline float block_load_f16(const uint8_t *p)
{
    return k_f16_widen(block_load_u16(p));
}

/* ---- plain floats --------------------------------------------------------------------------------- */

static void block_f32(const uint8_t *src, int64_t count, float *out)
{
    memcpy(out, src, (size_t)count * sizeof *out); /* file data may be misaligned */
}

static void block_bf16(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = k_bf16_widen(block_load_u16(src + 2 * i));
}

static void block_f16(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = block_load_f16(src + 2 * i);
}

static void block_e4m3(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = k_e4m3_widen(src[i]);
}

static void block_e5m2(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = k_e5m2_widen(src[i]);
}

/* ---- GGUF blocks of 32 ----------------------------------------------------------------------------- */

/* Sixteen bytes hold 32 codes: 0..15 in the low nibbles, 16..31 in the high ones. The loops below go half
 * by half, which the compiler turns into vector code. */
static void block_q4_0(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 18, out += 32) {
        float d = block_load_f16(src);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((src[2 + i] & 15) - 8);
            out[16 + i] = d * (float)((src[2 + i] >> 4) - 8);
        }
    }
}

static void block_q4_1(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 20, out += 32) {
        float d = block_load_f16(src), m = block_load_f16(src + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(src[4 + i] & 15) + m;
            out[16 + i] = d * (float)(src[4 + i] >> 4) + m;
        }
    }
}

/* Bit i of `high` is the fifth bit of code i. */
static void block_q5_0(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 22, out += 32) {
        float d = block_load_f16(src);
        uint32_t high = block_load_u32(src + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((int)((src[6 + i] & 15) | (high >> i & 1) << 4) - 16);
            out[16 + i] =
                d * (float)((int)(src[6 + i] >> 4 | (high >> (16 + i) & 1) << 4) - 16);
        }
    }
}

static void block_q5_1(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 24, out += 32) {
        float d = block_load_f16(src), m = block_load_f16(src + 2);
        uint32_t high = block_load_u32(src + 4);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(int)((src[8 + i] & 15) | (high >> i & 1) << 4) + m;
            out[16 + i] = d * (float)(int)(src[8 + i] >> 4 | (high >> (16 + i) & 1) << 4) + m;
        }
    }
}

static void block_q8_0(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 34, out += 32) {
        float d = block_load_f16(src);
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)(int8_t)src[2 + i];
    }
}

/* The 16 levels of the non-linear 4-bit types. */
static const int8_t block_iq4_levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                             1,    13,   25,  38,  53,  69,  89,  113 };

/* 32 codes of one scale. */
static void block_levels(const uint8_t *q, float scale, float *out)
{
    float values[16];

    for (int i = 0; i < 16; i++)
        values[i] = scale * (float)block_iq4_levels[i];
    for (int i = 0; i < 16; i++) {
        out[i] = values[q[i] & 15];
        out[16 + i] = values[q[i] >> 4];
    }
}

static void block_iq4_nl(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 18, out += 32)
        block_levels(src + 2, block_load_f16(src), out);
}

/* E2M1 values, doubled so that they are whole; the scale is half of 2^(e - 127). */
static void block_mxfp4(const uint8_t *src, int64_t count, float *out)
{
    static const int8_t doubled[16] = {
        0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12
    };

    for (; count > 0; count -= 32, src += 17, out += 32) {
        uint32_t bits = src[0] > 1 ? (uint32_t)(src[0] - 1) << 23 : 0x00200000u << src[0];
        float d = k_f32_of_bits(bits);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)doubled[src[1 + i] & 15];
            out[16 + i] = d * (float)doubled[src[1 + i] >> 4];
        }
    }
}

/* ---- GGUF blocks of 256 ---------------------------------------------------------------------------- */

/* Two-bit codes: 32 bytes hold four planes of 32 elements, twice per block. Run j of 16 elements starts at
 * byte block_code2_at(j) and shift block_code2_shift(j). */
static int block_code2_at(int j)
{
    return j / 8 * 32 + j % 2 * 16;
}

static int block_code2_shift(int j)
{
    return j % 8 / 2 * 2;
}

static void block_q2_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 84, out += 256) {
        float d = block_load_f16(src + 80), dmin = block_load_f16(src + 82);
        for (int j = 0; j < 16; j++) {
            const uint8_t *q = src + 16 + block_code2_at(j);
            float scale = d * (float)(src[j] & 15), min = dmin * (float)(src[j] >> 4);
            int shift = block_code2_shift(j);
            for (int i = 0; i < 16; i++)
                out[j * 16 + i] = scale * (float)(q[i] >> shift & 3) - min;
        }
    }
}

/* Six-bit scale j of 16, packed in 12 bytes: low nibbles in 8 bytes, high pairs in 4. */
static int block_q3_scale(const uint8_t *sc, int j)
{
    int low = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
    return (low | (sc[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32;
}

/* The third bit of element e is bit e / 32 of byte e % 32, inverted: 4 is taken away where it is 0. */
static void block_q3_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 110, out += 256) {
        float d = block_load_f16(src + 108);
        for (int j = 0; j < 16; j++) {
            const uint8_t *high = src + j % 2 * 16, *q = src + 32 + block_code2_at(j);
            float scale = d * (float)block_q3_scale(src + 96, j);
            int shift = block_code2_shift(j);
            for (int i = 0; i < 16; i++) {
                int code = (q[i] >> shift & 3) + (high[i] >> (j / 2) & 1) * 4 - 4;
                out[j * 16 + i] = scale * (float)code;
            }
        }
    }
}

/* Six-bit scale and minimum j of 8, packed in 12 bytes. */
static void block_scale_min(const uint8_t *sc, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = sc[j] & 63;
        *min = sc[j + 4] & 63;
    } else {
        *scale = (sc[j + 4] & 15) | sc[j - 4] >> 6 << 4;
        *min = sc[j + 4] >> 4 | sc[j] >> 6 << 4;
    }
}

/* Run j of 32 elements: the low (j even) or high nibbles of 32 bytes. */
static void block_q4_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 144, out += 256) {
        float d = block_load_f16(src), dmin = block_load_f16(src + 2);
        for (int j = 0; j < 8; j++) {
            const uint8_t *q = src + 16 + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            block_scale_min(src + 4, j, &scale, &min);
            float s = d * (float)scale, m = dmin * (float)min;
            for (int i = 0; i < 32; i++)
                out[j * 32 + i] = s * (float)(q[i] >> shift & 15) - m;
        }
    }
}

static void block_q5_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 176, out += 256) {
        const uint8_t *high = src + 16;
        float d = block_load_f16(src), dmin = block_load_f16(src + 2);
        for (int j = 0; j < 8; j++) {
            const uint8_t *q = src + 48 + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            block_scale_min(src + 4, j, &scale, &min);
            float s = d * (float)scale, m = dmin * (float)min;
            for (int i = 0; i < 32; i++)
                out[j * 32 + i] =
                    s * (float)((q[i] >> shift & 15) | (high[i] >> j & 1) << 4) - m;
        }
    }
}

static void block_q6_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 210, out += 256) {
        float d = block_load_f16(src + 208);
        for (int j = 0; j < 16; j++) {
            int half = j / 8, plane = j % 8 / 2, at = j % 2 * 16;
            const uint8_t *low = src + half * 64 + plane % 2 * 32 + at;
            const uint8_t *high = src + 128 + half * 32 + at;
            float scale = d * (float)(int8_t)src[192 + j];
            int low_shift = plane / 2 * 4, high_shift = plane * 2;
            for (int i = 0; i < 16; i++) {
                int code = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
                out[j * 16 + i] = scale * (float)(code - 32);
            }
        }
    }
}

static void block_iq4_xs(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 136, out += 256) {
        int high = block_load_u16(src + 2);
        float d = block_load_f16(src);
        for (int j = 0; j < 8; j++) {
            int scale = (src[4 + j / 2] >> (j % 2 * 4) & 15) | (high >> (2 * j) & 3) << 4;
            block_levels(src + 8 + j * 16, d * (float)(scale - 32), out + j * 32);
        }
    }
}

/* ---- dispatch ---------------------------------------------------------------------------------------- */

/* clang-format off */
static BlockDecodeFn *const block_decoders[K_DTYPE_COUNT] = {
    [K_F32] = block_f32,       [K_BF16] = block_bf16,     [K_F16] = block_f16,
    [K_F8_E4M3] = block_e4m3,  [K_F8_E5M2] = block_e5m2,
    [K_Q4_0] = block_q4_0,     [K_Q4_1] = block_q4_1,     [K_Q5_0] = block_q5_0,
    [K_Q5_1] = block_q5_1,     [K_Q8_0] = block_q8_0,     [K_IQ4_NL] = block_iq4_nl,
    [K_Q2_K] = block_q2_k,     [K_Q3_K] = block_q3_k,     [K_Q4_K] = block_q4_k,
    [K_MXFP4] = block_mxfp4,
    [K_Q5_K] = block_q5_k,     [K_Q6_K] = block_q6_k,     [K_IQ4_XS] = block_iq4_xs,
};
/* clang-format on */

#endif
