/* preview.h - node types that show pictures and values, and read what was shown. */
#ifndef WEFT_NODES_PREVIEW_H
#define WEFT_NODES_PREVIEW_H

#include "engine/graph/node.h"

extern const NodeDef *const preview_nodes[]; /* ends with NULL */

#endif
