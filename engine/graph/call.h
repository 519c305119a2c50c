/* call.h - calling one node: lists to single calls, values into the in struct, results out of it. */
#ifndef WEFT_GRAPH_CALL_H
#define WEFT_GRAPH_CALL_H

#include "engine/graph/answer.h"
#include "engine/graph/cache.h"
#include "engine/graph/fill.h"

enum { CALL_MAX_INPUTS = 256 }; /* of one class; run refuses one with more */

/* Where the values of one declared input are. */
typedef struct CallInput {
    const Socket *socket;
    const GraphInput *given; /* NULL = the workflow does not give it */
    const Socket *from;      /* linked: the origin's output; else NULL */
    const ValueList *list;   /* linked: its values, NULL while a lazy input is not computed */
} CallInput;

typedef struct CallTexts {
    const char *prompt, *pnginfo; /* for hidden inputs */
} CallTexts;

/* inputs: one per declared input of the class, in its order. A call with a blocker among its inputs does
 * not happen and gives blockers. *answers gets the calls that answered with more than values, for
 * call_answers_free; values that an expansion will give are SOCK_PENDING in the result until
 * call_fill_in. */
Status call_node(const GraphNode *n, const CallInput *inputs, const CallTexts *texts,
                 struct Host *host, Events *events, NodeResult **out, Answer **answers,
                 Error *err);
void call_answers_free(Answer *answers);

/* The result of a node by index. */
typedef const NodeResult *(*CallResult)(void *user, int node);
/* Puts what the expansions gave in the place of the pending values. */
Status call_fill_in(NodeResult *result, const Answer *answers, CallResult result_of, void *user,
                    Error *err);

bool call_has_lazy(const NodeDef *def);
/* Which linked inputs the class wants, bit i for row i; a class without a hook wants all of them. */
Status call_lazy(const GraphNode *n, const CallInput *inputs, const CallTexts *texts,
                 uint64_t *needed, Error *err);

#endif
