/* regex.c - running a pattern's program: backtracking with a stack of choices and of overwritten registers. */
#include "engine/text/regex.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/text/regex_internal.h"
#include "engine/text/strings.h"
#include "engine/text/unicode.h"

enum { STEPS_MAX = 20000000, FRAMES_MAX = 4000000 };

/* What failure goes back to: a choice (reg < 0), or a register's old value. */
typedef struct Frame {
    int32_t pc, reg;
    int64_t value; /* position, or old value */
} Frame;

struct RegexScan {
    const Regex *r;
    int32_t *text; /* owned; code points */
    int64_t length, from;
    bool advance;       /* an empty match at `from` was reported already */
    int64_t *registers; /* owned; -1 = unset */
    Frame *frames;      /* owned */
    size_t n_frames, capacity;
    int64_t steps;
};

/* ---- characters ------------------------------------------------------------------------------ */

bool regex_is_word(int32_t cp)
{
    CharClass c = unicode_class(cp);
    return c == CHAR_LETTER || c == CHAR_NUMBER || cp == '_';
}

bool regex_is_space(int32_t cp)
{
    return strings_is_space(cp);
}

int32_t regex_fold(int32_t cp)
{
    return strings_fold(cp);
}

bool regex_class_takes(char kind, int32_t cp)
{
    switch (kind) {
    case 'd':
        return strings_is_decimal(cp);
    case 'D':
        return !strings_is_decimal(cp);
    case 'w':
        return regex_is_word(cp);
    case 'W':
        return !regex_is_word(cp);
    case 's':
        return regex_is_space(cp);
    default:
        return !regex_is_space(cp);
    }
}

static bool in_ranges(const Regex *r, const RegexInst *c, int32_t cp)
{
    for (int i = c->a; i < c->a + c->b; i++) {
        const RegexRange *range = &r->ranges[i];
        if (range->kind ? regex_class_takes(range->kind, cp)
                        : cp >= range->low && cp <= range->high)
            return true;
    }
    return false;
}

