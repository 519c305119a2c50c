/* style_tokens.h - USO's style reference: picture tokens that come before the text inside the transformer.
 *
 * Easy to get wrong: the first layer of each level works over the token axis; the rows come after txt_in and
 * before the text, in the order high, middle, low.
 * Source: ByteDance's USO; ComfyUI's USOStyleReference.
 */
#ifndef WEFT_MODELS_STYLE_TOKENS_H
#define WEFT_MODELS_STYLE_TOKENS_H

#include "engine/models/clip_vision.h"

/* MODEL_PATCH: the feature embedder of a USO file. */
typedef struct StylePatch StylePatch; /* shared by reference: ref_take, ref_drop */

/* Errors: E_FORMAT (what the file looks like), E_MISSING, E_SHAPE, E_NOMEM. */
Status style_patch_open(Host *h, const Weights *w, const char *file, StylePatch **out,
                        Error *err);
/* USO's projector without contents, for dummy runs of a file that is not there. */
Status style_patch_open_published(Host *h, const char *name, StylePatch **out, Error *err);
int64_t style_patch_width(const StylePatch *p); /* of the models it is for */

/* The object of a PATCH_TOKENS: rows [n, D] F32. */
typedef struct StyleTokens {
    Ref ref;
    Tensor *rows; /* one reference owned */
} StyleTokens;

/* proj(LN(silu(linear over tokens))) of the three levels of one picture. Errors: E_SHAPE (not one picture, a
 * vision encoder with fewer layers or another size), E_NOMEM. */
Status style_tokens_new(const StylePatch *p, const ClipVisionOutput *picture, StyleTokens **out,
                        Error *err);

#endif
