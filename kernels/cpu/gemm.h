/* gemm.h - packed matrix products: what linear, convolution and attention share on the CPU. */
#ifndef WEFT_CPU_GEMM_H
#define WEFT_CPU_GEMM_H

#include "kernels/kernels.h"

/*
 * The product is built from tiles y[mr, nr] += a[mr, K] b[nr, K]^T with the whole K inside.
 *
 * Both operands are cut along K into groups of four bytes (one F32, two BF16 or four int8) and chunks of sixteen
 * groups (64 bytes, one cache line, one row of an AMX tile):
 *   a: rows a_row bytes apart, chunks a_chunk bytes apart, segments anywhere (seg[] in bytes); a linear
 *      has one segment, a convolution one for each tap of its window;
 *   b: packed [segments * chunks][16 groups][nr] groups, 64-byte aligned, zero where K or N end.
 * The order of additions along K is fixed by K alone, so bits do not depend on how work is shared.
 */
enum { GEMM_GROUPS = 16, GEMM_CHUNK_BYTES = 64, GEMM_MAX_NR = 64, GEMM_MAX_MR = 64 };

typedef struct GemmTile {
    const char *a;
    ptrdiff_t a_row, a_chunk;
    const ptrdiff_t *seg; /* byte offsets of the segments; NULL = one segment at 0 */
    int segs;
    int64_t chunks; /* per segment */
    const char *b;
    float *c; /* [mr, nr], rows ldc floats apart; the int8 tile keeps int32 sums there */
    int64_t ldc;
    bool add; /* continue the sums in c */
} GemmTile;

typedef struct GemmKernel {
    int mr, nr;
    int elems;       /* elements of k in a group: 1 = F32, 2 = BF16, 4 = int8 */
    size_t b_budget; /* bytes of packed weights that stay in the second-level cache */
    void (*tile)(const GemmTile *t);
    void (*begin)(void); /* per thread, around tiles; NULL = nothing to do */
    void (*end)(void);
} GemmKernel;

/* What becomes of a finished tile. Columns count in y; with glu c holds nr/2 gates, then nr/2 values. */
typedef struct GemmStore {
    const float *c;
    int64_t ldc;
    int rows, cols;
    int glu_offset; /* columns from a gate to its value; 0 = no glu */
    KAct act;
    const float *bias, *bias_value, *gate; /* at the tile's first column; NULL = absent */
    const void *residual;                  /* at the tile's corner; NULL = absent */
    int64_t residual_row;                  /* elements */
    bool residual_bf16;
    void *y;
    int64_t y_row; /* elements */
    bool y_bf16;
} GemmStore;

/* One row of activations on its way into packed form: y = (x - mean) * rstd * mul + add is done by
 * norm_row; plain rows are only converted. */
typedef struct GemmOps {
    const char *name;
    GemmKernel f32, bf16; /* bf16.elems is 1 where the products are done in widened float32 */
    GemmKernel i8;        /* both operands signed, -128 included; nr as that of f32 and bf16 */
    /* dst[g * nr + j] = rows[j][g] for g < groups (a multiple of 16), j < nr; NULL rows are zero. */
    void (*transpose)(uint32_t *dst, int nr, const uint32_t *const *rows, int64_t groups);
    void (*widen)(float *dst, const uint16_t *src, int64_t n);  /* BF16 to F32 */
    void (*narrow)(uint16_t *dst, const float *src, int64_t n); /* F32 to BF16, nearest even */
    void (*round)(float *dst, const float *src, int64_t n);     /* F32 to BF16 and back */
    void (*half)(float *dst, const uint16_t *src, int64_t n);   /* F16 to F32 */
    void (*fp8)(float *dst, const uint8_t *src, bool e5m2, int64_t n); /* E4M3 or E5M2 to F32 */
    /* dst = LayerNorm(src) * (1 + scale) + shift; shift may be NULL. dst may be src. */
    void (*norm)(float *dst, const float *src, const float *scale, const float *shift,
                 int64_t n, float eps);
    /* dst = src * mul + add, then SiLU when silu; mul, add may be NULL. */
    void (*affine)(float *dst, const float *src, const float *mul, const float *add, bool silu,
                   int64_t n);
    void (*store)(const GemmStore *s);
    /* dst[j] = a[j] | b[j] << 16: two rows of BF16 as groups along K; b may be NULL (zeros). */
    void (*interleave)(uint32_t *dst, const uint16_t *a, const uint16_t *b, int64_t n);
    /* Maximum of s[0..n). */
    float (*maximum)(const float *s, int64_t n);
    /* p[j] = e^(s[j] * scale - max) as F32 (p) or BF16 (p_bf16), the other NULL; returns their sum. */
    float (*exponentials)(float *p, uint16_t *p_bf16, const float *s, float scale, float max,
                          int64_t n);
    void (*scale)(float *dst, const float *src, float by, int64_t n);
    /* k_rotate. */
    void (*rotate)(float *v, int64_t n, int64_t group);
    /* dst = clamp(rint(src / s), -128, 127) with s = max(max|src| / 127, 1e-30), which is returned. */
    float (*quantise)(int8_t *dst, const float *src, int64_t n);
    /* c[r, j] holds an int32 and becomes float(c) * (row[r] * column[j]). */
    void (*descale)(float *c, int64_t ldc, int rows, int columns, const float *row,
                    const float *column);
    /* k_weight_stored for the dtypes that this path decodes in vectors of its own; false for others. */
    bool (*decode)(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out);
    /* k_weight_codes, likewise. */
    bool (*codes)(const KWeight *w, int64_t row, int64_t first, int64_t count, int8_t *out);
} GemmOps;

