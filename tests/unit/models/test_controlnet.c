/* test_controlnet.c - ControlNets of every kind against the reference's vectors, alone and on a model. */
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/models/control.h"
#include "tests/unit/support.h"

enum { NETS_MAX = 2, PLACES_MAX = 64 };

/* ---- a VAE that is one projection ------------------------------------------------------------------------- */

typedef struct ProjectionVae {
    Ref ref;
    Tensor *proj; /* [16, 3] */
} ProjectionVae;

/* z = proj times the mean colours of 8 x 8 blocks, in -1..1. */
static Status projection_encode(const void *vae, const Tensor *image, Tensor **out, Error *err)
{
    const ProjectionVae *v = vae;
    int64_t h = image->shape[1] / 8, w = image->shape[2] / 8, c = v->proj->shape[0];

    TRY(tensor_new(K_F32, 4, (int64_t[]){ image->shape[0], c, h, w }, out, err));
    for (int64_t i = 0; i < tensor_count(*out); i++) {
        int64_t b = i / (c * h * w), ch = i / (h * w) % c, y = i / w % h, x = i % w;
        double z = 0;
        for (int64_t k = 0; k < 3; k++) {
            double mean = 0;
            for (int64_t p = 0; p < 64; p++)
                mean += (double)tensor_f32(
                    image)[((b * h * 8 + y * 8 + p / 8) * w * 8 + x * 8 + p % 8) * 3 + k];
            z += (double)tensor_f32(v->proj)[ch * 3 + k] * (2 * mean / 64 - 1);
        }
        tensor_f32(*out)[i] = (float)z;
    }
    return OK;
}

static void projection_destroy(void *object)
{
    ProjectionVae *v = object;
    tensor_unref(v->proj);
    mem_free(v);
}

/* ---- one case ------------------------------------------------------------------------------------------- */

typedef struct Case {
    Host *host;
    Weights *base, *data;
    Model *model;
    Control *controls[NETS_MAX];
    ControlNet *nets[NETS_MAX];
    const Json *chain[NETS_MAX];
    int n;
    Tensor *x, *context, *timestep, *guidance, *pooled;
    ProjectionVae *vae;
} Case;

static JsonDoc *index_doc;

static Weights *open_tiny(const char *name)
{
    char path[512], file[128];
    snprintf(file, sizeof file, "controlnet/%s.safetensors", name);
    vector_path(file, path, sizeof path);
    return open_with_config(path, TINY_CONFIG);
}

/* Rows of the menu of SetUnionControlNetType. */
static int type_of(const char *name)
{
    static const struct {
        const char *name;
        int type;
    } types[] = { { "openpose", 0 },
                  { "tile", 6 },
                  { "depth (InstantX)", 2 },
                  { "canny/lineart/anime_lineart/mlsd", 3 } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name)) return types[i].type;
    return -1;
}

/* Pictures are stored as bytes. */
static Tensor *load_picture(const Weights *w, const char *name)
{
    Tensor *t = load(w, name);
    if (weights_dtype(w, name) == K_U8) tensor_affine(t, t, 1.0f / 255.0f, 0);
    return t;
}

static void open_control(Case *c, int k, const Json *element)
{
    char name[96];
    Error err = { 0 };
    ControlNet *plain = NULL;
    Tensor *image, *mask = NULL, *masked = NULL, *keep = NULL;

    c->chain[k] = element;
    snprintf(name, sizeof name, "%s.weights_bf16", param_text(element, "net", ""));
    Weights *w = open_tiny(name);
    assert_ok(controlnet_open(c->host, w, name, &plain, &err), &err);
    assert_ok(controlnet_with_type(plain, type_of(param_text(element, "type", "auto")),
                                   &c->nets[k], &err),
              &err);
    controlnet_unref(plain);
    weights_unref(w);
    snprintf(name, sizeof name, "in.image.%d", k);
    image = load_picture(c->data, name);
    snprintf(name, sizeof name, "in.mask.%d", k);
    if (weights_has(c->data, name)) {
        mask = load_picture(c->data, name);
        assert_ok(control_inpaint(image, mask, &masked, &keep, &err), &err);
    }
    ControlUse use = { .net = c->nets[k],
                       .image = masked ? masked : image,
                       .mask = keep,
                       .vae = c->vae,
                       .encode = projection_encode,
                       .strength = param_number(element, "strength", 1),
                       .start = param_number(element, "start", 0),
                       .end = param_number(element, "end", 1) };
    assert_ok(control_new(&use, &c->controls[k], &err), &err);
    tensor_unref(image);
    tensor_unref(mask);
    tensor_unref(masked);
    tensor_unref(keep);
}

