/* report_ci.c - reports for CI servers: JUnit XML and annotation lines of GitHub's workflow commands. */
#include <stdio.h>
#include <string.h>

#include "engine/cli/report.h"

/* ---- JUnit ------------------------------------------------------------------------------- */

/* XML 1.0 has no place for most control characters, escaped or not, nor for U+FFFE and U+FFFF. */
static void put_valid_xml(Str *out, const char *text, size_t n)
{
    static const char *const names[] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&apos;"
    };

    for (const char *end = text + n; text < end; text++) {
        unsigned char c = (unsigned char)*text;
        bool noncharacter = c == 0xEF && (unsigned char)text[1] == 0xBF &&
                            ((unsigned char)text[2] == 0xBE || (unsigned char)text[2] == 0xBF);
        if (c < sizeof names / sizeof *names && names[c])
            str_add(out, names[c]);
        else if (c == '\n' || c == '\t' || c == '\r')
            str_printf(out, "&#%d;", c);
        else if (c < 0x20 || noncharacter)
            str_add_char(out, '?');
        else
            str_add_char(out, (char)c);
        if (noncharacter) text += 2;
    }
}

/* Bytes that are no UTF-8, which names of files may hold, become question marks. */
static void put_xml(Str *out, const char *text)
{
    ptrdiff_t bad;

    while ((bad = str_utf8_error(text, strlen(text))) >= 0) {
        put_valid_xml(out, text, (size_t)bad);
        str_add_char(out, '?');
        text += bad + 1;
    }
    put_valid_xml(out, text, strlen(text));
}

static void put_finding(Str *out, const ReportRow *row)
{
    str_printf(out, "%d:%d: %s %s ", row->line, row->column, report_severity(row->severity),
               row->rule);
    if (row->node[0]) {
        str_add(out, "node ");
        put_xml(out, row->node);
        str_add(out, " (");
        put_xml(out, row->class_type);
        str_add(out, "): ");
    }
    if (row->input[0]) {
        put_xml(out, row->input);
        str_add(out, ": ");
    }
    put_xml(out, row->message);
    if (row->fix[0]) str_add(out, "; ");
    put_xml(out, row->fix);
    str_add_char(out, '\n');
}

static bool is_of(const ReportRow *row, const char *rule)
{
    return !row->suppressed && strcmp(row->rule, rule) == 0;
}

/* How many findings of a rule are errors, and how many are not. */
static void count_rule(const ReportFile *file, const char *rule, int *errors, int *others)
{
    *errors = *others = 0;
    for (int i = 0; i < file->n_rows; i++) {
        if (!is_of(&file->rows[i], rule)) continue;
        if (file->rows[i].severity == SEV_ERROR)
            ++*errors;
        else
            ++*others;
    }
}

static void put_findings(Str *out, const ReportFile *file, const char *rule, bool errors)
{
    for (int i = 0; i < file->n_rows; i++) {
        const ReportRow *row = &file->rows[i];
        if (is_of(row, rule) && (row->severity == SEV_ERROR) == errors) put_finding(out, row);
    }
}

/* All findings of one rule: errors fail the case, the rest is what it had to say. */
static void put_case(Str *out, const ReportFile *file, const Rule *rule, int errors, int others)
{
    str_add(out, "    <testcase classname=\"");
    put_xml(out, file->path);
    str_printf(out, "\" name=\"%s %s\">\n", rule->id, rule->name);
    if (errors) {
        str_printf(out, "      <failure type=\"%s\" message=\"", rule->id);
        put_xml(out, rule->title);
        str_add(out, "\">");
        put_findings(out, file, rule->id, true);
        str_add(out, "</failure>\n");
    }
    if (others) {
        str_add(out, "      <system-out>");
        put_findings(out, file, rule->id, false);
        str_add(out, "</system-out>\n");
    }
    str_add(out, "    </testcase>\n");
}

static void junit_begin(Report *r)
{
    str_add(
        &r->out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"weft validate\">\n");
}

static void put_cases(Str *out, const ReportFile *file, int *cases, int *failures)
{
    const Rule *rule;
    int errors, others;

    for (size_t i = 0; (rule = rule_at(i)); i++) {
        count_rule(file, rule->id, &errors, &others);
        if (!errors && !others) continue;
        ++*cases;
        *failures += errors > 0;
        put_case(out, file, rule, errors, others);
    }
}

static void junit_file(Report *r, const ReportFile *file)
{
    int cases = 0, failures = 0;
    Str inner = { 0 };

    put_cases(&inner, file, &cases, &failures);
    str_add(&r->out, "  <testsuite name=\"");
    put_xml(&r->out, file->path);
    str_printf(&r->out, "\" tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"0\">\n",
               cases ? cases : 1, failures);
    if (inner.text) str_add(&r->out, inner.text);
    if (!cases) {
        str_add(&r->out, "    <testcase classname=\"");
        put_xml(&r->out, file->path);
        str_add(&r->out, "\" name=\"clean\"/>\n");
    }
    str_add(&r->out, "  </testsuite>\n");
    r->out.failed |= inner.failed;
    str_fini(&inner);
}

static void junit_end(Report *r)
{
    str_add(&r->out, "</testsuites>\n");
}

const ReportFormat report_junit = {
    .name = "junit", .begin = junit_begin, .file = junit_file, .end = junit_end
};

/* ---- annotations ------------------------------------------------------------------------- */

/* Percent signs and line ends are escaped everywhere, ':' and ',' in properties too. */
static void put_command(Str *out, const char *text, bool property)
{
    for (; *text; text++) {
        char c = *text;
        if (c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ',')))
            str_printf(out, "%%%02X", (unsigned char)c);
        else if ((unsigned char)c < 0x20 || c == 0x7F)
            str_add_char(out, ' ');
        else
            str_add_char(out, c);
    }
}

static void put_annotation(Str *out, const char *path, const ReportRow *row)
{
    static const char *const words[] = { "error", "warning", "notice" };
    const Rule *known = rule_find(row->rule);

    str_printf(out, "::%s file=", words[row->severity]);
    put_command(out, path, true);
    str_printf(out, ",line=%d,col=%d,title=", row->line, row->column);
    put_command(out, row->rule, true);
    str_add_char(out, ' ');
    put_command(out, known ? known->name : "", true);
    str_add(out, "::");
    if (row->node[0]) {
        str_add(out, "node ");
        put_command(out, row->node, false);
        str_add(out, " (");
        put_command(out, row->class_type, false);
        str_add(out, "): ");
    }
    put_command(out, row->input, false);
    if (row->input[0]) str_add(out, ": ");
    put_command(out, row->message, false);
    if (row->fix[0]) str_add(out, "; ");
    put_command(out, row->fix, false);
    str_add_char(out, '\n');
}

static void github_file(Report *r, const ReportFile *file)
{
    for (int i = 0; i < file->n_rows; i++)
        if (!file->rows[i].suppressed) put_annotation(&r->out, file->path, &file->rows[i]);
}

const ReportFormat report_github = { .name = "github", .file = github_file };
