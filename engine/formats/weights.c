/* weights.c - one table from name to tensor over one or several mapped model files. */
#include "engine/formats/weights.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/base/str.h"
#include "engine/formats/weights_source.h"

struct Weights {
    Ref ref;
    Source *source; /* owned reference */
    Map table;      /* name -> Entry * of the source */
};

enum { MAX_NAME = 512 };

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while reading weights");
}

/* ---- tables ----------------------------------------------------------------------------------------- */

static void weights_destroy(void *object)
{
    Weights *w = object;

    map_fini(&w->table);
    ref_drop(w->source);
    mem_free(w);
}

static Weights *table_new(void)
{
    Weights *w = mem_calloc(1, sizeof *w);

    if (w) ref_init(&w->ref, weights_destroy);
    return w;
}

Status weights_open(const char *path, const WeightsOptions *options, Weights **out, Error *err)
{
    Weights *w = table_new();
    Status status = w ? source_open(path, options, &w->table, &w->source, err) : no_memory(err);

    if (status == OK)
        *out = w;
    else
        ref_drop(w);
    return status;
}

Status weights_open_bytes(const char *path, const void *bytes, size_t size,
                          const WeightsOptions *options, Weights **out, Error *err)
{
    FileMap *map = NULL;
    Weights *w = NULL;
    Status status = OK;

    TRY(file_map_bytes(path, bytes, size, &map, err));
    w = table_new();
    status = w ? source_open_map(map, options, &w->table, &w->source, err) : no_memory(err);
    ref_drop(map);
    if (status == OK)
        *out = w;
    else
        ref_drop(w);
    return status;
}

Status weights_from_shapes(const char *path, KDtype type, const WeightsShape *rows,
                           size_t count, Weights **out, Error *err)
{
    Weights *w = table_new();
    Status status = w ? source_from_shapes(path, type, rows, count, &w->table, &w->source, err)
                      : no_memory(err);

    if (status == OK)
        *out = w;
    else
        ref_drop(w);
    return status;
}

static bool strip_prefix(void *user, const char *name, char *buf, size_t size)
{
    const char *prefix = user;
    size_t n = strlen(prefix);

    if (strncmp(name, prefix, n) != 0 || name[n] == '\0') return false;
    return (size_t)snprintf(buf, size, "%s", name + n) < size;
}

Status weights_scope(const Weights *w, const char *prefix, Weights **out, Error *err)
{
    return weights_rename(w, strip_prefix, (void *)(uintptr_t)prefix, out, err);
}

Status weights_rename(const Weights *w, WeightsNameFn fn, void *user, Weights **out, Error *err)
{
    Weights *renamed = table_new();
    char name[MAX_NAME];

    if (!renamed) return no_memory(err);
    renamed->source = ref_take(w->source);
    for (size_t i = 0; i < w->table.count; i++) {
        const MapEntry *e = &w->table.entries[i];

        if (!fn(user, e->key, name, sizeof name) || map_put(&renamed->table, name, e->value))
            continue;
        ref_drop(renamed);
        return no_memory(err);
    }
    *out = renamed;
    return OK;
}

/* ---- what there is ------------------------------------------------------------------------------------ */

static const Entry *entry_at(const Weights *w, size_t i)
{
    return w->table.entries[i].value;
}

size_t weights_count(const Weights *w)
{
    return w->table.count;
}

const char *weights_name(const Weights *w, size_t i)
{
    return i < w->table.count ? w->table.entries[i].key : NULL;
}

bool weights_has(const Weights *w, const char *name)
{
    return map_has(&w->table, name);
}

bool weights_has_prefix(const Weights *w, const char *prefix)
{
    for (size_t i = 0; i < w->table.count; i++)
        if (str_starts_with(w->table.entries[i].key, prefix)) return true;
    return false;
}

