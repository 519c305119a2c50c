/*
 * kernels.h - the whole interface between the engine and what computes.
 *
 * A backend is one table of functions (KBackend). Every operation takes one descriptor struct whose
 * comment is its contract; the reference backend (kernels/ref) is written to be read and is the
 * oracle of all others. Rules that hold for every operation:
 *
 *   - A descriptor says where its operands lie (KView: pointer, dtype, shape, strides in elements) and
 *     never owns them. A view with data == NULL means "absent" where the contract allows it.
 *   - Kernels allocate nothing and print nothing. What they need to work in they take from
 *     KContext.scratch; `*_scratch` tells how many bytes an operation with this descriptor wants at
 *     most. The pointer fields of the descriptor may be NULL when scratch is asked for.
 *   - Arithmetic is float32 whatever the operands hold, except that products of BF16 activations
 *     are BF16 products accumulated in float32. One rounding at the store, to nearest even.
 *   - The bits of a result do not depend on KContext.threads.
 *   - Errors: K_BAD_SHAPE, K_BAD_DTYPE, K_UNSUPPORTED, before anything is written.
 *   - Fusions are fields of a descriptor (prologue, epilogue), not other operations: a pass over a
 *     program moves an operation into a field, and ref implements every field.
 *
 * Batches: programs run one picture at a time; there is no batch dimension.
 */
#ifndef WEFT_KERNELS_KERNELS_H
#define WEFT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- results ------------------------------------------------------------------------------- */

#define K_RESULT_MAP(X)                                                                          \
    X(K_OK, "done")                                                                              \
    X(K_BAD_SHAPE, "operand shapes do not fit")                                                  \
    X(K_BAD_DTYPE, "operand dtype not taken here")                                               \
    X(K_UNSUPPORTED, "not offered by this backend")                                          \
    X(K_NO_SCRATCH, "scratch memory too small")                                                  \
    X(K_DEVICE, "the device failed")

typedef enum KResult {
#define K_RESULT_ENUM(name, message) name,
    K_RESULT_MAP(K_RESULT_ENUM)
#undef K_RESULT_ENUM
} KResult;

/* ---- dtypes and views ------------------------------------------------------------------------ */

/* name, bytes of one block, elements of one block. Block types are weights only (KWeight). */
#define K_DTYPE_MAP(X)                                                                           \
    X(K_F32, "F32", 4, 1)                                                                        \
    X(K_BF16, "BF16", 2, 1)                                                                      \
    X(K_F16, "F16", 2, 1)                                                                        \
    X(K_F8_E4M3, "F8_E4M3", 1, 1)                                                                \
    X(K_F8_E5M2, "F8_E5M2", 1, 1)                                                                \
    X(K_F64, "F64", 8, 1)                                                                        \
    X(K_I64, "I64", 8, 1)                                                                        \
    X(K_I32, "I32", 4, 1)                                                                        \
    X(K_I16, "I16", 2, 1)                                                                        \
    X(K_I8, "I8", 1, 1)                                                                          \
    X(K_U8, "U8", 1, 1)                                                                          \
    X(K_Q4_0, "Q4_0", 18, 32)                                                                    \
    X(K_Q4_1, "Q4_1", 20, 32)                                                                    \
    X(K_Q5_0, "Q5_0", 22, 32)                                                                    \
    X(K_Q5_1, "Q5_1", 24, 32)                                                                    \
    X(K_Q8_0, "Q8_0", 34, 32)                                                                    \
    X(K_Q2_K, "Q2_K", 84, 256)                                                                   \
    X(K_Q3_K, "Q3_K", 110, 256)                                                                  \
    X(K_Q4_K, "Q4_K", 144, 256)                                                                  \
    X(K_Q5_K, "Q5_K", 176, 256)                                                                  \
    X(K_Q6_K, "Q6_K", 210, 256)                                                                  \
    X(K_IQ4_NL, "IQ4_NL", 18, 32)                                                                \
    X(K_IQ4_XS, "IQ4_XS", 136, 256)                                                              \
    X(K_MXFP4, "MXFP4", 17, 32)                                                                  \
    X(K_NF4, "NF4", 1, 2)                                                                        \
    X(K_NVFP4, "NVFP4", 1, 2)                                                                    \
    X(K_I4, "I4", 1, 2)                                                                          \
    X(K_U4, "U4", 1, 2)                                                                          \
    X(K_W4A8, "W4A8", 1, 2)                                                                      \
    X(K_W6A8, "W6A8", 3, 4)                                                                      \
    X(K_F8_E8M0, "F8_E8M0", 1, 1)

