/* rows.h - the input rows of one node where they depend on what the file gives it. */
#ifndef WEFT_GRAPH_ROWS_H
#define WEFT_GRAPH_ROWS_H

#include "engine/graph/graph.h"

/* A class with a dynamic combo or a growing socket: n->def becomes a descriptor of its own in which the inputs
 * of the chosen option ("combo.width") and the given members of the growing socket ("images.image0", at
 * least its minimum) are rows like any other. Every other node keeps the class's descriptor. */
Status rows_of_node(Arena *arena, GraphNode *n, Error *err);

#endif
