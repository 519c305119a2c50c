/* flux1.c - FLUX.1: recognition, sizes, and the forward pass told in order. */
#include "engine/models/flux1.h"

#include <stdio.h>

#include "engine/models/forward.h"
#include "engine/models/names.h"
#include "engine/models/parts.h"

enum { PATCH = 2, CELL = PATCH * PATCH };

static bool detect(const Weights *w)
{
    return weights_has(w, "img_in.weight") &&
           !weights_has(w, "double_stream_modulation_img.lin.weight") &&
           weights_has(w, "double_blocks.0.img_mod.lin.weight") &&
           weights_has(w, "double_blocks.0.img_attn.norm.key_norm.scale") &&
           weights_has(w, "final_layer.linear.weight");
}

Status flux1_patch_channels(const Weights *w, const char *name, int dim, int64_t *out,
                            Error *err)
{
    TRY(family_dim(w, name, dim, out, err));
    if (*out % CELL)
        return error_set(err, E_FORMAT, "%s has %lld values for patches of 2 x 2", name,
                         (long long)*out);
    *out /= CELL;
    return OK;
}

Status flux1_read_sizes(const Weights *w, ModelDims *out, Error *err)
{
    ModelDims d = { .head_dim = 128,
                    .positions = { .axes = 3,
                                   .width = { 16, 56, 56 },
                                   .theta = 10000,
                                   .patch = PATCH,
                                   .index_scale = 1,
                                   .text_axis = -1 },
                    .references = REF_OFFSET };
    int64_t columns;

    TRY(family_dim(w, "img_in.weight", 0, &d.width, err));
    TRY(flux1_patch_channels(w, "img_in.weight", 1, &d.in_channels, err));
    TRY(family_dim(w, "txt_in.weight", 1, &d.context, err));
    TRY(family_dim(w, "double_blocks.0.img_mlp.2.weight", 1, &d.hidden, err));
    TRY(family_dim(w, "time_in.in_layer.weight", 1, &columns, err));
    if (columns != 256)
        return error_set(err, E_FORMAT, "time_in.in_layer reads %lld values; 256 are usual",
                         (long long)columns);
    d.channels = d.in_channels;
    d.double_blocks = weights_blocks(w, "double_blocks.");
    d.single_blocks = weights_blocks(w, "single_blocks.");
    if (d.double_blocks > MODEL_MAX_SKIPS || d.single_blocks > MODEL_MAX_SKIPS)
        return error_set(err, E_FORMAT, "%d double and %d single blocks are too many",
                         d.double_blocks, d.single_blocks);
    if (weights_has(w, "vector_in.in_layer.weight"))
        TRY(family_dim(w, "vector_in.in_layer.weight", 1, &d.pooled, err));
    d.guidance = weights_has(w, "guidance_in.in_layer.weight");
    TRY(family_read_heads(w, &d, err));
    *out = d;
    return OK;
}

static Status read_dims(const Weights *w, ModelDims *out, Error *err)
{
    ModelDims d;

    TRY(flux1_read_sizes(w, &d, err));
    TRY(flux1_patch_channels(w, "final_layer.linear.weight", 0, &d.channels, err));
    if (d.in_channels < d.channels)
        return error_set(err, E_FORMAT,
                         "a FLUX.1 transformer reads at least the channels it writes; img_in "
                         "takes %lld, final_layer.linear gives %lld",
                         (long long)d.in_channels, (long long)d.channels);
    d.swapped_final = weights_has(w, NAMES_SWAPPED_FINAL);
    *out = d;
    return OK;
}

/* Models without guidance (schnell) were distilled on the plain flow. */
static Status sampling(const ModelDims *d, ModelSampling **out, Error *err)
{
    if (!d->guidance) return model_sampling_flow(1, 1, out, err);
    return model_sampling_flux(1.15, out, err);
}

static LatentFormat format(const ModelDims *d)
{
    return (LatentFormat){
        .channels = (int)d->channels, .downscale = 8, .scale = 0.3611f, .shift = 0.1159f
    };
}

/* ---- patches ------------------------------------------------------------------------------------------ */

/* Tokens per column and row of a latent. */
static PosSize grid_of(PosSize size)
{
    return (PosSize){ (size.h + PATCH - 1) / PATCH, (size.w + PATCH - 1) / PATCH };
}

static bool is_even(PosSize size)
{
    return size.h % PATCH == 0 && size.w % PATCH == 0;
}

