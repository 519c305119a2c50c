/* check.c - shapes, strides and dtypes of every operation, checked against its contract. */
#include "kernels/check.h"

/* Sets of dtypes an operand may have. */
enum { F32_ONLY = 1 << K_F32, FLOATS = 1 << K_F32 | 1 << K_BF16 };

static KResult dtype_in(KDtype t, unsigned set)
{
    return (unsigned)t < 32 && (set >> t & 1) ? K_OK : K_BAD_DTYPE;
}

/* A required operand of the given shape whose innermost stride is 1. */
static KResult need(const KView *v, unsigned dtypes, int ndim, const int64_t *shape)
{
    if (!v->data || v->ndim != ndim) return K_BAD_SHAPE;
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 0 || v->shape[i] != shape[i]) return K_BAD_SHAPE;
    if (v->shape[ndim - 1] > 1 && v->stride[ndim - 1] != 1) return K_BAD_SHAPE;
    return dtype_in(v->dtype, dtypes);
}

static KResult need_vector(const KView *v, int64_t n)
{
    return need(v, F32_ONLY, 1, &n);
}

static KResult maybe_vector(const KView *v, int64_t n)
{
    return v->data ? need_vector(v, n) : K_OK;
}

static KResult need_matrix(const KView *v, unsigned dtypes, int64_t rows, int64_t columns)
{
    const int64_t shape[] = { rows, columns };
    return need(v, dtypes, 2, shape);
}

static KResult need_cube(const KView *v, unsigned dtypes, int64_t a, int64_t b, int64_t c)
{
    const int64_t shape[] = { a, b, c };
    return need(v, dtypes, 3, shape);
}

static KResult check_act(KAct act)
{
    return (unsigned)act <= K_ACT_RELU ? K_OK : K_UNSUPPORTED;
}

static bool needs_tables(KDtype t)
{
    return t == K_NF4 || t == K_NVFP4 || t == K_I8 || t == K_I4 || t == K_U4 || t == K_W4A8 ||
           t == K_W6A8;
}

static KResult check_tables(const KWeight *w)
{
    const KQuant *q = w->quant;
    bool w8 = w->dtype == K_W4A8 || w->dtype == K_W6A8;

    if (!needs_tables(w->dtype) && w->dtype != K_F8_E4M3) return K_BAD_DTYPE;
    if (q->rows < w->row0 + w->n || q->block < 0) return K_BAD_SHAPE;
    if (q->rotate && !k_rotation_fits(q->rotate, w->k)) return K_BAD_SHAPE;
    if (w8 && !q->channel) return K_BAD_SHAPE;
    if (k_weight_int8(w) && !w8 && q->block) return K_BAD_SHAPE;
    if (q->scale_type == K_U8 && q->scales &&
        (!q->nested_levels || !q->nested_scales || q->nested_block < 1))
        return K_BAD_SHAPE;
    return K_OK;
}

static KResult check_weight(const KWeight *w)
{
    size_t bytes;

    if ((unsigned)w->dtype >= K_DTYPE_COUNT) return K_BAD_DTYPE;
    if (!w->data || w->n < 0 || w->k < 1 || w->row0 < 0) return K_BAD_SHAPE;
    bytes = k_row_bytes(w->dtype, w->k);
    if (bytes == 0 || w->row_bytes < 0 || (size_t)w->row_bytes < bytes) return K_BAD_SHAPE;
    if (needs_tables(w->dtype) && !w->quant) return K_BAD_SHAPE;
    if (w->quant) K_TRY(check_tables(w));
    if (w->cast != K_F32 && w->cast != K_F8_E4M3 && w->cast != K_F8_E5M2) return K_BAD_DTYPE;
    return K_OK;
}

