/* guider.c - the GUIDER value and the guided estimate: sides of conditionings, their sums, the hooks. */
#include "engine/sampling/guider.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/guider_impl.h"
#include "engine/tensor/ops.h"

/* ---- the value ----------------------------------------------------------------------------------------- */

static void guider_destroy(void *object)
{
    Guider *g = object;
    denoiser_unref(g->denoiser);
    cond_unref(g->positive);
    cond_unref(g->middle);
    cond_unref(g->negative);
    mem_free(g);
}

static Status guider_new(const Guider *values, Guider **out, Error *err)
{
    Guider *g = mem_calloc(1, sizeof *g);
    if (!g) return error_set(err, E_NOMEM, "out of memory");
    *g = *values;
    ref_init(&g->ref, guider_destroy);
    denoiser_ref(g->denoiser);
    cond_ref(g->positive);
    cond_ref(g->middle);
    cond_ref(g->negative);
    *out = g;
    return OK;
}

Status guider_basic(const Denoiser *d, const Cond *positive, Guider **out, Error *err)
{
    Guider g = { .kind = GUIDER_BASIC, .cfg = 1 };
    g.denoiser = denoiser_ref(d);
    g.positive = cond_ref(positive);
    Status status = guider_new(&g, out, err);
    denoiser_unref(d);
    cond_unref(positive);
    return status;
}

Status guider_cfg(const Denoiser *d, const Cond *positive, const Cond *negative, double cfg,
                  Guider **out, Error *err)
{
    Guider *g;
    TRY(guider_basic(d, positive, &g, err));
    g->kind = GUIDER_CFG;
    g->negative = cond_ref(negative);
    g->cfg = cfg;
    *out = g;
    return OK;
}

Status guider_dual(const Denoiser *d, const Cond *cond1, const Cond *cond2,
                   const Cond *negative, double cfg_conds, double cfg_cond2_negative,
                   bool nested, Guider **out, Error *err)
{
    Guider *g;
    TRY(guider_cfg(d, cond1, negative, cfg_conds, &g, err));
    g->kind = GUIDER_DUAL;
    g->middle = cond_ref(cond2);
    g->cfg2 = cfg_cond2_negative;
    g->nested = nested;
    *out = g;
    return OK;
}

/* ---- a run ---------------------------------------------------------------------------------------------- */

struct GuiderRun {
    const Guider *guider; /* reference owned */
    Events *events;       /* borrowed */
    bool begun;           /* the denoiser's begin succeeded */
    bool force_uncond, skipped;
    int calls, saved, steps;
    int asked, reused, last_asked; /* pictures: asked for, answered by a step cache; of the last estimate */
    EasyRun *around;               /* owned; NULL = no cache around the estimate */
    Tensor *sigmas; /* reference owned */
    Side sides[SIDE_COUNT];
    Tensor *part[SIDE_COUNT]; /* owned: the estimate of each side */
    Tensor *count;            /* owned [B,1,h,w]: sum of weights */
    void **states;            /* owned: one per hook */
    int state_count;
};

static const GuidanceList *hooks_of(const GuiderRun *r)
{
    return &r->guider->denoiser->hooks;
}

static Status start_hooks(GuiderRun *r, const Tensor *x, Error *err)
{
    const GuidanceList *l = hooks_of(r);

    r->states = mem_calloc((size_t)l->count, sizeof *r->states);
    if (!r->states) return error_set(err, E_NOMEM, "out of memory");
    for (; r->state_count < l->count; r->state_count++) {
        const GuidanceHook *h = l->hooks[r->state_count];
        if (h->begin) TRY(h->begin(h, x, &r->states[r->state_count], err));
        if (h->needs_uncond) r->force_uncond = true;
    }
    return OK;
}

static Status start_sides(GuiderRun *r, const DenoiseRun *run, Error *err)
{
    const Guider *g = r->guider;
    const Cond *conds[SIDE_COUNT] = { g->positive, g->middle, g->negative };
    int64_t shape[4] = { run->latent->shape[0], 1, run->latent->shape[2],
                         run->latent->shape[3] };

    for (int i = 0; i < SIDE_COUNT; i++) {
        r->sides[i].present = conds[i] != NULL;
        if (conds[i])
            TRY(side_resolve(&r->sides[i], conds[i], g->denoiser->sampling, run->latent, err));
    }
    TRY(sides_match(r->sides, err));
    for (int i = 0; i < SIDE_COUNT; i++) {
        TRY(side_weights(&r->sides[i], run->latent, err));
        if (conds[i] || i == SIDE_NEGATIVE)
            TRY(tensor_zeros(K_F32, 4, run->latent->shape, &r->part[i], err));
    }
    return tensor_new(K_F32, 4, shape, &r->count, err);
}

