/* weights_source.c - opens the files behind a Weights table. */
#include "engine/formats/weights_source.h"

#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/gguf.h"
#include "engine/formats/pickle.h"
#include "engine/formats/safetensors.h"

enum { MAX_INDEX_BYTES = 1 << 26 };

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while opening a model file");
}

static void source_destroy(void *object)
{
    Source *s = object;

    for (size_t i = 0; i < s->header_count; i++)
        safetensors_free(s->headers[i]);
    for (size_t i = 0; i < s->map_count; i++)
        ref_drop(s->maps[i]);
    gguf_free(s->gguf);
    mem_free(s->headers);
    mem_free(s->maps);
    map_fini(&s->metadata);
    arena_free(s->arena);
    mem_free(s->path);
    mem_free(s);
}

static Status source_new(const char *path, const WeightsOptions *options, Source **out,
                         Error *err)
{
    Source *s = mem_calloc(1, sizeof *s);

    if (!s) return no_memory(err);
    ref_init(&s->ref, source_destroy);
    s->arena = arena_new();
    s->path = mem_strdup(path);
    if (options) s->options = *options;
    if (!s->arena || !s->path) {
        ref_drop(s);
        return no_memory(err);
    }
    *out = s;
    return OK;
}

/* Hands a reference of the mapping to the source, which drops it after an error too. */
static Status keep_map(Source *s, FileMap *map, Error *err)
{
    FileMap **maps = mem_realloc(s->maps, (s->map_count + 1) * sizeof *maps);

    if (!maps) {
        ref_drop(map);
        return no_memory(err);
    }
    s->maps = maps;
    maps[s->map_count++] = map;
    return OK;
}

/* ---- safetensors --------------------------------------------------------------------------------- */

static Status add_entry(Source *s, Map *table, const SafeTensor *t, Error *err)
{
    Entry *e = arena_alloc(s->arena, sizeof *e);

    if (!e) return no_memory(err);
    *e = (Entry){ .type = t->type,
                  .dtype = t->dtype,
                  .ndim = t->ndim,
                  .shape = t->shape,
                  .count = t->count,
                  .row = t->ndim > 0 ? t->shape[t->ndim - 1] : 1,
                  .data = t->data,
                  .size = t->size };
    return map_put(table, t->name, e) ? OK : no_memory(err);
}

typedef Status (*ParseFn)(const uint8_t *bytes, size_t size, SafeTensors **out, Error *err);

/* A file of named tensors: safetensors, or what torch.save wrote. */
static Status add_tensors(Source *s, Map *table, const FileMap *map, ParseFn parse, Error *err)
{
    SafeTensors **headers = mem_realloc(s->headers, (s->header_count + 1) * sizeof *headers);
    SafeTensors *st;

    if (!headers) return no_memory(err);
    s->headers = headers;
    TRY(parse(map->data, map->size, &headers[s->header_count], err));
    st = headers[s->header_count++];
    for (size_t i = 0; i < st->count; i++)
        TRY(add_entry(s, table, &st->tensors[i], err));
    for (size_t i = 0; i < st->metadata_count; i++) {
        char *value = (char *)(uintptr_t)st->metadata[i].value; /* Map holds plain pointers */

        if (!map_put(&s->metadata, st->metadata[i].key, value)) return no_memory(err);
    }
    return OK;
}

/* ---- one file, whatever it is --------------------------------------------------------------------- */

static bool starts_with(const FileMap *map, const char *magic, size_t n)
{
    return map->size >= n && memcmp(map->data, magic, n) == 0;
}

/* A safetensors file may begin with the bytes of a bare pickle (its header's length); a '{' follows that length. */
static bool is_pickle(const FileMap *map)
{
    return pickle_is_one(map->data, map->size) && !(map->size > 8 && map->data[8] == '{');
}

static Status add_mapped(Source *s, Map *table, const char *path, FileMap *map, Error *err)
{
    Status status;

    TRY(keep_map(s, map, err));
    if (starts_with(map, "GGUF", 4))
        status = source_add_gguf(s, table, map, err);
    else
        status =
            add_tensors(s, table, map, is_pickle(map) ? pickle_parse : safetensors_parse, err);
    if (status != OK) error_at_file(err, path, -1);
    return status;
}

static Status add_file(Source *s, Map *table, const char *path, Error *err)
{
    FileMap *map = NULL;

    TRY(file_map(path, &map, err));
    return add_mapped(s, table, path, map, err);
}

/* ---- sharded index --------------------------------------------------------------------------------- */

static Status bad_index(Error *err, const char *path, const Json *at, const char *what)
{
    error_set(err, E_FORMAT, "%s", what);
    error_at_file(err, path, json_offset(at));
    return E_FORMAT;
}

