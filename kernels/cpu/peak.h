/* peak.h - the most that this machine does, measured with loops that do nothing else. */
#ifndef WEFT_CPU_PEAK_H
#define WEFT_CPU_PEAK_H

#include "kernels/kernels.h"

/* name, text */
#define CPU_PEAK_MAP(X)                                                                        \
    X(CPU_PEAK_F32, "fp32 FMA")          /* widest vectors there are */                        \
    X(CPU_PEAK_BF16, "bf16 dot product") /* AVX-512 vdpbf16ps */                               \
    X(CPU_PEAK_AMX, "bf16 AMX tiles")    /* tdpbf16ps, operands in registers */                \
    X(CPU_PEAK_READ, "memory read")

typedef enum CpuPeak {
#define CPU_PEAK_ENUM(name, text) name,
    CPU_PEAK_MAP(CPU_PEAK_ENUM)
#undef CPU_PEAK_ENUM
        CPU_PEAK_COUNT
} CpuPeak;

const char *cpu_peak_name(CpuPeak kind);

/*
 * Best of several runs of about 20 ms on `threads` threads. memory, size: what CPU_PEAK_READ reads; take
 * far more than the caches hold, written before (untouched pages are all one page of zeros). Unused
 * otherwise. Returns 0 where the processor lacks the instructions.
 */
double cpu_peak_measure(CpuPeak kind, int threads, const void *memory, size_t size);

/* The peak that products of this dtype (K_F32 or K_BF16) are held against: the fastest unit that the
 * processor has for them. */
CpuPeak cpu_peak_for(KDtype t);

/* Loops of one path: about `rounds` * 1000 operations in flight; they return the operations done. */
double peak_f32_generic(int64_t rounds);
double peak_f32_avx2(int64_t rounds);
double peak_f32_avx512(int64_t rounds);
double peak_bf16_avx512_bf16(int64_t rounds);
double peak_bf16_amx(int64_t rounds);

#endif