typedef enum KDtype {
#define K_DTYPE_ENUM(name, text, bytes, elements) name,
    K_DTYPE_MAP(K_DTYPE_ENUM)
#undef K_DTYPE_ENUM
    K_DTYPE_COUNT
} KDtype;

enum { K_MAX_DIMS = 6 };

/* A strided window on memory; strides in elements, innermost last. */
typedef struct KView {
    void *data;
    KDtype dtype;
    int ndim;
    int64_t shape[K_MAX_DIMS];
    int64_t stride[K_MAX_DIMS];
} KView;

/* How the table of block scales of a quantised matrix lies. */
typedef enum KScaleOrder {
    K_SCALES_ROWS,    /* [rows, k/block]; block 0 = one for each row */
    K_SCALES_COLUMNS, /* [k/block, rows] */
    K_SCALES_FLAT,    /* one per `block` elements of the flattened row-major matrix */
    K_SCALES_TILED    /* [rows, k/block] in tiles of 128 x 4 (docs/formats.md, "NVFP4 and MXFP8") */
} KScaleOrder;

/*
 * What a quantised matrix needs beside its codes. Tables have any alignment and belong to the whole matrix
 * as it lies in its file; KWeight.row0 tells which of its rows is a weight's first. With
 * s(row, col) the block scale and g = *KWeight.scale (1 when NULL), the stored value is
 *   I8, I4 (two's complement, even column low)   code * s * g
 *   U4 (even column low)                         (code - 8) * s * g + zero(row, col)
 *   NF4, NVFP4 (even column high)                levels[code] * s * g
 *   W4A8 (even column low)                       w8 * channel[row], w8 = clamp(rint(levels[code] * s), +-127)
 *   W6A8 (k/2 bytes of low nibbles, then k/4 of upper pairs)   the same with code - 32 for the level
 *   F8_E4M3                                      code * s * g
 * and the matrix' value at column c is column_scale[c] * (stored row rotated in groups, k_rotate).
 */
typedef struct KQuant {
    int64_t rows;       /* of the whole matrix */
    const void *scales; /* block scales; NULL = 1 */
    KDtype scale_type;  /* F32, F16, BF16, F8_E4M3, F8_E8M0; U8: codes into nested_levels */
    KScaleOrder order;
    int64_t block;
    const void *zeros; /* type and order of scales; NULL = 0 */
    const void *levels; /* 16 float32; NULL: the usual ones of NF4 and NVFP4, code - 8 for W4A8 */
    const float *channel; /* [rows] */
    /* U8 scales: s = nested_levels[code] * nested_scales[block number / nested_block] + nested_offset */
    const void *nested_levels, *nested_scales; /* 256 float32; float32 */
    int64_t nested_block;
    float nested_offset;
    const float *column_scale; /* [k]; NULL = 1 */
    int64_t rotate;           /* features of a rotated group, a power of 4; 0 = not rotated */
} KQuant;

/* A low-rank addition: value += sum over r of up[row, r] * down[r, column], in the unrotated basis. Both
 * contiguous float32; up has as many rows as the whole matrix (KWeight.row0). */
typedef struct KSide {
    const float *up, *down; /* [rows, rank], [rank, k] */
    int64_t rank;
} KSide;

/*
 * A weight matrix [n, k] (or convolution [n, k] with k = in*kh*kw in the file's order O,I,H,W) as it
 * lies in its file. Rows are row_bytes apart. value = decode(data) * scale:
 *   F32 F16 BF16            plain; scale ignored
 *   F8_E4M3 F8_E5M2         times *scale when scale is not NULL (one float32 for the matrix)
 *   Q*, IQ*, MXFP4          GGUF blocks along k
 *   NF4 NVFP4 I8 I4 U4 W4A8 W6A8, and F8_E4M3 with block scales: see KQuant
 * cast: K_F32, or K_F8_E4M3 / K_F8_E5M2 when the user asked that plain weights be rounded to FP8
 * (nearest even, overflow to NaN or infinity) before use.
 * Never written through.
 */
typedef struct KWeight {
    const void *data;
    KDtype dtype;
    int64_t n, k;
    int64_t row_bytes;
    const float *scale;  /* one float32 or NULL */
    const KQuant *quant; /* NULL where the dtype says all */
    int64_t row0;        /* number of the first row within the tables of quant and side */
    bool int8_x; /* a product quantises x too (KLinear); I8, I4, W4A8, W6A8 with one scale a row */
    const KSide *side; /* NULL = none */
    KDtype cast;
} KWeight;

