/* t5.c - the T5 encoder. */
#include "engine/text/t5.h"

#include <math.h>

#include "engine/base/mem.h"

static const char bias_name[] =
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
static const char projection_in[] = "final_projection.0",
                  projection_out[] = "final_projection.3";

typedef struct T5 {
    TextModel base;
    T5Dims dims;
} T5;

const T5Dims t5_published = { .vocab = 32128,
                              .hidden = 4096,
                              .mlp = 10240,
                              .heads = 64,
                              .head_dim = 64,
                              .buckets = 32,
                              .layers = 24,
                              .gated = true };

/* Bucket of the distance key - query. Half the buckets are for keys behind the query; in each
 * half the first half are exact, the others grow by logarithm up to a distance of 128. Float32,
 * cut towards zero. */
static int64_t bucket_of(int64_t distance, int64_t buckets)
{
    int64_t half = buckets / 2, exact = half / 2;
    int64_t base = distance > 0 ? half : 0, n = distance < 0 ? -distance : distance;
    if (n < exact) return base + n;
    float part = logf((float)n / (float)exact) / (float)log(128.0 / (double)exact);
    int64_t far = exact + (int64_t)(part * (float)(half - exact));
    return base + (far < half - 1 ? far : half - 1);
}

/* bias [H, T, T] from the learned table [buckets, H]. */
static void fill_bias(const T5Dims *d, const float *table, int64_t tokens, float *bias)
{
    for (int64_t distance = 1 - tokens; distance < tokens; distance++) {
        const float *row = table + bucket_of(distance, d->buckets) * d->heads;
        int64_t first = distance < 0 ? -distance : 0;
        int64_t last = distance > 0 ? tokens - distance : tokens;
        for (int64_t h = 0; h < d->heads; h++)
            for (int64_t q = first; q < last; q++)
                bias[(h * tokens + q) * tokens + q + distance] = row[h];
    }
}

static ProgValue bias_table(const TextModel *m, Program *p, const T5Dims *d, int64_t tokens)
{
    Error err = { 0 };
    float *bias = NULL, *table = NULL;
    int64_t count = d->buckets * d->heads;
    ProgValue v = prog_table(p, 3, (int64_t[]){ d->heads, tokens, tokens }, &bias);
    if (prog_failed(p) || !m->weights || weights_is_dummy(m->weights)) return v;
    table = mem_alloc_array((size_t)count, sizeof *table);
    Status status = table ? weights_f32_into(m->weights, bias_name, table, count, &err)
                          : error_set(&err, E_NOMEM, "out of memory for a text encoder");
    if (status == OK)
        fill_bias(d, table, tokens, bias);
    else
        prog_fail(p, &err);
    mem_free(table);
    return v;
}

static ProgValue project(Net *n, const T5Dims *d, const char *name, ProgValue u)
{
    ProgValue y = net_linear(
        n,
        &(NetLinear){ .name = name, .x = u, .in = d->hidden, .out = d->heads * d->head_dim });
    return prog_heads(n->p, y, d->heads, d->head_dim);
}

static ProgValue attend(Net *n, const T5Dims *d, ProgValue x, ProgValue bias, int64_t tokens)
{
    ProgValue u = net_rms(n, "layer.0.layer_norm", x, d->hidden, false);
    ProgValue q = project(n, d, "layer.0.SelfAttention.q", u);
    ProgValue k = project(n, d, "layer.0.SelfAttention.k", u);
    ProgValue v = project(n, d, "layer.0.SelfAttention.v", u);
    if (prog_failed(n->p)) return PROG_NONE;
    ProgValue y = prog_attention(
        n->p, &(PAttention){ .q = q, .k = k, .v = v, .bias = bias, .scale = 1.0f });
    int64_t inner = d->heads * d->head_dim;
    return net_linear(n,
                      &(NetLinear){ .name = "layer.0.SelfAttention.o",
                                    .x = prog_reshape(n->p, y, 2, (int64_t[]){ tokens, inner }),
                                    .in = inner,
                                    .out = d->hidden,
                                    .residual = x });
}

static ProgValue widen(Net *n, const T5Dims *d, const char *name, ProgValue u, KAct act)
{
    return net_linear(
        n, &(NetLinear){ .name = name, .x = u, .in = d->hidden, .out = d->mlp, .act = act });
}

