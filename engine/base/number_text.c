/* number_text.c - numbers written in other scripts, as Python's int() and float() read them. */
#include "engine/base/number_text.h"

/* Code points of the digits zero (Unicode 15); one to nine follow each. */
static const uint32_t zeros[] = {
    0x0660,  0x06F0,  0x07C0,  0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,  0x0BE6,  0x0C66,
    0x0CE6,  0x0D66,  0x0DE6,  0x0E50,  0x0ED0,  0x0F20,  0x1040,  0x1090,  0x17E0,  0x1810,
    0x1946,  0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,  0x1C50,  0xA620,  0xA8D0,
    0xA900,  0xA9D0,  0xA9F0,  0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950,
    0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2,
    0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950, 0x1FBF0,
};

/* The code point at s, n > 0 bytes, and its length; 0 for one byte of ASCII or of no sequence. */
static uint32_t decode(const unsigned char *s, size_t n, size_t *length)
{
    size_t want = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC0 ? 2 : 1;
    uint32_t cp = s[0] & (0x7Fu >> want);

    *length = 1;
    if (want == 1 || want > n) return 0;
    for (size_t i = 1; i < want; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        cp = cp << 6 | (s[i] & 0x3Fu);
    }
    *length = want;
    return cp;
}

/* 0 to 9, or -1. */
static int digit_of(uint32_t cp)
{
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros && zeros[i] <= cp; i++)
        if (cp - zeros[i] < 10) return (int)(cp - zeros[i]);
    return -1;
}

static bool is_blank(uint32_t cp)
{
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

void number_text_plain(const char *s, size_t n, Str *out)
{
    for (size_t at = 0, length; at < n; at += length) {
        uint32_t cp = decode((const unsigned char *)s + at, n - at, &length);
        int digit = cp ? digit_of(cp) : -1;
        if (digit >= 0)
            str_add_char(out, (char)('0' + digit));
        else if (cp && is_blank(cp))
            str_add_char(out, ' ');
        else
            str_add_n(out, s + at, length);
    }
}