int weights_shape(const Weights *w, const char *name, int64_t shape[K_MAX_DIMS])
{
    const Entry *e = map_get(&w->table, name);

    if (!e) return -1;
    for (int i = 0; i < e->ndim && i < K_MAX_DIMS; i++)
        shape[i] = e->shape[i];
    return e->ndim;
}

int64_t weights_dim(const Weights *w, const char *name, int dim)
{
    const Entry *e = map_get(&w->table, name);

    if (e && dim < 0) dim += e->ndim;
    return e && dim >= 0 && dim < e->ndim ? e->shape[dim] : 0;
}

int64_t weights_elements(const Weights *w, const char *name)
{
    const Entry *e = map_get(&w->table, name);

    return e ? e->count : -1;
}

KDtype weights_dtype(const Weights *w, const char *name)
{
    const Entry *e = map_get(&w->table, name);

    return e ? e->type : K_DTYPE_COUNT;
}

int weights_blocks(const Weights *w, const char *prefix)
{
    char name[MAX_NAME];
    int n = 0;

    do
        snprintf(name, sizeof name, "%s%d.", prefix, n);
    while (weights_has_prefix(w, name) && ++n < 10000);
    return n;
}

const char *weights_metadata(const Weights *w, const char *key)
{
    return map_get(&w->source->metadata, key);
}

const char *weights_path(const Weights *w)
{
    return w->source->path;
}

int64_t weights_bytes(const Weights *w)
{
    int64_t sum = 0;

    for (size_t i = 0; i < w->table.count; i++)
        sum += (int64_t)entry_at(w, i)->size;
    return sum;
}

bool weights_is_dummy(const Weights *w)
{
    return w->source->options.dummy;
}

Status weights_identity(const Weights *w, uint8_t digest[32], Error *err)
{
    const Source *s = w->source;
    uint8_t one[32];
    Sha256 h;

    if (s->map_count == 0) return error_set(err, E_MISSING, "no file behind the weights");
    sha256_init(&h);
    for (size_t i = 0; i < s->map_count; i++) {
        TRY(file_identity(s->maps[i]->path, one, err));
        sha256_add(&h, one, sizeof one);
    }
    sha256_end(&h, digest);
    return OK;
}

void weights_release(const Weights *w)
{
    for (size_t i = 0; i < w->source->map_count; i++)
        file_map_release(w->source->maps[i]);
}

/* ---- finding -------------------------------------------------------------------------------------------- */

static Status missing(const Weights *w, const char *name, Error *err)
{
    const char **names = mem_alloc_array(w->table.count, sizeof *names);
    const char *nearest = NULL;

    for (size_t i = 0; names && i < w->table.count; i++)
        names[i] = w->table.entries[i].key;
    if (names) nearest = str_nearest(name, names, w->table.count);
    error_set(err, E_MISSING, "tensor %s is missing", name);
    if (nearest) error_fix(err, "the nearest name in the file is %s", nearest);
    error_at_file(err, w->source->path, -1);
    mem_free(names);
    return E_MISSING;
}

/* llama.cpp stores rows 2i and 2i+1 of a head where checkpoints have i and i + d/2 (its converter's
 * "permute"); the copy made here lies in the source's arena and takes the file's place. */
static Status order_rows(const Weights *w, Entry *e, Error *err)
{
    int64_t rows = e->shape[0], head = rows / e->interleaved_heads, half = head / 2;
    size_t row_bytes = e->size / (size_t)rows;
    uint8_t *room = arena_alloc(w->source->arena, e->size);

    if (!room) return no_memory(err);
    for (int64_t r = 0; r < rows; r++) {
        int64_t in_head = r % head, from = r - in_head + in_head % half * 2 + in_head / half;

        memcpy(room + (size_t)r * row_bytes, e->data + (size_t)from * row_bytes, row_bytes);
    }
    e->data = room;
    e->interleaved_heads = 0;
    return OK;
}

