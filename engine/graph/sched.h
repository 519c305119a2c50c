/* sched.h - which node runs next: ComfyUI's order, for the plan and for the run.
 *
 * Pending nodes stand in the order in which they were met: outputs first, then depth first, where the
 * last linked input of a node is expanded first. Among the ready ones the first that is an output is
 * taken; else the first that feeds an output; else the first with an output two steps down; else the
 * first. Each operation costs the links it touches (and a logarithm), no recursion.
 */
#ifndef WEFT_GRAPH_SCHED_H
#define WEFT_GRAPH_SCHED_H

#include "engine/graph/graph.h"

typedef struct Sched Sched;

/* Tells that a node's result is at hand, so that neither it nor what only it needs must run. */
typedef bool (*SchedCached)(void *user, int node);

Status sched_new(const Graph *g, SchedCached cached, void *user, Sched **out, Error *err);
void sched_free(Sched *s);

/* Adds a chosen output (also a cached one) and all it needs; lazy inputs wait until sched_need. */
Status sched_add(Sched *s, int node, Error *err);
/* Makes one linked input of a pending node a dependency; *added is false when it was at hand. */
Status sched_need(Sched *s, int node, const GraphInput *input, bool *added, Error *err);

/* The same for any node as origin: expansions. */
Status sched_need_node(Sched *s, int node, int origin, bool *added, Error *err);
/* The graph has got more nodes. */
Status sched_grow(Sched *s, Error *err);

int sched_next(Sched *s);                           /* -1: nothing is ready */
bool sched_empty(const Sched *s);                   /* nothing is pending */
Status sched_done(Sched *s, int node, Error *err);  /* ran, or came from the cache */
Status sched_defer(Sched *s, int node, Error *err); /* goes back to wait for new needs */
/* A node on a cycle when nothing is ready but nodes are pending. */
int sched_stuck(const Sched *s);

/* A link that a class reads: bound, to a known class, through a declared input. */
bool sched_is_dependency(const Graph *g, const GraphNode *n, const GraphInput *in, bool *lazy);

#endif
