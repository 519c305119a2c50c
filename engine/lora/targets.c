/* targets.c - which matrix, or rows of a matrix, the key prefix of a LoRA file means. */
#include "engine/lora/targets.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/str.h"

enum { NAME_SIZE = 256, FIRST_RULE = 2, SPELLINGS = 4, LAST_ORDER = 1 << 20 };

/* ---- tensors in parts -------------------------------------------------------------------------------- */

int lora_part_of(const char *name, size_t *stem)
{
    size_t n = strlen(name), end = n;

    *stem = n;
    while (end > 0 && isdigit((unsigned char)name[end - 1]))
        end--;
    if (end == n || end < 2 || n - end > 4 || name[end - 1] != '.') return -1;
    size_t at = end - 1;
    bool part = (at > 7 && !memcmp(name + at - 7, ".weight", 7)) ||
                (at > 5 && !memcmp(name + at - 5, ".bias", 5));
    if (!part) return -1;
    *stem = at;
    return atoi(name + end);
}

static void rows_and_cols(const Weights *base, const char *name, int64_t *rows, int64_t *cols)
{
    *rows = weights_dim(base, name, 0);
    *cols = *rows > 0 ? weights_elements(base, name) / *rows : 0;
}

bool lora_base_shape(const Weights *base, const char *tensor, int64_t *rows, int64_t *cols)
{
    char part[NAME_SIZE];
    int64_t more;

    *rows = *cols = 0;
    if (weights_has(base, tensor)) {
        rows_and_cols(base, tensor, rows, cols);
        return *rows > 0;
    }
    for (int i = 0;; i++) {
        int n = snprintf(part, sizeof part, "%s.%d", tensor, i);
        if (n < 0 || (size_t)n >= sizeof part || !weights_has(base, part)) return i > 0;
        rows_and_cols(base, part, &more, cols);
        *rows += more;
    }
}

/* ---- names of diffusers -------------------------------------------------------------------------------- */

/* One '*' stands for a block index. first and rows count in widths of the model (columns of the tensor);
 * rows = 0: the whole tensor. */
typedef struct Rule {
    const char *diffusers, *bfl;
    int first, rows;
    bool swap;
} Rule;

