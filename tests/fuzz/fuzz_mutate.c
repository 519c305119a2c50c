/* fuzz_mutate.c - documents changed by their structure: values swapped, retyped, doubled, wired in circles.
 *
 * usage: fuzz_mutate SEED COUNT[+FIRST] FILE-OR-FOLDER...
 *
 * Each round takes one of the documents, makes a few changes to its tree, writes it, and sends the text through
 * reading, checking, the golden order, ComfyUI's answer, conversion and corrections. What must hold: no report
 * of a sanitizer, every finding has rule and message, a converted graph reads back, corrections end and do
 * nothing the second time, one correction alone ends its finding, makes no error and does to a drawing what it
 * does to the same prompt in API format, and nothing takes a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/graph/comfy_errors.h"
#include "engine/graph/fix.h"
#include "engine/graph/lint.h"
#include "engine/graph/parse_ui.h"
#include "engine/graph/suppress.h"
#include "nodes/facts.h"
#include "tests/fuzz/fuzz.h"

enum { NODES_MAX = 20000, TEXT_MAX = 1 << 16, CHANGES_MAX = 8, PASSES_MAX = 100 };

static const double SLOW = 1; /* seconds */

/* ---- a tree that can be changed ---------------------------------------------------------- */

/* A value; children hang in a list. Text is what it is written as, for all that has none. */
typedef struct Tag {
    char open; /* '{', '[' or 0 */
    const char *key, *text;
    struct Tag *first, *next, *up;
} Tag;

typedef struct Tree {
    Arena *arena;
    Tag *root;
    Tag *all[NODES_MAX];
    int count;
} Tree;

static uint64_t state;