static void open_case(Case *c, const char *name, const Json *params, bool exact)
{
    char path[512], file[96];
    Error err = { 0 };

    memset(c, 0, sizeof *c);
    snprintf(file, sizeof file, "controlnet/case_%s.safetensors", name);
    vector_path(file, path, sizeof path);
    c->data = open_file(path);
    c->host = open_host(exact, false);
    c->base = open_tiny("base.weights_bf16");
    assert_ok(model_open(c->host, c->base, "base", &c->model, &err), &err);
    c->vae = mem_calloc(1, sizeof *c->vae);
    ref_init(&c->vae->ref, projection_destroy);
    vector_path("controlnet/stub_vae.safetensors", path, sizeof path);
    Weights *projection = open_file(path);
    c->vae->proj = load(projection, weights_name(projection, 0));
    weights_unref(projection);
    for (const Json *e = json_first(json_get(params, "chain")); e; e = json_next(e))
        open_control(c, c->n++, e);
    c->x = load(c->data, "in.x");
    c->context = load(c->data, "in.context");
    c->timestep = load(c->data, "in.timestep");
    c->guidance = load(c->data, "in.guidance");
    c->pooled = load(c->data, "in.y");
}

static void close_case(Case *c)
{
    for (int k = 0; k < c->n; k++) {
        ref_drop(c->controls[k]);
        controlnet_unref(c->nets[k]);
    }
    tensor_unref(c->x);
    tensor_unref(c->context);
    tensor_unref(c->timestep);
    tensor_unref(c->guidance);
    tensor_unref(c->pooled);
    ref_drop(c->vae);
    model_unref(c->model);
    weights_unref(c->base);
    weights_unref(c->data);
    host_free(c->host);
}

static float *item(const Tensor *t, int64_t b)
{
    return tensor_f32(t) + b * (tensor_count(t) / t->shape[0]);
}

static ForwardCall call_of(const Case *c, int64_t b, float *out)
{
    return (ForwardCall){ .x = item(c->x, b),
                          .size = { c->x->shape[2], c->x->shape[3] },
                          .sigma = *item(c->timestep, b),
                          .context = item(c->context, b),
                          .tokens = c->context->shape[1],
                          .pooled = item(c->pooled, b),
                          .guided = true,
                          .guidance = (double)*item(c->guidance, b),
                          .out = out };
}

/* ---- residuals ------------------------------------------------------------------------------------------ */

static void check_hint(const Case *c, int k)
{
    char name[32];
    const Tensor *hint = NULL;
    Error err = { 0 };

    snprintf(name, sizeof name, "mid.hint.%d", k);
    if (!weights_has(c->data, name)) return;
    Tensor *want = load(c->data, name);
    assert_ok(control_hint(c->controls[k], c->x->shape[2], c->x->shape[3], &hint, &err), &err);
    double d = tensor_rel_diff(hint, want);
    if (!(d < 1e-5)) fail_msg("hint %d: %g", k, d);
    tensor_unref(want);
}

/* One net's residuals of picture b: [count][tokens * D], in F32 (exact). */
static void run_net(const Case *c, int k, int64_t b, float **places, float *memory)
{
    ForwardCall f = call_of(c, b, NULL);
    const Tensor *hint = NULL;
    Error err = { 0 };
    ControlShape shape = controlnet_shape(c->nets[k]);
    int64_t tokens = pos_tokens(&model_dims(c->model)->positions, f.size);
    size_t each = (size_t)(tokens * model_dims(c->model)->width);

    for (int i = 0; i < shape.doubles + shape.singles; i++)
        places[i] = memory + (size_t)i * each;
    assert_ok(control_hint(c->controls[k], f.size.h, f.size.w, &hint, &err), &err);
    ControlCall call = { .forward = &f,
                         .hint = item(hint, b % hint->shape[0]),
                         .strength = control_strength(c->controls[k]),
                         .doubles = (void *const *)places,
                         .singles = (void *const *)(places + shape.doubles) };
    assert_ok(controlnet_run(c->nets[k], &call, &err), &err);
}

