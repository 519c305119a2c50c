/* validate.c - `weft validate`: checks workflows without running them. */
#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/cli/commands.h"
#include "engine/graph/comfy_errors.h"
#include "engine/graph/lint.h"
#include "engine/graph/parse_api.h"

static const char *const severities[] = { "error", "warning", "note" };

static void write_json(Str *out, const Error *e)
{
    const struct {
        const char *key, *value;
    } texts[] = { { "file", e->file },
                  { "severity", severities[e->severity] },
                  { "rule", e->rule },
                  { "node", e->node },
                  { "class_type", e->class_type },
                  { "input", e->input },
                  { "message", e->message },
                  { "fix", e->fix } };
    str_add(out, "{");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i].value[0]) continue;
        str_printf(out, "%s\"%s\": ", i ? ", " : "", texts[i].key);
        json_write_string(out, texts[i].value, strlen(texts[i].value));
    }
    if (e->line > 0) str_printf(out, ", \"line\": %d, \"column\": %d", e->line, e->column);
    str_add(out, "}");
}

/* One report over all files. */
typedef struct Report {
    const CliArgs *args;
    Severity threshold;
    Str json;
    int printed, counted; /* counted: at or above the threshold */
} Report;

/* A prefix of the rule stands in the list "E2,W301". */
static bool listed(const char *list, const char *rule)
{
    for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        size_t n = strcspn(p, ",");
        if (n > 0 && strncmp(rule, p, n) == 0) return true;
    }
    return false;
}

static void add_finding(Report *r, const Error *e)
{
    if (r->args->select && !listed(r->args->select, e->rule)) return;
    if (r->args->ignore && listed(r->args->ignore, e->rule)) return;
    if (e->severity <= r->threshold) r->counted++;
    if (r->args->format && strcmp(r->args->format, "json") == 0) {
        str_add(&r->json, r->printed ? ",\n " : "[");
        write_json(&r->json, e);
    } else {
        char line[1400];
        error_format(e, line, sizeof line);
        printf("%s\n", line);
    }
    r->printed++;
}

static Status check_file(Session *session, const char *file, Report *r, Error *err)
{
    Workflow w;
    CheckReport *checked = NULL;
    TRY(workflow_open(session, file, &w, err));
    Status status = OK;
    for (int i = 0; i < r->args->set.count && status == OK; i++)
        status = workflow_set_expression(&w, r->args->set.items[i], err);
    if (status == OK) status = workflow_check(&w, r->args->models.count > 0, &checked, err);
    if (status == OK) status = lint_graph(w.graph, checked, err);
    for (int i = 0; status == OK && i < checked->count; i++) {
        Error e = { 0 };
        workflow_finding(&w, checked, &checked->items[i], &e);
        add_finding(r, &e);
    }
    check_free(checked);
    workflow_fini(&w);
    return status;
}

/* ---- ComfyUI's own answer -------------------------------------------------------------------------- */

static int print_answer(Status status, Str *answer, const Error *err, bool refused)
{
    if (status == OK && !answer->failed)
        printf("%s\n", answer->text);
    else
        cli_print_error(err);
    str_fini(answer);
    return status != OK ? session_exit_code(status) : refused ? 1 : 0;
}

/* A body that is no prompt: the answer names what it is instead. */
static int answer_fault(const char *file, const Error *fault)
{
    Str answer = { 0 };
    Error err = { 0 };
    PromptRequest request;
    const char *type = "invalid_prompt";
    char *text = NULL;
    size_t size = 0;
    Status status = file_read(file, (size_t)1 << 30, &text, &size, &err);
    if (status == OK && parse_prompt_body(text, size, &request, &type, NULL) == OK)
        prompt_request_fini(&request);
    if (status == OK) status = comfy_write_fault(type, fault, &answer, &err);
    mem_free(text);
    return print_answer(status, &answer, &err, true);
}

/* What POST /prompt answers to this file; exit status 1 when it refuses. */
static int answer_file(Session *session, const char *file)
{
    Workflow w;
    CheckReport *checked = NULL;
    Str answer = { 0 };
    Error err = { 0 };
    Status status = workflow_open(session, file, &w, &err);
    if (status == E_FORMAT) return answer_fault(file, &err);
    if (status != OK) {
        cli_print_error(&err);
        return 2;
    }
    status = workflow_check(&w, true, &checked, &err);
    bool refused = status == OK && comfy_status(checked) != 200;
    if (status == OK && refused)
        status = comfy_write_refusal(checked, session->host, &answer, &err);
    else if (status == OK) {
        str_add(&answer, "{\"node_errors\": ");
        status = comfy_write_node_errors(checked, session->host, &answer, &err);
        str_add(&answer, "}");
    }
    check_free(checked);
    workflow_fini(&w);
    return print_answer(status, &answer, &err, refused);
}

/* Malformed documents are findings; unreadable files are not. */
static int validate_file(Session *session, const char *file, Report *r)
{
    Error err = { 0 };
    if (r->args->format && strcmp(r->args->format, "comfy") == 0)
        return answer_file(session, file);
    Status status = check_file(session, file, r, &err);
    if (status == OK) return 0;
    if (status == E_FORMAT) {
        add_finding(r, &err);
        return 0;
    }
    cli_print_error(&err);
    return 2;
}

static Severity threshold_of(const char *name)
{
    if (!name || strcmp(name, "error") == 0) return SEV_ERROR;
    return strcmp(name, "warning") == 0 ? SEV_WARNING : SEV_NOTE;
}

int cmd_validate(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Error err = { 0 };
    Report report = { .args = args, .threshold = threshold_of(args->threshold) };
    int status = 0;
    if (args->files.count == 0) {
        fputs("weft validate: no workflow file given\n", stderr);
        return 2;
    }
    cli_session_options(args, &options);
    if (session_init(&session, &options, &err) != OK) return cli_session_failed(&err);
    for (int i = 0; i < args->files.count; i++) {
        int one = validate_file(&session, args->files.items[i], &report);
        if (one > status) status = one;
    }
    if (args->format && strcmp(args->format, "json") == 0)
        printf("%s]\n", report.printed ? report.json.text : "[");
    str_fini(&report.json);
    session_fini(&session);
    return status ? status : report.counted > 0 ? 1 : 0;
}