KResult k_check_linear(const KLinear *d)
{
    int64_t m = d->x.shape[0], k = d->w.k, n = d->w.n;
    int64_t out = d->glu ? n / 2 : n;

    K_TRY(check_weight(&d->w));
    K_TRY(check_act(d->act));
    K_TRY(need_matrix(&d->x, FLOATS, m, k));
    K_TRY(need_matrix(&d->y, FLOATS, m, out));
    K_TRY(maybe_vector(&d->bias, n));
    K_TRY(maybe_vector(&d->gate, out));
    if (d->glu && n % 2) return K_BAD_SHAPE;
    if (d->residual.data) K_TRY(need_matrix(&d->residual, F32_ONLY, m, out));
    if (!d->norm_scale.data) return d->norm_shift.data ? K_BAD_SHAPE : K_OK;
    K_TRY(need_vector(&d->norm_scale, k));
    K_TRY(maybe_vector(&d->norm_shift, k));
    return dtype_in(d->x.dtype, F32_ONLY);
}

KResult k_check_norm_mod(const KNormMod *d)
{
    int64_t m = d->x.shape[0], n = d->x.shape[1];

    K_TRY(need_matrix(&d->x, F32_ONLY, m, n));
    K_TRY(need_matrix(&d->y, FLOATS, m, n));
    K_TRY(maybe_vector(&d->scale, n));
    return maybe_vector(&d->shift, n);
}

KResult k_check_layer_norm(const KLayerNorm *d)
{
    int64_t m = d->x.shape[0], n = d->x.shape[1];

    K_TRY(need_matrix(&d->x, F32_ONLY, m, n));
    K_TRY(need_matrix(&d->y, FLOATS, m, n));
    K_TRY(need_vector(&d->weight, n));
    return need_vector(&d->bias, n);
}

KResult k_check_rms_norm(const KRmsNorm *d)
{
    int64_t m = d->x.shape[0], n = d->x.shape[1];

    K_TRY(need_matrix(&d->x, FLOATS, m, n));
    K_TRY(need_matrix(&d->y, FLOATS, m, n));
    return need_vector(&d->weight, n);
}

KResult k_check_rope(const KRope *d)
{
    int64_t t = d->x.shape[0], heads = d->x.shape[1], n = d->x.shape[2];

    K_TRY(need_cube(&d->x, FLOATS, t, heads, n));
    K_TRY(need_cube(&d->y, FLOATS, t, heads, n));
    K_TRY(maybe_vector(&d->weight, n));
    if (!d->cs.data) return K_OK;
    if (n % 2) return K_BAD_SHAPE;
    K_TRY(need_cube(&d->cs, F32_ONLY, t, n / 2, 2));
    return n > 2 && d->cs.stride[1] != 2 ? K_BAD_SHAPE : K_OK;
}

KResult k_check_attention(const KAttention *d)
{
    int64_t tq = d->q.shape[0], heads = d->q.shape[1], n = d->q.shape[2];
    int64_t tk = d->k.shape[0], kv_heads = d->k.shape[1];

    K_TRY(need_cube(&d->q, FLOATS, tq, heads, n));
    K_TRY(need_cube(&d->y, FLOATS, tq, heads, n));
    K_TRY(need_cube(&d->k, FLOATS, tk, kv_heads, n));
    K_TRY(need_cube(&d->v, FLOATS, tk, kv_heads, n));
    if (tk < 1 || kv_heads < 1 || heads % kv_heads) return K_BAD_SHAPE;
    if (d->keys_valid < 0 || d->keys_valid > tk) return K_BAD_SHAPE;
    if (d->k.dtype != d->q.dtype || d->v.dtype != d->q.dtype) return K_BAD_DTYPE;
    return d->bias.data ? need_cube(&d->bias, F32_ONLY, heads, tq, tk) : K_OK;
}

KResult k_check_glu(const KGlu *d)
{
    int64_t m = d->gate.shape[0], n = d->gate.shape[1];

    K_TRY(check_act(d->act));
    K_TRY(need_matrix(&d->gate, FLOATS, m, n));
    K_TRY(need_matrix(&d->value, FLOATS, m, n));
    return need_matrix(&d->y, FLOATS, m, n);
}

KResult k_check_unary(const KUnary *d)
{
    int64_t m = d->x.shape[0], n = d->x.shape[1];

    K_TRY(check_act(d->act));
    K_TRY(need_matrix(&d->x, FLOATS, m, n));
    return need_matrix(&d->y, FLOATS, m, n);
}

