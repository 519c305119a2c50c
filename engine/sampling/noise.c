/* noise.c - the Mersenne Twister, its normals, and the initial noise of a latent. */
#include "engine/sampling/noise.h"

#include <math.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/sampling/noise_impl.h"

enum { MT_WORDS = 624, MT_SHIFT = 397, BLOCK = 16, HALF = 8 };

static const double TWO_PI = 6.283185307179586476925286766559;

/* ---- words ---------------------------------------------------------------------------------- */

void rng_init(Rng *r, uint64_t seed)
{
    r->mt[0] = (uint32_t)seed;
    for (uint32_t j = 1; j < MT_WORDS; j++)
        r->mt[j] = 1812433253u * (r->mt[j - 1] ^ (r->mt[j - 1] >> 30)) + j;
    r->at = MT_WORDS;
    r->has_cached = false;
    r->cached = 0;
}

static uint32_t twist_word(uint32_t high, uint32_t low, uint32_t far)
{
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfu : 0);
}

static void twist(Rng *r)
{
    uint32_t *m = r->mt;
    int i = 0;

    for (; i < MT_WORDS - MT_SHIFT; i++)
        m[i] = twist_word(m[i], m[i + 1], m[i + MT_SHIFT]);
    for (; i < MT_WORDS - 1; i++)
        m[i] = twist_word(m[i], m[i + 1], m[i + MT_SHIFT - MT_WORDS]);
    m[i] = twist_word(m[i], m[0], m[MT_SHIFT - 1]);
    r->at = 0;
}

