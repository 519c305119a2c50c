/* limits.c - whether a run fits into the memory that the user allows, and what would fit if it does not. */
#include "engine/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"

/* One way to need less. apply edits a copy of the workflow (or the host's options) and says what it did;
 * nothing said = it does not apply. */
typedef struct Change {
    Status (*apply)(Workflow *copy, HostOptions *host, Str *what, Error *err);
} Change;

/* ---- the changes ----------------------------------------------------------------------------- */

static Status set_number(Graph *g, int node, const char *input, int64_t value, Error *err)
{
    Literal l;
    TRY(literal_int(g->arena, value, &l, err));
    return graph_set_literal(g, node, input, &l, err);
}

static Status go_sequential(Workflow *copy, HostOptions *host, Str *what, Error *err)
{
    (void)copy;
    (void)err;
    if (host->residency != RESIDENCY_HYBRID) return OK;
    host->residency = RESIDENCY_SEQUENTIAL;
    str_add(what, "--residency sequential");
    return OK;
}

static Status use_tiles(Graph *g, int node, const char *class_type, int64_t tile, Error *err)
{
    g->nodes[node].class_type = class_type;
    TRY(set_number(g, node, "tile_size", tile, err));
    TRY(set_number(g, node, "overlap", 64, err));
    TRY(set_number(g, node, "temporal_size", 64, err));
    return set_number(g, node, "temporal_overlap", 8, err);
}

static Status tile_with(Workflow *copy, int64_t tile, Str *what, Error *err)
{
    static const char *const classes[][2] = { { "VAEDecode", "VAEDecodeTiled" },
                                              { "VAEEncode", "VAEEncodeTiled" } };
    Graph *g = copy->graph;

    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < 2 && g->nodes[i].class_type; k++) {
            if (strcmp(g->nodes[i].class_type, classes[k][0]) != 0) continue;
            TRY(use_tiles(g, i, classes[k][1], tile, err));
            str_printf(what, "%s%s with tile_size %lld in place of %s (node %s)",
                       what->length ? " and " : "", classes[k][1], (long long)tile,
                       classes[k][0], g->nodes[i].id);
        }
    return OK;
}

static Status tile_512(Workflow *copy, HostOptions *host, Str *what, Error *err)
{
    (void)host;
    return tile_with(copy, 512, what, err);
}

static Status tile_256(Workflow *copy, HostOptions *host, Str *what, Error *err)
{
    (void)host;
    return tile_with(copy, 256, what, err);
}

static Status one_at_a_time(Workflow *copy, HostOptions *host, Str *what, Error *err)
{
    static const char *const names[] = { "batch_size", "amount" };
    Graph *g = copy->graph;

    (void)host;
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < 2; k++) {
            const GraphInput *in = graph_input(&g->nodes[i], names[k]);
            if (!in || in->is_link || in->value.kind != LIT_INT || in->value.negative ||
                in->value.magnitude < 2)
                continue;
            str_printf(what, "%s%s 1 in place of %llu (node %s)", what->length ? " and " : "",
                       names[k], (unsigned long long)in->value.magnitude, g->nodes[i].id);
            TRY(set_number(g, i, names[k], 1, err));
        }
    return OK;
}

/* ---- quantised files ------------------------------------------------------------------------- */

/* Words in file names that tell a number format and not a model. */
static const char *const formats[] = {
    "safetensors", "gguf", "sft",  "fp8", "e4m3fn", "e5m2", "e4m3", "scaled",  "mixed",
    "bf16",        "fp16", "fp32", "f16", "f32",    "nf4",  "int8", "bnb",     "convrot",
    "w8a8",        "q8",   "q6",   "q5",  "q4",     "q3",   "q2",   "iq4",     "k",
    "m",           "s",    "l",    "0",   "1",      "nl",   "xs",   "learned",
};

static bool is_format(const char *word)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(word, formats[i]) == 0) return true;
    return false;
}

/* The letters and digits of a name without folder and formats, in lower case. */
static void model_of(const char *name, char *buf, size_t size)
{
    const char *slash = strrchr(name, '/');
    size_t at = 0;

    for (const char *p = slash ? slash + 1 : name; *p;) {
        char word[64];
        size_t n = 0;
        while (isalnum((unsigned char)*p) && n + 1 < sizeof word)
            word[n++] = (char)tolower((unsigned char)*p++);
        word[n] = 0;
        if (n > 0 && !is_format(word) && at + n + 1 < size) {
            memcpy(buf + at, word, n);
            at += n;
        }
        if (n == 0) p++;
    }
    buf[at] = 0;
}

