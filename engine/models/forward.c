/* forward.c - the parts that FLUX.1, FLUX.2 and ControlNets share. */
#include "engine/models/forward.h"

#include <stdio.h>

#include "engine/models/parts.h"

int64_t forward_target(const ModelDims *d, const ForwardShape *s)
{
    return s->kv == KV_REFS ? 0 : pos_tokens(&d->positions, s->size);
}

/* Tokens of the references that are part of the stream, or whose keys and values it reads. */
static int64_t reference_tokens(const ModelDims *d, const ForwardShape *s)
{
    int64_t n = 0;
    for (int k = 0; k < s->n_refs; k++)
        n += pos_tokens(&d->positions, s->refs[k]);
    return n;
}

/* Cosines and sines of the rows in the stream: a table of all tokens, cut where the references run alone or
 * stay away. */
static ProgValue rope_table(const Blocks *b, const ModelDims *d, const ForwardShape *s,
                            int64_t refs)
{
    float *data = NULL;
    int64_t target = pos_tokens(&d->positions, s->size);
    int64_t text = s->kv == KV_REFS ? 0 : b->text;
    ProgValue table =
        prog_table(b->p, 3, (int64_t[]){ text + target + refs, d->head_dim / 2, 2 }, &data);

    if (!data) return table;
    pos_table(&d->positions, text, s->size, s->refs, s->n_refs, s->method, data);
    if (s->kv == KV_REFS) return prog_rows(b->p, table, target, refs);
    return prog_rows(b->p, table, 0, b->text + b->image);
}

Blocks forward_begin(const ModelDims *d, const WeightSource *w, const ForwardShape *s,
                     bool exact, Program *p)
{
    int64_t refs = reference_tokens(d, s);
    Blocks b = { .p = p,
                 .source = *w,
                 .act = exact ? K_F32 : K_BF16,
                 .width = d->width,
                 .heads = d->heads,
                 .head_dim = d->head_dim,
                 .hidden = d->hidden,
                 .text = s->kv == KV_REFS ? 0 : s->style + s->pad + s->tokens,
                 .image = forward_target(d, s) + (s->kv == KV_CACHED ? 0 : refs),
                 .kv = s->kv,
                 .kv_rows = s->kv == KV_NONE ? 0 : refs,
                 .target = forward_target(d, s) };
    int64_t rows = b.text + b.image;

    b.x = prog_temp(p, K_F32, 2, (int64_t[]){ rows, d->width });
    if (part_has_blocks(s)) b.rope = rope_table(&b, d, s, refs);
    if (s->bias) {
        ProgValue bias = prog_borrowed(p, "bias", K_F32, 2, (int64_t[]){ rows, rows });
        b.bias = prog_window(p, bias, 0, 3, (int64_t[]){ d->heads, rows, rows },
                             (int64_t[]){ 0, rows, 1 });
    }
    return b;
}

void forward_text_in(Blocks *b, const ModelDims *d, const ForwardShape *s)
{
    if (b->text == 0) return;
    ProgValue in = prog_input(b->p, "context", K_F32, 2, (int64_t[]){ s->tokens, d->context });
    ProgValue states =
        b->act == K_F32 ? in : prog_copy(b->p, &(PCopy){ .x = in, .out = b->act });

    if (s->style > 0)
        prog_copy(b->p, &(PCopy){ .x = prog_input(b->p, "style", K_F32, 2,
                                                  (int64_t[]){ s->style, b->width }),
                                  .y = prog_rows(b->p, b->x, 0, s->style) });
    if (s->pad >
        0) /* zero before txt_in and, since a family that pads has no biases, after it */
        prog_copy(b->p, &(PCopy){ .x = prog_scalar(b->p, 0, 2, (int64_t[]){ s->pad, b->width }),
                                  .y = prog_rows(b->p, b->x, s->style, s->pad) });
    blocks_linear(b, "txt_in", states,
                  &(LinearUse){ .rows = b->width,
                                .k = d->context,
                                .y = prog_rows(b->p, b->x, s->style + s->pad, s->tokens) });
}

ProgValue forward_condition(Blocks *b, const ModelDims *d, const ForwardShape *s)
{
    int64_t one = 1;
    ProgValue t = prog_input(b->p, "timestep", K_F32, 1, &one);
    ProgValue vec = blocks_timestep(b, "time_in", t);

    family_stage(b->p, s, vec, "time_in");
    if (s->guided) {
        ProgValue g = prog_input(b->p, "guidance", K_F32, 1, &one);
        ProgValue term = blocks_timestep(b, "guidance_in", g);
        family_stage(b->p, s, term, "guidance_in");
        prog_add(b->p, &(PAdd){ .a = vec, .b = term });
    }
    if (d->pooled) {
        ProgValue y = prog_input(b->p, "pooled", K_F32, 2, (int64_t[]){ 1, d->pooled });
        ProgValue term = blocks_embedder(b, "vector_in", y);
        family_stage(b->p, s, term, "vector_in");
        prog_add(b->p, &(PAdd){ .a = vec, .b = term });
    }
    return prog_unary(b->p, &(PUnary){ .x = vec, .act = K_ACT_SILU });
}

void forward_stage_in(Blocks *b, const ForwardShape *s)
{
    if (!s->stages) return;
    family_stage(b->p, s, prog_rows(b->p, b->x, b->text, b->image), "img_in");
    family_stage(b->p, s, prog_rows(b->p, b->x, 0, b->text), "txt_in");
}

void forward_stage_double(Blocks *b, const ForwardShape *s, int i)
{
    if (!s->stages) return;
    family_stage(b->p, s, prog_rows(b->p, b->x, b->text, b->image), "double_blocks.%d.img", i);
    family_stage(b->p, s, prog_rows(b->p, b->x, 0, b->text), "double_blocks.%d.txt", i);
}

/* ---- what ControlNets add --------------------------------------------------------------------------- */

int control_spread(const ControlShape *c, bool single, int i)
{
    int n = single ? c->singles : c->doubles,
        places = single ? CONTROL_SINGLES : CONTROL_DOUBLES;

    if (n == 0 || i >= places) return -1;
    if (c->cycle) return i % n;
    return i / ((places + n - 1) / n);
}

/* Residual j of net c, an input from its first use on. */
static ProgValue residual(Blocks *b, int c, bool single, int j)
{
    ProgValue *seen = &b->residuals[c][single ? CONTROL_DOUBLES + j : j];
    char name[32];

    if (*seen > 0) return *seen;
    snprintf(name, sizeof name, "control.%d.%s.%d", c, single ? "single" : "double", j);
    *seen = prog_borrowed(b->p, name, b->act, 2, (int64_t[]){ b->target, b->width });
    return *seen;
}

void forward_control(Blocks *b, const ForwardShape *s, bool single, int i)
{
    for (int c = 0; c < s->n_controls; c++) {
        int j = control_spread(&s->controls[c], single, i);
        if (j < 0) continue;
        prog_add(b->p, &(PAdd){ .a = prog_rows(b->p, b->x, b->text, b->target),
                                .b = residual(b, c, single, j) });
    }
}
