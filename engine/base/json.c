/* json.c - JSON as weft reads and writes it: a strict scanner that builds cJSON nodes.
 *
 * The nodes are cJSON's (so that cJSON's own readers work on them), each the first member of a
 * JsonNode that keeps what cJSON has no field for. All of a document lies in one arena: freeing it
 * is one call and needs no walk, however deep the document nests.
 */
#include "engine/base/json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/json_node.h"

/* Line and column (both from 1) of the byte that starts a block of MARK_BYTES. */
typedef struct Mark {
    int line, column;
} Mark;

struct JsonDoc {
    Arena *arena; /* owned; everything below lies in it */
    char *text;
    size_t length;
    JsonNode *root;
    Mark *marks;
    JsonNode **duplicates;
    size_t duplicate_count, duplicate_capacity;
};

enum { MARK_BYTES = 4096, SMALL = 12 };

/* ---- where: lines and columns ------------------------------------------------------------------ */

/* Moves a place over text[0..n): lines end in '\n', columns count code points. */
static void advance(Mark *m, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            m->line++;
            m->column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            m->column++;
        }
    }
}

static size_t mark_length(const char *text, size_t len)
{
    return len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

/* The byte order mark is no column. */
static Mark first_mark(const char *text, size_t len)
{
    return (Mark){ .line = 1, .column = mark_length(text, len) ? 0 : 1 };
}

static bool make_marks(JsonDoc *doc)
{
    size_t blocks = doc->length / MARK_BYTES + 1;
    Mark here = first_mark(doc->text, doc->length);

    doc->marks = arena_array(doc->arena, blocks, sizeof(Mark));
    if (!doc->marks) return false;
    for (size_t i = 0; i < blocks; i++) {
        doc->marks[i] = here;
        if (i + 1 < blocks) advance(&here, doc->text + i * MARK_BYTES, MARK_BYTES);
    }
    return true;
}

void json_line_column(const JsonDoc *doc, int64_t offset, int *line, int *column)
{
    size_t at = offset < 0 ? 0 : (size_t)offset, block;
    Mark here;

    if (at > doc->length) at = doc->length;
    block = at / MARK_BYTES;
    here = doc->marks[block];
    advance(&here, doc->text + block * MARK_BYTES, at - block * MARK_BYTES);
    *line = here.line;
    *column = here.column;
}

/* ---- the scanner's state ----------------------------------------------------------------------- */

typedef struct Scan {
    JsonDoc *doc;
    const char *text;
    size_t length, at;
    JsonNode *open; /* innermost array or object that is not closed yet */
    int depth;
    bool fresh; /* `open` was entered just now: no comma comes before its first member */
    char *key;  /* of the member that comes next, in an object */
    size_t key_length, key_at;
    Error *err;
} Scan;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory while reading JSON");
}

static Status broken(Scan *s, size_t at, const char *what)
{
    Mark here = first_mark(s->text, s->length);

    if (at > s->length) at = s->length;
    error_set(s->err, E_FORMAT, "invalid JSON at byte %zu: %s", at, what);
    if (!s->err) return E_FORMAT;
    advance(&here, s->text, at);
    s->err->offset = (int64_t)at;
    s->err->line = here.line;
    s->err->column = here.column;
    return E_FORMAT;
}

static int peek(const Scan *s)
{
    return s->at < s->length ? (unsigned char)s->text[s->at] : -1;
}

static void skip_blanks(Scan *s)
{
    for (int c = peek(s); c == ' ' || c == '\n' || c == '\t' || c == '\r'; c = peek(s))
        s->at++;
}

/* Hangs a node into the open container (or makes it the root). */
static JsonNode *add_node(Scan *s, int type, size_t offset)
{
    JsonNode *n = arena_alloc(s->doc->arena, sizeof *n), *up = s->open;

    if (!n) return NULL;
    n->base.type = type;
    n->offset = (int64_t)offset;
    n->parent = up;
    if (!up) {
        s->doc->root = n;
        return n;
    }
    n->base.string = s->key;
    n->key_length = s->key_length;
    if (up->base.child) {
        cJSON *last =
            up->base.child->prev; /* as in cJSON, the first child's prev is the last */

        last->next = &n->base;
        n->base.prev = last;
    } else {
        up->base.child = &n->base;
    }
    up->base.child->prev = &n->base;
    up->length++;
    return n;
}

