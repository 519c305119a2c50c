/* guide.h - which model family a part of a workflow is about, told by its loaders and classes.
 *
 * A dummy run takes the sizes of a published model for a file that is missing. A name that tells nothing
 * ("full_encoder_small_decoder.safetensors") is read from its surroundings: the nearest node, over links in
 * either direction, whose class or file names tell a family.
 */
#ifndef WEFT_GUIDE_H
#define WEFT_GUIDE_H

#include "engine/graph/graph.h"

/* "flux1", "flux2", or NULL. node: its id. Linear in the graph, no recursion. */
const char *guide_family(const Graph *g, const char *node);

#endif
