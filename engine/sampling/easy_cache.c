/* easy_cache.c - EasyCache and LazyCache: a call's answer from its input's change and the last answer. */
#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/step_cache.h"

enum { SUBSAMPLE = 8 };

/* What a conditioning keeps. */
typedef struct EasyLane {
    const void *key;
    Tensor *diff; /* owned: o - x of the last computed call; NULL = none */
} EasyLane;

struct EasyRun {
    double threshold;
    float start, end; /* noise levels: acts while start >= sigma > end */
    const void *first;
    EasyLane *lanes; /* owned */
    int count;
    Tensor *x,
        *o; /* owned: of the first lane's last computed call, every eighth row and column */
    double norm, rate, sum, change;
    bool has_rate, has_change; /* has_change: of x, in the call that is being computed */
    bool skipping;
    float skipped_at;
};

Status easy_begin(const EasyLimits *limits, const ModelSampling *m, EasyRun **out, Error *err)
{
    EasyRun *r = mem_calloc(1, sizeof *r);
    if (!r) return error_set(err, E_NOMEM, "out of memory");
    r->threshold = limits->threshold;
    r->start = (float)model_percent_to_sigma(m, limits->start_percent);
    r->end = (float)model_percent_to_sigma(m, limits->end_percent);
    *out = r;
    return OK;
}

void easy_end(EasyRun *r)
{
    if (!r) return;
    for (int i = 0; i < r->count; i++)
        tensor_unref(r->lanes[i].diff);
    tensor_unref(r->x);
    tensor_unref(r->o);
    mem_free(r->lanes);
    mem_free(r);
}

/* ---- every eighth row and column ---------------------------------------------------------------------- */

/* Walks the kept elements of t in order: sums |t - with| when `with` is given, and stores when `into` is. */
static double walk(const Tensor *t, const Tensor *with, Tensor *into)
{
    int64_t planes = t->shape[0] * t->shape[1], h = t->shape[2], w = t->shape[3], n = 0;
    double sum = 0;

    for (int64_t p = 0; p < planes; p++)
        for (int64_t y = 0; y < h; y += SUBSAMPLE)
            for (int64_t x = 0; x < w; x += SUBSAMPLE, n++) {
                float v = tensor_f32(t)[(p * h + y) * w + x];
                if (with) sum += (double)fabsf(v - tensor_f32(with)[n]);
                if (into) tensor_f32(into)[n] = v;
            }
    return n ? sum / (double)n : 0;
}

static Status store(const Tensor *t, Tensor **sample, Error *err)
{
    int64_t shape[4] = { t->shape[0], t->shape[1], (t->shape[2] + SUBSAMPLE - 1) / SUBSAMPLE,
                         (t->shape[3] + SUBSAMPLE - 1) / SUBSAMPLE };
    if (!*sample) TRY(tensor_new(K_F32, 4, shape, sample, err));
    walk(t, NULL, *sample);
    return OK;
}

static double mean_abs(const Tensor *t)
{
    double sum = 0;
    int64_t n = tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        sum += (double)fabsf(tensor_f32(t)[i]);
    return sum / (double)n;
}

/* ---- a call ---------------------------------------------------------------------------------------------- */

static EasyLane *find_lane(const EasyRun *r, const void *key)
{
    for (int i = 0; i < r->count; i++)
        if (r->lanes[i].key == key) return &r->lanes[i];
    return NULL;
}

static Status add_lane(EasyRun *r, const void *key, EasyLane **out, Error *err)
{
    EasyLane *grown = mem_realloc(r->lanes, ((size_t)r->count + 1) * sizeof *grown);
    if (!grown) return error_set(err, E_NOMEM, "out of memory");
    r->lanes = grown;
    grown[r->count] = (EasyLane){ .key = key };
    *out = &grown[r->count++];
    return OK;
}

/* The first lane's decision; leaves the change of x for the call that may follow. */
static bool decide(EasyRun *r, const Tensor *x, bool has_diff)
{
    r->has_change = r->x != NULL;
    if (!r->x) return false;
    r->change = walk(x, r->x, NULL);
    if (!r->has_rate) return false;
    r->sum += r->rate * r->change / r->norm;
    if (r->sum < r->threshold && has_diff) return true;
    r->sum = 0;
    return false;
}

Status easy_ask(EasyRun *r, const void *key, const Tensor *x, float sigma, Tensor *out,
                bool *answered, Error *err)
{
    EasyLane *lane = find_lane(r, key);
    bool has_diff = lane && lane->diff && tensor_same_shape(lane->diff, x);

    (void)err;
    *answered = false;
    if (!(sigma > r->end) || !(sigma <= r->start)) return OK;
    if (!r->first) r->first = key;
    if (key == r->first) {
        r->skipping = decide(r, x, has_diff);
        r->skipped_at = sigma;
    }
    if (!r->skipping || r->skipped_at != sigma || !has_diff) return OK;
    for (int64_t i = 0, n = tensor_count(x); i < n; i++)
        tensor_f32(out)[i] = tensor_f32(x)[i] + tensor_f32(lane->diff)[i];
    *answered = true;
    return OK;
}

/* What the first lane remembers of a computed call. */
static Status remember(EasyRun *r, const Tensor *x, const Tensor *o, Error *err)
{
    if (r->o && r->has_change) {
        r->rate = walk(o, r->o, NULL) / r->change;
        r->has_rate = true;
    }
    r->has_change = false;
    TRY(store(x, &r->x, err));
    TRY(store(o, &r->o, err));
    r->norm = mean_abs(o);
    return OK;
}

Status easy_keep(EasyRun *r, const void *key, const Tensor *x, float sigma, const Tensor *out,
                 Error *err)
{
    EasyLane *lane = find_lane(r, key);

    if (!(sigma > r->end)) return OK;
    if (!lane) TRY(add_lane(r, key, &lane, err));
    if (!lane->diff) TRY(tensor_new(K_F32, x->ndim, x->shape, &lane->diff, err));
    for (int64_t i = 0, n = tensor_count(x); i < n; i++)
        tensor_f32(lane->diff)[i] = tensor_f32(out)[i] - tensor_f32(x)[i];
    if (!(sigma <= r->start) || key != r->first) return OK;
    return remember(r, x, out, err);
}
