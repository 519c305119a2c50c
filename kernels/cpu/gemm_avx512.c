/* gemm_avx512.c - product tiles for AVX-512 (F, BW, DQ, VL); BF16 is widened to float32. */
#include "kernels/cpu/gemm_zmm.h"
#include "kernels/cpu/variants.h"

const GemmOps gemm_ops_avx512 = {
    .name = "avx512",
    .f32 = ZMM_KERNEL_F32,
    .bf16 = ZMM_KERNEL_F32,
    ZMM_ROW_OPS,
};

GEMM_ENTRIES(avx512)
