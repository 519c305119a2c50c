/* ops.h - one builder per operation: the kernels' descriptors with values in place of views.
 *
 * Each P struct stands for the K struct of the same name in kernels/kernels.h, whose comment is the
 * contract (shapes, dtypes, formula). A field that is left 0 is absent, so that designated initialisers
 * read as the formula. When y is absent a temporary of the right shape is made, of dtype `out` (F32 when
 * left 0); the builder returns y. After a failure builders return PROG_NONE and do nothing.
 */
#ifndef WEFT_PROGRAM_OPS_H
#define WEFT_PROGRAM_OPS_H

#include "engine/program/program.h"

typedef struct PLinear {
    ProgValue x;
    KWeight w;
    ProgValue bias;
    KAct act;
    bool glu;
    ProgValue gate, residual;
    ProgValue norm_scale, norm_shift;
    float norm_eps;
    bool norm_bf16;
    ProgValue y;
    KDtype out;
} PLinear;

typedef struct PNormMod {
    ProgValue x, scale, shift, y;
    float eps;
    KDtype out;
} PNormMod;

typedef struct PLayerNorm {
    ProgValue x, weight, bias, y;
    float eps;
    KDtype out;
} PLayerNorm;

typedef struct PRmsNorm {
    ProgValue x, weight, y;
    float eps;
    KDtype out;
} PRmsNorm;

typedef struct PRope {
    ProgValue x, weight, cs, y; /* y absent: in place */
    float eps;
    bool half;
} PRope;

typedef struct PAttention {
    ProgValue q, k, v, bias, y; /* y absent: contiguous [tq, heads, d] of q's dtype */
    float scale;
    bool causal;
    int64_t keys_valid;
} PAttention;

typedef struct PGlu {
    ProgValue gate, value, y;
    KAct act;
    KDtype out;
} PGlu;

typedef struct PUnary {
    ProgValue x, y;
    KAct act;
    KDtype out;
} PUnary;

typedef struct PAdd {
    ProgValue a, gate, b, y; /* y absent: in place on a */
} PAdd;

typedef struct PAffine {
    ProgValue x, mul, add, y;
    float lo, hi;
    KAct act;
    KDtype out;
} PAffine;

typedef struct PTimestep {
    ProgValue value, y;
    int64_t dim; /* width when y is absent */
    KDtype out;
} PTimestep;

typedef struct PCopy {
    ProgValue x, y; /* y absent: contiguous, of x's shape */
    KDtype out;
} PCopy;

typedef struct PConv {
    ProgValue x;
    KWeight w;
    ProgValue bias;
    int kh, kw, stride, up; /* stride, up: 0 is read as 1 */
    int pad_top, pad_left, pad_bottom, pad_right;
    ProgValue in_mul, in_add;
    bool in_silu;
    ProgValue residual, y;
    KDtype out;
} PConv;

typedef struct PGroupStats {
    ProgValue x, weight, bias; /* x [p, c] or [h, w, c] */
    int groups;
    float eps;
    bool serial;
    ProgValue mul, add; /* absent: made */
} PGroupStats;

ProgValue prog_linear(Program *p, const PLinear *a);
ProgValue prog_norm_mod(Program *p, const PNormMod *a);
ProgValue prog_layer_norm(Program *p, const PLayerNorm *a);
ProgValue prog_rms_norm(Program *p, const PRmsNorm *a);
ProgValue prog_rope(Program *p, const PRope *a);
ProgValue prog_attention(Program *p, const PAttention *a);
ProgValue prog_glu(Program *p, const PGlu *a);
ProgValue prog_unary(Program *p, const PUnary *a);
ProgValue prog_add(Program *p, const PAdd *a);
ProgValue prog_affine(Program *p, const PAffine *a);
ProgValue prog_timestep(Program *p, const PTimestep *a);
ProgValue prog_copy(Program *p, const PCopy *a);
ProgValue prog_conv(Program *p, const PConv *a);
/* Sets *mul and *add to the two [c] vectors. */
void prog_group_stats(Program *p, const PGroupStats *a, ProgValue *mul, ProgValue *add);

/* A parameter vector [n*k] in F32: norm scales, biases. The values are read from the weight when the
 * program first really runs (never in a dummy run), so w's memory must outlive the program. */
ProgValue prog_param(Program *p, const KWeight *w);
/* The same from `count` float32 values, which are copied now. */
ProgValue prog_vector(Program *p, const float *values, int64_t count);
/* A float32 constant that the caller fills before planning: *data is its contiguous memory, owned by the
 * program (RoPE tables). */
ProgValue prog_table(Program *p, int ndim, const int64_t *shape, float **data);
/* One number seen as an array of any shape (strides 0), to fill with through prog_copy. */
ProgValue prog_scalar(Program *p, float value, int ndim, const int64_t *shape);
/* Elements [index*d, (index+1)*d) of a contiguous value, as a vector [d]: modulation chunks. */
ProgValue prog_chunk(Program *p, ProgValue v, int64_t index, int64_t d);
/* The contiguous value under another shape of equal count. */
ProgValue prog_reshape(Program *p, ProgValue v, int ndim, const int64_t *shape);
/* Marks a failure from outside the builders (a missing weight): prog_plan returns it. */
void prog_fail(Program *p, const Error *err);
bool prog_failed(const Program *p);

/* Rows [first, first+count) of a weight matrix, as a weight; tables beside the codes stay those of the whole
 * matrix. Sets *ok to false when the rows are not there. */
KWeight prog_weight_rows(const KWeight *w, int64_t first, int64_t count, bool *ok);

/* Fusion passes, applied between building and planning. Each keeps the numbers (a test per pass); which
 * of them run is the caller's choice. */
typedef enum ProgPass {
    PASS_NORM_LINEAR = 1 << 0,   /* norm_mod into the linear that alone reads it */
    PASS_GLU_LINEAR = 1 << 1,    /* glu into the linear whose halves it takes */
    PASS_GATE_RESIDUAL = 1 << 2, /* add into the linear or conv that it adds */
    PASS_ALL = (1 << 3) - 1
} ProgPass;
Status prog_compile(Program *p, unsigned passes, Error *err);

/* One operation's name, cost and shapes, for bench and plan; false past the end. */
typedef struct ProgOpInfo {
    const char *name;
    double flops;
    size_t bytes;   /* operands read and written, weights included */
    KDtype operand; /* of the first operand: the activations */
    KDtype weight;  /* K_DTYPE_COUNT = it has none */
    int64_t rows;   /* first dimension of the first operand */
    int64_t n, k;   /* of the weight; 0 = it has none */
    bool normed;    /* a product that norms its rows first */
    bool norm_bf16; /* and rounds them to BF16 */
} ProgOpInfo;
bool prog_op_info(const Program *p, int index, ProgOpInfo *out);

/* Calls fn for every weight that a run reads, parameter vectors too; a tensor that two operations read
 * comes twice. */
void prog_each_weight(const Program *p, void (*fn)(void *user, const KWeight *w), void *user);

#endif
