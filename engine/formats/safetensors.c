/* safetensors.c - reads and writes the safetensors container. */
#include "engine/formats/safetensors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

/* Every dtype of the format: name, bits of one element, kernel type. */
static const struct Dtype {
    const char *name;
    unsigned bits;
    KDtype type;
} dtypes[] = {
    /* clang-format off */
    { "F32", 32, K_F32 },         { "BF16", 16, K_BF16 },       { "F16", 16, K_F16 },
    { "F8_E4M3", 8, K_F8_E4M3 },  { "F8_E5M2", 8, K_F8_E5M2 },  { "F64", 64, K_F64 },
    { "I64", 64, K_I64 },         { "I32", 32, K_I32 },         { "I16", 16, K_I16 },
    { "I8", 8, K_I8 },            { "U8", 8, K_U8 },            { "BOOL", 8, K_DTYPE_COUNT },
    { "U16", 16, K_DTYPE_COUNT }, { "U32", 32, K_DTYPE_COUNT }, { "U64", 64, K_DTYPE_COUNT },
    { "C64", 64, K_DTYPE_COUNT }, { "F4", 4, K_DTYPE_COUNT },   { "F8_E8M0", 8, K_DTYPE_COUNT },
    { "F6_E2M3", 6, K_DTYPE_COUNT }, { "F6_E3M2", 6, K_DTYPE_COUNT },
    /* clang-format on */
};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0], LENGTH_BYTES = 8 };

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while reading a safetensors header");
}

