/* show.c - draws a picture in the terminal.
 *
 * Sources: "Terminal graphics protocol" (Kitty), "Inline Images Protocol" (iTerm2).
 */
#include "engine/cli/show.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/cli/sixel.h"
#include "engine/formats/image.h"

enum { KITTY_CHUNK = 4096, DEFAULT_COLUMNS = 80, MOST_COLUMNS = 100, ANSWER_MS = 200 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Four base-64 characters of up to three bytes. */
static void base64_group(const uint8_t *bytes, size_t n, char out[4])
{
    uint32_t v = (uint32_t)bytes[0] << 16 | (n > 1 ? (uint32_t)bytes[1] << 8 : 0) |
                 (n > 2 ? bytes[2] : 0);
    for (size_t i = 0; i < 4; i++)
        out[i] = i <= n ? digits[v >> (18 - 6 * i) & 63] : '=';
}

static void base64(const uint8_t *bytes, size_t size, FILE *out)
{
    char group[4];
    for (size_t i = 0; i < size; i += 3) {
        base64_group(bytes + i, size - i < 3 ? size - i : 3, group);
        fwrite(group, 1, 4, out);
    }
}

static void show_kitty(const uint8_t *png, size_t size, FILE *out)
{
    const size_t part = KITTY_CHUNK / 4 * 3;
    for (size_t at = 0; at < size; at += part) {
        size_t n = size - at < part ? size - at : part;
        fprintf(out, "\033_G%sm=%d;", at == 0 ? "a=T,f=100," : "", at + n < size);
        base64(png + at, n, out);
        fputs("\033\\", out);
    }
    fputc('\n', out);
}

static void show_iterm(const uint8_t *png, size_t size, FILE *out)
{
    fprintf(out, "\033]1337;File=inline=1;size=%zu:", size);
    base64(png, size, out);
    fputs("\a\n", out);
}

static int columns_of(FILE *out)
{
    struct winsize w = { 0 };
    int columns =
        ioctl(fileno(out), TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : DEFAULT_COLUMNS;
    return columns < MOST_COLUMNS ? columns : MOST_COLUMNS;
}

/* Mean colour of the pixels that cell (x, y) of a grid covers. */
static void cell_colour(const Tensor *rgb, int64_t x, int64_t y, int64_t columns, int64_t rows,
                        int colour[3])
{
    int64_t h = rgb->shape[1], w = rgb->shape[2];
    int64_t x0 = x * w / columns, x1 = (x + 1) * w / columns, y0 = y * h / rows,
            y1 = (y + 1) * h / rows;
    float sum[3] = { 0 }, n = 0;
    for (int64_t r = y0; r < (y1 > y0 ? y1 : y0 + 1) && r < h; r++)
        for (int64_t c = x0; c < (x1 > x0 ? x1 : x0 + 1) && c < w; c++, n++)
            for (int k = 0; k < 3; k++)
                sum[k] += tensor_f32(rgb)[(r * w + c) * 3 + k];
    for (int k = 0; k < 3; k++)
        colour[k] = n > 0 ? (int)(255 * sum[k] / n) : 0;
}

static void show_blocks(const uint8_t *png, size_t size, FILE *out)
{
    Image image;
    if (image_decode(png, size, &image, NULL) != OK) return;
    int64_t columns = columns_of(out) - 1, w = image.rgb->shape[2], h = image.rgb->shape[1];
    if (columns > w) columns = w;
    int64_t rows = (h * columns / w + 1) / 2 * 2;
    for (int64_t y = 0; y + 1 < rows; y += 2) {
        for (int64_t x = 0; x < columns; x++) {
            int top[3], low[3];
            cell_colour(image.rgb, x, y, columns, rows, top);
            cell_colour(image.rgb, x, y + 1, columns, rows, low);
            fprintf(out, "\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm\xe2\x96\x80", top[0], top[1],
                    top[2], low[0], low[1], low[2]);
        }
        fputs("\033[0m\n", out);
    }
    image_fini(&image);
}

/* The picture's first frame as bytes, mem_free; NULL when there is none. */
static uint8_t *pixels_of(const uint8_t *png, size_t size, int *width, int *height)
{
    Image image;
    if (image_decode(png, size, &image, NULL) != OK) return NULL;
    *width = (int)image.rgb->shape[2], *height = (int)image.rgb->shape[1];
    size_t count = (size_t)*width * (size_t)*height * 3;
    uint8_t *out = mem_alloc(count);
    for (size_t i = 0; out && i < count; i++)
        out[i] = (uint8_t)(255 * tensor_f32(image.rgb)[i] + 0.5F);
    image_fini(&image);
    return out;
}

static bool show_sixel(const uint8_t *png, size_t size, FILE *out)
{
    int width, height;
    uint8_t *pixels = pixels_of(png, size, &width, &height);
    Status status = pixels ? sixel_write(pixels, width, height, out, NULL) : E_NOMEM;
    mem_free(pixels);
    return status == OK;
}

/* Reads up to the final letter of a terminal's answer; false when none comes within ANSWER_MS. */
static bool read_answer(int tty, char *answer, size_t size)
{
    struct pollfd wait = { .fd = tty, .events = POLLIN };
    for (size_t n = 0; n + 1 < size; n++) {
        if (poll(&wait, 1, ANSWER_MS) <= 0 || read(tty, answer + n, 1) != 1) return false;
        answer[n + 1] = '\0';
        if (answer[n] == 'c') return true;
    }
    return false;
}

/* Asks the terminal for its attributes ("\033[?62;4;22c": 4 among them means Sixel). */
static bool terminal_has_sixel(void)
{
    static const char question[] = "\033[c";
    struct termios before, raw;
    char answer[64] = "";
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0 || tcgetattr(tty, &before) != 0) {
        if (tty >= 0) close(tty);
        return false;
    }
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(tty, TCSANOW, &raw);
    bool answered = write(tty, question, sizeof question - 1) == sizeof question - 1 &&
                    read_answer(tty, answer, sizeof answer);
    tcsetattr(tty, TCSANOW, &before);
    close(tty);
    return answered && (strstr(answer, ";4;") || strstr(answer, ";4c"));
}

static bool variable_is(const char *name, const char *value)
{
    const char *v = getenv(name);
    return v && (!value || strcmp(v, value) == 0);
}

void show_picture(const char *path, FILE *out)
{
    FileMap *map = NULL;
    if (!isatty(fileno(out)) || file_map(path, &map, NULL) != OK) return;
    if (variable_is("KITTY_WINDOW_ID", NULL) || variable_is("TERM", "xterm-kitty"))
        show_kitty(map->data, map->size, out);
    else if (variable_is("TERM_PROGRAM", "iTerm.app") || variable_is("TERM_PROGRAM", "WezTerm"))
        show_iterm(map->data, map->size, out);
    else if (!terminal_has_sixel() || !show_sixel(map->data, map->size, out))
        show_blocks(map->data, map->size, out);
    fflush(out);
    ref_drop(map);
}
