/* toys.h - a table of small classes with which graphs are tested, and shared helpers of the suite. */
#ifndef WEFT_TESTS_UNIT_GRAPH_TOYS_H
#define WEFT_TESTS_UNIT_GRAPH_TOYS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/graph/check.h"
#include "engine/graph/parse_api.h"
#include "engine/graph/run.h"

extern const NodeTable toy_table;

/* Toy pictures that are alive; 0 after a test that frees all. */
int toy_alive(void);
/* Sum of what Collect nodes were given, and how often they ran; read and cleared. */
int64_t toy_collected(int *times);

/* Graph from API text; fails the test when it cannot be read. */
Graph *graph_of(const char *text);
CheckReport *check_of(Graph *g, const char *const *targets, size_t n_targets);
/* The first finding of a rule, or NULL. */
const Finding *find_rule(const CheckReport *r, const char *rule);
/* Records ids of executing, cached and executed events as "a,b" texts. */
typedef struct Trace {
    Events events;
    char executing[4096], cached[4096], executed[4096], end[64];
    int stop_at; /* sets cancel after so many executing events; 0 = never */
    int seen;
} Trace;
void trace_init(Trace *t);
/* Path below the shared folder, or skips the test. */
const char *shared_path(char *buf, size_t size, const char *name);
/* Counts allocations until fn stops failing with E_NOMEM. */
int fail_each_allocation(Status (*fn)(void *user, Error *err), void *user);
void assert_ok(Status s, const Error *err);

int run_literal_tests(void);
int run_parse_tests(void);
int run_check_tests(void);
int run_plan_tests(void);
int run_run_tests(void);
int run_expand_tests(void);
int run_vector_tests(void);

#endif
