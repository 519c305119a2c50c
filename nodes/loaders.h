/* loaders.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_LOADERS_H
#define WEFT_NODES_LOADERS_H

#include "engine/graph/node.h"

extern const NodeDef *const loaders_nodes[];

#endif
