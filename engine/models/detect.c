/* detect.c - recognises a transformer by the names of its tensors. */
#include "engine/models/detect.h"

#include <stdio.h>

#include "engine/base/str.h"
#include "engine/models/flux1.h"
#include "engine/models/flux2.h"

/* A new family is a row here. */
static const ModelFamily *const families[] = { &flux1_family, &flux2_family };

/* Where a transformer lies inside a file. */
static const char *const prefixes[] = { "model.diffusion_model.", "diffusion_model.",
                                        "transformer.", "" };

/* Other things that people connect here by mistake. */
static const struct {
    const char *name, *what;
} others[] = {
    { "model.layers.0.self_attn.q_proj.weight", "a text encoder (Qwen3 or Mistral)" },
    { "model.language_model.layers.0.self_attn.q_proj.weight", "a text encoder" },
    { "encoder.block.0.layer.0.SelfAttention.q.weight", "a T5 text encoder" },
    { "text_model.encoder.layers.0.self_attn.q_proj.weight", "a CLIP text encoder" },
    { "decoder.conv_in.weight", "a VAE" },
    { "first_stage_model.decoder.conv_in.weight", "a VAE" },
    { "model.diffusion_model.input_blocks.0.0.weight", "a Stable Diffusion 1, 2 or XL model" },
    { "input_blocks.0.0.weight", "a Stable Diffusion 1, 2 or XL model" },
    { "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight",
      "a Stable Diffusion 3 model" },
    { "joint_blocks.0.x_block.attn.qkv.weight", "a Stable Diffusion 3 model" },
    { "blocks.0.cross_attn.q.weight", "a Wan video model" },
    { "controlnet_x_embedder.weight", "a ControlNet" },
    { "controlnet_blocks.0.weight", "a ControlNet" },
};

/* Suffixes of LoRA files. */
static bool looks_like_lora(const Weights *w)
{
    for (size_t i = 0; i < weights_count(w) && i < 64; i++) {
        const char *name = weights_name(w, i);
        if (str_ends_with(name, ".lora_down.weight") || str_ends_with(name, ".lora_A.weight") ||
            str_ends_with(name, ".lora_up.weight") || str_ends_with(name, ".lora_B.weight"))
            return true;
    }
    return false;
}

static Status not_a_transformer(const Weights *w, Error *err)
{
    const char *what = looks_like_lora(w) ? "a LoRA" : NULL;

    for (size_t i = 0; !what && i < sizeof others / sizeof *others; i++)
        if (weights_has(w, others[i].name)) what = others[i].what;
    if (what) {
        error_set(err, E_FORMAT, "this is no FLUX transformer: it looks like %s", what);
    } else {
        error_set(err, E_FORMAT,
                  "this is no FLUX transformer: its first tensor is %s and none of img_in, "
                  "double_blocks, transformer_blocks is there",
                  weights_count(w) ? weights_name(w, 0) : "missing");
    }
    error_fix(err, "choose a FLUX.1 or FLUX.2 diffusion model");
    return E_FORMAT;
}

typedef struct Renaming {
    const ModelFamily *family;
} Renaming;

static bool rename_tensor(void *user, const char *name, char *buf, size_t size)
{
    const Renaming *r = user;
    if (r->family->rename && r->family->rename(name, buf, size)) return true;
    int n = snprintf(buf, size, "%s", name);
    return n >= 0 && (size_t)n < size;
}

/* Tries one prefix; *out stays NULL when no family is there. */
static Status try_prefix(const Weights *w, const char *prefix, const ModelFamily **family,
                         Weights **out, Error *err)
{
    Status status = OK;
    Weights *scope = NULL, *renamed = NULL;

    TRY(weights_scope(w, prefix, &scope, err));
    for (size_t i = 0; !*out && i < sizeof families / sizeof *families; i++) {
        Renaming r = { families[i] };
        TRY_DONE(weights_rename(scope, rename_tensor, &r, &renamed, err));
        if (families[i]->detect(renamed)) {
            *family = families[i];
            *out = weights_ref(renamed);
        }
        weights_unref(renamed);
        renamed = NULL;
    }
done:
    weights_unref(scope);
    return status;
}

Status detect_transformer(const Weights *w, const ModelFamily **family, Weights **out,
                          Error *err)
{
    Weights *found = NULL;

    for (size_t i = 0; !found && i < sizeof prefixes / sizeof *prefixes; i++)
        if (!*prefixes[i] || weights_has_prefix(w, prefixes[i]))
            TRY(try_prefix(w, prefixes[i], family, &found, err));
    if (!found) return not_a_transformer(w, err);
    *out = found;
    return OK;
}
