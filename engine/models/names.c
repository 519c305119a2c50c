/* names.c - name tables from diffusers to BFL. */
#include "engine/models/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Matches stem (length n) against a pattern with at most one '*' for digits; gives the digits. */
static bool matches(const char *pattern, const char *stem, size_t n, const char **digits,
                    size_t *count)
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : strlen(pattern);

    *digits = "";
    *count = 0;
    if (n < before || memcmp(pattern, stem, before)) return false;
    if (!star) return n == before;
    *digits = stem + before;
    while (before + *count < n && isdigit((unsigned char)(*digits)[*count]))
        ++*count;
    size_t rest = strlen(star + 1);
    return *count > 0 && n == before + *count + rest &&
           !memcmp(star + 1, *digits + *count, rest);
}

static bool write_name(const NameRule *r, const char *digits, size_t count, const char *leaf,
                       char *buf, size_t size)
{
    const char *star = strchr(r->to, '*');
    int before = star ? (int)(star - r->to) : (int)strlen(r->to);
    int n = snprintf(buf, size, "%.*s%.*s%s.%s", before, r->to, (int)count, digits,
                     star ? star + 1 : "", r->leaf ? r->leaf : leaf);
    if (n < 0 || (size_t)n >= size) return false;
    if (r->part < 0) return true;
    int more = snprintf(buf + n, size - (size_t)n, ".%d", r->part);
    return more > 0 && (size_t)(n + more) < size;
}

bool names_apply(const NameRule *rules, const char *name, char *buf, size_t size)
{
    const char *leaf = strrchr(name, '.');
    const char *digits;
    size_t count;

    if (!leaf) return false;
    for (const NameRule *r = rules; r->from; r++)
        if (matches(r->from, name, (size_t)(leaf - name), &digits, &count))
            return write_name(r, digits, count, leaf + 1, buf, size);
    return false;
}

/* clang-format off */
/* Of both families. */
static const NameRule shared_rules[] = {
    { "x_embedder", "img_in", -1, NULL },
    { "context_embedder", "txt_in", -1, NULL },
    { "transformer_blocks.*.attn.to_q", "double_blocks.*.img_attn.qkv", 0, NULL },
    { "transformer_blocks.*.attn.to_k", "double_blocks.*.img_attn.qkv", 1, NULL },
    { "transformer_blocks.*.attn.to_v", "double_blocks.*.img_attn.qkv", 2, NULL },
    { "transformer_blocks.*.attn.add_q_proj", "double_blocks.*.txt_attn.qkv", 0, NULL },
    { "transformer_blocks.*.attn.add_k_proj", "double_blocks.*.txt_attn.qkv", 1, NULL },
    { "transformer_blocks.*.attn.add_v_proj", "double_blocks.*.txt_attn.qkv", 2, NULL },
    { "transformer_blocks.*.attn.to_out.0", "double_blocks.*.img_attn.proj", -1, NULL },
    { "transformer_blocks.*.attn.to_add_out", "double_blocks.*.txt_attn.proj", -1, NULL },
    { "transformer_blocks.*.attn.norm_q", "double_blocks.*.img_attn.norm.query_norm", -1, "scale" },
    { "transformer_blocks.*.attn.norm_k", "double_blocks.*.img_attn.norm.key_norm", -1, "scale" },
    { "transformer_blocks.*.attn.norm_added_q", "double_blocks.*.txt_attn.norm.query_norm", -1, "scale" },
    { "transformer_blocks.*.attn.norm_added_k", "double_blocks.*.txt_attn.norm.key_norm", -1, "scale" },
    { "single_transformer_blocks.*.attn.norm_q", "single_blocks.*.norm.query_norm", -1, "scale" },
    { "single_transformer_blocks.*.attn.norm_k", "single_blocks.*.norm.key_norm", -1, "scale" },
    { "proj_out", "final_layer.linear", -1, NULL },
    { "norm_out.linear", "final_layer.adaLN_modulation.1", 0, NULL }, /* part 0: marks swapped halves */
    { NULL, NULL, -1, NULL },
};

