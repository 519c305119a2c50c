/* norm_linear.c - pass: a modulated LayerNorm that only one linear reads becomes that linear's prologue.
 *
 * The normalised copy of the stream (tokens x width, twice per block) is then never stored. Rounding is
 * unchanged: norm_bf16 says that the product takes the value that would have been stored.
 */
#include "engine/program/internal.h"

/* The linear that takes op's result as x, or -1 when someone else reads it too. */
static int only_consumer(const Program *p, int norm)
{
    ProgValue y = p->ops[norm].args[3];
    int at = prog_first_reader(p, y);

    if (prog_count_readers(p, y) != 1 || prog_only_writer(p, y) != norm) return -1;
    if (at < norm || p->ops[at].kind != OP_linear || p->ops[at].args[0] != y) return -1;
    return at;
}

static bool fuse(Program *p, int index)
{
    Op *norm = &p->ops[index];
    int at = only_consumer(p, index);

    if (at < 0 || !value_is(norm->args[1])) return false;
    Op *linear = &p->ops[at];
    if (value_is(linear->args[4])) return false;
    for (int f = 0; f < 3; f++)
        if (value_is(norm->args[f]) && prog_is_written_between(p, norm->args[f], index, at))
            return false;
    if (prog_root(p, linear->args[6]) == prog_root(p, norm->args[0])) return false;
    linear->desc.linear.norm_eps = norm->desc.norm_mod.eps;
    linear->desc.linear.norm_bf16 = p->vals[norm->args[3]].view.dtype == K_BF16;
    linear->args[0] = norm->args[0];
    linear->args[4] = norm->args[1];
    linear->args[5] = norm->args[2];
    norm->dead = true;
    return true;
}

int pass_norm_linear(Program *p)
{
    int n = 0;
    for (int i = 0; i < p->n_ops; i++)
        if (!p->ops[i].dead && p->ops[i].kind == OP_norm_mod &&
            p->vals[p->ops[i].args[0]].view.dtype == K_F32)
            n += fuse(p, i);
    return n;
}
