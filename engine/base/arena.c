/* arena.c - memory of one lifetime, freed whole: graphs, plans, strings of one run. */
#include "engine/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

enum { ALIGN = 16, FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

/* Blocks form a list, newest first; only the newest is filled. */
typedef struct Block {
    struct Block *next; /* owned */
    size_t size, used;  /* bytes of data */
    _Alignas(16) unsigned char data[];
} Block;

struct Arena {
    Block *blocks;     /* owned */
    size_t next_block; /* bytes that the next ordinary block gets */
};

Arena *arena_new(void)
{
    Arena *a = mem_calloc(1, sizeof *a);

    if (a) a->next_block = FIRST_BLOCK;
    return a;
}

void arena_free(Arena *a)
{
    if (!a) return;
    for (Block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    mem_free(a);
}

/* A block for a request that is large against the block size stands behind the newest one, so
 * that the free rest of the newest one is not lost. */
static Block *add_block(Arena *a, size_t need)
{
    size_t large = need > a->next_block / 2 ? 1 : 0;
    size_t size = large ? need : a->next_block;
    Block *b;

    if (size > SIZE_MAX - sizeof *b) return NULL;
    b = mem_calloc(1, sizeof *b + size);
    if (!b) return NULL;
    b->size = size;
    if (large && a->blocks) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
    }
    if (!large && a->next_block < LARGEST_BLOCK) a->next_block *= 2;
    return b;
}

void *arena_alloc(Arena *a, size_t size)
{
    Block *b = a->blocks;
    void *p;

    if (size > SIZE_MAX - ALIGN) return NULL;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size == 0) size = ALIGN;
    if (!b || b->size - b->used < size) b = add_block(a, size);
    if (!b) return NULL;
    p = b->data + b->used;
    b->used += size;
    return p;
}

void *arena_array(Arena *a, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    return arena_alloc(a, bytes);
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;

    if (copy && n) memcpy(copy, s, n);
    return copy;
}

char *arena_printf(Arena *a, const char *format, ...)
{
    va_list args, again;
    char *text = NULL;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    if (n >= 0) text = arena_alloc(a, (size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}
