/*
 * attention.c - softmax(q k^T) v in flash form, around a path's product tile.
 *
 * Keys and values of every head are packed once per call into shared scratch. A task is a block of
 * queries of one head: it walks over blocks of keys, forms scores in float32, keeps each row's running
 * maximum and sum, and adds weights times values to float32 outputs that are rescaled when a maximum
 * grows (Milakov and Gimelshein, "Online normalizer calculation for softmax"; Dao et al.,
 * "FlashAttention"). Block sizes depend on the shape and the path alone.
 */
#include "kernels/cpu/gemm.h"

#include "kernels/check.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { QUERY_ROWS = 96, KEY_BLOCK = 512 };

typedef struct Plan {
    const GemmKernel *k;
    int64_t tq, tk, keys, d, heads, kv_heads;
    int64_t chunks;                 /* of a head's width */
    int64_t key_panels, key_chunks; /* of all keys */
    int64_t wide_panels;            /* of the head's width as columns */
    int64_t query_panels;           /* in a task */
    int64_t block;                  /* keys taken at a time */
    int64_t p_row;                  /* bytes of a row of weights */
    size_t key_bytes, value_bytes;  /* of one head */
    size_t q_bytes, s_bytes, p_bytes, o_bytes, thread_bytes;
} Plan;

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t round_up(int64_t a, int64_t b)
{
    return divide_up(a, b) * b;
}

static void plan_sizes(Plan *p)
{
    const GemmKernel *k = p->k;
    int64_t rows = p->query_panels * k->mr;

    p->key_bytes = (size_t)(p->key_panels * p->chunks * k->nr) * GEMM_CHUNK_BYTES;
    p->value_bytes = (size_t)(p->wide_panels * p->key_chunks * k->nr) * GEMM_CHUNK_BYTES;
    p->p_row = p->block * 4 / k->elems + GEMM_CHUNK_BYTES;
    p->q_bytes = (size_t)(rows * p->chunks) * GEMM_CHUNK_BYTES;
    p->s_bytes = (size_t)(k->mr * p->block) * sizeof(float);
    p->p_bytes = (size_t)(k->mr * p->p_row);
    p->o_bytes = (size_t)(rows * p->wide_panels * k->nr) * sizeof(float);
    p->thread_bytes = p->q_bytes + p->s_bytes + p->p_bytes + p->o_bytes +
                      (size_t)round_up(2 * rows * (int64_t)sizeof(float), 64);
    /* the same room serves to convert rows of keys and values when they are packed */
    size_t pack = (size_t)(k->nr + 2) * (size_t)p->chunks * GEMM_CHUNK_BYTES * 2;
    if (p->thread_bytes < pack) p->thread_bytes = pack;
}

static Plan make_plan(const GemmOps *ops, const KAttention *d)
{
    const GemmKernel *k = d->q.dtype == K_BF16 ? &ops->bf16 : &ops->f32;
    Plan p = { .k = k, .tq = d->q.shape[0], .tk = d->k.shape[0], .d = d->q.shape[2] };
    int64_t chunk = GEMM_GROUPS * k->elems, multiple = k->nr > chunk ? k->nr : chunk;

    p.heads = d->q.shape[1];
    p.kv_heads = d->k.shape[1];
    p.keys = d->keys_valid ? d->keys_valid : p.tk;
    p.chunks = divide_up(p.d, chunk);
    p.wide_panels = divide_up(p.d, k->nr);
    p.key_chunks = round_up(p.tk, multiple) / chunk;
    p.key_panels = round_up(p.tk, multiple) / k->nr;
    p.query_panels = min64(QUERY_ROWS / k->mr, divide_up(p.tq, k->mr));
    if (p.query_panels < 1) p.query_panels = 1;
    p.block = min64(KEY_BLOCK, round_up(p.tk, multiple));
    plan_sizes(&p);
    return p;
}

static size_t plan_bytes(const Plan *p, const KContext *ctx)
{
    size_t threads = ctx->threads > 0 ? (size_t)ctx->threads : 1;
    return (size_t)p->kv_heads * (p->key_bytes + p->value_bytes) + threads * p->thread_bytes;
}

size_t gemm_attention_scratch(const GemmOps *ops, const KContext *ctx, const KAttention *d)
{
    Plan p = make_plan(ops, d);
    return plan_bytes(&p, ctx);
}

