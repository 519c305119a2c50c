/* weights_quant.c - from quantisation records to entries that kernels read as they lie.
 *
 * One function per format checks that the tensors beside the codes are there and have the shapes that the
 * format gives them, and fills a KQuant with pointers into the mapping. Nothing is expanded. The entry's own
 * shape becomes the logical one, so that models are recognised by it. docs/formats.md lists the formats.
 */
#include "engine/formats/weights_quant.h"

#include <string.h>

enum { DEFAULT_ROTATE = 256 };

typedef struct Apply {
    Source *source;
    const Map *table;
    const QuantRecord *record;
    Entry *weight;
    KQuant *quant; /* in the arena; filled by the format's function */
    Error *err;
} Apply;

typedef Status ApplyFn(Apply *a);

/* ---- what the functions share -------------------------------------------------------------------------- */

static Status no_memory(const Apply *a)
{
    return error_set(a->err, E_NOMEM, "out of memory while reading quantisation marks");
}

static Status wrong(const Apply *a, const char *what)
{
    return error_set(a->err, E_FORMAT, "layer %s (%s): %s", a->record->layer, a->record->format,
                     what);
}

static Entry *find(const Apply *a, const char *part)
{
    char *name = arena_printf(a->source->arena, "%s%s", a->record->layer, part);

    return name ? map_get(a->table, name) : NULL;
}

/* A tensor beside the weight, of one of the dtypes in the set (bits by KDtype) and so many elements. */
static Status need(const Apply *a, const char *part, uint64_t types, int64_t count, Entry **out)
{
    Entry *e = find(a, part);

    if (!e)
        return error_set(a->err, E_FORMAT, "layer %s (%s): %s%s is missing", a->record->layer,
                         a->record->format, a->record->layer, part);
    if (e->type >= K_DTYPE_COUNT || !(types >> e->type & 1))
        return error_set(a->err, E_FORMAT, "layer %s (%s): %s%s cannot be %s", a->record->layer,
                         a->record->format, a->record->layer, part, e->dtype);
    if (e->count != count)
        return error_set(a->err, E_FORMAT,
                         "layer %s (%s): %s%s has %lld elements, %lld are expected",
                         a->record->layer, a->record->format, a->record->layer, part,
                         (long long)e->count, (long long)count);
    *out = e;
    return OK;
}

#define TYPE(t) (1ull << (t))
#define FLOATS (TYPE(K_F32) | TYPE(K_F16) | TYPE(K_BF16))
_Static_assert(K_DTYPE_COUNT < 64, "sets of dtypes are 64 bits");

/* Float32 of a table at an aligned address. */
static Status floats(const Apply *a, const Entry *e, const float **out)
{
    void *room;

    *out = (const float *)(const void *)e->data;
    if ((uintptr_t)e->data % sizeof(float) == 0 || a->source->options.dummy) return OK;
    room = arena_alloc(a->source->arena, e->size + 1);
    if (!room) return no_memory(a);
    memcpy(room, e->data, e->size);
    *out = room;
    return OK;
}

static Status check_rows(const Apply *a, uint64_t types)
{
    const Entry *e = a->weight;

    if (e->type >= K_DTYPE_COUNT || !(types >> e->type & 1))
        return error_set(a->err, E_FORMAT, "layer %s (%s): its weight cannot be %s",
                         a->record->layer, a->record->format, e->dtype);
    if (e->ndim != 2 || e->shape[0] < 1 || e->shape[1] < 1)
        return wrong(a, "its weight is no matrix");
    return OK;
}

/* The entry becomes a matrix [n, k] of this dtype. */
static Status become(Apply *a, KDtype type, int64_t n, int64_t k)
{
    int64_t *shape = arena_array(a->source->arena, 2, sizeof *shape);

    if (!shape) return no_memory(a);
    shape[0] = n;
    shape[1] = k;
    a->weight->type = type;
    a->weight->ndim = 2;
    a->weight->shape = shape;
    a->weight->count = n * k;
    a->weight->row = k;
    a->weight->quant = a->quant;
    a->quant->rows = n;
    return OK;
}

