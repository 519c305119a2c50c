/* session.c - one engine with its host, node table and cache. */
#include "engine/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/forecast.h"
#include "engine/formats/png_meta.h"
#include "engine/graph/parse_ui.h"
#include "engine/record.h"
#include "engine/guide.h"
#include "nodes/script.h"
#include "nodes/sizes.h"
#include "nodes/table.h"

enum { FILE_MAX = 1 << 30, PROMPT_BYTES = 1 << 30 };

/* ---- the session ------------------------------------------------------------------------------- */

/* "7" counts results, "2G", "300M" and "1.5GiB" bytes. */
static bool parse_lru(const char *text, CachePolicy *policy, double *limit)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    double v = strtod(text, &end);
    const char *unit = end && *end ? strchr(units, *end) : NULL;

    *policy = CACHE_LRU;
    if (end == text || !(v >= 1) || v > 9e15) return false;
    if (unit) {
        *policy = CACHE_BYTES;
        for (const char *u = units; u <= unit; u++)
            v *= 1024;
        end++;
        if (*end == 'i') end++;
        if (*end == 'B') end++;
    }
    *limit = v;
    return *end == 0 && v < 9e18 && (unit || v == floor(v));
}

static Status make_cache(Session *s, const char *policy, Error *err)
{
    CachePolicy kind;
    double limit;

    if (!policy || strcmp(policy, "classic") == 0)
        return cache_new(CACHE_CLASSIC, 0, &s->cache, err);
    if (strcmp(policy, "none") == 0) return OK;
    if (strncmp(policy, "lru:", 4) != 0 || !parse_lru(policy + 4, &kind, &limit)) {
        error_set(err, E_USAGE, "cache policy '%s' is not known", policy);
        error_fix(err, "use classic, none, lru:N with N results to keep, or lru:SIZE (lru:2G)");
        return E_USAGE;
    }
    TRY(cache_new(kind, (size_t)limit, &s->cache, err));
    cache_set_sizes(s->cache, nodes_value_bytes);
    return OK;
}

/* Node classes and menus come from the set, which the session takes over. */
static void use_scripts(Session *s, ScriptSet *set)
{
    s->scripts = set;
    s->menus = (HostMenus){ .registry = script_set_registry(set),
                            .samplers = script_set_samplers(set),
                            .schedulers = script_set_schedulers(set) };
    script_set_extend(set, &s->table);
    host_set_menus(s->host, &s->menus);
}

static Status load_scripts(Session *s, Error *err)
{
    ScriptSet *set = NULL;
    TRY(script_set_load(s->lua, &s->lua_limits, &nodes_script_runners, &set, err));
    use_scripts(s, set);
    return OK;
}

Status session_refresh(Session *s, Error *err)
{
    ScriptSet *old = s->scripts;
    if (!script_set_stale(old)) return OK;
    ScriptSet **grown = mem_realloc(s->retired, (s->retired_count + 1) * sizeof *grown);
    if (!grown) return error_set(err, E_NOMEM, "no memory for scripts");
    s->retired = grown;
    TRY(load_scripts(s, err));
    grown[s->retired_count++] = old;
    cache_free(s->cache);
    s->cache = NULL;
    return make_cache(s, s->cache_policy, err);
}

Status session_init(Session *s, const SessionOptions *options, Error *err)
{
    memset(s, 0, sizeof *s);
    s->table = nodes_table();
    s->choice_seed = options->choice_seed;
    s->lua = options->lua;
    s->lua_limits = options->lua_limits;
    s->cache_policy = options->cache;
    s->cache_dir = options->cache_dir;
    HostOptions host = options->host;
    host.cache_dir = options->no_prompt_cache ? NULL : options->cache_dir;
    host.prompt_limit = options->prompt_limit ? options->prompt_limit : PROMPT_BYTES;
    TRY(host_new(&host, &s->host, err));
    Status status = make_cache(s, options->cache, err);
    if (status == OK) status = load_scripts(s, err);
    if (status != OK) session_fini(s);
    return status;
}

void session_fini(Session *s)
{
    cache_free(s->cache);
    host_free(s->host);
    script_set_free(s->scripts);
    for (size_t i = 0; i < s->retired_count; i++)
        script_set_free(s->retired[i]);
    mem_free(s->retired);
    memset(s, 0, sizeof *s);
}

