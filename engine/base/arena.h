/* arena.h - memory of one lifetime, freed whole: graphs, plans, strings of one run. */
#ifndef WEFT_BASE_ARENA_H
#define WEFT_BASE_ARENA_H

#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void); /* NULL when out of memory */
void arena_free(Arena *a);

/* Zeroed, aligned to 16 bytes; NULL when out of memory. */
void *arena_alloc(Arena *a, size_t size);
void *arena_array(Arena *a, size_t count, size_t size); /* NULL on overflow too */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
