/* test_cache.c - what is kept between runs and processes: embedded prompts, results of nodes, records for why;
 * and sub-graphs of Lua nodes.
 *
 * usage: test_cache WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

static Launch run;

/* Two prompts, four steps of 64 x 64. */
static const char workflow[] =
    "{\"1\": {\"class_type\": \"UNETLoader\", \"inputs\": {\"unet_name\": "
    "\"flux-2-klein-4b.safetensors\", \"weight_dtype\": \"default\"}},"
    "\"2\": {\"class_type\": \"CLIPLoader\", \"inputs\": {\"clip_name\": "
    "\"qwen_3_4b.safetensors\", "
    "\"type\": \"flux2\", \"device\": \"default\"}},"
    "\"3\": {\"class_type\": \"VAELoader\", \"inputs\": {\"vae_name\": "
    "\"flux2-vae.safetensors\"}},"
    "\"6\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"%s\", \"clip\": "
    "[\"2\", "
    "0]}, \"_meta\": {\"title\": \"What to draw\"}},"
    "\"7\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"\", \"clip\": "
    "[\"2\", 0]}},"
    "\"8\": {\"class_type\": \"EmptyFlux2LatentImage\", \"inputs\": {\"width\": 64, "
    "\"height\": 64, "
    "\"batch_size\": 1}},"
    "\"9\": {\"class_type\": \"KSampler\", \"inputs\": {\"seed\": %d, \"steps\": 2, \"cfg\": "
    "1.0, "
    "\"sampler_name\": \"euler\", \"scheduler\": \"simple\", \"denoise\": 1.0, \"model\": "
    "[\"1\", 0], "
    "\"positive\": [\"6\", 0], \"negative\": [\"7\", 0], \"latent_image\": [\"8\", 0]}},"
    "\"10\": {\"class_type\": \"VAEDecode\", \"inputs\": {\"samples\": [\"9\", 0], \"vae\": "
    "[\"3\", 0]}},"
    "\"11\": {\"class_type\": \"SaveImage\", \"inputs\": {\"images\": [\"10\", 0], "
    "\"filename_prefix\": \"kept\"}}}";

/* The workflow's path; it lives until the next call. */
static const char *write_flow(const char *name, const char *prompt, int seed)
{
    char text[4000];
    int n = snprintf(text, sizeof text, workflow, prompt, seed);
    return launch_write(&run, name, text, (size_t)n);
}

static char cache_dir[400];

static int fresh_cache(void **state)
{
    static int number;
    (void)state;
    snprintf(cache_dir, sizeof cache_dir, "%s/kept%d", run.folder, number++);
    launch_clear(&run);
    return 0;
}

static void run_flow(const char *file, const char *const *extra)
{
    const char *args[LAUNCH_ARGS_MAX] = { "--cache-dir", cache_dir, "--json", NULL };
    for (int n = 3; extra && *extra; extra++, n++) {
        args[n] = *extra;
        args[n + 1] = NULL;
    }
    launch_workflow(&run, "run", file, args);
    launch_expect(&run, 0, NULL);
}

/* How often a text stands in standard output. */
static int times(const char *text)
{
    int n = 0;
    for (const char *at = run.out; (at = strstr(at, text)); at += strlen(text))
        n++;
    return n;
}

#define WOKE "\"text\": \"text encoder\", \"detail\": \"RAM\""
#define FROM_DISK "\"detail\": \"prompt cache\""

static void read_picture(const char *name, char **bytes, size_t *size)
{
    char path[700];
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", run.output, name);
    assert_ok(file_read(path, (size_t)1 << 28, bytes, size, &err), &err);
}

/* ---- prompts ------------------------------------------------------------------------------------------- */

