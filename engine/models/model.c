/* model.c - the MODEL value: core, programs by shape, patches, and the denoiser that samplers see. */
#include "engine/models/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/models/detect.h"
#include "engine/models/inputs.h"
#include "engine/models/parts.h"
#include "engine/models/reuse.h"
#include "engine/tensor/ops.h"

enum { PROGRAMS_KEPT = 12 };

/* A program that was built, and what it was built for. */
typedef struct Built {
    Program *program; /* owned; NULL = free place */
    ForwardShape shape;
    PatchSet patches; /* the weight patches that its matrices come from */
    uint64_t used;    /* clock of the last use */
} Built;

/* What handles of one file share. */
typedef struct ModelCore {
    Component component; /* first: its Ref is the core's */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned; BFL's names */
    const ModelFamily *family;
    ModelDims dims;
    float *zeros; /* owned; [dims.pooled], for prompts without a pooled vector */
    Built built[PROGRAMS_KEPT];
    uint64_t clock;
} ModelCore;

struct Model {
    Denoiser denoiser; /* first */
    ModelCore *core;   /* one reference owned */
    ModelDims dims;    /* the core's, widened by weight patches */
    PatchSet patches;
    RunState state; /* of the run that goes on */
    Reuse *reuse;   /* during a run with step caches; owned */
};

/* ---- core ---------------------------------------------------------------------------------------------- */

static void built_fini(Built *b)
{
    prog_free(b->program);
    patch_set_fini(&b->patches);
    *b = (Built){ 0 };
}

static void core_destroy(void *object)
{
    ModelCore *c = object;
    for (int i = 0; i < PROGRAMS_KEPT; i++)
        built_fini(&c->built[i]);
    weights_unref(c->weights);
    mem_free(c->zeros);
    mem_free((char *)(uintptr_t)c->component.file);
    mem_free(c);
}

static void core_release(Component *component)
{
    ModelCore *c = (ModelCore *)(void *)component;
    weights_release(c->weights);
}

static Status core_new(Host *h, const Weights *w, const char *file, ModelCore **out, Error *err)
{
    Status status = OK;
    ModelCore *c = mem_calloc(1, sizeof *c);

    if (!c) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&c->component.ref, core_destroy);
    c->component.name = "transformer";
    c->component.release = core_release;
    c->host = h;
    TRY_DONE(detect_transformer(w, &c->family, &c->weights, err));
    TRY_DONE(c->family->read_dims(c->weights, &c->dims, err));
    c->component.bytes = weights_bytes(c->weights);
    c->component.file = mem_strdup(file ? file : "");
    c->zeros = mem_calloc((size_t)c->dims.pooled + 1, sizeof *c->zeros);
    if (!c->component.file || !c->zeros) status = error_set(err, E_NOMEM, "out of memory");
done:
    if (status != OK) {
        error_at_file(err, file, -1);
        ref_drop(c);
        return status;
    }
    *out = c;
    return OK;
}

/* ---- programs -------------------------------------------------------------------------------------------- */

/* Only weight patches change a program's matrices. */
static bool same_weight_patches(const PatchSet *a, const PatchSet *b)
{
    for (int i = 0;; i++) {
        const Patch *p = patch_set_find(a, PATCH_WEIGHTS, i),
                    *q = patch_set_find(b, PATCH_WEIGHTS, i);
        if (!p && !q) return true;
        if (!p || !q || p->object != q->object || p->strength != q->strength) return false;
    }
}

static Built *find_built(ModelCore *c, const ForwardShape *shape, const PatchSet *patches)
{
    for (int i = 0; i < PROGRAMS_KEPT; i++) {
        Built *b = &c->built[i];
        if (b->program && !memcmp(&b->shape, shape, sizeof *shape) &&
            same_weight_patches(&b->patches, patches))
            return b;
    }
    return NULL;
}

