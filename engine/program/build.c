/* build.c - the builders of ops.h: descriptor in, operation appended, result value back. */
#include "engine/program/ops.h"

#include <string.h>

#include "engine/program/internal.h"

/* Of descriptors that hold views only. */
static const OpDesc no_scalars;

/* Shape of a value; ndim 0 when it is absent or the program has failed. */
static KView shape_of(const Program *p, ProgValue v)
{
    return p->status == OK ? prog_view_of(p, v) : (KView){ 0 };
}

/* y, or a temporary of x's shape with the last dimension `last` (0: as x). */
static ProgValue result(Program *p, ProgValue y, ProgValue x, int64_t last, KDtype t)
{
    if (value_is(y) || p->status != OK || !value_is(x)) return y;
    KView s = shape_of(p, x);
    if (last) s.shape[s.ndim - 1] = last;
    return prog_temp(p, t, s.ndim, s.shape);
}

/* Appends and gives y back. args in the order of the op table's fields. */
static ProgValue append(Program *p, OpKind kind, const OpDesc *d, ProgValue y,
                        const ProgValue args[OP_MAX_FIELDS])
{
    return prog_add_op(p, kind, d, args) ? y : PROG_NONE;
}

ProgValue prog_linear(Program *p, const PLinear *a)
{
    OpDesc d = { .linear = { .w = a->w,
                             .act = a->act,
                             .glu = a->glu,
                             .norm_eps = a->norm_eps,
                             .norm_bf16 = a->norm_bf16 } };
    ProgValue y = result(p, a->y, a->x, a->glu ? a->w.n / 2 : a->w.n, a->out);
    return append(p, OP_linear, &d, y,
                  (ProgValue[OP_MAX_FIELDS]){ a->x, a->bias, a->gate, a->residual,
                                              a->norm_scale, a->norm_shift, y });
}

ProgValue prog_norm_mod(Program *p, const PNormMod *a)
{
    OpDesc d = { .norm_mod = { .eps = a->eps } };
    ProgValue y = result(p, a->y, a->x, 0, a->out);
    return append(p, OP_norm_mod, &d, y,
                  (ProgValue[OP_MAX_FIELDS]){ a->x, a->scale, a->shift, y });
}

ProgValue prog_layer_norm(Program *p, const PLayerNorm *a)
{
    OpDesc d = { .layer_norm = { .eps = a->eps } };
    ProgValue y = result(p, a->y, a->x, 0, a->out);
    return append(p, OP_layer_norm, &d, y,
                  (ProgValue[OP_MAX_FIELDS]){ a->x, a->weight, a->bias, y });
}

ProgValue prog_rms_norm(Program *p, const PRmsNorm *a)
{
    OpDesc d = { .rms_norm = { .eps = a->eps } };
    ProgValue y = result(p, a->y, a->x, 0, a->out);
    return append(p, OP_rms_norm, &d, y, (ProgValue[OP_MAX_FIELDS]){ a->x, a->weight, y });
}

ProgValue prog_rope(Program *p, const PRope *a)
{
    OpDesc d = { .rope = { .eps = a->eps, .half = a->half } };
    ProgValue y = value_is(a->y) ? a->y : a->x;
    return append(p, OP_rope, &d, y, (ProgValue[OP_MAX_FIELDS]){ a->x, a->weight, a->cs, y });
}

ProgValue prog_attention(Program *p, const PAttention *a)
{
    OpDesc d = { .attention = {
                     .scale = a->scale, .causal = a->causal, .keys_valid = a->keys_valid } };
    ProgValue y = result(p, a->y, a->q, 0, shape_of(p, a->q).dtype);
    return append(p, OP_attention, &d, y,
                  (ProgValue[OP_MAX_FIELDS]){ a->q, a->k, a->v, a->bias, y });
}

ProgValue prog_glu(Program *p, const PGlu *a)
{
    OpDesc d = { .glu = { .act = a->act } };
    ProgValue y = result(p, a->y, a->gate, 0, a->out);
    return append(p, OP_glu, &d, y, (ProgValue[OP_MAX_FIELDS]){ a->gate, a->value, y });
}

