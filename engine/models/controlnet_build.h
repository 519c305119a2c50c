/* controlnet_build.h - the program of a ControlNet. */
#ifndef WEFT_MODELS_CONTROLNET_BUILD_H
#define WEFT_MODELS_CONTROLNET_BUILD_H

#include "engine/models/controlnet.h"

typedef struct ControlBuild {
    ControlKind kind;
    const ModelDims *dims;
    const WeightSource *source;
    int64_t hint_channels;
    double strength;
    bool exact;
} ControlBuild;

/* Inputs: "x", "context", "timestep", "guidance", "pooled", "style" as in family.h, "hint" F32. Outputs:
 * "double.i", "single.i" [target tokens, D] of the precision's dtype, times strength. */
void controlnet_build(const ControlBuild *c, const ForwardShape *s, Program *p);

#endif
