/* gemm_amx.c - product tiles on the AMX unit (BF16 in, float32 sums; int8 in, int32 sums). */
#include "kernels/cpu/amx.h"
#include "kernels/cpu/gemm_zmm.h"
#include "kernels/cpu/variants.h"

enum { MR = 48, NR = 32 };

static void begin(void)
{
    amx_begin();
}

static void end(void)
{
    amx_end();
}

static void load_sums(const GemmTile *t)
{
    if (t->add) {
        size_t row = (size_t)t->ldc * sizeof(float);
        _tile_loadd(0, t->c, row);
        _tile_loadd(1, t->c + 16, row);
        _tile_loadd(2, t->c + 16 * t->ldc, row);
        _tile_loadd(3, t->c + 16 * t->ldc + 16, row);
        _tile_loadd(4, t->c + 32 * t->ldc, row);
        _tile_loadd(5, t->c + 32 * t->ldc + 16, row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        _tile_zero(4);
        _tile_zero(5);
    }
}

static void store_sums(const GemmTile *t)
{
    size_t row = (size_t)t->ldc * sizeof(float);
    _tile_stored(0, t->c, row);
    _tile_stored(1, t->c + 16, row);
    _tile_stored(2, t->c + 16 * t->ldc, row);
    _tile_stored(3, t->c + 16 * t->ldc + 16, row);
    _tile_stored(4, t->c + 32 * t->ldc, row);
    _tile_stored(5, t->c + 32 * t->ldc + 16, row);
}

/*
 * c[48, 32] += a b^T: six tiles of sums, one of a and one of b in flight. What limits is how many lines come
 * from the second-level cache for each product: three tiles of a and two of b for six, the second
 * reading of b being near. Prefetching in software was measured to cost a fifth.
 */
#define TILE_LOOP(t, dot)                                                                      \
    do {                                                                                       \
        const char *b = (t)->b;                                                                \
        const size_t row = (size_t)(t)->a_row;                                                 \
        load_sums(t);                                                                          \
        for (int s = 0; s < (t)->segs; s++) {                                                  \
            const char *a = (t)->a + ((t)->seg ? (t)->seg[s] : 0);                             \
            for (int64_t n = 0; n < (t)->chunks;                                               \
                 n++, a += (t)->a_chunk, b += NR * GEMM_CHUNK_BYTES) {                         \
                _tile_loadd(6, a, row);                                                        \
                _tile_loadd(7, b, NR * 4);                                                     \
                dot(0, 6, 7);                                                                  \
                _tile_loadd(7, b + 64, NR * 4);                                                \
                dot(1, 6, 7);                                                                  \
                _tile_loadd(6, a + 16 * row, row);                                             \
                dot(3, 6, 7);                                                                  \
                _tile_loadd(7, b, NR * 4);                                                     \
                dot(2, 6, 7);                                                                  \
                _tile_loadd(6, a + 32 * row, row);                                             \
                dot(4, 6, 7);                                                                  \
                _tile_loadd(7, b + 64, NR * 4);                                                \
                dot(5, 6, 7);                                                                  \
            }                                                                                  \
        }                                                                                      \
        store_sums(t);                                                                         \
    } while (0)

static void tile_bf16(const GemmTile *t)
{
    TILE_LOOP(t, _tile_dpbf16ps);
}

/* Signed times signed, so that -128 is a number like any other. */
static void tile_i8(const GemmTile *t)
{
    TILE_LOOP(t, _tile_dpbssd);
}

const GemmOps gemm_ops_amx = {
    .name = "amx",
    .f32 = ZMM_KERNEL_F32,
    .bf16 = { .mr = MR,
              .nr = NR,
              .elems = 2,
              .b_budget = 900 << 10,
              .tile = tile_bf16,
              .begin = begin,
              .end = end },
    .i8 = { .mr = MR,
            .nr = NR,
            .elems = 4,
            .b_budget = 900 << 10,
            .tile = tile_i8,
            .begin = begin,
            .end = end },
    ZMM_ROW_OPS,
};

GEMM_ENTRIES(amx)
