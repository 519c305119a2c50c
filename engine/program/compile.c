/* compile.c - runs the fusion passes, and answers their questions about who reads and writes what.
 *
 * All answers are by root: two windows of one value count as touching each other even where they do not
 * overlap. That only ever makes a pass refuse.
 */
#include "engine/program/internal.h"

static bool field_touches(const Program *p, const Op *op, int f, ProgValue v, unsigned how)
{
    if (op->dead || !value_is(op->args[f]) || !(op_def(op->kind)->fields[f].flags & how))
        return false;
    return prog_root(p, op->args[f]) == prog_root(p, v);
}

/* The first operation after `after` that touches v's memory in the given way; n_ops when none does. */
static int next_touch(const Program *p, ProgValue v, int after, unsigned how)
{
    for (int i = after + 1; i < p->n_ops; i++)
        for (int f = 0; op_def(p->ops[i].kind)->fields[f].name; f++)
            if (field_touches(p, &p->ops[i], f, v, how)) return i;
    return p->n_ops;
}

int prog_only_writer(const Program *p, ProgValue v)
{
    int at = next_touch(p, v, -1, FIELD_OUT);
    if (at == p->n_ops || next_touch(p, v, at, FIELD_OUT) != p->n_ops) return -1;
    return at;
}

/* An output is read once more by the caller; inputs and constants count like temporaries. */
int prog_count_readers(const Program *p, ProgValue v)
{
    int n = 0;
    for (int i = 0; i < p->n_ops; i++)
        for (int f = 0; op_def(p->ops[i].kind)->fields[f].name; f++)
            n += field_touches(p, &p->ops[i], f, v, FIELD_IN);
    for (int o = 0; o < p->n_outputs; o++)
        n += prog_root(p, p->outputs[o]) == prog_root(p, v);
    return n;
}

int prog_first_reader(const Program *p, ProgValue v)
{
    int at = next_touch(p, v, -1, FIELD_IN);
    return at == p->n_ops ? -1 : at;
}

bool prog_is_written_between(const Program *p, ProgValue v, int after, int before)
{
    return next_touch(p, v, after, FIELD_OUT) < before;
}

bool prog_is_touched_between(const Program *p, ProgValue v, int after, int before)
{
    return next_touch(p, v, after, FIELD_IN | FIELD_OUT) < before;
}

/* clang-format off */
static const struct {
    unsigned flag;
    int (*run)(Program *p);
} passes[] = {
    { PASS_NORM_LINEAR,   pass_norm_linear },
    { PASS_GLU_LINEAR,    pass_glu_linear },
    { PASS_GATE_RESIDUAL, pass_gate_residual },
};
/* clang-format on */

Status prog_compile(Program *p, unsigned flags, Error *err)
{
    if (p->status != OK) {
        if (err) *err = p->error;
        return p->status;
    }
    if (p->planned) return error_set(err, E_INTERNAL, "program %s is already planned", p->name);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        if (flags & passes[i].flag) passes[i].run(p);
    return OK;
}