static bool same_model(const char *a, const char *b)
{
    char x[256], y[256];

    model_of(a, x, sizeof x);
    model_of(b, y, sizeof y);
    return strcmp(a, b) != 0 && x[0] && strcmp(x, y) == 0;
}

static int64_t size_of(Host *h, const char *folder, const char *name)
{
    const char *path = NULL;
    if (host_find_model(h, folder, name, &path, NULL) != OK) return -1;
    return file_size(path);
}

/* The smallest other file of the same model in the folder of a loader's input; NULL = none is smaller. */
static const char *smaller_file(Host *h, const Socket *s, const char *name)
{
    const char *const *names = NULL, *best = NULL;
    size_t count = 0;
    int64_t least = size_of(h, s->folder, name);

    if (least < 0 || socket_options(s, h, &names, &count, NULL) != OK) return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!same_model(name, names[i])) continue;
        int64_t size = size_of(h, s->folder, names[i]);
        if (size <= 0 || size >= least) continue;
        least = size;
        best = names[i];
    }
    return best;
}

static Status swap_file(Workflow *copy, int node, const Socket *s, Str *what, Error *err)
{
    Graph *g = copy->graph;
    const GraphInput *in = graph_input(&g->nodes[node], s->name);
    Literal l;

    if (!in || in->is_link || in->value.kind != LIT_TEXT) return OK;
    const char *other = smaller_file(copy->session->host, s, in->value.text);
    if (!other) return OK;
    str_printf(what, "%s%s in place of %s (node %s)", what->length ? " and " : "", other,
               in->value.text, g->nodes[node].id);
    TRY(literal_text(g->arena, other, strlen(other), &l, err));
    return graph_set_literal(g, node, s->name, &l, err);
}

static Status quantised_files(Workflow *copy, HostOptions *host, Str *what, Error *err)
{
    Graph *g = copy->graph;

    (void)host;
    TRY(graph_bind(g, &copy->session->table, err));
    for (int i = 0; i < g->count; i++)
        for (const Socket *s = g->nodes[i].def ? g->nodes[i].def->inputs : NULL; s && s->name;
             s++)
            if (s->folder && s->type == SOCK_COMBO) TRY(swap_file(copy, i, s, what, err));
    return OK;
}

/* From the one that costs least. */
static const Change changes[] = {
    { go_sequential }, { tile_512 }, { tile_256 }, { quantised_files }, { one_at_a_time },
};
enum { CHANGE_COUNT = sizeof changes / sizeof *changes, TILE_512 = 1 };

/* ---- trying ---------------------------------------------------------------------------------- */

typedef struct Trial {
    Str what;
    int64_t ram, vram; /* peaks of the changed run; -1 = it cannot run */
} Trial;

static Status copy_workflow(const Workflow *w, Workflow *out, Error *err)
{
    Str text = { 0 };

    graph_write_api(w->graph, &text);
    Status status = text.failed
                        ? error_set(err, E_NOMEM, "out of memory for a plan")
                        : workflow_from_text(w->session, text.text, text.length, out, err);
    str_fini(&text);
    return status;
}

static Status plan_trial(Workflow *copy, const HostOptions *host, Trial *t, Error *err)
{
    CheckReport *report = NULL;
    Plan *plan = NULL;
    Error ignored = { 0 };

    TRY(workflow_check(copy, false, &report, err));
    if (report->errors == 0 &&
        workflow_plan_on(copy, report, host, NULL, &plan, &ignored) == OK) {
        t->ram = plan->ram.total;
        t->vram = plan->vram;
    }
    plan_free(plan);
    check_free(report);
    return OK;
}

