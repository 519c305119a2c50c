/* validate.h - what the files of `weft validate` share: settings, inputs, one check. */
#ifndef WEFT_CLI_VALIDATE_H
#define WEFT_CLI_VALIDATE_H

#include "engine/base/arena.h"
#include "engine/cli/commands.h"
#include "engine/cli/report.h"

/* ---- settings ---------------------------------------------------------------------------- */

/* Rules that some files ignore. */
typedef struct PathRule {
    const char *glob; /* against the path below the settings' folder */
    const char *const *rules;
    size_t n_rules;
} PathRule;

typedef struct SeverityRule {
    const char *rule; /* id, or the beginning of ids */
    int severity;     /* a Severity, or -1: off */
} SeverityRule;

typedef struct TextList {
    const char *const *items;
    size_t count;
} TextList;

/* One weft.toml; the empty one when there is none. */
typedef struct Settings {
    Arena *arena;       /* owned */
    const char *path;   /* of the file; NULL = none */
    const char *folder; /* absolute */
    TextList select, ignore, exclude, known_classes;
    TextList models, lua; /* absolute, NULL-ended */
    const char *input;    /* absolute; NULL = not given */
    int threshold;        /* a Severity, or -1 */
    PathRule *path_rules;
    size_t n_path_rules;
    SeverityRule *severities;
    size_t n_severities;
    bool used, broken; /* session is there; it could not be started, and that was told */
    Session session;   /* owned; with this file's folders */
    struct Settings *next;
} Settings;

/* Reads a settings file. Errors: E_FORMAT with file, line and column: not TOML, an unknown key or rule, a
 * value of the wrong kind; E_USAGE or E_IO when it cannot be read. */
Status settings_read(const char *path, Settings **out, Error *err);
void settings_free(Settings *s);

/* All settings of one call, each read once. */
typedef struct SettingsStore {
    const char *given; /* --config, or NULL */
    Settings *all;     /* owned */
} SettingsStore;

/* Those that hold for a file: --config, or the nearest weft.toml in its folder and above. */
Status settings_for(SettingsStore *store, const char *file, Settings **out, Error *err);
void settings_store_free(SettingsStore *store);
/* The file is one that `exclude` names. */
bool settings_excludes(const Settings *s, const char *file);
/* Whether a finding is told, by the command line and the settings; *severity gets its severity. `file` is
 * the path below the settings' folder (settings_below). */
bool settings_tell(const Settings *s, const CliArgs *args, const char *file, const Error *e,
                   Severity *severity);
/* The path of a file below the settings' folder, or its own path where it is not below; mem_free. */
char *settings_below(const Settings *s, const char *file);
/* Some text of the list starts the rule. */
bool settings_listed(const char *list, const char *rule);

/* ---- inputs ------------------------------------------------------------------------------ */

typedef struct InputFile {
    char *path;
    bool found; /* in a folder or by a pattern: one without a workflow is skipped */
} InputFile;

typedef struct Inputs {
    InputFile *items; /* owned */
    size_t count, capacity;
} Inputs;

/* Files, folders (*.json and pictures below, sorted; no hidden folders), patterns, "-". Errors: E_USAGE for a
 * pattern that nothing matches. A file that does not exist is found out when it is opened. */
Status inputs_collect(const CliFiles *files, Inputs *out, Error *err);
void inputs_free(Inputs *in);

/* ---- checking ---------------------------------------------------------------------------- */

typedef struct Validation {
    const CliArgs *args;
    SettingsStore store;
    Report report;
    int status; /* 2 once something could not be read */
} Validation;

/* Checks (and corrects) one input into the report. */
void validate_input(Validation *v, const InputFile *file);
/* Checks all inputs once; the exit status. */
int validate_all(const CliArgs *args);
/* The same whenever one of them is saved; ends with a signal. */
int validate_watch(const CliArgs *args);
/* What POST /prompt answers to one file; exit status 1 when it refuses. */
int validate_comfy(Session *session, const char *file);
/* The session of the settings, started when it is asked for first. */
Status validate_session(const CliArgs *args, Settings *s, Session **out, Error *err);

/* Appends the difference of two texts as a patch; nothing when they are equal. */
void diff_write(Str *out, const char *path, const char *before, size_t n_before,
                const char *after, size_t n_after);

#endif
