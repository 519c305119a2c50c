/* strings.c - operations on texts that count in code points. */
#include "engine/text/strings.h"

#include <string.h>

#include <utf8proc.h>

#include "engine/text/unicode.h"

/* Letters that become several in upper or title case (Unicode, SpecialCasing, unconditional rows). */
typedef struct SpecialCase {
    int32_t cp, upper[3], title[3];
} SpecialCase;

/* clang-format off */
static const SpecialCase special_cases[] = {
    { 0x00DF, { 0x0053, 0x0053 }, { 0x0053, 0x0073 } },
    { 0x0149, { 0x02BC, 0x004E }, { 0x02BC, 0x004E } },
    { 0x01F0, { 0x004A, 0x030C }, { 0x004A, 0x030C } },
    { 0x0390, { 0x0399, 0x0308, 0x0301 }, { 0x0399, 0x0308, 0x0301 } },
    { 0x03B0, { 0x03A5, 0x0308, 0x0301 }, { 0x03A5, 0x0308, 0x0301 } },
    { 0x0587, { 0x0535, 0x0552 }, { 0x0535, 0x0582 } },
    { 0x1E96, { 0x0048, 0x0331 }, { 0x0048, 0x0331 } },
    { 0x1E97, { 0x0054, 0x0308 }, { 0x0054, 0x0308 } },
    { 0x1E98, { 0x0057, 0x030A }, { 0x0057, 0x030A } },
    { 0x1E99, { 0x0059, 0x030A }, { 0x0059, 0x030A } },
    { 0x1E9A, { 0x0041, 0x02BE }, { 0x0041, 0x02BE } },
    { 0x1F50, { 0x03A5, 0x0313 }, { 0x03A5, 0x0313 } },
    { 0x1F52, { 0x03A5, 0x0313, 0x0300 }, { 0x03A5, 0x0313, 0x0300 } },
    { 0x1F54, { 0x03A5, 0x0313, 0x0301 }, { 0x03A5, 0x0313, 0x0301 } },
    { 0x1F56, { 0x03A5, 0x0313, 0x0342 }, { 0x03A5, 0x0313, 0x0342 } },
    { 0x1F80, { 0x1F08, 0x0399 }, { 0x1F88 } },
    { 0x1F81, { 0x1F09, 0x0399 }, { 0x1F89 } },
    { 0x1F82, { 0x1F0A, 0x0399 }, { 0x1F8A } },
    { 0x1F83, { 0x1F0B, 0x0399 }, { 0x1F8B } },
    { 0x1F84, { 0x1F0C, 0x0399 }, { 0x1F8C } },
    { 0x1F85, { 0x1F0D, 0x0399 }, { 0x1F8D } },
    { 0x1F86, { 0x1F0E, 0x0399 }, { 0x1F8E } },
    { 0x1F87, { 0x1F0F, 0x0399 }, { 0x1F8F } },
    { 0x1F88, { 0x1F08, 0x0399 }, { 0x1F88 } },
    { 0x1F89, { 0x1F09, 0x0399 }, { 0x1F89 } },
    { 0x1F8A, { 0x1F0A, 0x0399 }, { 0x1F8A } },
    { 0x1F8B, { 0x1F0B, 0x0399 }, { 0x1F8B } },
    { 0x1F8C, { 0x1F0C, 0x0399 }, { 0x1F8C } },
    { 0x1F8D, { 0x1F0D, 0x0399 }, { 0x1F8D } },
    { 0x1F8E, { 0x1F0E, 0x0399 }, { 0x1F8E } },
    { 0x1F8F, { 0x1F0F, 0x0399 }, { 0x1F8F } },
    { 0x1F90, { 0x1F28, 0x0399 }, { 0x1F98 } },
    { 0x1F91, { 0x1F29, 0x0399 }, { 0x1F99 } },
    { 0x1F92, { 0x1F2A, 0x0399 }, { 0x1F9A } },
    { 0x1F93, { 0x1F2B, 0x0399 }, { 0x1F9B } },
    { 0x1F94, { 0x1F2C, 0x0399 }, { 0x1F9C } },
    { 0x1F95, { 0x1F2D, 0x0399 }, { 0x1F9D } },
    { 0x1F96, { 0x1F2E, 0x0399 }, { 0x1F9E } },
    { 0x1F97, { 0x1F2F, 0x0399 }, { 0x1F9F } },
    { 0x1F98, { 0x1F28, 0x0399 }, { 0x1F98 } },
    { 0x1F99, { 0x1F29, 0x0399 }, { 0x1F99 } },
    { 0x1F9A, { 0x1F2A, 0x0399 }, { 0x1F9A } },
    { 0x1F9B, { 0x1F2B, 0x0399 }, { 0x1F9B } },
    { 0x1F9C, { 0x1F2C, 0x0399 }, { 0x1F9C } },
    { 0x1F9D, { 0x1F2D, 0x0399 }, { 0x1F9D } },
    { 0x1F9E, { 0x1F2E, 0x0399 }, { 0x1F9E } },
    { 0x1F9F, { 0x1F2F, 0x0399 }, { 0x1F9F } },
    { 0x1FA0, { 0x1F68, 0x0399 }, { 0x1FA8 } },
    { 0x1FA1, { 0x1F69, 0x0399 }, { 0x1FA9 } },
    { 0x1FA2, { 0x1F6A, 0x0399 }, { 0x1FAA } },
    { 0x1FA3, { 0x1F6B, 0x0399 }, { 0x1FAB } },
    { 0x1FA4, { 0x1F6C, 0x0399 }, { 0x1FAC } },
    { 0x1FA5, { 0x1F6D, 0x0399 }, { 0x1FAD } },
    { 0x1FA6, { 0x1F6E, 0x0399 }, { 0x1FAE } },
    { 0x1FA7, { 0x1F6F, 0x0399 }, { 0x1FAF } },
    { 0x1FA8, { 0x1F68, 0x0399 }, { 0x1FA8 } },
    { 0x1FA9, { 0x1F69, 0x0399 }, { 0x1FA9 } },
    { 0x1FAA, { 0x1F6A, 0x0399 }, { 0x1FAA } },
    { 0x1FAB, { 0x1F6B, 0x0399 }, { 0x1FAB } },
    { 0x1FAC, { 0x1F6C, 0x0399 }, { 0x1FAC } },
    { 0x1FAD, { 0x1F6D, 0x0399 }, { 0x1FAD } },
    { 0x1FAE, { 0x1F6E, 0x0399 }, { 0x1FAE } },
    { 0x1FAF, { 0x1F6F, 0x0399 }, { 0x1FAF } },
    { 0x1FB2, { 0x1FBA, 0x0399 }, { 0x1FBA, 0x0345 } },
    { 0x1FB3, { 0x0391, 0x0399 }, { 0x1FBC } },
    { 0x1FB4, { 0x0386, 0x0399 }, { 0x0386, 0x0345 } },
    { 0x1FB6, { 0x0391, 0x0342 }, { 0x0391, 0x0342 } },
    { 0x1FB7, { 0x0391, 0x0342, 0x0399 }, { 0x0391, 0x0342, 0x0345 } },
    { 0x1FBC, { 0x0391, 0x0399 }, { 0x1FBC } },
    { 0x1FC2, { 0x1FCA, 0x0399 }, { 0x1FCA, 0x0345 } },
    { 0x1FC3, { 0x0397, 0x0399 }, { 0x1FCC } },
    { 0x1FC4, { 0x0389, 0x0399 }, { 0x0389, 0x0345 } },
    { 0x1FC6, { 0x0397, 0x0342 }, { 0x0397, 0x0342 } },
    { 0x1FC7, { 0x0397, 0x0342, 0x0399 }, { 0x0397, 0x0342, 0x0345 } },
    { 0x1FCC, { 0x0397, 0x0399 }, { 0x1FCC } },
    { 0x1FD2, { 0x0399, 0x0308, 0x0300 }, { 0x0399, 0x0308, 0x0300 } },
    { 0x1FD3, { 0x0399, 0x0308, 0x0301 }, { 0x0399, 0x0308, 0x0301 } },
    { 0x1FD6, { 0x0399, 0x0342 }, { 0x0399, 0x0342 } },
    { 0x1FD7, { 0x0399, 0x0308, 0x0342 }, { 0x0399, 0x0308, 0x0342 } },
    { 0x1FE2, { 0x03A5, 0x0308, 0x0300 }, { 0x03A5, 0x0308, 0x0300 } },
    { 0x1FE3, { 0x03A5, 0x0308, 0x0301 }, { 0x03A5, 0x0308, 0x0301 } },
    { 0x1FE4, { 0x03A1, 0x0313 }, { 0x03A1, 0x0313 } },
    { 0x1FE6, { 0x03A5, 0x0342 }, { 0x03A5, 0x0342 } },
    { 0x1FE7, { 0x03A5, 0x0308, 0x0342 }, { 0x03A5, 0x0308, 0x0342 } },
    { 0x1FF2, { 0x1FFA, 0x0399 }, { 0x1FFA, 0x0345 } },
    { 0x1FF3, { 0x03A9, 0x0399 }, { 0x1FFC } },
    { 0x1FF4, { 0x038F, 0x0399 }, { 0x038F, 0x0345 } },
    { 0x1FF6, { 0x03A9, 0x0342 }, { 0x03A9, 0x0342 } },
    { 0x1FF7, { 0x03A9, 0x0342, 0x0399 }, { 0x03A9, 0x0342, 0x0345 } },
    { 0x1FFC, { 0x03A9, 0x0399 }, { 0x1FFC } },
    { 0xFB00, { 0x0046, 0x0046 }, { 0x0046, 0x0066 } },
    { 0xFB01, { 0x0046, 0x0049 }, { 0x0046, 0x0069 } },
    { 0xFB02, { 0x0046, 0x004C }, { 0x0046, 0x006C } },
    { 0xFB03, { 0x0046, 0x0046, 0x0049 }, { 0x0046, 0x0066, 0x0069 } },
    { 0xFB04, { 0x0046, 0x0046, 0x004C }, { 0x0046, 0x0066, 0x006C } },
    { 0xFB05, { 0x0053, 0x0054 }, { 0x0053, 0x0074 } },
    { 0xFB06, { 0x0053, 0x0054 }, { 0x0053, 0x0074 } },
    { 0xFB13, { 0x0544, 0x0546 }, { 0x0544, 0x0576 } },
    { 0xFB14, { 0x0544, 0x0535 }, { 0x0544, 0x0565 } },
    { 0xFB15, { 0x0544, 0x053B }, { 0x0544, 0x056B } },
    { 0xFB16, { 0x054E, 0x0546 }, { 0x054E, 0x0576 } },
    { 0xFB17, { 0x0544, 0x053D }, { 0x0544, 0x056D } },
};

