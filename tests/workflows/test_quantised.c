/* test_quantised.c - saved workflows on models that `weft quantize` made: the result stays within what the coding loses. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/quantize.h"
#include "tests/unit/support.h"
#include "tests/workflows/golden.h"

typedef struct Row {
    const char *workflow, *folder, *model; /* model: name without ending, in models/<folder> */
    const char *type;
    const char *from, *to; /* this loader class gives way to that one; NULL = it stays */
    double least, most; /* relative L2 of the latent against the one of the unquantised model */
} Row;

/* clang-format off */
static const Row own[] = {
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "int8", NULL, NULL, 5e-4, 8e-3 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "fp8_e4m3fn", NULL, NULL, 1e-3, 2e-2 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "fp8_e5m2", NULL, NULL, 3e-3, 4e-2 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "w4a8", NULL, NULL, 3e-3, 6e-2 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "nf4", "UNETLoader", "UNETLoaderNF4", 3e-3, 7e-2 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "Q8_0", "UNETLoader", "UnetLoaderGGUF", 2e-4, 4e-3 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "Q5_1", "UNETLoader", "UnetLoaderGGUF", 1e-3, 3e-2 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "Q3_K", "UNETLoader", "UnetLoaderGGUF", 5e-3, 0.1 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "Q4_K", "UNETLoader", "UnetLoaderGGUF", 3e-3, 6e-2 },
    { "klein_t2i_template", "diffusion_models", "flux-2-klein-4b", "IQ4_XS", "UNETLoader", "UnetLoaderGGUF", 3e-3, 6e-2 },
    { "klein_t2i_template", "text_encoders", "qwen_3_4b", "int8", NULL, NULL, 1e-5, 2e-2 },
    { "klein_t2i_template", "text_encoders", "qwen_3_4b", "Q8_0", "CLIPLoader", "CLIPLoaderGGUF", 1e-5, 2e-2 },
};
static const Row reference[] = {
    { "flux1_dev_template", "diffusion_models", "tiny-flux1-dev", "int8", NULL, NULL, 2e-4, 2e-2 },
    { "flux1_dev_template", "diffusion_models", "tiny-flux1-dev", "nf4", "UNETLoader", "UNETLoaderNF4", 1e-3, 0.1 },
    { "flux1_dev_template", "text_encoders", "tiny-t5xxl", "Q8_0", "DualCLIPLoader", "DualCLIPLoaderGGUF", 1e-6, 2e-2 },
    { "flux1_checkpoint_fp8", "checkpoints", "tiny-flux1-schnell-fp8", "nf4", "CheckpointLoaderSimple", "CheckpointLoaderNF4", 1e-3, 0.15 },
};
/* clang-format on */

static const char *source; /* root of the source tree; set once at the start */

/* ---- a folder with everything but the one model --------------------------------------------------------------- */

static void link_into(const char *root, const char *to, const char *name)
{
    char *from = file_join(root, name), *at = file_join(to, name);

    assert_true(from && at);
    if (from[0] != '/') fail_msg("%s is no absolute path", from);
    assert_int_equal(symlink(from, at), 0);
    mem_free(from);
    mem_free(at);
}

static bool is_gguf(const Row *r)
{
    return r->type[0] == 'Q' || r->type[0] == 'I' || r->type[0] == 'F' || r->type[0] == 'B';
}

static void replace(Str *s, const char *text, const char *from, const char *to)
{
    const char *hit;

    for (; (hit = strstr(text, from)); text = hit + strlen(from)) {
        str_add_n(s, text, (size_t)(hit - text));
        str_add(s, to);
    }
    str_add(s, text);
}

/* The workflow with the new file's name and the loader's class in place. */
static void copy_workflow(const char *root, const char *to, const Row *r)
{
    char path[900], old[128], new[128];
    char *text = NULL;
    size_t size = 0;
    Str named = { 0 };
    Error err = { 0 };

    snprintf(path, sizeof path, "%s/workflows/%s.json", root, r->workflow);
    assert_ok(file_read(path, 1 << 20, &text, &size, &err), &err);
    snprintf(old, sizeof old, "%s.safetensors", r->model);
    snprintf(new, sizeof new, "%s.%s", r->model, is_gguf(r) ? "gguf" : "safetensors");
    replace(&named, text, old, new);
    if (r->from) {
        Str other = { 0 };
        snprintf(old, sizeof old, "\"%s\"", r->from);
        snprintf(new, sizeof new, "\"%s\"", r->to);
        replace(&other, named.text, old, new);
        str_fini(&named);
        named = other;
    }
    snprintf(path, sizeof path, "%s/workflows/%s.json", to, r->workflow);
    assert_ok(file_write(path, named.text, named.length, &err), &err);
    str_fini(&named);
    mem_free(text);
}