uint32_t rng_u32(Rng *r)
{
    if (r->at >= MT_WORDS) twist(r);
    uint32_t y = r->mt[r->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint64_t rng_u64(Rng *r)
{
    uint64_t high = rng_u32(r);
    return high << 32 | rng_u32(r);
}

static float uniform24(Rng *r)
{
    return (float)(rng_u32(r) & 0xffffffu) * 0x1p-24f;
}

static double uniform53(Rng *r)
{
    return (double)(rng_u64(r) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

void rng_uniform(Rng *r, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = uniform24(r);
}

/* ---- normals, one by one -------------------------------------------------------------------- */

static double normal_short(Rng *r)
{
    if (r->has_cached) {
        r->has_cached = false;
        return r->cached;
    }
    double u1 = uniform53(r);
    double u2 = uniform53(r);
    double radius = sqrt(-2.0 * log1p(-u2)), theta = TWO_PI * u1;

    r->cached = radius * sin(theta);
    r->has_cached = true;
    return radius * cos(theta);
}

/* ---- normals, sixteen at a time --------------------------------------------------------------- */

/* The single-precision kernels below are the Cephes polynomials as the reference's vector build runs them:
 * every fmaf is one fused operation, every other operation rounds. fmaf of the C library is exact also
 * where the processor has none; noise_avx2.c does the same eight lanes at a time. */

static float log_cephes(float x)
{
    static const float poly[] = { -1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f,
                                  1.4249322787e-1f,  -1.6668057665e-1f, 2.0000714765e-1f,
                                  -2.4999993993e-1f, 3.3333331174e-1f };
    uint32_t bits;

    if (x < 0x1p-126f) x = 0x1p-126f;
    memcpy(&bits, &x, sizeof bits);
    float e = (float)((int)(bits >> 23) - 127) + 1.0f;
    bits = (bits & 0x7fffffu) | 0x3f000000u;
    float m;
    memcpy(&m, &bits, sizeof m);
    bool low = m < 0.707106781186547524f;
    e = low ? e - 1.0f : e;
    x = m - 1.0f;
    x = low ? x + m : x;

    float z = x * x;
    float y = 7.0376836292e-2f;
    for (int i = 0; i < 8; i++)
        y = fmaf(y, x, poly[i]);
    y = y * x;
    y = fmaf(y, z, e * -2.12194440e-4f);
    y = fmaf(-z, 0.5f, y);
    x = x + y;
    return fmaf(e, 0.693359375f, x);
}

static void sincos_cephes(float x, float *sine, float *cosine)
{
    int j = (int)(x * 1.27323954473516f);
    j = (j + 1) & ~1;
    float y = (float)j;

    x = fmaf(y, -0.78515625f, x);
    x = fmaf(y, -2.4187564849853515625e-4f, x);
    x = fmaf(y, -3.77489497744594108e-8f, x);
    float z = x * x;

    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = c * z;
    c = fmaf(c, z, -(z * 0.5f));
    c = c + 1.0f;

    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = s * z;
    s = fmaf(s, x, x);

    float a = (j & 2) ? c : s, b = (j & 2) ? s : c;
    *sine = (j & 4) ? -a : a;
    *cosine = (~(j - 2) & 4) ? -b : b;
}

void noise_blocks_plain(float *d, int64_t blocks)
{
    for (int64_t k = 0; k < blocks; k++, d += BLOCK) {
        for (int j = 0; j < HALF; j++) {
            float s, c, radius = sqrtf(-2.0f * log_cephes(1.0f - d[j]));
            sincos_cephes((float)TWO_PI * d[j + HALF], &s, &c);
            d[j] = radius * c;
            d[j + HALF] = radius * s;
        }
    }
}

static void transform(float *d, int64_t blocks)
{
    if (noise_has_avx2())
        noise_blocks_avx2(d, blocks);
    else
        noise_blocks_plain(d, blocks);
}

void rng_normal(Rng *r, float *out, int64_t n)
{
    if (n < BLOCK) {
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)normal_short(r);
        return;
    }
    rng_uniform(r, out, n);
    transform(out, n / BLOCK);
    if (n % BLOCK) {
        rng_uniform(r, out + n - BLOCK, BLOCK);
        transform(out + n - BLOCK, 1);
    }
}

/* ---- the value, and the noise of a latent ------------------------------------------------------- */

static Status noise_make(uint64_t seed, bool disabled, Noise **out, Error *err)
{
    Noise *n = mem_calloc(1, sizeof *n);
    if (!n) return error_set(err, E_NOMEM, "out of memory");
    ref_init(&n->ref, mem_free);
    n->seed = seed;
    n->disabled = disabled;
    *out = n;
    return OK;
}

Status noise_new(uint64_t seed, Noise **out, Error *err)
{
    return noise_make(seed, false, out, err);
}

Status noise_new_disabled(Noise **out, Error *err)
{
    return noise_make(0, true, out, err);
}

/* Draws items 0..max(index) one after the other and keeps those that are listed. */
static Status draw_items(Rng *rng, const int64_t *index, int64_t count, int64_t item,
                         float *out, Error *err)
{
    int64_t last = 0;

    for (int64_t i = 0; i < count; i++) {
        if (index[i] < 0 || index[i] > 1 << 24)
            return error_set(err, E_RANGE, "batch index %lld is out of range",
                             (long long)index[i]);
        if (index[i] > last) last = index[i];
    }
    float *one = mem_alloc_array((size_t)item, sizeof *one);
    if (!one) return error_set(err, E_NOMEM, "out of memory");
    for (int64_t k = 0; k <= last; k++) {
        rng_normal(rng, one, item);
        for (int64_t i = 0; i < count; i++)
            if (index[i] == k) memcpy(out + i * item, one, (size_t)item * sizeof *one);
    }
    mem_free(one);
    return OK;
}

Status noise_prepare(uint64_t seed, const Tensor *samples, const int64_t *batch_index,
                     int64_t batch_count, Rng *rng, Tensor **out, Error *err)
{
    Status status = OK;
    Tensor *t = NULL;
    int64_t shape[K_MAX_DIMS];

    memcpy(shape, samples->shape, sizeof shape);
    if (batch_index) shape[0] = batch_count;
    rng_init(rng, seed);
    TRY(tensor_new(K_F32, samples->ndim, shape, &t, err));
    int64_t total = tensor_count(t);
    if (!batch_index)
        rng_normal(rng, tensor_f32(t), total);
    else if (batch_count > 0)
        TRY_DONE(
            draw_items(rng, batch_index, batch_count, total / batch_count, tensor_f32(t), err));
    *out = t;
    return OK;
done:
    tensor_unref(t);
    return status;
}
