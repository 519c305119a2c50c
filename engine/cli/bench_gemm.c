/* bench_gemm.c - one matrix product of the given shape. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cli/bench.h"

typedef struct Gemm {
    const KBackend *backend;
    KContext *ctx;
    KLinear d;
    void *x, *w, *y, *scratch; /* owned */
} Gemm;

static void gemm_fini(Gemm *g)
{
    mem_free(g->x);
    mem_free(g->w);
    mem_free(g->y);
    mem_free(g->scratch);
}

/* Small numbers of both signs; their values do not change the time. */
static void fill(void *data, KDtype t, int64_t count)
{
    uint32_t seed = 1;
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        float v = (float)(seed >> 8) / 16777216.0f - 0.5f;
        if (t == K_BF16)
            ((uint16_t *)data)[i] = k_bf16_from_f32(v);
        else
            ((float *)data)[i] = v;
    }
}

static Status gemm_init(Gemm *g, Bench *b, int64_t m, int64_t n, int64_t k, Error *err)
{
    size_t each = k_dtype_block_bytes(b->product);
    g->backend = host_backend(b->session->host);
    g->ctx = host_context(b->session->host);
    g->x = mem_aligned(64, (size_t)(m * k) * each);
    g->w = mem_aligned(64, (size_t)(n * k) * 2);
    g->y = mem_aligned(64, (size_t)(m * n) * each);
    if (!g->x || !g->w || !g->y)
        return error_set(err, E_NOMEM, "no memory for a product of this shape");
    fill(g->x, b->product, m * k);
    fill(g->w, K_BF16, n * k);
    g->d = (KLinear){
        .x = k_view(g->x, b->product, 2, (int64_t[]){ m, k }),
        .w = { .data = g->w,
               .dtype = K_BF16,
               .n = n,
               .k = k,
               .row_bytes = k * 2,
               .cast = K_F32 },
        .y = k_view(g->y, b->product, 2, (int64_t[]){ m, n }),
    };
    size_t scratch = g->backend->linear_scratch ? g->backend->linear_scratch(g->ctx, &g->d) : 0;
    g->scratch = mem_aligned(64, scratch + 64);
    if (!g->scratch) return error_set(err, E_NOMEM, "no memory for a product of this shape");
    g->ctx->scratch = g->scratch;
    g->ctx->scratch_size = scratch;
    return OK;
}

static Status gemm_work(void *user, Error *err)
{
    Gemm *g = user;
    KResult r = g->backend->linear(g->ctx, &g->d);
    return r == K_OK ? OK : error_set(err, E_INTERNAL, "linear: %s", k_result_message(r));
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

Status bench_gemm(Bench *b, Error *err)
{
    int64_t m = or_default(b->args->m, 1536), n = or_default(b->args->n, 9216),
            k = or_default(b->args->k, 3072);
    Gemm g = { 0 };
    BenchResult r = { .flops = 2.0 * (double)m * (double)n * (double)k };
    snprintf(r.subject, sizeof r.subject, "M %lld, N %lld, K %lld", (long long)m, (long long)n,
             (long long)k);
    Status status = gemm_init(&g, b, m, n, k, err);
    if (status == OK) status = bench_time(b, gemm_work, &g, &r.seconds, err);
    if (status == OK) bench_print(b, &r);
    gemm_fini(&g);
    return status;
}
