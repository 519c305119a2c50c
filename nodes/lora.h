/* lora.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_LORA_H
#define WEFT_NODES_LORA_H

#include "engine/graph/node.h"

extern const NodeDef *const lora_nodes[];

#endif
