/* gguf.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_GGUF_H
#define WEFT_NODES_GGUF_H

#include "engine/graph/node.h"

extern const NodeDef *const gguf_nodes[];

#endif
