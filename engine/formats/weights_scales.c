/* weights_scales.c - finds which matrices of a file are quantised beside their dtype, in all notations.
 *
 * Each is brought to one list, layer -> record:
 *   old       a marker tensor PREFIX.scaled_fp8; layers below PREFIX that have X.scale_weight
 *   tensor    X.comfy_quant, bytes of JSON {"format": ...}
 *   metadata  header key _quantization_metadata, JSON {"layers": {X: {"format": ...}}}
 *   bnb       X.weight.quant_state.bitsandbytes__nf4 (or __fp4), bytes of JSON; X.SCB beside int8 codes
 * The header's entries replace a layer's own; where the header has any, the old marker is not looked at.
 * What a record makes of its matrix is in weights_quant.c. Records are a few bytes and are read in dummy
 * runs too: shapes depend on them.
 */
#include <string.h>

#include "engine/base/json.h"
#include "engine/base/str.h"
#include "engine/formats/weights_quant.h"

enum { MAX_QUANT_BYTES = 65536 };

typedef struct Resolve {
    Source *source;
    Map *table;
    Map records; /* layer -> QuantRecord *, in the source's arena */
    Error *err;
} Resolve;

static Status no_memory(const Resolve *r)
{
    return error_set(r->err, E_NOMEM, "out of memory while reading quantisation marks");
}

static Status add_record(Resolve *r, const char *layer, size_t n, const QuantRecord *record)
{
    char *key = arena_strndup(r->source->arena, layer, n);
    QuantRecord *kept = arena_alloc(r->source->arena, sizeof *kept);

    if (!key || !kept) return no_memory(r);
    *kept = *record;
    kept->layer = key;
    return map_put(&r->records, key, kept) ? OK : no_memory(r);
}

/* ---- one record ------------------------------------------------------------------------------------- */

/* An option: at the top, else among "params" where the format looks there too. */
static const Json *option(const Json *record, const char *name, bool nested)
{
    const Json *v = json_get(record, name);
    const Json *params = json_get(record, "params");

    if (!v && nested && json_is(params, JSON_OBJECT)) v = json_get(params, name);
    return v;
}

static bool read_bool(const Json *v, bool *out)
{
    if (!v) return true;
    if (json_is(v, JSON_BOOL))
        *out = json_bool(v);
    else if (json_is(v, JSON_NUMBER))
        *out = json_double(v) != 0;
    else if (!json_is(v, JSON_NULL))
        return false;
    return true;
}

/* A size: absent keeps 0. */
static bool read_size(const Json *v, int64_t *out)
{
    if (!v || json_is(v, JSON_NULL)) return true;
    return json_int64(v, out) && *out > 0;
}

static bool looks_into_params(const char *format)
{
    static const char *const names[] = { "int8_tensorwise", "convrot_w4a4", "asym_w4a8_int8" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], format) == 0) return true;
    return false;
}

/* A record is an object with a "format", or the format's bare name. */
static Status read_record(const Resolve *r, const char *layer, size_t n, const Json *j,
                          QuantRecord *out)
{
    const Json *name = json_is(j, JSON_STRING) ? j : json_get(j, "format");
    const char *format = json_string(name);

    *out = (QuantRecord){ 0 };
    if (!format)
        return error_set(r->err, E_FORMAT, "%.*s: its quantisation record names no format",
                         (int)n, layer);
    out->format = arena_strdup(r->source->arena, format);
    if (!out->format) return no_memory(r);
    if (name == j) return OK;
    bool nested = looks_into_params(format);
    if (read_bool(json_get(j, "full_precision_matrix_mult"), &out->full_precision) &&
        read_bool(option(j, "convrot", nested), &out->convrot) &&
        read_size(option(j, "convrot_groupsize", nested), &out->rotate) &&
        read_size(option(j, "group_size", nested), &out->group))
        return OK;
    return error_set(r->err, E_FORMAT,
                     "%.*s: an option of its quantisation record (%s) has a "
                     "value that is no size or truth value",
                     (int)n, layer, format);
}

/* Bytes of a tensor as JSON; NULs and blanks at the end are some writers' padding. */
static Status parse_tensor(const Resolve *r, const char *name, const Entry *e, JsonDoc **out)
{
    size_t size = e->size;
    Status status;

    if ((e->type != K_U8 && e->type != K_I8) || e->size > MAX_QUANT_BYTES || !e->data)
        return error_set(r->err, E_FORMAT, "%s does not hold bytes of JSON", name);
    while (size > 0 && (e->data[size - 1] == 0 || e->data[size - 1] == ' '))
        size--;
    status = json_parse((const char *)e->data, size, out, NULL);
    if (status == E_FORMAT) return error_set(r->err, E_FORMAT, "%s holds broken JSON", name);
    return status == OK ? OK : no_memory(r);
}

/* ---- the notations ---------------------------------------------------------------------------------- */