static void link_models(const char *root, const char *to, const Row *r)
{
    char from[900], at[900], taken[128];
    FileList files = { 0 };
    Error err = { 0 };

    snprintf(from, sizeof from, "%s/models", root);
    snprintf(at, sizeof at, "%s/models", to);
    snprintf(taken, sizeof taken, "%s/%s.safetensors", r->folder, r->model);
    assert_ok(file_list(from, NULL, &files, &err), &err);
    for (size_t i = 0; i < files.count; i++) {
        char folder[1100];
        snprintf(folder, sizeof folder, "%s/%.*s", at,
                 (int)(strrchr(files.names[i], '/') - files.names[i]), files.names[i]);
        assert_ok(file_make_dirs(folder, &err), &err);
        if (strcmp(files.names[i], taken) != 0) link_into(from, at, files.names[i]);
    }
    file_list_fini(&files);
}

static void quantise(const char *root, const char *to, const Row *r)
{
    char in[900], out[900];
    QuantizeReport report;
    Error err = { 0 };
    const QuantizeOptions options = { .type = r->type };

    snprintf(in, sizeof in, "%s/models/%s/%s.safetensors", root, r->folder, r->model);
    snprintf(out, sizeof out, "%s/models/%s/%s.%s", to, r->folder, r->model,
             is_gguf(r) ? "gguf" : "safetensors");
    assert_ok(quantize_file(in, out, &options, &report, &err), &err);
    assert_true(report.count > 4 && report.kept > 4);
    assert_true(report.relative > 0 && report.relative < 0.2);
    assert_true(report.bytes_to < report.bytes_from || r->folder[0] == 'c');
    quantize_report_fini(&report);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void run_row(const char *root, const Row *r)
{
    char folder[] = "/tmp/weft-quantised-XXXXXX", path[900], file[256], expected[256];
    Golden g;
    Weights *w = NULL;
    Error err = { 0 };

    assert_non_null(mkdtemp(folder));
    link_into(root, folder, "expected");
    link_into(root, folder, "input");
    snprintf(path, sizeof path, "%s/workflows", folder);
    assert_ok(file_make_dirs(path, &err), &err);
    copy_workflow(root, folder, r);
    link_models(root, folder, r);
    quantise(root, folder, r);
    assert_true(golden_open(&g, folder, "exact", 0));
    golden_run(&g, r->workflow, NULL);
    snprintf(expected, sizeof expected, "%s.safetensors", r->workflow);
    snprintf(path, sizeof path, "%s/expected/%s", root, expected);
    assert_ok(weights_open(path, NULL, &w, &err), &err);
    const char *tensor = weights_name(w, 0), *dot = strchr(tensor, '.');
    snprintf(file, sizeof file, "%s%s%s_00001_.latent", r->workflow, dot ? "_" : "",
             dot ? dot + 1 : "");
    double error = golden_latent_error(&g, file, expected, tensor);
    print_message("%s, %s as %s: %.2g\n", r->workflow, r->model, r->type, error);
    if (!(error >= r->least && error <= r->most))
        fail_msg("%s, %s as %s: %g is not within %g and %g", r->workflow, r->model, r->type,
                 error, r->least, r->most);
    weights_unref(w);
    golden_close(&g);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_own(void **state)
{
    char root[700];

    (void)state;
    snprintf(root, sizeof root, "%s/tests/data", source);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        run_row(root, &own[i]);
}

static void test_reference(void **state)
{
    char root[700], *real;

    (void)state;
    if (!shared_path("golden", root, sizeof root)) skip();
    real = realpath(root, NULL);
    assert_non_null(real);
    for (size_t i = 0; i < sizeof reference / sizeof *reference; i++)
        run_row(real, &reference[i]);
    free(real);
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------------ */

static void check_refusal(const char *in, const char *out, const char *type, Status want,
                          const char *text)
{
    QuantizeReport report;
    Error err = { 0 };
    char said[2048];
    const QuantizeOptions options = { .type = type };

    assert_int_equal(quantize_file(in, out, &options, &report, &err), want);
    error_format(&err, said, sizeof said);
    if (!strstr(said, text)) fail_msg("%s does not say %s", said, text);
    quantize_report_fini(&report);
}

static void test_refusals(void **state)
{
    char folder[] = "/tmp/weft-quantised-XXXXXX", in[900], out[128], vae[900];
    Error err = { 0 };

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(in, sizeof in, "%s/tests/data/models/diffusion_models/flux-2-klein-4b.safetensors",
             source);
    snprintf(vae, sizeof vae, "%s/tests/data/models/vae/flux2-vae.safetensors", source);
    snprintf(out, sizeof out, "%s/a.safetensors", folder);
    check_refusal(in, out, "Q9", E_USAGE, "Q4_K");
    check_refusal(in, out, "Q4_K", E_USAGE, ".gguf");
    check_refusal(vae, out, "int8", E_USAGE, "no matrix");
    check_refusal("absent.safetensors", out, "int8", E_IO, "absent");
    assert_false(file_exists(out));
    assert_ok(file_write(out, "mine", 4, &err), &err);
    check_refusal(in, out, "int8", E_USAGE, "--force");
    char *text = NULL;
    size_t size = 0;
    assert_ok(file_read(out, 100, &text, &size, &err), &err);
    assert_string_equal(text, "mine");
    mem_free(text);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_reference),
    };
    if (argc < 2) return 2;
    source = argv[1];
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests_name("quantised", tests, NULL, NULL);
}
