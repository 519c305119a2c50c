/* image.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_IMAGE_H
#define WEFT_NODES_IMAGE_H

#include "engine/graph/node.h"

extern const NodeDef *const image_nodes[];

#endif
