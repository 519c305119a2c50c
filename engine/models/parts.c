/* parts.c - what step caches need of a forward pass, as pieces of a program. */
#include "engine/models/parts.h"

#include <string.h>

static const float NORM_EPS = 1e-6f;

void part_narrow(ForwardShape *s)
{
    if (part_has_blocks(s)) return;
    s->tokens = s->pad = s->style = 0;
    s->bias = false;
    s->skip_double = s->skip_single = 0;
    s->n_controls = 0;
    memset(s->controls, 0, sizeof s->controls);
    bool alone = s->part == PART_REUSE || s->kv == KV_CACHED;
    s->kv = KV_NONE;
    if (!alone) return;
    s->n_refs = 0;
    memset(s->refs, 0, sizeof s->refs);
    s->method = REF_OFFSET;
}

bool part_has_blocks(const ForwardShape *s)
{
    return s->part == PART_WHOLE || s->part == PART_KEEP;
}

static ProgValue image_rows(Blocks *b, int64_t count)
{
    return prog_rows(b->p, b->x, b->text, count);
}

void part_probe(Blocks *b, ProgValue image_mod)
{
    ProgValue m =
        prog_norm_mod(b->p, &(PNormMod){ .x = image_rows(b, b->image),
                                         .shift = prog_chunk(b->p, image_mod, 0, b->width),
                                         .scale = prog_chunk(b->p, image_mod, 1, b->width),
                                         .eps = NORM_EPS,
                                         .out = K_F32 });
    prog_output(b->p, "modulated", m);
}

ProgValue part_enter(Blocks *b, const ForwardShape *s)
{
    if (s->part == PART_KEEP) return prog_copy(b->p, &(PCopy){ .x = image_rows(b, b->target) });
    if (s->part == PART_REUSE) {
        ProgValue residual =
            prog_input(b->p, "residual", K_F32, 2, (int64_t[]){ b->target, b->width });
        prog_add(b->p, &(PAdd){ .a = image_rows(b, b->target), .b = residual });
    }
    return PROG_NONE;
}

/* A gate [D] of -1. */
static ProgValue minus_one(Blocks *b)
{
    float *data = NULL;
    ProgValue v = prog_table(b->p, 1, &b->width, &data);
    for (int64_t i = 0; data && i < b->width; i++)
        data[i] = -1;
    return v;
}

void part_leave(Blocks *b, const ForwardShape *s, ProgValue entered)
{
    if (s->part != PART_KEEP) return;
    ProgValue residual = prog_temp(b->p, K_F32, 2, (int64_t[]){ b->target, b->width });
    prog_add(b->p, &(PAdd){ .a = image_rows(b, b->target),
                            .gate = minus_one(b),
                            .b = entered,
                            .y = residual });
    prog_output(b->p, "residual", residual);
}
