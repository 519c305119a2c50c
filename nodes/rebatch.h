/* rebatch.h - node types that make batches of another size out of lists. */
#ifndef WEFT_NODES_REBATCH_H
#define WEFT_NODES_REBATCH_H

#include "engine/graph/node.h"

extern const NodeDef *const rebatch_nodes[]; /* ends with NULL */

#endif
