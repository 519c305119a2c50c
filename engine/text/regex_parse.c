/* regex_parse.c - a pattern to a program, without recursion: groups that are open stand on a stack. */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/text/regex_internal.h"
#include "engine/text/unicode.h"

enum {
    CODE_MAX = 50000,
    GROUPS_MAX = 1000,
    NEST_MAX = 200,
    WIDTH_ANY = -1,
    COUNT_MAX = 1000000
};

typedef enum GroupKind { GROUP_PLAIN, GROUP_CAPTURE, GROUP_LOOK } GroupKind;

/* A group that is open. Alternatives end in jumps that are chained until the group's end is known. */
typedef struct Level {
    GroupKind kind;
    int start;       /* first instruction of the group, for a quantifier behind it */
    int alternative; /* first instruction of the alternative that is read */
    int jumps;       /* last jump to be patched, -1 = none */
    int look;        /* LOOK: its instruction */
    int reg;         /* CAPTURE: group number; LOOK: register */
    bool behind;
    unsigned flags; /* outside of the group */
    int64_t width,
        all_width; /* of this alternative; of the ones before (WIDTH_ANY: they differ) */
    bool has_all;
} Level;

typedef struct Parser {
    Regex *r;
    const char *p, *begin;
    unsigned flags;
    int capacity, range_capacity;
    Level levels[NEST_MAX];
    int depth;
    int atom; /* first instruction of the atom that a quantifier would repeat, -1 = none */
    int64_t atom_width;
    bool closed[GROUPS_MAX]; /* groups that can be referred to */
    Error *err;
} Parser;

static Status wrong(const Parser *p, const char *what)
{
    error_set(p->err, E_FORMAT, "the pattern is wrong at byte %d: %s", (int)(p->p - p->begin),
              what);
    return E_FORMAT;
}

static Status refused(const Parser *p, const char *what)
{
    error_set(p->err, E_UNSUPPORTED, "the pattern uses %s at byte %d, which is not supported",
              what, (int)(p->p - p->begin));
    error_fix(p->err, "write the pattern without it");
    return E_UNSUPPORTED;
}

/* ---- code --------------------------------------------------------------------------------- */

static Status room(Parser *p, int more)
{
    int wanted = p->r->n_code + more;
    if (wanted > CODE_MAX) {
        error_set(p->err, E_LIMIT, "the pattern becomes too large");
        error_fix(p->err, "use smaller repeat counts");
        return E_LIMIT;
    }
    if (wanted <= p->capacity) return OK;
    int capacity = p->capacity ? p->capacity : 64;
    while (capacity < wanted)
        capacity *= 2;
    RegexInst *code = mem_realloc(p->r->code, (size_t)capacity * sizeof *code);
    if (!code) return error_set(p->err, E_NOMEM, "no memory for a pattern");
    p->r->code = code;
    p->capacity = capacity;
    return OK;
}

static Status emit(Parser *p, RegexOp op, int32_t a, int32_t b)
{
    TRY(room(p, 1));
    p->r->code[p->r->n_code++] = (RegexInst){
        .op = (uint8_t)op, .a = a, .b = b, .ignore_case = p->flags & REGEX_IGNORE_CASE
    };
    return OK;
}

static Status insert(Parser *p, int at, RegexInst inst)
{
    TRY(room(p, 1));
    memmove(p->r->code + at + 1, p->r->code + at,
            (size_t)(p->r->n_code - at) * sizeof *p->r->code);
    p->r->code[at] = inst;
    p->r->n_code++;
    return OK;
}

static Level *level(Parser *p)
{
    return &p->levels[p->depth];
}

static void add_width(Parser *p, int64_t width)
{
    Level *l = level(p);
    p->atom_width = width;
    l->width = l->width == WIDTH_ANY || width == WIDTH_ANY ? WIDTH_ANY : l->width + width;
}

/* One atom of one instruction. */
static Status atom(Parser *p, RegexOp op, int32_t a, int32_t b, int64_t width)
{
    p->atom = p->r->n_code;
    add_width(p, width);
    return emit(p, op, a, b);
}

/* An assertion: nothing to repeat. */
static Status assertion(Parser *p, RegexOp op)
{
    p->atom = -1;
    return emit(p, op, 0, 0);
}

/* ---- escapes and classes ------------------------------------------------------------------- */

