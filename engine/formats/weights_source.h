/* weights_source.h - the files behind a Weights table: mappings, entries, scales (only weights*.c). */
#ifndef WEFT_FORMATS_WEIGHTS_SOURCE_H
#define WEFT_FORMATS_WEIGHTS_SOURCE_H

#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/base/map.h"
#include "engine/formats/weights.h"

/* One tensor of a file. Immutable but for what lookups keep. */
typedef struct Entry {
    KDtype type;       /* K_DTYPE_COUNT: no kernel reads it */
    const char *dtype; /* as the file names it */
    int ndim;
    const int64_t *shape; /* outermost first */
    int64_t count;        /* elements */
    int64_t row;          /* elements of one stored row; blocks never cross rows */
    const uint8_t *data;  /* borrowed from the mapping; any alignment */
    int64_t
        interleaved_heads; /* rows are in llama.cpp's order for so many heads; 0 = in order */
    size_t size;
    struct Entry *scale;  /* one number for the whole matrix, or NULL */
    const KQuant *quant;  /* tables of a quantised matrix, or NULL */
    bool int8_x;          /* its record asks for quantised activations */
    const float *widened; /* kept by weights_f32; lies in the source's arena */
    const void *copy;     /* kept by weights_matrix when the file's own bytes cannot serve */
} Entry;

/* Everything that the scopes of one opening share. */
typedef struct Source {
    Ref ref;
    Arena *arena; /* owned: entries and what lookups keep */
    char *path;   /* owned */
    WeightsOptions options;
    FileMap **maps; /* owned references */
    size_t map_count;
    struct SafeTensors **headers; /* owned; names and shapes of entries lie there */
    size_t header_count;
    struct Gguf *gguf; /* owned, or NULL */
    size_t shape_bytes; /* of tensors without contents */
    Map metadata;      /* key -> value; values lie in headers or arena */
} Source;

/* Opens a model file and fills `table` (name -> Entry *). */
Status source_open(const char *path, const WeightsOptions *options, Map *table, Source **out,
                   Error *err);

/* The same over a file that is mapped already; the source takes a reference of its own. */
Status source_open_map(FileMap *map, const WeightsOptions *options, Map *table, Source **out,
                       Error *err);

/* Fills `table` with tensors that have shapes and no data. */
Status source_from_shapes(const char *path, KDtype type, const WeightsShape *rows, size_t count,
                          Map *table, Source **out, Error *err);

/* Fills `table` from a mapped GGUF file (weights_gguf.c). */
Status source_add_gguf(Source *s, Map *table, const FileMap *map, Error *err);

/* The name under which a GGUF file of this architecture keeps a tensor of this checkpoint name (mem_free). */
Status weights_gguf_name(const char *architecture, const char *name, char **out, Error *err);

/* Ties quantised matrices to their scales and tables. */
Status source_resolve_scales(Source *s, Map *table, Error *err);

#endif
