/* tensor.h - a reference-counted float32 (or other) array in host memory, row-major and contiguous.
 *
 * What travels between nodes: pictures [B,H,W,C], masks [B,H,W], latents [B,C,h,w], sigmas [n],
 * conditionings [1,T,C]. Values are immutable once they have left the function that made them.
 */
#ifndef WEFT_TENSOR_TENSOR_H
#define WEFT_TENSOR_TENSOR_H

#include "engine/base/ref.h"
#include "engine/base/status.h"
#include "kernels/kernels.h"

typedef struct Tensor {
    Ref ref;
    KDtype dtype;
    int ndim;
    int64_t shape[K_MAX_DIMS];
    void *data;        /* 64-byte aligned; inside the mapping of `owner` when that is set */
    const void *owner; /* a referenced object that holds data, or NULL: data is owned */
} Tensor;

/* Uninitialised memory of the given shape. Errors: E_RANGE (size overflow), E_NOMEM. */
Status tensor_new(KDtype dtype, int ndim, const int64_t *shape, Tensor **out, Error *err);
Status tensor_zeros(KDtype dtype, int ndim, const int64_t *shape, Tensor **out, Error *err);
Status tensor_clone(const Tensor *t, Tensor **out, Error *err);
/* Same data under another shape of equal count; takes a reference on t's memory. */
Status tensor_reshape(const Tensor *t, int ndim, const int64_t *shape, Tensor **out,
                      Error *err);
/* Items [first, first+count) of the first dimension, sharing memory. */
Status tensor_slice(const Tensor *t, int64_t first, int64_t count, Tensor **out, Error *err);
/* Concatenation along one dimension; the other dimensions must agree. */
Status tensor_concat(const Tensor *const *parts, int n, int dim, Tensor **out, Error *err);

static inline Tensor *tensor_ref(const Tensor *t)
{
    return ref_take(t);
}
static inline void tensor_unref(const Tensor *t)
{
    ref_drop(t);
}

int64_t tensor_count(const Tensor *t);
bool tensor_same_shape(const Tensor *a, const Tensor *b);
/* "[1, 128, 6, 8] F32" into buf. */
void tensor_describe(const Tensor *t, char *buf, size_t size);

static inline float *tensor_f32(const Tensor *t)
{
    return (float *)t->data;
}

#endif
