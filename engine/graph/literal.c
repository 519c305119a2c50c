/* literal.c - a value written in a workflow, and Python's rules for turning one type into another. */
#include "engine/graph/literal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/number_text.h"

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- making one -------------------------------------------------------------------------- */

/* Digits without sign, underscores and leading zeros are given; *out points at them. */
static void set_digits(const char *digits, size_t length, bool negative, Literal *out)
{
    uint64_t magnitude = 0;
    bool fits = true;

    for (size_t i = negative; i < length && fits; i++) {
        unsigned d = (unsigned)(digits[i] - '0');
        fits = magnitude < UINT64_MAX / 10 ||
               (magnitude == UINT64_MAX / 10 && d <= UINT64_MAX % 10);
        magnitude = fits ? magnitude * 10 + d : 0;
    }
    *out = (Literal){ .kind = LIT_INT,
                      .fits = fits,
                      .negative = negative,
                      .magnitude = magnitude,
                      .text = digits,
                      .length = length };
}

/* Reads an optional sign and decimal digits, with single underscores between them; blanks around. */
static bool scan_int(const char *s, size_t n, char *digits, size_t *length)
{
    static const char blanks[] = " \t\n\r\v\f";
    bool negative = false, digit = false;
    size_t k = 0;

    while (n > 0 && s[0] && strchr(blanks, s[0]))
        s++, n--;
    while (n > 0 && s[n - 1] && strchr(blanks, s[n - 1]))
        n--;
    if (n > 0 && (s[0] == '-' || s[0] == '+')) negative = s[0] == '-', s++, n--;
    if (negative) digits[k++] = '-';
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '_') {
            if (!digit || i + 1 == n) return false;
            digit = false;
        } else if (s[i] >= '0' && s[i] <= '9') {
            if (k == 1 + (size_t)negative && digits[k - 1] == '0') k--;
            digits[k++] = s[i];
            digit = true;
        } else {
            return false;
        }
    }
    *length = k;
    return digit;
}

static Status int_from_text(Arena *arena, const char *s, size_t n, Literal *out, bool *good,
                            Error *err)
{
    char *digits = arena_alloc(arena, n + 2);
    size_t length = 0;

    if (!digits) return no_memory(err);
    *good = scan_int(s, n, digits, &length);
    if (!*good) return OK;
    if (length == 2 && digits[0] == '-' && digits[1] == '0') {
        digits[0] = '0';
        length = 1;
    }
    digits[length] = 0;
    set_digits(digits, length, digits[0] == '-', out);
    return OK;
}

Status literal_text(Arena *arena, const char *text, size_t length, Literal *out, Error *err)
{
    char *copy = arena_strndup(arena, text, length);

    if (!copy) return no_memory(err);
    *out = (Literal){ .kind = LIT_TEXT, .text = copy, .length = length };
    return OK;
}

Status literal_int(Arena *arena, int64_t v, Literal *out, Error *err)
{
    char *digits = arena_printf(arena, "%" PRId64, v);

    if (!digits) return no_memory(err);
    set_digits(digits, strlen(digits), v < 0, out);
    return OK;
}

Status literal_uint(Arena *arena, uint64_t v, Literal *out, Error *err)
{
    char *digits = arena_printf(arena, "%" PRIu64, v);

    if (!digits) return no_memory(err);
    set_digits(digits, strlen(digits), false, out);
    return OK;
}

Literal literal_bool(bool b)
{
    return (Literal){ .kind = LIT_BOOL, .b = b };
}

Literal literal_float(double f)
{
    return (Literal){ .kind = LIT_FLOAT, .f = f };
}

static Status read_json(Arena *arena, const Json *json, Literal *out, Error *err)
{
    const char *text;
    bool good;

    switch (json_kind(json)) {
    case JSON_NULL:
        *out = (Literal){ .kind = LIT_NULL };
        return OK;
    case JSON_BOOL:
        *out = literal_bool(json_bool(json));
        return OK;
    case JSON_NUMBER:
        text = json_number_text(json);
        if (json_is_integer(json))
            return int_from_text(arena, text, strlen(text), out, &good, err);
        *out = literal_float(json_double(json));
        return OK;
    case JSON_STRING:
        *out = (Literal){ .kind = LIT_TEXT,
                          .text = json_string(json),
                          .length = json_string_length(json) };
        return OK;
    default:
        *out = (Literal){ .kind = LIT_JSON, .json = json };
        return OK;
    }
}

