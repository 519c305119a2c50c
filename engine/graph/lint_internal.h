/* lint_internal.h - what the files of lint share: walking from node to node and telling. */
#ifndef WEFT_GRAPH_LINT_INTERNAL_H
#define WEFT_GRAPH_LINT_INTERNAL_H

#include "engine/graph/lint.h"

enum { STAGES = STAGE_DECODE + 1, LONGEST_SIGMAS = 1000, LONGEST_CONDITIONING = 1000 };

/* What is known of a node's place in its chain. */
typedef struct Place {
    int up; /* node that gives its MODEL, -1 = none */
    bool done;
    int last[STAGES];   /* nearest node of a stage among it and above it, -1 = none */
    int before[STAGES]; /* the same, strictly above it */
    int root;           /* first node of the chain */
} Place;

typedef struct Lint {
    const Graph *graph;
    CheckReport *report;
    Place *places;  /* owned, per node */
    int *stack;     /* owned */
    uint64_t *told; /* owned, per node: rules that look from several nodes and have told it */
    int *readers;   /* owned, per node: inputs that read its model */
    Error *err;
} Lint;

const GraphNode *lint_at(const Lint *l, int node);
/* The node that feeds the first linked input of a type, -1 = none; *in (may be NULL) gets the input. */
int lint_source(const Lint *l, int node, SockType type, const GraphInput **in);
/* The same for an input by name. */
int lint_source_named(const Lint *l, int node, const char *name);
/* NULL when there is none, or a link. */
const Literal *lint_literal(const GraphNode *n, const char *name);
/* A number, also of one that a link to a node that only holds it gives. */
bool lint_number(const Lint *l, const GraphNode *n, const char *name, double *out);
bool lint_whole(const Lint *l, const GraphNode *n, const char *name, int64_t *out);
bool lint_text_is(const GraphNode *n, const char *name, const char *text);
/* The stage a patch works in; none when its settings switch it off. */
NodeStage lint_stage(const GraphNode *n);
/* Fills in places[node]. */
void lint_place(Lint *l, int node);
/* The model that a sampler denoises with: its own, or its guider's; -1 = none. *holder (may be NULL) gets
 * the node whose input that is. */
int lint_sampled_model(const Lint *l, int node, int *holder);
/* The latent that a sampler starts from, when it is an empty one of stated size; -1 = none. */
int lint_empty_latent(const Lint *l, int node);

/* Adds a finding; *out (may be NULL) is valid until the next one. */
Status lint_say(Lint *l, const char *rule, int node, const char *input, const char *fix,
                Finding **out, const char *format, ...) __attribute__((format(printf, 7, 8)));
/* True the first time for a node: some rules meet a node from each of its consumers. */
bool lint_once(Lint *l, const char *rule, int node);
/* Sets what a correction writes. */
Status lint_want(Lint *l, Finding *f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Rules about which parts of which model family go together (lint_models.c); one node at a time. */
Status lint_models(Lint *l, int node);

#endif
