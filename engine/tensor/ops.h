/* ops.h - the few element-wise float32 calls that samplers, masks and latents need.
 *
 * All operands are F32 with the same count, `out` may be any operand. Plain loops over the elements in
 * order: one rounding per written operation, no contraction, so the result is the same on every machine.
 */
#ifndef WEFT_TENSOR_OPS_H
#define WEFT_TENSOR_OPS_H

#include "engine/tensor/tensor.h"

/* out = value */
void tensor_fill(Tensor *out, float value);
/* out = x */
void tensor_copy(Tensor *out, const Tensor *x);
/* out = a + b, a - b, a * b */
void tensor_add(Tensor *out, const Tensor *a, const Tensor *b);
void tensor_sub(Tensor *out, const Tensor *a, const Tensor *b);
/* out = x * scale + shift */
void tensor_affine(Tensor *out, const Tensor *x, float scale, float shift);
/* out = x * a + z * b */
void tensor_axby(Tensor *out, const Tensor *x, float a, const Tensor *z, float b);
/* out = out + x * a */
void tensor_add_scaled(Tensor *out, const Tensor *x, float a);
/* out = x * mask + z * (1 - mask) */
void tensor_mask_mix(Tensor *out, const Tensor *x, const Tensor *z, const Tensor *mask);

/* Reductions in double over the elements in order. */
double tensor_sum(const Tensor *x);
bool tensor_is_zero(const Tensor *x);
/* |x - y| / |y| in the 2-norm, infinity when only |y| is 0; for tests and `weft verify`. */
double tensor_distance(const Tensor *x, const Tensor *y);

#endif