Status literal_from_json(Arena *arena, const Json *json, Literal *out, Error *err)
{
    TRY(read_json(arena, json, out, err));
    out->source = json;
    return OK;
}

/* ---- reading one ------------------------------------------------------------------------- */

bool literal_int64(const Literal *v, int64_t *out)
{
    if (v->kind != LIT_INT || !v->fits || v->magnitude > (uint64_t)INT64_MAX + v->negative)
        return false;
    *out = v->negative ? (int64_t)(0 - v->magnitude) : (int64_t)v->magnitude;
    return true;
}

double literal_double(const Literal *v)
{
    double d = 0;

    if (v->kind == LIT_FLOAT) return v->f;
    if (v->kind == LIT_INT && !str_to_double(v->text, &d))
        d = v->negative ? -INFINITY : INFINITY;
    return d;
}

bool literal_truth(const Literal *v)
{
    switch (v->kind) {
    case LIT_NULL:
        return false;
    case LIT_BOOL:
        return v->b;
    case LIT_INT:
        return !v->fits || v->magnitude != 0;
    case LIT_FLOAT:
        return v->f != 0;
    case LIT_TEXT:
        return v->length > 0;
    default:
        return json_count(v->json) > 0;
    }
}

int literal_compare_int(const Literal *v, bool negative, uint64_t magnitude)
{
    bool below = v->negative && (!v->fits || v->magnitude), bound_below = negative && magnitude;

    if (below != bound_below) return below ? -1 : 1;
    if (!v->fits) return below ? -1 : 1;
    if (v->magnitude == magnitude) return 0;
    return (v->magnitude > magnitude) != below ? 1 : -1;
}

/* ---- writing ----------------------------------------------------------------------------- */

static void write_python_string(Str *out, const char *text, size_t n)
{
    char quote = memchr(text, '\'', n) && !memchr(text, '"', n) ? '"' : '\'';

    str_add_char(out, quote);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\\' || c == (unsigned char)quote)
            str_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            str_add(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c < 32 || c == 127)
            str_printf(out, "\\x%02x", c);
        else
            str_add_char(out, (char)c);
    }
    str_add_char(out, quote);
}

static void write_python_float(Str *out, double f)
{
    if (isnan(f))
        str_add(out, "nan");
    else if (isinf(f))
        str_add(out, f < 0 ? "-inf" : "inf");
    else
        json_write_double(out, f);
}

static void write_python_scalar(Str *out, const Json *json)
{
    switch (json_kind(json)) {
    case JSON_NULL:
        str_add(out, "None");
        break;
    case JSON_BOOL:
        str_add(out, json_bool(json) ? "True" : "False");
        break;
    case JSON_STRING:
        write_python_string(out, json_string(json), json_string_length(json));
        break;
    default:
        if (json_is_integer(json))
            str_add(out, json_number_text(json));
        else
            write_python_float(out, json_double(json));
    }
}

static void write_member_key(Str *out, const Json *container, const Json *member)
{
    if (!json_is(container, JSON_OBJECT)) return;
    write_python_string(out, json_key(member), strlen(json_key(member)));
    str_add(out, ": ");
}

/* Walks an object or array with a stack of the scanner's own depth. */
static void write_python_json(Str *out, const Json *root)
{
    const Json **open = mem_alloc_array(JSON_MAX_DEPTH + 2, sizeof *open);
    const Json **member = mem_alloc_array(JSON_MAX_DEPTH + 2, sizeof *member);
    int depth = 0;

    if (!open || !member) {
        out->failed = true;
        goto done;
    }
    open[0] = root;
    member[0] = json_first(root);
    str_add_char(out, json_is(root, JSON_OBJECT) ? '{' : '[');
    while (depth >= 0) {
        const Json *m = member[depth];
        if (!m) {
            str_add_char(out, json_is(open[depth], JSON_OBJECT) ? '}' : ']');
            depth--;
            continue;
        }
        if (m != json_first(open[depth])) str_add(out, ", ");
        write_member_key(out, open[depth], m);
        member[depth] = json_next(m);
        if (json_kind(m) < JSON_ARRAY || depth >= JSON_MAX_DEPTH) {
            write_python_scalar(out, m);
            continue;
        }
        str_add_char(out, json_is(m, JSON_OBJECT) ? '{' : '[');
        depth++;
        open[depth] = m;
        member[depth] = json_first(m);
    }
done:
    mem_free(open);
    mem_free(member);
}

