/* inputs.h - what one call of the denoiser reads beside latent and text: references or what is kept of them,
 * extra channels, residuals of ControlNets, style tokens, an attention bias.
 */
#ifndef WEFT_MODELS_INPUTS_H
#define WEFT_MODELS_INPUTS_H

#include "engine/models/control.h"
#include "engine/models/kv.h"

/* What a model keeps from call to call of a run. Zero-initialise. */
typedef struct RunState {
    Tensor *mask; /* of the run's latent; one reference owned; NULL = none */
    Room controls[MODEL_MAX_CONTROLS], bias;
    KvStore kv;
} RunState;
void run_state_fini(RunState *s, Host *h);

/* Whose inputs they are; all borrowed. */
typedef struct InputSource {
    const Model *model;
    Host *host;
    Component *component; /* of the model */
    const ModelDims *dims;
    const ModelFamily *family;
    const Denoiser *denoiser;
    const PatchSet *patches;
    RunState *state;
} InputSource;

typedef struct CallInputs {
    Tensor *refs[MODEL_MAX_REFS]; /* owned references; in the transformer's scale */
    const float *ref_data[MODEL_MAX_REFS];
    PosSize ref_sizes[MODEL_MAX_REFS];
    Tensor *concat;                        /* owned; [B, extra, h, w] or NULL */
    Tensor *style;                         /* owned; [rows, D] or NULL */
    const float *bias;                     /* borrowed from the state; NULL = none */
    Control *controls[MODEL_MAX_CONTROLS]; /* borrowed; those that act now */
    ForwardControl residuals[MODEL_MAX_CONTROLS];
    void *places[MODEL_MAX_CONTROLS][2 * MODEL_MAX_SKIPS];
    int n_controls;
} CallInputs;

/* Reads what does not depend on the picture of the batch. Errors: E_SHAPE, E_UNSUPPORTED, E_LIMIT, E_NOMEM. */
Status inputs_read(const InputSource *from, const DenoiseCall *call, CallInputs *in,
                   Error *err);
void inputs_fini(CallInputs *in);
/* The call for picture b of the batch; runs its ControlNets. f points into call, in and the state. */
Status inputs_of_item(const InputSource *from, const DenoiseCall *call, CallInputs *in,
                      int64_t b, ForwardCall *f, Error *err);

#endif