/* Applies the changes whose bits are set. */
static Status try_changes(const Workflow *w, unsigned which, Trial *t, Error *err)
{
    Workflow copy = { 0 };
    HostOptions host = *host_options(w->session->host);
    Status status = OK;

    t->ram = t->vram = -1;
    str_clear(&t->what);
    TRY(copy_workflow(w, &copy, err));
    for (int i = 0; i < CHANGE_COUNT; i++) {
        Str one = { 0 };
        if (!(which >> i & 1)) continue;
        status = changes[i].apply(&copy, &host, &one, err);
        if (status == OK && one.length)
            str_printf(&t->what, "%s%s", t->what.length ? ", and " : "", one.text);
        str_fini(&one);
        if (status != OK) goto done;
    }
    if (t->what.length) TRY_DONE(plan_trial(&copy, &host, t, err));
done:
    workflow_fini(&copy);
    return status;
}

static bool fits(const HostOptions *h, int64_t ram, int64_t vram)
{
    return (h->ram_limit == 0 || ram <= h->ram_limit) &&
           (h->vram_limit == 0 || vram <= h->vram_limit);
}

/* Single changes first, then each with those before it. The first that fits, else the one that needs least. */
static Status find_change(const Workflow *w, Trial *best, bool *found, Error *err)
{
    const HostOptions *host = host_options(w->session->host);
    unsigned together = 0;

    *found = false;
    best->ram = -1;
    for (int round = 0; round < 2 * CHANGE_COUNT && !*found; round++) {
        int i = round % CHANGE_COUNT;
        Trial t = { 0 };
        unsigned which = 1u << i;
        if (round >= CHANGE_COUNT) {
            /* Smaller tiles take the place of the larger ones. */
            if (i == TILE_512 + 1) together &= ~(1u << TILE_512);
            which = together |= 1u << i;
        }
        Status status = try_changes(w, which, &t, err);
        if (status == OK && t.ram >= 0) {
            *found = fits(host, t.ram, t.vram);
            if (*found || best->ram < 0 || t.ram < best->ram) {
                Trial old = *best;
                *best = t;
                t = old;
            }
        }
        str_fini(&t.what);
        TRY(status);
    }
    return OK;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static long long mib(int64_t bytes)
{
    return (long long)((bytes + (1 << 20) - 1) >> 20);
}

static void tell_excess(const Plan *plan, const HostOptions *h, Error *err)
{
    const PlanPeak *p = &plan->ram;
    const PlanStep *s = p->step >= 0 ? &plan->steps[p->step] : NULL;
    const GraphNode *n = s ? &plan->graph->nodes[s->node] : NULL;

    if (h->ram_limit && p->total > h->ram_limit)
        error_set(
            err, E_LIMIT,
            "the run needs %lld MiB of RAM (%lld MiB of weights, %lld MiB of work memory, "
            "%lld MiB of values and program) in %s, the limit is %lld MiB",
            mib(p->total), mib(p->weights + p->merged), mib(p->arena),
            mib(p->heap + p->process), n ? n->class_type : "all",
            (long long)(h->ram_limit >> 20));
    else
        error_set(err, E_LIMIT, "the run needs %lld MiB of VRAM, the limit is %lld MiB",
                  mib(plan->vram), (long long)(h->vram_limit >> 20));
    if (n && err) error_at_node(err, n->id, n->class_type);
}

Status limits_check(Workflow *w, const CheckReport *report, const Plan *plan, Error *err)
{
    const HostOptions *host = host_options(w->session->host);
    Trial best = { 0 };
    bool found = false;

    (void)report;
    if (fits(host, plan->ram.total, plan->vram)) return OK;
    Status status = find_change(w, &best, &found, err);
    if (status == OK) {
        tell_excess(plan, host, err);
        if (found)
            error_fix(err, "%s would fit: it needs %lld MiB; or raise --ram-limit",
                      best.what.text, mib(best.ram));
        else if (best.ram >= 0 && best.ram < plan->ram.total)
            error_fix(
                err,
                "use a smaller picture or a larger --ram-limit; even with %s it needs %lld MiB",
                best.what.text, mib(best.ram));
        else
            error_fix(err,
                      "use a smaller picture, a quantised model file, or a larger --ram-limit");
        error_at_file(err, w->path, -1);
        status = E_LIMIT;
    }
    str_fini(&best.what);
    return status;
}

Status limits_apply(Workflow *w, const CheckReport *report, Error *err)
{
    const HostOptions *host = host_options(w->session->host);
    Plan *plan = NULL;

    if (host->ram_limit == 0 && host->vram_limit == 0) return OK;
    TRY(workflow_plan(w, report, &plan, err));
    Status status = limits_check(w, report, plan, err);
    plan_free(plan);
    return status;
}
