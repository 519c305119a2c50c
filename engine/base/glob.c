/* glob.c - patterns of file names: *, ?, [a-z], and ** for any number of folders. */
#include "engine/base/glob.h"

#include <stddef.h>
#include <string.h>

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* One class "[...]" at p against c; *next gets what stands behind it. An unclosed one is a plain '['. */
static bool match_class(const char *p, char c, const char **next)
{
    const char *at = p + 1;
    bool inverse = *at == '!' || *at == '^', found = false;

    at += inverse;
    for (const char *first = at; *at && (*at != ']' || at == first); at++) {
        if (at[1] == '-' && at[2] && at[2] != ']') {
            found |= (unsigned char)at[0] <= (unsigned char)c &&
                     (unsigned char)c <= (unsigned char)at[2];
            at += 2;
        } else {
            found |= *at == c;
        }
    }
    *next = *at ? at + 1 : p + 1;
    return *at ? found != inverse : c == '[';
}

static bool match_one(const char *p, char c, const char **next)
{
    *next = p + 1;
    if (!c || !*p) return false;
    if (*p == '?') return c != '/';
    if (*p == '[') return c != '/' && match_class(p, c, next);
    return *p == c;
}

/* Places to come back to: the last '*' and the last '**', each with what it has taken so far. */
static bool match_path(const char *p, const char *s)
{
    const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL, *next;

    for (;;) {
        if (p[0] == '*' && p[1] == '*') {
            p += 2;
            p += *p == '/'; /* a folder may be none at all */
            deep = p;
            deep_at = s;
            star = NULL;
            continue;
        }
        if (*p == '*') {
            star = ++p;
            star_at = s;
            continue;
        }
        if (!*p && !*s) return true;
        if (match_one(p, *s, &next)) {
            p = next;
            s++;
        } else if (star && *star_at && *star_at != '/') {
            p = star;
            s = ++star_at;
        } else if (deep && *deep_at) {
            p = deep;
            s = ++deep_at;
            star = NULL;
        } else {
            return false;
        }
    }
}

bool glob_match(const char *pattern, const char *path)
{
    const char *name = strrchr(path, '/');

    if (!strchr(pattern, '/') && name) path = name + 1;
    return match_path(pattern, path);
}
