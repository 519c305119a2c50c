/* test_memory.c - the 1st, 2nd, 3rd ... allocation fails, over reading, checking, planning and running a workflow.
 *
 * usage: test_memory SOURCE_ROOT [NAME_FILTER]
 *
 * Each failure must come back as an error, never as a crash, and leave nothing behind. A run has many thousands of
 * allocations: the first ones are failed one by one, the later ones in growing strides.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/session.h"
#include "tests/unit/support.h"

static const char *source;
static char folder[300];

/* What is tried under failing memory; OK when all of it went through. */
typedef Status (*Attempt)(Session *s, Error *err);

static Status open_and_check(Session *s, Workflow *w, CheckReport **report, Error *err)
{
    static const char *const small[] = { "6.width=32", "6.height=32", "22.width=32",
                                         "22.height=32", "22.steps=1" };
    char path[700];
    snprintf(path, sizeof path, "%s/graphs/flux2_klein_text_to_image.json", source);
    TRY(workflow_open(s, path, w, err));
    Status status = OK;
    for (size_t i = 0; i < 5 && status == OK; i++)
        status = workflow_set_expression(w, small[i], err);
    if (status == OK) status = workflow_check(w, true, report, err);
    /* A finding may not take the place of an error. */
    if (status == OK && (*report)->errors > 0) status = E_INTERNAL;
    if (status == OK) return OK;
    check_free(*report);
    *report = NULL;
    workflow_fini(w);
    return status;
}

static Status plan_it(Session *s, Error *err)
{
    Workflow w;
    CheckReport *report = NULL;
    Plan *plan = NULL;
    TRY(open_and_check(s, &w, &report, err));
    Status status = workflow_plan(&w, report, &plan, err);
    plan_free(plan);
    check_free(report);
    workflow_fini(&w);
    return status;
}

static Status run_it(Session *s, Error *err)
{
    Workflow w;
    CheckReport *report = NULL;
    TRY(open_and_check(s, &w, &report, err));
    Status status = workflow_run(&w, report, NULL, err);
    check_free(report);
    workflow_fini(&w);
    return status;
}

static Status attempt(Attempt fn, Error *err)
{
    static char models[600], output[400];
    const char *folders[2] = { models, NULL };
    SessionOptions options = { 0 };
    Session s;
    snprintf(models, sizeof models, "%s/tests/data/models", source);
    snprintf(output, sizeof output, "%s/out", folder);
    options.host = (HostOptions){ .models = folders,
                                  .input = folder,
                                  .output = output,
                                  .temp = output,
                                  .precision = PRECISION_EXACT,
                                  .threads = 1,
                                  .metadata = true };
    TRY(session_init(&s, &options, err));
    Status status = fn(&s, err);
    session_fini(&s);
    return status;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int count_files(const char *path)
{
    FileList files = { 0 };
    assert_int_equal(file_list(path, NULL, &files, NULL), OK);
    int n = (int)files.count;
    file_list_fini(&files);
    return n;
}

/* Fails allocation 1, 2, ... up to `first`, then with strides of 1/divisor of the number reached. */
static void fail_each(Attempt fn, uint64_t first, uint64_t divisor)
{
    uint64_t n = 1, tried = 0;
    Status status;
    do {
        Error err = { 0 };
        mem_fail_at(n);
        status = attempt(fn, &err);
        mem_fail_at(0);
        if (status == E_INTERNAL || (status != OK && err.message[0] == 0))
            fail_msg("allocation %llu: %s: %s", (unsigned long long)n, status_name(status),
                     err.message);
        if (status != OK && count_files(folder) > 0)
            fail_msg("allocation %llu left a file behind", (unsigned long long)n);
        tried++;
        n += n < first ? 1 : 1 + n / divisor;
    } while (status != OK);
    print_message("%llu failures up to allocation %llu\n", (unsigned long long)tried - 1,
                  (unsigned long long)n);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_plan(void **state)
{
    (void)state;
    fail_each(plan_it, 1500, 150);
}

static void test_run(void **state)
{
    (void)state;
    fail_each(run_it, 200, 50);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/weft-memory-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plan, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_run, make_folder, remove_folder),
    };
    if (argc < 2) return 2;
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    source = argv[1];
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
