/* embeddings.h - learned embeddings that prompts name: files of the embeddings folders. */
#ifndef WEFT_TEXT_EMBEDDINGS_H
#define WEFT_TEXT_EMBEDDINGS_H

#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"

/*
 * Finds an embedding by name, with or without .safetensors, .pt, .bin, in the embeddings
 * folders and any folder inside them. In a file of several tensors the one called `key`
 * ("clip_l", "t5xxl") is taken, else the first. *out is [rows, width] F32, or NULL when there
 * is none of that name or its width is another (told as EV_NOTE, and *misfit is set). Errors: E_UNSUPPORTED (a
 * pickle), E_FORMAT, E_IO, E_NOMEM.
 */
Status embedding_find(Host *h, const char *name, const char *key, int64_t width, Tensor **out,
                      bool *misfit, Error *err);

#endif