static Status set_rotation(Apply *a, int64_t k)
{
    int64_t group = a->record->rotate ? a->record->rotate : DEFAULT_ROTATE;

    if (!k_rotation_fits(group, k))
        return error_set(a->err, E_FORMAT,
                         "layer %s (%s): groups of %lld cannot be rotated in rows of %lld; a "
                         "power of 4 that divides the row is needed",
                         a->record->layer, a->record->format, (long long)group, (long long)k);
    a->quant->rotate = group;
    return OK;
}

/* x is multiplied by this before anything else. */
static Status set_column_scale(const Apply *a, int64_t k)
{
    Entry *e = NULL;

    if (!find(a, ".pre_quant_scale")) return OK;
    TRY(need(a, ".pre_quant_scale", FLOATS, k, &e));
    if (e->type == K_F32) return floats(a, e, &a->quant->column_scale);
    float *room = arena_array(a->source->arena, (size_t)k, sizeof *room);
    if (!room) return no_memory(a);
    for (int64_t i = 0; i < k && !a->source->options.dummy; i++) {
        uint16_t bits;
        memcpy(&bits, e->data + 2 * i, sizeof bits);
        room[i] = e->type == K_F16 ? k_f32_from_f16(bits) : k_f32_from_bf16(bits);
    }
    a->quant->column_scale = room;
    return OK;
}

/* ---- FP8 with one scale -------------------------------------------------------------------------------- */

static Status apply_float8(Apply *a)
{
    Entry *e = a->weight, *scale = find(a, ".weight_scale");

    if (!scale) scale = find(a, ".scale_weight");
    if (e->type != K_F8_E4M3 && e->type != K_F8_E5M2) return OK; /* kept wide by its writer */
    if (scale &&
        (scale->count != 1 || scale->type >= K_DTYPE_COUNT || !(FLOATS >> scale->type & 1)))
        return wrong(a, "its scale is not one number");
    e->scale = scale;
    return OK;
}

/* ---- blocks of FP4 and FP8 ------------------------------------------------------------------------------ */

/* Bytes of a tiled table of block scales: rows and blocks padded to 128 and 4. */
static int64_t tiled_count(int64_t n, int64_t blocks)
{
    return (n + 127) / 128 * 128 * ((blocks + 3) / 4 * 4);
}

static Status set_tiled(Apply *a, int64_t n, int64_t k, int64_t block, KDtype type)
{
    Entry *e = find(a, ".weight_scale");

    if (k % block) return wrong(a, "its rows are no whole number of blocks");
    /* The safetensors reader has no kernel dtype for E8M0: its bytes are taken as they are. */
    if (e && strcmp(e->dtype, "F8_E8M0") == 0 && type == K_F8_E8M0) e->type = K_U8;
    TRY(need(a, ".weight_scale", TYPE(K_U8) | TYPE(type), tiled_count(n, k / block), &e));
    a->quant->scales = e->data;
    a->quant->scale_type = type;
    a->quant->order = K_SCALES_TILED;
    a->quant->block = block;
    return set_column_scale(a, k);
}

static Status apply_nvfp4(Apply *a)
{
    TRY(check_rows(a, TYPE(K_U8) | TYPE(K_I8)));
    int64_t n = a->weight->shape[0], k = 2 * a->weight->shape[1];

    TRY(set_tiled(a, n, k, 16, K_F8_E4M3));
    TRY(need(a, ".weight_scale_2", FLOATS, 1, &a->weight->scale));
    return become(a, K_NVFP4, n, k);
}

static Status apply_mxfp8(Apply *a)
{
    TRY(check_rows(a, TYPE(K_F8_E4M3)));
    int64_t n = a->weight->shape[0], k = a->weight->shape[1];

    TRY(set_tiled(a, n, k, 32, K_F8_E8M0));
    return become(a, K_F8_E4M3, n, k);
}

/* ---- int8 and int4 with one scale a row ------------------------------------------------------------------ */

/* One scale for all rows, or one for each. */
static Status set_row_scales(Apply *a, int64_t n)
{
    Entry *e = find(a, ".weight_scale");

    TRY(need(a, ".weight_scale", FLOATS, e && e->count == 1 ? 1 : n, &e));
    if (e->count == 1) {
        a->weight->scale = e;
        return OK;
    }
    a->quant->scales = e->data;
    a->quant->scale_type = e->type;
    return OK;
}

