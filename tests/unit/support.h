/* support.h - what suites share: finding reference vectors, loading their tensors, comparing. */
#ifndef WEFT_TESTS_UNIT_SUPPORT_H
#define WEFT_TESTS_UNIT_SUPPORT_H

#include "engine/base/json.h"
#include "engine/formats/weights.h"
#include "engine/tensor/tensor.h"

/* One area of reference vectors: <shared>/vectors/<area>/<name>.json and .safetensors. */
typedef struct Vectors {
    JsonDoc *doc;
    Weights *tensors;
} Vectors;

/* <shared>/<relative> into buf; false when there is no such file. <shared> is $WEFT_SHARED, or ../shared
 * beside the source root. */
bool shared_path(const char *relative, char *buf, size_t size);

/* Skips the running cmocka test, naming what is absent, when the files are not there. */
void vectors_open(Vectors *v, const char *area, const char *name);
void vectors_close(Vectors *v);

/* A tensor of the area as float32 (values of U8 tensors stay as numbers). Fails the test when missing. */
Tensor *vectors_tensor(const Vectors *v, const char *name);

/* Largest absolute difference; fails the test when the shapes differ. */
double tensor_max_diff(const Tensor *a, const Tensor *b);
/* Norm of the difference over the norm of b. */
double tensor_rel_diff(const Tensor *a, const Tensor *b);

/* A JSON file, or a failed test. */
JsonDoc *json_file(const char *path);

/* Parameters of a case by name; fallback when absent. */
double param_number(const Json *params, const char *name, double fallback);
const char *param_text(const Json *params, const char *name, const char *fallback);
bool param_bool(const Json *params, const char *name, bool fallback);

/* Fails the running test with err's text when s is not OK. */
void assert_ok(Status s, const Error *err);

#endif
