/* controlnet.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_CONTROLNET_H
#define WEFT_NODES_CONTROLNET_H

#include "engine/graph/node.h"

extern const NodeDef *const controlnet_nodes[];

#endif
