/* noise.h - the reference's CPU random streams, bit for bit, and the NOISE value.
 *
 * One Mersenne Twister; normals by Box-Muller in blocks of 16 with single-precision polynomials (what
 * the vectorised build of the reference computes), or one by one in double below 16 elements.
 */
#ifndef WEFT_SAMPLING_NOISE_H
#define WEFT_SAMPLING_NOISE_H

#include "engine/sampling/latent.h"
#include "engine/tensor/tensor.h"

/* A generator; embedded. Only the low 32 bits of the seed count. */
typedef struct Rng {
    uint32_t mt[624];
    int at;          /* next word; 624 = twist first */
    bool has_cached; /* second normal of the last short pair */
    double cached;
} Rng;

void rng_init(Rng *r, uint64_t seed);
uint32_t rng_u32(Rng *r);
uint64_t rng_u64(Rng *r); /* the first word is the high half */
/* In [0,1), 24 bits. */
void rng_uniform(Rng *r, float *out, int64_t n);
void rng_normal(Rng *r, float *out, int64_t n);

/* The NOISE value. */
typedef struct Noise {
    Ref ref;
    uint64_t seed;
    bool disabled; /* zeros; the seed still names the samplers' own streams */
} Noise;

Status noise_new(uint64_t seed, Noise **out, Error *err);
Status noise_new_disabled(Noise **out, Error *err); /* seed 0 */

static inline Noise *noise_ref(const Noise *n)
{
    return ref_take(n);
}
static inline void noise_unref(const Noise *n)
{
    ref_drop(n);
}

/* Initial noise for samples [B,C,h,w] (shape only is read): one draw of the whole shape, or, with a batch
 * index, one draw per item 0..max(index). rng is seeded here and goes on to serve churn. Errors: E_RANGE
 * for a negative index. */
Status noise_prepare(uint64_t seed, const Tensor *samples, const int64_t *batch_index,
                     int64_t batch_count, Rng *rng, Tensor **out, Error *err);

/* NumPy's SeedSequence: `count` words of state for an entropy and a spawn key. */
void seed_sequence(uint64_t entropy, const uint64_t *key, int key_count, int pool,
                   uint32_t *out, int count);

/* Brownian motion over [t0, t1] as a tree whose nodes are drawn from their own seeds, so that a query's
 * answer does not depend on what was asked before. */
typedef struct Brownian Brownian;
Status brownian_new(uint64_t seed, double t0, double t1, int64_t count, Brownian **out,
                    Error *err);
void brownian_free(Brownian *b);
/* Signed increment from a to b over `count` values; minus sign when a > b. */
void brownian_increment(Brownian *b, double from, double to, float *out);
/* The increment from sigma to next divided by sqrt|next - sigma|. */
void brownian_noise(Brownian *b, float sigma, float next, float *out);

#endif
