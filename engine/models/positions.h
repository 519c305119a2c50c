/* positions.h - position ids of text, target and reference tokens, and the rotary table made of them.
 *
 * FLUX.2: axes (t, y, x, l) of 32, theta 2000, text tokens count along the last axis. FLUX.1: axes
 * (t, y, x) of 16, 56, 56, theta 10000, text tokens all at 0. Token order: text, target, references.
 */
#ifndef WEFT_MODELS_POSITIONS_H
#define WEFT_MODELS_POSITIONS_H

#include <stdint.h>

#include "engine/sampling/cond.h"

enum { POS_MAX_AXES = 4 };

typedef struct PosLayout {
    int axes;
    int64_t width[POS_MAX_AXES]; /* elements of the head per axis; even, sum = head width */
    double theta;
    int64_t patch;      /* latent pixels per token, per side */
    double index_scale; /* distance of references along the first axis */
    int text_axis;      /* where text tokens are counted, or -1 */
} PosLayout;

/* Sizes in latent pixels. */
typedef struct PosSize {
    int64_t h, w;
} PosSize;

/* Tokens of a latent: ceil(h/patch) * ceil(w/patch). */
int64_t pos_tokens(const PosLayout *l, PosSize size);

/* Writes cos and sin of every token's angles: out [text + target + references][sum(width)/2][2].
 * Angles and omegas are float64, rounded to float32 after cos and sin. method must not be REF_DEFAULT. */
void pos_table(const PosLayout *l, int64_t text, PosSize target, const PosSize *refs,
               int n_refs, RefMethod method, float *out);

#endif