int session_exit_code(Status s)
{
    switch (s) {
    case OK:
        return 0;
    case E_USAGE:
        return 2;
    case E_WORKFLOW:
    case E_FORMAT:
    case E_TYPE:
    case E_RANGE:
    case E_MISSING:
    case E_UNSUPPORTED:
    case E_SHAPE:
        return 1;
    case E_CANCELLED:
        return 130;
    default:
        return 3;
    }
}

/* ---- loading -------------------------------------------------------------------------------------- */

static bool is_picture(const char *bytes, size_t n)
{
    return (n > 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) ||
           (n > 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0) ||
           (n > 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0);
}

/* Replaces w->text by the workflow that the picture carries. */
static Status take_from_picture(Workflow *w, Error *err)
{
    Meta *meta = NULL;
    TRY(meta_read((const uint8_t *)w->text, w->length, &meta, err));
    const MetaText *found = meta_get(meta, "prompt");
    if (!found) found = meta_get(meta, "workflow");
    char *text = found ? mem_strndup(found->text, found->length) : NULL;
    size_t length = found ? found->length : 0;
    bool cut = meta->cut;
    meta_free(meta);
    if (!found && cut) {
        error_set(err, E_FORMAT,
                  "the picture is cut off after %zu bytes, before any workflow in it",
                  w->length);
        error_fix(err, "fetch the file again");
        return E_FORMAT;
    }
    if (!found) {
        error_set(err, E_FORMAT, "the picture carries no workflow");
        error_fix(err, "name a PNG that was saved with its metadata");
        return E_FORMAT;
    }
    if (!text) return error_set(err, E_NOMEM, "no memory for a workflow");
    mem_free(w->text);
    w->text = text;
    w->length = length;
    return OK;
}

/* Parses w->text into w->graph; an envelope's graph is unwrapped. */
static Status parse_text(Workflow *w, Error *err)
{
    time_t seconds = time(NULL);
    struct tm now;
    UiOptions options = { .table = &w->session->table,
                          .choice_seed = w->session->choice_seed,
                          .now = localtime_r(&seconds, &now) };
    if (is_picture(w->text, w->length)) TRY(take_from_picture(w, err));
    return parse_document(w->text, w->length, &options, &w->graph, err);
}

Status workflow_open(Session *s, const char *path, Workflow *out, Error *err)
{
    Workflow w = { .session = s };
    TRY(session_refresh(s, err));
    Status status = file_read(path, FILE_MAX, &w.text, &w.length, err);
    if (status != OK) return status == E_NOMEM ? status : E_USAGE;
    w.path = mem_strdup(path);
    status = w.path ? parse_text(&w, err) : error_set(err, E_NOMEM, "no memory for a path");
    if (status == OK)
        *out = w;
    else {
        error_at_file(err, path, -1);
        workflow_fini(&w);
    }
    return status;
}

Status workflow_from_text(Session *s, const char *text, size_t length, Workflow *out,
                          Error *err)
{
    TRY(session_refresh(s, err));
    Workflow w = { .session = s, .text = mem_strndup(text, length), .length = length };
    w.path = mem_strdup("workflow");
    Status status = w.text && w.path ? parse_text(&w, err)
                                     : error_set(err, E_NOMEM, "no memory for a workflow");
    if (status == OK)
        *out = w;
    else
        workflow_fini(&w);
    return status;
}

void workflow_fini(Workflow *w)
{
    graph_free(w->graph);
    mem_free(w->path);
    mem_free(w->text);
    memset(w, 0, sizeof *w);
}

/* ---- changing literals -------------------------------------------------------------------------------- */

/* JSON when the value is a JSON scalar, else plain text. */
static Status read_literal(Graph *g, const char *value, Literal *out, Error *err)
{
    JsonDoc *doc = NULL;
    size_t n = strlen(value);
    bool scalar =
        json_parse(value, n, &doc, NULL) == OK && json_kind(json_root(doc)) < JSON_ARRAY;
    Status status = scalar ? literal_from_json(g->arena, json_root(doc), out, err)
                           : literal_text(g->arena, value, n, out, err);
    /* Text of a scalar may be borrowed from the document. */
    if (status == OK && scalar && out->kind == LIT_TEXT)
        status = literal_text(g->arena, json_string(json_root(doc)),
                              json_string_length(json_root(doc)), out, err);
    out->source = NULL;
    json_free(doc);
    return status;
}

static Status no_such_node(const Graph *g, const char *node, Error *err)
{
    error_set(err, E_MISSING, "no node '%s' in the workflow", node);
    if (g->count > 0) error_fix(err, "ids are those of the file, such as '%s'", g->nodes[0].id);
    return E_MISSING;
}

