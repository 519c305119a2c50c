/* group_stats.c - reference of KGroupStats. Wu and He, "Group Normalization". */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"
#include "kernels/serial_moments.h"

/* Mean and 1/deviation over all positions of channels [first, first+count). */
static void group_moments(const KGroupStats *d, int64_t first, int64_t count, double *mean,
                          double *inverse)
{
    double size = (double)(d->x.shape[0] * count), sum = 0.0, squares = 0.0;

    for (int64_t p = 0; p < d->x.shape[0]; p++)
        for (int64_t c = first; c < first + count; c++)
            sum += (double)k_get(&d->x, p * d->x.stride[0] + c);
    *mean = sum / size;
    for (int64_t p = 0; p < d->x.shape[0]; p++)
        for (int64_t c = first; c < first + count; c++) {
            double v = (double)k_get(&d->x, p * d->x.stride[0] + c) - *mean;
            squares += v * v;
        }
    *inverse = 1.0 / sqrt(squares / size + (double)d->eps);
}

KResult ref_group_stats(KContext *ctx, const KGroupStats *d)
{
    (void)ctx;
    K_TRY(k_check_group_stats(d));
    int64_t per_group = d->x.shape[1] / d->groups;
    float *mul = d->mul.data, *add = d->add.data;

    for (int64_t first = 0; first < d->x.shape[1]; first += per_group) {
        double mean, inverse;
        if (d->serial) {
            serial_finish(d, first, per_group);
            continue;
        }
        group_moments(d, first, per_group, &mean, &inverse);
        for (int64_t c = first; c < first + per_group; c++) {
            mul[c] = k_get_or(&d->weight, c, 1.0f) * (float)inverse;
            add[c] = (float)((double)k_get_or(&d->bias, c, 0.0f) - mean * (double)mul[c]);
        }
    }
    return K_OK;
}
