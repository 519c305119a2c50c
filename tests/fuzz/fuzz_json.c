/* fuzz_json.c - any bytes into the JSON guard; what it takes must survive being written and read. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "engine/base/json.h"
#include "engine/base/mem.h"

/* Walks the top level by every accessor. */
static void look(const JsonDoc *doc)
{
    const Json *root = json_root(doc);
    size_t i = 0;
    int64_t whole;
    uint64_t positive;

    for (const Json *j = json_first(root); j; j = json_next(j), i++) {
        int line = 0, column = 0;

        MUST(json_at(root, i) == j);
        json_line_column(doc, json_offset(j), &line, &column);
        MUST(line >= 1 && column >= 0);
        if (json_key(j)) (void)json_get(root, json_key(j));
        (void)json_int64(j, &whole);
        (void)json_uint64(j, &positive);
        (void)json_double(j);
    }
    MUST(i == json_count(root));
    for (i = 0; json_duplicate(doc, i); i++)
        MUST(json_key(json_duplicate(doc, i)));
}

static char *write_all(const JsonDoc *doc)
{
    Str s = { 0 };

    json_write(&s, json_root(doc));
    return str_take(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    JsonDoc *doc = NULL, *again = NULL;
    Error err;
    char *first, *second;

    if (json_parse((const char *)data, size, &doc, &err) != OK) {
        MUST(err.offset >= 0 && (size_t)err.offset <= size && err.line >= 1);
        return 0;
    }
    look(doc);
    first = write_all(doc);
    MUST(json_parse(first, strlen(first), &again, &err) == OK);
    second = write_all(again);
    MUST(strcmp(first, second) == 0);
    mem_free(first);
    mem_free(second);
    json_free(again);
    json_free(doc);
    return 0;
}
