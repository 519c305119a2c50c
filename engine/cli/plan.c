/* plan.c - `weft plan`: order, shapes and memory before anything is loaded. */
#include <stdio.h>

#include "engine/cli/commands.h"

static int print_plan(const Plan *plan, bool json)
{
    Str out = { 0 };
    if (json)
        plan_write_json(plan, &out);
    else
        plan_print(plan, &out);
    bool ok = !out.failed;
    if (ok) printf("%s%s", out.text ? out.text : "", json ? "\n" : "");
    str_fini(&out);
    return ok ? 0 : 3;
}

static int plan_file(Session *session, const CliArgs *args)
{
    Workflow w;
    Error err = { 0 };
    CheckReport *report = NULL;
    Plan *plan = NULL;
    int exit_status = 0;
    if (!cli_open(session, args, args->files.items[0], &w, &exit_status)) return exit_status;
    Status status = workflow_check(&w, true, &report, &err);
    if (status == OK && cli_print_findings(&w, report, true) > 0)
        exit_status = 1;
    else if (status == OK)
        status = workflow_plan(&w, report, &plan, &err);
    if (status != OK) {
        cli_print_error(&err);
        exit_status = session_exit_code(status);
    }
    if (plan) exit_status = print_plan(plan, args->json);
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
