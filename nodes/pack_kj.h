/* pack_kj.h - node types of the KJNodes pack that only hand values on, count or mirror them. */
#ifndef WEFT_NODES_PACK_KJ_H
#define WEFT_NODES_PACK_KJ_H

#include "engine/graph/node.h"

extern const NodeDef *const pack_kj_nodes[]; /* ends with NULL */

#endif
