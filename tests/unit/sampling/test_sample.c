/* test_sample.c - guiders and whole sampling calls on toy models, and on the samplers' vectors end to end. */
#include "tests/unit/sampling/vectors.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/sample.h"
#include "engine/tensor/ops.h"

/* ---- a toy: x0 = value + slope * x, both from the conditioning's embedding --------------------------------- */

typedef struct Toy {
    Denoiser base;
    int positives, negatives, begun, ended, cancel_at;
    int64_t last_h, last_w, last_y, last_x;
    int last_step, skipped_blocks;
    Events *events;
} Toy;

static void toy_destroy(void *object)
{
    denoiser_fini(object);
    mem_free(object);
}

static Status toy_begin(Denoiser *d, const DenoiseRun *run, Error *err)
{
    (void)run, (void)err;
    ((Toy *)d)->begun++;
    return OK;
}

static void toy_end(Denoiser *d)
{
    ((Toy *)d)->ended++;
}

static Status toy_denoise(Denoiser *d, const DenoiseCall *c, Error *err)
{
    Toy *t = (Toy *)d;
    const float *e = tensor_f32(c->cond->embed);

    (void)err;
    if (c->negative)
        t->negatives++;
    else
        t->positives++;
    t->last_h = c->x->shape[2];
    t->last_w = c->x->shape[3];
    t->last_y = c->y0;
    t->last_x = c->x0;
    t->last_step = c->step;
    if (c->skip) t->skipped_blocks = c->skip->double_blocks[0];
    tensor_affine(c->out, c->x, e[1], c->skip ? 0 : e[0]);
    if (t->positives == t->cancel_at) atomic_store(&t->events->cancel, true);
    return OK;
}

static const DenoiserClass toy_class = { "toy", toy_begin, toy_denoise, toy_end };

static Toy *toy_new(void)
{
    Toy *t = mem_calloc(1, sizeof *t);
    Error err = { 0 };

    ref_init(&t->base.ref, toy_destroy);
    t->base.class = &toy_class;
    t->base.format = (LatentFormat){ 4, 8, 1, 0 };
    ok(model_sampling_flux(1.15, &t->base.sampling, &err), &err);
    return t;
}

static Cond *says(float value, float slope)
{
    int64_t shape[3] = { 1, 1, 2 };
    Tensor *t;
    Cond *c;
    Error err = { 0 };

    ok(tensor_new(K_F32, 3, shape, &t, &err), &err);
    memcpy(t->data, (float[]){ value, slope }, 8);
    ok(cond_new(t, NULL, &c, &err), &err);
    return c;
}

/* One guided estimate of zeros [1,4,rows,cols] at sigma. */
typedef struct Once {
    Tensor *x, *out, *sigmas;
    GuiderRun *run;
} Once;

static Status once_open(Once *o, const Guider *g, int64_t rows, int64_t cols, bool force,
                        Error *err)
{
    int64_t shape[4] = { 1, 4, rows, cols };

    ok(tensor_zeros(K_F32, 4, shape, &o->x, err), err);
    ok(tensor_zeros(K_F32, 4, shape, &o->out, err), err);
    ok(sigmas_from_values((double[]){ 1, 0.5, 0 }, 3, &o->sigmas, err), err);
    DenoiseRun run = { o->sigmas, o->x, o->x, NULL, NULL };
    o->run = NULL;
    return guider_begin(g, &run, force, &o->run, err);
}

static void once_close(Once *o)
{
    guider_end(o->run);
    tensor_unref(o->x);
    tensor_unref(o->out);
    tensor_unref(o->sigmas);
}

static float once(const Guider *g, float sigma, bool force, int *saved)
{
    Once o;
    Error err = { 0 };

    ok(once_open(&o, g, 4, 4, force, &err), &err);
    ok(guider_denoise(o.run, o.x, sigma, 0, o.out, NULL, &err), &err);
    float v = tensor_f32(o.out)[7];
    if (saved) *saved = guider_saved(o.run);
    once_close(&o);
    return v;
}

