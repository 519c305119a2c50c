/* plan.c - `weft plan`: order, shapes, memory and time before anything is loaded. */
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/cli/commands.h"
#include "engine/forecast.h"
#include "engine/graph/plan_print.h"
#include "engine/limits.h"
#include "engine/weft.h"

static const char *format_of(const CliArgs *args)
{
    return args->json ? "json" : args->dot ? "dot" : args->svg ? "svg" : args->format;
}

/* plan may be NULL where a drawing shows what is wrong. */
static Status write_plan(const Workflow *w, const CheckReport *report, const Plan *plan,
                         const char *format, Str *out, Error *err)
{
    if (strcmp(format, "dot") == 0)
        plan_write_dot(w->graph, report, plan, out);
    else if (strcmp(format, "svg") == 0)
        TRY(plan_write_svg(w->graph, report, plan, out, err));
    else if (strcmp(format, "json") == 0) {
        plan_write_json(plan, out);
        str_add_char(out, '\n');
    } else
        plan_print(plan, out);
    return out->failed ? error_set(err, E_NOMEM, "out of memory for a plan") : OK;
}

static Status emit(const CliArgs *args, const Str *text, Error *err)
{
    if (args->out)
        return file_write(args->out, text->text ? text->text : "", text->length, err);
    if (text->text) fputs(text->text, stdout);
    if (fflush(stdout) != 0) return error_set(err, E_IO, "the plan could not be written");
    return OK;
}

static bool is_drawing(const char *format)
{
    return strcmp(format, "dot") == 0 || strcmp(format, "svg") == 0;
}

static void print_notes(const Plan *plan)
{
    for (int i = 0; plan && i < plan->n_notes; i++)
        fprintf(stderr, "note: %s\n", plan->notes[i]);
}

static Status make_plan(Workflow *w, const CliArgs *args, const CheckReport *report, Plan **out,
                        Error *err)
{
    Host *host = w->session->host;
    Speed *speed = NULL;

    TRY(forecast_speed(host, weft_version(), args->recalibrate, &speed, err));
    Status status = workflow_plan_on(w, report, host_options(host), speed, out, err);
    if (status == OK)
        speed_save(speed, NULL); /* a cache that cannot be written costs time alone */
    speed_free(speed);
    return status;
}

static int plan_file(Session *session, const CliArgs *args)
{
    Workflow w;
    Error err = { 0 };
    CheckReport *report = NULL;
    Plan *plan = NULL;
    Str text = { 0 };
    int exit_status = 0, errors = 0;
    const char *format = format_of(args) ? format_of(args) : "text";

    if (!cli_open(session, args, args->files.items[0], &w, &exit_status)) return exit_status;
    Status status = workflow_check(&w, false, &report, &err);
    if (status == OK) errors = cli_print_findings(&w, report, true);
    if (status == OK && errors == 0) status = make_plan(&w, args, report, &plan, &err);
    if (status == OK && (errors == 0 || is_drawing(format))) {
        print_notes(plan);
        status = write_plan(&w, report, plan, format, &text, &err);
        if (status == OK) status = emit(args, &text, &err);
    }
    if (status == OK && plan) status = limits_check(&w, report, plan, &err);
    if (status != OK) cli_print_error(&err);
    exit_status = status != OK ? session_exit_code(status) : errors > 0 ? 1 : 0;
    str_fini(&text);
    plan_free(plan);
    check_free(report);
    workflow_fini(&w);
    return exit_status;
}

int cmd_plan(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Error err = { 0 };
    if (args->files.count != 1) {
        fputs("weft plan: name one workflow file\n", stderr);
        return 2;
    }
    cli_session_options(args, &options);
    if (session_init(&session, &options, &err) != OK) return cli_session_failed(&err);
    int status = plan_file(&session, args);
    session_fini(&session);
    return status;
}
