/* ops.h - the case tables: what each operation is tested with. */
#ifndef WEFT_TESTS_KERNELS_OPS_H
#define WEFT_TESTS_KERNELS_OPS_H

#include "tests/kernels/scene.h"

/* A view inside a descriptor, for the error cases. */
typedef struct Operand {
    size_t at; /* offset in the descriptor */
    bool optional;
} Operand;

typedef struct OpTest {
    int count;                          /* number of cases */
    void (*build)(Scene *s, int index); /* fills s->d, the outputs and the name */
    const Operand *operands;            /* ended by at == SIZE_MAX */
    bool strides_free;                  /* an innermost stride other than 1 is no error */
} OpTest;

/* One row per operation of K_OP_MAP. */
#define DECLARE_TEST(op, Desc) extern const OpTest op##_test;
K_OP_MAP(DECLARE_TEST)
#undef DECLARE_TEST

#endif
