/* strings.h - operations on texts that count in code points, as Python's str does them. */
#ifndef WEFT_TEXT_STRINGS_H
#define WEFT_TEXT_STRINGS_H

#include <stdint.h>

#include "engine/base/str.h"

/* All take valid UTF-8 and append to out; out->failed when memory is out. */
int64_t strings_length(const char *s);
/* s[start:end]: negative ends count from the far side, both are moved inside. */
void strings_slice(const char *s, int64_t start, int64_t end, Str *out);
void strings_upper(const char *s, Str *out);
void strings_lower(const char *s, Str *out);
void strings_title(const char *s, Str *out);      /* each run of cased letters */
void strings_capitalize(const char *s, Str *out); /* the first character, the rest lower */
void strings_strip(const char *s, bool left, bool right, Str *out);
/* Every occurrence from the left; an empty `find` stands between all characters and at both ends. */
void strings_replace(const char *s, const char *find, const char *with, Str *out);

/* White space, decimal digits, one form for all cases of a letter, simple upper case. */
bool strings_is_space(int32_t cp);
bool strings_is_decimal(int32_t cp);
int32_t strings_fold(int32_t cp);
int32_t strings_upper_of(int32_t cp);

#endif