Status guider_begin(const Guider *g, const DenoiseRun *run, bool force_uncond, GuiderRun **out,
                    Error *err)
{
    Status status = OK;
    Denoiser *d = g->denoiser;
    GuiderRun *r = mem_calloc(1, sizeof *r);

    if (!r) return error_set(err, E_NOMEM, "out of memory");
    r->guider = guider_ref(g);
    r->events = run->events;
    r->force_uncond = force_uncond;
    r->sigmas = tensor_ref(run->sigmas);
    r->steps = (int)run->sigmas->shape[0] - 1;
    TRY_DONE(start_sides(r, run, err));
    TRY_DONE(start_hooks(r, run->latent, err));
    if (d->around)
        TRY_DONE(easy_begin(&d->around->easy, d->sampling, &r->around, err));
    if (d->class->begin) TRY_DONE(d->class->begin(d, run, err));
    r->begun = true;
    *out = r;
    return OK;
done:
    guider_end(r);
    return status;
}

void guider_end(GuiderRun *r)
{
    if (!r) return;
    const GuidanceList *l = hooks_of(r);
    Denoiser *d = r->guider->denoiser;

    if (r->begun && d->class->end) d->class->end(d);
    for (int i = 0; i < r->state_count; i++)
        if (l->hooks[i]->end) l->hooks[i]->end(l->hooks[i], r->states[i]);
    mem_free(r->states);
    for (int i = 0; i < SIDE_COUNT; i++) {
        side_fini(&r->sides[i]);
        tensor_unref(r->part[i]);
    }
    easy_end(r->around);
    tensor_unref(r->count);
    tensor_unref(r->sigmas);
    guider_unref(r->guider);
    mem_free(r);
}

int guider_calls(const GuiderRun *r)
{
    return r->calls;
}

int guider_saved(const GuiderRun *r)
{
    return r->saved;
}

void guider_reuse(const GuiderRun *r, int *reused, int *asked)
{
    *reused = r->reused;
    *asked = r->asked;
}

bool guider_skipped(const GuiderRun *r)
{
    return r->skipped;
}

/* ---- one side --------------------------------------------------------------------------------------------- */

/* One model call, what is around it fixed. */
typedef struct Calling {
    const Tensor *x;
    float sigma;
    int step;
    const BlockSkip *skip;
} Calling;

static Status call_model(GuiderRun *r, int side, int entry, const Calling *c, const Tensor *x,
                         Tensor *out, Error *err)
{
    const Part *p = &r->sides[side].parts[entry];
    Denoiser *d = r->guider->denoiser;
    int reused = 0, batch = (int)x->shape[0];

    if (r->events && atomic_load(&r->events->cancel))
        return error_set(err, E_CANCELLED, "interrupted");
    DenoiseCall call = { .x = x,
                         .sigma = c->sigma,
                         .cond = &p->entry,
                         .negative = side == SIDE_NEGATIVE,
                         .entry = entry,
                         .step = c->step,
                         .steps = r->steps,
                         .y0 = p->y,
                         .x0 = p->x,
                         .full_h = c->x->shape[2],
                         .full_w = c->x->shape[3],
                         .skip = c->skip,
                         .out = out,
                         .reused = &reused };
    TRY(d->class->denoise(d, &call, err));
    r->asked += batch;
    r->reused += reused;
    if (reused < batch) r->calls++;
    return OK;
}

/* out += estimate * weight inside the part's window, count += weight. */
static void add_part(const Part *p, const Tensor *estimate, Tensor *out, Tensor *count)
{
    int64_t channels = out->shape[1], h = out->shape[2], w = out->shape[3], n = p->h * p->w;

    for (int64_t b = 0; b < out->shape[0]; b++) {
        const float *weight = p->weight + b % p->weight_items * n;
        for (int64_t i = 0; i < n; i++) {
            int64_t at = (p->y + i / p->w) * w + p->x + i % p->w;
            tensor_f32(count)[b * h * w + at] += weight[i];
            for (int64_t c = 0; c < channels; c++)
                tensor_f32(out)[(b * channels + c) * h * w + at] +=
                    tensor_f32(estimate)[(b * channels + c) * n + i] * weight[i];
        }
    }
}

