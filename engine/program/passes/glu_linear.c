/* glu_linear.c - pass: a gated activation of the two halves of a linear's result moves into the linear.
 *
 * The product's result (twice the hidden width) is then never stored. Where that result was stored in
 * BF16 the fused form rounds once less, which is nearer to the exact value.
 */
#include "engine/program/internal.h"

/* v shows columns [first, first+f) of every row of the whole value z. */
static bool is_half(const Program *p, ProgValue v, ProgValue z, int64_t first, int64_t f)
{
    const Val *h = &p->vals[v], *whole = &p->vals[z];
    return h->root == whole->root && h->offset == whole->offset + first && h->view.ndim == 2 &&
           h->view.shape[0] == whole->view.shape[0] && h->view.shape[1] == f &&
           h->view.stride[0] == whole->view.stride[0];
}

static bool fuse(Program *p, int index)
{
    Op *glu = &p->ops[index];
    int at = prog_only_writer(p, glu->args[0]);

    if (at < 0 || at > index || p->ops[at].kind != OP_linear ||
        prog_count_readers(p, glu->args[0]) != 2)
        return false;
    Op *linear = &p->ops[at];
    ProgValue z = linear->args[6];
    int64_t f = p->vals[z].view.shape[1] / 2;
    if (linear->desc.linear.glu || linear->desc.linear.act != K_ACT_NONE ||
        value_is(linear->args[2]) || value_is(linear->args[3]))
        return false;
    if (!is_half(p, glu->args[0], z, 0, f) || !is_half(p, glu->args[1], z, f, f)) return false;
    if (prog_is_touched_between(p, glu->args[2], at, index)) return false;
    if (prog_root(p, glu->args[2]) == prog_root(p, linear->args[0])) return false;
    linear->desc.linear.glu = true;
    linear->desc.linear.act = glu->desc.glu.act;
    linear->args[6] = glu->args[2];
    glu->dead = true;
    return true;
}

int pass_glu_linear(Program *p)
{
    int n = 0;
    for (int i = 0; i < p->n_ops; i++)
        if (!p->ops[i].dead && p->ops[i].kind == OP_glu) n += fuse(p, i);
    return n;
}