/* ---- strings ----------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Value of the four digits at text[at], or -1. */
static int hex4(const Scan *s, size_t at)
{
    int v = 0;

    if (s->length - at < 4) return -1;
    for (size_t i = 0; i < 4; i++) {
        int d = hex_digit((unsigned char)s->text[at + i]);

        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* UTF-8, and for lone surrogates its generalisation WTF-8 (Sapin, The WTF-8 encoding). */
static size_t put_code_point(char *out, unsigned c)
{
    unsigned char *o = (unsigned char *)out;

    if (c < 0x80) {
        o[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        o[0] = (unsigned char)(0xC0 | c >> 6);
        o[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        o[0] = (unsigned char)(0xE0 | c >> 12);
        o[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        o[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    o[0] = (unsigned char)(0xF0 | c >> 18);
    o[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
    o[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    o[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}

/* \uXXXX with s->at behind the 'u'; two halves of a pair give one code point. */
static Status scan_unicode(Scan *s, char *out, size_t *n)
{
    int high = hex4(s, s->at), low;
    unsigned c;

    if (high < 0) return broken(s, s->at, "\\u needs four hexadecimal digits");
    s->at += 4;
    c = (unsigned)high;
    if (high >= 0xD800 && high <= 0xDBFF && s->length - s->at >= 6 && s->text[s->at] == '\\' &&
        s->text[s->at + 1] == 'u') {
        low = hex4(s, s->at + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            c = 0x10000 + ((c - 0xD800) << 10) + ((unsigned)low - 0xDC00);
            s->at += 6;
        }
    }
    *n += put_code_point(out + *n, c);
    return OK;
}

static Status scan_escape(Scan *s, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c;
    const char *known;

    s->at++; /* the backslash */
    c = peek(s);
    if (c == 'u') {
        s->at++;
        return scan_unicode(s, out, n);
    }
    known = c > 0 ? strchr(from, c) : NULL;
    if (!known) return broken(s, s->at, "unknown escape after \\");
    out[(*n)++] = to[known - from];
    s->at++;
    return OK;
}

/* Bytes between the quotes, s->at at the opening one: an upper bound of the decoded length. */
static Status raw_length(Scan *s, size_t *out)
{
    size_t at = s->at + 1;

    for (; at < s->length && s->text[at] != '"'; at++) {
        if ((unsigned char)s->text[at] < 0x20)
            return broken(s, at, "control character in a string");
        if (s->text[at] == '\\') at++;
    }
    if (at >= s->length) return broken(s, s->at, "string without an end");
    *out = at - s->at - 1;
    return OK;
}

static Status scan_string(Scan *s, char **text, size_t *length)
{
    size_t room = 0, n = 0;
    char *out;

    TRY(raw_length(s, &room));
    out = arena_alloc(s->doc->arena, room + 1);
    if (!out) return no_memory(s->err);
    s->at++;
    while (s->text[s->at] != '"') {
        size_t run = s->at;

        while (s->text[run] != '"' && s->text[run] != '\\')
            run++;
        memcpy(out + n, s->text + s->at, run - s->at);
        n += run - s->at;
        s->at = run;
        if (s->text[run] == '\\') TRY(scan_escape(s, out, &n));
    }
    s->at++;
    out[n] = '\0';
    *text = out;
    *length = n;
    return OK;
}

static Status scan_string_value(Scan *s)
{
    JsonNode *n = add_node(s, cJSON_String, s->at);

    if (!n) return no_memory(s->err);
    return scan_string(s, &n->base.valuestring, &n->length);
}

/* ---- numbers and words ------------------------------------------------------------------------- */

static size_t digits(const Scan *s, size_t at)
{
    size_t n = 0;

    while (at + n < s->length && s->text[at + n] >= '0' && s->text[at + n] <= '9')
        n++;
    return n;
}

static Status add_number(Scan *s, size_t start, size_t end)
{
    JsonNode *n = add_node(s, cJSON_Number, start);
    char *text = n ? arena_strndup(s->doc->arena, s->text + start, end - start) : NULL;
    double v;

    if (!text) return no_memory(s->err);
    v = strtod(text, NULL);
    n->source = text;
    n->base.valuedouble = v;
    n->base.valueint = v >= INT_MAX ? INT_MAX : v <= INT_MIN ? INT_MIN : v == v ? (int)v : 0;
    s->at = end;
    return OK;
}

/* The grammar of RFC 8259, section 6. */
static Status scan_number(Scan *s)
{
    size_t start = s->at, at = start, n;

    if (s->text[at] == '-') at++;
    n = digits(s, at);
    if (n == 0) return broken(s, at, "a digit is expected");
    if (n > 1 && s->text[at] == '0') return broken(s, at, "a number may not start with 0");
    at += n;
    if (at < s->length && s->text[at] == '.') {
        n = digits(s, at + 1);
        if (n == 0) return broken(s, at + 1, "a digit is expected");
        at += 1 + n;
    }
    if (at < s->length && (s->text[at] == 'e' || s->text[at] == 'E')) {
        at++;
        if (at < s->length && (s->text[at] == '+' || s->text[at] == '-')) at++;
        n = digits(s, at);
        if (n == 0) return broken(s, at, "a digit is expected");
        at += n;
    }
    return add_number(s, start, at);
}

/* Words of one kind share a row; a number's word is its source text. */
static const struct Word {
    const char *text;
    int type;
} words[] = {
    { "true", cJSON_True },  { "false", cJSON_False },     { "null", cJSON_NULL },
    { "NaN", cJSON_Number }, { "Infinity", cJSON_Number }, { "-Infinity", cJSON_Number },
};

static Status scan_word(Scan *s)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i].text);

        if (s->length - s->at < n || memcmp(s->text + s->at, words[i].text, n) != 0) continue;
        if (words[i].type == cJSON_Number) return add_number(s, s->at, s->at + n);
        if (!add_node(s, words[i].type, s->at)) return no_memory(s->err);
        s->at += n;
        return OK;
    }
    return broken(s, s->at, "a value is expected");
}

/* ---- finding members --------------------------------------------------------------------------- */

static uint64_t hash_key(const char *key, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

static bool key_is(const JsonNode *n, const char *key, size_t length)
{
    return n->key_length == length && memcmp(n->base.string, key, length) == 0;
}

static JsonNode **find_slot(const JsonNode *object, const char *key, size_t length)
{
    size_t mask = object->slot_count - 1;
    size_t at = (size_t)hash_key(key, length) & mask;

    while (object->index[at] && !key_is(object->index[at], key, length))
        at = (at + 1) & mask;
    return &object->index[at];
}

static JsonNode *node_of(cJSON *c)
{
    return (JsonNode *)(void *)c;
}

/* ---- closing a container: duplicates and indexes -------------------------------------------------- */

static bool note_duplicate(JsonDoc *doc, JsonNode *winner, const JsonNode *loser)
{
    size_t capacity = doc->duplicate_capacity ? doc->duplicate_capacity * 2 : 8;
    JsonNode **list;

    winner->duplicate = loser->duplicate;
    if (!winner->duplicate) {
        if (doc->duplicate_count == doc->duplicate_capacity) {
            list = arena_array(doc->arena, capacity, sizeof *list);
            if (!list) return false;
            if (doc->duplicate_count)
                memcpy(list, doc->duplicates, doc->duplicate_count * sizeof *list);
            doc->duplicates = list;
            doc->duplicate_capacity = capacity;
        }
        winner->duplicate = ++doc->duplicate_count;
    }
    doc->duplicates[winner->duplicate - 1] = winner;
    return true;
}

/* Takes `winner` out of its place and puts it where `loser` stood, as a Python dict would order
 * them. The winner always comes later in the list. */
static void replace_member(JsonNode *object, JsonNode *loser, JsonNode *winner)
{
    cJSON *first = object->base.child, *l = &loser->base, *w = &winner->base;

    w->prev->next = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        first->prev = w->prev; /* the winner was the last */

    w->next = l->next;
    w->prev = l->prev;
    if (w->next) w->next->prev = w;
    if (l == first) {
        object->base.child = w;
        if (w->prev == l) w->prev = w; /* the only member that is left */
    } else {
        w->prev->next = w;
        if (!w->next) first->prev = w;
    }
    object->length--;
}

static Status close_object(Scan *s, JsonNode *object)
{
    JsonNode *found, **slot = NULL;
    cJSON *next;

    if (object->length > SMALL) {
        object->slot_count = 32;
        while (object->slot_count < object->length * 2)
            object->slot_count *= 2;
        object->index = arena_array(s->doc->arena, object->slot_count, sizeof *object->index);
        if (!object->index) return no_memory(s->err);
    }
    for (cJSON *c = object->base.child; c; c = next) {
        JsonNode *n = node_of(c);

        next = c->next;
        if (object->index) {
            slot = find_slot(object, c->string, n->key_length);
            found = *slot;
            *slot = n;
        } else {
            found = node_of(object->base.child);
            while (found != n && !key_is(found, c->string, n->key_length))
                found = node_of(found->base.next);
            if (found == n) found = NULL;
        }
        if (!found) continue;
        if (!note_duplicate(s->doc, n, found)) return no_memory(s->err);
        replace_member(object, found, n);
    }
    return OK;
}

static Status close_array(Scan *s, JsonNode *array)
{
    size_t i = 0;

    if (array->length <= SMALL) return OK;
    array->index = arena_array(s->doc->arena, array->length, sizeof *array->index);
    if (!array->index) return no_memory(s->err);
    for (cJSON *c = array->base.child; c; c = c->next)
        array->index[i++] = node_of(c);
    return OK;
}

static Status close_container(Scan *s)
{
    JsonNode *n = s->open;

    s->at++;
    s->depth--;
    s->fresh = false;
    s->open = n->parent;
    return n->base.type == cJSON_Object ? close_object(s, n) : close_array(s, n);
}

/* ---- the document ------------------------------------------------------------------------------- */

static Status open_container(Scan *s, int type)
{
    JsonNode *n;

    if (s->depth >= JSON_MAX_DEPTH) return broken(s, s->at, "nested too deeply (limit 1024)");
    n = add_node(s, type, s->at);
    if (!n) return no_memory(s->err);
    s->at++;
    s->depth++;
    s->fresh = true;
    s->open = n;
    return OK;
}

_Static_assert(JSON_MAX_DEPTH == 1024, "the message in open_container names the limit");

static Status scan_value(Scan *s)
{
    int c;

    skip_blanks(s);
    c = peek(s);
    if (c < 0) return broken(s, s->at, "the text ends where a value is expected");
    if (c == '{') return open_container(s, cJSON_Object);
    if (c == '[') return open_container(s, cJSON_Array);
    s->fresh = false;
    if (c == '"') return scan_string_value(s);
    if ((c == '-' && !(s->at + 1 < s->length && s->text[s->at + 1] == 'I')) ||
        (c >= '0' && c <= '9'))
        return scan_number(s);
    return scan_word(s);
}

static Status scan_key(Scan *s)
{
    skip_blanks(s);
    if (peek(s) != '"') return broken(s, s->at, "a key in double quotes is expected");
    TRY(scan_string(s, &s->key, &s->key_length));
    skip_blanks(s);
    if (peek(s) != ':') return broken(s, s->at, "':' is expected after a key");
    s->at++;
    return OK;
}

/* Behind a value or an opening bracket: closes what closes, and says whether a value follows. */
static Status scan_between(Scan *s, bool *more)
{
    while (s->open) {
        bool object = s->open->base.type == cJSON_Object;

        skip_blanks(s);
        if (peek(s) == (object ? '}' : ']')) {
            TRY(close_container(s));
            continue;
        }
        if (!s->fresh) {
            if (peek(s) != ',')
                return broken(s, s->at,
                              object ? "',' or '}' is expected" : "',' or ']' is expected");
            s->at++;
        }
        s->fresh = false;
        *more = true;
        s->key = NULL;
        s->key_length = 0;
        return object ? scan_key(s) : OK;
    }
    skip_blanks(s);
    *more = false;
    return s->at == s->length ? OK
                              : broken(s, s->at, "something follows the end of the document");
}

static Status scan_document(Scan *s)
{
    ptrdiff_t bad = str_utf8_error(s->text, s->length);

    if (bad >= 0) return broken(s, (size_t)bad, "the text is not UTF-8");
    s->at = mark_length(s->text, s->length);
    for (bool more = true; more;) {
        TRY(scan_value(s));
        TRY(scan_between(s, &more));
    }
    return make_marks(s->doc) ? OK : no_memory(s->err);
}

Status json_parse(const char *text, size_t len, JsonDoc **out, Error *err)
{
    Arena *arena = arena_new();
    JsonDoc *doc = arena ? arena_alloc(arena, sizeof *doc) : NULL;
    Scan s = { .doc = doc, .length = len, .err = err };
    Status status;

    if (doc) {
        doc->arena = arena;
        doc->length = len;
        doc->text = arena_strndup(arena, text, len);
    }
    if (!doc || !doc->text) {
        arena_free(arena);
        return no_memory(err);
    }
    s.text = doc->text;
    status = scan_document(&s);
    if (status == OK)
        *out = doc;
    else
        arena_free(arena);
    return status;
}

void json_free(JsonDoc *doc)
{
    if (doc) arena_free(doc->arena);
}

/* ---- reading nodes ------------------------------------------------------------------------------ */

const Json *json_root(const JsonDoc *doc)
{
    return &doc->root->base;
}

static const JsonNode *node(const Json *j)
{
    return (const JsonNode *)(const void *)j;
}

JsonKind json_kind(const Json *j)
{
    if (cJSON_IsObject(j)) return JSON_OBJECT;
    if (cJSON_IsArray(j)) return JSON_ARRAY;
    if (cJSON_IsString(j)) return JSON_STRING;
    if (cJSON_IsNumber(j)) return JSON_NUMBER;
    return cJSON_IsBool(j) ? JSON_BOOL : JSON_NULL;
}

bool json_is(const Json *j, JsonKind kind)
{
    return j && json_kind(j) == kind;
}

bool json_bool(const Json *j)
{
    return cJSON_IsTrue(j);
}

double json_double(const Json *j)
{
    return cJSON_IsNumber(j) ? j->valuedouble : 0;
}

const char *json_number_text(const Json *j)
{
    return cJSON_IsNumber(j) ? node(j)->source : NULL;
}

bool json_is_integer(const Json *j)
{
    const char *text = json_number_text(j);

    return text && text[strspn(text, "-0123456789")] == '\0';
}

/* Magnitude of an integer; false when it does not fit 64 bits. */
static bool magnitude(const char *text, uint64_t *out)
{
    uint64_t v = 0;

    for (text += *text == '-'; *text; text++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    *out = v;
    return true;
}

bool json_int64(const Json *j, int64_t *out)
{
    uint64_t v;
    bool negative;

    if (!json_is_integer(j) || !magnitude(node(j)->source, &v)) return false;
    negative = node(j)->source[0] == '-';
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool json_uint64(const Json *j, uint64_t *out)
{
    uint64_t v;

    if (!json_is_integer(j) || !magnitude(node(j)->source, &v)) return false;
    if (v != 0 && node(j)->source[0] == '-') return false;
    *out = v;
    return true;
}

const char *json_string(const Json *j)
{
    return cJSON_IsString(j) ? j->valuestring : NULL;
}

size_t json_string_length(const Json *j)
{
    return cJSON_IsString(j) ? node(j)->length : 0;
}

static bool is_container(const Json *j)
{
    return cJSON_IsArray(j) || cJSON_IsObject(j);
}

size_t json_count(const Json *j)
{
    return is_container(j) ? node(j)->length : 0;
}

const Json *json_first(const Json *j)
{
    return is_container(j) ? j->child : NULL;
}

const Json *json_next(const Json *j)
{
    return j ? j->next : NULL;
}

const Json *json_at(const Json *array, size_t index)
{
    const Json *j;

    if (index >= json_count(array)) return NULL;
    if (cJSON_IsArray(array) && node(array)->index) return &node(array)->index[index]->base;
    for (j = array->child; index > 0; index--)
        j = j->next;
    return j;
}

const char *json_key(const Json *member)
{
    return member ? member->string : NULL;
}

const Json *json_get(const Json *object, const char *key)
{
    size_t length = strlen(key);

    if (!cJSON_IsObject(object)) return NULL;
    if (node(object)->index) {
        JsonNode *found = *find_slot(node(object), key, length);

        return found ? &found->base : NULL;
    }
    for (const Json *j = object->child; j; j = j->next)
        if (key_is(node(j), key, length)) return j;
    return NULL;
}

const Json *json_parent(const Json *j)
{
    return j && node(j)->parent ? &node(j)->parent->base : NULL;
}

const char *json_text(const JsonDoc *doc, size_t *length)
{
    *length = doc->length;
    return doc->text;
}

int64_t json_offset(const Json *j)
{
    return j ? node(j)->offset : -1;
}

const Json *json_duplicate(const JsonDoc *doc, size_t i)
{
    return i < doc->duplicate_count ? &doc->duplicates[i]->base : NULL;
}
