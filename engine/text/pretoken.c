/* pretoken.c - the patterns that cut text into pre-tokens, written out by hand. */
#include "engine/text/pretoken.h"

#include <string.h>

#include "engine/text/unicode.h"

const PretokenRule pretoken_qwen = {
    .contractions = true, .any_case = true, .any_lead = true, .line_ends = true, .digits = 1
};
const PretokenRule pretoken_gpt2 = { .contractions = true };
const PretokenRule pretoken_llama3 = {
    .contractions = true, .any_case = true, .any_lead = true, .line_ends = true, .digits = 3
};

/* A place in the text with the class of its character; past the end, length is 0. */
typedef struct Place {
    size_t at, length;
    int32_t cp;
    CharClass kind;
} Place;

static Place place(const char *text, size_t n, size_t at)
{
    Place p = { .at = at, .kind = CHAR_OTHER };
    if (at >= n) return p;
    p.cp = unicode_decode(text + at, n - at, &p.length);
    p.kind = unicode_class(p.cp);
    return p;
}

static Place next(const char *text, size_t n, Place p)
{
    return place(text, n, p.at + p.length);
}

static size_t run_end(const char *text, size_t n, Place p, CharClass kind)
{
    while (p.length && p.kind == kind)
        p = next(text, n, p);
    return p.at;
}

static bool is_line_end(int32_t cp)
{
    return cp == '\r' || cp == '\n';
}

/* Whether the ASCII letters of `what` stand at s. */
static size_t match_letters(const char *s, size_t n, const char *what, bool any_case)
{
    size_t k = strlen(what);
    if (n < k) return 0;
    for (size_t i = 0; i < k; i++) {
        char c = any_case && s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
        if (c != what[i]) return 0;
    }
    return k;
}

size_t pretoken_contraction(const char *text, size_t n, size_t at, bool any_case)
{
    static const char *const endings[] = { "s", "t", "re", "ve", "m", "ll", "d" };
    const char *s = text + at + 1;
    size_t left = n - at - 1;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t k = match_letters(s, left, endings[i], any_case);
        if (k) return k + 1;
    }
    if (any_case && left >= 2 && memcmp(s, "\xC5\xBF", 2) == 0) return 3;
    return 0;
}

static size_t letters_end(const PretokenRule *rule, const char *text, size_t n, Place p)
{
    if (p.kind == CHAR_LETTER) return run_end(text, n, p, CHAR_LETTER);
    bool leads = rule->any_lead ? p.kind != CHAR_NUMBER && !is_line_end(p.cp) : p.cp == ' ';
    if (!leads) return p.at;
    Place q = next(text, n, p);
    return q.length && q.kind == CHAR_LETTER ? run_end(text, n, q, CHAR_LETTER) : p.at;
}

static size_t numbers_end(const PretokenRule *rule, const char *text, size_t n, Place p)
{
    if (rule->digits == 0) {
        Place q = p.cp == ' ' ? next(text, n, p) : p;
        return q.length && q.kind == CHAR_NUMBER ? run_end(text, n, q, CHAR_NUMBER) : p.at;
    }
    for (int i = 0; i < rule->digits && p.length && p.kind == CHAR_NUMBER; i++)
        p = next(text, n, p);
    return p.at;
}

static size_t rest_end(const PretokenRule *rule, const char *text, size_t n, Place p)
{
    Place q = p.cp == ' ' ? next(text, n, p) : p;
    if (!q.length || q.kind != CHAR_OTHER) return p.at;
    size_t end = run_end(text, n, q, CHAR_OTHER);
    while (rule->line_ends && end < n && is_line_end(text[end]))
        end++;
    return end;
}

/* White space up to its last line end; else all but its last character when more follows. */
static size_t space_end(const PretokenRule *rule, const char *text, size_t n, Place p)
{
    size_t last = p.at, line = p.at;
    Place q = p;
    while (q.length && q.kind == CHAR_SPACE) {
        last = q.at;
        if (is_line_end(q.cp)) line = q.at + 1;
        q = next(text, n, q);
    }
    if (rule->line_ends && line > p.at) return line;
    return q.length && last > p.at ? last : q.at;
}

size_t pretoken_end(const PretokenRule *rule, const char *text, size_t n, size_t at)
{
    Place p = place(text, n, at);
    size_t end;

    if (rule->contractions && p.cp == '\'') {
        size_t k = pretoken_contraction(text, n, at, rule->any_case);
        if (k) return at + k;
    }
    if ((end = letters_end(rule, text, n, p)) > at) return end;
    if ((end = numbers_end(rule, text, n, p)) > at) return end;
    if ((end = rest_end(rule, text, n, p)) > at) return end;
    return space_end(rule, text, n, p);
}
