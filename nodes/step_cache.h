/* step_cache.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_STEP_CACHE_H
#define WEFT_NODES_STEP_CACHE_H

#include "engine/graph/node.h"

extern const NodeDef *const step_cache_nodes[];

#endif
