/*
 * decode.c - weights of every dtype as float32: plain floats, FP8, GGUF blocks, NF4, int8.
 *
 * A decoder turns a whole number of blocks into float32. GGUF block layouts (all little endian; d, m,
 * dmin are F16): "GGUF quantisation formats", the ggml block structures. Codes of NF4 and I8 take their
 * scale from KWeight:
 *
 *   NF4  two codes per byte, the even element in the high nibble. block_scale is float32, one per `block`
 *        elements of the flattened row-major matrix (a doubly quantised absmax is expanded by whoever
 *        loads the file). scale points to the file's map of 16 float32; NULL = the usual NF4 map.
 *        Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs".
 *   I8   value = code * block_scale[row * blocks_per_row + column / block], block 0 = the whole row, then
 *        times *scale when scale is not NULL.
 */
#include "kernels/ref/decode.h"

#include "kernels/check.h"
#include "kernels/element.h"

typedef void DecodeFn(const uint8_t *src, int64_t count, float *out);

static uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

static float load_f16(const uint8_t *p)
{
    return k_f32_from_f16(load_u16(p));
}

/* ---- plain floats --------------------------------------------------------------------------------- */

static void decode_f32(const uint8_t *src, int64_t count, float *out)
{
    memcpy(out, src, (size_t)count * sizeof *out); /* file data may be misaligned */
}

static void decode_bf16(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = k_bf16_widen(load_u16(src + 2 * i));
}

static void decode_f16(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = load_f16(src + 2 * i);
}

static void decode_e4m3(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = k_f32_from_e4m3(src[i]);
}

static void decode_e5m2(const uint8_t *src, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = k_f32_from_e5m2(src[i]);
}

/* ---- GGUF blocks of 32 ----------------------------------------------------------------------------- */

/* Code i of a 16-byte run: elements 0..15 in the low nibbles, 16..31 in the high ones. */
static int nibble(const uint8_t *q, int i)
{
    return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

/* The same with a fifth bit from a 32-bit word. */
static int nibble5(const uint8_t *q, const uint8_t *high, int i)
{
    return nibble(q, i) | (int)(load_u32(high) >> i & 1) << 4;
}

static void decode_q4_0(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 18, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = load_f16(src) * (float)(nibble(src + 2, i) - 8);
}

static void decode_q4_1(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 20, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = load_f16(src) * (float)nibble(src + 4, i) + load_f16(src + 2);
}

static void decode_q5_0(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 22, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = load_f16(src) * (float)(nibble5(src + 6, src + 2, i) - 16);
}

static void decode_q5_1(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 24, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = load_f16(src) * (float)nibble5(src + 8, src + 4, i) + load_f16(src + 2);
}

static void decode_q8_0(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 34, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = load_f16(src) * (float)(int8_t)src[2 + i];
}

/* The 16 levels of the non-linear 4-bit types. */
static const int8_t iq4_levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113 };

static void decode_iq4_nl(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 32, src += 18, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = load_f16(src) * (float)iq4_levels[nibble(src + 2, i)];
}

/* ---- GGUF blocks of 256 ---------------------------------------------------------------------------- */

/* Two-bit code of element e: 32 bytes hold four planes of 32 elements, twice per block. */
static int code2(const uint8_t *q, int e)
{
    return q[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2) & 3;
}

static void decode_q2_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 84, out += 256) {
        const uint8_t *scales = src, *q = src + 16;
        float d = load_f16(src + 80), dmin = load_f16(src + 82);
        for (int e = 0; e < 256; e++) {
            int c = scales[e / 16];
            out[e] = d * (float)(c & 15) * (float)code2(q, e) - dmin * (float)(c >> 4);
        }
    }
}

/* Six-bit scale j of 16, packed in 12 bytes: low nibbles in 8 bytes, high pairs in 4. */
static int q3_scale(const uint8_t *sc, int j)
{
    int low = j < 8 ? sc[j] & 15 : sc[j - 8] >> 4;
    return (low | (sc[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32;
}

static void decode_q3_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 110, out += 256) {
        const uint8_t *high = src, *q = src + 32, *sc = src + 96;
        float d = load_f16(src + 108);
        for (int e = 0; e < 256; e++) {
            int code = code2(q, e) - (high[e % 32] >> (e / 32) & 1 ? 0 : 4);
            out[e] = d * (float)q3_scale(sc, e / 16) * (float)code;
        }
    }
}

/* Six-bit scale and minimum j of 8, packed in 12 bytes. */
static void k_scale_min(const uint8_t *sc, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = sc[j] & 63;
        *min = sc[j + 4] & 63;
    } else {
        *scale = (sc[j + 4] & 15) | sc[j - 4] >> 6 << 4;
        *min = sc[j + 4] >> 4 | sc[j] >> 6 << 4;
    }
}

/* Four-bit code of element e: a run of 32 bytes holds two planes of 32 elements. */
static int code4(const uint8_t *q, int e)
{
    int byte = q[e / 64 * 32 + e % 32];
    return e / 32 % 2 ? byte >> 4 : byte & 15;
}

static void decode_q4_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 144, out += 256) {
        float d = load_f16(src), dmin = load_f16(src + 2);
        for (int e = 0; e < 256; e++) {
            int scale, min;
            k_scale_min(src + 4, e / 32, &scale, &min);
            out[e] = d * (float)scale * (float)code4(src + 16, e) - dmin * (float)min;
        }
    }
}

