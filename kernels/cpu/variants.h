/* variants.h - which function each instruction-set path uses for each operation.
 *
 * CPU_OP_TABLE is the whole dispatch: one row per operation, one column per path of K_ISA_MAP. A path
 * without a function of its own names the next lower one's, so that a reader sees what runs without
 * following a rule. A file <op>_<isa>.c is compiled with the flags of that path only (meson.build);
 * nothing in it may run before cpu.c has found the processor able.
 */
#ifndef WEFT_CPU_VARIANTS_H
#define WEFT_CPU_VARIANTS_H

#include "kernels/kernels.h"
#include "kernels/ref/ref.h"

#define CPU_DECLARE(op, Desc)                                                                  \
    KResult cpu_##op##_generic(KContext *ctx, const Desc *d);                                  \
    KResult cpu_##op##_avx2(KContext *ctx, const Desc *d);                                     \
    KResult cpu_##op##_avx512(KContext *ctx, const Desc *d);                                   \
    KResult cpu_##op##_avx512_bf16(KContext *ctx, const Desc *d);                              \
    KResult cpu_##op##_amx(KContext *ctx, const Desc *d);                                      \
    size_t cpu_##op##_generic_scratch(const KContext *ctx, const Desc *d);                     \
    size_t cpu_##op##_avx2_scratch(const KContext *ctx, const Desc *d);                        \
    size_t cpu_##op##_avx512_scratch(const KContext *ctx, const Desc *d);                      \
    size_t cpu_##op##_avx512_bf16_scratch(const KContext *ctx, const Desc *d);                 \
    size_t cpu_##op##_amx_scratch(const KContext *ctx, const Desc *d);
K_OP_MAP(CPU_DECLARE)
#undef CPU_DECLARE

/* clang-format off */

/* A source that is compiled for three paths (meson.build: cpu_every_files). */
#define CPU_ROW(X, op) X(op, cpu_##op##_generic, cpu_##op##_avx2, cpu_##op##_avx512, cpu_##op##_avx512, cpu_##op##_avx512)
#define CPU_SCRATCH_ROW(X, op) X(op, cpu_##op##_generic_scratch, cpu_##op##_avx2_scratch, cpu_##op##_avx512_scratch, cpu_##op##_avx512_scratch, cpu_##op##_avx512_scratch)

/* op, then the function of generic, avx2, avx512, avx512_bf16, amx. */
#define CPU_OP_TABLE(X)                                                                           \
    X(linear,      cpu_linear_generic, cpu_linear_avx2, cpu_linear_avx512, cpu_linear_avx512_bf16, cpu_linear_amx) \
    X(attention,   cpu_attention_generic, cpu_attention_avx2, cpu_attention_avx512, cpu_attention_avx512_bf16, cpu_attention_amx) \
    X(conv,        cpu_conv_generic, cpu_conv_avx2, cpu_conv_avx512, cpu_conv_avx512_bf16, cpu_conv_amx) \
    CPU_ROW(X, norm_mod)                                                                          \
    CPU_ROW(X, layer_norm)                                                                        \
    CPU_ROW(X, rms_norm)                                                                          \
    CPU_ROW(X, rope)                                                                              \
    CPU_ROW(X, glu)                                                                               \
    CPU_ROW(X, unary)                                                                             \
    CPU_ROW(X, add)                                                                               \
    CPU_ROW(X, affine)                                                                            \
    X(timestep,    ref_timestep, ref_timestep, ref_timestep, ref_timestep, ref_timestep)          \
    CPU_ROW(X, copy)                                                                              \
    CPU_ROW(X, group_stats)

/* The same for `<op>_scratch`; an operation that is not listed wants none. */
#define CPU_SCRATCH_TABLE(X)                                                                      \
    X(linear,      cpu_linear_generic_scratch, cpu_linear_avx2_scratch, cpu_linear_avx512_scratch, cpu_linear_avx512_bf16_scratch, cpu_linear_amx_scratch) \
    X(attention,   cpu_attention_generic_scratch, cpu_attention_avx2_scratch, cpu_attention_avx512_scratch, cpu_attention_avx512_bf16_scratch, cpu_attention_amx_scratch) \
    X(conv,        cpu_conv_generic_scratch, cpu_conv_avx2_scratch, cpu_conv_avx512_scratch, cpu_conv_avx512_bf16_scratch, cpu_conv_amx_scratch) \
    CPU_SCRATCH_ROW(X, group_stats)

/* clang-format on */

#endif
