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

static const char workflow[] =
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

static void run_workflow(const char *output)
{
    Session session;
    Workflow w;
    CheckReport *report = NULL;
    Error err = { 0 };
    SessionOptions options = { 0 };
    options.host =
        (HostOptions){ .input = "input", .output = output, .temp = output, .threads = 1 };
    assert_ok(session_init(&session, &options, &err), &err);
    assert_ok(workflow_from_text(&session, workflow, sizeof workflow - 1, &w, &err), &err);
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
    run_workflow(folder);
    snprintf(path, sizeof path, "%s/a-b_00001_.png", folder);
    assert_ok(file_map(path, &map, &err), &err);
    assert_ok(image_probe(map->data, map->size, &info, &err), &err);
    assert_int_equal(info.width, 20);
    assert_int_equal(info.height, 12);
    ref_drop(map);
    unlink(path);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_primitives_reach_widgets) };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("logic", tests, NULL, NULL);
}
