/*
 * encode_gguf.c - rows of float32 as GGUF blocks.
 *
 * Scales come from the extremes of a block, never from a search: the simple types as the reference writer
 * of the GGUF project makes them, the types with two levels of scales by the same rule applied twice (the
 * scales of a block are themselves rounded to the block's own scale, then codes are chosen for the rounded
 * scales). Layouts are those of kernels/ref/decode.c.
 */
#include "engine/formats/encode_gguf.h"

#include <math.h>
#include <string.h>

static void put_f16(uint8_t *out, float v)
{
    uint16_t bits = k_f16_from_f32(v);
    memcpy(out, &bits, sizeof bits);
}

/* As it will be read back. */
static float as_f16(float v)
{
    return k_f32_from_f16(k_f16_from_f32(v));
}

static int clamp_int(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static int to_code(double v, int lo, int hi)
{
    if (!(v > lo)) return lo; /* NaN too */
    return v < hi ? (int)v : hi;
}

static float inverse(float d)
{
    return d != 0 ? 1.0f / d : 0.0f;
}

/* The value of largest magnitude, with its sign; the first of equals. */
static float extreme(const float *x, int n)
{
    float best = 0;

    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(best)) best = x[i];
    return best;
}

static void range(const float *x, int n, float *lo, float *hi)
{
    *lo = *hi = x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] < *lo) *lo = x[i];
        if (x[i] > *hi) *hi = x[i];
    }
}

/* ---- plain floats ------------------------------------------------------------------------------------- */

static void encode_f32(const float *x, uint8_t *out)
{
    memcpy(out, x, sizeof *x);
}

static void encode_f16(const float *x, uint8_t *out)
{
    put_f16(out, *x);
}

static void encode_bf16(const float *x, uint8_t *out)
{
    uint16_t bits = k_bf16_from_f32(*x);
    memcpy(out, &bits, sizeof bits);
}

/* ---- blocks of 32 -------------------------------------------------------------------------------------- */

/* 32 codes of 4 bits: the first half in the low nibbles. */
static void put_nibbles(uint8_t *out, const int *code)
{
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)((code[i] & 15) | (code[16 + i] & 15) << 4);
}

static void put_fifth_bits(uint8_t *out, const int *code)
{
    uint32_t bits = 0;

    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(code[i] >> 4 & 1) << i;
    memcpy(out, &bits, sizeof bits);
}

/* Codes around the middle: scale, fifth bits where there are 32 levels, nibbles. */
static void encode_signed(const float *x, int levels, uint8_t *out)
{
    float d = extreme(x, 32) / (float)(-levels / 2), id = inverse(d);
    int code[32];

    for (int i = 0; i < 32; i++)
        code[i] = to_code((double)x[i] * (double)id + (levels + 1) / 2.0, 0, levels - 1);
    put_f16(out, d);
    out += 2;
    if (levels > 16) {
        put_fifth_bits(out, code);
        out += 4;
    }
    put_nibbles(out, code);
}

/* Codes from the least value up: scale, least, fifth bits where there are 32 levels, nibbles. */
static void encode_ranged(const float *x, int levels, uint8_t *out)
{
    float lo, hi;
    int code[32];

    range(x, 32, &lo, &hi);
    float d = (hi - lo) / (float)(levels - 1), id = inverse(d);
    for (int i = 0; i < 32; i++)
        code[i] = to_code((double)((x[i] - lo) * id + 0.5f), 0, levels - 1);
    put_f16(out, d);
    put_f16(out + 2, lo);
    out += 4;
    if (levels > 16) {
        put_fifth_bits(out, code);
        out += 4;
    }
    put_nibbles(out, code);
}

static void encode_q4_0(const float *x, uint8_t *out)
{
    encode_signed(x, 16, out);
}

static void encode_q4_1(const float *x, uint8_t *out)
{
    encode_ranged(x, 16, out);
}

static void encode_q5_0(const float *x, uint8_t *out)
{
    encode_signed(x, 32, out);
}

static void encode_q5_1(const float *x, uint8_t *out)
{
    encode_ranged(x, 32, out);
}

/* Halves go away from zero, as in the reference writer. */
static void encode_q8_0(const float *x, uint8_t *out)
{
    float d = fabsf(extreme(x, 32)) / 127, id = inverse(d);

    put_f16(out, d);
    for (int i = 0; i < 32; i++)
        out[2 + i] = (uint8_t)(int8_t)clamp_int((int)roundf(x[i] * id), -128, 127);
}

static const int levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113 };

/* The level nearest to v. */
static int nearest_level(float v)
{
    int best = 0;

    for (int i = 1; i < 16; i++)
        if (fabsf((float)levels[i] - v) < fabsf((float)levels[best] - v)) best = i;
    return best;
}

