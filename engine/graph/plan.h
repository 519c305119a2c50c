/* plan.h - what a run will do, step by step, before anything is loaded. */
#ifndef WEFT_GRAPH_PLAN_H
#define WEFT_GRAPH_PLAN_H

#include "engine/graph/cache.h"
#include "engine/graph/check.h"

/* What a pass without weights measured in one step. Bytes; -1 = not known. */
typedef struct PlanCost {
    int64_t ram;    /* highest resident size of the process while the step runs */
    int programs;   /* how often a network is evaluated */
    double flops;   /* 2 per multiply-add */
    double bytes;   /* operands read and written by the operations, weights included */
    double seconds; /* expected on this machine; below 0 = not known */
} PlanCost;

typedef struct PlanStep {
    int node;
    NodeStage stage;
    int uses;            /* links that read the result */
    int same_as;         /* node whose result is taken instead, -1 = it runs */
    bool cached;         /* its result is in the cache */
    bool recalled;       /* the embedded prompt lies on the disk: no text encoder wakes */
    bool maybe;          /* only when a lazy input asks for it, which is known at run time */
    const int *releases; /* nodes whose result is given back after this step; in the arena */
    int n_releases;
    /* Attached by a dummy run of the caller; -1 = not known. Bytes, the largest so far in this step. */
    int64_t arena_peak, weights_peak;
    PlanCost cost;
    const char
        *shapes; /* of the results: "LATENT [1, 128, 32, 32]"; in the arena, NULL = not known */
    uint64_t in_ram; /* bit i: component i has pages in memory during the step */
    uint64_t leaves; /* bit i: its pages are given back in the step */
} PlanStep;

enum { PLAN_MAX_COMPONENTS = 64 };

/* A network with its weights: mapped from a file, in memory from its first use. */
typedef struct PlanComponent {
    const char *name, *file; /* in the arena */
    int64_t bytes;           /* of weights that the run reads */
    int64_t cold;            /* of these not in the page cache when the plan was made */
    int first, last;         /* steps in memory */
} PlanComponent;

/* What the process holds at its highest. Bytes. */
typedef struct PlanPeak {
    int step; /* -1 = not known */
    int64_t total, process, weights, merged, arena, heap;
} PlanPeak;

typedef struct Plan {
    Arena *arena;       /* owned */
    const Graph *graph; /* borrowed; must outlive the plan */
    PlanStep *steps;    /* in the order of the run */
    int count;
    int *step_of; /* per node, -1 = not planned */
    PlanComponent components[PLAN_MAX_COMPONENTS];
    int n_components;
    PlanPeak ram;
    int64_t vram;                   /* peak on the device; 0 on the CPU, -1 = not known */
    double start_seconds;           /* before the first step; below 0 = not known */
    double disk_seconds;            /* expected for reading what is cold; below 0 = not known */
    bool rough_seconds;             /* the machine was busy when its speed was measured */
    const char *residency, *device; /* static; NULL = not known */
    const char **notes;             /* in the arena; n_notes */
    int n_notes;
} Plan;

/* Plans the valid outputs of a report in the order of run_graph. cache may be NULL. */
Status plan_graph(Graph *g, const CheckReport *report, struct Host *host, Cache *cache,
                  Plan **out, Error *err);
void plan_free(Plan *plan);

/* Keeps the larger of what is known and what a dummy run measured in a node; -1 leaves a field. */
void plan_attach(Plan *plan, int node, int64_t arena_peak, int64_t weights_peak);
int64_t plan_arena_peak(const Plan *plan); /* over all steps; -1 = not known */
int64_t plan_weights_peak(const Plan *plan);
/* Sums over the steps that run. seconds: with start, without disk; below 0 = not known. */
PlanCost plan_total(const Plan *plan);
Status plan_note(Plan *plan, const char *text, Error *err);

const char *stage_name(NodeStage stage); /* "load", "attention", ... */

#endif
