/* plan.h - what a run will do, step by step, before anything is loaded. */
#ifndef WEFT_GRAPH_PLAN_H
#define WEFT_GRAPH_PLAN_H

#include "engine/graph/cache.h"
#include "engine/graph/check.h"

typedef struct PlanStep {
    int node;
    NodeStage stage;
    int uses;            /* links that read the result */
    int same_as;         /* node whose result is taken instead, -1 = it runs */
    bool cached;         /* its result is in the cache */
    bool maybe;          /* only when a lazy input asks for it, which is known at run time */
    const int *releases; /* nodes whose result is given back after this step; in the arena */
    int n_releases;
    /* Attached by a dummy run of the caller; -1 = not known. Bytes, the largest so far in this step. */
    int64_t arena_peak, weights_peak;
} PlanStep;

typedef struct Plan {
    Arena *arena;       /* owned */
    const Graph *graph; /* borrowed; must outlive the plan */
    PlanStep *steps;    /* in the order of the run */
    int count;
    int *step_of; /* per node, -1 = not planned */
} Plan;

/* Plans the valid outputs of a report in the order of run_graph. cache may be NULL. */
Status plan_graph(Graph *g, const CheckReport *report, struct Host *host, Cache *cache,
                  Plan **out, Error *err);
void plan_free(Plan *plan);

/* Keeps the larger of what is known and what a dummy run measured in a node; -1 leaves a field. */
void plan_attach(Plan *plan, int node, int64_t arena_peak, int64_t weights_peak);
int64_t plan_arena_peak(const Plan *plan); /* over all steps; -1 = not known */
int64_t plan_weights_peak(const Plan *plan);

const char *stage_name(NodeStage stage); /* "load", "attention", ... */
/* One line a step: number, id, class, title, stage, what is shared, given back and needed. */
void plan_print(const Plan *plan, Str *out);
/* {"steps": [{"node": ..., "class_type": ..., "stage": ..., ...}], "arena_peak": n, "weights_peak": n} */
void plan_write_json(const Plan *plan, Str *out);

#endif
