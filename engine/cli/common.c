/* common.c - what several sub-commands do the same way. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/cli/commands.h"

/* The one place where a signal handler needs to find what runs: the bus of its events. */
static Events *interrupted_bus;
static volatile sig_atomic_t stopped_by; /* the signal that came, 0 = none */

static void on_signal(int signal)
{
    stopped_by = signal;
    if (interrupted_bus) atomic_store(&interrupted_bus->cancel, true);
}

void cli_catch_signals(Events *bus)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND }, before;
    interrupted_bus = bus;
    if (!bus) return;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, NULL, &before);
    if (before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL); /* nohup ignores it */
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is then an error of its write */
}

int cli_exit_code(Status status)
{
    return status == E_CANCELLED && stopped_by ? 128 + stopped_by : session_exit_code(status);
}

static const char *or_default(const char *value, const char *fallback)
{
    return value ? value : fallback;
}

/* --models, or $WEFT_MODELS, or "models". */
static const char *const *model_folders(const CliArgs *args)
{
    static const char *fallback[2];
    if (args->models.count > 0) return args->models.items;
    fallback[0] = or_default(getenv("WEFT_MODELS"), "models");
    return fallback;
}

/* --cache-dir, or the user's cache folder; NULL without a home. It lives as long as the process. */
static const char *cache_folder(const CliArgs *args)
{
    static char folder[4096];
    char *own = args->cache_dir ? NULL : file_cache_folder();

    if (args->cache_dir) return args->cache_dir;
    if (own) snprintf(folder, sizeof folder, "%s", own);
    mem_free(own);
    return folder[0] ? folder : NULL;
}

void cli_session_options(const CliArgs *args, SessionOptions *out)
{
    const char *residency = or_default(args->residency, "auto");
    *out = (SessionOptions){
        .cache = args->cache,
        .choice_seed = (uint64_t)args->choice_seed,
        .lua = args->lua.items,
        .lua_limits = { .memory = args->lua_memory, .budget = args->lua_budget },
        .cache_dir = cache_folder(args),
        .no_prompt_cache = args->no_prompt_cache,
        .prompt_limit = args->prompt_limit,
    };
    out->host = (HostOptions){
        .models = model_folders(args),
        .input = or_default(args->input, "input"),
        .output = or_default(args->output, "output"),
        .temp = or_default(args->temp, "temp"),
        .precision = strcmp(or_default(args->precision, "fast"), "exact") == 0 ? PRECISION_EXACT
                                                                               : PRECISION_FAST,
        .residency = strcmp(residency, "sequential") == 0 ? RESIDENCY_SEQUENTIAL
                     : strcmp(residency, "hybrid") == 0   ? RESIDENCY_HYBRID
                                                          : RESIDENCY_AUTO,
        .threads = (int)args->threads,
        .isa = args->isa,
        .device = or_default(args->device, "auto"),
        .ram_limit = args->ram_limit,
        .vram_limit = args->vram_limit,
        .dummy = args->dummy,
        .metadata = !args->no_metadata,
    };
}

void cli_print_error(const Error *err)
{
    char line[1400];
    error_format(err, line, sizeof line);
    fprintf(stderr, "%s\n", line);
}

int cli_session_failed(const Error *err)
{
    cli_print_error(err);
    return err->rule[0] ? 1 : 2;
}

bool cli_open(Session *session, const CliArgs *args, const char *file, Workflow *out,
              int *status)
{
    Error err = { 0 };
    Status s = workflow_open(session, file, out, &err);
    if (s != OK) {
        cli_print_error(&err);
        *status = session_exit_code(s);
        return false;
    }
    for (int i = 0; i < args->set.count && s == OK; i++)
        s = workflow_set_expression(out, args->set.items[i], &err);
    if (s == OK) return true;
    error_at_file(&err, file, -1);
    cli_print_error(&err);
    workflow_fini(out);
    *status = 2;
    return false;
}

int cli_print_findings(const Workflow *w, const CheckReport *report, bool quiet)
{
    for (int i = 0; i < report->count; i++) {
        Error e = { 0 };
        const Finding *f = &report->items[i];
        if (f->severity == SEV_NOTE || (quiet && f->severity != SEV_ERROR)) continue;
        workflow_finding(w, report, f, &e);
        cli_print_error(&e);
    }
    return report->errors;
}
