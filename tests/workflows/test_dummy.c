/* test_dummy.c - a run without weights visits the nodes of a real one, asks for the same memory, and its plan says so.
 *
 * usage: test_dummy SOURCE_ROOT [NAME_FILTER]
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
#include "engine/session.h"
#include "tests/unit/support.h"

enum { LINES_MAX = 128, LINE_SIZE = 160 };

/* What a run told, one line each: nodes in the order of their turns, components as they came. */
typedef struct Heard {
    char nodes[LINES_MAX][LINE_SIZE], components[LINES_MAX][LINE_SIZE];
    int node_count, component_count, notes, progress, saved;
    int64_t steps;
} Heard;

typedef struct Place {
    char models[600], input[600], output[300], temp[400], missing[400];
    const char *folders[2], *none[2];
} Place;

static const char *source;
static Place place;

static void hear(void *user, const Event *e)
{
    Heard *h = user;
    if (e->kind == EV_EXECUTING && h->node_count < LINES_MAX)
        snprintf(h->nodes[h->node_count++], LINE_SIZE, "%s %s", e->node, e->class_type);
    if (e->kind == EV_COMPONENT && h->component_count < LINES_MAX)
        snprintf(h->components[h->component_count++], LINE_SIZE, "%s %lld", e->text,
                 (long long)e->bytes);
    h->notes += e->kind == EV_NOTE;
    h->progress += e->kind == EV_PROGRESS;
    h->saved += e->kind == EV_SAVED;
}

static void open_session(Session *s, bool dummy, bool models, Residency residency, Heard *h)
{
    SessionOptions options = { 0 };
    Error err = { 0 };
    options.host = (HostOptions){
        .models = models ? place.folders : place.none,
        .input = place.input,
        .output = place.output,
        .temp = place.temp,
        .precision = PRECISION_EXACT,
        .residency = residency,
        .threads = 1,
        .dummy = dummy,
        .metadata = true,
    };
    assert_ok(session_init(s, &options, &err), &err);
    memset(h, 0, sizeof *h);
    assert_true(events_listen(host_events(s->host), hear, h));
}

/* Opens and checks; files: model files must exist. */
static CheckReport *load(Session *s, const char *file, bool files, Workflow *w)
{
    char path[700];
    CheckReport *report = NULL;
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", source, file);
    assert_ok(workflow_open(s, path, w, &err), &err);
    assert_ok(workflow_check(w, files, &report, &err), &err);
    assert_int_equal(report->errors, 0);
    return report;
}

static HostUse run_file(const char *file, bool dummy, Residency residency, Heard *h)
{
    Session s;
    Workflow w;
    Error err = { 0 };
    open_session(&s, dummy, true, residency, h);
    CheckReport *report = load(&s, file, true, &w);
    assert_ok(workflow_run(&w, report, NULL, &err), &err);
    HostUse use = host_use(s.host);
    check_free(report);
    workflow_fini(&w);
    session_fini(&s);
    return use;
}

static void same_lines(char a[][LINE_SIZE], int a_count, char b[][LINE_SIZE], int b_count)
{
    for (int i = 0; i < a_count && i < b_count; i++)
        assert_string_equal(a[i], b[i]);
    assert_int_equal(a_count, b_count);
}

static void compare_plan(const char *file, Residency residency, const Heard *h,
                         const HostUse *use)
{
    Heard unheard;
    Session s;
    Workflow w;
    Plan *plan = NULL;
    Error err = { 0 };
    open_session(&s, false, true, residency, &unheard);
    CheckReport *report = load(&s, file, true, &w);
    assert_ok(workflow_plan(&w, report, &plan, &err), &err);
    int n = 0;
    for (int i = 0; i < plan->count; i++) {
        const GraphNode *node = &plan->graph->nodes[plan->steps[i].node];
        char line[LINE_SIZE];
        if (plan->steps[i].same_as >= 0) continue;
        snprintf(line, sizeof line, "%s %s", node->id, node->class_type);
        assert_true(n < h->node_count);
        assert_string_equal(line, h->nodes[n++]);
    }
    assert_int_equal(n, h->node_count);
    assert_int_equal(plan_arena_peak(plan), use->arena_peak);
    assert_int_equal(plan_weights_peak(plan), use->weights_peak);
    plan_free(plan);
    check_free(report);
    workflow_fini(&w);
    session_fini(&s);
}

