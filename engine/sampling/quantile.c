/* quantile.c - a quantile of many values without sorting them. */
#include <math.h>

#include "engine/sampling/guidance.h"

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

double guidance_quantile(const float *v, int64_t n, double q, float *scratch)
{
    double rank = fmin(fmax(q, 0), 1) * (double)(n - 1);
    int64_t k = (int64_t)rank;

    for (int64_t i = 0; i < n; i++) {
        if (isnan(v[i])) return (double)NAN;
        scratch[i] = v[i];
    }
    select_rank(scratch, n, k);
    double below = (double)scratch[k], share = rank - (double)k;
    if (share == 0 || k + 1 >= n) return below;
    float above = scratch[k + 1];
    for (int64_t i = k + 2; i < n; i++)
        if (scratch[i] < above) above = scratch[i];
    return below + share * ((double)above - below);
}
