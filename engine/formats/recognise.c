/* recognise.c - the table of what model files look like. */
#include "engine/formats/recognise.h"

#include <stdio.h>

#include "engine/base/str.h"

/* A file that has all names of `has` and none of `lacks`, under one of the prefixes. size: when not 0, what
 * dimension 1 of has[0] must be. Rows stand from the special to the common. */
typedef struct Row {
    const char *has[2], *lacks;
    int64_t size;
    FileLooks looks;
} Row;

#define TEXT_LOADERS "CLIPLoader or DualCLIPLoader"

/* clang-format off */
static const Row rows[] = {
    { { "first_stage_model.decoder.conv_in.weight", "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale" }, NULL, 0,
      { "a checkpoint with everything in one file", "CheckpointLoaderSimple" } },
    { { "first_stage_model.decoder.conv_in.weight", "model.diffusion_model.input_blocks.0.0.weight" }, NULL, 0,
      { "a Stable Diffusion 1, 2 or XL checkpoint", NULL } },
    { { "redux_down.weight", "redux_up.weight" }, NULL, 0, { "a Redux style model", "StyleModelLoader" } },
    { { "feature_embedder.mid_layer_norm.bias" }, NULL, 0, { "a USO model patch", "ModelPatchLoader" } },
    { { "controlnet_blocks.0.weight", "pos_embed_input.proj.weight" }, NULL, 0, { "a Stable Diffusion 3 ControlNet", NULL } },
    { { "controlnet_blocks.0.weight", "transformer_blocks.0.img_mlp.net.0.proj.weight" }, NULL, 0, { "a Qwen-Image ControlNet", NULL } },
    { { "controlnet_blocks.0.weight" }, NULL, 0, { "a FLUX.1 ControlNet", "ControlNetLoader" } },
    { { "controlnet_blocks.0.linear.weight" }, NULL, 0, { "a FLUX.1 ControlNet", "ControlNetLoader" } },
    { { "zero_convs.0.0.weight" }, NULL, 0, { "a Stable Diffusion ControlNet", NULL } },
    { { "control_model.zero_convs.0.0.weight" }, NULL, 0, { "a Stable Diffusion ControlNet", NULL } },
    { { "controlnet_down_blocks.0.weight" }, NULL, 0, { "a Stable Diffusion ControlNet", NULL } },
    { { "vision_model.embeddings.class_embedding" }, NULL, 0, { "a CLIP vision model (ViT)", NULL } },
    { { "vision_model.embeddings.patch_embedding.weight" }, NULL, 0, { "a SigLIP vision model", "CLIPVisionLoader" } },
    { { "visual.transformer.resblocks.0.attn.in_proj_weight" }, NULL, 0, { "a CLIP vision model (ViT)", NULL } },
    { { "embeddings.patch_embeddings.projection.weight" }, NULL, 0, { "a DINO vision model", NULL } },
    { { "double_stream_modulation_img.lin.weight", "img_in.weight" }, NULL, 0, { "a FLUX.2 transformer", "UNETLoader" } },
    { { "double_stream_modulation_img.linear.weight", "x_embedder.weight" }, NULL, 0, { "a FLUX.2 transformer", "UNETLoader" } },
    { { "double_blocks.0.img_mod.lin.weight", "final_layer.linear.weight" }, NULL, 0, { "a FLUX.1 transformer", "UNETLoader" } },
    { { "single_transformer_blocks.0.proj_mlp.weight", "x_embedder.weight" }, NULL, 0, { "a FLUX.1 transformer", "UNETLoader" } },
    { { "bn.running_mean", "decoder.conv_in.weight" }, NULL, 0, { "a FLUX.2 VAE", "VAELoader" } },
    { { "decoder.conv_in.weight" }, "post_quant_conv.weight", 16, { "a FLUX.1 VAE", "VAELoader" } },
    { { "decoder.conv_in.weight" }, NULL, 4, { "a Stable Diffusion VAE", NULL } },
    { { "decoder.conv_in.weight" }, NULL, 0, { "a VAE", NULL } },
    { { "decoder.conv1.weight", "encoder.conv1.weight" }, NULL, 0, { "a video VAE", NULL } },
    { { "encoder.block.0.layer.0.SelfAttention.q.weight" }, NULL, 0, { "a T5 text encoder", TEXT_LOADERS } },
    { { "enc.blk.0.attn_q.weight" }, NULL, 0, { "a T5 text encoder (GGUF)", "CLIPLoaderGGUF or DualCLIPLoaderGGUF" } },
    { { "text_model.encoder.layers.0.self_attn.q_proj.weight" }, NULL, 0, { "a CLIP text encoder", TEXT_LOADERS } },
    { { "model.language_model.layers.0.self_attn.q_proj.weight" }, NULL, 0, { "a text encoder with a vision part", NULL } },
    { { "model.layers.0.self_attn.q_norm.weight" }, NULL, 0, { "a Qwen3 text encoder", "CLIPLoader" } },
    { { "model.layers.0.self_attn.q_proj.weight" }, NULL, 0, { "a text encoder (Qwen or Mistral)", "CLIPLoader" } },
    { { "blk.0.attn_q.weight", "token_embd.weight" }, NULL, 0, { "a text encoder (GGUF)", "CLIPLoaderGGUF" } },
    { { "model.1.sub.0.RDB1.conv1.0.weight" }, NULL, 0, { "an ESRGAN upscale model", "UpscaleModelLoader" } },
    { { "body.0.rdb1.conv1.weight", "conv_first.weight" }, NULL, 0, { "an ESRGAN upscale model", "UpscaleModelLoader" } },
    { { "RRDB_trunk.0.RDB1.conv1.weight" }, NULL, 0, { "an ESRGAN upscale model", "UpscaleModelLoader" } },
    { { "layers.0.residual_group.blocks.0.norm1.weight" }, NULL, 0, { "a SwinIR upscale model", NULL } },
    { { "input_blocks.0.0.weight" }, NULL, 0, { "a Stable Diffusion 1, 2 or XL model", NULL } },
    { { "joint_blocks.0.x_block.attn.qkv.weight" }, NULL, 0, { "a Stable Diffusion 3 model", NULL } },
    { { "blocks.0.cross_attn.q.weight" }, NULL, 0, { "a Wan video model", NULL } },
    { { "transformer_blocks.0.img_mlp.net.0.proj.weight" }, NULL, 0, { "a Qwen-Image model", NULL } },
    { { "distilled_guidance_layer.norms.0.scale" }, NULL, 0, { "a Chroma model", NULL } },
    { { "layers.0.attention.qkv.weight", "cap_embedder.0.weight" }, NULL, 0, { "a Lumina or Z-Image model", NULL } },
};
/* clang-format on */

