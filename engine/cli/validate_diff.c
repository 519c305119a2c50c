/* validate_diff.c - the difference of two texts as a patch in the unified format.
 *
 * Equal lines at both ends are left out first; the middle is compared by Myers' greedy algorithm as long as
 * the texts are near to one another, and printed whole where they are not. Source: E. W. Myers, "An O(ND)
 * Difference Algorithm and Its Variations", 1986.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cli/validate.h"

enum { CONTEXT = 3, DISTANCE_MAX = 2000 };

typedef struct Line {
    const char *text;
    size_t length; /* with its line end */
} Line;

typedef struct Lines {
    Line *items; /* owned */
    int count;
} Lines;

typedef struct Diff {
    Lines a, b;
    bool *gone, *added; /* owned, per line */
} Diff;

static bool split(const char *text, size_t n, Lines *out)
{
    size_t count = 1;

    for (size_t i = 0; i < n; i++)
        count += text[i] == '\n';
    if (count > INT32_MAX / 4) return false;
    out->items = mem_alloc_array(count, sizeof *out->items);
    if (!out->items) return false;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) + 1 - at : n - at;
        out->items[out->count++] = (Line){ text + at, length };
        at += length;
    }
    return true;
}

static bool same(const Diff *d, int i, int k)
{
    const Line *x = &d->a.items[i], *y = &d->b.items[k];

    return x->length == y->length && memcmp(x->text, y->text, x->length) == 0;
}

/* Furthest places on each diagonal, one row per distance, so that the path can be walked back. */
static bool compare(Diff *d, int from, int end_a, int end_b)
{
    int n = end_a - from, m = end_b - from, most = n + m < DISTANCE_MAX ? n + m : DISTANCE_MAX;
    int **rows = mem_calloc((size_t)most + 2, sizeof *rows), distance, x = 0, y = 0;
    bool found = false, good = rows != NULL;

    for (distance = 0; good && !found && distance <= most; distance++) {
        int *row = mem_alloc_array((size_t)distance * 2 + 3, sizeof *row);
        rows[distance] = row;
        good = row != NULL;
        for (int k = -distance; good && !found && k <= distance; k += 2) {
            const int *last = distance ? rows[distance - 1] + distance - 1 : NULL;
            bool down = k == -distance || (k != distance && last[k - 1] < last[k + 1]);
            x = !distance ? 0 : down ? last[k + 1] : last[k - 1] + 1;
            y = x - k;
            while (x < n && y < m && same(d, from + x, from + y))
                x++, y++;
            row[distance + k] = x;
            found = x >= n && y >= m;
        }
    }
    for (distance--; found && distance > 0; distance--) {
        int k = x - y;
        const int *last = rows[distance - 1] + distance - 1;
        bool down = k == -distance || (k != distance && last[k - 1] < last[k + 1]);
        int before = down ? last[k + 1] : last[k - 1];
        int start = down ? before : before + 1;
        while (x > start)
            x--, y--;
        if (down)
            d->added[from + --y] = true;
        else
            d->gone[from + --x] = true;
    }
    for (int i = 0; rows && i <= most + 1; i++)
        mem_free(rows[i]);
    mem_free(rows);
    return good && found;
}

static void mark(Diff *d)
{
    int from = 0, end_a = d->a.count, end_b = d->b.count;

    while (from < end_a && from < end_b && same(d, from, from))
        from++;
    while (end_a > from && end_b > from && same(d, end_a - 1, end_b - 1))
        end_a--, end_b--;
    if (compare(d, from, end_a, end_b)) return;
    memset(d->gone + from, 1, (size_t)(end_a - from));
    memset(d->added + from, 1, (size_t)(end_b - from));
}

static void put_line(Str *out, char sign, const Line *line)
{
    str_add_char(out, sign);
    str_add_n(out, line->text, line->length);
    if (line->length && line->text[line->length - 1] != '\n')
        str_add(out, "\n\\ No newline at end of file\n");
}

/* Lines that stay until the next change, at most `most`. */
static int equal_run(const Diff *d, int i, int k, int most)
{
    int n = 0;

    while (n < most && i + n < d->a.count && k + n < d->b.count && !d->gone[i + n] &&
           !d->added[k + n])
        n++;
    return n;
}

static bool changes_at(const Diff *d, int i, int k)
{
    return (i < d->a.count && d->gone[i]) || (k < d->b.count && d->added[k]);
}

/* One block of changes with its context; *i and *k move behind it. */
static void put_hunk(Str *out, const Diff *d, int *i, int *k)
{
    int before = *i < CONTEXT ? *i : CONTEXT, a = *i - before, b = *k - before, x = *i, y = *k;
    Str body = { 0 };

    for (int n = 0; n < before; n++)
        put_line(&body, ' ', &d->a.items[a + n]);
    for (;;) {
        while (x < d->a.count && d->gone[x])
            put_line(&body, '-', &d->a.items[x++]);
        while (y < d->b.count && d->added[y])
            put_line(&body, '+', &d->b.items[y++]);
        int run = equal_run(d, x, y, 2 * CONTEXT + 1);
        bool more = run <= 2 * CONTEXT && changes_at(d, x + run, y + run);
        if (!more && run > CONTEXT) run = CONTEXT;
        for (; run > 0; run--, y++)
            put_line(&body, ' ', &d->a.items[x++]);
        if (!more) break;
    }
    str_printf(out, "@@ -%d,%d +%d,%d @@\n", x > a ? a + 1 : a, x - a, y > b ? b + 1 : b,
               y - b);
    if (body.text) str_add_n(out, body.text, body.length);
    out->failed |= body.failed;
    str_fini(&body);
    *i = x;
    *k = y;
}

static void put_hunks(Str *out, const Diff *d)
{
    for (int i = 0, k = 0; i < d->a.count || k < d->b.count;) {
        if (changes_at(d, i, k))
            put_hunk(out, d, &i, &k);
        else
            i++, k++;
    }
}

void diff_write(Str *out, const char *path, const char *before, size_t n_before,
                const char *after, size_t n_after)
{
    Diff d = { 0 };

    if (n_before == n_after && memcmp(before, after, n_before) == 0) return;
    if (split(before, n_before, &d.a) && split(after, n_after, &d.b)) {
        d.gone = mem_calloc((size_t)d.a.count + 1, sizeof *d.gone);
        d.added = mem_calloc((size_t)d.b.count + 1, sizeof *d.added);
    }
    if (d.gone && d.added) {
        mark(&d);
        str_printf(out, "--- %s\n+++ %s\n", path, path);
        put_hunks(out, &d);
    } else {
        out->failed = true;
    }
    mem_free(d.a.items);
    mem_free(d.b.items);
    mem_free(d.gone);
    mem_free(d.added);
}
