/* gguf.c - reads the header of GGUF files, versions 2 and 3 (little endian). */
#include "engine/formats/gguf.h"

#include <string.h>

#include "engine/base/arena.h"

enum { MAX_DIMS = 4, DEFAULT_ALIGNMENT = 32, MAX_NAME = 4096 };

/* Tensor types by their id in the file: name, bytes and elements of a block, kernel type. */
static const struct TensorType {
    unsigned id;
    const char *name;
    unsigned bytes, elements;
    KDtype type;
} tensor_types[] = {
    /* clang-format off */
    { 0, "F32", 4, 1, K_F32 },         { 1, "F16", 2, 1, K_F16 },
    { 2, "Q4_0", 18, 32, K_Q4_0 },     { 3, "Q4_1", 20, 32, K_Q4_1 },
    { 6, "Q5_0", 22, 32, K_Q5_0 },     { 7, "Q5_1", 24, 32, K_Q5_1 },
    { 8, "Q8_0", 34, 32, K_Q8_0 },     { 9, "Q8_1", 36, 32, K_DTYPE_COUNT },
    { 10, "Q2_K", 84, 256, K_Q2_K },   { 11, "Q3_K", 110, 256, K_Q3_K },
    { 12, "Q4_K", 144, 256, K_Q4_K },  { 13, "Q5_K", 176, 256, K_Q5_K },
    { 14, "Q6_K", 210, 256, K_Q6_K },  { 15, "Q8_K", 292, 256, K_DTYPE_COUNT },
    { 16, "IQ2_XXS", 66, 256, K_DTYPE_COUNT }, { 17, "IQ2_XS", 74, 256, K_DTYPE_COUNT },
    { 18, "IQ3_XXS", 98, 256, K_DTYPE_COUNT }, { 19, "IQ1_S", 50, 256, K_DTYPE_COUNT },
    { 20, "IQ4_NL", 18, 32, K_IQ4_NL },        { 21, "IQ3_S", 110, 256, K_DTYPE_COUNT },
    { 22, "IQ2_S", 82, 256, K_DTYPE_COUNT },   { 23, "IQ4_XS", 136, 256, K_IQ4_XS },
    { 24, "I8", 1, 1, K_I8 },          { 25, "I16", 2, 1, K_I16 },
    { 26, "I32", 4, 1, K_I32 },        { 27, "I64", 8, 1, K_I64 },
    { 28, "F64", 8, 1, K_F64 },        { 29, "IQ1_M", 56, 256, K_DTYPE_COUNT },
    { 30, "BF16", 2, 1, K_BF16 },      { 34, "TQ1_0", 54, 256, K_DTYPE_COUNT },
    { 35, "TQ2_0", 66, 256, K_DTYPE_COUNT },   { 39, "MXFP4", 17, 32, K_DTYPE_COUNT },
    /* clang-format on */
};

