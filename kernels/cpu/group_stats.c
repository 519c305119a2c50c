/*
 * group_stats.c - group norm statistics on vectors.
 *
 * Positions are cut into chunks whose number follows from the shape alone; each chunk leaves its sums of
 * x and x^2 per channel (doubles) in scratch, and a serial pass adds the chunks in order. Sums of squares
 * in double lose nothing against two passes while mean^2/variance stays below 1e8.
 */
#include "kernels/cpu/vec.h"

#include "kernels/check.h"
#include "kernels/serial_moments.h"

enum { MAX_CHUNKS = 64, MIN_ROWS = 32 };

static int64_t chunk_count(int64_t rows)
{
    int64_t chunks = (rows + MIN_ROWS - 1) / MIN_ROWS;
    return chunks > MAX_CHUNKS ? MAX_CHUNKS : chunks;
}

/* Scratch: [chunks, channels, 2] doubles. */
size_t CPU_SCRATCH_FN(group_stats)(const KContext *ctx, const KGroupStats *d)
{
    (void)ctx;
    return (size_t)(chunk_count(d->x.shape[0]) * d->x.shape[1] * 2) * sizeof(double);
}

/* Sums of up to V_WIDTH channels from c on, over rows [first, last). */
static void channel_sums(const KView *x, int64_t c, int64_t first, int64_t last, double *out)
{
    int64_t n = x->shape[1] - c < V_WIDTH ? x->shape[1] - c : V_WIDTH;
    double lane[4][VD_WIDTH];
    vd sum[4];

    memset(sum, 0, sizeof sum);
    for (int64_t p = first; p < last; p++) {
        vf v = v_get(x, p * x->stride[0] + c, n);
        vd low = v_low_double(v), high = v_high_double(v);
        sum[0] += low;
        sum[1] += high;
        sum[2] += low * low;
        sum[3] += high * high;
    }
    memcpy(lane, sum, sizeof lane);
    for (int64_t i = 0; i < n; i++) {
        out[2 * i] = lane[i / VD_WIDTH][i % VD_WIDTH];
        out[2 * i + 1] = lane[2 + i / VD_WIDTH][i % VD_WIDTH];
    }
}

/* Adds the chunks of one group and writes its channels. */
static void finish_group(const KGroupStats *d, const double *sums, int64_t chunks,
                         int64_t first)
{
    int64_t channels = d->x.shape[1], count = channels / d->groups;
    double size = (double)(d->x.shape[0] * count), sum = 0, squares = 0;
    float *mul = d->mul.data, *add = d->add.data;

    for (int64_t k = 0; k < chunks; k++)
        for (int64_t c = first; c < first + count; c++) {
            sum += sums[(k * channels + c) * 2];
            squares += sums[(k * channels + c) * 2 + 1];
        }
    double mean = sum / size, variance = squares / size - mean * mean;
    float inverse = (float)(1.0 / sqrt((variance > 0 ? variance : 0) + (double)d->eps));
    for (int64_t c = first; c < first + count; c++) {
        /* add is made from the rounded mul, so that its rounding cancels where x is near the mean. */
        mul[c] = k_get(&d->weight, c) * inverse;
        add[c] = (float)((double)k_get(&d->bias, c) - mean * (double)mul[c]);
    }
}

static KResult serial_stats(KContext *ctx, const KGroupStats *d)
{
    int64_t count = d->x.shape[1] / d->groups;
#pragma omp parallel for num_threads(ctx->threads) if (d->x.shape[0] * d->x.shape[1] > V_PARALLEL_FROM)
    for (int64_t g = 0; g < d->groups; g++)
        serial_finish(d, g * count, count);
    return K_OK;
}

KResult CPU_FN(group_stats)(KContext *ctx, const KGroupStats *d)
{
    K_TRY(k_check_group_stats(d));
    if (d->serial) return serial_stats(ctx, d);
    int64_t rows = d->x.shape[0], channels = d->x.shape[1], chunks = chunk_count(rows);
    double *sums = k_scratch(ctx, CPU_SCRATCH_FN(group_stats)(ctx, d));
    if (!sums) return K_NO_SCRATCH;

#pragma omp parallel for num_threads(ctx->threads) if (rows * channels > V_PARALLEL_FROM)
    for (int64_t k = 0; k < chunks; k++)
        for (int64_t c = 0; c < channels; c += V_WIDTH)
            channel_sums(&d->x, c, rows * k / chunks, rows * (k + 1) / chunks,
                         sums + (k * channels + c) * 2);
    for (int64_t c = 0; c < channels; c += channels / d->groups)
        finish_group(d, sums, chunks, c);
    return K_OK;
}
