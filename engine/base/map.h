/* map.h - string to pointer, in insertion order. */
#ifndef WEFT_BASE_MAP_H
#define WEFT_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. Keys are copied; values are the caller's. Not thread-safe. */
typedef struct Map {
    struct MapEntry *entries; /* owned, in insertion order */
    size_t count, capacity;
    unsigned *slots; /* owned, index + 1 into entries */
    size_t slot_count;
} Map;

typedef struct MapEntry {
    char *key; /* owned */
    void *value;
} MapEntry;

bool map_put(Map *m, const char *key, void *value); /* replaces; false = out of memory */
void *map_get(const Map *m, const char *key);       /* NULL when absent */
bool map_has(const Map *m, const char *key);
/* Forgets all but the `count` oldest entries. */
void map_cut(Map *m, size_t count);
void map_fini(Map *m);

#endif