KResult k_check_add(const KAdd *d)
{
    int64_t m = d->a.shape[0], n = d->a.shape[1];

    K_TRY(need_matrix(&d->a, FLOATS, m, n));
    K_TRY(need_matrix(&d->b, FLOATS, m, n));
    K_TRY(need_matrix(&d->y, FLOATS, m, n));
    return maybe_vector(&d->gate, n);
}

KResult k_check_affine(const KAffine *d)
{
    int64_t m = d->x.shape[0], n = d->x.shape[1];

    K_TRY(check_act(d->act));
    K_TRY(need_matrix(&d->x, FLOATS, m, n));
    K_TRY(need_matrix(&d->y, FLOATS, m, n));
    K_TRY(maybe_vector(&d->mul, n));
    return maybe_vector(&d->add, n);
}

KResult k_check_timestep(const KTimestep *d)
{
    int64_t n = d->y.shape[1];

    K_TRY(need_vector(&d->value, 1));
    K_TRY(need_matrix(&d->y, FLOATS, 1, n));
    return n % 2 ? K_BAD_SHAPE : K_OK;
}

KResult k_check_copy(const KCopy *d)
{
    const KView *x = &d->x, *y = &d->y;

    if (!x->data || !y->data || x->ndim != y->ndim) return K_BAD_SHAPE;
    if (x->ndim < 0 || x->ndim > K_MAX_DIMS) return K_BAD_SHAPE;
    for (int i = 0; i < x->ndim; i++)
        if (x->shape[i] < 0 || x->shape[i] != y->shape[i]) return K_BAD_SHAPE;
    if ((unsigned)x->dtype >= K_Q4_0 || (unsigned)y->dtype >= K_Q4_0) return K_BAD_DTYPE;
    return K_OK;
}

static int64_t conv_out(int64_t in, int64_t before, int64_t after, int64_t kernel,
                        int64_t stride)
{
    int64_t room = in + before + after - kernel;
    return room < 0 || stride < 1 ? 0 : room / stride + 1;
}

int64_t k_conv_out_height(const KConv *d)
{
    int64_t up = d->up == 2 ? 2 : 1;
    return conv_out(d->x.shape[0] * up, d->pad_top, d->pad_bottom, d->kh, d->stride);
}

int64_t k_conv_out_width(const KConv *d)
{
    int64_t up = d->up == 2 ? 2 : 1;
    return conv_out(d->x.shape[1] * up, d->pad_left, d->pad_right, d->kw, d->stride);
}

KResult k_check_conv(const KConv *d)
{
    int64_t h = d->x.shape[0], w = d->x.shape[1], cin = d->x.shape[2], cout = d->w.n;
    int64_t ho, wo;

    K_TRY(check_weight(&d->w));
    if (d->kh < 1 || d->kw < 1 || d->stride < 1 || d->up < 0 || d->up > 2) return K_BAD_SHAPE;
    if (d->pad_top < 0 || d->pad_left < 0 || d->pad_bottom < 0 || d->pad_right < 0)
        return K_BAD_SHAPE;
    K_TRY(need_cube(&d->x, FLOATS, h, w, cin));
    if (d->w.k != cin * d->kh * d->kw) return K_BAD_SHAPE;
    ho = k_conv_out_height(d);
    wo = k_conv_out_width(d);
    if (ho < 1 || wo < 1) return K_BAD_SHAPE;
    K_TRY(need_cube(&d->y, FLOATS, ho, wo, cout));
    K_TRY(maybe_vector(&d->bias, cout));
    K_TRY(maybe_vector(&d->in_mul, cin));
    K_TRY(maybe_vector(&d->in_add, cin));
    return d->residual.data ? need_cube(&d->residual, 1u << d->y.dtype, ho, wo, cout) : K_OK;
}

KResult k_check_group_stats(const KGroupStats *d)
{
    int64_t p = d->x.shape[0], c = d->x.shape[1];

    K_TRY(need_matrix(&d->x, FLOATS, p, c));
    if (p < 1 || d->groups < 1 || c % d->groups) return K_BAD_SHAPE;
    K_TRY(need_vector(&d->weight, c));
    K_TRY(need_vector(&d->bias, c));
    K_TRY(need_vector(&d->mul, c));
    return need_vector(&d->add, c);
}
