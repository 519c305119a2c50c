/* run.h - executes a checked graph.
 *
 * Events leave in ComfyUI's order: start, one cached event per node that is at hand, then executing,
 * progress (the node's own) and executed (only with UI output; also for outputs taken from the cache),
 * with the UI's JSON object as its text, and at last success, error or interrupted. The first error
 * ends the run; what was finished stays cached.
 */
#ifndef WEFT_GRAPH_RUN_H
#define WEFT_GRAPH_RUN_H

#include "engine/base/events.h"
#include "engine/graph/cache.h"
#include "engine/graph/check.h"

typedef struct RunOptions {
    struct Host *host;
    Events *events;     /* NULL = none; its cancel flag is read before each node */
    Cache *cache;       /* NULL: results live as long as the run needs them */
    const char *prompt; /* text for SOCK_F_HIDDEN_PROMPT; NULL = graph_write_api of the graph */
    const char *pnginfo;       /* text for SOCK_F_HIDDEN_PNGINFO; NULL = the graph's */
    const CheckOptions *check; /* classes and host for nodes that expand; NULL = no node may */
    void (*before)(void *user,
                   const GraphNode *node); /* called before a node runs; NULL = none */
    /* after it ran well; the result is borrowed, NULL when the node has expanded */
    void (*after)(void *user, const GraphNode *node, const NodeResult *result);
    void *user;
} RunOptions;

typedef struct RunStats {
    int ran, cached; /* nodes that ran; nodes taken from the cache or from an equal node */
    double seconds;
} RunStats;

/* Runs the valid outputs of the report. Fails with the node's own error, its id, class and title added
 * (E_CANCELLED when interrupted). stats may be NULL and is filled in either case.
 *
 * Every output slot holds a list. A node runs as often as its longest input has values, shorter ones
 * repeat their last; an INPUT_IS_LIST class runs once. Numbers and choices that come over a link are
 * range-checked before the node sees them (E_RANGE). Results are released after their last use unless
 * the cache holds them.
 *
 * A node may answer with a sub-graph (node_expand): its nodes join the run, and the node is done when what
 * its outputs name and the output classes among the new ones are. They leave the graph after the run.
 * Events of such nodes carry the visible node as display_node. A value may be a blocker (node_block): a
 * call that would read it does not happen. Errors of expansions: E_WORKFLOW, E_LIMIT past
 * EXPAND_MAX_NODES nodes, what the checker finds. */
Status run_graph(Graph *g, const CheckReport *report, const RunOptions *options,
                 RunStats *stats, Error *err);

/* Asks the classes for their tokens of what lies outside the graph (content of files); before
 * cache_keys. run_graph does it itself. */
Status run_tokens(Graph *g, const CheckReport *report, struct Host *host, Error *err);

#endif
