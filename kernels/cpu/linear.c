/*
 * linear.c - y = epilogue(x w^T + bias): blocking, threads and fusions around a path's product tile.
 *
 * Rows of x are packed once per call (with the norm of the prologue), or used where they lie when the
 * tile can read them so. Work is cut over columns of y: a task packs its block of weights, sized for the
 * second-level cache, straight from the mapped file and runs every row past it. Long K is cut into
 * blocks whose partial sums wait in float32; the cut depends on K alone.
 *
 * Weights whose rows are rotated in their file are used so, and x is rotated as it is packed. Where the weight
 * asks for it x is quantised there too, sums are int32 and become float32 before the epilogue. A low-rank
 * addition is one more product of its own: x down^T first, then a short tile beside each tile of y.
 */
#include "kernels/cpu/gemm.h"

#include "kernels/check.h"

#include <omp.h>
#include <string.h>

enum {
    UNCUT_CHUNKS = 96,
    BLOCK_CHUNKS_BF16 = 48,
    BLOCK_CHUNKS_F32 = 96,
    BLOCK_CHUNKS_MULTIPLE = 16,
    SLAB_BYTES = 64 << 20,
};

typedef struct Plan {
    const GemmKernel *k;
    bool bf16;      /* products of BF16 values */
    bool int8;      /* x is quantised, k is the int8 kernel */
    bool direct;    /* whole panels of x are read where they lie */
    int64_t rotate; /* features of a rotated group of x; 0 = none */
    int64_t m, outputs;
    int64_t chunks, block_chunks, k_blocks;
    int64_t panel_cols, panels; /* columns of y in a panel of weights */
    int64_t task_panels, task_rows;
    int64_t slab_rows; /* rows of x in packed form at a time */
    size_t panel_bytes, slab_bytes, b_bytes, c_bytes, temp_bytes, row_bytes, thread_bytes;
    size_t scale_bytes, codes_bytes; /* scales of quantised rows of x; one row's codes */
    /* The low-rank addition: its kernel, chunks of its rank, rows of x that one of its panels holds. */
    const GemmKernel *side;
    int64_t rank, side_chunks, side_rows;
    size_t t_bytes, side_bytes, side_panel_bytes, columns_bytes, side_b_bytes, side_c_bytes;
} Plan;

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t b)
{
    return divide_up(a, b) * b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/*
 * Up to UNCUT_CHUNKS the sums of a tile stay in registers from end to end. Beyond, a block of kc chunks over
 * c columns must fit the budget (c kc = const): reading x costs 1/c, reading and writing partial sums
 * 1/kc of the work. For BF16 on tiles about 48 chunks make the sum of both least; float32 products are
 * so much slower that fewer, longer blocks were measured to be better.
 */
static void plan_k(Plan *p, int64_t k)
{
    int64_t longest = p->k->elems == 2 ? BLOCK_CHUNKS_BF16 : BLOCK_CHUNKS_F32;

    p->chunks = divide_up(k, GEMM_GROUPS * p->k->elems);
    p->k_blocks = p->chunks <= UNCUT_CHUNKS ? 1 : divide_up(p->chunks, longest);
    p->block_chunks = divide_up(p->chunks, p->k_blocks);
    if (p->k_blocks > 1) p->block_chunks = round_up(p->block_chunks, BLOCK_CHUNKS_MULTIPLE);
    p->k_blocks = divide_up(p->chunks, p->block_chunks);
}

/* Shares y among tasks: wide blocks of columns as long as every thread gets at least two, then rows. */
static void plan_tasks(Plan *p, int threads)
{
    int64_t block = p->block_chunks * p->k->nr * GEMM_CHUNK_BYTES, wanted = 2 * threads, tasks;

    p->task_panels = max64(1, min64((int64_t)p->k->b_budget / block, p->panels));
    if (divide_up(p->panels, p->task_panels) < wanted)
        p->task_panels = max64(1, p->panels / wanted);
    tasks = max64(1, divide_up(p->panels, p->task_panels));
    p->task_rows = max64(p->slab_rows, p->k->mr);
    if (tasks < wanted)
        p->task_rows = round_up(divide_up(p->task_rows, divide_up(wanted, tasks)), p->k->mr);
}

static void plan_sizes(Plan *p, const KLinear *d)
{
    int64_t c_rows = p->k_blocks > 1 ? p->task_rows : p->k->mr;
    int64_t c_cols = p->k_blocks > 1 ? p->task_panels * p->k->nr : p->k->nr;

    p->slab_bytes =
        p->direct ? p->panel_bytes : p->panel_bytes * (size_t)(p->slab_rows / p->k->mr);
    p->b_bytes = (size_t)(p->task_panels * p->block_chunks * p->k->nr) * GEMM_CHUNK_BYTES;
    p->c_bytes = (size_t)round_up(c_rows * c_cols * (int64_t)sizeof(float), 64);
    p->temp_bytes = (size_t)round_up((int64_t)pack_weights_temp(p->k), 64);
    p->row_bytes = (size_t)round_up((d->w.k + 64) * (int64_t)sizeof(float), 64);
    p->codes_bytes = (size_t)(p->int8 ? round_up(d->w.k, 64) : 0);
    p->columns_bytes = (size_t)round_up(p->int8 ? p->task_panels * p->k->nr * 4 : 0, 64);
    p->thread_bytes = p->b_bytes + p->c_bytes + p->temp_bytes + p->row_bytes + p->codes_bytes +
                      p->columns_bytes + p->side_c_bytes;
}

/* Room for the low-rank addition; panels of its inputs go with those of x. */
static void plan_side(Plan *p, const GemmOps *ops)
{
    if (!p->rank) return;
    p->side = p->bf16 ? &ops->bf16 : &ops->f32;
    p->side_chunks = divide_up(p->rank, GEMM_GROUPS * p->side->elems);
    p->side_rows = round_up(p->k->mr, p->side->mr);
    p->side_panel_bytes = (size_t)(p->side_rows * p->side_chunks) * GEMM_CHUNK_BYTES;
    p->side_bytes = p->side_panel_bytes * (size_t)divide_up(p->m, p->k->mr);
    p->t_bytes = (size_t)round_up(p->m * p->rank * (int64_t)sizeof(float), 64);
    p->side_b_bytes = (size_t)(p->panels * p->side_chunks * p->k->nr) * GEMM_CHUNK_BYTES;
    p->side_c_bytes = (size_t)round_up(p->side_rows * p->k->nr * (int64_t)sizeof(float), 64);
}

/* Rows of x that the tile could read where they lie are packed all the same when many columns of y share
 * the cost: packed rows are read about 8 % faster. */
static bool reads_in_place(const GemmOps *ops, const KLinear *d)
{
    enum { MANY_COLUMNS = 6144 };
    return ops->bf16.begin && !k_weight_int8(&d->w) && !(d->w.quant && d->w.quant->rotate) &&
           !(d->w.quant && d->w.quant->column_scale) && d->x.dtype == K_BF16 &&
           d->w.k % (2 * GEMM_GROUPS) == 0 && d->w.n < MANY_COLUMNS;
}

static Plan make_plan(const GemmOps *ops, const KContext *ctx, const KLinear *d, bool bf16)
{
    Plan p = { .m = d->x.shape[0], .outputs = d->y.shape[1] };
    int threads = ctx->threads > 0 ? ctx->threads : 1;

    p.bf16 = bf16;
    p.int8 = k_weight_int8(&d->w);
    p.k = p.int8 ? &ops->i8 : p.bf16 ? &ops->bf16 : &ops->f32;
    p.rotate = d->w.quant ? d->w.quant->rotate : 0;
    p.rank = d->w.side ? d->w.side->rank : 0;
    p.direct = reads_in_place(ops, d);
    plan_k(&p, d->w.k);
    p.panel_cols = d->glu ? p.k->nr / 2 : p.k->nr;
    p.panels = divide_up(p.outputs, p.panel_cols);
    p.panel_bytes = (size_t)(p.k->mr * p.chunks) * GEMM_CHUNK_BYTES;
    p.slab_rows = max64(1, SLAB_BYTES / (int64_t)p.panel_bytes) * p.k->mr;
    if (p.direct || p.slab_rows > p.m) p.slab_rows = round_up(p.m, p.k->mr);
    p.scale_bytes = (size_t)round_up(p.int8 ? round_up(p.m, p.k->mr) * 4 : 0, 64);
    plan_tasks(&p, threads);
    plan_side(&p, ops);
    plan_sizes(&p, d);
    return p;
}

/* What stands before the slab: scratch of the call's whole duration. */
static size_t fixed_bytes(const Plan *p)
{
    return p->t_bytes + p->side_bytes + p->side_b_bytes + p->scale_bytes;
}

static size_t plan_bytes(const Plan *p, const KContext *ctx)
{
    return fixed_bytes(p) + p->slab_bytes +
           (size_t)(ctx->threads > 0 ? ctx->threads : 1) * p->thread_bytes;
}

/* x down^T, [m, rank], through the same prologue as the product itself. */
static KLinear side_product(const KLinear *d, float *t)
{
    const KSide *side = d->w.side;
    return (KLinear){ .x = d->x,
                      .w = { .data = side->down,
                             .dtype = K_F32,
                             .n = side->rank,
                             .k = d->w.k,
                             .row_bytes = d->w.k * (int64_t)sizeof(float) },
                      .norm_scale = d->norm_scale,
                      .norm_shift = d->norm_shift,
                      .norm_eps = d->norm_eps,
                      .norm_bf16 = d->norm_bf16,
                      .y = k_view(t, K_F32, 2, (int64_t[]){ d->x.shape[0], side->rank }) };
}

/* A call's bytes: the product's own, and while x down^T is made, that product's. */
static size_t call_bytes(const GemmOps *ops, const Plan *p, const KContext *ctx,
                         const KLinear *d)
{
    size_t own = plan_bytes(p, ctx), first = 0;
    if (p->rank) {
        KLinear side = side_product(d, NULL);
        first = fixed_bytes(p) + gemm_linear_scratch(ops, ctx, &side);
    }
    return own > first ? own : first;
}

/* The pointers of d may be missing here, so that a prologue may or may not come: the larger counts. */
size_t gemm_linear_scratch(const GemmOps *ops, const KContext *ctx, const KLinear *d)
{
    Plan plain = make_plan(ops, ctx, d, d->x.dtype == K_BF16);
    Plan bf16 = make_plan(ops, ctx, d, d->x.dtype == K_BF16 || d->norm_bf16);
    size_t a = call_bytes(ops, &plain, ctx, d), b = call_bytes(ops, &bf16, ctx, d);
    return a > b ? a : b;
}

/* ---- rows of x ------------------------------------------------------------------------------------- */

/* Where one call's parts lie in scratch. */
typedef struct Work {
    const GemmOps *ops;
    const KLinear *d;
    const Plan *p;
    char *side, *side_b; /* packed inputs and weights of the low-rank addition */
    float *t, *scales;   /* x down^T; scales of quantised rows of x */
    char *slab;
    char *b, *temp; /* of this thread, and what follows */
    float *c, *row_f32, *columns, *side_c;
    int8_t *codes;
} Work;

static const float *vector_at(const KView *v, int64_t i)
{
    return v->data ? (const float *)v->data + i : NULL;
}

/* Row i of x as float32, normalised when the prologue says so. */
static const float *row_floats(const Work *w, int64_t i)
{
    const KLinear *d = w->d;
    const float *row = (const float *)d->x.data + i * d->x.stride[0];

    if (d->x.dtype == K_BF16) {
        w->ops->widen(w->row_f32, (const uint16_t *)d->x.data + i * d->x.stride[0], d->w.k);
        return w->row_f32;
    }
    if (!d->norm_scale.data) return row;
    w->ops->norm(w->row_f32, row, vector_at(&d->norm_scale, 0), vector_at(&d->norm_shift, 0),
                 d->w.k, d->norm_eps);
    if (d->norm_bf16 && w->p->k->elems != 2) w->ops->round(w->row_f32, w->row_f32, d->w.k);
    return w->row_f32;
}

/* The row in the basis that the weight is stored in. */
static const float *row_stored(const Work *w, int64_t i)
{
    const KLinear *d = w->d;
    const float *columns = d->w.quant ? d->w.quant->column_scale : NULL;
    const float *row = row_floats(w, i);

    if (!w->p->rotate && !columns) return row;
    if (columns)
        w->ops->affine(w->row_f32, row, columns, NULL, false, d->w.k);
    else if (row != w->row_f32)
        memcpy(w->row_f32, row, (size_t)d->w.k * sizeof *row);
    if (w->p->rotate) w->ops->rotate(w->row_f32, d->w.k, w->p->rotate);
    return w->row_f32;
}

/* Quantises row i into the chunks of its panel; zeros after its end. */
static void pack_codes(const Work *w, int64_t i, char *dst)
{
    int64_t k = w->d->w.k, step = (int64_t)w->p->k->mr * GEMM_CHUNK_BYTES;
    const float *row = row_stored(w, i);
    const int8_t *codes = w->codes;

    w->scales[i] = w->ops->quantise(w->codes, row, k);
    for (int64_t at = 0; at < k; at += GEMM_CHUNK_BYTES, dst += step) {
        int64_t n = min64(GEMM_CHUNK_BYTES, k - at);
        if (n < GEMM_CHUNK_BYTES) memset(dst, 0, GEMM_CHUNK_BYTES);
        memcpy(dst, codes + at, (size_t)n);
    }
}

/* Cuts row i into the chunks of its panel; zeros after its end. */
static void pack_row(const Work *w, int64_t i, char *dst)
{
    const KLinear *d = w->d;
    int64_t per_chunk = GEMM_GROUPS * w->p->k->elems,
            step = (int64_t)w->p->k->mr * GEMM_CHUNK_BYTES;
    bool stored = w->p->rotate || (d->w.quant && d->w.quant->column_scale);
    bool same = d->x.dtype == K_BF16 && w->p->k->elems == 2 && !stored;
    const float *f;

    if (w->p->int8) {
        pack_codes(w, i, dst);
        return;
    }
    f = same ? NULL : row_stored(w, i);
    if (stored && w->p->bf16 && w->p->k->elems == 1) w->ops->round(w->row_f32, f, d->w.k);

    for (int64_t at = 0; at < d->w.k; at += per_chunk, dst += step) {
        int64_t n = min64(per_chunk, d->w.k - at);
        if (n < per_chunk) memset(dst, 0, GEMM_CHUNK_BYTES);
        if (same)
            memcpy(dst, (const uint16_t *)d->x.data + i * d->x.stride[0] + at, (size_t)n * 2);
        else if (w->p->k->elems == 2)
            w->ops->narrow((uint16_t *)(void *)dst, f + at, n);
        else
            memcpy(dst, f + at, (size_t)n * 4);
    }
}

/* Packs the panel that starts at row `first` of x; rows past the end are zero. */
static void pack_panel(const Work *w, int64_t first, char *dst)
{
    for (int64_t i = 0; i < w->p->k->mr; i++) {
        char *row = dst + i * GEMM_CHUNK_BYTES;
        if (first + i < w->p->m)
            pack_row(w, first + i, row);
        else
            for (int64_t n = 0; n < w->p->chunks; n++)
                memset(row + n * w->p->k->mr * GEMM_CHUNK_BYTES, 0, GEMM_CHUNK_BYTES);
    }
}

/* Cuts a row of `n` floats into chunks that lie `step` bytes apart, zeros after its end. */
static void pack_side_row(const Work *w, const float *f, int64_t n, int64_t step, char *dst)
{
    const GemmKernel *k = w->p->side;
    int64_t per_chunk = GEMM_GROUPS * k->elems;

    for (int64_t at = 0; at < n; at += per_chunk, dst += step) {
        int64_t count = min64(per_chunk, n - at);
        memset(dst, 0, GEMM_CHUNK_BYTES);
        if (k->elems == 2)
            w->ops->narrow((uint16_t *)(void *)dst, f + at, count);
        else if (w->p->bf16)
            w->ops->round((float *)(void *)dst, f + at, count);
        else
            memcpy(dst, f + at, (size_t)count * sizeof *f);
    }
}

/* The low-rank inputs of panel number `panel` of x, as panels of the side kernel one below the other. */
static void pack_side_panel(const Work *w, int64_t panel)
{
    const Plan *p = w->p;
    int64_t mr = p->side->mr, step = mr * GEMM_CHUNK_BYTES;
    char *dst = w->side + (size_t)panel * p->side_panel_bytes;

    memset(dst, 0, p->side_panel_bytes);
    for (int64_t r = 0; r < p->k->mr && panel * p->k->mr + r < p->m; r++)
        pack_side_row(w, w->t + (panel * p->k->mr + r) * p->rank, p->rank, step,
                      dst + r / mr * p->side_chunks * step + r % mr * GEMM_CHUNK_BYTES);
}

/* Points the tile at the panel of x that starts at row `first`; slab0 is the slab's first row. */
static void aim_at_panel(const Work *w, int64_t slab0, int64_t first, int64_t chunk,
                         GemmTile *t)
{
    const Plan *p = w->p;
    if (p->direct && first + p->k->mr <= p->m) {
        t->a_row = w->d->x.stride[0] * 2;
        t->a_chunk = GEMM_CHUNK_BYTES;
        t->a = (const char *)w->d->x.data + first * t->a_row + chunk * t->a_chunk;
    } else {
        int64_t panel = p->direct ? 0 : (first - slab0) / p->k->mr;
        t->a_row = GEMM_CHUNK_BYTES;
        t->a_chunk = (ptrdiff_t)p->k->mr * GEMM_CHUNK_BYTES;
        t->a = w->slab + (size_t)panel * p->panel_bytes + chunk * t->a_chunk;
    }
}

/* ---- tasks ------------------------------------------------------------------------------------------ */

typedef struct Task {
    int64_t panel0, panels; /* of weights */
    int64_t row0, row1;     /* of x */
    int64_t slab0;
} Task;

/* The rows of the weight that panel number i of them takes. */
static PackPanel panel_rows(const Work *w, int64_t i)
{
    const Plan *p = w->p;
    int64_t col = i * p->panel_cols;
    return (PackPanel){ col, min64(p->panel_cols, p->outputs - col),
                        w->d->glu ? p->outputs + col : -1 };
}

/* What one code is worth in each column of a task. */
static void read_columns(const Work *w, const Task *t)
{
    int64_t nr = w->p->k->nr, half = w->d->glu ? nr / 2 : nr;

    for (int64_t i = 0; i < t->panels; i++) {
        PackPanel panel = panel_rows(w, t->panel0 + i);
        float *to = w->columns + i * nr;
        memset(to, 0, (size_t)nr * sizeof *to);
        for (int64_t j = 0; j < panel.count; j++) {
            to[j] = k_weight_row_scale(&w->d->w, panel.first + j);
            if (w->d->glu) to[half + j] = k_weight_row_scale(&w->d->w, panel.value + j);
        }
    }
}

static void pack_task(const Work *w, const Task *t, int64_t block)
{
    const Plan *p = w->p;
    int64_t chunk = block * p->block_chunks;
    int64_t chunks = min64(p->block_chunks, p->chunks - chunk);

    if (p->int8 && block == 0) read_columns(w, t);
    for (int64_t i = 0; i < t->panels; i++) {
        PackPanel panel = panel_rows(w, t->panel0 + i);
        pack_weights(w->ops, p->k, p->bf16, &w->d->w, panel, chunk * GEMM_GROUPS * p->k->elems,
                     chunks, w->temp, w->b + i * chunks * p->k->nr * GEMM_CHUNK_BYTES);
    }
}

/* Epilogue of the tile at (row, col) of y. */
static void store_tile(const Work *w, const GemmTile *t, int64_t row, int64_t col)
{
    const KLinear *d = w->d;
    const Plan *p = w->p;
    bool bf16 = d->y.dtype == K_BF16;
    GemmStore s = {
        .c = t->c,
        .ldc = t->ldc,
        .rows = (int)min64(p->k->mr, p->m - row),
        .cols = (int)min64(p->panel_cols, p->outputs - col),
        .glu_offset = d->glu ? p->k->nr / 2 : 0,
        .act = d->act,
        .bias = vector_at(&d->bias, col),
        .bias_value = d->glu ? vector_at(&d->bias, p->outputs + col) : NULL,
        .gate = vector_at(&d->gate, col),
        .residual = vector_at(&d->residual, row * d->residual.stride[0] + col),
        .residual_row = d->residual.stride[0],
        .y = (char *)d->y.data + (row * d->y.stride[0] + col) * (bf16 ? 2 : 4),
        .y_row = d->y.stride[0],
        .y_bf16 = bf16,
    };
    w->ops->store(&s);
}

/* The low-rank addition to the tile of panel `panel` of the weights. Its tile may have more rows than that of
 * the product, so that it is made apart. */
static void add_side(const Work *w, const GemmTile *t, int64_t row, int64_t panel)
{
    const Plan *p = w->p;
    int64_t nr = p->k->nr, mr = p->side->mr;
    GemmTile tile = { .segs = 1,
                      .chunks = p->side_chunks,
                      .a_row = GEMM_CHUNK_BYTES,
                      .a_chunk = mr * GEMM_CHUNK_BYTES,
                      .ldc = nr,
                      .b = w->side_b + panel * p->side_chunks * nr * GEMM_CHUNK_BYTES };

    for (int64_t r = 0; r < p->side_rows; r += mr) {
        tile.a = w->side + (size_t)(row / p->k->mr) * p->side_panel_bytes +
                 r * p->side_chunks * GEMM_CHUNK_BYTES;
        tile.c = w->side_c + r * nr;
        p->side->tile(&tile);
    }
    for (int64_t r = 0; r < p->k->mr; r++)
        for (int64_t j = 0; j < nr; j++)
            t->c[r * t->ldc + j] += w->side_c[r * nr + j];
}

/* Sums of K are complete: what lies between them and the epilogue. */
static void finish_tile(const Work *w, const GemmTile *t, int64_t row, int64_t panel0,
                        int64_t i)
{
    const Plan *p = w->p;

    if (p->int8)
        w->ops->descale(t->c, t->ldc, p->k->mr, p->k->nr, w->scales + row,
                        w->columns + i * p->k->nr);
    if (p->rank) add_side(w, t, row, panel0 + i);
    store_tile(w, t, row, (panel0 + i) * p->panel_cols);
}

/* All tiles of one panel of x against the task's packed weights of K block `block`. */
static void run_panel(const Work *w, const Task *t, int64_t block, int64_t row)
{
    const Plan *p = w->p;
    int64_t chunk = block * p->block_chunks, nr = p->k->nr;
    bool partial = p->k_blocks > 1;
    GemmTile tile = { .segs = 1,
                      .chunks = min64(p->block_chunks, p->chunks - chunk),
                      .add = block > 0 };

    aim_at_panel(w, t->slab0, row, chunk, &tile);
    tile.ldc = partial ? t->panels * nr : nr;
    for (int64_t i = 0; i < t->panels; i++) {
        tile.b = w->b + i * tile.chunks * nr * GEMM_CHUNK_BYTES;
        tile.c = partial ? w->c + (row - t->row0) * tile.ldc + i * nr : w->c;
        p->k->tile(&tile);
        if (block == p->k_blocks - 1) finish_tile(w, &tile, row, t->panel0, i);
    }
}

static void run_task(const Work *w, const Task *t)
{
    for (int64_t block = 0; block < w->p->k_blocks; block++) {
        pack_task(w, t, block);
        for (int64_t row = t->row0; row < t->row1; row += w->p->k->mr)
            run_panel(w, t, block, row);
    }
}

/* One thread's share of a slab: its panels of x, then tasks as they come. */
static void run_slab(const Work *w, int64_t slab0)
{
    const Plan *p = w->p;
    int64_t mr = p->k->mr, rows = min64(p->slab_rows, p->m - slab0);
    int64_t first = p->direct ? rows / mr : 0;
    int64_t column_tasks = divide_up(p->panels, p->task_panels);
    int64_t row_tasks = divide_up(rows, p->task_rows);

#pragma omp for schedule(dynamic, 1)
    for (int64_t i = first; i < divide_up(rows, mr); i++)
        pack_panel(w, slab0 + i * mr, w->slab + (size_t)(p->direct ? 0 : i) * p->panel_bytes);

#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < column_tasks * row_tasks; i++) {
        int64_t panel0 = i / row_tasks * p->task_panels,
                row0 = slab0 + i % row_tasks * p->task_rows;
        Task t = { panel0, min64(p->task_panels, p->panels - panel0), row0,
                   min64(row0 + p->task_rows, slab0 + rows), slab0 };
        run_task(w, &t);
    }
}

