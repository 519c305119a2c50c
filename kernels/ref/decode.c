/* decode.c - weights of every dtype as float32: blocks of kernels/blocks.h; codes with tables in quant.c. */
#include "kernels/ref/decode.h"

#include "kernels/blocks.h"
#include "kernels/check.h"
#include "kernels/ref/quant.h"

bool ref_decode_blocks(KDtype t, const void *src, int64_t count, float *out)
{
    if ((unsigned)t >= K_DTYPE_COUNT || !block_decoders[t]) return false;
    block_decoders[t](src, count, out);
    return true;
}

/* Rounds plain weights to FP8 as a cast of the checkpoint would. */
static void cast_to_fp8(KDtype cast, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = cast == K_F8_E4M3 ? k_f32_from_e4m3(k_e4m3_from_f32(out[i], false))
                                   : k_f32_from_e5m2(k_e5m2_from_f32(out[i], false));
}

KResult ref_decode_stored(const KWeight *w, int64_t row, int64_t first, int64_t count,
                          float *out)
{
    int64_t block = k_dtype_block_elements(w->dtype);
    const uint8_t *src = (const uint8_t *)w->data + row * w->row_bytes;
    bool fp8 = w->dtype == K_F8_E4M3 || w->dtype == K_F8_E5M2;
    bool plain = w->dtype == K_F32 || w->dtype == K_BF16 || w->dtype == K_F16;

    if (row < 0 || row >= w->n || first < 0 || count < 0 || count > w->k - first)
        return K_BAD_SHAPE;
    if (block == 0) return K_BAD_DTYPE;
    if (first % block || count % block) return K_BAD_SHAPE;
    if (w->quant) return ref_decode_quant(w, row, first, count, out);
    if (!ref_decode_blocks(w->dtype, src + k_row_bytes(w->dtype, first), count, out))
        return K_UNSUPPORTED;
    if (plain && w->cast != K_F32) cast_to_fp8(w->cast, count, out);
    if (fp8 && w->scale)
        for (int64_t i = 0; i < count; i++)
            out[i] *= *w->scale;
    return K_OK;
}

KResult ref_decode_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out)
{
    int64_t group = w->quant ? w->quant->rotate : 0;

    if (group && (first % group || count % group)) return K_BAD_SHAPE;
    K_TRY(ref_decode_stored(w, row, first, count, out));
    if (w->quant || w->side) ref_finish_row(w, row, first, count, out);
    return K_OK;
}
