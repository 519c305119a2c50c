/* safetensors.h - reads and writes the safetensors container.
 *
 * Layout: u64 little-endian header length, that many bytes of JSON, tensor data. The reader takes what
 * the reference reader takes and refuses what it refuses: the tensors, sorted by offset, tile the data
 * without gap, overlap or tail. Data need not be aligned.
 */
#ifndef WEFT_FORMATS_SAFETENSORS_H
#define WEFT_FORMATS_SAFETENSORS_H

#include "engine/base/status.h"
#include "kernels/kernels.h"

enum { SAFETENSORS_MAX_HEADER = 100000000 };

typedef struct SafeTensor {
    const char *name;
    const char *dtype; /* as written: "BF16", "F8_E8M0", ... */
    KDtype type;       /* K_DTYPE_COUNT when no kernel type stands for it */
    int ndim;
    const int64_t *shape; /* ndim items */
    int64_t count;        /* product of shape */
    const uint8_t *data;  /* borrowed from the bytes that were parsed */
    size_t size;
} SafeTensor;

typedef struct SafePair {
    const char *key, *value;
} SafePair;

/* Tensors in the order of their data. Strings and arrays live as long as this object, data as long as
 * the bytes. */
typedef struct SafeTensors {
    struct Arena *arena; /* owned */
    SafeTensor *tensors;
    size_t count;
    SafePair *metadata; /* the header's __metadata__ */
    size_t metadata_count;
} SafeTensors;

/* Reads the header only; tensor data are not touched. Errors: E_FORMAT with the byte offset where one is
 * known, E_NOMEM. */
Status safetensors_parse(const uint8_t *bytes, size_t size, SafeTensors **out, Error *err);
void safetensors_free(SafeTensors *st); /* NULL is allowed */
/* NULL when absent; linear search. */
const char *safetensors_metadata(const SafeTensors *st, const char *key);

/* One tensor to write: contiguous data in a kernel dtype that safetensors knows. */
typedef struct SafeItem {
    const char *name;
    KDtype type;
    int ndim;
    const int64_t *shape;
    const void *data; /* may be NULL when a dimension is 0 */
} SafeItem;

/* The file's bytes (mem_free), header padded with blanks to 8 bytes, wide dtypes first and names in order
 * within a dtype, as the reference writer lays them out. Errors: E_TYPE for a dtype that safetensors has
 * not, E_RANGE for a size that overflows or two items of one name, E_NOMEM. */
Status safetensors_build(const SafeItem *items, size_t count, const SafePair *metadata,
                         size_t metadata_count, uint8_t **out, size_t *size, Error *err);
/* Only what stands before the data (mem_free), for files that are written piece by piece; begins[i] becomes the
 * place of item i behind it. The items' data are not looked at. */
Status safetensors_layout(const SafeItem *items, size_t count, const SafePair *metadata,
                          size_t metadata_count, uint8_t **header, size_t *header_size,
                          uint64_t *begins, Error *err);
/* The same, written to a file that appears whole or not at all. */
Status safetensors_write(const char *path, const SafeItem *items, size_t count,
                         const SafePair *metadata, size_t metadata_count, Error *err);

#endif
