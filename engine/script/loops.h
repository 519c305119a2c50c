/* loops.h - the inner loops of scripts' tensors, compiled for each instruction set.
 *
 * loops.c is compiled once per table (meson.build). Every function gives the same bits in every table: elements
 * are rounded one by one, nothing is contracted, and sums run in an order that the count alone fixes. Nothing
 * aliases: `out` is always new memory.
 */
#ifndef WEFT_SCRIPT_LOOPS_H
#define WEFT_SCRIPT_LOOPS_H

#include <stdint.h>

typedef enum LoopBinary {
    LOOP_ADD,
    LOOP_SUB,
    LOOP_MUL,
    LOOP_DIV,
    LOOP_MIN,
    LOOP_MAX,
    LOOP_BINARIES
} LoopBinary;
typedef enum LoopUnary { LOOP_NEGATE, LOOP_ABS, LOOP_SQRT, LOOP_CLAMP, LOOP_UNARIES } LoopUnary;
typedef enum LoopReduce {
    LOOP_SUM,
    LOOP_MEAN,
    LOOP_STD,
    LOOP_NORM,
    LOOP_AMIN,
    LOOP_AMAX,
    LOOP_REDUCTIONS
} LoopReduce;

/* Two operands under rows of a result: out[r * row + i] from a[r * a_row + i * a_step], b likewise; the steps are 0
 * or 1, and not both 0 unless row is 1. */
typedef struct LoopPair {
    const float *a, *b;
    float *out;
    int64_t rows, row, a_row, b_row, a_step, b_step;
} LoopPair;

/* Values to reduce: result c, of `columns`, is made of v[i * stride + c] for i below n, and goes to out[c]. */
typedef struct LoopColumns {
    const float *v;
    float *out;
    int64_t n, stride, columns;
} LoopColumns;

typedef struct Loops {
    /* a op b; a NaN on either side of a minimum or maximum stays. */
    void (*binary[LOOP_BINARIES])(const LoopPair *p);
    /* The limits lo and hi are LOOP_CLAMP's; NaN stays. */
    void (*unary[LOOP_UNARIES])(const float *v, float lo, float hi, float *out, int64_t n);
    /* x + (y - x) * w, every operation rounded. */
    void (*lerp)(const float *x, const float *y, float w, float *out, int64_t n);
    /* Over n values that lie side by side, in double; n >= 1. STD divides by n - 1; a NaN wins AMIN and AMAX. */
    double (*reduce[LOOP_REDUCTIONS])(const float *v, int64_t n);
    /* The same for columns, with the bits that `reduce` gives for each. */
    void (*reduce_columns[LOOP_REDUCTIONS])(const LoopColumns *c);
    /* Linear between order statistics at rank q (n - 1), q in 0..1; NaN when there is one. scratch: n floats. Takes
     * time in proportion to n, whatever the values. */
    double (*quantile)(const float *v, int64_t n, double q, float *scratch);
} Loops;

/* The fastest table this processor can run. */
const Loops *loops_best(void);
/* The tables from the slowest on; NULL behind the last one that this processor can run. */
const Loops *loops_at(int i);

/* What loops.c and quantile.c define, by the instruction set they are compiled for. */
#define LOOPS_DECLARE(isa)                                                                     \
    extern const Loops loops_##isa;                                                            \
    double loops_quantile_##isa(const float *v, int64_t n, double q, float *scratch);
LOOPS_DECLARE(generic)
LOOPS_DECLARE(avx2)
#undef LOOPS_DECLARE
#if defined(__AVX2__)
#define LOOPS_NAME(name) name##_avx2
#else
#define LOOPS_NAME(name) name##_generic
#endif

#endif