static Status apply_int8(Apply *a)
{
    TRY(check_rows(a, TYPE(K_I8)));
    int64_t n = a->weight->shape[0], k = a->weight->shape[1];

    TRY(set_row_scales(a, n));
    if (a->record->convrot) TRY(set_rotation(a, k));
    TRY(set_column_scale(a, k));
    a->weight->int8_x = !a->record->full_precision;
    return become(a, K_I8, n, k);
}

static Status apply_w4a4(Apply *a)
{
    TRY(check_rows(a, TYPE(K_I8) | TYPE(K_U8)));
    int64_t n = a->weight->shape[0], k = 2 * a->weight->shape[1];

    TRY(set_row_scales(a, n));
    TRY(set_rotation(a, k));
    TRY(set_column_scale(a, k));
    a->weight->int8_x = !a->record->full_precision;
    return become(a, K_I4, n, k);
}

/* ---- w4a8: codes, a scale for each group, a scale for each row -------------------------------------------- */

/* Code width from the row's bytes, 4 or 6; other widths are none. */
static Status w8_width(const Apply *a, int64_t bytes, int64_t k, int64_t group, bool *six)
{
    *six = 4 * bytes == 3 * k;
    if (!*six && 2 * bytes != k)
        return wrong(a, "its rows have neither 4 nor 6 bits for a code");
    if (k % 16 || group < 4 || (16 % group && group % 16))
        return wrong(a,
                     "its groups must divide 16 or be a multiple of 16, and so must its rows");
    if (*six && (k % 32 || group % 16 || find(a, ".weight_codebook")))
        return wrong(a, "codes of 6 bits want groups of 16, rows of 32 and no codebook");
    if (find(a, ".weight_correction"))
        return wrong(a, "it has a weight_correction, which nothing reads");
    return OK;
}

static Status apply_w4a8(Apply *a)
{
    Entry *rel = find(a, ".weight_s_rel"), *e = NULL;
    int64_t group = a->record->group ? a->record->group : 16, n, k;
    bool six;

    TRY(check_rows(a, TYPE(K_I8) | TYPE(K_U8)));
    n = a->weight->shape[0];
    if (!rel || rel->ndim != 2 || rel->shape[0] != n || rel->shape[1] < 1)
        return wrong(a, "its weight_s_rel is missing or no table of its rows");
    if (__builtin_mul_overflow(rel->shape[1], group, &k) || k > INT32_MAX)
        return wrong(a, "its groups are too large");
    TRY(w8_width(a, a->weight->shape[1], k, group, &six));
    TRY(need(a, ".weight_s_rel", TYPE(K_F8_E4M3) | TYPE(K_U8) | TYPE(K_F32), rel->count, &e));
    a->quant->scales = e->data;
    a->quant->scale_type = e->type == K_F32 ? K_F32 : K_F8_E4M3;
    a->quant->block = group;
    TRY(need(a, ".weight_s_channel", TYPE(K_F32), n, &e));
    TRY(floats(a, e, &a->quant->channel));
    if (find(a, ".weight_codebook")) {
        TRY(need(a, ".weight_codebook", TYPE(K_F32), 16, &e));
        a->quant->levels = e->data;
    }
    TRY(set_rotation(a, k));
    a->weight->int8_x = !a->record->full_precision;
    return become(a, six ? K_W6A8 : K_W4A8, n, k);
}

static Status apply_awq(Apply *a)
{
    Entry *scales, *zeros;

    TRY(check_rows(a, TYPE(K_I8) | TYPE(K_U8)));
    int64_t n = a->weight->shape[0], k = 2 * a->weight->shape[1];
    int64_t group = a->record->group ? a->record->group : 64;
    if (k % group) return wrong(a, "its rows are no whole number of groups");
    TRY(need(a, ".weight_scale", FLOATS, k / group * n, &scales));
    TRY(need(a, ".weight_zeros", TYPE(scales->type), k / group * n, &zeros));
    a->quant->scales = scales->data;
    a->quant->zeros = zeros->data;
    a->quant->scale_type = scales->type;
    a->quant->order = K_SCALES_COLUMNS;
    a->quant->block = group;
    return become(a, K_U4, n, k);
}

/* ---- bitsandbytes ------------------------------------------------------------------------------------------ */

