/* cpu.c - what this processor can do, and the backend table of each instruction-set path. */
#include "kernels/cpu/variants.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* ---- tables ---------------------------------------------------------------------------------- */

#define COLUMN_GENERIC(op, generic, avx2, avx512, bf16, amx) .op = generic,
#define COLUMN_AVX2(op, generic, avx2, avx512, bf16, amx) .op = avx2,
#define COLUMN_AVX512(op, generic, avx2, avx512, bf16, amx) .op = avx512,
#define COLUMN_AVX512_BF16(op, generic, avx2, avx512, bf16, amx) .op = bf16,
#define COLUMN_AMX(op, generic, avx2, avx512, bf16, amx) .op = amx,
#define SCRATCH_GENERIC(op, generic, avx2, avx512, bf16, amx) .op##_scratch = generic,
#define SCRATCH_AVX2(op, generic, avx2, avx512, bf16, amx) .op##_scratch = avx2,
#define SCRATCH_AVX512(op, generic, avx2, avx512, bf16, amx) .op##_scratch = avx512,
#define SCRATCH_AVX512_BF16(op, generic, avx2, avx512, bf16, amx) .op##_scratch = bf16,
#define SCRATCH_AMX(op, generic, avx2, avx512, bf16, amx) .op##_scratch = amx,

static const KBackend backend_generic = { .name = "cpu-generic",
                                          CPU_OP_TABLE(COLUMN_GENERIC)
                                              CPU_SCRATCH_TABLE(SCRATCH_GENERIC) };

#if defined(__x86_64__)
static const KBackend backend_avx2 = { .name = "cpu-avx2",
                                       CPU_OP_TABLE(COLUMN_AVX2)
                                           CPU_SCRATCH_TABLE(SCRATCH_AVX2) };
static const KBackend backend_avx512 = { .name = "cpu-avx512",
                                         CPU_OP_TABLE(COLUMN_AVX512)
                                             CPU_SCRATCH_TABLE(SCRATCH_AVX512) };
static const KBackend backend_avx512_bf16 = { .name = "cpu-avx512_bf16",
                                              CPU_OP_TABLE(COLUMN_AVX512_BF16)
                                                  CPU_SCRATCH_TABLE(SCRATCH_AVX512_BF16) };
static const KBackend backend_amx = { .name = "cpu-amx",
                                      CPU_OP_TABLE(COLUMN_AMX) CPU_SCRATCH_TABLE(SCRATCH_AMX) };

static const KBackend *const backends[K_ISA_COUNT] = {
    &backend_generic, &backend_avx2, &backend_avx512, &backend_avx512_bf16, &backend_amx,
};
#else
static const KBackend *const backends[K_ISA_COUNT] = { &backend_generic };
#endif

/* ---- detection ------------------------------------------------------------------------------- */

#if defined(__x86_64__)

/* The registers of CPUID that name a feature used here. */
enum { LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX, LEAF7_1_EAX, REGISTERS };

/* XCR0: register state that the operating system saves. */
enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xE6, XCR0_AMX = 0x600E6 };

/* What a path needs: bits in CPUID registers, bits in XCR0. */
typedef struct IsaNeeds {
    uint32_t reg[REGISTERS];
    uint64_t xcr0;
} IsaNeeds;

#define AVX2_LEAF1 (1u << 12 | 1u << 27 | 1u << 28 | 1u << 29)   /* FMA, OSXSAVE, AVX, F16C */
#define AVX2_LEAF7 (1u << 5)                                     /* AVX2 */
#define AVX512_LEAF7 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL */
#define VNNI_LEAF7 (1u << 11)                                    /* AVX512_VNNI */
#define BF16_LEAF7_1 (1u << 5)                                   /* AVX512_BF16 */
#define AMX_LEAF7 (1u << 22 | 1u << 24 | 1u << 25) /* AMX_BF16, AMX_TILE, AMX_INT8 */

/* clang-format off */
static const IsaNeeds isa_needs[K_ISA_COUNT] = {
    [K_ISA_GENERIC] = { { 0 }, 0 },
    [K_ISA_AVX2] = { { AVX2_LEAF1, AVX2_LEAF7, 0, 0, 0 }, XCR0_AVX },
    [K_ISA_AVX512] = { { AVX2_LEAF1, AVX2_LEAF7 | AVX512_LEAF7, 0, 0, 0 }, XCR0_AVX512 },
    [K_ISA_AVX512_BF16] = { { AVX2_LEAF1, AVX2_LEAF7 | AVX512_LEAF7, VNNI_LEAF7, 0, BF16_LEAF7_1 },
                            XCR0_AVX512 },
    [K_ISA_AMX] = { { AVX2_LEAF1, AVX2_LEAF7 | AVX512_LEAF7, VNNI_LEAF7, AMX_LEAF7, BF16_LEAF7_1 },
                    XCR0_AMX },
};
/* clang-format on */

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void read_features(uint32_t reg[REGISTERS])
{
    unsigned a, b, c, d;

    memset(reg, 0, REGISTERS * sizeof reg[0]);
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    reg[LEAF1_ECX] = c;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    reg[LEAF7_EBX] = b;
    reg[LEAF7_ECX] = c;
    reg[LEAF7_EDX] = d;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) reg[LEAF7_1_EAX] = a;
}

/* Linux gives a process the tile registers only when it asks (Intel SDM, "AMX state management").
 * Asking again is harmless, so no record of having asked is kept. */
static bool amx_permitted(void)
{
#if defined(__linux__)
    enum {
        REQUEST_PERMISSION = 0x1023,
        TILE_DATA = 18
    }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

static bool isa_present(KIsa isa)
{
    const IsaNeeds *needs = &isa_needs[isa];
    uint32_t reg[REGISTERS];

    if (isa == K_ISA_GENERIC) return true;
    read_features(reg);
    for (int i = 0; i < REGISTERS; i++)
        if ((reg[i] & needs->reg[i]) != needs->reg[i]) return false;
    if ((read_xcr0() & needs->xcr0) != needs->xcr0) return false;
    return isa != K_ISA_AMX || amx_permitted();
}

#else

static bool isa_present(KIsa isa)
{
    return isa == K_ISA_GENERIC;
}

#endif

/* ---- public ---------------------------------------------------------------------------------- */

const KBackend *kernels_cpu(KIsa isa)
{
    if ((unsigned)isa >= K_ISA_COUNT || !isa_present(isa)) return NULL;
    return backends[isa];
}

KIsa kernels_cpu_best(void)
{
    int isa = K_ISA_COUNT - 1;

    while (isa > K_ISA_GENERIC && !isa_present((KIsa)isa))
        isa--;
    return (KIsa)isa;
}