static void divide_by_count(Tensor *out, const Tensor *count)
{
    int64_t channels = out->shape[1], plane = out->shape[2] * out->shape[3],
            n = tensor_count(out);

    for (int64_t i = 0; i < n; i++)
        tensor_f32(out)[i] /= tensor_f32(count)[i / (plane * channels) * plane + i % plane];
}

static bool is_active(const Part *p, float sigma)
{
    return !p->entry.has_range || ((double)sigma <= p->first && (double)sigma >= p->last);
}

/* Index of the side's only active entry when it is plain (whole latent, weight 1), else -1. */
static int only_plain(const Side *s, float sigma)
{
    int found = -1;

    for (int i = 0; i < s->count; i++) {
        if (!is_active(&s->parts[i], sigma)) continue;
        if (found >= 0 || !s->parts[i].plain) return -1;
        found = i;
    }
    return found;
}

/* The weighted mean of the side's active entries; 0 where there is none. */
static Status estimate_side(GuiderRun *r, int side, const Calling *c, Tensor *out, Error *err)
{
    const Side *s = &r->sides[side];
    int only = only_plain(s, c->sigma);

    if (only >= 0) return call_model(r, side, only, c, c->x, out, err);
    tensor_fill(out, 0);
    tensor_fill(r->count, 1e-37f);
    for (int i = 0; i < s->count; i++) {
        const Part *p = &s->parts[i];
        if (!is_active(p, c->sigma)) continue;
        part_crop(p, c->x);
        TRY(call_model(r, side, i, c, p->crop ? p->crop : c->x, p->estimate, err));
        add_part(p, p->estimate, out, r->count);
    }
    divide_by_count(out, r->count);
    return OK;
}

/* ---- hooks ---------------------------------------------------------------------------------------------- */

static bool is_one(double scale)
{
    return fabs(scale - 1.0) <= 1e-9 * fmax(fabs(scale), 1.0);
}

static Status run_hooks(GuiderRun *r, GuidanceKind kind, GuidanceStep *g, bool *any, Error *err)
{
    const GuidanceList *l = hooks_of(r);

    for (int i = 0; i < l->count; i++) {
        if (l->hooks[i]->kind != kind) continue;
        if (any) *any = true;
        TRY(l->hooks[i]->run(l->hooks[i], r->states[i], g, err));
    }
    return OK;
}

static Status call_again(GuidanceStep *g, const void *block_skip, Tensor *out, Error *err)
{
    GuiderRun *r = g->again_user;
    Calling c = { g->x, g->sigma, g->step, block_skip };
    return estimate_side(r, SIDE_POSITIVE, &c, out, err);
}

static GuidanceStep new_step(GuiderRun *r, const Tensor *x, float sigma, int step)
{
    const ModelSampling *m = r->guider->denoiser->sampling;
    GuidanceStep g = { .x = x,
                       .sigma = sigma,
                       .step = step,
                       .steps = r->steps,
                       .sigmas = r->sigmas,
                       .time = model_time(m, (double)sigma),
                       .sampling = m,
                       .again = call_again,
                       .again_user = r };
    return g;
}

/* Pre-cfg hooks, the cfg function or plain CFG, post-cfg hooks: g->denoised from g->cond and g->uncond. */
static Status combine(GuiderRun *r, GuidanceStep *g, Error *err)
{
    bool own = false;

    TRY(run_hooks(r, GUIDE_PRE, g, NULL, err));
    TRY(run_hooks(r, GUIDE_CFG, g, &own, err));
    if (!own) guidance_cfg(g->cond, g->uncond, g->scale, g->denoised);
    return run_hooks(r, GUIDE_POST, g, NULL, err);
}

/* The estimate of a side, or zeros when it is not wanted. */
static Status side_or_zero(GuiderRun *r, int side, const Calling *c, bool wanted, Error *err)
{
    if (wanted && r->sides[side].present) return estimate_side(r, side, c, r->part[side], err);
    tensor_fill(r->part[side], 0);
    return OK;
}

