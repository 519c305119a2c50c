/* toml.h - the part of TOML that weft.toml needs: tables, texts, whole numbers, switches, lists of texts.
 *
 * Read strictly: what is not in this part (dates, floats, multi-line texts, arrays of tables, mixed lists) is
 * an error with its line, and so is a key that stands twice. Source: TOML 1.0.0.
 */
#ifndef WEFT_BASE_TOML_H
#define WEFT_BASE_TOML_H

#include "engine/base/arena.h"
#include "engine/base/status.h"

typedef enum TomlKind { TOML_TEXT, TOML_INTEGER, TOML_SWITCH, TOML_LIST } TomlKind;

enum { TOML_DEPTH_MAX = 8 };

/* One key with its value; inline tables and headers are spelt out in `path`. */
typedef struct TomlEntry {
    const char *path[TOML_DEPTH_MAX];
    int depth;
    TomlKind kind;
    const char *text;
    int64_t integer;
    bool flag;
    const char **items; /* TOML_LIST */
    size_t n_items;
    int line, column;
} TomlEntry;

typedef struct Toml {
    TomlEntry *entries; /* in the arena, in the file's order */
    size_t count;
} Toml;

/* Parses exactly `length` bytes. Errors: E_FORMAT with line and column; E_NOMEM. */
Status toml_parse(const char *text, size_t length, Arena *arena, Toml *out, Error *err);

#endif
