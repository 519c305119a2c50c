/* latent.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_LATENT_H
#define WEFT_NODES_LATENT_H

#include "engine/graph/node.h"

extern const NodeDef *const latent_nodes[];

#endif
