/* style_model.c - Redux as a program, and its tokens on conditionings. */
#include "engine/models/style_model.h"

#include <math.h>

#include "engine/base/mem.h"
#include "engine/formats/file_name.h"
#include "engine/formats/recognise.h"
#include "engine/models/blocks.h"
#include "engine/tensor/ops.h"

struct StyleModel {
    Component component; /* first */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned */
    int64_t width, hidden, context;
};

static void model_destroy(void *object)
{
    StyleModel *m = object;
    weights_unref(m->weights);
    mem_free((char *)(uintptr_t)m->component.file);
    mem_free(m);
}

static void model_release(Component *c)
{
    weights_release(((StyleModel *)(void *)c)->weights);
}

static Status plan(const StyleModel *m, int64_t tokens, Program **out, Error *err)
{
    Program *p = NULL;
    Status status = OK;

    TRY(prog_new("redux", &p, err));
    Blocks b = { .p = p,
                 .source = { .weights = m->weights },
                 .act = host_exact(m->host) ? K_F32 : K_BF16 };
    ProgValue x = prog_input(p, "picture", K_F32, 2, (int64_t[]){ tokens, m->width });
    if (b.act != K_F32) x = prog_copy(p, &(PCopy){ .x = x, .out = b.act });
    ProgValue up = blocks_linear(
        &b, "redux_up", x,
        &(LinearUse){ .rows = m->hidden, .k = m->width, .act = K_ACT_SILU, .out = b.act });
    prog_output(p, "tokens",
                blocks_linear(&b, "redux_down", up,
                              &(LinearUse){ .rows = m->context, .k = m->hidden }));
    TRY_DONE(prog_plan(p, host_backend(m->host), host_context(m->host), err));
    *out = p;
    return OK;
done:
    error_at_file(err, m->component.file, -1);
    prog_free(p);
    return status;
}

static Status read_file(StyleModel *m, const char *file, Error *err)
{
    Program *p = NULL;

    if (!weights_has(m->weights, "redux_down.weight"))
        return recognise_refuse(m->weights, "Redux style model", err);
    m->context = weights_dim(m->weights, "redux_down.weight", 0);
    m->hidden = weights_dim(m->weights, "redux_down.weight", 1);
    m->width = weights_dim(m->weights, "redux_up.weight", 1);
    m->component.bytes = weights_bytes(m->weights);
    m->component.file = mem_strdup(file ? file : "");
    if (!m->component.file) return error_set(err, E_NOMEM, "out of memory");
    if (m->context < 1 || m->hidden < 1 || m->width < 1)
        return error_set(err, E_FORMAT, "redux_up or redux_down is no matrix");
    TRY(plan(m, 1, &p, err));
    prog_free(p);
    return OK;
}

Status style_model_open(Host *h, const Weights *w, const char *file, StyleModel **out,
                        Error *err)
{
    StyleModel *m = mem_calloc(1, sizeof *m);

    if (!m) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&m->component.ref, model_destroy);
    m->component.name = "style model";
    m->component.release = model_release;
    m->host = h;
    m->weights = weights_ref(w);
    Status s = read_file(m, file, err);
    if (s != OK) {
        error_at_file(err, file, -1);
        style_model_unref(m);
        return s;
    }
    *out = m;
    return OK;
}

Status style_model_open_published(Host *h, const char *name, StyleModel **out, Error *err)
{
    static const WeightsShape rows[] = {
        { "redux_up.weight", 2, { 12288, 1152 } },
        { "redux_up.bias", 1, { 12288 } },
        { "redux_down.weight", 2, { 4096, 12288 } },
        { "redux_down.bias", 1, { 4096 } },
    };
    Weights *w = NULL;

    TRY(weights_from_shapes(name, file_name_dtype(name), rows, sizeof rows / sizeof *rows, &w,
                            err));
    Status s = style_model_open(h, w, name, out, err);
    weights_unref(w);
    return s;
}

/* ---- tokens ------------------------------------------------------------------------------------------- */

Status style_model_tokens(const StyleModel *m, const ClipVisionOutput *picture, Tensor **out,
                          Error *err)
{
    const Tensor *x = picture->last;
    int64_t n = x->shape[0] * x->shape[1];
    Program *p = NULL;
    Tensor *tokens = NULL;
    void *arena = NULL;
    Status status = OK;

    if (x->shape[2] != m->width)
        return error_set(err, E_SHAPE,
                         "the vision encoder gives values of width %lld, the style model reads "
                         "%lld",
                         (long long)x->shape[2], (long long)m->width);
    TRY(plan(m, n, &p, err));
    TRY_DONE(tensor_zeros(K_F32, 3, (int64_t[]){ 1, n, m->context }, &tokens, err));
    TRY_DONE(host_enter(m->host, &((StyleModel *)(uintptr_t)m)->component, err));
    TRY_DONE(host_arena(m->host, prog_arena_bytes(p), &arena, err));
    ProgRun run = { .backend = host_backend(m->host),
                    .ctx = host_context(m->host),
                    .arena = arena,
                    .events = host_events(m->host),
                    .dummy = host_dummy(m->host) };
    ProgArg in = { "picture", tensor_f32(x) }, result = { "tokens", tensor_f32(tokens) };
    TRY_DONE(prog_run(p, &run, &in, 1, &result, 1, err));
    *out = tensor_ref(tokens);
done:
    tensor_unref(tokens);
    prog_free(p);
    return status;
}

/* The entry's mask, made larger by the tokens to come; none where none is needed. */
static Status grow_mask(CondEntry *e, int64_t added, double strength, StyleStrength type,
                        Error *err)
{
    const AttentionMask *old = (const AttentionMask *)(const void *)e->extra;
    AttentionMask *grown = NULL;
    bool biased = type == STYLE_ATTENTION && strength != 1;

    if (!old && !biased) return OK;
    TRY(attention_mask_grow(old, e->embed->shape[1], added,
                            type == STYLE_ATTENTION ? log(strength) : 0, &grown, err));
    ref_drop(e->extra);
    e->extra = &grown->ref;
    return OK;
}

static Status check_entry(const CondEntry *e, const Tensor *tokens, Error *err)
{
    if (e->embed->shape[0] != 1)
        return error_set(err, E_SHAPE, "a conditioning of %lld prompts; one is taken",
                         (long long)e->embed->shape[0]);
    if (e->embed->shape[2] == tokens->shape[2]) return OK;
    error_set(err, E_SHAPE, "the style model gives tokens of width %lld, the text has %lld",
              (long long)tokens->shape[2], (long long)e->embed->shape[2]);
    error_fix(err, "Redux belongs to FLUX.1 and its T5 text encoder");
    return E_SHAPE;
}

Status style_model_apply(const StyleModel *m, const Cond *cond, const ClipVisionOutput *picture,
                         double strength, StyleStrength type, Cond **out, Error *err)
{
    Tensor *tokens = NULL;
    Cond *c = NULL;
    Status status = OK;

    TRY_DONE(style_model_tokens(m, picture, &tokens, err));
    if (type == STYLE_MULTIPLY) tensor_affine(tokens, tokens, (float)strength, 0);
    TRY_DONE(cond_copy(cond, &c, err));
    for (int i = 0; i < c->count; i++) {
        TRY_DONE(check_entry(&c->entries[i], tokens, err));
        TRY_DONE(grow_mask(&c->entries[i], tokens->shape[1], strength, type, err));
    }
    TRY_DONE(cond_append_tokens(c, tokens, err));
    *out = cond_ref(c);
done:
    cond_unref(c);
    tensor_unref(tokens);
    return status;
}
