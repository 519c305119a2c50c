/* main.c - runs the sampling tests; an optional argument filters them by name. */
#include "tests/unit/sampling/vectors.h"

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    failed += run_noise_tests();
    failed += run_sigmas_tests();
    failed += run_samplers_tests();
    failed += run_guidance_tests();
    failed += run_cond_tests();
    failed += run_sample_tests();
    failed += run_step_cache_tests();
    return failed;
}
