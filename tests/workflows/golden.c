/* golden.c - runs a saved workflow and compares what it wrote with the reference's own results. */
#include "tests/workflows/golden.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/mem.h"
#include "engine/formats/image.h"
#include "engine/formats/weights.h"
#include "tests/unit/support.h"

static const char *join(char *buf, size_t size, const char *a, const char *b)
{
    snprintf(buf, size, "%s/%s", a, b);
    return buf;
}

bool golden_open(Golden *g, const char *root, const char *precision, int threads)
{
    static char models[600], input[600], temp[600];
    static const char *folders[2];
    Error err = { 0 };
    memset(g, 0, sizeof *g);
    snprintf(g->root, sizeof g->root, "%s", root);
    if (!file_is_dir(join(models, sizeof models, root, "models"))) return false;
    snprintf(g->output, sizeof g->output, "%s/weft-golden-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(g->output));
    folders[0] = models;
    SessionOptions options = { 0 };
    options.host = (HostOptions){
        .models = folders,
        .input = join(input, sizeof input, root, "input"),
        .output = g->output,
        .temp = join(temp, sizeof temp, g->output, "temp"),
        .precision = strcmp(precision, "exact") == 0 ? PRECISION_EXACT : PRECISION_FAST,
        .threads = threads,
        .metadata = true,
    };
    assert_ok(session_init(&g->session, &options, &err), &err);
    return true;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void golden_close(Golden *g)
{
    session_fini(&g->session);
    nftw(g->output, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void fail_findings(const Workflow *w, const CheckReport *report)
{
    for (int i = 0; i < report->count; i++) {
        char text[1400];
        Error e = { 0 };
        if (report->items[i].severity != SEV_ERROR) continue;
        workflow_finding(w, report, &report->items[i], &e);
        error_format(&e, text, sizeof text);
        fail_msg("%s", text);
    }
}

void golden_run(Golden *g, const char *name, const char *const *changes)
{
    char path[800];
    Workflow w;
    CheckReport *report = NULL;
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/workflows/%s.json", g->root, name);
    assert_ok(workflow_open(&g->session, path, &w, &err), &err);
    for (; changes && *changes; changes++)
        assert_ok(workflow_set_expression(&w, *changes, &err), &err);
    assert_ok(workflow_check(&w, true, &report, &err), &err);
    fail_findings(&w, report);
    assert_ok(workflow_run(&w, report, NULL, &err), &err);
    check_free(report);
    workflow_fini(&w);
}

/* ---- comparing -------------------------------------------------------------------------------------- */

static Tensor *read_tensor(const char *path, const char *name)
{
    Vectors v = { 0 };
    Error err = { 0 };
    assert_ok(weights_open(path, NULL, &v.tensors, &err), &err);
    Tensor *t = vectors_tensor(&v, name);
    weights_unref(v.tensors);
    return t;
}

double golden_latent_error(Golden *g, const char *file, const char *expected_file,
                           const char *tensor)
{
    char path[800];
    snprintf(path, sizeof path, "%s/latents/%s", g->output, file);
    Tensor *got = read_tensor(path, "latent_tensor");
    snprintf(path, sizeof path, "%s/expected/%s", g->root, expected_file);
    Tensor *want = read_tensor(path, tensor);
    double error = tensor_rel_diff(got, want);
    tensor_unref(got);
    tensor_unref(want);
    return error;
}

double golden_compare_latents(Golden *g, const char *name, double tolerance)
{
    char path[900], expected[300], file[600];
    double worst = 0;
    Weights *w = NULL;
    Error err = { 0 };
    snprintf(expected, sizeof expected, "%s.safetensors", name);
    snprintf(path, sizeof path, "%s/expected/%s", g->root, expected);
    if (!file_exists(path)) return 0;
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    for (size_t i = 0; i < weights_count(w); i++) {
        const char *tensor = weights_name(w, i), *dot = strchr(tensor, '.');
        snprintf(file, sizeof file, "%s%s%s_00001_.latent", name, dot ? "_" : "",
                 dot ? dot + 1 : "");
        double error = golden_latent_error(g, file, expected, tensor);
        if (!(error <= tolerance))
            fail_msg("%s: %s is off by %g, allowed %g", name, tensor, error, tolerance);
        if (error > worst) worst = error;
    }
    weights_unref(w);
    return worst;
}

static Image read_picture(const char *path)
{
    FileMap *map = NULL;
    Image image;
    Error err = { 0 };
    assert_ok(file_map(path, &map, &err), &err);
    assert_ok(image_decode(map->data, map->size, &image, &err), &err);
    ref_drop(map);
    return image;
}

static void compare_picture(const char *got_path, const char *want_path)
{
    Image got = read_picture(got_path), want = read_picture(want_path);
    int64_t n = tensor_count(want.rgb), off = 0;
    assert_true(tensor_same_shape(got.rgb, want.rgb));
    for (int64_t i = 0; i < n; i++) {
        float d = rintf(255 * fabsf(tensor_f32(got.rgb)[i] - tensor_f32(want.rgb)[i]));
        if (d > 3) fail_msg("%s: a sample is off by %g", got_path, (double)d);
        off += d > 1;
    }
    if ((double)off > 0.001 * (double)n)
        fail_msg("%s: %lld of %lld samples differ", got_path, (long long)off, (long long)n);
    image_fini(&got);
    image_fini(&want);
}

void golden_compare_pictures(Golden *g, const char *name)
{
    for (int i = 1;; i++) {
        char want[800], got[800];
        snprintf(want, sizeof want, "%s/expected/%s_%05d_.png", g->root, name, i);
        if (!file_exists(want)) return;
        snprintf(got, sizeof got, "%s/%s_%05d_.png", g->output, name, i);
        compare_picture(got, want);
    }
}