/* Packs what the low-rank addition reads; shared by all threads. */
static void run_side(const Work *w)
{
    const Plan *p = w->p;
    const KSide *side = w->d->w.side;
    int64_t bytes = p->rank * (int64_t)sizeof(float);
    KWeight up = { .data = side->up + w->d->w.row0 * p->rank,
                   .dtype = K_F32,
                   .n = w->d->w.n,
                   .k = p->rank,
                   .row_bytes = bytes };

#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < p->panels; i++)
        pack_weights(w->ops, p->side, p->bf16, &up, panel_rows(w, i), 0, p->side_chunks,
                     w->temp, w->side_b + i * p->side_chunks * p->k->nr * GEMM_CHUNK_BYTES);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < divide_up(p->m, p->k->mr); i++)
        pack_side_panel(w, i);
}

/* Where a thread's parts lie in scratch. */
static Work cut_scratch(const GemmOps *ops, const KContext *ctx, const KLinear *d,
                        const Plan *p, int thread)
{
    char *at = ctx->scratch;
    Work w = { .ops = ops, .d = d, .p = p, .t = (float *)(void *)at };

    w.side = at += p->t_bytes;
    w.side_b = at += p->side_bytes;
    w.scales = (float *)(void *)(at += p->side_b_bytes);
    w.slab = at += p->scale_bytes;
    w.b = at += p->slab_bytes + (size_t)thread * p->thread_bytes;
    w.c = (float *)(void *)(at += p->b_bytes);
    w.temp = at += p->c_bytes;
    w.row_f32 = (float *)(void *)(at += p->temp_bytes);
    w.codes = (int8_t *)(at += p->row_bytes);
    w.columns = (float *)(void *)(at += p->codes_bytes);
    w.side_c = (float *)(void *)(at + p->columns_bytes);
    return w;
}

