/* test_signals.c - SIGINT and SIGTERM while a file is quantised, a picture enlarged, a latent decoded or a picture encoded:
 * the exit status tells the signal, and no part of a file stays.
 *
 * usage: test_signals WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/formats/safetensors.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

static Launch run;

static const int both[] = { SIGINT, SIGTERM };

/* What the output folder must hold after a start that ended so: nothing, or `whole` files of `size` bytes. */
static void check_left(int signal, const char *what, size_t whole, size_t size)
{
    FileList list = { 0 };
    Error err = { 0 };
    if (run.status != 0 && run.status != 128 + signal)
        fail_msg("%s, signal %d: exit status %d: %s", what, signal, run.status, run.err);
    assert_ok(file_list(run.output, NULL, &list, &err), &err);
    if (list.count != (run.status == 0 ? whole : 0))
        fail_msg("%s, signal %d, status %d: %zu files are there, %s among them", what, signal,
                 run.status, list.count, list.count ? list.names[0] : "none");
    for (size_t i = 0; i < list.count; i++) {
        char path[900];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", run.output, list.names[i]);
        assert_int_equal(stat(path, &st), 0);
        if ((size_t)st.st_size != size)
            fail_msg("%s holds %lld bytes", path, (long long)st.st_size);
    }
    file_list_fini(&list);
    launch_clear(&run);
}

static size_t size_of(const char *name)
{
    char path[900];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", run.output, name);
    assert_int_equal(stat(path, &st), 0);
    launch_clear(&run);
    return (size_t)st.st_size;
}

/* ---- quantize ------------------------------------------------------------------------------------------ */

static void quantise(const char *name, const char *type)
{
    char in[700], out[700];
    snprintf(in, sizeof in, "%s/tests/data/models/diffusion_models/flux-2-klein-4b.safetensors",
             run.source);
    snprintf(out, sizeof out, "%s/%s", run.output, name);
    launch(&run, (const char *const[]){ "quantize", in, out, "--type", type, NULL });
}

static void quantising_stops(void **state)
{
    static const char *const types[][2] = { { "m.safetensors", "nf4" }, { "m.gguf", "Q4_K" } };
    (void)state;
    for (size_t t = 0; t < 2; t++) {
        int stopped = 0;
        quantise(types[t][0], types[t][1]);
        launch_expect(&run, 0, NULL);
        size_t size = size_of(types[t][0]);
        for (int after = 10, i = 0; after < 300; after += 25, i++) {
            run.interrupt_after = after;
            run.signal = both[i % 2];
            quantise(types[t][0], types[t][1]);
            stopped += run.status != 0;
            check_left(both[i % 2], types[t][1], 1, size);
        }
        assert_true(stopped > 1);
    }
}

/* The file that --force writes over stays as it was. */
static void a_file_that_was_there_stays(void **state)
{
    char path[700], in[700], *bytes = NULL;
    size_t size = 0;
    Error err = { 0 };
    (void)state;
    snprintf(path, sizeof path, "%s/old.safetensors", run.output);
    snprintf(in, sizeof in, "%s/tests/data/models/diffusion_models/flux-2-klein-4b.safetensors",
             run.source);
    assert_ok(file_write(path, "mine", 4, &err), &err);
    run.interrupt_after = 40;
    launch(&run,
           (const char *const[]){ "quantize", in, path, "--type", "nf4", "--force", NULL });
    if (run.status == 0) skip(); /* it was done before the signal came */
    assert_int_equal(run.status, 130);
    assert_int_equal(launch_outputs(&run), 1);
    assert_ok(file_read(path, 1 << 24, &bytes, &size, &err), &err);
    assert_int_equal(size, 4);
    mem_free(bytes);
    launch_clear(&run);
}

/* ---- runs ------------------------------------------------------------------------------------------------ */

/* A compact network (SRVGG) that doubles pictures: 3 -> FILTERS, slopes, FILTERS -> FILTERS, slopes, -> 3 * 2 * 2. */
enum { FILTERS = 24 };

static void write_upscaler(void)
{
    static float values[FILTERS * FILTERS * 9];
    static const int64_t first[] = { FILTERS, 3, 3, 3 }, middle[] = { FILTERS, FILTERS, 3, 3 },
                         last[] = { 12, FILTERS, 3, 3 }, one[] = { FILTERS }, end[] = { 12 };
    const SafeItem items[] = {
        { "body.0.weight", K_F32, 4, first, values },
        { "body.0.bias", K_F32, 1, one, values },
        { "body.1.weight", K_F32, 1, one, values },
        { "body.2.weight", K_F32, 4, middle, values },
        { "body.2.bias", K_F32, 1, one, values },
        { "body.3.weight", K_F32, 1, one, values },
        { "body.4.weight", K_F32, 4, last, values },
        { "body.4.bias", K_F32, 1, end, values },
    };
    char path[700];
    Error err = { 0 };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = 0.001f * (float)((int)(i % 13) - 6);
    snprintf(path, sizeof path, "%s/models/upscale_models", run.folder);
    assert_ok(file_make_dirs(path, &err), &err);
    snprintf(path, sizeof path, "%s/models/upscale_models/two.safetensors", run.folder);
    assert_ok(safetensors_write(path, items, sizeof items / sizeof *items, NULL, 0, &err),
              &err);
}

