/* program.c - building a program: values, windows, parameters and the list of operations. */
#include "engine/program/program.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/mem.h"
#include "engine/program/internal.h"

Status prog_new(const char *name, Program **out, Error *err)
{
    Program *p = mem_calloc(1, sizeof *p);
    if (p) p->memory = arena_new();
    if (p && p->memory) p->name = arena_strdup(p->memory, name);
    if (p && p->memory) p->params_read = arena_alloc(p->memory, sizeof *p->params_read);
    if (!p || !p->memory || !p->name || !p->params_read) {
        prog_free(p);
        return error_set(err, E_NOMEM, "program %s: out of memory", name);
    }
    p->n_vals = 1; /* so that a zero field is absent */
    *out = p;
    return OK;
}

void prog_free(Program *p)
{
    if (!p) return;
    if (p->memory) arena_free(p->memory);
    mem_free(p->vals);
    mem_free(p->ops);
    mem_free(p->outputs);
    mem_free(p);
}

/* ---- failures --------------------------------------------------------------------------------- */

Status prog_error(Program *p, Status s, const char *format, ...)
{
    va_list args;
    char text[400];

    if (p->status != OK) return p->status;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = s;
    error_clear(&p->error);
    return error_set(&p->error, s, "program %s: %s", p->name, text);
}

void prog_fail(Program *p, const Error *err)
{
    if (p->status != OK) return;
    p->status = err->status == OK ? E_INTERNAL : err->status;
    p->error = *err;
}

bool prog_failed(const Program *p)
{
    return p->status != OK;
}

/* Room for one more item in a growing array. */
static bool grow(Program *p, void **items, int *capacity, int count, size_t size)
{
    if (count < *capacity) return true;
    int more = *capacity ? *capacity * 2 : 64;
    void *moved = mem_realloc(*items, (size_t)more * size);
    if (!moved) {
        prog_error(p, E_NOMEM, "out of memory");
        return false;
    }
    *items = moved;
    *capacity = more;
    return true;
}

/* ---- values ----------------------------------------------------------------------------------- */

ProgValue prog_add_val(Program *p, const Val *v)
{
    if (p->status != OK) return PROG_NONE;
    if (p->planned) {
        prog_error(p, E_INTERNAL, "changed after planning");
        return PROG_NONE;
    }
    if (!grow(p, (void **)&p->vals, &p->cap_vals, p->n_vals + (p->vals ? 0 : 1),
              sizeof *p->vals))
        return PROG_NONE;
    Val *dst = &p->vals[p->n_vals];
    *dst = *v;
    if (!dst->root) dst->root = p->n_vals;
    return p->n_vals++;
}

/* Contiguous view of the shape; false when the size overflows or a dimension is no positive number. */
static bool contiguous(KDtype t, int ndim, const int64_t *shape, KView *out, size_t *bytes)
{
    size_t count = 1;

    if (ndim < 1 || ndim > K_MAX_DIMS) return false;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] <= 0) return false;
        if (__builtin_mul_overflow(count, (size_t)shape[i], &count)) return false;
    }
    if (count > PTRDIFF_MAX / 16) return false;
    *out = k_view(NULL, t, ndim, shape);
    *bytes = count * k_dtype_block_bytes(t);
    return true;
}

static ProgValue add_root(Program *p, ValKind kind, const char *name, KDtype t, int ndim,
                          const int64_t *shape)
{
    Val v = { .kind = kind };

    if (p->status != OK) return PROG_NONE;
    if (!contiguous(t, ndim, shape, &v.view, &v.bytes)) {
        prog_error(p, E_SHAPE, "%s: bad shape of %d dimensions (first %lld)",
                   name ? name : "temporary", ndim, ndim > 0 ? (long long)shape[0] : 0LL);
        return PROG_NONE;
    }
    if (name) {
        v.name = arena_strdup(p->memory, name);
        if (!v.name) prog_error(p, E_NOMEM, "out of memory");
    }
    return prog_add_val(p, &v);
}

