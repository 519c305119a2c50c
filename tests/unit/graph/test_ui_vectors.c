/* test_ui_vectors.c - UI documents against the prompts that the real front end made of them. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/graph/parse_ui.h"
#include "nodes/facts.h"

static void shared_folder(char *out, size_t size)
{
    const char *shared = getenv("WEFT_SHARED");

    snprintf(out, size, "%s/vectors/workflows",
             shared ? shared : WEFT_SOURCE_ROOT "/../shared");
}

/* ---- comparing as data -------------------------------------------------------------------- */

static bool same_number(const Json *a, const Json *b)
{
    uint64_t x, y;

    if (json_uint64(a, &x) && json_uint64(b, &y)) return x == y;
    return json_double(a) == json_double(b);
}

/* Documents here are shallow; the walk still keeps its own stack. */
static bool same_json(const Json *a, const Json *b)
{
    const Json *stack[512][2] = { { a, b } };
    int depth = 1;

    while (depth > 0) {
        const Json *x = stack[--depth][0], *y = stack[depth][1];
        if (!x || !y || json_kind(x) != json_kind(y)) return false;
        if (json_is(x, JSON_NUMBER) && !same_number(x, y)) return false;
        if (json_is(x, JSON_BOOL) && json_bool(x) != json_bool(y)) return false;
        if (json_is(x, JSON_STRING) && (json_string_length(x) != json_string_length(y) ||
                                        strcmp(json_string(x), json_string(y))))
            return false;
        if (json_kind(x) < JSON_ARRAY) continue;
        if (json_count(x) != json_count(y)) return false;
        const Json *other = json_is(y, JSON_ARRAY) ? json_first(y) : NULL;
        for (const Json *m = json_first(x); m; m = json_next(m)) {
            if (depth == 512) return false;
            stack[depth][0] = m;
            stack[depth++][1] = other ? other : json_get(y, json_key(m));
            if (other) other = json_next(other);
        }
    }
    return true;
}

static int report(const char *file, const char *id, const char *what, const Json *got,
                  const Json *want)
{
    Str text = { 0 };

    str_printf(&text, "%s: node %s: %s: got ", file, id, what);
    if (got) json_write(&text, got);
    str_add(&text, ", want ");
    if (want) json_write(&text, want);
    print_message("%s\n", text.text);
    str_fini(&text);
    return 1;
}

static int compare_inputs(const char *file, const char *id, const Json *got, const Json *want)
{
    int wrong = 0;

    for (const Json *m = json_first(want); m; m = json_next(m)) {
        const Json *other = json_get(got, json_key(m));
        if (!same_json(other, m)) wrong += report(file, id, json_key(m), other, m);
    }
    for (const Json *m = json_first(got); m; m = json_next(m))
        if (!json_get(want, json_key(m))) wrong += report(file, id, json_key(m), m, NULL);
    return wrong;
}

static int compare(const char *file, const Json *got, const Json *want)
{
    int wrong = 0;

    for (const Json *m = json_first(want); m; m = json_next(m)) {
        const Json *other = json_get(got, json_key(m));
        if (!other) {
            wrong += report(file, json_key(m), "node", NULL, m);
            continue;
        }
        if (!same_json(json_get(other, "class_type"), json_get(m, "class_type")))
            wrong += report(file, json_key(m), "class_type", other, m);
        wrong +=
            compare_inputs(file, json_key(m), json_get(other, "inputs"), json_get(m, "inputs"));
    }
    for (const Json *m = json_first(got); m; m = json_next(m))
        if (!json_get(want, json_key(m))) wrong += report(file, json_key(m), "node", m, NULL);
    return wrong;
}

/* ---- pairs -------------------------------------------------------------------------------- */

static Status convert(const Json *workflow, Str *out, Error *err)
{
    const NodeTable table = { .known = facts_nodes, .n_known = facts_count };
    const UiOptions options = { .table = &table };
    Graph *g = NULL;
    Str text = { 0 };
    Status status;

    json_write(&text, workflow);
    status = parse_document(text.text, text.length, &options, &g, err);
    if (status == OK) graph_write_api(g, out);
    graph_free(g);
    str_fini(&text);
    return status;
}

static int check_pair(const char *folder, const char *name)
{
    char path[2048], line[1400];
    char *text = NULL;
    size_t size;
    JsonDoc *pair = NULL, *got = NULL;
    Str api = { 0 };
    Error err = { 0 };
    int wrong = 1;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_read(path, 1 << 28, &text, &size, &err), OK);
    assert_int_equal(json_parse(text, size, &pair, &err), OK);
    const Json *root = json_root(pair);
    if (convert(json_get(root, "workflow"), &api, &err) != OK) {
        error_format(&err, line, sizeof line);
        print_message("%s: %s\n", name, line);
    } else {
        assert_int_equal(json_parse(api.text, api.length, &got, &err), OK);
        wrong = compare(name, json_root(got), json_get(root, "prompt"));
    }
    str_fini(&api);
    json_free(got);
    json_free(pair);
    mem_free(text);
    return wrong;
}

static bool is_pair(const char *name)
{
    return str_ends_with(name, ".json") && strcmp(name, "manifest.json") != 0;
}

static void test_every_pair(void **state)
{
    char folder[1024];
    int pairs = 0, wrong = 0;
    struct dirent *entry;
    (void)state;

    shared_folder(folder, sizeof folder);
    DIR *dir = opendir(folder);
    if (!dir) {
        print_message("no %s\n", folder);
        skip();
    }
    while ((entry = readdir(dir))) {
        if (!is_pair(entry->d_name)) continue;
        pairs++;
        wrong += check_pair(folder, entry->d_name) > 0;
    }
    closedir(dir);
    print_message("%d of %d pairs equal\n", pairs - wrong, pairs);
    assert_true(pairs > 0);
    assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_pair) };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("ui vectors", tests, NULL, NULL);
}
