/* unary.c - reference of KUnary. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_unary(KContext *ctx, const KUnary *d)
{
    (void)ctx;
    K_TRY(k_check_unary(d));
    for (int64_t i = 0; i < d->x.shape[0]; i++)
        for (int64_t c = 0; c < d->x.shape[1]; c++) {
            float v = k_get(&d->x, i * d->x.stride[0] + c);
            k_put(&d->y, i * d->y.stride[0] + c, k_activate(d->act, v));
        }
    return K_OK;
}
