/* image_filter.h - node types that change the pixels of pictures and their alpha. */
#ifndef WEFT_NODES_IMAGE_FILTER_H
#define WEFT_NODES_IMAGE_FILTER_H

#include "engine/graph/node.h"

extern const NodeDef *const image_filter_nodes[]; /* ends with NULL */

#endif