/* Instruction-set paths of the CPU backend, in rising order of preference. */
#define K_ISA_MAP(X)                                                                             \
    X(K_ISA_GENERIC, "generic")                                                                  \
    X(K_ISA_AVX2, "avx2")                                                                        \
    X(K_ISA_AVX512, "avx512")                                                                    \
    X(K_ISA_AVX512_BF16, "avx512_bf16")                                                          \
    X(K_ISA_AMX, "amx")

typedef enum KIsa {
#define K_ISA_ENUM(name, text) name,
    K_ISA_MAP(K_ISA_ENUM)
#undef K_ISA_ENUM
    K_ISA_COUNT
} KIsa;

/* What a call may use; one per running thread of the engine. */
typedef struct KContext {
    int threads;
    void *scratch; /* borrowed, 64-byte aligned */
    size_t scratch_size;
    void *device; /* backend's own state (CUDA stream, handles); NULL on the CPU */
} KContext;

/* ---- operations ------------------------------------------------------------------------------ */

typedef enum KAct { K_ACT_NONE, K_ACT_SILU, K_ACT_GELU_TANH, K_ACT_GELU_QUICK, K_ACT_RELU } KAct;

/*
 * y = epilogue(x w^T + bias)
 *
 *   x         [m, k]  F32 or BF16; innermost stride 1
 *   w         [n, k]  any weight dtype
 *   bias      [n]     F32, or absent
 *   act       applied to x w^T + bias
 *   glu       false: y is [m, n].
 *             true: rows 0..n/2-1 of w are the gate, rows n/2..n-1 the value;
 *             y [m, n/2] = act(gate) * value.
 *   gate      [n]     F32, or absent: multiplies after act
 *   residual  [m, n]  F32, or absent: added last; may be y itself
 *   y         [m, n] or [m, n/2]  F32 or BF16; innermost stride 1; must not overlap x
 *
 * F32 x gives float32 products (weights widened exactly); BF16 x gives bf16 products (weights rounded
 * to bf16 when they hold more) accumulated in float32.
 * Prologue: when norm_scale is present x is F32 and the product takes
 * LayerNorm(x) * (1 + norm_scale) + norm_shift instead of x, rounded to BF16 if norm_bf16.
 * w.int8_x (k_weight_int8 tells whether it holds): x' = column-scaled and rotated x in float32,
 *   sx = max(max|x'| / 127, 1e-30) for each row, qx = clamp(rint(x' / sx), -128, 127), and
 *   x w^T = float(sum of qx * code in int32) * (sx * row scale).
 * w.side: + (x down^T) up^T with x before any of that; BF16 products when x is BF16.
 * Agreement with ref: 2e-6 * sqrt(k/64) relative to the row's rms in F32, 4e-3 in BF16.
 */
typedef struct KLinear {
    KView x;
    KWeight w;
    KView bias;
    KAct act;
    bool glu;
    KView gate, residual;
    KView y;
    KView norm_scale, norm_shift; /* [k] F32, or absent */
    float norm_eps;
    bool norm_bf16;
} KLinear;

/*
 * y = LayerNorm(x) * (1 + scale) + shift over the last dimension, no affine of its own, biased variance.
 *   x [m, d] F32    scale, shift [d] F32 or absent (0)    y [m, d] F32 or BF16, may be x
 */
typedef struct KNormMod {
    KView x, scale, shift, y;
    float eps;
} KNormMod;

/* y = LayerNorm(x) * weight + bias.  x [m,d] F32, weight, bias [d] F32, y [m,d] F32 or BF16 */
typedef struct KLayerNorm {
    KView x, weight, bias, y;
    float eps;
} KLayerNorm;

/* y = x / sqrt(mean(x^2) + eps) * weight over the last dimension.  x [m,d] F32 or BF16, weight [d] F32 */
typedef struct KRmsNorm {
    KView x, weight, y;
    float eps;
} KRmsNorm;

/*
 * Per-head RMS norm, then rotary position embedding.
 *   x       [tokens, heads, d]  F32 or BF16, any outer strides, innermost 1
 *   weight  [d] F32, or absent: no norm
 *   cs      [tokens, d/2, 2] F32 (cos, sin of the angle), or absent: no rotation
 *   half    false: pairs (2i, 2i+1) as in FLUX; true: pairs (i, i + d/2) as in Qwen
 *   y       [tokens, heads, d]  F32 or BF16; may be x
 *   a' = a*cos - b*sin, b' = a*sin + b*cos
 */