/* Bytes of one item of a value type; 0 for strings and arrays. */
static const uint8_t item_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
    [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
    [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

/* ---- a cursor over the bytes --------------------------------------------------------------------------- */

typedef struct Cursor {
    const uint8_t *bytes;
    size_t size, at;
    Gguf *g;
    Error *err;
} Cursor;

static Status no_memory(const Cursor *c)
{
    return error_set(c->err, E_NOMEM, "out of memory while reading a GGUF header");
}

static Status broken(const Cursor *c, const char *what)
{
    error_set(c->err, E_FORMAT, "broken GGUF file: %s", what);
    if (c->err) c->err->offset = (int64_t)c->at;
    return E_FORMAT;
}

static uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static Status read_number(Cursor *c, size_t n, uint64_t *out)
{
    if (c->size - c->at < n) return broken(c, "the header is cut off");
    *out = load(c->bytes + c->at, n);
    c->at += n;
    return OK;
}

static Status skip(Cursor *c, uint64_t n)
{
    if (n > c->size - c->at) return broken(c, "the header is cut off");
    c->at += (size_t)n;
    return OK;
}

/* A name of a pair or tensor, copied. */
static Status read_name(Cursor *c, const char **out)
{
    uint64_t n = 0;
    const char *text;

    TRY(read_number(c, 8, &n));
    if (n == 0 || n > MAX_NAME) return broken(c, "a name of no sensible length");
    text = (const char *)c->bytes + c->at;
    TRY(skip(c, n));
    if (memchr(text, 0, (size_t)n)) return broken(c, "a name with a zero byte");
    *out = arena_strndup(c->g->arena, text, (size_t)n);
    return *out ? OK : no_memory(c);
}

/* ---- pairs ------------------------------------------------------------------------------------------------ */

static Status skip_items(Cursor *c, GgufType type, uint64_t count)
{
    if (type != GGUF_STRING) {
        if (count > UINT64_MAX / 8) return broken(c, "an array's size overflows");
        return skip(c, count * item_bytes[type]);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n = 0;

        TRY(read_number(c, 8, &n));
        TRY(skip(c, n));
    }
    return OK;
}

static Status read_pair(Cursor *c, GgufPair *p)
{
    uint64_t type = 0;

    TRY(read_name(c, &p->key));
    TRY(read_number(c, 4, &type));
    p->count = 1;
    p->array = type == GGUF_ARRAY;
    if (p->array) {
        TRY(read_number(c, 4, &type));
        TRY(read_number(c, 8, &p->count));
    }
    if (type >= GGUF_TYPE_COUNT || type == GGUF_ARRAY)
        return broken(c, "a value of unknown type");
    p->type = (GgufType)type;
    p->data = c->bytes + c->at;
    return skip_items(c, p->type, p->count);
}

/* ---- tensors ------------------------------------------------------------------------------------------------ */

static const struct TensorType *find_type(uint64_t id)
{
    for (size_t i = 0; i < sizeof tensor_types / sizeof tensor_types[0]; i++)
        if (tensor_types[i].id == id) return &tensor_types[i];
    return NULL;
}

static Status read_shape(Cursor *c, GgufTensor *t)
{
    uint64_t n = 0, dim = 0;
    int64_t *shape;

    TRY(read_number(c, 4, &n));
    if (n > MAX_DIMS) return broken(c, "a tensor of more than 4 dimensions");
    shape = arena_array(c->g->arena, (size_t)n, sizeof *shape);
    if (!shape) return no_memory(c);
    t->ndim = (int)n;
    t->shape = shape;
    t->count = 1;
    t->row = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        TRY(read_number(c, 8, &dim));
        if (dim > INT64_MAX || __builtin_mul_overflow(t->count, (int64_t)dim, &t->count))
            return broken(c, "a tensor's size overflows");
        shape[i] = (int64_t)dim;
        if (i == t->ndim - 1) t->row = (int64_t)dim;
    }
    return OK;
}

/* The offset stays in `data` as a pointer from the start of the bytes until the data section is known. */
static Status read_tensor(Cursor *c, GgufTensor *t, uint64_t *offset)
{
    const struct TensorType *type;
    uint64_t id = 0, size;

    TRY(read_name(c, &t->name));
    TRY(read_shape(c, t));
    TRY(read_number(c, 4, &id));
    type = find_type(id);
    if (!type)
        return error_set(c->err, E_UNSUPPORTED, "tensor %s has the unknown GGUF type %llu",
                         t->name, (unsigned long long)id);
    t->dtype = type->name;
    t->type = type->type;
    if (t->row % type->elements != 0)
        return broken(c, "a tensor's rows are no whole number of blocks");
    if (__builtin_mul_overflow((uint64_t)t->count / type->elements, (uint64_t)type->bytes,
                               &size))
        return broken(c, "a tensor's size overflows");
    t->size = (size_t)size;
    return read_number(c, 8, offset);
}

static Status place_tensor(const Cursor *c, GgufTensor *t, uint64_t offset, size_t start,
                           uint64_t alignment)
{
    size_t room = c->size - start;

    if (offset % alignment != 0) return broken(c, "a tensor's offset is not aligned");
    if (offset > room || t->size > room - offset) {
        error_set(c->err, E_FORMAT, "tensor %s reaches past the end of the file", t->name);
        error_fix(c->err, "the file has been cut: fetch it again");
        return E_FORMAT;
    }
    t->data = c->bytes + start + offset;
    return OK;
}

static Status read_alignment(const Cursor *c, uint64_t *out)
{
    const GgufPair *p = gguf_find(c->g, "general.alignment");
    int64_t v = DEFAULT_ALIGNMENT;

    if (p && (!gguf_integer(p, 0, &v) || v < 1 || v > 1 << 20 || (v & (v - 1)) != 0))
        return broken(c, "general.alignment is no power of two");
    *out = (uint64_t)v;
    return OK;
}

static Status read_tensors(Cursor *c)
{
    Gguf *g = c->g;
    uint64_t alignment = 0, *offsets = arena_array(g->arena, g->tensor_count, sizeof *offsets);
    size_t start;

    if (!offsets) return no_memory(c);
    for (size_t i = 0; i < g->tensor_count; i++)
        TRY(read_tensor(c, &g->tensors[i], &offsets[i]));
    TRY(read_alignment(c, &alignment));
    start = c->at + (size_t)(alignment - c->at % alignment) % (size_t)alignment;
    if (start > c->size) start = c->size; /* no data at all */
    for (size_t i = 0; i < g->tensor_count; i++)
        TRY(place_tensor(c, &g->tensors[i], offsets[i], start, alignment));
    return OK;
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

/* Counts are bounded by the bytes that so many entries need at least. */
static Status read_counts(Cursor *c)
{
    enum { LEAST_TENSOR = 8 + 1 + 4 + 4 + 8, LEAST_PAIR = 8 + 1 + 4 + 1 };
    uint64_t magic = 0, version = 0, tensors = 0, pairs = 0;

    TRY(read_number(c, 4, &magic));
    if (magic != 0x46554747) return broken(c, "it does not start with GGUF");
    TRY(read_number(c, 4, &version));
    if (version != 2 && version != 3)
        return error_set(c->err, E_UNSUPPORTED, "GGUF version %llu; versions 2 and 3 are read",
                         (unsigned long long)version);
    TRY(read_number(c, 8, &tensors));
    TRY(read_number(c, 8, &pairs));
    if (tensors > c->size / LEAST_TENSOR || pairs > c->size / LEAST_PAIR)
        return broken(c, "more entries than the file has room for");
    c->g->tensor_count = (size_t)tensors;
    c->g->pair_count = (size_t)pairs;
    return OK;
}

static Status read_all(Cursor *c)
{
    Gguf *g = c->g;

    TRY(read_counts(c));
    g->pairs = arena_array(g->arena, g->pair_count, sizeof *g->pairs);
    g->tensors = arena_array(g->arena, g->tensor_count, sizeof *g->tensors);
    if (!g->pairs || !g->tensors) return no_memory(c);
    for (size_t i = 0; i < g->pair_count; i++)
        TRY(read_pair(c, &g->pairs[i]));
    return read_tensors(c);
}

Status gguf_parse(const uint8_t *bytes, size_t size, Gguf **out, Error *err)
{
    Cursor c = { .bytes = bytes, .size = size, .err = err };
    Arena *arena = arena_new();
    Status status;

    c.g = arena ? arena_alloc(arena, sizeof *c.g) : NULL;
    if (!c.g) {
        arena_free(arena);
        return no_memory(&c);
    }
    c.g->arena = arena;
    status = read_all(&c);
    if (status == OK)
        *out = c.g;
    else
        arena_free(arena);
    return status;
}

void gguf_free(Gguf *g)
{
    if (g) arena_free(g->arena);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

const GgufPair *gguf_find(const Gguf *g, const char *key)
{
    for (size_t i = 0; i < g->pair_count; i++)
        if (g->pairs[i].key && strcmp(g->pairs[i].key, key) == 0) return &g->pairs[i];
    return NULL;
}

bool gguf_integer(const GgufPair *p, uint64_t i, int64_t *out)
{
    size_t n = item_bytes[p->type];
    uint64_t v;

    if (n == 0 || i >= p->count || p->type == GGUF_F32 || p->type == GGUF_F64) return false;
    v = load(p->data + i * n, n);
    switch (p->type) {
    case GGUF_I8:
        *out = (int8_t)v;
        return true;
    case GGUF_I16:
        *out = (int16_t)v;
        return true;
    case GGUF_I32:
        *out = (int32_t)v;
        return true;
    case GGUF_U64:
        if (v > INT64_MAX) return false;
        break;
    default:
        break;
    }
    *out = (int64_t)v;
    return true;
}

bool gguf_text(const GgufPair *p, const char **text, size_t *length)
{
    if (p->type != GGUF_STRING || p->array) return false;
    *length = (size_t)load(p->data, 8);
    *text = (const char *)p->data + 8;
    return true;
}

static double load_float(const GgufPair *p)
{
    float f;
    double d;

    if (p->type == GGUF_F64)
        memcpy(&d, p->data, sizeof d);
    else
        memcpy(&f, p->data, sizeof f);
    return p->type == GGUF_F64 ? d : (double)f;
}

const char *gguf_print(const Gguf *g, const GgufPair *p)
{
    const char *text;
    size_t length;
    int64_t v;

    if (p->array) return NULL;
    if (gguf_text(p, &text, &length)) return arena_strndup(g->arena, text, length);
    if (p->type == GGUF_BOOL) return *p->data ? "true" : "false";
    if (gguf_integer(p, 0, &v)) return arena_printf(g->arena, "%lld", (long long)v);
    if (p->type == GGUF_U64)
        return arena_printf(g->arena, "%llu", (unsigned long long)load(p->data, 8));
    return arena_printf(g->arena, "%.17g", load_float(p));
}
