/* samplers.h - node types that make samplers with options of their own, and the sampler that takes all at once. */
#ifndef WEFT_NODES_SAMPLERS_H
#define WEFT_NODES_SAMPLERS_H

#include "engine/graph/node.h"

extern const NodeDef *const samplers_nodes[]; /* ends with NULL */

#endif
