/* controlnet.c - recognising ControlNets, their programs by shape, and one evaluation. */
#include "engine/models/controlnet.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/recognise.h"
#include "engine/models/controlnet_build.h"
#include "engine/models/flux1.h"
#include "engine/models/names.h"

enum { PROGRAMS_KEPT = 4 };

/* A program and what it was built for. */
typedef struct Built {
    Program *program; /* owned; NULL = free place */
    ForwardShape shape;
    double strength;
    uint64_t used;
} Built;

/* What handles of one file share. */
typedef struct ControlCore {
    Component component; /* first: its Ref is the core's */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned; in the names that blocks.h reads */
    ControlKind kind;
    ModelDims dims;
    int64_t hint_channels;
    int64_t modes; /* rows of the table of types; 0 = no union net */
    float *zeros;  /* owned; [dims.pooled] */
    Built built[PROGRAMS_KEPT];
    uint64_t clock;
} ControlCore;

struct ControlNet {
    Ref ref;
    ControlCore *core; /* one reference owned */
    int type;          /* row of the table of types; -1 = none */
    float *mode;       /* owned; [D], the row, read when first used; NULL = not yet */
};

/* ---- recognition ---------------------------------------------------------------------------------------- */

/* Kinds in the order in which they are tried: all names of `has`, none of `lacks`. */
static const struct {
    ControlKind kind;
    const char *has[2], *lacks[2];
} kinds[] = {
    { CONTROL_XLABS,
      { "controlnet_blocks.0.weight", "double_blocks.0.img_attn.norm.key_norm.scale" },
      { NULL, NULL } },
    { CONTROL_LATENT,
      { "controlnet_blocks.0.weight", "controlnet_x_embedder.weight" },
      { "pos_embed_input.proj.weight", "transformer_blocks.0.img_mlp.net.0.proj.weight" } },
    { CONTROL_MISTO, { "controlnet_blocks.0.linear.weight", "img_in.weight" }, { NULL, NULL } },
};

static bool is_kind(const Weights *w, size_t i)
{
    for (int k = 0; k < 2; k++) {
        if (!weights_has(w, kinds[i].has[k])) return false;
        if (kinds[i].lacks[k] && weights_has(w, kinds[i].lacks[k])) return false;
    }
    return true;
}

static Status find_kind(const Weights *w, ControlKind *out, Error *err)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_kind(w, i)) {
            *out = kinds[i].kind;
            return OK;
        }
    return recognise_refuse(w, "FLUX.1 ControlNet", err);
}

/* Names as the file has them to those that the programs read. */
static bool rename_latent(void *user, const char *name, char *buf, size_t size)
{
    static const char embedder[] = "controlnet_x_embedder";
    int n;

    (void)user;
    if (names_flux1_from_diffusers(name, buf, size)) return true;
    if (str_starts_with(name, embedder))
        n = snprintf(buf, size, "pos_embed_input%s", name + sizeof embedder - 1);
    else
        n = snprintf(buf, size, "%s", name);
    return n >= 0 && (size_t)n < size;
}

static bool rename_misto(void *user, const char *name, char *buf, size_t size)
{
    static const char singles[] = "single_controlnet_blocks";
    int n;

    (void)user;
    if (str_starts_with(name, singles))
        n = snprintf(buf, size, "controlnet_single_blocks%s", name + sizeof singles - 1);
    else
        n = snprintf(buf, size, "%s", name);
    return n >= 0 && (size_t)n < size;
}

