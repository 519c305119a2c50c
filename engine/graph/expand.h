/* expand.h - puts the sub-graph that a node answered with into the graph that is being run.
 *
 * New nodes stand behind the file's own and are forgotten after the run. An object among the inputs of a
 * new node is handed out by a node of its own, whose result is there from the start; its key is that of
 * the value that came in when the object passed through, else that of the expanded node and its place.
 */
#ifndef WEFT_GRAPH_EXPAND_H
#define WEFT_GRAPH_EXPAND_H

#include "engine/graph/answer.h"
#include "engine/graph/call.h"
#include "engine/graph/check.h"

enum { EXPAND_MAX_NODES = 1000000 }; /* of a workflow with its expansions */

typedef struct Expansion {
    Graph *graph;
    const CheckOptions *check; /* the table, and whether files must exist */
    int parent;                /* the node that is expanded */
    const CallInput *inputs;   /* what it was called with, one per declared input */
    const CacheKey *keys;      /* of all nodes so far */
    const bool *valid;         /* of the nodes of the file: may be linked to */
    int file_count;
} Expansion;

/* Adds the nodes of one answer, checked and bound, and resolves its links. Errors: E_WORKFLOW (an id that
 * is there already, no such origin, no such slot, what the checker finds), E_LIMIT, E_UNSUPPORTED,
 * E_NOMEM; with the new node's id and class where one is at fault. */
Status expand_answer(const Expansion *e, Answer *a, Error *err);

/* The class of nodes that hand out objects. */
extern const NodeDef expand_holder;

#endif
