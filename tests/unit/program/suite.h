/* suite.h - the groups of the program suite, and what their files share. */
#ifndef WEFT_PROGRAM_SUITE_H
#define WEFT_PROGRAM_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/program/ops.h"

int group_build(void);
int group_layout(void);
int group_exec(void);
int group_passes(void);
int group_speed(void);

/* count reproducible values in (-1, 1). */
void fill(float *out, int64_t count, uint32_t seed);
KWeight weight_f32(const float *data, int64_t n, int64_t k);
/* Plans and runs on the reference backend with one input "x" and one output "y". */
void run_xy(Program *p, float *x, float *y);

#endif
