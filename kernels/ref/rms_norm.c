/* rms_norm.c - reference of KRmsNorm. Zhang and Sennrich, "Root Mean Square Layer Normalization". */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_rms_norm(KContext *ctx, const KRmsNorm *d)
{
    (void)ctx;
    K_TRY(k_check_rms_norm(d));
    int64_t n = d->x.shape[1];

    for (int64_t i = 0; i < d->x.shape[0]; i++) {
        int64_t row = i * d->x.stride[0];
        double squares = 0.0;
        for (int64_t c = 0; c < n; c++)
            squares += (double)k_get(&d->x, row + c) * (double)k_get(&d->x, row + c);
        float inverse = (float)(1.0 / sqrt(squares / (double)n + (double)d->eps));
        for (int64_t c = 0; c < n; c++) {
            float v = k_get(&d->x, row + c) * inverse * k_get_or(&d->weight, c, 1.0f);
            k_put(&d->y, i * d->y.stride[0] + c, v);
        }
    }
    return K_OK;
}
