/*
 * serial_moments.h - group norm statistics summed in float32 in the order of the positions.
 *
 * PyTorch's CPU kernel for channels-last pictures adds x and x^2 in float32, one position after another,
 * and takes the variance as the difference of two sums. On flat areas that is off by 1e-4, far more than
 * any other rounding of the VAE, so agreement with its latents needs the same sums. From 1024 positions
 * on it sums per channel and then over the channels of a group; below, in eight lanes per group.
 */
#ifndef WEFT_KERNELS_SERIAL_MOMENTS_H
#define WEFT_KERNELS_SERIAL_MOMENTS_H

#include <math.h>

#include "kernels/element.h"

enum { SERIAL_FROM = 1024, SERIAL_LANES = 8 };

typedef struct SerialMoments {
    float sum, squares;
} SerialMoments;

static inline SerialMoments serial_channel(const KView *x, int64_t c)
{
    SerialMoments m = { 0, 0 };
    for (int64_t p = 0; p < x->shape[0]; p++) {
        float v = k_get(x, p * x->stride[0] + c);
        m.sum += v;
        m.squares = fmaf(v, v, m.squares);
    }
    return m;
}

/* Channels first, first + 8, ... of one group, in order, over all positions. */
static inline SerialMoments serial_lane(const KView *x, int64_t first, int64_t end)
{
    SerialMoments m = { 0, 0 };
    for (int64_t p = 0; p < x->shape[0]; p++)
        for (int64_t c = first; c < end; c += SERIAL_LANES) {
            float v = k_get(x, p * x->stride[0] + c);
            m.sum += v;
            m.squares = fmaf(v, v, m.squares);
        }
    return m;
}

static inline SerialMoments serial_add(SerialMoments a, SerialMoments b)
{
    return (SerialMoments){ a.sum + b.sum, a.squares + b.squares };
}

/* Sums of channels [first, first + count). */
static inline SerialMoments serial_group(const KView *x, int64_t first, int64_t count)
{
    SerialMoments lane[SERIAL_LANES] = { { 0, 0 } }, m = { 0, 0 };
    if (x->shape[0] >= SERIAL_FROM) {
        for (int64_t c = first; c < first + count; c++)
            m = serial_add(m, serial_channel(x, c));
        return m;
    }
    for (int64_t i = 0; i < SERIAL_LANES && i < count; i++)
        lane[i] = serial_lane(x, first + i, first + count);
    for (int64_t half = SERIAL_LANES / 2; half > 0; half /= 2)
        for (int64_t i = 0; i < half; i++)
            lane[i] = serial_add(lane[i], lane[i + half]);
    return lane[0];
}

/* Writes mul and add of one group. */
static inline void serial_finish(const KGroupStats *d, int64_t first, int64_t count)
{
    SerialMoments m = serial_group(&d->x, first, count);
    float share = 1.0f / (float)(count * d->x.shape[0]);
    float mean = m.sum * share, variance = fmaf(m.squares, share, -(mean * mean));
    float inverse = 1.0f / sqrtf((variance > 0 ? variance : 0) + d->eps);
    float *mul = d->mul.data, *add = d->add.data;
    for (int64_t c = first; c < first + count; c++) {
        mul[c] = (d->weight.data ? k_get(&d->weight, c) : 1.0f) * inverse;
        add[c] = (d->bias.data ? k_get(&d->bias, c) : 0.0f) - mul[c] * mean;
    }
}

#endif
