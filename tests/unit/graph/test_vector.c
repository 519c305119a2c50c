/* test_vector.c - tests of vector. */
#include "tests/unit/graph/toys.h"

int run_vector_tests(void)
{
    return 0;
}
