/* upscale.h - node types that enlarge pictures with a network. */
#ifndef WEFT_NODES_UPSCALE_H
#define WEFT_NODES_UPSCALE_H

#include "engine/graph/node.h"

extern const NodeDef *const upscale_nodes[]; /* ends with NULL */

#endif
