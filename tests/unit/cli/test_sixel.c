/* test_sixel.c - what sixel_write says, read back by a small Sixel reader, is the picture. */
#include "engine/cli/sixel.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 61, H = 20 };

typedef struct Reader {
    const char *at;
    int colours[256][3], colour, x, y;
    uint8_t rgb[H][W][3];
} Reader;

static int number(Reader *r)
{
    int v = 0;
    while (isdigit((unsigned char)*r->at))
        v = 10 * v + (*r->at++ - '0');
    if (*r->at == ';') r->at++;
    return v;
}

static void read_colour(Reader *r)
{
    r->colour = number(r);
    if (r->at[-1] != ';') return;
    assert_int_equal(number(r), 2);
    for (int k = 0; k < 3; k++)
        r->colours[r->colour][k] = number(r);
}

static void put_cells(Reader *r, int count, int bits)
{
    for (; count > 0; count--, r->x++) {
        assert_in_range(r->x, 0, W - 1);
        for (int i = 0; i < 6; i++)
            for (int k = 0; (bits >> i & 1) && k < 3; k++) {
                assert_in_range(r->y + i, 0, H - 1);
                r->rgb[r->y + i][r->x][k] = (uint8_t)lround(2.55 * r->colours[r->colour][k]);
            }
    }
}

static void read_sixel(Reader *r)
{
    static const char head[] = "\033P0;1;0q\"1;1;61;20";
    assert_memory_equal(r->at, head, sizeof head - 1);
    for (r->at += sizeof head - 1; *r->at != '\033';) {
        int c = *r->at++, count = 1;
        if (c == '!') {
            count = number(r);
            c = *r->at++;
        }
        if (c == '#')
            read_colour(r);
        else if (c == '$')
            r->x = 0;
        else if (c == '-')
            r->x = 0, r->y += 6;
        else
            put_cells(r, count, c - 63);
    }
    assert_string_equal(r->at, "\033\\\n");
}

/* Largest difference of a channel after a picture went to Sixel and back. */
static int round_trip(uint8_t rgb[H][W][3])
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int worst = 0;

    assert_int_equal(sixel_write(&rgb[0][0][0], W, H, out, NULL), OK);
    fclose(out);
    Reader *r = calloc(1, sizeof *r);
    r->at = text;
    read_sixel(r);
    for (int i = 0; i < W * H * 3; i++) {
        int d = abs((&r->rgb[0][0][0])[i] - (&rgb[0][0][0])[i]);
        worst = d > worst ? d : worst;
    }
    free(r);
    free(text);
    return worst;
}

/* A channel is written in percent, so 255/100/2 is the most that a lone colour may be off. */
static void few_colours_come_back(void **state)
{
    static const uint8_t colours[3][3] = { { 250, 0, 3 }, { 9, 130, 255 }, { 77, 78, 79 } };
    uint8_t rgb[H][W][3];
    (void)state;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            memcpy(rgb[y][x], colours[(x / 7 + y / 3) % 3], 3);
    assert_in_range(round_trip(rgb), 0, 2);
}

static void a_gradient_comes_back_nearly(void **state)
{
    uint8_t rgb[H][W][3];
    (void)state;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            rgb[y][x][0] = (uint8_t)(4 * x), rgb[y][x][1] = (uint8_t)(12 * y),
            rgb[y][x][2] = 128;
    assert_in_range(round_trip(rgb), 1, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_colours_come_back),
        cmocka_unit_test(a_gradient_comes_back_nearly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