void literal_write_str(Str *out, const Literal *v)
{
    switch (v->kind) {
    case LIT_NULL:
        str_add(out, "None");
        break;
    case LIT_BOOL:
        str_add(out, v->b ? "True" : "False");
        break;
    case LIT_INT:
    case LIT_TEXT:
        str_add_n(out, v->text, v->length);
        break;
    case LIT_FLOAT:
        write_python_float(out, v->f);
        break;
    default:
        write_python_json(out, v->json);
    }
}

void literal_write_repr(Str *out, const Literal *v)
{
    if (v->kind == LIT_TEXT)
        write_python_string(out, v->text, v->length);
    else
        literal_write_str(out, v);
}

void literal_write_json(Str *out, const Literal *v)
{
    switch (v->kind) {
    case LIT_NULL:
        str_add(out, "null");
        break;
    case LIT_BOOL:
        str_add(out, v->b ? "true" : "false");
        break;
    case LIT_INT:
        str_add_n(out, v->text, v->length);
        break;
    case LIT_TEXT:
        json_write_string(out, v->text, v->length);
        break;
    case LIT_FLOAT:
        json_write_double(out, v->f);
        break;
    default:
        if (json_is(v->json, JSON_ARRAY)) str_add(out, "{\"__value__\": ");
        json_write(out, v->json);
        if (json_is(v->json, JSON_ARRAY)) str_add_char(out, '}');
    }
}

/* ---- conversions ------------------------------------------------------------------------- */

typedef struct Conversion {
    Arena *arena;
    const Literal *in;
    Literal *out;
    Coerced *how;
    const char **why;
    Error *err;
} Conversion;

static Status refuse(const Conversion *c, const char *why)
{
    *c->how = COERCED_FAILED;
    *c->why = why;
    return why ? OK : no_memory(c->err);
}

static Status refuse_repr(const Conversion *c, const char *what)
{
    Str text = { 0 };
    const char *why;

    str_add(&text, what);
    literal_write_repr(&text, c->in);
    why = text.failed ? NULL : arena_strdup(c->arena, text.text);
    str_fini(&text);
    return refuse(c, why);
}

static const char *python_type(const Literal *v)
{
    if (v->kind == LIT_NULL) return "NoneType";
    return json_is(v->json, JSON_ARRAY) ? "list" : "dict";
}

static Status int_from_float(const Conversion *c)
{
    double whole = trunc(c->in->f);
    char *digits;

    if (isnan(whole)) return refuse(c, "cannot convert float NaN to integer");
    if (isinf(whole)) return refuse(c, "cannot convert float infinity to integer");
    if (whole == 0) whole = 0; /* no sign */
    digits = arena_printf(c->arena, "%.0f", whole == 0 ? 0.0 : whole);
    if (!digits) return no_memory(c->err);
    set_digits(digits, strlen(digits), whole < 0, c->out);
    *c->how = whole == c->in->f ? COERCED_LOSSLESS : COERCED_LOSSY;
    return OK;
}

/* As many digits as Python's int() takes from text. */
enum { MOST_DIGITS = 4300 };

static Status parse_int(const Conversion *c)
{
    Str plain = { 0 };
    bool good = false;
    Status status = OK;

    number_text_plain(c->in->text, c->in->length, &plain);
    if (plain.failed)
        status = no_memory(c->err);
    else
        status = int_from_text(c->arena, plain.text ? plain.text : "", plain.length, c->out,
                               &good, c->err);
    str_fini(&plain);
    TRY(status);
    if (!good) return refuse_repr(c, "invalid literal for int() with base 10: ");
    if (c->out->length - c->out->negative > MOST_DIGITS)
        return refuse(c, "the text has more than 4300 digits");
    return OK;
}

