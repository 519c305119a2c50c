/* run.c - `weft run`: check, run, and show what happens. */
#include <stdio.h>
#include <string.h>

#include "engine/cli/commands.h"
#include "engine/cli/progress.h"
#include "engine/limits.h"

static int run_one(Session *session, const CliArgs *args, const char *file)
{
    Workflow w;
    Error err = { 0 };
    CheckReport *report = NULL;
    int exit_status = 0;
    if (!cli_open(session, args, file, &w, &exit_status)) return exit_status;
    Status status = workflow_check(&w, !args->dummy, &report, &err);
    if (status == OK && cli_print_findings(&w, report, args->quiet) > 0)
        exit_status = 1;
    else if (status == OK && (status = limits_apply(&w, report, &err)) == OK)
        status = workflow_run(&w, report, NULL, &err);
    if (status != OK) {
        cli_print_error(&err);
        exit_status = cli_exit_code(status);
    }
    check_free(report);
    workflow_fini(&w);
    return exit_status;
}

int cmd_run(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Progress progress;
    Error err = { 0 };
    int status = 0;
    if (args->files.count == 0) {
        fputs("weft run: no workflow file given; try `weft run workflow.json`\n", stderr);
        return 2;
    }
    cli_session_options(args, &options);
    if (session_init(&session, &options, &err) != OK) return cli_session_failed(&err);
    Events *events = host_events(session.host);
    progress_init(&progress, args->show);
    if (args->json)
        events_listen(events, progress_json, stdout);
    else if (!args->quiet)
        events_listen(events, progress_event, &progress);
    cli_catch_signals(events);
    for (int i = 0; i < args->files.count && status == 0; i++)
        status = run_one(&session, args, args->files.items[i]);
    cli_catch_signals(NULL);
    session_fini(&session);
    return status;
}