/* Where one call's parts lie in scratch. */
typedef struct Work {
    const GemmOps *ops;
    const KAttention *d;
    const Plan *p;
    char *keys, *values; /* packed, all heads */
    char *own;           /* of this thread, what follows lies in it */
    char *q, *weights;
    float *s, *o, *max, *sum;
} Work;

/* ---- packing ---------------------------------------------------------------------------------------- */

static size_t element_bytes(const KView *v)
{
    return v->dtype == K_BF16 ? 2 : 4;
}

static const void *row_at(const KView *v, int64_t token, int64_t head)
{
    return (const char *)v->data +
           (size_t)(token * v->stride[0] + head * v->stride[1]) * element_bytes(v);
}

/* n elements of a row in the kernel's number format. */
static void convert(const Work *w, const KView *v, const void *row, int64_t n, void *dst)
{
    if (v->dtype == K_BF16 && w->p->k->elems == 1)
        w->ops->widen(dst, row, n);
    else
        memcpy(dst, row, (size_t)n * element_bytes(v));
}

/* Panel `panel` of one head's keys: columns are keys, K is the head's width. */
static void pack_keys(const Work *w, int64_t head, int64_t panel)
{
    const Plan *p = w->p;
    const uint32_t *rows[GEMM_MAX_NR];
    size_t row_bytes = (size_t)p->chunks * GEMM_CHUNK_BYTES;
    char *dst = w->keys + (size_t)head * p->key_bytes + (size_t)(panel * p->k->nr) * row_bytes;

    for (int j = 0; j < p->k->nr; j++) {
        int64_t key = panel * p->k->nr + j;
        char *temp = w->own + (size_t)j * row_bytes;
        rows[j] = key < p->keys ? (const uint32_t *)(const void *)temp : NULL;
        if (key >= p->keys) continue;
        memset(temp + row_bytes - GEMM_CHUNK_BYTES, 0, GEMM_CHUNK_BYTES);
        convert(w, &w->d->k, row_at(&w->d->k, key, head), p->d, temp);
    }
    w->ops->transpose((uint32_t *)(void *)dst, p->k->nr, rows, p->chunks * GEMM_GROUPS);
}

/* Group g of one head's values (elems keys): columns are the head's width, K are keys. */
static void pack_values(const Work *w, int64_t head, int64_t g)
{
    const Plan *p = w->p;
    int64_t nr = p->k->nr, key = g * p->k->elems, wide = p->wide_panels * nr;
    char *dst = w->values + (size_t)head * p->value_bytes + (size_t)(g * nr) * 4;
    uint32_t *line = (uint32_t *)(void *)w->own;
    const KView *v = &w->d->v;

    memset(line, 0, (size_t)wide * 4);
    if (p->k->elems == 1 && key < p->keys) {
        convert(w, v, row_at(v, key, head), p->d, line);
    } else if (key < p->keys) {
        const uint16_t *next = key + 1 < p->keys ? row_at(v, key + 1, head) : NULL;
        w->ops->interleave(line, row_at(v, key, head), next, p->d);
    }
    for (int64_t i = 0; i < p->wide_panels; i++)
        memcpy(dst + (size_t)(i * p->key_chunks * nr) * GEMM_CHUNK_BYTES, line + i * nr,
               (size_t)nr * 4);
}

/* The task's queries as packed panels; rows past the end are zero. */
static void pack_queries(const Work *w, int64_t head, int64_t first, int64_t count)
{
    const Plan *p = w->p;
    int64_t per_chunk = GEMM_GROUPS * p->k->elems;
    char *line = (char *)w->o;

    memset(w->q, 0, p->q_bytes);
    for (int64_t i = 0; i < count; i++) {
        char *dst = w->q + (size_t)(i / p->k->mr * p->chunks * p->k->mr + i % p->k->mr) * 64;
        convert(w, &w->d->q, row_at(&w->d->q, first + i, head), p->d, line);
        for (int64_t c = 0; c < p->chunks; c++) {
            int64_t n = min64(per_chunk, p->d - c * per_chunk);
            memcpy(dst + (size_t)(c * p->k->mr) * GEMM_CHUNK_BYTES, line + c * GEMM_CHUNK_BYTES,
                   (size_t)n * 4 / (size_t)p->k->elems);
        }
    }
}

/* ---- one block of queries --------------------------------------------------------------------------- */

typedef struct Block {
    int64_t head, kv_head;
    int64_t query; /* first query of the panel */
    int64_t rows;  /* valid ones */
    int64_t panel; /* in the task */
    int64_t key0, keys;
} Block;

