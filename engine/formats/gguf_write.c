/* gguf_write.c - the part of a GGUF file that stands before its tensors' data. */
#include "engine/formats/gguf_write.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/gguf.h"

enum { VERSION = 3, ALIGNMENT = 32, QUANTISATION_VERSION = 2 };

/* GGUF's number of a tensor type, and of a file that mostly holds it. */
/* clang-format off */
static const struct {
    KDtype type;
    uint32_t id, file_type;
} types[] = {
    { K_F32, 0, 0 },    { K_F16, 1, 1 },    { K_Q4_0, 2, 2 },   { K_Q4_1, 3, 3 },
    { K_Q5_0, 6, 8 },   { K_Q5_1, 7, 9 },   { K_Q8_0, 8, 7 },   { K_Q2_K, 10, 10 },
    { K_Q3_K, 11, 11 }, { K_Q4_K, 12, 14 }, { K_Q5_K, 13, 16 }, { K_Q6_K, 14, 18 },
    { K_IQ4_NL, 20, 25 }, { K_IQ4_XS, 23, 30 }, { K_BF16, 30, 32 },
};
/* clang-format on */

enum { TYPES = sizeof types / sizeof *types };

static int find_type(KDtype t)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].type == t) return i;
    return -1;
}

static void put_number(Str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_add_char(s, (char)(v >> (8 * i)));
}

static void put_text(Str *s, const char *text)
{
    put_number(s, strlen(text), 8);
    str_add(s, text);
}

static void put_u32_pair(Str *s, const char *key, uint32_t value)
{
    put_text(s, key);
    put_number(s, GGUF_U32, 4);
    put_number(s, value, 4);
}

static Status put_tensor(Str *s, const SafeItem *item, uint64_t begin, uint64_t *size,
                         Error *err)
{
    int type = find_type(item->type);
    uint64_t rows = 1;

    if (type < 0)
        return error_set(err, E_TYPE, "tensor %s: GGUF has no dtype %s", item->name,
                         k_dtype_name(item->type));
    put_text(s, item->name);
    put_number(s, (uint64_t)item->ndim, 4);
    for (int i = item->ndim - 1; i >= 0; i--)
        put_number(s, (uint64_t)item->shape[i], 8);
    put_number(s, types[type].id, 4);
    put_number(s, begin, 8);
    for (int i = 0; i + 1 < item->ndim; i++)
        if (__builtin_mul_overflow(rows, (uint64_t)item->shape[i], &rows))
            return error_set(err, E_RANGE, "tensor %s: its size overflows", item->name);
    size_t row = k_row_bytes(item->type, item->ndim ? item->shape[item->ndim - 1] : 1);
    if (__builtin_mul_overflow(rows, (uint64_t)row, size))
        return error_set(err, E_RANGE, "tensor %s: its size overflows", item->name);
    return OK;
}

static void pad(Str *s)
{
    while (s->length % ALIGNMENT && !s->failed)
        str_add_char(s, 0);
}

Status gguf_layout(const char *architecture, KDtype type, const SafeItem *items, size_t count,
                   uint8_t **header, size_t *header_size, uint64_t *begins, Error *err)
{
    Str s = { 0 };
    Status status = OK;
    uint64_t at = 0;
    int file_type = find_type(type);

    str_add(&s, "GGUF");
    put_number(&s, VERSION, 4);
    put_number(&s, count, 8);
    put_number(&s, 3, 8);
    put_text(&s, "general.architecture");
    put_number(&s, GGUF_STRING, 4);
    put_text(&s, architecture);
    put_u32_pair(&s, "general.quantization_version", QUANTISATION_VERSION);
    put_u32_pair(&s, "general.file_type", file_type < 0 ? 0 : types[file_type].file_type);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = 0;
        begins[i] = at;
        TRY_DONE(put_tensor(&s, &items[i], at, &size, err));
        at += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    pad(&s);
    *header_size = s.length;
    char *bytes = str_take(&s);
    if (!bytes) TRY_DONE(error_set(err, E_NOMEM, "out of memory for a GGUF header"));
    *header = (uint8_t *)bytes;
done:
    str_fini(&s);
    return status;
}
