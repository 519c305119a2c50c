/* upscale.c - the UPSCALE_MODEL value: programs by tile, pictures in and out. */
#include "engine/models/upscale.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/imaging/tiling.h"
#include "engine/models/upscale_net.h"

enum { PROGRAMS_KEPT = 4, TILE_MIN = 64, OVERLAP_MIN = 4 };

typedef struct Built {
    Program *program; /* owned; NULL = free place */
    int64_t h, w;     /* of the network's input */
    uint64_t used;
} Built;

struct UpscaleModel {
    Component component; /* first: its Ref is the model's */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned */
    UpscaleDims dims;
    Built built[PROGRAMS_KEPT];
    uint64_t clock;
};

/* ---- opening ------------------------------------------------------------------------------------------ */

static void upscale_destroy(void *object)
{
    UpscaleModel *m = object;
    for (int i = 0; i < PROGRAMS_KEPT; i++)
        prog_free(m->built[i].program);
    weights_unref(m->weights);
    mem_free((char *)(uintptr_t)m->component.file);
    mem_free(m);
}

static void upscale_release(Component *c)
{
    weights_release(((UpscaleModel *)(void *)c)->weights);
}

const UpscaleDims *upscale_dims(const UpscaleModel *m)
{
    return &m->dims;
}

/* Files of training runs have a prefix before every name. */
static Status without_prefix(const Weights *w, Weights **out, Error *err)
{
    static const char *const prefixes[] = { "module.", "netG." };
    Weights *now = weights_ref(w);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        Weights *inner = NULL;
        bool all = weights_count(now) > 0;
        for (size_t k = 0; all && k < weights_count(now); k++)
            all = strncmp(weights_name(now, k), prefixes[i], strlen(prefixes[i])) == 0;
        if (!all) continue;
        Status status = weights_scope(now, prefixes[i], &inner, err);
        weights_unref(now);
        TRY(status);
        now = inner;
    }
    *out = now;
    return OK;
}

static Status build(UpscaleModel *m, int64_t h, int64_t w, Program **out, Error *err)
{
    Program *p = NULL;
    Status status = OK;
    TRY(prog_new("upscale model", &p, err));
    upscale_build(&m->dims, m->weights, h, w, p);
    TRY_DONE(prog_compile(p, 0, err));
    TRY_DONE(prog_plan(p, host_backend(m->host), host_context(m->host), err));
    *out = p;
    return OK;
done:
    error_at_file(err, m->component.file, -1);
    prog_free(p);
    return status;
}

static Status program_for(UpscaleModel *m, int64_t h, int64_t w, Program **out, Error *err)
{
    Built *place = &m->built[0];
    for (int i = 0; i < PROGRAMS_KEPT; i++) {
        Built *b = &m->built[i];
        if (b->program && b->h == h && b->w == w) {
            b->used = ++m->clock;
            *out = b->program;
            return OK;
        }
        if (b->used < place->used) place = b;
    }
    Program *p = NULL;
    TRY(build(m, h, w, &p, err));
    prog_free(place->program);
    *place = (Built){ .program = p, .h = h, .w = w, .used = ++m->clock };
    *out = p;
    return OK;
}

Status upscale_open(Host *h, const Weights *w, const char *file, UpscaleModel **out, Error *err)
{
    Status status = OK;
    Program *smallest = NULL;
    UpscaleModel *m = mem_calloc(1, sizeof *m);
    if (!m) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&m->component.ref, upscale_destroy);
    m->component.name = "upscale model";
    m->component.release = upscale_release;
    m->host = h;
    TRY_DONE(without_prefix(w, &m->weights, err));
    TRY_DONE(upscale_read_dims(m->weights, &m->dims, err));
    m->component.bytes = weights_bytes(m->weights);
    m->component.file = mem_strdup(file ? file : "");
    if (!m->component.file) TRY_DONE(error_set(err, E_NOMEM, "out of memory"));
    TRY_DONE(build(m, 4, 4, &smallest, err)); /* tells of missing tensors now */
    *out = m;
    m = NULL;
done:
    if (status != OK) error_at_file(err, file, -1);
    prog_free(smallest);
    upscale_unref(m);
    return status;
}

/* ---- one tile ------------------------------------------------------------------------------------------ */

static int64_t mirror(int64_t i, int64_t n)
{
    if (n == 1) return 0;
    i = i < 0 ? -i : i;
    return i >= n ? 2 * n - 2 - i : i;
}

