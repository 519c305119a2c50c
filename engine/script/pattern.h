/* pattern.h - Lua's patterns with a bound on the work one match may do. */
#ifndef WEFT_SCRIPT_PATTERN_H
#define WEFT_SCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATTERN_CAPTURES = 32, PATTERN_POSITION = -2, PATTERN_OPEN = -1 };

/* length: bytes, PATTERN_POSITION for "()", PATTERN_OPEN while its ')' was not met. */
typedef struct PatternCapture {
    const char *start;
    ptrdiff_t length;
} PatternCapture;

typedef struct Pattern {
    const char *subject, *subject_end;
    const char *pattern, *pattern_end;
    int level; /* captures in use */
    int depth;
    int64_t steps, most_steps;
    const char *problem; /* why the pattern is wrong or was stopped; NULL = nothing */
    bool stopped;        /* most_steps were used */
    PatternCapture captures[PATTERN_CAPTURES];
} Pattern;

/* Matches p (a place in p->pattern) at s; the end of the match, or NULL (none, or p->problem is set). */
const char *pattern_match(Pattern *p, const char *s, const char *at);

#endif
