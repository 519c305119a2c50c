/*
 * conv.c - 2-D convolution as an implicit matrix product, around a path's product tile.
 *
 * Filters are packed once per call, tap by tap. A task walks down a band of output rows in strips: the
 * input rows of a strip, after the prologue, padded and enlarged, lie in the task's buffer as pixels of
 * whole cache lines, and the tile reads its rows there, one pixel apart, once for each tap; nothing is
 * unfolded. With stride 1 the pixels of all rows of a strip form one line (those that fall on the border
 * between two rows are computed and dropped), so that tiles are full whatever the width.
 */
#include "kernels/cpu/gemm.h"

#include "kernels/check.h"

#include <omp.h>
#include <string.h>

enum { STRIP_BYTES = 896 << 10 };

typedef struct Plan {
    const GemmKernel *k;
    bool bf16;
    int64_t ho, wo, cout, taps;
    int64_t chunks;      /* of one pixel */
    int64_t pixel;       /* bytes from pixel to pixel of a strip */
    int64_t width;       /* pixels in a row of a strip */
    int64_t strip_rows;  /* output rows of a strip */
    int64_t band_strips; /* strips of a task */
    int64_t bands, panels, task_panels;
    size_t panel_bytes, filter_bytes, strip_bytes, row_bytes, thread_bytes;
} Plan;

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Input rows that `rows` output rows read. */
static int64_t input_rows(const KConv *d, int64_t rows)
{
    return (rows - 1) * d->stride + d->kh;
}

/* Bands of whole strips for twice as many tasks as threads, then groups of output channels. */
static void plan_tasks(Plan *p, int threads)
{
    int64_t strips = divide_up(p->ho, p->strip_rows);

    p->band_strips = max64(1, strips / (2 * threads));
    p->bands = divide_up(strips, p->band_strips);
    p->task_panels = p->panels;
    if (p->bands < threads) p->task_panels = max64(1, p->panels / divide_up(threads, p->bands));
}

static void plan_sizes(Plan *p, const KConv *d)
{
    const GemmKernel *k = p->k;
    int64_t pixels = input_rows(d, p->strip_rows) * p->width + k->mr * d->stride + d->kw;
    size_t pack = p->panel_bytes + (size_t)divide_up(d->w.k * 4, 64) * 64;

    p->strip_bytes = (size_t)(pixels * p->pixel);
    p->row_bytes = (size_t)divide_up(d->x.shape[2] * 4 + 64, 64) * 64;
    p->strip_bytes = (p->strip_bytes + 63) / 64 * 64;
    p->thread_bytes = p->strip_bytes > pack ? p->strip_bytes : pack;
    p->thread_bytes += p->row_bytes + (size_t)(k->mr * k->nr) * sizeof(float);
    p->filter_bytes = (size_t)p->panels * p->panel_bytes;
}

static Plan make_plan(const GemmOps *ops, const KContext *ctx, const KConv *d)
{
    Plan p = { .bf16 = d->x.dtype == K_BF16, .ho = d->y.shape[0], .wo = d->y.shape[1] };
    int64_t up = d->up == 2 ? 2 : 1, cin = d->x.shape[2];

    p.k = p.bf16 ? &ops->bf16 : &ops->f32;
    p.cout = d->w.n;
    p.taps = (int64_t)d->kh * d->kw;
    p.chunks = divide_up(cin, GEMM_GROUPS * p.k->elems);
    p.pixel = p.chunks * GEMM_CHUNK_BYTES;
    if (p.pixel % 1024 == 0)
        p.pixel += GEMM_CHUNK_BYTES; /* so that neighbours use other cache sets */
    p.width = d->x.shape[1] * up + d->pad_left + d->pad_right;
    p.panels = divide_up(p.cout, p.k->nr);
    p.panel_bytes = (size_t)(p.taps * p.chunks * p.k->nr) * GEMM_CHUNK_BYTES;

    int64_t room = STRIP_BYTES / (p.width * p.pixel);
    p.strip_rows = max64(1, (room - d->kh) / d->stride + 1);
    p.strip_rows = min64(max64(p.strip_rows, 2), p.ho);
    plan_tasks(&p, ctx->threads > 0 ? ctx->threads : 1);
    plan_sizes(&p, d);
    return p;
}

