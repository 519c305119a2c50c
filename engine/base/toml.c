/* toml.c - the part of TOML that weft.toml needs: tables, texts, whole numbers, switches, lists of texts. */
#include "engine/base/toml.h"

#include <ctype.h>
#include <string.h>

#include "engine/base/str.h"

enum { LONGEST_TEXT = 1 << 16, KEYS_MAX = 1000 };

typedef struct Scan {
    const char *text;
    size_t length, at;
    int line;
    size_t line_start;
    Arena *arena;
    Toml *out;
    size_t capacity;
    const char *table[TOML_DEPTH_MAX];
    int table_depth;
    Error *err;
} Scan;

/* ---- helpers ----------------------------------------------------------------------------- */

static Status no_memory(const Scan *s)
{
    return error_set(s->err, E_NOMEM, "out of memory");
}

static Status broken(const Scan *s, const char *what)
{
    error_set(s->err, E_FORMAT, "invalid TOML: %s", what);
    if (s->err) {
        s->err->offset = (int64_t)s->at;
        s->err->line = s->line;
        s->err->column = (int)(s->at - s->line_start) + 1;
    }
    return E_FORMAT;
}

static int peek(const Scan *s)
{
    return s->at < s->length ? (unsigned char)s->text[s->at] : -1;
}

static void next_line(Scan *s)
{
    s->at++;
    s->line++;
    s->line_start = s->at;
}

static void skip_blanks(Scan *s)
{
    while (peek(s) == ' ' || peek(s) == '\t')
        s->at++;
}

static void skip_comment(Scan *s)
{
    if (peek(s) == '#')
        while (peek(s) >= 0 && peek(s) != '\n')
            s->at++;
}

/* Blanks, comments and line ends, as they may stand between lines and inside lists. */
static void skip_all(Scan *s)
{
    for (;;) {
        skip_blanks(s);
        skip_comment(s);
        if (peek(s) == '\r') s->at++;
        if (peek(s) != '\n') return;
        next_line(s);
    }
}

static Status end_of_line(Scan *s)
{
    skip_blanks(s);
    skip_comment(s);
    if (peek(s) == '\r') s->at++;
    if (peek(s) < 0) return OK;
    if (peek(s) != '\n') return broken(s, "something follows the value on its line");
    next_line(s);
    return OK;
}

/* ---- texts and keys ---------------------------------------------------------------------- */

static Status put_unicode(Scan *s, int digits, Str *out)
{
    unsigned long c = 0;

    for (int i = 0; i < digits; i++, s->at++) {
        int d = peek(s);
        if (d < 0 || !isxdigit(d)) return broken(s, "\\u needs hexadecimal digits");
        c = c * 16 + (unsigned long)(d <= '9' ? d - '0' : (d | 32) - 'a' + 10);
    }
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return broken(s, "\\u names no character");
    if (c < 0x80) {
        str_add_char(out, (char)c);
    } else if (c < 0x800) {
        str_add_char(out, (char)(0xC0 | c >> 6));
    } else if (c < 0x10000) {
        str_add_char(out, (char)(0xE0 | c >> 12));
        str_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
    } else {
        str_add_char(out, (char)(0xF0 | c >> 18));
        str_add_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
        str_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
    }
    if (c >= 0x80) str_add_char(out, (char)(0x80 | (c & 0x3F)));
    return OK;
}

static Status put_escape(Scan *s, Str *out)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    int c = peek(s);
    const char *known = c > 0 ? strchr(from, c) : NULL;

    s->at++;
    if (c == 'u') return put_unicode(s, 4, out);
    if (c == 'U') return put_unicode(s, 8, out);
    if (!known) return broken(s, "unknown escape after \\");
    str_add_char(out, to[known - from]);
    return OK;
}