/* Cased characters that are no Lu, Ll or Lt (Unicode, Other_Lowercase and Other_Uppercase). */
static const struct CaseRange {
    int32_t low, high;
} other_cased[] = {
    { 0x00AA, 0x00AA }, { 0x00BA, 0x00BA }, { 0x02B0, 0x02B8 }, { 0x02C0, 0x02C1 }, { 0x02E0, 0x02E4 }, { 0x0345, 0x0345 },
    { 0x037A, 0x037A }, { 0x1D2C, 0x1D6A }, { 0x1D78, 0x1D78 }, { 0x1D9B, 0x1DBF }, { 0x2071, 0x2071 }, { 0x207F, 0x207F },
    { 0x2090, 0x209C }, { 0x2160, 0x217F }, { 0x24B6, 0x24E9 }, { 0x2C7C, 0x2C7D }, { 0xA69C, 0xA69D }, { 0xA770, 0xA770 },
    { 0xA7F8, 0xA7F9 }, { 0xAB5C, 0xAB5F }, { 0x10780, 0x10780 }, { 0x10783, 0x10785 }, { 0x10787, 0x107B0 },
    { 0x107B2, 0x107BA }, { 0x1F130, 0x1F149 }, { 0x1F150, 0x1F169 }, { 0x1F170, 0x1F189 },
};
/* clang-format on */

