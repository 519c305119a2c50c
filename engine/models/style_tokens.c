/* style_tokens.c - USO's feature embedder as a program. */
#include "engine/models/style_tokens.h"

#include <stdio.h>

#include "engine/base/mem.h"
#include "engine/formats/file_name.h"
#include "engine/formats/recognise.h"
#include "engine/models/blocks.h"

static const float NORM_EPS = 1e-5f;
static const char *const levels[VISION_LEVELS] = { "high", "mid", "low" };

struct StylePatch {
    Component component; /* first */
    Host *host;          /* borrowed */
    Weights *weights;    /* one reference owned; names without feature_embedder. */
    int64_t tokens, rows, width,
        out; /* of the picture, per level, of the picture, of the model */
};

static void patch_destroy(void *object)
{
    StylePatch *p = object;
    weights_unref(p->weights);
    mem_free((char *)(uintptr_t)p->component.file);
    mem_free(p);
}

static void patch_release(Component *c)
{
    weights_release(((StylePatch *)(void *)c)->weights);
}

/* ---- the program ---------------------------------------------------------------------------------------- */

/* One level [tokens, width] to [rows, D]; the first product runs along tokens. */
static void level(const StylePatch *s, Blocks *b, const char *name, ProgValue y)
{
    char layer[64];
    ProgValue in = prog_input(b->p, name, K_F32, 2, (int64_t[]){ s->tokens, s->width });
    int64_t turned[2] = { s->width, s->tokens };
    ProgValue across = prog_copy(
        b->p, &(PCopy){ .x = prog_window(b->p, in, 0, 2, turned, (int64_t[]){ 1, s->width }),
                        .out = b->act });

    snprintf(layer, sizeof layer, "%s_embedding_linear.0", name);
    ProgValue e = blocks_linear(
        b, layer, across, &(LinearUse){ .rows = s->rows, .k = s->tokens, .act = K_ACT_SILU });
    ProgValue rows = prog_copy(
        b->p, &(PCopy){ .x = prog_window(b->p, e, 0, 2, (int64_t[]){ s->rows, s->width },
                                         (int64_t[]){ 1, s->rows }) });
    snprintf(layer, sizeof layer, "%s_layer_norm.weight", name);
    ProgValue weight = blocks_param(b, layer);
    snprintf(layer, sizeof layer, "%s_layer_norm.bias", name);
    ProgValue u = prog_layer_norm(b->p, &(PLayerNorm){ .x = rows,
                                                       .weight = weight,
                                                       .bias = blocks_param(b, layer),
                                                       .eps = NORM_EPS,
                                                       .out = b->act });
    snprintf(layer, sizeof layer, "%s_projection", name);
    blocks_linear(b, layer, u, &(LinearUse){ .rows = s->out, .k = s->width, .y = y });
}

static Status plan(const StylePatch *s, Program **out, Error *err)
{
    Program *p = NULL;
    Status status = OK;

    TRY(prog_new("uso", &p, err));
    Blocks b = { .p = p,
                 .source = { .weights = s->weights },
                 .act = host_exact(s->host) ? K_F32 : K_BF16 };
    ProgValue y = prog_temp(p, K_F32, 2, (int64_t[]){ VISION_LEVELS * s->rows, s->out });
    for (int i = 0; i < VISION_LEVELS; i++)
        level(s, &b, levels[i], prog_rows(p, y, i * s->rows, s->rows));
    prog_output(p, "tokens", y);
    TRY_DONE(prog_plan(p, host_backend(s->host), host_context(s->host), err));
    *out = p;
    return OK;
done:
    error_at_file(err, s->component.file, -1);
    prog_free(p);
    return status;
}

/* ---- the value -------------------------------------------------------------------------------------------- */

static Status read_file(StylePatch *s, const Weights *w, const char *file, Error *err)
{
    Program *p = NULL;

    if (!weights_has(w, "feature_embedder.mid_layer_norm.bias"))
        return recognise_refuse(w, "USO model patch", err);
    TRY(weights_scope(w, "feature_embedder.", &s->weights, err));
    s->rows = weights_dim(s->weights, "mid_embedding_linear.0.weight", 0);
    s->tokens = weights_dim(s->weights, "mid_embedding_linear.0.weight", 1);
    s->out = weights_dim(s->weights, "mid_projection.weight", 0);
    s->width = weights_dim(s->weights, "mid_projection.weight", 1);
    s->component.bytes = weights_bytes(s->weights);
    s->component.file = mem_strdup(file ? file : "");
    if (!s->component.file) return error_set(err, E_NOMEM, "out of memory");
    if (s->rows < 1 || s->tokens < 1 || s->out < 1 || s->width < 1)
        return error_set(err, E_FORMAT, "mid_embedding_linear or mid_projection is no matrix");
    TRY(plan(s, &p, err));
    prog_free(p);
    return OK;
}

