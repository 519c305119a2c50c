/* plan_draw.c - a graph and its plan as Graphviz and as SVG.
 *
 * The picture has a lane per stage, from loading at the top to the outputs at the bottom, so that the golden
 * order reads downwards; a node stands in the column of its longest path from a start, so that every link
 * runs to the right. Nodes of one lane and column stand below each other.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/graph/plan_print.h"

typedef enum Lane {
    LANE_LOAD,
    LANE_LORA,
    LANE_ATTENTION,
    LANE_SAMPLING,
    LANE_GUIDE,
    LANE_COMPILE,
    LANE_CACHE,
    LANE_PROMPT,
    LANE_VALUE,
    LANE_SAMPLE,
    LANE_DECODE,
    LANE_OUTPUT,
    LANES
} Lane;

static const struct {
    const char *name, *fill;
} lanes[LANES] = {
    [LANE_LOAD] = { "load", "#dbe7f6" },           [LANE_LORA] = { "lora", "#e6def5" },
    [LANE_ATTENTION] = { "attention", "#e6def5" }, [LANE_SAMPLING] = { "sampling", "#e6def5" },
    [LANE_GUIDE] = { "guide", "#e6def5" },         [LANE_COMPILE] = { "compile", "#e6def5" },
    [LANE_CACHE] = { "cache", "#e6def5" },         [LANE_PROMPT] = { "prompt", "#fbecc8" },
    [LANE_VALUE] = { "values", "#eceff1" },        [LANE_SAMPLE] = { "sample", "#d8f0d8" },
    [LANE_DECODE] = { "decode", "#fadfd6" },       [LANE_OUTPUT] = { "output", "#d3eeee" },
};

static bool gives(const NodeDef *def, SockType type)
{
    for (const Socket *s = def ? def->outputs : NULL; s && s->name; s++)
        if (s->type == type) return true;
    return false;
}

static Lane lane_of(const GraphNode *n)
{
    static const Lane by_stage[] = {
        [STAGE_LOAD] = LANE_LOAD,           [STAGE_LORA] = LANE_LORA,
        [STAGE_ATTENTION] = LANE_ATTENTION, [STAGE_SAMPLING] = LANE_SAMPLING,
        [STAGE_GUIDE] = LANE_GUIDE,         [STAGE_COMPILE] = LANE_COMPILE,
        [STAGE_CACHE] = LANE_CACHE,         [STAGE_SAMPLE] = LANE_SAMPLE,
        [STAGE_DECODE] = LANE_DECODE,
    };
    if (n->def && n->def->stage != STAGE_NONE) return by_stage[n->def->stage];
    if (n->def && n->def->flags & NODE_F_OUTPUT) return LANE_OUTPUT;
    return gives(n->def, SOCK_COND) ? LANE_PROMPT : LANE_VALUE;
}

/* The worst finding of every node that is no note; NULL = none. The array is the caller's (mem_free). */
static const Finding **find_problems(const Graph *g, const CheckReport *report)
{
    const Finding **worst = mem_calloc((size_t)g->count + 1, sizeof *worst);

    for (int i = 0; worst && report && i < report->count; i++) {
        const Finding *f = &report->items[i];
        if (f->node < 0 || f->node >= g->count || f->severity == SEV_NOTE) continue;
        if (!worst[f->node] || f->severity < worst[f->node]->severity) worst[f->node] = f;
    }
    return worst;
}

static const PlanStep *step_of_node(const Plan *plan, int node)
{
    return plan && plan->step_of[node] >= 0 ? &plan->steps[plan->step_of[node]] : NULL;
}

static const char *class_of(const GraphNode *n)
{
    return n->class_type ? n->class_type : "(no class)";
}

static const char *short_number(double n, const char *unit, char *buf, size_t size)
{
    static const char powers[] = " kMGTPE";
    size_t i = 0;

    while (n >= 1000 && i + 2 < sizeof powers) {
        n /= 1000;
        i++;
    }
    snprintf(buf, size, "%.3g %.*s%s", n, i > 0, powers + i, unit);
    return buf;
}