static const SpecialCase *special_case(int32_t cp)
{
    size_t low = 0, high = sizeof special_cases / sizeof *special_cases;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (special_cases[middle].cp == cp) return &special_cases[middle];
        if (special_cases[middle].cp < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void append_several(const int32_t cps[3], Str *out)
{
    for (int i = 0; i < 3 && cps[i]; i++)
        unicode_append(out, cps[i]);
}

static void append_upper(int32_t cp, Str *out)
{
    const SpecialCase *s = special_case(cp);
    if (s)
        append_several(s->upper, out);
    else
        unicode_append(out, utf8proc_toupper(cp));
}

static void append_title(int32_t cp, Str *out)
{
    const SpecialCase *s = special_case(cp);
    if (s)
        append_several(s->title, out);
    else
        unicode_append(out, utf8proc_totitle(cp));
}

static bool is_cased(int32_t cp)
{
    utf8proc_category_t c = utf8proc_category(cp);
    if (c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT)
        return true;
    for (size_t i = 0; i < sizeof other_cased / sizeof *other_cased; i++)
        if (cp >= other_cased[i].low && cp <= other_cased[i].high) return true;
    return false;
}

bool strings_is_space(int32_t cp)
{
    return (cp >= 0x1C && cp <= 0x1F) || unicode_is_space(cp);
}

bool strings_is_decimal(int32_t cp)
{
    return utf8proc_category(cp) == UTF8PROC_CATEGORY_ND;
}

int32_t strings_fold(int32_t cp)
{
    return utf8proc_tolower(utf8proc_toupper(cp));
}

int32_t strings_upper_of(int32_t cp)
{
    return utf8proc_toupper(cp);
}

/* ---- length and parts -------------------------------------------------------------------------- */

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

int64_t strings_length(const char *s)
{
    int64_t n = 0;
    for (; *s; s++)
        n += starts_character(*s);
    return n;
}

/* The byte at which character number `index` starts, or the end. */
static const char *at_character(const char *s, int64_t index)
{
    for (; *s; s++)
        if (starts_character(*s) && index-- == 0) break;
    return s;
}

void strings_slice(const char *s, int64_t start, int64_t end, Str *out)
{
    int64_t n = strings_length(s);
    start = start < 0 ? (start < -n ? 0 : start + n) : start;
    end = end < 0 ? (end < -n ? 0 : end + n) : end;
    if (start >= end) return;
    const char *from = at_character(s, start);
    str_add_n(out, from, (size_t)(at_character(from, end - start) - from));
}

void strings_strip(const char *s, bool left, bool right, Str *out)
{
    size_t length, n = strlen(s), end = 0;
    while (left && n > 0 && strings_is_space(unicode_decode(s, n, &length))) {
        s += length;
        n -= length;
    }
    if (!right) end = n;
    for (size_t i = 0; right && i < n; i += length)
        if (!strings_is_space(unicode_decode(s + i, n - i, &length))) end = i + length;
    str_add_n(out, s, end);
}

static void insert_between(const char *s, const char *with, Str *out)
{
    str_add(out, with);
    for (; *s; s++) {
        str_add_char(out, *s);
        if (starts_character(s[1]) || !s[1]) str_add(out, with);
    }
}

void strings_replace(const char *s, const char *find, const char *with, Str *out)
{
    size_t n = strlen(find);
    if (n == 0) {
        insert_between(s, with, out);
        return;
    }
    for (const char *hit; (hit = strstr(s, find)); s = hit + n) {
        str_add_n(out, s, (size_t)(hit - s));
        str_add(out, with);
    }
    str_add(out, s);
}

/* ---- cases --------------------------------------------------------------------------------------- */

void strings_upper(const char *s, Str *out)
{
    size_t n = strlen(s), length;
    for (size_t i = 0; i < n; i += length)
        append_upper(unicode_decode(s + i, n - i, &length), out);
}

void strings_lower(const char *s, Str *out)
{
    unicode_lower(s, strlen(s), out);
}

/* The lower case of the whole keeps its letters in step with the text but for U+0130, which becomes two; so the final
 * sigma is found with its surroundings. */
static int32_t next_lower(const char *lower, size_t *at, int32_t original, Str *out)
{
    size_t length;
    int32_t cp = unicode_decode(lower + *at, strlen(lower + *at), &length);
    *at += length;
    if (out) unicode_append(out, cp);
    if (original != 0x130) return cp;
    int32_t dot = unicode_decode(lower + *at, strlen(lower + *at), &length);
    *at += length;
    if (out) unicode_append(out, dot);
    return cp;
}

void strings_title(const char *s, Str *out)
{
    Str lower = { 0 };
    size_t n = strlen(s), length, at = 0;
    bool inside = false;
    strings_lower(s, &lower);
    for (size_t i = 0; i < n && !lower.failed; i += length) {
        int32_t cp = unicode_decode(s + i, n - i, &length);
        if (!inside) append_title(cp, out);
        next_lower(lower.text, &at, cp, inside ? out : NULL);
        inside = is_cased(cp);
    }
    out->failed |= lower.failed;
    str_fini(&lower);
}

void strings_capitalize(const char *s, Str *out)
{
    Str lower = { 0 };
    size_t n = strlen(s), length, at = 0;
    if (n == 0) return;
    int32_t cp = unicode_decode(s, n, &length);
    strings_lower(s, &lower);
    append_title(cp, out);
    if (!lower.failed) {
        next_lower(lower.text, &at, cp, NULL);
        str_add(out, lower.text + at);
    }
    out->failed |= lower.failed;
    str_fini(&lower);
}