Status style_patch_open(Host *h, const Weights *w, const char *file, StylePatch **out,
                        Error *err)
{
    StylePatch *s = mem_calloc(1, sizeof *s);

    if (!s) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&s->component.ref, patch_destroy);
    s->component.name = "model patch";
    s->component.release = patch_release;
    s->host = h;
    Status status = read_file(s, w, file, err);
    if (status != OK) {
        error_at_file(err, file, -1);
        ref_drop(s);
        return status;
    }
    *out = s;
    return OK;
}

Status style_patch_open_published(Host *h, const char *name, StylePatch **out, Error *err)
{
    static const struct {
        const char *layer;
        int ndim;
        int64_t shape[2];
    } parts[] = {
        { "embedding_linear.0.weight", 2, { 64, 729 } },
        { "embedding_linear.0.bias", 1, { 64 } },
        { "layer_norm.weight", 1, { 1152 } },
        { "layer_norm.bias", 1, { 1152 } },
        { "projection.weight", 2, { 3072, 1152 } },
        { "projection.bias", 1, { 3072 } },
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    WeightsShape rows[VISION_LEVELS * PARTS];
    Weights *w = NULL;

    for (int i = 0; i < VISION_LEVELS * PARTS; i++) {
        rows[i] =
            (WeightsShape){ .ndim = parts[i % PARTS].ndim,
                            .shape = { parts[i % PARTS].shape[0], parts[i % PARTS].shape[1] } };
        snprintf(rows[i].name, sizeof rows[i].name, "feature_embedder.%s_%s", levels[i / PARTS],
                 parts[i % PARTS].layer);
    }
    TRY(weights_from_shapes(name, file_name_dtype(name), rows, VISION_LEVELS * PARTS, &w, err));
    Status s = style_patch_open(h, w, name, out, err);
    weights_unref(w);
    return s;
}

int64_t style_patch_width(const StylePatch *p)
{
    return p->out;
}

/* ---- tokens ------------------------------------------------------------------------------------------------- */

static void tokens_destroy(void *object)
{
    StyleTokens *t = object;
    tensor_unref(t->rows);
    mem_free(t);
}

static Status check_picture(const StylePatch *p, const ClipVisionOutput *picture, Error *err)
{
    const Tensor *x = picture->last;

    if (x->shape[0] != 1)
        return error_set(err, E_SHAPE, "%lld pictures; a style reference is one",
                         (long long)x->shape[0]);
    if (x->shape[1] != p->tokens || x->shape[2] != p->width)
        return error_set(err, E_SHAPE,
                         "the vision encoder gives %lld tokens of width %lld, the patch reads "
                         "%lld of %lld",
                         (long long)x->shape[1], (long long)x->shape[2], (long long)p->tokens,
                         (long long)p->width);
    for (int i = 0; i < VISION_LEVELS; i++)
        if (!picture->levels[i])
            return error_set(err, E_SHAPE, "the vision encoder has fewer than %d layers",
                             vision_levels[i]);
    return OK;
}

static Status run(const StylePatch *s, const ClipVisionOutput *picture, Tensor *rows,
                  Error *err)
{
    Program *p = NULL;
    void *arena = NULL;
    Status status = OK;
    ProgArg in[VISION_LEVELS], out = { "tokens", tensor_f32(rows) };

    TRY(plan(s, &p, err));
    TRY_DONE(host_enter(s->host, &((StylePatch *)(uintptr_t)s)->component, err));
    TRY_DONE(host_arena(s->host, prog_arena_bytes(p), &arena, err));
    ProgRun how = { .backend = host_backend(s->host),
                    .ctx = host_context(s->host),
                    .arena = arena,
                    .events = host_events(s->host),
                    .dummy = host_dummy(s->host) };
    for (int i = 0; i < VISION_LEVELS; i++)
        in[i] = (ProgArg){ levels[i], tensor_f32(picture->levels[i]) };
    TRY_DONE(prog_run(p, &how, in, VISION_LEVELS, &out, 1, err));
done:
    prog_free(p);
    return status;
}

Status style_tokens_new(const StylePatch *p, const ClipVisionOutput *picture, StyleTokens **out,
                        Error *err)
{
    Status status = OK;
    StyleTokens *t = NULL;

    TRY(check_picture(p, picture, err));
    t = mem_calloc(1, sizeof *t);
    if (!t) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&t->ref, tokens_destroy);
    TRY_DONE(
        tensor_zeros(K_F32, 2, (int64_t[]){ VISION_LEVELS * p->rows, p->out }, &t->rows, err));
    TRY_DONE(run(p, picture, t->rows, err));
    *out = t;
    return OK;
done:
    ref_drop(t);
    return status;
}