static Guider *cfg_guider(Toy *t, Cond *positive, Cond *negative, double cfg)
{
    Guider *g;
    Error err = { 0 };
    ok(guider_cfg(&t->base, positive, negative, cfg, &g, &err), &err);
    return g;
}

static void scale_one_spares_the_negative(void **state)
{
    Toy *t = toy_new();
    Cond *p = says(3, 0), *n = says(1, 0);
    Guider *g = cfg_guider(t, p, n, 4), *one = cfg_guider(t, p, n, 1);
    int saved;

    (void)state;
    assert_true(once(g, 0.5f, false, &saved) == 9 && saved == 0);
    assert_int_equal(t->negatives, 1);
    assert_true(once(one, 0.5f, false, &saved) == 3 && saved == 1);
    assert_int_equal(t->negatives, 1);
    assert_true(once(one, 0.5f, true, &saved) == 3 && saved == 0);
    assert_int_equal(t->negatives, 2);
    assert_int_equal(t->begun, t->ended);
    guider_unref(g);
    guider_unref(one);
    cond_unref(p);
    cond_unref(n);
    denoiser_unref(&t->base);
}

/* A hook whose scale is 1 outside of lo..hi of model percent. */
typedef struct Between {
    GuidanceHook base;
    double lo, hi;
} Between;

static Status between_run(const GuidanceHook *h, void *state, GuidanceStep *g, Error *err)
{
    const Between *b = (const Between *)h;
    (void)state, (void)err;
    if (1 - g->time < b->lo || 1 - g->time > b->hi) g->scale = 1;
    return OK;
}

static GuidanceHook *scale_between(double lo, double hi)
{
    Between *b = mem_calloc(1, sizeof *b);
    ref_init(&b->base.ref, mem_free);
    b->base.kind = GUIDE_SCALE;
    b->base.name = "between";
    b->base.run = between_run;
    b->lo = lo;
    b->hi = hi;
    return &b->base;
}

static void hooks_run_in_their_order(void **state)
{
    Toy *t = toy_new();
    Cond *p = says(3, 0), *n = says(1, 0);
    GuidanceHook *interval, *norm, *skip;
    int blocks[] = { 7 }, saved;
    Error err = { 0 };

    (void)state;
    interval = scale_between(0.3, 0.8);
    ok(guidance_list_add(&t->base.hooks, interval, &err), &err);
    Guider *g = cfg_guider(t, p, n, 4);
    assert_true(once(g, 0.99f, false, &saved) == 3 && saved == 1);
    assert_true(once(g, 0.7f, false, &saved) == 9 && saved == 0);
    ok(guidance_cfg_norm(0.5, &norm, &err), &err);
    ok(guidance_list_add(&t->base.hooks, norm, &err), &err);
    assert_true(fabsf(once(g, 0.7f, false, NULL) - 1.5f) < 1e-6f);
    const SkipLayers layers = {
        .scale = 2, .end_percent = 1, .double_blocks = blocks, .double_count = 1
    };
    ok(guidance_skip_layers(&layers, &skip, &err), &err);
    ok(guidance_list_add(&t->base.hooks, skip, &err), &err);
    assert_true(fabsf(once(g, 0.7f, false, NULL) - 7.5f) < 1e-6f);
    assert_int_equal(t->skipped_blocks, 7);
    ref_drop(interval);
    ref_drop(norm);
    ref_drop(skip);
    guider_unref(g);
    cond_unref(p);
    cond_unref(n);
    denoiser_unref(&t->base);
}

static void ranges_are_inclusive(void **state)
{
    Toy *t = toy_new();
    Cond *a = says(2, 0), *b = says(6, 0), *both;
    Guider *g;
    Error err = { 0 };

    (void)state;
    cond_set_range(b, 0, 0.5);
    float edge = (float)model_percent_to_sigma(t->base.sampling, 0.5);
    ok(cond_combine(a, b, &both, &err), &err);
    ok(guider_basic(&t->base, both, &g, &err), &err);
    assert_true(once(g, 1, false, NULL) == 4);
    assert_true(once(g, nextafterf(edge, 1), false, NULL) == 4);
    assert_true(once(g, nextafterf(edge, 0), false, NULL) == 2);
    guider_unref(g);
    ok(guider_basic(&t->base, b, &g, &err), &err);
    assert_true(once(g, 0.1f, false, NULL) == 0); /* nothing is active */
    guider_unref(g);
    cond_unref(a);
    cond_unref(b);
    cond_unref(both);
    denoiser_unref(&t->base);
}

