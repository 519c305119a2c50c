/* kernels.c - names, dtypes, views and rounding of single values: what every backend shares. */
#include "kernels/kernels.h"

#include "kernels/element.h"
#include "kernels/ref/decode.h"

/* ---- names and sizes --------------------------------------------------------------------------- */

const char *k_result_message(KResult r)
{
#define MESSAGE(name, message) message,
    static const char *const messages[] = { K_RESULT_MAP(MESSAGE) };
#undef MESSAGE
    return (unsigned)r < sizeof messages / sizeof *messages ? messages[r] : "unknown result";
}

typedef struct DtypeInfo {
    const char *name;
    int bytes, elements; /* of one block */
} DtypeInfo;

static const DtypeInfo dtypes[K_DTYPE_COUNT] = {
#define INFO(name, text, bytes, elements) { text, bytes, elements },
    K_DTYPE_MAP(INFO)
#undef INFO
};

const char *k_dtype_name(KDtype t)
{
    return (unsigned)t < K_DTYPE_COUNT ? dtypes[t].name : "unknown";
}

size_t k_dtype_block_bytes(KDtype t)
{
    return (unsigned)t < K_DTYPE_COUNT ? (size_t)dtypes[t].bytes : 0;
}

int64_t k_dtype_block_elements(KDtype t)
{
    return (unsigned)t < K_DTYPE_COUNT ? dtypes[t].elements : 0;
}

size_t k_row_bytes(KDtype t, int64_t elements)
{
    int64_t block = k_dtype_block_elements(t);

    if (block == 0 || elements < 0 || elements % block) return 0;
    if ((uint64_t)(elements / block) > SIZE_MAX / k_dtype_block_bytes(t)) return 0;
    return (size_t)(elements / block) * k_dtype_block_bytes(t);
}

const char *k_isa_name(KIsa isa)
{
#define NAME(name, text) text,
    static const char *const names[] = { K_ISA_MAP(NAME) };
#undef NAME
    return (unsigned)isa < K_ISA_COUNT ? names[isa] : "unknown";
}

bool k_isa_from_name(const char *name, KIsa *out)
{
    for (int i = 0; i < K_ISA_COUNT; i++) {
        if (strcmp(name, k_isa_name((KIsa)i)) != 0) continue;
        *out = (KIsa)i;
        return true;
    }
    return false;
}

/* ---- views --------------------------------------------------------------------------------------- */

KView k_view(void *data, KDtype t, int ndim, const int64_t *shape)
{
    KView v = { .data = data, .dtype = t, .ndim = ndim };
    int64_t stride = 1;

    for (int i = ndim - 1; i >= 0; i--) {
        v.shape[i] = shape[i];
        v.stride[i] = stride;
        stride *= shape[i];
    }
    return v;
}

int64_t k_view_count(const KView *v)
{
    int64_t n = 1;

    for (int i = 0; i < v->ndim; i++)
        n *= v->shape[i];
    return n;
}

/* ---- rounding ------------------------------------------------------------------------------------ */

/*
 * The small IEEE-like formats differ in how many bits they give to the fraction and in their bias.
 * Returns the code of |v| without regard to the largest finite value; rounds to nearest even, also
 * below the smallest normal. v is not NaN; infinity gives some code above every finite one.
 */
static uint32_t small_code(float v, int fraction_bits, int bias)
{
    uint32_t bits = k_bits_of_f32(fabsf(v));
    int shift = 23 - fraction_bits;
    uint32_t smallest_normal = (uint32_t)(127 - bias + 1) << 23;

    if (bits < smallest_normal) {
        /* Adding a power of two whose last place is the format's smallest step rounds in hardware. */
        float step = k_f32_of_bits((uint32_t)(127 - bias + shift + 1) << 23);
        return k_bits_of_f32(k_f32_of_bits(bits) + step) - k_bits_of_f32(step);
    }
    bits += (1u << (shift - 1)) - 1 + (bits >> shift & 1);
    return (bits >> shift) - ((uint32_t)(127 - bias) << fraction_bits);
}

uint16_t k_bf16_from_f32(float v)
{
    return k_bf16_round(v);
}

float k_f32_from_bf16(uint16_t v)
{
    return k_bf16_widen(v);
}

uint16_t k_f16_from_f32(float v)
{
    uint32_t sign = k_bits_of_f32(v) >> 16 & 0x8000;
    uint32_t code;

    if (v != v) return (uint16_t)(sign | 0x7E00);
    code = small_code(v, 10, 15);
    return (uint16_t)(sign | (code > 0x7C00 ? 0x7C00 : code));
}

float k_f32_from_f16(uint16_t v)
{
    return k_f16_widen(v);
}

/* E4M3FN has no infinity: 0x7E is 448, 0x7F is NaN. */
uint8_t k_e4m3_from_f32(float v, bool saturate)
{
    uint32_t sign = k_bits_of_f32(v) >> 24 & 0x80;
    uint32_t code;

    if (v != v) return (uint8_t)(sign | 0x7F);
    code = small_code(v, 3, 7);
    if (code > 0x7E) code = saturate ? 0x7E : 0x7F;
    return (uint8_t)(sign | code);
}

float k_f32_from_e4m3(uint8_t v)
{
    return k_e4m3_widen(v);
}

/* E5M2 is IEEE-like: 0x7B is 57344, 0x7C infinity, above it NaN. */
uint8_t k_e5m2_from_f32(float v, bool saturate)
{
    uint32_t sign = k_bits_of_f32(v) >> 24 & 0x80;
    uint32_t code;

    if (v != v) return (uint8_t)(sign | 0x7F);
    code = small_code(v, 2, 15);
    if (code > 0x7B) code = saturate ? 0x7B : 0x7C;
    return (uint8_t)(sign | code);
}

float k_f32_from_e5m2(uint8_t v)
{
    return k_e5m2_widen(v);
}

/* ---- weights ------------------------------------------------------------------------------------- */

KResult k_weight_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    return ref_decode_row(w, row, first, count, out);
}

KResult k_weight_stored(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    return ref_decode_stored(w, row, first, count, out);
}
