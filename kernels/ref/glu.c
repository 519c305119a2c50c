/* glu.c - reference of KGlu. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_glu(KContext *ctx, const KGlu *d)
{
    (void)ctx;
    K_TRY(k_check_glu(d));
    for (int64_t i = 0; i < d->gate.shape[0]; i++) {
        for (int64_t c = 0; c < d->gate.shape[1]; c++) {
            float gate = k_get(&d->gate, i * d->gate.stride[0] + c);
            float value = k_get(&d->value, i * d->value.stride[0] + c);
            k_put(&d->y, i * d->y.stride[0] + c, k_activate(d->act, gate) * value);
        }
    }
    return K_OK;
}
