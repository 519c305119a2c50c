/* test_files.c - the scripts of tests/data/scripts: good ones run, hostile ones are stopped, and a failed allocation at
 * any point of either leaves nothing behind. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/unit/script/support.h"

static const char *const suffixes[] = { ".lua", NULL };

typedef void (*FileFn)(const char *path, const char *text, size_t size);

static void each_file(const char *folder, size_t least, FileFn fn)
{
    char path[600], file[800];
    FileList files = { 0 };
    Error err = { 0 };

    snprintf(path, sizeof path, "%s/tests/data/scripts/%s", WEFT_SOURCE_ROOT, folder);
    ok(file_list(path, suffixes, &files, &err), &err);
    assert_true(files.count >= least);
    for (size_t i = 0; i < files.count; i++) {
        char *text = NULL;
        size_t size = 0;
        snprintf(file, sizeof file, "%s/%s", path, files.names[i]);
        ok(file_read(file, SCRIPT_TEXT_MAX, &text, &size, &err), &err);
        fn(files.names[i], text, size);
        mem_free(text);
    }
    file_list_fini(&files);
}

static Status run_once(const char *name, const char *text, size_t size,
                       const ScriptLimits *limits, Error *err)
{
    Script *s = NULL;
    bool ran = false;
    Status status = script_load(name, text, size, limits, &s, err);
    if (status == OK) status = script_dry_run(s, &ran, err);
    ref_drop(s);
    return status;
}

static void good(const char *name, const char *text, size_t size)
{
    Error err = { 0 };
    if (run_once(name, text, size, NULL, &err) != OK)
        fail_msg("%s:%d: %s", name, err.line, err.message);
}

/* Every fault names the script, and a line where Lua knows one; the time has a bound. */
static void hostile(const char *name, const char *text, size_t size)
{
    const ScriptLimits limits = { .budget = 4000000, .memory = 24 << 20, .seconds = 0.3 };
    Error err = { 0 };
    clock_t began = clock();
    Status status = run_once(name, text, size, &limits, &err);
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;

    if (status != E_SCRIPT && status != E_FORMAT)
        fail_msg("%s: %s %s", name, status_name(status), err.message);
    assert_string_equal(err.file, name);
    assert_true(err.message[0] != 0 && err.line >= 0);
    if (seconds > 10) fail_msg("%s took %.1f s", name, seconds);
}

/* Fails the n-th allocation for n = 1, 2, 3... until the script passes; with $WEFT_THOROUGH none is left out. */
static void poor(const char *name, const char *text, size_t size)
{
    uint64_t stride = getenv("WEFT_THOROUGH") ? 1 : 23;

    for (uint64_t n = 1;; n += n < 20 ? 1 : stride) {
        Error err = { 0 };
        mem_fail_at(n);
        Status status = run_once(name, text, size, NULL, &err);
        mem_fail_at(0);
        if (status == OK) break;
        if (status != E_NOMEM) fail_msg("%s, allocation %d: %s", name, (int)n, err.message);
        assert_true(n < 100000);
    }
}

static void test_good_files(void **state)
{
    (void)state;
    each_file("good", 20, good);
}

static void test_hostile_files(void **state)
{
    (void)state;
    each_file("hostile", 60, hostile);
}

static void test_files_without_memory(void **state)
{
    (void)state;
    each_file("good", 20, poor);
}

int run_files_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_files_without_memory),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
