/* guidance_after.h - node types whose patches bend the estimates after the model. */
#ifndef WEFT_NODES_GUIDANCE_AFTER_H
#define WEFT_NODES_GUIDANCE_AFTER_H

#include "engine/graph/node.h"

extern const NodeDef *const guidance_after_nodes[]; /* ends with NULL */

#endif
