/* test_errors.c - what a user is told when something is wrong: exit status, message, and that nothing stays behind.
 *
 * usage: test_errors WEFT SOURCE_ROOT [NAME_FILTER]
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
#include "tests/workflows/launch.h"

static Launch run;
static char *text_to_image; /* the shipped workflow, made small */

enum { TEXTS_MAX = 6 };

/* ---- helpers ------------------------------------------------------------------------------------- */

static char *read_whole(const char *path, size_t *n)
{
    char *text = NULL;
    Error err = { 0 };
    if (file_read(path, (size_t)1 << 30, &text, n, &err) != OK) fail_msg("%s", err.message);
    return text;
}

/* Every `from` in text becomes `to`; the result is new. */
static char *replaced(const char *text, const char *from, const char *to)
{
    Str s = { 0 };
    int found = 0;
    for (const char *hit; (hit = strstr(text, from)); text = hit + strlen(from), found++) {
        str_printf(&s, "%.*s", (int)(hit - text), text);
        str_add(&s, to);
    }
    if (!found) fail_msg("no '%s' to replace", from);
    str_add(&s, text);
    return s.text;
}

static void expect_clean(int status, const char *const *texts)
{
    launch_expect(&run, status, texts);
    assert_int_equal(launch_outputs(&run), 0);
}

/* ---- documents that cannot be read --------------------------------------------------------------- */

typedef struct Document {
    const char *name, *text;
    int status;
    const char *says[TEXTS_MAX];
} Document;

#define LATENT(width)                                                                          \
    "{\"1\": {\"class_type\": \"EmptyLatentImage\", \"inputs\": {\"width\": " width            \
    ", \"height\": 64, \"batch_size\": 1}}, \"2\": {\"class_type\": \"SaveLatent\", "          \
    "\"inputs\": {\"samples\": [\"1\", 0], \"filename_prefix\": \"x\"}}}"

/* clang-format off */
static const Document documents[] = {
    { "a value is missing", "{\"1\": {\"class_type\": }}", 1, { "doc.json:1:", "E101", "at byte 21" } },
    { "text ends early", "{\"1\": {\"class_type\": \"VAE", 1, { "doc.json", "E101", "at byte" } },
    { "trailing bytes", "{} {}", 1, { "doc.json", "E101", "at byte 3" } },
    { "no JSON", "a lighthouse on a cliff", 1, { "doc.json", "E101", "at byte 0" } },
    { "empty", "", 1, { "doc.json", "E101", "at byte 0" } },
    { "blanks", " \n\n ", 1, { "doc.json", "E101" } },
    { "not UTF-8", "{\"1\": {\"class_type\": \"VAE\xff\xfe\"}}", 1, { "doc.json", "E101", "UTF-8", "at byte" } },
    { "a list", "[1, 2, 3]", 1, { "doc.json", "E102" } },
    { "a number", "7", 1, { "doc.json", "E102" } },
    { "neither notation", "{\"nodes\": 5, \"links\": \"x\"}", 1, { "doc.json", "E102" } },
    { "no nodes", "{}", 1, { "doc.json", "E102" } },
    { "NaN", LATENT("NaN"), 1, { "doc.json", "node 1 (EmptyLatentImage)", "width", "nan" } },
    { "beyond doubles", LATENT("1e400"), 1, { "node 1 (EmptyLatentImage)", "width", "inf" } },
    { "minus infinity", LATENT("-Infinity"), 1, { "node 1 (EmptyLatentImage)", "width", "inf" } },
    { "a list for a number", LATENT("[64]"), 1, { "node 1 (EmptyLatentImage)", "width" } },
    { "an object for a number", LATENT("{\"a\": 1}"), 1, { "node 1 (EmptyLatentImage)", "width" } },
    { "null for a number", LATENT("null"), 1, { "node 1 (EmptyLatentImage)", "width" } },
    { "text for a number", LATENT("\"wide\""), 1, { "node 1 (EmptyLatentImage)", "width", "'wide'" } },
    { "a huge number", LATENT("99999999999999999999999999"), 1, { "node 1 (EmptyLatentImage)", "width", "16384" } },
    { "a negative number", LATENT("-64"), 1, { "node 1 (EmptyLatentImage)", "width", "-64", "16" } },
};
/* clang-format on */

