/* suite.h - the groups of the model suite, and what their files share. */
#ifndef WEFT_MODELS_SUITE_H
#define WEFT_MODELS_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/file.h"
#include "engine/models/model.h"
#include "engine/tensor/ops.h"

int group_patch(void);
int group_positions(void);
int group_names(void);
int group_flux1(void);
int group_flux2(void);
int group_cost(void);
int group_reuse(void);

/* <shared>/vectors/<name> into buf; skips the test when the folder is absent. */
void vector_path(const char *name, char *buf, size_t size);
Weights *open_file(const char *path);
Host *open_host(bool exact, bool dummy);
/* A tensor of a vector file in F32. */
Tensor *load(const Weights *w, const char *name);
/* Relative distance |a-b|/|b| of n values. */
double distance(const float *a, const float *b, int64_t n);

#endif
