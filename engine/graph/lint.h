/* lint.h - the golden order over chains of MODEL patches: load, LoRA, attention, sampling, compile.
 *
 * A chain runs from a loader through patches to what samples with the model. The rules need class
 * names, stages and literals only, so they hold without any model file. Source: the rule table W301 to
 * W311, N305, N307, E308 and N310 in docs/golden-order.md.
 */
#ifndef WEFT_GRAPH_LINT_H
#define WEFT_GRAPH_LINT_H

#include "engine/graph/check.h"

/* Adds findings to the report of a checked graph. Looks only at nodes that an output needs. Linear in
 * the number of links, but for repeated LoRAs, where LINT_MAX_LORAS ancestors are looked at. */
Status lint_graph(const Graph *g, CheckReport *report, Error *err);

enum { LINT_MAX_LORAS = 256 };

#endif