static void test_document(void **state)
{
    const Document *d = *state;
    launch_workflow(&run, "run", launch_write(&run, "doc.json", d->text, strlen(d->text)),
                    NULL);
    expect_clean(d->status, d->says);
}

static void test_depth_bomb(void **state)
{
    static const char *const opening[] = { "[", "{\"a\":", "{\"1\":[" };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        Str s = { 0 };
        for (int k = 0; k < 200000; k++)
            str_add(&s, opening[i]);
        launch_workflow(&run, "run", launch_write(&run, "bomb.json", s.text, s.length), NULL);
        expect_clean(1,
                     (const char *const[]){ "bomb.json", "E101", "nested too deeply", NULL });
        str_fini(&s);
    }
}

/* The last of two equal keys counts, as in Python; it is said. */
static void test_duplicate_key(void **state)
{
    static const char text[] = LATENT("64, \"width\": 128");
    (void)state;
    launch_workflow(&run, "run", launch_write(&run, "twice.json", text, sizeof text - 1), NULL);
    launch_expect(&run, 0,
                  (const char *const[]){ "twice.json", "warning W101", "width", NULL });
    assert_int_equal(launch_outputs(&run), 1);
    launch_clear(&run);
}

/* ---- wrong workflows ------------------------------------------------------------------------------- */

typedef struct Change {
    const char *name, *from, *to;
    const char *says[TEXTS_MAX];
} Change;

/* clang-format off */
static const Change changes[] = {
    { "unknown class", "\"VAELoader\"", "\"VAELoadr\"", { "flow.json", "E201", "node 3", "VAELoadr", "VAELoader?" } },
    { "missing input", "\"vae_name\": \"flux2-vae.safetensors\"", "", { "E202", "node 3 (VAELoader)", "vae_name" } },
    { "link of another type", "\"vae\": [\n        \"3\"", "\"vae\": [\n        \"1\"", { "E203", "node 25 (VAEDecode): vae", "VAE", "MODEL" } },
    { "below the range", "\"steps\": 2", "\"steps\": 0", { "E205", "node 22 (Flux2Scheduler): steps", "0", "minimum 1", "4096" } },
    { "above the range", "\"steps\": 2", "\"steps\": 5000", { "E205", "steps", "5000", "maximum 4096" } },
    { "seed of 65 bits", "\"noise_seed\": 1", "\"noise_seed\": 18446744073709551616", { "node 20 (RandomNoise): noise_seed", "18446744073709551616", "18446744073709551615" } },
    { "seed below zero", "\"noise_seed\": 1", "\"noise_seed\": -1", { "node 20 (RandomNoise): noise_seed", "-1", "minimum 0" } },
    { "choice that is not one", "\"euler\"", "\"eulr\"", { "node 21 (KSamplerSelect): sampler_name", "eulr", "euler" } },
    { "missing transformer", "flux-2-klein-4b.safetensors", "flux-2-klein-4c.safetensors", { "E204", "node 1 (UNETLoader): unet_name", "flux-2-klein-4c", "nearest", "flux-2-klein-4b" } },
    { "missing encoder", "qwen_3_4b.safetensors", "qwen_3_8b.safetensors", { "E204", "node 2 (CLIPLoader): clip_name", "qwen_3_8b", "qwen_3_4b" } },
    { "missing VAE", "flux2-vae.safetensors", "flux2-vea.safetensors", { "E204", "node 3 (VAELoader): vae_name", "flux2-vea", "flux2-vae" } },
    { "file outside its folder", "flux2-vae.safetensors", "../vae/flux2-vae.safetensors", { "node 3 (VAELoader): vae_name", "../vae" } },
    { "link to a missing node", "\"samples\": [\n        \"24\"", "\"samples\": [\n        \"99\"", { "E103", "node 25 (VAEDecode): samples", "99" } },
    { "link to itself", "\"latent_image\": [\n        \"6\"", "\"latent_image\": [\n        \"24\"", { "E104", "node 24", "cycle" } },
    { "output that is not there", "\"samples\": [\n        \"24\",\n        0", "\"samples\": [\n        \"24\",\n        7", { "E103", "node 25 (VAEDecode): samples", "7" } },
    { "nothing is kept", "\"SaveImage\"", "\"ImageInvert\"", { "flow.json", "node" } },
    { "path out of the output folder", "\"filename_prefix\": \"flux2_klein_text_to_image\"", "\"filename_prefix\": \"../../leave\"", { "node 26 (SaveImage)" } },
};
/* clang-format on */