static Status fill_text(Scan *s, int quote, Str *out)
{
    for (int c; (c = peek(s)) != quote;) {
        if (c < 0 || c == '\n') return broken(s, "text without an end");
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return broken(s, "control character in a text");
        if (out->length > LONGEST_TEXT) return broken(s, "text of more than 65536 bytes");
        s->at++;
        if (c == '\\' && quote == '"')
            TRY(put_escape(s, out));
        else
            str_add_char(out, (char)c);
    }
    s->at++;
    return out->failed ? no_memory(s) : OK;
}

static Status scan_text(Scan *s, const char **out)
{
    int quote = peek(s);
    Str text = { 0 };
    Status status;

    s->at++;
    if (peek(s) == quote && s->at + 1 < s->length && s->text[s->at + 1] == quote)
        return broken(s, "texts over several lines are not read");
    status = fill_text(s, quote, &text);
    if (status == OK) {
        *out = arena_strndup(s->arena, text.text ? text.text : "", text.length);
        if (!*out) status = no_memory(s);
    }
    str_fini(&text);
    return status;
}

static bool is_bare(int c)
{
    return c > 0 && c < 0x80 && (isalnum(c) || c == '_' || c == '-');
}

static Status scan_part(Scan *s, const char **out)
{
    size_t start = s->at;

    if (peek(s) == '"' || peek(s) == '\'') return scan_text(s, out);
    while (is_bare(peek(s)))
        s->at++;
    if (s->at == start) return broken(s, "a key is expected");
    *out = arena_strndup(s->arena, s->text + start, s->at - start);
    return *out ? OK : no_memory(s);
}

/* a.b."c": appended to path. */
static Status scan_key(Scan *s, const char **path, int *depth)
{
    for (;;) {
        skip_blanks(s);
        if (*depth == TOML_DEPTH_MAX) return broken(s, "more than 8 tables inside one another");
        TRY(scan_part(s, &path[(*depth)++]));
        skip_blanks(s);
        if (peek(s) != '.') return OK;
        s->at++;
    }
}

/* ---- values ------------------------------------------------------------------------------ */

static bool take_word(Scan *s, const char *word)
{
    size_t n = strlen(word);

    if (s->length - s->at < n || memcmp(s->text + s->at, word, n) != 0) return false;
    if (s->at + n < s->length && is_bare(s->text[s->at + n])) return false;
    s->at += n;
    return true;
}

static Status scan_integer(Scan *s, int64_t *out)
{
    bool negative = peek(s) == '-', any = false;
    int64_t v = 0;

    if (peek(s) == '-' || peek(s) == '+') s->at++;
    for (; peek(s) >= '0' && peek(s) <= '9'; s->at++) {
        if (v > 100000000000000) return broken(s, "a number of more than 15 digits");
        v = v * 10 + (peek(s) - '0');
        any = true;
    }
    if (!any || is_bare(peek(s)) || peek(s) == '.' || peek(s) == ':')
        return broken(s, "a text in quotes, a whole number, true, false or a list is expected");
    *out = negative ? -v : v;
    return OK;
}

static Status add_item(Scan *s, TomlEntry *e, size_t *capacity)
{
    if (e->n_items == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 8;
        const char **items = arena_array(s->arena, more, sizeof *items);
        if (!items) return no_memory(s);
        if (e->n_items) memcpy(items, e->items, e->n_items * sizeof *items);
        e->items = items;
        *capacity = more;
    }
    return scan_text(s, &e->items[e->n_items++]);
}

static Status scan_list(Scan *s, TomlEntry *e)
{
    size_t capacity = 0;

    e->kind = TOML_LIST;
    s->at++;
    for (;;) {
        skip_all(s);
        if (peek(s) == ']') break;
        if (peek(s) != '"' && peek(s) != '\'') return broken(s, "a list holds texts in quotes");
        TRY(add_item(s, e, &capacity));
        skip_all(s);
        if (peek(s) != ',' && peek(s) != ']') return broken(s, "',' or ']' is expected");
        if (peek(s) == ',') s->at++;
    }
    s->at++;
    return OK;
}

static bool same_path(const TomlEntry *a, const TomlEntry *b, int depth)
{
    for (int i = 0; i < depth; i++)
        if (strcmp(a->path[i], b->path[i]) != 0) return false;
    return true;
}

