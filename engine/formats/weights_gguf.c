/* weights_gguf.c - brings a GGUF file's tensors under the names that checkpoints use.
 *
 * Diffusion files keep their names (an outer "model.diffusion_model." is taken off). Text encoders carry
 * llama.cpp's names, which are translated part by part. Files of architecture "llama" also hold the rows
 * of the q and k projections in another order (pairs next to each other); they are put back on first use.
 */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/gguf.h"
#include "engine/formats/weights_source.h"

typedef struct Part {
    const char *from, *to;
} Part;

/* Each row replaces every occurrence, rows in order: longer names before their beginnings. */
static const Part t5_parts[] = {
    { "enc.", "encoder." },
    { ".blk.", ".block." },
    { "token_embd", "shared" },
    { "output_norm", "final_layer_norm" },
    { "attn_rel_b", "layer.0.SelfAttention.relative_attention_bias" },
    { "attn_norm", "layer.0.layer_norm" },
    { "attn_q", "layer.0.SelfAttention.q" },
    { "attn_k", "layer.0.SelfAttention.k" },
    { "attn_v", "layer.0.SelfAttention.v" },
    { "attn_o", "layer.0.SelfAttention.o" },
    { "ffn_up", "layer.1.DenseReluDense.wi_1" },
    { "ffn_gate", "layer.1.DenseReluDense.wi_0" },
    { "ffn_down", "layer.1.DenseReluDense.wo" },
    { "ffn_norm", "layer.1.layer_norm" },
    { NULL, NULL },
};

static const Part llama_parts[] = {
    { "blk.", "model.layers." },
    { "attn_norm", "input_layernorm" },
    { "attn_q_norm", "self_attn.q_norm" },
    { "attn_k_norm", "self_attn.k_norm" },
    { "attn_output", "self_attn.o_proj" },
    { "attn_q", "self_attn.q_proj" },
    { "attn_k", "self_attn.k_proj" },
    { "attn_v", "self_attn.v_proj" },
    { "ffn_up", "mlp.up_proj" },
    { "ffn_down", "mlp.down_proj" },
    { "ffn_gate", "mlp.gate_proj" },
    { "ffn_norm", "post_attention_layernorm" },
    { "token_embd", "model.embed_tokens" },
    { "output_norm", "model.norm" },
    { "output.weight", "lm_head.weight" },
    { NULL, NULL },
};

static const Part no_parts[] = { { NULL, NULL } };

static const struct Family {
    const char *architecture;
    const Part *parts;
    bool interleaved; /* rows of q and k */
} families[] = {
    { "t5", t5_parts, false },         { "t5encoder", t5_parts, false },
    { "llama", llama_parts, true },    { "qwen2", llama_parts, false },
    { "qwen3", llama_parts, false },   { "qwen2vl", llama_parts, false },
    { "qwen3vl", llama_parts, false }, { "mistral3", llama_parts, true },
};

static const struct Family diffusion = { "", no_parts, false };

typedef struct Adder {
    Source *source;
    Map *table;
    const struct Family *family;
    int64_t heads, kv_heads; /* of an interleaved family */
    Error *err;
} Adder;

static Status no_memory(const Adder *a)
{
    return error_set(a->err, E_NOMEM, "out of memory while opening a GGUF file");
}

static const struct Family *find_family(const char *architecture)
{
    for (size_t i = 0; architecture && i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].architecture, architecture) == 0) return &families[i];
    return &diffusion;
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static void replace_all(Str *s, const char *text, const Part *p)
{
    size_t n = strlen(p->from);
    const char *hit;

    for (; (hit = strstr(text, p->from)); text = hit + n) {
        str_add_n(s, text, (size_t)(hit - text));
        str_add(s, p->to);
    }
    str_add(s, text);
}

Status weights_gguf_name(const char *architecture, const char *name, char **out, Error *err)
{
    char *text = mem_strdup(name);

    for (const Part *p = find_family(architecture)->parts; text && p->from; p++) {
        const Part back = { p->to, p->from };
        Str s = { 0 };

        replace_all(&s, text, &back);
        mem_free(text);
        text = str_take(&s);
    }
    if (!text) return error_set(err, E_NOMEM, "out of memory for a tensor's name");
    *out = text;
    return OK;
}

