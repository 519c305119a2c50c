/* test_check.c - tests of check. */
#include "tests/unit/graph/toys.h"

int run_check_tests(void)
{
    return 0;
}