ProgValue prog_input(Program *p, const char *name, KDtype t, int ndim, const int64_t *shape)
{
    return add_root(p, VAL_INPUT, name, t, ndim, shape);
}

ProgValue prog_borrowed(Program *p, const char *name, KDtype t, int ndim, const int64_t *shape)
{
    ProgValue v = prog_input(p, name, t, ndim, shape);
    if (value_is(v)) p->vals[v].borrowed = true;
    return v;
}

ProgValue prog_temp(Program *p, KDtype t, int ndim, const int64_t *shape)
{
    return add_root(p, VAL_TEMP, NULL, t, ndim, shape);
}

ProgValue prog_param(Program *p, const KWeight *w)
{
    int64_t count = w->n * w->k;
    Val v = { .kind = VAL_PARAM, .weight = *w };

    if (p->status != OK) return PROG_NONE;
    if (!contiguous(K_F32, 1, &count, &v.view, &v.bytes)) {
        prog_error(p, E_SHAPE, "parameter of %lld x %lld", (long long)w->n, (long long)w->k);
        return PROG_NONE;
    }
    v.view.data = arena_alloc(p->memory, v.bytes);
    if (!v.view.data) prog_error(p, E_NOMEM, "out of memory");
    return prog_add_val(p, &v);
}

ProgValue prog_table(Program *p, int ndim, const int64_t *shape, float **data)
{
    Val v = { .kind = VAL_CONSTANT };

    if (p->status != OK) return PROG_NONE;
    if (!contiguous(K_F32, ndim, shape, &v.view, &v.bytes)) {
        prog_error(p, E_SHAPE, "constant of %d dimensions (first %lld)", ndim,
                   ndim > 0 ? (long long)shape[0] : 0LL);
        return PROG_NONE;
    }
    v.view.data = arena_alloc(p->memory, v.bytes);
    if (!v.view.data) {
        prog_error(p, E_NOMEM, "out of memory");
        return PROG_NONE;
    }
    *data = v.view.data;
    return prog_add_val(p, &v);
}

ProgValue prog_vector(Program *p, const float *values, int64_t count)
{
    float *data = NULL;
    ProgValue v = prog_table(p, 1, &count, &data);
    if (value_is(v)) memcpy(data, values, (size_t)count * sizeof *data);
    return v;
}

ProgValue prog_scalar(Program *p, float value, int ndim, const int64_t *shape)
{
    ProgValue one = prog_vector(p, &value, 1);
    int64_t stride[K_MAX_DIMS] = { 0 };
    return prog_window(p, one, 0, ndim, shape, stride);
}

/* ---- windows ---------------------------------------------------------------------------------- */

/* First and last element of the window lie inside its root. */
static bool inside(const Program *p, const Val *base, const Val *w)
{
    const Val *root = &p->vals[base->root];
    int64_t last = w->offset;
    int64_t size = 0;

    for (int i = 0; i < w->view.ndim; i++) {
        if (w->view.shape[i] <= 0 || w->view.stride[i] < 0) return false;
        last += (w->view.shape[i] - 1) * w->view.stride[i];
    }
    for (int i = 0; i < root->view.ndim; i++)
        size += (root->view.shape[i] - 1) * root->view.stride[i];
    return w->offset >= 0 && last <= size;
}

