/* loops.c - arithmetic of scripts' tensors over rows of floats; compiled once per instruction set. */
#include "engine/script/loops.h"

#include <math.h>
#include <string.h>

/* ---- two operands ------------------------------------------------------------------------------------------ */

#define BINARY(name, expression)                                                               \
    static void name(const LoopPair *p)                                                        \
    {                                                                                          \
        const float *a = p->a, *b = p->b;                                                      \
        float *restrict out = p->out;                                                          \
        for (int64_t r = 0; r < p->rows; r++, a += p->a_row, b += p->b_row, out += p->row) {   \
            if (p->a_step && p->b_step)                                                        \
                for (int64_t i = 0; i < p->row; i++) {                                         \
                    const float x = a[i], y = b[i];                                            \
                    out[i] = (expression);                                                     \
                }                                                                              \
            else if (p->a_step)                                                                \
                for (int64_t i = 0; i < p->row; i++) {                                         \
                    const float x = a[i], y = *b;                                              \
                    out[i] = (expression);                                                     \
                }                                                                              \
            else                                                                               \
                for (int64_t i = 0; i < p->row; i++) {                                         \
                    const float x = *a, y = b[i];                                              \
                    out[i] = (expression);                                                     \
                }                                                                              \
        }                                                                                      \
    }

BINARY(add, x + y)
BINARY(sub, x - y)
BINARY(mul, x *y)
BINARY(quotient, x / y)
BINARY(smaller, (x != x) | (x < y) ? x : y)
BINARY(larger, (x != x) | (x > y) ? x : y)

static void lerp(const float *x, const float *y, float w, float *restrict out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] + (y[i] - x[i]) * w;
}

/* ---- one operand ------------------------------------------------------------------------------------------- */

#define UNARY(name, expression)                                                                \
    static void name(const float *v, float lo, float hi, float *restrict out, int64_t n)       \
    {                                                                                          \
        (void)lo, (void)hi;                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                      \
            const float x = v[i];                                                              \
            out[i] = (expression);                                                             \
        }                                                                                      \
    }

UNARY(negate, -x)
UNARY(magnitude, fabsf(x))
UNARY(root, sqrtf(x))
UNARY(clamp, x<lo ? lo : x> hi ? hi : x)

/* ---- reductions -------------------------------------------------------------------------------------------- */

/* Element i of a sum goes to lane i % LANES; the lanes are added at the end, halves first. One row of values and one
 * of many columns keep the same lanes, so that their bits agree. */
enum { LANES = 16, BLOCK = 32 /* columns, or lanes of an extreme */ };

/* One half of an array onto the other, in loops whose length the compiler knows. */
#define FOLD(half, statement)                                                                  \
    for (int k = 0; k < (half); k++)                                                           \
    statement

static double join(double *lanes)
{
    FOLD(8, lanes[k] += lanes[k + 8]);
    FOLD(4, lanes[k] += lanes[k + 4]);
    FOLD(2, lanes[k] += lanes[k + 2]);
    return lanes[0] + lanes[1];
}

static double sum(const float *v, int64_t n)
{
    double lanes[LANES] = { 0 };
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += (double)v[i + k];
    for (int k = 0; i < n; i++, k++)
        lanes[k] += (double)v[i];
    return join(lanes);
}

static double squares(const float *v, int64_t n, double centre)
{
    double lanes[LANES] = { 0 };
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            const double d = (double)v[i + k] - centre;
            lanes[k] += d * d;
        }
    for (int k = 0; i < n; i++, k++) {
        const double d = (double)v[i] - centre;
        lanes[k] += d * d;
    }
    return join(lanes);
}

static double mean(const float *v, int64_t n)
{
    return sum(v, n) / (double)n;
}

static double deviation(const float *v, int64_t n)
{
    return sqrt(squares(v, n, mean(v, n)) / (double)(n - 1));
}

static double norm(const float *v, int64_t n)
{
    return sqrt(squares(v, n, 0));
}

/* The larger of two; a NaN stays. */
#define LARGER(x, y) ((x) != (x) || (x) >= (y) ? (x) : (y))

/* The largest of sign * v, NaN when there is one; a zero comes out positive, wherever it stood. */
static inline double extreme(const float *v, int64_t n, float sign)
{
    float most[BLOCK];
    int64_t i = 0;

    for (int k = 0; k < BLOCK; k++)
        most[k] = -(float)INFINITY;
    for (; i + BLOCK <= n; i += BLOCK)
        for (int k = 0; k < BLOCK; k++) {
            const float x = sign * v[i + k];
            most[k] = LARGER(most[k], x);
        }
    for (int k = 0; i < n; i++, k++)
        most[k] = LARGER(most[k], sign * v[i]);
    FOLD(16, most[k] = LARGER(most[k], most[k + 16]));
    FOLD(8, most[k] = LARGER(most[k], most[k + 8]));
    FOLD(4, most[k] = LARGER(most[k], most[k + 4]));
    FOLD(2, most[k] = LARGER(most[k], most[k + 2]));
    FOLD(1, most[k] = LARGER(most[k], most[k + 1]));
    return most[0] != most[0] ? (double)NAN : (double)(sign * most[0] + 0.0f);
}

