/* vae.h - declares the table of this family of node types. */
#ifndef WEFT_NODES_VAE_H
#define WEFT_NODES_VAE_H

#include "engine/graph/node.h"

extern const NodeDef *const vae_nodes[];

#endif
