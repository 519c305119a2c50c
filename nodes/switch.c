/* switch.c - node types that choose between values. */
#include "nodes/switch.h"

#include <stdlib.h>
#include <string.h>

#include "nodes/rows.h"

/* ---- ComfySwitchNode --------------------------------------------------------------------- */

typedef struct SwitchIn {
    bool condition;
    Value on_false, on_true;
} SwitchIn;

/* clang-format off */
static const Socket switch_in[] = {
    { .name = "switch", .type = SOCK_BOOLEAN, .at = offsetof(SwitchIn, condition), .doc = "Which one." },
    { ROW(SwitchIn, on_false, SOCK_ANY), .type_name = "COMFY_MATCHTYPE_V3", .flags = SOCK_F_LAZY, .doc = "Value when it is off." },
    { ROW(SwitchIn, on_true, SOCK_ANY), .type_name = "COMFY_MATCHTYPE_V3", .flags = SOCK_F_LAZY, .doc = "Value when it is on." },
    END_ROWS
};
/* clang-format on */

typedef struct SwitchOut {
    Value output;
} SwitchOut;

/* clang-format off */
static const Socket switch_out[] = {
    { .name = "output", .type = SOCK_ANY, .type_name = "COMFY_MATCHTYPE_V3", .at = offsetof(SwitchOut, output), .doc = "The chosen value." },
    END_ROWS
};
/* clang-format on */

/* Bit i is row i: 1 = on_false, 2 = on_true. */
static Status switch_lazy(const void *data, uint64_t known, uint64_t *needed, Error *err)
{
    const SwitchIn *in = data;

    (void)known;
    (void)err;
    *needed = UINT64_C(1) << (in->condition ? 2 : 1);
    return OK;
}

static Status switch_run(NodeCall *call)
{
    const SwitchIn *in = call->in;
    SwitchOut *out = call->out;
    return value_copy(in->condition ? &in->on_true : &in->on_false, &out->output, call->err);
}

static const NodeDef switch_node = {
    .class_type = "ComfySwitchNode",
    .display = "Switch",
    .category = "logic",
    .doc = "Hands one of two values on; the other one is not computed.",
    .inputs = switch_in,
    .outputs = switch_out,
    .in_size = sizeof(SwitchIn),
    .out_size = sizeof(SwitchOut),
    .flags = NODE_F_EXPERIMENTAL,
    .run = switch_run,
    .lazy = switch_lazy,
};

/* ---- CustomCombo ---------------------------------------------------------------------------------------- */

/* The menu's entries stand in the file as option1, option2 ...; only the choice and its number count. */
typedef struct ComboIn {
    const char *choice;
    int64_t index;
} ComboIn;

typedef struct ComboOut {
    char *text;
    int64_t index;
} ComboOut;

/* clang-format off */
static const Socket combo_in[] = {
    { ROW(ComboIn, choice, SOCK_STRING), .type_name = "COMBO", .doc = "Entry of a menu that the file itself holds." },
    { ROW(ComboIn, index, SOCK_INT), .flags = SOCK_F_OPTIONAL, .doc = "Number of the entry, from 0." },
    END_ROWS
};
static const Socket combo_out[] = {
    OUT(ComboOut, text, "STRING", SOCK_STRING), OUT(ComboOut, index, "INDEX", SOCK_INT), END_ROWS
};
/* clang-format on */

static Status combo_run(NodeCall *call)
{
    const ComboIn *in = call->in;
    ComboOut *out = call->out;
    Str s = { 0 };

    str_add(&s, in->choice ? in->choice : "");
    out->index = in->index;
    out->text = str_take(&s);
    return out->text ? OK : error_set(call->err, E_NOMEM, "no memory for a text");
}

static const NodeDef combo_node = {
    .class_type = "CustomCombo",
    .display = "Custom Combo",
    .category = "utils",
    .doc = "A choice from a menu of one's own, as text and number.",
    .inputs = combo_in,
    .outputs = combo_out,
    .in_size = sizeof(ComboIn),
    .out_size = sizeof(ComboOut),
    .flags = NODE_F_EXPERIMENTAL | NODE_F_ANY_INPUT,
    .run = combo_run,
};

/* ---- ColorToRGBInt ----------------------------------------------------------------------- */

typedef struct ColorIn {
    const char *color;
} ColorIn;

/* clang-format off */
static const Socket color_in[] = {
    { ROW(ColorIn, color, SOCK_STRING), .type_name = "COLOR", .sdef = "#ffffff", .doc = "Colour as #rrggbb." },
    END_ROWS
};
/* clang-format on */

typedef struct ColorOut {
    int64_t rgb_int;
} ColorOut;

/* clang-format off */
static const Socket color_out[] = {
    OUT(ColorOut, rgb_int, "rgb_int", SOCK_INT),
    END_ROWS
};
/* clang-format on */

static Status color_run(NodeCall *call)
{
    const ColorIn *in = call->in;
    ColorOut *out = call->out;
    const char *c = in->color;
    char *end = NULL;

    out->rgb_int = c && c[0] == '#' && strlen(c) == 7 ? strtol(c + 1, &end, 16) : -1;
    if (end && *end == 0) return OK;
    error_set(call->err, E_RANGE, "'%.40s' is no colour", c ? c : "");
    error_fix(call->err, "write it as #rrggbb");
    error_at_input(call->err, "color");
    return E_RANGE;
}

static const NodeDef color_node = {
    .class_type = "ColorToRGBInt",
    .display = "Color to RGB Int",
    .category = "utils",
    .doc = "A colour as a number: 0xRRGGBB.",
    .inputs = color_in,
    .outputs = color_out,
    .in_size = sizeof(ColorIn),
    .out_size = sizeof(ColorOut),
    .run = color_run,
};

/* clang-format off */
const NodeDef *const switch_nodes[] = {
    &switch_node,
    &combo_node,
    &color_node,
    NULL,
};
/* clang-format on */