static int32_t next_char(Parser *p)
{
    size_t length;
    int32_t cp = unicode_decode(p->p, strlen(p->p), &length);
    p->p += length;
    return cp;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static Status read_hex(Parser *p, int digits, int32_t *out)
{
    int64_t v = 0;
    for (int i = 0; i < digits; i++, p->p++) {
        int d = hex_digit(*p->p);
        if (d < 0) return wrong(p, "an incomplete escape");
        v = v * 16 + d;
    }
    if (v > 0x10FFFF) return wrong(p, "no such character");
    *out = (int32_t)v;
    return OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Escapes that mean the same inside and outside of classes; *known is false for others. p stands behind the
 * letter c. */
static Status common_escape(Parser *p, char c, int32_t *out, bool *known)
{
    static const char letters[] = "ntrfva", values[] = "\n\t\r\f\v\a";
    const char *at = strchr(letters, c);
    *known = true;
    if (c && at) {
        *out = values[at - letters];
        return OK;
    }
    if (c == 'x') return read_hex(p, 2, out);
    if (c == 'u') return read_hex(p, 4, out);
    if (c == 'U') return read_hex(p, 8, out);
    if (c == 'N') return refused(p, "\\N{...}");
    *known = false;
    return OK;
}

static bool is_class_letter(char c)
{
    return c && strchr("dDwWsS", c);
}

/* What follows a backslash in a class: one character, or a class letter in *kind. */
static Status class_escape(Parser *p, int32_t *out, char *kind)
{
    char c = *p->p;
    bool known;
    *kind = 0;
    if (is_class_letter(c)) {
        *kind = c;
        p->p++;
        return OK;
    }
    if (is_octal(c)) {
        *out = 0;
        for (int i = 0; i < 3 && is_octal(*p->p); i++)
            *out = *out * 8 + (*p->p++ - '0');
        return *out > 0377 ? wrong(p, "an octal escape above \\377") : OK;
    }
    if (c == 'b') {
        p->p++;
        *out = '\b';
        return OK;
    }
    if (!c) return wrong(p, "a backslash at the end");
    if ((c | 0x20) < 'a' || (c | 0x20) > 'z') {
        *out = next_char(p);
        return is_digit(c) ? wrong(p, "an unknown escape") : OK;
    }
    p->p++;
    TRY(common_escape(p, c, out, &known));
    return known ? OK : wrong(p, "an unknown escape");
}

static Status add_range(Parser *p, int32_t low, int32_t high, char kind)
{
    if (p->r->n_ranges == p->range_capacity) {
        int capacity = p->range_capacity ? p->range_capacity * 2 : 32;
        RegexRange *ranges = mem_realloc(p->r->ranges, (size_t)capacity * sizeof *ranges);
        if (!ranges) return error_set(p->err, E_NOMEM, "no memory for a pattern");
        p->r->ranges = ranges;
        p->range_capacity = capacity;
    }
    p->r->ranges[p->r->n_ranges++] = (RegexRange){ low, high, kind };
    return OK;
}

static Status class_item(Parser *p, int32_t *cp, char *kind)
{
    *kind = 0;
    if (*p->p != '\\') {
        *cp = next_char(p);
        return OK;
    }
    p->p++;
    return class_escape(p, cp, kind);
}

/* Behind the '['. */
static Status read_class(Parser *p)
{
    int first = p->r->n_ranges;
    bool negative = *p->p == '^';
    p->p += negative;
    for (bool any = false; *p->p != ']' || !any; any = true) {
        int32_t low = 0, high;
        char kind, other;
        if (!*p->p) return wrong(p, "a class without its ]");
        TRY(class_item(p, &low, &kind));
        high = low;
        if (p->p[0] == '-' && p->p[1] && p->p[1] != ']') {
            p->p++;
            TRY(class_item(p, &high, &other));
            if (kind || other || high < low) return wrong(p, "a range that runs backwards");
        }
        TRY(add_range(p, low, high, kind));
    }
    p->p++;
    TRY(atom(p, RX_SET, first, p->r->n_ranges - first, 1));
    p->r->code[p->r->n_code - 1].negative = negative;
    return OK;
}

static Status class_atom(Parser *p, char kind)
{
    TRY(add_range(p, 0, 0, kind));
    return atom(p, RX_SET, p->r->n_ranges - 1, 1, 1);
}

static Status reference(Parser *p, int64_t group)
{
    if (group > p->r->groups || group < 1) return wrong(p, "a reference to no group");
    if (!p->closed[group]) return wrong(p, "a reference to an open group");
    return atom(p, RX_BACK, (int32_t)group, 0, WIDTH_ANY);
}

/* \1 ... \99 are references, \0 and three octal digits are characters. */
static Status number_escape(Parser *p)
{
    const char *s = p->p;
    if (s[0] == '0' || (is_octal(s[0]) && is_octal(s[1]) && is_octal(s[2]))) {
        int32_t v = 0;
        for (int i = 0; i < 3 && is_octal(*p->p); i++)
            v = v * 8 + (*p->p++ - '0');
        return v > 0377 ? wrong(p, "an octal escape above \\377") : atom(p, RX_CHAR, v, 0, 1);
    }
    int64_t group = *p->p++ - '0';
    if (is_digit(*p->p)) group = group * 10 + (*p->p++ - '0');
    return reference(p, group);
}

/* Behind the backslash, outside of classes. */
static Status read_escape(Parser *p)
{
    char c = *p->p;
    int32_t cp = 0;
    bool known;
    if (!c) return wrong(p, "a backslash at the end");
    if (is_digit(c)) return number_escape(p);
    if ((c | 0x20) < 'a' || (c | 0x20) > 'z') return atom(p, RX_CHAR, next_char(p), 0, 1);
    p->p++;
    if (is_class_letter(c)) return class_atom(p, c);
    if (c == 'b') return assertion(p, RX_WORD_EDGE);
    if (c == 'B') return assertion(p, RX_NO_WORD_EDGE);
    if (c == 'A') return assertion(p, RX_TEXT_START);
    if (c == 'Z') return assertion(p, RX_TEXT_END);
    TRY(common_escape(p, c, &cp, &known));
    return known ? atom(p, RX_CHAR, cp, 0, 1) : wrong(p, "an unknown escape");
}

/* ---- groups -------------------------------------------------------------------------------- */

static Status open_level(Parser *p, Level l)
{
    if (p->depth + 1 >= NEST_MAX) {
        error_set(p->err, E_LIMIT, "the pattern nests more than %d groups", NEST_MAX);
        return E_LIMIT;
    }
    l.jumps = -1;
    l.alternative = p->r->n_code;
    p->levels[++p->depth] = l;
    p->atom = -1;
    return OK;
}

static Status open_capture(Parser *p)
{
    int start = p->r->n_code, group = p->r->groups + 1;
    if (group >= GROUPS_MAX) return wrong(p, "too many groups");
    p->r->groups = group;
    TRY(emit(p, RX_SAVE, group * 2, 0));
    return open_level(
        p, (Level){ .kind = GROUP_CAPTURE, .start = start, .reg = group, .flags = p->flags });
}

static Status open_look(Parser *p, bool behind, bool negative)
{
    int start = p->r->n_code, reg = p->r->registers++;
    TRY(emit(p, RX_LOOK, reg, 0));
    p->r->code[start].negative = negative;
    if (behind) TRY(emit(p, RX_BEHIND, 0, 0));
    return open_level(p, (Level){ .kind = GROUP_LOOK,
                                  .start = start,
                                  .look = start,
                                  .reg = reg,
                                  .behind = behind,
                                  .flags = p->flags });
}

/* A name up to `end`, from p on; NULL when it is none. */
static char *read_name(Parser *p, char end)
{
    const char *from = p->p, *to = strchr(from, end);
    if (!to || to == from || is_digit(*from)) return NULL;
    for (const char *s = from; s < to;) {
        size_t length;
        if (!regex_is_word(unicode_decode(s, (size_t)(to - s), &length))) return NULL;
        s += length;
    }
    char *name = mem_alloc((size_t)(to - from) + 1);
    if (!name) return NULL;
    memcpy(name, from, (size_t)(to - from));
    name[to - from] = 0;
    p->p = to + 1;
    return name;
}

static int find_name(const Regex *r, const char *name)
{
    for (int i = 0; i < r->n_names; i++)
        if (strcmp(r->names[i].name, name) == 0) return r->names[i].group;
    return 0;
}

static Status open_named(Parser *p)
{
    char *name = read_name(p, '>');
    if (!name) return wrong(p, "a bad group name");
    RegexName *names = mem_realloc(p->r->names, (size_t)(p->r->n_names + 1) * sizeof *names);
    if (names) p->r->names = names;
    if (!names || find_name(p->r, name)) {
        mem_free(name);
        return names ? wrong(p, "two groups of one name")
                     : error_set(p->err, E_NOMEM, "no memory for a pattern");
    }
    names[p->r->n_names++] = (RegexName){ name, p->r->groups + 1 };
    return open_capture(p);
}

static Status named_reference(Parser *p)
{
    char *name = read_name(p, ')');
    if (!name) return wrong(p, "a bad group name");
    int group = find_name(p->r, name);
    mem_free(name);
    return group ? reference(p, group) : wrong(p, "a reference to no group");
}

static Status read_flag(Parser *p, char c, unsigned *flags)
{
    static const char letters[] = "ims";
    const char *at = strchr(letters, c);
    if (c && at)
        *flags |= 1u << (at - letters);
    else if (c == 'x')
        return refused(p, "the verbose flag");
    else if (c == 'a' || c == 'L')
        return refused(p, "the ASCII or locale flag");
    else if (c != 'u')
        return wrong(p, "an unknown extension");
    return OK;
}

/* Behind "(?", at the letters of (?i) or (?i-s:...). */
static Status read_flags(Parser *p, const char *opening)
{
    unsigned on = 0, off = 0;
    for (; *p->p && *p->p != ')' && *p->p != ':' && *p->p != '-'; p->p++)
        TRY(read_flag(p, *p->p, &on));
    if (*p->p == '-')
        for (p->p++; *p->p && *p->p != ':'; p->p++)
            TRY(read_flag(p, *p->p, &off));
    if (*p->p == ':') {
        p->p++;
        Level l = { .kind = GROUP_PLAIN, .start = p->r->n_code, .flags = p->flags };
        p->flags = (p->flags | on) & ~off;
        return open_level(p, l);
    }
    if (*p->p != ')') return wrong(p, "an unknown extension");
    if (opening != p->begin) return wrong(p, "global flags not at the start");
    p->p++;
    p->flags |= on;
    return OK;
}

static Status read_comment(Parser *p)
{
    const char *end = strchr(p->p, ')');
    if (!end) return wrong(p, "a comment without its )");
    p->p = end + 1;
    return OK;
}

/* Behind "(?P". */
static Status read_p(Parser *p)
{
    char c = *p->p;
    if (c != '<' && c != '=') return wrong(p, "an unknown extension");
    p->p++;
    return c == '<' ? open_named(p) : named_reference(p);
}

/* Behind "(?<". */
static Status read_behind(Parser *p)
{
    char c = *p->p;
    if (c != '=' && c != '!') return wrong(p, "an unknown extension");
    p->p++;
    return open_look(p, true, c == '!');
}

/* Behind the '('. */
static Status read_group(Parser *p)
{
    const char *opening = p->p - 1;
    if (*p->p != '?') return open_capture(p);
    p->p++;
    switch (*p->p++) {
    case ':':
        return open_level(
            p, (Level){ .kind = GROUP_PLAIN, .start = p->r->n_code, .flags = p->flags });
    case '=':
        return open_look(p, false, false);
    case '!':
        return open_look(p, false, true);
    case '#':
        return read_comment(p);
    case 'P':
        return read_p(p);
    case '<':
        return read_behind(p);
    case '(':
        return refused(p, "a conditional");
    case '>':
        return refused(p, "an atomic group");
    default:
        p->p--;
        return read_flags(p, opening);
    }
}

/* The widths of alternatives that stand side by side. */
static void close_width(Level *l)
{
    if (l->has_all && l->all_width != l->width) l->all_width = WIDTH_ANY;
    if (!l->has_all) l->all_width = l->width;
    l->has_all = true;
}

static Status read_bar(Parser *p)
{
    Level *l = level(p);
    int length = p->r->n_code - l->alternative;
    TRY(insert(p, l->alternative, (RegexInst){ .op = RX_SPLIT, .a = length + 2 }));
    TRY(emit(p, RX_JUMP, l->jumps, 0)); /* chained for now */
    l->jumps = p->r->n_code - 1;
    close_width(l);
    l->alternative = p->r->n_code;
    l->width = 0;
    p->atom = -1;
    return OK;
}

static void patch_jumps(Parser *p, const Level *l)
{
    for (int at = l->jumps, next; at >= 0; at = next) {
        next = p->r->code[at].a;
        p->r->code[at].a = p->r->n_code - at;
    }
}

static Status close_look(Parser *p, const Level *l, int64_t width)
{
    RegexInst *look = &p->r->code[l->look];
    if (l->behind && width == WIDTH_ANY) return wrong(p, "lookbehind of no fixed width");
    if (l->behind) p->r->code[l->look + 1].a = (int32_t)width;
    bool negative = look->negative;
    TRY(emit(p, RX_LOOK_DONE, l->reg, 0));
    p->r->code[p->r->n_code - 1].negative = negative;
    p->r->code[l->look].b = p->r->n_code - l->look;
    return OK;
}

static Status close_group(Parser *p)
{
    if (p->depth == 0) return wrong(p, "a ) without its (");
    Level l = *level(p);
    patch_jumps(p, &l);
    close_width(&l);
    p->depth--;
    p->flags = l.flags;
    if (l.kind == GROUP_CAPTURE) {
        TRY(emit(p, RX_SAVE, l.reg * 2 + 1, 0));
        p->closed[l.reg] = true;
    }
    if (l.kind == GROUP_LOOK) TRY(close_look(p, &l, l.all_width));
    p->atom = l.start;
    add_width(p, l.kind == GROUP_LOOK ? 0 : l.all_width);
    return OK;
}

/* ---- quantifiers ---------------------------------------------------------------------------- */

typedef struct Repeat {
    int64_t least, most; /* most -1: no end */
    bool lazy;
} Repeat;

/* Copies the block [from, from+n) to the end. */
static Status copy_block(Parser *p, int from, int n)
{
    TRY(room(p, n));
    memcpy(p->r->code + p->r->n_code, p->r->code + from, (size_t)n * sizeof *p->r->code);
    p->r->n_code += n;
    return OK;
}

static RegexInst split(const Repeat *q, int to)
{
    return (RegexInst){ .op = q->lazy ? RX_SPLIT_LAZY : RX_SPLIT, .a = to };
}

/* The block [from, end) becomes a loop of any number of turns. */
static Status make_loop(Parser *p, int from, const Repeat *q)
{
    int n = p->r->n_code - from, reg = p->r->registers++;
    TRY(insert(p, from, (RegexInst){ .op = RX_MARK, .a = reg }));
    TRY(insert(p, from, split(q, n + 3)));
    return emit(p, RX_LOOP, reg, -(n + 2));
}

/* The block [from, from+n), which stands at the end, becomes `times` optional ones, each inside the one before. */
static Status make_options(Parser *p, int from, int n, int64_t times, const Repeat *q)
{
    if (times * (n + 1) > CODE_MAX) return room(p, CODE_MAX);
    TRY(insert(p, from, split(q, (int)times * (n + 1))));
    for (int64_t k = 1; k < times; k++) {
        TRY(room(p, 1));
        p->r->code[p->r->n_code++] = split(q, (int)(times - k) * (n + 1));
        TRY(copy_block(p, from + 1, n));
    }
    return OK;
}

static Status repeat(Parser *p, const Repeat *q)
{
    int from = p->atom, n = p->r->n_code - from;
    int64_t fixed = q->least;
    if (fixed * n > CODE_MAX) return room(p, CODE_MAX);
    if (q->most == 0) {
        p->r->n_code = from;
        return OK;
    }
    bool more = q->most != q->least;
    for (int64_t k = 1; k < fixed; k++)
        TRY(copy_block(p, from, n));
    if (!more) return OK;
    int last = p->r->n_code;
    if (fixed > 0)
        TRY(copy_block(p, from, n));
    else
        last = from;
    return q->most < 0 ? make_loop(p, last, q) : make_options(p, last, n, q->most - fixed, q);
}

static int64_t read_number(const char **s)
{
    int64_t v = -1;
    for (; is_digit(**s); ++*s)
        v = v < COUNT_MAX ? (v < 0 ? 0 : v) * 10 + (**s - '0') : v;
    return v;
}

/* {m}, {m,}, {,n}, {m,n} at p; false when the brace is a plain character. */
static bool read_braces(Parser *p, Repeat *q)
{
    const char *s = p->p + 1;
    bool comma;
    q->least = read_number(&s);
    comma = *s == ',';
    q->most = q->least;
    if (comma) {
        s++;
        q->most = read_number(&s);
        if (q->least < 0) q->least = 0;
    }
    if (*s != '}' || q->least < 0) return false;
    p->p = s + 1;
    return true;
}

static bool read_repeat(Parser *p, Repeat *q)
{
    *q = (Repeat){ .most = -1 };
    switch (*p->p) {
    case '*':
        break;
    case '+':
        q->least = 1;
        break;
    case '?':
        q->most = 1;
        break;
    case '{':
        return read_braces(p, q);
    default:
        return false;
    }
    p->p++;
    return true;
}

static int64_t repeated_width(int64_t width, const Repeat *q)
{
    if (width == 0) return 0;
    return width == WIDTH_ANY || q->least != q->most ? WIDTH_ANY : width * q->least;
}

static Status read_quantifier(Parser *p, const Repeat *given)
{
    Repeat q = *given, again;
    Level *l = level(p);
    if (p->atom < 0) return wrong(p, "nothing to repeat");
    if (q.most >= 0 && q.most < q.least) return wrong(p, "a maximum below its minimum");
    if (*p->p == '+') return refused(p, "a possessive quantifier");
    q.lazy = *p->p == '?';
    p->p += q.lazy;
    if (l->width != WIDTH_ANY) l->width -= p->atom_width;
    add_width(p, repeated_width(p->atom_width, &q));
    TRY(repeat(p, &q));
    p->atom = -1;
    const char *here = p->p;
    if (read_repeat(p, &again)) {
        p->p = here;
        return wrong(p, "a repeat of a repeat");
    }
    return OK;
}

/* ---- the pattern ----------------------------------------------------------------------------- */

static Status read_plain(Parser *p)
{
    switch (*p->p) {
    case '^':
        p->p++;
        return assertion(p, p->flags & REGEX_MULTILINE ? RX_LINE_START : RX_TEXT_START);
    case '$':
        p->p++;
        return assertion(p, p->flags & REGEX_MULTILINE ? RX_LINE_END : RX_LAST_END);
    case '.':
        p->p++;
        return atom(p, p->flags & REGEX_DOT_ALL ? RX_ALL : RX_ANY, 0, 0, 1);
    case '[':
        p->p++;
        return read_class(p);
    case '\\':
        p->p++;
        return read_escape(p);
    default:
        return atom(p, RX_CHAR, next_char(p), 0, 1);
    }
}

static Status read_pattern(Parser *p)
{
    while (*p->p) {
        Repeat q;
        if (read_repeat(p, &q)) {
            TRY(read_quantifier(p, &q));
        } else if (*p->p == '(') {
            p->p++;
            TRY(read_group(p));
        } else if (*p->p == ')') {
            TRY(close_group(p));
            p->p++;
        } else if (*p->p == '|') {
            p->p++;
            TRY(read_bar(p));
        } else {
            TRY(read_plain(p));
        }
    }
    if (p->depth > 0) return wrong(p, "a ( without its )");
    patch_jumps(p, level(p));
    return emit(p, RX_MATCH, 0, 0);
}

/* Loops and looks number their registers from 0 while the groups are not counted yet. */
static void place_registers(Regex *r)
{
    int first = (r->groups + 1) * 2;
    r->registers += first;
    for (int i = 0; i < r->n_code; i++) {
        RegexInst *c = &r->code[i];
        if (c->op == RX_MARK || c->op == RX_LOOP || c->op == RX_LOOK || c->op == RX_LOOK_DONE)
            c->a += first;
    }
}

Status regex_new(const char *pattern, unsigned flags, Regex **out, Error *err)
{
    Regex *r = mem_calloc(1, sizeof *r);
    Parser *p = mem_calloc(1, sizeof *p);
    Status status = OK;
    if (!r || !p) {
        status = error_set(err, E_NOMEM, "no memory for a pattern");
        goto done;
    }
    *p = (Parser){
        .r = r, .p = pattern, .begin = pattern, .flags = flags, .atom = -1, .err = err
    };
    p->levels[0].jumps = -1;
    TRY_DONE(read_pattern(p));
    place_registers(r);
    *out = r;
    r = NULL;
done:
    mem_free(p);
    regex_free(r);
    return status;
}

void regex_free(Regex *r)
{
    if (!r) return;
    for (int i = 0; i < r->n_names; i++)
        mem_free(r->names[i].name);
    mem_free(r->names);
    mem_free(r->code);
    mem_free(r->ranges);
    mem_free(r);
}

int regex_groups(const Regex *r)
{
    return r->groups;
}
