/* ui_text.c - what the page does to texts before it posts them: choices, comments, tokens of file names.
 *
 * Choices {a|b} may nest as deep as the text is long, so brackets are paired in one pass and the chosen parts
 * are walked with a stack of places to come back to.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/ui_internal.h"

/* ---- comments ---------------------------------------------------------------------------- */

static const char *find_end(const char *at, const char *end)
{
    for (; at + 1 < end; at++)
        if (at[0] == '*' && at[1] == '/') return at + 2;
    return NULL;
}

/* Leaves out block comments, and the rest of a line after two slashes. */
static void strip_comments(const char *text, size_t n, Str *out)
{
    const char *end = text + n, *closed = text;

    for (const char *p = text; p < end;) {
        bool pair = *p == '/' && p + 1 < end;
        if (pair && p[1] == '*' && closed && (closed = find_end(p + 2, end)) != NULL) {
            p = closed;
        } else if (pair && p[1] == '/') {
            while (p < end && *p != '\n' && *p != '\r')
                p++;
        } else {
            str_add_char(out, *p++);
        }
    }
}

/* ---- choices ----------------------------------------------------------------------------- */

/* next[i]: from '{' to its first separator, from '|' to the next, the last one to the closing place. */
typedef struct Choices {
    const char *text;
    int n;
    int *next, *count; /* count[i] of '{': alternatives */
    int *stack, *last; /* open blocks and the last separator of each */
} Choices;

static void pair_brackets(Choices *c)
{
    int depth = 0;

    for (int i = 0; i < c->n; i++) {
        char ch = c->text[i];
        if (ch == '\\') {
            i++;
        } else if (ch == '{') {
            c->stack[depth] = c->last[depth] = i;
            c->count[i] = 1;
            depth++;
        } else if (depth > 0 && (ch == '|' || ch == '}')) {
            c->next[c->last[depth - 1]] = i;
            c->last[depth - 1] = i;
            if (ch == '|')
                c->count[c->stack[depth - 1]]++;
            else
                depth--;
        }
    }
    while (depth-- > 0)
        c->next[c->last[depth]] = c->n;
}

/* The place of the block that opens at `open` where everything of it ends. */
static int block_end(const Choices *c, int open)
{
    int at = open;

    for (int i = 0; i < c->count[open]; i++)
        at = c->next[at];
    return at;
}

/* Even draws over the whole seed range (splitmix64). */
static int draw(UiDoc *doc, int count)
{
    uint64_t z;

    if (doc->options->choice_seed == 0) return 0;
    z = doc->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (int)((z ^ z >> 31) % (uint64_t)count);
}

static void walk_choices(UiDoc *doc, const Choices *c, Str *out)
{
    int depth = 0, limit = c->n, i = 0;

    for (;;) {
        if (i >= limit) { /* the chosen part is over: go on behind its block */
            if (depth == 0) return;
            depth--;
            i = c->stack[depth];
            limit = c->last[depth];
        } else if (c->text[i] == '\\' && i + 1 < limit) {
            str_add_n(out, c->text + i, 2);
            i += 2;
        } else if (c->text[i] == '{') {
            int pick = draw(doc, c->count[i]), at = i;
            c->stack[depth] = block_end(c, i) + 1;
            c->last[depth++] = limit;
            while (pick-- > 0)
                at = c->next[at];
            limit = c->next[at];
            i = at + 1;
        } else {
            str_add_char(out, c->text[i++]);
        }
    }
}

/* \{ \} \| lose their backslash; every other escape stays. */
static void unescape(Str *s)
{
    size_t to = 0;

    for (size_t i = 0; i < s->length; i++) {
        if (s->text[i] == '\\' && i + 1 < s->length && strchr("{}|", s->text[i + 1]) &&
            s->text[i + 1])
            i++;
        s->text[to++] = s->text[i];
    }
    s->length = to;
    if (s->text) s->text[to] = 0;
}

static Status choose(UiDoc *doc, const Str *in, Str *out, Error *err)
{
    size_t n = in->length + 1;
    int *memory = n < INT32_MAX ? mem_calloc(n * 4, sizeof *memory) : NULL;
    Choices c = { .text = in->text, .n = (int)in->length };

    if (!memory) return ui_no_memory(err);
    c.next = memory;
    c.count = memory + n;
    c.stack = memory + 2 * n;
    c.last = memory + 3 * n;
    pair_brackets(&c);
    walk_choices(doc, &c, out);
    unescape(out);
    mem_free(memory);
    return out->failed ? ui_no_memory(err) : OK;
}

static bool has_syntax(const Literal *in)
{
    for (size_t i = 0; i < in->length; i++)
        if (strchr("{}|\\", in->text[i]) ||
            (in->text[i] == '/' && i + 1 < in->length && strchr("/*", in->text[i + 1])))
            return true;
    return false;
}

Status ui_choose(UiDoc *doc, const Literal *in, Literal *out, Error *err)
{
    Str plain = { 0 }, chosen = { 0 };
    Status status = OK;

    *out = *in;
    if (in->kind != LIT_TEXT || !has_syntax(in)) return OK;
    strip_comments(in->text, in->length, &plain);
    if (plain.failed) TRY_DONE(ui_no_memory(err));
    TRY_DONE(choose(doc, &plain, &chosen, err));
    TRY_DONE(literal_text(doc->graph->arena, chosen.text ? chosen.text : "", chosen.length, out,
                          err));
done:
    str_fini(&plain);
    str_fini(&chosen);
    return status;
}

