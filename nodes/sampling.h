/* sampling.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_SAMPLING_H
#define WEFT_NODES_SAMPLING_H

#include "engine/graph/node.h"

extern const NodeDef *const sampling_nodes[];

#endif
