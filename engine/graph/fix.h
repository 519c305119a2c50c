/* fix.h - corrections of findings as changes to the document's text.
 *
 * What each rule's correction does is said in rules.c. A document is corrected in passes: the caller adds
 * what fits together, writes the text anew, reads and checks it, until nothing is left to add.
 */
#ifndef WEFT_GRAPH_FIX_H
#define WEFT_GRAPH_FIX_H

#include "engine/base/json_edit.h"
#include "engine/graph/check.h"

typedef struct Fixer Fixer;

/* The report is borrowed; its graph must have been read from the edit's document. */
Status fixer_new(const CheckReport *report, JsonEdit *edit, Fixer **out, Error *err);
void fixer_free(Fixer *fixer);

/* Adds the correction of a finding as one group; false when it has none that applies here, or when what it
 * touches is taken already. */
bool fixer_add(Fixer *fixer, const Finding *f);

#endif
