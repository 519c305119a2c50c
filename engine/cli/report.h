/* report.h - findings of many files in the form a reader wants: people, scripts, or a CI server.
 *
 * One format is one table of three functions; text goes out after each file, so that a long call shows its
 * findings as they come.
 */
#ifndef WEFT_CLI_REPORT_H
#define WEFT_CLI_REPORT_H

#include "engine/base/arena.h"
#include "engine/base/json_edit.h"
#include "engine/graph/rules.h"

/* One finding as all formats print it; texts are UTF-8 and never NULL. */
typedef struct ReportRow {
    const char *rule, *node, *class_type, *title, *input, *message, *fix;
    Severity severity;
    int line, column;      /* from 1; 1:1 when unknown */
    bool suppressed;       /* by the document itself */
    RuleFix fixable;       /* `--fix` would correct it */
    const TextEdit *edits; /* of that correction; kept when the format asks */
    size_t n_edits;
} ReportRow;

typedef struct ReportFile {
    const char *path;   /* as the user wrote it */
    const JsonDoc *doc; /* of the edits' offsets; NULL = none */
    Arena *arena;       /* owned */
    ReportRow *rows;    /* owned */
    int n_rows, capacity;
} ReportFile;

typedef struct ReportFormat ReportFormat;

typedef struct Report {
    const ReportFormat *format;
    Severity threshold;
    Str out; /* owned; printed and cleared after each file */
    int files, skipped, unreadable;
    int errors, warnings, notes, suppressed, fixable, unsafe, fixed;
    int counted; /* at or above the threshold */
    int printed; /* rows that are not suppressed */
} Report;

struct ReportFormat {
    const char *name;
    bool edits;      /* rows need them */
    bool suppressed; /* rows that the document suppresses are wanted too */
    void (*begin)(Report *r);
    void (*file)(Report *r, const ReportFile *file);
    void (*end)(Report *r);
};

/* report_count prints nothing. */
extern const ReportFormat report_count, report_text, report_json, report_sarif, report_junit,
    report_github;

void report_file_init(ReportFile *file, const char *path);
void report_file_fini(ReportFile *file);
/* Adds the record; NULL when memory is out. */
ReportRow *report_add(ReportFile *file, const Error *e);
/* Counts the rows and prints the file. */
void report_print(Report *r, const ReportFile *file);
void report_begin(Report *r, const ReportFormat *format, Severity threshold);
/* Ends the report; false when memory ran out on the way or the output could not be written. */
bool report_end(Report *r);
/* One line about all of it, on standard error. */
void report_summary(const Report *r);

const char *report_severity(Severity s);

#endif
