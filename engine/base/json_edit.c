/* json_edit.c - changes to the text of a JSON document that leave every other byte as it is.
 *
 * Two changes meet when one stands at or inside what the other takes away or replaces. Marks on the touched
 * values and on all that holds them tell this in the depth of the document, however many changes there are.
 * A document that has a key twice in one object keeps its objects' members: which text is whose is not told.
 */
#include "engine/base/json_edit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/arena.h"
#include "engine/base/mem.h"

typedef enum EditKind { EDIT_REPLACE, EDIT_REMOVE, EDIT_ADD, EDIT_USE, EDIT_FREEZE } EditKind;

typedef struct Edit {
    EditKind kind;
    const Json *at; /* what is changed; EDIT_ADD: the container */
    const char *key, *text;
} Edit;

enum {
    MARK_CLOSED = 1,
    MARK_BUSY = 2,
    MARK_GROWN = 4,
    MARK_SHRUNK = 8,
    MARK_NAMED = 16,
    MARK_USED = 64,
    MARK_FROZEN = 128,
    MARK_GONE = 32
};

typedef struct NodeMark {
    const Json *at; /* NULL = free */
    unsigned bits;
} NodeMark;

struct JsonEdit {
    const JsonDoc *doc; /* borrowed */
    Arena *arena;       /* owned */
    Edit *edits;        /* owned; those of the open group stand last */
    size_t count, capacity, group, taken;
    bool spoilt;
    bool ragged; /* some object has a key twice: its members do not stand in the text's order */
    NodeMark *marks; /* owned; open addressing */
    size_t n_marks, mark_capacity;
    TextEdit *list; /* owned */
    size_t listed, list_capacity;
    bool list_failed;
};

/* ---- where a value stands ---------------------------------------------------------------- */

static size_t string_end(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at < length ? at + 1 : length;
}

static size_t container_end(const char *text, size_t length, size_t at)
{
    size_t depth = 0;

    while (at < length) {
        char c = text[at];
        if (c == '"') {
            at = string_end(text, length, at);
            continue;
        }
        at++;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) return at;
    }
    return length;
}

void json_span(const JsonDoc *doc, const Json *value, size_t *begin, size_t *end)
{
    size_t length, at = (size_t)json_offset(value);
    const char *text = json_text(doc, &length);

    *begin = at;
    if (json_kind(value) >= JSON_ARRAY) {
        *end = container_end(text, length, at);
    } else if (json_is(value, JSON_STRING)) {
        *end = string_end(text, length, at);
    } else {
        while (at < length && !strchr(" \t\r\n,]}", text[at]) && text[at])
            at++;
        *end = at;
    }
}

void json_copy_source(Str *out, const JsonDoc *doc, const Json *value)
{
    size_t begin, end, length;
    const char *text = json_text(doc, &length);

    json_span(doc, value, &begin, &end);
    str_add_n(out, text + begin, end - begin);
}

static bool is_escaped(const char *text, size_t at)
{
    size_t n = 0;

    while (at > n && text[at - 1 - n] == '\\')
        n++;
    return n % 2;
}

/* Span of a member's key with its quotes: backwards over the colon to the quote that opens. */
static void key_span(const JsonDoc *doc, const Json *member, size_t *begin, size_t *end)
{
    size_t length, at = (size_t)json_offset(member);
    const char *text = json_text(doc, &length);

    while (at > 0 && text[at - 1] != '"')
        at--;
    *end = at;
    at = at > 1 ? at - 2 : 0;
    while (at > 0 && !(text[at] == '"' && !is_escaped(text, at)))
        at--;
    *begin = at;
}

static bool is_member(const Json *value)
{
    return json_is(json_parent(value), JSON_OBJECT);
}

/* From the key of a member, or the start of an item, to the end of the value. */
static void entry_span(const JsonDoc *doc, const Json *value, size_t *begin, size_t *end)
{
    size_t key_end;

    json_span(doc, value, begin, end);
    if (is_member(value)) key_span(doc, value, begin, &key_end);
}

