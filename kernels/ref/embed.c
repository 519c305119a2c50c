/* embed.c - reference of KEmbed. */
#include "kernels/ref/ref.h"

#include "kernels/check.h"
#include "kernels/element.h"

KResult ref_embed(KContext *ctx, const KEmbed *d)
{
    (void)ctx;
    K_TRY(k_check_embed(d));
    const int32_t *ids = d->ids.data;

    for (int64_t i = 0; i < d->ids.shape[0]; i++)
        K_TRY(k_weight_row(&d->w, ids[i], 0, d->w.k, (float *)d->y.data + i * d->y.stride[0]));
    return K_OK;
}