static bool active(const Case *c, int k)
{
    return control_is_active(c->controls[k], model_denoiser(c->model)->sampling,
                             *item(c->timestep, 0));
}

/* Entry i of the summed lists against the vector's. */
static double compare_entry(const Case *c, bool single, int i, const Json *index, int64_t b,
                            float *places[NETS_MAX][PLACES_MAX])
{
    char name[32];
    int64_t which = 0;

    assert_true(json_int64(index, &which));
    snprintf(name, sizeof name, "out.%s.%d", single ? "output" : "input", (int)which);
    Tensor *want = load(c->data, name);
    int64_t n = tensor_count(want) / want->shape[0];
    float *sum = mem_calloc((size_t)n, sizeof *sum);
    for (int k = 0; k < c->n; k++) {
        ControlShape shape = controlnet_shape(c->nets[k]);
        int j = control_spread(&shape, single, i);
        if (!active(c, k) || j < 0) continue;
        for (int64_t e = 0; e < n; e++)
            sum[e] += places[k][single ? shape.doubles + j : j][e];
    }
    double d = distance(sum, item(want, b), n);
    mem_free(sum);
    tensor_unref(want);
    return d;
}

static double compare_residuals(const Case *c, const Json *params, int64_t b)
{
    float *places[NETS_MAX][PLACES_MAX];
    float *memory[NETS_MAX] = { 0 };
    double worst = 0;

    for (int k = 0; k < c->n; k++) {
        memory[k] = mem_calloc(1, 1 << 20);
        assert_true(controlnet_bytes(c->nets[k], 12) < 1 << 20);
        run_net(c, k, b, places[k], memory[k]);
    }
    for (int single = 0; single < 2; single++) {
        const Json *list = json_get(json_get(params, "pattern"), single ? "output" : "input");
        int i = 0;
        for (const Json *e = json_first(list); e; e = json_next(e), i++)
            worst = fmax(worst, compare_entry(c, single, i, e, b, places));
    }
    for (int k = 0; k < c->n; k++)
        mem_free(memory[k]);
    return worst;
}

/* ---- through the denoiser ---------------------------------------------------------------------------------- */

/* x - sigma * v of picture b, with or without the chain, as a sampler gets it. */
static Tensor *denoised(const Case *c, int64_t b, bool with)
{
    Error err = { 0 };
    Tensor *x = NULL, *embed = NULL, *pooled = NULL, *out = NULL;
    Cond *cond = NULL;
    const Denoiser *d = model_denoiser(c->model);

    assert_ok(tensor_slice(c->x, b, 1, &x, &err), &err);
    assert_ok(tensor_slice(c->context, b, 1, &embed, &err), &err);
    assert_ok(tensor_slice(c->pooled, b, 1, &pooled, &err), &err);
    assert_ok(cond_new(embed, pooled, &cond, &err), &err);
    cond_set_guidance(cond, (double)*item(c->guidance, b));
    for (int k = 0; with && k < c->n; k++)
        assert_ok(
            cond_append_control(cond, (const Ref *)(const void *)c->controls[k], false, &err),
            &err);
    assert_ok(tensor_zeros(K_F32, 4, x->shape, &out, &err), &err);
    DenoiseCall call = { .x = x,
                         .sigma = *item(c->timestep, b),
                         .cond = &cond->entries[0],
                         .full_h = x->shape[2],
                         .full_w = x->shape[3],
                         .out = out };
    assert_ok(d->class->denoise((Denoiser *)(uintptr_t)d, &call, &err), &err);
    cond_unref(cond);
    tensor_unref(x);
    return out;
}