typedef struct KRope {
    KView x, weight, cs, y;
    float eps;
    bool half;
} KRope;

/*
 * y = softmax(scale * q k^T + bias + mask) v, per head; query head h uses key head h / (heads/kv_heads).
 *   q, y   [tq, heads, d]       F32 or BF16, innermost stride 1
 *   k, v   [tk, kv_heads, d]    same dtype as q
 *   bias   [heads, tq, tk] F32, or absent
 *   causal     key j is seen by query i only if j <= i
 *   keys_valid keys at and after this index are never seen; 0 = all are. A query that would see no
 *              key at all sees every key (plain mean), as a fully masked softmax over equal scores does.
 * Flash form: never a full score matrix. BF16 operands: products in bf16, softmax and sums in F32.
 */
typedef struct KAttention {
    KView q, k, v, bias, y;
    float scale;
    bool causal;
    int64_t keys_valid;
} KAttention;

/* y = act(gate) * value, elementwise.  gate, value, y [m, f]; F32 or BF16, outer stride free */
typedef struct KGlu {
    KView gate, value, y;
    KAct act;
} KGlu;

/* y = act(x).  [m, f] */
typedef struct KUnary {
    KView x, y;
    KAct act;
} KUnary;

/* y = a + gate * b; gate [d] F32 or absent (1).  a, b, y [m, d]; y may be a */
typedef struct KAdd {
    KView a, gate, b, y;
} KAdd;

/* y = (x * mul + add), clamped to [lo, hi] when lo < hi; mul, add [d] F32 or absent, over the last dimension
 * of x [m, d]; then act. y may be x. */
typedef struct KAffine {
    KView x, mul, add, y;
    float lo, hi;
    KAct act;
} KAffine;

/* Sinusoidal embedding of one number, cosines first: y[j] = cos(v f_j), y[dim/2 + j] = sin(v f_j),
 * f_j = exp(-ln(10000) j / (dim/2)), all float32.  value [1] F32 (already times 1000), y [1, dim] F32 or BF16 */
typedef struct KTimestep {
    KView value, y;
} KTimestep;

/* y = x with dtype and strides of y; shapes equal, up to K_MAX_DIMS dims. */
typedef struct KCopy {
    KView x, y;
} KCopy;

/*
 * 2-D convolution, height-width-channel layout.
 *   x   [h, w, cin]  F32 or BF16     weight [cout, cin*kh*kw] in O,I,H,W order     bias [cout] F32 or absent
 *   Prologue (group norm + SiLU folded into the load): in = x * in_mul + in_add (both [cin] F32 or
 *   absent), then SiLU when in_silu; padding stays zero. up = 2: x is read enlarged twice, nearest.
 *   y   [ho, wo, cout] F32 or BF16; ho = (h*up + pad_top + pad_bottom - kh)/stride + 1
 *   residual [ho, wo, cout], same dtype as y, or absent: added last; may be y
 * BF16 x: bf16 products accumulated in float32.
 */
typedef struct KConv {
    KView x;
    KWeight w;
    KView bias;
    int kh, kw, stride, up;
    int pad_top, pad_left, pad_bottom, pad_right;
    KView in_mul, in_add;
    bool in_silu;
    KView residual, y;
} KConv;

/*
 * Statistics of a group norm, as the per-channel affine it amounts to:
 *   mul[c] = weight[c] / sqrt(var_g + eps), rounded first;  add[c] = bias[c] - mean_g * mul[c]
 *   x [p, c] F32 or BF16 (p = h*w); weight, bias [c] F32; groups divides c; mul, add [c] F32
 * Sums in double, in an order fixed by the shape alone; serial: in float32 in the order of the positions, as
 * PyTorch does for channels-last pictures (kernels/serial_moments.h tells why).
 */
typedef struct KGroupStats {
    KView x, weight, bias;
    int groups;
    float eps;
    bool serial;
    KView mul, add;
} KGroupStats;

/* Every operation once: field name, descriptor type. A new operation is a row here, a struct above, a
 * function in ref and a row in engine/program's op table. */
