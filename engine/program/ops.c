/* ops.c - the op table: what a program knows of each operation, one row per operation.
 *
 * A row lists the view fields of the kernel descriptor (in the order of Op.args), where its weight lies,
 * and functions for shape check, FLOPs, call and scratch. Binding, lifetimes, printing and bytes are
 * generic over the fields. A new operation is a builder in ops.h and a row here.
 */
#include "engine/program/ops.h"

#include <stdio.h>
#include <string.h>

#include "engine/program/internal.h"

/* ---- shape checks: each returns NULL or why the operands do not fit ------------------------------ */

static bool has(const KView *v)
{
    return v->ndim > 0;
}
/* Absent, or a vector of d numbers. */
static bool vector_or_none(const KView *v, int64_t d)
{
    return !has(v) || (v->ndim == 1 && v->shape[0] == d && v->dtype == K_F32);
}
static bool vector_of(const KView *v, int64_t d)
{
    return has(v) && vector_or_none(v, d);
}
static bool is_float(const KView *v)
{
    return v->dtype == K_F32 || v->dtype == K_BF16;
}
static bool matrix(const KView *v)
{
    return v->ndim == 2 && v->stride[1] == 1 && is_float(v);
}
static bool same_shape(const KView *a, const KView *b)
{
    if (a->ndim != b->ndim) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}
static bool matrix_like(const KView *v, const KView *x)
{
    return matrix(v) && same_shape(v, x);
}

static const char *check_linear(const void *desc)
{
    const KLinear *d = desc;
    int64_t n = d->glu ? d->w.n / 2 : d->w.n;

    if (!matrix(&d->x) || !matrix(&d->y)) return "x and y must be matrices";
    if (d->x.shape[1] != d->w.k) return "columns of x and of w differ";
    if (d->glu && d->w.n % 2) return "a gated product needs an even number of rows in w";
    if (d->y.shape[0] != d->x.shape[0] || d->y.shape[1] != n) return "y does not fit";
    if (!vector_or_none(&d->bias, d->w.n)) return "bias does not fit";
    if (!vector_or_none(&d->gate, n)) return "gate does not fit";
    if (has(&d->residual) && !matrix_like(&d->residual, &d->y)) return "residual does not fit";
    if (!vector_or_none(&d->norm_scale, d->w.k)) return "norm_scale does not fit";
    if (!vector_or_none(&d->norm_shift, d->w.k)) return "norm_shift does not fit";
    return NULL;
}

static const char *check_norm_mod(const void *desc)
{
    const KNormMod *d = desc;
    if (!matrix(&d->x) || !matrix_like(&d->y, &d->x)) return "x and y must be matrices alike";
    if (!vector_or_none(&d->scale, d->x.shape[1])) return "scale does not fit";
    if (!vector_or_none(&d->shift, d->x.shape[1])) return "shift does not fit";
    return NULL;
}

static const char *check_layer_norm(const void *desc)
{
    const KLayerNorm *d = desc;
    if (!matrix(&d->x) || !matrix_like(&d->y, &d->x)) return "x and y must be matrices alike";
    if (!vector_of(&d->weight, d->x.shape[1])) return "weight does not fit";
    if (!vector_of(&d->bias, d->x.shape[1])) return "bias does not fit";
    return NULL;
}

static const char *check_rms_norm(const void *desc)
{
    const KRmsNorm *d = desc;
    if (!matrix(&d->x) || !matrix_like(&d->y, &d->x)) return "x and y must be matrices alike";
    if (!vector_of(&d->weight, d->x.shape[1])) return "weight does not fit";
    return NULL;
}

/* [tokens, heads, d] with innermost stride 1. */
static bool heads_view(const KView *v)
{
    return v->ndim == 3 && v->stride[2] == 1 && is_float(v);
}

static const char *check_rope(const void *desc)
{
    const KRope *d = desc;
    int64_t w = d->x.ndim == 3 ? d->x.shape[2] : 0;

    if (!heads_view(&d->x) || !heads_view(&d->y) || !same_shape(&d->x, &d->y))
        return "x and y must be [tokens, heads, d] alike";
    if (!vector_or_none(&d->weight, w)) return "weight does not fit";
    if (has(&d->cs) &&
        (d->cs.ndim != 3 || d->cs.dtype != K_F32 || w % 2 || d->cs.shape[0] != d->x.shape[0] ||
         d->cs.shape[1] != w / 2 || d->cs.shape[2] != 2))
        return "cs must be [tokens, d/2, 2]";
    return NULL;
}

