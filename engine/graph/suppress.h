/* suppress.h - findings that a document asks to be silent about.
 *
 * extra.weft.ignore of a UI document holds for all of it, properties["weft.ignore"] of a UI node and
 * _meta.weft_ignore of an API node for that node. Each is a rule id or a beginning of ids ("W3"), or a list
 * of such.
 */
#ifndef WEFT_GRAPH_SUPPRESS_H
#define WEFT_GRAPH_SUPPRESS_H

#include "engine/graph/check.h"

typedef struct Suppression {
    const char *rule;  /* as written */
    const Json *at;    /* the text in the document */
    const Json *owner; /* the node's object, or the document's */
    bool used;
} Suppression;

typedef struct Suppressions {
    Suppression *items; /* in the report's arena */
    int count;
} Suppressions;

/* Finds all of them; strings are borrowed from the document. */
Status suppress_read(const CheckReport *report, Suppressions *out, Error *err);
/* Whether one of them covers the finding; all that do are marked as used. */
bool suppress_covers(const Suppressions *s, const CheckReport *report, const Finding *f);

#endif
