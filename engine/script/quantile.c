/* quantile.c - a quantile of many values without sorting them; compiled with loops.c. */
#include "engine/script/loops.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    DIGIT = 11, /* bits of a value that one round over the values looks at */
    SMALL = 512 /* values below which comparing them is faster than counting */
};

/* Puts the k-th smallest of n values in place, smaller ones before it (Hoare's selection); no NaN. */
static void select_rank(float *v, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        float pivot = v[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i > j) break;
            float swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return;
    }
}

/* The bits of a float as an unsigned number that orders as the values do. */
static inline uint32_t key_of(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits ^ ((uint32_t) - (int32_t)(bits >> 31) | 0x80000000u);
}

static float of_key(uint32_t key)
{
    uint32_t bits = key ^ (key >> 31 ? 0x80000000u : 0xFFFFFFFFu);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* What is left of a selection: values that agree with the one looked for in all digits seen so far. */
typedef struct Rest {
    const float *v; /* the caller's at first, then room */
    float *room;
    int64_t n, k; /* k: rank among these */
} Rest;

/* Keeps the values whose digit at `shift` is that of the k-th smallest. */
static void keep_digit(Rest *r, int shift)
{
    uint32_t count[2][1 << DIGIT] = { { 0 } }; /* in turn: neighbours often share a digit */
    const uint32_t mask = (1u << DIGIT) - 1;
    uint32_t digit = 0;
    int64_t m = 0;

    for (int64_t i = 0; i < r->n; i++)
        count[i & 1][key_of(r->v[i]) >> shift & mask]++;
    for (int64_t here; r->k >= (here = (int64_t)count[0][digit] + count[1][digit]); digit++)
        r->k -= here;
    for (int64_t i = 0; i < r->n; i++) {
        const float v = r->v[i];
        const uint32_t other = (key_of(v) >> shift & mask) ^ digit;
        r->room[m] = v;
        m += (other - 1) >>
             31; /* one when nothing differs; a branch would be guessed wrong too often */
    }
    r->v = r->room;
    r->n = m;
}

/* The smallest value behind the k-th smallest, which select_rank has put in place: in the rest, or else among all. */
static float next_above(const Rest *r, const float *v, int64_t n)
{
    const uint32_t first = key_of(r->v[r->k]) + 1;
    float above = (float)INFINITY;
    uint32_t distance = UINT32_MAX; /* from `first`; keys below it wrap round and are far */

    for (int64_t i = r->k + 1; i < r->n; i++)
        above = r->v[i] < above ? r->v[i] : above;
    if (r->k + 1 < r->n) return above;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t d = key_of(v[i]) - first;
        distance = d < distance ? d : distance;
    }
    return of_key(first + distance);
}

static bool has_nan(const float *v, int64_t n)
{
    int nan = 0;
    for (int64_t i = 0; i < n; i++)
        nan |= v[i] != v[i];
    return nan != 0;
}

double LOOPS_NAME(loops_quantile)(const float *v, int64_t n, double q, float *scratch)
{
    double rank = q * (double)(n - 1);
    int64_t k = (int64_t)rank;
    double share = rank - (double)k;
    Rest r = { v, scratch, n, k };

    if (has_nan(v, n)) return (double)NAN;
    for (int shift = 32 - DIGIT; shift >= 0 && r.n > SMALL; shift -= shift > DIGIT ? DIGIT : 10)
        keep_digit(&r, shift);
    if (r.v == v) memcpy(scratch, v, (size_t)n * sizeof *v);
    r.v = scratch;
    select_rank(scratch, r.n, r.k);
    double below = (double)scratch[r.k];
    if (share == 0 || k + 1 >= n) return below;
    return below + share * ((double)next_above(&r, v, n) - below);
}