static void second_process_does_not_wake_the_encoder(void **state)
{
    char *first = NULL, *second = NULL;
    size_t first_size = 0, second_size = 0;
    (void)state;
    run_flow(write_flow("flow.json", "a cat", 1), NULL);
    assert_int_equal(times(FROM_DISK), 0);
    assert_true(times(WOKE) > 0);
    run_flow(write_flow("flow.json", "a cat", 1), NULL);
    assert_int_equal(times(FROM_DISK), 2);
    assert_int_equal(times(WOKE), 0);
    read_picture("kept_00001_.png", &first, &first_size);
    read_picture("kept_00002_.png", &second, &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    mem_free(first);
    mem_free(second);
    run_flow(write_flow("flow.json", "a dog", 1), NULL);
    assert_int_equal(times(FROM_DISK), 1);
    assert_true(times(WOKE) > 0);
}

static void prompts_can_be_kept_off_the_disk(void **state)
{
    static const char *const off[] = { "--no-prompt-cache", NULL };
    char prompts[500];
    (void)state;
    run_flow(write_flow("flow.json", "a cat", 1), off);
    run_flow(write_flow("flow.json", "a cat", 1), off);
    assert_int_equal(times(FROM_DISK), 0);
    snprintf(prompts, sizeof prompts, "%s/prompts", cache_dir);
    assert_false(file_is_dir(prompts));
}

static void bench_computes_what_it_times(void **state)
{
    char model[700], prompts[500];
    (void)state;
    snprintf(model, sizeof model, "%s/tests/data/models/text_encoders/qwen_3_4b.safetensors",
             run.source);
    snprintf(prompts, sizeof prompts, "%s/weft/prompts", cache_dir);
    setenv("XDG_CACHE_HOME", cache_dir, 1);
    launch(&run, (const char *const[]){ "bench", "encoder", "--model", model, NULL });
    unsetenv("XDG_CACHE_HOME");
    launch_expect(&run, 0, NULL);
    assert_false(file_is_dir(prompts));
}

static void a_folder_that_cannot_be_made_is_no_error(void **state)
{
    (void)state;
    snprintf(cache_dir, sizeof cache_dir, "%s",
             launch_write(&run, "not-a-folder", "x", 1)); /* a file stands in its place */
    run_flow(write_flow("flow.json", "a cat", 1), NULL);
    run_flow(write_flow("flow.json", "a cat", 1), NULL);
    assert_int_equal(times(FROM_DISK), 0);
    assert_int_equal(launch_outputs(&run), 2);
}

static void dummy_runs_keep_nothing(void **state)
{
    static const char *const dummy[] = { "--dummy", NULL };
    (void)state;
    run_flow(write_flow("flow.json", "a cat", 1), dummy);
    assert_false(file_is_dir(cache_dir));
}

/* ---- results of nodes ----------------------------------------------------------------------------------- */

/* Runs a, b, a in one process; gives what was said. */
static void run_three(const char *policy)
{
    char a[600], b[600];
    snprintf(a, sizeof a, "%s", write_flow("a.json", "a cat", 1));
    snprintf(b, sizeof b, "%s", write_flow("b.json", "a cat", 2));
    run_flow(a, (const char *const[]){ b, a, "--cache", policy, "--no-prompt-cache", NULL });
}

#define SAMPLED "\"event\": \"executing\", \"node\": \"9\""
#define ENCODED "\"event\": \"executing\", \"node\": \"6\""

static void one_process_keeps_results(void **state)
{
    (void)state;
    run_three("classic"); /* what the middle prompt did not name is gone */
    assert_int_equal(times(SAMPLED), 3);
    assert_int_equal(times(ENCODED), 1);
    run_three("lru:100");
    assert_int_equal(times(SAMPLED), 2);
    assert_int_equal(times(ENCODED), 1);
    run_three("lru:1G");
    assert_int_equal(times(SAMPLED), 2);
    run_three("lru:1K"); /* nothing that matters fits */
    assert_int_equal(times(SAMPLED), 3);
    assert_int_equal(times(ENCODED), 3);
    run_three("none");
    assert_int_equal(times(SAMPLED), 3);
    assert_int_equal(times(ENCODED), 3);
}

static void wrong_policies_are_refused(void **state)
{
    static const char *const wrong[] = { "lru",    "lru:",    "lru:0", "lru:1.5", "lru:-2",
                                         "lru:2X", "lru:2GG", "fifo",  "" };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        launch_workflow(&run, "run", write_flow("flow.json", "a cat", 1),
                        (const char *const[]){ "--cache", wrong[i], NULL });
        launch_expect(&run, 2, (const char *const[]){ "lru:N", NULL });
    }
}

