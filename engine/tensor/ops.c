/* ops.c - element-wise float32 loops over tensors, written so that the compiler vectorises them. */
#include "engine/tensor/ops.h"

#include <math.h>
#include <string.h>

/* for every element i of out: the expression over a[i], b[i], ... */
#define EACH(out, expression)                                                                  \
    do {                                                                                       \
        float *o = tensor_f32(out);                                                            \
        int64_t n = tensor_count(out);                                                         \
        for (int64_t i = 0; i < n; i++)                                                        \
            o[i] = (expression);                                                               \
    } while (0)

void tensor_fill(Tensor *out, float value)
{
    EACH(out, value);
}

void tensor_copy(Tensor *out, const Tensor *x)
{
    memmove(out->data, x->data, (size_t)tensor_count(out) * sizeof(float));
}

void tensor_add(Tensor *out, const Tensor *a, const Tensor *b)
{
    const float *p = tensor_f32(a), *q = tensor_f32(b);
    EACH(out, p[i] + q[i]);
}

void tensor_sub(Tensor *out, const Tensor *a, const Tensor *b)
{
    const float *p = tensor_f32(a), *q = tensor_f32(b);
    EACH(out, p[i] - q[i]);
}

void tensor_affine(Tensor *out, const Tensor *x, float scale, float shift)
{
    const float *p = tensor_f32(x);
    EACH(out, p[i] * scale + shift);
}

void tensor_axby(Tensor *out, const Tensor *x, float a, const Tensor *z, float b)
{
    const float *p = tensor_f32(x), *q = tensor_f32(z);
    EACH(out, p[i] * a + q[i] * b);
}

void tensor_add_scaled(Tensor *out, const Tensor *x, float a)
{
    const float *p = tensor_f32(x);
    EACH(out, o[i] + p[i] * a);
}

void tensor_mask_mix(Tensor *out, const Tensor *x, const Tensor *z, const Tensor *mask)
{
    const float *p = tensor_f32(x), *q = tensor_f32(z), *m = tensor_f32(mask);
    EACH(out, p[i] * m[i] + q[i] * (1.0f - m[i]));
}

double tensor_sum(const Tensor *x)
{
    const float *p = tensor_f32(x);
    int64_t n = tensor_count(x);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)p[i];
    return sum;
}

bool tensor_is_zero(const Tensor *x)
{
    const float *p = tensor_f32(x);
    int64_t n = tensor_count(x);
    for (int64_t i = 0; i < n; i++)
        if (p[i] != 0.0f) return false;
    return true;
}

double tensor_distance(const Tensor *x, const Tensor *y)
{
    const float *p = tensor_f32(x), *q = tensor_f32(y);
    int64_t n = tensor_count(x);
    double apart = 0, size = 0;

    for (int64_t i = 0; i < n; i++) {
        double d = (double)p[i] - (double)q[i];
        apart += d * d;
        size += (double)q[i] * (double)q[i];
    }
    if (apart == 0) return 0;
    return size > 0 ? sqrt(apart / size) : (double)INFINITY;
}
