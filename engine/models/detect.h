/* detect.h - which transformer a file holds, and its tensors under BFL's names. */
#ifndef WEFT_MODELS_DETECT_H
#define WEFT_MODELS_DETECT_H

#include "engine/models/family.h"

/* Finds family and prefix; *out is a scope of w (one reference) in BFL's names. Errors: E_FORMAT that
 * says what the file looks like instead. */
Status detect_transformer(const Weights *w, const ModelFamily **family, Weights **out,
                          Error *err);

#endif