static void form_scores(const Work *w, const Block *b)
{
    const Plan *p = w->p;
    GemmTile t = {
        .a = w->q + (size_t)(b->panel * p->chunks * p->k->mr) * GEMM_CHUNK_BYTES,
        .a_row = GEMM_CHUNK_BYTES,
        .a_chunk = (ptrdiff_t)p->k->mr * GEMM_CHUNK_BYTES,
        .segs = 1,
        .chunks = p->chunks,
        .ldc = p->block,
    };
    for (int64_t j = 0; j < b->keys; j += p->k->nr) {
        t.b = w->keys + (size_t)b->kv_head * p->key_bytes +
              (size_t)((b->key0 + j) * p->chunks) * GEMM_CHUNK_BYTES;
        t.c = w->s + j;
        p->k->tile(&t);
    }
}

/* Keys of the block that row i sees. */
static int64_t seen_keys(const Work *w, const Block *b, int64_t i)
{
    if (!w->d->causal) return b->keys;
    int64_t seen = b->query + i - b->key0 + 1;
    return seen < 0 ? 0 : min64(seen, b->keys);
}

/* Scores of row i become weights; its running maximum, sum and output follow. */
static void weigh_row(const Work *w, const Block *b, int64_t i)
{
    const Plan *p = w->p;
    int64_t n = seen_keys(w, b, i), at = b->panel * p->k->mr + i;
    int64_t wide = p->wide_panels * p->k->nr;
    float *s = w->s + i * p->block, scale = w->d->scale, *o = w->o + at * wide;
    char *row = w->weights + i * p->p_row;
    bool bf16 = p->k->elems == 2;
    const KView *bias = &w->d->bias;

    if (bias->data || !(scale > 0.0f)) {
        const float *add = (const float *)bias->data + b->head * bias->stride[0] +
                           (b->query + i) * bias->stride[1] + b->key0;
        for (int64_t j = 0; j < n; j++)
            s[j] = s[j] * scale + (bias->data ? add[j] : 0.0f);
        scale = 1.0f;
    }
    float max = w->ops->maximum(s, n) * scale, old = w->max[at];
    int64_t padded = round_up(n, 16), end = (p->p_row - GEMM_CHUNK_BYTES) / (bf16 ? 2 : 4);

    max = n && max > old ? max : old;
    if (max == -INFINITY) padded = 0;
    memset(row + (bf16 ? 2 : 4) * padded, 0, (size_t)((bf16 ? 2 : 4) * (end - padded)));
    if (padded == 0) return;
    float fade = old == max ? 1.0f : expf(old - max);
    if (old != max && old != -INFINITY) w->ops->scale(o, o, fade, wide);
    w->max[at] = max;
    w->sum[at] *= fade;
    w->sum[at] += bf16 ? w->ops->exponentials(NULL, (uint16_t *)(void *)row, s, scale, max, n)
                       : w->ops->exponentials((float *)(void *)row, NULL, s, scale, max, n);
    if (!bf16 && w->d->q.dtype == K_BF16)
        w->ops->round((float *)(void *)row, (const float *)(const void *)row, n);
}

static void add_values(const Work *w, const Block *b)
{
    const Plan *p = w->p;
    int64_t wide = p->wide_panels * p->k->nr, per_chunk = GEMM_GROUPS * p->k->elems;
    GemmTile t = {
        .a = w->weights,
        .a_row = p->p_row,
        .a_chunk = GEMM_CHUNK_BYTES,
        .segs = 1,
        .chunks = divide_up(b->keys, per_chunk),
        .ldc = wide,
        .add = b->key0 > 0,
    };
    for (int64_t i = 0; i < p->wide_panels; i++) {
        t.b = w->values + (size_t)b->kv_head * p->value_bytes +
              (size_t)((i * p->key_chunks + b->key0 / per_chunk) * p->k->nr) * GEMM_CHUNK_BYTES;
        t.c = w->o + b->panel * p->k->mr * wide + i * p->k->nr;
        p->k->tile(&t);
    }
}

/* A row that saw no key at all takes the plain mean of all values. */
static void plain_mean(const Work *w, int64_t head, float *o)
{
    const KView *v = &w->d->v;
    for (int64_t c = 0; c < w->p->d; c++) {
        double sum = 0.0;
        for (int64_t j = 0; j < w->p->tk; j++) {
            const void *row = row_at(v, j, head);
            sum += v->dtype == K_BF16 ? (double)k_f32_from_bf16(((const uint16_t *)row)[c])
                                      : (double)((const float *)row)[c];
        }
        o[c] = (float)(sum / (double)w->p->tk);
    }
}

