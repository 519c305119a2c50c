/* str.c - a growing string, and what plain strings lack. */
#include "engine/base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/base/mem.h"

void str_fini(Str *s)
{
    mem_free(s->text);
    *s = (Str){ 0 };
}

void str_clear(Str *s)
{
    s->length = 0;
    if (s->text) s->text[0] = '\0';
}

/* Room for n bytes more and the NUL. */
static bool reserve(Str *s, size_t n)
{
    size_t need, capacity = s->capacity ? s->capacity : 32;
    char *text;

    if (s->failed) return false;
    if (__builtin_add_overflow(s->length, n, &need) || need > SIZE_MAX / 4) {
        s->failed = true;
        return false;
    }
    if (need < s->capacity) return true;
    while (capacity <= need)
        capacity *= 2;
    text = mem_realloc(s->text, capacity);
    if (!text) {
        s->failed = true;
        return false;
    }
    s->text = text;
    s->capacity = capacity;
    return true;
}

void str_add(Str *s, const char *text)
{
    str_add_n(s, text, strlen(text));
}

void str_add_n(Str *s, const char *text, size_t n)
{
    if (!reserve(s, n)) return;
    if (n) memcpy(s->text + s->length, text, n);
    s->length += n;
    s->text[s->length] = '\0';
}

void str_add_char(Str *s, char c)
{
    str_add_n(s, &c, 1);
}

void str_printf(Str *s, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && reserve(s, (size_t)n)) {
        vsnprintf(s->text + s->length, (size_t)n + 1, format, again);
        s->length += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

char *str_take(Str *s)
{
    char *text;

    if (!s->text) str_add_n(s, "", 0);
    text = s->failed ? NULL : s->text;
    if (s->failed) mem_free(s->text);
    *s = (Str){ 0 };
    return text;
}

bool str_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);

    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

enum { DISTANCE_MAX_LENGTH = 256 };

static int least(int a, int b, int c)
{
    int m = a < b ? a : b;

    return m < c ? m : c;
}

/* One row of Levenshtein's table at a time; `fold` ignores the case of ASCII letters. */
static int distance(const char *a, const char *b, int limit, bool fold)
{
    size_t n = strlen(a), m = strlen(b);
    int row[DISTANCE_MAX_LENGTH + 1];

    if (n > DISTANCE_MAX_LENGTH || m > DISTANCE_MAX_LENGTH) return limit;
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int corner = row[0], best = (int)i;

        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned char x = (unsigned char)a[i - 1], y = (unsigned char)b[j - 1];
            bool same = fold ? tolower(x) == tolower(y) : x == y;
            int cell = least(row[j] + 1, row[j - 1] + 1, corner + (same ? 0 : 1));

            corner = row[j];
            row[j] = cell;
            if (cell < best) best = cell;
        }
        if (best >= limit) return limit;
    }
    return row[m] < limit ? row[m] : limit;
}

int str_distance(const char *a, const char *b, int limit)
{
    return distance(a, b, limit, false);
}

/* Near: at most a third of the letters differ, but two slips are always forgiven. A name that
 * contains the other as a whole counts as near too ("euler" for "k_euler"). */
const char *str_nearest(const char *name, const char *const *names, size_t n)
{
    size_t length = strlen(name);
    int limit = length < 3 ? 2 : length < 9 ? 3 : (int)(length / 3) + 1;
    const char *best = NULL;

    if (length == 0) return NULL;
    for (size_t i = 0; i < n; i++) {
        int d = distance(name, names[i], limit, true);

        if (d < limit) {
            limit = d;
            best = names[i];
        }
    }
    for (size_t i = 0; !best && length >= 4 && i < n; i++)
        if (strcasestr(names[i], name)) best = names[i];
    return best;
}

/* Length of the well-formed sequence at s (at most n bytes), 0 when it is broken. The table is
 * that of The Unicode Standard, "Well-Formed UTF-8 Byte Sequences". */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t length;

    if (s[0] < 0x80) return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4) return 0;
    length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n < length) return 0;
    if (s[0] == 0xE0) low = 0xA0;
    if (s[0] == 0xED) high = 0x9F;
    if (s[0] == 0xF0) low = 0x90;
    if (s[0] == 0xF4) high = 0x8F;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return length;
}

ptrdiff_t str_utf8_error(const char *s, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)s;

    for (size_t at = 0, step; at < n; at += step) {
        step = utf8_sequence(bytes + at, n - at);
        if (step == 0) return (ptrdiff_t)at;
    }
    return -1;
}

static bool is_word(const char *s, const char *word)
{
    if (*s == '+' || *s == '-') s++;
    return strcasecmp(s, word) == 0;
}

/* Takes out underscores that stand between two digits; false when one stands elsewhere. */
static bool drop_underscores(const char *s, size_t n, char *out)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        bool inside = i > 0 && i + 1 < n && isdigit((unsigned char)s[i - 1]) &&
                      isdigit((unsigned char)s[i + 1]);

        if (s[i] != '_')
            out[at++] = s[i];
        else if (!inside)
            return false;
    }
    out[at] = '\0';
    return true;
}

static bool parse_plain_double(const char *s, double *out)
{
    char *end;
    double v;

    if (is_word(s, "inf") || is_word(s, "infinity") || is_word(s, "nan")) {
        *out = strtod(s, NULL);
        return true;
    }
    if (*s == '\0' || s[strspn(s, "0123456789+-.eE")] != '\0') return false; /* no hex floats */
    v = strtod(s, &end);
    if (*end != '\0') return false;
    *out = v;
    return true;
}

bool str_to_double(const char *s, double *out)
{
    static const char blanks[] = " \t\n\r\v\f";
    size_t n;
    char *plain;
    bool good;

    s += strspn(s, blanks);
    n = strlen(s);
    while (n > 0 && strchr(blanks, s[n - 1]))
        n--;
    plain = mem_alloc(n + 1);
    if (!plain) return false;
    good = drop_underscores(s, n, plain) && parse_plain_double(plain, out);
    mem_free(plain);
    return good;
}