static size_t plan_bytes(const Plan *p, const KContext *ctx)
{
    return p->filter_bytes + (size_t)(ctx->threads > 0 ? ctx->threads : 1) * p->thread_bytes;
}

size_t gemm_conv_scratch(const GemmOps *ops, const KContext *ctx, const KConv *d)
{
    Plan p = make_plan(ops, ctx, d);
    return plan_bytes(&p, ctx);
}

typedef struct Work {
    const GemmOps *ops;
    const KConv *d;
    const Plan *p;
    char *filters;
    char *strip; /* of this thread, and what follows */
    float *row, *c;
} Work;

/* ---- filters ------------------------------------------------------------------------------------------ */

/* One filter, decoded in f, as taps rows of whole chunks. */
static void spread_filter(const Work *w, const float *f, char *dst)
{
    const Plan *p = w->p;
    int64_t cin = w->d->x.shape[2], padded = p->chunks * GEMM_GROUPS * p->k->elems;

    for (int64_t t = 0; t < p->taps; t++, dst += p->chunks * GEMM_CHUNK_BYTES) {
        float *row = p->k->elems == 1 ? (float *)(void *)dst : w->row;
        for (int64_t c = 0; c < cin; c++)
            row[c] = f[c * p->taps + t];
        if (p->k->elems == 2) {
            memset(dst + (p->chunks - 1) * GEMM_CHUNK_BYTES, 0, GEMM_CHUNK_BYTES);
            w->ops->narrow((uint16_t *)(void *)dst, row, cin);
        } else {
            memset(row + cin, 0, (size_t)(padded - cin) * sizeof *row);
            if (p->bf16) w->ops->round(row, row, cin);
        }
    }
}

static void pack_filters(const Work *w, int64_t panel)
{
    const Plan *p = w->p;
    const uint32_t *rows[GEMM_MAX_NR];
    size_t filter = p->panel_bytes / (size_t)p->k->nr;
    float *decoded = (float *)(void *)(w->strip + p->panel_bytes);

    for (int j = 0; j < p->k->nr; j++) {
        int64_t o = panel * p->k->nr + j;
        char *at = w->strip + (size_t)j * filter;
        rows[j] = o < p->cout ? (const uint32_t *)(const void *)at : NULL;
        if (o >= p->cout) continue;
        k_weight_row(&w->d->w, o, 0, w->d->w.k, decoded);
        spread_filter(w, decoded, at);
    }
    w->ops->transpose((uint32_t *)(void *)(w->filters + (size_t)panel * p->panel_bytes),
                      p->k->nr, rows, p->taps * p->chunks * GEMM_GROUPS);
}

/* ---- strips of input ----------------------------------------------------------------------------------- */

/* Pixel (r, s) of x through the prologue, in the kernel's number format. */
static void load_pixel(const Work *w, int64_t r, int64_t s, char *dst)
{
    const KConv *d = w->d;
    int64_t cin = d->x.shape[2], at = r * d->x.stride[0] + s * d->x.stride[1];
    bool changes = d->in_mul.data || d->in_add.data || d->in_silu;
    const uint16_t *half = (const uint16_t *)d->x.data + at;
    const float *full = (const float *)d->x.data + at;

    if (w->p->bf16 && w->p->k->elems == 2 && !changes) {
        memcpy(dst, half, (size_t)cin * 2);
        return;
    }
    float *row = w->p->k->elems == 1 ? (float *)(void *)dst : w->row;
    if (w->p->bf16) {
        w->ops->widen(row, half, cin);
        full = row;
    }
    w->ops->affine(row, full, d->in_mul.data, d->in_add.data, d->in_silu, cin);
    if (w->p->k->elems == 2)
        w->ops->narrow((uint16_t *)(void *)dst, row, cin);
    else if (w->p->bf16 && changes)
        w->ops->round(row, row, cin);
}