#define K_OP_MAP(X)                                                                              \
    X(linear, KLinear)                                                                           \
    X(norm_mod, KNormMod)                                                                        \
    X(layer_norm, KLayerNorm)                                                                    \
    X(rms_norm, KRmsNorm)                                                                        \
    X(rope, KRope)                                                                               \
    X(attention, KAttention)                                                                     \
    X(glu, KGlu)                                                                                 \
    X(unary, KUnary)                                                                             \
    X(add, KAdd)                                                                                 \
    X(affine, KAffine)                                                                           \
    X(timestep, KTimestep)                                                                       \
    X(copy, KCopy)                                                                               \
    X(conv, KConv)                                                                               \
    X(group_stats, KGroupStats)

/* Functions of the host that a device backend replaces with its own; NULL entries of a CPU backend mean
 * plain memory. */
typedef struct KMemory {
    KResult (*alloc)(KContext *ctx, size_t size, void **out);
    void (*free)(KContext *ctx, void *p);
    KResult (*upload)(KContext *ctx, void *device, const void *host, size_t size);
    KResult (*download)(KContext *ctx, void *host, const void *device, size_t size);
    KResult (*sync)(KContext *ctx);
} KMemory;

typedef struct KBackend {
    const char *name; /* "ref", "cpu-avx512", "cuda" */
    KMemory memory;
#define K_OP_FIELDS(op, Desc)                                                                    \
    KResult (*op)(KContext * ctx, const Desc *d);                                                \
    size_t (*op##_scratch)(const KContext *ctx, const Desc *d); /* NULL = none */
    K_OP_MAP(K_OP_FIELDS)
#undef K_OP_FIELDS
} KBackend;

/* ---- shared, without state --------------------------------------------------------------------- */

const char *k_result_message(KResult r);
const char *k_dtype_name(KDtype t);
size_t k_dtype_block_bytes(KDtype t);
int64_t k_dtype_block_elements(KDtype t);
size_t k_row_bytes(KDtype t, int64_t elements); /* 0 when elements is no whole number of blocks */
KView k_view(void *data, KDtype t, int ndim, const int64_t *shape); /* contiguous */
int64_t k_view_count(const KView *v);

/* Rounding of single values, to nearest even; FP8 overflow goes to NaN/infinity (k_f8_*_ieee) or to the
 * largest finite value (k_f8_*_sat). */
uint16_t k_bf16_from_f32(float v);
float k_f32_from_bf16(uint16_t v);
uint16_t k_f16_from_f32(float v);
float k_f32_from_f16(uint16_t v);
uint8_t k_e4m3_from_f32(float v, bool saturate);
float k_f32_from_e4m3(uint8_t v);
uint8_t k_e5m2_from_f32(float v, bool saturate);
float k_f32_from_e5m2(uint8_t v);

/* Decodes elements [first, first+count) of row `row` into float32 (block types: both whole blocks; rotated
 * weights: both whole groups), side included. K_UNSUPPORTED for a dtype that nothing decodes. */
KResult k_weight_row(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out);
/* The same as the row is stored: not rotated back, without column scale and side. */
KResult k_weight_stored(const KWeight *w, int64_t row, int64_t first, int64_t count, float *out);
/* Integer codes of a row of I8, I4, W4A8, W6A8 (first and count even, W6A8: multiples of 4), and what one
 * code of the row is worth. */
KResult k_weight_codes(const KWeight *w, int64_t row, int64_t first, int64_t count, int8_t *out);
float k_weight_row_scale(const KWeight *w, int64_t row);
/* Whether products with w quantise x: it asks for it, its dtype can, and k is small enough for int32 sums. */
bool k_weight_int8(const KWeight *w);
/* v[g*group + j] <- sum over i of v[g*group + i] H[i, j] for each of n/group groups; H = the Kronecker power
 * of [[1,1,1,-1],[1,1,-1,1],[1,-1,1,1],[-1,1,1,1]] over sqrt(group), its own inverse. group: a power of 4
 * that divides n. */
void k_rotate(float *v, int64_t n, int64_t group);
/* Whether `group` is a power of 4 from 4 on that divides k. */
bool k_rotation_fits(int64_t group, int64_t k);

/* ---- backends ------------------------------------------------------------------------------------ */

const KBackend *kernels_ref(void);
/* The CPU backend for one instruction-set path; NULL when this processor lacks it. */
const KBackend *kernels_cpu(KIsa isa);
KIsa kernels_cpu_best(void);
const char *k_isa_name(KIsa isa);
bool k_isa_from_name(const char *name, KIsa *out);

/* Called once before work with so many threads: keeps OpenMP's from spinning for long while they wait, where
 * the environment (OMP_WAIT_POLICY, GOMP_SPINCOUNT) does not say what it wants. */
void k_share_cores(int threads);

#endif
