/* test_parse.c - tests of parse. */
#include "tests/unit/graph/toys.h"

int run_parse_tests(void)
{
    return 0;
}
