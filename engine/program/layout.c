/* layout.c - lifetimes of values to offsets in one arena.
 *
 * A buffer is a root value (a window lives and dies with its root) or the scratch of one operation. Buffers
 * are placed from the largest down, each in the smallest gap between the buffers that are alive at the same
 * time and already have a place (greedy best fit): within a few per cent of the lower bound on the programs
 * here, and it needs no second pass. Inputs are alive from the start, outputs to the end.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/program/internal.h"

typedef struct Buffer {
    size_t size, offset;
    int first, last;
    size_t *out; /* where the offset goes */
    int order;   /* keeps equal sizes in program order, so that offsets are reproducible */
} Buffer;

static size_t align_up(size_t n)
{
    return (n + PROG_ALIGN - 1) / PROG_ALIGN * PROG_ALIGN;
}

static void touch(Program *p, ProgValue v, int at)
{
    Val *root = &p->vals[prog_root(p, v)];
    if (at < root->first) root->first = at;
    if (at > root->last) root->last = at;
}

/* First and last operation of every root; unused temporaries keep first > last. */
static void find_lifetimes(Program *p)
{
    for (int v = 1; v < p->n_vals; v++) {
        p->vals[v].first = p->n_ops;
        p->vals[v].last = -1;
    }
    for (int v = 1; v < p->n_vals; v++)
        if (p->vals[v].kind == VAL_INPUT) touch(p, v, -1);
    for (int i = 0; i < p->n_ops; i++)
        for (int f = 0; f < OP_MAX_FIELDS && !p->ops[i].dead; f++)
            if (value_is(p->ops[i].args[f])) touch(p, p->ops[i].args[f], i);
    for (int o = 0; o < p->n_outputs; o++)
        touch(p, p->outputs[o], p->n_ops);
}

static int by_size(const void *a, const void *b)
{
    const Buffer *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->order < y->order ? -1 : 1;
}

static bool alive_together(const Buffer *a, const Buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Offset of the smallest gap that holds `b` among `placed`, which is sorted by offset. */
static size_t best_fit(const Buffer *b, Buffer *const *placed, int n)
{
    size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;

    for (int i = 0; i < n; i++) {
        const Buffer *q = placed[i];
        if (!alive_together(b, q)) continue;
        if (q->offset >= end) {
            size_t gap = q->offset - end;
            if (gap >= b->size && gap < best_gap) {
                best = end;
                best_gap = gap;
            }
        }
        if (q->offset + q->size > end) end = q->offset + q->size;
    }
    return best != SIZE_MAX ? best : end;
}

static void insert_sorted(Buffer **placed, int n, Buffer *b)
{
    int i = n;
    for (; i > 0 && placed[i - 1]->offset > b->offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = b;
}

/* Fills `buffers` from values and scratch; returns how many. */
static int collect(Program *p, Buffer *buffers)
{
    int n = 0;

    for (int v = 1; v < p->n_vals; v++) {
        Val *val = &p->vals[v];
        if (val->kind != VAL_INPUT && val->kind != VAL_TEMP) continue;
        if (val->first > val->last || val->borrowed) continue;
        buffers[n] = (Buffer){ .size = align_up(val->bytes),
                               .first = val->first,
                               .last = val->last,
                               .out = &val->arena_offset,
                               .order = n };
        n++;
    }
    for (int i = 0; i < p->n_ops; i++) {
        Op *op = &p->ops[i];
        if (op->dead || !op->scratch_size) continue;
        buffers[n] = (Buffer){ .size = align_up(op->scratch_size),
                               .first = i,
                               .last = i,
                               .out = &op->scratch_offset,
                               .order = n };
        n++;
    }
    return n;
}

static void ask_scratch(Program *p, const KBackend *backend, const KContext *ctx)
{
    for (int i = 0; i < p->n_ops; i++) {
        OpDesc d;
        if (p->ops[i].dead) continue;
        op_bind(p, &p->ops[i], NULL, &d);
        p->ops[i].scratch_size = op_def(p->ops[i].kind)->scratch(backend, ctx, &d);
    }
}

static int by_pointer(const void *a, const void *b)
{
    const KWeight *x = *(const KWeight *const *)a, *y = *(const KWeight *const *)b;
    if (x->data == y->data) return 0;
    return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
}

/* Sum over distinct weights. Weights without data (of a model whose file is missing) all count. */
static void count_work(Program *p, const KWeight **weights)
{
    int n = 0;

    for (int i = 0; i < p->n_ops; i++) {
        OpDesc d;
        const Op *op = &p->ops[i];
        if (op->dead) continue;
        op_bind(p, op, NULL, &d);
        p->flops += op_def(op->kind)->flops(&d);
        if (op_weight(op)) weights[n++] = op_weight(op);
    }
    qsort(weights, (size_t)n, sizeof *weights, by_pointer);
    for (int i = 0; i < n; i++) {
        bool again = i > 0 && weights[i]->data && weights[i]->data == weights[i - 1]->data;
        if (!again) p->weight_bytes += weight_bytes(weights[i]);
    }
}

Status prog_layout(Program *p, const KBackend *backend, const KContext *ctx, Error *err)
{
    Status status = OK;
    size_t most = (size_t)(p->n_vals + p->n_ops);
    Buffer *buffers = mem_alloc_array(most, sizeof *buffers);
    Buffer **placed = mem_alloc_array(most, sizeof(Buffer *));
    const KWeight **weights = mem_alloc_array(most, sizeof(const KWeight *));

    if (!buffers || !placed || !weights) {
        status = error_set(err, E_NOMEM, "program %s: out of memory", p->name);
        goto done;
    }
    for (int v = 1; v < p->n_vals && backend->memory.upload; v++)
        p->vals[v].borrowed = false; /* a device reads its own memory */
    find_lifetimes(p);
    ask_scratch(p, backend, ctx);
    int n = collect(p, buffers);
    qsort(buffers, (size_t)n, sizeof *buffers, by_size);
    p->arena_bytes = 0;
    for (int i = 0; i < n; i++) {
        Buffer *b = &buffers[i];
        b->offset = best_fit(b, placed, i);
        insert_sorted(placed, i, b);
        *b->out = b->offset;
        if (b->offset + b->size > p->arena_bytes) p->arena_bytes = b->offset + b->size;
    }
    p->flops = 0;
    p->weight_bytes = 0;
    count_work(p, weights);
done:
    mem_free(buffers);
    mem_free(placed);
    mem_free(weights);
    return status;
}

Status prog_plan(Program *p, const KBackend *backend, const KContext *ctx, Error *err)
{
    if (p->status != OK) {
        if (err) *err = p->error;
        return p->status;
    }
    TRY(prog_layout(p, backend, ctx, err));
    p->planned = true;
    return OK;
}
