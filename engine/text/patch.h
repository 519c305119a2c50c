/* patch.h - the LoRAs on one network of a text encoder, in the order in which they were added. */
#ifndef WEFT_TEXT_PATCH_H
#define WEFT_TEXT_PATCH_H

#include "engine/base/sha256.h"
#include "engine/lora/lora.h"

/* Immutable but for the merged matrices, which are kept for the next program; shared by reference. NULL
 * stands for none. Not thread-safe. */
typedef struct TextPatches TextPatches;

/* The patches of `before` (may be NULL) and one more; lora is taken over, also on failure. */
Status text_patches_add(const TextPatches *before, Lora *lora, double strength,
                        TextPatches **out, Error *err);

/* Replaces *w, the matrix or vector `name` of the file, by the merged one where a patch changes it. */
Status text_patches_apply(const TextPatches *p, const char *name, KWeight *w, Error *err);

/* Adds the files and strengths to a digest. Errors: what weights_identity gives. */
Status text_patches_digest(const TextPatches *p, Sha256 *h, Error *err);

/* Bytes of merged matrices. */
int64_t text_patches_held(const TextPatches *p);
/* Gives up merged matrices when they are more than a program may leave behind. */
void text_patches_rest(const TextPatches *p);

#endif