static uint64_t draw(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int below(int n)
{
    return n > 0 ? (int)(draw() % (uint64_t)n) : 0;
}

static const char *source_of(Arena *arena, const JsonDoc *doc, const Json *j)
{
    Str text = { 0 };
    char *own;

    json_copy_source(&text, doc, j);
    own = arena_strdup(arena, text.text ? text.text : "");
    MUST(own && !text.failed);
    str_fini(&text);
    return own;
}

static const char *quoted(Arena *arena, const char *text)
{
    Str out = { 0 };
    char *own;

    json_write_string(&out, text, strlen(text));
    own = arena_strdup(arena, out.text);
    MUST(own && !out.failed);
    str_fini(&out);
    return own;
}

static Tag *new_value(Tree *t, Tag *up, const char *key)
{
    Tag *v = arena_alloc(t->arena, sizeof *v);

    MUST(v);
    v->up = up;
    v->key = key;
    if (t->count < NODES_MAX) t->all[t->count++] = v;
    return v;
}

/* The document as a tree; a stack of the documents' own places replaces recursion. */
static bool load(Tree *t, const JsonDoc *doc)
{
    const Json *at = json_root(doc);
    Tag *up = NULL, **end = &t->root;
    Tag **ends[JSON_MAX_DEPTH + 1];
    int depth = 0;

    while (at) {
        JsonKind kind = json_kind(at);
        Tag *v = *end = new_value(t, up, json_key(at) ? quoted(t->arena, json_key(at)) : NULL);
        if (t->count >= NODES_MAX) return false;
        end = &v->next;
        if (kind < JSON_ARRAY) {
            v->text = source_of(t->arena, doc, at);
        } else {
            v->open = kind == JSON_ARRAY ? '[' : '{';
            if (json_first(at)) {
                ends[depth++] = end;
                up = v;
                end = &v->first;
                at = json_first(at);
                continue;
            }
        }
        while (at && !json_next(at) && depth > 0) {
            at = json_parent(at);
            up = up->up;
            end = ends[--depth];
        }
        at = depth >= 0 && at != json_root(doc) ? json_next(at) : NULL;
    }
    return true;
}

static void put_value(Str *out, const Tag *root)
{
    const Tag *v = root;

    while (v && out->length < TEXT_MAX) {
        if (v->key && v->up && v->up->open == '{') {
            str_add(out, v->key);
            str_add(out, ": ");
        } else if (v->up && v->up->open == '{') {
            str_add(out, "\"\": ");
        }
        if (v->open) {
            str_add_char(out, v->open);
            if (v->first) {
                v = v->first;
                continue;
            }
            str_add_char(out, v->open == '{' ? '}' : ']');
        } else {
            str_add(out, v->text ? v->text : "null");
        }
        while (v && !v->next) {
            v = v->up;
            if (v) str_add_char(out, v->open == '{' ? '}' : ']');
        }
        v = v ? v->next : NULL;
        if (v) str_add(out, below(40) ? ", " : ",\n  ");
    }
}

/* ---- changes ----------------------------------------------------------------------------- */

static Tag *any(Tree *t)
{
    return t->all[below(t->count)];
}

static Tag **place_of(Tag *v)
{
    Tag **at = v->up ? &v->up->first : NULL;

    while (at && *at && *at != v)
        at = &(*at)->next;
    return at && *at == v ? at : NULL;
}

static bool is_above(const Tag *v, const Tag *under)
{
    while (under && under != v)
        under = under->up;
    return under != NULL;
}

static Tag *copy(Tree *t, const Tag *from, Tag *up, int budget)
{
    Tag *v = new_value(t, up, from->key), **end = &v->first;

    v->open = from->open;
    v->text = from->text;
    for (const Tag *c = from->first; c && budget > 0; c = c->next) {
        *end = copy(t, c, v, budget / 2);
        end = &(*end)->next;
    }
    return v;
}

static void drop(Tree *t)
{
    Tag *v = any(t), **at = place_of(v);

    if (at) *at = v->next;
}

static void twice(Tree *t)
{
    Tag *v = any(t), *again;

    if (!v->up || t->count > NODES_MAX / 2) return;
    again = copy(t, v, v->up, 64);
    again->next = v->next;
    v->next = again;
    if (below(2)) {
        static const char *const keys[] = { "\"99\"", "\"inputs\"", "\"model\"", "\"\"",
                                            "\"a.b\"" };
        again->key = keys[below(5)];
    }
}

static void swap(Tree *t)
{
    Tag *a = any(t), *b = any(t), held;

    if (is_above(a, b) || is_above(b, a)) return;
    held = *a;
    a->open = b->open, a->text = b->text, a->first = b->first;
    b->open = held.open, b->text = held.text, b->first = held.first;
    for (Tag *c = a->first; c; c = c->next)
        c->up = a;
    for (Tag *c = b->first; c; c = c->next)
        c->up = b;
}

static void retype(Tree *t)
{
    static const char *const values[] = {
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1",
        "4.9",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1e-320",
        "99999999999999999999999999999999999999999999",
        "\"\"",
        "\"nan\"",
        "\" 12 \"",
        "\"1_0\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"a{b|c}d // e\"",
        "\"\\\\{\"",
        "\"*\"",
        "\"randomize\"",
        "\"%date:yyyy%\"",
        "\"%KSampler.seed%\"",
        "\"../../x\"",
        "-10",
        "-20",
        "2",
        "4",
        "1000000",
        "\"euler\"",
        "\"Euler\"",
        "\"W301\"",
        "\"W\"",
    };
    Tag *v = any(t);

    v->first = NULL;
    v->open = 0;
    v->text = values[below(sizeof values / sizeof *values)];
    if (!below(6)) v->open = below(2) ? '{' : '[';
}

static void rekey(Tree *t)
{
    static const char *const keys[] = {
        "\"inputs\"",       "\"class_type\"",     "\"model\"",
        "\"_meta\"",        "\"__value__\"",      "\"nodes\"",
        "\"links\"",        "\"widgets_values\"", "\"widgets_values_named\"",
        "\"mode\"",         "\"type\"",           "\"id\"",
        "\"definitions\"",  "\"subgraphs\"",      "\"properties\"",
        "\"proxyWidgets\"", "\"weft.ignore\"",    "\"weft_ignore\"",
        "\"extra\"",        "\"link\"",           "\"outputs\"",
        "\"steps\"",        "\"width\"",
    };
    Tag *v = any(t), *other = any(t);

    if (!v->key) return;
    v->key = other->key && below(2) ? other->key : keys[below(sizeof keys / sizeof *keys)];
}

/* A value takes another one's text: ids, classes, types, definitions that hold themselves. */
static void borrow(Tree *t)
{
    Tag *v = any(t), *other = any(t);

    if (v->open || other->open) return;
    v->text = other->text;
}

static void borrow_key(Tree *t)
{
    Tag *v = any(t), *other = any(t);

    if (!v->open && other->key) v->text = other->key;
}

static void bury(Tree *t)
{
    Tag *v = any(t), *inner;
    int depth = below(20) ? below(6) : below(600);

    for (int i = 0; i < depth && t->count < NODES_MAX - 1; i++) {
        inner = new_value(t, v, NULL);
        inner->open = v->open;
        inner->text = v->text;
        inner->first = v->first;
        for (Tag *c = inner->first; c; c = c->next)
            c->up = inner;
        v->open = below(2) ? '[' : '{';
        v->first = inner;
        v = inner;
    }
}

static void shuffle(Tree *t)
{
    Tag *v = any(t), **at = place_of(v), *next;

    if (!at || !v->next) return;
    next = v->next;
    v->next = next->next;
    next->next = v;
    *at = next;
}

static void (*const changes[])(Tree *) = { drop,   twice,  swap,       retype, retype, rekey,
                                           borrow, borrow, borrow_key, bury,   shuffle };

/* ---- what must hold ---------------------------------------------------------------------- */

static const NodeTable *table(void)
{
    static NodeTable all;

    all.known = facts_nodes;
    all.n_known = facts_count;
    return &all;
}

/* A document that was read and checked; NULL report when it could not be. */
typedef struct Checked {
    Graph *graph;
    CheckReport *report;
} Checked;

static void close_checked(Checked *c)
{
    check_free(c->report);
    graph_free(c->graph);
    *c = (Checked){ 0 };
}

static bool open_checked(const char *text, size_t length, Checked *out)
{
    const struct tm now = { .tm_year = 126, .tm_mon = 10, .tm_mday = 21 };
    const UiOptions ui = { .table = table(), .now = &now };
    CheckOptions options = { .table = table() };
    Error err;

    error_clear(&err);
    if (parse_document(text, length, &ui, &out->graph, &err) != OK) {
        MUST(err.message[0]);
        return false;
    }
    MUST(check_graph(out->graph, &options, &out->report, &err) == OK);
    MUST(lint_graph(out->graph, out->report, &err) == OK);
    return true;
}

static void use_findings(const Checked *c)
{
    Suppressions quiet;
    Str answer = { 0 };

    MUST(suppress_read(c->report, &quiet, NULL) == OK);
    for (int i = 0; i < c->report->count; i++) {
        Error e;
        finding_error(c->report, &c->report->items[i], &e);
        MUST(e.message[0] && e.rule[0]);
        (void)suppress_covers(&quiet, c->report, &c->report->items[i]);
    }
    if (comfy_status(c->report) == 200)
        MUST(comfy_write_node_errors(c->report, NULL, &answer, NULL) == OK);
    else
        MUST(comfy_write_refusal(c->report, NULL, &answer, NULL) == OK);
    str_fini(&answer);
}

static void convert(const Checked *c)
{
    Str text = { 0 };
    Graph *again = NULL;

    graph_write_api(c->graph, &text);
    MUST(!text.failed);
    if (c->graph->count && parse_api(text.text, text.length, &again, NULL) == OK)
        MUST(again->count == c->graph->count);
    graph_free(again);
    str_fini(&text);
}

/* Corrections of all findings, or of one (-1 = all); false when there was nothing to do. */
static bool correct(const Checked *c, int only, Str *out)
{
    JsonEdit *edit = NULL;
    Fixer *fixer = NULL;
    bool any_made;

    MUST(json_edit_new(c->graph->doc, &edit, NULL) == OK);
    MUST(fixer_new(c->report, edit, &fixer, NULL) == OK);
    for (int i = 0; i < c->report->count; i++)
        if (only < 0 || only == i) fixer_add(fixer, &c->report->items[i]);
    any_made = json_edit_count(edit) > 0;
    if (any_made) MUST(json_edit_apply(edit, out, NULL) == OK);
    fixer_free(fixer);
    json_edit_free(edit);
    return any_made;
}

/* ---- one correction ---------------------------------------------------------------------- */

/* What tells findings apart: rule, node and input; words = the message too. */
static const char *name_of(const Checked *c, int i, bool words)
{
    static char name[sizeof(Error)];
    Error e;

    finding_error(c->report, &c->report->items[i], &e);
    snprintf(name, sizeof name, "%s %s %s %s", e.rule, e.node, e.input, words ? e.message : "");
    return name;
}

static int count_named(const Checked *c, const char *name, bool words)
{
    int n = 0;

    for (int i = 0; i < c->report->count; i++)
        n += strcmp(name_of(c, i, words), name) == 0;
    return n;
}

static int find_named(const Checked *c, const char *name, bool words)
{
    for (int i = 0; i < c->report->count; i++)
        if (strcmp(name_of(c, i, words), name) == 0) return i;
    return -1;
}

static bool same_input(const GraphInput *a, const GraphInput *b)
{
    Str x = { 0 }, y = { 0 };
    bool same;

    if (!a || !b || a->is_link != b->is_link) return false;
    if (a->is_link)
        return strcmp(a->origin_id ? a->origin_id : "", b->origin_id ? b->origin_id : "") ==
                   0 &&
               a->slot == b->slot;
    literal_write_json(&x, &a->value);
    literal_write_json(&y, &b->value);
    same = !x.failed && !y.failed && strcmp(x.text, y.text) == 0;
    str_fini(&x);
    str_fini(&y);
    return same;
}

static bool same_node(const GraphNode *a, const GraphNode *b)
{
    if (!a || !b || a->n_inputs != b->n_inputs) return false;
    if (strcmp(a->class_type ? a->class_type : "", b->class_type ? b->class_type : "") != 0)
        return false;
    for (int k = 0; k < a->n_inputs; k++)
        if (!same_input(&a->inputs[k], graph_input(b, a->inputs[k].name))) return false;
    return true;
}

static bool same_graph(const Graph *a, const Graph *b)
{
    for (int i = 0; i < a->count; i++) {
        int k = graph_find(b, a->nodes[i].id);
        if (!same_node(&a->nodes[i], k < 0 ? NULL : &b->nodes[k])) return false;
    }
    return a->count == b->count;
}

static bool open_as_prompt(const Checked *c, Checked *out)
{
    Str text = { 0 };
    bool good;

    graph_write_api(c->graph, &text);
    MUST(!text.failed);
    good = c->graph->count && open_checked(text.text, text.length, out);
    str_fini(&text);
    return good;
}

/* The drawing `after` is `before` with one finding corrected: its prompt is that of `before`, corrected. */
static void compare_with_prompt(const Checked *before, const char *name, const Checked *after)
{
    Checked prompt = { 0 }, corrected = { 0 }, drawn = { 0 };
    Str text = { 0 };
    int at = open_as_prompt(before, &prompt) ? find_named(&prompt, name, true) : -1;

    if (at >= 0 && correct(&prompt, at, &text)) {
        MUST(open_checked(text.text, text.length, &corrected));
        MUST(open_as_prompt(after, &drawn));
        if (!same_graph(corrected.graph, drawn.graph)) {
            fprintf(stderr, "%s: corrected prompt, then what the corrected drawing says\n%s\n",
                    name, text.text);
            str_clear(&text);
            graph_write_api(after->graph, &text);
            fprintf(stderr, "%s\n", text.text);
        }
        MUST(same_graph(corrected.graph, drawn.graph));
    }
    close_checked(&prompt);
    close_checked(&corrected);
    close_checked(&drawn);
    str_fini(&text);
}

/* Other rules look at what a new class or value does. */
static bool opens_new_questions(const char *rule)
{
    static const char *const rules[] = { "E201", "W201", "E202", "E204", "E205",
                                         "W103", "N104", "N405", "N901" };

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i], rule) == 0) return true;
    return false;
}

