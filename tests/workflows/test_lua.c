/* test_lua.c - scripts in whole runs: guidance against its formulas, caches, and files that change under a session.
 *
 * usage: test_lua SOURCE_ROOT [NAME_FILTER]
 */
#include <ftw.h>
#include <math.h>
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

enum { CHANNELS = 128, PLANE = 16, N = CHANNELS * PLANE, TEXT = 8000 };

/* Folders of the run, and what its notes said. */
typedef struct Place {
    char models[600], root[300], output[330], lua[330];
    const char *folders[2], *scripts[2];
    char notes[1000];
} Place;

static const char *source;
static Place place;
static Session session;

/* ---- files ---------------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void write_script(const char *name, const char *text)
{
    char path[400];
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", place.lua, name);
    assert_ok(file_write(path, text, strlen(text), &err), &err);
}

static void hear(void *user, const Event *e)
{
    Place *p = user;
    size_t n = strlen(p->notes);
    if (e->kind == EV_NOTE) snprintf(p->notes + n, sizeof p->notes - n, "%s\n", e->text);
}

static const char keep_lua[] =
    "return { kind = 'sampler', name = 'keep', run = function(m, x) return x end }";

static int setup(void **state)
{
    SessionOptions options = { 0 };
    Error err = { 0 };

    (void)state;
    snprintf(place.root, sizeof place.root, "%s/weft-lua-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(place.root)) return -1;
    snprintf(place.models, sizeof place.models, "%s/tests/data/models", source);
    snprintf(place.output, sizeof place.output, "%s/out", place.root);
    snprintf(place.lua, sizeof place.lua, "%s/lua", place.root);
    place.folders[0] = place.models;
    place.scripts[0] = place.lua;
    if (mkdir(place.lua, 0700)) return -1;
    write_script("keep.lua", keep_lua);
    options.host = (HostOptions){ .models = place.folders,
                                  .input = place.root,
                                  .output = place.output,
                                  .temp = place.root,
                                  .precision = PRECISION_EXACT,
                                  .threads = 1 };
    options.lua = place.scripts;
    assert_ok(session_init(&session, &options, &err), &err);
    assert_true(events_listen(host_events(session.host), hear, &place));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    session_fini(&session);
    nftw(place.root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* ---- one run ---------------------------------------------------------------------------------------------- */

/* What varies between the runs of a test. */
typedef struct Flow {
    const char *patches; /* nodes "30"... in JSON, each ending in a comma; or "" */
    const char *model;   /* id of the last of them, or "1" */
    const char *guider;  /* node "23" in JSON, or NULL: CFGGuider of 4 and 5 */
    double cfg;
    bool only_negative; /* the negative in the place of the positive too */
    const char *sampler, *sigmas;
    int slot; /* of SamplerCustomAdvanced: 0 result, 1 last estimate */
} Flow;

static void write_flow(const Flow *f, char *text, size_t size)
{
    char guider[600];

    snprintf(guider, sizeof guider,
             "\"23\": {\"class_type\": \"CFGGuider\", \"inputs\": {\"model\": [\"%s\", 0], "
             "\"positive\": [\"%d\", 0], \"negative\": [\"5\", 0], \"cfg\": %g}}",
             f->model, f->only_negative ? 5 : 4, f->cfg);
    snprintf(
        text, size,
        "{\"1\": {\"class_type\": \"UNETLoader\", \"inputs\": {\"unet_name\": "
        "\"flux-2-klein-4b.safetensors\", \"weight_dtype\": \"default\"}},"
        "\"2\": {\"class_type\": \"CLIPLoader\", \"inputs\": {\"clip_name\": "
        "\"qwen_3_4b.safetensors\", \"type\": \"flux2\", \"device\": \"default\"}},"
        "\"4\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"a lighthouse\", "
        "\"clip\": [\"2\", 0]}},"
        "\"5\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"flat light\", "
        "\"clip\": [\"2\", 0]}},"
        "\"6\": {\"class_type\": \"EmptyFlux2LatentImage\", \"inputs\": {\"width\": 64, "
        "\"height\": 64, \"batch_size\": 1}},"
        "\"7\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"a stormy sea\", "
        "\"clip\": [\"2\", 0]}},"
        "\"20\": {\"class_type\": \"RandomNoise\", \"inputs\": {\"noise_seed\": 3}},"
        "\"21\": {\"class_type\": \"KSamplerSelect\", \"inputs\": {\"sampler_name\": \"%s\"}},"
        "\"22\": %s, %s %s,"
        "\"24\": {\"class_type\": \"SamplerCustomAdvanced\", \"inputs\": {\"noise\": [\"20\", "
        "0], \"guider\": [\"23\", 0], \"sampler\": [\"21\", 0], \"sigmas\": [\"22\", 0], "
        "\"latent_image\": [\"6\", 0]}},"
        "\"26\": {\"class_type\": \"SaveLatent\", \"inputs\": {\"samples\": [\"24\", %d], "
        "\"filename_prefix\": \"l\"}}}",
        f->sampler, f->sigmas, f->patches, f->guider ? f->guider : guider, f->slot);
}

