/* test_runs.c - LoRAs that change between the runs of one process: each result is the one that a process of its own gives.
 *
 * usage: test_runs WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/formats/quantize.h"
#include "engine/formats/safetensors.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

enum { MAX_LORA_TENSORS = 16, MAX_LORAS = 2, MAX_STEPS = 16 };

static Launch run;

/* ---- LoRA files --------------------------------------------------------------------------------------- */

typedef struct LoraTensor {
    const char *name;
    int64_t shape[2];
} LoraTensor;

/* Low rank, on the transformer and on the text encoder. */
static const LoraTensor low_rank[] = {
    { "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight", { 2, 256 } },
    { "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight", { 768, 2 } },
    { "diffusion_model.single_blocks.1.linear1.lora_A.weight", { 2, 256 } },
    { "diffusion_model.single_blocks.1.linear1.lora_B.weight", { 2304, 2 } },
    { "text_encoders.qwen3_4b.transformer.model.layers.3.self_attn.v_proj.lora_A.weight",
      { 2, 32 } },
    { "text_encoders.qwen3_4b.transformer.model.layers.3.self_attn.v_proj.lora_B.weight",
      { 32, 2 } },
};
/* Hadamard products and a full difference, which are merged on every base; the first matrix is one of the above. */
static const LoraTensor merged[] = {
    { "lora_unet_double_blocks_0_img_attn_qkv.hada_w1_a", { 768, 2 } },
    { "lora_unet_double_blocks_0_img_attn_qkv.hada_w1_b", { 2, 256 } },
    { "lora_unet_double_blocks_0_img_attn_qkv.hada_w2_a", { 768, 2 } },
    { "lora_unet_double_blocks_0_img_attn_qkv.hada_w2_b", { 2, 256 } },
    { "diffusion_model.single_blocks.0.linear2.diff", { 256, 1024 } },
    { "text_encoders.qwen3_4b.transformer.model.layers.3.self_attn.v_proj.diff", { 32, 32 } },
    { "text_encoders.qwen3_4b.transformer.model.layers.5.mlp.up_proj.lora_A.weight",
      { 2, 32 } },
    { "text_encoders.qwen3_4b.transformer.model.layers.5.mlp.up_proj.lora_B.weight",
      { 80, 2 } },
};

/* Values of a fixed linear congruence, between -scale and scale. */
static void write_lora(const char *name, const LoraTensor *rows, size_t count, unsigned seed,
                       float scale)
{
    SafeItem items[MAX_LORA_TENSORS];
    char path[700];
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/models/loras/%s", run.folder, name);
    for (size_t i = 0; i < count; i++) {
        int64_t n = rows[i].shape[0] * rows[i].shape[1];
        float *values = malloc((size_t)n * sizeof *values);
        for (int64_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            values[k] = scale * ((float)(seed >> 8) / (1 << 23) - 1);
        }
        items[i] = (SafeItem){ rows[i].name, K_F32, 2, rows[i].shape, values };
    }
    assert_ok(safetensors_write(path, items, count, NULL, 0, &err), &err);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)items[i].data);
}

#define WRITE_LORA(name, rows, seed, scale)                                                    \
    write_lora(name, rows, sizeof(rows) / sizeof *(rows), seed, scale)

/* ---- workflows ---------------------------------------------------------------------------------------- */

/* What lies under the LoRAs. */
typedef struct Base {
    const char *model_type, *text_type; /* as of `weft quantize`; NULL = the file as it is */
} Base;

typedef struct LoraUse {
    const char *file; /* NULL = none */
    double model, clip;
} LoraUse;

/* One prompt: LoRAs from the loader on. */
typedef struct Prompt {
    LoraUse loras[MAX_LORAS];
} Prompt;

static bool is_gguf(const char *type)
{
    return type && strchr("QI", type[0]);
}

static void file_name(char *buf, size_t size, const char *stem, const char *type)
{
    snprintf(buf, size, "%s%s%s.%s", stem, type ? "-" : "", type ? type : "",
             is_gguf(type) ? "gguf" : "safetensors");
}

static void quantise(const char *folder, const char *stem, const char *type)
{
    char in[700], out[800], name[128];
    QuantizeReport report;
    Error err = { 0 };
    if (!type) return;
    file_name(name, sizeof name, stem, type);
    snprintf(in, sizeof in, "%s/tests/data/models/%s/%s.safetensors", run.source, folder, stem);
    snprintf(out, sizeof out, "%s/models/%s/%s", run.folder, folder, name);
    if (file_exists(out)) return;
    assert_ok(quantize_file(in, out, &(QuantizeOptions){ .type = type }, &report, &err), &err);
    quantize_report_fini(&report);
}