static void test_change(void **state)
{
    const Change *c = *state;
    char *text = replaced(text_to_image, c->from, c->to);
    launch_workflow(&run, "run", launch_write(&run, "flow.json", text, strlen(text)), NULL);
    mem_free(text);
    expect_clean(1, c->says);
}

/* ---- model files ----------------------------------------------------------------------------------- */

typedef struct Bytes {
    char *data; /* owned */
    size_t n;
} Bytes;

static void put_length(Bytes *b, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        b->data[i] = (char)(v >> 8 * i & 255);
}

static void cut_half(Bytes *b)
{
    b->n /= 2;
}

static void cut_one(Bytes *b)
{
    b->n--;
}

static void cut_header(Bytes *b)
{
    b->n = 200;
}

static void cut_all(Bytes *b)
{
    b->n = 0;
}

static void huge_header(Bytes *b)
{
    put_length(b, (uint64_t)1 << 62);
}

static void longer_header(Bytes *b)
{
    put_length(b, b->n + 1);
}

/* Same number of bytes: the header keeps its length. */
static void overwrite(Bytes *b, const char *from, const char *to)
{
    char *hit = memmem(b->data, b->n, from, strlen(from));
    assert_non_null(hit);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(hit, to, strlen(to));
}

static void other_dtype(Bytes *b)
{
    overwrite(b, "BF16", "BQ16");
}

static void other_offset(Bytes *b)
{
    overwrite(b, "\"data_offsets\":[0", "\"data_offsets\":[2");
}

static void broken_key(Bytes *b)
{
    overwrite(b, "\"shape\"", "\"shapx\"");
}

static void not_text(Bytes *b)
{
    b->data[9] = '\xff';
}

static void renamed_tensor(Bytes *b)
{
    overwrite(b, "double_blocks.0.img_attn.qkv.weight", "double_blocks.0.img_attn.qkw.weight");
}

static void no_vae_tensor(Bytes *b)
{
    overwrite(b, "decoder.mid.block_1.conv1.weight", "decoder.mid.block_1.conw1.weight");
}

static void no_encoder_tensor(Bytes *b)
{
    overwrite(b, "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.uq_proj.weight");
}

typedef struct Kind {
    const char *file; /* in tests/data/models */
    const char *folder, *node;
} Kind;

static const Kind kinds[] = {
    { "diffusion_models/flux-2-klein-4b.safetensors", "diffusion_models",
      "node 1 (UNETLoader)" },
    { "text_encoders/qwen_3_4b.safetensors", "text_encoders", "node 2 (CLIPLoader)" },
    { "vae/flux2-vae.safetensors", "vae", "node 3 (VAELoader)" },
};
enum { KINDS = 3 };

typedef struct Damage {
    const char *name;
    void (*apply)(Bytes *b); /* NULL = as it is */
    int kind;                /* -1 = each */
    int bytes_of;            /* kind whose file is taken, -1 = its own */
    const char *node;        /* that finds it; NULL = the loader */
    const char *says[3];
} Damage;

