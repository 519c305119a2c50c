/* test_graphs.c - every shipped workflow draws a picture, and that picture draws itself again.
 *
 * usage: test_graphs WEFT SOURCE_ROOT [NAME_FILTER]
 *
 * Sizes and steps are made small by --set, pictures of graphs/input by leaving out samples.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/formats/image.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

enum { SIDE = 64, STEPS = 2, STRIDE = 8, SETS_MAX = 16, FILES_MAX = 128 };

static Launch run;
static char input[400];

/* ---- small pictures ---------------------------------------------------------------------------------- */

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

static uint8_t sample(const Tensor *t, int64_t i)
{
    return (uint8_t)(255 * tensor_f32(t)[i] + 0.5f);
}

/* Every STRIDE-th sample of both sides. */
static void shrink(const char *from, const char *to)
{
    Image image = read_picture(from);
    Error err = { 0 };
    int64_t rows = image.rgb->shape[1], columns = image.rgb->shape[2];
    int h = (int)(rows / STRIDE), w = (int)(columns / STRIDE), channels = image.alpha ? 4 : 3;
    uint8_t *bytes = mem_alloc_array((size_t)(w * h), (size_t)channels), *p = bytes;
    assert_non_null(bytes);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int64_t at = y * STRIDE * columns + x * STRIDE;
            for (int c = 0; c < 3; c++)
                *p++ = sample(image.rgb, 3 * at + c);
            if (image.alpha) *p++ = sample(image.alpha, at);
        }
    assert_ok(image_write_png(to, bytes, w, h, channels, NULL, 0, &err), &err);
    mem_free(bytes);
    image_fini(&image);
}

static int make_input(void **state)
{
    static const char *const suffixes[] = { ".png", NULL };
    char folder[600], from[900], to[900];
    FileList files = { 0 };
    (void)state;
    snprintf(folder, sizeof folder, "%s/graphs/input", run.source);
    snprintf(input, sizeof input, "%s/input", run.folder);
    mkdir(input, 0755);
    if (file_list(folder, suffixes, &files, NULL) != OK) return -1;
    for (size_t i = 0; i < files.count; i++) {
        snprintf(from, sizeof from, "%s/%s", folder, files.names[i]);
        snprintf(to, sizeof to, "%s/%s", input, files.names[i]);
        shrink(from, to);
    }
    file_list_fini(&files);
    return 0;
}

/* ---- small workflows --------------------------------------------------------------------------------- */

typedef struct Sets {
    char texts[SETS_MAX][100];
    const char *args[2 * SETS_MAX + 4]; /* "--set", text, ... */
    int count, n;
} Sets;

static void add_set(Sets *s, const char *id, const char *name, double value)
{
    assert_true(s->count < SETS_MAX);
    snprintf(s->texts[s->count], sizeof s->texts[0], "%s.%s=%g", id, name, value);
    s->args[s->n++] = "--set";
    s->args[s->n++] = s->texts[s->count++];
}

/* Large numbers of these names become small ones, whatever the class. */
static void shrink_node(Sets *s, const char *id, const Json *inputs)
{
    static const struct {
        const char *name;
        double above, value;
    } rows[] = { { "width", SIDE, SIDE },
                 { "height", SIDE, SIDE },
                 { "megapixels", 0.05, 0.05 },
                 { "steps", STEPS, STEPS } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Json *v = json_get(inputs, rows[i].name);
        if (json_is(v, JSON_NUMBER) && json_double(v) > rows[i].above)
            add_set(s, id, rows[i].name, rows[i].value);
    }
}

/* From the API form that `weft convert` prints, so that UI files are read as well. */
static void small_sets(Sets *s, const char *file)
{
    JsonDoc *doc = NULL;
    Error err = { 0 };
    memset(s, 0, sizeof *s);
    launch(&run, (const char *const[]){ "convert", file, NULL });
    launch_expect(&run, 0, NULL);
    assert_ok(json_parse(run.out, strlen(run.out), &doc, &err), &err);
    for (const Json *n = json_first(json_root(doc)); n; n = json_next(n))
        if (json_get(n, "inputs")) shrink_node(s, json_key(n), json_get(n, "inputs"));
    json_free(doc);
    s->args[s->n++] = "--input";
    s->args[s->n++] = input;
}

/* ---- running ------------------------------------------------------------------------------------------ */

/* All written pictures decode; gives the first. */
static Image written(int *count, char *path, size_t size)
{
    static const char *const suffixes[] = { ".png", NULL };
    FileList files = { 0 };
    Image first = { 0 };
    Error err = { 0 };
    assert_ok(file_list(run.output, suffixes, &files, &err), &err);
    *count = (int)files.count;
    assert_true(files.count > 0);
    for (size_t i = files.count; i-- > 0;) {
        snprintf(path, size, "%s/%s", run.output, files.names[i]);
        image_fini(&first);
        first = read_picture(path);
    }
    file_list_fini(&files);
    return first;
}

static void test_graph(void **state)
{
    const char *name = *state;
    char file[700], picture[900], kept[700], path[900];
    int count, again;
    Sets sets;
    snprintf(file, sizeof file, "%s/graphs/%s", run.source, name);
    small_sets(&sets, file);
    launch_clear(&run);
    launch_workflow(&run, "run", file, sets.args);
    launch_expect(&run, 0, NULL);
    Image first = written(&count, picture, sizeof picture);
    assert_true(first.rgb->shape[1] <= 384 && first.rgb->shape[2] <= 384);
    snprintf(kept, sizeof kept, "%s/kept.png", run.folder);
    assert_int_equal(rename(picture, kept), 0);
    launch_clear(&run);
    launch_workflow(&run, "run", kept, (const char *const[]){ "--input", input, NULL });
    launch_expect(&run, 0, NULL);
    Image second = written(&again, path, sizeof path);
    assert_int_equal(count, again);
    assert_true(tensor_max_diff(first.rgb, second.rgb) == 0);
    image_fini(&first);
    image_fini(&second);
}

/* ---- main --------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    static const char *const suffixes[] = { ".json", NULL };
    struct CMUnitTest tests[FILES_MAX];
    char folder[600];
    FileList files = { 0 };
    size_t n = 0;
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    snprintf(folder, sizeof folder, "%s/graphs", argv[2]);
    if (file_list(folder, suffixes, &files, NULL) != OK) return 2;
    for (size_t i = 0; i < files.count && n < FILES_MAX; i++)
        if (strncmp(files.names[i], "flux2_klein_", 12) == 0)
            tests[n++] = (struct CMUnitTest){ .name = files.names[i],
                                              .test_func = test_graph,
                                              .initial_state = files.names[i] };
    launch_open(&run, argv[1], argv[2]);
    int failed = _cmocka_run_group_tests("graphs", tests, n, make_input, NULL);
    launch_close(&run);
    file_list_fini(&files);
    return failed || n == 0;
}
