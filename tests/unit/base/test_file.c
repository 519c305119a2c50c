/* test_file.c - mapping, reading, atomic writing, names and listing. */
#include "tests/unit/base/common.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"

static char folder[32];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/weft-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    FileList list = { 0 };
    char path[512];

    (void)state;
    if (file_list(folder, NULL, &list, NULL) != OK) return -1;
    for (size_t i = 0; i < list.count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list.names[i]);
        unlink(path);
    }
    file_list_fini(&list);
    snprintf(path, sizeof path, "%s/sub/deep", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/sub/loop", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/sub", folder);
    rmdir(path);
    return rmdir(folder);
}

static char *in_folder(const char *name)
{
    char *path = file_join(folder, name);

    assert_non_null(path);
    return path;
}

static void test_write_read_map(void **state)
{
    char *path = in_folder("a.bin"), *text = NULL;
    size_t size = 0;
    FileMap *map = NULL;
    Error err;

    (void)state;
    assert_int_equal(file_write(path, "first", 5, &err), OK);
    assert_int_equal(file_write(path, "sec\0nd", 6, &err), OK);
    assert_int_equal(file_read(path, 6, &text, &size, &err), OK);
    assert_int_equal(size, 6);
    assert_memory_equal(text, "sec\0nd", 7); /* with the NUL behind */
    mem_free(text);
    assert_int_equal(file_read(path, 5, &text, &size, &err), E_LIMIT);
    assert_string_equal(err.file, path);
    assert_int_equal(file_map(path, &map, &err), OK);
    assert_int_equal(map->size, 6);
    file_map_release(map);
    assert_memory_equal(map->data, "sec\0nd", 6);
    ref_drop(map);
    assert_int_equal(file_write(path, NULL, 0, &err), OK);
    assert_int_equal(file_map(path, &map, &err), OK);
    assert_int_equal(map->size, 0);
    assert_null(map->data);
    file_map_release(map);
    ref_drop(map);
    mem_free(path);
}

static void test_failures(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FileMap *map = NULL;
    Error err;

    (void)state;
    assert_int_equal(file_map("/no/such/file", &map, &err), E_IO);
    assert_non_null(strstr(err.message, "/no/such/file"));
    assert_int_equal(file_map(folder, &map, &err), E_IO);
    assert_int_equal(file_read(folder, 10, &text, &size, &err), E_IO);
    assert_int_equal(file_write("/no/such/folder/file", "x", 1, &err), E_IO);
    assert_int_equal(file_write(folder, "x", 1, &err), E_IO); /* a folder stands there */
}

static void test_nothing_left_behind(void **state)
{
    char *path = in_folder("c.bin"), *below;
    FileList list = { 0 };

    (void)state;
    assert_int_equal(file_write(path, "x", 1, NULL), OK);
    below = file_join(path, "not-a-folder");
    assert_int_equal(file_write(below, "x", 1, NULL), E_IO);
    assert_int_equal(file_list(folder, (const char *const[]){ ".tmp", NULL }, &list, NULL), OK);
    assert_int_equal(list.count, 0);
    file_list_fini(&list);
    mem_free(below);
    mem_free(path);
}

static void test_names(void **state)
{
    static const char *const inside[] = { "a", "a/b.png", "a..b", "...", "a/./b", ".hidden" };
    static const char *const outside[] = { "",       "/a",   "..",  "../a",
                                           "a/../b", "a/..", "\\a", "a\\..\\b" };
    char *joined;

    (void)state;
    for (size_t i = 0; i < 6; i++)
        assert_true(file_name_is_inside(inside[i]));
    for (size_t i = 0; i < 8; i++)
        assert_false(file_name_is_inside(outside[i]));
    joined = file_join("a/", "/b");
    assert_string_equal(joined, "a/b");
    mem_free(joined);
    joined = file_join("", "b");
    assert_string_equal(joined, "b");
    mem_free(joined);
}

static void write_name(const char *name)
{
    char *path = in_folder(name);

    assert_int_equal(file_write(path, "x", 1, NULL), OK);
    mem_free(path);
}

static void test_listing(void **state)
{
    static const char *const suffixes[] = { ".st", ".sft", NULL };
    char *deep = in_folder("sub/deep"), *loop = in_folder("sub/loop");
    FileList list = { 0 };
    Error err;

    (void)state;
    assert_int_equal(file_make_dirs(deep, &err), OK);
    assert_int_equal(file_make_dirs(deep, &err), OK);
    assert_true(file_is_dir(deep));
    assert_int_equal(symlink("..", loop), 0);
    write_name("sub/deep/b.st");
    write_name("sub/a.sft");
    write_name("z.st");
    write_name("sub-file.st");
    write_name("other.txt");
    assert_int_equal(file_list(folder, suffixes, &list, &err), OK);
    assert_int_equal(list.count, 4);
    assert_string_equal(list.names[0], "sub-file.st");
    assert_string_equal(list.names[1], "sub/a.sft");
    assert_string_equal(list.names[2], "sub/deep/b.st");
    assert_string_equal(list.names[3], "z.st");
    file_list_fini(&list);
    assert_int_equal(file_list("/no/such/folder", NULL, &list, &err), OK);
    assert_int_equal(list.count, 0);
    file_list_fini(&list);
    write_name("blocker");
    mem_free(deep);
    deep = in_folder("blocker/x");
    assert_int_equal(file_make_dirs(deep, &err), E_IO);
    mem_free(deep);
    mem_free(loop);
}

static void test_out_of_memory(void **state)
{
    char *path = in_folder("d.bin");
    Status s = E_NOMEM;

    (void)state;
    for (uint64_t n = 1; s != OK; n++) {
        FileList list = { 0 };
        FileMap *map = NULL;
        char *text = NULL;
        size_t size = 0;

        assert_true(n < 200);
        mem_fail_at(n);
        s = file_write(path, "x", 1, NULL);
        if (s == OK) s = file_map(path, &map, NULL);
        if (s == OK) s = file_read(path, 10, &text, &size, NULL);
        if (s == OK) s = file_list(folder, NULL, &list, NULL);
        mem_fail_at(0);
        assert_true(s == OK || s == E_NOMEM);
        ref_drop(map);
        mem_free(text);
        file_list_fini(&list);
    }
    mem_free(path);
}

int run_file_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_read_map),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_nothing_left_behind),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
