/* check.h - the contracts of kernels.h as code: every backend calls k_check_<op> before it writes. */
#ifndef WEFT_KERNELS_CHECK_H
#define WEFT_KERNELS_CHECK_H

#include "kernels/kernels.h"

/* K_OK, K_BAD_SHAPE (also: a required operand is absent, an innermost stride is not 1, a weight's rows
 * are too short) or K_BAD_DTYPE. Reads no operand. */
#define K_DECLARE_CHECK(op, Desc) KResult k_check_##op(const Desc *d);
K_OP_MAP(K_DECLARE_CHECK)
#undef K_DECLARE_CHECK

/* Height and width that a convolution's output must have; 0 when nothing fits. */
int64_t k_conv_out_height(const KConv *d);
int64_t k_conv_out_width(const KConv *d);

/* Return at once when a check fails. */
#define K_TRY(call)                                                                            \
    do {                                                                                       \
        KResult k_try_ = (call);                                                               \
        if (k_try_ != K_OK) return k_try_;                                                     \
    } while (0)

#endif