static const NameRule flux1_rules[] = {
    { "time_text_embed.timestep_embedder.linear_1", "time_in.in_layer", -1, NULL },
    { "time_text_embed.timestep_embedder.linear_2", "time_in.out_layer", -1, NULL },
    { "time_text_embed.text_embedder.linear_1", "vector_in.in_layer", -1, NULL },
    { "time_text_embed.text_embedder.linear_2", "vector_in.out_layer", -1, NULL },
    { "time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer", -1, NULL },
    { "time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer", -1, NULL },
    { "transformer_blocks.*.norm1.linear", "double_blocks.*.img_mod.lin", -1, NULL },
    { "transformer_blocks.*.norm1_context.linear", "double_blocks.*.txt_mod.lin", -1, NULL },
    { "transformer_blocks.*.ff.net.0.proj", "double_blocks.*.img_mlp.0", -1, NULL },
    { "transformer_blocks.*.ff.net.2", "double_blocks.*.img_mlp.2", -1, NULL },
    { "transformer_blocks.*.ff_context.net.0.proj", "double_blocks.*.txt_mlp.0", -1, NULL },
    { "transformer_blocks.*.ff_context.net.2", "double_blocks.*.txt_mlp.2", -1, NULL },
    { "single_transformer_blocks.*.norm.linear", "single_blocks.*.modulation.lin", -1, NULL },
    { "single_transformer_blocks.*.attn.to_q", "single_blocks.*.linear1", 0, NULL },
    { "single_transformer_blocks.*.attn.to_k", "single_blocks.*.linear1", 1, NULL },
    { "single_transformer_blocks.*.attn.to_v", "single_blocks.*.linear1", 2, NULL },
    { "single_transformer_blocks.*.proj_mlp", "single_blocks.*.linear1", 3, NULL },
    { "single_transformer_blocks.*.proj_out", "single_blocks.*.linear2", -1, NULL },
    { NULL, NULL, -1, NULL },
};

static const NameRule flux2_rules[] = {
    { "time_guidance_embed.timestep_embedder.linear_1", "time_in.in_layer", -1, NULL },
    { "time_guidance_embed.timestep_embedder.linear_2", "time_in.out_layer", -1, NULL },
    { "time_guidance_embed.guidance_embedder.linear_1", "guidance_in.in_layer", -1, NULL },
    { "time_guidance_embed.guidance_embedder.linear_2", "guidance_in.out_layer", -1, NULL },
    { "double_stream_modulation_img.linear", "double_stream_modulation_img.lin", -1, NULL },
    { "double_stream_modulation_txt.linear", "double_stream_modulation_txt.lin", -1, NULL },
    { "single_stream_modulation.linear", "single_stream_modulation.lin", -1, NULL },
    { "transformer_blocks.*.ff.linear_in", "double_blocks.*.img_mlp.0", -1, NULL },
    { "transformer_blocks.*.ff.linear_out", "double_blocks.*.img_mlp.2", -1, NULL },
    { "transformer_blocks.*.ff_context.linear_in", "double_blocks.*.txt_mlp.0", -1, NULL },
    { "transformer_blocks.*.ff_context.linear_out", "double_blocks.*.txt_mlp.2", -1, NULL },
    { "single_transformer_blocks.*.attn.to_qkv_mlp_proj", "single_blocks.*.linear1", -1, NULL },
    { "single_transformer_blocks.*.attn.to_out", "single_blocks.*.linear2", -1, NULL },
    { NULL, NULL, -1, NULL },
};
/* clang-format on */

bool names_flux1_from_diffusers(const char *name, char *buf, size_t size)
{
    return names_apply(shared_rules, name, buf, size) ||
           names_apply(flux1_rules, name, buf, size);
}

bool names_flux2_from_diffusers(const char *name, char *buf, size_t size)
{
    return names_apply(shared_rules, name, buf, size) ||
           names_apply(flux2_rules, name, buf, size);
}
