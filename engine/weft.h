/* weft.h - the public face of libweft: load a workflow, check it, run it.
 *
 *     WeftOptions options = { .models = (const char *const[]){ "models", NULL }, .output = "output" };
 *     Weft *weft;
 *     int status = weft_open(&options, &weft);
 *     if (status == WEFT_OK) {
 *         status = weft_run_file(weft, "workflow.json");
 *         if (status != WEFT_OK) fputs(weft_message(weft), stderr);
 *     }
 *     weft_close(weft);
 *
 * Codes are the exit statuses of the command line. One Weft is used by one thread at a time; weft_cancel
 * alone may be called from a signal handler or another thread. Numbers have a decimal point whatever the
 * program's locale says; callbacks run under that rule, too.
 */
#ifndef WEFT_H
#define WEFT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEFT_OK = 0,
    WEFT_WORKFLOW = 1, /* the workflow, or a file that it names, is wrong */
    WEFT_USAGE = 2,    /* wrong options, or an unreadable file */
    WEFT_FAILED = 3,   /* failed while running: disk full, out of memory, device error */
    WEFT_INTERRUPTED = 130
};

/* Zero is the default of every field. Strings are read while the Weft is open. */
typedef struct WeftOptions {
    const char *const *models;         /* NULL-ended; default { "models", NULL } */
    const char *input, *output, *temp; /* folders; default "input", "output", "temp" */
    const char *precision; /* "fast" (default) or "exact" */
    const char *device;    /* "auto" (default), "cpu" */
    const char *isa;       /* instruction-set path; default the best */
    const char *residency; /* "auto" (default), "sequential", "hybrid" */
    const char *cache;     /* "classic" (default), "lru:N", "lru:SIZE" ("lru:2G"), "none" */
    const char *cache_dir; /* folder where embedded prompts and records are kept; default none */
    int64_t ram_limit;     /* bytes; 0 = none */
    int threads;           /* 0 = one per core */
    int dummy;             /* no weights' contents, no files written */
    int no_metadata;       /* leave the workflow out of written files */
    const char *const *lua; /* NULL-ended; folders of scripts */
    int64_t lua_memory;     /* bytes that one call of a script may use; default 64 MiB */
    int64_t lua_budget;     /* instructions that one call of a script may use; default 50 million */
} WeftOptions;

typedef struct Weft Weft;
typedef struct WeftWorkflow WeftWorkflow;

/* What happens; strings live for the call and are NULL when they do not apply. */
typedef struct WeftEvent {
    const char *name; /* "executing", "progress", "saved", ...: docs/architecture.md */
    const char *node, *class_type, *text, *path;
    int64_t step, steps;
    double seconds;
} WeftEvent;

/* One thing that a check found. */
typedef struct WeftFinding {
    const char *severity;                  /* "error", "warning", "note" */
    const char *rule;                      /* "E205" */
    const char *node, *class_type, *input; /* "" when it concerns the whole file */
    const char *message, *fix;
    int line, column; /* 0 when unknown */
} WeftFinding;

typedef void (*WeftEventFn)(void *user, const WeftEvent *event);
typedef void (*WeftFindingFn)(void *user, const WeftFinding *finding);

WEFT_API int weft_open(const WeftOptions *options, Weft **out);
WEFT_API void weft_close(Weft *weft); /* NULL is allowed */
WEFT_API const char *
weft_message(const Weft *weft); /* the last error, one line; "" when none */
WEFT_API const char *weft_version(void);

/* Called for every event of later runs. */
WEFT_API int weft_on_event(Weft *weft, WeftEventFn fn, void *user);
/* Ends the run that is going on (or the next one, when none is) between two operations; later runs are not
 * touched. Safe in a signal handler. */
WEFT_API void weft_cancel(Weft *weft);

/* A workflow from a file ("-" is standard input; pictures that carry one are read), or from memory. */
WEFT_API int weft_load(Weft *weft, const char *path, WeftWorkflow **out);
WEFT_API int weft_load_text(Weft *weft, const char *text, size_t length, WeftWorkflow **out);
WEFT_API void weft_unload(WeftWorkflow *workflow);

/* Replaces a literal input. value is JSON, or plain text when it is no JSON. */
WEFT_API int weft_set(WeftWorkflow *workflow, const char *node, const char *input,
                      const char *value);
/* Reports everything that is wrong; WEFT_WORKFLOW when something is an error. fn may be NULL. */
WEFT_API int weft_check(WeftWorkflow *workflow, WeftFindingFn fn, void *user);
/* Checks, then runs. */
WEFT_API int weft_run(WeftWorkflow *workflow);
/* Load, check, run. */
WEFT_API int weft_run_file(Weft *weft, const char *path);

#ifdef __cplusplus
}
#endif

#endif
