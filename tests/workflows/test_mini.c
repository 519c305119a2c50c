/* test_mini.c - the small model draws what the prompt says: colours stand where the caption puts them.
 *
 * usage: test_mini WEFT SOURCE_ROOT [NAME_FILTER]
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/formats/image.h"
#include "tests/unit/support.h"
#include "tests/workflows/launch.h"

enum { THINGS_MAX = 2, ARGS_MAX = 24 };

static Launch run;

/* ---- looking at a picture ---------------------------------------------------------------------------- */

typedef struct Colour {
    const char *name;
    int rgb[3];
} Colour;

/* The palette of graphs/mini/train/scenes.py; backgrounds among them, so that they are told from things. */
static const Colour palette[] = {
    { "red", { 214, 40, 40 } },          { "orange", { 245, 140, 20 } },
    { "yellow", { 250, 215, 30 } },      { "green", { 40, 155, 70 } },
    { "cyan", { 40, 195, 215 } },        { "blue", { 35, 85, 205 } },
    { "purple", { 125, 50, 170 } },      { "pink", { 245, 130, 180 } },
    { "brown", { 125, 75, 40 } },        { "black", { 25, 25, 28 } },
    { "white", { 250, 250, 250 } },      { "grey", { 165, 168, 172 } },
    { "light blue", { 175, 215, 245 } }, { "navy", { 25, 35, 80 } },
};

typedef struct Seen {
    double share; /* of the picture's pixels */
    double x, y;  /* mean place, 0 to 1 */
} Seen;

static const char *name_of(const float *pixel)
{
    const Colour *best = NULL;
    double least = INFINITY;
    for (size_t i = 0; i < sizeof palette / sizeof *palette; i++) {
        double d = 0;
        for (int k = 0; k < 3; k++)
            d += fabs(255 * (double)pixel[k] - palette[i].rgb[k]);
        if (d < least) least = d, best = &palette[i];
    }
    return best->name;
}

static Seen look(const Tensor *rgb, const char *colour)
{
    int64_t h = rgb->shape[1], w = rgb->shape[2], n = 0;
    Seen seen = { 0 };
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            if (strcmp(name_of(tensor_f32(rgb) + 3 * (y * w + x)), colour) != 0) continue;
            seen.x += (double)x, seen.y += (double)y, n++;
        }
    seen.share = (double)n / (double)(h * w);
    if (n > 0) seen.x /= (double)(n * w), seen.y /= (double)(n * h);
    return seen;
}

/* ---- drawing ------------------------------------------------------------------------------------------ */

static Image draw(const char *workflow, const char *const *extra)
{
    static const char *const suffixes[] = { ".png", NULL };
    const char *args[ARGS_MAX] = { "run", workflow, "--models" };
    char models[700], input[700], path[1000];
    FileList files = { 0 };
    FileMap *map = NULL;
    Image image;
    Error err = { 0 };
    int n = 3;
    snprintf(models, sizeof models, "%s/graphs/mini/models", run.source);
    snprintf(input, sizeof input, "%s/graphs/input", run.source);
    args[n++] = models, args[n++] = "--input", args[n++] = input, args[n++] = "--output",
    args[n++] = run.output;
    for (; extra && *extra; extra++)
        args[n++] = *extra;
    launch_clear(&run);
    launch(&run, args);
    launch_expect(&run, 0, NULL);
    assert_ok(file_list(run.output, suffixes, &files, &err), &err);
    assert_int_equal(files.count, 1);
    snprintf(path, sizeof path, "%s/%s", run.output, files.names[0]);
    assert_ok(file_map(path, &map, &err), &err);
    assert_ok(image_decode(map->data, map->size, &image, &err), &err);
    ref_drop(map);
    file_list_fini(&files);
    return image;
}

static const char *graph_path(const char *name)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/graphs/%s", run.source, name);
    return path;
}

/* ---- prompts ------------------------------------------------------------------------------------------- */

typedef struct Thing {
    const char *colour;
    double x, y;
} Thing;

typedef struct Case {
    const char *prompt;
    int seed;
    Thing things[THINGS_MAX]; /* what must be seen, and where its middle is */
} Case;

