/* store.h - embeddings of prompts on disk: what an encoder gave is read back, bit for bit, instead of computed
 * again.
 *
 * An entry is a file of <cache folder>/prompts named by its key, a digest of all that the numbers depend on:
 * contents of the encoder's files, tokenizer, LoRAs with their strengths, text, precision, instruction-set
 * path. Files are written whole under a temporary name; one that is damaged is taken for missing and
 * written anew. The files used longest ago go when all of them are larger than the host's limit.
 */
#ifndef WEFT_TEXT_STORE_H
#define WEFT_TEXT_STORE_H

#include "engine/residency/host.h"
#include "engine/tensor/tensor.h"

/* The host has a folder for it. */
bool text_store_on(const Host *h);

/* The entry of a key: states [1, T, C] F32, and pooled [1, P] F32 or NULL. False when there is none that can
 * be used. In a dummy run values are zero. */
bool text_store_get(Host *h, const uint8_t key[32], Tensor **states, Tensor **pooled);

/* Keeps an entry; a folder that cannot be written is no error. pooled may be NULL. */
void text_store_put(Host *h, const uint8_t key[32], const Tensor *states, const Tensor *pooled);

#endif