/* clang-format off */
static const Damage damages[] = {
    { "cut in half", cut_half, -1, -1, NULL, { "data_offsets" } },
    { "last byte cut", cut_one, -1, -1, NULL, { "data_offsets" } },
    { "cut in the header", cut_header, -1, -1, NULL, { "cut" } },
    { "empty file", cut_all, -1, -1, NULL, { "0 bytes" } },
    { "header of 2^62 bytes", huge_header, -1, -1, NULL, { "4611686018427387904" } },
    { "header beyond the file", longer_header, -1, -1, NULL, { "header" } },
    { "unknown dtype", other_dtype, 0, -1, NULL, { "dtype" } },
    { "offset that lies", other_offset, -1, -1, NULL, { "tensor" } },
    { "tensor without shape", broken_key, -1, -1, NULL, { "tensor" } },
    { "header that is no text", not_text, -1, -1, NULL, { "UTF-8" } },
    { "tensor of another name", renamed_tensor, 0, -1, NULL, { "double_blocks.0.img_attn.qkv" } },
    { "VAE as transformer", NULL, 0, 2, NULL, { "no FLUX transformer: it looks like a FLUX.2 VAE", "load it with VAELoader" } },
    { "encoder as transformer", NULL, 0, 1, NULL, { "no FLUX transformer", "text encoder" } },
    { "transformer as encoder", NULL, 1, 0, NULL, { "no text encoder of FLUX: it looks like a FLUX.2 transformer", "UNETLoader" } },
    { "VAE as encoder", NULL, 1, 2, NULL, { "no text encoder of FLUX: it looks like a FLUX.2 VAE", "VAELoader" } },
    { "transformer as VAE", NULL, 2, 0, NULL, { "no FLUX VAE: it looks like a FLUX.2 transformer", "UNETLoader" } },
    { "encoder as VAE", NULL, 2, 1, NULL, { "no FLUX VAE: it looks like a Qwen3 text encoder", "CLIPLoader" } },
    { "VAE without a tensor", no_vae_tensor, 2, -1, NULL, { "decoder.mid.block_1.conv1" } },
    { "encoder without a tensor", no_encoder_tensor, 1, -1, NULL, { "model.layers.1.mlp.up_proj.weight" } },
};
/* clang-format on */

static void link_model(const char *models, const char *file)
{
    char from[700], to[900];
    snprintf(from, sizeof from, "%s/tests/data/models/%s", run.source, file);
    snprintf(to, sizeof to, "%s/%s", models, file);
    unlink(to);
    assert_int_equal(symlink(from, to), 0);
}

/* A models folder of the three files. */
static void make_models(char *models, size_t size)
{
    snprintf(models, size, "%s/models", run.folder);
    mkdir(models, 0755);
    for (int i = 0; i < KINDS; i++) {
        char folder[700];
        snprintf(folder, sizeof folder, "%s/%s", models, kinds[i].folder);
        mkdir(folder, 0755);
        link_model(models, kinds[i].file);
    }
}

static void damage_one(const Damage *d, int kind)
{
    char models[400], path[900], name[200];
    Bytes b;
    make_models(models, sizeof models);
    snprintf(path, sizeof path, "%s/tests/data/models/%s", run.source,
             kinds[d->bytes_of < 0 ? kind : d->bytes_of].file);
    b.data = read_whole(path, &b.n);
    if (d->apply) d->apply(&b);
    snprintf(name, sizeof name, "models/%s", kinds[kind].file);
    snprintf(path, sizeof path, "%s/%s", run.folder, name);
    unlink(path);
    launch_write(&run, name, b.data, b.n);
    mem_free(b.data);
    const char *file = launch_write(&run, "flow.json", text_to_image, strlen(text_to_image));
    launch(&run, (const char *const[]){ "run", file, "--models", models, "--output", run.output,
                                        "--threads", "1", "--precision", "exact", NULL });
    expect_clean(1,
                 (const char *const[]){ kinds[kind].file, d->node ? d->node : kinds[kind].node,
                                        d->says[0], d->says[1], NULL });
}

static void test_damage(void **state)
{
    const Damage *d = *state;
    for (int kind = 0; kind < KINDS; kind++)
        if (d->kind < 0 || d->kind == kind) damage_one(d, kind);
}

/* ---- pictures ---------------------------------------------------------------------------------------- */

