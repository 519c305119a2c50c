/* test_plan.c - what `weft plan` says is what `weft run` then does: memory, limits, drawings, missing files.
 *
 * usage: test_plan WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

#define MIB (1 << 20)

static Launch run;

/* "key": number in one line of JSON; the last one. */
static long long number_after(const char *text, const char *key)
{
    const char *at = NULL, *next = text;
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    while ((next = strstr(next, quoted)))
        at = next++;
    if (!at) fail_msg("no %s in %.400s", key, text);
    return strtoll(at + strlen(quoted), NULL, 10);
}

static const char *file_of(const char *name)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/%s", run.source, name);
    return path;
}

static const char *prompts = "--no-prompt-cache";

static void start(const char *command, const char *file, const char *const *extra)
{
    static const char *args[LAUNCH_ARGS_MAX];
    static char models[600], input[600];
    int n = 0;

    snprintf(models, sizeof models, "%s/tests/data/models", run.source);
    snprintf(input, sizeof input, "%s/tests/data/input", run.source);
    const char *const fixed[] = { command,    file,       "--models",  models, "--input", input,
                                  "--output", run.output, "--threads", "2",    prompts };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        args[n++] = fixed[i];
    for (int i = 0; extra && extra[i]; i++)
        args[n++] = extra[i];
    args[n] = NULL;
    launch(&run, args);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void same_peak(const char *file, const char *residency, const char *extra)
{
    const char *const options[] = { "--json", "--residency", residency, extra, NULL };

    start("plan", file, options);
    launch_expect(&run, 0, NULL);
    long long planned = number_after(run.out, "ram_peak");
    start("run", file, options);
    launch_expect(&run, 0, NULL);
    long long used = number_after(run.out, "ram_peak"), off = planned - used;
    print_message("%s, %s: planned %.1f MiB, used %.1f MiB\n", strrchr(file, '/') + 1,
                  residency, (double)planned / MIB, (double)used / MIB);
    if (off > 16 * MIB || off < -16 * MIB)
        fail_msg("%s: planned %lld MiB, used %lld MiB", file, planned / MIB, used / MIB);
    launch_clear(&run);
}

static void test_peak(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* a sanitizer's own memory is no part of the plan */
#endif
    same_peak(file_of(*state), "sequential", NULL);
    same_peak(file_of(*state), "hybrid", NULL);
}

static void test_peak_exact(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    same_peak(file_of(*state), "auto", "--precision=exact");
}

static const char pictures[] =
    "{\"1\": {\"class_type\": \"EmptyImage\", \"inputs\": {\"width\": 2000, \"height\": 1500, "
    "\"batch_size\": 1, \"color\": 255}}, \"2\": {\"class_type\": \"SaveImage\", \"inputs\": "
    "{\"images\": [\"1\", 0], \"filename_prefix\": \"a\"}}}";

/* Writing a picture takes three times its samples. */
static void test_peak_of_writing(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    same_peak(launch_write(&run, "pictures.json", pictures, strlen(pictures)), "auto", NULL);
    launch_clear(&run);
}

/* ---- what a plan says ------------------------------------------------------------------------ */

static void test_json(void **state)
{
    static const char *const extra[] = { "--json", NULL };
    JsonDoc *doc = NULL;
    Error err = { 0 };

    start("plan", file_of(*state), extra);
    launch_expect(&run, 0, NULL);
    assert_ok(json_parse(run.out, strlen(run.out), &doc, &err), &err);
    const Json *root = json_root(doc), *steps = json_get(root, "steps");
    assert_int_equal(json_count(json_get(root, "components")), 3);
    assert_true(number_after(run.out, "vram_peak") == 0);
    assert_true(number_after(run.out, "flops") > 1000000000);
    double seconds = json_double(json_get(root, "seconds")), sum = 0;
    int evaluations = 0;
    for (const Json *s = json_first(steps); s; s = json_next(s)) {
        const Json *zones = json_get(s, "zones");
        assert_int_equal(json_count(zones), 3);
        sum += json_double(json_get(s, "seconds"));
        evaluations += (int)json_double(json_get(s, "evaluations"));
        if (strcmp(json_string(json_get(s, "class_type")), "VAEDecode") == 0)
            assert_non_null(strstr(json_string(json_get(s, "result")), "IMAGE [1, "));
    }
    assert_true(evaluations >= 3);
    assert_true(sum > 0 && seconds >= sum);
    json_free(doc);
}

static void test_calibration_is_kept(void **state)
{
    static const char *const again[] = { "--json", "--recalibrate", NULL };
    char path[700];
    FILE *f;

    start("plan", file_of(*state), again);
    launch_expect(&run, 0, NULL);
    snprintf(path, sizeof path, "ls %s/cache/weft/speed-2-*.txt >%s/list", run.folder,
             run.folder);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/list", run.folder);
    assert_non_null(f = fopen(path, "r"));
    fclose(f);
}

static void test_drawings(void **state)
{
    static const char *const svg[] = { "--svg", NULL }, *const dot[] = { "--format", "dot",
                                                                         NULL };

    start("plan", file_of(*state), svg);
    launch_expect(&run, 0, NULL);
    assert_memory_equal(run.out, "<svg xmlns=", 11);
    assert_non_null(strstr(run.out, ">VAEDecode</text>"));
    assert_non_null(strstr(run.out, "RAM peak"));
    assert_null(strstr(run.out, "class=\"badge\">"));
    start("plan", file_of(*state), dot);
    launch_expect(&run, 0, NULL);
    assert_memory_equal(run.out, "digraph ", 8);
    assert_non_null(strstr(run.out, "cluster_decode"));
    assert_non_null(strstr(run.out, "\" -> \""));
}

/* What cannot be planned is drawn all the same, with the node that is wrong marked. */
static void test_problem_is_drawn(void **state)
{
    static const char *const svg[] = { "--svg", "--set", "24.sigmas=5", NULL };

    start("plan", file_of(*state), svg);
    launch_expect(&run, 1, (const char *const[]){ "24", NULL });
    assert_non_null(strstr(run.out, "class=\"badge\">E2"));
    assert_non_null(strstr(run.out, "stroke=\"#c62828\""));
}

/* After a run the prompt lies on the disk, and the plan of the next one wakes no text encoder. */
static void test_prompt_cache(void **state)
{
    static const char *const json[] = { "--json", NULL };
    static char folder[400];
    const char *file = file_of(*state);

    snprintf(folder, sizeof folder, "--cache-dir=%s/prompts", run.folder);
    prompts = folder;
    start("plan", file, json);
    launch_expect(&run, 0, NULL);
    assert_null(strstr(run.out, "\"prompt_cached\": true"));
    assert_non_null(strstr(run.out, "\"name\": \"text encoder\""));
    start("run", file, NULL);
    launch_expect(&run, 0, NULL);
    start("plan", file, json);
    launch_expect(&run, 0, NULL);
    assert_non_null(strstr(run.out, "\"prompt_cached\": true"));
    assert_null(strstr(run.out, "\"name\": \"text encoder\""));
    prompts = "--no-prompt-cache";
    launch_clear(&run);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static long long planned_peak(const char *file, const char *const *extra)
{
    const char *options[16] = { "--json" };
    for (int i = 0; extra && extra[i]; i++)
        options[i + 1] = extra[i];
    start("plan", file, options);
    launch_expect(&run, 0, NULL);
    return number_after(run.out, "ram_peak");
}

/* The refusal names a change; its peak is that of a plan with the change. */
static void refused(const char *file, long long limit, const char *change)
{
    char size[32];
    const char *const options[] = { "--ram-limit", size, NULL };

    snprintf(size, sizeof size, "%lld", limit);
    for (int i = 0; i < 2; i++) {
        start(i ? "run" : "plan", file, options);
        launch_expect(
            &run, 3,
            (const char *const[]){ "the limit is", change, "would fit: it needs", NULL });
        assert_int_equal(launch_outputs(&run), 0);
    }
    const char *needs = strstr(run.err, "it needs ");
    assert_true(strtoll(needs + 9, NULL, 10) * MIB <= limit + MIB);
}

static void test_limit_names_tiles(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    refused(file_of(*state), planned_peak(file_of(*state), NULL) - 60 * MIB, "VAEDecodeTiled");
}

static void test_limit_names_quantised_file(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    refused(file_of(*state), planned_peak(file_of(*state), NULL) - 3 * MIB,
            "flux-2-klein-4b-fp8.safetensors in place of flux-2-klein-4b.safetensors");
}

static void test_limit_is_kept(void **state)
{
    const char *file = file_of(*state);
    char size[32];
    const char *const options[] = { "--ram-limit", size, NULL };

    snprintf(size, sizeof size, "%lld", planned_peak(file, NULL) + 16 * MIB);
    start("run", file, options);
    launch_expect(&run, 0, NULL);
    launch_clear(&run);
}

/* ---- missing files --------------------------------------------------------------------------- */

static const char two_families[] =
    "{\"1\": {\"class_type\": \"VAELoader\", \"inputs\": {\"vae_name\": "
    "\"small.safetensors\"}},"
    "\"2\": {\"class_type\": \"EmptyFlux2LatentImage\", \"inputs\": {\"width\": 256, "
    "\"height\": 256, \"batch_size\": 1}},"
    "\"3\": {\"class_type\": \"VAEDecode\", \"inputs\": {\"samples\": [\"2\", 0], \"vae\": "
    "[\"1\", 0]}},"
    "\"4\": {\"class_type\": \"SaveImage\", \"inputs\": {\"images\": [\"3\", 0], "
    "\"filename_prefix\": \"a\"}},"
    "\"11\": {\"class_type\": \"VAELoader\", \"inputs\": {\"vae_name\": "
    "\"other.safetensors\"}},"
    "\"12\": {\"class_type\": \"UNETLoader\", \"inputs\": {\"unet_name\": "
    "\"flux1-dev-fp8.safetensors\", \"weight_dtype\": \"default\"}},"
    "\"13\": {\"class_type\": \"LoadImage\", \"inputs\": {\"image\": \"nowhere.png\"}},"
    "\"14\": {\"class_type\": \"VAEEncode\", \"inputs\": {\"pixels\": [\"13\", 0], \"vae\": "
    "[\"11\", 0]}},"
    "\"15\": {\"class_type\": \"DualCLIPLoader\", \"inputs\": {\"clip_name1\": "
    "\"clip_l.safetensors\", \"clip_name2\": \"t5xxl_fp16.safetensors\", \"type\": \"flux\"}},"
    "\"16\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"a\", \"clip\": "
    "[\"15\", 0]}},"
    "\"17\": {\"class_type\": \"KSampler\", \"inputs\": {\"model\": [\"12\", 0], \"seed\": 1, "
    "\"steps\": 1, \"cfg\": 1.0, \"sampler_name\": \"euler\", \"scheduler\": \"simple\", "
    "\"positive\": [\"16\", 0], \"negative\": [\"16\", 0], \"latent_image\": [\"14\", 0], "
    "\"denoise\": 1.0}},"
    "\"18\": {\"class_type\": \"VAEDecode\", \"inputs\": {\"samples\": [\"17\", 0], \"vae\": "
    "[\"11\", 0]}},"
    "\"19\": {\"class_type\": \"SaveImage\", \"inputs\": {\"images\": [\"18\", 0], "
    "\"filename_prefix\": \"b\"}}}";

/* A name that tells nothing takes the family of the loaders around it; each half of the file has its own. */
static void test_missing_files(void **state)
{
    (void)state;
    static const char *const dummy[] = { "--dummy", NULL };
    const char *file = launch_write(&run, "two.json", two_families, strlen(two_families));

    for (int i = 0; i < 2; i++) {
        start(i ? "plan" : "run", file, i ? NULL : dummy);
        launch_expect(&run, 0,
                      (const char *const[]){
                          "small.safetensors is missing; sizes of the FLUX.2 VAE are taken",
                          "other.safetensors is missing; sizes of the FLUX.1 VAE are taken",
                          "picture nowhere.png is missing; 1024 x 1024 pixels are assumed",
                          NULL });
    }
    assert_non_null(strstr(run.out, "LATENT [1, 16, 128, 128]"));
    start("run", file, NULL);
    assert_int_equal(run.status, 1);
}

/* A name of the plan's components, and the bytes that follow it there; -1 when it is not there. */
static long long component_bytes(const char *file)
{
    const char *at = strstr(run.out, file), *bytes = at ? strstr(at, "\"bytes\": ") : NULL;
    return bytes ? strtoll(bytes + strlen("\"bytes\": "), NULL, 10) : -1;
}

/* The name of a file that is missing tells how wide its numbers are: of transformers and of text encoders. */
static void test_missing_names_tell_widths(void **state)
{
    static const struct {
        const char *t5, *class_type, *more;
        double bytes; /* for each value */
    } cases[] = {
        { "t5xxl.safetensors", "DualCLIPLoader", ", \"device\": \"default\"", 2 },
        { "t5xxl_fp8_e4m3fn.safetensors", "DualCLIPLoader", ", \"device\": \"default\"", 1 },
        { "t5xxl_fp8_e4m3fn_scaled.safetensors", "DualCLIPLoader", "", 1 },
        { "t5-v1_1-xxl-encoder-Q8_0.gguf", "DualCLIPLoaderGGUF", "", 34.0 / 32 },
        { "t5-v1_1-xxl-encoder-Q4_K_M.gguf", "DualCLIPLoaderGGUF", "", 144.0 / 256 },
    };
    long long most = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1500];
        int n = snprintf(
            text, sizeof text,
            "{\"1\": {\"class_type\": \"%s\", \"inputs\": {\"clip_name1\": "
            "\"clip_l.safetensors\", "
            "\"clip_name2\": \"%s\", \"type\": \"flux\"%s}},"
            "\"2\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"a\", "
            "\"clip\": "
            "[\"1\", 0]}},"
            "\"3\": {\"class_type\": \"PreviewAny\", \"inputs\": {\"source\": [\"2\", 0]}}}",
            cases[i].class_type, cases[i].t5, cases[i].more);
        start("plan", launch_write(&run, "t5.json", text, (size_t)n),
              (const char *const[]){ "--json", NULL });
        launch_expect(&run, 0, NULL);
        long long bytes = component_bytes(cases[i].t5);
        if (i == 0) most = bytes;
        assert_true(most >
                    9000000000); /* T5-XXL's encoder in BF16, its embeddings not counted */
        double want = (double)most * cases[i].bytes / 2;
        if ((double)bytes < 0.99 * want || (double)bytes > 1.01 * want)
            fail_msg("%s: %lld bytes, about %.0f are wanted", cases[i].t5, bytes, want);
    }
}

