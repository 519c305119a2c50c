/* fuzz_regex.c - any bytes as pattern, newline, replacement, newline, text. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/text/regex.h"
#include "engine/text/unicode.h"

/* Cuts the text at its next newline; the rest, or "". */
static char *next_line(char *s)
{
    char *end = strchr(s, '\n');
    if (!end) return s + strlen(s);
    *end = 0;
    return end + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Str all = { 0 }, out = { 0 };
    Regex *r = NULL;

    if (size < 1 || size > 4096) return 0;
    unicode_repair((const char *)data + 1, size - 1, &all);
    str_add_char(&all, ' ');
    if (!all.failed) {
        char *template = next_line(all.text), *text = next_line(template);
        if (regex_new(all.text, data[0] & 7, &r, NULL) == OK)
            (void)regex_replace(r, text, template, data[0] >> 3 & 3, &out, NULL);
    }
    regex_free(r);
    str_fini(&out);
    str_fini(&all);
    return 0;
}
