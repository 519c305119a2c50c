/* common.h - what the tests of engine/base share. */
#ifndef WEFT_TESTS_UNIT_BASE_COMMON_H
#define WEFT_TESTS_UNIT_BASE_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

int run_arena_map_tests(void);
int run_file_tests(void);
int run_glob_tests(void);
int run_json_edit_tests(void);
int run_json_tests(void);
int run_status_tests(void);
int run_str_tests(void);
int run_toml_tests(void);

#endif