/* ---- why ------------------------------------------------------------------------------------------------- */

static void ask(const char *file, const char *node, int status, const char *const *texts)
{
    char models[600];
    snprintf(models, sizeof models, "%s/tests/data/models", run.source);
    launch(&run, (const char *const[]){ "why", file, node, "--models", models, "--cache-dir",
                                        cache_dir, NULL });
    launch_expect(&run, status, NULL);
    for (; *texts; texts++)
        if (!strstr(run.out, *texts) && !strstr(run.err, *texts))
            fail_msg("no '%s' in: %s%s", *texts, run.out, run.err);
}

#define SAYS(...)                                                                              \
    (const char *const[])                                                                      \
    {                                                                                          \
        __VA_ARGS__, NULL                                                                      \
    }

static void why_names_the_input_that_changed(void **state)
{
    char file[600];
    (void)state;
    snprintf(file, sizeof file, "%s", write_flow("why.json", "a cat", 1));
    ask(file, "9", 0, SAYS("no run of", "was recorded"));
    run_flow(file, NULL);
    ask(file, "9", 0, SAYS("KSampler 9: nothing changed since the run of", "it ran then"));
    write_flow("why.json", "a dog", 1);
    ask(file, "9", 0,
        SAYS("KSampler 9 would run again because CLIPTextEncode 6 changed: text: \"a cat\" -> "
             "\"a "
             "dog\"",
             "6 -> 9 (positive)"));
    ask(file, "What to draw", 0,
        SAYS("CLIPTextEncode 6 (What to draw) would run again: text: \"a cat\" -> \"a dog\""));
    ask(file, "VAEDecode", 0, SAYS("VAEDecode 10 would run again", "6 -> 9 (positive) -> 10"));
    ask(file, "7", 0, SAYS("CLIPTextEncode 7: nothing changed"));
    ask(file, "1", 0, SAYS("UNETLoader 1: nothing changed"));
    ask(file, "99", 1, SAYS("no node '99'"));
    run_flow(file, NULL);
    ask(file, "9", 0,
        SAYS("KSampler 9: nothing changed", "KSampler 9 ran again in that run because "
                                            "CLIPTextEncode 6 changed"));
    ask(file, "7", 0, SAYS("its result came from the prompt cache on disk"));
    write_flow("why.json", "a dog", 2);
    ask(file, "11", 0, SAYS("because KSampler 9 changed: seed: 1 -> 2"));
}

static void why_sees_what_was_set(void **state)
{
    char file[600], models[600];
    (void)state;
    snprintf(models, sizeof models, "%s/tests/data/models", run.source);
    snprintf(file, sizeof file, "%s", write_flow("set.json", "a cat", 1));
    run_flow(file, (const char *const[]){ "--set", "9.steps=1", NULL });
    ask(file, "9", 0, SAYS("KSampler 9 would run again: steps: 1 -> 2"));
    launch(&run, (const char *const[]){ "why", file, "9", "--models", models, "--cache-dir",
                                        cache_dir, "--set", "9.steps=1", "--json", NULL });
    launch_expect(&run, 0, NULL);
    assert_non_null(strstr(run.out, "\"answer\": \"same\""));
}

