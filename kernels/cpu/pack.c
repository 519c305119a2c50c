/* pack.c - weights from their file's form into panels of the product, decoded on the way. */
#include "kernels/cpu/gemm.h"

#include "kernels/check.h"

#include <string.h>

/* Work space: nr rows of PACK_STEP groups at most, then one row of float32. */
size_t pack_weights_temp(const GemmKernel *k)
{
    return (size_t)(k->nr + 1) * PACK_STEP * sizeof(float);
}

bool pack_is_plain(const KWeight *w)
{
    bool type = w->dtype == K_F32 || w->dtype == K_BF16 || w->dtype == K_F16;
    uintptr_t mask = w->dtype == K_F32 ? 3 : 1;
    return type && w->cast == K_F32 && !((uintptr_t)w->data & mask) &&
           !((uintptr_t)w->row_bytes & mask);
}

KResult pack_can_decode(const KWeight *w)
{
    float probe[PACK_STEP];
    int64_t block = k_dtype_block_elements(w->dtype);
    if (w->n == 0) return K_OK;
    return k_weight_stored(w, 0, 0, block < w->k ? block : w->k, probe);
}

/* Row of w that column j of the panel takes; -1 = none (zeros). */
static int64_t panel_row(PackPanel p, int nr, int j)
{
    int half = p.value < 0 ? nr : nr / 2;
    if (j < half) return j < p.count ? p.first + j : -1;
    return j - half < p.count ? p.value + j - half : -1;
}

/* Whether the file's bytes already are the groups that the kernel wants. */
static bool stored_as_groups(const GemmKernel *k, const KWeight *w)
{
    if (k->elems == 4)
        return w->dtype == K_I8 && !((uintptr_t)w->data & 3) && !((uintptr_t)w->row_bytes & 3);
    if (!pack_is_plain(w)) return false;
    return k->elems == 2 ? w->dtype == K_BF16 : w->dtype == K_F32;
}

/* Elements [first, first+count) of a row as float32. */
static KResult row_floats(const GemmOps *ops, const KWeight *w, int64_t row, int64_t first,
                          int64_t count, float *out)
{
    const char *at = (const char *)w->data + row * w->row_bytes;
    if (!w->quant && (w->dtype == K_F8_E4M3 || w->dtype == K_F8_E5M2)) {
        ops->fp8(out, (const uint8_t *)at + first, w->dtype == K_F8_E5M2, count);
        if (w->scale) ops->scale(out, out, *w->scale, count);
        return K_OK;
    }
    if (ops->decode(w, row, first, count, out)) return K_OK;
    if (!pack_is_plain(w)) return k_weight_stored(w, row, first, count, out);
    if (w->dtype == K_BF16)
        ops->widen(out, (const uint16_t *)(const void *)at + first, count);
    else if (w->dtype == K_F16)
        ops->half(out, (const uint16_t *)(const void *)at + first, count);
    else
        memcpy(out, at + first * 4, (size_t)count * 4);
    return K_OK;
}

/* One row's groups into temp, zero from element `count` on. */
static KResult row_groups(const GemmOps *ops, const GemmKernel *k, bool bf16, const KWeight *w,
                          int64_t row, int64_t first, int64_t count, int64_t groups,
                          float *row_f32, uint32_t *out)
{
    float *f = k->elems == 1 ? (float *)out : row_f32;
    if (k->elems == 4) {
        int8_t *codes = (int8_t *)out;
        memset(codes + count, 0, (size_t)(groups * 4 - count));
        if (ops->codes(w, row, first, count, codes)) return K_OK;
        return k_weight_codes(w, row, first, count, codes);
    }
    K_TRY(row_floats(ops, w, row, first, count, f));
    memset(f + count, 0, (size_t)(groups * k->elems - count) * sizeof *f);
    if (k->elems == 2)
        ops->narrow((uint16_t *)out, f, groups * 2);
    else if (bf16)
        ops->round(f, f, groups);
    return K_OK;
}

/* Decodes and packs `groups` groups from element k0 on. */
static KResult pack_step(const GemmOps *ops, const GemmKernel *k, bool bf16, const KWeight *w,
                         PackPanel p, int64_t k0, int64_t groups, uint32_t *temp, uint32_t *dst)
{
    const uint32_t *rows[GEMM_MAX_NR];
    int64_t count = groups * k->elems < w->k - k0 ? groups * k->elems : w->k - k0;
    float *row_f32 = (float *)(temp + (size_t)k->nr * PACK_STEP);

    for (int j = 0; j < k->nr; j++) {
        int64_t row = panel_row(p, k->nr, j);
        rows[j] = row < 0 ? NULL : temp + j * groups;
        if (row < 0) continue;
        K_TRY(row_groups(ops, k, bf16, w, row, k0, count, groups, row_f32, temp + j * groups));
    }
    ops->transpose(dst, k->nr, rows, groups);
    return K_OK;
}

/* Packs whole chunks straight from the file. */
static void pack_direct(const GemmOps *ops, const GemmKernel *k, const KWeight *w, PackPanel p,
                        int64_t k0, int64_t chunks, uint32_t *dst)
{
    const uint32_t *rows[GEMM_MAX_NR];
    for (int j = 0; j < k->nr; j++) {
        int64_t row = panel_row(p, k->nr, j);
        const char *at = (const char *)w->data + row * w->row_bytes + k0 * 4 / k->elems;
        rows[j] = row < 0 ? NULL : (const uint32_t *)(const void *)at;
    }
    ops->transpose(dst, k->nr, rows, chunks * GEMM_GROUPS);
}

KResult pack_weights(const GemmOps *ops, const GemmKernel *k, bool bf16, const KWeight *w,
                     PackPanel p, int64_t k0, int64_t chunks, void *temp, char *dst)
{
    int64_t per_chunk = GEMM_GROUPS * k->elems, step = PACK_STEP / per_chunk;

    if (stored_as_groups(k, w) && (k->elems > 1 || !bf16)) {
        int64_t whole = (w->k - k0) / per_chunk < chunks ? (w->k - k0) / per_chunk : chunks;
        pack_direct(ops, k, w, p, k0, whole, (uint32_t *)(void *)dst);
        dst += whole * k->nr * GEMM_CHUNK_BYTES;
        k0 += whole * per_chunk;
        chunks -= whole;
    }
    for (; chunks > 0; chunks -= step, k0 += PACK_STEP) {
        int64_t n = chunks < step ? chunks : step;
        K_TRY(
            pack_step(ops, k, bf16, w, p, k0, n * GEMM_GROUPS, temp, (uint32_t *)(void *)dst));
        dst += n * k->nr * GEMM_CHUNK_BYTES;
    }
    return K_OK;
}
