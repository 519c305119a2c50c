/* ui_primitive.c - PrimitiveNode writes its value into the widgets it is wired to.
 *
 * The page's own rule for numbers: clamped to the range that all its targets allow, then snapped for each
 * target to its step and rounding; halves go up.
 */
#include <math.h>
#include <string.h>

#include "engine/graph/ui_internal.h"

/* Wires from primitives to widgets of one level, chained per primitive. */
typedef struct Target {
    UiWidget *widget;
    int next; /* -1 = the last */
} Target;

typedef struct Range {
    bool has_min, has_max;
    SocketBound min, max;
} Range;

static bool is_number(const UiWidget *w)
{
    return w->row && (w->row->type == SOCK_INT || w->row->type == SOCK_FLOAT);
}

static void narrow(Range *range, const Socket *row)
{
    SocketBound b;

    if (socket_min(row, &b) && (!range->has_min || b.f > range->min.f)) {
        range->min = b;
        range->has_min = true;
    }
    if (socket_max(row, &b) && (!range->has_max || b.f < range->max.f)) {
        range->max = b;
        range->has_max = true;
    }
}

static double half_up(double v)
{
    return floor(v + 0.5);
}

static double clamp(double v, const Range *range)
{
    if (range->has_min && v < range->min.f) v = range->min.f;
    if (range->has_max && v > range->max.f) v = range->max.f;
    return v;
}

/* ---- snapping ---------------------------------------------------------------------------- */

static Status bound_literal(Arena *arena, const SocketBound *b, Literal *out, Error *err)
{
    TRY(literal_uint(arena, b->magnitude, out, err));
    if (b->negative) return literal_int(arena, -(int64_t)b->magnitude, out, err);
    return OK;
}

/* Whole numbers stay exact as long as no step above 1 asks for arithmetic. */
static Status clamp_integer(UiDoc *doc, const Literal *in, const Range *range, Literal *out,
                            Error *err)
{
    const SocketBound *lo = &range->min, *hi = &range->max;

    *out = *in;
    if (range->has_min && literal_compare_int(in, lo->negative, lo->magnitude) < 0)
        return bound_literal(doc->graph->arena, lo, out, err);
    if (range->has_max && literal_compare_int(in, hi->negative, hi->magnitude) > 0)
        return bound_literal(doc->graph->arena, hi, out, err);
    return OK;
}

static Status snap_int(UiDoc *doc, const Literal *in, const Socket *row, const Range *range,
                       Literal *out, Error *err)
{
    double step = row->step > 1 ? row->step : 1, v, offset;
    SocketBound min;

    if (in->kind == LIT_INT && step <= 1) return clamp_integer(doc, in, range, out, err);
    v = clamp(literal_double(in), range);
    offset = socket_min(row, &min) ? fmod(min.f, step) : 0;
    v = half_up((v - offset) / step) * step + offset;
    if (!(v > -9e18 && v < 9e18)) {
        *out = *in;
        return OK;
    }
    return literal_int(doc->graph->arena, (int64_t)v, out, err);
}

/* Decimals that a step of the page shows: 0.1 has one, 5 none. */
static double decimals_of(double step)
{
    double p = -floor(log10(step));

    return p > 0 ? (p < 15 ? p : 15) : 0;
}

static Literal snap_float(const Literal *in, const Socket *row, const Range *range)
{
    double step = row->step > 0 ? row->step : 0.5, places = decimals_of(step);
    double unit = pow(10, places), round = row->round > 0 ? row->round : 1 / unit;
    double v = clamp(literal_double(in), range);

    if (row->round >= 0) v = half_up(v / round) * round;
    v = half_up(v * unit) / unit;
    return literal_float(clamp(v, range));
}