static const struct Dtype *dtype_by_name(const char *name)
{
    for (size_t i = 0; i < DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
    return NULL;
}

static const struct Dtype *dtype_by_type(KDtype type)
{
    for (size_t i = 0; i < DTYPES; i++)
        if (dtypes[i].type == type && type != K_DTYPE_COUNT) return &dtypes[i];
    return NULL;
}

/* ---- reading ------------------------------------------------------------------------------------- */

typedef struct Reader {
    SafeTensors *st;
    const uint8_t *data; /* behind the header */
    size_t data_size;
    const char *name; /* of the tensor that is being read, for messages */
    Error *err;
} Reader;

static Status bad_entry(const Reader *r, const Json *at, const char *what)
{
    error_set(r->err, E_FORMAT, "tensor %s: %s", r->name, what);
    if (r->err) r->err->offset = LENGTH_BYTES + json_offset(at);
    return E_FORMAT;
}

static Status read_shape(const Reader *r, const Json *entry, SafeTensor *t)
{
    const Json *shape = json_get(entry, "shape");
    size_t n = json_count(shape);
    int64_t *dims;
    int i = 0;

    if (!json_is(shape, JSON_ARRAY)) return bad_entry(r, entry, "\"shape\" is no list");
    if (n > INT_MAX) return bad_entry(r, shape, "too many dimensions");
    dims = arena_array(r->st->arena, n, sizeof *dims);
    if (!dims) return no_memory(r->err);
    t->count = 1;
    for (const Json *d = json_first(shape); d; d = json_next(d), i++) {
        if (!json_int64(d, &dims[i]) || dims[i] < 0)
            return bad_entry(r, d, "a dimension is no number from 0 up");
        if (__builtin_mul_overflow(t->count, dims[i], &t->count))
            return bad_entry(r, d, "the shape overflows");
    }
    t->ndim = (int)n;
    t->shape = dims;
    return OK;
}

static Status read_dtype(const Reader *r, const Json *entry, SafeTensor *t, unsigned *bits)
{
    const Json *j = json_get(entry, "dtype");
    const struct Dtype *d;

    if (!json_is(j, JSON_STRING)) return bad_entry(r, entry, "\"dtype\" is no string");
    d = dtype_by_name(json_string(j));
    if (!d) return bad_entry(r, j, "unknown dtype");
    t->dtype = d->name;
    t->type = d->type;
    *bits = d->bits;
    return OK;
}

static Status read_offsets(const Reader *r, const Json *entry, SafeTensor *t)
{
    const Json *j = json_get(entry, "data_offsets");
    uint64_t begin, end;

    if (!json_is(j, JSON_ARRAY) || json_count(j) != 2 || !json_uint64(json_at(j, 0), &begin) ||
        !json_uint64(json_at(j, 1), &end))
        return bad_entry(r, j ? j : entry, "\"data_offsets\" is no pair of numbers from 0 up");
    if (begin > end || end > r->data_size)
        return bad_entry(r, j, "\"data_offsets\" reach outside the file's data");
    t->data = r->data + begin;
    t->size = (size_t)(end - begin);
    return OK;
}

static Status read_entry(Reader *r, const Json *entry, SafeTensor *t)
{
    unsigned bits = 0;
    uint64_t size;

    r->name = json_key(entry);
    if (!json_is(entry, JSON_OBJECT)) return bad_entry(r, entry, "its entry is no object");
    TRY(read_dtype(r, entry, t, &bits));
    TRY(read_shape(r, entry, t));
    TRY(read_offsets(r, entry, t));
    if (__builtin_mul_overflow((uint64_t)t->count, (uint64_t)bits, &size))
        return bad_entry(r, entry, "the size overflows");
    if (size % 8 != 0 || size / 8 != t->size)
        return bad_entry(r, entry, "shape and dtype do not give the size of its data");
    t->name = arena_strdup(r->st->arena, r->name);
    return t->name ? OK : no_memory(r->err);
}

static Status read_metadata(Reader *r, const Json *map)
{
    SafeTensors *st = r->st;

    r->name = "__metadata__";
    if (!map || json_is(map, JSON_NULL)) return OK;
    if (!json_is(map, JSON_OBJECT)) return bad_entry(r, map, "it is no object");
    st->metadata = arena_array(st->arena, json_count(map), sizeof *st->metadata);
    if (!st->metadata) return no_memory(r->err);
    for (const Json *j = json_first(map); j; j = json_next(j)) {
        SafePair *p = &st->metadata[st->metadata_count];

        if (!json_is(j, JSON_STRING)) return bad_entry(r, j, "a value is no string");
        p->key = arena_strdup(st->arena, json_key(j));
        p->value = arena_strndup(st->arena, json_string(j), json_string_length(j));
        if (!p->key || !p->value) return no_memory(r->err);
        st->metadata_count++;
    }
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const SafeTensor *x = a, *y = b;

    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* Tensors must tile the data exactly. */
static Status check_tiling(Reader *r)
{
    const uint8_t *at = r->data;

    if (r->st->count) qsort(r->st->tensors, r->st->count, sizeof(SafeTensor), by_place);
    for (size_t i = 0; i < r->st->count; i++) {
        const SafeTensor *t = &r->st->tensors[i];

        if (t->data != at)
            return error_set(r->err, E_FORMAT,
                             "tensor %s begins at byte %zu of the data, not %zu", t->name,
                             (size_t)(t->data - r->data), (size_t)(at - r->data));
        at += t->size;
    }
    if (at != r->data + r->data_size) {
        error_set(r->err, E_FORMAT, "the tensors cover %zu of %zu bytes of data",
                  (size_t)(at - r->data), r->data_size);
        error_fix(r->err, "the file may have been cut or changed: fetch it again");
        return E_FORMAT;
    }
    return OK;
}

static Status read_header(Reader *r, const Json *root)
{
    SafeTensors *st = r->st;

    if (!json_is(root, JSON_OBJECT))
        return error_set(r->err, E_FORMAT, "the safetensors header is no JSON object");
    st->tensors = arena_array(st->arena, json_count(root), sizeof *st->tensors);
    if (!st->tensors) return no_memory(r->err);
    TRY(read_metadata(r, json_get(root, "__metadata__")));
    for (const Json *j = json_first(root); j; j = json_next(j)) {
        if (strcmp(json_key(j), "__metadata__") == 0) continue;
        TRY(read_entry(r, j, &st->tensors[st->count]));
        st->count++;
    }
    return check_tiling(r);
}

static Status header_length(const uint8_t *bytes, size_t size, size_t *out, Error *err)
{
    uint64_t n = 0;

    if (size < LENGTH_BYTES)
        return error_set(err, E_FORMAT, "%zu bytes are too few for a safetensors file", size);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | bytes[i];
    if (n > SAFETENSORS_MAX_HEADER)
        return error_set(err, E_FORMAT, "no safetensors file: its header would have %llu bytes",
                         (unsigned long long)n);
    if (n > size - LENGTH_BYTES) {
        error_set(err, E_FORMAT, "the header needs %llu bytes, the file holds %zu",
                  (unsigned long long)n + LENGTH_BYTES, size);
        error_fix(err, "the file has been cut: fetch it again");
        return E_FORMAT;
    }
    *out = (size_t)n;
    return OK;
}

/* Parses the header text; a position in an error counts from the start of the file, and lines and
 * columns of a one-line header are left out. */
static Status parse_json(const uint8_t *bytes, size_t n, JsonDoc **out, Error *err)
{
    const char *text = (const char *)bytes + LENGTH_BYTES;
    Status status;

    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return error_set(err, E_FORMAT, "the safetensors header starts with a byte order mark");
    status = json_parse(text, n, out, err);
    if (status == E_FORMAT && err) {
        err->offset += LENGTH_BYTES;
        err->line = err->column = 0;
    }
    return status;
}

Status safetensors_parse(const uint8_t *bytes, size_t size, SafeTensors **out, Error *err)
{
    Reader r = { .err = err, .name = "" };
    JsonDoc *doc = NULL;
    Arena *arena = NULL;
    size_t n = 0;
    Status status;

    TRY_DONE(header_length(bytes, size, &n, err));
    TRY_DONE(parse_json(bytes, n, &doc, err));
    arena = arena_new();
    r.st = arena ? arena_alloc(arena, sizeof *r.st) : NULL;
    if (!r.st) {
        status = no_memory(err);
        goto done;
    }
    r.st->arena = arena;
    r.data = bytes + LENGTH_BYTES + n;
    r.data_size = size - LENGTH_BYTES - n;
    TRY_DONE(read_header(&r, json_root(doc)));
    *out = r.st;
    arena = NULL;
done:
    arena_free(arena);
    json_free(doc);
    return status;
}

void safetensors_free(SafeTensors *st)
{
    if (st) arena_free(st->arena);
}

const char *safetensors_metadata(const SafeTensors *st, const char *key)
{
    for (size_t i = 0; i < st->metadata_count; i++)
        if (strcmp(st->metadata[i].key, key) == 0) return st->metadata[i].value;
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------- */

typedef struct Placed {
    const SafeItem *item;
    const struct Dtype *dtype;
    size_t size, begin;
} Placed;

static int by_layout(const void *a, const void *b)
{
    const Placed *x = a, *y = b;

    if (x->dtype->bits != y->dtype->bits) return x->dtype->bits > y->dtype->bits ? -1 : 1;
    return strcmp(x->item->name, y->item->name);
}

static Status place_item(const SafeItem *item, Placed *p, Error *err)
{
    uint64_t size;

    p->item = item;
    p->dtype = dtype_by_type(item->type);
    if (!p->dtype)
        return error_set(err, E_TYPE, "tensor %s: safetensors has no dtype %s", item->name,
                         k_dtype_name(item->type));
    size = p->dtype->bits / 8;
    for (int i = 0; i < item->ndim; i++)
        if (item->shape[i] < 0 ||
            __builtin_mul_overflow(size, (uint64_t)item->shape[i], &size) || size > INT64_MAX)
            return error_set(err, E_RANGE, "tensor %s: its size overflows", item->name);
    p->size = (size_t)size;
    return OK;
}

/* Sizes, order and offsets of all items; *total is the size of the data. */
static Status place_all(const SafeItem *items, size_t count, Placed *placed, size_t *total,
                        Error *err)
{
    for (size_t i = 0; i < count; i++)
        TRY(place_item(&items[i], &placed[i], err));
    if (count) qsort(placed, count, sizeof *placed, by_layout);
    *total = 0;
    for (size_t i = 0; i < count; i++) {
        placed[i].begin = *total;
        if (__builtin_add_overflow(*total, placed[i].size, total))
            return error_set(err, E_RANGE, "the tensors' sizes overflow");
        for (size_t j = 0; j < i; j++)
            if (strcmp(placed[i].item->name, placed[j].item->name) == 0)
                return error_set(err, E_RANGE, "two tensors are named %s",
                                 placed[i].item->name);
    }
    return OK;
}

static void write_tensor_entry(Str *s, const Placed *p)
{
    json_write_string(s, p->item->name, strlen(p->item->name));
    str_printf(s, ":{\"dtype\":\"%s\",\"shape\":[", p->dtype->name);
    for (int i = 0; i < p->item->ndim; i++)
        str_printf(s, i ? ",%lld" : "%lld", (long long)p->item->shape[i]);
    str_printf(s, "],\"data_offsets\":[%zu,%zu]}", p->begin, p->begin + p->size);
}

static void write_header(Str *s, const Placed *placed, size_t count, const SafePair *metadata,
                         size_t metadata_count)
{
    str_add_char(s, '{');
    if (metadata_count) str_add(s, "\"__metadata__\":{");
    for (size_t i = 0; i < metadata_count; i++) {
        if (i) str_add_char(s, ',');
        json_write_string(s, metadata[i].key, strlen(metadata[i].key));
        str_add_char(s, ':');
        json_write_string(s, metadata[i].value, strlen(metadata[i].value));
    }
    if (metadata_count) str_add_char(s, '}');
    for (size_t i = 0; i < count; i++) {
        if (i || metadata_count) str_add_char(s, ',');
        write_tensor_entry(s, &placed[i]);
    }
    str_add_char(s, '}');
    while (s->length % 8 != 0 && !s->failed)
        str_add_char(s, ' ');
}

static void put_length(uint8_t *bytes, uint64_t n)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (uint8_t)(n >> (8 * i));
}

Status safetensors_layout(const SafeItem *items, size_t count, const SafePair *metadata,
                          size_t metadata_count, uint8_t **header, size_t *header_size,
                          uint64_t *begins, Error *err)
{
    Placed *placed = mem_alloc_array(count, sizeof *placed);
    Str text = { 0 };
    uint8_t *bytes = NULL;
    size_t total = 0;
    Status status = placed ? place_all(items, count, placed, &total, err) : no_memory(err);

    if (status != OK) goto done;
    write_header(&text, placed, count, metadata, metadata_count);
    if (!text.failed) bytes = mem_alloc(text.length + LENGTH_BYTES);
    if (!bytes) {
        status = no_memory(err);
        goto done;
    }
    put_length(bytes, text.length);
    memcpy(bytes + LENGTH_BYTES, text.text, text.length);
    for (size_t i = 0; i < count; i++)
        begins[placed[i].item - items] = placed[i].begin;
    *header = bytes;
    *header_size = text.length + LENGTH_BYTES;
done:
    str_fini(&text);
    mem_free(placed);
    return status;
}

static void join(uint8_t *bytes, const Str *header, const Placed *placed, size_t count)
{
    uint8_t *data = bytes + LENGTH_BYTES + header->length;

    put_length(bytes, header->length);
    memcpy(bytes + LENGTH_BYTES, header->text, header->length);
    for (size_t i = 0; i < count; i++)
        if (placed[i].size)
            memcpy(data + placed[i].begin, placed[i].item->data, placed[i].size);
}

Status safetensors_build(const SafeItem *items, size_t count, const SafePair *metadata,
                         size_t metadata_count, uint8_t **out, size_t *size, Error *err)
{
    Placed *placed = mem_alloc_array(count, sizeof *placed);
    Str header = { 0 };
    uint8_t *bytes = NULL;
    size_t total = 0, all;
    Status status = placed ? place_all(items, count, placed, &total, err) : no_memory(err);

    if (status != OK) goto done;
    write_header(&header, placed, count, metadata, metadata_count);
    if (!header.failed && !__builtin_add_overflow(total, header.length + LENGTH_BYTES, &all))
        bytes = mem_alloc(all);
    if (!bytes) {
        status = no_memory(err);
        goto done;
    }
    join(bytes, &header, placed, count);
    *out = bytes;
    *size = all;
done:
    str_fini(&header);
    mem_free(placed);
    return status;
}

Status safetensors_write(const char *path, const SafeItem *items, size_t count,
                         const SafePair *metadata, size_t metadata_count, Error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    Status status;

    TRY(safetensors_build(items, count, metadata, metadata_count, &bytes, &size, err));
    status = file_write(path, bytes, size, err);
    mem_free(bytes);
    return status;
}
