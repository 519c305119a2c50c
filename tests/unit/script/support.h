/* support.h - scripts from text, and toy models to run them on. */
#ifndef WEFT_TESTS_UNIT_SCRIPT_SUPPORT_H
#define WEFT_TESTS_UNIT_SCRIPT_SUPPORT_H

#include "tests/unit/sampling/vectors.h"

#include "engine/script/script.h"

int run_kinds_tests(void);
int run_script_vectors_tests(void);
int run_hostile_tests(void);
int run_cache_tests(void);
int run_files_tests(void);
int run_loops_tests(void);

/* The built-in scripts; made once per test. */
ScriptSet *builtin_scripts(void);
/* A built-in script's default values. */
ScriptValues *values_of(const ScriptSet *set, const char *name);
void set_value(ScriptValues *v, const char *name, const char *text);
void set_number(ScriptValues *v, const char *name, double number);

/* Loads a script's text under small limits; the status of loading. */
Status load_text(const char *text, const ScriptLimits *limits, Script **out, Error *err);

/* Runs a sampler for 8 steps over a smooth toy model; the result is a new tensor. */
Status run_toy(const Sampler *sampler, Tensor **out, Error *err);
Tensor *toy_tensor(double phase);

#endif
