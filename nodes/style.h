/* style.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_STYLE_H
#define WEFT_NODES_STYLE_H

#include "engine/graph/node.h"

extern const NodeDef *const style_nodes[];

#endif
