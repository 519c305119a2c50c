/*
 * quant.c - weights whose codes need tables beside them: KQuant of kernels.h, rule by rule.
 *
 * Sources: Dettmers et al., "QLoRA" (NF4, double quantisation); "OCP Microscaling Formats" (MXFP8, E2M1);
 * Ashkboos et al., "QuaRot", and the ConvRot layers of ComfyUI's quantisation records (docs/formats.md).
 */
#include "kernels/ref/quant.h"

#include "kernels/check.h"
#include "kernels/element.h"
#include "kernels/ref/decode.h"

enum { PIECE = 256 };

static const float nf4_levels[16] = {
    -1.0f,        -0.6961928f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f,
    -0.09105004f, 0.0f,        0.0795803f,   0.1609302f,   0.2461123f,   0.33791524f,
    0.44070983f,  0.562617f,   0.72295684f,  1.0f,
};
static const float e2m1_levels[16] = { 0,     0.5f,  1,  1.5f,  2,  3,  4,  6,
                                       -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6 };
static const float plain_levels[16] = {
    -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7
};

static float load_f32(const void *table, int64_t i)
{
    float v;
    memcpy(&v, (const char *)table + i * 4, sizeof v);
    return v;
}

static uint16_t load_u16(const void *table, int64_t i)
{
    uint16_t v;
    memcpy(&v, (const char *)table + i * 2, sizeof v);
    return v;
}

/* 2^(e - 127); 255 is NaN ("OCP Microscaling Formats", E8M0). */
static float widen_e8m0(uint8_t e)
{
    if (e == 255) return k_f32_of_bits(0x7FC00000);
    return k_f32_of_bits(e ? (uint32_t)e << 23 : 0x00400000);
}

static float table_value(const KQuant *q, const void *table, int64_t i)
{
    switch ((int)q->scale_type) {
    case K_F16:
        return k_f16_widen(load_u16(table, i));
    case K_BF16:
        return k_bf16_widen(load_u16(table, i));
    case K_F8_E4M3:
        return k_e4m3_widen(((const uint8_t *)table)[i]);
    case K_F8_E8M0:
        return widen_e8m0(((const uint8_t *)table)[i]);
    case K_U8:
        return load_f32(q->nested_levels, ((const uint8_t *)table)[i]) *
                   load_f32(q->nested_scales, i / q->nested_block) +
               q->nested_offset;
    default:
        return load_f32(table, i);
    }
}

/* Index of the scale of (row, column) in its table; row counts in the whole matrix. */
static int64_t scale_index(const KWeight *w, int64_t row, int64_t column)
{
    const KQuant *q = w->quant;
    int64_t block = q->block ? q->block : w->k, across = (w->k + block - 1) / block;
    int64_t c = column / block, tiles = (across + 3) / 4;

    switch (q->order) {
    case K_SCALES_COLUMNS:
        return c * q->rows + row;
    case K_SCALES_FLAT:
        return (row * w->k + column) / block;
    case K_SCALES_TILED:
        return (row / 128 * tiles + c / 4) * 512 + row % 32 * 16 + row % 128 / 32 * 4 + c % 4;
    default:
        return row * across + c;
    }
}

/* Columns from `column` on that share its scale. */
static int64_t scale_run(const KWeight *w, int64_t row, int64_t column)
{
    const KQuant *q = w->quant;
    int64_t block = q->block ? q->block : w->k;
    int64_t at = q->order == K_SCALES_FLAT ? row * w->k + column : column;
    return block - at % block;
}

static float scale_at(const KWeight *w, int64_t row, int64_t column)
{
    const KQuant *q = w->quant;
    return q->scales ? table_value(q, q->scales, scale_index(w, row, column)) : 1.0f;
}

/* ---- codes ------------------------------------------------------------------------------------------ */