static Status run_text(const char *text, Error *err)
{
    Workflow w = { 0 };
    CheckReport *report = NULL;
    Status status = workflow_from_text(&session, text, strlen(text), &w, err);

    place.notes[0] = 0;
    if (status == OK) status = workflow_check(&w, true, &report, err);
    if (status == OK && report->errors) {
        workflow_finding(&w, report, &report->items[0], err);
        status = E_WORKFLOW;
    }
    if (status == OK) status = workflow_run(&w, report, NULL, err);
    check_free(report);
    workflow_fini(&w);
    return status;
}

/* Runs a flow; N values from mem_alloc. */
static float *values_of(const Flow *f)
{
    char text[TEXT], path[400];
    Error err = { 0 };
    Weights *w = NULL;
    float *values = mem_calloc(N, sizeof *values);

    write_flow(f, text, sizeof text);
    nftw(place.output, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    cache_free(session.cache);
    session.cache = NULL;
    assert_ok(run_text(text, &err), &err);
    snprintf(path, sizeof path, "%s/l_00001_.latent", place.output);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    assert_ok(weights_f32_into(w, "latent_tensor", values, N, &err), &err);
    weights_unref(w);
    return values;
}

/* ---- guidance ---------------------------------------------------------------------------------------------- */

static const double SIGMA = 0.6, SCALE = 3.5;
#define SIGMAS                                                                                 \
    "{\"class_type\": \"Lua.sigma_table\", \"inputs\": {\"model\": [\"1\", 0], \"steps\": 1, " \
    "\"denoise\": 1.0, \"sigmas\": \"0.6, 0\"}}"

/* One model call at SIGMA: the noisy input and the estimates of each side. */
static float *x, *p, *u, *second;

static Flow one_call(const char *patches, const char *model, double cfg)
{
    return (Flow){ .patches = patches,
                   .model = model,
                   .cfg = cfg,
                   .sampler = "euler",
                   .sigmas = SIGMAS,
                   .slot = 1 };
}

static void measure(void)
{
    Flow f = one_call("", "1", 1);
    if (x) return;
    p = values_of(&f);
    f.only_negative = true;
    u = values_of(&f);
    f = one_call("", "1", 1);
    f.guider = "\"23\": {\"class_type\": \"BasicGuider\", \"inputs\": {\"model\": [\"1\", 0], "
               "\"conditioning\": [\"7\", 0]}}";
    second = values_of(&f);
    f = one_call("", "1", 1);
    f.sampler = "lua:keep";
    f.slot = 0;
    x = values_of(&f);
}

static double dot(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static double std_of(const double *v)
{
    double mean = 0, sum = 0;
    for (int i = 0; i < N; i++)
        mean += v[i] / N;
    for (int i = 0; i < N; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return sqrt(sum / (N - 1));
}

static void plain(double scale, double *out)
{
    for (int i = 0; i < N; i++)
        out[i] = (double)u[i] + scale * ((double)p[i] - (double)u[i]);
}

static void want_cfg(double *out)
{
    plain(SCALE, out);
}

static void want_zero_star(double *out)
{
    double along = 0, square = 1e-8;
    for (int i = 0; i < N; i++) {
        along += ((double)x[i] - (double)p[i]) * ((double)x[i] - (double)u[i]);
        square += ((double)x[i] - (double)u[i]) * ((double)x[i] - (double)u[i]);
    }
    double a = along / square;
    plain(SCALE, out);
    for (int i = 0; i < N; i++)
        out[i] += (double)u[i] * (a - 1) + SCALE * (double)u[i] * (1 - a);
}

static void want_norm(double *out)
{
    plain(SCALE, out);
    for (int k = 0; k < PLANE; k++) {
        double want = 0, have = 0;
        for (int c = 0; c < CHANNELS; c++) {
            want += (double)p[c * PLANE + k] * (double)p[c * PLANE + k];
            have += out[c * PLANE + k] * out[c * PLANE + k];
        }
        double f = fmin(fmax(sqrt(want) / (sqrt(have) + 1e-8), 0), 1);
        for (int c = 0; c < CHANNELS; c++)
            out[c * PLANE + k] *= f * 0.9;
    }
}

static void want_rescale(double *out)
{
    static double v[N], c[N];
    double square = SIGMA * SIGMA + 1, root = sqrt(square);

    for (int i = 0; i < N; i++) {
        double y = (double)x[i] / square, vu = (y - (double)u[i]) * root / SIGMA;
        v[i] = (y - (double)p[i]) * root / SIGMA;
        c[i] = vu + SCALE * (v[i] - vu);
    }
    double f = std_of(v) / std_of(c);
    for (int i = 0; i < N; i++)
        out[i] = (double)x[i] / square - (0.7 * c[i] * f + 0.3 * c[i]) * SIGMA / root;
}

static void want_apg(double *out)
{
    double length = sqrt(dot(p, p)), gg = 0, along = 0;

    for (int i = 0; i < N; i++)
        gg += ((double)p[i] - (double)u[i]) * ((double)p[i] - (double)u[i]);
    double shorten = fmin(1, 5 / sqrt(gg));
    for (int i = 0; i < N; i++)
        along += shorten * ((double)p[i] - (double)u[i]) * (double)p[i] / length;
    for (int i = 0; i < N; i++) {
        double g = shorten * ((double)p[i] - (double)u[i]), par = along * (double)p[i] / length;
        double to =
            ((double)u[i] + (g - par) + 0.5 * par) + ((double)p[i] - (double)u[i]) / SCALE;
        out[i] = (double)u[i] + SCALE * (to - (double)u[i]);
    }
}

static int by_size(const void *a, const void *b)
{
    double l = *(const double *)a, r = *(const double *)b;
    return (l > r) - (l < r);
}

static void want_threshold(double *out)
{
    static double sorted[N];
    plain(SCALE, out);
    for (int i = 0; i < N; i++)
        sorted[i] = fabs(out[i]);
    qsort(sorted, N, sizeof *sorted, by_size);
    double rank = 0.9 * (N - 1), below = sorted[(int)rank];
    double s = fmax(0.1, below + (rank - floor(rank)) * (sorted[(int)rank + 1] - below));
    for (int i = 0; i < N; i++)
        out[i] = fmin(fmax(out[i], -s), s) / s;
}

typedef struct GuidanceCase {
    const char *name, *class_type, *inputs;
    void (*want)(double *out);
} GuidanceCase;

static void check_estimate(const GuidanceCase *c)
{
    static double want[N];
    char patch[500] = "";
    double worst = 0, size = 0, moved = 0;

    measure();
    if (c->class_type)
        snprintf(patch, sizeof patch,
                 "\"30\": {\"class_type\": \"%s\", \"inputs\": {\"model\": [\"1\", 0]%s}},",
                 c->class_type, c->inputs);
    Flow f = one_call(patch, c->class_type ? "30" : "1", SCALE);
    float *have = values_of(&f);
    c->want(want);
    for (int i = 0; i < N; i++) {
        worst = fmax(worst, fabs((double)have[i] - want[i]));
        size = fmax(size, fabs(want[i]));
        moved =
            fmax(moved, fabs(want[i] - (double)u[i] - SCALE * ((double)p[i] - (double)u[i])));
    }
    mem_free(have);
    print_message("%s: off by %.2g of %.2g; plain guidance by %.2g\n", c->name, worst, size,
                  moved);
    assert_true(worst <= 2e-5 * fmax(1, size));
    if (c->class_type) assert_true(moved > 1e-3);
}

/* clang-format off */
static const GuidanceCase guidance_cases[] = {
    { "plain", NULL, "", want_cfg },
    { "CFGZeroStar", "CFGZeroStar", "", want_zero_star },
    { "CFGNorm", "CFGNorm", ", \"strength\": 0.9", want_norm },
    { "RescaleCFG", "RescaleCFG", ", \"multiplier\": 0.7", want_rescale },
    { "APG", "APG", ", \"eta\": 0.5, \"norm_threshold\": 5, \"momentum\": 0", want_apg },
    { "Lua CFG-Zero*", "Lua.cfg_zero_star", "", want_zero_star },
    { "Lua CFGNorm", "Lua.cfg_norm", ", \"strength\": 0.9", want_norm },
    { "Lua rescale", "Lua.rescale_cfg", ", \"multiplier\": 0.7", want_rescale },
    { "Lua APG", "Lua.apg", ", \"eta\": 0.5, \"norm_threshold\": 5", want_apg },
    { "Lua threshold", "Lua.dynamic_threshold", ", \"percentile\": 90, \"min_s\": 0.1", want_threshold },
};
/* clang-format on */

static void test_guidance_nodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof guidance_cases / sizeof *guidance_cases; i++)
        check_estimate(&guidance_cases[i]);
}

static void compare(const float *have, const double *want, const char *name)
{
    double worst = 0, size = 0;
    for (int i = 0; i < N; i++) {
        worst = fmax(worst, fabs((double)have[i] - want[i]));
        size = fmax(size, fabs(want[i]));
    }
    print_message("%s: off by %.2g of %.2g\n", name, worst, size);
    assert_true(worst <= 2e-5 * fmax(1, size));
}

/* Two prompts and a negative. */
static void test_dual_guider(void **state)
{
    static double want[N];
    (void)state;
    measure();
    for (int nested = 0; nested < 2; nested++) {
        char guider[400];
        Flow f = one_call("", "1", 1);
        snprintf(
            guider, sizeof guider,
            "\"23\": {\"class_type\": \"DualCFGGuider\", \"inputs\": {\"model\": [\"1\", 0], "
            "\"cond1\": [\"4\", 0], \"cond2\": [\"7\", 0], \"negative\": [\"5\", 0], "
            "\"cfg_conds\": 2.5, \"cfg_cond2_negative\": 1.5, \"style\": \"%s\"}}",
            nested ? "nested" : "regular");
        f.guider = guider;
        float *have = values_of(&f);
        for (int i = 0; i < N; i++) {
            double a = (double)p[i], b = (double)second[i], n = (double)u[i];
            want[i] =
                nested ? n + 1.5 * (b + 2.5 * (a - b) - n) : n + 1.5 * (b - n) + 2.5 * (a - b);
        }
        compare(have, want, nested ? "nested" : "regular");
        mem_free(have);
    }
}

#define LAYERS ", \"double_layers\": \"0\", \"single_layers\": \"1\""
#define PATCH(class, inputs)                                                                   \
    "\"30\": {\"class_type\": \"" class "\", \"inputs\": {\"model\": [\"1\", 0]" inputs "}},"

/* The estimate without blocks comes from a negative alone; the full node must guide away from it. */
static void test_skipped_layers(void **state)
{
    static double want[N];
    static const char simple[] = PATCH("SkipLayerGuidanceDiTSimple",
                                       LAYERS ", \"start_percent\": 0, \"end_percent\": 1"),
                      late[] = PATCH("SkipLayerGuidanceDiTSimple",
                                     LAYERS ", \"start_percent\": 0.99, \"end_percent\": 1"),
                      full[] =
                          PATCH("SkipLayerGuidanceDiT", LAYERS
                                ", \"scale\": 2, \"start_percent\": 0, \"end_percent\": 1, "
                                "\"rescaling_scale\": 0");
    (void)state;
    measure();
    Flow f = one_call(simple, "30", 0);
    float *u_skip = values_of(&f);
    f = one_call(late, "30", 0);
    float *u_full = values_of(&f);
    for (int i = 0; i < N; i++)
        want[i] = (double)u[i];
    compare(u_full, want, "outside of its range");
    assert_true(dot(u_skip, u_skip) != dot(u, u));
    f = one_call(full, "30", 1);
    f.only_negative = true;
    float *have = values_of(&f);
    for (int i = 0; i < N; i++)
        want[i] = (double)u[i] + 2 * ((double)u[i] - (double)u_skip[i]);
    compare(have, want, "skipped layers");
    mem_free(have);
    mem_free(u_skip);
    mem_free(u_full);
}

/* ---- step caches ----------------------------------------------------------------------------------------------- */

#define EIGHT                                                                                  \
    "{\"class_type\": \"Lua.velocity\", \"inputs\": {\"model\": [\"1\", 0], \"steps\": 10, "   \
    "\"denoise\": 1.0}}"

typedef struct CacheCase {
    const char *patch;
    int least; /* calls skipped of 20 */
} CacheCase;

/* Runs tell how many calls were skipped; the script decides as the node does. */
static void test_caches(void **state)
{
    static const CacheCase cases[] = {
        { PATCH("TeaCache",
                ", \"model_type\": \"flux\", \"rel_l1_thresh\": 1.2, "
                "\"start_percent\": 0, \"end_percent\": 1, \"cache_device\": \"cpu\""),
          6 },
        { PATCH("Lua.teacache", ", \"threshold\": 1.2"), 6 },
        { PATCH("EasyCache", ", \"reuse_threshold\": 3, \"start_percent\": 0, "
                             "\"end_percent\": 1, \"verbose\": false"),
          10 },
        { PATCH("LazyCache", ", \"reuse_threshold\": 3, \"start_percent\": 0, "
                             "\"end_percent\": 1, \"verbose\": false"),
          10 },
    };
    float *made[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        Flow f = { .patches = cases[i].patch,
                   .model = "30",
                   .cfg = 2,
                   .sampler = "euler",
                   .sigmas = EIGHT };
        int skipped = 0, asked = 0;
        made[i] = values_of(&f);
        print_message("%s", place.notes);
        const char *note = strstr(place.notes, "model calls were skipped");
        assert_non_null(note);
        while (note > place.notes && note[-1] != '\n')
            note--;
        assert_int_equal(sscanf(note, "%d of %d", &skipped, &asked), 2);
        assert_int_equal(asked, 20);
        assert_true(skipped >= cases[i].least && skipped < 20);
    }
    assert_memory_equal(made[0], made[1], N * sizeof(float));
    for (int i = 0; i < 4; i++)
        mem_free(made[i]);
}

/* ---- files that change --------------------------------------------------------------------------------------------- */

#define EASE(body)                                                                             \
    "return { kind = 'scheduler', name = 'ease', run = function(ctx)\n" body "\nend }"
#define USES_EASE                                                                              \
    "{\"class_type\": \"Lua.ease\", \"inputs\": {\"model\": [\"1\", 0], \"steps\": 2, "        \
    "\"denoise\": 1.0}}"

static Status run_ease(Error *err)
{
    char text[TEXT];
    Flow f = { .patches = "", .model = "1", .cfg = 1, .sampler = "euler", .sigmas = USES_EASE };
    *err = (Error){ 0 };
    write_flow(&f, text, sizeof text);
    return run_text(text, err);
}

/* Twice, for a session that met a broken file must go on saying so. */
static void expect_refusal(const char *file, const char *words, int line)
{
    Error err;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_ease(&err), E_FORMAT);
        assert_string_equal(err.rule, "E208");
        assert_non_null(strstr(err.file, file));
        assert_int_equal(err.line, line);
        if (!strstr(err.message, words)) fail_msg("'%s' lacks '%s'", err.message, words);
    }
}

