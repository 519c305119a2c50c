/* lua.c - `weft lua check` and `weft lua plot`: one script by itself. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/cli/commands.h"

enum {
    PLOT_COLUMNS = 64,
    PLOT_ROWS = 16,
    PLOT_STEPS = 20,
    SVG_WIDTH = 640,
    SVG_HEIGHT = 400,
    SVG_EDGE = 48
};
static const double PLOT_CFG = 4, PLOT_SHIFT = 2.02; /* FLUX.2's own levels */

static Status open_script(const CliArgs *args, const char *path, Script **out, Error *err)
{
    ScriptLimits limits = { .memory = args->lua_memory, .budget = args->lua_budget };
    char *text = NULL;
    size_t size = 0;

    if (file_read(path, SCRIPT_TEXT_MAX, &text, &size, err) != OK) return E_USAGE;
    Status status = script_load(path, text, size, &limits, out, err);
    mem_free(text);
    return status;
}

/* ---- check --------------------------------------------------------------------------------------------- */

static int check_one(const CliArgs *args, const char *path)
{
    Script *s = NULL;
    Error err = { 0 };
    bool ran = false;
    Status status = open_script(args, path, &s, &err);

    if (status == OK) status = script_dry_run(s, &ran, &err);
    if (status == OK)
        printf("%s: %s '%s' is good%s\n", path, script_kind_name(s->kind), s->name,
               ran ? "" : " (not run: it has inputs of types that only a workflow gives)");
    else
        cli_print_error(&err);
    ref_drop(s);
    return status == OK ? 0 : status == E_USAGE ? 2 : 1;
}

/* ---- plot ---------------------------------------------------------------------------------------------- */

typedef struct Curve {
    double *points; /* owned: n pairs */
    int n;
    double low_x, high_x, low_y, high_y;
} Curve;

static void find_bounds(Curve *c)
{
    c->low_x = c->low_y = INFINITY;
    c->high_x = c->high_y = -INFINITY;
    for (int i = 0; i < c->n; i++) {
        c->low_x = fmin(c->low_x, c->points[2 * i]);
        c->high_x = fmax(c->high_x, c->points[2 * i]);
        c->low_y = fmin(c->low_y, c->points[2 * i + 1]);
        c->high_y = fmax(c->high_y, c->points[2 * i + 1]);
    }
    c->low_y = fmin(c->low_y, 0);
    if (!(c->high_x > c->low_x)) c->high_x = c->low_x + 1;
    if (!(c->high_y > c->low_y)) c->high_y = c->low_y + 1;
}

static double share(double v, double low, double high)
{
    return (v - low) / (high - low);
}

static void print_plot(const Curve *c, const Script *s)
{
    char cells[PLOT_ROWS][PLOT_COLUMNS + 1];

    memset(cells, ' ', sizeof cells);
    for (int i = 0; i < c->n; i++) {
        int x = (int)lround(share(c->points[2 * i], c->low_x, c->high_x) * (PLOT_COLUMNS - 1));
        int y = (int)lround(share(c->points[2 * i + 1], c->low_y, c->high_y) * (PLOT_ROWS - 1));
        cells[PLOT_ROWS - 1 - y][x] = '*';
    }
    printf("%s %s\n", script_kind_name(s->kind), s->name);
    for (int r = 0; r < PLOT_ROWS; r++) {
        cells[r][PLOT_COLUMNS] = 0;
        double y = c->high_y - (c->high_y - c->low_y) * r / (PLOT_ROWS - 1);
        printf("%9.4f |%s\n", y, cells[r]);
    }
    printf("          +");
    for (int i = 0; i < PLOT_COLUMNS; i++)
        putchar('-');
    printf("\n           %-8.4g%*.4g  %s\n", c->low_x, PLOT_COLUMNS - 8, c->high_x,
           s->kind == SCRIPT_SCHEDULER ? "step" : "model time (1 = noise)");
}

static void svg_text(Str *out, double x, double y, const char *anchor, const char *text)
{
    str_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
               text);
}

