/* main.c - runs the tests of engine/base; an optional argument filters by name. */
#include "tests/unit/base/common.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    failed += run_arena_map_tests();
    failed += run_file_tests();
    failed += run_glob_tests();
    failed += run_json_edit_tests();
    failed += run_json_tests();
    failed += run_status_tests();
    failed += run_str_tests();
    failed += run_toml_tests();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