/* "7.4 GiB, 40.7 TFLOP, 29 s" */
static void add_cost(const PlanStep *s, Str *out)
{
    char buf[40];

    if (s->cached) str_add(out, "cached");
    if (s->same_as >= 0) str_add(out, "shared");
    if (s->cached || s->same_as >= 0) return;
    if (s->cost.ram >= 0) str_printf(out, "%.0f MiB", (double)s->cost.ram / (1 << 20));
    if (s->cost.flops > 0)
        str_printf(out, ", %s", short_number(s->cost.flops, "FLOP", buf, sizeof buf));
    if (s->cost.seconds >= 0.001) str_printf(out, ", %.3g s", s->cost.seconds);
}

/* ---- Graphviz -------------------------------------------------------------------------------- */

static void dot_text(Str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') str_add_char(out, '\\');
        if (*text == '\n')
            str_add(out, "\\n");
        else if ((unsigned char)*text >= 0x20)
            str_add_char(out, *text);
    }
}

static void dot_node(const Graph *g, const Finding *f, const Plan *plan, int i, Str *out)
{
    const GraphNode *n = &g->nodes[i];
    const PlanStep *s = step_of_node(plan, i);

    str_add(out, "    \"");
    dot_text(out, n->id);
    str_add(out, "\" [label=\"");
    dot_text(out, class_of(n));
    str_add(out, "\\n");
    dot_text(out, n->id);
    if (s && s->shapes) {
        str_add(out, "\\n");
        dot_text(out, s->shapes);
    }
    if (s) {
        str_add(out, "\\n");
        add_cost(s, out);
    }
    str_printf(out, "\", fillcolor=\"%s\"", lanes[lane_of(n)].fill);
    if (f) {
        str_printf(out, ", penwidth=3, color=\"%s\", tooltip=\"%s ",
                   f->severity == SEV_ERROR ? "#c62828" : "#e69500", f->rule);
        dot_text(out, f->message);
        str_add(out, "\"");
    }
    str_add(out, "];\n");
}

static void dot_lane(const Graph *g, const Finding *const *problems, const Plan *plan,
                     Lane lane, Str *out)
{
    bool open = false;

    for (int i = 0; i < g->count; i++) {
        if (lane_of(&g->nodes[i]) != lane) continue;
        if (!open)
            str_printf(out, "  subgraph cluster_%s {\n    label=\"%s\"; color=\"#b0b0b0\";\n",
                       lanes[lane].name, lanes[lane].name);
        open = true;
        dot_node(g, problems[i], plan, i, out);
    }
    if (open) str_add(out, "  }\n");
}

void plan_write_dot(const Graph *g, const CheckReport *report, const Plan *plan, Str *out)
{
    const Finding **problems = find_problems(g, report);

    str_add(out,
            "digraph workflow {\n  rankdir=LR;\n  node [shape=box, style=\"filled,rounded\", "
            "fontname=\"Helvetica\", fontsize=10];\n");
    for (int l = 0; problems && l < LANES; l++)
        dot_lane(g, problems, plan, (Lane)l, out);
    out->failed |= !problems;
    mem_free(problems);
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) {
            const GraphInput *in = &g->nodes[i].inputs[k];
            if (!in->is_link || in->origin < 0) continue;
            str_add(out, "  \"");
            dot_text(out, g->nodes[in->origin].id);
            str_add(out, "\" -> \"");
            dot_text(out, g->nodes[i].id);
            str_add(out, "\" [tooltip=\"");
            dot_text(out, in->name);
            str_add(out, "\"];\n");
        }
    str_add(out, "}\n");
}

/* ---- layout ---------------------------------------------------------------------------------- */

enum {
    NODE_WIDTH = 210,
    NODE_HEIGHT = 66,
    GAP_X = 56,
    GAP_Y = 14,
    LANE_PAD = 12,
    MARGIN = 96,
    HEAD = 40
};