static void svg_labels(Str *out, const Curve *c, const Script *s)
{
    char text[160];

    snprintf(text, sizeof text, "%.4g", c->low_x);
    svg_text(out, SVG_EDGE, SVG_HEIGHT - SVG_EDGE + 18, "middle", text);
    snprintf(text, sizeof text, "%.4g", c->high_x);
    svg_text(out, SVG_WIDTH - SVG_EDGE, SVG_HEIGHT - SVG_EDGE + 18, "middle", text);
    snprintf(text, sizeof text, "%.4g", c->low_y);
    svg_text(out, SVG_EDGE - 6, SVG_HEIGHT - SVG_EDGE, "end", text);
    snprintf(text, sizeof text, "%.4g", c->high_y);
    svg_text(out, SVG_EDGE - 6, SVG_EDGE + 4, "end", text);
    svg_text(out, SVG_WIDTH / 2.0, SVG_HEIGHT - 12, "middle",
             s->kind == SCRIPT_SCHEDULER ? "step" : "model time (1 = noise)");
    snprintf(text, sizeof text, "%s %s", script_kind_name(s->kind), s->name);
    svg_text(out, SVG_WIDTH / 2.0, 24, "middle", text);
}

static void write_svg(Str *out, const Curve *c, const Script *s)
{
    double w = SVG_WIDTH - 2 * SVG_EDGE, h = SVG_HEIGHT - 2 * SVG_EDGE;

    str_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
               "font-family=\"sans-serif\" "
               "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
               "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"gray\"/>\n<polyline "
               "fill=\"none\" stroke=\"#2060c0\" "
               "stroke-width=\"2\" points=\"",
               SVG_WIDTH, SVG_HEIGHT, SVG_EDGE, SVG_EDGE, SVG_HEIGHT - SVG_EDGE,
               SVG_WIDTH - SVG_EDGE);
    for (int i = 0; i < c->n; i++)
        str_printf(
            out, "%.2f,%.2f ", SVG_EDGE + w * share(c->points[2 * i], c->low_x, c->high_x),
            SVG_HEIGHT - SVG_EDGE - h * share(c->points[2 * i + 1], c->low_y, c->high_y));
    str_add(out, "\"/>\n");
    svg_labels(out, c, s);
    str_add(out, "</svg>\n");
}

/* --set NAME=VALUE */
static Status set_params(ScriptValues *v, const CliArgs *args, Error *err)
{
    for (int i = 0; i < args->set.count; i++) {
        const char *text = args->set.items[i], *equals = strchr(text, '=');
        char name[80];
        if (!equals || equals - text >= (ptrdiff_t)sizeof name)
            return error_set(err, E_USAGE, "--set %s: write NAME=VALUE with a parameter's name",
                             text);
        snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
        TRY(script_values_set(v, name, equals + 1, err));
    }
    return OK;
}

static Status draw(const Curve *c, const Script *s, const CliArgs *args, Error *err)
{
    Str svg = { 0 };
    Status status = OK;

    if (!args->svg) print_plot(c, s);
    if (!args->svg && !args->out) return OK;
    write_svg(&svg, c, s);
    if (svg.failed)
        status = error_set(err, E_NOMEM, "out of memory");
    else if (args->out)
        status = file_write(args->out, svg.text, svg.length, err);
    else
        fputs(svg.text, stdout);
    str_fini(&svg);
    return status;
}

static int plot_one(const CliArgs *args, const char *path)
{
    Script *s = NULL;
    ScriptValues *v = NULL;
    ModelSampling *m = NULL;
    Curve c = { 0 };
    Error err = { 0 };
    Status status = open_script(args, path, &s, &err);

    if (status == OK) status = script_values_default(s, &v, &err);
    if (status == OK) status = set_params(v, args, &err);
    if (status == OK) status = model_sampling_flux(PLOT_SHIFT, &m, &err);
    if (status == OK)
        status = script_curve(v, m, args->steps ? args->steps : PLOT_STEPS, PLOT_CFG, &c.points,
                              &c.n, &err);
    if (status == OK) {
        find_bounds(&c);
        status = draw(&c, s, args, &err);
    }
    if (status != OK) cli_print_error(&err);
    mem_free(c.points);
    ref_drop(v);
    ref_drop(m);
    ref_drop(s);
    return session_exit_code(status);
}

/* ---- the command ------------------------------------------------------------------------------------------ */

int cmd_lua(const CliArgs *args)
{
    const char *what = args->files.count > 0 ? args->files.items[0] : "";
    bool check = strcmp(what, "check") == 0, plot = strcmp(what, "plot") == 0;
    int status = 0;

    if ((!check && !plot) || args->files.count < 2 || (plot && args->files.count > 2)) {
        fputs("usage: weft lua check FILE... | weft lua plot FILE [--set NAME=VALUE] [--steps "
              "N] [--svg] [-o OUT]\n",
              stderr);
        return 2;
    }
    for (int i = 1; i < args->files.count; i++) {
        int one = check ? check_one(args, args->files.items[i])
                        : plot_one(args, args->files.items[i]);
        if (one > status) status = one;
    }
    return status;
}