static Built *oldest(ModelCore *c)
{
    Built *best = &c->built[0];
    for (int i = 1; i < PROGRAMS_KEPT; i++)
        if (c->built[i].used < best->used) best = &c->built[i];
    return best;
}

static Status apply_patches(void *user, const char *name, KWeight *w, Error *err)
{
    const Model *m = user;
    const Patch *p;

    if (atomic_load(
            &host_events(m->core->host)->cancel)) /* merging a large file takes seconds */
        return error_set(err, E_CANCELLED, "interrupted");
    for (int i = 0; (p = patch_set_find(&m->patches, PATCH_WEIGHTS, i)); i++) {
        WeightPatch *patch = (WeightPatch *)(uintptr_t)p->object;
        TRY(patch->apply(patch, name, p->strength, w, err));
    }
    return OK;
}

static Status build_into(const Model *m, const ForwardShape *shape, Built *place, Error *err)
{
    ModelCore *c = m->core;
    Status status = OK;
    Built b = { 0 };
    WeightSource source = { .weights = c->weights, .user = (void *)(uintptr_t)m };

    memcpy(&b.shape, shape, sizeof *shape); /* padding too: shapes are compared as bytes */
    if (patch_set_find(&m->patches, PATCH_WEIGHTS, 0)) source.patch = apply_patches;
    TRY_DONE(patch_set_copy(&m->patches, &b.patches, err));
    TRY_DONE(prog_new(c->family->name, &b.program, err));
    c->family->build(&m->dims, &source, shape, host_exact(c->host), b.program);
    TRY_DONE(prog_compile(b.program, PASS_ALL, err));
    TRY_DONE(prog_plan(b.program, host_backend(c->host), host_context(c->host), err));
    built_fini(place);
    *place = b;
    return OK;
done:
    error_at_file(err, c->component.file, -1);
    built_fini(&b);
    return status;
}

static void read_skips(const BlockSkip *skip, ForwardShape *s)
{
    for (int i = 0; skip && i < skip->double_count; i++)
        if (skip->double_blocks[i] >= 0 && skip->double_blocks[i] < MODEL_MAX_SKIPS)
            s->skip_double |= 1ULL << skip->double_blocks[i];
    for (int i = 0; skip && i < skip->single_count; i++)
        if (skip->single_blocks[i] >= 0 && skip->single_blocks[i] < MODEL_MAX_SKIPS)
            s->skip_single |= 1ULL << skip->single_blocks[i];
}

static Status shape_of_call(const Model *m, const ForwardCall *call, ForwardShape *s,
                            Error *err)
{
    const ModelDims *d = &m->dims;

    memset(s, 0, sizeof *s);
    if (call->n_refs > MODEL_MAX_REFS)
        return error_set(err, E_LIMIT, "%d reference latents; at most %d are taken",
                         call->n_refs, MODEL_MAX_REFS);
    if (call->n_controls > MODEL_MAX_CONTROLS)
        return error_set(err, E_LIMIT, "%d ControlNets at one time; at most %d are taken",
                         call->n_controls, MODEL_MAX_CONTROLS);
    s->size = call->size;
    s->tokens = call->tokens;
    if (call->pad && call->tokens < d->context_pad) s->pad = d->context_pad - call->tokens;
    s->concat = call->concat ? call->concat_channels : d->in_channels - d->channels;
    s->n_refs = call->n_refs;
    for (int k = 0; k < call->n_refs; k++)
        s->refs[k] = call->ref_sizes[k];
    s->method = call->method == REF_DEFAULT ? d->references : call->method;
    s->guided = call->guided && d->guidance;
    s->style = call->style ? call->style_rows : 0;
    s->bias = call->bias != NULL;
    s->kv = call->kv;
    s->n_controls = call->n_controls;
    for (int k = 0; k < call->n_controls; k++) {
        s->controls[k].doubles = call->controls[k].shape.doubles;
        s->controls[k].singles = call->controls[k].shape.singles;
        s->controls[k].cycle = call->controls[k].shape.cycle;
    }
    if (s->kv == KV_REFS) { /* of the references alone, whatever the call is about */
        s->tokens = s->pad = s->style = 0;
        s->bias = false;
        s->n_controls = 0;
    }
    s->part = call->part;
    read_skips(call->skip, s);
    part_narrow(s);
    return OK;
}