static void store_rows(const Work *w, const Block *b, int64_t first, int64_t count)
{
    const Plan *p = w->p;
    const KView *y = &w->d->y;
    for (int64_t i = 0; i < count; i++) {
        float *o = w->o + i * p->wide_panels * p->k->nr;
        char *dst =
            (char *)y->data +
            (size_t)((first + i) * y->stride[0] + b->head * y->stride[1]) * element_bytes(y);
        if (w->max[i] == -INFINITY)
            plain_mean(w, b->kv_head, o);
        else
            w->ops->scale(o, o, 1.0f / w->sum[i], p->d);
        if (y->dtype == K_BF16)
            w->ops->narrow((uint16_t *)(void *)dst, o, p->d);
        else
            memcpy(dst, o, (size_t)p->d * sizeof *o);
    }
}

static void run_task(const Work *w, int64_t head, int64_t first)
{
    const Plan *p = w->p;
    int64_t count = min64(p->query_panels * p->k->mr, p->tq - first);
    int64_t end = w->d->causal ? min64(p->keys, first + count) : p->keys;
    Block b = { .head = head, .kv_head = head / (p->heads / p->kv_heads) };

    pack_queries(w, head, first, count);
    for (int64_t i = 0; i < p->query_panels * p->k->mr; i++) {
        w->max[i] = -INFINITY;
        w->sum[i] = 0.0f;
    }
    for (b.key0 = 0; b.key0 < end; b.key0 += p->block) {
        b.keys = min64(p->block, p->keys - b.key0);
        for (b.panel = 0; b.panel * p->k->mr < count; b.panel++) {
            b.query = first + b.panel * p->k->mr;
            b.rows = min64(p->k->mr, count - b.panel * p->k->mr);
            form_scores(w, &b);
            for (int64_t i = 0; i < b.rows; i++)
                weigh_row(w, &b, i);
            add_values(w, &b);
        }
    }
    store_rows(w, &b, first, count);
}

/* ---- the call ---------------------------------------------------------------------------------------- */

static void aim_at_own(Work *w, char *own)
{
    const Plan *p = w->p;
    w->own = w->q = own;
    w->s = (float *)(void *)(w->q + p->q_bytes);
    w->weights = (char *)w->s + p->s_bytes;
    w->o = (float *)(void *)(w->weights + p->p_bytes);
    w->max = (float *)(void *)((char *)w->o + p->o_bytes);
    w->sum = w->max + p->query_panels * p->k->mr;
}

static void run_thread(const Work *w)
{
    const Plan *p = w->p;
    int64_t groups = p->key_chunks * GEMM_GROUPS;
    int64_t blocks = divide_up(p->tq, p->query_panels * p->k->mr);

#pragma omp for schedule(static) nowait
    for (int64_t i = 0; i < p->kv_heads * p->key_panels; i++)
        pack_keys(w, i / p->key_panels, i % p->key_panels);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < p->kv_heads * groups; i++)
        pack_values(w, i / groups, i % groups);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < p->heads * blocks; i++) {
        int64_t block = w->d->causal ? blocks - 1 - i % blocks : i % blocks;
        run_task(w, i / blocks, block * p->query_panels * p->k->mr);
    }
}

KResult gemm_attention(const GemmOps *ops, KContext *ctx, const KAttention *d)
{
    K_TRY(k_check_attention(d));
    Plan p = make_plan(ops, d);
    if (!ctx->scratch || ctx->scratch_size < plan_bytes(&p, ctx)) return K_NO_SCRATCH;

#pragma omp parallel num_threads(ctx->threads > 0 ? ctx->threads : 1)
    {
        Work w = { .ops = ops, .d = d, .p = &p, .keys = ctx->scratch };
        w.values = w.keys + (size_t)p.kv_heads * p.key_bytes;
        char *threads = w.values + (size_t)p.kv_heads * p.value_bytes;
        aim_at_own(&w, threads + (size_t)omp_get_thread_num() * p.thread_bytes);
        if (p.k->begin) p.k->begin();
        run_thread(&w);
        if (p.k->end) p.k->end();
    }
    return K_OK;
}
