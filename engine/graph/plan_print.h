/* plan_print.h - a plan as text, JSON, Graphviz and SVG. */
#ifndef WEFT_GRAPH_PLAN_PRINT_H
#define WEFT_GRAPH_PLAN_PRINT_H

#include "engine/graph/plan.h"

/* One line a step: number, id, class, title, stage, result, what is shared, given back and needed; then the
 * components, the peak and the expected time. */
void plan_print(const Plan *plan, Str *out);
/* {"steps": [{"node": ..., "class_type": ..., "stage": ..., ...}], "components": [...], "ram_peak": n, ...} */
void plan_write_json(const Plan *plan, Str *out);

/* Drawings of the graph: a lane per stage in the golden order, links from left to right, nodes with
 * findings marked. report and plan may be NULL. SVG: self-contained, findings as tooltips. */
void plan_write_dot(const Graph *g, const CheckReport *report, const Plan *plan, Str *out);
Status plan_write_svg(const Graph *g, const CheckReport *report, const Plan *plan, Str *out,
                      Error *err);

#endif
