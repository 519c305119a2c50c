/* rules.h - every rule of `weft validate` once: id, severity, correction, reason, a bad and a good example.
 *
 * `weft explain`, docs/errors.md and the rule list of SARIF reports are made from this table. Ids are stable
 * and never used again: E = structure and types, W = meaning, N = notes.
 */
#ifndef WEFT_GRAPH_RULES_H
#define WEFT_GRAPH_RULES_H

#include "engine/base/status.h"

/* Whether `--fix` corrects it; unsafe corrections may change the picture and need `--unsafe-fixes` too. */
typedef enum RuleFix { RULE_FIX_NONE, RULE_FIX_SAFE, RULE_FIX_UNSAFE } RuleFix;

typedef struct Rule {
    const char *id, *name; /* name: words joined by '-' */
    Severity severity;     /* the usual one */
    RuleFix fix;
    const char *title; /* one line, no full stop */
    const char *why;   /* sentences */
    const char *bad, *good; /* parts of a document, or of a command */
} Rule;

const Rule *rule_at(size_t i);          /* NULL past the end; in order of ids */
const Rule *rule_find(const char *id);  /* NULL when there is none */
int rule_index(const char *id);         /* -1 when there is none */
/* Some rule has this id or starts with this prefix. */
bool rule_matches_any(const char *prefix);

#endif
