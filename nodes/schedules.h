/* schedules.h - node types that make and change lists of noise levels. */
#ifndef WEFT_NODES_SCHEDULES_H
#define WEFT_NODES_SCHEDULES_H

#include "engine/graph/node.h"

extern const NodeDef *const schedules_nodes[]; /* ends with NULL */

#endif