static Status read_old(Resolve *r, const char *prefix, size_t n)
{
    static const char suffix[] = ".scale_weight";
    const QuantRecord record = { .format = "float8" };

    for (size_t i = 0; i < r->table->count; i++) {
        const char *name = r->table->entries[i].key;

        if (strncmp(name, prefix, n) == 0 && str_ends_with(name, suffix))
            TRY(add_record(r, name, strlen(name) - (sizeof suffix - 1), &record));
    }
    return OK;
}

static Status read_tensor(Resolve *r, const char *name, size_t n, const Entry *e)
{
    QuantRecord record;
    JsonDoc *doc = NULL;
    Status status;

    TRY(parse_tensor(r, name, e, &doc));
    status = read_record(r, name, n, json_root(doc), &record);
    if (status == OK) status = add_record(r, name, n, &record);
    json_free(doc);
    return status;
}

static Status read_metadata(Resolve *r)
{
    const char *text = map_get(&r->source->metadata, "_quantization_metadata");
    JsonDoc *doc = NULL;
    const Json *layers;
    QuantRecord record;
    Status status;

    if (!text) return OK;
    status = json_parse(text, strlen(text), &doc, NULL);
    if (status == E_FORMAT)
        return error_set(r->err, E_FORMAT,
                         "the header's _quantization_metadata is broken JSON");
    if (status != OK) return no_memory(r);
    layers = json_get(json_root(doc), "layers");
    for (const Json *j = json_first(layers); j && status == OK; j = json_next(j)) {
        const char *layer = json_key(j);

        if (!layer) continue;
        status = read_record(r, layer, strlen(layer), j, &record);
        if (status == OK) status = add_record(r, layer, strlen(layer), &record);
    }
    json_free(doc);
    return status;
}

/* bitsandbytes keeps the true shape of a flattened matrix in its state. */
static Status read_shape(const Resolve *r, const Json *j, const char *name, QuantRecord *out)
{
    int64_t *shape = arena_array(r->source->arena, K_MAX_DIMS, sizeof *shape), count = 1;
    size_t n = json_count(j);

    if (!shape) return no_memory(r);
    for (size_t i = 0; i < n && i < K_MAX_DIMS; i++)
        if (!json_int64(json_at(j, i), &shape[i]) || shape[i] < 1 ||
            __builtin_mul_overflow(count, shape[i], &count))
            n = 0;
    if (!json_is(j, JSON_ARRAY) || n < 2 || n > K_MAX_DIMS)
        return error_set(r->err, E_FORMAT, "%s gives no shape of a matrix", name);
    out->ndim = (int)n;
    out->shape = shape;
    return OK;
}

static Status read_state(Resolve *r, const char *name, size_t n, const char *format,
                         const Entry *e)
{
    QuantRecord record = { .format = format };
    JsonDoc *doc = NULL;
    Status status;

    TRY(parse_tensor(r, name, e, &doc));
    const Json *root = json_root(doc);
    status = read_shape(r, json_get(root, "shape"), name, &record);
    if (status == OK && (!read_size(json_get(root, "blocksize"), &record.group) ||
                         !read_size(json_get(root, "nested_blocksize"), &record.nested_block)))
        status = error_set(r->err, E_FORMAT, "%s gives no size of its blocks", name);
    record.nested_offset = (float)json_double(json_get(root, "nested_offset"));
    if (status == OK) status = add_record(r, name, n, &record);
    json_free(doc);
    return status;
}

/* Tensors whose names end so mark the layer that the rest names. */
/* clang-format off */
static const struct {
    const char *ending, *format;
} states[] = {
    { ".weight.quant_state.bitsandbytes__nf4", "nf4" },
    { ".weight.quant_state.bitsandbytes__fp4", "fp4" },
};
/* clang-format on */

static Status read_marked(Resolve *r, const char *name, const Entry *e, bool markers)
{
    static const char old[] = "scaled_fp8", tensor[] = ".comfy_quant", scb[] = ".SCB";
    const QuantRecord int8 = { .format = "bitsandbytes int8" };
    size_t n = strlen(name);

    if (markers && (strcmp(name, old) == 0 || str_ends_with(name, ".scaled_fp8")))
        return read_old(r, name, n - (sizeof old - 1));
    if (str_ends_with(name, tensor)) return read_tensor(r, name, n - (sizeof tensor - 1), e);
    if (str_ends_with(name, scb)) return add_record(r, name, n - (sizeof scb - 1), &int8);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (str_ends_with(name, states[i].ending))
            return read_state(r, name, n - strlen(states[i].ending), states[i].format, e);
    return OK;
}

static Status read_marks(Resolve *r)
{
    bool markers = !map_has(&r->source->metadata, "_quantization_metadata");

    for (size_t i = 0; i < r->table->count; i++)
        TRY(read_marked(r, r->table->entries[i].key, r->table->entries[i].value, markers));
    return read_metadata(r);
}

Status source_resolve_scales(Source *s, Map *table, Error *err)
{
    Resolve r = { .source = s, .table = table, .err = err };
    Status status = read_marks(&r);

    for (size_t i = 0; status == OK && i < r.records.count; i++)
        status = quant_apply(s, table, r.records.entries[i].value, err);
    map_fini(&r.records);
    if (status != OK) error_at_file(err, s->path, -1);
    return status;
}