Status workflow_set(Workflow *w, const char *node, const char *input, const char *value,
                    Error *err)
{
    Literal literal;
    int index = graph_find(w->graph, node);
    if (index < 0) return no_such_node(w->graph, node, err);
    const char *class_type = w->graph->nodes[index].class_type;
    const NodeDef *def = class_type ? node_find(&w->session->table, class_type) : NULL;
    if (def && !node_input(def, input, NULL)) {
        error_set(err, E_MISSING, "%s has no input '%s'", class_type, input);
        error_fix(err, "`weft nodes %s` lists its inputs", class_type);
        return E_MISSING;
    }
    TRY(read_literal(w->graph, value, &literal, err));
    return graph_set_literal(w->graph, index, input, &literal, err);
}

Status workflow_set_expression(Workflow *w, const char *expression, Error *err)
{
    const char *equals = strchr(expression, '='), *dot = equals;
    while (dot && dot > expression && *dot != '.')
        dot--;
    if (!equals || dot == expression) {
        error_set(err, E_USAGE, "--set %s: no ID.INPUT=VALUE", expression);
        error_fix(err, "write for example --set 3.seed=42");
        return E_USAGE;
    }
    char *node = mem_strndup(expression, (size_t)(dot - expression));
    char *input = mem_strndup(dot + 1, (size_t)(equals - dot - 1));
    Status status = node && input ? workflow_set(w, node, input, equals + 1, err)
                                  : error_set(err, E_NOMEM, "no memory for --set");
    mem_free(node);
    mem_free(input);
    return status;
}

/* ---- checking and running ------------------------------------------------------------------------------ */

Status workflow_check(Workflow *w, bool files, CheckReport **out, Error *err)
{
    CheckOptions options = { .table = &w->session->table,
                             .host = w->session->host,
                             .files = files };
    Status status = check_graph(w->graph, &options, out, err);
    if (status != OK) error_at_file(err, w->path, -1);
    return status;
}

void workflow_finding(const Workflow *w, const CheckReport *report, const Finding *f,
                      Error *out)
{
    finding_error(report, f, out);
    error_at_file(out, w->path, f->offset);
    if (out->line == 0 && f->offset >= 0 && w->graph->doc)
        json_line_column(w->graph->doc, f->offset, &out->line, &out->column);
}

/* Results live as long in the pass without weights as they will in the run. */
static Status foresee(Workflow *w, const CheckReport *report, const HostOptions *host,
                      struct Speed *speed, Plan *plan, Error *err)
{
    Session *s = w->session, pass = { 0 };
    TRY(make_cache(&pass, s->cache_policy, err));
    ForecastOptions options = {
        .host = host,
        .menus = host_menus(s->host),
        .table = &s->table,
        .cache = pass.cache,
        .speed = speed,
    };
    Status status = forecast_graph(w->graph, report, &options, plan, err);
    cache_free(pass.cache);
    return status;
}

Status workflow_plan_on(Workflow *w, const CheckReport *report, const HostOptions *host,
                        struct Speed *speed, Plan **out, Error *err)
{
    Plan *plan = NULL;
    TRY(plan_graph(w->graph, report, w->session->host, w->session->cache, &plan, err));
    Status status = foresee(w, report, host, speed, plan, err);
    if (status == OK)
        *out = plan;
    else {
        error_at_file(err, w->path, -1);
        plan_free(plan);
    }
    return status;
}

Status workflow_plan(Workflow *w, const CheckReport *report, Plan **out, Error *err)
{
    return workflow_plan_on(w, report, host_options(w->session->host), NULL, out, err);
}

static const char *guide_node(void *user, const char *node)
{
    return guide_family(user, node);
}

Status workflow_run(Workflow *w, const CheckReport *report, RunStats *stats, Error *err)
{
    Session *s = w->session;
    Events *events = host_events(s->host);
    CheckOptions check = { .table = &s->table, .host = s->host, .files = !host_dummy(s->host) };
    RunOptions options = {
        .host = s->host, .events = events, .cache = s->cache, .check = &check
    };
    host_set_guide(s->host, &(HostGuide){ guide_node, w->graph });
    Recorder recorder = { 0 };
    bool record = s->cache_dir && !host_dummy(s->host);
    if (record) record_start(&recorder, w->graph, events);
    Status status = run_graph(w->graph, report, &options, stats, err);
    if (record) record_stop(&recorder, events, s->cache_dir, w->path, status == OK);
    host_set_guide(s->host, &(HostGuide){ NULL, NULL });
    if (status != OK) error_at_file(err, w->path, -1);
    return status;
}
