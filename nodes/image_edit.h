/* image_edit.h - node types that cut, turn, stitch and batch pictures. */
#ifndef WEFT_NODES_IMAGE_EDIT_H
#define WEFT_NODES_IMAGE_EDIT_H

#include "engine/graph/node.h"

extern const NodeDef *const image_edit_nodes[]; /* ends with NULL */

#endif
