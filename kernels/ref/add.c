/* add.c - reference of KAdd. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_add(KContext *ctx, const KAdd *d)
{
    (void)ctx;
    K_TRY(k_check_add(d));
    for (int64_t i = 0; i < d->a.shape[0]; i++)
        for (int64_t c = 0; c < d->a.shape[1]; c++) {
            float a = k_get(&d->a, i * d->a.stride[0] + c);
            float b = k_get(&d->b, i * d->b.stride[0] + c);
            k_put(&d->y, i * d->y.stride[0] + c, a + k_get_or(&d->gate, c, 1.0f) * b);
        }
    return K_OK;
}
