/* weights.h - one table from name to tensor over one or several mapped model files.
 *
 * Opens a .safetensors file, a sharded *.index.json, a .gguf file or what torch.save wrote (pickle.h), told
 * apart by content. Only headers
 * are read; tensors stay in the mapping and are used as they lie. A scope is the same files seen
 * through a prefix or other names. Not thread-safe: lookups keep small widened tensors.
 *
 * What a matrix needs beside its codes is resolved here: FP8 with a scale (X.scale_weight under a
 * `scaled_fp8` marker; X.weight_scale with X.comfy_quant; the header's `_quantization_metadata`), the other
 * formats of such records, and bitsandbytes' NF4, FP4 and int8. Shapes are the logical ones, codes counted as
 * elements. A scale without its marker is not applied, as in ComfyUI. docs/formats.md has the list.
 */
#ifndef WEFT_FORMATS_WEIGHTS_H
#define WEFT_FORMATS_WEIGHTS_H

#include "engine/base/ref.h"
#include "engine/base/status.h"
#include "kernels/kernels.h"

typedef struct Weights Weights; /* shared by reference: weights_ref, weights_unref */

typedef struct WeightsOptions {
    bool dummy; /* only headers and quantisation records are read: scales are 1, widened tensors are 0 */
    KDtype
        cast; /* K_F32 (zero) = none; K_F8_E4M3 or K_F8_E5M2 rounds every plain tensor to it */
} WeightsOptions;

/* options may be NULL. Errors: E_IO, E_FORMAT (file and offset, or layer), E_UNSUPPORTED (what a pickle
 * does beyond data; a quantisation that no kernel reads, by name), E_NOMEM. */
Status weights_open(const char *path, const WeightsOptions *options, Weights **out, Error *err);

/* The same over the bytes of one file, which stay the caller's and must outlive the table; path is for messages. */
Status weights_open_bytes(const char *path, const void *bytes, size_t size,
                          const WeightsOptions *options, Weights **out, Error *err);

/* One tensor of a table without contents. */
typedef struct WeightsShape {
    char name[96];
    int ndim; /* 1 to 4 */
    int64_t shape[4];
} WeightsShape;
/* An address that tells tensors without contents apart and faults when it is read. */
static inline const void *weights_stand_in(size_t offset)
{
    return (const void *)(((uintptr_t)1 << 60) + offset);
}
/* A table of names and shapes alone, for dummy runs of models whose file is missing: as if opened with
 * `dummy`, and tensors lie at addresses that nobody reads (weights_stand_in). Under a block type, vectors and rows that
 * are no whole number of blocks are BF16. rows are copied. Errors: E_SHAPE, E_NOMEM. */
Status weights_from_shapes(const char *path, KDtype type, const WeightsShape *rows,
                           size_t count, Weights **out, Error *err);

static inline Weights *weights_ref(const Weights *w)
{
    return ref_take(w);
}
static inline void weights_unref(const Weights *w)
{
    ref_drop(w);
}

/* The tensors whose name starts with prefix, under the rest of the name. */
Status weights_scope(const Weights *w, const char *prefix, Weights **out, Error *err);
/* The tensors under new names: fn writes one into buf, or returns false to leave the tensor out. Two
 * tensors that get the same name: the later one stays. */
typedef bool (*WeightsNameFn)(void *user, const char *name, char *buf, size_t size);
Status weights_rename(const Weights *w, WeightsNameFn fn, void *user, Weights **out,
                      Error *err);

/* Digest of the identity of all files behind the table (file_identity). Errors: E_IO; E_MISSING for a table
 * without files. */
Status weights_identity(const Weights *w, uint8_t digest[32], Error *err);

/* ---- what there is ---- */

size_t weights_count(const Weights *w);
const char *weights_name(const Weights *w, size_t i); /* in the order of the files' data */
bool weights_has(const Weights *w, const char *name);
bool weights_has_prefix(const Weights *w, const char *prefix); /* some name starts so */
/* Number of dimensions (at most K_MAX_DIMS are written), -1 when there is no such tensor. */
int weights_shape(const Weights *w, const char *name, int64_t shape[K_MAX_DIMS]);
/* One dimension; negative counts from the end. 0 when the tensor or the dimension is missing. */
int64_t weights_dim(const Weights *w, const char *name, int dim);
/* Number of elements, -1 when missing. */
int64_t weights_elements(const Weights *w, const char *name);
/* K_DTYPE_COUNT when missing or of a type that no kernel reads. */
KDtype weights_dtype(const Weights *w, const char *name);
/* The first i for which no name starts with "<prefix><i>.": weights_blocks(w, "double_blocks."). */
int weights_blocks(const Weights *w, const char *prefix);

const char *weights_metadata(const Weights *w, const char *key); /* NULL when absent */
const char *weights_path(const Weights *w);                      /* as it was opened */
int64_t weights_bytes(const Weights *w); /* of all tensors in this table, as they lie */
bool weights_is_dummy(const Weights *w);

/* Lets the kernel drop the files' pages; contents stay readable. */
void weights_release(const Weights *w);

/* ---- tensors ---- */

/* A matrix [n, k]: n is the first dimension, k the product of the others (O,I,H,W gives k = I*H*W).
 * Pass 0 for a dimension that may be anything. Errors: E_MISSING (names the nearest), E_SHAPE, E_TYPE,
 * E_UNSUPPORTED (a quantisation that no kernel reads), E_NOMEM. */
Status weights_matrix(const Weights *w, const char *name, int64_t n, int64_t k, KWeight *out,
                      Error *err);

/* The tensor as it lies, contiguous; no scale, no cast. Errors: E_MISSING, E_TYPE for block types. */
Status weights_view(const Weights *w, const char *name, KView *out, Error *err);

/* All elements as float32 (scale and cast applied), of any dtype, into the caller's buffer.
 * count is checked. Errors: E_MISSING, E_SHAPE, E_TYPE, E_UNSUPPORTED. */
Status weights_f32_into(const Weights *w, const char *name, float *out, int64_t count,
                        Error *err);
/* The same, kept by the table for as long as it (or a scope of it) lives; for vectors. */
Status weights_f32(const Weights *w, const char *name, int64_t count, const float **out,
                   Error *err);

#endif
