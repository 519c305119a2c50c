/* rope.c - rope on vectors: a head is normed and turned while it is in registers, tokens over threads. */
#include "kernels/cpu/vec.h"

#include "kernels/check.h"

/* One head of one token. */
typedef struct Head {
    const KRope *d;
    const float *cs; /* of the token, or NULL */
    int64_t x_at, y_at, n;
    float scale; /* 1/rms, or 1 */
} Head;

static float head_scale(const KRope *d, int64_t at, int64_t n)
{
    vf squares = v_set1(0);

    if (!d->weight.data) return 1.0f;
    for (int64_t c = 0; c < n; c += V_WIDTH) {
        vf v = v_get(&d->x, at + c, n - c);
        squares = v_fma(v, v, squares);
    }
    return 1.0f / sqrtf(v_sum(squares) / (float)n + d->eps);
}

static vf normed(const Head *h, int64_t c, int64_t count)
{
    vf v = v_get(&h->d->x, h->x_at + c, count);
    if (!h->d->weight.data) return v;
    return v * v_set1(h->scale) * v_get(&h->d->weight, c, count);
}

/* Up to V_WIDTH floats; zeros behind them. */
static vf load_up_to(const float *p, int64_t n)
{
    return n >= V_WIDTH ? v_load(p) : v_load_n(p, n > 0 ? n : 0);
}

/* Pairs (2i, 2i+1); without angles just the norm. */
static void turn_neighbours(const Head *h)
{
    for (int64_t c = 0; c < h->n; c += V_WIDTH) {
        vf v = normed(h, c, h->n - c);
        if (h->cs) v = v_rotate_pairs(v, load_up_to(h->cs + c, h->n - c));
        v_put(&h->d->y, h->y_at + c, h->n - c, v);
    }
}

/* Pairs (i, i + n/2). */
static void turn_halves(const Head *h)
{
    int64_t pairs = h->n / 2;

    for (int64_t i = 0; i < pairs; i += V_WIDTH) {
        int64_t left = 2 * (pairs - i);
        vf a = normed(h, i, pairs - i), b = normed(h, i + pairs, pairs - i), cos, sin;
        v_split(load_up_to(h->cs + 2 * i, left),
                load_up_to(h->cs + 2 * i + (left > V_WIDTH ? V_WIDTH : 0), left - V_WIDTH),
                &cos, &sin);
        v_put(&h->d->y, h->y_at + i, pairs - i, a * cos - b * sin);
        v_put(&h->d->y, h->y_at + i + pairs, pairs - i, v_fma(a, sin, b * cos));
    }
}

static void rope_token(const KRope *d, int64_t t)
{
    for (int64_t i = 0; i < d->x.shape[1]; i++) {
        Head h = { .d = d, .n = d->x.shape[2] };
        h.x_at = t * d->x.stride[0] + i * d->x.stride[1];
        h.y_at = t * d->y.stride[0] + i * d->y.stride[1];
        h.cs = d->cs.data ? (const float *)d->cs.data + t * d->cs.stride[0] : NULL;
        h.scale = head_scale(d, h.x_at, h.n);
        if (d->half && h.cs)
            turn_halves(&h);
        else
            turn_neighbours(&h);
    }
}

KResult CPU_FN(rope)(KContext *ctx, const KRope *d)
{
    K_TRY(k_check_rope(d));
    int64_t tokens = d->x.shape[0], work = k_view_count(&d->x);

#pragma omp parallel for num_threads(ctx->threads) if (work > V_PARALLEL_FROM)
    for (int64_t t = 0; t < tokens; t++)
        rope_token(d, t);
    return K_OK;
}