/* Adds an entry; a key that stands already, or that is a table too, is refused. */
static Status add_entry(Scan *s, const TomlEntry *e)
{
    Toml *t = s->out;

    if (t->count == KEYS_MAX) return broken(s, "more than 1000 keys");
    for (size_t i = 0; i < t->count; i++) {
        int common = t->entries[i].depth < e->depth ? t->entries[i].depth : e->depth;
        if (same_path(&t->entries[i], e, common)) return broken(s, "this key stands twice");
    }
    if (t->count == s->capacity) {
        size_t more = s->capacity ? s->capacity * 2 : 32;
        TomlEntry *entries = arena_array(s->arena, more, sizeof *entries);
        if (!entries) return no_memory(s);
        if (t->count) memcpy(entries, t->entries, t->count * sizeof *entries);
        t->entries = entries;
        s->capacity = more;
    }
    t->entries[t->count++] = *e;
    return OK;
}

static Status scan_plain(Scan *s, TomlEntry *e)
{
    int c = peek(s);

    if (c == '[') return scan_list(s, e);
    if (c == '"' || c == '\'') {
        e->kind = TOML_TEXT;
        return scan_text(s, &e->text);
    }
    e->kind = TOML_SWITCH;
    e->flag = take_word(s, "true");
    if (e->flag || take_word(s, "false")) return OK;
    e->kind = TOML_INTEGER;
    return scan_integer(s, &e->integer);
}

static Status scan_pair(Scan *s, TomlEntry *e, bool *table)
{
    e->line = s->line;
    e->column = (int)(s->at - s->line_start) + 1;
    TRY(scan_key(s, e->path, &e->depth));
    if (peek(s) != '=') return broken(s, "'=' is expected after a key");
    s->at++;
    skip_blanks(s);
    *table = peek(s) == '{';
    if (*table) return OK;
    TRY(scan_plain(s, e));
    return add_entry(s, e);
}

/* { a = 1, b = "x" }: one level, on one line. */
static Status scan_inline(Scan *s, const TomlEntry *outer)
{
    s->at++;
    skip_blanks(s);
    while (peek(s) != '}') {
        TomlEntry e = *outer;
        bool table;
        TRY(scan_pair(s, &e, &table));
        if (table) return broken(s, "a table inside an inline table is not read");
        skip_blanks(s);
        if (peek(s) != ',' && peek(s) != '}') return broken(s, "',' or '}' is expected");
        if (peek(s) != ',') continue;
        s->at++;
        skip_blanks(s);
        if (peek(s) == '}') return broken(s, "no comma before '}'");
    }
    s->at++;
    return OK;
}

static Status scan_header(Scan *s)
{
    s->at++;
    if (peek(s) == '[') return broken(s, "arrays of tables are not read");
    s->table_depth = 0;
    TRY(scan_key(s, s->table, &s->table_depth));
    if (peek(s) != ']') return broken(s, "']' is expected");
    s->at++;
    return end_of_line(s);
}

static Status scan_line(Scan *s)
{
    TomlEntry e = { .depth = s->table_depth };
    bool table;

    if (peek(s) == '[') return scan_header(s);
    memcpy(e.path, s->table, sizeof e.path);
    TRY(scan_pair(s, &e, &table));
    if (table) TRY(scan_inline(s, &e));
    return end_of_line(s);
}

Status toml_parse(const char *text, size_t length, Arena *arena, Toml *out, Error *err)
{
    Scan s = {
        .text = text, .length = length, .line = 1, .arena = arena, .out = out, .err = err
    };
    ptrdiff_t bad = str_utf8_error(text, length);

    *out = (Toml){ 0 };
    if (bad >= 0) {
        s.at = (size_t)bad;
        return broken(&s, "the text is not UTF-8");
    }
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) s.at = s.line_start = 3;
    for (skip_all(&s); peek(&s) >= 0; skip_all(&s))
        TRY(scan_line(&s));
    return OK;
}