static Status find(const Weights *w, const char *name, Entry **out, Error *err)
{
    Entry *e = map_get(&w->table, name);

    if (!e) return missing(w, name, err);
    *out = e;
    if (e->interleaved_heads == 0 || w->source->options.dummy) return OK;
    return order_rows(w, e, err);
}

/* Says where: every error of a lookup passes here. */
static Status at_file(const Weights *w, Status s, Error *err)
{
    error_at_file(err, w->source->path, -1);
    return s;
}

/* ---- widening to float32 ---------------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static float from_f32(const uint8_t *p)
{
    float v;

    memcpy(&v, p, sizeof v);
    return v;
}

static float from_f64(const uint8_t *p)
{
    double v;

    memcpy(&v, p, sizeof v);
    return (float)v;
}

static float from_bf16(const uint8_t *p)
{
    return k_f32_from_bf16((uint16_t)load(p, 2));
}

static float from_f16(const uint8_t *p)
{
    return k_f32_from_f16((uint16_t)load(p, 2));
}

static float from_e4m3(const uint8_t *p)
{
    return k_f32_from_e4m3(*p);
}

static float from_e5m2(const uint8_t *p)
{
    return k_f32_from_e5m2(*p);
}

static float from_i64(const uint8_t *p)
{
    return (float)(int64_t)load(p, 8);
}

static float from_i32(const uint8_t *p)
{
    return (float)(int32_t)(uint32_t)load(p, 4);
}

static float from_i16(const uint8_t *p)
{
    return (float)(int16_t)(uint16_t)load(p, 2);
}

static float from_i8(const uint8_t *p)
{
    return (float)(int8_t)*p;
}

static float from_u8(const uint8_t *p)
{
    return (float)*p;
}

typedef float (*Widen)(const uint8_t *p);

/* Plain types; block types go through the kernels' own decoder. */
static const Widen widen[K_DTYPE_COUNT] = {
    [K_F32] = from_f32,      [K_F64] = from_f64,      [K_BF16] = from_bf16, [K_F16] = from_f16,
    [K_F8_E4M3] = from_e4m3, [K_F8_E5M2] = from_e5m2, [K_I64] = from_i64,   [K_I32] = from_i32,
    [K_I16] = from_i16,      [K_I8] = from_i8,        [K_U8] = from_u8,
};

static bool is_block(KDtype t)
{
    return t < K_DTYPE_COUNT && !widen[t];
}

static Status decode_blocks(const Entry *e, float *out, Error *err)
{
    KWeight kw = { .data = e->data, .dtype = e->type, .k = e->row, .quant = e->quant };

    if (e->row <= 0) return OK;
    kw.n = e->count / e->row;
    kw.row_bytes = (int64_t)k_row_bytes(e->type, e->row);
    for (int64_t r = 0; r < kw.n; r++)
        if (k_weight_row(&kw, r, 0, e->row, out + r * e->row) != K_OK)
            return error_set(err, E_UNSUPPORTED, "dtype %s cannot be decoded", e->dtype);
    return OK;
}

/* The file's numbers, without scale and cast. */
static Status decode(const Entry *e, float *out, Error *err)
{
    size_t step;

    if (e->type == K_DTYPE_COUNT)
        return error_set(err, E_TYPE, "dtype %s holds no weights", e->dtype);
    if (e->quant || is_block(e->type)) return decode_blocks(e, out, err);
    step = k_dtype_block_bytes(e->type);
    for (int64_t i = 0; i < e->count; i++)
        out[i] = widen[e->type](e->data + (size_t)i * step);
    return OK;
}

static void multiply(float *v, int64_t count, float factor)
{
    for (int64_t i = 0; i < count; i++)
        v[i] *= factor;
}

/* What ComfyUI's weight_dtype does to every parameter, norm scales included. */
static void round_to(KDtype cast, float *v, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        v[i] = cast == K_F8_E4M3 ? k_f32_from_e4m3(k_e4m3_from_f32(v[i], false))
                                 : k_f32_from_e5m2(k_e5m2_from_f32(v[i], false));
}