static void why_knows_added_and_removed_nodes(void **state)
{
    static const char before[] =
        "{\"1\": {\"class_type\": \"PrimitiveString\", \"inputs\": {\"value\": \"a\"}},"
        "\"2\": {\"class_type\": \"StringConcatenate\", \"inputs\": {\"string_a\": [\"1\", 0], "
        "\"string_b\": \"b\", \"delimiter\": \"\"}},"
        "\"3\": {\"class_type\": \"PreviewAny\", \"inputs\": {\"source\": [\"2\", 0]}}}";
    static const char after[] =
        "{\"1\": {\"class_type\": \"PrimitiveString\", \"inputs\": {\"value\": \"a\"}},"
        "\"2\": {\"class_type\": \"StringConcatenate\", \"inputs\": {\"string_a\": [\"1\", 0], "
        "\"string_b\": [\"5\", 0], \"delimiter\": \"\"}},"
        "\"5\": {\"class_type\": \"PrimitiveString\", \"inputs\": {\"value\": \"c\"}},"
        "\"3\": {\"class_type\": \"PreviewAny\", \"inputs\": {\"source\": [\"2\", 0]}}}";
    char file[600];
    (void)state;
    snprintf(file, sizeof file, "%s",
             launch_write(&run, "nodes.json", before, sizeof before - 1));
    run_flow(file, NULL);
    launch_write(&run, "nodes.json", after, sizeof after - 1);
    ask(file, "3", 0,
        SAYS("because StringConcatenate 2 changed: string_b: \"b\" -> [\"5\", 0]"));
    ask(file, "5", 0,
        SAYS("PrimitiveString 5 would run again: the run of", "had no such node"));
    ask(file, "1", 0, SAYS("nothing changed"));
}

/* A subgraph in a subgraph, twice, as the editor saves it: 12:4 -> 12:5:N -> 20, and 13:4 -> 13:5:N -> 21. The node
 * inside is node 1 there, which stands outside as well, so that it gets another id. */
static const char *write_subgraphs(const char *name, const char *outer, const char *inner,
                                   const char *deep, bool lowered)
{
    static char file[700];
    const char *const words[][2] = { { "OUTER", outer }, { "INNER", inner }, { "DEEP", deep } };
    char path[700], *text = NULL;
    size_t size = 0;
    Error err = { 0 };
    Str s = { 0 };
    snprintf(path, sizeof path, "%s/tests/data/why/subgraphs.json", run.source);
    assert_ok(file_read(path, 1 << 20, &text, &size, &err), &err);
    for (const char *at = text; *at;) {
        size_t i = 0, n = 0;
        for (; i < 3 && n == 0; i++)
            if (str_starts_with(at, words[i][0])) n = strlen(words[i][0]);
        if (n > 0)
            str_add(&s, words[i - 1][1]);
        else
            str_add_char(&s, *at);
        at += n ? n : 1;
    }
    snprintf(file, sizeof file, "%s", launch_write(&run, name, s.text, s.length));
    str_fini(&s);
    mem_free(text);
    if (!lowered) return file;
    launch(&run, (const char *const[]){ "convert", file, NULL });
    launch_expect(&run, 0, NULL);
    snprintf(file, sizeof file, "%s", launch_write(&run, name, run.out, strlen(run.out)));
    return file;
}

/* The same answers for the editor's document and the API document that it becomes. */
static void why_finds_nodes_of_subgraphs(void **state)
{
    (void)state;
    for (int lowered = 0; lowered < 2; lowered++) {
        const char *name = lowered ? "api.json" : "ui.json";
        const char *file = write_subgraphs(name, "a", "b", "c", lowered);
        run_flow(file, NULL);
        ask(file, "12:4", 0, SAYS("StringConcatenate 12:4", "nothing changed"));
        write_subgraphs(name, "a", "B", "c", lowered);
        ask(file, "12:4", 0,
            SAYS("12:4 (Concatenate) would run again: string_b: \"b\" -> \"B\""));
        ask(file, "13:4", 0,
            SAYS("13:4 (Concatenate) would run again: string_b: \"b\" -> \"B\""));
        ask(file, "20", 0,
            SAYS("PreviewAny 20", "because StringConcatenate 12:4 changed: string_b",
                 "12:4 -> 12:5:", "(string_a) -> 20 (source)"));
        ask(file, "21", 0, SAYS("because StringConcatenate 13:4 changed", "13:4 -> 13:5:"));
        ask(file, "22", 0, SAYS("nothing changed"));
        ask(file, "3", 0, SAYS("PrimitiveString 3", "nothing changed"));
        write_subgraphs(name, "a", "b", "C", lowered);
        ask(file, "12:4", 0, SAYS("nothing changed"));
        ask(file, "21", 0, SAYS("because StringConcatenate 13:5:", "string_b: \"c\" -> \"C\""));
        write_subgraphs(name, "A", "b", "c", lowered);
        ask(file, "13:4", 0,
            SAYS("because PrimitiveString 1 changed: value: \"a\" -> \"A\"",
                 "1 -> 13:4 (string_a)"));
        ask(file, "4", 1, SAYS("names no single node", "12:4 (StringConcatenate), 13:4 ("));
        ask(file, "12", 1, SAYS("names no single node", "12:4 (StringConcatenate), 12:5:"));
        ask(file, "13:5:1", 1, SAYS("names no single node", "13:5:"));
        ask(file, "14:4", 1, SAYS("no node '14:4'"));
    }
}

