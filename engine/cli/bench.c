/* bench.c - `weft bench`: seconds, FLOP/s, the machine's peak and the fraction of it. */
#include "engine/cli/bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/cpu/peak.h"

static double now(bool cpu_time)
{
    struct timespec t;
    clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Status bench_time(const Bench *b, BenchWork fn, void *user, double *best, Error *err)
{
    int64_t repeat = b->args->repeat > 0 ? b->args->repeat : 3;
    TRY(fn(user, err));
    *best = 0;
    for (int64_t i = 0; i < repeat; i++) {
        double start = now(b->args->cpu_time);
        TRY(fn(user, err));
        double seconds = now(b->args->cpu_time) - start;
        if (*best == 0 || seconds < *best) *best = seconds;
    }
    return OK;
}

/* Highest resident size so far, mapped pages counted, in KiB. */
static long peak_resident(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    if (f) fclose(f);
    return kib;
}

void bench_print(const Bench *b, const BenchResult *r)
{
    double rate = r->flops / r->seconds, fraction = b->peak > 0 ? rate / b->peak : 0;
    const KContext *ctx = host_context(b->session->host);
    const char *backend = host_backend(b->session->host)->name;
    if (b->args->json)
        printf("{\"bench\": \"%s\", \"subject\": \"%s\", \"backend\": \"%s\", \"product\": "
               "\"%s\", \"threads\": %d, "
               "\"seconds\": %.6f, \"gflop\": %.3f, \"gflops\": %.1f, \"peak_gflops\": %.1f, "
               "\"fraction\": %.4f, "
               "\"arena_bytes\": %lld, \"weight_bytes\": %lld, \"vmhwm_kib\": %ld}\n",
               b->what, r->subject, backend, k_dtype_name(b->product), ctx->threads, r->seconds,
               r->flops / 1e9, rate / 1e9, b->peak / 1e9, fraction, (long long)r->arena,
               (long long)r->weights, peak_resident());
    else
        printf("%-8s %-36s %s %s, %d threads: %.4f s, %.1f GFLOP/s, %.1f %% of %.1f GFLOP/s "
               "(%s), VmHWM %ld MiB\n",
               b->what, r->subject, backend, k_dtype_name(b->product), ctx->threads, r->seconds,
               rate / 1e9, 100 * fraction, b->peak / 1e9,
               cpu_peak_name(cpu_peak_for(b->product)), peak_resident() / 1024);
    fflush(stdout);
}

Status bench_size(const Bench *b, int64_t *width, int64_t *height, Error *err)
{
    const char *size = b->args->size ? b->args->size : "512x512";
    long long w = 0, h = 0;
    if (sscanf(size, "%lldx%lld", &w, &h) != 2 || w < 16 || h < 16 || w > 16384 || h > 16384)
        return error_set(err, E_USAGE, "--size %s: write it as WIDTHxHEIGHT, sides 16 to 16384",
                         size);
    *width = w;
    *height = h;
    return OK;
}

static const struct {
    const char *name;
    BenchFn run;
} benches[] = { { "step", bench_step },
                { "encoder", bench_encoder },
                { "vae", bench_vae },
                { "gemm", bench_gemm },
                { "lua", bench_lua } };

static BenchFn find_bench(const char *name)
{
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        if (strcmp(benches[i].name, name) == 0) return benches[i].run;
    return NULL;
}

int cmd_bench(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Error err = { 0 };
    BenchFn run = args->files.count == 1 ? find_bench(args->files.items[0]) : NULL;
    if (!run) {
        fputs("weft bench: name one of step, encoder, vae, gemm, lua\n", stderr);
        return 2;
    }
    cli_session_options(args, &options);
    options.no_prompt_cache = true; /* an encoder is to compute, not to read what it once gave */
    Status status = session_init(&session, &options, &err);
    if (status == OK) {
        Bench b = { .args = args,
                    .session = &session,
                    .what = args->files.items[0],
                    .product = options.host.precision == PRECISION_EXACT ? K_F32 : K_BF16 };
        b.peak = cpu_peak_measure(cpu_peak_for(b.product), host_context(session.host)->threads,
                                  NULL, 0);
        status = run(&b, &err);
        session_fini(&session);
    }
    if (status != OK) cli_print_error(&err);
    return session_exit_code(status);
}
