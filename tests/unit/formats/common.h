/* common.h - what the tests of this room share: the groups, and where vectors lie. */
#ifndef WEFT_TESTS_UNIT_FORMATS_COMMON_H
#define WEFT_TESTS_UNIT_FORMATS_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/base/status.h"

int run_gguf_tests(void);
int run_image_tests(void);
int run_pickle_tests(void);
int run_png_meta_tests(void);
int run_quant_tests(void);
int run_safetensors_tests(void);
int run_weights_tests(void);

/* Path of a file of the shared vectors, into a static buffer of the caller; skips the test by its name
 * when the vectors are not there. */
const char *shared_path(char *buf, size_t size, const char *name);

/* Fails the test with the error's own text when s is not OK. */
void assert_ok(Status s, const Error *err);

/* Calls fn(user) with the 1st, 2nd, 3rd... allocation failing until it returns OK; every failure before
 * must be E_NOMEM. Returns how many allocations the successful call made. */
int fail_each_allocation(Status (*fn)(void *user, Error *err), void *user);

#endif
