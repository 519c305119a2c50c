/* glob.h - patterns of file names: *, ?, [a-z], and ** for any number of folders. */
#ifndef WEFT_BASE_GLOB_H
#define WEFT_BASE_GLOB_H

#include <stdbool.h>

/* The whole path must match, bytes against bytes; * and ? stop at '/'. A pattern without '/' is compared with
 * the last part of the path. Cost: at most quadratic in the length of the path. */
bool glob_match(const char *pattern, const char *path);
/* Holds a character that makes it a pattern. */
bool glob_is_pattern(const char *text);

#endif
