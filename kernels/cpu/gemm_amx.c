/* gemm_amx.c - product tiles on the AMX unit (BF16 in, float32 sums). */
#include "kernels/cpu/amx.h"
#include "kernels/cpu/gemm_zmm.h"
#include "kernels/cpu/variants.h"

enum { MR = 32, NR = 32 };

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
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
}

/* c[32, 32] += a b^T: two tiles of a, two of b, four of c. While the sums run, `ahead` is drawn into the
 * second-level cache a few lines at a time. */
static void tile_bf16(const GemmTile *t)
{
    const char *b = t->b, *ahead = t->ahead;
    const int64_t total = t->segs * t->chunks;
    const int64_t step = ahead ? (t->ahead_lines + total - 1) / total : 0;
    const char *ahead_end = ahead + (ahead ? t->ahead_lines * 64 : 0);

    load_sums(t);
    for (int s = 0; s < t->segs; s++) {
        const char *a = t->a + (t->seg ? t->seg[s] : 0);
        const char *a2 = a + 16 * t->a_row;
        for (int64_t n = 0; n < t->chunks; n++, a += t->a_chunk, a2 += t->a_chunk, b += 2048) {
            _tile_loadd(4, a, (size_t)t->a_row);
            _tile_loadd(6, b, 128);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, b + 64, 128);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, a2, (size_t)t->a_row);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
            for (int64_t i = 0; i < step && ahead < ahead_end; i++, ahead += 64)
                _mm_prefetch(ahead, _MM_HINT_T1);
        }
    }
    size_t row = (size_t)t->ldc * sizeof(float);
    _tile_stored(0, t->c, row);
    _tile_stored(1, t->c + 16, row);
    _tile_stored(2, t->c + 16 * t->ldc, row);
    _tile_stored(3, t->c + 16 * t->ldc + 16, row);
}

const GemmOps gemm_ops_amx = {
    .name = "amx",
    .f32 = ZMM_KERNEL_F32,
    .bf16 = { .mr = MR,
              .nr = NR,
              .elems = 2,
              .b_budget = 1200 << 10,
              .tile = tile_bf16,
              .begin = begin,
              .end = end },
    ZMM_ROW_OPS,
};

GEMM_ENTRIES(amx)