static Status to_int(const Conversion *c)
{
    switch (c->in->kind) {
    case LIT_INT:
        *c->out = *c->in;
        *c->how = COERCED_SAME;
        return OK;
    case LIT_BOOL:
        *c->how = COERCED_LOSSLESS;
        return literal_int(c->arena, c->in->b, c->out, c->err);
    case LIT_FLOAT:
        return int_from_float(c);
    case LIT_TEXT:
        *c->how = COERCED_LOSSLESS;
        return parse_int(c);
    default:
        return refuse(
            c, arena_printf(c->arena,
                            "int() argument must be a string, a bytes-like object or a real "
                            "number, not '%s'",
                            python_type(c->in)));
    }
}

static Status float_from_int(const Conversion *c)
{
    double d = literal_double(c->in);

    if (isinf(d)) return refuse(c, "int too large to convert to float");
    *c->out = literal_float(d);
    *c->how = COERCED_SAME; /* 1 and 1.0 are the same number */
    return OK;
}

static Status float_from_text(const Conversion *c)
{
    Str plain = { 0 };
    double d = 0;

    number_text_plain(c->in->text, c->in->length, &plain);
    bool failed = plain.failed, good = plain.text && !memchr(plain.text, 0, plain.length) &&
                                       str_to_double(plain.text, &d);
    str_fini(&plain);
    if (failed) return no_memory(c->err);
    if (!good) return refuse_repr(c, "could not convert string to float: ");
    if (isnan(d)) return refuse(c, "NaN is not a number that can be used");
    *c->out = literal_float(d);
    *c->how = COERCED_LOSSLESS;
    return OK;
}

static Status to_float(const Conversion *c)
{
    switch (c->in->kind) {
    case LIT_INT:
        return float_from_int(c);
    case LIT_BOOL:
        *c->out = literal_float(c->in->b);
        *c->how = COERCED_LOSSLESS;
        return OK;
    case LIT_FLOAT:
        if (isnan(c->in->f)) return refuse(c, "NaN is not a number that can be used");
        *c->out = *c->in;
        *c->how = COERCED_SAME;
        return OK;
    case LIT_TEXT:
        return float_from_text(c);
    default:
        return refuse(
            c, arena_printf(c->arena,
                            "float() argument must be a string or a real number, not '%s'",
                            python_type(c->in)));
    }
}

static Status to_string(const Conversion *c)
{
    Str text = { 0 };
    Status status;

    *c->how = COERCED_SAME;
    *c->out = *c->in;
    if (c->in->kind == LIT_TEXT) return OK;
    if (c->in->kind == LIT_JSON)
        json_write(&text, c->in->json);
    else
        literal_write_str(&text, c->in);
    *c->how =
        c->in->kind == LIT_INT || c->in->kind == LIT_FLOAT ? COERCED_LOSSLESS : COERCED_LOSSY;
    status = text.failed ? no_memory(c->err)
                         : literal_text(c->arena, text.text, text.length, c->out, c->err);
    str_fini(&text);
    return status;
}

static Status to_boolean(const Conversion *c)
{
    const Literal *in = c->in;
    bool plain = in->kind == LIT_INT && in->fits && in->magnitude <= 1 && !in->negative;

    *c->how = in->kind == LIT_BOOL ? COERCED_SAME : plain ? COERCED_LOSSLESS : COERCED_LOSSY;
    *c->out = literal_bool(literal_truth(in));
    return OK;
}

Status literal_coerce(Arena *arena, const Literal *in, CoerceTo to, Literal *out, Coerced *how,
                      const char **why, Error *err)
{
    static Status (*const rules[])(const Conversion *) = { [TO_INT] = to_int,
                                                           [TO_FLOAT] = to_float,
                                                           [TO_STRING] = to_string,
                                                           [TO_BOOLEAN] = to_boolean };
    Conversion c = { arena, in, out, how, why, err };

    return rules[to](&c);
}
