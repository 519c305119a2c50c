/* fuzz_toml.c - any bytes as settings; what is taken has keys, and a fault has its place. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "engine/base/glob.h"
#include "engine/base/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *arena = arena_new();
    Toml t;
    Error err;

    MUST(arena);
    error_clear(&err);
    if (toml_parse((const char *)data, size, arena, &t, &err) != OK) {
        MUST(err.message[0] && err.line >= 1 && err.column >= 1);
        arena_free(arena);
        return 0;
    }
    for (size_t i = 0; i < t.count; i++) {
        const TomlEntry *e = &t.entries[i];
        MUST(e->depth >= 1 && e->depth <= TOML_DEPTH_MAX && e->line >= 1);
        for (size_t k = 0; e->kind == TOML_LIST && k < e->n_items; k++)
            (void)glob_match(e->items[k], e->path[0]);
    }
    arena_free(arena);
    return 0;
}