/* The cast that applies to an entry: blocks and scaled matrices keep their own coding. */
static KDtype cast_of(const Weights *w, const Entry *e)
{
    KDtype cast = w->source->options.cast;
    bool fp8 = cast == K_F8_E4M3 || cast == K_F8_E5M2;

    return fp8 && !e->scale && !e->quant && !is_block(e->type) ? cast : K_F32;
}

static Status decode_all(const Weights *w, const Entry *e, float *out, Error *err)
{
    float scale = 1;

    if (w->source->options.dummy) {
        memset(out, 0, (size_t)e->count * sizeof *out);
        return OK;
    }
    TRY(decode(e, out, err));
    if (e->scale) {
        TRY(decode(e->scale, &scale, err));
        multiply(out, e->count, scale);
    }
    if (cast_of(w, e) != K_F32) round_to(cast_of(w, e), out, e->count);
    return OK;
}

static bool is_aligned(const void *p, size_t to)
{
    return (uintptr_t)p % to == 0;
}

/* Room for an entry's elements as float32, in the source's arena. */
static float *room_for(const Weights *w, const Entry *e)
{
    return arena_array(w->source->arena, (size_t)e->count, sizeof(float));
}

static Status widened(const Weights *w, Entry *e, const float **out, Error *err)
{
    bool direct = e->type == K_F32 && cast_of(w, e) == K_F32 &&
                  is_aligned(e->data, sizeof(float)) && !w->source->options.dummy;
    float *room;

    if (direct && e->size > 0) e->widened = (const float *)(const void *)e->data;
    if (!e->widened) {
        room = room_for(w, e);
        if (!room) return no_memory(err);
        TRY(decode_all(w, e, room, err));
        e->widened = room;
    }
    *out = e->widened;
    return OK;
}

static Status check_count(const Entry *e, const char *name, int64_t count, Error *err)
{
    if (e->count == count) return OK;
    return error_set(err, E_SHAPE, "tensor %s has %lld elements, %lld are expected", name,
                     (long long)e->count, (long long)count);
}

/* Puts the tensor's name before a message that a lower function gave. */
static Status named(const Weights *w, Status s, const char *name, Error *err)
{
    char text[sizeof err->message];

    if (s == OK || s == E_NOMEM || !err) return s;
    memcpy(text, err->message, sizeof text);
    error_set(err, s, "tensor %s: %s", name, text);
    return at_file(w, s, err);
}

Status weights_f32_into(const Weights *w, const char *name, float *out, int64_t count,
                        Error *err)
{
    Entry *e = NULL;

    TRY(find(w, name, &e, err));
    if (check_count(e, name, count, err) != OK) return at_file(w, E_SHAPE, err);
    return named(w, decode_all(w, e, out, err), name, err);
}

Status weights_f32(const Weights *w, const char *name, int64_t count, const float **out,
                   Error *err)
{
    Entry *e = NULL;

    TRY(find(w, name, &e, err));
    if (check_count(e, name, count, err) != OK) return at_file(w, E_SHAPE, err);
    return named(w, widened(w, e, out, err), name, err);
}

Status weights_view(const Weights *w, const char *name, KView *out, Error *err)
{
    Entry *e = NULL;

    TRY(find(w, name, &e, err));
    if (e->type == K_DTYPE_COUNT || e->quant || is_block(e->type) || e->ndim > K_MAX_DIMS) {
        error_set(err, E_TYPE, "tensor %s: dtype %s with %d dimensions has no plain view", name,
                  e->dtype, e->ndim);
        return at_file(w, E_TYPE, err);
    }
    *out = k_view((void *)(uintptr_t)e->data, e->type, e->ndim, e->shape);
    return OK;
}

/* ---- matrices ------------------------------------------------------------------------------------------------ */

