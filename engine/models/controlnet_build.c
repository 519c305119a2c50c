/* controlnet_build.c - a ControlNet's forward pass told in order. */
#include "engine/models/controlnet_build.h"

#include <stdio.h>

#include "engine/base/mem.h"
#include "engine/models/flux1.h"
#include "engine/models/forward.h"

enum { CELL = 4, CONVS_MAX = 10, HINT_WIDTH = 16 };

/* ---- the hint network --------------------------------------------------------------------------------- */

/* Convolutions at even indices with SiLU between them; those marked halve the size. */
typedef struct HintNet {
    const char *name;
    int convs;
    bool halves[CONVS_MAX];
} HintNet;

static const HintNet hint_nets[] = {
    [CONTROL_XLABS] = { "input_hint_block", 8, { 0, 0, 1, 0, 1, 0, 1, 0 } },
    [CONTROL_MISTO] = { "input_cond_block.encoder", 10, { 0, 0, 0, 1, 0, 1, 0, 1, 0, 0 } },
};

/* The file's tensor, or a failed program. Vectors are F32 matrices of one row. */
static KWeight tensor_of(const ControlBuild *c, Program *p, const char *name, bool vector)
{
    KWeight w = { 0 };
    Error err = { 0 };
    const float *values = NULL;
    const Weights *from = c->source->weights;
    int64_t n = weights_elements(from, name);
    Status s = vector ? weights_f32(from, name, n, &values, &err)
                      : weights_matrix(from, name, 0, 0, &w, &err);

    if (vector)
        w = (KWeight){ .data = values, .dtype = K_F32, .n = 1, .k = n, .row_bytes = n * 4 };
    if (s != OK) prog_fail(p, &err);
    return w;
}

/* Convolution `index` over [h, w, c]; SiLU before it, but for the first one. */
static ProgValue hint_conv(const ControlBuild *c, Program *p, const HintNet *net, int index,
                           ProgValue x)
{
    char name[96];

    snprintf(name, sizeof name, "%s.%d.weight", net->name, 2 * index);
    int side = (int)weights_dim(c->source->weights, name, 2), pad = side / 2;
    KWeight w = tensor_of(c, p, name, false);
    snprintf(name, sizeof name, "%s.%d.bias", net->name, 2 * index);
    KWeight bias = tensor_of(c, p, name, true);
    if (prog_failed(p)) return PROG_NONE;
    bool last = index == net->convs - 1;
    return prog_conv(p, &(PConv){ .x = x,
                                  .w = w,
                                  .bias = prog_param(p, &bias),
                                  .kh = side,
                                  .kw = side,
                                  .stride = net->halves[index] ? 2 : 1,
                                  .pad_top = pad,
                                  .pad_left = pad,
                                  .pad_bottom = pad,
                                  .pad_right = pad,
                                  .in_silu = index > 0,
                                  .out = last || c->exact ? K_F32 : K_BF16 });
}

/* Pixels [3, 8h, 8w] in 0..1 to a picture [16, h, w]. */
static ProgValue pixels_to_latent(const ControlBuild *c, Program *p, PosSize size)
{
    const HintNet *net = &hint_nets[c->kind];
    int64_t h = 8 * size.h, w = 8 * size.w;
    const float two[3] = { 2, 2, 2 }, minus[3] = { -1, -1, -1 };
    ProgValue in = prog_input(p, "hint", K_F32, 3, (int64_t[]){ 3, h, w });
    ProgValue rows = prog_window(p, in, 0, 2, (int64_t[]){ h * w, 3 }, (int64_t[]){ 1, h * w });
    ProgValue x = prog_copy(p, &(PCopy){ .x = rows });

    prog_affine(p, &(PAffine){ .x = x,
                               .mul = prog_vector(p, two, 3),
                               .add = prog_vector(p, minus, 3),
                               .y = x });
    x = prog_reshape(p, x, 3, (int64_t[]){ h, w, 3 });
    if (!c->exact) x = prog_copy(p, &(PCopy){ .x = x, .out = K_BF16 });
    for (int i = 0; i < net->convs; i++)
        x = hint_conv(c, p, net, i, x);
    ProgValue seen = prog_window(p, x, 0, 3, (int64_t[]){ HINT_WIDTH, size.h, size.w },
                                 (int64_t[]){ 1, size.w * HINT_WIDTH, HINT_WIDTH });
    return prog_copy(p, &(PCopy){ .x = seen });
}

