/* toy.h - a script of kind guidance on toy estimates: what checking, curves and cost share. */
#ifndef WEFT_SCRIPT_TOY_H
#define WEFT_SCRIPT_TOY_H

#include "engine/script/script.h"

/* Hooks with their states, and the tensors of a step. */
typedef struct Toy {
    GuidanceHook *hooks[4];
    void *states[4];
    int count, begun;
    Tensor *x, *cond, *uncond, *denoised, *sigmas;
} Toy;

/* A tensor of fixed, uneven values around 0. */
Status toy_values(int ndim, const int64_t *shape, double phase, Tensor **out, Error *err);

/* A run of `steps` steps of a plain schedule over latents of a shape. toy_fini is due whatever toy_init answers. */
Status toy_init(Toy *t, const ScriptValues *v, const ModelSampling *m, const int64_t shape[4],
                int64_t steps, Error *err);
Status toy_begin(Toy *t, Error *err); /* starts the hooks; before the first step */
void toy_fini(Toy *t);
/* One step through all hooks, with plain guidance where no hook combines; *scale: the scale in force. */
Status toy_step(Toy *t, const ModelSampling *m, int step, double cfg, bool only_scale,
                double *scale, Error *err);

#endif
