/* norm_mod.c - reference of KNormMod. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_norm_mod(KContext *ctx, const KNormMod *d)
{
    (void)ctx;
    K_TRY(k_check_norm_mod(d));
    int64_t n = d->x.shape[1];

    for (int64_t i = 0; i < d->x.shape[0]; i++) {
        const float *x = (const float *)d->x.data + i * d->x.stride[0];
        double sum = 0.0, squares = 0.0;
        for (int64_t c = 0; c < n; c++)
            sum += (double)x[c];
        double mean = sum / (double)n;
        for (int64_t c = 0; c < n; c++)
            squares += ((double)x[c] - mean) * ((double)x[c] - mean);
        double inverse = 1.0 / sqrt(squares / (double)n + (double)d->eps);
        for (int64_t c = 0; c < n; c++) {
            float v = (float)(((double)x[c] - mean) * inverse);
            v = v * (1.0f + k_get_or(&d->scale, c, 0.0f)) + k_get_or(&d->shift, c, 0.0f);
            k_put(&d->y, i * d->y.stride[0] + c, v);
        }
    }
    return K_OK;
}