/* v of picture b of a batch whose texts differ, which no conditioning carries: net and model by hand. */
static double compare_forward(const Case *c, int64_t b)
{
    float *places[PLACES_MAX], *memory = mem_calloc(1, 1 << 20);
    Error err = { 0 };
    Tensor *want = load(c->data, "out.base_controlled"), *got = NULL;

    assert_ok(tensor_clone(want, &got, &err), &err);
    run_net(c, 0, b, places, memory);
    ForwardCall f = call_of(c, b, item(got, b));
    ForwardControl control = { .shape = controlnet_shape(c->nets[0]),
                               .doubles = (void *const *)places,
                               .singles = (void *const *)places };
    f.controls = &control;
    f.n_controls = 1;
    assert_ok(model_forward(c->model, &f, &err), &err);
    double d = distance(item(got, b), item(want, b), tensor_count(want) / want->shape[0]);
    tensor_unref(want);
    tensor_unref(got);
    mem_free(memory);
    return d;
}

/* The vectors hold the model's own output. */
static double compare_base(const Case *c, int64_t b, bool with)
{
    Tensor *want = load(c->data, with ? "out.base_controlled" : "out.base_plain");
    Tensor *got = denoised(c, b, with);
    int64_t n = tensor_count(got);
    float sigma = *item(c->timestep, b);

    for (int64_t i = 0; i < n; i++)
        tensor_f32(got)[i] = (item(c->x, b)[i] - tensor_f32(got)[i]) / sigma;
    double d = distance(tensor_f32(got), item(want, b), n);
    tensor_unref(want);
    tensor_unref(got);
    return d;
}

static const char *const cases[] = { "xlabs",
                                     "xlabs_resize_batch2",
                                     "union_canny",
                                     "union_depth_instantx_odd",
                                     "union_auto",
                                     "union_unset",
                                     "mistoline",
                                     "inpaint",
                                     "inpaint_plain_apply",
                                     "chain",
                                     "chain_first_inactive",
                                     "inactive" };
enum { CASES = sizeof cases / sizeof *cases };

static const Json *open_index(const char *name)
{
    char path[512];
    vector_path("controlnet/controlnet.json", path, sizeof path);
    index_doc = json_file(path);
    const Json *params = json_get(json_get(json_root(index_doc), "cases"), name);
    assert_non_null(params);
    return params;
}

static void run_case(const char *name)
{
    Case c;
    const Json *params = open_index(name);

    open_case(&c, name, params, true);
    for (int k = 0; k < c.n; k++)
        check_hint(&c, k);
    double residuals = 0, plain = 0, controlled = 0;
    for (int64_t b = 0; b < c.x->shape[0]; b++) {
        residuals = fmax(residuals, compare_residuals(&c, params, b));
        plain = fmax(plain, compare_base(&c, b, false));
        controlled = fmax(controlled, c.x->shape[0] > 1 ? compare_forward(&c, b)
                                                        : compare_base(&c, b, true));
    }
    print_message("%s: residuals %.3g, model %.3g, with control %.3g\n", name, residuals, plain,
                  controlled);
    if (!(residuals <= 1e-4)) fail_msg("%s: residuals %g", name, residuals);
    if (!(plain <= 3e-4)) fail_msg("%s: %g", name, plain);
    if (!(controlled <= 3e-4)) fail_msg("%s: %g", name, controlled);
    close_case(&c);
    json_free(index_doc);
}

static void exact_agrees_with_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        run_case(cases[i]);
}

/* A case in one precision with a guidance whose thousandfold bf16 holds exactly. */
static Tensor *controlled_in(const char *name, bool exact)
{
    Case c;
    open_case(&c, name, open_index(name), exact);
    tensor_fill(c.guidance, 4);
    Tensor *out = denoised(&c, 0, true);
    close_case(&c);
    json_free(index_doc);
    return out;
}

static void fast_is_near_exact(void **state)
{
    static const char *const names[] = { "xlabs", "union_canny", "mistoline", "inpaint" };
    (void)state;
    for (int i = 0; i < 4; i++) {
        Tensor *fast = controlled_in(names[i], false), *exact = controlled_in(names[i], true);
        double d = tensor_distance(fast, exact);
        print_message("%s: fast %.3g from exact\n", names[i], d);
        if (!(d <= 1.5e-2)) fail_msg("%s: %g", names[i], d);
        tensor_unref(fast);
        tensor_unref(exact);
    }
}

int group_controlnet(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_agrees_with_the_reference),
        cmocka_unit_test(fast_is_near_exact),
    };
    return cmocka_run_group_tests_name("controlnet", tests, NULL, NULL);
}
