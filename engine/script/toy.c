/* toy.c - a script of kind guidance on toy estimates. */
#include "engine/script/toy.h"

#include <math.h>
#include <string.h>

Status toy_values(int ndim, const int64_t *shape, double phase, Tensor **out, Error *err)
{
    TRY(tensor_new(K_F32, ndim, shape, out, err));
    for (int64_t i = 0, n = tensor_count(*out); i < n; i++)
        tensor_f32(*out)[i] = (float)sin(0.37 * (double)i + phase);
    return OK;
}

void toy_fini(Toy *t)
{
    for (int i = 0; i < t->count; i++) {
        if (i < t->begun) t->hooks[i]->end(t->hooks[i], t->states[i]);
        ref_drop(t->hooks[i]);
    }
    tensor_unref(t->x);
    tensor_unref(t->cond);
    tensor_unref(t->uncond);
    tensor_unref(t->denoised);
    tensor_unref(t->sigmas);
}

Status toy_init(Toy *t, const ScriptValues *v, const ModelSampling *m, const int64_t shape[4],
                int64_t steps, Error *err)
{
    memset(t, 0, sizeof *t);
    TRY(script_guidance_hooks(v, NULL, t->hooks, &t->count, err));
    TRY(toy_values(4, shape, 0.1, &t->x, err));
    TRY(toy_values(4, shape, 0.7, &t->cond, err));
    TRY(toy_values(4, shape, 1.9, &t->uncond, err));
    TRY(toy_values(4, shape, 0, &t->denoised, err));
    TRY(sigmas_schedule(m, "simple", steps, 1, NULL, &t->sigmas, err));
    return OK;
}

Status toy_begin(Toy *t, Error *err)
{
    for (; t->begun < t->count; t->begun++)
        TRY(t->hooks[t->begun]->begin(t->hooks[t->begun], t->x, &t->states[t->begun], err));
    return OK;
}

Status toy_step(Toy *t, const ModelSampling *m, int step, double cfg, bool only_scale,
                double *scale, Error *err)
{
    static const GuidanceKind order[] = { GUIDE_SCALE, GUIDE_PRE, GUIDE_CFG, GUIDE_POST };
    GuidanceStep g = { .x = t->x,
                       .sigma = tensor_f32(t->sigmas)[step],
                       .cfg = cfg,
                       .scale = cfg,
                       .cond = t->cond,
                       .uncond = t->uncond,
                       .denoised = t->denoised,
                       .step = step,
                       .steps = (int)t->sigmas->shape[0] - 1,
                       .sigmas = t->sigmas,
                       .sampling = m };

    g.time = model_time(m, (double)g.sigma);
    for (int k = 0; k < (only_scale ? 1 : 4); k++) {
        bool own = false;
        for (int i = 0; i < t->count; i++) {
            if (t->hooks[i]->kind != order[k]) continue;
            own = true;
            TRY(t->hooks[i]->run(t->hooks[i], t->states[i], &g, err));
        }
        if (order[k] == GUIDE_CFG && !own)
            guidance_cfg(t->cond, t->uncond, g.scale, t->denoised);
    }
    *scale = g.scale;
    return OK;
}