static ProgValue feed_forward(Net *n, const T5Dims *d, ProgValue x)
{
    ProgValue y, u = net_rms(n, "layer.1.layer_norm", x, d->hidden, false);
    if (d->gated) {
        ProgValue gate = widen(n, d, "layer.1.DenseReluDense.wi_0", u, K_ACT_NONE);
        ProgValue value = widen(n, d, "layer.1.DenseReluDense.wi_1", u, K_ACT_NONE);
        if (prog_failed(n->p)) return PROG_NONE;
        y = prog_glu(
            n->p,
            &(PGlu){ .gate = gate, .value = value, .act = K_ACT_GELU_TANH, .out = n->act });
    } else
        y = widen(n, d, "layer.1.DenseReluDense.wi", u, K_ACT_RELU);
    return net_linear(n, &(NetLinear){ .name = "layer.1.DenseReluDense.wo",
                                       .x = y,
                                       .in = d->mlp,
                                       .out = d->hidden,
                                       .residual = x });
}

/* The final norm, and for a distilled encoder the two layers that lead to the width of the
 * larger one. */
static ProgValue finish(Net *n, const T5Dims *d, ProgValue x)
{
    net_prefix(n, "encoder.");
    x = net_rms(n, "final_layer_norm", x, d->hidden, d->projected == 0);
    if (d->projected == 0) return x;
    net_prefix(n, "%s", "");
    x = net_linear(n, &(NetLinear){ .name = projection_in,
                                    .x = x,
                                    .in = d->hidden,
                                    .out = d->projected_inner,
                                    .act = K_ACT_RELU });
    return net_linear(n, &(NetLinear){ .name = projection_out,
                                       .x = x,
                                       .in = d->projected_inner,
                                       .out = d->projected,
                                       .wide = true });
}

static ProgValue t5_build(const TextModel *m, Net *n, ProgValue x, const TextTokens *tokens)
{
    const T5Dims *d = &((const T5 *)m)->dims;
    ProgValue bias = bias_table(m, n->p, d, tokens->count);
    for (int i = 0; i < d->layers && !prog_failed(n->p); i++) {
        net_prefix(n, "encoder.block.%d.", i);
        x = attend(n, d, x, bias, tokens->count);
        x = feed_forward(n, d, x);
    }
    return finish(n, d, x);
}

/* Names of the table of token embeddings; files have one or both. */
static const TextModelKind shared_kind = { .name = "T5",
                                           .embedding = "shared.weight",
                                           .build = t5_build };
static const TextModelKind embed_kind = { .name = "T5",
                                          .embedding = "encoder.embed_tokens.weight",
                                          .build = t5_build };

static const TextModelKind *kind_of(const Weights *w)
{
    return !w || weights_has(w, shared_kind.embedding) ? &shared_kind : &embed_kind;
}

Status t5_read_dims(const Weights *w, T5Dims *d, Error *err)
{
    static const char q[] = "encoder.block.0.layer.0.SelfAttention.q.weight";
    static const char gate[] = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight";
    static const char plain[] = "encoder.block.0.layer.1.DenseReluDense.wi.weight";
    const char *table = kind_of(w)->embedding;

    *d = (T5Dims){ .vocab = weights_dim(w, table, 0), .hidden = weights_dim(w, table, 1) };
    d->buckets = weights_dim(w, bias_name, 0);
    d->heads = weights_dim(w, bias_name, 1);
    d->gated = weights_has(w, gate);
    d->mlp = weights_dim(w, d->gated ? gate : plain, 0);
    d->layers = weights_blocks(w, "encoder.block.");
    d->projected_inner = weights_dim(w, "final_projection.0.weight", 0);
    d->projected = weights_dim(w, "final_projection.3.weight", 0);
    int64_t inner = weights_dim(w, q, 0);
    if (d->vocab < 1 || d->hidden < 1 || d->heads < 1 || d->mlp < 1 || inner < 1)
        return error_set(err, E_MISSING, "the T5 encoder lacks one of %s, %s, %s", table,
                         bias_name, q);
    if (inner % d->heads || d->buckets < 4 || d->buckets % 4)
        return error_set(err, E_SHAPE, "%s has %lld rows for %lld heads and %lld buckets", q,
                         (long long)inner, (long long)d->heads, (long long)d->buckets);
    d->head_dim = inner / d->heads;
    return OK;
}

Status t5_new(Host *h, const Weights *weights, const T5Dims *dims, const char *file,
              TextModel **out, Error *err)
{
    T5 *t = mem_calloc(1, sizeof *t);
    if (!t) return error_set(err, E_NOMEM, "out of memory for a text encoder");
    text_model_init(&t->base, kind_of(weights), weights);
    t->base.vocab = dims->vocab;
    t->base.width = dims->hidden;
    t->base.out_width = dims->projected ? dims->projected : dims->hidden;
    t->base.eps = 1e-6f;
    t->dims = *dims;
    Status status = text_model_ready(&t->base, h, file, err);
    if (status == OK)
        *out = &t->base;
    else
        text_model_unref(&t->base);
    return status;
}
