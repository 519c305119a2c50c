/* table.c - lists the families of node types. A new family is a line here; a new node is none. */
#include "nodes/table.h"

#include "nodes/conditioning.h"
#include "nodes/controlnet.h"
#include "nodes/facts.h"
#include "nodes/gguf.h"
#include "nodes/guidance.h"
#include "nodes/guidance_after.h"
#include "nodes/image.h"
#include "nodes/image_edit.h"
#include "nodes/image_filter.h"
#include "nodes/latent.h"
#include "nodes/latent_edit.h"
#include "nodes/loaders.h"
#include "nodes/logic.h"
#include "nodes/lora.h"
#include "nodes/mask.h"
#include "nodes/pack_kj.h"
#include "nodes/merge.h"
#include "nodes/patch.h"
#include "nodes/preview.h"
#include "nodes/rebatch.h"
#include "nodes/samplers.h"
#include "nodes/sampling.h"
#include "nodes/schedules.h"
#include "nodes/step_cache.h"
#include "nodes/switch.h"
#include "nodes/text.h"
#include "nodes/style.h"
#include "nodes/upscale.h"
#include "nodes/vae.h"

/* clang-format off */
static const NodeDef *const *const families[] = {
    loaders_nodes,
    gguf_nodes,
    lora_nodes,
    merge_nodes,
    patch_nodes,
    guidance_nodes,
    guidance_after_nodes,
    step_cache_nodes,
    conditioning_nodes, controlnet_nodes, style_nodes,
    latent_nodes,
    latent_edit_nodes,
    sampling_nodes,
    samplers_nodes,
    schedules_nodes,
    vae_nodes,
    upscale_nodes,
    image_nodes,
    image_edit_nodes,
    image_filter_nodes,
    rebatch_nodes,
    mask_nodes,
    logic_nodes,
    switch_nodes,
    text_nodes,
    preview_nodes,
    pack_kj_nodes,
    NULL,
};
/* clang-format on */

NodeTable nodes_table(void)
{
    return (NodeTable){ .families = families, .known = facts_nodes, .n_known = facts_count };
}
