/* sigmas_impl.h - what the sigma files share. */
#ifndef WEFT_SAMPLING_SIGMAS_IMPL_H
#define WEFT_SAMPLING_SIGMAS_IMPL_H

#include "engine/sampling/sigmas.h"

/* Bound on the steps of one schedule: steps/denoise can be asked to be anything. */
#define SIGMAS_MAX_STEPS INT64_C(10000000)

Status sigmas_alloc(int64_t n, Tensor **out, Error *err);
Status sigmas_check_steps(int64_t steps, Error *err);
/* Values [first, first+count), cut to what there is. */
Status sigmas_range(const Tensor *s, int64_t first, int64_t count, Tensor **out, Error *err);
/* The last `count` values; gives s back. */
Status sigmas_keep_last(Tensor *s, int64_t count, Tensor **out, Error *err);

/* Element i of the reference's float32 linspace(a, b, n). */
float linspace_at(float a, float b, int64_t n, int64_t i);
/* factor / (factor + 1/t - 1) in float32, the division done as a reciprocal. */
float sigma_shift_f32(float factor, float t);

/* Tables of published schedules: noise levels in falling order. */
typedef struct LevelRow {
    const char *name; /* model type; NULL in the GITS table */
    int count;
    const double *levels;
} LevelRow;
extern const LevelRow levels_align_your_steps[3];
extern const LevelRow levels_optimal_steps[3];
enum { GITS_COEFFS = 15, GITS_ROWS = 19 };
/* [coefficient 0.80 + 0.05 i][steps - 2] */
extern const LevelRow levels_gits[GITS_COEFFS][GITS_ROWS];

#endif
