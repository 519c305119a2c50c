/* validate.c - `weft validate`: checks workflows without running them, and corrects them. */
#include "engine/cli/validate.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/graph/fix.h"
#include "engine/graph/lint.h"
#include "engine/graph/suppress.h"

enum { LARGEST = 1 << 30, PASSES_MAX = 64, TRIALS_MAX = 500 };

/* One document under check; what it is told about stands in `checked`. */
typedef struct Document {
    const CliArgs *args;
    const Settings *settings;
    const char *path;
    char *below; /* owned; the path that the settings' patterns see */
    Session *session;
    Workflow workflow;
    CheckReport *checked;
    Suppressions quiet;
    bool picture;
} Document;

static Status no_memory(Error *err)
{
    return error_set(err, E_NOMEM, "out of memory");
}

/* ---- sessions ---------------------------------------------------------------------------- */

/* Folders of the command line, else of the settings. */
Status validate_session(const CliArgs *args, Settings *s, Session **out, Error *err)
{
    SessionOptions options;

    *out = &s->session;
    if (s->used) return OK;
    cli_session_options(args, &options);
    if (!args->models.count && s->models.count) options.host.models = s->models.items;
    if (!args->lua.count && s->lua.count) options.lua = s->lua.items;
    if (!args->input && s->input) options.host.input = s->input;
    TRY(session_init(&s->session, &options, err));
    s->used = true;
    return OK;
}

static bool looks_at_files(const Document *d)
{
    return d->args->models.count > 0 || d->settings->models.count > 0;
}

/* ---- one look at a document -------------------------------------------------------------- */

/* Pictures and texts inside texts have no lines of their own. */
static bool has_places(const Document *d)
{
    return !d->picture && !d->workflow.graph->embedded;
}

static void to_error(const Document *d, const Finding *f, Error *out)
{
    memset(out, 0, sizeof *out);
    workflow_finding(&d->workflow, d->checked, f, out);
    if (has_places(d)) return;
    out->line = out->column = 1;
}

static bool is_told(const Document *d, const Error *e, Severity *severity)
{
    return settings_tell(d->settings, d->args, d->below, e, severity);
}

/* A suppression is idle when its rules are looked for and nothing broke them. */
static bool is_idle(const Document *d, const Suppression *s)
{
    Error e = { 0 };
    Severity severity;

    if (s->used) return false;
    if (strcmp(s->rule, "E204") == 0 && !looks_at_files(d)) return false;
    snprintf(e.rule, sizeof e.rule, "%s", s->rule);
    return !rule_find(s->rule) || settings_tell(d->settings, d->args, d->below, &e, &severity);
}

static int node_holding(const Graph *g, const Json *owner)
{
    for (int i = 0; i < g->count; i++)
        if (g->nodes[i].source == owner) return i;
    return -1;
}

static Status tell_idle(Document *d, Error *err)
{
    for (int i = 0; i < d->quiet.count; i++) {
        const Suppression *s = &d->quiet.items[i];
        Finding *f;
        Error e;
        if (!is_idle(d, s)) continue;
        error_clear(&e);
        error_set(&e, E_USAGE, "unused suppression %.60s%s", s->rule,
                  rule_matches_any(s->rule) ? "" : ": there is no such rule");
        error_fix(&e, "remove it");
        memcpy(e.rule, "N901", 5);
        e.severity = SEV_NOTE;
        e.offset = json_offset(s->at);
        TRY(check_add(d->checked, &e, node_holding(d->workflow.graph, s->owner), err));
        f = &d->checked->items[d->checked->count - 1];
        f->source = s->at;
    }
    return OK;
}

static Status look(Document *d, Error *err)
{
    Workflow *w = &d->workflow;

    for (int i = 0; i < d->args->set.count; i++)
        TRY(workflow_set_expression(w, d->args->set.items[i], err));
    TRY(workflow_check(w, looks_at_files(d), &d->checked, err));
    TRY(lint_graph(w->graph, d->checked, err));
    TRY(suppress_read(d->checked, &d->quiet, err));
    for (int i = 0; i < d->checked->count; i++)
        suppress_covers(&d->quiet, d->checked, &d->checked->items[i]);
    return tell_idle(d, err);
}

static void close_document(Document *d)
{
    check_free(d->checked);
    d->checked = NULL;
    workflow_fini(&d->workflow);
}

/* ---- corrections ------------------------------------------------------------------------- */

