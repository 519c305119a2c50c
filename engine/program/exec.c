/* exec.c - runs a planned program: binds addresses, calls the backend, allocates nothing. */
#include <string.h>

#include "engine/base/events.h"
#include "engine/program/internal.h"
#include "engine/tensor/tensor.h"

static const ProgArg *find_arg(const ProgArg *args, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(args[i].name, name)) return &args[i];
    return NULL;
}

static Status check_inputs(const Program *p, const ProgArg *in, int n_in, Error *err)
{
    for (int v = 1; v < p->n_vals; v++) {
        if (p->vals[v].kind != VAL_INPUT) continue;
        if (!find_arg(in, n_in, p->vals[v].name))
            return error_set(err, E_INTERNAL, "program %s: input %s is missing", p->name,
                             p->vals[v].name);
    }
    for (int i = 0; i < n_in; i++) {
        int v = 1;
        while (v < p->n_vals &&
               (p->vals[v].kind != VAL_INPUT || strcmp(p->vals[v].name, in[i].name)))
            v++;
        if (v == p->n_vals)
            return error_set(err, E_INTERNAL, "program %s has no input %s", p->name,
                             in[i].name);
    }
    return OK;
}

static Status check_outputs(const Program *p, const ProgArg *out, int n_out, Error *err)
{
    for (int i = 0; i < n_out; i++) {
        int o = 0;
        while (o < p->n_outputs && strcmp(p->vals[p->outputs[o]].name, out[i].name))
            o++;
        if (o == p->n_outputs)
            return error_set(err, E_INTERNAL, "program %s has no output %s", p->name,
                             out[i].name);
    }
    return OK;
}

static Status decode_params(const Program *p, Error *err)
{
    if (*p->params_read) return OK;
    for (int v = 1; v < p->n_vals; v++) {
        const Val *val = &p->vals[v];
        if (val->kind != VAL_PARAM) continue;
        const KWeight *w = &val->weight;
        if (!w->data)
            return error_set(err, E_MISSING, "program %s: a parameter has no values", p->name);
        for (int64_t row = 0; row < w->n; row++) {
            KResult r = k_weight_row(w, row, 0, w->k, (float *)val->view.data + row * w->k);
            if (r != K_OK)
                return error_set(err, E_UNSUPPORTED,
                                 "program %s: a parameter vector of type %s: %s", p->name,
                                 k_dtype_name(w->dtype), k_result_message(r));
        }
    }
    *p->params_read = true;
    return OK;
}

/* Start of a value in the arena. Inputs and outputs are never constants' windows of other strides. */
static char *place(const Program *p, const Val *v, void *arena)
{
    const Val *root = &p->vals[v->root];
    char *start = root->view.data ? root->view.data : (char *)arena + root->arena_offset;
    return start + (size_t)v->offset * k_dtype_block_bytes(v->view.dtype);
}

/* Inputs into the arena; those that are borrowed are only pointed to. */
static void copy_inputs(const Program *p, void *arena, const ProgArg *in, int n_in)
{
    for (int v = 1; v < p->n_vals; v++) {
        Val *val = &p->vals[v];
        if (val->kind != VAL_INPUT || val->first > val->last) continue;
        if (val->borrowed)
            val->view.data = find_arg(in, n_in, val->name)->data;
        else
            memcpy(place(p, val, arena), find_arg(in, n_in, val->name)->data, val->bytes);
    }
}

static void copy_outputs(const Program *p, void *arena, const ProgArg *out, int n_out)
{
    for (int o = 0; o < p->n_outputs; o++) {
        const Val *val = &p->vals[p->outputs[o]];
        const ProgArg *arg = find_arg(out, n_out, val->name);
        if (arg) memcpy(arg->data, place(p, val, arena), view_bytes(&val->view));
    }
}

/* Tells listeners once per bus when the first matrix product begins. */
static void tell_first_matmul(Events *ev)
{
    if (!ev || atomic_exchange(&ev->matmul_seen, true)) return;
    events_emit(ev,
                &(Event){ .kind = EV_FIRST_MATMUL, .seconds = events_seconds_since_exec() });
}

static Status run_op(const Program *p, int index, const ProgRun *run, Error *err)
{
    const Op *op = &p->ops[index];
    const OpDef *def = op_def(op->kind);
    KContext ctx = *run->ctx;
    OpDesc desc;
    char text[320];

    if (def->matmul) tell_first_matmul(run->events);
    op_bind(p, op, run->arena, &desc);
    ctx.scratch = (char *)run->arena + op->scratch_offset;
    ctx.scratch_size = op->scratch_size;
    KResult r = def->call(run->backend, &ctx, &desc);
    if (r == K_OK) return OK;
    op_describe(p, op, text, sizeof text);
    return error_set(err, r == K_UNSUPPORTED ? E_UNSUPPORTED : E_INTERNAL,
                     "program %s, operation %d: %s on %s: %s", p->name, index, text,
                     run->backend->name, k_result_message(r));
}

Status prog_run(const Program *p, const ProgRun *run, const ProgArg *in, int n_in,
                const ProgArg *out, int n_out, Error *err)
{
    if (!p->planned) return error_set(err, E_INTERNAL, "program %s is not planned", p->name);
    TRY(check_inputs(p, in, n_in, err));
    TRY(check_outputs(p, out, n_out, err));
    if (run->dummy) {
        events_emit(run->events, &(Event){ .kind = EV_PROGRAM, .text = p->name, .object = p });
        return OK;
    }
    TRY(decode_params(p, err));
    copy_inputs(p, run->arena, in, n_in);
    for (int i = 0; i < p->n_ops; i++) {
        if (run->events && atomic_load(&run->events->cancel))
            return error_set(err, E_CANCELLED, "interrupted");
        if (!p->ops[i].dead) TRY(run_op(p, i, run, err));
    }
    copy_outputs(p, run->arena, out, n_out);
    return OK;
}