/* A background, and an area of strength 2 whose left and top edges are inside the picture. */
static void areas_feather_and_get_twins(void **state)
{
    Toy *t = toy_new();
    Cond *back = says(1, 0), *front = says(5, 0), *n = says(0, 0), *both;
    CondArea area = { AREA_CELLS, 16, 16, 8, 16 };
    Error err = { 0 };
    Once o;

    (void)state;
    cond_set_area(front, &area, 2);
    ok(cond_combine(back, front, &both, &err), &err);
    Guider *g = cfg_guider(t, both, n, 2);
    ok(once_open(&o, g, 24, 32, false, &err), &err);
    ok(guider_denoise(o.run, o.x, 0.5f, 0, o.out, NULL, &err), &err);
    assert_int_equal(t->positives, 2);
    assert_int_equal(t->negatives, 2); /* the area's twin */
    assert_int_equal(t->last_h, 16);
    assert_int_equal(t->last_y, 8);
    const float *v = tensor_f32(o.out);
    assert_true(v[0] == 2); /* outside: 0 + (1 - 0) * 2 */
    /* inside, 4 cells of feather (a quarter of 16): corner weight 2/16, next diagonal 2*4/16, core 2 */
    float corner = 2 * (1 + 5 * 0.125f) / 1.125f, core = 2 * (1 + 5 * 2.0f) / 3;
    assert_true(fabsf(v[8 * 32 + 16] - corner) < 1e-5f);
    assert_true(fabsf(v[9 * 32 + 17] - 2 * (1 + 5 * 0.5f) / 1.5f) < 1e-5f);
    assert_true(fabsf(v[20 * 32 + 30] - core) < 1e-5f);
    once_close(&o);
    guider_unref(g);
    cond_unref(back);
    cond_unref(front);
    cond_unref(both);
    cond_unref(n);
    denoiser_unref(&t->base);
}

static void an_area_outside_is_an_error(void **state)
{
    Toy *t = toy_new();
    Cond *p = says(1, 0);
    CondArea area = { AREA_CELLS, 4, 4, 0, 99 };
    Guider *g;
    Error err = { 0 };
    Once o;

    (void)state;
    cond_set_area(p, &area, 1);
    ok(guider_basic(&t->base, p, &g, &err), &err);
    assert_int_equal(once_open(&o, g, 8, 8, false, &err), E_RANGE);
    once_close(&o);
    guider_unref(g);
    cond_unref(p);
    denoiser_unref(&t->base);
}

static void masks_weigh_entries(void **state)
{
    Toy *t = toy_new();
    Cond *a = says(1, 0), *b = says(5, 0), *both;
    int64_t shape[3] = { 1, 8, 8 };
    Tensor *mask;
    Guider *g;
    Error err = { 0 };
    Once o;

    (void)state;
    ok(tensor_zeros(K_F32, 3, shape, &mask, &err), &err);
    for (int i = 0; i < 32; i++)
        tensor_f32(mask)[i] = 1; /* upper half */
    cond_set_mask(b, mask, 0.5, false);
    ok(cond_combine(a, b, &both, &err), &err);
    ok(guider_basic(&t->base, both, &g, &err), &err);
    ok(once_open(&o, g, 8, 8, false, &err), &err);
    ok(guider_denoise(o.run, o.x, 0.5f, 0, o.out, NULL, &err), &err);
    assert_true(fabsf(tensor_f32(o.out)[0] - (1 + 2.5f) / 1.5f) < 1e-6f);
    assert_true(tensor_f32(o.out)[63] == 1);
    once_close(&o);
    guider_unref(g);
    cond_set_mask(b, mask, 1,
                  true); /* only the box of the mask is evaluated: 8 rows at least */
    tensor_fill(mask, 0);
    tensor_f32(mask)[63] = 1;
    ok(guider_basic(&t->base, b, &g, &err), &err);
    ok(once_open(&o, g, 8, 8, false, &err), &err);
    ok(guider_denoise(o.run, o.x, 0.5f, 0, o.out, NULL, &err), &err);
    assert_int_equal(t->last_y, 7);
    assert_int_equal(t->last_h, 1);
    once_close(&o);
    guider_unref(g);
    tensor_unref(mask);
    cond_unref(a);
    cond_unref(b);
    cond_unref(both);
    denoiser_unref(&t->base);
}

