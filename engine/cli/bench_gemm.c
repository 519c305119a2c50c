/* bench_gemm.c - one matrix product of the given shape. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cli/bench.h"
#include "engine/formats/encode.h"

typedef struct Gemm {
    const KBackend *backend;
    KContext *ctx;
    KLinear d;
    void *x, *y, *scratch; /* owned */
    KQuant quant;
    EncodePart parts[ENCODE_MAX_PARTS];
    uint8_t *part[ENCODE_MAX_PARTS]; /* owned; w and the tables beside it */
} Gemm;

static void gemm_fini(Gemm *g)
{
    mem_free(g->x);
    for (int i = 0; i < ENCODE_MAX_PARTS; i++)
        mem_free(g->part[i]);
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

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "no memory for a product of this shape");
}

/* A matrix of small numbers in the given form; the same few rows again and again. */
static Status fill_weight(Gemm *g, const EncodeForm *f, int64_t n, int64_t k, Error *err)
{
    enum { DISTINCT = 16 };
    int count = encode_parts(f, n, k, 0.5f, g->parts);
    float *rows = mem_alloc_array((size_t)k, (DISTINCT + 2) * sizeof *rows);
    bool good = rows != NULL;

    for (int i = 0; i < count && good; i++)
        good = (g->part[i] = mem_aligned(64, g->parts[i].row_bytes * (size_t)n + 64)) != NULL;
    if (good) fill(rows, K_F32, k * DISTINCT);
    for (int64_t r = 0; r < n && good; r++) {
        uint8_t *at[ENCODE_MAX_PARTS] = { NULL };
        float *row = rows + k * DISTINCT;
        for (int i = 0; i < count; i++)
            at[i] = g->part[i] + g->parts[i].row_bytes * (size_t)r;
        if (r >= DISTINCT) {
            for (int i = 0; i < count; i++)
                memcpy(at[i], at[i] - DISTINCT * g->parts[i].row_bytes, g->parts[i].row_bytes);
            continue;
        }
        memcpy(row, rows + r * k, (size_t)k * sizeof *row);
        good = encode_row(f, g->parts, row, k, at, row + k);
    }
    mem_free(rows);
    return good ? OK : no_memory(err);
}

static Status find_form(const CliArgs *args, int64_t k, const EncodeForm **out, Error *err)
{
    const char *name = args->weight ? args->weight : "BF16";

    *out = encode_find(name);
    if (!*out)
        return error_set(err, E_USAGE, "--weight %s: no such type; see `weft quantize --help`",
                         name);
    if (encode_fitting(*out, k) == *out) return OK;
    return error_set(err, E_USAGE, "--weight %s: rows of %lld fill no whole blocks", name,
                     (long long)k);
}

static Status gemm_init(Gemm *g, Bench *b, int64_t m, int64_t n, int64_t k, Error *err)
{
    size_t each = k_dtype_block_bytes(b->product);
    const EncodeForm *form = NULL;
    KWeight w = { .n = n, .k = k };

    TRY(find_form(b->args, k, &form, err));
    g->backend = host_backend(b->session->host);
    g->ctx = host_context(b->session->host);
    g->x = mem_aligned(64, (size_t)(m * k) * each);
    g->y = mem_aligned(64, (size_t)(m * n) * each);
    if (!g->x || !g->y) return no_memory(err);
    fill(g->x, b->product, m * k);
    TRY(fill_weight(g, form, n, k, err));
    encode_weight(form, g->parts, g->part, &w, &g->quant);
    w.int8_x = true;
    g->d = (KLinear){
        .x = k_view(g->x, b->product, 2, (int64_t[]){ m, k }),
        .w = w,
        .y = k_view(g->y, b->product, 2, (int64_t[]){ m, n }),
    };
    size_t scratch = g->backend->linear_scratch ? g->backend->linear_scratch(g->ctx, &g->d) : 0;
    g->scratch = mem_aligned(64, scratch + 64);
    if (!g->scratch) return no_memory(err);
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
    snprintf(r.subject, sizeof r.subject, "%s M %lld, N %lld, K %lld",
             b->args->weight ? b->args->weight : "BF16", (long long)m, (long long)n,
             (long long)k);
    Status status = gemm_init(&g, b, m, n, k, err);
    if (status == OK) status = bench_time(b, gemm_work, &g, &r.seconds, err);
    if (status == OK) bench_print(b, &r);
    gemm_fini(&g);
    return status;
}
