/* print.c - a program in words: one line per operation, and the sums. */
#include "engine/program/internal.h"

void prog_print(const Program *p, Str *out)
{
    char text[480];

    str_printf(out,
               "program %s: %d operations, arena %zu bytes, weights %zu bytes, %.4g FLOP\n",
               p->name, prog_op_count(p), p->arena_bytes, p->weight_bytes, p->flops);
    for (int i = 0; i < p->n_ops; i++) {
        const Op *op = &p->ops[i];
        const OpDef *def = op_def(op->kind);
        if (op->dead) continue;
        op_describe(p, op, text, sizeof text);
        str_printf(out, "%4d %s", i, text);
        for (int f = 0; p->planned && def->fields[f].name; f++) {
            if (!value_is(op->args[f])) continue;
            const Val *v = &p->vals[op->args[f]];
            const Val *root = &p->vals[v->root];
            if (root->view.data) continue;
            str_printf(out, " %s@%zu", def->fields[f].name,
                       root->arena_offset +
                           (size_t)v->offset * k_dtype_block_bytes(v->view.dtype));
        }
        if (op->scratch_size)
            str_printf(out, " scratch %zu@%zu", op->scratch_size, op->scratch_offset);
        str_add_char(out, '\n');
    }
}
