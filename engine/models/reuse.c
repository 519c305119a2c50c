/* reuse.c - step caches at work: lanes of kept residuals, and the answer of a call from them. */
#include "engine/models/reuse.h"

#include <math.h>
#include <stdio.h>

#include "engine/base/mem.h"
#include "engine/models/positions.h"

/* What is kept of one conditioning and picture. */
typedef struct Lane {
    const CondEntry *cond; /* borrowed for the run: tells sides and entries apart */
    int64_t item;
    void *state;      /* of the cache */
    Tensor *seen;     /* owned [rows, D]: modulated input of the last call */
    Tensor *residual; /* owned [target rows, D]: of the last computed call */
    bool kept;
} Lane;

struct Reuse {
    const StepCache *blocks;       /* one reference owned, or NULL */
    const StepCache *output;       /* the same */
    EasyRun *easy;                 /* owned; of `output` */
    const ModelSampling *sampling; /* borrowed */
    Host *host;
    Tensor *sigmas; /* one reference owned */
    Events *events;
    Lane *lanes; /* owned */
    int count;
    Tensor *now; /* owned: room for the modulated input of this call */
    int64_t held;
    bool told;
};

/* ---- a run ----------------------------------------------------------------------------------------- */

/* The last cache of a place among the patches. */
static const StepCache *find_cache(const PatchSet *patches, CachePlace place)
{
    const StepCache *found = NULL;
    const Patch *p;

    for (int i = 0; (p = patch_set_find(patches, PATCH_CACHE, i)); i++) {
        const StepCache *c = (const StepCache *)(const void *)p->object;
        if (c && c->place == place) found = c;
    }
    return found;
}

const StepCache *reuse_around(const PatchSet *patches)
{
    const StepCache *c = find_cache(patches, CACHE_GUIDED);
    return c ? ref_take(c) : NULL;
}

Status reuse_begin(const Model *m, const DenoiseRun *run, Reuse **out, Error *err)
{
    Status status = OK;
    const StepCache *blocks = find_cache(model_patches(m), CACHE_BLOCKS),
                    *output = find_cache(model_patches(m), CACHE_OUTPUT);

    if (!blocks && !output) return OK;
    Reuse *r = mem_calloc(1, sizeof *r);
    if (!r) return error_set(err, E_NOMEM, "out of memory");
    r->blocks = blocks ? ref_take(blocks) : NULL;
    r->output = output ? ref_take(output) : NULL;
    r->sampling = model_denoiser(m)->sampling;
    r->host = model_host(m);
    r->sigmas = tensor_ref(run->sigmas);
    r->events = run->events;
    if (output) TRY_DONE(easy_begin(&output->easy, r->sampling, &r->easy, err));
    *out = r;
    return OK;
done:
    reuse_end(r);
    return status;
}

void reuse_end(Reuse *r)
{
    if (!r) return;
    for (int i = 0; i < r->count; i++) {
        Lane *lane = &r->lanes[i];
        r->blocks->end(r->blocks, lane->state);
        tensor_unref(lane->seen);
        tensor_unref(lane->residual);
    }
    if (r->held) host_hold(r->host, -r->held);
    tensor_unref(r->now);
    tensor_unref(r->sigmas);
    easy_end(r->easy);
    ref_drop(r->blocks);
    ref_drop(r->output);
    mem_free(r->lanes);
    mem_free(r);
}

/* ---- around the transformer ------------------------------------------------------------------------ */

Status reuse_ask(Reuse *r, const DenoiseCall *call, bool *answered, Error *err)
{
    *answered = false;
    if (!r || !r->easy || call->skip || host_dummy(r->host)) return OK;
    return easy_ask(r->easy, call->cond, call->x, call->sigma, call->out, answered, err);
}

Status reuse_keep(Reuse *r, const DenoiseCall *call, Error *err)
{
    if (!r || !r->easy || call->skip || host_dummy(r->host)) return OK;
    return easy_keep(r->easy, call->cond, call->x, call->sigma, call->out, err);
}

/* ---- lanes ------------------------------------------------------------------------------------------- */

/* Room that a run holds beside its arena; in a dummy run it is only counted. */
static Status room(Reuse *r, int64_t rows, int64_t width, Tensor **out, Error *err)
{
    int64_t bytes = rows * width * (int64_t)sizeof(float);
    bool dummy = host_dummy(r->host);

    if (!dummy || !*out) {
        r->held += bytes;
        host_hold(r->host, bytes);
    }
    return tensor_new(K_F32, 2, (int64_t[]){ dummy ? 1 : rows, dummy ? 1 : width }, out, err);
}