static const char *const prefixes[] = {
    "",     "model.diffusion_model.", "diffusion_model.", "transformer.",
    "vae.", "first_stage_model.",     "controlnet.",      "model."
};

static const char *const lora_ends[] = { ".lora_down.weight", ".lora_A.weight",
                                         ".lora_up.weight",   ".lora_B.weight",
                                         ".hada_w1_a",        ".lokr_w1",
                                         ".lokr_w1_a",        ".lora.down.weight",
                                         "_lora.down.weight", ".lora_A.default.weight",
                                         ".lora_A",           ".dora_scale" };

static bool looks_like_lora(const Weights *w)
{
    for (size_t i = 0; i < weights_count(w) && i < 64; i++)
        for (size_t k = 0; k < sizeof lora_ends / sizeof *lora_ends; k++)
            if (str_ends_with(weights_name(w, i), lora_ends[k])) return true;
    return false;
}

static bool has(const Weights *w, const char *prefix, const char *name)
{
    char full[160];
    int n = snprintf(full, sizeof full, "%s%s", prefix, name);
    return n > 0 && (size_t)n < sizeof full && weights_has(w, full);
}

static bool fits(const Weights *w, const Row *r, const char *prefix)
{
    char full[160];

    for (int i = 0; i < 2 && r->has[i]; i++)
        if (!has(w, prefix, r->has[i])) return false;
    if (r->lacks && has(w, prefix, r->lacks)) return false;
    if (r->size == 0) return true;
    snprintf(full, sizeof full, "%s%s", prefix, r->has[0]);
    return weights_dim(w, full, 1) == r->size;
}

bool recognise(const Weights *w, FileLooks *out)
{
    if (looks_like_lora(w)) {
        *out = (FileLooks){ "a LoRA", "LoraLoader or LoraLoaderModelOnly" };
        return true;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++)
            if (fits(w, &rows[i], prefixes[p])) {
                *out = rows[i].looks;
                return true;
            }
    return false;
}

Status recognise_refuse(const Weights *w, const char *wanted, Error *err)
{
    FileLooks looks;

    if (!recognise(w, &looks)) {
        error_set(err, E_FORMAT, "this is no %s; its first tensor is %s", wanted,
                  weights_count(w) ? weights_name(w, 0) : "missing");
        error_fix(err, "choose a file that holds a %s", wanted);
        return E_FORMAT;
    }
    error_set(err, E_FORMAT, "this is no %s: it looks like %s", wanted, looks.what);
    if (looks.loader)
        error_fix(err, "load it with %s, and choose a %s here", looks.loader, wanted);
    else
        error_fix(err, "choose a file that holds a %s", wanted);
    return E_FORMAT;
}