static void damaged_records_count_as_none(void **state)
{
    FileList list = { 0 };
    char file[600], runs[500], path[700];
    Error err = { 0 };
    (void)state;
    snprintf(file, sizeof file, "%s", write_flow("damaged.json", "a cat", 1));
    run_flow(file, NULL);
    snprintf(runs, sizeof runs, "%s/runs", cache_dir);
    assert_ok(file_list(runs, NULL, &list, &err), &err);
    assert_int_equal(list.count, 1);
    snprintf(path, sizeof path, "%s/%s", runs, list.names[0]);
    file_list_fini(&list);
    static const char *const texts[] = {
        "{\"version\": 1, \"runs\": [",    "{}", "[]", "{\"version\": 1, \"runs\": {}}",
        "{\"version\": 1, \"runs\": [5]}", ""
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_ok(file_write(path, texts[i], strlen(texts[i]), &err), &err);
        ask(file, "9", 0, SAYS(""));
    }
    run_flow(file, NULL);
    ask(file, "9", 0, SAYS("nothing changed"));
}

/* ---- interrupts ------------------------------------------------------------------------------------------ */

static void all_files_are_whole(const char *folder, const char *ending, size_t least)
{
    FileList list = { 0 };
    char path[900], *bytes = NULL;
    size_t size = 0;
    Error err = { 0 };
    assert_ok(file_list(folder, NULL, &list, &err), &err);
    for (size_t i = 0; i < list.count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list.names[i]);
        if (!str_ends_with(path, ending)) fail_msg("%s was left behind", path);
        assert_ok(file_read(path, (size_t)1 << 28, &bytes, &size, &err), &err);
        if (size < least) fail_msg("%s holds %zu bytes", path, size);
        if (strcmp(ending, ".png") == 0 && memcmp(bytes + size - 8, "IEND", 4) != 0)
            fail_msg("%s is cut short", path);
        mem_free(bytes);
    }
    file_list_fini(&list);
}

/* A signal at any moment: the run ends with 130, or it was done, and no part of a file stays. */
static void interrupts_leave_no_part_of_a_file(void **state)
{
    char file[600], folder[600];
    int stopped = 0;
    (void)state;
    for (int after = 2; after < 400; after += 1 + after / 8) {
        char prompt[32];
        snprintf(prompt, sizeof prompt, "cat %d", after);
        snprintf(file, sizeof file, "%s", write_flow("stop.json", prompt, after));
        run.interrupt_after = after;
        launch_workflow(&run, "run", file,
                        (const char *const[]){ "--cache-dir", cache_dir, NULL });
        if (run.status != 0 && run.status != 130)
            fail_msg("after %d ms: exit status %d: %s", after, run.status, run.err);
        stopped += run.status == 130;
    }
    assert_true(stopped > 3);
    all_files_are_whole(run.output, ".png", 100);
    snprintf(folder, sizeof folder, "%s/prompts", cache_dir);
    all_files_are_whole(folder, ".cond", 1000);
    snprintf(folder, sizeof folder, "%s/runs", cache_dir);
    all_files_are_whole(folder, ".json", 100);
}

