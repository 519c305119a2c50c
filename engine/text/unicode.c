/* unicode.c - decoding, classes, NFC and lower case over utf8proc's tables. */
#include "engine/text/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "engine/base/mem.h"

int32_t unicode_decode(const char *s, size_t n, size_t *length)
{
    utf8proc_int32_t cp = 0;
    if ((unsigned char)s[0] < 0x80) {
        *length = 1;
        return s[0];
    }
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)(n < 4 ? n : 4), &cp);
    if (used <= 0) {
        *length = 1;
        return 0xFFFD;
    }
    *length = (size_t)used;
    return cp;
}

void unicode_append(Str *out, int32_t cp)
{
    char bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(cp, (utf8proc_uint8_t *)bytes);
    str_add_n(out, bytes, n > 0 ? (size_t)n : 0);
}

void unicode_repair(const char *s, size_t n, Str *out)
{
    for (size_t at = 0, length; at < n; at += length) {
        int32_t cp = unicode_decode(s + at, n - at, &length);
        if (cp == 0xFFFD)
            unicode_append(out, cp);
        else
            str_add_n(out, s + at, length);
    }
}

bool unicode_is_space(int32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

bool unicode_is_control(int32_t cp)
{
    utf8proc_category_t c = utf8proc_category(cp);
    return c == UTF8PROC_CATEGORY_CN || c >= UTF8PROC_CATEGORY_CC;
}

CharClass unicode_class(int32_t cp)
{
    if (unicode_is_space(cp)) return CHAR_SPACE;
    utf8proc_category_t c = utf8proc_category(cp);
    if (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) return CHAR_LETTER;
    if (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO) return CHAR_NUMBER;
    return CHAR_OTHER;
}

/* ---- NFC --------------------------------------------------------------------------------- */

/* Code points under way. */
typedef struct Points {
    int32_t *at; /* owned */
    size_t count, capacity;
} Points;

static bool points_reserve(Points *p, size_t more)
{
    if (p->count + more <= p->capacity) return true;
    size_t capacity = (p->capacity + more) * 2;
    int32_t *at = mem_realloc(p->at, capacity * sizeof *at);
    if (!at) return false;
    p->at = at;
    p->capacity = capacity;
    return true;
}

static int combining_class(int32_t cp)
{
    return utf8proc_get_property(cp)->combining_class;
}

/* Stable sort of a run of marks by combining class: insertion while short, else by counting
 * over the 256 classes, so that hostile runs cost no more than their length. */
static bool sort_marks(int32_t *run, size_t n)
{
    if (n <= 32) {
        for (size_t i = 1; i < n; i++) {
            int32_t cp = run[i];
            size_t j = i;
            for (; j > 0 && combining_class(run[j - 1]) > combining_class(cp); j--)
                run[j] = run[j - 1];
            run[j] = cp;
        }
        return true;
    }
    size_t start[257] = { 0 };
    int32_t *sorted = mem_alloc_array(n, sizeof *sorted);
    if (!sorted) return false;
    for (size_t i = 0; i < n; i++)
        start[combining_class(run[i]) + 1]++;
    for (int c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        sorted[start[combining_class(run[i])]++] = run[i];
    memcpy(run, sorted, n * sizeof *run);
    mem_free(sorted);
    return true;
}

static bool order_marks(Points *p)
{
    for (size_t i = 0; i < p->count;) {
        size_t end = i;
        while (end < p->count && combining_class(p->at[end]) != 0)
            end++;
        if (end - i > 1 && !sort_marks(p->at + i, end - i)) return false;
        i = end > i ? end : i + 1;
    }
    return true;
}

static bool decompose(const char *s, size_t n, Points *p)
{
    enum { MOST = 32 }; /* no canonical decomposition is longer than 4 */
    for (size_t at = 0, length; at < n; at += length) {
        int32_t cp = unicode_decode(s + at, n - at, &length);
        int boundary = 0;
        if (!points_reserve(p, MOST)) return false;
        utf8proc_ssize_t used = utf8proc_decompose_char(
            cp, p->at + p->count, MOST, UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary);
        if (used < 0 || used > MOST)
            p->at[p->count++] = cp;
        else
            p->count += (size_t)used;
    }
    return true;
}

void unicode_nfc(const char *s, size_t n, Str *out)
{
    Points p = { 0 };
    size_t ascii = 0;

    while (ascii < n && (unsigned char)s[ascii] < 0x80)
        ascii++;
    if (ascii == n) {
        str_add_n(out, s, n);
        return;
    }
    if (!decompose(s, n, &p) || !order_marks(&p)) {
        out->failed = true;
        goto done;
    }
    utf8proc_ssize_t count = utf8proc_normalize_utf32(p.at, (utf8proc_ssize_t)p.count,
                                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < count; i++)
        unicode_append(out, p.at[i]);

done:
    mem_free(p.at);
}

/* ---- lower case -------------------------------------------------------------------------- */

/* Property Case_Ignorable: marks, formats, modifiers, and the punctuation that joins words. */
static bool is_case_ignorable(int32_t cp)
{
    static const int32_t joins[] = { 0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,
                                     0x5F4,  0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                     0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A };
    utf8proc_category_t c = utf8proc_category(cp);
    if (c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF ||
        c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_SK)
        return true;
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++)
        if (joins[i] == cp) return true;
    return false;
}

static bool is_cased(int32_t cp)
{
    utf8proc_category_t c = utf8proc_category(cp);
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL ||
           c == UTF8PROC_CATEGORY_LT || cp == 0xAA || cp == 0xBA ||
           (cp >= 0x2160 && cp <= 0x217F) || (cp >= 0x24B6 && cp <= 0x24E9);
}

/* Whether the sigma at `at` ends a word: a cased letter stands before it and none after. */
static bool ends_word(const char *s, size_t n, size_t at, bool cased_before)
{
    if (!cased_before) return false;
    size_t length;
    for (size_t i = at + 2; i < n; i += length) {
        int32_t cp = unicode_decode(s + i, n - i, &length);
        if (!is_case_ignorable(cp)) return !is_cased(cp);
    }
    return true;
}

void unicode_lower(const char *s, size_t n, Str *out)
{
    bool cased_before = false;
    for (size_t at = 0, length; at < n; at += length) {
        int32_t cp = unicode_decode(s + at, n - at, &length);
        if (cp == 0x130)
            str_add(out, "i\xCC\x87");
        else if (cp == 0x3A3)
            unicode_append(out, ends_word(s, n, at, cased_before) ? 0x3C2 : 0x3C3);
        else
            unicode_append(out, utf8proc_tolower(cp));
        if (!is_case_ignorable(cp)) cased_before = is_cased(cp);
    }
}
