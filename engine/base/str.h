/* str.h - a growing string, and what plain strings lack. */
#ifndef WEFT_BASE_STR_H
#define WEFT_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; text is NULL while empty, else NUL-ended. A failed allocation sets `failed`
 * and later appends do nothing, so a writer checks once at its end. */
typedef struct Str {
    char *text; /* owned */
    size_t length, capacity;
    bool failed;
} Str;

void str_fini(Str *s);
void str_clear(Str *s);
void str_add(Str *s, const char *text);
void str_add_n(Str *s, const char *text, size_t n);
void str_add_char(Str *s, char c);
void str_printf(Str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hands the text over ("" rather than NULL); the caller frees it with mem_free. NULL if failed. */
char *str_take(Str *s);

bool str_ends_with(const char *s, const char *suffix);
bool str_starts_with(const char *s, const char *prefix);

/* Levenshtein distance, cut off at `limit`; for "did you mean". */
int str_distance(const char *a, const char *b, int limit);

/* The nearest of n names to `name`, ignoring case, or NULL when none is near. */
const char *str_nearest(const char *name, const char *const *names, size_t n);

/* First byte that breaks UTF-8 (overlong, surrogate, above U+10FFFF), or -1. */
ptrdiff_t str_utf8_error(const char *s, size_t n);

/* Python's int() and float() on text: blanks around, `_` between digits; false when not a number.
 * *exact_u64 style callers use str_to_u64. */
bool str_to_double(const char *s, double *out);

#endif
