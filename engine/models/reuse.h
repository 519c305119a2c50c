/* reuse.h - step caches at work: what one run of a model keeps per conditioning and picture. */
#ifndef WEFT_MODELS_REUSE_H
#define WEFT_MODELS_REUSE_H

#include "engine/models/model.h"
#include "engine/sampling/step_cache.h"

typedef struct Reuse Reuse;

/* The run of the step caches among the model's patches; *out stays NULL when there are none that act inside
 * or around the transformer. */
Status reuse_begin(const Model *m, const DenoiseRun *run, Reuse **out, Error *err);
void reuse_end(Reuse *r); /* may be NULL */

/* Around the transformer: out of `call` gets the velocity of all pictures when *answered. Otherwise they are
 * computed, and reuse_keep is told. r may be NULL. */
Status reuse_ask(Reuse *r, const DenoiseCall *call, bool *answered, Error *err);
Status reuse_keep(Reuse *r, const DenoiseCall *call, Error *err);
/* Inside the transformer: the evaluation `f` of picture `item` of `call`, in full or with the last residual;
 * *reused tells which. r may be NULL. */
Status reuse_forward(Reuse *r, const Model *m, const DenoiseCall *call, int64_t item,
                     const ForwardCall *f, bool *reused, Error *err);
/* The cache that acts around the guided estimate, with one reference for the caller; NULL = none. */
const StepCache *reuse_around(const PatchSet *patches);

#endif