/* ---- main ------------------------------------------------------------------------------------ */

static int teardown(void **state)
{
    (void)state;
    launch_close(&run);
    return 0;
}

int main(int argc, char **argv)
{
    static char t2i[] = "tests/data/workflows/klein_t2i_template.json",
                edit[] = "tests/data/workflows/klein_edit_2ref.json",
                batch[] = "tests/data/workflows/klein_t2i_batch2.json",
                tiled[] = "tests/data/workflows/klein_latentupscaleby_tiled_decode.json",
                dev[] = "tests/data/workflows/flux2dev_guidance4.json",
                large[] = "graphs/flux2_klein_text_to_image.json";
    const struct CMUnitTest tests[] = {
        { "peak, text to image", test_peak, NULL, NULL, t2i },
        { "peak, edit", test_peak, NULL, NULL, edit },
        { "peak, batch", test_peak, NULL, NULL, batch },
        { "peak, tiles", test_peak, NULL, NULL, tiled },
        { "peak, dev", test_peak, NULL, NULL, dev },
        { "peak, 1024 x 1024", test_peak, NULL, NULL, large },
        { "peak, exact", test_peak_exact, NULL, NULL, t2i },
        cmocka_unit_test(test_peak_of_writing),
        { "json", test_json, NULL, NULL, t2i },
        { "calibration is kept", test_calibration_is_kept, NULL, NULL, t2i },
        { "prompt cache", test_prompt_cache, NULL, NULL, t2i },
        { "drawings", test_drawings, NULL, NULL, t2i },
        { "problem is drawn", test_problem_is_drawn, NULL, NULL, large },
        { "limit, tiles", test_limit_names_tiles, NULL, NULL, large },
        { "limit, quantised file", test_limit_names_quantised_file, NULL, NULL, t2i },
        { "limit, kept", test_limit_is_kept, NULL, NULL, t2i },
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_missing_names_tell_widths),
    };
    static char cache[400];
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    snprintf(cache, sizeof cache, "%s/cache", run.folder);
    setenv("XDG_CACHE_HOME", cache, 1);
    return cmocka_run_group_tests_name("plan", tests, NULL, teardown);
}
