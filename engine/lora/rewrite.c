/* rewrite.c - LoRA files whose keys have names of their own, seen under the usual ones. */
#include "engine/lora/rewrite.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/str.h"

typedef struct Swap {
    const char *from, *to;
} Swap;

/* In this order: the numbered projections before the plain one that they contain. */
static const Swap uso_swaps[] = {
    { ".down.weight", ".lora_down.weight" },
    { ".up.weight", ".lora_up.weight" },
    { "qkv_lora2", "txt_attn.qkv" },
    { "qkv_lora1", "img_attn.qkv" },
    { "proj_lora1", "img_attn.proj" },
    { "proj_lora2", "txt_attn.proj" },
    { "qkv_lora", "linear1_qkv" },
    { "proj_lora", "linear2" },
    { ".processor.", "." },
    { NULL, NULL },
};
static const Swap control_swaps[] = {
    { ".lora_B.bias", ".diff_b" },
    { "_norm.scale", "_norm.scale.set_weight" },
    { NULL, NULL },
};

/* Replaces the first `from` in text; false when the result does not fit. */
static bool swap_text(char *text, size_t size, const Swap *s)
{
    char *at = strstr(text, s->from);
    if (!at) return true;
    size_t old = strlen(s->from), new = strlen(s->to), rest = strlen(at + old);
    if ((size_t)(at - text) + new + rest + 1 > size) return false;
    memmove(at + new, at + old, rest + 1);
    memcpy(at, s->to, new);
    return true;
}

static bool rewrite_name(void *user, const char *name, char *buf, size_t size)
{
    int n = snprintf(buf, size, "diffusion_model.%s", name);
    if (n < 0 || (size_t)n >= size) return false;
    for (const Swap *s = user; s->from; s++)
        if (!swap_text(buf, size, s)) return false;
    return true;
}

static Status renamed(const Weights *file, const Swap *swaps, Weights **out, Error *err)
{
    return weights_rename(file, rewrite_name, (void *)(uintptr_t)swaps, out, err);
}

Status lora_rewrite(const Weights *file, Weights **out, bool *control, Error *err)
{
    *control = weights_has(file, "img_in.lora_A.weight") &&
               weights_has(file, "single_blocks.0.norm.key_norm.scale");
    if (*control) return renamed(file, control_swaps, out, err);
    if (weights_has(file, "single_blocks.37.processor.qkv_lora.up.weight") &&
        weights_has(file, "double_blocks.18.processor.qkv_lora2.up.weight"))
        return renamed(file, uso_swaps, out, err);
    *out = weights_ref(file);
    return OK;
}