/* [c, rows, columns] of a value [c, whole.h, whole.w], from row y0 and column x0. */
static ProgValue area(Program *p, ProgValue v, int64_t c, PosSize whole, int64_t y0, int64_t x0,
                      PosSize size)
{
    return prog_window(p, v, y0 * whole.w + x0, 3, (int64_t[]){ c, size.h, size.w },
                       (int64_t[]){ whole.h * whole.w, whole.w, 1 });
}

/* A latent [c,h,w] of even size: where a side is odd, its first row or column follows the last. */
static ProgValue wrapped(Program *p, ProgValue x, int64_t c, PosSize size)
{
    if (is_even(size)) return x;
    PosSize grid = grid_of(size), even = { grid.h * PATCH, grid.w * PATCH };
    PosSize column = { size.h, 1 }, row = { 1, even.w };
    ProgValue y = prog_temp(p, K_F32, 3, (int64_t[]){ c, even.h, even.w });

    prog_copy(p, &(PCopy){ .x = x, .y = area(p, y, c, even, 0, 0, size) });
    if (even.w > size.w)
        prog_copy(p, &(PCopy){ .x = area(p, x, c, size, 0, 0, column),
                               .y = area(p, y, c, even, 0, size.w, column) });
    if (even.h > size.h)
        prog_copy(p, &(PCopy){ .x = area(p, y, c, even, 0, 0, row),
                               .y = area(p, y, c, even, size.h, 0, row) });
    return y;
}

/* A value [c, 2gh, 2gw] seen as [gh, gw, c, 2, 2]. */
static ProgValue cells_of_latent(Program *p, ProgValue v, int64_t c, PosSize grid)
{
    int64_t w = grid.w * PATCH;
    return prog_window(p, v, 0, 5, (int64_t[]){ grid.h, grid.w, c, PATCH, PATCH },
                       (int64_t[]){ PATCH * w, PATCH, grid.h * PATCH * w, w, 1 });
}

/* c channels from `channel` on of tokens [n, of * 4], from row `first`, in the same view. */
static ProgValue cells_of_tokens(Program *p, ProgValue v, int64_t of, int64_t first,
                                 int64_t channel, int64_t c, PosSize grid)
{
    return prog_window(p, v, (first * of + channel) * CELL, 5,
                       (int64_t[]){ grid.h, grid.w, c, PATCH, PATCH },
                       (int64_t[]){ grid.w * of * CELL, of * CELL, CELL, PATCH, 1 });
}

void flux1_latent_tokens(Program *p, ProgValue in, int64_t c, PosSize size, Flux1Place to)
{
    PosSize grid = grid_of(size);
    ProgValue even = wrapped(p, in, c, size);

    prog_copy(p, &(PCopy){ .x = cells_of_latent(p, even, c, grid),
                           .y = cells_of_tokens(p, to.tokens, to.of, to.first, to.channel, c,
                                                grid) });
}

/* ---- the forward pass ------------------------------------------------------------------------------- */

static void input_tokens(Program *p, const char *name, int64_t c, PosSize size, Flux1Place to)
{
    ProgValue in = prog_input(p, name, K_F32, 3, (int64_t[]){ c, size.h, size.w });
    flux1_latent_tokens(p, in, c, size, to);
}

/* The extra channels must be those that img_in reads beside the latent's. */
static bool channels_agree(Blocks *b, const ModelDims *d, const ForwardShape *s)
{
    Error err = { 0 };
    int64_t extra = d->in_channels - d->channels;

    if (s->concat != extra)
        error_set(&err, E_SHAPE, "%lld extra input channels are given, the model reads %lld",
                  (long long)s->concat, (long long)extra);
    else if (extra && s->n_refs)
        error_set(&err, E_SHAPE,
                  "a model with %lld extra input channels takes no reference latents",
                  (long long)extra);
    else
        return true;
    prog_fail(b->p, &err);
    return false;
}

