/* peak.c - times the peak loops on all threads, and reading of memory. */
#include "kernels/cpu/peak.h"

#include <omp.h>
#include <time.h>

typedef double PeakLoop(int64_t rounds);

const char *cpu_peak_name(CpuPeak kind)
{
#define NAME(name, text) text,
    static const char *const names[] = { CPU_PEAK_MAP(NAME) };
#undef NAME
    return (unsigned)kind < CPU_PEAK_COUNT ? names[kind] : "unknown";
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double peak_f32_generic(int64_t rounds)
{
    float a[16];
    for (int i = 0; i < 16; i++)
        a[i] = (float)i;
    for (int64_t n = 0; n < rounds * 32; n++)
        for (int i = 0; i < 16; i++)
            a[i] = a[i] * 0.9999f + 0.25f;
    volatile float sink = a[0] + a[15];
    (void)sink;
    return (double)rounds * 32 * 16 * 2;
}

/* The loop that measures `kind` here; NULL = no such instructions. */
static PeakLoop *choose_loop(CpuPeak kind)
{
#if defined(__x86_64__)
    if (kind == CPU_PEAK_AMX) return kernels_cpu(K_ISA_AMX) ? peak_bf16_amx : NULL;
    if (kind == CPU_PEAK_BF16)
        return kernels_cpu(K_ISA_AVX512_BF16) ? peak_bf16_avx512_bf16 : NULL;
    if (kind == CPU_PEAK_F32 && kernels_cpu(K_ISA_AVX512)) return peak_f32_avx512;
    if (kind == CPU_PEAK_F32 && kernels_cpu(K_ISA_AVX2)) return peak_f32_avx2;
#endif
    return kind == CPU_PEAK_F32 ? peak_f32_generic : NULL;
}

CpuPeak cpu_peak_for(KDtype t)
{
    if (t != K_BF16) return CPU_PEAK_F32;
    if (choose_loop(CPU_PEAK_AMX)) return CPU_PEAK_AMX;
    return choose_loop(CPU_PEAK_BF16) ? CPU_PEAK_BF16 : CPU_PEAK_F32;
}

static double run_loop(PeakLoop *loop, int threads, int64_t rounds)
{
    double done = 0.0, start = seconds();
#pragma omp parallel num_threads(threads) reduction(+ : done)
    done += loop(rounds);
    return done / (seconds() - start);
}

static double measure_loop(PeakLoop *loop, int threads)
{
    int64_t rounds = 1000;
    double best = 0.0, start = seconds();

    loop(rounds);
    rounds = (int64_t)((double)rounds * 0.02 / (seconds() - start + 1e-9)) + 1;
    for (int i = 0; i < 8; i++) {
        double rate = run_loop(loop, threads, rounds);
        if (rate > best) best = rate;
    }
    return best;
}

static double measure_read(int threads, const uint64_t *memory, size_t size)
{
    int64_t lines = (int64_t)(size / 64);
    double best = 0.0;

    for (int i = 0; i < 4; i++) {
        uint64_t sum = 0;
        double start = seconds();
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
        for (int64_t n = 0; n < lines; n++)
            for (int j = 0; j < 8; j++)
                sum += memory[n * 8 + j];
        double rate = (double)lines * 64.0 / (seconds() - start);
        volatile uint64_t sink = sum;
        (void)sink;
        if (rate > best) best = rate;
    }
    return best;
}

double cpu_peak_measure(CpuPeak kind, int threads, const void *memory, size_t size)
{
    PeakLoop *loop = choose_loop(kind);
    if (threads < 1) threads = 1;
    if (kind == CPU_PEAK_READ) return memory ? measure_read(threads, memory, size) : 0.0;
    return loop ? measure_loop(loop, threads) : 0.0;
}