static bool may_fix(const Document *d, const Finding *f, bool unsafe)
{
    const Rule *rule = rule_find(f->rule);
    Severity severity;
    Error e;

    if (!rule || rule->fix == RULE_FIX_NONE) return false;
    if (rule->fix == RULE_FIX_UNSAFE && !unsafe) return false;
    if (!f->source && f->node < 0) return false;
    to_error(d, f, &e);
    return is_told(d, &e, &severity) && !suppress_covers(&d->quiet, d->checked, f);
}

/* Adds what can be corrected at once; the new text when there is any. */
static Status fix_pass(Document *d, bool unsafe, Str *out, int *made, Error *err)
{
    JsonEdit *edit = NULL;
    Fixer *fixer = NULL;
    Status status = OK;

    TRY_DONE(json_edit_new(d->workflow.graph->doc, &edit, err));
    TRY_DONE(fixer_new(d->checked, edit, &fixer, err));
    for (int i = 0; i < d->checked->count; i++)
        if (may_fix(d, &d->checked->items[i], unsafe)) fixer_add(fixer, &d->checked->items[i]);
    *made = (int)json_edit_count(edit);
    if (*made) TRY_DONE(json_edit_apply(edit, out, err));
done:
    fixer_free(fixer);
    json_edit_free(edit);
    return status;
}

static Status reopen(Document *d, const Str *text, Error *err)
{
    Workflow next;

    TRY(workflow_from_text(d->session, text->text, text->length, &next, err));
    close_document(d);
    d->workflow = next;
    return look(d, err);
}

/* Passes until nothing is left; *text gets the last one, empty when nothing was done. */
static Status fix_document(Document *d, Str *text, int *fixed, Error *err)
{
    *fixed = 0;
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        Str next = { 0 };
        int made = 0;
        Status status = fix_pass(d, d->args->unsafe_fixes, &next, &made, err);
        if (status == OK && made) status = reopen(d, &next, err);
        if (status != OK || !made) {
            str_fini(&next);
            return status;
        }
        str_fini(text);
        *text = next;
        *fixed += made;
    }
    /* Two corrections undo each other: better none than either. */
    str_fini(text);
    *text = (Str){ 0 };
    *fixed = 0;
    return OK;
}

/* ---- rows -------------------------------------------------------------------------------- */

static Status copy_edits(ReportFile *file, ReportRow *row, JsonEdit *edit, Error *err)
{
    const TextEdit *list;
    TextEdit *own;
    size_t n;

    TRY(json_edit_list(edit, &list, &n, err));
    own = arena_array(file->arena, n + 1, sizeof *own);
    if (!own) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        own[i] = list[i];
        own[i].with = arena_strdup(file->arena, list[i].with);
        if (!own[i].with) return no_memory(err);
    }
    row->edits = own;
    row->n_edits = n;
    return OK;
}

/* What `--fix` would do, one finding at a time. */
typedef struct Trial {
    JsonEdit *edit; /* owned */
    Fixer *fixer;   /* owned */
    int left; /* findings that are still tried: a long list of them is not worth the time */
} Trial;

/* Whether `--fix` would correct it, and by which changes. */
static Status try_fix(const Document *d, const ReportFormat *format, const Finding *f,
                      Trial *trial, ReportFile *file, ReportRow *row, Error *err)
{
    if (!has_places(d) || !may_fix(d, f, true) || trial->left-- <= 0) return OK;
    if (!trial->edit) TRY(json_edit_new(d->workflow.graph->doc, &trial->edit, err));
    if (!trial->fixer) TRY(fixer_new(d->checked, trial->edit, &trial->fixer, err));
    json_edit_reset(trial->edit);
    if (!fixer_add(trial->fixer, f)) return OK;
    row->fixable = rule_find(f->rule)->fix;
    return format->edits ? copy_edits(file, row, trial->edit, err) : OK;
}

static Status add_row(const Document *d, const Report *report, const Finding *f, Trial *trial,
                      ReportFile *file, Error *err)
{
    bool quiet = suppress_covers(&d->quiet, d->checked, f);
    Severity severity;
    ReportRow *row;
    Error e;

    to_error(d, f, &e);
    if (!is_told(d, &e, &severity)) return OK;
    row = report_add(file, &e);
    if (!row) return no_memory(err);
    row->severity = severity;
    row->suppressed = quiet;
    return quiet ? OK : try_fix(d, report->format, f, trial, file, row, err);
}

