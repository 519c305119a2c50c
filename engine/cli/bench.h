/* bench.h - what the measurements of `weft bench` share. */
#ifndef WEFT_CLI_BENCH_H
#define WEFT_CLI_BENCH_H

#include "engine/cli/commands.h"

typedef struct Bench {
    const CliArgs *args;
    Session *session;
    const char *what;
    KDtype product; /* K_F32 in exact precision, else K_BF16 */
    double peak;    /* of the machine for that product, FLOP/s */
} Bench;

/* One figure: the best of several repetitions. */
typedef struct BenchResult {
    char subject[160];      /* "512x512, 512 tokens" */
    double seconds;         /* best */
    double flops;           /* of one repetition */
    int64_t arena, weights; /* bytes; 0 = does not apply */
} BenchResult;

typedef Status (*BenchFn)(Bench *b, Error *err);

Status bench_gemm(Bench *b, Error *err);
Status bench_step(Bench *b, Error *err);
Status bench_encoder(Bench *b, Error *err);
Status bench_vae(Bench *b, Error *err);
Status bench_lua(Bench *b, Error *err);

/* Times fn: one warm-up, then --repeat times; the best. */
typedef Status (*BenchWork)(void *user, Error *err);
Status bench_time(const Bench *b, BenchWork fn, void *user, double *best, Error *err);
/* Prints one result as a line of text or JSON, with the fraction of the peak and VmHWM. */
void bench_print(const Bench *b, const BenchResult *r);
/* --size WxH, default 512x512. Errors: E_USAGE. */
Status bench_size(const Bench *b, int64_t *width, int64_t *height, Error *err);

#endif
