/* session.h - one engine with its host, node table and cache; what libweft and the command line share. */
#ifndef WEFT_SESSION_H
#define WEFT_SESSION_H

#include "engine/graph/cache.h"
#include "engine/graph/check.h"
#include "engine/graph/plan.h"
#include "engine/graph/run.h"
#include "engine/residency/host.h"
#include "engine/script/script.h"

typedef struct Session {
    Host *host;      /* owned */
    Cache *cache;    /* owned; NULL = nothing is kept */
    NodeTable table; /* families, and the classes of scripts */
    uint64_t choice_seed; /* of {a|b} in the texts of UI documents */
    ScriptSet *scripts;      /* owned */
    ScriptSet **retired;     /* owned: sets whose files changed since; values may still name them */
    size_t retired_count;
    HostMenus menus;          /* borrowed from scripts */
    const char *const *lua;   /* borrowed: folders of scripts, NULL-ended, or NULL */
    ScriptLimits lua_limits;
    const char *cache_policy; /* borrowed */
    const char *cache_dir;    /* borrowed, or NULL */
} Session;

typedef struct SessionOptions {
    HostOptions host;
    const char *cache;       /* "classic", "lru:N", "none"; NULL = classic */
    uint64_t choice_seed; /* 0 = always the first alternative */
    const char *const *lua;  /* folders of scripts, NULL-ended, or NULL; read while the session lives */
    ScriptLimits lua_limits; /* zeros = the defaults */
    const char *cache_dir;   /* folder of caches on disk, read while the session lives; NULL = none */
    bool no_prompt_cache;    /* prompts are not kept there */
    int64_t prompt_limit;    /* bytes of prompts; 0 = 1 GiB */
} SessionOptions;

Status session_init(Session *s, const SessionOptions *options, Error *err);
void session_fini(Session *s);
/* Reads the script folders again when a file of theirs changed; cached results go with the old scripts.
 * Opening a workflow does this first. Errors: E_FORMAT with rule E208; the old scripts stay then. */
Status session_refresh(Session *s, Error *err);

/* A loaded file: its graph, not checked yet, and where it came from. */
typedef struct Workflow {
    Session *session; /* borrowed */
    Graph *graph;     /* owned */
    char *path;       /* owned; as the user wrote it */
    char *text;       /* owned; the document, for lines and columns */
    size_t length;
} Workflow;

/* Reads API and UI documents, bodies of POST /prompt, and pictures that carry one of them (their prompt,
 * else their workflow). */
Status workflow_open(Session *s, const char *path, Workflow *out, Error *err);
Status workflow_from_text(Session *s, const char *text, size_t length, Workflow *out,
                          Error *err);
void workflow_fini(Workflow *w);

/* "ID.INPUT=VALUE"; the last dot before '=' divides id and input. */
Status workflow_set_expression(Workflow *w, const char *expression, Error *err);
Status workflow_set(Workflow *w, const char *node, const char *input, const char *value,
                    Error *err);

/* files: model and input files must exist. */
Status workflow_check(Workflow *w, bool files, CheckReport **out, Error *err);
/* A finding as a diagnostic with file, line and column. */
void workflow_finding(const Workflow *w, const CheckReport *report, const Finding *f,
                      Error *out);

/* Runs what the report found valid. Limits of memory are engine/limits.h's, before it. */
Status workflow_run(Workflow *w, const CheckReport *report, RunStats *stats, Error *err);

/* The order of a run with the exact bytes of each step, from a pass through the graph without weights. */
Status workflow_plan(Workflow *w, const CheckReport *report, Plan **out, Error *err);
/* The same for a host of other options, and with seconds when speed is given (program/speed.h). */
struct Speed;
Status workflow_plan_on(Workflow *w, const CheckReport *report, const HostOptions *host,
                        struct Speed *speed, Plan **out, Error *err);

/* Exit status of a failed run. */
int session_exit_code(Status s);

#endif
