/* main.c - runs the tests of engine/graph; an optional argument filters by name. */
#include <stdlib.h>

#include "tests/unit/graph/toys.h"

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    failed += run_literal_tests();
    failed += run_parse_tests();
    failed += run_check_tests();
    failed += run_plan_tests();
    failed += run_run_tests();
    failed += run_expand_tests();
    failed += run_vector_tests();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
