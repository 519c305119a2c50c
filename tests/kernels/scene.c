/* scene.c - random operands for one call of a kernel. */
#include "tests/kernels/scene.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { GUARD_BYTES = 64, GUARD_VALUE = 0xA5 };

void scene_start(Scene *s, uint64_t seed)
{
    s->used = 0;
    s->random = seed * 0x9E3779B97F4A7C15u + 0x1234567u;
    s->outputs = 0;
    memset(&s->d, 0, sizeof s->d);
}

void scene_name(Scene *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(s->name, sizeof s->name, format, args);
    va_end(args);
}

void scene_output(Scene *s, const KView *view, float tolerance)
{
    s->out[s->outputs].view = view;
    s->out[s->outputs++].tolerance = tolerance;
}

static uint32_t random_bits(Scene *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (uint32_t)(s->random >> 32);
}

float scene_uniform(Scene *s)
{
    return (float)(random_bits(s) >> 8) * 0x1p-24f;
}

/* 64-byte aligned, with guard bytes behind it that nothing may touch. */
static void *take(Scene *s, size_t bytes)
{
    uint8_t *p = s->memory + s->used;
    size_t padded = (bytes + GUARD_BYTES + 63) / 64 * 64;

    assert(s->used + padded <= s->size);
    memset(p, GUARD_VALUE, padded);
    s->used += padded;
    return p;
}

static void put_value(KDtype t, void *data, int64_t i, float v)
{
    switch ((int)t) {
    case K_F32:
        ((float *)data)[i] = v;
        break;
    case K_F64:
        ((double *)data)[i] = (double)v;
        break;
    case K_BF16:
        ((uint16_t *)data)[i] = k_bf16_from_f32(v);
        break;
    case K_F16:
        ((uint16_t *)data)[i] = k_f16_from_f32(v);
        break;
    case K_F8_E4M3:
        ((uint8_t *)data)[i] = k_e4m3_from_f32(v, true);
        break;
    case K_F8_E5M2:
        ((uint8_t *)data)[i] = k_e5m2_from_f32(v, true);
        break;
    case K_I64:
        ((int64_t *)data)[i] = (int64_t)(v * 100);
        break;
    case K_I32:
        ((int32_t *)data)[i] = (int32_t)(v * 100);
        break;
    case K_I16:
        ((int16_t *)data)[i] = (int16_t)(v * 100);
        break;
    case K_I8:
        ((int8_t *)data)[i] = (int8_t)(v * 100);
        break;
    case K_U8:
        ((uint8_t *)data)[i] = (uint8_t)(fabsf(v) * 100);
        break;
    default:
        assert(!"a plain dtype");
    }
}

KView scene_view(Scene *s, KDtype t, int gap, int ndim, const int64_t *shape)
{
    KView v = k_view(NULL, t, ndim, shape);
    int64_t count = 1;

    for (int i = ndim - 1; i >= 0; i--) {
        v.stride[i] = count;
        count = count * shape[i] + gap;
    }
    v.data = take(s, (size_t)count * k_dtype_block_bytes(t));
    for (int64_t i = 0, n = k_view_count(&v); i < n; i++)
        put_value(t, (uint8_t *)v.data + view_offset(&v, i), 0, scene_uniform(s) * 2 - 1);
    return v;
}

KView scene_vector(Scene *s, int64_t n)
{
    return scene_view(s, K_F32, 0, 1, &n);
}

KView scene_matrix(Scene *s, KDtype t, int gap, int64_t rows, int64_t columns)
{
    const int64_t shape[] = { rows, columns };
    return scene_view(s, t, gap, 2, shape);
}

KView scene_cube(Scene *s, KDtype t, int gap, int64_t a, int64_t b, int64_t c)
{
    const int64_t shape[] = { a, b, c };
    return scene_view(s, t, gap, 3, shape);
}

/* Where a block type keeps its F16 scale and minimum: random bits there would make infinities. */
typedef struct ScaleAt {
    KDtype dtype;
    int at[2];  /* -1 = none */
    float size; /* about the largest code that the scale multiplies */
} ScaleAt;