static void encode_iq4_nl(const float *x, uint8_t *out)
{
    float d = as_f16(extreme(x, 32) / -127), id = inverse(d);
    int code[32];

    for (int i = 0; i < 32; i++)
        code[i] = nearest_level(x[i] * id);
    put_f16(out, d);
    put_nibbles(out + 2, code);
}

/* ---- blocks of 256: scale and minimum --------------------------------------------------------------------- */

/* Runs of a block with a scale and a minimum each (Q2_K, Q4_K, Q5_K): value = d * scale * code - dmin * min. */
typedef struct MinScales {
    float d, dmin; /* as they will be read */
    int scale[16], min[16];
} MinScales;

static void find_min_scales(const float *x, int runs, int top, int scale_top, MinScales *s)
{
    float scale[16], min[16], most = 0, least = 0;
    int n = 256 / runs;

    for (int j = 0; j < runs; j++) {
        float lo, hi;
        range(x + j * n, n, &lo, &hi);
        if (lo > 0) lo = 0; /* the minimum cannot be above zero */
        min[j] = -lo;
        scale[j] = (hi - lo) / (float)top;
        if (scale[j] > most) most = scale[j];
        if (min[j] > least) least = min[j];
    }
    s->d = as_f16(most / (float)scale_top);
    s->dmin = as_f16(least / (float)scale_top);
    for (int j = 0; j < runs; j++) {
        s->scale[j] = clamp_int((int)lrintf(scale[j] * inverse(s->d)), 0, scale_top);
        s->min[j] = clamp_int((int)lrintf(min[j] * inverse(s->dmin)), 0, scale_top);
    }
}

static void min_codes(const float *x, int runs, int top, const MinScales *s, int *code)
{
    int n = 256 / runs;

    for (int j = 0; j < runs; j++) {
        float id = inverse(s->d * (float)s->scale[j]), m = s->dmin * (float)s->min[j];
        for (int i = j * n; i < (j + 1) * n; i++)
            code[i] = clamp_int((int)lrintf((x[i] + m) * id), 0, top);
    }
}

/* Two-bit codes in four planes of 32 bytes, twice. */
static void put_pairs(uint8_t *out, const int *code)
{
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 32; l++) {
            const int *c = code + half * 128 + l;
            out[half * 32 + l] =
                (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
        }
}

static void encode_q2_k(const float *x, uint8_t *out)
{
    MinScales s;
    int code[256];

    find_min_scales(x, 16, 3, 15, &s);
    min_codes(x, 16, 3, &s, code);
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)(s.scale[j] | s.min[j] << 4);
    put_pairs(out + 16, code);
    put_f16(out + 80, s.d);
    put_f16(out + 82, s.dmin);
}

/* Eight scales and minima of six bits in twelve bytes. */
static void put_six_bit_pairs(uint8_t *out, const MinScales *s)
{
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)((s->scale[j] & 63) | (s->scale[j + 4] >> 4) << 6);
        out[j + 4] = (uint8_t)((s->min[j] & 63) | (s->min[j + 4] >> 4) << 6);
        out[j + 8] = (uint8_t)((s->scale[j + 4] & 15) | (s->min[j + 4] & 15) << 4);
    }
}

/* Runs of 32, two to 32 bytes: the even run in the low nibbles. */
static void put_run_nibbles(uint8_t *out, const int *code)
{
    for (int pair = 0; pair < 4; pair++)
        for (int l = 0; l < 32; l++)
            out[pair * 32 + l] =
                (uint8_t)((code[pair * 64 + l] & 15) | (code[pair * 64 + 32 + l] & 15) << 4);
}

static void encode_q4_k(const float *x, uint8_t *out)
{
    MinScales s;
    int code[256];

    find_min_scales(x, 8, 15, 63, &s);
    min_codes(x, 8, 15, &s, code);
    put_f16(out, s.d);
    put_f16(out + 2, s.dmin);
    put_six_bit_pairs(out + 4, &s);
    put_run_nibbles(out + 16, code);
}

static void encode_q5_k(const float *x, uint8_t *out)
{
    MinScales s;
    int code[256];

    find_min_scales(x, 8, 31, 63, &s);
    min_codes(x, 8, 31, &s, code);
    put_f16(out, s.d);
    put_f16(out + 2, s.dmin);
    put_six_bit_pairs(out + 4, &s);
    for (int l = 0; l < 32; l++) {
        int bits = 0;
        for (int j = 0; j < 8; j++)
            bits |= (code[j * 32 + l] >> 4 & 1) << j;
        out[16 + l] = (uint8_t)bits;
    }
    put_run_nibbles(out + 48, code);
}

/* ---- blocks of 256: signed scales ---------------------------------------------------------------------------- */

/* Runs of a block with a signed scale each (Q3_K, Q6_K, IQ4_XS): value = d * scale * code, codes from -top - 1
 * (or a level of -top) up, scales from -scale_top on. */
