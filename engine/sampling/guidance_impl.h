/* guidance_impl.h - what the files of built-in guidance share. */
#ifndef WEFT_SAMPLING_GUIDANCE_IMPL_H
#define WEFT_SAMPLING_GUIDANCE_IMPL_H

#include "engine/sampling/guidance.h"

typedef Status (*GuidanceRunFn)(const GuidanceHook *h, void *state, GuidanceStep *g,
                                Error *err);

/* A zeroed hook of `size` bytes that starts with a GuidanceHook; NULL and err when out of memory. */
void *guidance_hook_new(size_t size, GuidanceKind kind, const char *name, GuidanceRunFn run,
                        Error *err);

/* Latents [B,C,h,w] seen as B items of C planes. */
typedef struct GuidanceItems {
    int64_t batch, channels, plane;
} GuidanceItems;
GuidanceItems guidance_items(const Tensor *t);

double guidance_std(const float *v, int64_t n); /* with n - 1 */

#endif