ProgValue prog_window(Program *p, ProgValue base, int64_t offset, int ndim,
                      const int64_t *shape, const int64_t *stride)
{
    if (p->status != OK) return PROG_NONE;
    if (!value_is(base) || ndim < 1 || ndim > K_MAX_DIMS) {
        prog_error(p, E_SHAPE, "window of %d dimensions", ndim);
        return PROG_NONE;
    }
    const Val *b = &p->vals[base];
    Val v = { .kind = VAL_WINDOW, .root = b->root, .offset = b->offset + offset };
    v.view.dtype = b->view.dtype;
    v.view.ndim = ndim;
    memcpy(v.view.shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(v.view.stride, stride, (size_t)ndim * sizeof *stride);
    if (!inside(p, b, &v)) {
        prog_error(p, E_SHAPE, "a window leaves its value (offset %lld, first dimension %lld)",
                   (long long)offset, (long long)shape[0]);
        return PROG_NONE;
    }
    return prog_add_val(p, &v);
}

/* Window of v with one dimension cut to [first, first+count). */
static ProgValue cut(Program *p, ProgValue v, int dim, int64_t first, int64_t count)
{
    if (p->status != OK || !value_is(v)) return PROG_NONE;
    KView w = p->vals[v].view;
    if (first < 0 || count < 1 || first + count > w.shape[dim]) {
        prog_error(p, E_SHAPE, "items %lld to %lld of %lld", (long long)first,
                   (long long)(first + count), (long long)w.shape[dim]);
        return PROG_NONE;
    }
    if (first == 0 && count == w.shape[dim]) return v;
    w.shape[dim] = count;
    return prog_window(p, v, first * w.stride[dim], w.ndim, w.shape, w.stride);
}

ProgValue prog_rows(Program *p, ProgValue v, int64_t first, int64_t count)
{
    return cut(p, v, 0, first, count);
}

ProgValue prog_cols(Program *p, ProgValue v, int64_t first, int64_t count)
{
    return value_is(v) && p->status == OK ? cut(p, v, p->vals[v].view.ndim - 1, first, count)
                                          : PROG_NONE;
}

ProgValue prog_heads(Program *p, ProgValue v, int64_t heads, int64_t d)
{
    if (p->status != OK || !value_is(v)) return PROG_NONE;
    const KView *w = &p->vals[v].view;
    if (w->ndim != 2 || heads < 1 || w->shape[1] != heads * d || w->stride[1] != 1) {
        prog_error(p, E_SHAPE, "a value of %lld columns seen as %lld heads of %lld",
                   (long long)w->shape[w->ndim - 1], (long long)heads, (long long)d);
        return PROG_NONE;
    }
    return prog_window(p, v, 0, 3, (int64_t[]){ w->shape[0], heads, d },
                       (int64_t[]){ w->stride[0], d, 1 });
}

static bool is_contiguous(const KView *v)
{
    int64_t step = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->shape[i] != 1 && v->stride[i] != step) return false;
        step *= v->shape[i];
    }
    return true;
}

ProgValue prog_reshape(Program *p, ProgValue v, int ndim, const int64_t *shape)
{
    KView w;
    size_t bytes = 0;

    if (p->status != OK || !value_is(v)) return PROG_NONE;
    const KView *old = &p->vals[v].view;
    if (!is_contiguous(old) || !contiguous(old->dtype, ndim, shape, &w, &bytes) ||
        k_view_count(&w) != k_view_count(old)) {
        prog_error(p, E_SHAPE, "%lld elements seen under another shape",
                   (long long)k_view_count(old));
        return PROG_NONE;
    }
    return prog_window(p, v, 0, ndim, w.shape, w.stride);
}

ProgValue prog_chunk(Program *p, ProgValue v, int64_t index, int64_t d)
{
    if (p->status != OK || !value_is(v)) return PROG_NONE;
    int64_t count = k_view_count(&p->vals[v].view);
    return cut(p, prog_reshape(p, v, 1, &count), 0, index * d, d);
}

void prog_output(Program *p, const char *name, ProgValue v)
{
    if (p->status != OK || !value_is(v)) return;
    if (!is_contiguous(&p->vals[v].view)) {
        prog_error(p, E_SHAPE, "output %s is not contiguous", name);
        return;
    }
    /* A window of its own, so that one value can be an output under several names. */
    Val own = p->vals[v];
    own.kind = VAL_WINDOW;
    own.is_output = true;
    own.name = arena_strdup(p->memory, name);
    if (!own.name) prog_error(p, E_NOMEM, "out of memory");
    ProgValue o = prog_add_val(p, &own);
    if (value_is(o) && grow(p, (void **)&p->outputs, &p->cap_outputs, p->n_outputs, sizeof o))
        p->outputs[p->n_outputs++] = o;
}