/* Row `r` of the padded, enlarged input (its first row is -pad_top) into row `at` of the strip. */
static void load_row(const Work *w, int64_t r, int64_t at)
{
    const KConv *d = w->d;
    const Plan *p = w->p;
    int64_t up = d->up == 2 ? 2 : 1, width = d->x.shape[1],
            tail = (p->chunks - 1) * GEMM_CHUNK_BYTES;
    char *dst = w->strip + at * p->width * p->pixel;

    if (r < 0 || r >= d->x.shape[0] * up) {
        memset(dst, 0, (size_t)(p->width * p->pixel));
        return;
    }
    memset(dst, 0, (size_t)(d->pad_left * p->pixel));
    dst += d->pad_left * p->pixel;
    for (int64_t s = 0; s < width; s++, dst += up * p->pixel) {
        memset(dst + tail, 0, GEMM_CHUNK_BYTES);
        load_pixel(w, r / up, s, dst);
        if (up == 2) memcpy(dst + p->pixel, dst, (size_t)p->pixel);
    }
    memset(dst, 0, (size_t)(d->pad_right * p->pixel));
}

/* Fills the strip whose first output row is `first`; `kept` rows at its top are there already. */
static void load_strip(const Work *w, int64_t first, int64_t rows, int64_t kept)
{
    const KConv *d = w->d;
    int64_t top = first * d->stride - d->pad_top, line = w->p->width * w->p->pixel;

    for (int64_t i = kept; i < input_rows(d, rows); i++) {
        bool twin = d->up == 2 && i > 0 && (top + i) % 2 == 1 && top + i < d->x.shape[0] * 2;
        if (twin) /* the second of two equal rows */
            memcpy(w->strip + i * line, w->strip + (i - 1) * line, (size_t)line);
        else
            load_row(w, top + i, i);
    }
}

/* Rows that the next strip shares with this one move to the top; returns how many. */
static int64_t keep_rows(const Work *w)
{
    int64_t rows = w->p->strip_rows, kept = max64(0, w->d->kh - w->d->stride);
    int64_t line = w->p->width * w->p->pixel;
    memmove(w->strip, w->strip + rows * w->d->stride * line, (size_t)(kept * line));
    return kept;
}

/* ---- tiles ------------------------------------------------------------------------------------------------ */

/* Stores `count` tile rows from `from` on, which are output pixels (oy, ox), (oy, ox + 1), ... */
static void store_run(const Work *w, int64_t panel, int64_t from, int64_t count, int64_t oy,
                      int64_t ox)
{
    const KConv *d = w->d;
    int64_t nr = w->p->k->nr, o = panel * nr;
    bool bf16 = d->y.dtype == K_BF16;
    int64_t y_at = oy * d->y.stride[0] + ox * d->y.stride[1] + o;
    int64_t r_at = oy * d->residual.stride[0] + ox * d->residual.stride[1] + o;
    GemmStore s = {
        .c = w->c + from * nr,
        .ldc = nr,
        .rows = (int)count,
        .cols = (int)min64(nr, w->p->cout - o),
        .bias = d->bias.data ? (const float *)d->bias.data + o : NULL,
        .residual =
            d->residual.data ? (const char *)d->residual.data + r_at * (bf16 ? 2 : 4) : NULL,
        .residual_row = d->residual.stride[1],
        .residual_bf16 = bf16,
        .y = (char *)d->y.data + y_at * (bf16 ? 2 : 4),
        .y_row = d->y.stride[1],
        .y_bf16 = bf16,
    };
    w->ops->store(&s);
}

/* Stores what is a pixel of the output among the tile rows for line positions at .. at + count - 1. */
static void store_tile(const Work *w, int64_t panel, int64_t oy, int64_t at, int64_t count)
{
    int64_t width = w->p->width, i = 0;

    while (i < count) {
        int64_t y = (at + i) / width, x = (at + i) % width;
        int64_t n = min64(count - i, w->p->wo - x);
        if (n > 0) store_run(w, panel, i, n, oy + y, x);
        i += min64(count - i, width - x);
    }
}