static Status read_sizes(ControlCore *c, Error *err)
{
    const Weights *w = c->weights;

    TRY(flux1_read_sizes(w, &c->dims, err));
    TRY(flux1_patch_channels(w, "pos_embed_input.weight", 1, &c->hint_channels, err));
    if (c->dims.double_blocks < 1)
        return error_set(err, E_FORMAT, "a ControlNet has at least one double block");
    if (c->kind != CONTROL_LATENT) {
        c->hint_channels = 3;
        return OK;
    }
    if (c->hint_channels != c->dims.channels && c->hint_channels != c->dims.channels + 1)
        return error_set(err, E_FORMAT,
                         "pos_embed_input reads %lld channels; latents of %lld are usual, or "
                         "one more for a mask",
                         (long long)c->hint_channels, (long long)c->dims.channels);
    c->modes = weights_dim(w, "controlnet_mode_embedder.weight", 0);
    if (c->modes > 0 && weights_dim(w, "controlnet_mode_embedder.weight", 1) != c->dims.width)
        return error_set(err, E_SHAPE, "controlnet_mode_embedder is not %lld wide",
                         (long long)c->dims.width);
    return OK;
}

/* ---- core ------------------------------------------------------------------------------------------------- */

static void core_destroy(void *object)
{
    ControlCore *c = object;
    for (int i = 0; i < PROGRAMS_KEPT; i++)
        prog_free(c->built[i].program);
    weights_unref(c->weights);
    mem_free(c->zeros);
    mem_free((char *)(uintptr_t)c->component.file);
    mem_free(c);
}

static void core_release(Component *component)
{
    weights_release(((ControlCore *)(void *)component)->weights);
}

/* The file's tensors under the names that the programs read. */
static Status rename_file(ControlKind kind, const Weights *w, Weights **out, Error *err)
{
    if (kind == CONTROL_LATENT) return weights_rename(w, rename_latent, NULL, out, err);
    if (kind == CONTROL_MISTO) return weights_rename(w, rename_misto, NULL, out, err);
    *out = weights_ref(w);
    return OK;
}

static Status read_core(ControlCore *c, const char *file, Error *err)
{
    TRY(read_sizes(c, err));
    c->component.bytes = weights_bytes(c->weights);
    c->component.file = mem_strdup(file ? file : "");
    c->zeros = mem_calloc((size_t)c->dims.pooled + 1, sizeof *c->zeros);
    return c->component.file && c->zeros ? OK : error_set(err, E_NOMEM, "out of memory");
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

static Status build_into(ControlCore *c, const ForwardShape *shape, double strength,
                         Built *place, Error *err)
{
    Program *p = NULL;
    Status status = OK;
    WeightSource source = { .weights = c->weights };
    ControlBuild build = { .kind = c->kind,
                           .dims = &c->dims,
                           .source = &source,
                           .hint_channels = c->hint_channels,
                           .strength = strength,
                           .exact = host_exact(c->host) };

    TRY(prog_new("controlnet", &p, err));
    controlnet_build(&build, shape, p);
    TRY_DONE(prog_compile(p, PASS_ALL, err));
    TRY_DONE(prog_plan(p, host_backend(c->host), host_context(c->host), err));
    prog_free(place->program);
    place->program = p;
    memcpy(&place->shape, shape, sizeof *shape);
    place->strength = strength;
    return OK;
done:
    error_at_file(err, c->component.file, -1);
    prog_free(p);
    return status;
}

static Status program_for(ControlCore *c, const ForwardShape *shape, double strength,
                          Program **out, Error *err)
{
    Built *place = &c->built[0];

    for (int i = 0; i < PROGRAMS_KEPT; i++) {
        Built *b = &c->built[i];
        if (b->program && b->strength == strength && !memcmp(&b->shape, shape, sizeof *shape)) {
            b->used = ++c->clock;
            *out = b->program;
            return OK;
        }
        if (b->used < place->used) place = b;
    }
    TRY(build_into(c, shape, strength, place, err));
    place->used = ++c->clock;
    *out = place->program;
    return OK;
}

/* Every tensor that the sizes promise is looked for. */
static Status check_tensors(ControlCore *c, Error *err)
{
    ForwardShape s;
    Program *p = NULL;

    memset(&s, 0, sizeof s);
    s.size = (PosSize){ 2, 2 };
    s.tokens = 1;
    s.guided = c->dims.guidance;
    s.method = c->dims.references;
    return program_for(c, &s, 1, &p, err);
}

/* ---- handles ------------------------------------------------------------------------------------------------- */

static void net_destroy(void *object)
{
    ControlNet *n = object;
    ref_drop(n->core);
    mem_free(n->mode);
    mem_free(n);
}

/* Takes the reference on core over. */
static Status net_new(ControlCore *core, int type, ControlNet **out, Error *err)
{
    ControlNet *n = mem_calloc(1, sizeof *n);
    if (!n) {
        ref_drop(core);
        return error_set(err, E_NOMEM, "out of memory");
    }
    ref_init(&n->ref, net_destroy);
    n->core = core;
    n->type = type;
    *out = n;
    return OK;
}

Status controlnet_open_as(Host *h, const Weights *w, const char *file, ControlKind kind,
                          ControlNet **out, Error *err)
{
    Status status = OK;
    ControlCore *c = mem_calloc(1, sizeof *c);

    if (!c) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&c->component.ref, core_destroy);
    c->component.name = "ControlNet";
    c->component.release = core_release;
    c->host = h;
    c->kind = kind;
    c->weights = weights_ref(w);
    TRY_DONE(read_core(c, file, err));
    TRY_DONE(check_tensors(c, err));
    return net_new(c, -1, out, err);
done:
    error_at_file(err, file, -1);
    ref_drop(c);
    return status;
}

