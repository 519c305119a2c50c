/* json.h - JSON as weft reads and writes it: a strict scanner that builds cJSON nodes.
 *
 * cJSON as shipped rounds integers above 2^52, keeps the first of two equal keys, accepts trailing
 * bytes, walks lists to find a key, rejects NaN, and cuts strings at \u0000. The scanner here reads
 * the text itself and keeps: the source text of each number, string lengths, the byte offset of each
 * value, and the list of duplicate keys (the last one wins). It accepts a byte order mark, NaN,
 * Infinity and -Infinity, lone surrogates (as WTF-8) and \u0000; it refuses everything else that
 * RFC 8259 refuses. Depth is bounded (JSON_MAX_DEPTH) and nothing recurses.
 */
#ifndef WEFT_BASE_JSON_H
#define WEFT_BASE_JSON_H

#include "engine/base/status.h"
#include "engine/base/str.h"

enum { JSON_MAX_DEPTH = 1024 };

typedef struct JsonDoc JsonDoc; /* owns its nodes and the key index */
typedef struct cJSON Json;      /* a node; borrowed from its document */

typedef enum JsonKind {
    JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
} JsonKind;

/* Parses exactly len bytes. Errors: E_FORMAT with byte offset, line and column; E_NOMEM. */
Status json_parse(const char *text, size_t len, JsonDoc **out, Error *err);
void json_free(JsonDoc *doc);
const Json *json_root(const JsonDoc *doc);

JsonKind json_kind(const Json *node);
bool json_is(const Json *node, JsonKind kind); /* false for NULL */

bool json_bool(const Json *node);
double json_double(const Json *node);          /* nearest double; 0 when not a number */
const char *json_number_text(const Json *node); /* as written in the source */
bool json_is_integer(const Json *node);        /* written without fraction and exponent */
/* False when the value is no integer or does not fit. */
bool json_int64(const Json *node, int64_t *out);
bool json_uint64(const Json *node, uint64_t *out);
const char *json_string(const Json *node); /* NUL-ended; NULL when not a string */
size_t json_string_length(const Json *node);

size_t json_count(const Json *node); /* items of an array or object */
const Json *json_first(const Json *node);
const Json *json_next(const Json *node);
const Json *json_at(const Json *array, size_t index);
const char *json_key(const Json *member);
const Json *json_get(const Json *object, const char *key); /* NULL when absent; hashed when large */

/* The array or object that holds a value, NULL for the root. */
const Json *json_parent(const Json *node);
/* The text that the document was read from. */
const char *json_text(const JsonDoc *doc, size_t *length);

/* Where a value starts. */
int64_t json_offset(const Json *node);
void json_line_column(const JsonDoc *doc, int64_t offset, int *line, int *column);

/* Duplicate keys met: the i-th repeated member (the one that won), NULL past the end. */
const Json *json_duplicate(const JsonDoc *doc, size_t i);

/* Writers append to a Str. json_write gives Python's json.dumps text: ASCII with \uXXXX, separators
 * ", " and ": ", numbers as in the source. */
void json_write(Str *out, const Json *node);
void json_write_string(Str *out, const char *text, size_t n); /* with quotes */
void json_write_double(Str *out, double v);                   /* shortest that reads back; 1.0 */

#endif
