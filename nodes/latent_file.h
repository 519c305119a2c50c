/* latent_file.h - .latent files: safetensors with the latent and the workflow that made it. */
#ifndef WEFT_NODES_LATENT_FILE_H
#define WEFT_NODES_LATENT_FILE_H

#include "engine/graph/node.h"
#include "engine/residency/inputs.h"
#include "engine/sampling/latent.h"
#include "nodes/metadata.h"

/* Writes <prefix>_00001_.latent below the output folder: `latent_tensor` F32 and an empty
 * `latent_format_version_0`. Adds the file to call->ui. */
Status latent_file_save(NodeCall *call, const Latent *latent, const char *prefix,
                        const Metadata *meta);

/* Reads one of the input folder; without the version tensor the values are multiplied by 1/0.18215, as
 * files of that age were stored scaled. A dummy run reads the header only. */
Status latent_file_load(Host *host, const char *name, Latent **out, Error *err);

Status latent_file_options(struct Host *host, const char *const **names, size_t *count,
                           Error *err);

#endif
