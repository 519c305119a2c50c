/* regex.h - regular expressions as Python's `re` reads them, by backtracking over code points.
 *
 * Supported: literals, . ^ $ | ( ), classes, * + ? {m,n} and their lazy forms, \d \D \w \W \s \S \b \B \A \Z,
 * \n \t \r \f \v \a \xhh \uhhhh \Uhhhhhhhh and octal, numbered and named groups and references to them,
 * (?:...), lookahead, lookbehind of fixed width, (?#...), the flags i m s u at the start or for a group.
 * Refused by name (E_UNSUPPORTED): verbose and ASCII flags, conditionals, atomic groups, possessive quantifiers, \N{...}.
 * Source: Python's library reference, "re - Regular expression operations".
 */
#ifndef WEFT_TEXT_REGEX_H
#define WEFT_TEXT_REGEX_H

#include <stdint.h>

#include "engine/base/status.h"
#include "engine/base/str.h"

typedef struct Regex Regex;

enum { REGEX_IGNORE_CASE = 1, REGEX_MULTILINE = 2, REGEX_DOT_ALL = 4 };

/* Errors: E_FORMAT for what Python refuses too, E_UNSUPPORTED, E_LIMIT (too large), E_NOMEM. */
Status regex_new(const char *pattern, unsigned flags, Regex **out, Error *err);
void regex_free(Regex *r);
int regex_groups(const Regex *r); /* without group 0 */

/* Walks over the matches of one text from left to right. */
typedef struct RegexScan RegexScan;
Status regex_scan(const Regex *r, const char *text, RegexScan **out, Error *err);
void regex_scan_free(RegexScan *s);
/* *found: whether there was another match. E_LIMIT when it takes too many steps. */
Status regex_next(RegexScan *s, bool *found, Error *err);
/* Appends a group of the last match; false when the group took no part in it (nothing is appended). */
bool regex_group(const RegexScan *s, int group, Str *out);

/* Replaces the first `count` matches (0 = all) by a template with \1, \g<1>, \g<name> and escapes. */
Status regex_replace(const Regex *r, const char *text, const char *template, int64_t count,
                     Str *out, Error *err);

#endif
