/* test_determinism.c - the same bytes whatever the number of threads, and on a second run.
 *
 * usage: test_determinism WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

static Launch run;

/* Text to image with guidance, edit with two references, image to image; each saves latents and pictures. */
static const char *const workflows[] = { "klein_t2i_cfg5_neg", "klein_edit_2ref",
                                         "klein_img2img_odd_size_d04" };
static const char *const threads[] = { "1", "2", "3", "2" };
enum {
    WORKFLOWS = sizeof workflows / sizeof *workflows,
    RUNS = sizeof threads / sizeof *threads,
    FILES_MAX = 8
};

typedef struct Written {
    FileList files;         /* owned */
    char *bytes[FILES_MAX]; /* owned */
    size_t sizes[FILES_MAX];
} Written;

static void collect(Written *w)
{
    Error err = { 0 };
    char path[900];
    memset(w, 0, sizeof *w);
    assert_ok(file_list(run.output, NULL, &w->files, &err), &err);
    assert_true(w->files.count >= 2 && w->files.count <= FILES_MAX);
    for (size_t i = 0; i < w->files.count; i++) {
        snprintf(path, sizeof path, "%s/%s", run.output, w->files.names[i]);
        assert_ok(file_read(path, (size_t)1 << 28, &w->bytes[i], &w->sizes[i], &err), &err);
    }
}

static void release(Written *w)
{
    for (size_t i = 0; i < w->files.count; i++)
        mem_free(w->bytes[i]);
    file_list_fini(&w->files);
}

static void compare(const Written *a, const Written *b, const char *count)
{
    assert_int_equal(a->files.count, b->files.count);
    for (size_t i = 0; i < a->files.count; i++) {
        assert_string_equal(a->files.names[i], b->files.names[i]);
        if (a->sizes[i] != b->sizes[i] || memcmp(a->bytes[i], b->bytes[i], a->sizes[i]) != 0)
            fail_msg("%s differs with %s threads", a->files.names[i], count);
    }
}

static void run_with(const char *name, const char *precision, const char *count, Written *out)
{
    char file[700], folder[700];
    snprintf(file, sizeof file, "%s/tests/data/workflows/%s.json", run.source, name);
    snprintf(folder, sizeof folder, "%s/tests/data/input", run.source);
    launch_clear(&run);
    launch_workflow(&run, "run", file,
                    (const char *const[]){ "--precision", precision, "--threads", count,
                                           "--input", folder, "--no-prompt-cache", NULL });
    launch_expect(&run, 0, NULL);
    collect(out);
}

static void same_bytes(const char *name, const char *precision)
{
    Written first, other;
    run_with(name, precision, threads[0], &first);
    for (int i = 1; i < RUNS; i++) {
        run_with(name, precision, threads[i], &other);
        compare(&first, &other, threads[i]);
        release(&other);
    }
    release(&first);
}

static void test_exact(void **state)
{
    same_bytes(*state, "exact");
}

static void test_fast(void **state)
{
    same_bytes(*state, "fast");
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[2 * WORKFLOWS];
    char names[2 * WORKFLOWS][80], data[WORKFLOWS][64];
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    for (int i = 0; i < WORKFLOWS; i++) {
        snprintf(data[i], sizeof data[i], "%s", workflows[i]);
        snprintf(names[2 * i], sizeof names[0], "exact %s", workflows[i]);
        snprintf(names[2 * i + 1], sizeof names[0], "fast %s", workflows[i]);
        tests[2 * i] = (struct CMUnitTest){ .name = names[2 * i],
                                            .test_func = test_exact,
                                            .initial_state = data[i] };
        tests[2 * i + 1] = (struct CMUnitTest){ .name = names[2 * i + 1],
                                                .test_func = test_fast,
                                                .initial_state = data[i] };
    }
    launch_open(&run, argv[1], argv[2]);
    int failed = _cmocka_run_group_tests("determinism", tests, 2 * WORKFLOWS, NULL, NULL);
    launch_close(&run);
    return failed;
}
