/* gate_residual.c - pass: y = a + gate * b, where b is a linear's result that nothing else reads, becomes
 * that linear's epilogue. The order of the two roundings stays: product, times gate, plus residual. */
#include "engine/program/internal.h"

static bool fuse(Program *p, int index)
{
    Op *add = &p->ops[index];
    ProgValue a = add->args[0], gate = add->args[1], b = add->args[2], y = add->args[3];
    int at = prog_only_writer(p, b);

    if (at < 0 || at > index || p->ops[at].kind != OP_linear || prog_count_readers(p, b) != 1)
        return false;
    Op *linear = &p->ops[at];
    if (linear->args[6] != b || value_is(linear->args[2]) || value_is(linear->args[3]))
        return false;
    if (p->vals[a].view.dtype != K_F32 || p->vals[b].view.dtype != K_F32) return false;
    if (prog_root(p, y) == prog_root(p, linear->args[0])) return false;
    /* The product moves to where the sum stands is the same as the sum moving up to the product when
     * nobody touches a, gate or y on the way. */
    if (prog_is_written_between(p, a, at, index) || prog_is_touched_between(p, y, at, index))
        return false;
    if (value_is(gate) && prog_is_written_between(p, gate, at, index)) return false;
    if (value_is(gate) && prog_only_writer(p, gate) > at) return false;
    linear->args[2] = gate;
    linear->args[3] = a;
    linear->args[6] = y;
    add->dead = true;
    return true;
}

int pass_gate_residual(Program *p)
{
    int n = 0;
    for (int i = 0; i < p->n_ops; i++)
        if (!p->ops[i].dead && p->ops[i].kind == OP_add) n += fuse(p, i);
    return n;
}