Status controlnet_open(Host *h, const Weights *w, const char *file, ControlNet **out,
                       Error *err)
{
    ControlKind kind = CONTROL_XLABS;
    Weights *renamed = NULL;
    Status status = find_kind(w, &kind, err);

    if (status == OK) status = rename_file(kind, w, &renamed, err);
    if (status == OK) status = controlnet_open_as(h, renamed, file, kind, out, err);
    if (status != OK) error_at_file(err, file, -1);
    weights_unref(renamed);
    return status;
}

Status controlnet_with_type(const ControlNet *n, int type, ControlNet **out, Error *err)
{
    return net_new(ref_take(n->core), type, out, err);
}

ControlKind controlnet_kind(const ControlNet *n)
{
    return n->core->kind;
}

const char *controlnet_file(const ControlNet *n)
{
    return n->core->component.file;
}

int64_t controlnet_hint_channels(const ControlNet *n)
{
    return n->core->hint_channels;
}

const ModelDims *controlnet_dims(const ControlNet *n)
{
    return &n->core->dims;
}

ControlShape controlnet_shape(const ControlNet *n)
{
    const ModelDims *d = &n->core->dims;
    return (ControlShape){ .doubles = d->double_blocks,
                           .singles = d->single_blocks,
                           .cycle = n->core->kind != CONTROL_LATENT };
}

size_t controlnet_bytes(const ControlNet *n, int64_t tokens)
{
    const ModelDims *d = &n->core->dims;
    size_t element = host_exact(n->core->host) ? 4 : 2;
    return (size_t)(d->double_blocks + d->single_blocks) * (size_t)(tokens * d->width) *
           element;
}

/* ---- one evaluation -------------------------------------------------------------------------------------------- */

/* The row of the type, read once; a net without types reads none. */
static Status read_mode(ControlNet *n, Error *err)
{
    ControlCore *c = n->core;
    KWeight table;

    if (n->type < 0 || c->modes == 0 || n->mode) return OK;
    if (n->type >= c->modes) {
        error_set(err, E_RANGE, "type %d is asked for, the net has types 0 to %lld", n->type,
                  (long long)c->modes - 1);
        error_at_file(err, c->component.file, -1);
        error_fix(err, "choose another type in SetUnionControlNetType");
        return E_RANGE;
    }
    n->mode = mem_calloc((size_t)c->dims.width, sizeof *n->mode);
    if (!n->mode) return error_set(err, E_NOMEM, "out of memory");
    if (host_dummy(c->host)) return OK;
    TRY(weights_matrix(c->weights, "controlnet_mode_embedder.weight", 0, c->dims.width, &table,
                       err));
    if (k_weight_row(&table, n->type, 0, table.k, n->mode) == K_OK) return OK;
    return error_set(err, E_UNSUPPORTED, "a table of types in %s cannot be read",
                     k_dtype_name(table.dtype));
}