typedef struct Layout {
    int *column, *row; /* owned, per node; row within its lane */
    int columns;
    int rows[LANES]; /* nodes below each other at most; 0 = the lane is empty */
    int top[LANES], height;
} Layout;

static void layout_fini(Layout *l)
{
    mem_free(l->column);
    mem_free(l->row);
}

static bool is_edge(const Graph *g, const GraphInput *in)
{
    return in->is_link && in->origin >= 0 && in->origin < g->count;
}

/* Readers of every node as one list: first[i] to first[i + 1] in `reader`. */
typedef struct Readers {
    int *first, *reader,
        *missing; /* owned; missing: inputs of a node whose column is not known yet */
} Readers;

static void readers_fini(Readers *r)
{
    mem_free(r->first);
    mem_free(r->reader);
    mem_free(r->missing);
}

static Status readers_init(Readers *r, const Graph *g, Error *err)
{
    size_t n = (size_t)g->count, links = 0;

    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            links += is_edge(g, &g->nodes[i].inputs[k]);
    r->first = mem_calloc(n + 2, sizeof *r->first);
    r->reader = mem_calloc(links + 1, sizeof *r->reader);
    r->missing = mem_calloc(n + 1, sizeof *r->missing);
    if (!r->first || !r->reader || !r->missing)
        return error_set(err, E_NOMEM, "out of memory for a drawing");
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            if (is_edge(g, &g->nodes[i].inputs[k])) {
                r->first[g->nodes[i].inputs[k].origin + 2]++;
                r->missing[i]++;
            }
    for (size_t i = 2; i < n + 2; i++)
        r->first[i] += r->first[i - 1];
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++)
            if (is_edge(g, &g->nodes[i].inputs[k]))
                r->reader[r->first[g->nodes[i].inputs[k].origin + 1]++] = i;
    return OK;
}

/* The column of a node is one after the last of those that it reads. Nodes of a cycle stay in column 0. */
static Status find_columns(Layout *l, const Graph *g, Error *err)
{
    Readers r = { 0 };
    int *queue = mem_calloc((size_t)g->count + 1, sizeof *queue), head = 0, tail = 0;
    Status status = queue ? readers_init(&r, g, err)
                          : error_set(err, E_NOMEM, "out of memory for a drawing");

    for (int i = 0; status == OK && i < g->count; i++)
        if (r.missing[i] == 0) queue[tail++] = i;
    while (head < tail) {
        int from = queue[head++];
        if (l->column[from] + 1 > l->columns) l->columns = l->column[from] + 1;
        for (int k = r.first[from]; k < r.first[from + 1]; k++) {
            int to = r.reader[k];
            if (l->column[from] + 1 > l->column[to]) l->column[to] = l->column[from] + 1;
            if (--r.missing[to] == 0) queue[tail++] = to;
        }
    }
    readers_fini(&r);
    mem_free(queue);
    return status;
}

/* Counts the nodes of a lane that stand in each column already. */
static Status find_rows(Layout *l, const Graph *g, Error *err)
{
    int *taken = mem_calloc((size_t)(l->columns + 1) * LANES, sizeof *taken);

    if (!taken) return error_set(err, E_NOMEM, "out of memory for a drawing");
    for (int i = 0; i < g->count; i++) {
        Lane lane = lane_of(&g->nodes[i]);
        int column = l->column[i] < l->columns ? l->column[i] : l->columns;
        l->row[i] = taken[column * LANES + (int)lane]++;
        if (l->row[i] + 1 > l->rows[lane]) l->rows[lane] = l->row[i] + 1;
    }
    mem_free(taken);
    l->height = HEAD;
    for (int lane = 0; lane < LANES; lane++) {
        l->top[lane] = l->height;
        if (l->rows[lane])
            l->height += l->rows[lane] * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * LANE_PAD;
    }
    return OK;
}

