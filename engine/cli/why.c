/* why.c - `weft why`: which input changed since the last recorded run of a file. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/mem.h"
#include "engine/cli/commands.h"
#include "engine/record.h"
#include "engine/why.h"

/* What is compared: the file as it is now, the last recorded run, the one before it. */
typedef struct Runs {
    JsonDoc *record, *current; /* owned; record NULL = never recorded */
    const Json *now, *last, *previous;
} Runs;

static void when_of(const Json *run, char *out, size_t size)
{
    int64_t seconds = 0;
    struct tm t;

    json_int64(json_get(run, "when"), &seconds);
    time_t when = (time_t)seconds;
    if (!localtime_r(&when, &t) || !strftime(out, size, "%Y-%m-%d %H:%M:%S", &t))
        snprintf(out, size, "an earlier time");
}

static Status describe_now(Workflow *w, JsonDoc **out, Error *err)
{
    CheckReport *report = NULL;
    Str text = { 0 };

    TRY(workflow_check(w, false, &report, err));
    Status status = run_tokens(w->graph, report, w->session->host, err);
    if (status == OK) status = record_describe(w->graph, NULL, true, &text, err);
    if (status == OK) status = json_parse(text.text, text.length, out, err);
    str_fini(&text);
    check_free(report);
    return status;
}

static Status read_runs(Workflow *w, Runs *out, Error *err)
{
    const char *folder = w->session->cache_dir;

    if (folder) TRY(record_load(folder, w->path, &out->record, err));
    TRY(describe_now(w, &out->current, err));
    const Json *runs = out->record ? json_get(json_root(out->record), "runs") : NULL;
    out->now = json_root(out->current);
    out->last = runs ? json_first(runs) : NULL;
    out->previous = out->last ? json_next(out->last) : NULL;
    return OK;
}

static void print_text(const Why *w, const char *verb, const Json *since)
{
    char when[64];
    Str out = { 0 };

    when_of(since, when, sizeof when);
    why_print(w, verb, when, &out);
    if (out.text) fputs(out.text, stdout);
    str_fini(&out);
}

static void print_json(const Why *w, const char *compared, const Json *since)
{
    int64_t when = 0;
    Str out = { 0 };

    json_int64(json_get(since, "when"), &when);
    str_printf(&out, "{\"compared\": \"%s\", \"since\": %lld, ", compared, (long long)when);
    why_write_json(w, &out);
    str_add(&out, "}\n");
    if (!out.failed) fputs(out.text, stdout);
    str_fini(&out);
}

static int never_recorded(const CliArgs *args, const char *file)
{
    if (args->json)
        printf("{\"answer\": \"never_recorded\"}\n");
    else
        printf("no run of %s was recorded; `weft run` records one in its cache folder\n", file);
    return 0;
}

static Status not_there(const Json *run, const char *name, Error *err)
{
    Str nodes = { 0 };
    int count = why_candidates(run, name, &nodes);

    if (count > 0 && nodes.text) {
        error_set(err, E_MISSING, "'%s' names no single node of the workflow", name);
        error_fix(err, "name one of these by its id: %s", nodes.text);
    } else {
        error_set(err, E_MISSING, "no node '%s' in the workflow", name);
        error_fix(err, "name an id of the file, or a title or class that one node has");
    }
    str_fini(&nodes);
    return E_MISSING;
}

/* The file against its last run; when nothing changed, that run against the one before it. */
static Status explain(const CliArgs *args, const Runs *runs, const char *name, int *exit_status,
                      Error *err)
{
    Why now = { 0 }, before = { 0 };

    TRY(why_compare(runs->last, runs->now, name, &now, err));
    if (now.answer == WHY_NOT_THERE) {
        why_fini(&now);
        *exit_status = 1;
        return not_there(runs->now, name, err);
    }
    bool earlier = now.answer == WHY_SAME && runs->previous &&
                   why_compare(runs->previous, runs->last, now.was ? now.was : now.node,
                               &before, NULL) == OK &&
                   before.answer != WHY_SAME && before.answer != WHY_NOT_THERE;
    if (args->json)
        print_json(earlier ? &before : &now, earlier ? "last two runs" : "file with last run",
                   earlier ? runs->previous : runs->last);
    else {
        print_text(&now, "would run again", runs->last);
        if (earlier) print_text(&before, "ran again in that run", runs->previous);
    }
    why_fini(&now);
    why_fini(&before);
    return OK;
}

static int why(Session *session, const CliArgs *args, const char *file, const char *name)
{
    Workflow w;
    Runs runs = { 0 };
    Error err = { 0 };
    int exit_status = 0;

    if (!cli_open(session, args, file, &w, &exit_status)) return exit_status;
    Status status = read_runs(&w, &runs, &err);
    if (status == OK && !runs.last)
        exit_status = never_recorded(args, file);
    else if (status == OK)
        status = explain(args, &runs, name, &exit_status, &err);
    if (status != OK) {
        error_at_file(&err, file, -1);
        cli_print_error(&err);
        if (!exit_status) exit_status = session_exit_code(status);
    }
    json_free(runs.record);
    json_free(runs.current);
    workflow_fini(&w);
    return exit_status;
}

int cmd_why(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Error err = { 0 };

    if (args->files.count != 2) {
        fputs("weft why: needs a workflow file and a node; try `weft why workflow.json 3`\n",
              stderr);
        return 2;
    }
    cli_session_options(args, &options);
    options.no_prompt_cache = true;
    if (session_init(&session, &options, &err) != OK) return cli_session_failed(&err);
    int status = why(&session, args, args->files.items[0], args->files.items[1]);
    session_fini(&session);
    return status;
}
