/* facts.c - the generated rows of class facts as node descriptors. */
#include "nodes/facts.h"

#include <math.h>

/* clang-format off */
#define INF INFINITY
#define OPT SOCK_F_OPTIONAL
#define FORCE SOCK_F_FORCE_INPUT
#define MULTI SOCK_F_MULTILINE
#define LAZY SOCK_F_LAZY
#define DYN SOCK_F_DYNAMIC_PROMPTS
#define CTRL SOCK_F_CONTROL
#define FREE SOCK_F_FREE_SEED
#define U64 SOCK_F_U64
#define INTS SOCK_F_INT_OPTIONS
#define UP SOCK_F_IMAGE_UPLOAD
#define AUDIO SOCK_F_AUDIO_UPLOAD
#define WIDGET SOCK_F_WIDGET
#define LIST SOCK_F_LIST

/* One macro per kind of row: int, float, boolean, string, combo, dynamic combo, growing socket, link of a listed
 * type, link of another type, the same with a default text, hidden input, end of a table, class. */
#define I(n, f, d, lo, hi, st) { .name = n, .type = SOCK_INT, .flags = f, .def = d, .min = lo, .max = hi, .step = st }
#define F(n, f, d, lo, hi, st, ro) \
    { .name = n, .type = SOCK_FLOAT, .flags = f, .def = d, .min = lo, .max = hi, .step = st, .round = ro }
#define B(n, f, d) { .name = n, .type = SOCK_BOOLEAN, .flags = f, .def = d }
#define S(n, f, d) { .name = n, .type = SOCK_STRING, .flags = f, .sdef = d }
#define C(n, f, o, d) { .name = n, .type = SOCK_COMBO, .flags = f, .options = o, .sdef = d }
#define D(n, f, o, k) \
    { .name = n, .type = SOCK_OTHER, .type_name = "COMFY_DYNAMICCOMBO_V3", .flags = f, .options = o, .keys = k }
#define A(n, f, g) { .name = n, .type = SOCK_OTHER, .type_name = "COMFY_AUTOGROW_V3", .flags = f, .grow = &g }
#define L(n, f, t) { .name = n, .type = t, .flags = f }
#define X(n, f, t) { .name = n, .type = SOCK_OTHER, .type_name = t, .flags = f }
#define W(n, f, t, d) { .name = n, .type = SOCK_OTHER, .type_name = t, .flags = f, .sdef = d }
#define H(n, f) { .name = n, .type = SOCK_STRING, .flags = f }
#define E { .name = NULL }
#define N(n, di, ca, in, out, f, st) \
    { .class_type = n, .display = di, .category = ca, .doc = known_doc, .inputs = rows + in, .outputs = rows + out, .flags = f, .stage = st }

static const char known_doc[] = "Known by its sockets and defaults; files that use it are read and checked.";

#define FACT_OPTIONS
#include "nodes/facts_data.inc"
#undef FACT_OPTIONS
#define FACT_KEYS
#include "nodes/facts_data.inc"
#undef FACT_KEYS

static const Socket rows[] = {
#define FACT_ROWS
#include "nodes/facts_data.inc"
#undef FACT_ROWS
};

const NodeDef facts_nodes[] = {
#define FACT_NODES
#include "nodes/facts_data.inc"
#undef FACT_NODES
};
/* clang-format on */

const size_t facts_count = sizeof facts_nodes / sizeof *facts_nodes;
