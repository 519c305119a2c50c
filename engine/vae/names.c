/* names.c - prefixes and diffusers' names of a VAE. */
#include "engine/vae/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/formats/recognise.h"

enum { NAME_SIZE = 192 };

/* Applied in order, each at its first place in the name. */
static const struct {
    const char *from, *to;
} rules[] = {
    { "mid_block.resnets.0.", "mid.block_1." },
    { "mid_block.resnets.1.", "mid.block_2." },
    { "mid_block.attentions.0.group_norm.", "mid.attn_1.norm." },
    { "mid_block.attentions.0.to_q.", "mid.attn_1.q." },
    { "mid_block.attentions.0.to_k.", "mid.attn_1.k." },
    { "mid_block.attentions.0.to_v.", "mid.attn_1.v." },
    { "mid_block.attentions.0.to_out.0.", "mid.attn_1.proj_out." },
    { "mid_block.attentions.0.query.", "mid.attn_1.q." },
    { "mid_block.attentions.0.key.", "mid.attn_1.k." },
    { "mid_block.attentions.0.value.", "mid.attn_1.v." },
    { "mid_block.attentions.0.proj_attn.", "mid.attn_1.proj_out." },
    { ".down_blocks.", ".down." },
    { ".resnets.", ".block." },
    { ".downsamplers.0.conv.", ".downsample.conv." },
    { ".upsamplers.0.conv.", ".upsample.conv." },
    { ".conv_shortcut.", ".nin_shortcut." },
    { ".conv_norm_out.", ".norm_out." },
};

/* Replaces the first `from` in name (at most NAME_SIZE bytes); false when the result is too long. */
static bool replace(char *name, const char *from, const char *to)
{
    char rest[NAME_SIZE];
    char *at = strstr(name, from);

    if (!at) return true;
    snprintf(rest, sizeof rest, "%s", at + strlen(from));
    size_t room = NAME_SIZE - (size_t)(at - name);
    int n = snprintf(at, room, "%s%s", to, rest);
    return n >= 0 && (size_t)n < room;
}

/* decoder.up_blocks.I counts from the coarsest level, decoder.up.L from the finest. */
static bool turn_level(char *name, int levels)
{
    static const char key[] = ".up_blocks.";
    char from[32], to[32];
    char *at = strstr(name, key);

    if (!at) return true;
    long i = strtol(at + sizeof key - 1, NULL, 10);
    if (i < 0 || i >= levels) return false;
    snprintf(from, sizeof from, "%s%ld.", key, i);
    snprintf(to, sizeof to, ".up.%ld.", levels - 1 - i);
    return replace(name, from, to);
}

static bool rename_tensor(void *user, const char *name, char *buf, size_t size)
{
    char text[NAME_SIZE];

    if ((size_t)snprintf(text, sizeof text, "%s", name) >= sizeof text) return false;
    if (!turn_level(text, *(const int *)user)) return false;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!replace(text, rules[i].from, rules[i].to)) return false;
    return (size_t)snprintf(buf, size, "%s", text) < size;
}

Status vae_names(const Weights *w, Weights **out, Error *err)
{
    static const char *const prefixes[] = { "vae.", "first_stage_model.", "" };
    Weights *scope = NULL;
    char probe[64];
    size_t i = 0;

    for (; *prefixes[i]; i++) {
        snprintf(probe, sizeof probe, "%sdecoder.conv_in.", prefixes[i]);
        if (weights_has_prefix(w, probe)) break;
    }
    snprintf(probe, sizeof probe, "%sdecoder.conv_in.", prefixes[i]);
    if (!weights_has_prefix(w, probe)) return recognise_refuse(w, "FLUX VAE", err);
    TRY(weights_scope(w, prefixes[i], &scope, err));
    int levels = weights_blocks(scope, "decoder.up_blocks.");
    if (levels == 0) {
        *out = scope;
        return OK;
    }
    Status s = weights_rename(scope, rename_tensor, &levels, out, err);
    weights_unref(scope);
    return s;
}
