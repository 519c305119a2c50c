/* timestep.c - reference of KTimestep. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_timestep(KContext *ctx, const KTimestep *d)
{
    (void)ctx;
    K_TRY(k_check_timestep(d));
    int64_t half = d->y.shape[1] / 2;
    float value = *(const float *)d->value.data;

    for (int64_t j = 0; j < half; j++) {
        float angle =
            value * expf(-9.210340371976184f * (float)j / (float)half); /* ln(10000) */
        k_put(&d->y, j, cosf(angle));
        k_put(&d->y, half + j, sinf(angle));
    }
    return K_OK;
}
