/* report_sarif.c - SARIF 2.1.0, the exchange format of static analysis results.
 *
 * One run; all rules in its driver, results that point to them by id and index. Source: OASIS, Static
 * Analysis Results Interchange Format (SARIF) Version 2.1.0.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/sha256.h"
#include "engine/cli/report.h"
#include "engine/weft.h"

static void put_text(Str *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void put_message(Str *out, const char *key, const char *text)
{
    str_printf(out, "\"%s\": {\"text\": ", key);
    put_text(out, text);
    str_add_char(out, '}');
}

/* ---- rules ------------------------------------------------------------------------------- */

static void put_help(Str *out, const Rule *rule)
{
    Str text = { 0 };

    str_printf(&text, "%s\n\nBad: %s\nGood: %s", rule->why, rule->bad, rule->good);
    out->failed |= text.failed;
    put_message(out, "help", text.failed ? "" : text.text);
    str_fini(&text);
}

static void put_rule(Str *out, const Rule *rule)
{
    str_printf(out, "{\"id\": \"%s\", \"name\": \"%s\", ", rule->id, rule->name);
    put_message(out, "shortDescription", rule->title);
    str_add(out, ", ");
    put_message(out, "fullDescription", rule->why);
    str_add(out, ", ");
    put_help(out, rule);
    /* A name, not an address: the same text is printed by `weft explain`. */
    str_printf(out, ", \"helpUri\": \"urn:weft:rule:%s\"", rule->id);
    str_printf(out, ", \"defaultConfiguration\": {\"level\": \"%s\"}}",
               report_severity(rule->severity));
}

static void sarif_begin(Report *r)
{
    const Rule *rule;

    str_add(
        &r->out,
        "{\"$schema\": \"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
        "sarif-schema-2.1.0.json\",\n \"version\": \"2.1.0\",\n \"runs\": [{\"tool\": "
        "{\"driver\": {\"name\": \"weft\", \"version\": ");
    put_text(&r->out, weft_version());
    str_add(&r->out, ", \"rules\": [\n  ");
    for (size_t i = 0; (rule = rule_at(i)); i++) {
        str_add(&r->out, i ? ",\n  " : "");
        put_rule(&r->out, rule);
    }
    str_add(&r->out, "]}},\n  \"columnKind\": \"unicodeCodePoints\",\n  \"results\": [");
}

/* ---- places ------------------------------------------------------------------------------ */

/* A path as a URI reference: what is not unreserved is escaped; the first part may hold no colon. */
static void put_uri(Str *out, const char *path)
{
    str_add_char(out, '"');
    if (path[0] == '/') str_add(out, "file://");
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (isalnum(c) || strchr("-._~/", c))
            str_add_char(out, (char)c);
        else
            str_printf(out, "%%%02X", c);
    }
    str_add_char(out, '"');
}

static void put_artifact(Str *out, const char *path)
{
    str_add(out, "\"artifactLocation\": {\"uri\": ");
    put_uri(out, strcmp(path, "-") == 0 ? "stdin" : path);
    str_add_char(out, '}');
}

static void put_location(Str *out, const ReportFile *file, const ReportRow *row)
{
    str_add(out, "\"locations\": [{\"physicalLocation\": {");
    put_artifact(out, file->path);
    str_printf(out, ", \"region\": {\"startLine\": %d, \"startColumn\": %d}}", row->line,
               row->column);
    if (row->node[0]) {
        str_add(out, ", \"logicalLocations\": [{\"name\": ");
        put_text(out, row->title[0] ? row->title : row->class_type);
        str_add(out, ", \"fullyQualifiedName\": ");
        put_text(out, row->node);
        str_add(out, ", \"kind\": \"object\"}]");
    }
    str_add(out, "}]");
}

/* Stays when nodes are numbered anew. */
static void put_fingerprint(Str *out, const ReportRow *row)
{
    Str text = { 0 };
    Sha256 hash;
    uint8_t digest[32];
    char hex[65];

    str_printf(&text, "%s\n%s\n%s\n%s", row->rule, row->class_type, row->input, row->title);
    out->failed |= text.failed;
    sha256_init(&hash);
    sha256_add(&hash, text.text ? text.text : "", text.length);
    sha256_end(&hash, digest);
    sha256_hex(digest, hex);
    str_fini(&text);
    str_printf(out, "\"partialFingerprints\": {\"weftFinding/v1\": \"%.32s\"}", hex);
}

/* ---- results ----------------------------------------------------------------------------- */

static void put_replacement(Str *out, const JsonDoc *doc, const TextEdit *edit)
{
    int line, column, end_line, end_column;

    json_line_column(doc, edit->offset, &line, &column);
    json_line_column(doc, edit->offset + edit->length, &end_line, &end_column);
    str_printf(out,
               "{\"deletedRegion\": {\"startLine\": %d, \"startColumn\": %d, \"endLine\": %d, "
               "\"endColumn\": %d}",
               line, column, end_line, end_column);
    if (edit->with[0]) {
        str_add(out, ", ");
        put_message(out, "insertedContent", edit->with);
    }
    str_add_char(out, '}');
}

static void put_fixes(Str *out, const ReportFile *file, const ReportRow *row)
{
    str_add(out, ", \"fixes\": [{");
    put_message(out, "description", row->fix[0] ? row->fix : "correct it");
    str_add(out, ", \"artifactChanges\": [{");
    put_artifact(out, file->path);
    str_add(out, ", \"replacements\": [");
    for (size_t i = 0; i < row->n_edits; i++) {
        str_add(out, i ? ", " : "");
        put_replacement(out, file->doc, &row->edits[i]);
    }
    str_add(out, "]}]}]");
}

static void put_result(Str *out, const ReportFile *file, const ReportRow *row)
{
    Str message = { 0 };
    int index = rule_index(row->rule);

    str_add(out, "{\"ruleId\": ");
    put_text(out, row->rule);
    if (index >= 0) str_printf(out, ", \"ruleIndex\": %d", index);
    str_printf(out, ", \"level\": \"%s\", ", report_severity(row->severity));
    str_printf(&message, "%s%s%s%s%s", row->input, row->input[0] ? ": " : "", row->message,
               row->fix[0] ? "; " : "", row->fix);
    out->failed |= message.failed;
    put_message(out, "message", message.failed ? "" : message.text);
    str_fini(&message);
    str_add(out, ", ");
    put_location(out, file, row);
    str_add(out, ", ");
    put_fingerprint(out, row);
    if (row->n_edits && file->doc) put_fixes(out, file, row);
    if (row->suppressed) str_add(out, ", \"suppressions\": [{\"kind\": \"inSource\"}]");
    str_add_char(out, '}');
}

static void sarif_file(Report *r, const ReportFile *file)
{
    for (int i = 0; i < file->n_rows; i++) {
        str_add(&r->out, r->printed++ ? ",\n   " : "\n   ");
        put_result(&r->out, file, &file->rows[i]);
    }
}

static void sarif_end(Report *r)
{
    str_printf(&r->out, "],\n  \"invocations\": [{\"executionSuccessful\": %s}]}]}\n",
               r->unreadable ? "false" : "true");
}

const ReportFormat report_sarif = { .name = "sarif",
                                    .edits = true,
                                    .suppressed = true,
                                    .begin = sarif_begin,
                                    .file = sarif_file,
                                    .end = sarif_end };
