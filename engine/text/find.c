/* find.c - which encoder networks a table of tensors holds. */
#include "engine/text/find.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/str.h"

/* A part of a name and what takes its place; tried in order, so longer ones stand first. */
typedef struct NamePart {
    const char *from, *to;
} NamePart;

static const NamePart t5_parts[] = {
    { "enc.blk.", "encoder.block." },
    { "token_embd.", "shared." },
    { "enc.output_norm.", "encoder.final_layer_norm." },
    { ".attn_rel_b.", ".layer.0.SelfAttention.relative_attention_bias." },
    { ".attn_norm.", ".layer.0.layer_norm." },
    { ".attn_q.", ".layer.0.SelfAttention.q." },
    { ".attn_k.", ".layer.0.SelfAttention.k." },
    { ".attn_v.", ".layer.0.SelfAttention.v." },
    { ".attn_o.", ".layer.0.SelfAttention.o." },
    { ".ffn_norm.", ".layer.1.layer_norm." },
    { ".ffn_up.", ".layer.1.DenseReluDense.wi_1." },
    { ".ffn_gate.", ".layer.1.DenseReluDense.wi_0." },
    { ".ffn_down.", ".layer.1.DenseReluDense.wo." },
    { NULL, NULL },
};

static const NamePart decoder_parts[] = {
    { "token_embd.", "model.embed_tokens." },
    { "output_norm.", "model.norm." },
    { ".attn_norm.", ".input_layernorm." },
    { ".attn_q_norm.", ".self_attn.q_norm." },
    { ".attn_k_norm.", ".self_attn.k_norm." },
    { ".attn_q.", ".self_attn.q_proj." },
    { ".attn_k.", ".self_attn.k_proj." },
    { ".attn_v.", ".self_attn.v_proj." },
    { ".attn_output.", ".self_attn.o_proj." },
    { ".ffn_norm.", ".post_attention_layernorm." },
    { ".ffn_up.", ".mlp.up_proj." },
    { ".ffn_gate.", ".mlp.gate_proj." },
    { ".ffn_down.", ".mlp.down_proj." },
    { "blk.", "model.layers." },
    { NULL, NULL },
};

/* What marks each network in transformers' names and in llama.cpp's. `without` is absent from
 * it: the tensor that tells a network with one more kind of tensor apart. Llama.cpp permutes q
 * and k of the llama family into pairs. */
static const struct Mark {
    const char *marker, *without;
    const char *gguf, *gguf_without;
    const NamePart *parts;
    bool paired;
} marks[TEXT_NETWORKS] = {
    [TEXT_QWEN3] = { .marker = "model.layers.0.self_attn.q_norm.weight",
                     .gguf = "blk.0.attn_q_norm.weight",
                     .parts = decoder_parts },
    [TEXT_MISTRAL3] = { .marker = "model.layers.0.self_attn.q_proj.weight",
                        .without = "model.layers.0.self_attn.q_norm.weight",
                        .gguf = "blk.0.attn_q.weight",
                        .gguf_without = "blk.0.attn_q_norm.weight",
                        .parts = decoder_parts,
                        .paired = true },
    [TEXT_T5] = { .marker = "encoder.block.0.layer.0.SelfAttention.q.weight",
                  .gguf = "enc.blk.0.attn_q.weight",
                  .parts = t5_parts },
    [TEXT_CLIP] = { .marker = "text_model.encoder.layers.1.mlp.fc1.weight" },
};

/* The name that ends in marker, or NULL. */
static const char *name_ending_in(const Weights *w, const char *marker)
{
    size_t count = weights_count(w);
    if (weights_has(w, marker)) return marker;
    for (size_t i = 0; i < count; i++) {
        const char *name = weights_name(w, i);
        size_t n = strlen(name), k = strlen(marker);
        if (n > k && name[n - k - 1] == '.' && strcmp(name + n - k, marker) == 0) return name;
    }
    return NULL;
}

/* Cuts the prefix off; what stands beside the network in the same file (a projection behind the
 * encoder, tokenizer data) keeps its name. */
static bool cut_prefix(void *user, const char *name, char *buf, size_t size)
{
    static const char *const beside[] = { "final_projection.", "tekken_model" };
    const char *prefix = user;
    if (str_starts_with(name, prefix)) {
        snprintf(buf, size, "%s", name + strlen(prefix));
        return true;
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        if (!str_starts_with(name, beside[i])) continue;
        snprintf(buf, size, "%s", name);
        return true;
    }
    return false;
}

static Status find_named(const Weights *w, const char *marker, const char *without,
                         Weights **out, Error *err)
{
    char prefix[256], other[512];
    const char *name = name_ending_in(w, marker);
    if (!name) return OK;
    size_t n = strlen(name) - strlen(marker);
    if (n >= sizeof prefix) return OK;
    snprintf(prefix, sizeof prefix, "%.*s", (int)n, name);
    snprintf(other, sizeof other, "%s%s", prefix, without ? without : "");
    if (without && weights_has(w, other)) return OK;
    return weights_rename(w, cut_prefix, prefix, out, err);
}

/* Each part is replaced once, where it stands first. */
static bool replace_parts(void *user, const char *name, char *buf, size_t size)
{
    snprintf(buf, size, "%s", name);
    for (const NamePart *p = user; p->from; p++) {
        char rest[256];
        char *at = strstr(buf, p->from);
        bool starts = p->from[0] == '.' || at == buf;
        if (!at || !starts) continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(p->from));
        snprintf(at, size - (size_t)(at - buf), "%s%s", p->to, rest);
    }
    return true;
}

Status text_find(const Weights *w, TextNetwork network, Weights **out, bool *paired, Error *err)
{
    const struct Mark *m = &marks[network];
    *out = NULL;
    *paired = false;
    TRY(find_named(w, m->marker, m->without, out, err));
    if (*out || !m->gguf || !weights_has(w, m->gguf)) return OK;
    if (m->gguf_without && weights_has(w, m->gguf_without)) return OK;
    *paired = m->paired;
    return weights_rename(w, replace_parts, (void *)(uintptr_t)m->parts, out, err);
}
