/* decoder.c - the decoder-only transformer that Qwen3 and Mistral share. */
#include "engine/text/decoder.h"

#include <math.h>

#include "engine/base/mem.h"

typedef struct Decoder {
    TextModel base;
    DecoderDims dims;
} Decoder;

/* cos and sin of p * theta^(-2j/d), [T, d/2, 2]; frequency and angle are rounded to float32. */
static ProgValue rope_table(Program *p, const DecoderDims *d, int64_t tokens)
{
    int64_t half = d->head_dim / 2;
    float *cs = NULL;
    ProgValue table = prog_table(p, 3, (int64_t[]){ tokens, half, 2 }, &cs);
    if (prog_failed(p)) return PROG_NONE;
    for (int64_t j = 0; j < half; j++) {
        float exponent = (float)(2 * j) / (float)d->head_dim;
        float frequency = 1.0f / (float)pow(d->theta, (double)exponent);
        for (int64_t t = 0; t < tokens; t++) {
            float angle = (float)t * frequency;
            cs[(t * half + j) * 2] = (float)cos((double)angle);
            cs[(t * half + j) * 2 + 1] = (float)sin((double)angle);
        }
    }
    return table;
}

/* Tokens before the first pad; 0 = no pad. */
static int64_t count_valid(const DecoderDims *d, const TextTokens *tokens)
{
    for (int64_t t = 0; t < tokens->count; t++)
        if (d->mask_pad >= 0 && tokens->ids[t] == d->mask_pad) return t;
    return 0;
}

/* One projection seen as heads, normed and turned in place when a table is given. */
static ProgValue project(Net *n, const DecoderDims *d, const char *name, const char *norm,
                         ProgValue u, int64_t heads, ProgValue table)
{
    ProgValue y = net_linear(
        n, &(NetLinear){ .name = name, .x = u, .in = d->hidden, .out = heads * d->head_dim });
    y = prog_heads(n->p, y, heads, d->head_dim);
    if (!table) return y;
    ProgValue weight = d->qk_norm ? net_vector(n, norm, d->head_dim) : 0;
    if (prog_failed(n->p)) return PROG_NONE;
    return prog_rope(
        n->p,
        &(PRope){
            .x = y, .weight = weight, .cs = table, .eps = d->eps, .half = !d->paired_rope });
}

static ProgValue attend(Net *n, const DecoderDims *d, ProgValue x, ProgValue table,
                        int64_t tokens, int64_t valid)
{
    ProgValue u = net_rms(n, "input_layernorm", x, d->hidden, false);
    ProgValue q =
        project(n, d, "self_attn.q_proj", "self_attn.q_norm.weight", u, d->heads, table);
    ProgValue k =
        project(n, d, "self_attn.k_proj", "self_attn.k_norm.weight", u, d->kv_heads, table);
    ProgValue v = project(n, d, "self_attn.v_proj", NULL, u, d->kv_heads, 0);
    if (prog_failed(n->p)) return PROG_NONE;
    ProgValue y = prog_attention(n->p, &(PAttention){ .q = q,
                                                      .k = k,
                                                      .v = v,
                                                      .scale = 1.0f / sqrtf((float)d->head_dim),
                                                      .causal = true,
                                                      .keys_valid = valid });
    int64_t inner = d->heads * d->head_dim;
    return net_linear(n,
                      &(NetLinear){ .name = "self_attn.o_proj",
                                    .x = prog_reshape(n->p, y, 2, (int64_t[]){ tokens, inner }),
                                    .in = inner,
                                    .out = d->hidden,
                                    .residual = x });
}

static ProgValue feed_forward(Net *n, const DecoderDims *d, ProgValue x)
{
    ProgValue u = net_rms(n, "post_attention_layernorm", x, d->hidden, false);
    ProgValue gate = net_linear(
        n, &(NetLinear){ .name = "mlp.gate_proj", .x = u, .in = d->hidden, .out = d->mlp });
    ProgValue up = net_linear(
        n, &(NetLinear){ .name = "mlp.up_proj", .x = u, .in = d->hidden, .out = d->mlp });
    if (prog_failed(n->p)) return PROG_NONE;
    ProgValue y =
        prog_glu(n->p, &(PGlu){ .gate = gate, .value = up, .act = K_ACT_SILU, .out = n->act });
    return net_linear(
        n,
        &(NetLinear){
            .name = "mlp.down_proj", .x = y, .in = d->mlp, .out = d->hidden, .residual = x });
}

/* The state after `blocks` blocks into its columns of the result. */
static void capture(Net *n, const DecoderDims *d, ProgValue x, int blocks, ProgValue states)
{
    for (int i = 0; i < d->captures; i++) {
        if (d->capture[i] != blocks) continue;
        ProgValue state = x;
        if (blocks == d->layers && d->final_norm) {
            net_prefix(n, "model.");
            state = net_rms(n, "norm", x, d->hidden, true);
        }
        if (prog_failed(n->p)) return;
        ProgValue column = prog_cols(n->p, states, i * d->hidden, d->hidden);
        prog_copy(n->p, &(PCopy){ .x = state, .y = column });
    }
}

