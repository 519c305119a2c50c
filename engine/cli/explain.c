/* explain.c - `weft explain`: why a rule of `weft validate` exists, with a bad and a good example. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/str.h"
#include "engine/cli/commands.h"
#include "engine/graph/rules.h"

static const char *severity(const Rule *rule)
{
    static const char *const names[] = { "error", "warning", "note" };

    return names[rule->severity];
}

static const char *correction(const Rule *rule)
{
    static const char *const texts[] = { "none", "--fix", "--fix --unsafe-fixes" };

    return texts[rule->fix];
}

static void print_list(void)
{
    const Rule *rule;

    for (size_t i = 0; (rule = rule_at(i)); i++)
        printf("%-5s %-8s %-22s %s\n", rule->id, severity(rule), rule->name, rule->title);
}

/* Sentences in lines of at most 96 characters. */
static void print_wrapped(const char *text)
{
    enum { WIDTH = 96 };
    size_t column = 0;

    while (*text) {
        size_t n = strcspn(text, " ");
        if (column && column + 1 + n > WIDTH) {
            putchar('\n');
            column = 0;
        }
        if (column) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)n, text);
        column += n;
        text += n + strspn(text + n, " ");
    }
    putchar('\n');
}

static void print_rule(const Rule *rule)
{
    printf("%s %s (%s)\n%s.\n\n", rule->id, rule->name, severity(rule), rule->title);
    print_wrapped(rule->why);
    printf("\nBad:   %s\nGood:  %s\nCorrection: %s\n", rule->bad, rule->good, correction(rule));
    printf("Silence: \"%s\" under properties[\"weft.ignore\"] (UI) or _meta.weft_ignore (API) "
           "of the "
           "node\n",
           rule->id);
}

static int unknown(const char *name)
{
    const char *ids[128], *near;
    const Rule *rule;
    size_t n = 0;

    for (size_t i = 0; n < 128 && (rule = rule_at(i)); i++)
        ids[n++] = rule->id;
    near = str_nearest(name, ids, n);
    fprintf(stderr, "weft explain: no rule '%s'%s%s%s\n", name, near ? "; did you mean " : "",
            near ? near : "", near ? "?" : "");
    return 1;
}

/* By id in any case, or by name. */
static const Rule *find(const char *text)
{
    const Rule *rule;
    char id[8] = "";

    for (size_t i = 0; text[i] && i < sizeof id - 1; i++)
        id[i] = (char)toupper((unsigned char)text[i]);
    for (size_t i = 0; (rule = rule_at(i)); i++)
        if ((strlen(text) < sizeof id && strcmp(rule->id, id) == 0) ||
            strcmp(rule->name, text) == 0)
            return rule;
    return NULL;
}

int cmd_explain(const CliArgs *args)
{
    int status = 0;

    if (args->files.count == 0) print_list();
    for (int i = 0; i < args->files.count; i++) {
        const Rule *rule = find(args->files.items[i]);
        if (i) putchar('\n');
        if (rule)
            print_rule(rule);
        else
            status = unknown(args->files.items[i]);
    }
    return status;
}
