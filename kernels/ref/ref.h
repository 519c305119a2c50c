/* ref.h - the reference kernels by name, for backends that fall back on them. */
#ifndef WEFT_REF_REF_H
#define WEFT_REF_REF_H

#include "kernels/kernels.h"

/* One function per operation; the contract of each is the comment of its descriptor in kernels.h. */
#define REF_DECLARE(op, Desc) KResult ref_##op(KContext *ctx, const Desc *d);
K_OP_MAP(REF_DECLARE)
#undef REF_DECLARE

/* Bytes of scratch of the operations that work row by row. */
size_t ref_linear_scratch(const KContext *ctx, const KLinear *d);
size_t ref_attention_scratch(const KContext *ctx, const KAttention *d);
size_t ref_conv_scratch(const KContext *ctx, const KConv *d);

#endif
