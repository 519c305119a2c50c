/* test_literal.c - tests of literal. */
#include "tests/unit/graph/toys.h"

int run_literal_tests(void)
{
    return 0;
}