typedef struct SignedScales {
    float d;
    int scale[16];
} SignedScales;

static void find_signed_scales(const float *x, int runs, float bottom, int scale_top,
                               SignedScales *s)
{
    float scale[16];
    int n = 256 / runs;

    for (int j = 0; j < runs; j++)
        scale[j] = extreme(x + j * n, n) / bottom;
    s->d = as_f16(extreme(scale, runs) / (float)-scale_top);
    for (int j = 0; j < runs; j++)
        s->scale[j] =
            clamp_int((int)lrintf(scale[j] * inverse(s->d)), -scale_top, scale_top - 1);
}

static void signed_codes(const float *x, int runs, int lo, int hi, const SignedScales *s,
                         int *code)
{
    int n = 256 / runs;

    for (int j = 0; j < runs; j++) {
        float id = inverse(s->d * (float)s->scale[j]);
        for (int i = j * n; i < (j + 1) * n; i++)
            code[i] = clamp_int((int)lrintf(x[i] * id), lo, hi) - lo;
    }
}

/* Codes -4..3 kept as two bits and a third that is set from zero up; scales of six bits, 32 added. */
static void encode_q3_k(const float *x, uint8_t *out)
{
    SignedScales s;
    int code[256];

    find_signed_scales(x, 16, -4, 32, &s);
    signed_codes(x, 16, -4, 3, &s, code);
    memset(out, 0, 110);
    for (int e = 0; e < 256; e++)
        out[e % 32] |= (uint8_t)((code[e] >> 2 & 1) << (e / 32));
    put_pairs(out + 32, code);
    for (int j = 0; j < 16; j++) {
        int v = s.scale[j] + 32;
        out[96 + j % 8] |= (uint8_t)((v & 15) << (j / 8 * 4));
        out[104 + j % 4] |= (uint8_t)((v >> 4) << (j / 4 * 2));
    }
    put_f16(out + 108, s.d);
}

static void encode_q6_k(const float *x, uint8_t *out)
{
    SignedScales s;
    int code[256];

    find_signed_scales(x, 16, -32, 128, &s);
    signed_codes(x, 16, -32, 31, &s, code);
    memset(out, 0, 192);
    for (int e = 0; e < 256; e++) {
        int half = e / 128, plane = e % 128 / 32, l = e % 32;
        out[half * 64 + plane % 2 * 32 + l] |= (uint8_t)((code[e] & 15) << (plane / 2 * 4));
        out[128 + half * 32 + l] |= (uint8_t)((code[e] >> 4) << (plane * 2));
    }
    for (int j = 0; j < 16; j++)
        out[192 + j] = (uint8_t)(int8_t)s.scale[j];
    put_f16(out + 208, s.d);
}

static void encode_iq4_xs(const float *x, uint8_t *out)
{
    SignedScales s;
    uint16_t high = 0;
    int code[32];

    find_signed_scales(x, 8, -127, 32, &s);
    memset(out, 0, 136);
    for (int j = 0; j < 8; j++) {
        int v = s.scale[j] + 32;
        float id = inverse(s.d * (float)s.scale[j]);
        for (int i = 0; i < 32; i++)
            code[i] = nearest_level(x[j * 32 + i] * id);
        put_nibbles(out + 8 + j * 16, code);
        out[4 + j / 2] |= (uint8_t)((v & 15) << (j % 2 * 4));
        high |= (uint16_t)((v >> 4) << (2 * j));
    }
    put_f16(out, s.d);
    memcpy(out + 2, &high, sizeof high);
}

/* ---- dispatch ------------------------------------------------------------------------------------------------ */

typedef void EncodeFn(const float *block, uint8_t *out);

/* clang-format off */
static EncodeFn *const encoders[K_DTYPE_COUNT] = {
    [K_F32] = encode_f32,     [K_F16] = encode_f16,       [K_BF16] = encode_bf16,
    [K_Q4_0] = encode_q4_0,   [K_Q4_1] = encode_q4_1,     [K_Q5_0] = encode_q5_0,
    [K_Q5_1] = encode_q5_1,   [K_Q8_0] = encode_q8_0,     [K_IQ4_NL] = encode_iq4_nl,
    [K_Q2_K] = encode_q2_k,   [K_Q3_K] = encode_q3_k,     [K_Q4_K] = encode_q4_k,
    [K_Q5_K] = encode_q5_k,   [K_Q6_K] = encode_q6_k,     [K_IQ4_XS] = encode_iq4_xs,
};
/* clang-format on */

void gguf_encode(KDtype t, const float *x, int64_t count, uint8_t *out)
{
    int64_t elements = k_dtype_block_elements(t);
    size_t bytes = k_dtype_block_bytes(t);

    for (int64_t i = 0; i + elements <= count; i += elements, out += bytes)
        encoders[t](x + i, out);
}