/* clang-format off */
#define DOUBLE_D "transformer_blocks.*."
#define SINGLE_D "single_transformer_blocks.*."
#define DOUBLE_B "double_blocks.*."
#define SINGLE_B "single_blocks.*."
static const Rule rules[] = {
    { DOUBLE_D "attn.to_q", DOUBLE_B "img_attn.qkv.weight", 0, 1, false },
    { DOUBLE_D "attn.to_k", DOUBLE_B "img_attn.qkv.weight", 1, 1, false },
    { DOUBLE_D "attn.to_v", DOUBLE_B "img_attn.qkv.weight", 2, 1, false },
    { DOUBLE_D "attn.add_q_proj", DOUBLE_B "txt_attn.qkv.weight", 0, 1, false },
    { DOUBLE_D "attn.add_k_proj", DOUBLE_B "txt_attn.qkv.weight", 1, 1, false },
    { DOUBLE_D "attn.add_v_proj", DOUBLE_B "txt_attn.qkv.weight", 2, 1, false },
    { DOUBLE_D "norm1.linear", DOUBLE_B "img_mod.lin.weight", 0, 0, false },
    { DOUBLE_D "norm1_context.linear", DOUBLE_B "txt_mod.lin.weight", 0, 0, false },
    { DOUBLE_D "attn.to_out.0", DOUBLE_B "img_attn.proj.weight", 0, 0, false },
    { DOUBLE_D "attn.to_add_out", DOUBLE_B "txt_attn.proj.weight", 0, 0, false },
    { DOUBLE_D "ff.net.0.proj", DOUBLE_B "img_mlp.0.weight", 0, 0, false },
    { DOUBLE_D "ff.net.2", DOUBLE_B "img_mlp.2.weight", 0, 0, false },
    { DOUBLE_D "ff_context.net.0.proj", DOUBLE_B "txt_mlp.0.weight", 0, 0, false },
    { DOUBLE_D "ff_context.net.2", DOUBLE_B "txt_mlp.2.weight", 0, 0, false },
    { DOUBLE_D "ff.linear_in", DOUBLE_B "img_mlp.0.weight", 0, 0, false },
    { DOUBLE_D "ff.linear_out", DOUBLE_B "img_mlp.2.weight", 0, 0, false },
    { DOUBLE_D "ff_context.linear_in", DOUBLE_B "txt_mlp.0.weight", 0, 0, false },
    { DOUBLE_D "ff_context.linear_out", DOUBLE_B "txt_mlp.2.weight", 0, 0, false },
    { DOUBLE_D "attn.norm_q", DOUBLE_B "img_attn.norm.query_norm.scale", 0, 0, false },
    { DOUBLE_D "attn.norm_k", DOUBLE_B "img_attn.norm.key_norm.scale", 0, 0, false },
    { DOUBLE_D "attn.norm_added_q", DOUBLE_B "txt_attn.norm.query_norm.scale", 0, 0, false },
    { DOUBLE_D "attn.norm_added_k", DOUBLE_B "txt_attn.norm.key_norm.scale", 0, 0, false },
    { SINGLE_D "attn.to_q", SINGLE_B "linear1.weight", 0, 1, false },
    { SINGLE_D "attn.to_k", SINGLE_B "linear1.weight", 1, 1, false },
    { SINGLE_D "attn.to_v", SINGLE_B "linear1.weight", 2, 1, false },
    { SINGLE_D "proj_mlp", SINGLE_B "linear1.weight", 3, 4, false },
    { SINGLE_D "norm.linear", SINGLE_B "modulation.lin.weight", 0, 0, false },
    { SINGLE_D "proj_out", SINGLE_B "linear2.weight", 0, 0, false },
    { SINGLE_D "attn.norm_q", SINGLE_B "norm.query_norm.scale", 0, 0, false },
    { SINGLE_D "attn.norm_k", SINGLE_B "norm.key_norm.scale", 0, 0, false },
    { SINGLE_D "attn.to_qkv_mlp_proj", SINGLE_B "linear1.weight", 0, 0, false },
    { SINGLE_D "attn.to_out", SINGLE_B "linear2.weight", 0, 0, false },
    { "proj_out", "final_layer.linear.weight", 0, 0, false },
    { "x_embedder", "img_in.weight", 0, 0, false },
    { "context_embedder", "txt_in.weight", 0, 0, false },
    { "controlnet_x_embedder", "pos_embed_input.weight", 0, 0, false },
    { "norm_out.linear", "final_layer.adaLN_modulation.1.weight", 0, 0, true },
    { "time_text_embed.timestep_embedder.linear_1", "time_in.in_layer.weight", 0, 0, false },
    { "time_text_embed.timestep_embedder.linear_2", "time_in.out_layer.weight", 0, 0, false },
    { "time_text_embed.text_embedder.linear_1", "vector_in.in_layer.weight", 0, 0, false },
    { "time_text_embed.text_embedder.linear_2", "vector_in.out_layer.weight", 0, 0, false },
    { "time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer.weight", 0, 0, false },
    { "time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer.weight", 0, 0, false },
};
/* Prefixes of a diffusers name, and whether its dots become underscores. */
static const struct {
    const char *prefix;
    bool flat;
} spellings[SPELLINGS] = {
    { "transformer.", false }, { "lycoris_", true }, { "lora_transformer_", true }, { "", false },
};
/* clang-format on */

/* Whether name fits a pattern with at most one '*' for digits; *digits and *count tell which. */
static bool fits(const char *pattern, const char *name, const char **digits, int *count)
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : 0;

    *digits = "";
    *count = 0;
    if (!star) return strcmp(pattern, name) == 0;
    if (strncmp(pattern, name, before) != 0) return false;
    *digits = name + before;
    while (isdigit((unsigned char)(*digits)[*count]))
        ++*count;
    return *count > 0 && strcmp(star + 1, *digits + *count) == 0;
}

static void flatten(char *text)
{
    for (; *text; text++)
        if (*text == '.') *text = '_';
}

/* ---- the table ------------------------------------------------------------------------------------------ */