static void decode_q5_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 176, out += 256) {
        const uint8_t *high = src + 16;
        float d = load_f16(src), dmin = load_f16(src + 2);
        for (int e = 0; e < 256; e++) {
            int scale, min, code = code4(src + 48, e) | (high[e % 32] >> (e / 32) & 1) << 4;
            k_scale_min(src + 4, e / 32, &scale, &min);
            out[e] = d * (float)scale * (float)code - dmin * (float)min;
        }
    }
}

static void decode_q6_k(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 210, out += 256) {
        const uint8_t *low = src, *high = src + 128;
        float d = load_f16(src + 208);
        for (int e = 0; e < 256; e++) {
            int half = e / 128, g = e % 128 / 32, l = e % 32;
            int code = (low[half * 64 + g % 2 * 32 + l] >> (g / 2 * 4) & 15) |
                       (high[half * 32 + l] >> (2 * g) & 3) << 4;
            out[e] = d * (float)(int8_t)src[192 + e / 16] * (float)(code - 32);
        }
    }
}

static void decode_iq4_xs(const uint8_t *src, int64_t count, float *out)
{
    for (; count > 0; count -= 256, src += 136, out += 256) {
        int high = load_u16(src + 2);
        float d = load_f16(src);
        for (int e = 0; e < 256; e++) {
            int j = e / 32;
            int scale = (src[4 + j / 2] >> (j % 2 * 4) & 15) | (high >> (2 * j) & 3) << 4;
            int level = iq4_levels[nibble(src + 8 + j * 16, e % 32)];
            out[e] = d * (float)(scale - 32) * (float)level;
        }
    }
}

/* ---- dispatch ---------------------------------------------------------------------------------------- */

/* clang-format off */
static DecodeFn *const decoders[K_DTYPE_COUNT] = {
    [K_F32] = decode_f32,       [K_BF16] = decode_bf16,     [K_F16] = decode_f16,
    [K_F8_E4M3] = decode_e4m3,  [K_F8_E5M2] = decode_e5m2,
    [K_Q4_0] = decode_q4_0,     [K_Q4_1] = decode_q4_1,     [K_Q5_0] = decode_q5_0,
    [K_Q5_1] = decode_q5_1,     [K_Q8_0] = decode_q8_0,     [K_IQ4_NL] = decode_iq4_nl,
    [K_Q2_K] = decode_q2_k,     [K_Q3_K] = decode_q3_k,     [K_Q4_K] = decode_q4_k,
    [K_Q5_K] = decode_q5_k,     [K_Q6_K] = decode_q6_k,     [K_IQ4_XS] = decode_iq4_xs,
};
/* clang-format on */

bool ref_decode_blocks(KDtype t, const void *src, int64_t count, float *out)
{
    if ((unsigned)t >= K_DTYPE_COUNT || !decoders[t]) return false;
    decoders[t](src, count, out);
    return true;
}

/* ---- codes with separate scales ------------------------------------------------------------------------ */

static const float nf4_map[16] = {
    -1.0f,        -0.6961928f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f,
    -0.09105004f, 0.0f,        0.0795803f,   0.1609302f,   0.2461123f,   0.33791524f,
    0.44070983f,  0.562617f,   0.72295684f,  1.0f,
};

static KResult decode_nf4(const KWeight *w, int64_t row, int64_t first, int64_t count,
                          float *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;
    const float *map = w->scale ? w->scale : nf4_map;
    const float *absmax = w->block_scale;
    int64_t block = w->block ? w->block : w->k;

    for (int64_t i = 0; i < count; i++) {
        int64_t column = first + i;
        int code = column % 2 ? src[column / 2] & 15 : src[column / 2] >> 4;
        out[i] = map[code] * absmax[(row * w->k + column) / block];
    }
    return K_OK;
}

static KResult decode_i8(const KWeight *w, int64_t row, int64_t first, int64_t count,
                         float *out)
{
    const int8_t *src = (const int8_t *)w->data + row * w->row_bytes;
    int64_t block = w->block ? w->block : w->k;
    const float *scales = (const float *)w->block_scale + row * ((w->k + block - 1) / block);

    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)src[first + i] * scales[(first + i) / block];
        if (w->scale) out[i] *= *w->scale;
    }
    return K_OK;
}

/* Rounds plain weights to FP8 as a cast of the checkpoint would. */
static void cast_to_fp8(KDtype cast, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = cast == K_F8_E4M3 ? k_f32_from_e4m3(k_e4m3_from_f32(out[i], false))
                                   : k_f32_from_e5m2(k_e5m2_from_f32(out[i], false));
}

KResult ref_decode_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    int64_t block = k_dtype_block_elements(w->dtype);
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;
    bool fp8 = w->dtype == K_F8_E4M3 || w->dtype == K_F8_E5M2;
    bool plain = w->dtype == K_F32 || w->dtype == K_BF16 || w->dtype == K_F16;

    if (row < 0 || row >= w->n || first < 0 || count < 0 || count > w->k - first)
        return K_BAD_SHAPE;
    if (block == 0) return K_BAD_DTYPE;
    if (first % block || count % block) return K_BAD_SHAPE;
    if (w->dtype == K_NF4) return decode_nf4(w, row, first, count, out);
    if (w->dtype == K_I8) return decode_i8(w, row, first, count, out);
    if (!ref_decode_blocks(w->dtype, src + k_row_bytes(w->dtype, first), count, out))
        return K_UNSUPPORTED;
    if (plain && w->cast != K_F32) cast_to_fp8(w->cast, count, out);
    if (fp8 && w->scale)
        for (int64_t i = 0; i < count; i++)
            out[i] *= *w->scale;
    return K_OK;
}
