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

/* op, then the function of generic, avx2, avx512, avx512_bf16, amx. */
#define CPU_OP_TABLE(X)                                                                           \
    X(linear,      cpu_linear_generic, cpu_linear_avx2, cpu_linear_avx512, cpu_linear_avx512_bf16, cpu_linear_amx) \
    X(attention,   ref_attention, ref_attention, ref_attention, ref_attention, ref_attention)     \
    X(conv,        ref_conv, ref_conv, ref_conv, ref_conv, ref_conv)                              \
    X(norm_mod,    ref_norm_mod, ref_norm_mod, ref_norm_mod, ref_norm_mod, ref_norm_mod)          \
    X(layer_norm,  ref_layer_norm, ref_layer_norm, ref_layer_norm, ref_layer_norm, ref_layer_norm) \
    X(rms_norm,    ref_rms_norm, ref_rms_norm, ref_rms_norm, ref_rms_norm, ref_rms_norm)          \
    X(rope,        ref_rope, ref_rope, ref_rope, ref_rope, ref_rope)                              \
    X(glu,         ref_glu, ref_glu, ref_glu, ref_glu, ref_glu)                                   \
    X(unary,       ref_unary, ref_unary, ref_unary, ref_unary, ref_unary)                         \
    X(add,         ref_add, ref_add, ref_add, ref_add, ref_add)                                   \
    X(affine,      ref_affine, ref_affine, ref_affine, ref_affine, ref_affine)                    \
    X(embed,       ref_embed, ref_embed, ref_embed, ref_embed, ref_embed)                         \
    X(timestep,    ref_timestep, ref_timestep, ref_timestep, ref_timestep, ref_timestep)          \
    X(copy,        ref_copy, ref_copy, ref_copy, ref_copy, ref_copy)                              \
    X(group_stats, ref_group_stats, ref_group_stats, ref_group_stats, ref_group_stats, ref_group_stats)

/* The same for `<op>_scratch`; an operation that is not listed wants none. */
#define CPU_SCRATCH_TABLE(X)                                                                      \
    X(linear,      cpu_linear_generic_scratch, cpu_linear_avx2_scratch, cpu_linear_avx512_scratch, cpu_linear_avx512_bf16_scratch, cpu_linear_amx_scratch) \
    X(attention,   ref_attention_scratch, ref_attention_scratch, ref_attention_scratch, ref_attention_scratch, ref_attention_scratch) \
    X(conv,        ref_conv_scratch, ref_conv_scratch, ref_conv_scratch, ref_conv_scratch, ref_conv_scratch)

/* clang-format on */

#endif