/* t = x down^T, in the scratch behind what lasts for the whole call. */
static KResult make_side(const GemmOps *ops, const KContext *ctx, const KLinear *d,
                         const Plan *p)
{
    KLinear side = side_product(d, ctx->scratch);
    KContext inner = *ctx;

    inner.scratch = (char *)ctx->scratch + fixed_bytes(p);
    inner.scratch_size = ctx->scratch_size - fixed_bytes(p);
    return gemm_linear(ops, &inner, &side);
}

KResult gemm_linear(const GemmOps *ops, KContext *ctx, const KLinear *d)
{
    K_TRY(k_check_linear(d));
    K_TRY(pack_can_decode(&d->w));
    bool bf16 = d->x.dtype == K_BF16 || (d->norm_scale.data && d->norm_bf16);
    Plan p = make_plan(ops, ctx, d, bf16);
    if (!ctx->scratch || ctx->scratch_size < call_bytes(ops, &p, ctx, d)) return K_NO_SCRATCH;
    if (p.rank) K_TRY(make_side(ops, ctx, d, &p));
    if (p.int8)
        memset((char *)ctx->scratch + fixed_bytes(&p) - p.scale_bytes, 0, p.scale_bytes);

#pragma omp parallel num_threads(ctx->threads > 0 ? ctx->threads : 1)
    {
        Work w = cut_scratch(ops, ctx, d, &p, omp_get_thread_num());
        if (p.k->begin) p.k->begin();
        if (p.rank) run_side(&w);
        for (int64_t slab0 = 0; slab0 < p.m; slab0 += p.slab_rows)
            run_slab(&w, slab0);
        if (p.k->end) p.k->end();
    }
    return K_OK;
}
