/* gguf.h - reads the header of GGUF files, versions 2 and 3 (little endian).
 *
 * Layout: magic, version, counts, key-value pairs, tensor infos, then data from the next multiple of
 * `general.alignment` (32 when absent). Source: the GGUF specification of the ggml project.
 */
#ifndef WEFT_FORMATS_GGUF_H
#define WEFT_FORMATS_GGUF_H

#include "engine/base/status.h"
#include "kernels/kernels.h"

typedef enum GgufType {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} GgufType;

/* One key-value pair. A scalar is an array of one. */
typedef struct GgufPair {
    const char *key;
    GgufType type; /* of the items; never GGUF_ARRAY */
    bool array;
    uint64_t count;
    const uint8_t *data; /* borrowed; items as they lie (strings: u64 length and bytes each) */
} GgufPair;

typedef struct GgufTensor {
    const char *name;
    const char *dtype; /* "Q4_K" */
    KDtype type;       /* K_DTYPE_COUNT when no kernel reads it */
    int ndim;
    const int64_t *shape; /* outermost first: the reverse of the file's order */
    int64_t count, row;   /* elements; elements of the innermost dimension */
    const uint8_t *data;  /* borrowed */
    size_t size;
} GgufTensor;

typedef struct Gguf {
    struct Arena *arena; /* owned */
    GgufPair *pairs;
    size_t pair_count;
    GgufTensor *tensors;
    size_t tensor_count;
} Gguf;

/* Reads the header; tensor data are not touched. Errors: E_FORMAT with the offset, E_UNSUPPORTED (another
 * version or an unknown tensor type), E_NOMEM. */
Status gguf_parse(const uint8_t *bytes, size_t size, Gguf **out, Error *err);
void gguf_free(Gguf *g);

const GgufPair *gguf_find(const Gguf *g, const char *key); /* NULL when absent */
/* The i-th item as a number of any integer type; false when it is none or does not fit. */
bool gguf_integer(const GgufPair *p, uint64_t i, int64_t *out);
/* A string pair's bytes (not NUL-ended); false for other types. */
bool gguf_text(const GgufPair *p, const char **text, size_t *length);
/* A scalar written out ("0.25", "true", "flux"), in the file's arena. NULL for arrays and no memory. */
const char *gguf_print(const Gguf *g, const GgufPair *p);

#endif