/* [c,h,w] to [c*s*s, h/s, w/s], mirrored at the right and bottom to whole cells. */
static Status unshuffle(const Tensor *x, int64_t s, Tensor **out, Error *err)
{
    int64_t c = x->shape[0], h = x->shape[1], w = x->shape[2];
    int64_t oh = (h + s - 1) / s, ow = (w + s - 1) / s;
    TRY(tensor_new(K_F32, 3, (int64_t[]){ c * s * s, oh, ow }, out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++) {
        int64_t plane = i / (oh * ow), r = i / ow % oh, k = i % ow;
        int64_t row = mirror(r * s + plane / s % s, h), column = mirror(k * s + plane % s, w);
        tensor_f32(*out)[i] = tensor_f32(x)[(plane / (s * s) * h + row) * w + column];
    }
    return OK;
}

static Status run_net(UpscaleModel *m, const Tensor *in, Tensor *out, Error *err)
{
    Program *p = NULL;
    void *arena = NULL;
    TRY(program_for(m, in->shape[1], in->shape[2], &p, err));
    TRY(host_enter(m->host, &m->component, err));
    TRY(host_arena(m->host, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(m->host),
                    .ctx = host_context(m->host),
                    .arena = arena,
                    .events = host_events(m->host),
                    .dummy = host_dummy(m->host) };
    ProgArg from = { "image", in->data }, to = { "image", out->data };
    return prog_run(p, &run, &from, 1, &to, 1, err);
}

/* Compact networks: [c*s*s, h, w] spread over [c, h*s, w*s], added to the picture enlarged by repeating. */
static void shuffle(const Tensor *raw, const Tensor *in, int64_t s, Tensor *out)
{
    int64_t h = in->shape[1], w = in->shape[2], oh = h * s, ow = w * s;
    for (int64_t i = 0; i < tensor_count(out); i++) {
        int64_t c = i / (oh * ow), r = i / ow % oh, k = i % ow;
        int64_t plane = (c * s + r % s) * s + k % s;
        tensor_f32(out)[i] = tensor_f32(raw)[(plane * h + r / s) * w + k / s] +
                             tensor_f32(in)[(c * h + r / s) * w + k / s];
    }
}

/* The upper left part of raw [c,H,W]. */
static void cut(const Tensor *raw, Tensor *out)
{
    int64_t h = out->shape[1], w = out->shape[2];
    for (int64_t i = 0; i < out->shape[0] * h; i++)
        memcpy(tensor_f32(out) + i * w,
               tensor_f32(raw) + (i / h * raw->shape[1] + i % h) * raw->shape[2],
               (size_t)w * sizeof(float));
}

/* What a run of tiles knows. */
typedef struct Job {
    UpscaleModel *model;
    const char *node;
    int64_t done, count; /* tiles */
} Job;

static void report(Job *job)
{
    job->done++;
    events_emit(host_events(job->model->host), &(Event){ .kind = EV_PROGRESS,
                                                         .node = job->node,
                                                         .step = job->done,
                                                         .steps = job->count });
}

static Status run_tile(void *user, const Tensor *in, Tensor *out, Error *err)
{
    Job *job = user;
    UpscaleModel *m = job->model;
    const UpscaleDims *d = &m->dims;
    Tensor *cells = NULL, *raw = NULL;
    Status status = OK;
    Events *events = host_events(m->host);
    if (events && atomic_load(&events->cancel))
        return error_set(err, E_CANCELLED, "interrupted");
    if (d->unshuffle > 1)
        TRY_DONE(unshuffle(in, d->unshuffle, &cells, err));
    else
        cells = tensor_ref(in);
    int64_t up = d->compact ? 1 : 1LL << d->ups;
    int64_t rows = d->compact ? d->out * d->scale * d->scale : d->out;
    TRY_DONE(tensor_zeros(
        K_F32, 3, (int64_t[]){ rows, cells->shape[1] * up, cells->shape[2] * up }, &raw, err));
    TRY_DONE(run_net(m, cells, raw, err));
    if (d->compact)
        shuffle(raw, in, d->scale, out);
    else
        cut(raw, out);
    report(job);
done:
    tensor_unref(cells);
    tensor_unref(raw);
    return status;
}

/* ---- pictures ------------------------------------------------------------------------------------------- */

/* [h,w,3] to the network's channels [in,h,w]; one channel is the brightness. */
static void picture_in(const float *x, Tensor *out)
{
    int64_t n = out->shape[1] * out->shape[2];
    for (int64_t i = 0; i < n; i++, x += 3) {
        if (out->shape[0] == 1)
            tensor_f32(out)[i] = 0.2126f * x[0] + 0.7152f * x[1] + 0.0722f * x[2];
        for (int64_t c = 0; out->shape[0] == 3 && c < 3; c++)
            tensor_f32(out)[c * n + i] = x[c];
    }
}

static void picture_out(const Tensor *x, float *out)
{
    int64_t n = x->shape[1] * x->shape[2];
    for (int64_t i = 0; i < n * 3; i++) {
        float v = tensor_f32(x)[(x->shape[0] == 3 ? i % 3 : 0) * n + i / 3];
        out[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}

static int64_t tiles_of(int64_t n, const UpscaleTiles *t)
{
    return n <= t->tile ? 1
                        : (n - t->overlap + t->tile - t->overlap - 1) / (t->tile - t->overlap);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Halves the tiles until their program fits under the limit. */
static Status choose_tiles(UpscaleModel *m, int64_t h, int64_t w, UpscaleTiles *t, Error *err)
{
    int64_t limit = host_options(m->host)->ram_limit, s = m->dims.unshuffle;
    for (;;) {
        Program *p = NULL;
        int64_t rows = (least(h, t->tile) + s - 1) / s,
                columns = (least(w, t->tile) + s - 1) / s;
        TRY(program_for(m, rows, columns, &p, err));
        int64_t need = (int64_t)prog_arena_bytes(p) + m->component.bytes;
        if (limit <= 0 || need <= limit) return OK;
        UpscaleTiles smaller = { t->tile / 2, t->overlap / 2 };
        if (smaller.tile < TILE_MIN || smaller.overlap < OVERLAP_MIN) {
            error_set(err, E_LIMIT, "tiles of %lld pixels need %lld MiB, the limit is %lld MiB",
                      (long long)t->tile, (long long)(need >> 20), (long long)(limit >> 20));
            error_fix(err, "raise --ram-limit or use a smaller model");
            return E_LIMIT;
        }
        *t = smaller;
    }
}

static Status check_image(const Tensor *image, Error *err)
{
    if (image->shape[3] == 3) return OK;
    error_set(err, E_SHAPE, "the pictures have %lld channels, an upscale model takes 3",
              (long long)image->shape[3]);
    error_fix(err, "take the alpha channel off with SplitImageWithAlpha");
    return E_SHAPE;
}

Status upscale_image(const UpscaleModel *model, const Tensor *image, const UpscaleTiles *tiles,
                     const char *node, Tensor **out, Error *err)
{
    /* The model is immutable for callers; the programs inside are a cache that one thread uses. */
    UpscaleModel *m = (UpscaleModel *)(uintptr_t)model;
    const int64_t *s = image->shape, k = m->dims.scale;
    Tensor *in = NULL, *big = NULL, *result = NULL;
    UpscaleTiles t = *tiles;
    Status status = OK;
    TRY(check_image(image, err));
    TRY(choose_tiles(m, s[1], s[2], &t, err));
    Job job = { .model = m,
                .node = node,
                .count = s[0] * tiles_of(s[1], &t) * tiles_of(s[2], &t) };
    Tiling tiling = { t.tile, t.tile, t.overlap, (double)k, run_tile, &job };
    TRY_DONE(tensor_new(K_F32, 3, (int64_t[]){ m->dims.in, s[1], s[2] }, &in, err));
    TRY_DONE(tensor_new(K_F32, 3, (int64_t[]){ m->dims.out, s[1] * k, s[2] * k }, &big, err));
    TRY_DONE(tensor_new(K_F32, 4, (int64_t[]){ s[0], s[1] * k, s[2] * k, 3 }, &result, err));
    for (int64_t b = 0; b < s[0]; b++) {
        picture_in(tensor_f32(image) + b * s[1] * s[2] * 3, in);
        TRY_DONE(tiling_run(&tiling, in, big, err));
        picture_out(big, tensor_f32(result) + b * s[1] * s[2] * k * k * 3);
    }
    *out = tensor_ref(result);
done:
    tensor_unref(in);
    tensor_unref(big);
    tensor_unref(result);
    return status;
}
