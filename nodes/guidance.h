/* guidance.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_GUIDANCE_H
#define WEFT_NODES_GUIDANCE_H

#include "engine/graph/node.h"

extern const NodeDef *const guidance_nodes[];

#endif