/* Scales of scales: codes into a table of 256, times one number per block of blocks. */
static Status set_nested(Apply *a, int64_t blocks)
{
    int64_t block = a->record->nested_block ? a->record->nested_block : 256;
    Entry *e = NULL;

    TRY(need(a, ".weight.nested_absmax", TYPE(K_F32), (blocks + block - 1) / block, &e));
    a->quant->nested_scales = e->data;
    TRY(need(a, ".weight.nested_quant_map", TYPE(K_F32), 256, &e));
    a->quant->nested_levels = e->data;
    a->quant->nested_block = block;
    a->quant->nested_offset = a->record->nested_offset;
    return OK;
}

static Status apply_4bit(Apply *a)
{
    const QuantRecord *r = a->record;
    int64_t n = r->shape[0], k = 1, count, blocks, block = r->group ? r->group : 64;
    Entry *e = NULL;

    for (int i = 1; i < r->ndim; i++)
        k *= r->shape[i]; /* the product was checked with the shape */
    count = n * k;
    blocks = (count - 1) / block + 1;
    if (a->weight->type != K_U8 || k % 2 || (int64_t)a->weight->size != count / 2)
        return wrong(a, "its weight does not hold two codes in each byte of its shape");
    TRY(need(a, ".weight.absmax", FLOATS | TYPE(K_U8), blocks, &e));
    a->quant->scales = e->data;
    a->quant->scale_type = e->type;
    a->quant->order = K_SCALES_FLAT;
    a->quant->block = block;
    if (e->type == K_U8) TRY(set_nested(a, blocks));
    TRY(need(a, ".weight.quant_map", TYPE(K_F32), 16, &e));
    a->quant->levels = e->data;
    TRY(become(a, K_NF4, n, k));
    a->weight->ndim = r->ndim;
    a->weight->shape = r->shape;
    return OK;
}

/* W = code * SCB / 127, and x stays as it is. */
static Status apply_scb(Apply *a)
{
    static const float inverse = 1.0f / 127.0f;
    Entry *e = NULL, *scale = arena_alloc(a->source->arena, sizeof *scale);

    if (!scale) return no_memory(a);
    if (a->weight->type != K_I8) return OK;
    TRY(check_rows(a, TYPE(K_I8)));
    TRY(need(a, ".SCB", FLOATS, a->weight->shape[0], &e));
    a->quant->scales = e->data;
    a->quant->scale_type = e->type;
    *scale = (Entry){ .type = K_F32,
                      .dtype = "F32",
                      .count = 1,
                      .row = 1,
                      .data = (const uint8_t *)&inverse,
                      .size = sizeof inverse,
                      .widened = &inverse };
    a->weight->scale = scale;
    return become(a, K_I8, a->weight->shape[0], a->weight->shape[1]);
}

/* ---- all formats --------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
    const char *name;
    ApplyFn *apply;
} formats[] = {
    { "float8", apply_float8 },           { "float8_e4m3fn", apply_float8 },
    { "float8_e5m2", apply_float8 },      { "nvfp4", apply_nvfp4 },
    { "mxfp8", apply_mxfp8 },             { "int8_tensorwise", apply_int8 },
    { "convrot_w4a4", apply_w4a4 },       { "asym_w4a8_int8", apply_w4a8 },
    { "awq_w4a16", apply_awq },           { "nf4", apply_4bit },
    { "fp4", apply_4bit },                { "bitsandbytes int8", apply_scb },
};
/* clang-format on */

Status quant_apply(Source *s, const Map *table, const QuantRecord *r, Error *err)
{
    Apply a = { .source = s, .table = table, .record = r, .err = err };

    a.weight = find(&a, ".weight");
    a.quant = arena_alloc(s->arena, sizeof *a.quant);
    if (!a.quant) return no_memory(&a);
    if (!a.weight) return OK;
    *a.quant = (KQuant){ .rows = 0 };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, r->format) == 0) return formats[i].apply(&a);
    error_set(err, E_UNSUPPORTED, "layer %s is quantised as %s, which nothing here reads",
              r->layer, r->format);
    error_fix(err, "take the file in another format: bf16, fp8, GGUF, int8_tensorwise, "
                   "asym_w4a8_int8, nvfp4, mxfp8 or nf4");
    return E_UNSUPPORTED;
}
