/* vectors.h - reads one area of the shared vectors: its JSON and its tensors. */
#ifndef WEFT_TESTS_UNIT_SAMPLING_VECTORS_H
#define WEFT_TESTS_UNIT_SAMPLING_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/sampling/sigmas.h"
#include "engine/tensor/tensor.h"

int run_noise_tests(void);
int run_sigmas_tests(void);
int run_samplers_tests(void);
int run_guidance_tests(void);
int run_cond_tests(void);
int run_sample_tests(void);
int run_step_cache_tests(void);

typedef struct Vectors {
    JsonDoc *json;
    struct FileMap *map;
    struct SafeTensors *tensors; /* NULL when the area has none */
} Vectors;

/* Opens <shared>/vectors/<area>/<name>.json and .safetensors; skips the test when they are absent. */
void vectors_open(Vectors *v, const char *area, const char *name);
void vectors_close(Vectors *v);

/* The tensor called `name` as a new Tensor (F32, F64 or I64). Fails the test when there is none. */
Tensor *vectors_tensor(const Vectors *v, const char *name);
/* The tensor that the case's string member `key` names. */
Tensor *vectors_at(const Vectors *v, const Json *item, const char *key);

/* Members of a JSON object, with a default for an absent one. "nan", "inf" and "-inf" are numbers. */
double num(const Json *item, const char *key, double otherwise);
double number_of(const Json *value);
uint64_t num_u64(const Json *item, const char *key);
bool flag(const Json *item, const char *key);
const char *text(const Json *item, const char *key); /* NULL when absent */

/* Fails the test with the error's text. */
void ok(Status s, const Error *err);

/* Largest |a - b| / scale; NaN equals NaN, anything else against NaN is infinity. */
double worst(const float *a, const float *b, int64_t n);
/* Distance in units of the last place. */
int64_t ulps(float a, float b);

/* The model sampling that a vector's "model" member describes. */
ModelSampling *vectors_model(const Json *model);

#endif
