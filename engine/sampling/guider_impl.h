/* guider_impl.h - the sides of a guider: entries brought to the latent's grid. */
#ifndef WEFT_SAMPLING_GUIDER_IMPL_H
#define WEFT_SAMPLING_GUIDER_IMPL_H

#include "engine/sampling/cond.h"
#include "engine/sampling/sigmas.h"

enum { SIDE_POSITIVE, SIDE_MIDDLE, SIDE_NEGATIVE, SIDE_COUNT };

/* One entry on the latent's grid. */
typedef struct Part {
    CondEntry entry;    /* references owned */
    double first, last; /* sigmas of its range */
    bool has_area;
    int64_t y, x, h, w; /* window of the latent; the whole of it without area */
    Tensor *mask;       /* owned [M,H,W] at the latent's size, or NULL */
    bool plain;         /* whole latent, weight 1 everywhere */
    float *weight;      /* owned [weight_items, h, w] */
    int64_t weight_items;
    Tensor *crop;     /* owned: x inside the window; NULL when that is the whole */
    Tensor *estimate; /* owned: the model's answer; NULL for plain parts of a lone entry */
} Part;

typedef struct Side {
    bool present;
    Part *parts; /* owned */
    int count;
} Side;

/* Areas, masks and ranges of c for latents like `latent`. Errors: E_RANGE for an area outside of it. */
Status side_resolve(Side *s, const Cond *c, const ModelSampling *m, const Tensor *latent,
                    Error *err);
/* Areas that only one side has get a twin on the others; controls reach the negative. */
Status sides_match(Side sides[SIDE_COUNT], Error *err);
/* Weights and work memory; after it no step allocates. */
Status side_weights(Side *s, const Tensor *latent, Error *err);
void side_fini(Side *s);
/* Copies x's window into p->crop, where the part has one. */
void part_crop(const Part *p, const Tensor *x);

#endif
