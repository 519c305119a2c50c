/* literal.h - a value written in a workflow, and Python's rules for turning one type into another.
 *
 * Saved workflows are checked by a Python program that calls int(), float(), str() and bool() on what
 * it finds and stores the result back. The same conversions are written here once; checking, the cache
 * key, execution and embedded metadata all read the stored result.
 */
#ifndef WEFT_GRAPH_LITERAL_H
#define WEFT_GRAPH_LITERAL_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/base/str.h"

typedef enum LitKind { LIT_NULL, LIT_BOOL, LIT_INT, LIT_FLOAT, LIT_TEXT, LIT_JSON } LitKind;

/* An integer keeps its digits, so that nothing is rounded before its range has been checked. */
typedef struct Literal {
    LitKind kind;
    bool b;
    bool fits;          /* INT: |value| < 2^64, magnitude and negative hold it */
    bool negative;      /* INT */
    uint64_t magnitude; /* INT */
    const char
        *text; /* INT: canonical decimal digits; TEXT: the text. In the arena or the document */
    size_t length;    /* of text */
    double f;         /* FLOAT */
    const Json *json; /* JSON: an object or array of the document */
    const Json *source; /* the value that it was read from, NULL = made otherwise; borrowed */
} Literal;

Status literal_from_json(Arena *arena, const Json *json, Literal *out, Error *err);
Literal literal_bool(bool b);
Literal literal_float(double f);
Status literal_int(Arena *arena, int64_t v, Literal *out, Error *err);
Status literal_uint(Arena *arena, uint64_t v, Literal *out, Error *err);
Status literal_text(Arena *arena, const char *text, size_t length, Literal *out, Error *err);

/* False when an INT does not fit. */
bool literal_int64(const Literal *v, int64_t *out);
/* Nearest double of an INT or FLOAT (infinite when an INT is too large), 0 for the rest. */
double literal_double(const Literal *v);
/* Python's truth value. */
bool literal_truth(const Literal *v);
/* Compares an INT with a 64-bit bound without wrapping: below 0, 0, above 0. */
int literal_compare_int(const Literal *v, bool negative, uint64_t magnitude);

/* What a conversion did. Lossless: "4" to 4; lossy: 4.9 to 4, null to "None". */
typedef enum Coerced { COERCED_SAME, COERCED_LOSSLESS, COERCED_LOSSY, COERCED_FAILED } Coerced;

typedef enum CoerceTo { TO_INT, TO_FLOAT, TO_STRING, TO_BOOLEAN } CoerceTo;

/* Converts as Python does; `why` gets the exception's text in the arena when the result is FAILED.
 * NaN is refused for both number types. Status is OK or E_NOMEM. */
Status literal_coerce(Arena *arena, const Literal *in, CoerceTo to, Literal *out, Coerced *how,
                      const char **why, Error *err);

/* JSON text as json.dumps writes it. An array is wrapped in {"__value__": ...} to read back the same. */
void literal_write_json(Str *out, const Literal *v);
/* Python's str(): text as it is, None, True, 1.0, {'a': 1}. */
void literal_write_str(Str *out, const Literal *v);
/* Python's repr(): text in quotes. */
void literal_write_repr(Str *out, const Literal *v);

#endif