static double least(const float *v, int64_t n)
{
    return extreme(v, n, -1);
}

static double most(const float *v, int64_t n)
{
    return extreme(v, n, 1);
}

/* ---- reductions of columns ----------------------------------------------------------------------------------- */

/* Sums of `columns` columns, at most BLOCK, or with a centre the squares around it. */
static inline void sum_block(const LoopColumns *c, const float *v, int64_t columns,
                             const double *centre, double *out)
{
    double lanes[LANES][BLOCK] = { { 0 } };

    for (int64_t i = 0; i < c->n; i++, v += c->stride) {
        double *restrict lane = lanes[i % LANES];
        for (int64_t k = 0; k < columns; k++) {
            const double d = (double)v[k] - (centre ? centre[k] : 0);
            lane[k] += centre ? d * d : d;
        }
    }
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            for (int64_t j = 0; j < columns; j++)
                lanes[k][j] += lanes[k + half][j];
    memcpy(out, lanes[0], sizeof lanes[0]);
}

/* For each block of columns: `first` is the block's start, `width` its number. */
#define BLOCKS(c)                                                                              \
    for (int64_t first = 0, width = 0; first < (c)->columns; first += width)                   \
        if ((width = (c)->columns - first < BLOCK ? (c)->columns - first : BLOCK) > 0)

static void sum_columns(const LoopColumns *c)
{
    double s[BLOCK];
    BLOCKS(c)
    {
        sum_block(c, c->v + first, width, NULL, s);
        for (int64_t k = 0; k < width; k++)
            c->out[first + k] = (float)s[k];
    }
}

static void mean_columns(const LoopColumns *c)
{
    double s[BLOCK];
    BLOCKS(c)
    {
        sum_block(c, c->v + first, width, NULL, s);
        for (int64_t k = 0; k < width; k++)
            c->out[first + k] = (float)(s[k] / (double)c->n);
    }
}

static void deviation_columns(const LoopColumns *c)
{
    double centre[BLOCK], s[BLOCK];
    BLOCKS(c)
    {
        sum_block(c, c->v + first, width, NULL, centre);
        for (int64_t k = 0; k < BLOCK; k++)
            centre[k] /= (double)c->n;
        sum_block(c, c->v + first, width, centre, s);
        for (int64_t k = 0; k < width; k++)
            c->out[first + k] = (float)sqrt(s[k] / (double)(c->n - 1));
    }
}

static void norm_columns(const LoopColumns *c)
{
    static const double zero[BLOCK] = { 0 };
    double s[BLOCK];
    BLOCKS(c)
    {
        sum_block(c, c->v + first, width, zero, s);
        for (int64_t k = 0; k < width; k++)
            c->out[first + k] = (float)sqrt(s[k]);
    }
}

static inline void extreme_columns(const LoopColumns *c, float sign)
{
    float *restrict out = c->out;
    const float *v = c->v;

    for (int64_t k = 0; k < c->columns; k++)
        out[k] = sign * v[k];
    for (int64_t i = 1; i < c->n; i++) {
        v += c->stride;
        for (int64_t k = 0; k < c->columns; k++) {
            const float x = sign * v[k], y = out[k];
            out[k] = LARGER(y, x);
        }
    }
    for (int64_t k = 0; k < c->columns; k++)
        out[k] = out[k] != out[k] ? (float)NAN : sign * out[k] + 0.0f;
}

static void least_columns(const LoopColumns *c)
{
    extreme_columns(c, -1);
}

static void most_columns(const LoopColumns *c)
{
    extreme_columns(c, 1);
}

/* ---- the table --------------------------------------------------------------------------------------------- */

const Loops LOOPS_NAME(loops) = {
    .binary = { [LOOP_ADD] = add,
                [LOOP_SUB] = sub,
                [LOOP_MUL] = mul,
                [LOOP_DIV] = quotient,
                [LOOP_MIN] = smaller,
                [LOOP_MAX] = larger },
    .unary = { [LOOP_NEGATE] = negate,
               [LOOP_ABS] = magnitude,
               [LOOP_SQRT] = root,
               [LOOP_CLAMP] = clamp },
    .lerp = lerp,
    .reduce = { [LOOP_SUM] = sum,
                [LOOP_MEAN] = mean,
                [LOOP_STD] = deviation,
                [LOOP_NORM] = norm,
                [LOOP_AMIN] = least,
                [LOOP_AMAX] = most },
    .reduce_columns = { [LOOP_SUM] = sum_columns,
                        [LOOP_MEAN] = mean_columns,
                        [LOOP_STD] = deviation_columns,
                        [LOOP_NORM] = norm_columns,
                        [LOOP_AMIN] = least_columns,
                        [LOOP_AMAX] = most_columns },
    .quantile = LOOPS_NAME(loops_quantile),
};
