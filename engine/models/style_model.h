/* style_model.h - the STYLE_MODEL value (Redux): a picture's tokens as text tokens.
 *
 * Source: Black Forest Labs' FLUX.1 Redux; ComfyUI's StyleModelApply.
 */
#ifndef WEFT_MODELS_STYLE_MODEL_H
#define WEFT_MODELS_STYLE_MODEL_H

#include "engine/models/attention_mask.h"
#include "engine/models/clip_vision.h"
#include "engine/sampling/cond.h"

typedef struct StyleModel
    StyleModel; /* shared by reference: style_model_ref, style_model_unref */

/* redux_up [hidden, width], redux_down [context, hidden], with biases. Errors: E_FORMAT (what the file looks
 * like), E_MISSING, E_SHAPE, E_NOMEM. */
Status style_model_open(Host *h, const Weights *w, const char *file, StyleModel **out,
                        Error *err);
/* FLUX.1 Redux without contents, for dummy runs of a file that is not there. */
Status style_model_open_published(Host *h, const char *name, StyleModel **out, Error *err);

static inline StyleModel *style_model_ref(const StyleModel *m)
{
    return ref_take(m);
}
static inline void style_model_unref(const StyleModel *m)
{
    ref_drop(m);
}

/* down(silu(up(last))) of all pictures in one sequence: [1, B * tokens, context]. Errors: E_SHAPE (a vision
 * encoder of another width). */
Status style_model_tokens(const StyleModel *m, const ClipVisionOutput *picture, Tensor **out,
                          Error *err);

/* How strength acts: on the tokens, or as ln(strength) on the scores of other rows against them. */
typedef enum StyleStrength { STYLE_MULTIPLY, STYLE_ATTENTION } StyleStrength;
/* A copy of cond whose entries have the tokens behind their text. strength 0 under STYLE_ATTENTION hides
 * them. Errors: E_SHAPE (text of another width, more than one prompt in a batch). */
Status style_model_apply(const StyleModel *m, const Cond *cond, const ClipVisionOutput *picture,
                         double strength, StyleStrength type, Cond **out, Error *err);

#endif