bool ui_is_dynamic(const Literal *text)
{
    for (size_t i = 0; text->kind == LIT_TEXT && i < text->length; i++) {
        char c = text->text[i], next = i + 1 < text->length ? text->text[i + 1] : 0;
        if (c == '/' && (next == '/' || next == '*')) return true;
        if (c == '{') return true;
        if (c == '\\') i += next != '/';
    }
    return false;
}

bool ui_escape(const char *text, size_t length, Str *out)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '/' && i + 1 < length && strchr("/*", text[i + 1]) && text[i + 1])
            return false;
        if (text[i] == '\\' && i + 1 < length) {
            str_add_n(out, text + i++, 2);
            continue;
        }
        if (strchr("{}|", text[i]) && text[i]) str_add_char(out, '\\');
        str_add_char(out, text[i]);
    }
    return true;
}

/* ---- file names -------------------------------------------------------------------------- */

static bool take(const char **format, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*format, word, n) != 0) return false;
    *format += n;
    return true;
}

static void add_date(const struct tm *t, const char *format, Str *out)
{
    const struct {
        const char *two, *one;
        int value;
    } parts[] = { { "MM", "M", t->tm_mon + 1 },
                  { "dd", "d", t->tm_mday },
                  { "hh", "h", t->tm_hour },
                  { "mm", "m", t->tm_min },
                  { "ss", "s", t->tm_sec } };

    while (*format) {
        size_t i = 0, n = sizeof parts / sizeof *parts;
        if (take(&format, "yyyy")) {
            str_printf(out, "%d", t->tm_year + 1900);
            continue;
        }
        if (take(&format, "yy")) {
            str_printf(out, "%02d", t->tm_year % 100);
            continue;
        }
        for (; i < n; i++) {
            bool two = take(&format, parts[i].two);
            if (!two && !take(&format, parts[i].one)) continue;
            str_printf(out, two ? "%02d" : "%d", parts[i].value);
            break;
        }
        if (i == n) str_add_char(out, *format++);
    }
}

static const char *search_name(const UiNode *node)
{
    const Json *p = json_get(node->json, "properties");
    const char *name =
        json_is(p, JSON_OBJECT) ? json_string(json_get(p, "Node name for S&R")) : NULL;

    return name ? name : node->type;
}

/* The first node of that name, by its property or class, else by its title. */
static const UiNode *find_named(const UiDoc *doc, const char *name)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < doc->n_levels; i++)
            for (int k = 0; k < doc->levels[i]->n_nodes; k++) {
                const UiNode *node = &doc->levels[i]->nodes[k];
                const char *own = pass == 0 ? search_name(node) : node->title;
                if (own && strcmp(own, name) == 0) return node;
            }
    return NULL;
}

/* As the page turns a value into text; characters that file names cannot hold become '_'. */
static void add_value(const Literal *value, Str *out)
{
    size_t from = out->length;

    if (value->kind == LIT_FLOAT) {
        json_write_double(out, value->f);
        if (!out->failed && str_ends_with(out->text, ".0")) out->text[out->length -= 2] = 0;
    } else if (value->kind == LIT_BOOL) {
        str_add(out, value->b ? "true" : "false");
    } else if (value->kind == LIT_NULL) {
        str_add(out, "null");
    } else {
        literal_write_str(out, value);
    }
    for (size_t i = from; !out->failed && i < out->length; i++) {
        unsigned char c = (unsigned char)out->text[i];
        if (c < 32 || c == 127 || strchr("/?<>\\:*|\"", c)) out->text[i] = '_';
    }
}

/* One token without its percent signs; false when it stays as it is. */
static bool add_token(const UiDoc *doc, char *token, Str *out)
{
    char *dot = strchr(token, '.'), *second = dot ? strchr(dot + 1, '.') : NULL;
    const UiNode *node;
    const UiWidget *w;

    if (!dot || second) {
        if (strncmp(token, "date:", 5) != 0 || !doc->options->now) return false;
        if (dot) *dot = 0;
        add_date(doc->options->now, token + 5, out);
        return true;
    }
    *dot = 0;
    node = find_named(doc, token);
    w = node ? ui_widget(node, dot + 1) : NULL;
    if (w && w->has) add_value(&w->value, out);
    *dot = '.';
    return w && w->has;
}

Status ui_file_name(UiDoc *doc, const Literal *in, Literal *out, Error *err)
{
    Status status = OK;
    Str text = { 0 };

    *out = *in;
    if (in->kind != LIT_TEXT || !memchr(in->text, '%', in->length)) return OK;
    for (const char *p = in->text; *p;) {
        const char *end = *p == '%' ? strchr(p + 1, '%') : NULL;
        char *token = end && end > p + 1 ? mem_strndup(p + 1, (size_t)(end - p - 1)) : NULL;
        if (end && end > p + 1 && !token) text.failed = true;
        if (token && !add_token(doc, token, &text)) str_add_n(&text, p, (size_t)(end - p + 1));
        if (!token) str_add_char(&text, *p);
        p = token ? end + 1 : p + 1;
        mem_free(token);
    }
    status = text.failed ? ui_no_memory(err)
                         : literal_text(doc->graph->arena, text.text ? text.text : "",
                                        text.length, out, err);
    str_fini(&text);
    return status;
}
