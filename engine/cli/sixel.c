/* sixel.c - a picture as Sixel. */
#include "engine/cli/sixel.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"

/* Colours are counted in bins of five bits a channel; a palette entry is the mean of a box of bins. */
enum { BINS = 1 << 15, COLOURS = 256, BAND = 6 };

typedef struct Bin {
    uint64_t count, sum[3];
    uint16_t key;
} Bin;

typedef struct Box {
    int first, count; /* of the bins */
    int axis, spread; /* widest channel and its width in bins */
} Box;

typedef struct Sixel {
    const uint8_t *rgb;
    int width, height;
    Bin bins[BINS];
    int bin_count;
    Box boxes[COLOURS];
    int box_count;
    uint8_t entry[BINS]; /* bin to palette */
    bool met[COLOURS];   /* scratch: colours of a band */
    uint8_t *cells;      /* [width] six bits of one colour in one band */
    FILE *out;
} Sixel;

static int key_of(const uint8_t *p)
{
    return (p[0] >> 3) << 10 | (p[1] >> 3) << 5 | p[2] >> 3;
}

static int channel(int key, int axis)
{
    return key >> (10 - 5 * axis) & 31;
}

static void count_colours(Sixel *s)
{
    for (int i = 0; i < BINS; i++)
        s->bins[i].key = (uint16_t)i;
    for (int64_t i = 0; i < (int64_t)s->width * s->height; i++) {
        Bin *bin = &s->bins[key_of(s->rgb + 3 * i)];
        bin->count++;
        for (int k = 0; k < 3; k++)
            bin->sum[k] += s->rgb[3 * i + k];
    }
    for (int i = 0; i < BINS; i++)
        if (s->bins[i].count) s->bins[s->bin_count++] = s->bins[i];
}

static void measure(const Sixel *s, Box *box)
{
    box->spread = -1;
    for (int axis = 0; axis < 3; axis++) {
        int lo = 31, hi = 0;
        for (int i = box->first; i < box->first + box->count; i++) {
            int v = channel(s->bins[i].key, axis);
            if (v < lo) lo = v;
            if (v > hi) hi = v;
        }
        if (hi - lo > box->spread) {
            box->spread = hi - lo;
            box->axis = axis;
        }
    }
}

#define COMPARE_BINS(name, axis)                                                               \
    static int name(const void *a, const void *b)                                              \
    {                                                                                          \
        int x = ((const Bin *)a)->key, y = ((const Bin *)b)->key;                              \
        int d = channel(x, axis) - channel(y, axis);                                           \
        return d ? d : x - y;                                                                  \
    }
COMPARE_BINS(by_red, 0)
COMPARE_BINS(by_green, 1)
COMPARE_BINS(by_blue, 2)

/* Cuts the widest box of several bins at half its pixels; false when every box is one bin. */
static bool split(Sixel *s)
{
    static int (*const order[])(const void *, const void *) = { by_red, by_green, by_blue };
    Box *box = NULL;
    for (int i = 0; i < s->box_count; i++)
        if (s->boxes[i].count > 1 && (!box || s->boxes[i].spread > box->spread))
            box = &s->boxes[i];
    if (!box) return false;
    Bin *bins = s->bins + box->first;
    uint64_t total = 0, left = 0;
    int cut = 1;
    qsort(bins, (size_t)box->count, sizeof *bins, order[box->axis]);
    for (int i = 0; i < box->count; i++)
        total += bins[i].count;
    for (left = bins[0].count; cut < box->count - 1 && 2 * left < total; cut++)
        left += bins[cut].count;
    s->boxes[s->box_count] = (Box){ .first = box->first + cut, .count = box->count - cut };
    box->count = cut;
    measure(s, box);
    measure(s, &s->boxes[s->box_count++]);
    return true;
}

static void make_palette(Sixel *s)
{
    s->boxes[0] = (Box){ .count = s->bin_count };
    s->box_count = 1;
    measure(s, &s->boxes[0]);
    while (s->box_count < COLOURS && split(s)) {
    }
    for (int b = 0; b < s->box_count; b++)
        for (int i = 0; i < s->boxes[b].count; i++)
            s->entry[s->bins[s->boxes[b].first + i].key] = (uint8_t)b;
}

/* Channels of the mean colour, in percent as Sixel has them. */
static void write_palette(const Sixel *s)
{
    for (int b = 0; b < s->box_count; b++) {
        uint64_t n = 0, sum[3] = { 0 };
        for (int i = s->boxes[b].first; i < s->boxes[b].first + s->boxes[b].count; i++) {
            n += s->bins[i].count;
            for (int k = 0; k < 3; k++)
                sum[k] += s->bins[i].sum[k];
        }
        fprintf(s->out, "#%d;2", b);
        for (int k = 0; k < 3; k++)
            fprintf(s->out, ";%d", (int)((sum[k] * 200 + 255 * n) / (510 * n)));
    }
}

/* The cells with runs of more than three as !COUNT. */
static void write_cells(const Sixel *s)
{
    for (int x = 0, n; x < s->width; x += n) {
        for (n = 1; x + n < s->width && s->cells[x + n] == s->cells[x]; n++) {
        }
        if (n > 3)
            fprintf(s->out, "!%d%c", n, 63 + s->cells[x]);
        else
            for (int i = 0; i < n; i++)
                fputc(63 + s->cells[x], s->out);
    }
}

static int entry_at(const Sixel *s, int x, int y)
{
    return s->entry[key_of(s->rgb + 3 * ((int64_t)y * s->width + x))];
}

static void write_band(Sixel *s, int y0)
{
    int rows = s->height - y0 < BAND ? s->height - y0 : BAND;
    memset(s->met, 0, sizeof s->met);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < s->width; x++)
            s->met[entry_at(s, x, y0 + y)] = true;
    for (int c = 0; c < s->box_count; c++) {
        if (!s->met[c]) continue;
        memset(s->cells, 0, (size_t)s->width);
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < s->width; x++)
                if (entry_at(s, x, y0 + y) == c) s->cells[x] |= (uint8_t)(1 << y);
        fprintf(s->out, "#%d", c);
        write_cells(s);
        fputc('$', s->out);
    }
    fputc('-', s->out);
}

Status sixel_write(const uint8_t *rgb, int width, int height, FILE *out, Error *err)
{
    Sixel *s = mem_calloc(1, sizeof *s);
    Status status = OK;

    if (!s || !(s->cells = mem_alloc((size_t)width))) {
        status =
            error_set(err, E_NOMEM, "a picture of %d x %d for the terminal", width, height);
        goto done;
    }
    s->rgb = rgb, s->width = width, s->height = height, s->out = out;
    count_colours(s);
    make_palette(s);
    fprintf(out, "\033P0;1;0q\"1;1;%d;%d", width, height);
    write_palette(s);
    for (int y = 0; y < height; y += BAND)
        write_band(s, y);
    fputs("\033\\\n", out);
done:
    if (s) mem_free(s->cells);
    mem_free(s);
    return status;
}
