/* test_logic.c - values that nodes hand to widgets of other nodes, through a whole run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/formats/image.h"
#include "engine/session.h"
#include "tests/unit/support.h"

static const char primitives[] =
    "{\"1\": {\"class_type\": \"PrimitiveInt\", \"inputs\": {\"value\": 40}},"
    " \"2\": {\"class_type\": \"PrimitiveStringMultiline\", \"inputs\": {\"value\": \"a\"}},"
    " \"3\": {\"class_type\": \"PrimitiveString\", \"inputs\": {\"value\": \"b\"}},"
    " \"4\": {\"class_type\": \"StringConcatenate\", \"inputs\":"
    "   {\"string_a\": [\"2\", 0], \"string_b\": [\"3\", 0], \"delimiter\": \"-\"}},"
    " \"5\": {\"class_type\": \"EmptyImage\", \"inputs\":"
    "   {\"width\": [\"1\", 0], \"height\": 24, \"batch_size\": 1, \"color\": 255}},"
    " \"6\": {\"class_type\": \"PrimitiveFloat\", \"inputs\": {\"value\": 0.5}},"
    " \"7\": {\"class_type\": \"ImageScaleBy\", \"inputs\":"
    "   {\"image\": [\"5\", 0], \"upscale_method\": \"area\", \"scale_by\": [\"6\", 0]}},"
    " \"8\": {\"class_type\": \"SaveImage\", \"inputs\":"
    "   {\"images\": [\"7\", 0], \"filename_prefix\": [\"4\", 0]}}}";

static void run_workflow(const char *workflow, const char *output)
{
    Session session;
    Workflow w;
    CheckReport *report = NULL;
    Error err = { 0 };
    SessionOptions options = { 0 };
    options.host =
        (HostOptions){ .input = "input", .output = output, .temp = output, .threads = 1 };
    assert_ok(session_init(&session, &options, &err), &err);
    assert_ok(workflow_from_text(&session, workflow, strlen(workflow), &w, &err), &err);
    assert_ok(workflow_check(&w, true, &report, &err), &err);
    assert_int_equal(report->errors, 0);
    assert_ok(workflow_run(&w, report, NULL, &err), &err);
    check_free(report);
    workflow_fini(&w);
    session_fini(&session);
}

static void test_primitives_reach_widgets(void **state)
{
    char folder[] = "weft-logic-XXXXXX", path[64];
    FileMap *map = NULL;
    ImageInfo info;
    Error err = { 0 };
    (void)state;
    assert_non_null(mkdtemp(folder));
    run_workflow(primitives, folder);
    snprintf(path, sizeof path, "%s/a-b_00001_.png", folder);
    assert_ok(file_map(path, &map, &err), &err);
    assert_ok(image_probe(map->data, map->size, &info, &err), &err);
    assert_int_equal(info.width, 20);
    assert_int_equal(info.height, 12);
    ref_drop(map);
    unlink(path);
    rmdir(folder);
}

/* One node of each family at least: a lazy switch, a dynamic combo, growing sockets, texts, filters, latents, lists. */
static const char families[] =
    "{\"1\": {\"class_type\": \"EmptyImage\", \"inputs\":"
    "   {\"width\": 40, \"height\": 24, \"batch_size\": 1, \"color\": 16711680}},"
    " \"2\": {\"class_type\": \"EmptyImage\", \"inputs\":"
    "   {\"width\": 30, \"height\": 30, \"batch_size\": 2, \"color\": 255}},"
    " \"3\": {\"class_type\": \"RegexMatch\", \"inputs\": {\"string\": \"cat\","
    "   \"regex_pattern\": \"D\", \"case_insensitive\": true, \"multiline\": false, "
    "\"dotall\": false}},"
    " \"4\": {\"class_type\": \"ComfySwitchNode\", \"inputs\":"
    "   {\"switch\": [\"3\", 0], \"on_false\": [\"1\", 0], \"on_true\": [\"2\", 0]}},"
    " \"5\": {\"class_type\": \"ResizeImageMaskNode\", \"inputs\": {\"input\": [\"4\", 0],"
    "   \"resize_type\": \"scale dimensions\", \"resize_type.width\": 20, "
    "\"resize_type.height\": 0,"
    "   \"resize_type.crop\": \"center\", \"scale_method\": \"lanczos\"}},"
    " \"6\": {\"class_type\": \"BatchImagesNode\", \"inputs\": {\"images.image0\": [\"5\", 0],"
    "   \"images.image1\": [\"1\", 0], \"images.image3\": [\"2\", 0]}},"
    " \"7\": {\"class_type\": \"RebatchImages\", \"inputs\": {\"images\": [\"6\", 0], "
    "\"batch_size\": 3}},"
    " \"8\": {\"class_type\": \"ImageBlur\", \"inputs\":"
    "   {\"image\": [\"7\", 0], \"blur_radius\": 1, \"sigma\": 1.0}},"
    " \"9\": {\"class_type\": \"SaveImage\", \"inputs\":"
    "   {\"images\": [\"8\", 0], \"filename_prefix\": [\"10\", 0]}},"
    " \"10\": {\"class_type\": \"CaseConverter\", \"inputs\": {\"string\": \"b\", \"mode\": "
    "\"UPPERCASE\"}},"
    " \"11\": {\"class_type\": \"EmptyLatentImage\", \"inputs\":"
    "   {\"width\": 64, \"height\": 64, \"batch_size\": 1}},"
    " \"12\": {\"class_type\": \"LatentConcat\", \"inputs\":"
    "   {\"samples1\": [\"11\", 0], \"samples2\": [\"11\", 0], \"dim\": \"x\"}},"
    " \"13\": {\"class_type\": \"PreviewAny\", \"inputs\": {\"source\": [\"12\", 0]}},"
    " \"14\": {\"class_type\": \"KarrasScheduler\", \"inputs\":"
    "   {\"steps\": 4, \"sigma_max\": 1.0, \"sigma_min\": 0.1, \"rho\": 7.0}},"
    " \"15\": {\"class_type\": \"PreviewAny\", \"inputs\": {\"source\": [\"14\", 0]}},"
    " \"16\": {\"class_type\": \"ImageCompare\", \"inputs\":"
    "   {\"compare_view\": \"\", \"image_a\": [\"1\", 0]}}}";

/* Four pictures in batches of three and one, all in the size of the first; one more for the comparison. */
static void test_families_run_together(void **state)
{
    char folder[] = "weft-logic-XXXXXX", path[96];
    FileMap *map = NULL;
    ImageInfo info;
    Error err = { 0 };
    FileList found = { 0 };
    (void)state;
    assert_non_null(mkdtemp(folder));
    run_workflow(families, folder);
    for (int i = 1; i <= 4; i++) {
        snprintf(path, sizeof path, "%s/B_%05d_.png", folder, i);
        assert_ok(file_map(path, &map, &err), &err);
        assert_ok(image_probe(map->data, map->size, &info, &err), &err);
        assert_int_equal(info.width, 20);
        assert_int_equal(info.height, 12);
        ref_drop(map);
    }
    assert_ok(file_list(folder, (const char *const[]){ ".png", NULL }, &found, &err), &err);
    assert_int_equal(found.count, 5);
    for (size_t i = 0; i < found.count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, found.names[i]);
        unlink(path);
    }
    file_list_fini(&found);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_primitives_reach_widgets),
                                        cmocka_unit_test(test_families_run_together) };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("logic", tests, NULL, NULL);
}
