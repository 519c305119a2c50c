/*
 * copy.c - reference of KCopy: any strides, any plain dtype to any other.
 *
 * Equal dtypes keep their bits. Otherwise a value goes through double, which holds every other dtype but
 * large I64 exactly, and then to the nearest value of y's dtype: floats to nearest even (FP8 overflow to
 * NaN or infinity), integers towards zero and clamped to their range, NaN to 0.
 */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

typedef struct Convert {
    double (*load)(const void *p);
    void (*store)(void *p, double v);
} Convert;

/* A C type whose values convert by themselves. */
#define CONVERT_FLOAT(name, type)                                                              \
    static double load_##name(const void *p)                                                   \
    {                                                                                          \
        type v;                                                                                \
        memcpy(&v, p, sizeof v);                                                               \
        return (double)v;                                                                      \
    }                                                                                          \
    static void store_##name(void *p, double v)                                                \
    {                                                                                          \
        type to = (type)v;                                                                     \
        memcpy(p, &to, sizeof to);                                                             \
    }

/* An integer type: clamped, because C leaves a conversion out of range undefined. `above` is the first
 * double that no longer fits. */
#define CONVERT_INTEGER(name, type, min, max, above)                                           \
    static double load_##name(const void *p)                                                   \
    {                                                                                          \
        type v;                                                                                \
        memcpy(&v, p, sizeof v);                                                               \
        return (double)v;                                                                      \
    }                                                                                          \
    static void store_##name(void *p, double v)                                                \
    {                                                                                          \
        type to = v != v ? 0 : v < (double)min ? min : v >= above ? max : (type)v;             \
        memcpy(p, &to, sizeof to);                                                             \
    }

/* A float type kept as a code. */
#define CONVERT_CODE(name, type, widen, round)                                                 \
    static double load_##name(const void *p)                                                   \
    {                                                                                          \
        type v;                                                                                \
        memcpy(&v, p, sizeof v);                                                               \
        return (double)widen(v);                                                               \
    }                                                                                          \
    static void store_##name(void *p, double v)                                                \
    {                                                                                          \
        type to = round((float)v);                                                             \
        memcpy(p, &to, sizeof to);                                                             \
    }

static uint8_t e4m3_round(float v)
{
    return k_e4m3_from_f32(v, false);
}

static uint8_t e5m2_round(float v)
{
    return k_e5m2_from_f32(v, false);
}

CONVERT_FLOAT(f32, float)
CONVERT_FLOAT(f64, double)
CONVERT_INTEGER(i64, int64_t, INT64_MIN, INT64_MAX, 9223372036854775808.0)
CONVERT_INTEGER(i32, int32_t, INT32_MIN, INT32_MAX, 2147483648.0)
CONVERT_INTEGER(i16, int16_t, INT16_MIN, INT16_MAX, 32768.0)
CONVERT_INTEGER(i8, int8_t, INT8_MIN, INT8_MAX, 128.0)
CONVERT_INTEGER(u8, uint8_t, 0, UINT8_MAX, 256.0)
CONVERT_CODE(bf16, uint16_t, k_f32_from_bf16, k_bf16_from_f32)
CONVERT_CODE(f16, uint16_t, k_f32_from_f16, k_f16_from_f32)
CONVERT_CODE(e4m3, uint8_t, k_f32_from_e4m3, e4m3_round)
CONVERT_CODE(e5m2, uint8_t, k_f32_from_e5m2, e5m2_round)

/* clang-format off */
static const Convert converts[K_DTYPE_COUNT] = {
    [K_F32] = { load_f32, store_f32 },         [K_F64] = { load_f64, store_f64 },
    [K_BF16] = { load_bf16, store_bf16 },      [K_F16] = { load_f16, store_f16 },
    [K_F8_E4M3] = { load_e4m3, store_e4m3 },   [K_F8_E5M2] = { load_e5m2, store_e5m2 },
    [K_I64] = { load_i64, store_i64 },         [K_I32] = { load_i32, store_i32 },
    [K_I16] = { load_i16, store_i16 },         [K_I8] = { load_i8, store_i8 },
    [K_U8] = { load_u8, store_u8 },
};
/* clang-format on */

static int64_t offset_of(const KView *v, const int64_t *index)
{
    int64_t at = 0;

    for (int i = 0; i < v->ndim; i++)
        at += index[i] * v->stride[i];
    return at * (int64_t)k_dtype_block_bytes(v->dtype);
}

/* Counts index up in row-major order. */
static void advance(const KView *v, int64_t *index)
{
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (++index[i] < v->shape[i]) return;
        index[i] = 0;
    }
}

KResult ref_copy(KContext *ctx, const KCopy *d)
{
    (void)ctx;
    K_TRY(k_check_copy(d));
    int64_t index[K_MAX_DIMS] = { 0 };

    for (int64_t left = k_view_count(&d->x); left > 0; left--, advance(&d->x, index)) {
        const char *from = (const char *)d->x.data + offset_of(&d->x, index);
        char *to = (char *)d->y.data + offset_of(&d->y, index);
        if (d->x.dtype == d->y.dtype)
            memcpy(to, from, k_dtype_block_bytes(d->x.dtype));
        else
            converts[d->y.dtype].store(to, converts[d->x.dtype].load(from));
    }
    return K_OK;
}