static const Case cases[] = {
    { "a red circle", 1, { { "red", .5, .5 } } },
    { "a large blue square on white", 2, { { "blue", .5, .5 } } },
    { "a green star in the top left", 3, { { "green", .25, .25 } } },
    { "a purple heart at the bottom right", 4, { { "purple", .75, .75 } } },
    { "an orange diamond on the left", 5, { { "orange", .25, .5 } } },
    { "a cyan ring at the top", 6, { { "cyan", .5, .25 } } },
    { "a red circle to the left of a blue square",
      7,
      { { "red", .25, .5 }, { "blue", .75, .5 } } },
    { "a yellow star above a purple heart",
      8,
      { { "yellow", .5, .25 }, { "purple", .5, .75 } } },
    { "a green triangle right of a black cross",
      9,
      { { "green", .75, .5 }, { "black", .25, .5 } } },
    { "a brown square below a pink circle", 10, { { "brown", .5, .75 }, { "pink", .5, .25 } } },
    { "two red squares", 11, { { "red", .5, .5 } } },
    { "four blue circles on a white background", 12, { { "blue", .5, .5 } } },
};

static void check_thing(const char *prompt, const Tensor *rgb, const Thing *t)
{
    Seen seen = look(rgb, t->colour);
    if (seen.share < 0.01 || fabs(seen.x - t->x) > 0.13 || fabs(seen.y - t->y) > 0.13)
        fail_msg("\"%s\": %s covers %.1f %% around (%.2f, %.2f), wanted near (%.2f, %.2f)",
                 prompt, t->colour, 100 * seen.share, seen.x, seen.y, t->x, t->y);
}

static void test_prompt(void **state)
{
    const Case *c = *state;
    char text[200], seed[60];
    snprintf(text, sizeof text, "4.text=%s", c->prompt);
    snprintf(seed, sizeof seed, "20.noise_seed=%d", c->seed);
    Image image = draw(graph_path("mini_text_to_image.json"),
                       (const char *const[]){ "--set", text, "--set", seed, NULL });
    for (int i = 0; i < THINGS_MAX && c->things[i].colour; i++)
        check_thing(c->prompt, image.rgb, &c->things[i]);
    image_fini(&image);
}

/* ---- the other workflows ------------------------------------------------------------------------------ */

/* The circle of the input picture changes from red to green and stays where it is. */
static void test_edit(void **state)
{
    (void)state;
    Image image = draw(graph_path("mini_edit.json"), NULL);
    check_thing("edit", image.rgb, &(Thing){ "green", .5, .5 });
    assert_true(look(image.rgb, "red").share < 0.01);
    image_fini(&image);
}

/* White lines on the blue paper of scenes.py, whose nearest palette colour is blue. */
static void test_style_lora(void **state)
{
    (void)state;
    Image image = draw(graph_path("mini_style_lora.json"), NULL);
    assert_true(look(image.rgb, "blue").share + look(image.rgb, "navy").share > 0.7);
    image_fini(&image);
}

/* The hole in the sky gets a sun; the house beside it stays. */
static void test_inpaint(void **state)
{
    (void)state;
    Image image = draw(graph_path("mini_inpaint.json"), NULL);
    check_thing("inpaint", image.rgb, &(Thing){ "yellow", .83, .18 });
    check_thing("inpaint", image.rgb, &(Thing){ "red", .42, .65 });
    image_fini(&image);
}

static void test_image_to_image(void **state)
{
    (void)state;
    Image image = draw(graph_path("mini_image_to_image.json"), NULL);
    check_thing("image to image", image.rgb, &(Thing){ "red", .5, .62 });
    image_fini(&image);
}

/* ---- main --------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    enum { PROMPTS = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[PROMPTS + 4] = { 0 };
    size_t n = 0;
    if (argc < 3) return 2;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    for (size_t i = 0; i < PROMPTS; i++)
        tests[n++] = (struct CMUnitTest){ .name = cases[i].prompt,
                                          .test_func = test_prompt,
                                          .initial_state = (void *)(uintptr_t)&cases[i] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_edit);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_style_lora);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_inpaint);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_image_to_image);
    launch_open(&run, argv[1], argv[2]);
    int failed = _cmocka_run_group_tests("mini", tests, n, NULL, NULL);
    launch_close(&run);
    return failed;
}