static bool set_takes(const Regex *r, const RegexInst *c, int32_t cp)
{
    bool in = in_ranges(r, c, cp);
    if (!in && c->ignore_case)
        in = in_ranges(r, c, regex_fold(cp)) || in_ranges(r, c, strings_upper_of(cp));
    return in != c->negative;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static Status push(RegexScan *s, Frame f, Error *err)
{
    if (s->n_frames == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        Frame *frames =
            capacity > FRAMES_MAX ? NULL : mem_realloc(s->frames, capacity * sizeof *frames);
        if (!frames) {
            error_set(err, E_LIMIT, "the pattern needs too much memory on this text");
            error_fix(err, "make its repeats less ambiguous");
            return E_LIMIT;
        }
        s->frames = frames;
        s->capacity = capacity;
    }
    s->frames[s->n_frames++] = f;
    return OK;
}

static Status set_register(RegexScan *s, int reg, int64_t value, Error *err)
{
    TRY(push(s, (Frame){ .reg = reg, .value = s->registers[reg] }, err));
    s->registers[reg] = value;
    return OK;
}

/* Undoes registers down to the last choice above `floor`; false when there is none. */
static bool go_back(RegexScan *s, size_t floor, int *pc, int64_t *at)
{
    while (s->n_frames > floor) {
        Frame f = s->frames[--s->n_frames];
        if (f.reg < 0) {
            *pc = f.pc;
            *at = f.value;
            return true;
        }
        s->registers[f.reg] = f.value;
    }
    return false;
}

/* Forgets the choices above `floor`; what the registers were stays known. */
static void forget_choices(RegexScan *s, size_t floor)
{
    size_t kept = floor;
    for (size_t i = floor; i < s->n_frames; i++)
        if (s->frames[i].reg >= 0) s->frames[kept++] = s->frames[i];
    s->n_frames = kept;
}

static void undo_all(RegexScan *s, size_t floor)
{
    while (s->n_frames > floor) {
        Frame f = s->frames[--s->n_frames];
        if (f.reg >= 0) s->registers[f.reg] = f.value;
    }
}

static bool word_at(const RegexScan *s, int64_t at)
{
    return at >= 0 && at < s->length && regex_is_word(s->text[at]);
}

static bool assertion_holds(const RegexScan *s, int op, int64_t at)
{
    const int32_t *t = s->text;
    switch (op) {
    case RX_TEXT_START:
        return at == 0;
    case RX_LINE_START:
        return at == 0 || t[at - 1] == '\n';
    case RX_TEXT_END:
        return at == s->length;
    case RX_LINE_END:
        return at == s->length || t[at] == '\n';
    case RX_LAST_END:
        return at == s->length || (at == s->length - 1 && t[at] == '\n');
    case RX_WORD_EDGE:
        return word_at(s, at - 1) != word_at(s, at);
    default:
        return word_at(s, at - 1) == word_at(s, at);
    }
}

/* Characters that one instruction takes at `at`; -1 = it fails. */
static int64_t take_back(const RegexScan *s, const RegexInst *c, int64_t at)
{
    int64_t from = s->registers[c->a * 2], to = s->registers[c->a * 2 + 1];
    if (from < 0 || to < 0 || at + to - from > s->length) return -1;
    for (int64_t i = 0; i < to - from; i++) {
        int32_t a = s->text[from + i], b = s->text[at + i];
        if (a != b && !(c->ignore_case && regex_fold(a) == regex_fold(b))) return -1;
    }
    return to - from;
}

static int64_t take(const RegexScan *s, const RegexInst *c, int64_t at)
{
    if (c->op == RX_BACK) return take_back(s, c, at);
    if (c->op >= RX_LINE_START && c->op <= RX_NO_WORD_EDGE)
        return assertion_holds(s, c->op, at) ? 0 : -1;
    if (at >= s->length) return -1;
    int32_t cp = s->text[at];
    bool good = false;
    if (c->op == RX_CHAR)
        good = cp == c->a || (c->ignore_case && regex_fold(cp) == regex_fold(c->a));
    else if (c->op == RX_ANY)
        good = cp != '\n';
    else if (c->op == RX_ALL)
        good = true;
    else if (c->op == RX_SET)
        good = set_takes(s->r, c, cp);
    return good ? 1 : -1;
}

typedef struct Head {
    int pc;
    int64_t at;
    bool failed, matched;
} Head;

/* A look keeps, in its register, the frames below it; under those lies the place to go on from. */
static Status begin_look(RegexScan *s, const RegexInst *c, Head *h, Error *err)
{
    TRY(set_register(s, c->a, 0, err));
    TRY(push(s, (Frame){ .pc = c->negative ? h->pc + c->b : -1, .reg = -1, .value = h->at },
             err));
    s->registers[c->a] = (int64_t)s->n_frames;
    h->pc++;
    return OK;
}

static void end_look(RegexScan *s, const RegexInst *c, Head *h)
{
    size_t floor = (size_t)s->registers[c->a] - 1;
    int64_t place = s->frames[floor].value;
    if (c->negative) {
        undo_all(s, floor);
        h->failed = true;
        return;
    }
    forget_choices(s, floor);
    h->at = place;
    h->pc++;
}

static Status control(RegexScan *s, const RegexInst *c, Head *h, Error *err)
{
    switch (c->op) {
    case RX_SPLIT:
        TRY(push(s, (Frame){ .pc = h->pc + c->a, .reg = -1, .value = h->at }, err));
        h->pc++;
        return OK;
    case RX_SPLIT_LAZY:
        TRY(push(s, (Frame){ .pc = h->pc + 1, .reg = -1, .value = h->at }, err));
        h->pc += c->a;
        return OK;
    case RX_JUMP:
        h->pc += c->a;
        return OK;
    case RX_SAVE:
    case RX_MARK:
        h->pc++;
        return set_register(s, c->a, h->at, err);
    case RX_LOOP:
        h->pc += s->registers[c->a] == h->at ? 1 : c->b;
        return OK;
    case RX_LOOK:
        return begin_look(s, c, h, err);
    case RX_LOOK_DONE:
        end_look(s, c, h);
        return OK;
    case RX_BEHIND:
        h->failed = h->at < c->a;
        h->at -= c->a;
        h->pc++;
        return OK;
    default:
        h->matched = !(s->advance && h->at == s->from && s->registers[0] == h->at);
        h->failed = !h->matched;
        return OK;
    }
}

static bool is_control(int op)
{
    return (op >= RX_SPLIT && op <= RX_LOOP) || op >= RX_LOOK;
}

static Status too_long(Error *err)
{
    error_set(err, E_LIMIT, "the pattern takes too many steps on this text");
    error_fix(err, "make its repeats less ambiguous");
    return E_LIMIT;
}

/* Tries to match from one position on. A choice with pc -1 is the bottom of a positive look: failing on. */
static Status match_at(RegexScan *s, int64_t start, bool *found, Error *err)
{
    Head h = { .at = start };
    for (int i = 0; i < s->r->registers; i++)
        s->registers[i] = -1;
    s->registers[0] = start;
    s->n_frames = 0;
    while (!h.matched) {
        const RegexInst *c = &s->r->code[h.pc];
        if (s->steps++ > STEPS_MAX) return too_long(err);
        if (is_control(c->op)) {
            TRY(control(s, c, &h, err));
        } else {
            int64_t n = take(s, c, h.at);
            h.failed = n < 0;
            h.at += n < 0 ? 0 : n;
            h.pc++;
        }
        while (h.failed) {
            if (!go_back(s, 0, &h.pc, &h.at)) return OK;
            h.failed = h.pc < 0;
        }
    }
    s->registers[1] = h.at;
    *found = true;
    return OK;
}

/* ---- scanning -------------------------------------------------------------------------------- */

static Status decode_text(RegexScan *s, const char *text, Error *err)
{
    size_t bytes = strlen(text), length;
    s->text = mem_alloc_array(bytes + 1, sizeof *s->text);
    if (!s->text) return error_set(err, E_NOMEM, "no memory for a text");
    for (size_t i = 0; i < bytes; i += length)
        s->text[s->length++] = unicode_decode(text + i, bytes - i, &length);
    return OK;
}

Status regex_scan(const Regex *r, const char *text, RegexScan **out, Error *err)
{
    RegexScan *s = mem_calloc(1, sizeof *s);
    Status status = OK;
    if (!s) return error_set(err, E_NOMEM, "no memory for a text");
    s->r = r;
    s->registers = mem_alloc_array((size_t)r->registers + 1, sizeof *s->registers);
    for (int i = 0; s->registers && i < r->registers; i++)
        s->registers[i] = -1;
    if (!s->registers)
        status = error_set(err, E_NOMEM, "no memory for a text");
    else
        status = decode_text(s, text, err);
    if (status == OK)
        *out = s;
    else
        regex_scan_free(s);
    return status;
}

void regex_scan_free(RegexScan *s)
{
    if (!s) return;
    mem_free(s->text);
    mem_free(s->registers);
    mem_free(s->frames);
    mem_free(s);
}

Status regex_next(RegexScan *s, bool *found, Error *err)
{
    *found = false;
    for (int64_t at = s->from; at <= s->length; at++) {
        TRY(match_at(s, at, found, err));
        if (!*found) continue;
        s->advance = s->registers[1] == s->registers[0];
        s->from = s->registers[1];
        return OK;
    }
    s->from = s->length + 1;
    return OK;
}

static void append_text(const RegexScan *s, int64_t from, int64_t to, Str *out)
{
    for (int64_t i = from; i < to; i++)
        unicode_append(out, s->text[i]);
}

bool regex_group(const RegexScan *s, int group, Str *out)
{
    if (group < 0 || group > s->r->groups) return false;
    int64_t from = s->registers[group * 2], to = s->registers[group * 2 + 1];
    if (from < 0 || to < 0) return false;
    append_text(s, from, to, out);
    return true;
}

/* ---- replacing -------------------------------------------------------------------------------- */

static Status bad_template(const char *what, Error *err)
{
    error_set(err, E_FORMAT, "the replacement is wrong: %s", what);
    error_fix(err, "write a backslash as \\\\");
    return E_FORMAT;
}

static Status add_group(const RegexScan *s, int64_t group, Str *out, Error *err)
{
    if (group > s->r->groups) return bad_template("a reference to no group", err);
    regex_group(s, (int)group, out);
    return OK;
}

/* Behind "\g". */
static Status add_named(const RegexScan *s, const char **t, Str *out, Error *err)
{
    const char *end = **t == '<' ? strchr(*t, '>') : NULL, *from = *t + 1;
    if (!end || end == from) return bad_template("\\g wants <name>", err);
    size_t n = (size_t)(end - from);
    *t = end + 1;
    int64_t number = 0;
    bool digits = true;
    for (size_t i = 0; i < n && digits; i++) {
        digits = from[i] >= '0' && from[i] <= '9';
        number = number < 10000 ? number * 10 + (from[i] - '0') : number;
    }
    if (digits) return add_group(s, number, out, err);
    for (int i = 0; i < s->r->n_names; i++)
        if (strlen(s->r->names[i].name) == n && memcmp(s->r->names[i].name, from, n) == 0)
            return add_group(s, s->r->names[i].group, out, err);
    return bad_template("a reference to no group", err);
}

static bool octal(char c)
{
    return c >= '0' && c <= '7';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* At the first digit behind a backslash. */
static Status add_numbered(const RegexScan *s, const char **t, Str *out, Error *err)
{
    const char *d = *t;
    if (d[0] == '0' || (octal(d[0]) && octal(d[1]) && octal(d[2]))) {
        int32_t v = 0;
        for (int i = 0; i < 3 && octal(**t); i++)
            v = v * 8 + (*(*t)++ - '0');
        if (v > 0377) return bad_template("an octal escape above \\377", err);
        unicode_append(out, v);
        return OK;
    }
    int64_t group = *(*t)++ - '0';
    if (digit(**t)) group = group * 10 + (*(*t)++ - '0');
    return add_group(s, group, out, err);
}

static Status add_escape(const RegexScan *s, const char **t, Str *out, Error *err)
{
    static const char letters[] = "ntrfvab", values[] = "\n\t\r\f\v\a\b";
    char c = **t;
    const char *at = c ? strchr(letters, c) : NULL;
    if (!c) return bad_template("a backslash at the end", err);
    if (digit(c)) return add_numbered(s, t, out, err);
    ++*t;
    if (c == 'g') return add_named(s, t, out, err);
    if (at) {
        str_add_char(out, values[at - letters]);
        return OK;
    }
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return bad_template("an unknown escape", err);
    if (c != '\\') str_add_char(out, '\\');
    str_add_char(out, c);
    return OK;
}

static Status add_template(const RegexScan *s, const char *t, Str *out, Error *err)
{
    while (*t) {
        if (*t != '\\') {
            str_add_char(out, *t++);
            continue;
        }
        t++;
        TRY(add_escape(s, &t, out, err));
    }
    return OK;
}

/* A wrong template is an error also where nothing is found. */
static Status check_template(const RegexScan *s, const char *t, Error *err)
{
    Str ignored = { 0 };
    Status status = add_template(s, t, &ignored, err);
    str_fini(&ignored);
    return status;
}

Status regex_replace(const Regex *r, const char *text, const char *template, int64_t count,
                     Str *out, Error *err)
{
    RegexScan *s = NULL;
    Status status = OK;
    int64_t done = 0, end = 0;
    bool found = true;
    TRY(regex_scan(r, text, &s, err));
    TRY_DONE(check_template(s, template, err));
    while (count == 0 || done < count) {
        TRY_DONE(regex_next(s, &found, err));
        if (!found) break;
        append_text(s, end, s->registers[0], out);
        TRY_DONE(add_template(s, template, out, err));
        end = s->registers[1];
        done++;
    }
    append_text(s, end, s->length, out);
    if (out->failed) status = error_set(err, E_NOMEM, "no memory for a text");
done:
    regex_scan_free(s);
    return status;
}