static Status denoise_cfg(GuiderRun *r, GuidanceStep *g, const Calling *c, Error *err)
{
    bool wanted = r->force_uncond || !is_one(g->scale);
    Calling negative = *c;

    TRY(estimate_side(r, SIDE_POSITIVE, c, r->part[SIDE_POSITIVE], err));
    negative.skip = g->negative_skip;
    TRY(side_or_zero(r, SIDE_NEGATIVE, &negative, wanted, err));
    r->skipped = !wanted || !r->sides[SIDE_NEGATIVE].present;
    if (!wanted && r->sides[SIDE_NEGATIVE].present) r->saved++;
    g->uncond_skipped = r->skipped;
    g->cond = r->part[SIDE_POSITIVE];
    g->uncond = r->part[SIDE_NEGATIVE];
    return combine(r, g, err);
}

/* "InstructPix2Pix: Learning to Follow Image Editing Instructions": two scales. Plain: the second
 * conditioning against the negative, plus scale times the first against the second. Nested: the first
 * against the second, and that against the negative. */
static Status denoise_dual(GuiderRun *r, GuidanceStep *g, const Calling *c, Error *err)
{
    const Guider *gd = r->guider;
    bool low = gd->nested || r->force_uncond || !is_one(gd->cfg2);
    bool middle = low || !is_one(gd->cfg);
    Tensor *p = r->part[SIDE_POSITIVE], *m = r->part[SIDE_MIDDLE], *n = r->part[SIDE_NEGATIVE];

    TRY(estimate_side(r, SIDE_POSITIVE, c, p, err));
    TRY(side_or_zero(r, SIDE_MIDDLE, c, middle, err));
    TRY(side_or_zero(r, SIDE_NEGATIVE, c, low, err));
    r->skipped = !low;
    r->saved += !low + !middle;
    g->uncond_skipped = r->skipped;
    g->cond = gd->nested ? p : m;
    g->uncond = gd->nested ? m : n;
    g->scale = gd->nested ? gd->cfg : gd->cfg2;
    if (gd->nested) {
        TRY(combine(r, g, err));
        guidance_cfg(g->denoised, n, gd->cfg2, g->denoised);
        return OK;
    }
    tensor_sub(p, p, m);
    TRY(combine(r, g, err));
    tensor_add_scaled(g->denoised, p, (float)gd->cfg);
    return OK;
}

/* The guided estimate from the model. */
static Status estimate(GuiderRun *r, const Tensor *x, float sigma, int step, Tensor *denoised,
                       const Tensor **uncond, Error *err)
{
    GuidanceStep g = new_step(r, x, sigma, step);
    Calling c = { x, sigma, step, NULL };

    g.cfg = g.scale = r->guider->cfg;
    g.denoised = denoised;
    if (r->guider->kind == GUIDER_DUAL) {
        TRY(denoise_dual(r, &g, &c, err));
    } else {
        TRY(run_hooks(r, GUIDE_SCALE, &g, NULL, err));
        TRY(denoise_cfg(r, &g, &c, err));
    }
    if (uncond) *uncond = g.uncond;
    return OK;
}

Status guider_denoise(GuiderRun *r, const Tensor *x, float sigma, int step, Tensor *denoised,
                      const Tensor **uncond, Error *err)
{
    bool answered = false;

    if (r->around) TRY(easy_ask(r->around, r, x, sigma, denoised, &answered, err));
    if (answered) {
        r->asked += r->last_asked;
        r->reused += r->last_asked;
        if (uncond) *uncond = r->part[SIDE_NEGATIVE];
        return OK;
    }
    int before = r->asked;
    TRY(estimate(r, x, sigma, step, denoised, uncond, err));
    r->last_asked = r->asked - before;
    return r->around ? easy_keep(r->around, r, x, sigma, denoised, err) : OK;
}

bool guider_has_mask_hook(const GuiderRun *r)
{
    const GuidanceList *l = hooks_of(r);
    for (int i = 0; i < l->count; i++)
        if (l->hooks[i]->kind == GUIDE_MASK) return true;
    return false;
}

Status guider_mask(GuiderRun *r, float sigma, int step, Tensor *mask, Error *err)
{
    GuidanceStep g = new_step(r, mask, sigma, step);
    g.mask = mask;
    return run_hooks(r, GUIDE_MASK, &g, NULL, err);
}
