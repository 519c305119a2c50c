/* tensor.c - reference-counted arrays in host memory. */
#include "engine/tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

static void destroy(void *object)
{
    Tensor *t = object;
    if (t->owner)
        ref_drop(t->owner);
    else
        mem_free(t->data);
    mem_free(t);
}

/* Bytes of a shape; false when it overflows, is negative or has too many dimensions. */
static bool shape_bytes(KDtype dtype, int ndim, const int64_t *shape, size_t *bytes)
{
    size_t n = k_dtype_block_bytes(dtype);

    if (ndim < 0 || ndim > K_MAX_DIMS || k_dtype_block_elements(dtype) != 1) return false;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0 || __builtin_mul_overflow(n, (size_t)shape[i], &n)) return false;
        if (n > PTRDIFF_MAX / 2) return false;
    }
    *bytes = n;
    return true;
}

/* A handle with shape and no memory. */
static Status new_handle(KDtype dtype, int ndim, const int64_t *shape, Tensor **out,
                         size_t *bytes, Error *err)
{
    if (!shape_bytes(dtype, ndim, shape, bytes))
        return error_set(err, E_RANGE, "a tensor of %d dimensions (first %lld) is too large",
                         ndim, ndim > 0 ? (long long)shape[0] : 0LL);
    Tensor *t = mem_calloc(1, sizeof *t);
    if (!t) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&t->ref, destroy);
    t->dtype = dtype;
    t->ndim = ndim;
    if (ndim > 0) memcpy(t->shape, shape, (size_t)ndim * sizeof *shape);
    *out = t;
    return OK;
}

Status tensor_new(KDtype dtype, int ndim, const int64_t *shape, Tensor **out, Error *err)
{
    Tensor *t = NULL;
    size_t bytes = 0;

    TRY(new_handle(dtype, ndim, shape, &t, &bytes, err));
    t->data = mem_aligned(64, bytes);
    if (!t->data) {
        mem_free(t);
        return error_set(err, E_NOMEM, "out of memory: a tensor of %zu bytes", bytes);
    }
    *out = t;
    return OK;
}

Status tensor_zeros(KDtype dtype, int ndim, const int64_t *shape, Tensor **out, Error *err)
{
    TRY(tensor_new(dtype, ndim, shape, out, err));
    memset((*out)->data, 0, (size_t)tensor_count(*out) * k_dtype_block_bytes(dtype));
    return OK;
}

Status tensor_clone(const Tensor *t, Tensor **out, Error *err)
{
    Tensor *c = NULL;
    TRY(tensor_new(t->dtype, t->ndim, t->shape, &c, err));
    memcpy(c->data, t->data, (size_t)tensor_count(t) * k_dtype_block_bytes(t->dtype));
    *out = c;
    return OK;
}

/* A handle on memory inside t; the reference goes to the object that holds the memory. */
static Status share(const Tensor *t, size_t byte_offset, int ndim, const int64_t *shape,
                    Tensor **out, Error *err)
{
    Tensor *s = NULL;
    size_t bytes = 0;

    TRY(new_handle(t->dtype, ndim, shape, &s, &bytes, err));
    s->data = (char *)t->data + byte_offset;
    s->owner = ref_take(t->owner ? t->owner : t);
    *out = s;
    return OK;
}

Status tensor_reshape(const Tensor *t, int ndim, const int64_t *shape, Tensor **out, Error *err)
{
    int64_t count = 1;
    size_t bytes = 0;
    char text[96];

    tensor_describe(t, text, sizeof text);
    if (!shape_bytes(t->dtype, ndim, shape, &bytes))
        return error_set(err, E_SHAPE, "%s seen under a bad shape", text);
    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    if (count != tensor_count(t))
        return error_set(err, E_SHAPE, "%s seen as %lld elements", text, (long long)count);
    return share(t, 0, ndim, shape, out, err);
}

Status tensor_slice(const Tensor *t, int64_t first, int64_t count, Tensor **out, Error *err)
{
    int64_t shape[K_MAX_DIMS];
    char text[96];

    tensor_describe(t, text, sizeof text);
    if (t->ndim < 1 || first < 0 || count < 0 || count > t->shape[0] ||
        first > t->shape[0] - count)
        return error_set(err, E_RANGE, "items %lld to %lld of %s", (long long)first,
                         (long long)(first + count), text);
    memcpy(shape, t->shape, sizeof shape);
    shape[0] = count;
    size_t item = t->shape[0] ? (size_t)(tensor_count(t) / t->shape[0]) : 0;
    return share(t, (size_t)first * item * k_dtype_block_bytes(t->dtype), t->ndim, shape, out,
                 err);
}

static bool fits_beside(const Tensor *a, const Tensor *b, int dim)
{
    if (a->ndim != b->ndim || a->dtype != b->dtype) return false;
    for (int i = 0; i < a->ndim; i++)
        if (i != dim && a->shape[i] != b->shape[i]) return false;
    return true;
}

/* Bytes of one run of t that stays together when concatenating along dim. */
static size_t run_bytes(const Tensor *t, int dim)
{
    size_t n = k_dtype_block_bytes(t->dtype);
    for (int i = dim; i < t->ndim; i++)
        n *= (size_t)t->shape[i];
    return n;
}

Status tensor_concat(const Tensor *const *parts, int n, int dim, Tensor **out, Error *err)
{
    int64_t shape[K_MAX_DIMS];
    Tensor *t = NULL;

    if (n < 1 || dim < 0 || dim >= parts[0]->ndim)
        return error_set(err, E_SHAPE, "nothing to concatenate along dimension %d", dim);
    memcpy(shape, parts[0]->shape, sizeof shape);
    for (int i = 1; i < n; i++) {
        char a[96], b[96];
        tensor_describe(parts[0], a, sizeof a);
        tensor_describe(parts[i], b, sizeof b);
        if (!fits_beside(parts[0], parts[i], dim))
            return error_set(err, E_SHAPE, "%s does not fit beside %s along dimension %d", b, a,
                             dim);
        shape[dim] += parts[i]->shape[dim];
    }
    TRY(tensor_new(parts[0]->dtype, parts[0]->ndim, shape, &t, err));
    char *dst = t->data;
    int64_t outer = 1;
    for (int i = 0; i < dim; i++)
        outer *= shape[i];
    for (int64_t o = 0; o < outer; o++) {
        for (int i = 0; i < n; i++) {
            size_t run = run_bytes(parts[i], dim);
            memcpy(dst, (const char *)parts[i]->data + (size_t)o * run, run);
            dst += run;
        }
    }
    *out = t;
    return OK;
}

int64_t tensor_count(const Tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->shape[i];
    return n;
}

bool tensor_same_shape(const Tensor *a, const Tensor *b)
{
    return a->ndim == b->ndim &&
           !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
}

/* "[1, 128] F32" at buf + at; returns the new end. */
static size_t describe(char *buf, size_t size, size_t at, int ndim, const int64_t *shape,
                       KDtype t)
{
    at += (size_t)snprintf(buf + at, size - at, "[");
    for (int i = 0; i < ndim && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (at < size) at += (size_t)snprintf(buf + at, size - at, "] %s", k_dtype_name(t));
    return at < size ? at : size - 1;
}

void tensor_describe(const Tensor *t, char *buf, size_t size)
{
    if (size) describe(buf, size, 0, t->ndim, t->shape, t->dtype);
}