static Status check_size(const ControlCore *c, PosSize size, Error *err)
{
    if (c->kind == CONTROL_LATENT || (size.h % 2 == 0 && size.w % 2 == 0)) return OK;
    error_set(err, E_SHAPE,
              "this ControlNet reads pixels and takes latents of even sides; this one is "
              "%lldx%lld cells",
              (long long)size.w, (long long)size.h);
    error_at_file(err, c->component.file, -1);
    error_fix(err, "make width and height multiples of 16");
    return E_SHAPE;
}

static void read_shape(const ControlNet *n, const ForwardCall *f, ForwardShape *s)
{
    memset(s, 0, sizeof *s); /* shapes are compared as bytes */
    s->size = f->size;
    s->tokens = f->tokens;
    s->style = n->type >= 0 && n->core->modes > 0;
    s->guided = f->guided && n->core->dims.guidance;
    s->method = n->core->dims.references;
}

static void *borrow(const void *data)
{
    return (void *)(uintptr_t)data;
}

/* Outputs by name into the caller's memory; gives how many. */
static int list_outputs(const ControlCore *c, const ControlCall *call, ProgArg *out,
                        char (*names)[24])
{
    int n = 0;

    for (int i = 0; i < c->dims.double_blocks; i++, n++) {
        snprintf(names[n], sizeof names[n], "double.%d", i);
        out[n] = (ProgArg){ names[n], call->doubles[i] };
    }
    for (int i = 0; i < c->dims.single_blocks; i++, n++) {
        snprintf(names[n], sizeof names[n], "single.%d", i);
        out[n] = (ProgArg){ names[n], call->singles[i] };
    }
    return n;
}

Status controlnet_run(const ControlNet *net, const ControlCall *call, Error *err)
{
    ControlNet *handle = (ControlNet *)(uintptr_t)net; /* keeps its row of the table */
    ControlCore *c = net->core;
    const ForwardCall *f = call->forward;
    Program *p = NULL;
    ForwardShape shape;
    void *arena = NULL;
    ProgArg in[7], out[2 * MODEL_MAX_SKIPS];
    char names[2 * MODEL_MAX_SKIPS][24];
    float timestep = 1000.0f * f->sigma;
    float guidance = model_scaled_guidance(f->guidance, host_exact(c->host));
    int n = 0;

    TRY(check_size(c, f->size, err));
    TRY(read_mode(handle, err));
    read_shape(net, f, &shape);
    TRY(program_for(c, &shape, call->strength, &p, err));
    in[n++] = (ProgArg){ "x", borrow(f->x) };
    in[n++] = (ProgArg){ "context", borrow(f->context) };
    in[n++] = (ProgArg){ "hint", borrow(call->hint) };
    in[n++] = (ProgArg){ "timestep", &timestep };
    if (shape.guided) in[n++] = (ProgArg){ "guidance", &guidance };
    if (c->dims.pooled)
        in[n++] = (ProgArg){ "pooled", borrow(f->pooled ? f->pooled : c->zeros) };
    if (shape.style) in[n++] = (ProgArg){ "style", net->mode };
    int n_out = list_outputs(c, call, out, names);
    TRY(host_join(c->host, &c->component, err));
    TRY(host_arena(c->host, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(c->host),
                    .ctx = host_context(c->host),
                    .arena = arena,
                    .events = host_events(c->host),
                    .dummy = host_dummy(c->host) };
    return prog_run(p, &run, in, n, out, n_out, err);
}