static void must_make_no_error(const Checked *before, const Checked *after)
{
    char name[sizeof(Error)];

    for (int i = 0; i < after->report->count; i++) {
        if (after->report->items[i].severity != SEV_ERROR) continue;
        memcpy(name, name_of(after, i, false), sizeof name);
        if (count_named(after, name, false) > count_named(before, name, false))
            fprintf(stderr, "%s: new\n", name);
        MUST(count_named(after, name, false) <= count_named(before, name, false));
    }
}

/* Instances of one definition are corrected together, which a prompt knows nothing of. */
static bool is_shared(const Graph *g, int node)
{
    int n = 0;

    for (int i = 0; i < g->count && node >= 0; i++)
        n += g->nodes[i].source == g->nodes[node].source;
    return n > 1;
}

static void use_correction(const Checked *c, int i)
{
    Checked after = { 0 };
    Str text = { 0 };
    char name[sizeof(Error)];

    if (c->graph->embedded || !correct(c, i, &text)) return;
    memcpy(name, name_of(c, i, true), sizeof name);
    MUST(open_checked(text.text, text.length, &after));
    MUST(count_named(&after, name, true) < count_named(c, name, true));
    if (!opens_new_questions(c->report->items[i].rule)) must_make_no_error(c, &after);
    if (c->graph->drawing && !is_shared(c->graph, c->report->items[i].node))
        compare_with_prompt(c, name, &after);
    close_checked(&after);
    str_fini(&text);
}

