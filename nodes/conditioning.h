/* conditioning.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_CONDITIONING_H
#define WEFT_NODES_CONDITIONING_H

#include "engine/graph/node.h"

extern const NodeDef *const conditioning_nodes[];

#endif