static const char *check_attention(const void *desc)
{
    const KAttention *d = desc;

    if (!heads_view(&d->q) || !heads_view(&d->k) || !heads_view(&d->v) || !heads_view(&d->y))
        return "operands must be [tokens, heads, d]";
    if (!same_shape(&d->q, &d->y)) return "y does not fit q";
    if (!same_shape(&d->k, &d->v)) return "k and v differ";
    if (d->q.shape[2] != d->k.shape[2] || d->q.shape[1] % d->k.shape[1]) return "heads differ";
    if (d->q.dtype != d->k.dtype || d->q.dtype != d->v.dtype) return "dtypes differ";
    if (d->keys_valid < 0 || d->keys_valid > d->k.shape[0]) return "keys_valid is out of range";
    if (has(&d->bias) &&
        (d->bias.ndim != 3 || d->bias.dtype != K_F32 || d->bias.shape[0] != d->q.shape[1] ||
         d->bias.shape[1] != d->q.shape[0] || d->bias.shape[2] != d->k.shape[0]))
        return "bias must be [heads, tq, tk]";
    return NULL;
}

static const char *check_glu(const void *desc)
{
    const KGlu *d = desc;
    if (!matrix(&d->gate) || !matrix_like(&d->value, &d->gate) || !matrix_like(&d->y, &d->gate))
        return "gate, value and y must be matrices alike";
    return NULL;
}

static const char *check_unary(const void *desc)
{
    const KUnary *d = desc;
    if (!matrix(&d->x) || !matrix_like(&d->y, &d->x)) return "x and y must be matrices alike";
    return NULL;
}

static const char *check_add(const void *desc)
{
    const KAdd *d = desc;
    if (!matrix(&d->a) || !matrix_like(&d->b, &d->a) || !matrix_like(&d->y, &d->a))
        return "a, b and y must be matrices alike";
    if (!vector_or_none(&d->gate, d->a.shape[1])) return "gate does not fit";
    return NULL;
}

static const char *check_affine(const void *desc)
{
    const KAffine *d = desc;
    if (!matrix(&d->x) || !matrix_like(&d->y, &d->x)) return "x and y must be matrices alike";
    if (!vector_or_none(&d->mul, d->x.shape[1])) return "mul does not fit";
    if (!vector_or_none(&d->add, d->x.shape[1])) return "add does not fit";
    return NULL;
}

static const char *check_timestep(const void *desc)
{
    const KTimestep *d = desc;
    if (!vector_of(&d->value, 1)) return "value must be one F32";
    if (!matrix(&d->y) || d->y.shape[0] != 1 || d->y.shape[1] % 2) return "y must be [1, even]";
    return NULL;
}

static const char *check_copy(const void *desc)
{
    const KCopy *d = desc;
    return same_shape(&d->x, &d->y) ? NULL : "shapes differ";
}

static const char *check_conv(const void *desc)
{
    const KConv *d = desc;
    const KView *x = &d->x, *y = &d->y;

    if (x->ndim != 3 || y->ndim != 3 || x->stride[2] != 1 || y->stride[2] != 1 ||
        !is_float(x) || !is_float(y))
        return "x and y must be [h, w, c]";
    if (d->kh < 1 || d->kw < 1 || d->stride < 1 || d->up < 1 || d->up > 2)
        return "bad kernel size, stride or enlargement";
    if (d->w.k != x->shape[2] * d->kh * d->kw) return "weight does not fit the channels of x";
    if (y->shape[2] != d->w.n) return "weight does not fit the channels of y";
    if (y->shape[0] !=
            (x->shape[0] * d->up + d->pad_top + d->pad_bottom - d->kh) / d->stride + 1 ||
        y->shape[1] !=
            (x->shape[1] * d->up + d->pad_left + d->pad_right - d->kw) / d->stride + 1)
        return "y does not fit";
    if (!vector_or_none(&d->bias, d->w.n)) return "bias does not fit";
    if (!vector_or_none(&d->in_mul, x->shape[2]) || !vector_or_none(&d->in_add, x->shape[2]))
        return "the affine of x does not fit";
    if (has(&d->residual) && (!same_shape(&d->residual, y) || d->residual.dtype != y->dtype))
        return "residual does not fit";
    return NULL;
}

static const char *check_group_stats(const void *desc)
{
    const KGroupStats *d = desc;
    int64_t c = d->x.ndim == 2 ? d->x.shape[1] : 0;

    if (!matrix(&d->x)) return "x must be [p, c]";
    if (d->groups < 1 || c % d->groups) return "the channels are no multiple of the groups";
    if (!vector_of(&d->weight, c) || !vector_of(&d->bias, c))
        return "weight or bias does not fit";
    if (!vector_of(&d->mul, c) || !vector_of(&d->add, c)) return "mul or add does not fit";
    return NULL;
}