static Status program_for(const Model *m, const ForwardCall *call, Program **out, Error *err)
{
    ModelCore *c = m->core;
    ForwardShape shape;

    TRY(shape_of_call(m, call, &shape, err));
    Built *b = find_built(c, &shape, &m->patches);
    if (!b) {
        b = oldest(c);
        TRY(build_into(m, &shape, b, err));
    }
    b->used = ++c->clock;
    *out = b->program;
    return OK;
}

/* ---- one evaluation ---------------------------------------------------------------------------------------- */

float model_scaled_guidance(double guidance, bool exact)
{
    float g = (float)guidance;
    if (exact) return 1000.0f * g;
    g = k_f32_from_bf16(k_bf16_from_f32(g));
    return k_f32_from_bf16(k_bf16_from_f32(1000.0f * g));
}

/* Arguments of a program by name. */
enum {
    ARGS_MAX = 8 + MODEL_MAX_REFS + 2 * MODEL_MAX_SKIPS +
               MODEL_MAX_CONTROLS * (CONTROL_DOUBLES + CONTROL_SINGLES)
};
typedef struct Args {
    ProgArg args[ARGS_MAX];
    char names[ARGS_MAX][32];
    int n;
} Args;

static void give(Args *a, const void *data, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void give(Args *a, const void *data, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(a->names[a->n], sizeof a->names[a->n], format, list);
    va_end(list);
    a->args[a->n] = (ProgArg){ a->names[a->n], (void *)(uintptr_t)data };
    a->n++;
}

/* Residuals, each that some block of the base takes. */
static void give_controls(Args *a, const ModelDims *d, const ForwardCall *call)
{
    for (int c = 0; c < call->n_controls; c++) {
        const ForwardControl *f = &call->controls[c];
        for (int single = 0; single < 2; single++) {
            int blocks = single ? d->single_blocks : d->double_blocks;
            for (int i = 0, most = -1; i < blocks; i++) {
                int j = control_spread(&f->shape, single, i);
                if (j <= most) continue;
                most = j;
                give(a, single ? f->singles[j] : f->doubles[j], "control.%d.%s.%d", c,
                     single ? "single" : "double", j);
            }
        }
    }
}

/* Keys and values of every block that runs. */
static void give_kv(Args *a, const ModelDims *d, const ForwardCall *call, const ForwardShape *s)
{
    for (int i = 0; i < d->double_blocks; i++)
        if (!(s->skip_double >> i & 1)) give(a, call->kv_memory[i], "kv.double.%d", i);
    for (int i = 0; i < d->single_blocks; i++)
        if (!(s->skip_single >> i & 1))
            give(a, call->kv_memory[d->double_blocks + i], "kv.single.%d", i);
}

static void give_inputs(Args *a, const Model *m, const ForwardCall *call, const ForwardShape *s)
{
    const ModelDims *d = &m->dims;

    if (d->pooled) give(a, call->pooled ? call->pooled : m->core->zeros, "pooled");
    for (int k = 0; k < s->n_refs && s->kv != KV_CACHED; k++)
        give(a, call->refs[k], "ref.%d", k);
    if (call->kv == KV_REFS) return;
    give(a, call->x, "x");
    if (call->concat) give(a, call->concat, "concat");
    if (s->part == PART_REUSE) give(a, call->residual, "residual");
    if (!part_has_blocks(s)) return;
    give(a, call->context, "context");
    if (call->style) give(a, call->style, "style");
    if (call->bias) give(a, call->bias, "bias");
    give_controls(a, d, call);
    if (call->kv == KV_CACHED) give_kv(a, d, call, s);
}

KDtype model_act(const Model *m)
{
    return host_exact(m->core->host) ? K_F32 : K_BF16;
}

Status model_forward(const Model *m, const ForwardCall *call, Error *err)
{
    ModelCore *c = m->core;
    Program *p = NULL;
    ForwardShape shape;
    void *arena = NULL;
    Args in, out;
    float timestep = 1000.0f * call->sigma;
    float guidance = model_scaled_guidance(call->guidance, host_exact(c->host));

    in.n = out.n = 0;
    TRY(shape_of_call(m, call, &shape, err));
    TRY(program_for(m, call, &p, err));
    give(&in, &timestep, "timestep");
    if (shape.guided) give(&in, &guidance, "guidance");
    give_inputs(&in, m, call, &shape);
    if (call->kv == KV_REFS)
        give_kv(&out, &m->dims, call, &shape);
    else if (call->part != PART_PROBE)
        give(&out, call->out, "out");
    if (call->part == PART_PROBE) give(&out, call->kept, "modulated");
    if (call->part == PART_KEEP) give(&out, call->kept, "residual");
    TRY(host_enter(c->host, &c->component, err));
    TRY(host_arena(c->host, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(c->host),
                    .ctx = host_context(c->host),
                    .arena = arena,
                    .events = host_events(c->host),
                    .dummy = host_dummy(c->host) };
    return prog_run(p, &run, in.args, in.n, out.args, out.n, err);
}

Status model_cost(const Model *m, const ForwardCall *call, ModelCost *out, Error *err)
{
    Program *p = NULL;
    TRY(program_for(m, call, &p, err));
    *out = (ModelCost){ .arena_bytes = prog_arena_bytes(p),
                        .weight_bytes = prog_weight_bytes(p),
                        .flops = prog_flops(p),
                        .operations = prog_op_count(p) };
    return OK;
}

/* ---- the denoiser that samplers see ---------------------------------------------------------------------- */

static Status check_call(const Model *m, const DenoiseCall *call, Error *err)
{
    const ModelCore *c = m->core;
    const Tensor *x = call->x, *embed = call->cond->embed;

    if (x->ndim != 4 || x->dtype != K_F32 || x->shape[1] != c->dims.channels)
        return error_set(err, E_SHAPE, "the latent has %lld channels, the model takes %lld",
                         x->ndim == 4 ? (long long)x->shape[1] : 0LL,
                         (long long)c->dims.channels);
    if (!embed || embed->ndim != 3 || embed->dtype != K_F32 ||
        embed->shape[2] != c->dims.context) {
        error_set(err, E_SHAPE, "the conditioning is %lld wide, the model takes %lld",
                  embed && embed->ndim == 3 ? (long long)embed->shape[2] : 0LL,
                  (long long)c->dims.context);
        error_fix(err, "use the text encoder that belongs to %s", c->component.file);
        return E_SHAPE;
    }
    if (call->cond->reference_count > MODEL_MAX_REFS)
        return error_set(err, E_LIMIT, "%d reference latents; at most %d are taken",
                         call->cond->reference_count, MODEL_MAX_REFS);
    for (int k = 0; k < call->cond->reference_count; k++) {
        const Tensor *r = call->cond->references[k];
        if (r->ndim != 4 || r->dtype != K_F32 || r->shape[1] != c->dims.channels)
            return error_set(err, E_SHAPE,
                             "reference latent %d has %lld channels, the model takes %lld",
                             k + 1, r->ndim == 4 ? (long long)r->shape[1] : 0LL,
                             (long long)c->dims.channels);
    }
    if (c->dims.pooled && call->cond->pooled &&
        tensor_count(call->cond->pooled) < c->dims.pooled)
        return error_set(
            err, E_SHAPE, "the pooled text vector has %lld values, the model takes %lld",
            (long long)tensor_count(call->cond->pooled), (long long)c->dims.pooled);
    return OK;
}

/* out = x - sigma * v, where out holds v. */
static void to_estimate(const float *x, float sigma, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] - sigma * out[i];
}

static InputSource input_source(Model *m)
{
    return (InputSource){ .model = m,
                          .host = m->core->host,
                          .component = &m->core->component,
                          .dims = &m->dims,
                          .family = m->core->family,
                          .denoiser = &m->denoiser,
                          .patches = &m->patches,
                          .state = &m->state };
}

/* The velocity of every picture into out; tells how many a step cache answered for. */
static Status velocities(const Model *m, const InputSource *from, const DenoiseCall *call,
                         CallInputs *in, Error *err)
{
    ForwardCall f;
    int64_t batch = call->x->shape[0];
    bool answered = false, reused = false;

    TRY(reuse_ask(m->reuse, call, &answered, err));
    if (answered && call->reused) *call->reused += (int)batch;
    if (answered) return OK;
    for (int64_t b = 0; b < batch; b++) {
        TRY(inputs_of_item(from, call, in, b, &f, err));
        TRY(reuse_forward(m->reuse, m, call, b, &f, &reused, err));
        if (reused && call->reused) ++*call->reused;
    }
    return reuse_keep(m->reuse, call, err);
}

static Status denoise(Denoiser *d, const DenoiseCall *call, Error *err)
{
    Model *m = (Model *)(void *)d;
    InputSource from = input_source(m);
    CallInputs in = { 0 };
    Status status = OK;

    TRY(check_call(m, call, err));
    TRY_DONE(inputs_read(&from, call, &in, err));
    if (host_dummy(m->core->host)) tensor_fill(call->out, 0);
    TRY_DONE(velocities(m, &from, call, &in, err));
    to_estimate(tensor_f32(call->x), call->sigma, tensor_f32(call->out), tensor_count(call->x));
done:
    inputs_fini(&in);
    return status;
}

static Status begin(Denoiser *d, const DenoiseRun *run, Error *err)
{
    Model *m = (Model *)(void *)d;
    TRY(reuse_begin(m, run, &m->reuse, err));
    m->state.mask = run->mask ? tensor_ref(run->mask) : NULL;
    return OK;
}

static void end(Denoiser *d)
{
    Model *m = (Model *)(void *)d;
    run_state_fini(&m->state, m->core->host);
    reuse_end(m->reuse);
    m->reuse = NULL;
}

static const DenoiserClass model_class = {
    .name = "transformer", .begin = begin, .denoise = denoise, .end = end
};

/* ---- handles ------------------------------------------------------------------------------------------------ */

static void model_destroy(void *object)
{
    Model *m = object;
    denoiser_fini(&m->denoiser);
    patch_set_fini(&m->patches);
    if (m->core) run_state_fini(&m->state, m->core->host);
    ref_drop(m->core);
    mem_free(m);
}

/* An unpatched handle without sampling; takes the reference on core over. */
static Status handle_new(ModelCore *core, Model **out, Error *err)
{
    Model *m = mem_calloc(1, sizeof *m);
    if (!m) {
        ref_drop(core);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_init(&m->denoiser.ref, model_destroy);
    m->denoiser.class = &model_class;
    m->denoiser.format = core->family->format(&core->dims);
    m->core = core;
    m->dims = core->dims;
    *out = m;
    return OK;
}

/* Builds the smallest program, so that a tensor that is missing or of another size is told now. */
static Status check_tensors(const ModelCore *c, Error *err)
{
    ForwardShape s;
    Program *p = NULL;
    WeightSource source = { .weights = c->weights };
    Status status = OK;

    memset(&s, 0, sizeof s);
    s.size = (PosSize){ c->dims.positions.patch, c->dims.positions.patch };
    s.tokens = 1;
    s.concat = c->dims.in_channels - c->dims.channels;
    s.guided = c->dims.guidance;
    s.method = c->dims.references;
    TRY(prog_new(c->family->name, &p, err));
    c->family->build(&c->dims, &source, &s, host_exact(c->host), p);
    TRY_DONE(prog_plan(p, host_backend(c->host), host_context(c->host), err));
done:
    if (status != OK) error_at_file(err, c->component.file, -1);
    prog_free(p);
    return status;
}

Status model_open(Host *h, const Weights *w, const char *file, Model **out, Error *err)
{
    ModelCore *core = NULL;
    Model *m = NULL;
    Status status = OK;

    TRY(core_new(h, w, file, &core, err));
    TRY(handle_new(core, &m, err));
    TRY_DONE(core->family->sampling(&core->dims, &m->denoiser.sampling, err));
    TRY_DONE(check_tensors(core, err));
    *out = m;
    return OK;
done:
    model_unref(m);
    return status;
}

Status model_matrix(const Model *m, const char *name, KWeight *out, Error *err)
{
    const Weights *w = m->core->weights;
    int64_t shape[K_MAX_DIMS], count = weights_elements(w, name);
    const float *values = NULL;

    if (weights_shape(w, name, shape) == 1) { /* a vector: one row of float32 */
        TRY(weights_f32(w, name, count, &values, err));
        *out = (KWeight){
            .data = values, .dtype = K_F32, .n = 1, .k = count, .row_bytes = count * 4
        };
    } else {
        TRY(weights_matrix(w, name, 0, 0, out, err));
    }
    return apply_patches((void *)(uintptr_t)m, name, out, err);
}

/* Weight patches may give img_in more columns: the model then reads extra channels. */
static Status widen(Model *m, Error *err)
{
    static const char name[] = "img_in.weight";
    KWeight w;

    if (!weights_has(m->core->weights, name)) return OK;
    TRY(weights_matrix(m->core->weights, name, 0, 0, &w, err));
    int64_t cells = w.k / m->core->dims.in_channels;
    TRY(apply_patches(m, name, &w, err));
    if (w.k % cells || w.k / cells < m->core->dims.channels)
        return error_set(err, E_SHAPE, "a LoRA gives img_in %lld columns", (long long)w.k);
    m->dims.in_channels = w.k / cells;
    return OK;
}

Status model_with_patch(const Model *m, const Patch *patch, Model **out, Error *err)
{
    Status status = OK;
    Model *c = NULL;
    const Ref *sampling =
        patch->kind == PATCH_SAMPLING ? patch->object : &m->denoiser.sampling->ref;

    TRY(handle_new(ref_take(m->core), &c, err));
    c->denoiser.sampling = ref_take(sampling);
    TRY_DONE(guidance_list_copy(&m->denoiser.hooks, &c->denoiser.hooks, err));
    TRY_DONE(patch_set_copy(&m->patches, &c->patches, err));
    TRY_DONE(patch_set_add(&c->patches, patch, err));
    TRY_DONE(widen(c, err));
    if (patch->kind == PATCH_GUIDE)
        TRY_DONE(guidance_list_add(&c->denoiser.hooks,
                                   (const GuidanceHook *)(const void *)patch->object, err));
    c->denoiser.around = reuse_around(&c->patches);
    *out = c;
    return OK;
done:
    model_unref(c);
    return status;
}

const Denoiser *model_denoiser(const Model *m)
{
    return &m->denoiser;
}

const PatchSet *model_patches(const Model *m)
{
    return &m->patches;
}

const ModelDims *model_dims(const Model *m)
{
    return &m->dims;
}

const ModelFamily *model_family(const Model *m)
{
    return m->core->family;
}

const Weights *model_weights(const Model *m)
{
    return m->core->weights;
}

Host *model_host(const Model *m)
{
    return m->core->host;
}
