/* convert.c - `weft convert`: any document as the API document that the editor would post. */
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/cli/commands.h"

/* Prints what the parser met on the way; gives the number of errors. */
static int print_notes(const Workflow *w)
{
    int errors = 0;
    for (const GraphNote *note = w->graph->notes; note; note = note->next) {
        Error e = note->error;
        error_at_file(&e, w->path, e.offset);
        if (e.severity != SEV_NOTE) cli_print_error(&e);
        errors += e.severity == SEV_ERROR;
    }
    return errors;
}

static Status write_out(const Workflow *w, const char *path, Error *err)
{
    Str text = { 0 };
    Status status = OK;
    graph_write_api(w->graph, &text);
    str_add(&text, "\n");
    if (text.failed)
        status = error_set(err, E_NOMEM, "no memory for the document");
    else if (path)
        status = file_write(path, text.text, text.length, err);
    else if (fwrite(text.text, 1, text.length, stdout) != text.length || fflush(stdout) != 0)
        status = error_set(err, E_IO, "standard output cannot be written");
    str_fini(&text);
    return status;
}

static int convert(Session *session, const CliArgs *args)
{
    Workflow w;
    Error err = { 0 };
    int status = 0;
    if (!cli_open(session, args, args->files.items[0], &w, &status)) return status;
    if (print_notes(&w) > 0)
        status = 1;
    else if (write_out(&w, args->out, &err) != OK) {
        cli_print_error(&err);
        status = session_exit_code(err.status);
    }
    workflow_fini(&w);
    return status;
}

int cmd_convert(const CliArgs *args)
{
    SessionOptions options;
    Session session;
    Error err = { 0 };
    if (args->files.count != 1) {
        fputs("weft convert: takes one workflow file; try `weft convert workflow.json -o "
              "api.json`\n",
              stderr);
        return 2;
    }
    cli_session_options(args, &options);
    if (session_init(&session, &options, &err) != OK) return cli_session_failed(&err);
    int status = convert(&session, args);
    session_fini(&session);
    return status;
}