static Status add(LoraTargets *t, const char *prefix, const char *name, bool flat,
                  const LoraTarget *target, Error *err)
{
    LoraTarget *copy = arena_alloc(t->arena, sizeof *copy);
    char *key = arena_printf(t->arena, "%s%s", prefix, name);

    if (!copy || !key) return error_set(err, E_NOMEM, "out of memory");
    *copy = *target;
    if (flat) flatten(key + strlen(prefix));
    if (!map_put(&t->map, key, copy)) return error_set(err, E_NOMEM, "out of memory");
    return OK;
}

static Status add_rule(LoraTargets *t, const Rule *r, int rule, const char *digits, int count,
                       const LoraTarget *whole, int64_t width, Error *err)
{
    const char *star = strchr(r->diffusers, '*');
    const char *name = r->diffusers;
    LoraTarget target = *whole;

    target.first = r->first * width;
    target.rows = r->rows * width;
    target.swap = r->swap;
    if (star)
        name = arena_printf(t->arena, "%.*s%.*s%s", (int)(star - r->diffusers), r->diffusers,
                            count, digits, star + 1);
    if (!name) return error_set(err, E_NOMEM, "out of memory");
    for (int i = 0; i < SPELLINGS; i++) {
        target.order = FIRST_RULE + rule * SPELLINGS + i;
        TRY(add(t, spellings[i].prefix, name, spellings[i].flat, &target, err));
    }
    return OK;
}

/* Names of BFL's own: kohya's, the dotted one, and the attention rows of a single block's first matrix. */
static Status add_own_names(LoraTargets *t, const LoraTarget *whole, int64_t width, Error *err)
{
    static const char ending[] = ".weight", linear1[] = ".linear1";
    LoraTarget target = *whole;
    size_t n = strlen(whole->tensor);

    target.order = 1;
    if (!str_ends_with(whole->tensor, ending))
        return add(t, "diffusion_model.", whole->tensor, false, &target, err);
    char *stem = arena_strndup(t->arena, whole->tensor, n - strlen(ending));
    if (!stem) return error_set(err, E_NOMEM, "out of memory");
    TRY(add(t, "diffusion_model.", stem, false, &target, err));
    target.order = 0;
    TRY(add(t, "lora_unet_", stem, true, &target, err));
    if (!str_starts_with(stem, "single_blocks.") || !str_ends_with(stem, linear1)) return OK;
    char *attention = arena_printf(t->arena, "%s_qkv", stem);
    if (!attention) return error_set(err, E_NOMEM, "out of memory");
    target.order = LAST_ORDER;
    target.rows = 3 * width;
    return add(t, "diffusion_model.", attention, false, &target, err);
}

static Status add_tensor(LoraTargets *t, const Weights *base, const char *name, size_t stem,
                         Error *err)
{
    LoraTarget whole = { .tensor = arena_strndup(t->arena, name, stem) };
    int64_t width = weights_elements(base, name) / weights_dim(base, name, 0);
    const char *digits;
    int count;

    if (!whole.tensor) return error_set(err, E_NOMEM, "out of memory");
    TRY(add_own_names(t, &whole, width, err));
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (fits(rules[i].bfl, whole.tensor, &digits, &count))
            TRY(add_rule(t, &rules[i], (int)i, digits, count, &whole, width, err));
    return OK;
}

Status lora_targets_init(LoraTargets *t, const Weights *base, Error *err)
{
    t->arena = arena_new();
    if (!t->arena) return error_set(err, E_NOMEM, "out of memory");
    for (size_t i = 0; i < weights_count(base); i++) {
        const char *name = weights_name(base, i);
        size_t stem;
        if (lora_part_of(name, &stem) > 0 || weights_dim(base, name, 0) < 1) continue;
        TRY(add_tensor(t, base, name, stem, err));
    }
    return OK;
}

void lora_targets_fini(LoraTargets *t)
{
    map_fini(&t->map);
    arena_free(t->arena);
    *t = (LoraTargets){ 0 };
}

const LoraTarget *lora_targets_find(const LoraTargets *t, const char *prefix)
{
    return map_get(&t->map, prefix);
}