static void add_lora(Str *s, int place, const LoraUse *use)
{
    str_printf(
        s,
        ", \"%d\": {\"class_type\": \"LoraLoader\", \"inputs\": {\"lora_name\": \"%s\", "
        "\"strength_model\": %g, \"strength_clip\": %g, \"model\": [\"%d\", 0], \"clip\": "
        "[\"%d\", %d]}}",
        21 + place, use->file, use->model, use->clip, place ? 20 + place : 1,
        place ? 20 + place : 2, place ? 1 : 0);
}

/* The workflow's path in buf; its latent is called `name`. */
static void write_prompt(const Base *base, const Prompt *p, const char *name, char *buf,
                         size_t size)
{
    char model[128], text[128], file[64];
    Str s = { 0 };
    int last = 0;
    file_name(model, sizeof model, "flux-2-klein-4b", base->model_type);
    file_name(text, sizeof text, "qwen_3_4b", base->text_type);
    str_printf(&s, "{\"1\": {\"class_type\": \"%s\", \"inputs\": {\"unet_name\": \"%s\"%s}}",
               is_gguf(base->model_type) ? "UnetLoaderGGUF" : "UNETLoader", model,
               is_gguf(base->model_type) ? "" : ", \"weight_dtype\": \"default\"");
    str_printf(&s,
               ", \"2\": {\"class_type\": \"%s\", \"inputs\": {\"clip_name\": \"%s\", "
               "\"type\": \"flux2\"}}",
               is_gguf(base->text_type) ? "CLIPLoaderGGUF" : "CLIPLoader", text);
    for (; last < MAX_LORAS && p->loras[last].file; last++)
        add_lora(&s, last, &p->loras[last]);
    str_printf(&s,
               ", \"3\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"a red "
               "fox\", \"clip\": [\"%d\", %d]}}"
               ", \"4\": {\"class_type\": \"EmptyFlux2LatentImage\", \"inputs\": {\"width\": "
               "64, \"height\": 64, \"batch_size\": 1}}"
               ", \"5\": {\"class_type\": \"KSampler\", \"inputs\": {\"seed\": 5, \"steps\": "
               "2, \"cfg\": 1.0, \"sampler_name\": "
               "\"euler\", \"scheduler\": \"simple\", \"denoise\": 1.0, \"model\": [\"%d\", "
               "0], \"positive\": [\"3\", 0], "
               "\"negative\": [\"3\", 0], \"latent_image\": [\"4\", 0]}}"
               ", \"6\": {\"class_type\": \"SaveLatent\", \"inputs\": {\"samples\": [\"5\", "
               "0], \"filename_prefix\": \"%s\"}}}",
               last ? 20 + last : 2, last ? 1 : 0, last ? 20 + last : 1, name);
    snprintf(file, sizeof file, "%s.json", name);
    snprintf(buf, size, "%s", launch_write(&run, file, s.text, s.length));
    str_fini(&s);
}

/* ---- running ------------------------------------------------------------------------------------------ */

/* The bytes of a saved latent. */
typedef struct Result {
    char *bytes; /* owned */
    size_t size;
} Result;

static Result take_result(const char *name)
{
    char path[700];
    Result r = { 0 };
    Error err = { 0 };
    snprintf(path, sizeof path, "%s/%s_00001_.latent", run.output, name);
    assert_ok(file_read(path, 1 << 24, &r.bytes, &r.size, &err), &err);
    return r;
}

