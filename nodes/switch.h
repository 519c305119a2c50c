/* switch.h - node types that choose between values. */
#ifndef WEFT_NODES_SWITCH_H
#define WEFT_NODES_SWITCH_H

#include "engine/graph/node.h"

extern const NodeDef *const switch_nodes[]; /* ends with NULL */

#endif
