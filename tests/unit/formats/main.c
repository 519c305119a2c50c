/* main.c - runs the tests of engine/formats; an optional argument filters by name. */
#include "tests/unit/formats/common.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"

const char *shared_path(char *buf, size_t size, const char *name)
{
    const char *root = getenv("WEFT_SHARED");

    if (root)
        snprintf(buf, size, "%s/%s", root, name);
    else
        snprintf(buf, size, "%s/../shared/%s", WEFT_SOURCE_ROOT, name);
    if (!file_exists(buf)) {
        print_message("%s is not there\n", buf);
        skip();
    }
    return buf;
}

void assert_ok(Status s, const Error *err)
{
    char text[2048];

    if (s == OK) return;
    error_format(err, text, sizeof text);
    fail_msg("%s: %s", status_name(s), text);
}

int fail_each_allocation(Status (*fn)(void *user, Error *err), void *user)
{
    for (int n = 1; n < 100000; n++) {
        Error err = { 0 };
        Status s;

        mem_fail_at((uint64_t)n);
        s = fn(user, &err);
        mem_fail_at(0);
        if (s == OK) return n - 1;
        assert_string_equal(status_name(s), "E_NOMEM");
    }
    fail_msg("never succeeded");
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    failed += run_gguf_tests();
    failed += run_image_tests();
    failed += run_pickle_tests();
    failed += run_png_meta_tests();
    failed += run_quant_tests();
    failed += run_safetensors_tests();
    failed += run_weights_tests();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