static const char show[] =
    "{\"1\": {\"class_type\": \"LoadImage\", \"inputs\": {\"image\": \"p.png\"}}, "
    "\"2\": {\"class_type\": \"SaveImage\", \"inputs\": {\"images\": [\"1\", 0], "
    "\"filename_prefix\": \"shown\"}}}";

static void show_picture(const char *output)
{
    char file[700];
    snprintf(file, sizeof file, "%s", launch_write(&run, "show.json", show, sizeof show - 1));
    launch(&run, (const char *const[]){ "run", file, "--input", run.folder, "--output", output,
                                        NULL });
}

static Bytes balloon(void)
{
    char path[700];
    Bytes b;
    snprintf(path, sizeof path, "%s/graphs/input/balloon.png", run.source);
    b.data = read_whole(path, &b.n);
    return b;
}

static void expect_bad_picture(const char *bytes, size_t n)
{
    launch_write(&run, "p.png", bytes, n);
    show_picture(run.output);
    expect_clean(1, (const char *const[]){ "p.png", "node 1 (LoadImage)", NULL });
}

static void test_pictures(void **state)
{
    /* A PNG header of 2^31 - 1 by 2^31 - 1 samples. */
    static const char giant[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff"
                                "\x08\x02\0\0\0\0\0\0\0\0\0\0\0IEND\xae\x42\x60\x82";
    Bytes b = balloon();
    (void)state;
    expect_bad_picture("not a picture at all", 20);
    expect_bad_picture("", 0);
    expect_bad_picture(b.data, 20);
    expect_bad_picture(b.data, 300);
    expect_bad_picture(giant, sizeof giant - 1);
    char path[700];
    snprintf(path, sizeof path, "%s/p.png", run.folder);
    unlink(path);
    show_picture(run.output);
    expect_clean(
        1, (const char *const[]){ "show.json", "node 1 (LoadImage): image", "p.png", NULL });
    mem_free(b.data);
}

/* A picture in the place of a workflow file. */
static void test_picture_without_workflow(void **state)
{
    char path[700];
    Bytes b = balloon();
    (void)state;
    snprintf(path, sizeof path, "%s/graphs/input/balloon.png", run.source);
    launch_workflow(&run, "run", path, NULL);
    expect_clean(1, (const char *const[]){ "balloon.png", "carries no workflow", NULL });
    launch_workflow(&run, "run", launch_write(&run, "cut.png", b.data, 30), NULL);
    expect_clean(1, (const char *const[]){ "cut.png", "cut off after 30 bytes", NULL });
    mem_free(b.data);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void test_disk_full(void **state)
{
    Bytes b = balloon();
    (void)state;
    launch_write(&run, "p.png", b.data, b.n);
    mem_free(b.data);
    run.file_limit = 4096;
    show_picture(run.output);
    expect_clean(3, (const char *const[]){ "shown_00001_.png", "node 2 (SaveImage)",
                                           "cannot write", NULL });
}

static void test_output_that_cannot_be(void **state)
{
    char file[700];
    Bytes b = balloon();
    (void)state;
    launch_write(&run, "p.png", b.data, b.n);
    mem_free(b.data);
    snprintf(file, sizeof file, "%s", launch_write(&run, "taken", "x", 1));
    show_picture(file);
    expect_clean(3, (const char *const[]){ "taken", "node 2 (SaveImage)", NULL });
    show_picture("/proc/nowhere");
    expect_clean(3, (const char *const[]){ "/proc/nowhere", "node 2 (SaveImage)", NULL });
}

/* ---- usage and signals ---------------------------------------------------------------------------------- */

typedef struct Usage {
    const char *args[6];
    const char *says[3];
} Usage;

static const Usage usages[] = {
    { { NULL }, { "usage", NULL } },
    { { "rnu", NULL }, { "rnu", NULL } },
    { { "run", NULL }, { "no workflow file", NULL } },
    { { "run", "no-such-file.json", NULL }, { "no-such-file.json", NULL } },
    { { "run", "/", NULL }, { "/", NULL } },
    { { "run", "--precison", "exact", "x.json", NULL }, { "--precison", "--precision", NULL } },
    { { "run", "--precision", "exactly", "x.json", NULL }, { "exactly", "exact|fast", NULL } },
    { { "run", "--threads", "0", "x.json", NULL }, { "--threads", NULL } },
    { { "run", "--threads", "many", "x.json", NULL }, { "--threads", "many", NULL } },
    { { "run", "--ram-limit", "lots", "x.json", NULL }, { "--ram-limit", "lots", NULL } },
    { { "run", "x.json", "--models", NULL }, { "--models", NULL } },
    { { "plan", NULL }, { "plan", NULL } },
};

static void test_usage(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
        launch(&run, usages[i].args);
        expect_clean(2, i == 0 ? NULL : usages[i].says);
    }
}

static void test_set(void **state)
{
    static const char *const wrong[][2] = { { "x", "ID.INPUT=VALUE" },
                                            { "99.seed=1", "99" },
                                            { "22.stps=1", "stps" } };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const char *extra[] = { "--set", wrong[i][0], NULL };
        const char *file =
            launch_write(&run, "flow.json", text_to_image, strlen(text_to_image));
        launch_workflow(&run, "run", file, extra);
        expect_clean(2, (const char *const[]){ "flow.json", wrong[i][1], NULL });
    }
}