/* One line of output positions, `length` long, whose first window starts at row `row` of the strip. */
static void run_line(const Work *w, int64_t panel, const ptrdiff_t *seg, int64_t row,
                     int64_t oy, int64_t length)
{
    const Plan *p = w->p;
    GemmTile t = {
        .a_row = w->d->stride * p->pixel,
        .a_chunk = GEMM_CHUNK_BYTES,
        .seg = seg,
        .segs = (int)p->taps,
        .chunks = p->chunks,
        .b = w->filters + (size_t)panel * p->panel_bytes,
        .c = w->c,
        .ldc = p->k->nr,
    };
    for (int64_t at = 0; at < length; at += p->k->mr) {
        t.a = w->strip + (row * p->width + at * w->d->stride) * p->pixel;
        p->k->tile(&t);
        store_tile(w, panel, oy, at, min64(p->k->mr, length - at));
    }
}

static void run_strip(const Work *w, const ptrdiff_t *seg, int64_t first, int64_t rows,
                      int64_t panel0)
{
    const Plan *p = w->p;
    int64_t end = min64(panel0 + p->task_panels, p->panels);

    for (int64_t panel = panel0; panel < end; panel++) {
        if (w->d->stride == 1)
            run_line(w, panel, seg, 0, first, (rows - 1) * p->width + p->wo);
        else
            for (int64_t i = 0; i < rows; i++)
                run_line(w, panel, seg, i * w->d->stride, first + i, p->wo);
    }
}

static void run_task(const Work *w, const ptrdiff_t *seg, int64_t band, int64_t panel0)
{
    const Plan *p = w->p;
    int64_t first = band * p->band_strips * p->strip_rows, kept = 0;
    int64_t end = min64(first + p->band_strips * p->strip_rows, p->ho);

    for (; first < end; first += p->strip_rows) {
        int64_t rows = min64(p->strip_rows, end - first);
        load_strip(w, first, rows, kept);
        run_strip(w, seg, first, rows, panel0);
        if (first + rows < end) kept = keep_rows(w);
    }
}

static void run_thread(const Work *w, const ptrdiff_t *seg)
{
    const Plan *p = w->p;
    int64_t groups = divide_up(p->panels, p->task_panels);

#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < p->panels; i++)
        pack_filters(w, i);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < p->bands * groups; i++)
        run_task(w, seg, i / groups, i % groups * p->task_panels);
}

KResult gemm_conv(const GemmOps *ops, KContext *ctx, const KConv *d)
{
    enum { MAX_TAPS = 256 };
    ptrdiff_t seg[MAX_TAPS];

    K_TRY(k_check_conv(d));
    if ((int64_t)d->kh * d->kw > MAX_TAPS) return K_UNSUPPORTED;
    K_TRY(pack_can_decode(&d->w));
    Plan p = make_plan(ops, ctx, d);
    if (!ctx->scratch || ctx->scratch_size < plan_bytes(&p, ctx)) return K_NO_SCRATCH;
    for (int i = 0; i < d->kh * d->kw; i++)
        seg[i] = (i / d->kw * p.width + i % d->kw) * p.pixel;

#pragma omp parallel num_threads(ctx->threads > 0 ? ctx->threads : 1)
    {
        Work w = { .ops = ops, .d = d, .p = &p, .filters = ctx->scratch };
        char *own = w.filters + p.filter_bytes + (size_t)omp_get_thread_num() * p.thread_bytes;
        w.c = (float *)(void *)own;
        w.row = w.c + p.k->mr * p.k->nr;
        w.strip = (char *)w.row + p.row_bytes;
        if (p.k->begin) p.k->begin();
        run_thread(&w, seg);
        if (p.k->end) p.k->end();
    }
    return K_OK;
}