/* ---- sub-graphs of scripts ------------------------------------------------------------------------------- */

static const char join_script[] =
    "return { kind = 'node', name = 'join', doc = 'A text twice, by nodes of its own.',\n"
    "  inputs = { { name = 'text', type = 'STRING', default = 'a', doc = 'x' },\n"
    "             { name = 'stop', type = 'BOOLEAN', default = false, doc = 'x' } },\n"
    "  outputs = { { name = 'text', type = 'STRING', doc = 'x' } },\n"
    "  run = function(i)\n"
    "    if i.stop then return { { block = 'stopped here' } } end\n"
    "    return { expand = {\n"
    "      one = { class_type = 'StringConcatenate', inputs = { string_a = i.text, string_b = "
    "i.text, delimiter = '-' } },\n"
    "      two = { class_type = 'StringConcatenate', inputs = { string_a = { 'one', 0 }, "
    "string_b = '!', delimiter = '' } } },\n"
    "      result = { { 'two', 0 } } }\n"
    "  end }\n";

static void scripts_expand(void **state)
{
    char folder[400], path[500], text[700];
    Error err = { 0 };
    (void)state;
    snprintf(folder, sizeof folder, "%s/lua", run.folder);
    mkdir(folder, 0755);
    snprintf(path, sizeof path, "%s/join.lua", folder);
    assert_ok(file_write(path, join_script, sizeof join_script - 1, &err), &err);
    for (int stop = 0; stop < 2; stop++) {
        int n =
            snprintf(text, sizeof text,
                     "{\"1\": {\"class_type\": \"Lua.join\", \"inputs\": {\"text\": \"ab\", "
                     "\"stop\": %s}}, \"3\": {\"class_type\": \"PreviewAny\", \"inputs\": "
                     "{\"source\": [\"1\", 0]}}}",
                     stop ? "true" : "false");
        run_flow(launch_write(&run, "join.json", text, (size_t)n),
                 (const char *const[]){ "--lua", folder, NULL });
        if (stop) {
            assert_non_null(
                strstr(run.out, "\"event\": \"execution_blocked\", \"node\": \"3\""));
            assert_non_null(strstr(run.out, "stopped here"));
            assert_null(strstr(run.out, "\"event\": \"executed\""));
        } else {
            assert_non_null(
                strstr(run.out, "\"node\": \"1.0.0.two\", \"display_node\": \"1\""));
            assert_non_null(strstr(run.out, "ab-ab!"));
        }
        assert_non_null(strstr(run.out, "execution_success"));
    }
    launch(&run, (const char *const[]){ "lua", "check", path, NULL });
    launch_expect(&run, 0, NULL);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(second_process_does_not_wake_the_encoder, fresh_cache),
        cmocka_unit_test_setup(prompts_can_be_kept_off_the_disk, fresh_cache),
        cmocka_unit_test_setup(bench_computes_what_it_times, fresh_cache),
        cmocka_unit_test_setup(a_folder_that_cannot_be_made_is_no_error, fresh_cache),
        cmocka_unit_test_setup(dummy_runs_keep_nothing, fresh_cache),
        cmocka_unit_test_setup(one_process_keeps_results, fresh_cache),
        cmocka_unit_test_setup(wrong_policies_are_refused, fresh_cache),
        cmocka_unit_test_setup(why_names_the_input_that_changed, fresh_cache),
        cmocka_unit_test_setup(why_sees_what_was_set, fresh_cache),
        cmocka_unit_test_setup(why_knows_added_and_removed_nodes, fresh_cache),
        cmocka_unit_test_setup(why_finds_nodes_of_subgraphs, fresh_cache),
        cmocka_unit_test_setup(damaged_records_count_as_none, fresh_cache),
        cmocka_unit_test_setup(interrupts_leave_no_part_of_a_file, fresh_cache),
        cmocka_unit_test_setup(scripts_expand, fresh_cache),
    };
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    launch_close(&run);
    return failed;
}
