/* flux2.c - FLUX.2: recognition, sizes, and the forward pass told in order. */
#include "engine/models/flux2.h"

#include <stdio.h>
#include <string.h>

#include "engine/models/forward.h"
#include "engine/models/names.h"
#include "engine/models/parts.h"

static bool detect(const Weights *w)
{
    return weights_has(w, "img_in.weight") &&
           weights_has(w, "double_stream_modulation_img.lin.weight") &&
           weights_has(w, "double_blocks.0.img_attn.norm.key_norm.scale");
}

static Status read_dims(const Weights *w, ModelDims *out, Error *err)
{
    ModelDims d = { .head_dim = 128,
                    .positions = { .axes = 4,
                                   .width = { 32, 32, 32, 32 },
                                   .theta = 2000,
                                   .patch = 1,
                                   .index_scale = 10,
                                   .text_axis = 3 },
                    .references = REF_INDEX };
    int64_t columns;

    TRY(family_dim(w, "img_in.weight", 0, &d.width, err));
    TRY(family_dim(w, "img_in.weight", 1, &d.in_channels, err));
    TRY(family_dim(w, "txt_in.weight", 1, &d.context, err));
    TRY(family_dim(w, "final_layer.linear.weight", 0, &d.channels, err));
    TRY(family_dim(w, "double_blocks.0.img_mlp.2.weight", 1, &d.hidden, err));
    TRY(family_dim(w, "time_in.in_layer.weight", 1, &columns, err));
    if (d.in_channels != d.channels || columns != 256)
        return error_set(
            err, E_FORMAT,
            "a FLUX.2 transformer reads and writes the same channels; img_in has %lld "
            "columns, final_layer.linear %lld rows",
            (long long)d.in_channels, (long long)d.channels);
    d.double_blocks = weights_blocks(w, "double_blocks.");
    d.single_blocks = weights_blocks(w, "single_blocks.");
    if (d.double_blocks > MODEL_MAX_SKIPS || d.single_blocks > MODEL_MAX_SKIPS)
        return error_set(err, E_FORMAT, "%d double and %d single blocks are too many",
                         d.double_blocks, d.single_blocks);
    d.guidance = weights_has(w, "guidance_in.in_layer.weight");
    d.swapped_final = weights_has(w, NAMES_SWAPPED_FINAL);
    d.context_pad = family_context_pad(w, 512);
    TRY(family_read_heads(w, &d, err));
    *out = d;
    return OK;
}

static Status sampling(const ModelDims *d, ModelSampling **out, Error *err)
{
    (void)d;
    return model_sampling_flux(2.02, out, err);
}

static LatentFormat format(const ModelDims *d)
{
    return (
        LatentFormat){ .channels = (int)d->channels, .downscale = 16, .scale = 1, .shift = 0 };
}

/* ---- the forward pass ------------------------------------------------------------------------------- */

/* Copies a latent [c,h,w] into token rows [first, first + h*w) of y [tokens, c]. */
static void latent_tokens(Program *p, const char *name, int64_t channels, PosSize size,
                          ProgValue y, int64_t first)
{
    int64_t n = size.h * size.w;
    ProgValue in = prog_input(p, name, K_F32, 2, (int64_t[]){ channels, n });
    ProgValue seen = prog_window(p, in, 0, 2, (int64_t[]){ n, channels }, (int64_t[]){ 1, n });
    prog_copy(p, &(PCopy){ .x = seen, .y = prog_rows(p, y, first, n) });
}

/* Target and references through img_in into the image rows of the stream. */
static void image_in(Blocks *b, const ModelDims *d, const ForwardShape *s)
{
    ProgValue tokens = prog_temp(b->p, b->act, 2, (int64_t[]){ b->image, d->in_channels });
    int64_t at = b->target;
    char name[16];

    if (at) latent_tokens(b->p, "x", d->channels, s->size, tokens, 0);
    for (int k = 0; k < s->n_refs && s->kv != KV_CACHED; k++) {
        snprintf(name, sizeof name, "ref.%d", k);
        latent_tokens(b->p, name, d->channels, s->refs[k], tokens, at);
        at += s->refs[k].h * s->refs[k].w;
    }
    blocks_linear(b, "img_in", tokens,
                  &(LinearUse){ .rows = b->width,
                                .k = d->in_channels,
                                .y = prog_rows(b->p, b->x, b->text, b->image) });
}

static void run_blocks(Blocks *b, const ModelDims *d, const ForwardShape *s, ProgValue silu_vec)
{
    ProgValue image_mod = blocks_modulation(b, "double_stream_modulation_img.lin", silu_vec, 6);
    ProgValue text_mod = blocks_modulation(b, "double_stream_modulation_txt.lin", silu_vec, 6);
    ProgValue mod = blocks_modulation(b, "single_stream_modulation.lin", silu_vec, 3);

    for (int i = 0; i < d->double_blocks; i++) {
        if (s->skip_double >> i & 1) continue;
        blocks_double(b, i, text_mod, image_mod);
        forward_stage_double(b, s, i);
    }
    for (int i = 0; i < d->single_blocks; i++) {
        if (s->skip_single >> i & 1) continue;
        blocks_single(b, i, mod);
        family_stage(b->p, s, b->x, "single_blocks.%d", i);
    }
}

/* Velocity of the target tokens as [channels, h, w]. */
static void velocity_out(Blocks *b, const ModelDims *d, const ForwardShape *s,
                         ProgValue silu_vec)
{
    int64_t n = s->size.h * s->size.w;
    ProgValue y = blocks_final(b, silu_vec, b->text, n, d->swapped_final);

    family_stage(b->p, s, y, "final_layer");
    ProgValue out = prog_temp(b->p, K_F32, 2, (int64_t[]){ d->channels, n });
    prog_copy(b->p, &(PCopy){ .x = y,
                              .y = prog_window(b->p, out, 0, 2, (int64_t[]){ n, d->channels },
                                               (int64_t[]){ 1, n }) });
    prog_output(b->p, "out", out);
}

static void build(const ModelDims *d, const WeightSource *w, const ForwardShape *s, bool exact,
                  Program *p)
{
    Blocks b = forward_begin(d, w, s, exact, p);
    ProgValue silu_vec = forward_condition(&b, d, s);

    b.gated = true;
    forward_text_in(&b, d, s);
    image_in(&b, d, s);
    if (s->part == PART_PROBE) {
        part_probe(&b, blocks_modulation(&b, "double_stream_modulation_img.lin", silu_vec, 6));
        return;
    }
    forward_stage_in(&b, s);
    ProgValue entered = part_enter(&b, s);
    if (part_has_blocks(s)) run_blocks(&b, d, s, silu_vec);
    part_leave(&b, s, entered);
    if (b.target) velocity_out(&b, d, s, silu_vec);
}

const ModelFamily flux2_family = {
    .name = "flux2",
    .detect = detect,
    .rename = names_flux2_from_diffusers,
    .read_dims = read_dims,
    .sampling = sampling,
    .format = format,
    .build = build,
};