/* ---- floating point operations; 2 per multiply-add, only what a good kernel must do --------------- */

static double flops_none(const void *desc)
{
    (void)desc;
    return 0;
}
static double flops_linear(const void *desc)
{
    const KLinear *d = desc;
    return 2.0 * (double)d->x.shape[0] * (double)d->w.n * (double)d->w.k;
}
static double flops_attention(const void *desc)
{
    const KAttention *d = desc;
    double keys = (double)(d->keys_valid ? d->keys_valid : d->k.shape[0]);
    double all = 4.0 * (double)d->q.shape[0] * keys * (double)(d->q.shape[1] * d->q.shape[2]);
    return d->causal ? all / 2 : all;
}
static double flops_conv(const void *desc)
{
    const KConv *d = desc;
    return 2.0 * (double)d->y.shape[0] * (double)d->y.shape[1] * (double)d->w.n *
           (double)d->w.k;
}

/* ---- calls -------------------------------------------------------------------------------------- */

#define OP_CALL(op, Desc)                                                                      \
    static KResult call_##op(const KBackend *b, KContext *ctx, const void *desc)               \
    {                                                                                          \
        return b->op ? b->op(ctx, desc) : K_UNSUPPORTED;                                       \
    }                                                                                          \
    static size_t scratch_##op(const KBackend *b, const KContext *ctx, const void *desc)       \
    {                                                                                          \
        return b->op##_scratch ? b->op##_scratch(ctx, desc) : 0;                               \
    }
K_OP_MAP(OP_CALL)
#undef OP_CALL

/* ---- the table ------------------------------------------------------------------------------------ */

/* clang-format off */
#define IN(Desc, f)  { #f, offsetof(Desc, f), FIELD_IN }
#define OPT(Desc, f) { #f, offsetof(Desc, f), FIELD_IN | FIELD_OPTIONAL }
#define OUT(Desc, f) { #f, offsetof(Desc, f), FIELD_OUT }
#define CALLS(op) .call = call_##op, .scratch = scratch_##op, .check = check_##op

static const OpDef defs[OP_COUNT] = {
    [OP_linear] = { "linear",
        { IN(KLinear, x), OPT(KLinear, bias), OPT(KLinear, gate), OPT(KLinear, residual),
          OPT(KLinear, norm_scale), OPT(KLinear, norm_shift), OUT(KLinear, y) },
        .weight_at = offsetof(KLinear, w), .matmul = true, .flops = flops_linear, CALLS(linear) },
    [OP_norm_mod] = { "norm_mod",
        { IN(KNormMod, x), OPT(KNormMod, scale), OPT(KNormMod, shift), OUT(KNormMod, y) },
        .weight_at = -1, .flops = flops_none, CALLS(norm_mod) },
    [OP_layer_norm] = { "layer_norm",
        { IN(KLayerNorm, x), IN(KLayerNorm, weight), IN(KLayerNorm, bias), OUT(KLayerNorm, y) },
        .weight_at = -1, .flops = flops_none, CALLS(layer_norm) },
    [OP_rms_norm] = { "rms_norm",
        { IN(KRmsNorm, x), IN(KRmsNorm, weight), OUT(KRmsNorm, y) },
        .weight_at = -1, .flops = flops_none, CALLS(rms_norm) },
    [OP_rope] = { "rope",
        { IN(KRope, x), OPT(KRope, weight), OPT(KRope, cs), OUT(KRope, y) },
        .weight_at = -1, .flops = flops_none, CALLS(rope) },
    [OP_attention] = { "attention",
        { IN(KAttention, q), IN(KAttention, k), IN(KAttention, v), OPT(KAttention, bias),
          OUT(KAttention, y) },
        .weight_at = -1, .matmul = true, .flops = flops_attention, CALLS(attention) },
    [OP_glu] = { "glu",
        { IN(KGlu, gate), IN(KGlu, value), OUT(KGlu, y) },
        .weight_at = -1, .flops = flops_none, CALLS(glu) },
    [OP_unary] = { "unary",
        { IN(KUnary, x), OUT(KUnary, y) },
        .weight_at = -1, .flops = flops_none, CALLS(unary) },
    [OP_add] = { "add",
        { IN(KAdd, a), OPT(KAdd, gate), IN(KAdd, b), OUT(KAdd, y) },
        .weight_at = -1, .flops = flops_none, CALLS(add) },
    [OP_affine] = { "affine",
        { IN(KAffine, x), OPT(KAffine, mul), OPT(KAffine, add), OUT(KAffine, y) },
        .weight_at = -1, .flops = flops_none, CALLS(affine) },
    [OP_timestep] = { "timestep",
        { IN(KTimestep, value), OUT(KTimestep, y) },
        .weight_at = -1, .flops = flops_none, CALLS(timestep) },
    [OP_copy] = { "copy",
        { IN(KCopy, x), OUT(KCopy, y) },
        .weight_at = -1, .flops = flops_none, CALLS(copy) },
    [OP_conv] = { "conv",
        { IN(KConv, x), OPT(KConv, bias), OPT(KConv, in_mul), OPT(KConv, in_add),
          OPT(KConv, residual), OUT(KConv, y) },
        .weight_at = offsetof(KConv, w), .matmul = true, .flops = flops_conv, CALLS(conv) },
    [OP_group_stats] = { "group_stats",
        { IN(KGroupStats, x), IN(KGroupStats, weight), IN(KGroupStats, bias),
          OUT(KGroupStats, mul), OUT(KGroupStats, add) },
        .weight_at = -1, .flops = flops_none, CALLS(group_stats) },
};
/* clang-format on */