/* clang-format off */
static const ScaleAt scales_at[] = {
    { K_Q4_0, { 0, -1 }, 8 },       { K_Q4_1, { 0, 2 }, 15 },     { K_Q5_0, { 0, -1 }, 16 },
    { K_Q5_1, { 0, 2 }, 31 },       { K_Q8_0, { 0, -1 }, 127 },   { K_Q2_K, { 80, 82 }, 45 },
    { K_Q3_K, { 108, -1 }, 128 },   { K_Q4_K, { 0, 2 }, 900 },    { K_Q5_K, { 0, 2 }, 1900 },
    { K_Q6_K, { 208, -1 }, 4000 },  { K_IQ4_NL, { 0, -1 }, 127 }, { K_IQ4_XS, { 0, -1 }, 4000 },
};
/* clang-format on */

static void fill_blocks(Scene *s, const ScaleAt *scale, uint8_t *data, size_t bytes, float size)
{
    size_t block = k_dtype_block_bytes(scale->dtype);

    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)random_bits(s);
    for (size_t at = 0; at < bytes; at += block)
        for (int i = 0; i < 2; i++) {
            uint16_t d = k_f16_from_f32(size / scale->size * (0.5f + scene_uniform(s)));
            if (scale->at[i] >= 0) memcpy(data + at + scale->at[i], &d, sizeof d);
        }
}

static void fill_weight(Scene *s, KWeight *w, uint8_t *data, float size)
{
    int64_t count = w->n * w->k;
    size_t bytes = (size_t)(w->n * w->row_bytes);

    for (size_t i = 0; i < sizeof scales_at / sizeof *scales_at; i++)
        if (scales_at[i].dtype == w->dtype) {
            fill_blocks(s, &scales_at[i], data, bytes, size);
            return;
        }
    if (w->dtype == K_MXFP4)
        for (size_t i = 0; i < bytes; i++)
            data[i] = (uint8_t)(i % 17 ? random_bits(s) : 118 + random_bits(s) % 4);
    else if (w->dtype == K_NF4 || w->dtype == K_NVFP4 ||
             (w->dtype >= K_I4 && w->dtype <= K_W6A8) || w->dtype == K_I8)
        for (size_t i = 0; i < bytes; i++)
            data[i] = (uint8_t)random_bits(s);
    else
        for (int64_t i = 0; i < count; i++)
            put_value(w->dtype, data + (size_t)i * k_dtype_block_bytes(w->dtype), 0,
                      (scene_uniform(s) * 2 - 1) * size);
}

/* A table of `count` float32 between 0.5 and 1.5 times size, at an odd address. */
static const void *random_table(Scene *s, int64_t count, float size)
{
    char *table = (char *)take(s, (size_t)count * sizeof(float) + 1) + 1;

    for (int64_t i = 0; i < count; i++) {
        float v = size * (0.5f + scene_uniform(s));
        memcpy(table + i * 4, &v, sizeof v);
    }
    return table;
}

/* Codes from `least` on, eight of them: E4M3 numbers from 0.5 to 1, or powers of two. */
static const void *code_table(Scene *s, int64_t count, int least)
{
    uint8_t *table = take(s, (size_t)count);

    for (int64_t i = 0; i < count; i++)
        table[i] = (uint8_t)((uint32_t)least + random_bits(s) % 8);
    return table;
}

/* Block scales of the whole matrix in the order that files of this dtype have. */
static void add_scales(Scene *s, KWeight *w, KQuant *q, int64_t block, float size)
{
    int64_t across = block ? (w->k + block - 1) / block : 1;

    q->block = block;
    q->scales = random_table(s, q->rows * across, size);
    if (w->dtype == K_NF4) {
        q->order = K_SCALES_FLAT;
    } else if (w->dtype == K_NVFP4 || w->dtype == K_F8_E4M3) {
        q->order = K_SCALES_TILED;
        q->scale_type = w->dtype == K_NVFP4 ? K_F8_E4M3 : K_F8_E8M0;
        q->scales = code_table(s, (q->rows + 127) / 128 * ((across + 3) / 4) * 512,
                               w->dtype == K_NVFP4 ? 0x30 : 120);
    } else if (w->dtype == K_U4) {
        q->order = K_SCALES_COLUMNS;
        q->zeros = random_table(s, q->rows * across, size);
    }
}