static char *translate(const Adder *a, const char *name)
{
    static const char prefix[] = "model.diffusion_model.";
    char *text;

    if (a->family == &diffusion && str_starts_with(name, prefix)) name += sizeof prefix - 1;
    text = arena_strdup(a->source->arena, name);
    for (const Part *p = a->family->parts; text && p->from; p++) {
        Str s = { 0 };

        replace_all(&s, text, p);
        text = s.failed ? NULL : arena_strdup(a->source->arena, s.text ? s.text : "");
        str_fini(&s);
    }
    return text;
}

/* ---- shapes ------------------------------------------------------------------------------------------------ */

/* Some tensors are stored flattened so that their rows fill blocks; their true shape is a pair. */
static Status original_shape(const Adder *a, const GgufTensor *t, Entry *e)
{
    char *key = arena_printf(a->source->arena, "comfy.gguf.orig_shape.%s", t->name);
    const GgufPair *p = key ? gguf_find(a->source->gguf, key) : NULL;
    int64_t *shape, count = 1;

    if (!key) return no_memory(a);
    if (!p) return OK;
    if (p->count > K_MAX_DIMS)
        return error_set(a->err, E_FORMAT, "%s has too many dimensions", key);
    shape = arena_array(a->source->arena, (size_t)p->count, sizeof *shape);
    if (!shape) return no_memory(a);
    for (uint64_t i = 0; i < p->count; i++)
        if (!gguf_integer(p, i, &shape[i]) || shape[i] < 0 ||
            __builtin_mul_overflow(count, shape[i], &count))
            return error_set(a->err, E_FORMAT, "%s is no shape", key);
    if (count != t->count)
        return error_set(a->err, E_FORMAT, "%s has another number of elements than the tensor",
                         key);
    e->ndim = (int)p->count;
    e->shape = shape;
    return OK;
}

static int64_t interleaved_heads(const Adder *a, const char *name, const Entry *e)
{
    int64_t heads = 0;

    if (!a->family->interleaved || e->ndim != 2) return 0;
    if (str_ends_with(name, "self_attn.q_proj.weight")) heads = a->heads;
    if (str_ends_with(name, "self_attn.k_proj.weight")) heads = a->kv_heads;
    return heads > 0 && e->shape[0] > 0 && e->shape[0] % (heads * 2) == 0 ? heads : 0;
}

static Status add_tensor(const Adder *a, const GgufTensor *t)
{
    Entry *e = arena_alloc(a->source->arena, sizeof *e);
    char *name = e ? translate(a, t->name) : NULL;

    if (!name) return no_memory(a);
    *e = (Entry){ .type = t->type,
                  .dtype = t->dtype,
                  .ndim = t->ndim,
                  .shape = t->shape,
                  .count = t->count,
                  .row = t->row,
                  .data = t->data,
                  .size = t->size };
    TRY(original_shape(a, t, e));
    e->interleaved_heads = interleaved_heads(a, name, e);
    return map_put(a->table, name, e) ? OK : no_memory(a);
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

static Status add_metadata(const Adder *a)
{
    const Gguf *g = a->source->gguf;

    for (size_t i = 0; i < g->pair_count; i++) {
        const char *text;

        if (g->pairs[i].array) continue;
        text = gguf_print(g, &g->pairs[i]);
        if (!text || !map_put(&a->source->metadata, g->pairs[i].key, (char *)(uintptr_t)text))
            return no_memory(a);
    }
    return OK;
}

static Status read_heads(Adder *a, const char *architecture)
{
    const char *parts[] = { "head_count", "head_count_kv" };
    int64_t *fields[] = { &a->heads, &a->kv_heads };

    if (!a->family->interleaved) return OK;
    for (int i = 0; i < 2; i++) {
        char *key = arena_printf(a->source->arena, "%s.attention.%s", architecture, parts[i]);
        const GgufPair *p = key ? gguf_find(a->source->gguf, key) : NULL;

        if (!key) return no_memory(a);
        if (!p || !gguf_integer(p, 0, fields[i]) || *fields[i] < 1 || *fields[i] > 1 << 20)
            return error_set(a->err, E_FORMAT, "the file does not say %s", key);
    }
    return OK;
}

Status source_add_gguf(Source *s, Map *table, const FileMap *map, Error *err)
{
    Adder a = { .source = s, .table = table, .err = err };
    const char *architecture;

    TRY(gguf_parse(map->data, map->size, &s->gguf, err));
    TRY(add_metadata(&a));
    architecture = map_get(&s->metadata, "general.architecture");
    a.family = find_family(architecture);
    TRY(read_heads(&a, architecture));
    for (size_t i = 0; i < s->gguf->tensor_count; i++)
        TRY(add_tensor(&a, &s->gguf->tensors[i]));
    return OK;
}