static void dual_guidance(void **state)
{
    Toy *t = toy_new();
    Cond *a = says(7, 0), *b = says(3, 0), *n = says(1, 0);
    Guider *g;
    int saved;
    Error err = { 0 };

    (void)state;
    ok(guider_dual(&t->base, a, b, n, 2, 4, false, &g, &err), &err);
    assert_true(once(g, 0.5f, false, NULL) == 1 + 2 * 4 + 4 * 2);
    guider_unref(g);
    ok(guider_dual(&t->base, a, b, n, 2, 4, true, &g, &err), &err);
    assert_true(once(g, 0.5f, false, NULL) == 1 + (3 + 4 * 2 - 1) * 4);
    guider_unref(g);
    ok(guider_dual(&t->base, a, b, n, 1, 1, false, &g, &err), &err);
    assert_true(once(g, 0.5f, false, &saved) == 7 && saved == 2);
    guider_unref(g);
    cond_unref(a);
    cond_unref(b);
    cond_unref(n);
    denoiser_unref(&t->base);
}

/* ---- whole calls ------------------------------------------------------------------------------------------------ */

static Latent *latent_of(float value)
{
    int64_t shape[4] = { 1, 4, 4, 4 };
    Tensor *t;
    Latent *l;
    Error err = { 0 };

    ok(tensor_new(K_F32, 4, shape, &t, &err), &err);
    tensor_fill(t, value);
    ok(latent_new(t, &l, &err), &err);
    return l;
}

static KSamplerCall ksampler_of(Toy *t, const Cond *p, const Latent *l)
{
    KSamplerCall k = { .denoiser = &t->base,
                       .positive = p,
                       .negative = p,
                       .cfg = 1,
                       .sampler = "euler",
                       .scheduler = "simple",
                       .seed = 5,
                       .add_noise = true,
                       .steps = 4,
                       .denoise = 1,
                       .start_step = -1,
                       .last_step = -1,
                       .latent = l };
    return k;
}

static void latent_scale_goes_in_and_out(void **state)
{
    Toy *t = toy_new();
    Cond *p = says(2, 0);
    Latent *l = latent_of(0.5f), *out;
    SampleStats stats;
    Error err = { 0 };

    (void)state;
    t->base.format = (LatentFormat){ 4, 8, 0.25f, 0.1f };
    KSamplerCall k = ksampler_of(t, p, l);
    ok(sample_ksampler(&k, &out, &stats, &err), &err);
    assert_true(fabsf(tensor_f32(out->samples)[3] - (2 / 0.25f + 0.1f)) < 1e-5f);
    assert_int_equal(stats.model_calls, 4);
    assert_int_equal(stats.saved_calls, 4);
    assert_int_equal(t->last_step, 3);
    latent_unref(out);
    k.denoise = 0; /* unchanged */
    ok(sample_ksampler(&k, &out, NULL, &err), &err);
    assert_true(tensor_f32(out->samples)[3] == 0.5f);
    latent_unref(out);
    k.denoise = 1;
    k.sampler = "eulr";
    assert_int_equal(sample_ksampler(&k, &out, NULL, &err), E_RANGE);
    assert_string_equal(err.input, "sampler_name");
    latent_unref(l);
    cond_unref(p);
    denoiser_unref(&t->base);
}

typedef struct Heard {
    int64_t steps[16];
    int count;
} Heard;

static void listen(void *user, const Event *e)
{
    Heard *h = user;
    if (e->kind == EV_PROGRESS) h->steps[h->count++] = e->step;
}