static Status add_rows(const Document *d, const Report *report, ReportFile *file, Error *err)
{
    Trial trial = { .left = TRIALS_MAX };
    Status status = OK;

    for (int i = 0; i < d->checked->count && status == OK; i++)
        status = add_row(d, report, &d->checked->items[i], &trial, file, err);
    fixer_free(trial.fixer);
    json_edit_free(trial.edit);
    return status;
}

/* ---- one file ---------------------------------------------------------------------------- */

static bool is_workflow_fault(const Error *e)
{
    return strcmp(e->rule, "E102") != 0 ||
           strcmp(e->message, "neither UI nor API workflow") != 0;
}

/* What could not be read at all: a finding, a file to skip, or a failure. */
static void tell_fault(Validation *v, Document *d, const InputFile *in, Status status,
                       Error *err)
{
    ReportFile file;
    Severity severity;

    if (status == E_FORMAT && in->found && (!is_workflow_fault(err) || d->picture)) {
        v->report.skipped++;
        return;
    }
    if (status != E_FORMAT && !(err->rule[0] && status != E_NOMEM)) {
        error_at_file(err, d->path, -1);
        cli_print_error(err);
        v->report.unreadable++;
        v->status = 2;
        return;
    }
    if (!err->rule[0]) memcpy(err->rule, "E102", 5);
    report_file_init(&file, d->path);
    if (d->picture) err->line = err->column = 1;
    if (is_told(d, err, &severity)) {
        ReportRow *row = report_add(&file, err);
        if (row) row->severity = severity;
    }
    report_print(&v->report, &file);
    report_file_fini(&file);
}

/* Writes, or shows, what was corrected. */
static Status keep_fixes(const Document *d, const Str *before, const Str *after, Report *r,
                         int fixed, Error *err)
{
    if (!after->length) return OK;
    if (d->args->diff) {
        diff_write(&r->out, d->path, before->text, before->length, after->text, after->length);
        return OK;
    }
    TRY(file_write(d->path, after->text, after->length, err));
    r->fixed += fixed;
    return OK;
}

static Status fix_file(Document *d, Report *r, Error *err)
{
    Str before = { 0 }, after = { 0 };
    int fixed = 0;
    Status status = OK;

    if (!has_places(d) || (!d->args->fix && !d->args->diff)) return OK;
    str_add_n(&before, d->workflow.text, d->workflow.length);
    if (before.failed) TRY_DONE(no_memory(err));
    TRY_DONE(fix_document(d, &after, &fixed, err));
    TRY_DONE(keep_fixes(d, &before, &after, r, fixed, err));
done:
    str_fini(&before);
    str_fini(&after);
    return status;
}

static Status report_document(Document *d, Report *r, Error *err)
{
    ReportFile file;
    Status status;

    report_file_init(&file, d->path);
    file.doc = d->workflow.graph->doc;
    status = add_rows(d, r, &file, err);
    if (status == OK) report_print(r, &file);
    report_file_fini(&file);
    return status;
}

static void check_document(Validation *v, Document *d, const InputFile *in)
{
    Error err;
    Status status;

    error_clear(&err);
    status = workflow_open(d->session, d->path, &d->workflow, &err);
    if (status != OK) {
        tell_fault(v, d, in, status, &err);
        return;
    }
    status = look(d, &err);
    /* With --diff the file stays as it is, and so do its findings. */
    if (status == OK && !d->args->diff) status = fix_file(d, &v->report, &err);
    if (status == OK) status = report_document(d, &v->report, &err);
    if (status == OK && d->args->diff) status = fix_file(d, &v->report, &err);
    if (status != OK) {
        error_at_file(&err, d->path, -1);
        cli_print_error(&err);
        v->status = 2;
    }
    close_document(d);
}

static bool is_picture(const char *path)
{
    static const char *const ends[] = { ".png", ".webp", ".jpg", ".jpeg",
                                        ".PNG", ".WEBP", ".JPG", ".JPEG" };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (str_ends_with(path, ends[i])) return true;
    return false;
}

static bool is_comfy(const CliArgs *args)
{
    return args->format && strcmp(args->format, "comfy") == 0;
}

/* A script that does not load is a finding of its own; nothing else can be checked then. */
static void tell_session(Validation *v, Error *err)
{
    ReportFile file;
    char path[sizeof err->file];

    if (!err->rule[0] || is_comfy(v->args)) {
        cli_print_error(err);
        v->status = err->rule[0] ? 1 : 2;
        return;
    }
    memcpy(path, err->file, sizeof path);
    report_file_init(&file, path[0] ? path : "-");
    report_add(&file, err);
    report_print(&v->report, &file);
    report_file_fini(&file);
}

