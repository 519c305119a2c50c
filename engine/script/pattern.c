/* pattern.c - Lua's patterns with a bound on the work one match may do.
 *
 * The language is the one of the Lua 5.4 reference manual, section 6.4.1. The library's own matcher
 * backtracks without limit inside C where no budget sees it; this one counts every step.
 */
#include "engine/script/pattern.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 180, SET_SHIFT = 3 }; /* eight characters of a set weigh one step */

static const char *fail(Pattern *p, const char *problem)
{
    if (!p->problem) p->problem = problem;
    return NULL;
}

/* Counts one step; false once there were too many. */
static bool step(Pattern *p)
{
    if (p->steps++ < p->most_steps) return true;
    p->stopped = true;
    fail(p, "the pattern needs too many steps");
    return false;
}

/* ---- one character ------------------------------------------------------------------------------------ */

static bool in_class(int c, int letter)
{
    bool yes;

    switch (tolower(letter)) {
    case 'a':
        yes = isalpha(c);
        break;
    case 'c':
        yes = iscntrl(c);
        break;
    case 'd':
        yes = isdigit(c);
        break;
    case 'g':
        yes = isgraph(c);
        break;
    case 'l':
        yes = islower(c);
        break;
    case 'p':
        yes = ispunct(c);
        break;
    case 's':
        yes = isspace(c);
        break;
    case 'u':
        yes = isupper(c);
        break;
    case 'w':
        yes = isalnum(c);
        break;
    case 'x':
        yes = isxdigit(c);
        break;
    default:
        return letter == c;
    }
    return isupper(letter) ? !yes : yes;
}

/* The place behind the single-character item at `at`; NULL with a problem when it does not end. */
static const char *item_end(Pattern *p, const char *at)
{
    const char *end = p->pattern_end, *first = at;

    if (*at == '%') return at + 1 < end ? at + 2 : fail(p, "malformed pattern (ends with '%')");
    if (*at != '[') return at + 1;
    at++;
    if (at < end && *at == '^') at++;
    do { /* a ']' in the first place stands for itself */
        if (at >= end) return fail(p, "malformed pattern (missing ']')");
        at += *at == '%' && at + 1 < end ? 2 : 1;
    } while (at >= end || *at != ']');
    p->steps += (at - first) >> SET_SHIFT;
    return at + 1;
}

/* set: from '[' to its ']'. */
static bool in_set(int c, const char *set, const char *close)
{
    bool negated = set[1] == '^';
    const char *at = set + 1 + negated;

    for (; at < close; at++) {
        if (*at == '%' && at + 1 < close) {
            at++;
            if (in_class(c, (unsigned char)*at)) return !negated;
        } else if (at + 2 < close && at[1] == '-') {
            if ((unsigned char)*at <= c && c <= (unsigned char)at[2]) return !negated;
            at += 2;
        } else if ((unsigned char)*at == c) {
            return !negated;
        }
    }
    return negated;
}

static bool matches_item(Pattern *p, const char *s, const char *at, const char *end)
{
    if (s >= p->subject_end) return false;
    int c = (unsigned char)*s;
    if (*at == '.') return true;
    if (*at == '%') return in_class(c, (unsigned char)at[1]);
    if (*at != '[') return (unsigned char)*at == c;
    p->steps += (end - at) >> SET_SHIFT;
    return in_set(c, at, end - 1);
}

/* ---- repetition --------------------------------------------------------------------------------------- */

static const char *longest(Pattern *p, const char *s, const char *at, const char *end)
{
    ptrdiff_t n = 0;

    while (matches_item(p, s + n, at, end)) {
        if (!step(p)) return NULL;
        n++;
    }
    for (; n >= 0 && !p->problem; n--) {
        const char *found = pattern_match(p, s + n, end + 1);
        if (found) return found;
    }
    return NULL;
}

static const char *shortest(Pattern *p, const char *s, const char *at, const char *end)
{
    while (!p->problem) {
        const char *found = pattern_match(p, s, end + 1);
        if (found) return found;
        if (!matches_item(p, s, at, end) || !step(p)) return NULL;
        s++;
    }
    return NULL;
}

/* ---- captures and special items -------------------------------------------------------------------------- */

static const char *open_capture(Pattern *p, const char *s, const char *at, ptrdiff_t length)
{
    if (p->level >= PATTERN_CAPTURES) return fail(p, "too many captures");
    p->captures[p->level++] = (PatternCapture){ s, length };
    const char *found = pattern_match(p, s, at);
    if (!found) p->level--;
    return found;
}

