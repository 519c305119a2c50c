/* text.h - node types that change and compare texts. */
#ifndef WEFT_NODES_TEXT_H
#define WEFT_NODES_TEXT_H

#include "engine/graph/node.h"

extern const NodeDef *const text_nodes[]; /* ends with NULL */

#endif