static void progress_and_cancellation(void **state)
{
    Toy *t = toy_new();
    Cond *p = says(2, 0);
    Latent *l = latent_of(0), *out = NULL;
    Heard heard = { 0 };
    Events events = { 0 };
    Error err = { 0 };

    (void)state;
    events_listen(&events, listen, &heard);
    KSamplerCall k = ksampler_of(t, p, l);
    k.events = &events;
    ok(sample_ksampler(&k, &out, NULL, &err), &err);
    latent_unref(out);
    out = NULL;
    assert_int_equal(heard.count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(heard.steps[i], i + 1);
    t->events = &events;
    t->positives = 0;
    t->cancel_at = 2;
    assert_int_equal(sample_ksampler(&k, &out, NULL, &err), E_CANCELLED);
    assert_null(out);
    assert_int_equal(t->positives, 2);
    assert_int_equal(t->begun, t->ended);
    latent_unref(l);
    cond_unref(p);
    denoiser_unref(&t->base);
}

/* Kept cells come out as they went in, repainted ones as the model says; thresholded masks too. */
static void masked_cells_are_kept(void **state)
{
    Toy *t = toy_new();
    Cond *p = says(2, 0);
    Latent *l = latent_of(0.5f), *out;
    int64_t shape[3] = { 1, 4, 4 };
    GuidanceHook *differential;
    Tensor *mask;
    Error err = { 0 };

    (void)state;
    ok(tensor_zeros(K_F32, 3, shape, &mask, &err), &err);
    tensor_f32(mask)[0] = 1;
    tensor_f32(mask)[1] = 0.6f;
    tensor_f32(mask)[3] = 0.4f;
    latent_set_mask(l, mask);
    KSamplerCall k = ksampler_of(t, p, l);
    ok(sample_ksampler(&k, &out, NULL, &err), &err);
    const float *v = tensor_f32(out->samples);
    assert_true(fabsf(v[0] - 2) < 1e-6f && fabsf(v[1] - 1.4f) < 1e-6f &&
                fabsf(v[2] - 0.5f) < 1e-6f);
    assert_non_null(out->noise_mask);
    latent_unref(out);
    ok(guidance_differential(1, &differential, &err), &err);
    ok(guidance_list_add(&t->base.hooks, differential, &err), &err);
    /* The last call is at sigma 0.51: a mask of 0.6 is repainted then, one of 0.4 never. */
    ok(sample_ksampler(&k, &out, NULL, &err), &err);
    v = tensor_f32(out->samples);
    assert_true(fabsf(v[1] - 2) < 1e-6f && fabsf(v[2] - 0.5f) < 1e-6f);
    assert_true(fabsf(v[3] - 0.5f) < 1e-6f);
    latent_unref(out);
    ref_drop(differential);
    latent_unref(l);
    cond_unref(p);
    denoiser_unref(&t->base);
}

/* ---- the samplers' vectors, end to end ---------------------------------------------------------------------------- */

/* The vectors' analytic model as a Denoiser: the embedding tells which of its two sides to use. */
typedef struct Mix {
    Denoiser base;
    float A[2][4][4], b[2][4];
} Mix;

static Status mix_denoise(Denoiser *d, const DenoiseCall *c, Error *err)
{
    const Mix *m = (const Mix *)d;
    int side = (int)tensor_f32(c->cond->embed)[0];
    int64_t plane = c->x->shape[2] * c->x->shape[3], n = tensor_count(c->x);

    (void)err;
    for (int64_t k = 0; k < n; k++) {
        int64_t channel = k / plane % 4, first = k - channel * plane;
        float sum = 0;
        for (int j = 0; j < 4; j++)
            sum += m->A[side][channel][j] * tensor_f32(c->x)[first + j * plane];
        tensor_f32(c->out)[k] = tanhf(sum) / (1.0f + c->sigma) + m->b[side][channel];
    }
    return OK;
}

static const DenoiserClass mix_class = { "analytic", NULL, mix_denoise, NULL };

static Mix *mix_new(const Json *denoiser, const Json *model)
{
    static const char *const sides[] = { "cond", "uncond" };
    Mix *m = mem_calloc(1, sizeof *m);

    ref_init(&m->base.ref, toy_destroy);
    m->base.class = &mix_class;
    m->base.format = (LatentFormat){ 4, 8, 1, 0 };
    m->base.sampling = vectors_model(model);
    for (size_t s = 0; s < 2; s++) {
        const Json *j = json_get(denoiser, sides[s]);
        for (size_t i = 0; i < 4; i++) {
            m->b[s][i] = (float)json_double(json_at(json_get(j, "b"), i));
            for (size_t k = 0; k < 4; k++)
                m->A[s][i][k] = (float)json_double(json_at(json_at(json_get(j, "A"), i), k));
        }
    }
    return m;
}

static Tensor *config_tensor(const Vectors *v, int config, const char *name)
{
    char text_name[32];
    snprintf(text_name, sizeof text_name, "c%d.%s", config, name);
    return vectors_tensor(v, text_name);
}

static double check_ksampler(const Vectors *v, const Json *item)
{
    int at = (int)num(item, "config", 0);
    const Json *config = json_at(json_get(json_root(v->json), "configs"), (size_t)at);
    Mix *m = mix_new(json_get(json_root(v->json), "denoiser"), json_get(config, "model"));
    Cond *p = says(0, 0), *n = says(1, 0);
    Latent *l, *out;
    SampleStats stats;
    char name[64];
    Error err = { 0 };

    ok(latent_new(config_tensor(v, at, "latent"), &l, &err), &err);
    if (text(config, "mask")) latent_set_mask(l, config_tensor(v, at, "mask"));
    KSamplerCall k = { .denoiser = &m->base,
                       .positive = p,
                       .negative = n,
                       .cfg = num(config, "cfg", 1),
                       .sampler = text(item, "sampler"),
                       .scheduler = text(config, "scheduler"),
                       .seed = num_u64(config, "seed"),
                       .add_noise = true,
                       .steps = (int64_t)num(config, "steps", 0),
                       .denoise = num(config, "denoise", 1),
                       .start_step = -1,
                       .last_step = -1,
                       .latent = l };
    ok(sample_ksampler(&k, &out, &stats, &err), &err);
    bool pp = sampler_find(k.sampler)->flags & SAMPLER_CFG_PP;
    int sides = k.cfg != 1 || pp ? 2 : 1, nfe = (int)num(item, "nfe", 0);
    assert_int_equal(stats.model_calls, sides * nfe);
    assert_int_equal(stats.saved_calls, (2 - sides) * nfe);
    snprintf(name, sizeof name, "%s.out", text(item, "case"));
    Tensor *want = vectors_tensor(v, name);
    double d = worst(tensor_f32(out->samples), tensor_f32(want), tensor_count(want));
    tensor_unref(want);
    latent_unref(l);
    latent_unref(out);
    cond_unref(p);
    cond_unref(n);
    denoiser_unref(&m->base);
    return d;
}

static void ksampler_vectors(void **state)
{
    Vectors v;
    double most = 0;
    int cases = 0;

    (void)state;
    vectors_open(&v, "samplers", "samplers");
    for (const Json *c = json_first(json_get(json_root(v.json), "cases")); c;
         c = json_next(c)) {
        if (json_get(c, "options")) continue; /* a KSampler has no options */
        double d = check_ksampler(&v, c);
        if (!(d <= 2e-4)) fail_msg("%s: %.3g", text(c, "case"), d);
        most = fmax(most, d);
        cases++;
    }
    print_message("sample: %d KSampler runs, worst %.2g\n", cases, most);
    vectors_close(&v);
}

int run_sample_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scale_one_spares_the_negative),
        cmocka_unit_test(hooks_run_in_their_order),
        cmocka_unit_test(ranges_are_inclusive),
        cmocka_unit_test(areas_feather_and_get_twins),
        cmocka_unit_test(an_area_outside_is_an_error),
        cmocka_unit_test(masks_weigh_entries),
        cmocka_unit_test(dual_guidance),
        cmocka_unit_test(latent_scale_goes_in_and_out),
        cmocka_unit_test(progress_and_cancellation),
        cmocka_unit_test(masked_cells_are_kept),
        cmocka_unit_test(ksampler_vectors),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