static void test_interrupt(void **state)
{
    static const char *const extra[] = { "--json", "--set", "22.steps=4000", NULL };
    (void)state;
    run.wait_for = "\"progress\"";
    launch_workflow(&run, "run",
                    launch_write(&run, "flow.json", text_to_image, strlen(text_to_image)),
                    extra);
    expect_clean(130, (const char *const[]){ "interrupted", NULL });
    assert_non_null(strstr(run.out, "execution_interrupted"));
    assert_null(strstr(run.out, "\"saved\""));
}

static void test_memory_limit(void **state)
{
    static const char *const extra[] = { "--ram-limit", "1M", NULL };
    (void)state;
    launch_workflow(&run, "run",
                    launch_write(&run, "flow.json", text_to_image, strlen(text_to_image)),
                    extra);
    expect_clean(3,
                 (const char *const[]){ "flow.json", "limit is 1 MiB", "--ram-limit", NULL });
}

/* ---- main ----------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    char path[700];
    size_t n;
    (void)state;
    snprintf(path, sizeof path, "%s/graphs/flux2_klein_text_to_image.json", run.source);
    char *text = read_whole(path, &n), *small = replaced(text, "1024", "64");
    text_to_image = replaced(small, "\"steps\": 4", "\"steps\": 2");
    mem_free(text);
    mem_free(small);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_free(text_to_image);
    return 0;
}

enum { TESTS_MAX = 128 };

static struct CMUnitTest tests[TESTS_MAX];
static size_t test_count;

static void add(const char *name, CMUnitTestFunction fn, const void *data)
{
    void *state;
    memcpy(&state, &data, sizeof state);
    tests[test_count++] =
        (struct CMUnitTest){ .name = name, .test_func = fn, .initial_state = state };
}

static void add_tests(void)
{
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        add(documents[i].name, test_document, &documents[i]);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        add(changes[i].name, test_change, &changes[i]);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        add(damages[i].name, test_damage, &damages[i]);
    add("depth bomb", test_depth_bomb, NULL);
    add("duplicate key", test_duplicate_key, NULL);
    add("pictures", test_pictures, NULL);
    add("picture without workflow", test_picture_without_workflow, NULL);
    add("disk full", test_disk_full, NULL);
    add("output that cannot be", test_output_that_cannot_be, NULL);
    add("usage", test_usage, NULL);
    add("--set", test_set, NULL);
    add("interrupt", test_interrupt, NULL);
    add("memory limit", test_memory_limit, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    launch_open(&run, argv[1], argv[2]);
    add_tests();
    int failed = _cmocka_run_group_tests("errors", tests, test_count, setup, teardown);
    launch_close(&run);
    return failed;
}
