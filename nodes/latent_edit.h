/* latent_edit.h - node types that combine, cut and turn latents. */
#ifndef WEFT_NODES_LATENT_EDIT_H
#define WEFT_NODES_LATENT_EDIT_H

#include "engine/graph/node.h"

extern const NodeDef *const latent_edit_nodes[]; /* ends with NULL */

#endif
