/*
 * copy.c - copy with fast paths: runs of memory, and transpositions in square tiles.
 *
 * The shape is first reduced: dimensions of extent 1 go, neighbours that lie on a line in both views
 * become one. What is left is copied along a common innermost run, or, where x and y run along different
 * dimensions (height-width-channel to channel-height-width), tile by tile so that both sides use whole
 * cache lines. A mixture of dtypes other than F32/BF16, and strides that run along nothing, go to ref.
 */
#include "kernels/cpu/vec.h"

#include "kernels/check.h"

enum { TILE = 32, PIECE = 1 << 14 };

static void drop_dim(KView *v, int i)
{
    v->ndim--;
    for (; i < v->ndim; i++) {
        v->shape[i] = v->shape[i + 1];
        v->stride[i] = v->stride[i + 1];
    }
}

static void swap_dims(KView *v, int i, int j)
{
    int64_t shape = v->shape[i], stride = v->stride[i];

    v->shape[i] = v->shape[j];
    v->stride[i] = v->stride[j];
    v->shape[j] = shape;
    v->stride[j] = stride;
}

/* Orders dimensions by y's strides (largest first), drops extents of 1, joins what lies on a line. */
static void reduce(KView *x, KView *y)
{
    for (int i = y->ndim - 1; i >= 0; i--)
        if (y->shape[i] == 1) {
            drop_dim(x, i);
            drop_dim(y, i);
        }
    for (int i = 1; i < y->ndim; i++)
        for (int j = i; j > 0 && y->stride[j] > y->stride[j - 1]; j--) {
            swap_dims(x, j, j - 1);
            swap_dims(y, j, j - 1);
        }
    for (int i = y->ndim - 1; i > 0; i--) {
        bool line = x->stride[i - 1] == x->stride[i] * x->shape[i] &&
                    y->stride[i - 1] == y->stride[i] * y->shape[i];
        if (!line) continue;
        x->shape[i - 1] = y->shape[i - 1] = x->shape[i - 1] * x->shape[i];
        x->stride[i - 1] = x->stride[i];
        y->stride[i - 1] = y->stride[i];
        drop_dim(x, i);
        drop_dim(y, i);
    }
}

/* Takes dimension i out of both views and returns its index-th slice offsets through the outer loop:
 * offset in elements of outer position `index` over all dimensions but those with skip bits. */
static int64_t outer_offset(const KView *v, unsigned skip, int64_t index)
{
    int64_t at = 0;

    for (int i = v->ndim - 1; i >= 0; i--) {
        if (skip >> i & 1) continue;
        at += index % v->shape[i] * v->stride[i];
        index /= v->shape[i];
    }
    return at;
}

static int64_t outer_count(const KView *v, unsigned skip)
{
    int64_t n = 1;

    for (int i = 0; i < v->ndim; i++)
        if (!(skip >> i & 1)) n *= v->shape[i];
    return n;
}

/* n elements that follow each other in both. */
static void copy_run(const KView *x, int64_t x_at, const KView *y, int64_t y_at, int64_t n)
{
    if (x->dtype == y->dtype) {
        size_t size = k_dtype_block_bytes(x->dtype);
        memcpy((char *)y->data + (size_t)y_at * size,
               (const char *)x->data + (size_t)x_at * size, (size_t)n * size);
        return;
    }
    for (int64_t c = 0; c < n; c += V_WIDTH)
        v_put(y, y_at + c, n - c, v_get(x, x_at + c, n - c));
}

/* Both views run along the last dimension; long runs are cut, so that one run is shared too. */
static void copy_runs(const KContext *ctx, const KView *x, const KView *y)
{
    unsigned skip = 1u << (x->ndim - 1);
    int64_t n = x->shape[x->ndim - 1], pieces = (n + PIECE - 1) / PIECE;
    int64_t total = outer_count(x, skip) * pieces;

#pragma omp parallel for num_threads(ctx->threads) if (total * n > V_PARALLEL_FROM)
    for (int64_t i = 0; i < total; i++) {
        int64_t first = i % pieces * PIECE, left = n - first < PIECE ? n - first : PIECE;
        copy_run(x, outer_offset(x, skip, i / pieces) + first, y,
                 outer_offset(y, skip, i / pieces) + first, left);
    }
}

