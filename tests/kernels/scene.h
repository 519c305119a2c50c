/* scene.h - one test call: a descriptor, its operands in one block of memory, and what it may write. */
#ifndef WEFT_TESTS_KERNELS_SCENE_H
#define WEFT_TESTS_KERNELS_SCENE_H

#include "kernels/kernels.h"

/* A descriptor of any operation. */
typedef union AnyOp {
#define ANY_MEMBER(op, Desc) Desc op;
    K_OP_MAP(ANY_MEMBER)
#undef ANY_MEMBER
} AnyOp;

enum { SCENE_MAX_OUTPUTS = 2 };

typedef struct Scene {
    uint8_t *memory; /* owned by the harness */
    size_t size, used;
    uint64_t random;
    AnyOp d;
    /* Views inside d that the operation writes, and the error it may make: relative to the larger of the
     * value and its row's rms; a BF16 output may differ by one unit in the last place besides. */
    struct {
        const KView *view;
        float tolerance;
    } out[SCENE_MAX_OUTPUTS];
    int outputs;
    char name[160];
} Scene;

/* A fresh scene in the same memory. */
void scene_start(Scene *s, uint64_t seed);
void scene_name(Scene *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Declares the view (inside s->d) as written by the operation. */
void scene_output(Scene *s, const KView *view, float tolerance);

/* Uniform in [0, 1). */
float scene_uniform(Scene *s);

/* A view in the scene's memory, values in [-1, 1] (integers: 0..99). Every dimension but the innermost
 * is `gap` elements longer than it needs to be. */
KView scene_view(Scene *s, KDtype t, int gap, int ndim, const int64_t *shape);
KView scene_vector(Scene *s, int64_t n);
KView scene_matrix(Scene *s, KDtype t, int gap, int64_t rows, int64_t columns);
KView scene_cube(Scene *s, KDtype t, int gap, int64_t a, int64_t b, int64_t c);
/* A weight whose decoded values are about 1/sqrt(k); NF4 and I8 with blocks of `block`. */
KWeight scene_weight(Scene *s, KDtype t, int64_t n, int64_t k, int64_t block);
/* Tables for a dtype with codes (FP8: block scales), laid out for a matrix of which w is rows 2 .. 2+n-1. */
void scene_quant(Scene *s, KWeight *w, int64_t block, int64_t rotate);
void scene_side(Scene *s, KWeight *w, int64_t rank);

/* Offset in bytes of element number `index`, counted in row-major order. */
size_t view_offset(const KView *v, int64_t index);
float view_value(const KView *v, int64_t index, const uint8_t *base, const uint8_t *other);

#endif
