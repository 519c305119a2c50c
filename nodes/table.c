/* table.c - lists the families of node types. A new family is a line here; a new node is none. */
#include "nodes/table.h"

#include "nodes/conditioning.h"
#include "nodes/facts.h"
#include "nodes/gguf.h"
#include "nodes/image.h"
#include "nodes/latent.h"
#include "nodes/loaders.h"
#include "nodes/logic.h"
#include "nodes/lora.h"
#include "nodes/mask.h"
#include "nodes/patch.h"
#include "nodes/sampling.h"
#include "nodes/step_cache.h"
#include "nodes/vae.h"

static const NodeDef *const *const families[] = {
    loaders_nodes,      gguf_nodes,   lora_nodes,     patch_nodes, step_cache_nodes,
    conditioning_nodes, latent_nodes, sampling_nodes, vae_nodes,   image_nodes,
    mask_nodes,         logic_nodes,  NULL,
};

NodeTable nodes_table(void)
{
    return (NodeTable){ .families = families, .known = facts_nodes, .n_known = facts_count };
}
