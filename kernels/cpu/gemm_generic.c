/* gemm_generic.c - product tiles in plain C, for processors without AVX2. */
#include "kernels/cpu/gemm_ops.h"
#include "kernels/cpu/variants.h"

enum { MR = 4, NR = 8 };

/* Adds one chunk's products to c; the chunk's own sums come first, which halves the rounding errors. */
static void add_chunk(float c[MR][NR], const char *a, ptrdiff_t a_row, const float *b)
{
    float sum[MR][NR] = { { 0 } };

    for (int k = 0; k < GEMM_GROUPS; k++, b += NR)
        for (int i = 0; i < MR; i++) {
            float x = ((const float *)(const void *)(a + i * a_row))[k];
            for (int j = 0; j < NR; j++)
                sum[i][j] += x * b[j];
        }
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NR; j++)
            c[i][j] += sum[i][j];
}

/* c[4, 8] += a b^T */
static void tile_f32(const GemmTile *t)
{
    float c[MR][NR] = { { 0 } };
    const float *b = (const float *)(const void *)t->b;

    for (int i = 0; t->add && i < MR; i++)
        for (int j = 0; j < NR; j++)
            c[i][j] = t->c[i * t->ldc + j];
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk, b += GEMM_GROUPS * NR)
            add_chunk(c, a, t->a_row, b);
    }
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NR; j++)
            t->c[i * t->ldc + j] = c[i][j];
}

/* Sums of int8 products, four elements of k in each group. */
static void tile_i8(const GemmTile *t)
{
    int32_t c[MR][NR] = { { 0 } };
    const int8_t *b = (const int8_t *)t->b;

    if (t->add)
        for (int i = 0; i < MR; i++)
            memcpy(c[i], t->c + i * t->ldc, sizeof c[i]);
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk)
            for (int k = 0; k < GEMM_GROUPS; k++, b += 4 * NR)
                for (int i = 0; i < MR; i++) {
                    const int8_t *x = (const int8_t *)a + i * t->a_row + 4 * k;
                    for (int j = 0; j < NR; j++)
                        c[i][j] += x[0] * b[4 * j] + x[1] * b[4 * j + 1] + x[2] * b[4 * j + 2] +
                                   x[3] * b[4 * j + 3];
                }
    }
    for (int i = 0; i < MR; i++)
        memcpy(t->c + i * t->ldc, c[i], sizeof c[i]);
}

static void transpose(uint32_t *dst, int nr, const uint32_t *const *rows, int64_t groups)
{
    for (int64_t g = 0; g < groups; g++)
        for (int j = 0; j < nr; j++)
            dst[g * nr + j] = rows[j] ? rows[j][g] : 0;
}

const GemmOps gemm_ops_generic = {
    .name = "generic",
    .f32 = { .mr = MR, .nr = NR, .elems = 1, .b_budget = 128 << 10, .tile = tile_f32 },
    .bf16 = { .mr = MR, .nr = NR, .elems = 1, .b_budget = 128 << 10, .tile = tile_f32 },
    .i8 = { .mr = MR, .nr = NR, .elems = 4, .b_budget = 128 << 10, .tile = tile_i8 },
    .decode = ops_decode,
    .codes = ops_codes,
    .transpose = transpose,
    .half = ops_half,
    .maximum = ops_maximum,
    .exponentials = ops_exponentials,
    .store = ops_store,
    GEMM_ROW_OPS,
};

GEMM_ENTRIES(generic)
