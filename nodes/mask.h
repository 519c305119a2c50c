/* mask.h - node types that make and change masks. */
#ifndef WEFT_NODES_MASK_H
#define WEFT_NODES_MASK_H

#include "engine/graph/node.h"

extern const NodeDef *const mask_nodes[];

#endif