static Status layout_init(Layout *l, const Graph *g, Error *err)
{
    *l = (Layout){ .columns = 1 };
    l->column = mem_calloc((size_t)g->count + 1, sizeof *l->column);
    l->row = mem_calloc((size_t)g->count + 1, sizeof *l->row);
    if (!l->column || !l->row) return error_set(err, E_NOMEM, "out of memory for a drawing");
    TRY(find_columns(l, g, err));
    return find_rows(l, g, err);
}

static int node_x(const Layout *l, int i)
{
    return MARGIN + l->column[i] * (NODE_WIDTH + GAP_X);
}

static int node_y(const Layout *l, const Graph *g, int i)
{
    return l->top[lane_of(&g->nodes[i])] + LANE_PAD + l->row[i] * (NODE_HEIGHT + GAP_Y);
}

/* ---- SVG ------------------------------------------------------------------------------------- */

/* Text for XML, cut to `most` characters; control characters are left out. */
static void svg_text(Str *out, const char *text, int most)
{
    int n = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool starts = (c & 0xc0) != 0x80;
        if (starts && n++ == most) {
            str_add(out, "…");
            return;
        }
        if (c == '<')
            str_add(out, "&lt;");
        else if (c == '>')
            str_add(out, "&gt;");
        else if (c == '&')
            str_add(out, "&amp;");
        else if (c == '"')
            str_add(out, "&quot;");
        else if (c >= 0x20 || c == '\n')
            str_add_char(out, *text);
    }
}

static void svg_line(Str *out, int x, int y, const char *class, const char *text, int most)
{
    str_printf(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y, class);
    svg_text(out, text, most);
    str_add(out, "</text>");
}

static void svg_lanes(const Layout *l, int width, Str *out)
{
    for (int lane = 0, n = 0; lane < LANES; lane++) {
        if (!l->rows[lane]) continue;
        int height = l->rows[lane] * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * LANE_PAD;
        if (n++ % 2 == 0)
            str_printf(out,
                       "<rect x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"lane\"/>\n",
                       l->top[lane], width, height);
        svg_line(out, 10, l->top[lane] + height / 2 + 4, "stage", lanes[lane].name, 20);
        str_add_char(out, '\n');
    }
}

static void svg_links(const Layout *l, const Graph *g, Str *out)
{
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < g->nodes[i].n_inputs; k++) {
            const GraphInput *in = &g->nodes[i].inputs[k];
            if (!is_edge(g, in)) continue;
            int x1 = node_x(l, in->origin) + NODE_WIDTH, x2 = node_x(l, i);
            int y1 = node_y(l, g, in->origin) + NODE_HEIGHT / 2;
            int y2 = node_y(l, g, i) + 12 + (k % 5) * 10;
            str_printf(out, "<path d=\"M%d %dC%d %d %d %d %d %d\" class=\"link\"><title>", x1,
                       y1, x1 + GAP_X, y1, x2 - GAP_X, y2, x2, y2);
            svg_text(out, in->name, 80);
            str_add(out, "</title></path>\n");
        }
}

static void svg_problem(const Finding *f, int x, int y, Str *out)
{
    const char *color = f->severity == SEV_ERROR ? "#c62828" : "#e69500";

    str_printf(out,
               "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"none\" "
               "stroke=\"%s\" stroke-width=\"3\"/>"
               "<rect x=\"%d\" y=\"%d\" width=\"44\" height=\"16\" rx=\"8\" fill=\"%s\"/>",
               x, y, NODE_WIDTH, NODE_HEIGHT, color, x + NODE_WIDTH - 40, y - 8, color);
    svg_line(out, x + NODE_WIDTH - 34, y + 4, "badge",
             f->rule[0]                 ? f->rule
             : f->severity == SEV_ERROR ? "error"
                                        : "note",
             6);
}

static void svg_tooltip(const GraphNode *n, const PlanStep *s, const Finding *f, Str *out)
{
    str_add(out, "<title>");
    svg_text(out, n->id, 80);
    str_add(out, " ");
    svg_text(out, n->title ? n->title : class_of(n), 120);
    if (s && s->shapes) {
        str_add(out, "\n");
        svg_text(out, s->shapes, 400);
    }
    if (f) {
        str_printf(out, "\n%s ", f->rule);
        if (f->input) {
            svg_text(out, f->input, 80);
            str_add(out, ": ");
        }
        svg_text(out, f->message, 500);
        str_add(out, f->fix[0] ? "; " : "");
        svg_text(out, f->fix, 300);
    }
    str_add(out, "</title>");
}