static float code_size(KDtype t)
{
    return t == K_I8 ? 0.01f : t == K_NF4 ? 1.0f : 0.15f;
}

void scene_quant(Scene *s, KWeight *w, int64_t block, int64_t rotate)
{
    KQuant *q = take(s, sizeof *q);
    float size = 1.7f / sqrtf((float)w->k) * code_size(w->dtype);

    *q = (KQuant){ .rows = w->n + 3, .rotate = rotate };
    w->row0 = 2;
    w->quant = q;
    if (w->dtype != K_W4A8 && w->dtype != K_W6A8) {
        add_scales(s, w, q, block, size);
        return;
    }
    float *channel = take(s, (size_t)q->rows * sizeof *channel);
    for (int64_t i = 0; i < q->rows; i++)
        channel[i] = 0.01f * size * (0.5f + scene_uniform(s));
    q->channel = channel;
    q->block = 16;
    q->scales = random_table(s, q->rows * ((w->k + 15) / 16), w->dtype == K_W4A8 ? 15 : 4);
}

void scene_side(Scene *s, KWeight *w, int64_t rank)
{
    KSide *side = take(s, sizeof *side);
    float *up = take(s, (size_t)((w->row0 + w->n) * rank) * sizeof *up);
    float *down = take(s, (size_t)(rank * w->k) * sizeof *down);

    for (int64_t i = 0; i < (w->row0 + w->n) * rank; i++)
        up[i] = scene_uniform(s) * 2 - 1;
    for (int64_t i = 0; i < rank * w->k; i++)
        down[i] = (scene_uniform(s) * 2 - 1) / sqrtf((float)(w->k * rank));
    *side = (KSide){ .up = up, .down = down, .rank = rank };
    w->side = side;
}

KWeight scene_weight(Scene *s, KDtype t, int64_t n, int64_t k, int64_t block)
{
    KWeight w = { .dtype = t, .n = n, .k = k, .row_bytes = (int64_t)k_row_bytes(t, k) };
    float size = 1.7f / sqrtf((float)k);
    uint8_t *data = take(s, (size_t)(n * w.row_bytes));

    fill_weight(s, &w, data, size);
    w.data = data;
    if (t == K_NF4 || t == K_I8) scene_quant(s, &w, block, 0);
    if (t == K_F8_E4M3 || t == K_F8_E5M2) {
        float *scale = take(s, sizeof *scale);
        *scale = 0.75f;
        w.scale = scale;
    }
    return w;
}

size_t view_offset(const KView *v, int64_t index)
{
    int64_t at = 0;

    for (int i = v->ndim - 1; i >= 0; i--) {
        at += index % v->shape[i] * v->stride[i];
        index /= v->shape[i];
    }
    return (size_t)at * k_dtype_block_bytes(v->dtype);
}

float view_value(const KView *v, int64_t index, const uint8_t *base, const uint8_t *other)
{
    const uint8_t *p = other + ((const uint8_t *)v->data - base) + view_offset(v, index);

    switch ((int)v->dtype) {
    case K_F32:
        return *(const float *)p;
    case K_F64:
        return (float)*(const double *)p;
    case K_BF16:
        return k_f32_from_bf16(*(const uint16_t *)p);
    case K_F16:
        return k_f32_from_f16(*(const uint16_t *)p);
    case K_F8_E4M3:
        return k_f32_from_e4m3(*p);
    case K_F8_E5M2:
        return k_f32_from_e5m2(*p);
    case K_I64:
        return (float)*(const int64_t *)p;
    case K_I32:
        return (float)*(const int32_t *)p;
    case K_I16:
        return *(const int16_t *)p;
    case K_I8:
        return *(const int8_t *)p;
    default:
        return *p;
    }
}