/* ---- the forward pass ----------------------------------------------------------------------------------- */

/* A latent's patches through a layer; y absent: made. */
static ProgValue patches_in(Blocks *b, const char *layer, ProgValue latent, int64_t channels,
                            PosSize size, ProgValue y)
{
    ProgValue tokens = prog_temp(b->p, b->act, 2, (int64_t[]){ b->target, channels * CELL });
    flux1_latent_tokens(b->p, latent, channels, size,
                        (Flux1Place){ .tokens = tokens, .of = channels });
    return blocks_linear(b, layer, tokens,
                         &(LinearUse){ .rows = b->width, .k = channels * CELL, .y = y });
}

static void image_in(const ControlBuild *c, Blocks *b, const ForwardShape *s)
{
    int64_t channels = c->dims->channels, hints = c->hint_channels;
    ProgValue rows = prog_rows(b->p, b->x, b->text, b->image);
    ProgValue x =
        prog_input(b->p, "x", K_F32, 3, (int64_t[]){ channels, s->size.h, s->size.w });

    patches_in(b, "img_in", x, channels, s->size, rows);
    ProgValue hint;
    if (c->kind == CONTROL_LATENT) {
        hint = prog_input(b->p, "hint", K_F32, 3, (int64_t[]){ hints, s->size.h, s->size.w });
    } else {
        hint = pixels_to_latent(c, b->p, s->size);
        hints = HINT_WIDTH;
    }
    ProgValue add = patches_in(b, "pos_embed_input", hint, hints, s->size, 0);
    prog_add(b->p, &(PAdd){ .a = rows, .b = add });
}

/* What goes with the blocks: the net, and its strength as a vector [D]. */
typedef struct After {
    const ControlBuild *build;
    ProgValue strength;
} After;

/* The residual behind a block. */
static void residual(void *user, Blocks *b, const ForwardShape *s, bool single, int i)
{
    const After *a = user;
    bool misto = a->build->kind == CONTROL_MISTO;
    char name[64], out[32];

    (void)s;
    if (prog_failed(b->p)) return;
    snprintf(name, sizeof name, "controlnet_%sblocks.%d%s", single ? "single_" : "", i,
             misto ? ".linear" : "");
    snprintf(out, sizeof out, "%s.%d", single ? "single" : "double", i);
    ProgValue x = prog_rows(b->p, b->x, b->text, b->image);
    if (b->act != K_F32) x = prog_copy(b->p, &(PCopy){ .x = x, .out = b->act });
    prog_output(b->p, out,
                blocks_linear(b, name, x,
                              &(LinearUse){ .rows = b->width,
                                            .k = b->width,
                                            .act = misto ? K_ACT_SILU : K_ACT_NONE,
                                            .gate = a->strength,
                                            .out = b->act }));
}

/* A vector [D] of one number. */
static ProgValue filled(Program *p, double value, int64_t width)
{
    float *data = NULL;
    ProgValue v = prog_table(p, 1, &width, &data);
    for (int64_t i = 0; data && i < width; i++)
        data[i] = (float)value;
    return v;
}

void controlnet_build(const ControlBuild *c, const ForwardShape *s, Program *p)
{
    Blocks b = forward_begin(c->dims, c->source, s, c->exact, p);
    ProgValue silu_vec = forward_condition(&b, c->dims, s);
    After after = { c, filled(p, c->strength, b.width) };

    forward_text_in(&b, c->dims, s);
    image_in(c, &b, s);
    flux1_blocks(&b, c->dims, s, silu_vec, residual, &after);
}