static Status make_lane(Reuse *r, const Model *m, const DenoiseCall *call, int64_t item,
                        const ForwardCall *f, Lane **out, Error *err)
{
    const ModelDims *d = model_dims(m);
    int64_t target = pos_tokens(&d->positions, f->size), rows = target;
    Lane *grown = mem_realloc(r->lanes, ((size_t)r->count + 1) * sizeof *grown);

    if (!grown) return error_set(err, E_NOMEM, "out of memory");
    r->lanes = grown;
    Lane *lane = &grown[r->count];
    *lane = (Lane){ .cond = call->cond, .item = item };
    for (int k = 0; k < f->n_refs && f->kv != KV_CACHED; k++)
        rows += pos_tokens(&d->positions, f->ref_sizes[k]);
    TRY(r->blocks->begin(r->blocks, &lane->state, err));
    r->count++; /* from here on the run gives it back */
    TRY(room(r, rows, d->width, &lane->seen, err));
    TRY(room(r, target, d->width, &lane->residual, err));
    if (!r->now) TRY(room(r, rows, d->width, &r->now, err));
    *out = lane;
    return OK;
}

static Lane *find_lane(const Reuse *r, const CondEntry *cond, int64_t item)
{
    for (int i = 0; i < r->count; i++)
        if (r->lanes[i].cond == cond && r->lanes[i].item == item) return &r->lanes[i];
    return NULL;
}

/* mean|now - seen| / mean|seen|. */
static double relative_change(const Tensor *now, const Tensor *seen)
{
    const float *a = tensor_f32(now), *b = tensor_f32(seen);
    double moved = 0, size = 0;

    for (int64_t i = 0, n = tensor_count(seen); i < n; i++) {
        moved += (double)fabsf(a[i] - b[i]);
        size += (double)fabsf(b[i]);
    }
    return size > 0 ? moved / size : 0;
}

/* Looks at the modulated input: *change since the last call, which it then takes the place of. */
static Status probe(Reuse *r, const Model *m, Lane *lane, bool first, const ForwardCall *f,
                    double *change, Error *err)
{
    ForwardCall look = *f;

    *change = 0;
    if (!tensor_same_shape(r->now, lane->seen)) {
        tensor_unref(r->now);
        r->now = NULL;
        TRY(tensor_new(K_F32, 2, lane->seen->shape, &r->now, err));
    }
    look.part = PART_PROBE;
    look.kept = tensor_f32(r->now);
    TRY(model_forward(m, &look, err));
    if (!first && !host_dummy(r->host)) *change = relative_change(r->now, lane->seen);
    Tensor *old = lane->seen;
    lane->seen = r->now;
    r->now = old;
    return OK;
}

/* ---- inside the transformer -------------------------------------------------------------------------- */

static void tell(Reuse *r, const char *reason)
{
    char words[CACHE_REASON + 80];

    if (r->told || !*reason) return;
    r->told = true;
    snprintf(words, sizeof words, "%s %s", r->blocks->name, reason);
    events_emit(r->events, &(Event){ .kind = EV_NOTE, .node = r->blocks->node, .text = words });
}

static Status decide(Reuse *r, const DenoiseCall *call, Lane *lane, double change,
                     bool *compute, Error *err)
{
    CacheQuestion q = { .step = call->step,
                        .steps = call->steps,
                        .sigma = call->sigma,
                        .time = model_time(r->sampling, (double)call->sigma),
                        .sigmas = r->sigmas,
                        .change = change,
                        .kept = lane->kept,
                        .compute = true };

    TRY(r->blocks->decide(r->blocks, lane->state, &q, err));
    tell(r, q.reason);
    *compute = q.compute || !lane->kept;
    return OK;
}

/* Both programs are asked for in a dummy run, so that the plan knows the larger one. */
static Status dummy_forward(const Model *m, Lane *lane, ForwardCall *f, Error *err)
{
    f->part = PART_REUSE;
    f->residual = tensor_f32(lane->residual);
    TRY(model_forward(m, f, err));
    f->part = PART_KEEP;
    f->kept = tensor_f32(lane->residual);
    return model_forward(m, f, err);
}

Status reuse_forward(Reuse *r, const Model *m, const DenoiseCall *call, int64_t item,
                     const ForwardCall *f, bool *reused, Error *err)
{
    ForwardCall part = *f;
    double change = 0;
    bool compute = true;

    *reused = false;
    if (!r || !r->blocks || call->skip) return model_forward(m, f, err);
    Lane *lane = find_lane(r, call->cond, item);
    bool first = !lane;
    if (!lane) TRY(make_lane(r, m, call, item, f, &lane, err));
    TRY(probe(r, m, lane, first, f, &change, err));
    TRY(decide(r, call, lane, change, &compute, err));
    if (host_dummy(r->host)) return dummy_forward(m, lane, &part, err);
    *reused = !compute;
    part.part = compute ? PART_KEEP : PART_REUSE;
    part.residual = tensor_f32(lane->residual);
    part.kept = tensor_f32(lane->residual);
    TRY(model_forward(m, &part, err));
    lane->kept = true;
    return OK;
}