KView prog_view_of(const Program *p, ProgValue v)
{
    return value_is(v) && v < p->n_vals ? p->vals[v].view : (KView){ 0 };
}

/* ---- operations ------------------------------------------------------------------------------- */

bool prog_add_op(Program *p, OpKind kind, const OpDesc *desc, const ProgValue *args)
{
    const OpDef *def = op_def(kind);
    Op op = { .kind = kind, .desc = *desc };
    OpDesc bound;
    char text[320];

    if (p->status != OK) return false;
    memcpy(op.args, args, sizeof op.args);
    for (int i = 0; def->fields[i].name; i++) {
        if (value_is(op.args[i]) || (def->fields[i].flags & FIELD_OPTIONAL)) continue;
        prog_error(p, E_SHAPE, "%s: operand %s is missing", def->name, def->fields[i].name);
        return false;
    }
    op_bind(p, &op, NULL, &bound);
    const char *why = def->check(&bound);
    if (why) {
        op_describe(p, &op, text, sizeof text);
        prog_error(p, E_SHAPE, "%s: %s", text, why);
        return false;
    }
    if (!grow(p, (void **)&p->ops, &p->cap_ops, p->n_ops, sizeof *p->ops)) return false;
    p->ops[p->n_ops++] = op;
    return true;
}

int prog_op_count(const Program *p)
{
    int n = 0;
    for (int i = 0; i < p->n_ops; i++)
        n += !p->ops[i].dead;
    return n;
}

size_t prog_arena_bytes(const Program *p)
{
    return p->arena_bytes;
}

size_t prog_weight_bytes(const Program *p)
{
    return p->weight_bytes;
}

double prog_flops(const Program *p)
{
    return p->flops;
}

static void describe_operand(const Program *p, const Op *op, ProgOpInfo *out)
{
    const KWeight *w = op_weight(op);
    if (op->kind == OP_linear) {
        out->normed = value_is(op->args[LINEAR_NORM_SCALE]);
        out->norm_bf16 = out->normed && op->desc.linear.norm_bf16;
    }
    if (value_is(op->args[0])) {
        out->operand = p->vals[op->args[0]].view.dtype;
        out->rows = p->vals[op->args[0]].view.shape[0];
    }
    if (!w) return;
    out->weight = w->dtype;
    out->n = w->n;
    out->k = w->k;
}

bool prog_op_info(const Program *p, int index, ProgOpInfo *out)
{
    for (int i = 0; i < p->n_ops; i++) {
        const Op *op = &p->ops[i];
        OpDesc d;
        if (op->dead || index-- > 0) continue;
        const OpDef *def = op_def(op->kind);
        op_bind(p, op, NULL, &d);
        *out =
            (ProgOpInfo){ .name = def->name, .flops = def->flops(&d), .weight = K_DTYPE_COUNT };
        describe_operand(p, op, out);
        for (int f = 0; def->fields[f].name; f++)
            if (value_is(op->args[f])) out->bytes += view_bytes(&p->vals[op->args[f]].view);
        if (op_weight(op)) out->bytes += weight_bytes(op_weight(op));
        return true;
    }
    return false;
}

void prog_each_weight(const Program *p, void (*fn)(void *user, const KWeight *w), void *user)
{
    for (int i = 0; i < p->n_ops; i++)
        if (!p->ops[i].dead && op_weight(&p->ops[i])) fn(user, op_weight(&p->ops[i]));
    for (int v = 1; v < p->n_vals; v++)
        if (p->vals[v].kind == VAL_PARAM) fn(user, &p->vals[v].weight);
}
