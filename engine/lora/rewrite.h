/* rewrite.h - LoRA files whose keys have names of their own, seen under the usual ones. */
#ifndef WEFT_LORA_REWRITE_H
#define WEFT_LORA_REWRITE_H

#include "engine/formats/weights.h"

/* A table over the same tensors. *control tells BFL's control LoRAs, which widen img_in to the columns of
 * its change. Errors: E_NOMEM. */
Status lora_rewrite(const Weights *file, Weights **out, bool *control, Error *err);

#endif
