/* metadata.h - what is written into files: the workflow, as keys and JSON texts. */
#ifndef WEFT_NODES_METADATA_H
#define WEFT_NODES_METADATA_H

#include "engine/base/json.h"
#include "engine/graph/node.h"

enum { METADATA_MAX = 16 };

/* `prompt` first, then one item per key of extra_pnginfo. Zero-initialise. */
typedef struct Metadata {
    const char *keys[METADATA_MAX],
        *texts[METADATA_MAX]; /* borrowed, or from `doc` and `made` */
    size_t count;
    JsonDoc *doc;           /* owned */
    Str made[METADATA_MAX]; /* owned */
} Metadata;

/* Both may be NULL. Texts are ASCII with \u escapes, as ComfyUI writes them. Stays empty where the host wants no
 * metadata. */
Status metadata_init(Metadata *m, NodeCall *call, const char *prompt,
                     const char *extra_pnginfo);
void metadata_fini(Metadata *m);

#endif
