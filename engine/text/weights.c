/* weights.c - the weight syntax of prompts: (text), (text:1.3), nested.
 *
 * The rule is recursive (a piece in brackets is split again by the same rule). Here the partner
 * of every bracket is found first, so that each level steps over the pieces inside it, and the
 * recursion is a stack of ranges.
 */
#include "engine/text/weights.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/number_text.h"

#define NO_PARTNER SIZE_MAX

/* A range still to be split, and the weight inside it. */
typedef struct Range {
    size_t at, end;
    double weight;
} Range;

typedef struct Split {
    const char *text;
    size_t *partner; /* owned; closing bracket of each opening one, by byte */
    Range *stack;    /* owned */
    size_t depth, capacity;
    WeightedPieces *out;
    bool failed; /* out of memory while a number was read */
} Split;

void weights_escape(const char *text, size_t n, Str *out)
{
    for (size_t i = 0; i < n; i++) {
        bool pair = text[i] == '\\' && i + 1 < n && (text[i + 1] == ')' || text[i + 1] == '(');
        if (!pair) {
            str_add_char(out, text[i]);
            continue;
        }
        str_add_n(out, text[i + 1] == ')' ? "\0\1" : "\0\2", 2);
        i++;
    }
}

void weights_restore(const char *text, size_t n, Str *out)
{
    for (size_t i = 0; i < n; i++) {
        bool pair = text[i] == 0 && i + 1 < n && (text[i + 1] == 1 || text[i + 1] == 2);
        if (!pair) {
            str_add_char(out, text[i]);
            continue;
        }
        str_add_char(out, text[i + 1] == 1 ? ')' : '(');
        i++;
    }
}

static bool find_partners(Split *s, size_t n)
{
    size_t *open = mem_alloc_array(n, sizeof *open), depth = 0;
    if (!open) return false;
    for (size_t i = 0; i < n; i++) {
        s->partner[i] = NO_PARTNER;
        if (s->text[i] == '(') open[depth++] = i;
        if (s->text[i] == ')' && depth) s->partner[open[--depth]] = i;
    }
    mem_free(open);
    return true;
}

static bool push_range(Split *s, Range r)
{
    if (s->depth == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 16;
        Range *stack = mem_realloc(s->stack, capacity * sizeof *stack);
        if (!stack) return false;
        s->stack = stack;
        s->capacity = capacity;
    }
    s->stack[s->depth++] = r;
    return true;
}

static bool add_piece(WeightedPieces *out, WeightedPiece piece)
{
    if (piece.count == 0) return true;
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? out->capacity * 2 : 16;
        WeightedPiece *at = mem_realloc(out->at, capacity * sizeof *at);
        if (!at) return false;
        out->at = at;
        out->capacity = capacity;
    }
    out->at[out->count++] = piece;
    return true;
}

/* Reads the number behind the last colon of [at, end); brackets cannot be part of one, so the
 * search ends there. Sets *end to the colon. */
static void cut_number(Split *s, size_t at, size_t *end, double *value)
{
    const char *text = s->text;
    size_t colon = *end;
    while (colon > at && text[colon - 1] != ':' && text[colon - 1] != '(' &&
           text[colon - 1] != ')')
        colon--;
    if (colon <= at + 1 || text[colon - 1] != ':') return;
    if (memchr(text + colon, 0, *end - colon)) return;
    Str number = { 0 };
    number_text_plain(text + colon, *end - colon, &number);
    if (number.text && !number.failed && str_to_double(number.text, value)) *end = colon - 1;
    if (number.failed) s->failed = true;
    str_fini(&number);
}

/* End of the plain text at `at`: the next bracket that opens a piece. A stray `)` makes the
 * level negative, and the brackets that bring it back to zero are plain. */
static size_t plain_end(const char *text, size_t at, size_t end)
{
    int64_t level = 0;
    for (; at < end; at++) {
        if (text[at] == '(') {
            if (level == 0) break;
            level++;
        }
        if (text[at] == ')') level--;
    }
    return at;
}

/* One piece of the top range; what is in brackets goes on the stack. */
static bool split_step(Split *s)
{
    Range *top = &s->stack[s->depth - 1];
    if (top->at >= top->end) {
        s->depth--;
        return true;
    }
    size_t at = top->at, end = top->end;
    if (s->text[at] != '(') {
        top->at = plain_end(s->text, at, end);
        return add_piece(s->out, (WeightedPiece){ at, top->at - at, top->weight });
    }
    if (s->partner[at] < end) end = s->partner[at] + 1;
    top->at = end;
    double weight = top->weight;
    if (end - at < 2 || s->text[end - 1] != ')')
        return add_piece(s->out, (WeightedPiece){ at, end - at, weight });
    size_t inner_end = end - 1;
    weight *= 1.1;
    cut_number(s, at + 1, &inner_end, &weight);
    return !s->failed && push_range(s, (Range){ at + 1, inner_end, weight });
}

Status weights_split(const char *text, size_t n, WeightedPieces *out, Error *err)
{
    Split s = { .text = text, .out = out };
    Status status = OK;

    s.partner = mem_alloc_array(n, sizeof *s.partner);
    bool ok = s.partner && find_partners(&s, n) && push_range(&s, (Range){ 0, n, 1.0 });
    while (ok && s.depth)
        ok = split_step(&s);
    if (!ok) status = error_set(err, E_NOMEM, "out of memory for a prompt of %zu bytes", n);
    mem_free(s.partner);
    mem_free(s.stack);
    return status;
}