static const char *close_capture(Pattern *p, const char *s, const char *at)
{
    int i = p->level - 1;

    while (i >= 0 && p->captures[i].length != PATTERN_OPEN)
        i--;
    if (i < 0) return fail(p, "invalid pattern capture");
    p->captures[i].length = s - p->captures[i].start;
    const char *found = pattern_match(p, s, at);
    if (!found) p->captures[i].length = PATTERN_OPEN;
    return found;
}

/* %bxy: from x to the y that balances it. */
static const char *balanced(Pattern *p, const char *s, const char *at)
{
    int open, nesting = 1;

    if (at + 1 >= p->pattern_end)
        return fail(p, "malformed pattern (missing arguments to '%b')");
    if (s >= p->subject_end || *s != *at) return NULL;
    open = *at;
    for (s++; s < p->subject_end; s++) {
        if (!step(p)) return NULL;
        if (*s == at[1] && --nesting == 0) return s + 1;
        if (*s == open && *s != at[1]) nesting++;
    }
    return NULL;
}

/* %f[set]: between a character outside the set and one inside. */
static const char *frontier(Pattern *p, const char *s, const char *at)
{
    if (at >= p->pattern_end || *at != '[') return fail(p, "missing '[' after '%f' in pattern");
    const char *end = item_end(p, at);
    if (!end) return NULL;
    int before = s == p->subject ? 0 : (unsigned char)s[-1];
    int after = s < p->subject_end ? (unsigned char)*s : 0;
    if (in_set(before, at, end - 1) || !in_set(after, at, end - 1)) return NULL;
    return pattern_match(p, s, end);
}

static const char *back_reference(Pattern *p, const char *s, const char *at)
{
    int i = *at - '1';

    if (i < 0 || i >= p->level || p->captures[i].length < 0)
        return fail(p, "invalid capture index");
    size_t n = (size_t)p->captures[i].length;
    p->steps += (int64_t)n;
    if ((size_t)(p->subject_end - s) < n || memcmp(p->captures[i].start, s, n) != 0)
        return NULL;
    return pattern_match(p, s + n, at + 1);
}

/* ---- the walk ---------------------------------------------------------------------------------------------- */

/* The item at `at` that is no plain character; *handled says whether there was one. */
static const char *special(Pattern *p, const char *s, const char *at, bool *handled)
{
    const char *end = p->pattern_end;

    *handled = true;
    if (*at == '(' && at + 1 < end && at[1] == ')')
        return open_capture(p, s, at + 2, PATTERN_POSITION);
    if (*at == '(') return open_capture(p, s, at + 1, PATTERN_OPEN);
    if (*at == ')') return close_capture(p, s, at + 1);
    if (*at == '$' && at + 1 == end) return s == p->subject_end ? s : NULL;
    if (*at == '%' && at + 1 < end && at[1] == 'b') {
        s = balanced(p, s, at + 2);
        return s ? pattern_match(p, s, at + 4) : NULL;
    }
    if (*at == '%' && at + 1 < end && at[1] == 'f') return frontier(p, s, at + 2);
    if (*at == '%' && at + 1 < end && isdigit((unsigned char)at[1]))
        return back_reference(p, s, at + 1);
    *handled = false;
    return NULL;
}

static const char *walk(Pattern *p, const char *s, const char *at)
{
    while (at < p->pattern_end) {
        bool handled;
        if (p->problem || !step(p)) return NULL;
        const char *found = special(p, s, at, &handled);
        if (handled) return found;
        const char *end = item_end(p, at);
        if (!end) return NULL;
        char suffix = end < p->pattern_end ? *end : 0;
        bool one = matches_item(p, s, at, end);
        if (suffix == '*') return longest(p, s, at, end);
        if (suffix == '+') return one ? longest(p, s + 1, at, end) : NULL;
        if (suffix == '-') return shortest(p, s, at, end);
        if (suffix == '?') {
            found = one ? pattern_match(p, s + 1, end + 1) : NULL;
            if (found) return found;
            at = end + 1;
            continue;
        }
        if (!one) return NULL;
        s++;
        at = end;
    }
    return s;
}

const char *pattern_match(Pattern *p, const char *s, const char *at)
{
    if (p->problem) return NULL;
    if (++p->depth > DEPTH_MAX) return fail(p, "pattern too complex");
    const char *found = walk(p, s, at);
    p->depth--;
    return found;
}