static ProgValue decoder_build(const TextModel *m, Net *n, ProgValue x,
                               const TextTokens *tokens)
{
    const DecoderDims *d = &((const Decoder *)m)->dims;
    int64_t valid = count_valid(d, tokens);
    ProgValue table = rope_table(n->p, d, tokens->count);
    ProgValue states = prog_temp(n->p, K_F32, 2, (int64_t[]){ tokens->count, m->out_width });

    capture(n, d, x, 0, states);
    for (int i = 0; i < d->capture[d->captures - 1] && !prog_failed(n->p); i++) {
        net_prefix(n, "model.layers.%d.", i);
        x = attend(n, d, x, table, tokens->count, valid);
        x = feed_forward(n, d, x);
        capture(n, d, x, i + 1, states);
    }
    return states;
}

const TextModelKind decoder_qwen3 = { .name = "Qwen3",
                                      .embedding = "model.embed_tokens.weight",
                                      .build = decoder_build };
const TextModelKind decoder_mistral3 = { .name = "Mistral-3",
                                         .embedding = "model.embed_tokens.weight",
                                         .build = decoder_build };

static Status check_dims(const char *name, const DecoderDims *d, Error *err)
{
    if (d->hidden < 1 || d->mlp < 1 || d->head_dim < 2 || d->head_dim % 2 || d->heads < 1 ||
        d->kv_heads < 1 || d->heads % d->kv_heads)
        return error_set(err, E_SHAPE,
                         "%s: %lld query heads, %lld key heads of width %lld do not fit", name,
                         (long long)d->heads, (long long)d->kv_heads, (long long)d->head_dim);
    if (d->captures < 1 || d->captures > DECODER_MAX_CAPTURES)
        return error_set(err, E_RANGE, "%s: %d states are read; use 1 to %d", name, d->captures,
                         DECODER_MAX_CAPTURES);
    for (int i = 0; i < d->captures; i++)
        if (d->capture[i] < 0 || d->capture[i] > d->layers ||
            (i && d->capture[i] < d->capture[i - 1]))
            return error_set(err, E_RANGE, "%s: a state after %d blocks of a file that has %d",
                             name, d->capture[i], d->layers);
    return OK;
}

Status decoder_new(Host *h, const TextModelKind *kind, const Weights *weights,
                   const DecoderDims *dims, const char *file, TextModel **out, Error *err)
{
    TRY(check_dims(kind->name, dims, err));
    Decoder *d = mem_calloc(1, sizeof *d);
    if (!d) return error_set(err, E_NOMEM, "out of memory for a text encoder");
    text_model_init(&d->base, kind, weights);
    d->base.vocab = dims->vocab;
    d->base.width = dims->hidden;
    d->base.out_width = dims->hidden * dims->captures;
    d->base.eps = dims->eps;
    d->dims = *dims;
    Status status = text_model_ready(&d->base, h, file, err);
    if (status == OK)
        *out = &d->base;
    else
        text_model_unref(&d->base);
    return status;
}

Status decoder_read_dims(const Weights *w, DecoderDims *d, Error *err)
{
    static const char q[] = "model.layers.0.self_attn.q_proj.weight";
    static const char k[] = "model.layers.0.self_attn.k_proj.weight";
    int64_t norm = weights_dim(w, "model.layers.0.self_attn.q_norm.weight", 0);

    d->vocab = weights_dim(w, "model.embed_tokens.weight", 0);
    d->hidden = weights_dim(w, "model.embed_tokens.weight", 1);
    d->mlp = weights_dim(w, "model.layers.0.mlp.gate_proj.weight", 0);
    d->layers = weights_blocks(w, "model.layers.");
    d->qk_norm = norm > 0;
    if (norm > 0) d->head_dim = norm;
    int64_t inner = weights_dim(w, q, 0), inner_kv = weights_dim(w, k, 0);
    if (d->vocab < 1 || d->hidden < 1 || inner < 1 || inner_kv < 1)
        return error_set(err, E_MISSING, "the text encoder has no token embeddings or no %s",
                         q);
    if (d->head_dim < 1 || inner % d->head_dim || inner_kv % d->head_dim)
        return error_set(err, E_SHAPE, "%s has %lld rows, no multiple of the head width %lld",
                         q, (long long)inner, (long long)d->head_dim);
    d->heads = inner / d->head_dim;
    d->kv_heads = inner_kv / d->head_dim;
    d->final_norm = d->final_norm && weights_has(w, "model.norm.weight");
    return OK;
}
