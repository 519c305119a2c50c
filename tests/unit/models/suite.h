/* suite.h - the groups of the model suite, and what their files share. */
#ifndef WEFT_MODELS_SUITE_H
#define WEFT_MODELS_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

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
int group_controlnet(void);
int group_style(void);
int group_kv(void);
int group_upscale(void);
int group_merge(void);
int group_widen(void);

/* <shared>/vectors/<name> into buf; skips the test when the folder is absent. */
void vector_path(const char *name, char *buf, size_t size);
Weights *open_file(const char *path);
/* The file with a "config" entry (JSON) in its header, as files that need one to tell their heads have it. */
Weights *open_with_config(const char *path, const char *config);
/* Configuration of the nets in vectors/controlnet and of the model that goes with vectors/redux. */
#define TINY_CONFIG "{\\\"num_heads\\\": 2, \\\"axes_dim\\\": [4, 14, 14]}"
Host *open_host(bool exact, bool dummy);
/* A tensor of a vector file in F32. */
Tensor *load(const Weights *w, const char *name);
/* One case of a family's vectors, and what runs it: relative distance of the result from the tensor `expected`. */
typedef struct VectorCase {
    const char *weights, *vector;
    RefMethod method;
    double tolerance;
} VectorCase;
typedef double RunVector(const char *weights, const char *vector, const char *expected,
                         RefMethod method, bool exact);
/* Each case in float32 within its tolerance, and in bf16 products as near as they can be. */
void agree_exactly(const VectorCase *cases, int n, RunVector *run);
void agree_fast(const VectorCase *cases, int n, RunVector *run);
/* BF16 weights under float32 activations, against the reference's own such results. */
void agree_on_bf16(const char *net, const char *const *names, int n, double tolerance,
                   RunVector *run);
/* Relative distance |a-b|/|b| of n values. */
double distance(const float *a, const float *b, int64_t n);

#endif