/* Code `column` of a row as it is stored: unsigned, but for I8. */
static int raw_code(KDtype t, const uint8_t *src, int64_t k, int64_t column)
{
    int low = src[column / 2] >> (column % 2 * 4) & 15;

    switch ((int)t) {
    case K_I8:
        return (int8_t)src[column];
    case K_F8_E4M3:
        return src[column];
    case K_NF4:
    case K_NVFP4:
        return src[column / 2] >> (column % 2 ? 0 : 4) & 15;
    case K_W6A8:
        return low | (src[k / 2 + column / 4] >> (column % 4 * 2) & 3) << 4;
    default:
        return low;
    }
}

static int int4_of(int code)
{
    return code < 8 ? code : code - 16;
}

static float level_of(const KWeight *w, int code)
{
    const void *levels = w->quant->levels;

    if (w->dtype == K_W6A8) return (float)(code - 32);
    if (levels) return load_f32(levels, code);
    if (w->dtype == K_W4A8) return plain_levels[code];
    return w->dtype == K_NVFP4 ? e2m1_levels[code] : nf4_levels[code];
}

/* The int8 that a code of W4A8 and W6A8 stands for: this rounding is part of the format. */
static int8_t int8_of(const KWeight *w, int code, float scale)
{
    float v = rintf(level_of(w, code) * scale);
    return (int8_t)(v > 127 ? 127 : v < -127 ? -127 : v == v ? v : 0);
}

static bool is_w8(const KWeight *w)
{
    return w->dtype == K_W4A8 || w->dtype == K_W6A8;
}

KResult k_weight_codes(const KWeight *w, int64_t row, int64_t first, int64_t count, int8_t *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;

    if (row < 0 || row >= w->n || first < 0 || count < 0 || count > w->k - first)
        return K_BAD_SHAPE;
    if (w->dtype == K_I8) {
        memcpy(out, src + first, (size_t)count);
        return K_OK;
    }
    if (w->dtype != K_I4 && !is_w8(w)) return K_UNSUPPORTED;
    for (int64_t i = 0, end; i < count; i = end) {
        float s = is_w8(w) ? scale_at(w, w->row0 + row, first + i) : 1.0f;
        int64_t run = is_w8(w) ? scale_run(w, w->row0 + row, first + i) : count;
        end = run < count - i ? i + run : count;
        for (int64_t c = i; c < end; c++) {
            int code = raw_code(w->dtype, src, w->k, first + c);
            out[c] = is_w8(w) ? int8_of(w, code, s) : (int8_t)int4_of(code);
        }
    }
    return K_OK;
}

float k_weight_row_scale(const KWeight *w, int64_t row)
{
    int64_t r = w->row0 + row;

    if (is_w8(w)) return load_f32(w->quant->channel, r);
    return scale_at(w, r, 0) * (w->scale ? *w->scale : 1.0f);
}

bool k_weight_int8(const KWeight *w)
{
    enum { MAX_K = 131071 }; /* 127 * 128 * k stays below 2^31 */
    bool code = w->dtype == K_I8 || w->dtype == K_I4 || is_w8(w);
    return w->int8_x && code && w->quant && w->k <= MAX_K;
}

/* ---- values ----------------------------------------------------------------------------------------- */

static float value_of(const KWeight *w, int code, float scale, float zero)
{
    switch ((int)w->dtype) {
    case K_I8:
        return (float)code * scale;
    case K_I4:
        return (float)int4_of(code) * scale;
    case K_U4:
        return (float)(code - 8) * scale + zero;
    case K_F8_E4M3:
        return k_e4m3_widen((uint8_t)code) * scale;
    default:
        return level_of(w, code) * scale;
    }
}

static float zero_at(const KWeight *w, int64_t row, int64_t column)
{
    const KQuant *q = w->quant;
    return q->zeros ? table_value(q, q->zeros, scale_index(w, row, column)) : 0.0f;
}

/* Columns [first, first+count) of one row, all of one scale. */
static void decode_run(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;
    float scale = scale_at(w, w->row0 + row, first) * (w->scale ? *w->scale : 1.0f);
    float zero = zero_at(w, w->row0 + row, first);

    for (int64_t c = 0; c < count; c++)
        out[c] = value_of(w, raw_code(w->dtype, src, w->k, first + c), scale, zero);
}