static Status add_shard(Source *s, Map *table, const char *index_path, const Json *name,
                        Error *err)
{
    const char *slash = strrchr(index_path, '/');
    size_t folder = slash ? (size_t)(slash - index_path) + 1 : 0;
    Str path = { 0 };
    Status status;

    if (!json_is(name, JSON_STRING))
        return bad_index(err, index_path, name, "a shard's name is no string");
    if (!file_name_is_inside(json_string(name)) ||
        strlen(json_string(name)) != json_string_length(name))
        return bad_index(err, index_path, name, "a shard lies outside the index's folder");
    str_add_n(&path, index_path, folder);
    str_add(&path, json_string(name));
    status = path.failed ? no_memory(err) : add_file(s, table, path.text, err);
    str_fini(&path);
    return status;
}

static Status add_shards(Source *s, Map *table, const char *path, const Json *root, Error *err)
{
    const Json *names = json_get(root, "weight_map");
    Map seen = { 0 };
    Status status = OK;

    if (!json_is(names, JSON_OBJECT))
        return bad_index(err, path, root, "the index has no \"weight_map\" object");
    for (const Json *j = json_first(names); j && status == OK; j = json_next(j)) {
        const char *name = json_string(j);

        if (name && map_has(&seen, name)) continue;
        status = add_shard(s, table, path, j, err);
        if (status == OK && !map_put(&seen, name, s)) status = no_memory(err);
    }
    map_fini(&seen);
    return status;
}

static Status add_index(Source *s, Map *table, const char *path, Error *err)
{
    char *text = NULL;
    size_t size = 0;
    JsonDoc *doc = NULL;
    Status status;

    TRY(file_read(path, MAX_INDEX_BYTES, &text, &size, err));
    status = json_parse(text, size, &doc, err);
    if (status != OK)
        error_at_file(err, path, -1);
    else
        status = add_shards(s, table, path, json_root(doc), err);
    json_free(doc);
    mem_free(text);
    return status;
}

Status source_open(const char *path, const WeightsOptions *options, Map *table, Source **out,
                   Error *err)
{
    Source *s = NULL;
    Status status;

    TRY(source_new(path, options, &s, err));
    if (str_ends_with(path, ".json"))
        status = add_index(s, table, path, err);
    else
        status = add_file(s, table, path, err);
    if (status == OK) status = source_resolve_scales(s, table, err);
    if (status == OK)
        *out = s;
    else
        ref_drop(s);
    return status;
}

Status source_open_map(FileMap *map, const WeightsOptions *options, Map *table, Source **out,
                       Error *err)
{
    Source *s = NULL;
    Status status;

    TRY(source_new(map->path, options, &s, err));
    status = add_mapped(s, table, map->path, ref_take(map), err);
    if (status == OK) status = source_resolve_scales(s, table, err);
    if (status == OK)
        *out = s;
    else
        ref_drop(s);
    return status;
}

/* ---- shapes without contents --------------------------------------------------------------------- */

/* Vectors, and rows that are no whole number of blocks, are not coded in blocks. */
static KDtype type_of_shape(KDtype type, const WeightsShape *row)
{
    int64_t elements = k_dtype_block_elements(type);
    bool fits = row->ndim > 1 && row->shape[row->ndim - 1] % elements == 0;
    return elements == 1 || fits ? type : K_BF16;
}

static Status add_shape(Source *s, Map *table, KDtype type, const WeightsShape *row, Error *err)
{
    Entry *e = arena_alloc(s->arena, sizeof *e);
    int64_t *shape = arena_array(s->arena, 4, sizeof *shape);
    int64_t count = 1;

    if (!e || !shape) return no_memory(err);
    for (int i = 0; i < row->ndim && i < 4; i++) {
        shape[i] = row->shape[i];
        if (shape[i] <= 0 || __builtin_mul_overflow(count, shape[i], &count) ||
            count > INT64_MAX / 16)
            return error_set(err, E_SHAPE, "%s has a bad shape", row->name);
    }
    if (row->ndim < 1 || row->ndim > 4)
        return error_set(err, E_SHAPE, "%s has a bad shape", row->name);
    type = type_of_shape(type, row);
    *e = (Entry){ .type = type,
                  .dtype = k_dtype_name(type),
                  .ndim = row->ndim,
                  .shape = shape,
                  .count = count,
                  .row = shape[row->ndim - 1],
                  .size = (size_t)(count / k_dtype_block_elements(type)) *
                          k_dtype_block_bytes(type) };
    e->data = weights_stand_in(s->shape_bytes);
    s->shape_bytes += e->size;
    return map_put(table, row->name, e) ? OK : no_memory(err);
}

Status source_from_shapes(const char *path, KDtype type, const WeightsShape *rows, size_t count,
                          Map *table, Source **out, Error *err)
{
    const WeightsOptions options = { .dummy = true };
    Source *s = NULL;

    TRY(source_new(path, &options, &s, err));
    for (size_t i = 0; i < count; i++) {
        Status status = add_shape(s, table, type, &rows[i], err);
        if (status != OK) {
            ref_drop(s);
            return status;
        }
    }
    *out = s;
    return OK;
}
