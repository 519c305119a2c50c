/* suite.h - the groups of this suite and what they share. */
#ifndef WEFT_TESTS_TEXT_SUITE_H
#define WEFT_TESTS_TEXT_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/json.h"

int run_vector_tests(void);
int run_token_tests(void);
int run_model_tests(void);
int run_file_tests(void);
int run_encoder_tests(void);

/* Path of a file of the shared reference material, or NULL when it is not there (the test
 * skips). */
const char *shared_path(const char *name);
/* Parses a JSON file of it; skips the running test when it is absent. */
JsonDoc *shared_json(const char *name);

#endif
