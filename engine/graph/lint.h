/* lint.h - the golden order over chains of MODEL patches: load, LoRA, attention, sampling, compile.
 *
 * A chain runs from a loader through patches to what samples with the model. The rules need class
 * names, stages and literals only, so they hold without any model file: W301 to W304, N305, W306, N307,
 * E308, W309, N310 and W311, one function each in lint.c. Source: how ComfyUI's model patcher keeps each
 * kind of patch (a slot where the last wins, or a list).
 */
#ifndef WEFT_GRAPH_LINT_H
#define WEFT_GRAPH_LINT_H

#include "engine/graph/check.h"

/* Adds findings to the report of a checked graph. Looks only at nodes that an output needs. Linear in
 * the number of links, but for repeated LoRAs, where LINT_MAX_LORAS ancestors are looked at. */
Status lint_graph(const Graph *g, CheckReport *report, Error *err);

enum { LINT_MAX_LORAS = 256 };

#endif
