/* number_text.h - numbers written in other scripts, as Python's int() and float() read them. */
#ifndef WEFT_BASE_NUMBER_TEXT_H
#define WEFT_BASE_NUMBER_TEXT_H

#include "engine/base/str.h"

/* Appends UTF-8 text with decimal digits of any script (Unicode's category Nd) as ASCII digits and white space beyond
 * ASCII as blanks; all else, ASCII blanks and controls too, as it is. What then reads the number sees what Python's
 * does. Ill-formed bytes are copied. */
void number_text_plain(const char *s, size_t n, Str *out);

#endif
