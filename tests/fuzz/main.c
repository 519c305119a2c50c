/* main.c - runs a fuzz harness over files and folders: the corpus, in the ordinary test run. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_INPUT = 1 << 24 };

static int run_file(const char *path)
{
    char *bytes = NULL;
    size_t size = 0;
    Error err;

    if (file_read(path, MAX_INPUT, &bytes, &size, &err) != OK) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
    mem_free(bytes);
    return 1;
}

/* Returns the number of inputs, -1 when one could not be read. */
static int run_folder(const char *folder)
{
    FileList list = { 0 };
    int sum = 0;

    if (file_list(folder, NULL, &list, NULL) != OK) return -1;
    for (size_t i = 0; i < list.count && sum >= 0; i++) {
        char *path = file_join(folder, list.names[i]);
        int n = path ? run_file(path) : -1;

        sum = n < 0 ? -1 : sum + n;
        mem_free(path);
    }
    file_list_fini(&list);
    return sum;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int n = file_is_dir(argv[i]) ? run_folder(argv[i]) : run_file(argv[i]);

        if (n < 0) return EXIT_FAILURE;
        total += n;
    }
    printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
