/* test_library.c - several graphs, contexts and threads of the library in one process: results are those of processes of
 * their own.
 *
 * usage: test_library WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "engine/base/str.h"
#include "engine/weft.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

static Launch run;

/* Saved workflows of tests/data: text to image, an edit with a reference, FP8, several pictures, no model at all. */
static const char *const flows[] = { "klein_t2i_template", "klein_edit_1ref",
                                     "klein_fp8_comfy_quant", "klein_latent_ops_batch",
                                     "image_scale_chain" };
#ifdef __SANITIZE_THREAD__ /* which does not see how OpenMP's threads wait for each other */
enum { KERNEL_THREADS = 1 };
#else
enum { KERNEL_THREADS = 2 };
#endif
enum { FLOWS = sizeof flows / sizeof *flows, THREADS = 2, ROUNDS = 2 };

/* Digest of the names and bytes of all files of a folder, which are taken away. */
typedef struct Result {
    uint8_t digest[32];
    size_t files;
} Result;

static Result take(const char *folder)
{
    Result r = { 0 };
    FileList list = { 0 };
    Sha256 hash;
    Error err = { 0 };
    char path[1200];
    sha256_init(&hash);
    assert_ok(file_list(folder, NULL, &list, &err), &err);
    for (size_t i = 0; i < list.count; i++) {
        char *bytes = NULL;
        size_t size = 0;
        snprintf(path, sizeof path, "%s/%s", folder, list.names[i]);
        assert_ok(file_read(path, (size_t)1 << 28, &bytes, &size, &err), &err);
        sha256_add(&hash, list.names[i], strlen(list.names[i]));
        sha256_add(&hash, bytes, size);
        mem_free(bytes);
        remove(path);
    }
    r.files = list.count;
    file_list_fini(&list);
    sha256_end(&hash, r.digest);
    return r;
}

/* ---- a process of its own ------------------------------------------------------------------------------- */

static void flow_path(char *buf, size_t size, const char *name)
{
    snprintf(buf, size, "%s/tests/data/workflows/%s.json", run.source, name);
}

static Result run_alone(const char *name, const char *precision)
{
    char path[700], input[700];
    flow_path(path, sizeof path, name);
    snprintf(input, sizeof input, "%s/tests/data/input", run.source);
    launch_workflow(&run, "run", path,
                    (const char *const[]){ "--input", input, "--no-metadata", "--precision",
                                           precision, "--no-prompt-cache", NULL });
    launch_expect(&run, 0, NULL);
    Result r = take(run.output);
    assert_true(r.files > 0);
    return r;
}

static Result alone[2][FLOWS]; /* fast, exact; made once */

static int run_all_alone(void **state)
{
    (void)state;
    for (int i = 0; i < FLOWS; i++) {
        alone[0][i] = run_alone(flows[i], "fast");
        alone[1][i] = run_alone(flows[i], "exact");
    }
    return 0;
}

/* ---- contexts --------------------------------------------------------------------------------------------- */

/* One Weft with folders of its own. */
typedef struct Context {
    Weft *weft;
    int exact;
    char output[400], models[700], input[700], cache[400];
    const char *folders[2];
} Context;

static int context_open(Context *c, const char *name, int exact, const char *cache_dir)
{
    snprintf(c->output, sizeof c->output, "%s/%s", run.folder, name);
    snprintf(c->models, sizeof c->models, "%s/tests/data/models", run.source);
    snprintf(c->input, sizeof c->input, "%s/tests/data/input", run.source);
    if (cache_dir) snprintf(c->cache, sizeof c->cache, "%s/%s", run.folder, cache_dir);
    c->exact = exact;
    c->folders[0] = c->models;
    c->folders[1] = NULL;
    const WeftOptions options = { .models = c->folders,
                                  .input = c->input,
                                  .output = c->output,
                                  .temp = c->output,
                                  .cache_dir = cache_dir ? c->cache : NULL,
                                  .precision = exact ? "exact" : "fast",
                                  .threads = KERNEL_THREADS,
                                  .no_metadata = 1 };
    return weft_open(&options, &c->weft);
}

/* Of threads: says what is wrong instead of ending the test. */
static bool run_matches(Context *c, int flow, char *said, size_t size)
{
    char path[700];
    flow_path(path, sizeof path, flows[flow]);
    int status = weft_run_file(c->weft, path);
    if (status != WEFT_OK) {
        snprintf(said, size, "%s: status %d: %s", flows[flow], status, weft_message(c->weft));
        return false;
    }
    Result r = take(c->output);
    const Result *want = &alone[c->exact][flow];
    if (r.files == want->files && memcmp(r.digest, want->digest, sizeof r.digest) == 0)
        return true;
    snprintf(said, size, "%s, %s: not the files of a process of its own", flows[flow],
             c->exact ? "exact" : "fast");
    return false;
}

static void check_run(Context *c, int flow)
{
    char said[1600];
    if (!run_matches(c, flow, said, sizeof said)) fail_msg("%s", said);
}

/* ---- the tests --------------------------------------------------------------------------------------------- */

static void two_contexts_take_turns(void **state)
{
    Context fast = { 0 }, exact = { 0 };
    (void)state;
    assert_int_equal(context_open(&fast, "fast", 0, NULL), WEFT_OK);
    assert_int_equal(context_open(&exact, "exact", 1, NULL), WEFT_OK);
    for (int i = 0; i < FLOWS; i++) {
        check_run(&fast, i);
        check_run(&exact, (i + 1) % FLOWS);
        check_run(&exact, i);
    }
    weft_close(fast.weft); /* the other one stays whole */
    check_run(&exact, 0);
    weft_close(exact.weft);
}