const OpDef *op_def(OpKind kind)
{
    return &defs[kind];
}

/* ---- generic over the rows -------------------------------------------------------------------------- */

const KWeight *op_weight(const Op *op)
{
    const OpDef *def = op_def(op->kind);
    if (def->weight_at < 0) return NULL;
    return (const KWeight *)(const void *)((const char *)&op->desc + def->weight_at);
}

size_t weight_bytes(const KWeight *w)
{
    size_t side = w->side ? (size_t)((w->n + w->k) * w->side->rank) * sizeof(float) : 0;
    return (size_t)w->n * (size_t)w->row_bytes + side;
}

size_t view_bytes(const KView *v)
{
    return (size_t)k_view_count(v) * k_dtype_block_bytes(v->dtype);
}

/* Where a value's first element lies. The mark of an unplanned program is aligned but never read. */
static void *address(const Program *p, ProgValue v, void *base)
{
    const Val *val = &p->vals[v];
    const Val *root = &p->vals[val->root];
    char *start = root->view.data;

    if (!start)
        start = base ? (char *)base + root->arena_offset : (char *)(uintptr_t)PROG_ALIGN;
    return start + (size_t)val->offset * k_dtype_block_bytes(val->view.dtype);
}

void op_bind(const Program *p, const Op *op, void *base, OpDesc *out)
{
    const OpDef *def = op_def(op->kind);

    *out = op->desc;
    for (int i = 0; def->fields[i].name; i++) {
        KView *view = (KView *)(void *)((char *)out + def->fields[i].at);
        if (!value_is(op->args[i])) {
            *view = (KView){ 0 };
            continue;
        }
        *view = p->vals[op->args[i]].view;
        view->data = address(p, op->args[i], base);
    }
}

/* " name [2, 3] F32" at the end of buf. */
static size_t add_shape(char *buf, size_t size, size_t at, const char *name, const KView *v)
{
    at += (size_t)snprintf(buf + at, at < size ? size - at : 0, "%s [", name);
    for (int i = 0; i < v->ndim && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, i ? ", %lld" : "%lld",
                               (long long)v->shape[i]);
    if (at < size) at += (size_t)snprintf(buf + at, size - at, "] %s", k_dtype_name(v->dtype));
    return at < size ? at : size - 1;
}

void op_describe(const Program *p, const Op *op, char *buf, size_t size)
{
    const OpDef *def = op_def(op->kind);
    const KWeight *w = op_weight(op);
    size_t at = (size_t)snprintf(buf, size, "%s(", def->name);

    for (int i = 0; def->fields[i].name && at + 64 < size; i++) {
        if (!value_is(op->args[i])) continue;
        if (buf[at - 1] != '(') at += (size_t)snprintf(buf + at, size - at, ", ");
        at = add_shape(buf, size, at, def->fields[i].name, &p->vals[op->args[i]].view);
    }
    if (w && at + 64 < size) {
        KView v = { .dtype = w->dtype, .ndim = 2, .shape = { w->n, w->k } };
        at += (size_t)snprintf(buf + at, size - at, ", ");
        at = add_shape(buf, size, at, "w", &v);
    }
    if (at + 1 < size) snprintf(buf + at, size - at, ")");
}
