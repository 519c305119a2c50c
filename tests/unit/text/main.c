/* main.c - runs the groups of this suite; an argument filters tests by name. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/unit/text/suite.h"

const char *shared_path(const char *name)
{
    static char path[1024];
    const char *root = getenv("WEFT_SHARED");
    if (root)
        snprintf(path, sizeof path, "%s/%s", root, name);
    else
        snprintf(path, sizeof path, "%s/../shared/%s", WEFT_SOURCE_ROOT, name);
    return file_exists(path) ? path : NULL;
}

JsonDoc *shared_json(const char *name)
{
    const char *path = shared_path(name);
    char *text;
    size_t size;
    JsonDoc *doc;
    Error err = { 0 };
    if (!path) {
        printf("%s is not at hand\n", name);
        skip();
    }
    assert_int_equal(file_read(path, (size_t)1 << 30, &text, &size, &err), OK);
    assert_int_equal(json_parse(text, size, &doc, &err), OK);
    mem_free(text);
    return doc;
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    int failed = run_token_tests();
    failed += run_vector_tests();
    failed += run_model_tests();
    failed += run_file_tests();
    failed += run_encoder_tests();
    return failed != 0;
}