static void svg_node(const Layout *l, const Graph *g, const CheckReport *report,
                     const Plan *plan, const Finding *f, int i, Str *out)
{
    const GraphNode *n = &g->nodes[i];
    const PlanStep *s = step_of_node(plan, i);
    int x = node_x(l, i), y = node_y(l, g, i);
    Str text = { 0 };

    str_add(out, "<g>");
    svg_tooltip(n, s, f, out);
    str_printf(out,
               "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" "
               "class=\"node%s\"/>",
               x, y, NODE_WIDTH, NODE_HEIGHT, lanes[lane_of(n)].fill,
               report && !report->reached[i] ? " unused" : "");
    svg_line(out, x + 10, y + 18, "class", class_of(n), 27);
    if (s) str_printf(&text, "%d. ", plan->step_of[i] + 1);
    str_printf(&text, "node %s%s%s", n->id,
               n->title && strcmp(n->title, class_of(n)) ? ", " : "",
               n->title && strcmp(n->title, class_of(n)) ? n->title : "");
    if (text.text) svg_line(out, x + 10, y + 33, "small", text.text, 34);
    if (s && s->shapes) svg_line(out, x + 10, y + 46, "small", s->shapes, 34);
    str_clear(&text);
    if (s) add_cost(s, &text);
    if (text.length) svg_line(out, x + 10, y + 59, "small", text.text, 36);
    if (f) svg_problem(f, x, y, out);
    str_add(out, "</g>\n");
    out->failed |= text.failed;
    str_fini(&text);
}

static void svg_head(const Plan *plan, Str *out)
{
    PlanCost all = plan ? plan_total(plan) : (PlanCost){ .ram = -1, .seconds = -1 };
    Str text = { 0 };
    char buf[40];

    if (all.ram >= 0) str_printf(&text, "RAM peak %.0f MiB", (double)all.ram / (1 << 20));
    if (all.flops > 0)
        str_printf(&text, ", %s", short_number(all.flops, "FLOP", buf, sizeof buf));
    if (all.seconds >= 0) str_printf(&text, ", %.3g s expected", all.seconds);
    if (text.length) svg_line(out, 10, 25, "class", text.text, 200);
    out->failed |= text.failed;
    str_fini(&text);
}

Status plan_write_svg(const Graph *g, const CheckReport *report, const Plan *plan, Str *out,
                      Error *err)
{
    const Finding **problems = find_problems(g, report);
    Layout l;
    Status status = layout_init(&l, g, err);
    int width = MARGIN + l.columns * (NODE_WIDTH + GAP_X);

    if (status == OK) {
        str_printf(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "viewBox=\"0 0 %d %d\">\n<style>text{font-family:Helvetica,Arial,sans-serif;"
                   "fill:#222}.class{font-size:13px;font-weight:bold}.small{font-size:10.5px}"
                   ".stage{font-size:13px;fill:#666}.badge{font-size:11px;fill:#fff;"
                   "font-weight:bold}.lane{fill:#f4f4f4}.node{stroke:#777}"
                   ".unused{stroke-dasharray:4 3;opacity:.6}"
                   ".link{fill:none;stroke:#8a8a8a;stroke-width:1.4}</style>\n"
                   "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                   width, l.height + LANE_PAD, width, l.height + LANE_PAD);
        svg_lanes(&l, width, out);
        svg_head(plan, out);
        svg_links(&l, g, out);
        for (int i = 0; problems && i < g->count; i++)
            svg_node(&l, g, report, plan, problems[i], i, out);
        str_add(out, "</svg>\n");
    }
    layout_fini(&l);
    out->failed |= !problems;
    mem_free(problems);
    return status;
}
