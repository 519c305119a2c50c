/* guider.h - the GUIDER value: which conditionings steer a model, and the guided estimate itself. */
#ifndef WEFT_SAMPLING_GUIDER_H
#define WEFT_SAMPLING_GUIDER_H

#include "engine/sampling/denoiser.h"

typedef enum GuiderKind {
    GUIDER_BASIC, /* positive alone */
    GUIDER_CFG,   /* negative + cfg (positive - negative) */
    GUIDER_DUAL   /* DualCFGGuider: two positives and a negative */
} GuiderKind;

/* Immutable. */
typedef struct Guider {
    Ref ref;
    GuiderKind kind;
    Denoiser *denoiser; /* one reference owned */
    Cond *positive;     /* one reference owned */
    Cond *middle;       /* DUAL only */
    Cond *negative;     /* NULL for BASIC */
    double cfg;         /* of positive (BASIC: 1) */
    double cfg2;        /* DUAL: of middle against negative */
    bool nested;        /* DUAL: style "nested" */
} Guider;

Status guider_basic(const Denoiser *d, const Cond *positive, Guider **out, Error *err);
Status guider_cfg(const Denoiser *d, const Cond *positive, const Cond *negative, double cfg,
                  Guider **out, Error *err);
Status guider_dual(const Denoiser *d, const Cond *cond1, const Cond *cond2,
                   const Cond *negative, double cfg_conds, double cfg_cond2_negative,
                   bool nested, Guider **out, Error *err);

static inline Guider *guider_ref(const Guider *g)
{
    return ref_take(g);
}
static inline void guider_unref(const Guider *g)
{
    ref_drop(g);
}

/* One run of a guider: resolved areas, masks and ranges, buffers, hook states. */
typedef struct GuiderRun GuiderRun;

/* sigmas as the sampler was given them. force_uncond: a cfg_pp sampler. `events` (may be NULL) is asked
 * for cancellation before every model call. */
Status guider_begin(const Guider *g, const DenoiseRun *run, bool force_uncond, GuiderRun **out,
                    Error *err);
void guider_end(GuiderRun *r);
/* Guided clean estimate of x at sigma into `denoised`; *uncond (may be NULL) gets U, owned by the run and
 * valid until the next call. Errors: E_CANCELLED and the model's own. */
Status guider_denoise(GuiderRun *r, const Tensor *x, float sigma, int step, Tensor *denoised,
                      const Tensor **uncond, Error *err);
/* Model calls made, and negatives spared because the scale was 1. */
int guider_calls(const GuiderRun *r);
int guider_saved(const GuiderRun *r);
/* Pictures that a step cache answered for, of how many that were asked for, sides and entries counted. */
void guider_reuse(const GuiderRun *r, int *reused, int *asked);
/* Whether the last call left the negative out. */
bool guider_skipped(const GuiderRun *r);
/* The run's mask hook, if the model has one: m (in place, [B,C,h,w]) at sigma. */
bool guider_has_mask_hook(const GuiderRun *r);
Status guider_mask(GuiderRun *r, float sigma, int step, Tensor *mask, Error *err);

#endif
