/* why.c - which input changed between two runs. */
#include "engine/why.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/map.h"
#include "engine/base/mem.h"

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* A node that the walk has met, and through which input of which other. */
typedef struct Met {
    const Json *node; /* in `after` */
    const Json *old;  /* what it was in `before`; NULL = new */
    int down;         /* place of the consumer in the list, -1 = the node that is asked about */
    const char *input;
} Met;

typedef struct Walk {
    const Json *before, *after; /* the "nodes" objects */
    Why *why;
    Met *list; /* owned: the queue of a breadth-first walk */
    size_t count, capacity;
    Map seen;
    Str text; /* owned scratch */
    Error *err;
} Walk;

static const char *text_of(const Json *node, const char *key)
{
    const Json *v = json_get(node, key);
    return json_is(v, JSON_STRING) ? json_string(v) : NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- finding the node ------------------------------------------------------------------------ */

static bool ends_in(const char *id, const char *part)
{
    size_t n = strlen(id), k = strlen(part);
    return n > k && id[n - k - 1] == ':' && strcmp(id + n - k, part) == 0;
}

static bool is_meant(const Json *node, const char *name, int way)
{
    if (way == 0) return strcmp(json_key(node), name) == 0;
    if (way == 1) return ends_in(json_key(node), name);
    return same_text(text_of(node, way == 2 ? "title" : "class"), name);
}

/* By id, last part of an id, title, class; the latter three only when one node has it. */
static const Json *find_node(const Json *nodes, const char *name)
{
    for (int way = 0; nodes && way < 4; way++) {
        const Json *found = NULL;
        int count = 0;
        for (const Json *n = json_first(nodes); n; n = json_next(n))
            if (is_meant(n, name, way)) {
                found = n;
                count++;
            }
        if (count == 1) return found;
    }
    return NULL;
}

/* Way 4: it stands in the subgraph of this id; way 5: in the subgraph in which this id would stand. */
static bool may_be_meant(const Json *node, const char *name, int way)
{
    const char *last = strrchr(name, ':');
    size_t n = way == 4 ? strlen(name) : last ? (size_t)(last - name) : 0;
    if (way < 4) return is_meant(node, name, way);
    return n > 0 && strncmp(json_key(node), name, n) == 0 && json_key(node)[n] == ':';
}

int why_candidates(const Json *run, const char *name, Str *out)
{
    enum { SHOWN = 8 };
    int count = 0;

    for (int way = 1; way < 6 && count == 0; way++)
        for (const Json *n = json_first(json_get(run, "nodes")); n; n = json_next(n)) {
            if (!may_be_meant(n, name, way)) continue;
            const char *class_type = text_of(n, "class");
            if (count < SHOWN)
                str_printf(out, "%s%s (%s)", count ? ", " : "", json_key(n),
                           class_type ? class_type : "");
            count++;
        }
    if (count > SHOWN) str_add(out, " ...");
    return count;
}

static const Json *find_key(const Json *nodes, const char *key)
{
    for (const Json *n = nodes ? json_first(nodes) : NULL; n && key; n = json_next(n))
        if (same_text(text_of(n, "key"), key)) return n;
    return NULL;
}

/* ---- causes ---------------------------------------------------------------------------------- */

static Status push(Walk *w, const Json *node, const Json *old, int down, const char *input)
{
    if (map_has(&w->seen, json_key(node))) return OK;
    if (!map_put(&w->seen, json_key(node), w)) return no_memory(w->err);
    if (w->count == w->capacity) {
        size_t more = w->capacity ? 2 * w->capacity : 64;
        Met *list = mem_realloc(w->list, more * sizeof *list);
        if (!list) return no_memory(w->err);
        w->list = list;
        w->capacity = more;
    }
    w->list[w->count++] = (Met){ node, old, down, input };
    return OK;
}

static const char *keep(Walk *w)
{
    return arena_strdup(w->why->arena, w->text.text ? w->text.text : "");
}

/* "6 -> 5 (text) -> 3 (positive)". */
static const char *path_of(Walk *w, int at)
{
    if (w->list[at].down < 0) return "";
    str_clear(&w->text);
    str_add(&w->text, json_key(w->list[at].node));
    for (int steps = 0; w->list[at].down >= 0 && steps < 40; steps++) {
        str_printf(&w->text, " -> %s (%s)", json_key(w->list[w->list[at].down].node),
                   w->list[at].input);
        at = w->list[at].down;
    }
    if (w->list[at].down >= 0) str_add(&w->text, " -> ...");
    return keep(w);
}

static const char *shown(Walk *w, const Json *v)
{
    if (!v) return NULL;
    str_clear(&w->text);
    json_write(&w->text, v);
    return keep(w);
}

static Status add_cause(Walk *w, int at, const char *input, const char *before,
                        const char *after)
{
    const Json *node = w->list[at].node;
    WhyCause *c;

    if (w->why->count == WHY_CAUSES) {
        w->why->more = true;
        return OK;
    }
    c = &w->why->causes[w->why->count++];
    *c = (WhyCause){ .node = json_key(node),
                     .class_type = text_of(node, "class"),
                     .input = input,
                     .before = before,
                     .after = after,
                     .path = path_of(w, at) };
    return c->path && !w->text.failed ? OK : no_memory(w->err);
}

/* The origin of a link, or NULL. */
static const Json *origin(const Json *nodes, const Json *value, const char **id)
{
    const Json *first = json_is(value, JSON_ARRAY) ? json_first(value) : NULL;

    *id = json_is(first, JSON_STRING) ? json_string(first) : NULL;
    return *id ? json_get(nodes, *id) : NULL;
}

static bool same_json(Walk *w, const Json *a, const Json *b)
{
    Str x = { 0 };
    bool same;

    str_clear(&w->text);
    json_write(&w->text, a);
    json_write(&x, b);
    same = same_text(x.text, w->text.text);
    w->text.failed |= x.failed;
    str_fini(&x);
    return same;
}

/* Both are links from the same slot: what changed, if anything, is above. */
static Status compare_links(Walk *w, int at, const char *name, const Json *a, const Json *b)
{
    const char *id_a, *id_b;
    const Json *from_a = origin(w->before, a, &id_a), *from_b = origin(w->after, b, &id_b);
    const char *key_a = from_a ? text_of(from_a, "key") : NULL,
               *key_b = from_b ? text_of(from_b, "key") : NULL;

    if (key_a && key_b && strcmp(key_a, key_b) == 0) return OK;
    if (from_a && from_b && same_text(id_a, id_b)) return push(w, from_b, from_a, at, name);
    if (from_a && from_b && !json_get(w->before, id_b) && !json_get(w->after, id_a) &&
        same_text(text_of(from_a, "class"), text_of(from_b, "class")))
        return push(w, from_b, from_a, at, name); /* renumbered */
    return add_cause(w, at, name, shown(w, a), shown(w, b));
}

static bool same_slot(const Json *a, const Json *b)
{
    int64_t x = 0, y = 0;
    return json_int64(json_at(a, 1), &x) && json_int64(json_at(b, 1), &y) && x == y;
}

static Status compare_input(Walk *w, int at, const char *name, const Json *a, const Json *b)
{
    if (json_is(a, JSON_ARRAY) && json_is(b, JSON_ARRAY) && same_slot(a, b))
        return compare_links(w, at, name, a, b);
    if (a && b && same_json(w, a, b)) return OK;
    return add_cause(w, at, name, shown(w, a), shown(w, b));
}

static const char *quoted(Walk *w, const char *text)
{
    if (!text) return NULL;
    str_clear(&w->text);
    json_write_string(&w->text, text, strlen(text));
    return keep(w);
}

static Status compare_nodes(Walk *w, int at, const Json *old)
{
    const Json *now = w->list[at].node, *a = json_get(old, "inputs"),
               *b = json_get(now, "inputs");

    if (!same_text(text_of(old, "class"), text_of(now, "class")))
        return add_cause(w, at, "class", quoted(w, text_of(old, "class")),
                         quoted(w, text_of(now, "class")));
    if (!same_text(text_of(old, "token"), text_of(now, "token")))
        TRY(add_cause(w, at, "content of its file", quoted(w, text_of(old, "token")),
                      quoted(w, text_of(now, "token"))));
    for (const Json *i = b ? json_first(b) : NULL; i; i = json_next(i))
        TRY(compare_input(w, at, json_key(i), a ? json_get(a, json_key(i)) : NULL, i));
    for (const Json *i = a ? json_first(a) : NULL; i; i = json_next(i))
        if (!b || !json_get(b, json_key(i))) TRY(compare_input(w, at, json_key(i), i, NULL));
    return OK;
}

static Status visit(Walk *w, int at)
{
    const Json *now = w->list[at].node, *old = w->list[at].old;
    int before = w->why->count;
    size_t queued = w->count;

    if (!old) return add_cause(w, at, NULL, NULL, NULL);
    TRY(compare_nodes(w, at, old));
    if (w->why->count == before && w->count == queued && !text_of(now, "key") && !w->why->more)
        return add_cause(w, at, "state outside the workflow", NULL, NULL);
    return OK;
}

static Status find_causes(Walk *w, const Json *node, const Json *old)
{
    w->why->causes = arena_array(w->why->arena, WHY_CAUSES, sizeof *w->why->causes);
    if (!w->why->causes) return no_memory(w->err);
    TRY(push(w, node, old, -1, NULL));
    for (size_t at = 0; at < w->count; at++)
        TRY(visit(w, (int)at));
    return OK;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static Status answer(Walk *w, const char *name)
{
    const Json *node = find_node(w->after, name);
    Why *why = w->why;

    why->answer = WHY_NOT_THERE;
    why->node = arena_strdup(why->arena, name);
    if (!node) return why->node ? OK : no_memory(w->err);
    why->node = json_key(node);
    why->class_type = text_of(node, "class");
    why->title = text_of(node, "title");
    why->how = text_of(node, "how");
    const char *key = text_of(node, "key");
    const Json *old = json_get(w->before, why->node);
    if (!old || !same_text(text_of(old, "key"), key)) {
        const Json *equal = find_key(w->before, key);
        if (equal) why->was = json_key(equal);
        if (equal) old = equal;
    }
    if (!why->how && old && key && same_text(text_of(old, "key"), key))
        why->how = text_of(old, "how");
    why->answer = !old                                         ? WHY_NEW
                  : key && same_text(text_of(old, "key"), key) ? WHY_SAME
                  : key                                        ? WHY_CHANGED
                                                               : WHY_ALWAYS;
    return why->answer == WHY_CHANGED || why->answer == WHY_ALWAYS ? find_causes(w, node, old)
                                                                   : OK;
}

Status why_compare(const Json *before, const Json *after, const char *name, Why *out,
                   Error *err)
{
    Why why = { .arena = arena_new() };
    Walk w = { .before = json_get(before, "nodes"),
               .after = json_get(after, "nodes"),
               .why = &why,
               .err = err };
    Status status = why.arena ? answer(&w, name) : no_memory(err);

    map_fini(&w.seen);
    str_fini(&w.text);
    mem_free(w.list);
    if (status == OK)
        *out = why;
    else
        why_fini(&why);
    return status;
}

void why_fini(Why *w)
{
    if (w->arena) arena_free(w->arena);
    *w = (Why){ 0 };
}

/* ---- words ----------------------------------------------------------------------------------- */

static void print_name(const Why *w, Str *out)
{
    str_printf(out, "%s %s", w->class_type ? w->class_type : "node", w->node);
    if (w->title && (!w->class_type || strcmp(w->title, w->class_type)))
        str_printf(out, " (%s)", w->title);
}

static void print_cause(const WhyCause *c, Str *out)
{
    if (!c->input)
        str_add(out, "it was not there");
    else if (!c->before && !c->after)
        str_add(out, c->input);
    else if (!c->before)
        str_printf(out, "%s: %s was added", c->input, c->after);
    else if (!c->after)
        str_printf(out, "%s: %s was removed", c->input, c->before);
    else
        str_printf(out, "%s: %s -> %s", c->input, c->before, c->after);
}

static void print_causes(const Why *w, const char *again, Str *out)
{
    const WhyCause *first = w->causes;

    print_name(w, out);
    str_printf(out, " %s", again);
    if (w->count && first->path[0])
        str_printf(out,
                   " because %s %s changed: ", first->class_type ? first->class_type : "node",
                   first->node);
    else
        str_add(out, w->count ? ": " : "");
    if (w->count) print_cause(first, out);
    str_add_char(out, '\n');
    for (int i = 0; i < w->count; i++) {
        const WhyCause *c = &w->causes[i];
        if (w->count > 1 || c->path[0]) {
            str_printf(out, "  %s %s: ", c->class_type ? c->class_type : "node", c->node);
            print_cause(c, out);
            if (c->path[0]) str_printf(out, "   [%s]", c->path);
            str_add_char(out, '\n');
        }
    }
    if (w->more) str_add(out, "  and more\n");
}

static const char *origin_sentence(const char *how)
{
    if (!how) return "";
    if (strcmp(how, "ran") == 0) return "; it ran then";
    if (strcmp(how, "cache") == 0) return "; its result came from the cache";
    if (strcmp(how, "prompt cache") == 0)
        return "; its result came from the prompt cache on disk";
    return "; no output needed it, or an equal node ran in its place";
}

void why_print(const Why *w, const char *again, const char *since, Str *out)
{
    switch (w->answer) {
    case WHY_SAME:
        print_name(w, out);
        str_printf(out, ": nothing changed since the run of %s%s", since,
                   origin_sentence(w->how));
        if (w->was && strcmp(w->was, w->node) != 0) str_printf(out, " (as node %s)", w->was);
        str_add_char(out, '\n');
        break;
    case WHY_NEW:
        print_name(w, out);
        str_printf(out, " %s: the run of %s had no such node\n", again, since);
        break;
    case WHY_ALWAYS:
        print_name(w, out);
        str_add(out, " runs every time: part of what it depends on cannot be known\n");
        print_causes(w, again, out);
        break;
    case WHY_NOT_THERE:
        str_printf(out, "no node %s\n", w->node);
        break;
    case WHY_CHANGED:
        print_causes(w, again, out);
    }
}

static void member(Str *out, const char *name, const char *text)
{
    if (!text) return;
    str_printf(out, ", \"%s\": ", name);
    json_write_string(out, text, strlen(text));
}

static void json_cause(const WhyCause *c, Str *out)
{
    str_add(out, "{\"node\": ");
    json_write_string(out, c->node, strlen(c->node));
    member(out, "class_type", c->class_type);
    member(out, "input", c->input);
    if (c->before) str_printf(out, ", \"before\": %s", c->before);
    if (c->after) str_printf(out, ", \"after\": %s", c->after);
    member(out, "path", c->path);
    str_add_char(out, '}');
}

void why_write_json(const Why *w, Str *out)
{
    static const char *const answers[] = { "same", "changed", "new", "always", "missing" };

    str_printf(out, "\"answer\": \"%s\", \"node\": ", answers[w->answer]);
    json_write_string(out, w->node, strlen(w->node));
    member(out, "class_type", w->class_type);
    member(out, "title", w->title);
    member(out, "result", w->how);
    str_add(out, ", \"causes\": [");
    for (int i = 0; i < w->count; i++) {
        if (i) str_add(out, ", ");
        json_cause(&w->causes[i], out);
    }
    str_printf(out, "], \"more\": %s", w->more ? "true" : "false");
}