static float first_value(void)
{
    Flow f = { .patches = "", .model = "1", .cfg = 1, .sampler = "euler", .sigmas = USES_EASE };
    float *v = values_of(&f), first = v[0];
    mem_free(v);
    return first;
}

static void test_scripts_that_change(void **state)
{
    char path[400];
    Error err;

    (void)state;
    assert_int_equal(run_ease(&err), E_WORKFLOW); /* not there yet */
    assert_non_null(strstr(err.message, "Lua.ease"));
    write_script("ease.lua", EASE("return { 1, 0.5, 0 }"));
    float a = first_value();
    write_script("ease.lua", EASE("return { 1, 0.25, 0 } -- changed"));
    float b = first_value();
    assert_true(a != b);
    write_script("ease.lua", EASE("return { 1, 0.25,\n 0 "));
    expect_refusal("ease.lua", "expected", 4);
    write_script("ease.lua", "return { kind = 'scheduler', name = 'ease' }");
    expect_refusal("ease.lua", "'run' is missing", 1);
    write_script("ease.lua", "return { kind = 'scheduler', name = 'keep', run = type }");
    expect_refusal("keep.lua", "also in", 0); /* two of one name in a folder */
    write_script("ease.lua", EASE("return { 1, 0.25, 0.5 }"));
    assert_int_equal(run_ease(&err), E_SCRIPT); /* good to load, wrong when it runs */
    assert_string_equal(err.node, "22");
    assert_non_null(strstr(err.message, "do not fall"));
    write_script("ease.lua", EASE("return { 1, 0.5, 0 }"));
    assert_true(first_value() == a);
    snprintf(path, sizeof path, "%s/ease.lua", place.lua);
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_ease(&err), E_WORKFLOW);
        assert_non_null(strstr(err.message, "Lua.ease"));
    }
    write_script("ease.lua", EASE("return { 1, 0.25, 0 }"));
    assert_true(first_value() == b);
    assert_int_equal(unlink(path), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guidance_nodes),      cmocka_unit_test(test_dual_guider),
        cmocka_unit_test(test_skipped_layers),      cmocka_unit_test(test_caches),
        cmocka_unit_test(test_scripts_that_change),
    };
    if (argc < 2) return 2;
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    source = argv[1];
    int failed = cmocka_run_group_tests_name("lua", tests, setup, teardown);
    mem_free(x);
    mem_free(p);
    mem_free(u);
    mem_free(second);
    return failed;
}
