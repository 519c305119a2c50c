/* test_golden.c - whole workflows in exact precision against ComfyUI's own latents and pictures.
 *
 * usage: test_golden FOLDER [NAME_PART]; FOLDER holds workflows/, expected/, input/ and models/.
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
#include "tests/workflows/golden.h"

enum { CASES_MAX = 256 };

static Golden golden;
static const char *name_part;

static void test_case(void **state)
{
    const char *name = *state;
    golden_run(&golden, name, NULL);
    double worst = golden_compare_latents(&golden, name, 1e-4);
    golden_compare_pictures(&golden, name);
    print_message("%s: worst relative error %.2g\n", name, worst);
}

/* Looser where the reference itself moves by more (its README tells why). */
static double pair_tolerance(const char *sampler)
{
    if (strncmp(sampler, "dpmpp_sde", 9) == 0) return 5e-3;
    if (strncmp(sampler, "res_multistep_ancestral", 23) == 0) return 1e-3;
    return 1e-4;
}

static void run_pair(const char *sampler, const char *scheduler, int number)
{
    char set_sampler[96], set_scheduler[96], file[64], tensor[128];
    const char *const changes[] = { set_sampler, set_scheduler, NULL };
    snprintf(set_sampler, sizeof set_sampler, "7.sampler_name=%s", sampler);
    snprintf(set_scheduler, sizeof set_scheduler, "7.scheduler=%s", scheduler);
    snprintf(tensor, sizeof tensor, "%s/%s", sampler, scheduler);
    golden_run(&golden, "matrix_klein", changes);
    snprintf(file, sizeof file, "matrix_klein_%05d_.latent", number);
    double error = golden_latent_error(&golden, file, "matrix_klein.safetensors", tensor);
    if (!(error <= pair_tolerance(sampler))) fail_msg("%s is off by %g", tensor, error);
    print_message("%s: relative error %.2g\n", tensor, error);
}

/* Sampler and scheduler are the two texts of a pair, in either notation of the list. */
static void test_matrix(void **state)
{
    char path[700];
    int number = 1;
    (void)state;
    snprintf(path, sizeof path, "%s/workflows/matrix_klein.pairs.json", golden.root);
    if (!file_exists(path)) skip();
    JsonDoc *doc = json_file(path);
    const Json *pairs = json_root(doc);
    if (json_is(pairs, JSON_OBJECT)) pairs = json_get(pairs, "pairs");
    for (const Json *p = json_first(pairs); p; p = json_next(p))
        run_pair(json_string(json_at(p, 0)), json_string(json_at(p, 1)), number++);
    assert_true(number > 50);
    json_free(doc);
}

/* Workflows of one run: the matrix has its own test. */
static bool is_case(const char *name)
{
    if (strstr(name, ".pairs") || strncmp(name, "matrix_", 7) == 0) return false;
    return !name_part || strstr(name, name_part);
}

static int add_cases(struct CMUnitTest *tests, FileList *files)
{
    int n = 0;
    for (size_t i = 0; i < files->count && n < CASES_MAX; i++) {
        char *name = files->names[i];
        name[strlen(name) - strlen(".json")] = 0;
        if (!is_case(name)) continue;
        tests[n++] =
            (struct CMUnitTest){ .name = name, .test_func = test_case, .initial_state = name };
    }
    if (!name_part || strstr("matrix", name_part))
        tests[n++] = (struct CMUnitTest){ .name = "matrix", .test_func = test_matrix };
    return n;
}

int main(int argc, char **argv)
{
    static const char *const suffixes[] = { ".json", NULL };
    struct CMUnitTest tests[CASES_MAX + 1];
    char folder[700];
    FileList files = { 0 };
    if (argc < 2) return 2;
    name_part = argc > 2 ? argv[2] : NULL;
    if (!golden_open(&golden, argv[1], "exact", 0)) {
        printf("skipped: %s holds no golden models\n", argv[1]);
        return 77;
    }
    snprintf(folder, sizeof folder, "%s/workflows", argv[1]);
    if (file_list(folder, suffixes, &files, NULL) != OK) return 2;
    int failed =
        _cmocka_run_group_tests("golden", tests, (size_t)add_cases(tests, &files), NULL, NULL);
    file_list_fini(&files);
    golden_close(&golden);
    return failed;
}