/* rows x columns elements; x runs along rows, y along columns. */
typedef struct Tile {
    const KView *x, *y;
    int64_t x_at, y_at, x_step, y_step; /* steps: x from column to column, y from row to row */
    int64_t rows, columns;
} Tile;

/* Reads and writes runs; the turn itself happens in a buffer, because columns that lie a power of two
 * apart would push each other out of the cache. */
#define DEFINE_TILE(name, from, to, convert)                                                   \
    static void tile_##name(const Tile *t)                                                     \
    {                                                                                          \
        to turned[TILE][TILE];                                                                 \
        for (int64_t c = 0; c < t->columns; c++) {                                             \
            const from *x = (const from *)t->x->data + t->x_at + c * t->x_step;                \
            for (int64_t r = 0; r < t->rows; r++)                                              \
                turned[r][c] = convert(x[r]);                                                  \
        }                                                                                      \
        for (int64_t r = 0; r < t->rows; r++)                                                  \
            memcpy((to *)t->y->data + t->y_at + r * t->y_step, turned[r],                      \
                   (size_t)t->columns * sizeof(to));                                           \
    }
DEFINE_TILE(1, uint8_t, uint8_t, )
DEFINE_TILE(2, uint16_t, uint16_t, )
DEFINE_TILE(4, uint32_t, uint32_t, )
DEFINE_TILE(8, uint64_t, uint64_t, )
DEFINE_TILE(widen, uint16_t, float, k_bf16_widen)
DEFINE_TILE(round, float, uint16_t, k_bf16_round)

typedef void TileFn(const Tile *t);

static TileFn *tile_for(const KView *x, const KView *y)
{
    static TileFn *const same[9] = { [1] = tile_1, [2] = tile_2, [4] = tile_4, [8] = tile_8 };

    if (x->dtype == y->dtype) return same[k_dtype_block_bytes(x->dtype)];
    return x->dtype == K_BF16 ? tile_widen : tile_round;
}

/* y runs along its last dimension, x along dimension `run`. */
static void copy_tiles(const KContext *ctx, const KView *x, const KView *y, int run)
{
    int last = y->ndim - 1;
    unsigned skip = 1u << last | 1u << run;
    int64_t rows = x->shape[run], columns = x->shape[last];
    int64_t down = (rows + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
    int64_t total = outer_count(x, skip) * down * across;
    TileFn *fn = tile_for(x, y);

#pragma omp parallel for num_threads(ctx->threads) if (total * TILE * TILE > V_PARALLEL_FROM)
    for (int64_t i = 0; i < total; i++) {
        int64_t c = i % across * TILE, r = i / across % down * TILE, outer = i / across / down;
        Tile t = { .x = x, .y = y, .x_step = x->stride[last], .y_step = y->stride[run] };
        t.x_at = outer_offset(x, skip, outer) + r + c * x->stride[last];
        t.y_at = outer_offset(y, skip, outer) + r * y->stride[run] + c;
        t.rows = rows - r < TILE ? rows - r : TILE;
        t.columns = columns - c < TILE ? columns - c : TILE;
        fn(&t);
    }
}

/* Same dtype, or F32 and BF16. */
static bool pair_is_fast(KDtype x, KDtype y)
{
    bool floats = (x == K_F32 || x == K_BF16) && (y == K_F32 || y == K_BF16);
    return x == y || floats;
}

/* The dimension along which v runs with stride 1, or -1. */
static int unit_dim(const KView *v)
{
    for (int i = v->ndim - 1; i >= 0; i--)
        if (v->stride[i] == 1) return i;
    return -1;
}

KResult CPU_FN(copy)(KContext *ctx, const KCopy *d)
{
    K_TRY(k_check_copy(d));
    KView x = d->x, y = d->y;

    if (k_view_count(&x) == 0) return K_OK;
    reduce(&x, &y);
    if (x.ndim == 0 || !pair_is_fast(x.dtype, y.dtype)) return ref_copy(ctx, d);
    int x_run = unit_dim(&x), y_run = unit_dim(&y), last = y.ndim - 1;
    if (x_run == last && y_run == last)
        copy_runs(ctx, &x, &y);
    else if (x_run >= 0 && y_run == last)
        copy_tiles(ctx, &x, &y, x_run);
    else
        return ref_copy(ctx, d);
    return K_OK;
}