static Status check_matrix(const Entry *e, const char *name, int64_t n, int64_t k, Error *err)
{
    int64_t rows = e->ndim > 0 ? e->shape[0] : 1;
    int64_t columns = rows > 0 ? e->count / rows : 0;

    if (e->ndim < 2 || rows == 0)
        return error_set(err, E_SHAPE,
                         "tensor %s is no matrix: it has %d dimensions and %lld elements", name,
                         e->ndim, (long long)e->count);
    if ((n && n != rows) || (k && k != columns))
        return error_set(err, E_SHAPE, "tensor %s is [%lld, %lld], [%lld, %lld] is expected",
                         name, (long long)rows, (long long)columns, (long long)(n ? n : rows),
                         (long long)(k ? k : columns));
    if (e->type == K_DTYPE_COUNT || (!e->quant && e->type >= K_I64 && e->type <= K_U8))
        return error_set(err, E_TYPE, "tensor %s: dtype %s holds no weights", name, e->dtype);
    return OK;
}

_Static_assert(K_I32 > K_I64 && K_I16 < K_U8 && K_I8 < K_U8 && K_F64 < K_I64,
               "integers are a range");

/* A copy is needed when the kernels cannot read the file's bytes: float64, misaligned numbers, rows
 * that are no whole number of blocks. It is made once and lies in the source's arena. */
static Status copy_as_f32(const Weights *w, Entry *e, KWeight *out, Error *err)
{
    if (!e->copy && !w->source->options.dummy) {
        float *room = room_for(w, e);

        if (!room) return no_memory(err);
        TRY(decode(e, room, err));
        e->copy = room;
    }
    out->data = e->copy ? e->copy : e->data;
    out->dtype = K_F32;
    out->row_bytes = out->k * (int64_t)sizeof(float);
    return OK;
}

static Status copy_aligned(const Weights *w, Entry *e, KWeight *out, Error *err)
{
    if (!e->copy) {
        void *room = arena_alloc(w->source->arena, e->size);

        if (!room) return no_memory(err);
        memcpy(room, e->data, e->size);
        e->copy = room;
    }
    out->data = e->copy;
    return OK;
}

static Status attach_scale(const Weights *w, const Entry *e, KWeight *out, Error *err)
{
    static const float one = 1;

    if (!e->scale) return OK;
    if (w->source->options.dummy) {
        out->scale = &one;
        return OK;
    }
    if (!e->scale->widened) {
        float *room = room_for(w, e->scale);

        if (!room) return no_memory(err);
        TRY(decode(e->scale, room, err));
        e->scale->widened = room;
    }
    out->scale = e->scale->widened;
    return OK;
}

static Status fill_matrix(const Weights *w, Entry *e, KWeight *out, Error *err)
{
    size_t row_bytes, align = is_block(e->type) ? 1 : k_dtype_block_bytes(e->type);

    *out = (KWeight){ .data = e->data,
                      .dtype = e->type,
                      .n = e->shape[0],
                      .quant = e->quant,
                      .int8_x = e->int8_x,
                      .cast = cast_of(w, e) };
    out->k = e->count / out->n;
    row_bytes = k_row_bytes(e->type, out->k);
    out->row_bytes = (int64_t)row_bytes;
    if (e->type == K_F64 || (row_bytes == 0 && out->k > 0 && !e->quant)) return copy_as_f32(w, e, out, err);
    if (!is_aligned(e->data, align) && !w->source->options.dummy)
        TRY(copy_aligned(w, e, out, err));
    return attach_scale(w, e, out, err);
}

Status weights_matrix(const Weights *w, const char *name, int64_t n, int64_t k, KWeight *out,
                      Error *err)
{
    Entry *e = NULL;
    KWeight filled;
    Status status;

    TRY(find(w, name, &e, err));
    status = check_matrix(e, name, n, k, err);
    if (status != OK) return at_file(w, status, err);
    TRY(named(w, fill_matrix(w, e, &filled, err), name, err));
    *out = filled;
    return OK;
}
