/* patch.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_PATCH_H
#define WEFT_NODES_PATCH_H

#include "engine/graph/node.h"

extern const NodeDef *const patch_nodes[];

#endif