extern const GemmOps gemm_ops_generic;
extern const GemmOps gemm_ops_avx2;
extern const GemmOps gemm_ops_avx512;
extern const GemmOps gemm_ops_avx512_bf16;
extern const GemmOps gemm_ops_amx;

/* ---- operations, given a path's functions ---------------------------------------------------------- */

KResult gemm_linear(const GemmOps *ops, KContext *ctx, const KLinear *d);
size_t gemm_linear_scratch(const GemmOps *ops, const KContext *ctx, const KLinear *d);
KResult gemm_attention(const GemmOps *ops, KContext *ctx, const KAttention *d);
size_t gemm_attention_scratch(const GemmOps *ops, const KContext *ctx, const KAttention *d);
KResult gemm_conv(const GemmOps *ops, KContext *ctx, const KConv *d);
size_t gemm_conv_scratch(const GemmOps *ops, const KContext *ctx, const KConv *d);

/* The table entries of one path. */
#define GEMM_ENTRY(op, Desc, isa)                                                              \
    KResult cpu_##op##_##isa(KContext *ctx, const Desc *d)                                     \
    {                                                                                          \
        return gemm_##op(&gemm_ops_##isa, ctx, d);                                             \
    }                                                                                          \
    size_t cpu_##op##_##isa##_scratch(const KContext *ctx, const Desc *d)                      \
    {                                                                                          \
        return gemm_##op##_scratch(&gemm_ops_##isa, ctx, d);                                   \
    }
#define GEMM_ENTRIES(isa)                                                                      \
    GEMM_ENTRY(linear, KLinear, isa)                                                           \
    GEMM_ENTRY(attention, KAttention, isa)                                                     \
    GEMM_ENTRY(conv, KConv, isa)

/* ---- packing of weights --------------------------------------------------------------------------- */

/* A panel of nr columns: rows first..first+count-1 of w, and with glu as many value rows from `value`
 * on (-1 = no glu), which take the second half of the panel. */
typedef struct PackPanel {
    int64_t first, count, value;
} PackPanel;

enum { PACK_STEP = 256 }; /* elements decoded at a time; whole blocks of every quantised type */

/* Bytes of work space that pack_weights wants. */
size_t pack_weights_temp(const GemmKernel *k);

/* Packs elements [k0, k0 + 16*elems*chunks) of the panel, as stored, into dst; k0 is a multiple of PACK_STEP.
 * bf16: values are rounded to BF16 first (whatever the kernel's elems). The int8 kernel takes codes. */
KResult pack_weights(const GemmOps *ops, const GemmKernel *k, bool bf16, const KWeight *w,
                     PackPanel p, int64_t k0, int64_t chunks, void *temp, char *dst);

/* Whether anything decodes this dtype, asked before something is written. */
KResult pack_can_decode(const KWeight *w);

/* True when decoding needs nothing but a conversion of plain numbers. */
bool pack_is_plain(const KWeight *w);

#endif
