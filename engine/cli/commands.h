/* commands.h - the sub-commands; each gets its parsed arguments and returns the exit status. */
#ifndef WEFT_CLI_COMMANDS_H
#define WEFT_CLI_COMMANDS_H

#include "engine/cli/args.h"
#include "engine/session.h"

int cmd_run(const CliArgs *args);
int cmd_validate(const CliArgs *args);
int cmd_plan(const CliArgs *args);
int cmd_nodes(const CliArgs *args);
int cmd_explain(const CliArgs *args);
int cmd_convert(const CliArgs *args);
int cmd_bench(const CliArgs *args);
int cmd_lua(const CliArgs *args);
int cmd_why(const CliArgs *args);
int cmd_quantize(const CliArgs *args);

/* Host options from the command line; $WEFT_MODELS and the defaults fill what is not given. */
void cli_session_options(const CliArgs *args, SessionOptions *out);
/* Says why a session could not start; the exit status: 1 when a script is wrong (E208), else 2. */
int cli_session_failed(const Error *err);
/* Makes SIGINT, SIGTERM and SIGHUP ask the work behind this bus to stop; NULL when its work is done. */
void cli_catch_signals(Events *bus);
/* Exit status of a failed command; what a signal stopped ends as shells tell it: 130 by SIGINT, 143 by SIGTERM. */
int cli_exit_code(Status status);
/* Prints a diagnostic on stderr, one line. */
void cli_print_error(const Error *err);
/* Prints errors, and warnings unless quiet, on stderr; gives the number of errors. */
int cli_print_findings(const Workflow *w, const CheckReport *report, bool quiet);
/* Opens each file, applies --set. Prints what is wrong and returns false with the exit status. */
bool cli_open(Session *session, const CliArgs *args, const char *file, Workflow *out,
              int *status);

#endif
