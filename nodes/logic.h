/* logic.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_LOGIC_H
#define WEFT_NODES_LOGIC_H

#include "engine/graph/node.h"

extern const NodeDef *const logic_nodes[];

#endif
