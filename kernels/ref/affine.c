/* affine.c - reference of KAffine. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_affine(KContext *ctx, const KAffine *d)
{
    (void)ctx;
    K_TRY(k_check_affine(d));
    bool clamp = d->lo < d->hi;

    for (int64_t i = 0; i < d->x.shape[0]; i++)
        for (int64_t c = 0; c < d->x.shape[1]; c++) {
            float v = k_get(&d->x, i * d->x.stride[0] + c);
            v = v * k_get_or(&d->mul, c, 1.0f) + k_get_or(&d->add, c, 0.0f);
            if (clamp) v = v < d->lo ? d->lo : v > d->hi ? d->hi : v;
            k_put(&d->y, i * d->y.stride[0] + c, k_activate(d->act, v));
        }
    return K_OK;
}
