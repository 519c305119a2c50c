/* brownian.c - Brownian motion over sigma as a tree of seeds (torchsde's virtual tree).
 *
 * Each node's split is drawn from NumPy's SeedSequence of (entropy, node key, depth), so nothing has to be
 * remembered between queries: a query walks down from the root and redraws what it needs. Times are
 * rounded to six decimals, which bounds the depth; the buffers for the deepest walk are made once.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/noise.h"

enum { POOL = 24, POOL_MAX = 32, ENTROPY_MAX = POOL_MAX + 16 };

/* ---- SeedSequence ------------------------------------------------------------------------------- */

static uint32_t hash_word(uint32_t v, uint32_t *h)
{
    v ^= *h;
    *h *= 0x931e8875u;
    v *= *h;
    return v ^ v >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    uint32_t r = 0xca01f9ddu * x - 0x4973f715u * y;
    return r ^ r >> 16;
}

/* Little-endian words of v, at least one; returns how many. */
static int put_words(uint64_t v, uint32_t *out)
{
    out[0] = (uint32_t)v;
    if (!(v >> 32)) return 1;
    out[1] = (uint32_t)(v >> 32);
    return 2;
}

void seed_sequence(uint64_t entropy, const uint64_t *key, int key_count, int pool,
                   uint32_t *out, int count)
{
    uint32_t words[ENTROPY_MAX] = { 0 }, p[POOL_MAX], h = 0x43b0d7e5u, g = 0x8b51f9ddu;
    int n = put_words(entropy, words);

    if (pool > POOL_MAX) pool = POOL_MAX;
    if (key_count > 0 && n < pool) n = pool;
    for (int i = 0; i < key_count && n + 2 <= ENTROPY_MAX; i++)
        n += put_words(key[i], words + n);

    for (int i = 0; i < pool; i++)
        p[i] = hash_word(i < n ? words[i] : 0, &h);
    for (int s = 0; s < pool; s++)
        for (int d = 0; d < pool; d++)
            if (s != d) p[d] = mix(p[d], hash_word(p[s], &h));
    for (int s = pool; s < n; s++)
        for (int d = 0; d < pool; d++)
            p[d] = mix(p[d], hash_word(words[s], &h));
    for (int i = 0; i < count; i++) {
        uint32_t v = p[i % pool] ^ g;
        g *= 0x58f38dedu;
        v *= g;
        out[i] = v ^ v >> 16;
    }
}

/* ---- the tree ------------------------------------------------------------------------------------ */

/* A node on the walk, and the part [from, to] of it that is wanted. */
typedef struct Visit {
    double a, b, from, to;
    uint64_t key;
    int depth;
    float *w; /* increment over [a, b]; one of the tree's buffers */
} Visit;

struct Brownian {
    uint64_t entropy;
    double t0, t1;
    int64_t count;
    Rng rng;
    int capacity;   /* of visits and buffers */
    Visit *visits;  /* owned */
    float *buffers; /* owned: capacity rows of count */
    float *normals; /* owned */
};

/* Decimal rounding to six digits, half to even on the exact binary value. */
static double round6(double v)
{
    char text[400];
    snprintf(text, sizeof text, "%.6f", v);
    return strtod(text, NULL);
}

Status brownian_new(uint64_t seed, double t0, double t1, int64_t count, Brownian **out,
                    Error *err)
{
    if (!isfinite(t0) || !isfinite(t1))
        return error_set(err, E_RANGE, "the noise levels are not finite");
    Brownian *b = mem_calloc(1, sizeof *b);
    if (!b) return error_set(err, E_NOMEM, "out of memory");
    b->entropy = seed;
    b->t0 = fmin(t0, t1);
    b->t1 = fmax(t0, t1);
    b->count = count;
    b->capacity = 6 + (int)ceil(log2(fmax((b->t1 - b->t0) * 1e6, 2)));
    b->visits = mem_alloc_array((size_t)b->capacity, sizeof *b->visits);
    b->normals = mem_alloc_array((size_t)count, sizeof *b->normals);
    b->buffers = mem_alloc_array((size_t)count, sizeof *b->buffers * (size_t)b->capacity);
    if (!b->visits || !b->normals || !b->buffers) {
        brownian_free(b);
        return error_set(err, E_NOMEM, "out of memory");
    }
    *out = b;
    return OK;
}

