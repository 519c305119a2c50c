/* errors_doc.c - writes docs/errors.md from the lists of result codes and findings, or checks that it is up to date.
 *
 * usage: errors_doc > docs/errors.md
 *        errors_doc FILE      exit status 1 when FILE holds anything else
 */
#include <stdio.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/graph/rules.h"
#include "engine/session.h"

typedef struct CodeRow {
    Status status;
    const char *name, *message;
} CodeRow;

typedef struct RuleRow {
    const char *rule, *comfy;
    Severity severity;
    Status status;
} RuleRow;

static const CodeRow codes[] = {
#define CODE_ROW(name, message) { name, #name, message },
    STATUS_MAP(CODE_ROW)
#undef CODE_ROW
};

static const RuleRow rules[] = {
#define RULE_ROW(name, rule, severity, status, comfy) { rule, comfy, severity, status },
    FINDING_MAP(RULE_ROW)
#undef RULE_ROW
};

static const char head[] =
    "# Errors\n\n"
    "Made by `errors_doc` (tests/tools/errors_doc.c) from the lists in `engine/base/status.h` "
    "and "
    "`engine/graph/check.h` and `engine/graph/rules.c`.\n\n"
    "A diagnostic reads `file:line:column: severity RULE node ID (Class): input: what is "
    "wrong; the "
    "way out`; what is\nnot known is left out.\n\n"
    "## Exit status of `weft run`\n\n"
    "| status | meaning |\n|---|---|\n"
    "| 0 | done |\n"
    "| 1 | the workflow, or a model, picture or script that it names, is wrong |\n"
    "| 2 | wrong usage, or a workflow file that cannot be read |\n"
    "| 3 | failed while running: disk full, memory limit, device error, fault in a script |\n"
    "| 130 | interrupted (143 by SIGTERM); nothing half-written is left |\n\n"
    "## Result codes\n\n| code | meaning | exit status |\n|---|---|---|\n";

static const char middle[] =
    "\n## Findings of the checker\n\n"
    "Error findings of a workflow are told together, before anything runs.\n\n"
    "| rule | severity | code | ComfyUI's error type |\n|---|---|---|---|\n";

static void write_rule(Str *out, const RuleRow *r)
{
    static const char *const severities[] = { "error", "warning", "note" };
    if (!r->rule[0]) return;
    str_printf(out, "| %s | %s | %s | %s |\n", r->rule, severities[r->severity],
               status_name(r->status), r->comfy[0] ? r->comfy : "none");
}

/* Several kinds of finding may look the same from outside. */
static bool is_repeated(size_t row)
{
    const RuleRow *r = &rules[row];
    for (size_t i = 0; i < row; i++)
        if (strcmp(rules[i].rule, r->rule) == 0 && strcmp(rules[i].comfy, r->comfy) == 0 &&
            rules[i].severity == r->severity && rules[i].status == r->status)
            return true;
    return false;
}

static const char rules_head[] =
    "\n## Rules of `weft validate`\n\n"
    "`weft explain RULE` prints the same texts. Correction: what `weft validate --fix` does "
    "about it, "
    "or\n`--fix --unsafe-fixes` where the picture may change. docs/ci.md tells how rules are "
    "selected and silenced.\n";

static void write_explained(Str *out, const Rule *r)
{
    static const char *const severities[] = { "error", "warning", "note" };
    static const char *const fixes[] = { "none", "safe", "unsafe" };

    str_printf(out, "\n### %s %s\n\n%s. Severity: %s. Correction: %s.\n\n%s\n\n", r->id,
               r->name, r->title, severities[r->severity], fixes[r->fix], r->why);
    str_printf(out, "    bad:  %s\n    good: %s\n", r->bad, r->good);
}

static void write_page(Str *out)
{
    str_add(out, head);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        str_printf(out, "| %s | %s | %d |\n", codes[i].name, codes[i].message,
                   session_exit_code(codes[i].status));
    str_add(out, middle);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!is_repeated(i)) write_rule(out, &rules[i]);
    str_add(out, rules_head);
    for (size_t i = 0; rule_at(i); i++)
        write_explained(out, rule_at(i));
}

static int compare(const Str *page, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    Error err = { 0 };
    if (file_read(path, (size_t)1 << 20, &text, &n, &err) != OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    bool same = n == page->length && memcmp(text, page->text, n) == 0;
    mem_free(text);
    if (!same) fprintf(stderr, "%s is out of date: run errors_doc > %s\n", path, path);
    return !same;
}

int main(int argc, char **argv)
{
    Str page = { 0 };
    int status = 0;
    write_page(&page);
    if (page.failed)
        status = 1;
    else if (argc > 1)
        status = compare(&page, argv[1]);
    else
        fputs(page.text, stdout);
    str_fini(&page);
    return status;
}
