/* merge.h - node types that merge models. */
#ifndef WEFT_NODES_MERGE_H
#define WEFT_NODES_MERGE_H

#include "engine/graph/node.h"

extern const NodeDef *const merge_nodes[]; /* ends with NULL */

#endif
