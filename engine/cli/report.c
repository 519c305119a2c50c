/* report.c - findings of many files: collecting, counting, and the formats text and JSON. */
#include "engine/cli/report.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/mem.h"

const char *report_severity(Severity s)
{
    static const char *const names[] = { "error", "warning", "note" };

    return names[s];
}

/* ---- rows -------------------------------------------------------------------------------- */

void report_file_init(ReportFile *file, const char *path)
{
    *file = (ReportFile){ .path = path, .arena = arena_new() };
}

void report_file_fini(ReportFile *file)
{
    arena_free(file->arena);
    mem_free(file->rows);
    *file = (ReportFile){ 0 };
}

/* A copy in which bytes that are no UTF-8 (a text cut in the middle of a character) become '?'. */
static const char *keep(Arena *arena, const char *text)
{
    char *own = arena_strdup(arena, text);
    size_t n = own ? strlen(own) : 0;

    for (ptrdiff_t bad; own && (bad = str_utf8_error(own, n)) >= 0;)
        own[bad] = '?';
    return own ? own : "";
}

ReportRow *report_add(ReportFile *file, const Error *e)
{
    ReportRow *row;

    if (file->n_rows == file->capacity) {
        int capacity = file->capacity ? file->capacity * 2 : 16;
        ReportRow *rows = mem_realloc(file->rows, (size_t)capacity * sizeof *rows);
        if (!rows) return NULL;
        file->rows = rows;
        file->capacity = capacity;
    }
    if (!file->arena) return NULL;
    row = &file->rows[file->n_rows++];
    *row = (ReportRow){ .rule = keep(file->arena, e->rule),
                        .node = keep(file->arena, e->node),
                        .class_type = keep(file->arena, e->class_type),
                        .title = keep(file->arena, e->title),
                        .input = keep(file->arena, e->input),
                        .message = keep(file->arena, e->message),
                        .fix = keep(file->arena, e->fix),
                        .severity = e->severity,
                        .line = e->line > 0 ? e->line : 1,
                        .column = e->column > 0 ? e->column : 1 };
    return row;
}

static void count_row(Report *r, const ReportRow *row)
{
    if (row->suppressed) {
        r->suppressed++;
        return;
    }
    r->errors += row->severity == SEV_ERROR;
    r->warnings += row->severity == SEV_WARNING;
    r->notes += row->severity == SEV_NOTE;
    r->counted += row->severity <= r->threshold;
    r->fixable += row->fixable == RULE_FIX_SAFE;
    r->unsafe += row->fixable == RULE_FIX_UNSAFE;
}

static void flush(Report *r)
{
    if (r->out.length) fwrite(r->out.text, 1, r->out.length, stdout);
    if (!r->out.failed) str_clear(&r->out);
}

void report_print(Report *r, const ReportFile *file)
{
    r->files++;
    for (int i = 0; i < file->n_rows; i++)
        count_row(r, &file->rows[i]);
    r->format->file(r, file);
    flush(r);
}

void report_begin(Report *r, const ReportFormat *format, Severity threshold)
{
    *r = (Report){ .format = format, .threshold = threshold };
    if (format->begin) format->begin(r);
}

bool report_end(Report *r)
{
    bool good;

    if (r->format->end) r->format->end(r);
    flush(r);
    good = !r->out.failed && fflush(stdout) == 0 && !ferror(stdout);
    str_fini(&r->out);
    return good;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

void report_summary(const Report *r)
{
    fprintf(stderr, "%d file%s: %d error%s, %d warning%s, %d note%s", r->files,
            plural(r->files), r->errors, plural(r->errors), r->warnings, plural(r->warnings),
            r->notes, plural(r->notes));
    if (r->suppressed) fprintf(stderr, ", %d suppressed", r->suppressed);
    if (r->skipped)
        fprintf(stderr, "; %d file%s without a workflow skipped", r->skipped,
                plural(r->skipped));
    if (r->unreadable) fprintf(stderr, "; %d unreadable", r->unreadable);
    if (r->fixed) fprintf(stderr, "; %d correction%s made", r->fixed, plural(r->fixed));
    if (r->fixable) fprintf(stderr, "; --fix corrects %d", r->fixable);
    if (r->unsafe) fprintf(stderr, "; --fix --unsafe-fixes %d more", r->unsafe);
    fputc('\n', stderr);
}

static void count_file(Report *r, const ReportFile *file)
{
    (void)r;
    (void)file;
}

const ReportFormat report_count = { .name = "count", .file = count_file };

/* ---- text -------------------------------------------------------------------------------- */

/* Control characters would end the line or steer a terminal. */
static void put_line(Str *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7F)
            str_printf(out, "\\x%02x", c);
        else
            str_add_char(out, (char)c);
    }
}

/* [node 57:8 KSampler "title"], with the title only where it says more than the class. */
static void put_node(Str *out, const ReportRow *row)
{
    str_add(out, " [node ");
    put_line(out, row->node);
    if (row->class_type[0]) str_add_char(out, ' ');
    put_line(out, row->class_type);
    if (row->title[0] && strcmp(row->title, row->class_type) != 0) {
        str_add(out, " \"");
        put_line(out, row->title);
        str_add_char(out, '"');
    }
    str_add_char(out, ']');
}

static void text_file(Report *r, const ReportFile *file)
{
    for (int i = 0; i < file->n_rows; i++) {
        const ReportRow *row = &file->rows[i];
        if (row->suppressed) continue;
        put_line(&r->out, file->path);
        str_printf(&r->out, ":%d:%d: %s %s ", row->line, row->column,
                   report_severity(row->severity), row->rule);
        if (row->input[0]) {
            put_line(&r->out, row->input);
            str_add(&r->out, ": ");
        }
        put_line(&r->out, row->message);
        if (row->fix[0]) str_add(&r->out, "; ");
        put_line(&r->out, row->fix);
        if (row->node[0]) put_node(&r->out, row);
        str_add_char(&r->out, '\n');
    }
}

const ReportFormat report_text = { .name = "text", .file = text_file };

/* ---- JSON -------------------------------------------------------------------------------- */

static void put_text(Str *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void put_members(Str *out, const char *path, const ReportRow *row)
{
    const struct {
        const char *key, *value;
    } texts[] = { { "file", path },
                  { "severity", report_severity(row->severity) },
                  { "rule", row->rule },
                  { "node", row->node },
                  { "class_type", row->class_type },
                  { "title", row->title },
                  { "input", row->input },
                  { "message", row->message },
                  { "fix", row->fix },
                  { "correction", row->fixable == RULE_FIX_SAFE     ? "safe"
                                  : row->fixable == RULE_FIX_UNSAFE ? "unsafe"
                                                                    : "" } };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i].value[0]) continue;
        str_printf(out, "%s\"%s\": ", i ? ", " : "", texts[i].key);
        put_text(out, texts[i].value);
    }
    str_printf(out, ", \"line\": %d, \"column\": %d", row->line, row->column);
}

static void json_begin(Report *r)
{
    str_add_char(&r->out, '[');
}

static void json_file(Report *r, const ReportFile *file)
{
    for (int i = 0; i < file->n_rows; i++) {
        if (file->rows[i].suppressed) continue;
        str_add(&r->out, r->printed++ ? ",\n {" : "{");
        put_members(&r->out, file->path, &file->rows[i]);
        str_add_char(&r->out, '}');
    }
}

static void json_end(Report *r)
{
    str_add(&r->out, "]\n");
}

const ReportFormat report_json = {
    .name = "json", .begin = json_begin, .file = json_file, .end = json_end
};