/* ---- marks ------------------------------------------------------------------------------- */

static NodeMark *find_mark(NodeMark *marks, size_t capacity, const Json *at)
{
    size_t i = (size_t)(((uintptr_t)at >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20);

    for (i &= capacity - 1; marks[i].at && marks[i].at != at; i = (i + 1) & (capacity - 1))
        ;
    return &marks[i];
}

static unsigned mark_of(const JsonEdit *e, const Json *at)
{
    return e->mark_capacity ? find_mark(e->marks, e->mark_capacity, at)->bits : 0;
}

static bool grow_marks(JsonEdit *e)
{
    size_t capacity = e->mark_capacity ? e->mark_capacity * 2 : 256;
    NodeMark *marks;

    if (e->n_marks * 2 < e->mark_capacity) return true;
    marks = mem_calloc(capacity, sizeof *marks);
    if (!marks) return false;
    for (size_t i = 0; i < e->mark_capacity; i++)
        if (e->marks[i].at) *find_mark(marks, capacity, e->marks[i].at) = e->marks[i];
    mem_free(e->marks);
    e->marks = marks;
    e->mark_capacity = capacity;
    return true;
}

static bool set_mark(JsonEdit *e, const Json *at, unsigned bits)
{
    NodeMark *m;

    if (!grow_marks(e)) return false;
    m = find_mark(e->marks, e->mark_capacity, at);
    if (!m->at) e->n_marks++;
    m->at = at;
    m->bits |= bits;
    return true;
}

static bool meets(const JsonEdit *e, const Edit *edit)
{
    const Json *up = json_parent(edit->at);
    bool reads = edit->kind == EDIT_USE || edit->kind == EDIT_FREEZE;

    for (const Json *j = edit->at; j; j = json_parent(j))
        if (mark_of(e, j) & (MARK_CLOSED | (reads ? 0u : MARK_FROZEN))) return true;
    switch (edit->kind) {
    case EDIT_ADD:
        /* Two entries in an empty container would lack the comma between them. */
        return mark_of(e, edit->at) & (json_count(edit->at) ? MARK_SHRUNK : MARK_GROWN);
    case EDIT_USE:
        return false;
    case EDIT_FREEZE:
        return mark_of(e, edit->at) & (MARK_BUSY | MARK_GROWN | MARK_SHRUNK);
    case EDIT_REMOVE:
        if (up && mark_of(e, up) & MARK_GROWN) return true;
        break;
    default:
        break;
    }
    return mark_of(e, edit->at) &
           (MARK_BUSY | MARK_NAMED | MARK_GROWN | MARK_SHRUNK | MARK_USED);
}

static bool mark_edit(JsonEdit *e, const Edit *edit)
{
    static const unsigned own[] = { [EDIT_REPLACE] = MARK_CLOSED,
                                    [EDIT_REMOVE] = MARK_CLOSED | MARK_GONE,
                                    [EDIT_ADD] = MARK_GROWN,
                                    [EDIT_USE] = MARK_USED,
                                    [EDIT_FREEZE] = MARK_USED | MARK_FROZEN };
    const Json *up = json_parent(edit->at);
    bool good = set_mark(e, edit->at, own[edit->kind]);

    if (up && edit->kind == EDIT_REMOVE) good = good && set_mark(e, up, MARK_SHRUNK);
    for (const Json *j = up; j && good && !(mark_of(e, j) & MARK_BUSY); j = json_parent(j))
        good = set_mark(e, j, MARK_BUSY);
    return good;
}

/* ---- groups ------------------------------------------------------------------------------ */

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

Status json_edit_new(const JsonDoc *doc, JsonEdit **out, Error *err)
{
    JsonEdit *e = mem_calloc(1, sizeof *e);

    if (e) e->arena = arena_new();
    if (!e || !e->arena) {
        mem_free(e);
        return no_memory(err);
    }
    e->doc = doc;
    e->ragged = json_duplicate(doc, 0) != NULL;
    *out = e;
    return OK;
}

void json_edit_free(JsonEdit *e)
{
    if (!e) return;
    arena_free(e->arena);
    mem_free(e->edits);
    mem_free(e->marks);
    mem_free(e->list);
    mem_free(e);
}

void json_edit_begin(JsonEdit *e)
{
    e->group = e->count;
    e->spoilt = false;
}

static bool is_repeated(const JsonEdit *e, const Edit *edit)
{
    for (size_t i = e->group; i < e->count; i++)
        if (e->edits[i].kind == EDIT_REMOVE && e->edits[i].at == edit->at)
            return edit->kind == EDIT_REMOVE || edit->kind >= EDIT_USE;
    return false;
}

static void push(JsonEdit *e, Edit edit)
{
    size_t capacity = e->capacity ? e->capacity * 2 : 32;

    if (e->spoilt || is_repeated(e, &edit)) return;
    if (e->count == e->capacity) {
        Edit *edits = mem_realloc(e->edits, capacity * sizeof *edits);
        if (!edits) {
            e->spoilt = true;
            return;
        }
        e->edits = edits;
        e->capacity = capacity;
    }
    e->edits[e->count++] = edit;
}

static const char *keep(JsonEdit *e, const char *text)
{
    char *own = arena_strdup(e->arena, text);

    if (!own) e->spoilt = true;
    return own;
}

static const char *keep_key(JsonEdit *e, const char *key)
{
    Str quoted = { 0 };
    const char *own;

    json_write_string(&quoted, key, strlen(key));
    own = quoted.failed ? NULL : keep(e, quoted.text);
    e->spoilt |= quoted.failed;
    str_fini(&quoted);
    return own;
}

void json_edit_replace(JsonEdit *e, const Json *value, const char *text)
{
    push(e, (Edit){ .kind = EDIT_REPLACE, .at = value, .text = keep(e, text) });
}

void json_edit_remove(JsonEdit *e, const Json *value)
{
    if (!json_parent(value) || (e->ragged && is_member(value))) e->spoilt = true;
    push(e, (Edit){ .kind = EDIT_REMOVE, .at = value });
}

void json_edit_use(JsonEdit *e, const Json *value)
{
    push(e, (Edit){ .kind = EDIT_USE, .at = value });
}

void json_edit_freeze(JsonEdit *e, const Json *value)
{
    push(e, (Edit){ .kind = EDIT_FREEZE, .at = value });
}

void json_edit_add_member(JsonEdit *e, const Json *object, const char *key, const char *text)
{
    if (!json_is(object, JSON_OBJECT) || e->ragged) e->spoilt = true;
    push(e,
         (Edit){
             .kind = EDIT_ADD, .at = object, .key = keep_key(e, key), .text = keep(e, text) });
}

void json_edit_add_item(JsonEdit *e, const Json *array, const char *text)
{
    if (!json_is(array, JSON_ARRAY)) e->spoilt = true;
    push(e, (Edit){ .kind = EDIT_ADD, .at = array, .text = keep(e, text) });
}

void json_edit_cancel(JsonEdit *e)
{
    e->count = e->group;
}

static bool is_inside(const Json *j, const Json *outer)
{
    while (j && j != outer)
        j = json_parent(j);
    return j != NULL;
}

/* Two changes of one group that cannot both be made. */
static bool clash(const Edit *a, const Edit *b)
{
    bool a_closes = a->kind == EDIT_REPLACE || a->kind == EDIT_REMOVE;
    bool b_closes = b->kind == EDIT_REPLACE || b->kind == EDIT_REMOVE;

    if (a->kind >= EDIT_USE || b->kind >= EDIT_USE) return false;
    if (a->at == b->at) return a->kind != EDIT_ADD || b->kind != EDIT_ADD || !json_first(a->at);
    return (a_closes && is_inside(b->at, a->at)) || (b_closes && is_inside(a->at, b->at));
}

static bool changes_something(const JsonEdit *e)
{
    for (size_t i = e->group; i < e->count; i++)
        if (e->edits[i].kind < EDIT_USE) return true;
    return false;
}

bool json_edit_commit(JsonEdit *e)
{
    bool good = !e->spoilt && changes_something(e);

    for (size_t i = e->group; i < e->count && good; i++)
        for (size_t k = e->group; k < i && good; k++)
            good = !clash(&e->edits[k], &e->edits[i]);
    for (size_t i = e->group; i < e->count && good; i++)
        good = !meets(e, &e->edits[i]);
    for (size_t i = e->group; i < e->count && good; i++)
        good = mark_edit(e, &e->edits[i]);
    if (good)
        e->taken++;
    else
        json_edit_cancel(e);
    return good;
}

void json_edit_reset(JsonEdit *e)
{
    e->count = e->group = e->taken = 0;
    if (e->n_marks) memset(e->marks, 0, e->mark_capacity * sizeof *e->marks);
    e->n_marks = 0;
}

size_t json_edit_count(const JsonEdit *e)
{
    return e->taken;
}

/* ---- changes as byte ranges -------------------------------------------------------------- */

static void put(JsonEdit *e, size_t begin, size_t end, const char *with)
{
    size_t capacity = e->list_capacity ? e->list_capacity * 2 : 32;

    if (e->list_failed || !with) {
        e->list_failed = true;
        return;
    }
    if (e->listed == e->list_capacity) {
        TextEdit *list = mem_realloc(e->list, capacity * sizeof *list);
        if (!list) {
            e->list_failed = true;
            return;
        }
        e->list = list;
        e->list_capacity = capacity;
    }
    e->list[e->listed++] = (TextEdit){ (int64_t)begin, (int64_t)(end - begin), with };
}

/* One range for each run of removed neighbours: up to the next that stays, else from the last that did. */
static void put_removals(JsonEdit *e, const Json *container, const bool *removed)
{
    const Json *kept = NULL, *first = NULL;
    size_t i = 0, begin, end, from, to;

    for (const Json *j = json_first(container);; j = json_next(j), i++) {
        if (j && removed[i]) {
            if (!first) first = j;
            continue;
        }
        if (first && j) {
            entry_span(e->doc, first, &from, &end);
            entry_span(e->doc, j, &to, &end);
            put(e, from, to, "");
        } else if (first) {
            const Json *last = first;
            while (json_next(last))
                last = json_next(last);
            entry_span(e->doc, last, &begin, &to);
            if (kept) {
                entry_span(e->doc, kept, &begin, &from);
            } else { /* nothing stays: the brackets close up */
                json_span(e->doc, container, &from, &to);
                from++;
                to--;
            }
            put(e, from, to, "");
        }
        first = NULL;
        if (!j) return;
        kept = j;
    }
}

/* Blanks between the opening bracket and the first entry, and between key and value. */
static void spacing(const JsonDoc *doc, const Json *container, Str *before, Str *colon)
{
    const Json *first = json_first(container);
    size_t length, begin, end, key_begin, key_end, open = (size_t)json_offset(container) + 1;
    const char *text = json_text(doc, &length);

    entry_span(doc, first, &begin, &end);
    str_add_n(before, text + open, begin - open);
    if (!is_member(first)) {
        /* Items on one line are split as the second is from the first. */
        const Json *second = json_next(first);
        if (second && before->length == 0) {
            size_t to = (size_t)json_offset(second), from = to;
            while (from > 0 && strchr(" \t\r\n", text[from - 1]))
                from--;
            str_add_n(before, text + from, to - from);
        }
        return;
    }
    if (before->length == 0 && json_next(first)) {
        size_t to, from, unused;
        entry_span(doc, json_next(first), &to, &unused);
        from = to;
        while (from > 0 && strchr(" \t\r\n", text[from - 1]))
            from--;
        str_add_n(before, text + from, to - from);
    }
    key_span(doc, first, &key_begin, &key_end);
    str_add_n(colon, text + key_end, (size_t)json_offset(first) - key_end);
}

static void put_addition(JsonEdit *e, const Edit *edit)
{
    const Json *last = json_first(edit->at);
    Str with = { 0 }, before = { 0 }, colon = { 0 };
    size_t begin, end;

    while (last && json_next(last))
        last = json_next(last);
    if (last) {
        spacing(e->doc, edit->at, &before, &colon);
        str_add_char(&with, ',');
        if (before.text) str_add(&with, before.text);
    }
    if (edit->key) {
        str_add(&with, edit->key);
        str_add(&with, colon.text ? colon.text : ": ");
    }
    str_add(&with, edit->text);
    if (last)
        json_span(e->doc, last, &begin, &end);
    else
        end = (size_t)json_offset(edit->at) + 1;
    put(e, end, end, with.failed ? NULL : arena_strdup(e->arena, with.text));
    str_fini(&with);
    str_fini(&before);
    str_fini(&colon);
}

static void put_edit(JsonEdit *e, const Edit *edit)
{
    size_t begin, end;

    switch (edit->kind) {
    case EDIT_REPLACE:
        json_span(e->doc, edit->at, &begin, &end);
        put(e, begin, end, edit->text);
        break;
    case EDIT_ADD:
        put_addition(e, edit);
        break;
    default:
        break;
    }
}

static int by_pointer(const void *a, const void *b)
{
    const Json *x = *(const Json *const *)a, *y = *(const Json *const *)b;

    return x < y ? -1 : x > y;
}

/* Removals of one container make ranges together. */
static Status list_removals(JsonEdit *e, Error *err)
{
    const Json **gone = mem_alloc_array(e->count + 1, sizeof *gone);
    size_t n = 0;
    Status status = OK;

    if (!gone) return no_memory(err);
    for (size_t i = 0; i < e->count; i++)
        if (e->edits[i].kind == EDIT_REMOVE) gone[n++] = json_parent(e->edits[i].at);
    if (n) qsort(gone, n, sizeof *gone, by_pointer);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        bool *removed;
        if (i && gone[i] == gone[i - 1]) continue;
        removed = mem_calloc(json_count(gone[i]) + 1, sizeof *removed);
        if (!removed) {
            status = no_memory(err);
            break;
        }
        for (const Json *j = json_first(gone[i]); j; j = json_next(j))
            removed[k++] = (mark_of(e, j) & MARK_GONE) != 0;
        put_removals(e, gone[i], removed);
        mem_free(removed);
    }
    mem_free(gone);
    return status;
}

static int by_place(const void *a, const void *b)
{
    const TextEdit *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

Status json_edit_list(JsonEdit *e, const TextEdit **out, size_t *count, Error *err)
{
    e->listed = 0;
    e->list_failed = false;
    for (size_t i = 0; i < e->count; i++)
        put_edit(e, &e->edits[i]);
    TRY(list_removals(e, err));
    if (e->list_failed) return no_memory(err);
    if (e->listed) qsort(e->list, e->listed, sizeof *e->list, by_place);
    *out = e->list;
    *count = e->listed;
    return OK;
}

Status json_edit_apply(JsonEdit *e, Str *out, Error *err)
{
    const TextEdit *list;
    size_t n, length, at = 0;
    const char *text = json_text(e->doc, &length);

    TRY(json_edit_list(e, &list, &n, err));
    for (size_t i = 0; i < n; i++) {
        str_add_n(out, text + at, (size_t)list[i].offset - at);
        str_add(out, list[i].with);
        at = (size_t)(list[i].offset + list[i].length);
    }
    str_add_n(out, text + at, length - at);
    return out->failed ? no_memory(err) : OK;
}
