/* main.c - runs the script tests; an optional argument filters them by name. */
#include "tests/unit/script/support.h"

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    failed += run_kinds_tests();
    failed += run_script_vectors_tests();
    failed += run_cache_tests();
    failed += run_files_tests();
    failed += run_loops_tests();
    failed += run_hostile_tests();
    return failed;
}
