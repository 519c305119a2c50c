/* recognise.h - what a model file looks like by the names of its tensors, and which loader takes it.
 *
 * Every loader knows how to tell its own files; this table words the refusal of all others, so that a file
 * in the wrong place is called by its name.
 */
#ifndef WEFT_FORMATS_RECOGNISE_H
#define WEFT_FORMATS_RECOGNISE_H

#include "engine/formats/weights.h"

typedef struct FileLooks {
    const char *what; /* "a T5 text encoder" */
    const char
        *loader; /* "CLIPLoader or DualCLIPLoader"; NULL = no node of this engine takes it */
} FileLooks;

/* False when the table has nothing like it. */
bool recognise(const Weights *w, FileLooks *out);
/* E_FORMAT: "this is no <wanted>: it looks like <what>", with the loader that takes it as the way out. */
Status recognise_refuse(const Weights *w, const char *wanted, Error *err);

#endif
