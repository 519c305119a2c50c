/* unicode.h - what the tokenizers need of Unicode: decoding, classes, NFC, lower case. */
#ifndef WEFT_TEXT_UNICODE_H
#define WEFT_TEXT_UNICODE_H

#include "engine/base/status.h"
#include "engine/base/str.h"

/* Coarse class of a code point, as the pre-token patterns see it. */
typedef enum CharClass {
    CHAR_OTHER,
    CHAR_LETTER, /* general category L* */
    CHAR_NUMBER, /* general category N* */
    CHAR_SPACE   /* property White_Space */
} CharClass;

/* Reads the code point at s (n > 0 bytes); *length is set to its bytes, at least 1. A byte that
 * does not belong gives U+FFFD and length 1. */
int32_t unicode_decode(const char *s, size_t n, size_t *length);
void unicode_append(Str *out, int32_t cp);
/* Copies text with each ill-formed byte replaced by U+FFFD. */
void unicode_repair(const char *s, size_t n, Str *out);

CharClass unicode_class(int32_t cp);
bool unicode_is_space(int32_t cp); /* White_Space */
bool unicode_is_control(
    int32_t cp); /* general category C*: controls, formats, unassigned, private */

/* Appends the canonical composition (NFC) of valid UTF-8. Linear but for a sort of each run of
 * combining marks, whatever the text. out->failed when memory is out. */
void unicode_nfc(const char *s, size_t n, Str *out);

/* Appends the lower case of one word of valid UTF-8: full mapping of U+0130, and U+03A3 at the
 * end of a word becomes U+03C2 (Unicode, SpecialCasing). */
void unicode_lower(const char *s, size_t n, Str *out);

#endif