static KResult decode_w8(const KWeight *w, int64_t row, int64_t first, int64_t count,
                         float *out)
{
    int8_t codes[PIECE];
    float channel = k_weight_row_scale(w, row);

    for (int64_t i = 0; i < count; i += PIECE) {
        int64_t n = count - i < PIECE ? count - i : PIECE;
        K_TRY(k_weight_codes(w, row, first + i, n, codes));
        for (int64_t c = 0; c < n; c++)
            out[i + c] = (float)codes[c] * channel;
    }
    return K_OK;
}

KResult ref_decode_quant(const KWeight *w, int64_t row, int64_t first, int64_t count,
                         float *out)
{
    if (is_w8(w)) return decode_w8(w, row, first, count, out);
    for (int64_t i = 0, end; i < count; i = end) {
        int64_t run = scale_run(w, w->row0 + row, first + i);
        end = run < count - i ? i + run : count;
        decode_run(w, row, first + i, end - i, out + i);
    }
    return K_OK;
}

/* ---- rotation, column scales, low-rank addition -------------------------------------------------------- */

void ref_levels(const KWeight *w, float out[16])
{
    for (int code = 0; code < 16; code++)
        out[code] = value_of(w, code, 1.0f, 0.0f);
}

/* Index of the scale behind the one at `index`, whose block has number `block` in its row. */
static int64_t next_index(const KQuant *q, int64_t index, int64_t block)
{
    if (q->order == K_SCALES_COLUMNS) return index + q->rows;
    if (q->order == K_SCALES_TILED) return block % 4 == 3 ? index + 512 - 3 : index + 1;
    return index + 1;
}

void ref_scales(const KWeight *w, int64_t row, int64_t first, int64_t count, RefScales *out)
{
    const KQuant *q = w->quant;
    int64_t r = w->row0 + row, index = scale_index(w, r, first);
    int64_t block = first / (q->block ? q->block : w->k), n = 0;

    out->head = scale_run(w, r, first);
    out->block = q->block ? q->block : w->k;
    for (int64_t at = 0; at < count && n <= REF_SCALES_SPAN;
         at = out->head + (n - 1) * out->block) {
        out->scale[n] = q->scales ? table_value(q, q->scales, index) : 1.0f;
        out->zero[n++] = q->zeros ? table_value(q, q->zeros, index) : 0.0f;
        index = next_index(q, index, block++);
    }
}

bool k_rotation_fits(int64_t group, int64_t k)
{
    int64_t g = 4;

    while (g < group && g <= INT64_MAX / 4)
        g *= 4;
    return g == group && k % group == 0;
}

/* One digit of the index in base 4, of weight `step`. */
static void rotate_digit(float *v, int64_t n, int64_t step)
{
    for (int64_t base = 0; base < n; base += 4 * step)
        for (int64_t i = base; i < base + step; i++) {
            float a = v[i], b = v[i + step], c = v[i + 2 * step], d = v[i + 3 * step];
            v[i] = a + b + c - d;
            v[i + step] = a + b - c + d;
            v[i + 2 * step] = a - b + c + d;
            v[i + 3 * step] = -a + b + c + d;
        }
}

void k_rotate(float *v, int64_t n, int64_t group)
{
    float scale = 1.0f;

    for (int64_t step = 1; step < group; step *= 4) {
        rotate_digit(v, n, step);
        scale *= 0.5f;
    }
    for (int64_t i = 0; i < n; i++)
        v[i] *= scale;
}

void ref_finish_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    const KQuant *q = w->quant;
    const KSide *s = w->side;

    if (q && q->rotate) k_rotate(out, count, q->rotate);
    for (int64_t i = 0; q && q->column_scale && i < count; i++)
        out[i] *= load_f32(q->column_scale, first + i);
    for (int64_t r = 0; s && r < s->rank; r++) {
        float up = s->up[(w->row0 + row) * s->rank + r];
        const float *down = s->down + r * w->k + first;
        for (int64_t i = 0; i < count; i++)
            out[i] += up * down[i];
    }
}
