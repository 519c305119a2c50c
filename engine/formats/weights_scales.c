/* weights_scales.c - finds which matrices of a file are scaled FP8, in its three notations.
 *
 * All three are brought to one list, layer -> format:
 *   old       a marker tensor PREFIX.scaled_fp8; layers below PREFIX that have X.scale_weight
 *   tensor    X.comfy_quant, bytes of JSON {"format": ...}
 *   metadata  header key _quantization_metadata, JSON {"layers": {X: {"format": ...}}}
 * The header's entries replace a layer's own; where the header has any, the old marker is not looked at.
 */
#include <string.h>

#include "engine/base/json.h"
#include "engine/base/str.h"
#include "engine/formats/weights_source.h"

enum { MAX_QUANT_BYTES = 4096 };

typedef struct Resolve {
    Source *source;
    Map *table;
    Map formats; /* layer -> name of its format; names lie in the source's arena */
    Error *err;
} Resolve;

static Status no_memory(const Resolve *r)
{
    return error_set(r->err, E_NOMEM, "out of memory while reading quantisation marks");
}

static Status add_format(Resolve *r, const char *layer, size_t n, const char *format)
{
    char *key = arena_strndup(r->source->arena, layer, n);
    char *value = arena_strdup(r->source->arena, format);

    return key && value && map_put(&r->formats, key, value) ? OK : no_memory(r);
}

/* A record is an object with a "format", or the format's bare name. */
static const char *format_of(const Json *record)
{
    const char *format =
        json_string(json_is(record, JSON_STRING) ? record : json_get(record, "format"));

    return format ? format : "an unnamed format";
}

/* ---- the three notations ---------------------------------------------------------------------------- */

static Status read_old(Resolve *r, const char *prefix, size_t n)
{
    static const char suffix[] = ".scale_weight";

    for (size_t i = 0; i < r->table->count; i++) {
        const char *name = r->table->entries[i].key;

        if (strncmp(name, prefix, n) == 0 && str_ends_with(name, suffix))
            TRY(add_format(r, name, strlen(name) - (sizeof suffix - 1), "float8"));
    }
    return OK;
}

static Status read_tensor(Resolve *r, const char *layer, size_t n, const Entry *e)
{
    JsonDoc *doc = NULL;
    size_t size = e->size;
    Status status;

    if (r->source->options.dummy) return add_format(r, layer, n, "float8");
    if (e->type != K_U8 || e->size > MAX_QUANT_BYTES)
        return error_set(r->err, E_FORMAT, "%.*s.comfy_quant does not hold bytes of JSON",
                         (int)n, layer);
    while (size > 0 && e->data[size - 1] == 0)
        size--; /* some writers pad */
    status = json_parse((const char *)e->data, size, &doc, NULL);
    if (status == E_FORMAT)
        return error_set(r->err, E_FORMAT, "%.*s.comfy_quant holds broken JSON", (int)n, layer);
    if (status != OK) return no_memory(r);
    status = add_format(r, layer, n, format_of(json_root(doc)));
    json_free(doc);
    return status;
}

static Status read_metadata(Resolve *r)
{
    const char *text = map_get(&r->source->metadata, "_quantization_metadata");
    JsonDoc *doc = NULL;
    const Json *layers;
    Status status;

    if (!text) return OK;
    status = json_parse(text, strlen(text), &doc, NULL);
    if (status == E_FORMAT)
        return error_set(r->err, E_FORMAT,
                         "the header's _quantization_metadata is broken JSON");
    if (status != OK) return no_memory(r);
    layers = json_get(json_root(doc), "layers");
    for (const Json *j = json_first(layers); j && status == OK; j = json_next(j))
        if (json_key(j)) status = add_format(r, json_key(j), strlen(json_key(j)), format_of(j));
    json_free(doc);
    return status;
}

static Status read_tensors(Resolve *r, bool markers)
{
    static const char old[] = "scaled_fp8", tensor[] = ".comfy_quant";

    for (size_t i = 0; i < r->table->count; i++) {
        const char *name = r->table->entries[i].key;
        size_t n = strlen(name);

        if (markers && (strcmp(name, old) == 0 || str_ends_with(name, ".scaled_fp8")))
            TRY(read_old(r, name, n - (sizeof old - 1)));
        if (str_ends_with(name, tensor))
            TRY(read_tensor(r, name, n - (sizeof tensor - 1), r->table->entries[i].value));
    }
    return OK;
}

static Status read_marks(Resolve *r)
{
    TRY(read_tensors(r, !map_has(&r->source->metadata, "_quantization_metadata")));
    return read_metadata(r);
}

/* ---- from marks to entries --------------------------------------------------------------------------- */

static Entry *find(const Resolve *r, const char *layer, const char *part)
{
    char *name = arena_printf(r->source->arena, "%s%s", layer, part);

    return name ? map_get(r->table, name) : NULL;
}

static void apply(const Resolve *r, const char *layer, const char *format)
{
    Entry *weight = find(r, layer, ".weight"), *scale;

    if (!weight) return;
    scale = find(r, layer, ".weight_scale");
    if (!scale) scale = find(r, layer, ".scale_weight");
    if (weight->type != K_F8_E4M3 && weight->type != K_F8_E5M2) {
        if (strncmp(format, "float8", 6) != 0) weight->foreign = format;
    } else if (strncmp(format, "float8", 6) != 0) {
        weight->foreign = format;
    } else if (scale && scale->count != 1) {
        weight->foreign = "float8 with more than one scale";
    } else {
        weight->scale = scale;
    }
}

Status source_resolve_scales(Source *s, Map *table, Error *err)
{
    Resolve r = { .source = s, .table = table, .err = err };
    Status status = read_marks(&r);

    for (size_t i = 0; status == OK && i < r.formats.count; i++)
        apply(&r, r.formats.entries[i].key, r.formats.entries[i].value);
    map_fini(&r.formats);
    if (status != OK) error_at_file(err, s->path, -1);
    return status;
}