static bool same(const Result *a, const Result *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* Runs the files (NULL-ended) in one process. */
static void run_files(const char *const *files, const char *const *options)
{
    char models[600];
    const char *args[LAUNCH_ARGS_MAX] = { "--models", models, "--no-metadata" };
    int n = 3;
    snprintf(models, sizeof models, "%s/models", run.folder);
    for (int i = 0; options[i]; i++)
        args[n++] = options[i];
    for (int i = 1; files[i]; i++)
        args[n++] = files[i];
    args[n] = NULL;
    launch_workflow(&run, "run", files[0], args);
    launch_expect(&run, 0, NULL);
}

/* ---- the tests ---------------------------------------------------------------------------------------- */

#define A "low.safetensors"
#define B "merged.safetensors"

/* clang-format off */
static const Prompt prompts[] = {
    { { { 0 } } },
    { { { A, 1, 1 } } },
    { { { A, 0.5, 1 } } },
    { { { A, 1, 0.5 } } },
    { { { B, 1, 1 } } },
    { { { A, 0, 1 } } },
    { { { A, 1, 0 } } },
    { { { A, 0.7, 0.7 }, { B, -0.4, 0.3 } } },
    { { { B, -0.4, 0.3 }, { A, 0.7, 0.7 } } },
};
/* Places in `prompts`: a strength changes, a file changes, one is taken away, one comes, both change places. */
static const int order[] = { 1, 2, 3, 0, 4, 7, 8, 6, 5, 1, 0 };
/* clang-format on */
enum { PROMPTS = sizeof prompts / sizeof *prompts, ORDER = sizeof order / sizeof *order };

/* Each prompt in a process that has seen nothing else. */
static void run_alone(const Base *base, const char *precision, Result *results)
{
    char path[700], name[32];
    for (int i = 0; i < PROMPTS; i++) {
        snprintf(name, sizeof name, "alone%d", i);
        write_prompt(base, &prompts[i], name, path, sizeof path);
        run_files((const char *const[]){ path, NULL },
                  (const char *const[]){ "--precision", precision, "--no-prompt-cache", NULL });
        results[i] = take_result(name);
        for (int k = 0; k < i; k++)
            if (same(&results[i], &results[k]))
                fail_msg("prompts %d and %d give one result: the LoRAs do nothing", i, k);
    }
}

static void run_together(const Base *base, const char *precision, const char *policy,
                         bool prompt_cache, const Result *alone)
{
    char paths[ORDER][700], name[32];
    const char *files[ORDER + 1] = { NULL };
    for (int i = 0; i < ORDER; i++) {
        snprintf(name, sizeof name, "step%d", i);
        write_prompt(base, &prompts[order[i]], name, paths[i], sizeof paths[i]);
        files[i] = paths[i];
    }
    run_files(files, (const char *const[]){ "--precision", precision, "--cache", policy,
                                            prompt_cache ? NULL : "--no-prompt-cache", NULL });
    for (int i = 0; i < ORDER; i++) {
        snprintf(name, sizeof name, "step%d", i);
        Result r = take_result(name);
        if (!same(&r, &alone[order[i]]))
            fail_msg("%s on %s, --cache %s: run %d (prompt %d) is not that of its own process",
                     base->text_type ? base->text_type : "bf16",
                     base->model_type ? base->model_type : "bf16", policy, i, order[i]);
        mem_free(r.bytes);
    }
    launch_clear(&run);
}

static void check_base(const Base *base, const char *precision)
{
    Result alone[PROMPTS];
    quantise("diffusion_models", "flux-2-klein-4b", base->model_type);
    quantise("text_encoders", "qwen_3_4b", base->text_type);
    run_alone(base, precision, alone);
    launch_clear(&run);
    run_together(base, precision, "classic", false, alone);
    run_together(base, precision, "lru:100", true, alone);
    for (int i = 0; i < PROMPTS; i++)
        mem_free(alone[i].bytes);
}

static void loras_change_on_bf16(void **state)
{
    (void)state;
    check_base(&(Base){ NULL, NULL }, "exact");
}

static void loras_change_on_fp8(void **state)
{
    (void)state;
    check_base(&(Base){ "fp8_e4m3fn", "fp8_e4m3fn" }, "exact");
    check_base(&(Base){ "fp8_e4m3fn", "fp8_e4m3fn" }, "fast");
}

static void loras_change_on_gguf(void **state)
{
    (void)state;
    check_base(&(Base){ "Q4_K", "Q8_0" }, "exact");
}

static void loras_change_on_int8(void **state)
{
    (void)state;
    check_base(&(Base){ "int8", "int8" }, "fast");
}

static void make_folders(void)
{
    static const char *const folders[] = { "models", "models/loras", "models/diffusion_models",
                                           "models/text_encoders" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s", run.folder, folders[i]);
        mkdir(path, 0755);
    }
    WRITE_LORA(A, low_rank, 1, 0.3f);
    WRITE_LORA(B, merged, 2, 0.05f);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(loras_change_on_bf16),
        cmocka_unit_test(loras_change_on_fp8),
        cmocka_unit_test(loras_change_on_gguf),
        cmocka_unit_test(loras_change_on_int8),
    };
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    make_folders();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    launch_close(&run);
    return failed;
}
