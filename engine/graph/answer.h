/* answer.h - what a node answered besides values: blocked outputs, and a sub-graph in its place. */
#ifndef WEFT_GRAPH_ANSWER_H
#define WEFT_GRAPH_ANSWER_H

#include "engine/base/arena.h"
#include "engine/base/map.h"
#include "engine/graph/node.h"

typedef enum AnswerKind { ANSWER_VALUE, ANSWER_BLOCK, ANSWER_LINK } AnswerKind;

/* What stands in the place of one output. */
typedef struct AnswerOutput {
    AnswerKind kind;
    const char *text; /* the blocker's message or NULL; id or name of the origin */
    int slot;
    int origin; /* node index, set when the nodes have been added; -1 before */
} AnswerOutput;

typedef struct AnswerInput {
    struct AnswerInput *next;
    const char *name;
    const char *from; /* link: id or name of the origin; NULL = a value */
    int slot;
    Value value; /* owned */
    int holder;  /* object: index of the node that hands it out, -1 = none */
} AnswerInput;

typedef struct AnswerNode {
    struct AnswerNode *next;
    const char *name, *class_type;
    AnswerInput *inputs, **end;
    int index; /* node index once it has been added, -1 before */
} AnswerNode;

/* The answer of one call. Zero-initialise; outputs is NULL while the node answers with values alone. */
typedef struct Answer {
    struct Answer *next;
    AnswerOutput *outputs; /* owned; one per output of the class */
    Arena *arena;          /* owned: nodes, inputs, texts */
    AnswerNode *nodes, **end;
    Map by_name;
    int call;     /* number of the call, from 0 */
    int count;    /* nodes */
    int *holders; /* owned, after answer_settle: nodes that hand out its objects */
    int n_holders;
} Answer;

void answer_fini(Answer *a);
/* The nodes are in the graph: keeps where the outputs come from and who holds objects, frees the rest.
 * Errors: E_NOMEM. */
Status answer_settle(Answer *a, Error *err);

#endif