static int use_corrections(Checked *c)
{
    int passes = 0;
    Str text = { 0 };

    if (c->graph->embedded) return 0;
    while (correct(c, -1, &text)) {
        close_checked(c);
        if (++passes >= PASSES_MAX) fprintf(stderr, "%s\n", text.text);
        MUST(passes < PASSES_MAX);
        if (!open_checked(text.text, text.length, c)) {
            fprintf(stderr, "%s\n", text.text);
            MUST(!"a corrected document must be readable");
        }
        str_clear(&text);
    }
    str_fini(&text);
    return passes;
}

/* ---- rounds ------------------------------------------------------------------------------ */

typedef struct Seeds {
    JsonDoc *docs[4096];
    int count;
} Seeds;

typedef struct Totals {
    long long rounds, read, findings, corrected;
    double slowest;
} Totals;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void one_round(const Seeds *seeds, Tree *t, Totals *totals)
{
    Str text = { 0 };
    Checked c = { 0 };
    double start;

    t->arena = arena_new();
    t->count = 0;
    t->root = NULL;
    MUST(t->arena);
    if (load(t, seeds->docs[below(seeds->count)])) {
        for (int n = 1 + below(CHANGES_MAX); n > 0; n--)
            changes[below(sizeof changes / sizeof *changes)](t);
        put_value(&text, t->root);
        start = now();
        if (text.text && open_checked(text.text, text.length, &c)) {
            totals->read++;
            totals->findings += c.report->count;
            use_findings(&c);
            convert(&c);
            if (c.report->count) use_correction(&c, below(c.report->count));
            totals->corrected += use_corrections(&c) > 0;
        }
        start = now() - start;
        if (start > totals->slowest) totals->slowest = start;
        if (start >= SLOW) fprintf(stderr, "%s\n", text.text);
        MUST(start < SLOW);
    }
    totals->rounds++;
    close_checked(&c);
    str_fini(&text);
    arena_free(t->arena);
}

