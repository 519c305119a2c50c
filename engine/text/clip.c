/* clip.c - the text tower of CLIP-L. */
#include "engine/text/clip.h"

#include <math.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"

typedef struct Clip {
    TextModel base;
    ClipDims dims;
} Clip;

const ClipDims clip_published = { .vocab = 49408,
                                  .hidden = 768,
                                  .mlp = 3072,
                                  .heads = 12,
                                  .positions = 77,
                                  .layers = 12,
                                  .end = 49407 };

static ProgValue project(Net *n, const ClipDims *d, const char *name, ProgValue u)
{
    ProgValue y = net_linear(
        n,
        &(NetLinear){ .name = name, .x = u, .in = d->hidden, .out = d->hidden, .bias = true });
    return prog_heads(n->p, y, d->heads, d->hidden / d->heads);
}

static ProgValue attend(Net *n, const ClipDims *d, ProgValue x, int64_t tokens)
{
    ProgValue u = net_layer_norm(n, "layer_norm1", x, d->hidden, false);
    ProgValue q = project(n, d, "self_attn.q_proj", u);
    ProgValue k = project(n, d, "self_attn.k_proj", u);
    ProgValue v = project(n, d, "self_attn.v_proj", u);
    if (prog_failed(n->p)) return PROG_NONE;
    float scale = 1.0f / sqrtf((float)(d->hidden / d->heads));
    ProgValue y = prog_attention(
        n->p, &(PAttention){ .q = q, .k = k, .v = v, .scale = scale, .causal = true });
    return net_linear(
        n, &(NetLinear){ .name = "self_attn.out_proj",
                         .x = prog_reshape(n->p, y, 2, (int64_t[]){ tokens, d->hidden }),
                         .in = d->hidden,
                         .out = d->hidden,
                         .bias = true,
                         .residual = x });
}

static ProgValue feed_forward(Net *n, const ClipDims *d, ProgValue x)
{
    ProgValue u = net_layer_norm(n, "layer_norm2", x, d->hidden, false);
    ProgValue y = net_linear(n, &(NetLinear){ .name = "mlp.fc1",
                                              .x = u,
                                              .in = d->hidden,
                                              .out = d->mlp,
                                              .bias = true,
                                              .act = K_ACT_GELU_QUICK });
    return net_linear(n, &(NetLinear){ .name = "mlp.fc2",
                                       .x = y,
                                       .in = d->mlp,
                                       .out = d->hidden,
                                       .bias = true,
                                       .residual = x });
}

static ProgValue clip_build(const TextModel *m, Net *n, ProgValue x, const TextTokens *tokens)
{
    const ClipDims *d = &((const Clip *)m)->dims;
    for (int i = 0; i < d->layers && !prog_failed(n->p); i++) {
        net_prefix(n, "text_model.encoder.layers.%d.", i);
        x = attend(n, d, x, tokens->count);
        x = feed_forward(n, d, x);
    }
    net_prefix(n, "text_model.");
    return net_layer_norm(n, "final_layer_norm", x, d->hidden, true);
}

/* Without an end token the first row, as an argmax over equal values gives. */
static int64_t clip_pooled_row(const TextModel *m, const TextTokens *tokens)
{
    for (int64_t t = 0; t < tokens->count; t++)
        if (tokens->ids[t] == ((const Clip *)m)->dims.end) return t;
    return 0;
}

static const TextModelKind clip_kind = {
    .name = "CLIP",
    .embedding = "text_model.embeddings.token_embedding.weight",
    .positions = "text_model.embeddings.position_embedding.weight",
    .build = clip_build,
    .pooled_row = clip_pooled_row,
};

/* The header's "config" may say; else heads are 64 wide, or 16 in tiny models. */
static int64_t count_heads(const Weights *w, int64_t hidden)
{
    const char *config = weights_metadata(w, "config");
    JsonDoc *doc = NULL;
    int64_t heads = 0;
    if (config && json_parse(config, strlen(config), &doc, NULL) == OK)
        json_int64(json_get(json_root(doc), "num_attention_heads"), &heads);
    json_free(doc);
    if (heads > 0 && hidden % heads == 0) return heads;
    return hidden % 64 == 0 ? hidden / 64 : hidden % 16 == 0 ? hidden / 16 : 1;
}

Status clip_read_dims(const Weights *w, ClipDims *d, Error *err)
{
    *d = (ClipDims){ .vocab = weights_dim(w, clip_kind.embedding, 0),
                     .hidden = weights_dim(w, clip_kind.embedding, 1),
                     .positions = weights_dim(w, clip_kind.positions, 0),
                     .mlp = weights_dim(w, "text_model.encoder.layers.0.mlp.fc1.weight", 0),
                     .layers = weights_blocks(w, "text_model.encoder.layers."),
                     .end = clip_published.end };
    if (d->vocab < 1 || d->hidden < 1 || d->positions < 1 || d->mlp < 1)
        return error_set(err, E_MISSING, "the CLIP text encoder lacks one of %s, %s",
                         clip_kind.embedding, clip_kind.positions);
    d->heads = count_heads(w, d->hidden);
    return OK;
}

Status clip_new(Host *h, const Weights *weights, const ClipDims *dims, const char *file,
                TextModel **out, Error *err)
{
    if (dims->heads < 1 || dims->hidden % dims->heads)
        return error_set(err, E_SHAPE, "CLIP: a width of %lld does not divide into %lld heads",
                         (long long)dims->hidden, (long long)dims->heads);
    Clip *c = mem_calloc(1, sizeof *c);
    if (!c) return error_set(err, E_NOMEM, "out of memory for a text encoder");
    text_model_init(&c->base, &clip_kind, weights);
    c->base.vocab = dims->vocab;
    c->base.width = c->base.out_width = dims->hidden;
    c->base.max_tokens = dims->positions;
    c->base.eps = 1e-5f;
    c->dims = *dims;
    Status status = text_model_ready(&c->base, h, file, err);
    if (status == OK)
        *out = &c->base;
    else
        text_model_unref(&c->base);
    return status;
}