/* A workflow whose node 5 works for some time and whose node 9 saves one picture. */
typedef struct Long {
    const char *name, *text;
} Long;

#define VAE_LOADER                                                                             \
    "\"1\": {\"class_type\": \"VAELoader\", \"inputs\": {\"vae_name\": "                       \
    "\"flux2-vae.safetensors\"}}, "
#define LATENT                                                                                 \
    "\"2\": {\"class_type\": \"EmptyFlux2LatentImage\", \"inputs\": {\"width\": 768, "         \
    "\"height\": 768, "                                                                        \
    "\"batch_size\": 1}}, "
#define PICTURE                                                                                \
    "\"2\": {\"class_type\": \"EmptyImage\", \"inputs\": {\"width\": 640, \"height\": 640, "   \
    "\"batch_size\": "                                                                         \
    "1, \"color\": 255}}, "
#define SAVE(node)                                                                             \
    "\"9\": {\"class_type\": \"SaveImage\", \"inputs\": {\"images\": [\"" node                 \
    "\", 0], \"filename_prefix\": \"long\"}}}"

/* clang-format off */
static const Long longs[] = {
    { "VAEDecode", "{" VAE_LOADER LATENT
      "\"5\": {\"class_type\": \"VAEDecode\", \"inputs\": {\"samples\": [\"2\", 0], \"vae\": [\"1\", 0]}}, " SAVE("5") },
    { "VAEDecodeTiled", "{" VAE_LOADER LATENT
      "\"5\": {\"class_type\": \"VAEDecodeTiled\", \"inputs\": {\"samples\": [\"2\", 0], \"vae\": [\"1\", 0], \"tile_size\": 256, "
      "\"overlap\": 64, \"temporal_size\": 64, \"temporal_overlap\": 8}}, " SAVE("5") },
    { "VAEEncode", "{" VAE_LOADER PICTURE
      "\"5\": {\"class_type\": \"VAEEncode\", \"inputs\": {\"pixels\": [\"2\", 0], \"vae\": [\"1\", 0]}}, "
      "\"6\": {\"class_type\": \"VAEDecode\", \"inputs\": {\"samples\": [\"5\", 0], \"vae\": [\"1\", 0]}}, " SAVE("6") },
    { "ImageUpscaleWithModel", "{" PICTURE
      "\"1\": {\"class_type\": \"UpscaleModelLoader\", \"inputs\": {\"model_name\": \"two.safetensors\"}}, "
      "\"5\": {\"class_type\": \"ImageUpscaleWithModel\", \"inputs\": {\"upscale_model\": [\"1\", 0], \"image\": [\"2\", 0]}}, " SAVE("5") },
};
/* clang-format on */

static void start(const Long *l)
{
    char models[700];
    snprintf(models, sizeof models, "%s/models", run.folder);
    launch_workflow(
        &run, "run", launch_write(&run, "long.json", l->text, strlen(l->text)),
        (const char *const[]){ "--models", models, "--json", "--no-metadata", NULL });
}

/* At the moment when node 5 begins, and at others. */
static void check_long(const Long *l)
{
    start(l);
    launch_expect(&run, 0, NULL);
    size_t size = size_of("long_00001_.png");
    for (int i = 0; i < 2; i++) {
        run.wait_for = "\"executing\", \"node\": \"5\"";
        run.signal = both[i];
        start(l);
        if (run.status != 128 + both[i])
            fail_msg("%s: exit status %d after signal %d", l->name, run.status, both[i]);
        if (!strstr(run.out, "execution_interrupted") || !strstr(run.err, "interrupted"))
            fail_msg("%s: the interrupt is not told: %s%s", l->name, run.out, run.err);
        check_left(both[i], l->name, 1, size);
    }
    for (int after = 15, i = 0; after < 600; after += after / 2, i++) {
        run.interrupt_after = after;
        run.signal = both[i % 2];
        start(l);
        check_left(both[i % 2], l->name, 1, size);
    }
}

static void long_nodes_stop(void **state)
{
    (void)state;
    write_upscaler();
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++)
        check_long(&longs[i]);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantising_stops),
        cmocka_unit_test(a_file_that_was_there_stays),
        cmocka_unit_test(long_nodes_stop),
    };
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    launch_close(&run);
    return failed;
}