static void same_run(const char *file, Residency residency)
{
    Heard dummy, real;
    HostUse a = run_file(file, true, residency, &dummy);
    assert_false(file_exists(place.output));
    HostUse b = run_file(file, false, residency, &real);
    same_lines(dummy.nodes, dummy.node_count, real.nodes, real.node_count);
    same_lines(dummy.components, dummy.component_count, real.components, real.component_count);
    assert_int_equal(dummy.progress, real.progress);
    assert_int_equal(dummy.saved, 0);
    assert_true(real.saved > 0);
    assert_true(a.arena_peak > 0 && a.weights_peak > 0);
    assert_int_equal(a.arena_peak, b.arena_peak);
    assert_int_equal(a.weights_peak, b.weights_peak);
    compare_plan(file, residency, &real, &b);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void test_same_run(void **state)
{
    nftw(place.output, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    same_run(*state, RESIDENCY_AUTO);
}

static void test_same_run_sequential(void **state)
{
    nftw(place.output, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    same_run(*state, RESIDENCY_SEQUENTIAL);
}

/* Without any model file: notes, and the sizes of FLUX.2 klein 4B, Qwen3-4B and the FLUX.2 VAE. */
static void test_published_sizes(void **state)
{
    Heard h;
    Session s;
    Workflow w;
    Error err = { 0 };
    open_session(&s, true, false, RESIDENCY_AUTO, &h);
    CheckReport *report = load(&s, *state, false, &w);
    assert_ok(workflow_run(&w, report, NULL, &err), &err);
    assert_int_equal(h.notes, 3);
    assert_int_equal(h.component_count, 3);
    assert_string_equal(h.components[1], "transformer 7751089152");
    assert_int_equal(h.saved, 0);
    assert_true(host_use(s.host).weights_peak >= 7751089152ll);
    check_free(report);
    workflow_fini(&w);
    session_fini(&s);
}

static int setup(void **state)
{
    (void)state;
    char *folder = place.missing;
    snprintf(folder, sizeof place.missing, "%s/weft-dummy-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder)) return -1;
    snprintf(place.models, sizeof place.models, "%s/tests/data/models", source);
    snprintf(place.input, sizeof place.input, "%s/tests/data/input", source);
    snprintf(place.output, sizeof place.output, "%.200s/out", folder);
    snprintf(place.temp, sizeof place.temp, "%.200s/temp", folder);
    place.folders[0] = place.models;
    place.none[0] = place.missing;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nftw(place.missing, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

int main(int argc, char **argv)
{
    static char t2i[] = "tests/data/workflows/klein_t2i_cfg5_neg.json",
                edit[] = "tests/data/workflows/klein_edit_2ref.json",
                inpaint[] = "tests/data/workflows/klein_outpaint.json",
                batch[] = "tests/data/workflows/klein_latent_ops_batch.json",
                guided[] = "tests/data/workflows/flux2dev_guidance4.json",
                shipped[] = "graphs/flux2_klein_text_to_image.json";
    const struct CMUnitTest tests[] = {
        { "text to image", test_same_run, NULL, NULL, t2i },
        { "edit", test_same_run, NULL, NULL, edit },
        { "edit, sequential", test_same_run_sequential, NULL, NULL, edit },
        { "outpaint", test_same_run, NULL, NULL, inpaint },
        { "latent batch", test_same_run, NULL, NULL, batch },
        { "guidance", test_same_run, NULL, NULL, guided },
        { "published sizes", test_published_sizes, NULL, NULL, shipped },
    };
    if (argc < 2) return 2;
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    source = argv[1];
    return cmocka_run_group_tests_name("dummy", tests, setup, teardown);
}