static WeftWorkflow *load(Context *c, int flow)
{
    WeftWorkflow *w = NULL;
    char path[700];
    flow_path(path, sizeof path, flows[flow]);
    assert_int_equal(weft_load(c->weft, path, &w), WEFT_OK);
    return w;
}

static void check_loaded(Context *c, WeftWorkflow *w, int flow)
{
    assert_int_equal(weft_check(w, NULL, NULL), WEFT_OK);
    assert_int_equal(weft_run(w), WEFT_OK);
    Result r = take(c->output);
    assert_memory_equal(r.digest, alone[c->exact][flow].digest, sizeof r.digest);
}

/* Both are loaded before one runs; each runs after the other, and again after it was changed and changed back. */
static void one_context_holds_two_graphs(void **state)
{
    Context c = { 0 };
    (void)state;
    assert_int_equal(context_open(&c, "one", 1, NULL), WEFT_OK);
    WeftWorkflow *first = load(&c, 0), *second = load(&c, 1);
    check_loaded(&c, second, 1);
    check_loaded(&c, first, 0);
    assert_int_equal(weft_set(first, "4", "text", "\"a dog\""), WEFT_OK);
    assert_int_equal(weft_run(first), WEFT_OK);
    Result other = take(c.output);
    assert_memory_not_equal(other.digest, alone[1][0].digest, sizeof other.digest);
    assert_int_equal(weft_set(first, "4", "text",
                              "\"a red fox sitting in fresh snow, (golden:1.3) hour light\""),
                     WEFT_OK);
    check_loaded(&c, first, 0);
    weft_unload(first);
    check_loaded(&c, second, 1);
    weft_unload(second);
    check_run(&c, 2);
    weft_close(c.weft);
}

typedef struct Worker {
    int number;
    bool ok;
    char said[1600];
} Worker;

static void *work(void *user)
{
    Worker *w = user;
    Context c = { 0 };
    char name[16];
    snprintf(name, sizeof name, "worker%d", w->number);
    w->ok = context_open(&c, name, w->number % 2, "shared-cache") == WEFT_OK;
    for (int i = 0; i < ROUNDS * FLOWS && w->ok; i++)
        w->ok = run_matches(&c, (i + w->number) % FLOWS, w->said, sizeof w->said);
    weft_close(c.weft);
    return NULL;
}

/* With one folder of embedded prompts between them. */
static void threads_have_a_context_each(void **state)
{
    Worker workers[THREADS] = { { 0 } };
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        if (!workers[i].ok) fail_msg("thread %d: %s", i, workers[i].said);
}

/* ---- cancelling --------------------------------------------------------------------------------------------- */

static void cancel_other(void *user, const WeftEvent *event)
{
    if (strcmp(event->name, "progress") == 0) weft_cancel(user);
}

/* A cancelled run ends, the other context's does not, and the next run of the first is whole. */
static void cancelling_meets_one_context(void **state)
{
    Context a = { 0 }, b = { 0 };
    char path[700];
    (void)state;
    assert_int_equal(context_open(&a, "a", 1, NULL), WEFT_OK);
    assert_int_equal(context_open(&b, "b", 1, NULL), WEFT_OK);
    assert_int_equal(weft_on_event(a.weft, cancel_other, b.weft), WEFT_OK);
    check_run(&a, 0);
    flow_path(path, sizeof path, flows[0]);
    assert_int_equal(weft_run_file(b.weft, path), WEFT_INTERRUPTED);
    assert_int_equal(take(b.output).files, 0);
    check_run(&b, 0);
    weft_close(a.weft);
    weft_close(b.weft);
}

/* ---- the host program's locale ------------------------------------------------------------------------------ */

/* A locale that writes 0,5; made in the scratch folder where the system has none. */
static bool set_comma_locale(void)
{
    char command[900];
    if (setlocale(LC_ALL, "de_DE.UTF-8")) return true;
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' 2>/dev/null", run.folder);
    if (system(command) != 0) return false;
    setenv("LOCPATH", run.folder, 1);
    return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

static void a_program_with_decimal_commas_gets_the_same(void **state)
{
    Context c = { 0 };
    char text[32];
    (void)state;
    if (!set_comma_locale()) {
        print_message("no locale with decimal commas\n");
        skip();
    }
    assert_int_equal(context_open(&c, "commas", 1, NULL), WEFT_OK);
    for (int i = 0; i < FLOWS; i++)
        check_run(&c, i);
    WeftWorkflow *w = load(&c, 0);
    assert_int_equal(weft_set(w, "6", "cfg", "1.0"), WEFT_OK);
    check_loaded(&c, w, 0);
    weft_unload(w);
    weft_close(c.weft);
    snprintf(text, sizeof text, "%.1f", 0.5);
    assert_string_equal(text, "0,5"); /* the program's own is as it was */
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_contexts_take_turns),
        cmocka_unit_test(one_context_holds_two_graphs),
        cmocka_unit_test(threads_have_a_context_each),
        cmocka_unit_test(cancelling_meets_one_context),
        cmocka_unit_test(a_program_with_decimal_commas_gets_the_same),
    };
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    int failed = cmocka_run_group_tests(tests, run_all_alone, NULL);
    launch_close(&run);
    return failed;
}
