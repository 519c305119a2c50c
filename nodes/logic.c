/* logic.c - node types that hold a value or join texts. */
#include "nodes/logic.h"

#include "engine/base/mem.h"
#include "nodes/rows.h"

#define INT_SPAN 9223372036854775807.0

static Status copy_text(const char *text, char **out, Error *err)
{
    *out = mem_strdup(text);
    return *out ? OK : error_set(err, E_NOMEM, "no memory for a text");
}

/* ---- PrimitiveInt ------------------------------------------------------------------------------------- */

typedef struct IntValue {
    int64_t value;
} IntValue;

/* clang-format off */
static const Socket int_in[] = {
    { ROW(IntValue, value, SOCK_INT), .flags = SOCK_F_CONTROL, .min = -INT_SPAN, .max = INT_SPAN, .doc = "Whole number." },
    END_ROWS
};
static const Socket int_out[] = { OUT(IntValue, value, "INT", SOCK_INT), END_ROWS };
/* clang-format on */

static Status int_run(NodeCall *call)
{
    const IntValue *in = call->in;
    IntValue *out = call->out;
    *out = *in;
    return OK;
}

static const NodeDef primitive_int = {
    .class_type = "PrimitiveInt",
    .display = "Int",
    .category = "utils/primitive",
    .doc = "A whole number for several inputs.",
    .inputs = int_in,
    .outputs = int_out,
    .in_size = sizeof(IntValue),
    .out_size = sizeof(IntValue),
    .run = int_run,
};

/* ---- PrimitiveFloat ----------------------------------------------------------------------------------- */

typedef struct FloatValue {
    double value;
} FloatValue;

/* clang-format off */
static const Socket float_in[] = {
    { ROW(FloatValue, value, SOCK_FLOAT), .min = -INT_SPAN, .max = INT_SPAN, .step = 0.1, .doc = "Number." },
    END_ROWS
};
static const Socket float_out[] = { OUT(FloatValue, value, "FLOAT", SOCK_FLOAT), END_ROWS };
/* clang-format on */

static Status float_run(NodeCall *call)
{
    const FloatValue *in = call->in;
    FloatValue *out = call->out;
    *out = *in;
    return OK;
}

static const NodeDef primitive_float = {
    .class_type = "PrimitiveFloat",
    .display = "Float",
    .category = "utils/primitive",
    .doc = "A number for several inputs.",
    .inputs = float_in,
    .outputs = float_out,
    .in_size = sizeof(FloatValue),
    .out_size = sizeof(FloatValue),
    .run = float_run,
};

/* ---- PrimitiveBoolean --------------------------------------------------------------------------------- */

typedef struct BooleanValue {
    bool value;
} BooleanValue;

/* clang-format off */
static const Socket boolean_in[] = { { ROW(BooleanValue, value, SOCK_BOOLEAN), .doc = "True or false." }, END_ROWS };
static const Socket boolean_out[] = { OUT(BooleanValue, value, "BOOLEAN", SOCK_BOOLEAN), END_ROWS };
/* clang-format on */

static Status boolean_run(NodeCall *call)
{
    const BooleanValue *in = call->in;
    BooleanValue *out = call->out;
    *out = *in;
    return OK;
}

static const NodeDef primitive_boolean = {
    .class_type = "PrimitiveBoolean",
    .display = "Boolean",
    .category = "utils/primitive",
    .doc = "A yes or no for several inputs.",
    .inputs = boolean_in,
    .outputs = boolean_out,
    .in_size = sizeof(BooleanValue),
    .out_size = sizeof(BooleanValue),
    .run = boolean_run,
};

/* ---- PrimitiveString, PrimitiveStringMultiline -------------------------------------------------------- */

typedef struct TextIn {
    const char *value;
} TextIn;

typedef struct TextOut {
    char *text;
} TextOut;

/* clang-format off */
static const Socket string_in[] = { { ROW(TextIn, value, SOCK_STRING), .doc = "Text." }, END_ROWS };
static const Socket multiline_in[] = {
    { ROW(TextIn, value, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Text of several lines." }, END_ROWS
};
static const Socket text_out[] = { OUT(TextOut, text, "STRING", SOCK_STRING), END_ROWS };
/* clang-format on */

static Status text_run(NodeCall *call)
{
    const TextIn *in = call->in;
    TextOut *out = call->out;
    return copy_text(in->value, &out->text, call->err);
}

static const NodeDef primitive_string = {
    .class_type = "PrimitiveString",
    .display = "String",
    .category = "utils/primitive",
    .doc = "A text for several inputs.",
    .inputs = string_in,
    .outputs = text_out,
    .in_size = sizeof(TextIn),
    .out_size = sizeof(TextOut),
    .run = text_run,
};

static const NodeDef primitive_multiline = {
    .class_type = "PrimitiveStringMultiline",
    .display = "String (Multiline)",
    .category = "utils/primitive",
    .doc = "A text of several lines for several inputs.",
    .inputs = multiline_in,
    .outputs = text_out,
    .in_size = sizeof(TextIn),
    .out_size = sizeof(TextOut),
    .run = text_run,
};

/* ---- StringConcatenate -------------------------------------------------------------------------------- */

typedef struct JoinIn {
    const char *string_a, *string_b, *delimiter;
} JoinIn;

/* clang-format off */
static const Socket join_in[] = {
    { ROW(JoinIn, string_a, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "First text." },
    { ROW(JoinIn, string_b, SOCK_STRING), .flags = SOCK_F_MULTILINE, .doc = "Second text." },
    { ROW(JoinIn, delimiter, SOCK_STRING), .sdef = "", .doc = "Text between them." },
    END_ROWS
};
/* clang-format on */

static Status join_run(NodeCall *call)
{
    const JoinIn *in = call->in;
    TextOut *out = call->out;
    Str joined = { 0 };
    str_add(&joined, in->string_a);
    str_add(&joined, in->delimiter);
    str_add(&joined, in->string_b);
    out->text = str_take(&joined);
    return out->text ? OK : error_set(call->err, E_NOMEM, "no memory for a text");
}

static const NodeDef string_concatenate = {
    .class_type = "StringConcatenate",
    .display = "Concatenate",
    .category = "utils/string",
    .doc = "Joins two texts.",
    .inputs = join_in,
    .outputs = text_out,
    .in_size = sizeof(JoinIn),
    .out_size = sizeof(TextOut),
    .run = join_run,
};

const NodeDef *const logic_nodes[] = {
    &primitive_int,
    &primitive_float,
    &primitive_boolean,
    &primitive_string,
    &primitive_multiline,
    &string_concatenate,
    NULL,
};