static bool start(Validation *v, const InputFile *in, Document *d, Settings **settings)
{
    Error err;
    Status status;

    error_clear(&err);
    status = settings_for(&v->store, in->path, settings, &err);
    if (status != OK) {
        cli_print_error(&err);
        v->status = 2;
        return false;
    }
    d->settings = *settings;
    if (in->found && settings_excludes(*settings, in->path)) return false;
    if ((*settings)->broken) return false;
    if (validate_session(v->args, *settings, &d->session, &err) == OK) return true;
    (*settings)->broken = true;
    tell_session(v, &err);
    return false;
}

void validate_input(Validation *v, const InputFile *in)
{
    Document d = { .args = v->args, .path = in->path, .picture = is_picture(in->path) };
    Settings *settings = NULL;

    if (!start(v, in, &d, &settings)) return;
    if (is_comfy(v->args)) {
        int status = validate_comfy(d.session, in->path);
        if (status > v->status) v->status = status;
        return;
    }
    d.below = settings_below(settings, in->path);
    if (d.below) check_document(v, &d, in);
    if (!d.below) v->status = 2;
    mem_free(d.below);
}

/* ---- all of them ------------------------------------------------------------------------- */

static const ReportFormat *format_of(const CliArgs *args)
{
    static const ReportFormat *const formats[] = { &report_text, &report_json, &report_sarif,
                                                   &report_junit, &report_github };

    for (size_t i = 0; args->format && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i]->name, args->format) == 0) return formats[i];
    return &report_text;
}

static Severity threshold_of(const CliArgs *args, const Settings *s)
{
    static const char *const names[] = { "error", "warning", "note" };

    for (int i = 0; args->threshold && i < 3; i++)
        if (strcmp(names[i], args->threshold) == 0) return (Severity)i;
    return s && s->threshold >= 0 ? (Severity)s->threshold : SEV_ERROR;
}

/* Settings that cannot be read end the call before anything is printed; those of the first input (or of
 * --config) give the threshold of the whole report. */
static Status first_threshold(Validation *v, const Inputs *in, Severity *out, Error *err)
{
    Settings *s = NULL;

    if (in->count) TRY(settings_for(&v->store, in->items[0].path, &s, err));
    *out = threshold_of(v->args, s);
    return OK;
}

static int finish(Validation *v)
{
    bool comfy = is_comfy(v->args);
    int status = v->status;

    if (!status && v->report.counted) status = 1;
    if ((v->report.format == &report_text || v->report.format == &report_count) && !comfy &&
        !v->args->quiet)
        report_summary(&v->report);
    if (!report_end(&v->report)) status = 2;
    return status;
}

int validate_all(const CliArgs *args)
{
    Validation v = { .args = args, .store = { .given = args->config } };
    const ReportFormat *format = args->diff ? &report_count : format_of(args);
    Severity threshold = SEV_ERROR;
    Inputs in = { 0 };
    Error err;
    int status = 2;

    error_clear(&err);
    if (inputs_collect(&args->files, &in, &err) != OK ||
        first_threshold(&v, &in, &threshold, &err) != OK) {
        cli_print_error(&err);
        goto done;
    }
    report_begin(&v.report, format, threshold);
    for (size_t i = 0; i < in.count; i++)
        validate_input(&v, &in.items[i]);
    status = finish(&v);
done:
    inputs_free(&in);
    settings_store_free(&v.store);
    return status;
}

static int misused(const char *what)
{
    fprintf(stderr, "weft validate: %s\n", what);
    return 2;
}

int cmd_validate(const CliArgs *args)
{
    if (args->files.count == 0) return misused("no workflow file given");
    if (args->unsafe_fixes && !args->fix && !args->diff)
        return misused("--unsafe-fixes goes with --fix or --diff");
    if (args->set.count && (args->fix || args->diff))
        return misused("--set changes no file; leave it out with --fix and --diff");
    for (int i = 0; args->fix && !args->diff && i < args->files.count; i++)
        if (strcmp(args->files.items[i], "-") == 0)
            return misused("--fix cannot write standard input; use --diff");
    return args->watch ? validate_watch(args) : validate_all(args);
}