/* The primitive's value as a number; false when it is none. */
static Status as_number(UiDoc *doc, const Literal *in, Literal *out, bool *ok, Error *err)
{
    Coerced how = COERCED_SAME;
    const char *why;

    *out = *in;
    *ok = in->kind == LIT_INT || (in->kind == LIT_FLOAT && isfinite(in->f));
    if (in->kind != LIT_TEXT || in->length == 0) return OK;
    TRY(literal_coerce(doc->graph->arena, in, TO_INT, out, &how, &why, err));
    if (how == COERCED_FAILED)
        TRY(literal_coerce(doc->graph->arena, in, TO_FLOAT, out, &how, &why, err));
    *ok = how != COERCED_FAILED && (out->kind == LIT_INT || isfinite(out->f));
    return OK;
}

/* ---- writing ----------------------------------------------------------------------------- */

static Status write_value(UiDoc *doc, const Literal *value, const Range *range, UiWidget *w,
                          Error *err)
{
    Literal number;
    bool ok = false;

    w->has = true;
    if (is_number(w)) TRY(as_number(doc, value, &number, &ok, err));
    if (!ok)
        w->value = *value;
    else if (w->row->type == SOCK_INT)
        TRY(snap_int(doc, &number, w->row, range, &w->value, err));
    else
        w->value = snap_float(&number, w->row, range);
    w->value.source = value->source;
    return OK;
}

static Status write_all(UiDoc *doc, const UiNode *primitive, const Target *targets, int first,
                        Error *err)
{
    Range range = { 0 };
    Literal value;

    if (primitive->n_values == 0 || first < 0) return OK;
    TRY(literal_from_json(doc->graph->arena, primitive->values[0], &value, err));
    for (int i = first; i >= 0; i = targets[i].next)
        if (is_number(targets[i].widget)) narrow(&range, targets[i].widget->row);
    for (int i = first; i >= 0; i = targets[i].next)
        TRY(write_value(doc, &value, &range, targets[i].widget, err));
    return OK;
}

static int count_inputs(const UiLevel *level)
{
    int n = 0;

    for (int i = 0; i < level->n_nodes; i++)
        n += level->nodes[i].n_inputs;
    return n;
}

static void collect(UiLevel *level, Target *targets, int *heads)
{
    int n = 0;

    for (int i = 0; i < level->n_nodes; i++)
        heads[i] = -1;
    for (int i = 0; i < level->n_nodes; i++)
        for (int k = 0; k < level->nodes[i].n_inputs; k++) {
            const UiSocket *s = &level->nodes[i].inputs[k];
            int origin = s->link >= 0 ? level->links[s->link].origin : FROM_NOWHERE;
            UiWidget *w = origin >= 0 && level->nodes[origin].kind == UI_PRIMITIVE
                              ? ui_widget(&level->nodes[i], s->name)
                              : NULL;
            if (!w) continue;
            targets[n] = (Target){ .widget = w, .next = heads[origin] };
            heads[origin] = n++;
        }
}

static bool has_primitive(const UiLevel *level)
{
    for (int i = 0; i < level->n_nodes; i++)
        if (level->nodes[i].kind == UI_PRIMITIVE) return true;
    return false;
}

static Status write_level(UiDoc *doc, UiLevel *level, Error *err)
{
    Target *targets;
    int *heads;

    if (!has_primitive(level)) return OK;
    targets = arena_array(doc->arena, (size_t)count_inputs(level) + 1, sizeof *targets);
    heads = arena_array(doc->arena, (size_t)level->n_nodes + 1, sizeof *heads);
    if (!targets || !heads) return ui_no_memory(err);
    collect(level, targets, heads);
    for (int i = 0; i < level->n_nodes; i++)
        if (level->nodes[i].kind == UI_PRIMITIVE)
            TRY(write_all(doc, &level->nodes[i], targets, heads[i], err));
    return OK;
}

Status ui_primitives(UiDoc *doc, Error *err)
{
    for (int i = 0; i < doc->n_levels; i++)
        TRY(write_level(doc, doc->levels[i], err));
    return OK;
}