ProgValue prog_unary(Program *p, const PUnary *a)
{
    OpDesc d = { .unary = { .act = a->act } };
    ProgValue y = result(p, a->y, a->x, 0, a->out);
    return append(p, OP_unary, &d, y, (ProgValue[OP_MAX_FIELDS]){ a->x, y });
}

ProgValue prog_add(Program *p, const PAdd *a)
{
    ProgValue y = value_is(a->y) ? a->y : a->a;
    return append(p, OP_add, &no_scalars, y,
                  (ProgValue[OP_MAX_FIELDS]){ a->a, a->gate, a->b, y });
}

ProgValue prog_affine(Program *p, const PAffine *a)
{
    OpDesc d = { .affine = { .lo = a->lo, .hi = a->hi, .act = a->act } };
    ProgValue y = result(p, a->y, a->x, 0, a->out);
    return append(p, OP_affine, &d, y, (ProgValue[OP_MAX_FIELDS]){ a->x, a->mul, a->add, y });
}

ProgValue prog_timestep(Program *p, const PTimestep *a)
{
    ProgValue y = a->y;
    if (!value_is(y)) y = prog_temp(p, a->out, 2, (int64_t[]){ 1, a->dim });
    return append(p, OP_timestep, &no_scalars, y, (ProgValue[OP_MAX_FIELDS]){ a->value, y });
}

ProgValue prog_copy(Program *p, const PCopy *a)
{
    ProgValue y = result(p, a->y, a->x, 0, a->out);
    return append(p, OP_copy, &no_scalars, y, (ProgValue[OP_MAX_FIELDS]){ a->x, y });
}

ProgValue prog_conv(Program *p, const PConv *a)
{
    OpDesc d = { .conv = { .w = a->w,
                           .kh = a->kh,
                           .kw = a->kw,
                           .stride = a->stride ? a->stride : 1,
                           .up = a->up ? a->up : 1,
                           .pad_top = a->pad_top,
                           .pad_left = a->pad_left,
                           .pad_bottom = a->pad_bottom,
                           .pad_right = a->pad_right,
                           .in_silu = a->in_silu } };
    ProgValue y = a->y;
    KView x = shape_of(p, a->x);
    if (!value_is(y) && x.ndim == 3) {
        const KConv *c = &d.conv;
        int64_t shape[3] = {
            (x.shape[0] * c->up + c->pad_top + c->pad_bottom - c->kh) / c->stride + 1,
            (x.shape[1] * c->up + c->pad_left + c->pad_right - c->kw) / c->stride + 1, a->w.n
        };
        y = prog_temp(p, a->out, 3, shape);
    }
    return append(
        p, OP_conv, &d, y,
        (ProgValue[OP_MAX_FIELDS]){ a->x, a->bias, a->in_mul, a->in_add, a->residual, y });
}

void prog_group_stats(Program *p, const PGroupStats *a, ProgValue *mul, ProgValue *add)
{
    OpDesc d = { .group_stats = { .groups = a->groups, .eps = a->eps, .serial = a->serial } };
    KView s = shape_of(p, a->x);
    ProgValue x = a->x;

    *mul = a->mul;
    *add = a->add;
    if (p->status != OK) return;
    int64_t c = s.ndim ? s.shape[s.ndim - 1] : 0;
    if (s.ndim == 3) x = prog_reshape(p, x, 2, (int64_t[]){ s.shape[0] * s.shape[1], c });
    if (!value_is(*mul)) *mul = prog_temp(p, K_F32, 1, &c);
    if (!value_is(*add)) *add = prog_temp(p, K_F32, 1, &c);
    append(p, OP_group_stats, &d, *mul,
           (ProgValue[OP_MAX_FIELDS]){ x, a->weight, a->bias, *mul, *add });
}

KWeight prog_weight_rows(const KWeight *w, int64_t first, int64_t count, bool *ok)
{
    KWeight r = *w;

    if (first < 0 || count < 1 || first + count > w->n) *ok = false;
    if (!*ok) return r;
    r.n = count;
    r.row0 = w->row0 + first;
    if (w->data) r.data = (const char *)w->data + first * w->row_bytes;
    return r;
}
