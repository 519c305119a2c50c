/* registry.h - samplers and schedulers that are not built in: names such as lua:cosine, from the caller. */
#ifndef WEFT_SAMPLING_REGISTRY_H
#define WEFT_SAMPLING_REGISTRY_H

#include "engine/sampling/samplers.h"
#include "engine/sampling/sigmas.h"

/* A table of functions and what they need; either function may be NULL. Names come whole, with their
 * prefix. An unknown name is E_RANGE. */
struct Registry {
    void *user;
    Status (*sampler)(void *user, const char *name, Sampler **out, Error *err);
    /* steps + 1 values that fall strictly and end in 0, as Tensor [n] F32. */
    Status (*scheduler)(void *user, const char *name, const ModelSampling *m, int64_t steps,
                        double denoise, Tensor **out, Error *err);
};

#endif