static void add_seed(Seeds *s, const char *path)
{
    char *text = NULL;
    size_t n = 0;

    if (s->count == (int)(sizeof s->docs / sizeof *s->docs)) return;
    if (file_read(path, TEXT_MAX, &text, &n, NULL) != OK) return;
    if (json_parse(text, n, &s->docs[s->count], NULL) == OK) s->count++;
    mem_free(text);
}

static void add_seeds(Seeds *s, const char *path)
{
    FileList list = { 0 };

    if (!file_is_dir(path)) {
        add_seed(s, path);
        return;
    }
    MUST(file_list(path, NULL, &list, NULL) == OK);
    for (size_t i = 0; i < list.count; i++) {
        char *one = file_join(path, list.names[i]);
        MUST(one);
        add_seed(s, one);
        mem_free(one);
    }
    file_list_fini(&list);
}

static void print_totals(const Seeds *s, const Totals *t)
{
    printf("%lld mutated documents from %d seeds: %lld read, %lld findings, %lld corrected; "
           "slowest "
           "%.3f s\n",
           t->rounds, s->count, t->read, t->findings, t->corrected, t->slowest);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    enum { SHOW_EVERY = 20000 };
    Seeds *seeds = mem_calloc(1, sizeof *seeds);
    Tree *tree = mem_calloc(1, sizeof *tree);
    Totals totals = { 0 };
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    long long first =
        argc > 2 && strchr(argv[2], '+') ? strtoll(strchr(argv[2], '+'), NULL, 10) : 0;
    long long count = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;

    MUST(seeds && tree);
    for (int i = 3; i < argc; i++)
        add_seeds(seeds, argv[i]);
    if (!seeds->count) {
        fprintf(stderr, "usage: fuzz_mutate SEED COUNT FILE-OR-FOLDER...\n");
        return EXIT_FAILURE;
    }
    for (long long i = first; i < first + count; i++) {
        state =
            seed * UINT64_C(1000000007) + (uint64_t)i; /* each round can be repeated alone */
        one_round(seeds, tree, &totals);
        if ((i + 1) % SHOW_EVERY == 0) print_totals(seeds, &totals);
    }
    print_totals(seeds, &totals);
    for (int i = 0; i < seeds->count; i++)
        json_free(seeds->docs[i]);
    mem_free(seeds);
    mem_free(tree);
    return EXIT_SUCCESS;
}