void brownian_free(Brownian *b)
{
    if (!b) return;
    mem_free(b->visits);
    mem_free(b->normals);
    mem_free(b->buffers);
    mem_free(b);
}

static void draw(Brownian *b, const uint64_t *key, int key_count, float *out)
{
    uint32_t seed;
    seed_sequence(b->entropy, key, key_count, POOL, &seed, 1);
    rng_init(&b->rng, seed);
    rng_normal(&b->rng, out, b->count);
}

static void root_increment(Brownian *b, float *w)
{
    float scale = (float)sqrt(b->t1 - b->t0);
    draw(b, NULL, 0, w);
    for (int64_t i = 0; i < b->count; i++)
        w[i] *= scale;
}

/* The increment of the left half of v into left and of the right half into right; either may be v->w. */
static void split(Brownian *b, const Visit *v, double mid, float *left, float *right)
{
    uint64_t key[2] = { v->key, (uint64_t)v->depth };
    double ld = mid - v->a, rd = v->b - mid, inverse = 1 / (v->b - v->a);
    float to_mid = (float)ld, scale = (float)inverse, spread = (float)sqrt(ld * rd * inverse);

    draw(b, key, 2, b->normals);
    for (int64_t i = 0; i < b->count; i++) {
        float w = v->w[i], mean = to_mid * w * scale;
        float l = mean + spread * b->normals[i];
        if (left) left[i] = l;
        if (right) right[i] = w - l;
    }
}

static Visit half(const Visit *v, double mid, bool right, float *w)
{
    Visit h = *v;
    h.key = v->key * 2 + right;
    h.depth = v->depth + 1;
    h.w = w;
    if (right) {
        h.a = mid;
        h.from = fmax(v->from, mid);
    } else {
        h.b = mid;
        h.to = fmin(v->to, mid);
    }
    return h;
}

/* Replaces the visit on top of the stack by one or both of its halves; returns the new height. */
static int descend(Brownian *b, int top)
{
    Visit v = b->visits[top - 1];
    double mid = round6(0.5 * (v.a + v.b));

    if (v.to <= mid || v.from >= mid || top == b->capacity) {
        bool right = v.from >= mid;
        split(b, &v, mid, right ? NULL : v.w, right ? v.w : NULL);
        b->visits[top - 1] = half(&v, mid, right, v.w);
        return top;
    }
    float *w = b->buffers + (int64_t)top * b->count;
    split(b, &v, mid, w, v.w);
    b->visits[top - 1] = half(&v, mid, true, v.w);
    b->visits[top] = half(&v, mid, false, w);
    return top + 1;
}

/* Sum of the pieces that cover [from, to], left to right. */
static void increment(Brownian *b, double from, double to, float *out)
{
    double low = round6(b->t0), high = round6(b->t1);
    int top = 1;

    from = round6(fmin(fmax(from, low), high));
    to = round6(fmin(fmax(to, low), high));
    memset(out, 0, (size_t)b->count * sizeof *out);
    if (!(from < to)) return;
    root_increment(b, b->buffers);
    b->visits[0] = (Visit){ low, high, from, to, 0, 0, b->buffers };
    for (bool first = true; top > 0;) {
        const Visit *v = &b->visits[top - 1];
        if (v->from > v->a || v->to < v->b) {
            top = descend(b, top);
            continue;
        }
        for (int64_t i = 0; i < b->count; i++)
            out[i] = first ? v->w[i] : out[i] + v->w[i];
        first = false;
        top--;
    }
}

void brownian_increment(Brownian *b, double from, double to, float *out)
{
    increment(b, fmin(from, to), fmax(from, to), out);
    if (from > to)
        for (int64_t i = 0; i < b->count; i++)
            out[i] = -out[i];
}

void brownian_noise(Brownian *b, float sigma, float next, float *out)
{
    float span = sqrtf(fabsf(next - sigma));
    brownian_increment(b, (double)sigma, (double)next, out);
    for (int64_t i = 0; i < b->count; i++)
        out[i] /= span;
}