/* Target, extra channels and references through img_in into the image rows of the stream. */
static void image_in(Blocks *b, const ModelDims *d, const ForwardShape *s)
{
    Flux1Place to = { .of = d->in_channels };
    char name[16];

    if (!channels_agree(b, d, s)) return;
    to.tokens = prog_temp(b->p, b->act, 2, (int64_t[]){ b->image, d->in_channels * CELL });
    if (b->target) input_tokens(b->p, "x", d->channels, s->size, to);
    if (s->concat) {
        to.channel = d->channels;
        input_tokens(b->p, "concat", s->concat, s->size, to);
    }
    to.first = b->target;
    for (int k = 0; k < s->n_refs && s->kv != KV_CACHED; k++) {
        snprintf(name, sizeof name, "ref.%d", k);
        input_tokens(b->p, name, d->channels, s->refs[k], to);
        to.first += pos_tokens(&d->positions, s->refs[k]);
    }
    blocks_linear(b, "img_in", to.tokens,
                  &(LinearUse){ .rows = b->width,
                                .k = d->in_channels * CELL,
                                .y = prog_rows(b->p, b->x, b->text, b->image) });
}

/* The modulation of block i of a kind: n chunks. */
static ProgValue modulation(Blocks *b, const char *kind, int i, const char *layer, int n,
                            ProgValue silu_vec)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%d.%s", kind, i, layer);
    return blocks_modulation(b, name, silu_vec, n);
}

static void run_double(Blocks *b, int i, ProgValue silu_vec)
{
    ProgValue image_mod = modulation(b, "double_blocks", i, "img_mod.lin", 6, silu_vec);
    ProgValue text_mod =
        b->text ? modulation(b, "double_blocks", i, "txt_mod.lin", 6, silu_vec) : PROG_NONE;
    blocks_double(b, i, text_mod, image_mod);
}

void flux1_blocks(Blocks *b, const ModelDims *d, const ForwardShape *s, ProgValue silu_vec,
                  Flux1AfterFn after, void *user)
{
    for (int i = 0; i < d->double_blocks; i++) {
        if (!(s->skip_double >> i & 1)) run_double(b, i, silu_vec);
        after(user, b, s, false, i);
    }
    for (int i = 0; i < d->single_blocks; i++) {
        if (!(s->skip_single >> i & 1))
            blocks_single(b, i,
                          modulation(b, "single_blocks", i, "modulation.lin", 3, silu_vec));
        after(user, b, s, true, i);
    }
}

/* What ControlNets add, and the stages of tests. */
static void after_block(void *user, Blocks *b, const ForwardShape *s, bool single, int i)
{
    (void)user;
    forward_control(b, s, single, i);
    if (single)
        family_stage(b->p, s, b->x, "single_blocks.%d", i);
    else
        forward_stage_double(b, s, i);
}

/* Velocity of the target tokens as [channels, h, w]. */
static void velocity_out(Blocks *b, const ModelDims *d, const ForwardShape *s,
                         ProgValue silu_vec)
{
    PosSize grid = grid_of(s->size), even = { grid.h * PATCH, grid.w * PATCH };
    ProgValue y = blocks_final(b, silu_vec, b->text, grid.h * grid.w, d->swapped_final);

    family_stage(b->p, s, y, "final_layer");
    ProgValue out = prog_temp(b->p, K_F32, 3, (int64_t[]){ d->channels, even.h, even.w });
    prog_copy(b->p,
              &(PCopy){ .x = cells_of_tokens(b->p, y, d->channels, 0, 0, d->channels, grid),
                        .y = cells_of_latent(b->p, out, d->channels, grid) });
    if (!is_even(s->size))
        out =
            prog_copy(b->p, &(PCopy){ .x = area(b->p, out, d->channels, even, 0, 0, s->size) });
    prog_output(b->p, "out", out);
}

static void build(const ModelDims *d, const WeightSource *w, const ForwardShape *s, bool exact,
                  Program *p)
{
    Blocks b = forward_begin(d, w, s, exact, p);
    ProgValue silu_vec = forward_condition(&b, d, s);

    forward_text_in(&b, d, s);
    image_in(&b, d, s);
    if (s->part == PART_PROBE) {
        part_probe(&b, modulation(&b, "double_blocks", 0, "img_mod.lin", 6, silu_vec));
        return;
    }
    forward_stage_in(&b, s);
    ProgValue entered = part_enter(&b, s);
    if (part_has_blocks(s)) flux1_blocks(&b, d, s, silu_vec, after_block, NULL);
    part_leave(&b, s, entered);
    if (b.target) velocity_out(&b, d, s, silu_vec);
}

const ModelFamily flux1_family = {
    .name = "flux1",
    .detect = detect,
    .rename = names_flux1_from_diffusers,
    .read_dims = read_dims,
    .sampling = sampling,
    .format = format,
    .build = build,
};
